/* SPDX-License-Identifier: BSD-2-Clause */
/* The threads of a disk: they look out for more for a moment before they sleep, and miss nothing.
 */
#include "test.h"

#include <stdatomic.h>
#include <time.h>

#include "core/device.h"
#include "storage/workers.h"

enum { ROUNDS = 300, PAIR = 2 };

struct job {
	struct plug_link link;
	atomic_bool done;
	struct job *waits_for; /* is not done before that one */
};

static void sleep_for(uint64_t nanoseconds)
{
	struct timespec time = {.tv_nsec = (long)nanoseconds};

	if (nanoseconds)
		nanosleep(&time, NULL);
}

static void wait_for(const struct job *job)
{
	while (!atomic_load(&job->done))
		sleep_for(1);
}

static void carry_out(void *owner, struct plug_link *link)
{
	struct job *job = container_of(link, struct job, link);

	if (job->waits_for)
		wait_for(job->waits_for);
	atomic_store(&job->done, true);
}

static void submit(struct workers *workers, struct job *job)
{
	REQUIRE(workers_submit(workers, &job->link) == 0);
}

/* For some rounds a thread looks out already, then it stops about now, then all sleep. */
static uint64_t pause_of(unsigned round)
{
	return round / (ROUNDS / 3) * HALT_POLL_MOST / 2;
}

/* The first of the two keeps its thread busy until another has done the second. */
TEST(two_at_once_have_a_thread_each)
{
	struct workers workers;

	workers_init(&workers, "test", carry_out, NULL);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct job jobs[PAIR] = {{.waits_for = &jobs[1]}, {.waits_for = NULL}};

		submit(&workers, &jobs[0]);
		submit(&workers, &jobs[1]);
		workers_drain(&workers);
		EXPECT(jobs[0].done && jobs[1].done);
		sleep_for(pause_of(round));
	}
	workers_end(&workers);
}

TEST(threads_that_look_out_end)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct workers workers;
		struct job jobs[PAIR] = {0};

		workers_init(&workers, "test", carry_out, NULL);
		submit(&workers, &jobs[0]);
		wait_for(&jobs[0]);
		submit(&workers, &jobs[1]);
		if (round % 2)
			wait_for(&jobs[1]);
		workers_end(&workers);
		EXPECT(jobs[0].done && jobs[1].done);
	}
}

TEST(nobody_looks_out_behind_a_long_pause)
{
	struct workers workers;
	struct job jobs[PAIR] = {0};

	workers_init(&workers, "test", carry_out, NULL);
	submit(&workers, &jobs[0]);
	workers_drain(&workers);
	sleep_for(HALT_POLL_MOST * 20);
	submit(&workers, &jobs[1]);
	workers_drain(&workers);
	EXPECT_EQ(workers.rest.window, 0);
	EXPECT(!workers.looking);
	workers_end(&workers);
}

/* One after the other, a thread waits for the next: at least once in so many it comes in time. */
TEST(what_comes_soon_is_looked_out_for)
{
	struct workers workers;
	uint64_t window = 0;

	workers_init(&workers, "test", carry_out, NULL);
	for (unsigned i = 0; i < 10000 && !window; i++) {
		struct job job = {.waits_for = NULL};

		submit(&workers, &job);
		workers_drain(&workers);
		window = workers.rest.window;
	}
	EXPECT(window > 0 && window <= HALT_POLL_MOST);
	workers_end(&workers);
}
