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
#include "manage/safe_file.h"
#include "manage/store.h"

#define FILE_MAX 256

/* The folder of the networks, or of one if name isn't NULL. */
static int data_path(const char *name, char *path, char *reason, size_t size)
{
	int error = store_data_file("networks", path, true, reason, size);

	if (error)
		return error;
	error = safe_folder_make(path);
	if (error)
		snprintf(reason, size, "%s: %s", path, strerror(-error));
	else if (name)
		snprintf(path + strlen(path), PATH_MAX - strlen(path), "/%s", name);
	return error;
}

int net_runtime_path(const char *name, const char *suffix, char *path, char *reason, size_t size)
{
	int error = store_runtime_folder(path, reason, size);

	/* No machine's name has a dot, and their folders are here as well. */
	if (!error)
		snprintf(path + strlen(path), PATH_MAX - strlen(path), "/net.%s%s", name, suffix);
	return error;
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
		 *name ? name : "''", LAN_NAME_MAX);
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
			  "isolated = %s\n"
			  "trust-guests = %s\n",
			  info->name, info->isolated ? "yes" : "no",
			  info->trust_guests ? "yes" : "no");
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
	*info = (struct net_info){.isolated = strstr(text, "isolated = yes") != NULL,
				  .trust_guests = strstr(text, "trust-guests = yes") != NULL};
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
