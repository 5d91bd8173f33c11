/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine's cap where the kernel is not asked to keep it: this process looks at its processor
 * time (CLOCK_PROCESS_CPUTIME_ID) from the event loop, as often as core/allowance.h says, and holds
 * the vcpus back. Nothing of it is there while no cap is set.
 */
#ifndef HOSTS_LINUX_CAP_H
#define HOSTS_LINUX_CAP_H

#include "core/allowance.h"
#include "hosts/linux/loop.h"

/* Zeroed: none has been set. */
struct cap {
	struct vm *vm;
	struct loop_watch watch; /* of a timer */
	bool opened;
	struct allowance allowance;
};

/* Percent of one processor that the process may use at most from now on; 0: any. The vm is attached
 * to its loop, where the cap is looked after. 0 or a negative errno. Vm's lock held. */
int cap_set(struct cap *cap, struct vm *vm, unsigned percent);

/* Before the vm is detached. */
void cap_end(struct cap *cap);

#endif
