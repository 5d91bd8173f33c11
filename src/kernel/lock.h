/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spinlocks. The kernel runs with interrupts off always (but in the idle loop), so they need not
 * care for interrupts. Held for microseconds; never while user memory is touched, never across a
 * switch of threads but for the run queue's own.
 *
 * Whoever comes first when it is free gets it, not whoever has waited longest: with turns, one
 * waiter whose processor is not running (under an emulator, or a hypervisor below us) stops all
 * others until it is. They are held too shortly for anybody to starve.
 *
 * Order, outermost first: a process's lock, a vm's APIC lock, the wait table's buckets, a run
 * queue, timers, the frame allocator, the log, the serial line.
 */
#ifndef KERNEL_LOCK_H
#define KERNEL_LOCK_H

#include <stdatomic.h>
#include <stdint.h>

struct lock {
	_Atomic uint32_t held;
};

static inline void lock_take(struct lock *lock)
{
	while (atomic_exchange_explicit(&lock->held, 1, memory_order_acquire))
		while (atomic_load_explicit(&lock->held, memory_order_relaxed))
			__builtin_ia32_pause();
}

static inline void lock_drop(struct lock *lock)
{
	atomic_store_explicit(&lock->held, 0, memory_order_release);
}

#endif
