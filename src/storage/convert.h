/* SPDX-License-Identifier: BSD-2-Clause */
/* Copies a disk into a new file of another format. */
#ifndef STORAGE_CONVERT_H
#define STORAGE_CONVERT_H

#include <stdbool.h>
#include <stddef.h>

#include "storage/format.h"
#include "storage/qcow2.h"

struct convert {
	const char *from, *to;
	enum format from_format, to_format; /* FORMAT_AUTO: see format_decide */
	struct qcow2_options qcow2;	    /* of the new one; its size is the old one's */
	bool compress;
};

/*
 * `to` must not be there; it appears when it is complete. What the disk is an overlay on is copied
 * with it; zeroes take no space. 0, or a negative errno and a line in reason.
 */
int convert(const struct convert *what, char *reason, size_t size);

/* A new raw file that reads as zeroes; there must be none. */
int raw_create(const char *path, uint64_t bytes, char *reason, size_t size);

#endif
