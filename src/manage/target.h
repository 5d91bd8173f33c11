/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A large file that is to be there under its name when it is whole and on stable storage, and not
 * before: whatever ends before that leaves nothing behind, and what had the name stays.
 */
#ifndef MANAGE_TARGET_H
#define MANAGE_TARGET_H

#include <limits.h>
#include <stdbool.h>

struct target {
	const char *path;
	char folder[PATH_MAX], other[PATH_MAX]; /* other: the name meanwhile; empty: none */
	int fd, folder_fd;			/* fd: to be written to */
};

/* `path` must live as long. 0 or a negative errno; target_close in any case. */
int target_open(struct target *target, const char *path);

/* It gets its name, and that is safe as well. 0 or a negative errno. */
int target_finish(struct target *target);

void target_close(struct target *target);

/* Whether a file is one that has no name yet, and is to have this one: NAME.NUMBER-NUMBER. */
bool target_is_other(const char *file, const char *name);

#endif
