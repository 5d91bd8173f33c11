/* SPDX-License-Identifier: BSD-2-Clause */
/* What the verbs of `lodge image` about disk images were called with (verbs_image.c has their
 * tables). */
#ifndef MANAGE_IMAGE_H
#define MANAGE_IMAGE_H

#include "manage/image_verbs.h"
#include "manage/verb.h"

/* Understands the options and carries the verb out. An exit status; what is wrong has been said. */
int image_carry_out(const struct verb_call *call, int (*run)(struct image_options *options));

#endif
