/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manage/layers_internal.h"
#include "manage/layers_needs.h"
#include "manage/snapshots.h"

#define DEPTH_MAX 256

/* Half of a layer: one that was being made. */
static bool is_part_name(const char *file)
{
	size_t tail = strlen(LAYERS_PART), length = strlen(file);
	char name[LAYER_NAME];

	if (length <= tail || length - tail >= sizeof(name) ||
	    strcmp(file + length - tail, LAYERS_PART) != 0)
		return false;
	snprintf(name, sizeof(name), "%.*s", (int)(length - tail), file);
	return layers_is_name(name);
}

/* What a command that was killed may have left, and nobody can miss. */
static bool is_left(const struct store_machine *machine, const char *file)
{
	char below[LAYER_NAME];

	return is_part_name(file) ||
	       (layers_is_name(file) && !layers_empty_on(machine, file, below));
}

/* Marks all but what may go: what was needed before, or (NULL) what killed commands have left.
 * Whether there is any. */
static bool choose(const struct store_machine *machine, const struct needs *before,
		   struct needs *needs)
{
	bool any = false;

	for (unsigned i = 0; i < needs->count; i++) {
		struct needs_file *file = &needs->files[i];

		if (!file->needed)
			file->needed = before ? !layers_is_name(file->name) ||
							!needs_has(before, file->name)
					      : !is_left(machine, file->name);
		any |= !file->needed;
	}
	return any;
}

static void sweep(const struct store *store, const struct store_machine *machine,
		  const struct needs *before)
{
	char path[STORE_PATH];
	struct needs needs;

	/* Whatever can't be told leaves all as it is. The others are looked at last: they are many.
	 */
	if (needs_begin(&needs, machine->folder, false) && needs_of_disks(&needs, machine) &&
	    needs_of_snapshots(&needs, machine) && choose(machine, before, &needs) &&
	    needs_of_others(&needs, store, machine->name, NULL, 0))
		for (unsigned i = 0; i < needs.count; i++) {
			store_path(machine, needs.files[i].name, path);
			if (!needs.files[i].needed)
				unlink(path);
		}
	needs_end(&needs);
}

struct needs *layers_needs(const struct store_machine *machine)
{
	struct needs *needs = malloc(sizeof(*needs));

	if (needs && needs_begin(needs, machine->folder, false) && needs_of_disks(needs, machine) &&
	    needs_of_snapshots(needs, machine))
		return needs;
	layers_needs_free(needs);
	return NULL;
}

void layers_needs_free(struct needs *needs)
{
	if (needs)
		needs_end(needs);
	free(needs);
}

void layers_sweep(const struct store *store, const struct store_machine *machine,
		  const struct needs *before)
{
	if (before)
		sweep(store, machine, before);
}

bool layers_used(const struct store *store, const struct store_machine *machine, char *user,
		 size_t size)
{
	struct needs needs;
	bool used;

	user[0] = '\0';
	used = !needs_begin(&needs, machine->folder, true) ||
	       !needs_of_others(&needs, store, machine->name, user, size) || user[0];
	needs_end(&needs);
	return used;
}

/* Folding */

/* The lowest layer that is the same disk as `file`, and nothing else's. */
static bool fold_one(const struct store_machine *machine, const struct needs *needs, char *file)
{
	char below[LAYER_NAME];
	bool folds = false;

	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		if (needs_has(needs, file) || layers_empty_on(machine, file, below) ||
		    needs_has(needs, below))
			break;
		memcpy(file, below, LAYER_NAME);
		folds = true;
	}
	return folds;
}

static bool any_empty(const struct store_machine *machine, const struct layers *layers)
{
	char below[LAYER_NAME];

	for (unsigned i = 0; i < layers->count; i++)
		if (!layers_empty_on(machine, layers->disks[i].file, below))
			return true;
	return false;
}

/* Two disks on one layer can't both write to it. */
static bool names_twice(char (*files)[LAYER_NAME], unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		for (unsigned j = i + 1; j < count; j++)
			if (!strcmp(files[i], files[j]))
				return true;
	return false;
}

static void fold(const struct store *store, const struct store_machine *machine,
		 const struct machine_config *config, const struct layers *layers)
{
	char files[MACHINE_DISKS_MAX][LAYER_NAME], reason[STORE_PATH + 512];
	struct needs needs;
	bool folds = false;

	/* An unfinished snapshot's layers would count, once machine.conf names others. */
	if (needs_begin(&needs, machine->folder, false) && !snapshots_sweep(machine) &&
	    needs_of_snapshots(&needs, machine) &&
	    needs_of_others(&needs, store, machine->name, NULL, 0)) {
		for (unsigned i = 0; i < layers->count; i++) {
			memcpy(files[i], layers->disks[i].file, LAYER_NAME);
			folds |= fold_one(machine, &needs, files[i]);
		}
		if (folds && !names_twice(files, layers->count))
			layers_switch(machine, config, layers, files, reason, sizeof(reason));
	}
	needs_end(&needs);
}

void layers_tidy(const struct store *store, const struct store_machine *machine)
{
	struct machine_config *config = malloc(sizeof(*config));
	char reason[STORE_PATH + 512];
	struct layers layers;

	if (config && !store_config(machine, config, reason, sizeof(reason)) &&
	    !layers_find(machine, config, &layers, reason, sizeof(reason)) &&
	    any_empty(machine, &layers))
		fold(store, machine, config, &layers);
	free(config);
	sweep(store, machine, NULL);
}
