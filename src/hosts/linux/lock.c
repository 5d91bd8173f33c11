/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lock: one word that is free, held, or held and waited for; the kernel is asked only in the
 * third case (after Drepper, "Futexes are tricky", mutex2). Locks here are held for a microsecond,
 * and to be woken on the other core takes 40, so a short while is spent looking first.
 */
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/host.h"
#include "hosts/linux/internal.h"
#include "lib/check.h"

enum { FREE, HELD, WAITED_FOR };

#define LOOKS 200

struct lock {
	_Atomic uint32_t state;
	_Atomic uintptr_t owner; /* the thread, for the check of misuse */
};

_Static_assert(sizeof(struct lock) <= sizeof(struct host_lock), "struct host_lock is too small");

static _Thread_local char self;

static struct lock *lock_of(struct host_lock *lock)
{
	return (struct lock *)lock->opaque;
}

void futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t deadline)
{
	struct timespec until = {(time_t)(deadline / 1000000000), (long)(deadline % 1000000000)};

	/* The form with a bit set takes an absolute time of CLOCK_MONOTONIC. */
	syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
		deadline == UINT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
}

void futex_wake(_Atomic uint32_t *word, int count)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

void host_lock_init(struct host_lock *lock)
{
	atomic_store(&lock_of(lock)->state, FREE);
	atomic_store(&lock_of(lock)->owner, 0);
}

static bool lock_try(struct lock *lock)
{
	uint32_t free_state = FREE;

	return atomic_compare_exchange_strong_explicit(&lock->state, &free_state, HELD,
						       memory_order_acquire, memory_order_relaxed);
}

static void lock_slowly(struct lock *lock)
{
	for (int i = 0; i < LOOKS; i++) {
		__builtin_ia32_pause();
		if (atomic_load_explicit(&lock->state, memory_order_relaxed) == FREE &&
		    lock_try(lock))
			return;
	}
	while (atomic_exchange_explicit(&lock->state, WAITED_FOR, memory_order_acquire) != FREE)
		futex_wait(&lock->state, WAITED_FOR, UINT64_MAX);
}

void host_lock(struct host_lock *host_lock)
{
	struct lock *lock = lock_of(host_lock);

	CHECK(atomic_load_explicit(&lock->owner, memory_order_relaxed) != (uintptr_t)&self);
	if (!lock_try(lock))
		lock_slowly(lock);
	atomic_store_explicit(&lock->owner, (uintptr_t)&self, memory_order_relaxed);
}

void host_unlock(struct host_lock *host_lock)
{
	struct lock *lock = lock_of(host_lock);

	CHECK(atomic_load_explicit(&lock->owner, memory_order_relaxed) == (uintptr_t)&self);
	atomic_store_explicit(&lock->owner, 0, memory_order_relaxed);
	if (atomic_exchange_explicit(&lock->state, FREE, memory_order_release) == WAITED_FOR)
		futex_wake(&lock->state, 1);
}
