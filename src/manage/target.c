/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * It has no name (O_TMPFILE) before it is on stable storage. Where the file system can't do that,
 * it has a name of its own meanwhile.
 */
#include "manage/target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 16

static int other_name(struct target *target)
{
	static unsigned count;
	int length = snprintf(target->other, sizeof(target->other), "%s.%d-%u", target->path,
			      (int)getpid(), count++);

	return length < (int)sizeof(target->other) ? 0 : -ENAMETOOLONG;
}

bool target_is_other(const char *file, const char *name)
{
	static const char digits[] = "0123456789";
	size_t length = strlen(name), pid, number;

	if (strncmp(file, name, length) != 0 || file[length] != '.')
		return false;
	file += length + 1;
	pid = strspn(file, digits);
	if (!pid || file[pid] != '-')
		return false;
	number = strspn(file + pid + 1, digits);
	return number && !file[pid + 1 + number];
}

static int open_named(struct target *target)
{
	int error = 0;

	for (unsigned i = 0; i < TRIES; i++) {
		error = other_name(target);
		if (error)
			break;
		target->fd = open(target->other, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (target->fd >= 0)
			return 0;
		error = -errno;
		if (error != -EEXIST)
			break;
	}
	target->other[0] = '\0';
	return error;
}

int target_open(struct target *target, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct stat status;

	*target = (struct target){.path = path, .fd = -1, .folder_fd = -1};
	snprintf(target->folder, sizeof(target->folder), "%.*s",
		 slash ? (int)(slash - path + (slash == path)) : 1, slash ? path : ".");
	/* A device, say, can't be replaced. */
	if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
		return S_ISDIR(status.st_mode) ? -EISDIR : -EEXIST;
	target->folder_fd = open(target->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target->folder_fd < 0)
		return -errno;
	target->fd = open(target->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return target->fd >= 0 ? 0 : open_named(target);
}

int target_finish(struct target *target)
{
	char self[64];
	int error;

	if (fsync(target->fd) < 0)
		return -errno;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", target->fd);
	if (!target->other[0]) {
		error = other_name(target);
		if (!error &&
		    linkat(AT_FDCWD, self, AT_FDCWD, target->other, AT_SYMLINK_FOLLOW) < 0)
			error = -errno;
		if (error) {
			target->other[0] = '\0';
			return error;
		}
	}
	if (rename(target->other, target->path) < 0)
		return -errno;
	target->other[0] = '\0';
	return fsync(target->folder_fd) < 0 ? -errno : 0;
}

void target_close(struct target *target)
{
	if (target->other[0])
		unlink(target->other);
	if (target->fd >= 0)
		close(target->fd);
	if (target->folder_fd >= 0)
		close(target->folder_fd);
}
