/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A control group of this process's own (Linux, Documentation/admin-guide/cgroup-v2.rst), below one
 * that has been delegated to it: the kernel keeps limits there of all that the process does.
 */
#ifndef MANAGE_CGROUP_H
#define MANAGE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CGROUP_SELF "/proc/self/cgroup"
#define CGROUP_PATH 4096
#define CGROUP_WHY  256

/* Where it can be had; for tests, other files. */
struct cgroup_place {
	const char *root; /* where cgroup v2 is mounted */
	const char *self; /* which one the process is in, as in /proc/self/cgroup */
	const char *base; /* below root: make it there; NULL: below the one the process is in */
	const char *name; /* of the machine; NULL: none */
};

/* Descriptors of its files, -1 for what isn't there: they can be written in the sandbox. */
struct cgroup {
	bool entered;
	int cpu_max, cpu_weight, io_weight;
	char path[CGROUP_PATH];
	char why[CGROUP_WHY]; /* if it isn't entered */
};

/*
 * Makes the group and moves this process there. Before it has threads, for it may have to move
 * back. Without rights, or where cgroup v2 doesn't distribute processors, all stays as it was and
 * `why` says what is missing.
 */
void cgroup_enter(struct cgroup *cgroup, const struct cgroup_place *place);

/* Percent of one processor, 0 for none; shares (1 to 10000) of processors and disks, among the
 * groups beside this one. 0 or a negative errno. */
int cgroup_cap(const struct cgroup *cgroup, unsigned percent);
int cgroup_weight(const struct cgroup *cgroup, unsigned weight);

#endif
