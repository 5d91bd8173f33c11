/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Timers: one deadline in nanoseconds of guest time (vm_time) and what to call. Guest time stands
 * still while the vm is paused. All functions are called with the vm's lock held; callbacks run
 * with it held.
 */
#ifndef CORE_TIMER_H
#define CORE_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct vm;

struct timer {
	struct vm *vm;
	void (*expired)(struct timer *timer);
	uint64_t deadline; /* guest time, ns; UINT64_MAX: not armed */
	unsigned place;	   /* in the vm's heap, while armed */
};

#define TIMER_NEVER UINT64_MAX
#define TIMERS_MAX  512

struct timers {
	bool running; /* timers_run is at work, and will ask the host for the next wake-up at its
			 end */
	unsigned count;
	struct timer *heap[TIMERS_MAX];
};

void timer_init(struct timer *timer, struct vm *vm, void (*expired)(struct timer *timer));

/* Arms (or moves) it; a deadline in the past expires soon; TIMER_NEVER disarms. */
void timer_set(struct timer *timer, uint64_t deadline);
bool timer_armed(const struct timer *timer);

/* Asks the host for a wake-up at the earliest deadline. For core, after guest time has been moved.
 */
void timers_wake(struct vm *vm);

/* Calls what is due, then asks the host for the next wake-up. The host calls this. */
void timers_run(struct vm *vm);

#endif
