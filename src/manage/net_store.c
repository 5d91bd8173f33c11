/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/net_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/word.h"

#define FILE_MAX 256

/* Makes a folder and those above it; only the last must be new or ours. */
static int make_folders(char *path, mode_t mode)
{
	for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(path, 0700) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(path, mode) && errno != EEXIST ? -errno : 0;
}

/* The folder of the networks, or of one if name isn't NULL. */
static int data_path(const char *name, char *path, char *reason, size_t size)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	int length = -1, error;

	if (data && data[0] == '/')
		length = snprintf(path, PATH_MAX, "%s/lodge/networks", data);
	else if (home && home[0] == '/')
		length = snprintf(path, PATH_MAX, "%s/.local/share/lodge/networks", home);
	if (length < 0 || length + LAN_NAME_MAX + 8 > PATH_MAX) {
		snprintf(reason, size,
			 "neither XDG_DATA_HOME nor HOME says where networks are to "
			 "be kept: set one of them to a folder's whole path");
		return -ENOENT;
	}
	error = make_folders(path, 0700);
	if (error) {
		snprintf(reason, size, "%s: %s", path, strerror(-error));
		return error;
	}
	if (name)
		snprintf(path + length, PATH_MAX - (size_t)length, "/%s", name);
	return 0;
}

int net_runtime_path(const char *name, const char *suffix, char *path, char *reason, size_t size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	struct stat status;
	int length, error;

	if (runtime && runtime[0] == '/' && !stat(runtime, &status) && status.st_uid == geteuid())
		length = snprintf(path, PATH_MAX, "%s/lodge", runtime);
	else
		length = snprintf(path, PATH_MAX, "/tmp/lodge-%u", (unsigned)geteuid());
	error = mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
	/* In /tmp anybody may have made it. */
	if (!error && (lstat(path, &status) || !S_ISDIR(status.st_mode) ||
		       status.st_uid != geteuid() || status.st_mode & 077))
		error = -EPERM;
	if (error) {
		snprintf(reason, size, "%s: must be a folder of yours with mode 0700: %s", path,
			 strerror(-error));
		return error;
	}
	snprintf(path + length, PATH_MAX - (size_t)length, "/net-%s%s", name, suffix);
	return 0;
}

static int check_name(const char *name, char *reason, size_t size)
{
	static const char *const words[] = {"user", "none", "tap"};
	bool other = false;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		other |= !strcmp(name, words[i]);
	if (lan_name_ok(name) && !other)
		return 0;
	snprintf(reason, size,
		 "network %s: a name has letters, digits, - and _, up to %d, and isn't user, none "
		 "or tap",
		 name, LAN_NAME_MAX);
	return -EINVAL;
}

int net_create(const struct net_info *info, char *reason, size_t size)
{
	char path[PATH_MAX], new[PATH_MAX + 16], text[FILE_MAX];
	int error = check_name(info->name, reason, size), file, length;

	if (!error)
		error = data_path(info->name, path, reason, size);
	if (error)
		return error;
	length = snprintf(text, sizeof(text),
			  "# A network of lodge's; lodge net rm %s removes it.\n"
			  "isolated = %s\n",
			  info->name, info->isolated ? "yes" : "no");
	/* Whole or not at all, and never over one that is there. */
	snprintf(new, sizeof(new), "%s.%u", path, (unsigned)getpid());
	file = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file < 0 || write(file, text, (size_t)length) != length || fsync(file))
		error = errno ? -errno : -EIO;
	if (file >= 0)
		close(file);
	if (!error && link(new, path))
		error = -errno;
	unlink(new);
	if (error == -EEXIST)
		snprintf(reason, size, "network %s: there is one already", info->name);
	else if (error)
		snprintf(reason, size, "%s: %s", path, strerror(-error));
	return error;
}

/* The names of all networks, for a guess at what was meant. */
static int unknown(const char *name, char *reason, size_t size)
{
	const char *names[64] = {NULL};
	struct net_info *list = NULL;
	unsigned count = 0;
	const char *nearest;

	if (net_list(&list, &count, reason, size))
		return -ENOENT;
	for (unsigned i = 0; i < count && i < 63; i++)
		names[i] = list[i].name;
	nearest = word_nearest(name, names);
	if (nearest)
		snprintf(reason, size, "there is no network %s: did you mean %s?", name, nearest);
	else
		snprintf(reason, size, "there is no network %s: make it with lodge net create %s",
			 name, name);
	free(list);
	return -ENOENT;
}

int net_find(const char *name, struct net_info *info, char *reason, size_t size)
{
	char path[PATH_MAX], text[FILE_MAX] = "";
	int error = check_name(name, reason, size), file;
	ssize_t got;

	if (!error)
		error = data_path(name, path, reason, size);
	if (error)
		return error;
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0 && errno == ENOENT)
		return unknown(name, reason, size);
	got = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
	if (file >= 0)
		close(file);
	*info = (struct net_info){.isolated = strstr(text, "isolated = yes") != NULL};
	snprintf(info->name, sizeof(info->name), "%s", name);
	if (got > 0 && (info->isolated || strstr(text, "isolated = no")))
		return 0;
	snprintf(reason, size, "%s: a line isolated = yes or isolated = no is missing", path);
	return -EINVAL;
}

/* Whether a process has the network's lock. A descriptor of it, locked, or -EBUSY. */
static int try_lock(const char *name, char *reason, size_t size)
{
	char path[PATH_MAX];
	int error = net_runtime_path(name, ".lock", path, reason, size), file;

	if (error)
		return error;
	file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file < 0 || flock(file, LOCK_EX | LOCK_NB)) {
		error = errno == EWOULDBLOCK ? -EBUSY : -errno;
		snprintf(reason, size, "%s: %s", path, strerror(errno));
		if (file >= 0)
			close(file);
		return error;
	}
	return file;
}

int net_remove(const char *name, char *reason, size_t size)
{
	struct net_info info;
	char path[PATH_MAX];
	int error = net_find(name, &info, reason, size), lock;

	if (error)
		return error;
	lock = try_lock(name, reason, size);
	if (lock == -EBUSY)
		snprintf(reason, size,
			 "network %s: machines are on it, or were a moment ago: stop them first",
			 name);
	if (lock < 0)
		return lock;
	error = data_path(name, path, reason, size);
	if (!error && unlink(path)) {
		error = -errno;
		snprintf(reason, size, "%s: %s", path, strerror(errno));
	}
	close(lock);
	return error;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct net_info *)a)->name, ((const struct net_info *)b)->name);
}

int net_list(struct net_info **list, unsigned *count, char *reason, size_t size)
{
	char path[PATH_MAX], ignored[PATH_MAX + 256];
	int error = data_path(NULL, path, reason, size);
	DIR *folder = error ? NULL : opendir(path);
	struct dirent *entry;

	*list = NULL;
	*count = 0;
	if (!error && !folder) {
		error = -errno;
		snprintf(reason, size, "%s: %s", path, strerror(errno));
	}
	while (!error && (entry = readdir(folder))) {
		struct net_info info, *more;
		int lock;

		if (!lan_name_ok(entry->d_name) ||
		    net_find(entry->d_name, &info, ignored, sizeof(ignored)))
			continue;
		lock = try_lock(info.name, ignored, sizeof(ignored));
		info.running = lock == -EBUSY;
		if (lock >= 0)
			close(lock);
		more = reallocarray(*list, *count + 1, sizeof(**list));
		if (!more) {
			error = -ENOMEM;
			snprintf(reason, size, "no memory");
			break;
		}
		*list = more;
		more[(*count)++] = info;
	}
	if (folder)
		closedir(folder);
	if (*count)
		qsort(*list, *count, sizeof(**list), by_name);
	return error;
}
