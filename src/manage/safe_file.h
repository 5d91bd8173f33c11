/* SPDX-License-Identifier: BSD-2-Clause */
/* Files and folders that are whole whenever somebody looks, also after a crash or a power failure.
 */
#ifndef MANAGE_SAFE_FILE_H
#define MANAGE_SAFE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Puts the text in the place of the file, at once: a new file beside it, written out, renamed over
 * it, and the folder written out. 0 or a negative errno, with the old file as it was. If only the
 * last of this fails, that is said, and 0.
 */
int safe_file_replace(const char *path, const char *text, size_t size, mode_t mode);

/* The same where there is none; -EEXIST, with the old file as it was. */
int safe_file_create(const char *path, const char *text, size_t size, mode_t mode);

/* Reads a regular file of at most `most` bytes: *text is to be freed and has a NUL behind it. 0, or
 * a negative errno: -EFBIG, -EINVAL for what is no regular file. */
int safe_file_read(const char *path, size_t most, char **text, size_t *size);

/* Writes out what has changed in a folder: names. 0 or a negative errno. */
int safe_folder_sync(const char *path);

/* Makes a folder with mode 0700 and those above it. 0 or a negative errno; there already is 0. */
int safe_folder_make(const char *path);

/* Removes a folder with all that is in it, whatever modes its folders have and however deep they
 * are; symbolic links aren't followed. 0, or the first negative errno: then some of it is left. */
int safe_folder_remove(const char *path);

/* Removes from a folder what commands that were killed have left of new files, or of those of this
 * name. Nobody else makes any there now. 0 or a negative errno. */
int safe_folder_sweep(const char *path, const char *file);

/* Copies a file, with holes where it has some, and shares its blocks where the file system can. The
 * new one must not be there. 0 or a negative errno. */
int safe_file_copy(const char *from, const char *to, mode_t mode);

#endif
