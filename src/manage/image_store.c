/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The prepared guest is copied, not referred to: `lodge run` writes to its disk, and an overlay on
 * a disk that changes is worth nothing.
 */
#include "manage/image_store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manage/guest.h"
#include "manage/layers.h"
#include "manage/safe_file.h"

#define PREPARED "prepared"

static const char prepared_conf[] = "# The Debian guest that make guest has prepared\n"
				    "[machine " PREPARED "]\n"
				    "kernel = vmlinuz\n"
				    "initrd = initrd\n"
				    "append = console=ttyS0 root=/dev/vda rw quiet panic=-1\n"
				    "disk = root.img,format=raw\n"
				    "net = user\n";

static int parse_config(const char *text, size_t length, const char *name,
			struct machine_config *config, char *reason, size_t size)
{
	struct machine_settings *settings = malloc(sizeof(*settings));
	struct machine_file_error wrong;
	unsigned count = 0;
	int error = -ENOMEM;

	if (settings)
		error = machine_file_parse(text, length, config, 1, &count, settings, &wrong);
	if (!settings)
		snprintf(reason, size, "no memory");
	else if (error)
		snprintf(reason, size, "%s: %s", name, wrong.text);
	else if (!count)
		snprintf(reason, size, "%s: there is no machine in it", name);
	free(settings);
	return error ? error : count ? 0 : -EINVAL;
}

int image_config(const char *folder, struct machine_config *config, char *reason, size_t size)
{
	char path[STORE_PATH + 16], *text;
	size_t length;
	int error;

	snprintf(path, sizeof(path), "%s/image.conf", folder);
	error = safe_file_read(path, STORE_CONF_MAX, &text, &length);
	if (error) {
		snprintf(reason, size, "%s: %s", path, strerror(-error));
		return error;
	}
	error = parse_config(text, length, path, config, reason, size);
	free(text);
	return error;
}

/* The first disk of its configuration, as a path and a format. */
static int take_disk(struct image *image, char *reason, size_t size)
{
	struct options_disk disk = {.format = FORMAT_AUTO};
	char why[256];
	int error = 0;

	if (!image->config.disk_count)
		return 0;
	disk.path = strdup(image->config.disks[0].file);
	if (!disk.path || !options_disk_take(&disk, why, sizeof(why))) {
		snprintf(reason, size, "%s: disk: %s", image->name, disk.path ? why : "no memory");
		free(disk.path);
		return -EINVAL;
	}
	if (snprintf(image->disk, sizeof(image->disk), disk.path[0] == '/' ? "%.0s%s" : "%s/%s",
		     image->folder, disk.path) >= (int)sizeof(image->disk))
		error = -ENAMETOOLONG;
	free(disk.path);
	image->disk_format = disk.format;
	if (!error && disk.format == FORMAT_AUTO)
		return format_decide(image->disk, &image->disk_format, reason, size);
	if (!error && access(image->disk, R_OK))
		error = -errno;
	if (error)
		snprintf(reason, size, "%s: its disk %s: %s", image->name, image->disk,
			 strerror(-error));
	return error;
}

static int open_folder(struct image *image, char *reason, size_t size)
{
	char path[STORE_PATH + 16];
	int error;

	snprintf(path, sizeof(path), "%s/image.conf", image->folder);
	if (access(path, F_OK) && !image->stored) {
		snprintf(path, sizeof(path), "%s/root.img", image->folder);
		if (access(path, F_OK)) {
			snprintf(reason, size,
				 "%s: has neither an image.conf nor vmlinuz, initrd and root.img",
				 image->name);
			return -ENOENT;
		}
		error = parse_config(prepared_conf, strlen(prepared_conf), image->name,
				     &image->config, reason, size);
	} else {
		error = image_config(image->folder, &image->config, reason, size);
		/* The image is there; it is no good. */
		error = error == -ENOENT ? -EINVAL : error;
	}
	return error ? error : take_disk(image, reason, size);
}

static int open_stored(const struct store *store, const char *name, struct image *image,
		       char *reason, size_t size)
{
	if (!store_image_name_check(name, reason, size))
		return -EINVAL;
	image->stored = true;
	snprintf(image->name, sizeof(image->name), "%s", name);
	snprintf(image->folder, sizeof(image->folder), "%s/%s", store->images, name);
	if (!access(image->folder, F_OK))
		return open_folder(image, reason, size);
	snprintf(reason, size,
		 "there is no image %s: lodge image ls lists them; a file is written as ./%s", name,
		 name);
	return -ENOENT;
}

static int open_path(const char *path, struct image *image, char *reason, size_t size)
{
	struct stat status;
	char *whole = realpath(path, NULL);
	int error = whole && !stat(whole, &status) ? 0 : -errno;

	if (!error && strlen(whole) >= sizeof(image->folder))
		error = -ENAMETOOLONG;
	if (error) {
		snprintf(reason, size, "%s: %s", path, strerror(-error));
		free(whole);
		return error;
	}
	snprintf(image->name, sizeof(image->name), "%s", whole);
	if (S_ISDIR(status.st_mode)) {
		snprintf(image->folder, sizeof(image->folder), "%s", whole);
		error = open_folder(image, reason, size);
	} else {
		machine_config_init(&image->config);
		snprintf(image->disk, sizeof(image->disk), "%s", whole);
		error = format_decide(whole, &image->disk_format, reason, size);
	}
	free(whole);
	return error;
}

/* Copies the prepared guest into the store. */
static int import_prepared(const struct store *store, const struct guest *guest, char *reason,
			   size_t size)
{
	const char *const files[][2] = {
		{guest->kernel, "vmlinuz"}, {guest->initrd, "initrd"}, {guest->root, "root.img"}};
	char path[STORE_PATH + 16];
	struct store_new new;
	int error = store_new_begin(store->images, &new, reason, size);

	if (error)
		return error;
	for (unsigned i = 0; !error && i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", new.folder, files[i][1]);
		error = safe_file_copy(files[i][0], path, 0444);
		if (error)
			snprintf(reason, size, "%s into the store: %s", files[i][0],
				 strerror(-error));
	}
	snprintf(path, sizeof(path), "%s/image.conf", new.folder);
	if (!error) {
		error = safe_file_replace(path, prepared_conf, strlen(prepared_conf), 0644);
		if (error)
			snprintf(reason, size, "%s: %s", path, strerror(-error));
	}
	if (error) {
		store_new_abandon(&new);
		return error;
	}
	error = store_new_finish(store->images, &new, PREPARED, reason, size);
	return error == -EEXIST ? 0 : error; /* another command was as quick */
}

static int open_prepared(const struct store *store, struct image *image, char *reason, size_t size)
{
	struct guest *guest;
	struct options none;
	char path[STORE_PATH + 16], why[1024];
	int error = 0;

	snprintf(path, sizeof(path), "%s/" PREPARED, store->images);
	if (access(path, F_OK)) {
		options_init(&none);
		guest = calloc(1, sizeof(*guest));
		if (!guest || !guest_choose(guest, &none, why, sizeof(why))) {
			error = -ENOENT;
			snprintf(reason, size,
				 "nothing to make a machine from: give --image IMAGE or --kernel "
				 "FILE, or make a Debian guest with `make guest`");
		} else {
			error = import_prepared(store, guest, reason, size);
		}
		free(guest);
	}
	return error ? error : open_stored(store, PREPARED, image, reason, size);
}

int image_find(const struct store *store, const char *text, struct image *image, char *reason,
	       size_t size)
{
	memset(image, 0, sizeof(*image));
	if (!text)
		return open_prepared(store, image, reason, size);
	if (strchr(text, '/') || !strcmp(text, ".") || !strcmp(text, ".."))
		return open_path(text, image, reason, size);
	return open_stored(store, text, image, reason, size);
}

/* Whether the path, as seen from a machine's folder, is below the image's. */
static bool is_below(const char *path, const char *image)
{
	size_t length = strlen(image);

	return !strncmp(path, "../../images/", 13) && !strncmp(path + 13, image, length) &&
	       path[13 + length] == '/';
}

/* Whether one of the machine's own layers, of its snapshots too, is an overlay on it. */
static bool layers_use(const struct store_machine *machine, const char *image)
{
	char backing[MACHINE_FILE_NAME_MAX];
	DIR *directory = opendir(machine->folder);
	const struct dirent *entry;
	bool uses = false;

	while (directory && !uses && (entry = readdir(directory))) {
		size_t length = strlen(entry->d_name);

		if (length < 6 || strcmp(entry->d_name + length - 6, ".qcow2") != 0)
			continue;
		/* What can't be read may be anything. */
		uses = layer_backing(machine->folder, entry->d_name, backing, sizeof(backing)) ||
		       is_below(backing, image);
	}
	if (directory)
		closedir(directory);
	return uses;
}

static bool machine_uses(const struct store_machine *machine, const char *image)
{
	struct machine_config *config = malloc(sizeof(*config));
	char reason[STORE_PATH + 512];
	bool uses = false;

	if (config && !store_config(machine, config, reason, sizeof(reason))) {
		uses = is_below(config->kernel, image) || is_below(config->initrd, image);
		for (unsigned i = 0; !uses && i < config->disk_count; i++)
			uses = is_below(config->disks[i].file, image);
	}
	free(config);
	return uses || layers_use(machine, image);
}

bool image_used(const struct store *store, const char *name, char *user, size_t size)
{
	char **names, reason[STORE_PATH + 512];
	unsigned count;
	bool used = false;

	if (store_machine_names(store, &names, &count))
		return false;
	for (unsigned i = 0; i < count && !used; i++) {
		struct store_machine machine;

		if (store_find(store, names[i], &machine, reason, sizeof(reason)))
			continue;
		used = machine_uses(&machine, name);
		store_close(&machine);
		if (used)
			snprintf(user, size, "%s", names[i]);
	}
	store_names_free(names, count);
	return used;
}
