/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shares without any rights: by nice values, of which each step is a factor of 1.25 (sched(7)).
 * Where Linux groups processes by session (autogroup), the group of ours, which has a session of
 * its own, has the share, so it is set there too.
 */
#include "manage/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/host.h"
#include "machines/machine_file.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/options.h"

#define NICE_LEAST (-20)
#define NICE_MOST  19

#define AUTOGROUP_TRIES 5
#define AUTOGROUP_WAIT	50000 /* microseconds */

int limits_nice(unsigned weight)
{
	/* In thousandths, from the share of the highest priority down. */
	uint64_t share = UINT64_C(86736) * MACHINE_WEIGHT_USUAL / 1000; /* 1.25 to the 20th */
	uint64_t wanted = (uint64_t)weight;
	int nice = NICE_LEAST;

	share = share * 1000;
	wanted = wanted * 1000;
	/* The middle between two steps is at a factor of 1.118. */
	while (nice < NICE_MOST && share * 1000 > wanted * 1118) {
		share = share * 4 / 5;
		nice++;
	}
	return nice;
}

static int share_by_nice(int nice, pid_t thread)
{
	return setpriority(PRIO_PROCESS, (id_t)thread, nice > NICE_MOST ? NICE_MOST : nice) ? -errno
											    : 0;
}

/* Where this kernel groups by session. */
static void share_of_session(pid_t process, int nice)
{
	char path[64], text[16];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/autogroup", (int)process);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	snprintf(text, sizeof(text), "%d", nice > NICE_MOST ? NICE_MOST : nice);
	/* It takes one from people in a tenth of a second. */
	for (int tries = 0; tries < AUTOGROUP_TRIES; tries++) {
		if (write(fd, text, strlen(text)) >= 0 || errno != EAGAIN)
			break;
		usleep(AUTOGROUP_WAIT);
	}
	close(fd);
}

static void set_share(unsigned weight)
{
	/* On top of what whoever started us has given us. */
	int nice = limits_nice(weight) + getpriority(PRIO_PROCESS, 0);

	if (share_by_nice(nice, 0))
		host_log(LOG_WARNING, "weight %u: more than %u is for root alone: it counts as %u",
			 weight, MACHINE_WEIGHT_USUAL, MACHINE_WEIGHT_USUAL);
	else
		share_of_session(getpid(), nice);
}

static void processors_set(uint64_t processors, cpu_set_t *set)
{
	long count = sysconf(_SC_NPROCESSORS_CONF);

	CPU_ZERO(set);
	for (unsigned i = 0; i < 64; i++)
		if (processors >> i & 1)
			CPU_SET(i, set);
	for (long i = 64; i < count && i < CPU_SETSIZE && processors == UINT64_MAX; i++)
		CPU_SET((size_t)i, set);
}

/* Only whoever asks for something is moved. */
static void enter_group(struct limits *limits, const struct options *options)
{
	const struct cgroup_place place = {.root = CGROUP_ROOT,
					   .self = CGROUP_SELF,
					   .base = getenv("LODGE_CGROUP"),
					   .name = options->name};
	int error;

	if (!limits->cap && limits->weight == MACHINE_WEIGHT_USUAL)
		return;
	cgroup_enter(&limits->group, &place);
	if (!limits->group.entered) {
		host_log(place.base ? LOG_WARNING : LOG_INFO, "no control group: %s",
			 limits->group.why);
		return;
	}
	host_log(LOG_INFO, "control group %s", limits->group.path);
	error = limits_weight(limits, limits->weight);
	if (error)
		host_log(LOG_WARNING, "control group %s: weight %u: %s", limits->group.path,
			 limits->weight, strerror(-error));
}

int limits_apply(struct limits *limits, const struct options *options)
{
	cpu_set_t set;

	limits->cap = options->cap;
	limits->weight = options->weight ? options->weight : MACHINE_WEIGHT_USUAL;
	enter_group(limits, options);
	if (limits->weight != MACHINE_WEIGHT_USUAL)
		set_share(limits->weight);
	if (!options->processors || options->processors == UINT64_MAX)
		return LODGE_OK;
	processors_set(options->processors, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		return complain_with(LODGE_HOST_LACKS,
				     "processors: this host lets us use none of them (nproc says "
				     "how many there are): %s",
				     strerror(errno));
	return LODGE_OK;
}

int limits_cap(struct limits *limits, struct vm *vm, unsigned percent)
{
	int error = limits->group.entered ? cgroup_cap(&limits->group, percent)
					  : cap_set(&limits->own, vm, percent);

	if (!error)
		limits->cap = percent;
	return error;
}

int limits_weight(struct limits *limits, unsigned weight)
{
	int error = cgroup_weight(&limits->group, weight);

	if (!error)
		limits->weight = weight;
	return error;
}

void limits_end(struct limits *limits)
{
	cap_end(&limits->own);
}

/* Another process */

/* Calls it for each thread until none is new: one made meanwhile is its maker's like. */
static int for_each_thread(pid_t process, int (*call)(pid_t thread, const void *what),
			   const void *what)
{
	char path[64];
	struct dirent *entry;
	unsigned seen = 0, before;
	int error = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)process);
	do {
		DIR *folder = opendir(path);

		if (!folder)
			return -errno;
		before = seen;
		seen = 0;
		while (!error && (entry = readdir(folder))) {
			pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);

			if (thread <= 0)
				continue;
			seen++;
			error = call(thread, what);
			if (error == -ESRCH) /* it has ended */
				error = 0;
		}
		closedir(folder);
	} while (!error && seen > before);
	return error;
}

static int renice(pid_t thread, const void *nice)
{
	return share_by_nice(*(const int *)nice, thread);
}

int limits_share_of(pid_t process, unsigned weight)
{
	int nice = limits_nice(weight) + getpriority(PRIO_PROCESS, 0);
	int error = for_each_thread(process, renice, &nice);

	if (!error)
		share_of_session(process, nice);
	return error;
}

static int bind_thread(pid_t thread, const void *set)
{
	return sched_setaffinity(thread, sizeof(cpu_set_t), set) ? -errno : 0;
}

int limits_bind_check(uint64_t processors)
{
	cpu_set_t set, was;
	int error = sched_getaffinity(0, sizeof(was), &was) ? -errno : 0;

	processors_set(processors, &set);
	if (!error && sched_setaffinity(0, sizeof(set), &set))
		error = -errno;
	if (!error)
		sched_setaffinity(0, sizeof(was), &was);
	return error;
}

int limits_bind(pid_t process, uint64_t processors)
{
	cpu_set_t set;

	processors_set(processors, &set);
	return for_each_thread(process, bind_thread, &set);
}
