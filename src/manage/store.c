/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks are open-file-description locks (fcntl(2), F_OFD_SETLK) on bytes of the machine's lock
 * file: a child that inherits the descriptor holds them on, they end with the last one who has it,
 * and they can be asked about without being taken, so that looking disturbs nobody.
 */
#include "manage/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/host.h"
#include "manage/plain.h"
#include "manage/safe_file.h"

#define LOCK_STEP   5000000L /* nanoseconds between two tries */
#define MILLISECOND UINT64_C(1000000)

static int fail(int error, char *reason, size_t size, const char *what)
{
	snprintf(reason, size, "%s: %s", what, strerror(-error));
	return error;
}

/* Where */

/* Records and requests are JSON, which has no other paths. */
static int check_utf8(const char *variable, const char *path, char *reason, size_t size)
{
	if (plain_is_utf8(path))
		return 0;
	snprintf(reason, size, "%s: %s: is not UTF-8: set it to another folder", variable, path);
	return -EILSEQ;
}

static int data_folder(char *folder, size_t size, char *reason, size_t reason_size)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	bool has_data = data && data[0] == '/';
	int length;

	/* What isn't absolute is to be ignored, says the specification. */
	if (has_data)
		length = snprintf(folder, size, "%s/lodge", data);
	else if (home && home[0] == '/')
		length = snprintf(folder, size, "%s/.local/share/lodge", home);
	else {
		snprintf(reason, reason_size,
			 "neither XDG_DATA_HOME nor HOME says where machines are to be kept: set "
			 "one");
		return -ENOENT;
	}
	if (length < (int)size)
		return check_utf8(has_data ? "XDG_DATA_HOME" : "HOME", folder, reason, reason_size);
	snprintf(reason, reason_size, "the name of the folder for machines is too long");
	return -ENAMETOOLONG;
}

int store_data_file(const char *name, char *path, bool make, char *reason, size_t size)
{
	char folder[STORE_PATH - 64];
	int error = data_folder(folder, sizeof(folder), reason, size);

	if (!error && make)
		error = safe_folder_make(folder);
	if (!error)
		snprintf(path, STORE_PATH, "%s/%s", folder, name);
	return error;
}

/* $XDG_RUNTIME_DIR, if it is there and ours; it isn't after su, or in most containers. */
static int runtime_folder(char *folder, size_t size, char *reason, size_t reason_size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	struct stat status;

	if (runtime && runtime[0] == '/' && !stat(runtime, &status) && S_ISDIR(status.st_mode) &&
	    status.st_uid == geteuid())
		snprintf(folder, size, "%s/lodge", runtime);
	else
		snprintf(folder, size, "/tmp/lodge-%u", (unsigned)geteuid());
	return check_utf8("XDG_RUNTIME_DIR", folder, reason, reason_size);
}

int store_open(struct store *store, char *reason, size_t size)
{
	char data[sizeof(store->machines) - 16];
	int error = data_folder(data, sizeof(data), reason, size);

	if (error)
		return error;
	snprintf(store->machines, sizeof(store->machines), "%s/machines", data);
	snprintf(store->images, sizeof(store->images), "%s/images", data);
	error = runtime_folder(store->runtime, sizeof(store->runtime), reason, size);
	if (error)
		return error;
	error = safe_folder_make(store->machines);
	if (error)
		return fail(error, reason, size, store->machines);
	error = safe_folder_make(store->images);
	return error ? fail(error, reason, size, store->images) : 0;
}

/* In /tmp anybody could have made it. */
static int folder_is_ours(const char *folder, char *reason, size_t size)
{
	struct stat status;

	if (mkdir(folder, 0700) && errno != EEXIST)
		return fail(-errno, reason, size, folder);
	if (lstat(folder, &status))
		return fail(-errno, reason, size, folder);
	if (S_ISDIR(status.st_mode) && status.st_uid == geteuid() && !(status.st_mode & 077))
		return 0;
	snprintf(reason, size,
		 "%s: must be a folder of yours with mode 0700: remove it, or set XDG_RUNTIME_DIR",
		 folder);
	return -EPERM;
}

int store_runtime_folder(char *folder, char *reason, size_t size)
{
	int error = runtime_folder(folder, STORE_PATH - 512, reason, size);

	return error ? error : folder_is_ours(folder, reason, size);
}

int store_runtime_make(const struct store *store, const char *name, char *folder, char *reason,
		       size_t size)
{
	int error = folder_is_ours(store->runtime, reason, size);

	if (error)
		return error;
	if (snprintf(folder, STORE_PATH, "%s/%s", store->runtime, name) >= STORE_PATH)
		return fail(-ENAMETOOLONG, reason, size, store->runtime);
	return folder_is_ours(folder, reason, size);
}

/* Names */

bool store_name_check(const char *name, char *reason, size_t size)
{
	if (machine_name_valid(name) && strcmp(name, "all") != 0)
		return true;
	snprintf(reason, size,
		 "%.80s: is no name for a machine: letters, digits, - and _, at most 31 of them, "
		 "no - in front, and not the word all",
		 *name ? name : "an empty word");
	return false;
}

bool store_image_name_check(const char *name, char *reason, size_t size)
{
	size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789._:+-");

	if (length && !name[length] && length < STORE_IMAGE_MAX && name[0] != '.' && name[0] != '-')
		return true;
	snprintf(reason, size,
		 "%.80s: is no name for an image: letters, digits and ._:+-, at most 63 of them, "
		 "no . or - in front",
		 *name ? name : "an empty word");
	return false;
}

/* Machines */

void store_path(const struct store_machine *machine, const char *file, char *path)
{
	if (snprintf(path, STORE_PATH, "%s/%s", machine->folder, file) >= STORE_PATH)
		path[0] = '\0';
}

int store_find(const struct store *store, const char *name, struct store_machine *machine,
	       char *reason, size_t size)
{
	char path[STORE_PATH];

	machine->lock = -1;
	if (!store_name_check(name, reason, size))
		return -EINVAL;
	snprintf(machine->name, sizeof(machine->name), "%s", name);
	snprintf(machine->folder, sizeof(machine->folder), "%s/%s", store->machines, name);
	if (access(machine->folder, F_OK)) {
		snprintf(reason, size,
			 "there is no machine %s: lodge ls lists those that there are", name);
		return -ENOENT;
	}
	store_path(machine, "lock", path);
	machine->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return machine->lock < 0 ? fail(-errno, reason, size, path) : 0;
}

void store_close(struct store_machine *machine)
{
	if (machine->lock >= 0)
		close(machine->lock);
	machine->lock = -1;
}

/* Locks */

static int lock_byte(int fd, int command, short type, off_t byte, short *found)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
	int result = fcntl(fd, command, &lock);

	if (found)
		*found = lock.l_type;
	return result < 0 ? -errno : 0;
}

/* Whether the lock file is still that of the machine of this name. */
static bool is_current(const struct store *store, const struct store_machine *machine)
{
	struct stat ours, there;
	char path[STORE_PATH];

	store_path(machine, "lock", path);
	return !fstat(machine->lock, &ours) && !stat(path, &there) && ours.st_ino == there.st_ino &&
	       ours.st_dev == there.st_dev;
}

int store_lock(const struct store *store, struct store_machine *machine, enum store_lock lock,
	       unsigned patience)
{
	const struct timespec step = {.tv_nsec = LOCK_STEP};
	uint64_t until = host_now() + patience * MILLISECOND;
	int error;

	while ((error = lock_byte(machine->lock, F_OFD_SETLK, F_WRLCK, lock, NULL))) {
		if (error != -EAGAIN && error != -EACCES)
			return error;
		if (host_now() >= until)
			return -EBUSY;
		nanosleep(&step, NULL);
	}
	if (is_current(store, machine))
		return 0;
	store_unlock(machine, lock);
	return -ENOENT;
}

int store_lock_only(struct store_machine *machine, enum store_lock lock)
{
	return lock_byte(machine->lock, F_OFD_SETLK, F_WRLCK, lock, NULL) ? -EBUSY : 0;
}

void store_unlock(struct store_machine *machine, enum store_lock lock)
{
	lock_byte(machine->lock, F_OFD_SETLK, F_UNLCK, lock, NULL);
}

bool store_is_locked(const struct store_machine *machine, enum store_lock lock)
{
	short found = F_UNLCK;

	return !lock_byte(machine->lock, F_OFD_GETLK, F_WRLCK, lock, &found) && found != F_UNLCK;
}

/* New ones, and those that go */

/* What somebody left behind who was killed: old enough to be no one's who is about to lock it. */
static void sweep(const char *parent)
{
	char **names;
	unsigned count;

	if (store_left_over_names(parent, &names, &count))
		return;
	for (unsigned i = 0; i < count; i++) {
		struct store_machine left = {.lock = -1};
		char path[STORE_PATH];
		struct stat status;

		snprintf(left.folder, sizeof(left.folder), "%s/%s", parent, names[i]);
		store_path(&left, "lock", path);
		left.lock = open(path, O_RDWR | O_CLOEXEC);
		if (!stat(left.folder, &status) && status.st_mtime + 60 < time(NULL) &&
		    (left.lock < 0 || !store_is_locked(&left, STORE_CHANGE)))
			safe_folder_remove(left.folder);
		store_close(&left);
	}
	store_names_free(names, count);
}

int store_new_begin(const char *parent, struct store_new *new, char *reason, size_t size)
{
	char path[STORE_PATH + 8];
	int error = 0;

	sweep(parent);
	new->lock = -1;
	snprintf(new->folder, sizeof(new->folder), "%s/.new-XXXXXX", parent);
	if (!mkdtemp(new->folder))
		return fail(-errno, reason, size, parent);
	snprintf(path, sizeof(path), "%s/lock", new->folder);
	new->lock = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (new->lock < 0)
		error = -errno;
	else
		error = lock_byte(new->lock, F_OFD_SETLK, F_WRLCK, STORE_CHANGE, NULL);
	if (!error)
		return 0;
	store_new_abandon(new);
	return fail(error, reason, size, path);
}

int store_new_finish(const char *parent, struct store_new *new, const char *name, char *reason,
		     size_t size)
{
	char path[STORE_PATH];
	int error = safe_folder_sync(new->folder);

	snprintf(path, sizeof(path), "%s/%s", parent, name);
	if (!error && renameat2(AT_FDCWD, new->folder, AT_FDCWD, path, RENAME_NOREPLACE))
		error = -errno;
	/* A file system that can't say "no replacing": a folder with something in it isn't
	 * replaced by rename(2) either. */
	if (error == -EINVAL)
		error = rename(new->folder, path) ? -errno : 0;
	if (error == -ENOTEMPTY)
		error = -EEXIST;
	if (error == -EEXIST)
		snprintf(reason, size, "there is a %s already: take another name, or remove it",
			 name);
	else if (error)
		fail(error, reason, size, path);
	if (error) {
		store_new_abandon(new);
		return error;
	}
	close(new->lock);
	error = safe_folder_sync(parent);
	return error ? fail(error, reason, size, parent) : 0;
}

void store_new_abandon(struct store_new *new)
{
	safe_folder_remove(new->folder);
	if (new->lock >= 0)
		close(new->lock);
}

/* Gives a folder a name that nobody looks for. A full disk has no room for a new one to be
 * replaced.
 */
static int hide(const char *path, const char *parent, char *gone)
{
	uint64_t chance;
	int error;

	host_random(&chance, sizeof(chance));
	if (snprintf(gone, STORE_PATH, "%s/.gone-%016llx", parent, (unsigned long long)chance) >=
	    STORE_PATH)
		return -ENAMETOOLONG;
	error = renameat2(AT_FDCWD, path, AT_FDCWD, gone, RENAME_NOREPLACE) ? -errno : 0;
	/* Not every file system can. */
	if (error == -EINVAL)
		error = rename(path, gone) ? -errno : 0;
	return error;
}

int store_remove(const char *parent, const char *name, char *reason, size_t size)
{
	char path[STORE_PATH], gone[STORE_PATH];
	int error;

	snprintf(path, sizeof(path), "%s/%s", parent, name);
	error = hide(path, parent, gone);
	if (error)
		return fail(error, reason, size, path);
	error = safe_folder_sync(parent);
	if (!error)
		error = safe_folder_remove(gone);
	return error ? fail(error, reason, size, gone) : 0;
}

int store_config(const struct store_machine *machine, struct machine_config *config, char *reason,
		 size_t size)
{
	struct machine_settings *settings = malloc(sizeof(*settings));
	struct machine_file_error wrong;
	char path[STORE_PATH], *text = NULL;
	unsigned count = 0;
	size_t length;
	int error = settings ? 0 : -ENOMEM;

	store_path(machine, "machine.conf", path);
	if (!error)
		error = safe_file_read(path, STORE_CONF_MAX, &text, &length);
	if (error) {
		free(settings);
		return fail(error, reason, size, path);
	}
	error = machine_file_parse(text, length, config, 1, &count, settings, &wrong);
	if (error)
		snprintf(reason, size, "%s: %s", path, wrong.text);
	else if (!count) {
		error = -EINVAL;
		snprintf(reason, size, "%s: there is no machine in it: begin with [machine %s]",
			 path, machine->name);
	}
	free(settings);
	free(text);
	return error;
}
