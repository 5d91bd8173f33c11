/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Controllers can be had below a group only while it has no processes itself. So the process moves
 * into the new group first, and asks for the controllers then; where others are in the old one it
 * moves back.
 *
 * Nobody removes the group: whose process has ended can't. It is taken again at the machine's next
 * start, and a service manager removes it with the service's. Those of machines without a name are
 * removed by the next one.
 */
#include "manage/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX	"lodge-"
#define TEXT	256
#define PERIOD	20000  /* microseconds; as long as a round of core/allowance.h */
#define LONGER	100000 /* for caps of which the kernel takes no such short ones */
#define LEAST	1000   /* the kernel's least allowance in a period */
#define FILE_AT CGROUP_PATH + 32

/* Reads a file's first bytes as text. Its length, or a negative errno. */
static int read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return -errno;
	length = read(fd, text, size - 1);
	if (length < 0)
		length = -errno;
	else
		text[length] = '\0';
	close(fd);
	return (int)length;
}

static int write_text(int fd, const char *text)
{
	if (fd < 0)
		return -EBADF;
	return pwrite(fd, text, strlen(text), 0) < 0 ? -errno : 0;
}

static int write_at(const char *folder, const char *file, const char *text)
{
	char path[FILE_AT];
	int fd, error;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	error = write_text(fd, text);
	close(fd);
	return error;
}

static bool has_word(const char *text, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += length)
		if ((at == text || at[-1] == ' ') && strchr(" \n", at[length]))
			return true;
	return false;
}

/* The group that the process is in: the line "0::PATH". */
static bool own_path(const char *self, char *path, size_t size)
{
	char text[CGROUP_PATH];
	char *line;

	if (read_text(self, text, sizeof(text)) < 0)
		return false;
	line = !strncmp(text, "0::", 3) ? text : strstr(text, "\n0::");
	if (!line)
		return false;
	line += *line == '\n' ? 4 : 3;
	line[strcspn(line, "\n")] = '\0';
	snprintf(path, size, "%s", line);
	return path[0] == '/';
}

/* Below what it shall be made. */
static bool find_base(const struct cgroup_place *place, char *base, char *why)
{
	char below[CGROUP_PATH / 2], path[FILE_AT], controllers[TEXT];

	if (place->base)
		snprintf(below, sizeof(below), "%s", place->base);
	else if (!own_path(place->self, below, sizeof(below))) {
		snprintf(why, CGROUP_WHY, "this host has no cgroup v2");
		return false;
	}
	snprintf(base, CGROUP_PATH, "%.1024s%s%s", place->root, below[0] == '/' ? "" : "/",
		 strcmp(below, "/") != 0 ? below : "");
	snprintf(path, sizeof(path), "%s/cgroup.controllers", base);
	if (read_text(path, controllers, sizeof(controllers)) < 0)
		snprintf(why, CGROUP_WHY, "there is no cgroup v2 at %.200s", base);
	else if (!has_word(controllers, "cpu"))
		snprintf(why, CGROUP_WHY, "%.160s does not have the controller cpu", base);
	else
		return true;
	return false;
}

/* Those of machines without a name that are no more. */
static void sweep(const char *base)
{
	DIR *folder = opendir(base);
	struct dirent *entry;
	char path[FILE_AT + NAME_MAX];

	while (folder && (entry = readdir(folder))) {
		const char *number = entry->d_name + strlen(PREFIX);
		long pid = strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0
				   ? 0
				   : strtol(number, NULL, 10);

		if (pid <= 0 || number[strspn(number, "0123456789")] || !kill((pid_t)pid, 0) ||
		    errno != ESRCH)
			continue;
		snprintf(path, sizeof(path), "%s/%s", base, entry->d_name);
		rmdir(path);
	}
	if (folder)
		closedir(folder);
}

/* The new group's folder, empty of processes. 0 or a negative errno. */
static int make_group(struct cgroup *cgroup, const char *base, const char *name)
{
	char path[FILE_AT], text[TEXT];
	int length;

	if (!name)
		sweep(base);
	if (name)
		snprintf(cgroup->path, sizeof(cgroup->path), "%.3072s/" PREFIX "%.128s", base,
			 name);
	else
		snprintf(cgroup->path, sizeof(cgroup->path), "%.3072s/" PREFIX "%d", base,
			 (int)getpid());
	if (mkdir(cgroup->path, 0755) && errno != EEXIST)
		return -errno;
	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup->path);
	length = read_text(path, text, sizeof(text));
	return length > 0 ? -EADDRINUSE : length;
}

static int open_file(const struct cgroup *cgroup, const char *name)
{
	char path[FILE_AT];

	snprintf(path, sizeof(path), "%s/%s", cgroup->path, name);
	return open(path, O_WRONLY | O_CLOEXEC);
}

/* 0 or a negative errno; *what failed. */
static int move(struct cgroup *cgroup, const char *base, const char **what)
{
	int error;

	*what = "cgroup.procs";
	error = write_at(cgroup->path, "cgroup.procs", "0");
	if (error)
		return error;
	*what = "cgroup.subtree_control";
	error = write_at(base, "cgroup.subtree_control", "+cpu");
	if (!error) {
		/* Disks are shared by weight only where a scheduler for it is set up. */
		write_at(base, "cgroup.subtree_control", "+io");
		*what = "cpu.max";
		cgroup->cpu_max = open_file(cgroup, "cpu.max");
		error = cgroup->cpu_max < 0 ? -errno : 0;
	}
	if (error)
		write_at(base, "cgroup.procs", "0");
	return error;
}

void cgroup_enter(struct cgroup *cgroup, const struct cgroup_place *place)
{
	char base[CGROUP_PATH];
	const char *what = "a new group";
	int error;

	*cgroup = (struct cgroup){.cpu_max = -1, .cpu_weight = -1, .io_weight = -1};
	if (!find_base(place, base, cgroup->why))
		return;
	error = make_group(cgroup, base, place->name);
	if (!error)
		error = move(cgroup, base, &what);
	if (error) {
		snprintf(cgroup->why, sizeof(cgroup->why), "%.150s: %s: %s", base, what,
			 error == -EBUSY	? "other processes are in it"
			 : error == -EADDRINUSE ? "another machine of this name is there"
						: strerror(-error));
		if (error != -EADDRINUSE)
			rmdir(cgroup->path);
		return;
	}
	cgroup->cpu_weight = open_file(cgroup, "cpu.weight");
	cgroup->io_weight = open_file(cgroup, "io.weight");
	cgroup->entered = true;
}

int cgroup_cap(const struct cgroup *cgroup, unsigned percent)
{
	unsigned period = PERIOD / 100 * percent < LEAST ? LONGER : PERIOD;
	char text[64];

	if (percent)
		snprintf(text, sizeof(text), "%u %u\n", period / 100 * percent, period);
	else
		snprintf(text, sizeof(text), "max %u\n", PERIOD);
	return write_text(cgroup->cpu_max, text);
}

int cgroup_weight(const struct cgroup *cgroup, unsigned weight)
{
	char text[32];
	int error;

	snprintf(text, sizeof(text), "%u\n", weight);
	error = write_text(cgroup->cpu_weight, text);
	if (error || cgroup->io_weight < 0)
		return error;
	snprintf(text, sizeof(text), "default %u\n", weight);
	return write_text(cgroup->io_weight, text);
}
