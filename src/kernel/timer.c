/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Timers: each processor has a heap of its own, and its local APIC is set only while something is
 * in it. The heap is a skew heap (Sleator and Tarjan, 1986): links in the timers themselves, so
 * that setting one needs no memory; merging two heaps is all there is to it.
 *
 * The APIC is not set anew for a later deadline: one interrupt that finds nothing to do costs less
 * than a write to it each time that a timer is moved or cancelled.
 */

#include <stdatomic.h>
#include <stddef.h>

#include "kernel/clock.h"
#include "kernel/cpu.h"
#include "kernel/local_apic.h"
#include "kernel/lock.h"

struct heap {
	struct lock lock;
	struct timer *first;
	uint64_t armed;		      /* what the APIC is set to */
	struct timer *_Atomic called; /* whose call runs just now */
};

static struct heap heaps[CPUS_MAX];

static struct timer *merge(struct timer *a, struct timer *b)
{
	struct timer *root = NULL, *parent = NULL, **link = &root;

	while (a && b) {
		struct timer *rest;

		if (b->deadline < a->deadline) {
			rest = a;
			a = b;
			b = rest;
		}
		*link = a;
		a->parent = parent;
		/* The children change places; the left one, which was right, is merged further. */
		rest = a->right;
		a->right = a->left;
		a->left = NULL;
		parent = a;
		link = &a->left;
		a = rest;
	}
	*link = a ? a : b;
	if (*link)
		(*link)->parent = parent;
	return root;
}

/* The lock is held. */
static void take_out(struct heap *heap, struct timer *timer)
{
	struct timer *parent = timer->parent, *rest = merge(timer->left, timer->right);

	if (rest)
		rest->parent = parent;
	if (!parent)
		heap->first = rest;
	else if (parent->left == timer)
		parent->left = rest;
	else
		parent->right = rest;
	timer->parent = timer->left = timer->right = NULL;
	timer->deadline = TIMER_NEVER;
}

static void arm(struct heap *heap)
{
	if (heap->first && heap->first->deadline < heap->armed) {
		heap->armed = heap->first->deadline;
		local_apic_timer_set(heap->armed);
	}
}

/* Locks the heap that the timer is in, or was last; NULL: it never was in one. */
static struct heap *lock_heap_of(struct timer *timer)
{
	for (;;) {
		struct cpu *cpu = __atomic_load_n(&timer->cpu, __ATOMIC_ACQUIRE);
		struct heap *heap;

		if (!cpu)
			return NULL;
		heap = cpu->timers;
		lock_take(&heap->lock);
		if (timer->cpu == cpu)
			return heap;
		lock_drop(&heap->lock);
	}
}

void timer_processor_create(struct cpu *cpu)
{
	cpu->timers = &heaps[cpu->id];
	heaps[cpu->id].armed = TIMER_NEVER;
}

void timer_init(struct timer *timer, void (*call)(struct timer *timer))
{
	*timer = (struct timer){.deadline = TIMER_NEVER, .call = call};
}

void timer_set(struct timer *timer, uint64_t deadline)
{
	struct heap *heap;

	timer_cancel(timer);
	if (deadline == TIMER_NEVER)
		return;
	heap = cpu_this()->timers;
	lock_take(&heap->lock);
	timer->deadline = deadline;
	__atomic_store_n(&timer->cpu, cpu_this(), __ATOMIC_RELEASE);
	heap->first = merge(heap->first, timer);
	arm(heap);
	lock_drop(&heap->lock);
}

void timer_cancel(struct timer *timer)
{
	struct heap *heap = lock_heap_of(timer);

	if (!heap)
		return;
	if (timer->deadline != TIMER_NEVER)
		take_out(heap, timer);
	lock_drop(&heap->lock);
}

/* Whichever processor calls it: it may have been set on another one since. Not this one, which is
 * here. */
static void await_call(const struct timer *timer)
{
	for (unsigned i = 0; i < CPUS_MAX; i++)
		while (&heaps[i] != cpu_this()->timers &&
		       atomic_load_explicit(&heaps[i].called, memory_order_acquire) == timer)
			__builtin_ia32_pause();
}

void timer_cancel_wait(struct timer *timer)
{
	/* Again, if its call has set it again. */
	do {
		timer_cancel(timer);
		await_call(timer);
	} while (timer->deadline != TIMER_NEVER);
}

void timer_interrupt(void)
{
	struct heap *heap = cpu_this()->timers;
	uint64_t now = clock_now();

	lock_take(&heap->lock);
	heap->armed = TIMER_NEVER;
	/* What is set meanwhile, to a later time, waits for the next interrupt: so this one ends.
	 */
	while (heap->first && heap->first->deadline <= now) {
		struct timer *timer = heap->first;

		take_out(heap, timer);
		atomic_store_explicit(&heap->called, timer, memory_order_relaxed);
		lock_drop(&heap->lock);
		timer->call(timer);
		atomic_store_explicit(&heap->called, NULL, memory_order_release);
		lock_take(&heap->lock);
	}
	arm(heap);
	lock_drop(&heap->lock);
}
