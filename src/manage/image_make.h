/* SPDX-License-Identifier: BSD-2-Clause */
/* `lodge image build` and `lodge image import`: images of the store, made by scripts beside the
 * program. */
#ifndef MANAGE_IMAGE_MAKE_H
#define MANAGE_IMAGE_MAKE_H

#include "manage/image_verbs.h"

/* Exit statuses; what is wrong has been said. */
int image_build(struct image_options *options);
int image_import(struct image_options *options);

#endif
