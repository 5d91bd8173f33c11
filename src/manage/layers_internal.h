/* SPDX-License-Identifier: BSD-2-Clause */
/* What layers.c and layers_sweep.c share. */
#ifndef MANAGE_LAYERS_INTERNAL_H
#define MANAGE_LAYERS_INTERNAL_H

#include "manage/layers.h"

struct qcow2_header;

#define LAYERS_PART ".part" /* behind the name of one that is being made */

/* A disk's name in machine.conf, without its words (into words, unless NULL: DISK_WORDS_MAX),
 * those that a new layer keeps. */
void layers_disk_file(const char *text, char *file, size_t size, char *words);

/* Whether a file of this name may be a layer: a qcow2 file, without a folder. */
bool layers_is_name(const char *file);

/* The header of a qcow2 file; links: of what a symbolic link leads to, too. 0 or a negative errno.
 */
int layers_header(const char *path, bool links, struct qcow2_header *header);

/* What a layer is an overlay on, if it is that same disk: 0; -ENODATA if something was written to
 * it or its size was changed, or if it is no overlay; another negative errno. */
int layers_empty_on(const struct store_machine *machine, const char *file,
		    char backing[LAYER_NAME]);

/* Has machine.conf name `files` in place of config's layers. 0 or a negative errno with a line. */
int layers_switch(const struct store_machine *machine, const struct machine_config *config,
		  const struct layers *layers, char (*files)[LAYER_NAME], char *reason,
		  size_t size);

#endif
