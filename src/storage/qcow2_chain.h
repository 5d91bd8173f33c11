/* SPDX-License-Identifier: BSD-2-Clause */
/* Between qcow2.c and backing.c: an image that others are overlays on. */
#ifndef STORAGE_QCOW2_CHAIN_H
#define STORAGE_QCOW2_CHAIN_H

#include "storage/backing.h"
#include "storage/qcow2.h"

/* qcow2_open for one of a chain; `above` is NULL for the first. */
int qcow2_open_in_chain(const char *path, unsigned flags, const struct backing_chain *above,
			struct qcow2 **image, char *reason, size_t size);

/*
 * An empty overlay on an open image, from a descriptor, which is taken over if it is good. `below`
 * stays the caller's, and may be at work, until qcow2_freeze_below: then it is the overlay's, and
 * nothing is written to it any more; all of it has been flushed (qcow2_flushed). 0 or a negative
 * errno: -EINVAL if it is no empty overlay of that size.
 */
int qcow2_open_over(int descriptor, struct qcow2 *below, struct qcow2 **image);
void qcow2_freeze_below(struct qcow2 *image);

/* Whether the file has all that the image is. */
bool qcow2_flushed(struct qcow2 *image);

/* Without the image's lock; -EAGAIN if it would wait and may not. */
int qcow2_read_slices(struct qcow2 *image, const struct slice *slices, unsigned count,
		      uint64_t skip, uint64_t length, uint64_t offset, bool at_once);

#endif
