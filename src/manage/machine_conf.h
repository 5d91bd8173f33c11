/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes machine files: a new one, and changes to one that a person may have written. */
#ifndef MANAGE_MACHINE_CONF_H
#define MANAGE_MACHINE_CONF_H

#include "manage/image_store.h"
#include "manage/options.h"

/*
 * The text of a machine of this name, from the options and, where they say nothing, the image
 * (NULL: none). root: the file of its first disk, which lies in its folder; NULL: it has none of
 * its own. 0, with *text to be freed; or a negative errno with one line.
 */
int machine_conf_text(const char *name, const struct options *options, const struct image *image,
		      const char *root, char **text, char *reason, size_t size);

/*
 * The text with the line of this key replaced by one with the value, or taken out (NULL); if there
 * is none, it is added. old: of several lines of the key the one with this value; "" is none of
 * them. All else stays as it is, comments too. To be freed; NULL with a line in reason.
 */
char *machine_conf_set(const char *text, size_t length, const char *key, const char *old,
		       const char *value, char *reason, size_t size);

/* The text with another value for disk `number`, from 0 on. Likewise. */
char *machine_conf_disk(const char *text, size_t length, unsigned number, const char *value,
			char *reason, size_t size);

/* The text with another name in its [machine ...]. To be freed; NULL with a line in reason. */
char *machine_conf_rename(const char *text, size_t length, const char *name, char *reason,
			  size_t size);

/* A new address for a network card, of those that each may give himself. */
void machine_conf_mac(uint8_t mac[6]);

#endif
