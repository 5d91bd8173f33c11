/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a machine can be made from. An image of the store is a folder with a file image.conf, which
 * is a machine file of one machine (machine-file(5)): its kernel, initrd, append and disks, beside
 * it, and what else a machine of it should have unless told otherwise. Images don't change:
 * machines are overlays on their disks.
 */
#ifndef MANAGE_IMAGE_STORE_H
#define MANAGE_IMAGE_STORE_H

#include "machines/machine_file.h"
#include "manage/store.h"
#include "storage/format.h"

struct image {
	char name[STORE_PATH];	 /* as the person may write it */
	char folder[STORE_PATH]; /* "": a disk file alone */
	bool stored;		 /* in the store: machines refer to it by a relative path */
	struct machine_config config;
	char disk[STORE_PATH]; /* the first disk, a path; "": none */
	enum format disk_format;
};

/*
 * Finds one: the name of an image in the store; the path of a folder with an image.conf, or with
 * vmlinuz, initrd and root.img as tools/prepare-guest leaves them; the path of a disk. NULL: the
 * guest that is prepared here, which becomes the image `prepared` of the store. 0; -ENOENT or
 * another negative errno, with one line in reason.
 */
int image_find(const struct store *store, const char *text, struct image *image, char *reason,
	       size_t size);

/* Reads the image.conf of a folder. 0 or a negative errno with a line. */
int image_config(const char *folder, struct machine_config *config, char *reason, size_t size);

/* Whether a machine of the store has a file of this image: its name into user. */
bool image_used(const struct store *store, const char *name, char *user, size_t size);

#endif
