/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For how long a halted vcpu looks out for what it waits for before its thread sleeps. To sleep and
 * be woken takes the host tens of microseconds, and that is the better part of the time of two
 * guest tasks that wait for each other. So it is worth it to look as long as events come that soon;
 * an idle guest has none, and doesn't look at all.
 */
#ifndef CORE_HALT_H
#define CORE_HALT_H

#include <stdbool.h>
#include <stdint.h>

#define HALT_POLL_MOST UINT64_C(100000) /* ns */

/* Zeroed: does not look. Of the vcpu's thread. */
struct halt {
	uint64_t window;  /* ns to look for at the next hlt: HALT_POLL_MOST at the most */
	uint32_t barred;  /* so many hlts that are not to look, for it was in vain lately */
	uint32_t caution; /* how many there are to be when it is in vain again, */
	uint32_t trust;	  /* but for so many hits that may pay for it */
};

/* For how many nanoseconds to look at this hlt. */
uint64_t halt_window(struct halt *halt);

/* The event came `nanoseconds` after the hlt, the looking included. */
void halt_ended(struct halt *halt, uint64_t nanoseconds);

/* It was looked: whether the event came, or else whether others wanted the processor meanwhile. */
void halt_looked(struct halt *halt, bool came, bool crowded);

#endif
