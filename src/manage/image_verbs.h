/* SPDX-License-Identifier: BSD-2-Clause */
/* What `lodge image` does, and the options that it understands. */
#ifndef MANAGE_IMAGE_VERBS_H
#define MANAGE_IMAGE_VERBS_H

#include <stdbool.h>

#include "storage/format.h"
#include "storage/qcow2.h"

struct image_options {
	enum format format, from;
	struct qcow2_options qcow2;
	bool compress, repair, shrink, json;
	const char *name, *size; /* of build and import */
	const char *words[2];	 /* files and sizes; NULL: not given */
};

/* Exit statuses; what is wrong has been said. */
int image_create(struct image_options *options);
int image_info(struct image_options *options);
int image_check(struct image_options *options);
int image_resize(struct image_options *options);
int image_convert(struct image_options *options);

#endif
