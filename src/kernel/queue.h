/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of one processor's run queue: virtual time, weights, caps. Pure: it changes only what
 * it is given, and time is an argument. Whoever calls holds the queue's lock.
 *
 * A queue has groups: the threads of one process on this processor. Groups share the processor by
 * their machines' weights, the threads of a group share what it gets evenly. (So a machine with two
 * busy threads on a processor gets no more than one with one; on each processor where it runs, it
 * has its weight.) A cap holds for the machine on all processors together.
 */
#ifndef KERNEL_QUEUE_H
#define KERNEL_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/process.h"
#include "kernel/thread.h"

#define QUEUE_SLICE UINT64_C(5000000) /* ns, while others want the processor or a cap applies */
#define QUEUE_FRESH UINT64_C(1000000) /* ns that a woken thread may run ahead */
#define QUEUE_NEVER TIMER_NEVER

struct group {
	struct process *process; /* NULL: the kernel's threads */
	uint64_t virtual_time;	 /* ns used, divided by weight, times QUEUE_SCALE; wraps */
	uint64_t minimum;	 /* of its threads' virtual times; never goes back */
	struct thread *ready;	 /* those that wait for the processor; ascending virtual time */
	struct group *next;	 /* of those with such threads */
	bool apart;		 /* it did not want to run, or could not, until now */
};

/* All that the scheduler knows of a process (process->accounting). */
struct share {
	_Atomic uint64_t paid_until; /* the time whose allowance has been used */
	_Atomic uint32_t running;    /* of its threads, now */
	_Atomic uint32_t ready;	     /* those that wait for a processor */
	_Atomic bool throttled;
	struct group group[]; /* one for each processor */
};

struct queue {
	struct lock lock;
	struct cpu *cpu;
	uint64_t minimum;	/* of its groups' virtual times; never goes back; wraps */
	struct group *groups;	/* with threads that are ready */
	struct thread *running; /* NULL: none (the idle thread) */
	_Atomic unsigned ready; /* threads that wait, paused and throttled ones included */
	_Atomic unsigned load;	/* threads that run or could, as queue_pick found it */
	uint64_t look;		/* when queue_pick should be asked again; QUEUE_NEVER */
	struct group kernel;
	struct timer timer;
	struct thread *previous; /* schedule.c: whom the running one was switched from */
	struct process *loaded;	 /* schedule.c: whose page tables the processor has */
};

void queue_init(struct queue *queue, struct cpu *cpu);
void share_init(struct share *share, struct process *process, unsigned processors);

/* A ready thread joins; the running one has been charged. woken: it has slept, and should get on
 * quickly. */
void queue_put(struct queue *queue, struct thread *thread, bool woken, uint64_t now);

/* A ready thread leaves. */
void queue_remove(struct queue *queue, struct thread *thread);

/* The running thread (if any) has run until now. */
void queue_charge(struct queue *queue, uint64_t now);

/* The running thread (charged) is not that any more; it is in no list then. */
void queue_stop(struct queue *queue);

/* Takes out who should run now and makes it the running one; NULL: nobody can. Sets `look`. */
struct thread *queue_pick(struct queue *queue, uint64_t now);

/* Whether this ready thread of the queue should have the processor rather than who runs. */
bool queue_preempts(struct queue *queue, const struct thread *thread, uint64_t now);

/* A ready thread that may run on that processor, best one to be moved there; NULL: none. */
struct thread *queue_offer(struct queue *queue, unsigned processor, uint64_t now);

/* Whether the process's threads may run on that processor, and whether they may run at all now. */
bool process_allows(const struct process *process, unsigned processor);
bool process_eligible(struct process *process, uint64_t now);

#endif
