/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spinlocks. The kernel runs with interrupts off always (but in the idle loop), so they need not care
 * for interrupts. Held for microseconds; never while user memory is touched, never across a switch
 * of threads but for the run queue's own.
 *
 * Order, outermost first: a process's lock, a vm's APIC lock, the wait table's buckets, a run queue,
 * timers, the frame allocator, the log, the serial line.
 */
#ifndef KERNEL_LOCK_H
#define KERNEL_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lock {
	_Atomic uint32_t next, serving; /* tickets: first come, first served */
};

static inline void lock_take(struct lock *lock)
{
	uint32_t ticket = atomic_fetch_add_explicit(&lock->next, 1, memory_order_relaxed);

	while (atomic_load_explicit(&lock->serving, memory_order_acquire) != ticket)
		__builtin_ia32_pause();
}

static inline void lock_drop(struct lock *lock)
{
	uint32_t serving = atomic_load_explicit(&lock->serving, memory_order_relaxed);

	atomic_store_explicit(&lock->serving, serving + 1, memory_order_release);
}

static inline bool lock_held(struct lock *lock)
{
	return atomic_load_explicit(&lock->next, memory_order_relaxed) !=
	       atomic_load_explicit(&lock->serving, memory_order_relaxed);
}

#endif
