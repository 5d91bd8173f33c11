/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/snapshots.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manage/control_message.h"
#include "manage/safe_file.h"
#include "manage/target.h"

#define FOLDER	  "snapshots"
#define MEMORY	  ".memory" /* behind a name, which has no dot */
#define SIZE_MAX_ 16384
#define DEPTH_MAX 256

static void snapshot_path(const struct store_machine *machine, const char *name, char *path)
{
	char file[64];

	snprintf(file, sizeof(file), FOLDER "/%.31s", name);
	store_path(machine, file, path);
}

void snapshot_memory_path(const struct store_machine *machine, const char *name, char *path)
{
	char file[64];

	snprintf(file, sizeof(file), FOLDER "/%.31s" MEMORY, name);
	store_path(machine, file, path);
}

int snapshots_folder(const struct store_machine *machine)
{
	char path[STORE_PATH];

	store_path(machine, FOLDER, path);
	return safe_folder_make(path);
}

static uint64_t size_of(const char *path)
{
	struct stat status;

	return lstat(path, &status) ? 0 : (uint64_t)status.st_blocks * 512;
}

uint64_t snapshot_size(const struct store_machine *machine, const struct snapshot_entry *entry)
{
	char path[STORE_PATH];
	uint64_t size = 0;

	if (entry->memory) {
		snapshot_memory_path(machine, entry->name, path);
		size = size_of(path);
	}
	for (unsigned i = 0; i < entry->disk_count; i++) {
		store_path(machine, entry->disks[i], path);
		size += size_of(path);
	}
	return size;
}

static bool is_memory_of_none(const char *file, const struct snapshots *snapshots)
{
	char name[MACHINE_NAME_MAX];
	const char *dot = strchr(file, '.');
	const struct snapshot_entry *entry;

	if (!dot || dot - file >= (int)sizeof(name))
		return false;
	/* One that had not got its name yet. */
	if (target_is_other(dot, MEMORY))
		return true;
	snprintf(name, sizeof(name), "%.*s", (int)(dot - file), file);
	entry = snapshots_find(snapshots, name);
	return !strcmp(dot, MEMORY) && (!entry || !entry->memory);
}

/* A layer's name as somebody may have written it. */
static bool take_disk(const json_t *value, char *disk)
{
	const char *name = json_string_value(value);

	if (!name || !*name || strlen(name) >= LAYER_NAME || strchr(name, '/'))
		return false;
	snprintf(disk, LAYER_NAME, "%s", name);
	return true;
}

static bool parse(const char *text, size_t size, struct snapshot_entry *entry)
{
	json_t *root = control_depth_fits(text, size, 4)
			       ? json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL)
			       : NULL;
	const json_t *disks = json_object_get(root, "disks");
	const char *words = json_string_value(json_object_get(root, "description"));
	bool good = json_array_size(disks) <= MACHINE_DISKS_MAX && json_is_array(disks);

	entry->memory = json_is_true(json_object_get(root, "memory"));
	entry->time = (uint64_t)json_integer_value(json_object_get(root, "time"));
	snprintf(entry->words, sizeof(entry->words), "%s", words ? words : "");
	for (size_t i = 0; good && i < json_array_size(disks); i++)
		good = take_disk(json_array_get(disks, i), entry->disks[entry->disk_count++]);
	json_decref(root);
	return good;
}

/* False: there is none (any more). */
static bool read_one(const struct store_machine *machine, const char *name,
		     struct snapshot_entry *entry)
{
	char path[STORE_PATH], *text;
	size_t size;
	int error;

	memset(entry, 0, sizeof(*entry));
	snprintf(entry->name, sizeof(entry->name), "%.31s", name);
	snapshot_path(machine, name, path);
	error = safe_file_read(path, SIZE_MAX_, &text, &size);
	entry->damaged = error || !parse(text, size, entry);
	if (entry->damaged) {
		entry->disk_count = 0;
		entry->memory = false;
		entry->words[0] = '\0';
	}
	if (!error)
		free(text);
	return error != -ENOENT;
}

static int compare(const void *a, const void *b)
{
	const struct snapshot_entry *one = a, *other = b;

	if (one->time != other->time)
		return one->time < other->time ? -1 : 1;
	return strcmp(one->name, other->name);
}

/* Whether machine.conf names one of its layers. */
static bool is_unfinished(const struct snapshot_entry *entry, const struct layers *layers)
{
	for (unsigned i = 0; i < entry->disk_count; i++)
		for (unsigned j = 0; j < layers->count; j++)
			if (!strcmp(entry->disks[i], layers->disks[j].file))
				return true;
	return false;
}

/* The snapshot whose layer is the first below `file`. */
static void find_parent(const struct store_machine *machine, const struct snapshots *snapshots,
			const char *file, char parent[MACHINE_NAME_MAX])
{
	char at[MACHINE_FILE_NAME_MAX], below[MACHINE_FILE_NAME_MAX];

	snprintf(at, sizeof(at), "%s", file);
	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		if (layer_backing(machine->folder, at, below, sizeof(below)) || !below[0] ||
		    strchr(below, '/'))
			return;
		for (unsigned i = 0; i < snapshots->count; i++) {
			if (snapshots->list[i].disk_count &&
			    !strcmp(snapshots->list[i].disks[0], below)) {
				snprintf(parent, MACHINE_NAME_MAX, "%s", snapshots->list[i].name);
				return;
			}
		}
		memcpy(at, below, sizeof(at));
	}
}

static int read_more(const struct store_machine *machine, const char *name,
		     const struct layers *layers, struct snapshots *snapshots)
{
	struct snapshot_entry *more =
		realloc(snapshots->list, (snapshots->count + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	snapshots->list = more;
	if (read_one(machine, name, &more[snapshots->count]) &&
	    !is_unfinished(&more[snapshots->count], layers))
		snapshots->damaged |= more[snapshots->count++].damaged;
	return 0;
}

static int read_all(const struct store_machine *machine, const struct layers *layers,
		    struct snapshots *snapshots)
{
	const struct dirent *entry = NULL;
	char path[STORE_PATH], reason[256];
	DIR *directory;
	int error = 0;

	store_path(machine, FOLDER, path);
	directory = opendir(path);
	if (!directory)
		return errno == ENOENT ? 0 : -errno;
	while (!error && (errno = 0, entry = readdir(directory)))
		if (store_name_check(entry->d_name, reason, sizeof(reason)))
			error = read_more(machine, entry->d_name, layers, snapshots);
	if (!error && !entry)
		error = -errno;
	closedir(directory);
	return error;
}

/* And machine.conf's layers. */
static int read_with_layers(const struct store_machine *machine, struct snapshots *snapshots,
			    struct layers *layers)
{
	struct machine_config *config = malloc(sizeof(*config));
	char reason[STORE_PATH + 512];
	int error = config ? store_config(machine, config, reason, sizeof(reason)) : -ENOMEM;

	memset(snapshots, 0, sizeof(*snapshots));
	layers->count = 0;
	/* What it finds before a disk that is no layer is enough. */
	if (!error)
		layers_find(machine, config, layers, reason, sizeof(reason));
	free(config);
	if (!error)
		error = read_all(machine, layers, snapshots);
	if (error) {
		snapshots_free(snapshots);
		return error;
	}
	if (snapshots->count)
		qsort(snapshots->list, snapshots->count, sizeof(*snapshots->list), compare);
	for (unsigned i = 0; i < snapshots->count; i++)
		if (snapshots->list[i].disk_count)
			find_parent(machine, snapshots, snapshots->list[i].disks[0],
				    snapshots->list[i].parent);
	if (layers->count)
		find_parent(machine, snapshots, layers->disks[0].file, snapshots->current);
	return 0;
}

int snapshots_read(const struct store_machine *machine, struct snapshots *snapshots)
{
	struct layers layers;

	return read_with_layers(machine, snapshots, &layers);
}

void snapshots_free(struct snapshots *snapshots)
{
	free(snapshots->list);
	memset(snapshots, 0, sizeof(*snapshots));
}

const struct snapshot_entry *snapshots_find(const struct snapshots *snapshots, const char *name)
{
	for (unsigned i = 0; i < snapshots->count; i++)
		if (!strcmp(snapshots->list[i].name, name))
			return &snapshots->list[i];
	return NULL;
}

int snapshot_write(const struct store_machine *machine, const struct snapshot_entry *entry)
{
	json_t *root, *disks = json_array();
	char path[STORE_PATH], *text;
	int error = disks ? 0 : -1;

	for (unsigned i = 0; !error && i < entry->disk_count; i++)
		error = json_array_append_new(disks, json_string(entry->disks[i]));
	if (error) {
		json_decref(disks);
		return -ENOMEM;
	}
	root = json_pack("{s:I, s:o, s:o, s:b}", "time", (json_int_t)entry->time, "description",
			 control_text(entry->words), "disks", disks, "memory", entry->memory);
	text = root ? json_dumps(root, 0) : NULL;
	json_decref(root);
	if (!text)
		return -ENOMEM;
	error = snapshots_folder(machine);
	snapshot_path(machine, entry->name, path);
	if (!error)
		error = safe_file_replace(path, text, strlen(text), 0600);
	free(text);
	return error;
}

/* A snapshot that was never finished. */
static bool is_left(const struct store_machine *machine, const char *file,
		    const struct layers *layers)
{
	struct snapshot_entry *entry = malloc(sizeof(*entry));
	char reason[256];
	bool left = entry && store_name_check(file, reason, sizeof(reason)) &&
		    read_one(machine, file, entry) && is_unfinished(entry, layers);

	free(entry);
	return left;
}

static int sweep(const struct store_machine *machine, const struct snapshots *snapshots,
		 const struct layers *layers)
{
	const struct dirent *entry;
	char path[STORE_PATH];
	DIR *directory;
	int error = 0;

	store_path(machine, FOLDER, path);
	directory = opendir(path);
	if (!directory)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(directory)))
		if (((!snapshots->damaged && is_memory_of_none(entry->d_name, snapshots)) ||
		     is_left(machine, entry->d_name, layers)) &&
		    unlinkat(dirfd(directory), entry->d_name, 0))
			error = -errno;
	closedir(directory);
	return error;
}

int snapshots_sweep(const struct store_machine *machine)
{
	struct snapshots snapshots;
	char path[STORE_PATH];
	struct layers layers;
	int error = read_with_layers(machine, &snapshots, &layers);

	if (!error)
		error = sweep(machine, &snapshots, &layers);
	store_path(machine, FOLDER, path);
	if (!error)
		error = safe_folder_sweep(path, NULL);
	snapshots_free(&snapshots);
	return error;
}

int snapshot_remove(const struct store_machine *machine, const char *name)
{
	char path[STORE_PATH];

	snapshot_path(machine, name, path);
	if (unlink(path))
		return -errno;
	snapshot_memory_path(machine, name, path);
	unlink(path);
	store_path(machine, FOLDER, path);
	return safe_folder_sync(path);
}
