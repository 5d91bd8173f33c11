/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/unpacked.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER	 (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define MODE_ALL 0777

struct mover {
	char *name; /* of what failed */
	size_t size;
};

static int failed(const struct mover *mover, const char *name, int error)
{
	if (!mover->name[0])
		snprintf(mover->name, mover->size, "%s", name);
	return error;
}

static int move_all(const struct mover *mover, int from, int to);

/* The folder's contents into the one of its name, which is made if it isn't there. */
static int move_folder(const struct mover *mover, int from, int to, const char *name,
		       const struct stat *was)
{
	bool made = !mkdirat(to, name, 0700);
	int inner_from = -1, inner_to = -1, error = made || errno == EEXIST ? 0 : -errno;

	/* It may be one that its owner can't look into. */
	if (!error && fchmodat(from, name, 0700, 0))
		error = -errno;
	if (!error && (inner_from = openat(from, name, FOLDER)) < 0)
		error = -errno;
	if (!error && (inner_to = openat(to, name, FOLDER)) < 0)
		error = -errno;
	if (error)
		failed(mover, name, error);
	else
		error = move_all(mover, inner_from, inner_to);
	if (!error && made) {
		const struct timespec times[2] = {was->st_atim, was->st_mtim};

		if (fchmod(inner_to, was->st_mode & MODE_ALL) || futimens(inner_to, times))
			error = failed(mover, name, -errno);
	}
	if (inner_from >= 0)
		close(inner_from);
	if (inner_to >= 0)
		close(inner_to);
	return error;
}

static int move_one(const struct mover *mover, int from, int to, const char *name)
{
	struct stat status;

	if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW))
		return failed(mover, name, -errno);
	if (S_ISDIR(status.st_mode))
		return move_folder(mover, from, to, name, &status);
	if (S_ISBLK(status.st_mode) || S_ISCHR(status.st_mode))
		return failed(mover, name, -EPERM);
	return renameat(from, name, to, name) ? failed(mover, name, -errno) : 0;
}

static int move_all(const struct mover *mover, int from, int to)
{
	int copy = fcntl(from, F_DUPFD_CLOEXEC, 0), error = 0;
	DIR *list = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!list) {
		error = failed(mover, ".", -errno);
		if (copy >= 0)
			close(copy);
		return error;
	}
	while (!error && (errno = 0, entry = readdir(list)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			error = move_one(mover, from, to, entry->d_name);
	if (!error && errno)
		error = failed(mover, ".", -errno);
	closedir(list);
	return error;
}

int unpacked_move(const char *from, const char *to, char *name, size_t size)
{
	const struct mover mover = {name, size};
	int from_folder = open(from, FOLDER), to_folder = open(to, FOLDER), error = 0;

	name[0] = '\0';
	if (from_folder < 0 || to_folder < 0)
		error = failed(&mover, from_folder < 0 ? from : to, -errno);
	else
		error = move_all(&mover, from_folder, to_folder);
	if (from_folder >= 0)
		close(from_folder);
	if (to_folder >= 0)
		close(to_folder);
	return error;
}
