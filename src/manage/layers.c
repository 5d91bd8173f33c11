/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/layers_internal.h"

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
#define NUMBER_MAX 100000 /* of a new layer's name */
#define DEPTH_MAX  256
#define HEADER_MAX 65536 /* bytes of a file that have all of its header */

void layers_disk_file(const char *text, char *file, size_t size, char *words)
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

bool layers_is_name(const char *file)
{
	size_t length = strlen(file);

	return length > strlen(SUFFIX) && length < LAYER_NAME && !strchr(file, '/') &&
	       !strcmp(file + length - strlen(SUFFIX), SUFFIX);
}

int layers_find(const struct store_machine *machine, const struct machine_config *config,
		struct layers *layers, char *reason, size_t size)
{
	layers->count = 0;
	for (unsigned i = 0; i < config->disk_count; i++) {
		char file[MACHINE_FILE_NAME_MAX] = "";

		if (config->disks[i].read_only)
			continue;
		layers_disk_file(config->disks[i].file, file, sizeof(file), NULL);
		if (!layers_is_name(file)) {
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
int layers_header(const char *path, bool links, struct qcow2_header *header)
{
	uint8_t *bytes = malloc(HEADER_MAX);
	char reason[256];
	ssize_t got = -1;
	int fd, error = bytes ? 0 : -ENOMEM;

	fd = open(path, O_RDONLY | O_CLOEXEC | (links ? 0 : O_NOFOLLOW) | O_NONBLOCK);
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
		error = layers_header(path, false, header);
	if (!error)
		snprintf(backing, size, "%s", header->backing);
	free(header);
	return error;
}

/* Whether the first table of a file names no cluster of the guest's. */
static int check_empty(const char *path, const struct qcow2_header *header)
{
	size_t length = (size_t)header->l1_size * sizeof(uint64_t);
	uint64_t *table = calloc(header->l1_size + 1u, sizeof(uint64_t));
	int fd = table ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
	int error = fd < 0 ? (table ? -errno : -ENOMEM) : 0;

	if (!error && pread(fd, table, length, (off_t)header->l1_offset) != (ssize_t)length)
		error = -EIO;
	for (uint32_t i = 0; !error && i < header->l1_size; i++)
		error = table[i] ? -ENODATA : 0;
	if (fd >= 0)
		close(fd);
	free(table);
	return error;
}

/* Whether the disk is as large in that layer too. header: for it. */
static int check_size(const struct store_machine *machine, const char *file, uint64_t size,
		      struct qcow2_header *header)
{
	char path[STORE_PATH];
	int error;

	store_path(machine, file, path);
	error = layers_header(path, false, header);
	return error ? error : header->size != size ? -ENODATA : 0;
}

int layers_empty_on(const struct store_machine *machine, const char *file, char backing[LAYER_NAME])
{
	struct qcow2_header *header = malloc(sizeof(*header));
	char path[STORE_PATH];
	int error = header ? 0 : -ENOMEM;

	store_path(machine, file, path);
	if (!error)
		error = layers_header(path, false, header);
	if (!error && (!layers_is_name(header->backing) || header->snapshot_count))
		error = -ENODATA;
	if (!error)
		error = check_empty(path, header);
	/* It is shorter than that, being one. */
	if (!error)
		memcpy(backing, header->backing, LAYER_NAME);
	if (!error)
		error = check_size(machine, backing, header->size, header);
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
	error = header && at ? layers_header(at, false, header) : -ENOMEM;
	*size = error ? 0 : header->size;
	for (*depth = 0; !error && header->backing[0] && *depth < DEPTH_MAX; ++*depth) {
		below = backing_path(at, header->backing);
		free(at);
		at = below;
		/* The first is raw, perhaps. */
		if (!at || strcmp(header->backing_format, "qcow2") != 0)
			break;
		error = layers_header(at, false, header);
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
	snprintf(part, sizeof(part), "%s" LAYERS_PART, path);
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

		layers_disk_file(was, file, sizeof(file), words);
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

int layers_switch(const struct store_machine *machine, const struct machine_config *config,
		  const struct layers *layers, char (*files)[LAYER_NAME], char *reason, size_t size)
{
	return switch_conf(machine, config, layers, files, false, reason, size);
}

int layers_agree(const struct store_machine *machine, const struct machine_config *config,
		 const struct layers *layers, char (*files)[LAYER_NAME], char *reason, size_t size)
{
	char at[LAYER_NAME], below[LAYER_NAME];
	bool same = true;

	for (unsigned i = 0; i < layers->count; i++) {
		const char *named = layers->disks[i].file;

		memcpy(at, named, LAYER_NAME);
		for (unsigned depth = 0; strcmp(at, files[i]) != 0; depth++) {
			same = false;
			if (depth == BACKING_DEPTH_MAX || layers_empty_on(machine, at, below)) {
				snprintf(reason, size,
					 "machine.conf of %s names the disk %s, and it runs with "
					 "%s: stop it first",
					 machine->name, named, files[i]);
				return -EBADF;
			}
			memcpy(at, below, LAYER_NAME);
		}
	}
	return same ? 0 : switch_conf(machine, config, layers, files, false, reason, size);
}
