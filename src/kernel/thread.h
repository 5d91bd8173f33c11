/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads: their stacks, how they begin, sleep, wake and end. Who runs when: schedule.h, queue.h.
 */
#ifndef KERNEL_THREAD_H
#define KERNEL_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/clock.h"
#include "kernel/cpu.h"
#include "kernel/lock.h"

struct process;

/* NEW ones are in no queue yet: thread_start. */
enum thread_state { THREAD_NEW, THREAD_READY, THREAD_RUNNING, THREAD_BLOCKED, THREAD_DEAD };

/* Lies at the top of its own kernel stack. */
struct thread {
	uint64_t stack_pointer; /* thread_switch.S: where its registers are while it does not run */
	uint64_t stack, stack_top; /* as stack_create made it; where its use begins */
	struct process *process;   /* NULL: a thread of the kernel */
	uint32_t id;		   /* in its process */
	_Atomic uint32_t state;	   /* enum thread_state; changed under its run queue's lock */
	struct cpu *_Atomic cpu;   /* whose run queue it is in, or last was */
	struct thread *next;	   /* of its group's threads (queue.h), or of those to be reaped */
	uint64_t virtual_time;	   /* ns, beside its siblings on the same processor (queue.c) */
	uint64_t fresh;	       /* ns that it may run ahead of others since it was woken (queue.c) */
	uint64_t since;	       /* clock_now() when it was last accounted for */
	uint64_t used;	       /* ns in all, until `since` */
	struct timer deadline; /* of a sleep */
	uint64_t wait_key;     /* METAL_WAIT: which word (wait.c) */
	struct thread *wait_next;
	bool waits;		/* it is in the wait table */
	bool homeless;		/* its processor is not one of its process's any more */
	_Atomic bool woken;	/* thread_wake came */
	struct thread *sibling; /* in its process */
	uint64_t user_entry, user_stack, user_argument;
};

/*
 * A new thread of a process, not started, not in the process's list yet; NULL: no memory. It enters
 * the process at `entry` (below METAL_USER_END). Without a process it is one of the kernel's own,
 * and `entry` is its function, which does not return.
 */
struct thread *thread_create(struct process *process, uint64_t entry, uint64_t stack,
			     uint64_t argument);
/* It never ran, or is dead and off its stack. */
void thread_destroy(struct thread *thread);

/* It takes part from now on. */
void thread_start(struct thread *thread);

/* Ends the thread that calls; the reaper (process.c) destroys it. */
_Noreturn void thread_end(void);

/*
 * Sleeps until thread_wake (which may have come before: then it returns at once), clock_now() >=
 * deadline (TIMER_NEVER: none), or its process is to end. May return early. No lock held.
 */
void thread_block(uint64_t deadline);

/* Any processor, any lock but a run queue's. */
void thread_wake(struct thread *thread);

/* If it runs on another processor, that one looks at it soon (user_return, vcpu_run). The same
 * locks. */
void thread_nudge(struct thread *thread);

/* ns of processor time, up to now. The same locks. */
uint64_t thread_time(struct thread *thread);

/* Gives the processor to whoever should have it now, perhaps the same thread. No lock held. */
void schedule(void);

/* Whether the current thread's process is to end: whoever loops in the kernel returns then. */
bool thread_must_end(void);

static inline struct thread *thread_this(void)
{
	return cpu_this()->thread;
}

#endif
