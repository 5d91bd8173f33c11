/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a machine can be made from. An image of the store is a folder with a file image.conf, which
 * is a machine file of one machine (machine-file(5)): its kernel, initrd, append and disks, beside
 * it, and what else a machine of it should have unless told otherwise. Images don't change:
 * machines are overlays on their disks.
 */
#ifndef MANAGE_IMAGE_STORE_H
#define MANAGE_IMAGE_STORE_H

#include <stdbool.h>

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
	int lock; /* while it is held, the image stays; -1: it isn't */
};

/*
 * Finds one: the name of an image in the store; the path of a folder with an image.conf, or with
 * vmlinuz, initrd and root.img as tools/prepare-guest leaves them; the path of a disk. NULL: the
 * guest that is prepared here, which becomes the image `prepared` of the store. hold: nobody
 * removes one of the store before image_release. 0; -ENOENT; -EBUSY: it is being written to, or
 * removed; another negative errno; with one line in reason.
 */
int image_find(const struct store *store, const char *text, bool hold, struct image *image,
	       char *reason, size_t size);
void image_release(struct image *image);

/* Reads the image.conf of a folder. 0 or a negative errno with a line. */
int image_config(const char *folder, struct machine_config *config, char *reason, size_t size);

/* An image of the store that is to be removed: waits for those who hold it. *lock is to be closed.
 * 0; -EBUSY; another negative errno. */
int image_lock_alone(const struct store *store, const char *name, int *lock);

/* Whether a machine of the store has a file of this image, or may have: its name into user, or ""
 * if none can be told. */
bool image_used(const struct store *store, const char *name, char *user, size_t size);

#endif
