/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The prepared guest is copied, not referred to: `lodge run` writes to its disk, and an overlay on
 * a disk that changes is worth nothing.
 */
#include "manage/image_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "manage/guest.h"
#include "manage/layers_needs.h"
#include "manage/safe_file.h"
#include "storage/file.h"

#define PREPARED      "prepared"
#define LOCK_PATIENCE 10000    /* milliseconds */
#define LOCK_STEP     20000000 /* nanoseconds */

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

/* The image's lock; 0 and -1 in *fd: it goes without. */
static int take_lock(const char *folder, short type, int *fd)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = STORE_CHANGE, .l_len = 1};
	const struct timespec step = {.tv_nsec = LOCK_STEP};
	char path[STORE_PATH + 16];
	struct stat ours, there;
	int error = 0;

	snprintf(path, sizeof(path), "%s/lock", folder);
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* Where there is no room for it either nobody makes a machine meanwhile. */
	if (*fd < 0)
		return errno == EACCES || errno == EPERM || errno == EROFS || errno == ENOSPC ||
				       errno == EDQUOT
			       ? 0
			       : -errno;
	for (unsigned waited = 0; fcntl(*fd, F_OFD_SETLK, &lock); waited += LOCK_STEP / 1000000) {
		error = errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
		if (error != -EBUSY || waited >= LOCK_PATIENCE)
			break;
		nanosleep(&step, NULL);
		error = 0;
	}
	/* It may have been removed meanwhile. */
	if (!error && (fstat(*fd, &ours) || stat(path, &there) || ours.st_ino != there.st_ino ||
		       ours.st_dev != there.st_dev))
		error = -ENOENT;
	if (error) {
		close(*fd);
		*fd = -1;
	}
	return error;
}

int image_lock_alone(const struct store *store, const char *name, int *lock)
{
	char path[STORE_PATH];

	snprintf(path, sizeof(path), "%s/%s", store->images, name);
	return take_lock(path, F_WRLCK, lock);
}

void image_release(struct image *image)
{
	if (image->lock >= 0)
		close(image->lock);
	image->lock = -1;
}

static int open_stored(const struct store *store, const char *name, bool hold, struct image *image,
		       char *reason, size_t size)
{
	int error = 0;

	if (!store_image_name_check(name, reason, size))
		return -EINVAL;
	image->stored = true;
	snprintf(image->name, sizeof(image->name), "%s", name);
	snprintf(image->folder, sizeof(image->folder), "%s/%s", store->images, name);
	if (access(image->folder, F_OK))
		error = -ENOENT;
	else if (hold)
		error = take_lock(image->folder, F_RDLCK, &image->lock);
	if (!error)
		return open_folder(image, reason, size);
	if (error == -ENOENT)
		snprintf(reason, size,
			 "there is no image %s: lodge image ls lists them; a file is written as "
			 "./%s",
			 name, name);
	else
		snprintf(reason, size, "image %s: its lock: %s", name, strerror(-error));
	return error;
}

/* The image of the store that a path is, or is in: its name. */
static bool is_stored(const struct store *store, const char *path, char name[STORE_IMAGE_MAX],
		      bool *itself)
{
	char *images = realpath(store->images, NULL), reason[256];
	size_t length = images ? strlen(images) : 0, name_length;
	bool below = images && !strncmp(path, images, length) && path[length] == '/';

	free(images);
	if (!below)
		return false;
	path += length + 1;
	name_length = strcspn(path, "/");
	*itself = !path[name_length];
	snprintf(name, STORE_IMAGE_MAX, "%.*s", (int)name_length, path);
	return name_length < STORE_IMAGE_MAX &&
	       store_image_name_check(name, reason, sizeof(reason));
}

/* What is written of an image of the store must not lead out of it: the store may be moved. */
static int open_path(const struct store *store, const char *path, bool hold, struct image *image,
		     char *reason, size_t size)
{
	struct stat status;
	char *whole = realpath(path, NULL), name[STORE_IMAGE_MAX], folder[STORE_PATH];
	int error = whole && !stat(whole, &status) ? 0 : -errno;
	bool itself;

	if (!error && strlen(whole) >= sizeof(image->folder))
		error = -ENAMETOOLONG;
	if (error) {
		snprintf(reason, size, "%s: %s", path, strerror(-error));
		free(whole);
		return error;
	}
	if (is_stored(store, whole, name, &itself)) {
		if (itself) {
			free(whole);
			return open_stored(store, name, hold, image, reason, size);
		}
		snprintf(folder, sizeof(folder), "%s/%s", store->images, name);
		error = hold ? take_lock(folder, F_RDLCK, &image->lock) : 0;
		if (error) {
			snprintf(reason, size, "%s: its image's lock: %s", whole, strerror(-error));
			free(whole);
			return error;
		}
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
	struct file root;
	/* As long as it is open nobody begins to write to it. */
	int error = file_open(&root, guest->root, true, reason, size);

	if (error == -EBUSY)
		snprintf(reason, size, "the prepared guest is running (%s): end that first",
			 guest->root);
	if (error)
		return error;
	error = store_new_begin(store->images, &new, reason, size);
	if (error) {
		file_close(&root);
		return error;
	}
	for (unsigned i = 0; !error && i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", new.folder, files[i][1]);
		error = safe_file_copy(files[i][0], path, 0444);
		if (error)
			snprintf(reason, size, "%s into the store: %s", files[i][0],
				 strerror(-error));
	}
	file_close(&root);
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

static int open_prepared(const struct store *store, bool hold, struct image *image, char *reason,
			 size_t size)
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
	return error ? error : open_stored(store, PREPARED, hold, image, reason, size);
}

int image_find(const struct store *store, const char *text, bool hold, struct image *image,
	       char *reason, size_t size)
{
	int error;

	memset(image, 0, sizeof(*image));
	image->lock = -1;
	if (!text)
		error = open_prepared(store, hold, image, reason, size);
	else if (strchr(text, '/') || !strcmp(text, ".") || !strcmp(text, ".."))
		error = open_path(store, text, hold, image, reason, size);
	else
		error = open_stored(store, text, hold, image, reason, size);
	if (error)
		image_release(image);
	return error;
}

bool image_used(const struct store *store, const char *name, char *user, size_t size)
{
	char folder[STORE_PATH];
	struct needs needs;
	bool used;

	user[0] = '\0';
	snprintf(folder, sizeof(folder), "%s/%s", store->images, name);
	used = !needs_begin(&needs, folder, true) ||
	       !needs_of_others(&needs, store, NULL, user, size) || user[0];
	needs_end(&needs);
	return used;
}
