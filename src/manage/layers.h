/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The disks of a machine's own, as layers: qcow2 files in its folder, each an overlay on another or
 * on an image. What machine.conf names is written; all below is frozen. A snapshot is a small file
 * that names layers; a layer that nothing needs any more goes away. So each change is one new file,
 * and then one rename that makes it count (decisions/0022).
 */
#ifndef MANAGE_LAYERS_H
#define MANAGE_LAYERS_H

#include "manage/store.h"

struct needs;

#define LAYER_NAME 128 /* bytes of a file's name, with the NUL */

/* The disks that a machine writes to and that are its own, in machine.conf's order. */
struct layers {
	unsigned count;
	struct {
		unsigned disk;	       /* which one of machine.conf's */
		char file[LAYER_NAME]; /* in the machine's folder */
	} disks[MACHINE_DISKS_MAX];
};

/*
 * 0; -EXDEV with a line if the machine writes to a disk that isn't a layer of its own: a raw one,
 * or one in another folder; another negative errno with a line.
 */
int layers_find(const struct store_machine *machine, const struct machine_config *config,
		struct layers *layers, char *reason, size_t size);

/* What a layer is an overlay on, as it says, "" for nothing. 0 or a negative errno. */
int layer_backing(const char *folder, const char *file, char *backing, size_t size);

/*
 * Makes an empty overlay on each of the files (names in the folder, or paths from there), and has
 * machine.conf name them; files has their names then. 0 or a negative errno with a line; then
 * machine.conf is as it was. STORE_CHANGE is held, and STORE_RUN unless the machine is running:
 * then the files are the layers that its process writes to. Until that has been told, the overlays
 * are empty, and so the disks are what they were, whether machine.conf names the ones or the
 * others.
 */
int layers_grow(const struct store_machine *machine, const struct machine_config *config,
		const struct layers *layers, char (*files)[LAYER_NAME], bool running, char *reason,
		size_t size);

/* Undoes that, while nobody has written to the overlays. */
int layers_shrink(const struct store_machine *machine, const struct machine_config *config,
		  const struct layers *layers, char (*files)[LAYER_NAME], char *reason,
		  size_t size);

/*
 * Of a machine that runs: files are those that its process writes to. Where machine.conf names
 * empty overlays on them, left of a command that was killed, it names them again. 0; -EBADF with a
 * line if it names something else; another negative errno with one. STORE_CHANGE is held.
 */
int layers_agree(const struct store_machine *machine, const struct machine_config *config,
		 const struct layers *layers, char (*files)[LAYER_NAME], char *reason, size_t size);

/*
 * Of a machine that neither runs nor is saved: if machine.conf names empty overlays on layers that
 * nothing else needs, it names those; and then empty overlays that nothing needs go, and halves of
 * layers: what killed commands have left. What can't be told or done leaves all as it is.
 * STORE_CHANGE and STORE_RUN are held.
 */
void layers_tidy(const struct store *store, const struct store_machine *machine);

/* The files that a machine needs now, itself. NULL: that can't be told. */
struct needs *layers_needs(const struct store_machine *machine);
void layers_needs_free(struct needs *needs); /* NULL: nothing */

/* Removes the layers that the machine needed then (NULL: none), and that neither machine.conf, a
 * snapshot nor another machine needs now. Others aren't ours to remove. */
void layers_sweep(const struct store *store, const struct store_machine *machine,
		  const struct needs *before);

/* Whether another machine is an overlay on a layer of this one, or has a layer that can't be read,
 * so that it may be: its name into user. */
bool layers_used(const struct store *store, const struct store_machine *machine, char *user,
		 size_t size);

#endif
