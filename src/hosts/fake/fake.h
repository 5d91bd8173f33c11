/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host of the unit tests: a clock that moves only when told, a log to read, locks that notice
 * misuse, one thread. A failed CHECK prints its condition on stderr and aborts.
 */
#ifndef HOSTS_FAKE_FAKE_H
#define HOSTS_FAKE_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/host.h"

#define FAKE_START UINT64_C(1000000000) /* host_now() when a test begins, ns */
#define FAKE_WALL_START                                                                            \
	UINT64_C(1700000000000000000) /* host_wall_clock() then: 2023-11-14 22:13:20 UTC */
#define FAKE_TSC_FREQUENCY UINT64_C(2000000000) /* two ticks a nanosecond */

/*
 * Moves the clock on by so many nanoseconds. On the way it stops at each deadline of host_wake_at
 * and runs that vm's timers (with its lock held).
 */
void fake_advance(uint64_t nanoseconds);

/* The deadline last asked for by the vm's timers, UINT64_MAX for none; and how often one was asked
 * for by any vm. */
uint64_t fake_deadline(const struct vm *vm);
unsigned fake_wake_requests(void);

/*
 * Called when a vcpu waits with no wake-up on its way: the test posts what the vcpu waits for.
 * host_vcpu_wait first moves the clock to the next deadline if there is one. Without a hook (or if
 * it did not wake the vcpu) the vm is stopped: VM_KILLED, and the log says so.
 */
void fake_on_idle(void (*idle)(struct vcpu *vcpu));

/*
 * Called when a vcpu looks out for an event for so long, instead of the clock being moved to the
 * next deadline or to the end of that time: the test moves it, and may post the event.
 */
void fake_on_poll(void (*poll)(struct vcpu *vcpu, uint64_t nanoseconds));

/* Looking out fails at once from now on, or no longer: others want the processor. */
void fake_crowd(bool crowd);

/* How often host_vm_notify was called. */
unsigned fake_notifications(void);

/* All lines logged so far, each as `LEVEL: text\n`, with LEVEL one of error, warning, info, debug.
 * The oldest go when it is full. */
const char *fake_log(void);
void fake_log_clear(void);
/* How many lines of that level since the start or the last clear. */
unsigned fake_log_count(enum host_log_level level);

/* Whether somebody holds the lock. */
bool fake_lock_held(const struct host_lock *lock);

/* Makes the next host_pages or host_guest_memory calls fail: `after` succeed, all later ones give
 * NULL; -1: none fails. */
void fake_memory_fails(int after);

/* Bytes got from host_pages and host_guest_memory and not given back. */
size_t fake_memory_in_use(void);

#endif
