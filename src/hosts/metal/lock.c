/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lock: one word that is free, held, or held and waited for; the kernel is asked only in the
 * third case (after Drepper, "Futexes are tricky", mutex2). Locks here are held for a microsecond,
 * and to be woken takes several, so a short while is spent looking first. A lock of zeroes is free.
 */
#include <stdatomic.h>

#include "core/host.h"
#include "engines/metal/call.h"
#include "hosts/metal/stack.h"
#include "lib/check.h"

enum { FREE, HELD, WAITED_FOR };

#define LOOKS 200

struct lock {
	_Atomic uint32_t state;
	_Atomic uintptr_t owner; /* the thread, for the check of misuse */
};

_Static_assert(sizeof(struct lock) <= sizeof(struct host_lock), "struct host_lock is too small");

static struct lock *lock_of(struct host_lock *lock)
{
	return (struct lock *)lock->opaque;
}

/* A thread is known by its stack. */
static uintptr_t self(void)
{
	return (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)(METAL_STACK_SIZE - 1);
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
		METAL_CALL(METAL_WAIT, (uintptr_t)&lock->state, WAITED_FOR, UINT64_MAX);
}

void host_lock(struct host_lock *host_lock)
{
	struct lock *lock = lock_of(host_lock);

	CHECK(atomic_load_explicit(&lock->owner, memory_order_relaxed) != self());
	if (!lock_try(lock))
		lock_slowly(lock);
	atomic_store_explicit(&lock->owner, self(), memory_order_relaxed);
}

void host_unlock(struct host_lock *host_lock)
{
	struct lock *lock = lock_of(host_lock);

	CHECK(atomic_load_explicit(&lock->owner, memory_order_relaxed) == self());
	atomic_store_explicit(&lock->owner, 0, memory_order_relaxed);
	if (atomic_exchange_explicit(&lock->state, FREE, memory_order_release) == WAITED_FOR)
		METAL_CALL(METAL_WAKE, (uintptr_t)&lock->state, 1);
}
