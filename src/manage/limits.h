/* SPDX-License-Identifier: BSD-2-Clause */
/* What a machine may take of this host's processors. */
#ifndef MANAGE_LIMITS_H
#define MANAGE_LIMITS_H

#include <stdint.h>
#include <sys/types.h>

#include "hosts/linux/cap.h"
#include "manage/cgroup.h"

struct options;
struct vm;

/* Those of the machine in this process. */
struct limits {
	unsigned cap; /* percent of one processor, for the whole process; 0: none */
	unsigned weight;
	struct cgroup group; /* entered: keeps both; a weight counts among the groups beside it */
	struct cap own;	     /* not entered: keeps the cap */
};

/*
 * Binds this process, and the threads that it makes later, to options->processors, and gives it the
 * share that options->weight says: by its nice value, and, if it is asked for a share or a cap and
 * may have a control group ($LODGE_CGROUP, or below its own), by that. An exit status, after a
 * complaint: none of the processors is here. A share above the usual one that isn't allowed is
 * told, and no reason not to run.
 */
int limits_apply(struct limits *limits, const struct options *options);

/* The cap counts from now on. 0 or a negative errno. The vm is attached to its loop; vm's lock
 * held.
 */
int limits_cap(struct limits *limits, struct vm *vm, unsigned percent);

/* The weight of the control group; without one nothing happens, and nice values are the caller's.
 */
int limits_weight(struct limits *limits, unsigned weight);

/* Before the vm is detached. */
void limits_end(struct limits *limits);

/* Another process's share, and which processors it may run on: all threads of it. 0 or a negative
 * errno; -EACCES: a smaller nice value is for root alone. */
int limits_share_of(pid_t process, unsigned weight);
int limits_bind(pid_t process, uint64_t processors);

/* Whether this host would let us: one of them is there. 0 or a negative errno. */
int limits_bind_check(uint64_t processors);

/* The nice value (setpriority(2)) whose share is nearest to weight hundredths of the usual one. */
int limits_nice(unsigned weight);

#endif
