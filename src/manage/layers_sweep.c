/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manage/layers_internal.h"
#include "manage/snapshots.h"

#define DEPTH_MAX 256

static bool is_part_name(const char *file)
{
	size_t length = strlen(file);

	return length > strlen(LAYERS_PART) &&
	       !strcmp(file + length - strlen(LAYERS_PART), LAYERS_PART);
}

struct set {
	char (*files)[LAYER_NAME];
	unsigned count;
};

static bool set_has(const struct set *set, const char *file)
{
	for (unsigned i = 0; i < set->count; i++)
		if (!strcmp(set->files[i], file))
			return true;
	return false;
}

static bool set_add(struct set *set, const char *file)
{
	char(*more)[LAYER_NAME];

	if (set_has(set, file))
		return true;
	more = realloc(set->files, (set->count + 1) * sizeof(*more));
	if (!more)
		return false;
	set->files = more;
	snprintf(more[set->count++], LAYER_NAME, "%s", file);
	return true;
}

/* A file of the machine and all that it stands on. False: that can't be told. */
static bool need(struct set *set, const struct store_machine *machine, const char *file)
{
	char at[LAYER_NAME], backing[MACHINE_FILE_NAME_MAX];

	snprintf(at, sizeof(at), "%s", file);
	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		if (!set_add(set, at))
			return false;
		if (layer_backing(machine->folder, at, backing, sizeof(backing)))
			return false;
		if (!layers_is_name(backing))
			return true;
		memcpy(at, backing, sizeof(at));
	}
	return false;
}

/* The layers of `machine` that another machine stands on: "../NAME/FILE". */
static bool need_of_other(struct set *set, const struct store_machine *machine,
			  const struct store_machine *other)
{
	char front[MACHINE_NAME_MAX + 8], backing[MACHINE_FILE_NAME_MAX];
	DIR *directory = opendir(other->folder);
	const struct dirent *entry;
	bool good = directory;

	snprintf(front, sizeof(front), "../%s/", machine->name);
	while (good && (entry = readdir(directory))) {
		if (!layers_is_name(entry->d_name))
			continue;
		/* One that is just being made, or damaged: then nothing is removed now. */
		good = !layer_backing(other->folder, entry->d_name, backing, sizeof(backing));
		if (good && !strncmp(backing, front, strlen(front)))
			good = need(set, machine, backing + strlen(front));
	}
	if (directory)
		closedir(directory);
	return good;
}

/* All of the others. user: only the first that needs some, or can't be read. False: not all could
 * be read. */
static bool need_of_others(const struct store *store, const struct store_machine *machine,
			   struct set *set, char *user, size_t size)
{
	char **names, reason[STORE_PATH + 512];
	unsigned count;
	bool good = !store_machine_names(store, &names, &count);

	if (!good)
		return false;
	for (unsigned i = 0; good && i < count; i++) {
		struct store_machine other;
		unsigned before = set->count;

		if (!strcmp(names[i], machine->name) ||
		    store_find(store, names[i], &other, reason, sizeof(reason)))
			continue;
		good = need_of_other(set, machine, &other);
		store_close(&other);
		if (user && (!good || set->count > before)) {
			snprintf(user, size, "%s", names[i]);
			break;
		}
	}
	store_names_free(names, count);
	return good;
}

static bool need_of_snapshots(struct set *set, const struct store_machine *machine)
{
	struct snapshots snapshots;
	bool good = true;

	if (snapshots_read(machine, &snapshots))
		return false;
	for (unsigned i = 0; i < snapshots.count; i++)
		for (unsigned j = 0; j < snapshots.list[i].disk_count; j++)
			good = good && need(set, machine, snapshots.list[i].disks[j]);
	snapshots_free(&snapshots);
	return good;
}

static bool need_own(struct set *set, const struct store_machine *machine)
{
	struct machine_config *config = malloc(sizeof(*config));
	char reason[STORE_PATH + 512], file[MACHINE_FILE_NAME_MAX];
	bool good = config && !store_config(machine, config, reason, sizeof(reason));

	for (unsigned i = 0; good && i < config->disk_count; i++) {
		layers_disk_file(config->disks[i].file, file, sizeof(file), NULL);
		good = !layers_is_name(file) || need(set, machine, file);
	}
	free(config);
	return good && need_of_snapshots(set, machine);
}

/* Whether there are layers that aren't needed, or halves of some; they go if `remove` is set. */
static bool sweep(const struct store_machine *machine, const struct set *set, bool remove)
{
	DIR *directory = opendir(machine->folder);
	const struct dirent *entry;
	bool any = false;

	while (directory && (entry = readdir(directory))) {
		if (!is_part_name(entry->d_name) &&
		    (!layers_is_name(entry->d_name) || set_has(set, entry->d_name)))
			continue;
		any = true;
		if (remove)
			unlinkat(dirfd(directory), entry->d_name, 0);
	}
	if (directory)
		closedir(directory);
	return any;
}

void layers_sweep(const struct store *store, const struct store_machine *machine)
{
	struct set set = {NULL, 0};

	/* Whatever can't be told leaves all as it is. The others are looked at last: they are many.
	 */
	if (need_own(&set, machine) && sweep(machine, &set, false) &&
	    need_of_others(store, machine, &set, NULL, 0))
		sweep(machine, &set, true);
	free(set.files);
}

bool layers_used(const struct store *store, const struct store_machine *machine, char *user,
		 size_t size)
{
	struct set set = {NULL, 0};
	bool used;

	user[0] = '\0';
	used = !need_of_others(store, machine, &set, user, size) || user[0];
	free(set.files);
	return used;
}

/* Folding */

/* The lowest layer that is the same disk as `file`, and nothing else's. */
static bool fold_one(const struct store_machine *machine, const struct set *set, char *file)
{
	char below[LAYER_NAME];
	bool folds = false;

	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		if (set_has(set, file) || layers_empty_on(machine, file, below) ||
		    set_has(set, below))
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
	struct set set = {NULL, 0};
	bool folds = false;

	/* An unfinished snapshot's layers would count, once machine.conf names others. */
	if (!snapshots_sweep(machine) && need_of_snapshots(&set, machine) &&
	    need_of_others(store, machine, &set, NULL, 0)) {
		for (unsigned i = 0; i < layers->count; i++) {
			memcpy(files[i], layers->disks[i].file, LAYER_NAME);
			folds |= fold_one(machine, &set, files[i]);
		}
		if (folds && !names_twice(files, layers->count))
			layers_switch(machine, config, layers, files, reason, sizeof(reason));
	}
	free(set.files);
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
	layers_sweep(store, machine);
}
