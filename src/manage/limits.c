/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shares without any rights: by nice values, of which each step is a factor of 1.25 (sched(7)).
 * Where Linux groups processes by session (autogroup), the group of ours, which has a session of
 * its own, has the share, so it is set there too.
 */
#include "manage/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/host.h"
#include "machines/machine_file.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"

#define NICE_LEAST (-20)
#define NICE_MOST  19

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

static void set_share(unsigned weight)
{
	/* On top of what whoever started us has given us. */
	int nice = limits_nice(weight) + getpriority(PRIO_PROCESS, 0), fd;
	char text[16];

	nice = nice > NICE_MOST ? NICE_MOST : nice;
	if (setpriority(PRIO_PROCESS, 0, nice)) {
		host_log(LOG_WARNING, "weight %u: more than %u is for root alone: it counts as %u",
			 weight, MACHINE_WEIGHT_USUAL, MACHINE_WEIGHT_USUAL);
		return;
	}
	fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* this kernel doesn't group */
	snprintf(text, sizeof(text), "%d", nice);
	(void)!write(fd, text, strlen(text));
	close(fd);
}

int limits_apply(const struct options *options)
{
	cpu_set_t set;

	if (options->weight && options->weight != MACHINE_WEIGHT_USUAL)
		set_share(options->weight);
	if (!options->processors || options->processors == UINT64_MAX)
		return LODGE_OK;
	CPU_ZERO(&set);
	for (unsigned i = 0; i < 64; i++)
		if (options->processors >> i & 1)
			CPU_SET(i, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		return complain_with(LODGE_HOST_LACKS,
				     "processors: this host lets us use none of them (nproc says "
				     "how many there are): %s",
				     strerror(errno));
	return LODGE_OK;
}
