/* SPDX-License-Identifier: BSD-2-Clause */
/* What an image is an overlay on: another image or a raw file, opened read-only, and what that one
 * is an overlay on. */
#ifndef STORAGE_BACKING_H
#define STORAGE_BACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/plug.h"

struct backing;
struct qcow2;

#define BACKING_DEPTH_MAX 64

/* The files that are overlays on one another, from the last that was opened to the first. */
struct backing_chain {
	dev_t device;
	ino_t inode;
	unsigned depth;
	const struct backing_chain *above;
};

/*
 * Opens `name` as the image at path `from` says it: from the folder of that image, if it isn't
 * absolute; format "raw", "qcow2" or "" if the image doesn't say. 0, or a negative errno and a line
 * in reason.
 */
int backing_open(const char *from, const char *name, const char *format,
		 const struct backing_chain *chain, struct backing **backing, char *reason,
		 size_t size);
/* An image that is open already, as the backing file of another; it stays the caller's. NULL: no
 * memory. */
struct backing *backing_of(struct qcow2 *image);
/* The image is the backing file's from now on, and closed with it. */
struct qcow2 *backing_own(struct backing *backing);
void backing_close(struct backing *backing); /* NULL: nothing */

/* The file that a name in an image at path `from` means; to be freed. NULL: no memory. */
char *backing_path(const char *from, const char *name);

/* NULL: it is a raw file. */
struct qcow2 *backing_image(const struct backing *backing);
uint64_t backing_size(const struct backing *backing);

/* As qcow2_read_slices; within its size. */
int backing_read(struct backing *backing, const struct slice *slices, unsigned count, uint64_t skip,
		 uint64_t length, uint64_t offset, bool at_once);

#endif
