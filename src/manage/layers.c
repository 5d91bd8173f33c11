/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/layers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manage/machine_conf.h"
#include "manage/safe_file.h"
#include "manage/snapshots.h"
#include "storage/backing.h"
#include "storage/qcow2.h"
#include "storage/qcow2_header.h"

#define SUFFIX	   ".qcow2"
#define PART	   ".part" /* behind the name of one that is being made */
#define NUMBER_MAX 100000  /* of a new layer's name */
#define DEPTH_MAX  256
#define HEADER_MAX 65536 /* bytes of a file that have all of its header */

/* A disk's name in machine.conf, without its words, and those that a new layer keeps. */
static void disk_file(const char *text, char *file, size_t size, char *words)
{
	char reason[128];
	struct options_disk disk;

	snprintf(file, size, "%s", text);
	disk = (struct options_disk){.path = file};
	options_disk_take(&disk, reason, sizeof(reason));
	/* A new layer is qcow2, whatever was said of the old one. */
	disk.format = FORMAT_AUTO;
	if (words)
		disk_words_text(&disk, words);
}

static bool is_layer_name(const char *file)
{
	size_t length = strlen(file);

	return length > strlen(SUFFIX) && length < LAYER_NAME && !strchr(file, '/') &&
	       !strcmp(file + length - strlen(SUFFIX), SUFFIX);
}

static bool is_part_name(const char *file)
{
	size_t length = strlen(file);

	return length > strlen(PART) && !strcmp(file + length - strlen(PART), PART);
}

int layers_find(const struct store_machine *machine, const struct machine_config *config,
		struct layers *layers, char *reason, size_t size)
{
	layers->count = 0;
	for (unsigned i = 0; i < config->disk_count; i++) {
		char file[MACHINE_FILE_NAME_MAX] = "";

		if (config->disks[i].read_only)
			continue;
		disk_file(config->disks[i].file, file, sizeof(file), NULL);
		if (!is_layer_name(file)) {
			snprintf(
				reason, size,
				"%s writes to %s, which is no qcow2 file in its folder: that can't "
				"be kept apart",
				machine->name, file);
			return -EXDEV;
		}
		layers->disks[layers->count].disk = i;
		memcpy(layers->disks[layers->count++].file, file, LAYER_NAME);
	}
	return 0;
}

/* Without its lock, which a machine that runs has: what is read here never changes while it does.
 */
static int read_header(const char *path, struct qcow2_header *header)
{
	uint8_t *bytes = malloc(HEADER_MAX);
	char reason[256];
	ssize_t got = -1;
	int fd, error = bytes ? 0 : -ENOMEM;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (!error && (fd < 0 || (got = pread(fd, bytes, HEADER_MAX, 0)) < 0))
		error = -errno;
	if (!error)
		error = qcow2_header_parse(header, bytes, (size_t)got, reason, sizeof(reason));
	if (fd >= 0)
		close(fd);
	free(bytes);
	return error;
}

int layer_backing(const char *folder, const char *file, char *backing, size_t size)
{
	char path[STORE_PATH + MACHINE_FILE_NAME_MAX];
	struct qcow2_header *header = malloc(sizeof(*header));
	int error = header ? 0 : -ENOMEM;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	if (!error)
		error = read_header(path, header);
	if (!error)
		snprintf(backing, size, "%s", header->backing);
	free(header);
	return error;
}

/* The size of the disk that a layer is, and how many files it stands on. */
static int measure(const struct store_machine *machine, const char *file, uint64_t *size,
		   unsigned *depth)
{
	struct qcow2_header *header = malloc(sizeof(*header));
	char path[STORE_PATH], *below, *at;
	int error;

	store_path(machine, file, path);
	at = strdup(path);
	error = header && at ? read_header(at, header) : -ENOMEM;
	*size = error ? 0 : header->size;
	for (*depth = 0; !error && header->backing[0] && *depth < DEPTH_MAX; ++*depth) {
		below = backing_path(at, header->backing);
		free(at);
		at = below;
		/* The first is raw, perhaps. */
		if (!at || strcmp(header->backing_format, "qcow2") != 0)
			break;
		error = read_header(at, header);
	}
	free(at);
	free(header);
	return error;
}

/* Growing */

/* A name that no file has: root-2.qcow2 behind root.qcow2 or root-1.qcow2. */
static bool new_name(const struct store_machine *machine, const char *before, char *file)
{
	char stem[LAYER_NAME], path[STORE_PATH];
	char *dash;

	snprintf(stem, sizeof(stem), "%.*s", (int)(strlen(before) - strlen(SUFFIX)), before);
	dash = strrchr(stem, '-');
	if (dash && dash != stem && dash[1] && !dash[1 + strspn(dash + 1, "0123456789")])
		*dash = '\0';
	for (unsigned i = 2; i < NUMBER_MAX; i++) {
		if (snprintf(file, LAYER_NAME, "%.100s-%u" SUFFIX, stem, i) >= LAYER_NAME)
			return false;
		store_path(machine, file, path);
		if (access(path, F_OK))
			return true;
	}
	return false;
}

static int make_overlay(const struct store_machine *machine, const char *file, const char *backing,
			bool running, char *reason, size_t size)
{
	struct qcow2_options options = {.version = 3,
					.cluster_bits = QCOW2_CLUSTER_BITS_USUAL,
					.backing = backing,
					.backing_format = "qcow2",
					.backing_in_use = running};
	char path[STORE_PATH], part[STORE_PATH + 8];
	unsigned depth = 0;
	int error = 0;

	if (running)
		error = measure(machine, backing, &options.size, &depth);
	if (!error && depth + 1 >= BACKING_DEPTH_MAX)
		error = -EMLINK;
	if (error) {
		snprintf(reason, size, "%s: %s", backing,
			 error == -EMLINK
				 ? "has too many layers below it: remove snapshots, or make "
				   "a full clone"
				 : strerror(-error));
		return error;
	}
	store_path(machine, file, path);
	/* Half of one would be a layer that can't be read. */
	snprintf(part, sizeof(part), "%s" PART, path);
	unlink(part);
	error = qcow2_create(part, &options, reason, size);
	if (!error && rename(part, path)) {
		error = -errno;
		snprintf(reason, size, "%s: %s", path, strerror(-error));
	}
	if (error)
		unlink(part);
	return error;
}

/* machine.conf with `files` as its disks, or `back`: with what config has again. */
static int switch_conf(const struct store_machine *machine, const struct machine_config *config,
		       const struct layers *layers, char (*files)[LAYER_NAME], bool back,
		       char *reason, size_t size)
{
	char path[STORE_PATH], *text, *changed;
	size_t length;
	int error;

	store_path(machine, "machine.conf", path);
	error = safe_file_read(path, STORE_CONF_MAX, &text, &length);
	for (unsigned i = 0; !error && i < layers->count; i++) {
		const char *was = config->disks[layers->disks[i].disk].file;
		char file[MACHINE_FILE_NAME_MAX], words[DISK_WORDS_MAX];
		char layer[LAYER_NAME + DISK_WORDS_MAX];

		disk_file(was, file, sizeof(file), words);
		snprintf(layer, sizeof(layer), "%s%s", files[i], words);
		changed = machine_conf_set(text, length, "disk", back ? layer : was,
					   back ? was : layer, reason, size);
		free(text);
		if (!changed)
			return -EINVAL;
		text = changed;
		length = strlen(text);
	}
	if (!error) {
		error = safe_file_replace(path, text, length, 0600);
		free(text);
	}
	if (error)
		snprintf(reason, size, "%s: %s", path, strerror(-error));
	return error;
}

int layers_grow(const struct store_machine *machine, const struct machine_config *config,
		const struct layers *layers, char (*files)[LAYER_NAME], bool running, char *reason,
		size_t size)
{
	char new[MACHINE_DISKS_MAX][LAYER_NAME], path[STORE_PATH];
	unsigned made = 0;
	int error = 0;

	while (!error && made < layers->count) {
		if (!new_name(machine, layers->disks[made].file, new[made])) {
			snprintf(reason, size, "no new name for %s can be found",
				 layers->disks[made].file);
			error = -ENAMETOOLONG;
		} else {
			error = make_overlay(machine, new[made], files[made], running, reason,
					     size);
		}
		made += !error;
	}
	if (!error)
		error = switch_conf(machine, config, layers, new, false, reason, size);
	for (unsigned i = 0; error && i < made; i++) {
		store_path(machine, new[i], path);
		unlink(path);
	}
	for (unsigned i = 0; !error && i < made; i++)
		memcpy(files[i], new[i], LAYER_NAME);
	return error;
}

int layers_shrink(const struct store_machine *machine, const struct machine_config *config,
		  const struct layers *layers, char (*files)[LAYER_NAME], char *reason, size_t size)
{
	int error = switch_conf(machine, config, layers, files, true, reason, size);
	char path[STORE_PATH];

	for (unsigned i = 0; !error && i < layers->count; i++) {
		store_path(machine, files[i], path);
		unlink(path);
	}
	return error;
}

/* Sweeping */

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
		if (!is_layer_name(backing))
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
		if (!is_layer_name(entry->d_name))
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

static bool need_own(struct set *set, const struct store_machine *machine)
{
	struct machine_config *config = malloc(sizeof(*config));
	char reason[STORE_PATH + 512], file[MACHINE_FILE_NAME_MAX];
	bool good = config && !store_config(machine, config, reason, sizeof(reason));
	struct snapshots snapshots;

	for (unsigned i = 0; good && i < config->disk_count; i++) {
		disk_file(config->disks[i].file, file, sizeof(file), NULL);
		good = !is_layer_name(file) || need(set, machine, file);
	}
	free(config);
	if (!good || snapshots_read(machine, &snapshots))
		return false;
	for (unsigned i = 0; i < snapshots.count; i++)
		for (unsigned j = 0; j < snapshots.list[i].disk_count; j++)
			good = good && need(set, machine, snapshots.list[i].disks[j]);
	snapshots_free(&snapshots);
	return good;
}

void layers_sweep(const struct store *store, const struct store_machine *machine)
{
	struct set set = {NULL, 0};
	const struct dirent *entry;
	char path[STORE_PATH];
	DIR *directory;

	/* Whatever can't be told leaves all as it is. */
	if (!need_own(&set, machine) || !need_of_others(store, machine, &set, NULL, 0)) {
		free(set.files);
		return;
	}
	directory = opendir(machine->folder);
	while (directory && (entry = readdir(directory))) {
		if (!is_part_name(entry->d_name) &&
		    (!is_layer_name(entry->d_name) || set_has(&set, entry->d_name)))
			continue;
		store_path(machine, entry->d_name, path);
		unlink(path);
	}
	if (directory)
		closedir(directory);
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
