/* SPDX-License-Identifier: BSD-2-Clause */
/* Benchmarks of two tasks: with two processors, each has one of its own. */
#include "bench.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A second thread that runs `work` while the caller does the same. */
static void both(void *(*work)(void *), void *mine, void *others)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, work, others);
	if (errno)
		fail("a second thread");
	work(mine);
	pthread_join(thread, NULL);
}

struct turns {
	uint64_t count;
	_Atomic uint32_t *mine, *others; /* 1 where it is that thread's turn */
};

static void futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
	syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

/* Waits for its turn and gives it to the other; count times. */
static void *take_turns(void *argument)
{
	struct turns *turns = argument;

	for (uint64_t i = 0; i < turns->count; i++) {
		while (!atomic_load(turns->mine))
			futex(turns->mine, FUTEX_WAIT_PRIVATE, 0);
		atomic_store(turns->mine, 0);
		atomic_store(turns->others, 1);
		futex(turns->others, FUTEX_WAKE_PRIVATE, 1);
	}
	return NULL;
}

/* A turn to the other thread and back: four system calls, two sleeps. */
static void futex_round_trip(uint64_t count)
{
	_Atomic uint32_t first = 1, second = 0;
	struct turns mine = {count, &first, &second}, others = {count, &second, &first};

	both(take_turns, &mine, &others);
}

#define SHARE_EVERY 256 /* steps between two additions to what is shared */

static _Atomic uint64_t shared_counter;

/* Arithmetic of its own, and a counter of both now and then. */
static void *count_up(void *argument)
{
	uint64_t value = 1, steps = *(uint64_t *)argument * SHARE_EVERY;

	for (uint64_t i = 0; i < steps; i++) {
		value = value * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		if (i % SHARE_EVERY == 0)
			atomic_fetch_add(&shared_counter, value >> 63);
	}
	return value ? NULL : argument;
}

/* Half of the operations in each of two threads. */
static void busy_threads(uint64_t count)
{
	uint64_t half = (count + 1) / 2;

	both(count_up, &half, &half);
	sink += atomic_load(&shared_counter);
}

const struct benchmark smp_benchmarks[] = {
	{"pipe", pipe_round_trip, 100, 0},
	{"futex", futex_round_trip, 100, 0},
	{"busy", busy_threads, 100, 0},
	{NULL, NULL, 0, 0},
};
