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
	return lstat(path, &status) || !S_ISREG(status.st_mode) ? 0
								: (uint64_t)status.st_blocks * 512;
}

int kept_remove(const struct store_machine *machine)
{
	DIR *folder = opendir(machine->folder);
	const struct dirent *entry;
	bool removed = false;
	int error = 0;

	if (!folder)
		return -errno;
	while ((entry = readdir(folder))) {
		/* memory.PID-N: one that had not got its name yet (save_verb.c). */
		if (strcmp(entry->d_name, NAME) != 0 &&
		    strncmp(entry->d_name, NAME ".", strlen(NAME ".")) != 0)
			continue;
		if (!unlinkat(dirfd(folder), entry->d_name, 0))
			removed = true;
		else if (errno != ENOENT && !error)
			error = -errno;
	}
	closedir(folder);
	return error || !removed ? error : safe_folder_sync(machine->folder);
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
