/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/safe_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manage/complain.h"

static int write_out(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t written = write(fd, text, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		text += written;
		size -= (size_t)written;
	}
	return fsync(fd) ? -errno : 0;
}

/* The folder that a path is in. */
static void folder_of(const char *path, char *folder)
{
	char *slash;

	snprintf(folder, PATH_MAX, "%s", path);
	slash = strrchr(folder, '/');
	if (slash == folder)
		slash[1] = '\0';
	else if (slash)
		*slash = '\0';
	else
		snprintf(folder, PATH_MAX, ".");
}

int safe_folder_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;

	if (fd < 0)
		return -errno;
	/* Some file systems have nothing to write out. */
	if (fsync(fd) && errno != EINVAL)
		error = -errno;
	close(fd);
	return error;
}

/* A new file, whole, gets the name; what has it already goes, or is left. */
static int take_name(const char *new_path, const char *path, bool replace)
{
	int error = 0;

	if (replace)
		return rename(new_path, path) ? -errno : 0;
	if (link(new_path, path))
		error = -errno;
	unlink(new_path);
	return error;
}

#define NEW	   ".new-"
#define NEW_RANDOM "XXXXXX"

static bool is_new(const char *name, const char *file)
{
	size_t length = strlen(name), tail = strlen(NEW NEW_RANDOM);

	if (length <= tail || strncmp(name + length - tail, NEW, strlen(NEW)) != 0)
		return false;
	return !file || (strlen(file) == length - tail && !strncmp(name, file, length - tail));
}

int safe_folder_sweep(const char *path, const char *file)
{
	DIR *folder = opendir(path);
	const struct dirent *entry;
	int error = 0;

	if (!folder)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(folder)))
		if (is_new(entry->d_name, file) && unlinkat(dirfd(folder), entry->d_name, 0) &&
		    errno != ENOENT)
			error = -errno;
	closedir(folder);
	return error;
}

static int make(const char *path, const char *text, size_t size, mode_t mode, bool replace)
{
	char new_path[PATH_MAX], folder[PATH_MAX];
	int fd, error;

	if (snprintf(new_path, sizeof(new_path), "%s" NEW NEW_RANDOM, path) >=
	    (int)sizeof(new_path))
		return -ENAMETOOLONG;
	fd = mkostemp(new_path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	error = fchmod(fd, mode) ? -errno : write_out(fd, text, size);
	if (close(fd) && !error)
		error = -errno;
	if (!error)
		error = take_name(new_path, path, replace);
	if (error) {
		unlink(new_path);
		return error;
	}
	/* From here on it has happened, whatever the caller would take back. */
	folder_of(path, folder);
	error = safe_folder_sync(folder);
	if (error)
		complain("%s: after a power failure it may be what it was: %s", path,
			 strerror(-error));
	return 0;
}

int safe_file_replace(const char *path, const char *text, size_t size, mode_t mode)
{
	return make(path, text, size, mode, true);
}

int safe_file_create(const char *path, const char *text, size_t size, mode_t mode)
{
	return make(path, text, size, mode, false);
}

int safe_file_read(const char *path, size_t most, char **text, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), error = 0;
	struct stat status;
	ssize_t got = 1;
	char *bytes;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status))
		error = -errno;
	else if (!S_ISREG(status.st_mode))
		error = -EINVAL;
	else if ((uint64_t)status.st_size > most)
		error = -EFBIG;
	bytes = error ? NULL : malloc((size_t)status.st_size + 1);
	if (!error && !bytes)
		error = -ENOMEM;
	for (*size = 0; !error && got > 0 && *size < (size_t)status.st_size;) {
		got = read(fd, bytes + *size, (size_t)status.st_size - *size);
		if (got < 0 && errno != EINTR)
			error = -errno;
		*size += got > 0 ? (size_t)got : 0;
		got = got < 0 ? 1 : got;
	}
	close(fd);
	if (error) {
		free(bytes);
		return error;
	}
	bytes[*size] = '\0';
	*text = bytes;
	return 0;
}

int safe_folder_make(const char *path)
{
	char partial[PATH_MAX];

	if (strlen(path) >= sizeof(partial))
		return -ENAMETOOLONG;
	for (size_t i = 1; path[i - 1]; i++) {
		if (path[i] && path[i] != '/')
			continue;
		memcpy(partial, path, i);
		partial[i] = '\0';
		if (mkdir(partial, 0700) && errno != EEXIST)
			return -errno;
	}
	return 0;
}

#define FOLDER (O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/*
 * Opens a folder, with all rights for us whatever its mode. Not even a link that takes its place
 * meanwhile is followed: the mode is that of the folder that was opened, by its name in /proc.
 */
static int folder_open(int at, const char *name)
{
	int place = openat(at, name, O_PATH | FOLDER), fd;
	char path[64];

	if (place < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", place);
	/* If it can't be had, what follows says what is wrong. */
	(void)!chmod(path, 0700);
	fd = openat(place, ".", O_RDONLY | FOLDER);
	if (fd < 0)
		fd = -errno;
	close(place);
	return fd;
}

/* What is removed: however deep, two of its folders are open at most. */
struct removal {
	int top;
	unsigned moved; /* folders that have come up to the top */
};

/* Those that are left there by somebody who was killed keep their names. */
static int move_up(struct removal *removal, int at, const char *name)
{
	char new_name[32];

	for (;;) {
		snprintf(new_name, sizeof(new_name), ".up-%u", removal->moved++);
		if (!renameat(at, name, removal->top, new_name))
			return 0;
		if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR)
			return -errno;
	}
}

static int remove_all(struct removal *removal, int at);

/* A folder in the top one goes; one below comes up there, to go later. */
static int remove_folder(struct removal *removal, int at, const char *name)
{
	int fd = folder_open(at, name), error;

	if (fd < 0)
		return fd;
	error = at == removal->top ? remove_all(removal, fd) : move_up(removal, at, name);
	close(fd);
	if (!error && at == removal->top && unlinkat(at, name, AT_REMOVEDIR))
		error = -errno;
	return error;
}

static int remove_one(struct removal *removal, int at, const char *name)
{
	if (!unlinkat(at, name, 0) || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return -errno;
	if (!unlinkat(at, name, AT_REMOVEDIR) || errno == ENOENT)
		return 0;
	return errno == ENOTEMPTY || errno == EEXIST ? remove_folder(removal, at, name) : -errno;
}

/* What is in a folder that is open. */
static int remove_all(struct removal *removal, int at)
{
	int copy = openat(at, ".", O_RDONLY | FOLDER), error = 0;
	DIR *list = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	if (!list) {
		error = -errno;
		if (copy >= 0)
			close(copy);
		return error;
	}
	while (!error && (errno = 0, entry = readdir(list)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			error = remove_one(removal, at, entry->d_name);
	if (!error && errno)
		error = -errno;
	closedir(list);
	return error;
}

int safe_folder_remove(const char *path)
{
	struct removal removal = {.top = folder_open(AT_FDCWD, path)};
	unsigned before;
	int error;

	if (removal.top < 0)
		return removal.top == -ENOENT ? 0 : removal.top;
	do {
		before = removal.moved;
		error = remove_all(&removal, removal.top);
	} while (!error && removal.moved != before);
	close(removal.top);
	if (!error && rmdir(path) && errno != ENOENT)
		error = -errno;
	return error;
}

/* One piece of data, which is no hole. */
static int copy_data(int from, int to, off_t offset, off_t end)
{
	while (offset < end) {
		off_t in = offset, out = offset;
		ssize_t done = copy_file_range(from, &in, to, &out, (size_t)(end - offset), 0);
		char bytes[16384];

		if (done < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP)) {
			size_t want = (size_t)(end - offset) < sizeof(bytes)
					      ? (size_t)(end - offset)
					      : sizeof(bytes);

			done = pread(from, bytes, want, offset);
			if (done > 0)
				done = pwrite(to, bytes, (size_t)done, offset);
		}
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		if (done == 0)
			return 0; /* it has become shorter */
		offset += done;
	}
	return 0;
}

static int copy_all(int from, int to, off_t size)
{
	off_t data = 0;
	int error = ftruncate(to, size) ? -errno : 0;

	while (!error && data < size) {
		off_t start = lseek(from, data, SEEK_DATA), end;

		if (start < 0 && errno == ENXIO)
			break;
		if (start < 0)
			start = data; /* no holes are known here */
		end = lseek(from, start, SEEK_HOLE);
		if (end < 0 || end > size)
			end = size;
		error = copy_data(from, to, start, end);
		data = end;
	}
	return error ? error : fsync(to) ? -errno : 0;
}

int safe_file_copy(const char *from_path, const char *to_path, mode_t mode)
{
	int from = open(from_path, O_RDONLY | O_CLOEXEC), to, error = 0;
	struct stat status;

	if (from < 0)
		return -errno;
	to = open(to_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (to < 0 || fstat(from, &status))
		error = -errno;
	else if (ioctl(to, FICLONE, from))
		error = copy_all(from, to, status.st_size);
	else if (fsync(to))
		error = -errno;
	close(from);
	if (to >= 0 && close(to) && !error)
		error = -errno;
	if (error && to >= 0)
		unlink(to_path);
	return error;
}
