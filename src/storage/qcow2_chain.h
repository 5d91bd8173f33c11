/* SPDX-License-Identifier: BSD-2-Clause */
/* Between qcow2.c and backing.c: an image that others are overlays on. */
#ifndef STORAGE_QCOW2_CHAIN_H
#define STORAGE_QCOW2_CHAIN_H

#include "storage/backing.h"
#include "storage/qcow2.h"

/* qcow2_open for one of a chain; `above` is NULL for the first. */
int qcow2_open_in_chain(const char *path, unsigned flags, const struct backing_chain *above,
			struct qcow2 **image, char *reason, size_t size);

/* Without the image's lock; -EAGAIN if it would wait and may not. */
int qcow2_read_slices(struct qcow2 *image, const struct slice *slices, unsigned count,
		      uint64_t skip, uint64_t length, uint64_t offset, bool at_once);

#endif
