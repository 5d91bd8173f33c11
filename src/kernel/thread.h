/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads, and the scheduler that shares the processors among them (schedule.c tells how). */
#ifndef KERNEL_THREAD_H
#define KERNEL_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/clock.h"
#include "kernel/cpu.h"
#include "kernel/lock.h"

struct process;
struct vcpu;

enum thread_state { THREAD_READY, THREAD_RUNNING, THREAD_BLOCKED, THREAD_DEAD };

struct thread {
	uint64_t stack_pointer; /* switch.S: where its registers are while it does not run */
	uint64_t stack_top;
	struct process *process; /* NULL: an idle thread */
	uint32_t id;		 /* in its process */
	_Atomic uint32_t state;	 /* enum thread_state; changed under its run queue's lock */
	struct cpu *cpu;	 /* whose run queue it is in, or last was */
	struct thread *next;	 /* in the list that it is in: a run queue or a wait bucket */
	uint64_t virtual_time;	 /* ns used, divided by weight */
	uint64_t since;		 /* clock_now() when it began to run */
	uint64_t used;		 /* ns in all */
	struct vcpu *vcpu;	 /* in METAL_VCPU_RUN: which */
	struct timer deadline;	 /* of a sleep */
	uint64_t wait_key;	 /* METAL_WAIT: the word's physical address */
	struct thread *wait_next;
	_Atomic bool woken;	 /* thread_wake came */
	struct thread *sibling;	 /* in its process */
	uint64_t user_entry, user_stack, user_argument;
};

/*
 * Sleeps until thread_wake (which may have come before: then it returns at once), clock_now() >=
 * deadline (TIMER_NEVER: none), or its process is to end. May return early. No lock held.
 */
void thread_block(uint64_t deadline);

/* Any processor, any lock but a run queue's. */
void thread_wake(struct thread *thread);

/* Gives the processor to whoever should have it now, perhaps the same thread. No lock held. */
void schedule(void);

/* Whether the current thread's process is to end: whoever loops in the kernel returns then. */
bool thread_must_end(void);

static inline struct thread *thread_this(void)
{
	return cpu_this()->thread;
}

#endif
