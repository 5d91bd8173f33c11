/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manage/safe_file.h"
#include "manage/target.h"

#define NAME "memory"

void kept_path(const struct store_machine *machine, char *path)
{
	store_path(machine, NAME, path);
}

uint64_t kept_size(const struct store_machine *machine)
{
	char path[STORE_PATH];
	struct stat status;

	kept_path(machine, path);
	if (lstat(path, &status) || !S_ISREG(status.st_mode))
		return 0;
	/* Blocks may not be counted yet, or be none: what is small may lie beside its name. */
	return status.st_blocks ? (uint64_t)status.st_blocks * 512 : (uint64_t)status.st_size;
}

/* what: the names that it is asked about. */
static int remove_files(const struct store_machine *machine, bool (*what)(const char *file))
{
	DIR *folder = opendir(machine->folder);
	const struct dirent *entry;
	bool removed = false;
	int error = 0;

	if (!folder)
		return -errno;
	while ((entry = readdir(folder))) {
		if (!what(entry->d_name))
			continue;
		if (!unlinkat(dirfd(folder), entry->d_name, 0))
			removed = true;
		else if (errno != ENOENT && !error)
			error = -errno;
	}
	closedir(folder);
	return error || !removed ? error : safe_folder_sync(machine->folder);
}

/* One that had not got its name yet (save_verb.c). */
static bool is_half(const char *file)
{
	return target_is_other(file, NAME);
}

static bool is_any(const char *file)
{
	return !strcmp(file, NAME) || is_half(file);
}

int kept_remove(const struct store_machine *machine)
{
	return remove_files(machine, is_any);
}

int kept_sweep(const struct store_machine *machine)
{
	return remove_files(machine, is_half);
}

int kept_open(const struct store_machine *machine)
{
	char path[STORE_PATH];

	kept_path(machine, path);
	return open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

int kept_remove_old(const struct store_machine *machine, int old)
{
	struct stat was, is;
	struct state state;
	char path[STORE_PATH];

	kept_path(machine, path);
	state_read(machine, &state);
	if (state.state == MACHINE_SAVED || fstat(old, &was) || lstat(path, &is) ||
	    was.st_dev != is.st_dev || was.st_ino != is.st_ino)
		return 0;
	return unlink(path) ? -errno : safe_folder_sync(machine->folder);
}

int kept_settle(const struct store_machine *machine)
{
	int fd = state_open(machine), error;

	if (fd < 0)
		return fd;
	error = fsync(fd) ? -errno : 0;
	close(fd);
	return error;
}

int kept_take(const struct store_machine *machine, const char *path)
{
	char memory[STORE_PATH];
	int error = kept_remove(machine);

	kept_path(machine, memory);
	if (!error && link(path, memory))
		error = -errno;
	return error ? error : safe_folder_sync(machine->folder);
}

static int set_state(const struct store_machine *machine, enum machine_state which,
		     const char *reason)
{
	struct state state;
	int fd = state_open(machine), error;

	if (fd < 0)
		return fd;
	state_read(machine, &state);
	state.state = which;
	snprintf(state.reason, sizeof(state.reason), "%s", reason);
	error = state_write(fd, &state);
	if (!error && fsync(fd))
		error = -errno;
	close(fd);
	return error;
}

int kept_begin(const struct store_machine *machine)
{
	return set_state(machine, MACHINE_SAVED, "saved");
}

int kept_discard(const struct store_machine *machine)
{
	int error = set_state(machine, MACHINE_STOPPED, "discarded");

	return error ? error : kept_remove(machine);
}
