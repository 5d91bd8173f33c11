/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a new image of the store is made: out of sight until it is whole. */
#ifndef MANAGE_IMAGE_PLACE_H
#define MANAGE_IMAGE_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct image_place {
	char parent[PATH_MAX - 64]; /* the folder of all images */
	char folder[PATH_MAX];	    /* the new one */
};

/* Whether this can be an image's name; if not, a line that says what can. */
bool image_place_name(const char *name, char *reason, size_t size);

/* A new folder for an image that is to have this name, which none has so far. 0 or a negative
 * errno, and a line. */
int image_place_begin(struct image_place *place, const char *name, char *reason, size_t size);

/* Gives it its name; -EEXIST where there is one by now. It is gone if that fails. */
int image_place_finish(struct image_place *place, const char *name, char *reason, size_t size);
void image_place_abandon(struct image_place *place);

#endif
