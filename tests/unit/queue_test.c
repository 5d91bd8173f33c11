/* SPDX-License-Identifier: BSD-2-Clause */
/* Who runs next, in simulated time: shares by weight, caps, pauses, and how soon a woken thread
 * runs. */
#include "test.h"

#include <stddef.h>

#include "kernel/queue.h"

#define MS	UINT64_C(1000000)
#define SECOND	(1000 * MS)
#define START	(100 * SECOND)
#define MAX	8
#define FOREVER UINT64_MAX

static struct cpu cpus[2];
static struct queue queues[2];
static struct process processes[MAX];
static union {
	struct share share;
	uint8_t room[sizeof(struct share) + 2 * sizeof(struct group)];
} shares[MAX];
static struct thread threads[MAX];
static uint64_t now;

static void begin(void)
{
	now = START;
	for (unsigned i = 0; i < 2; i++) {
		cpus[i].id = i;
		queue_init(&queues[i], &cpus[i]);
	}
}

static struct process *machine(unsigned number, uint32_t weight, uint32_t cap)
{
	struct process *process = &processes[number];

	*process = (struct process){.id = number + 1};
	process->set = (struct metal_process_set){
		.start = 1, .weight = weight, .cap = cap, .processors = 3};
	process->accounting = &shares[number].share;
	share_init(&shares[number].share, process, 2);
	return process;
}

static struct thread *thread(unsigned number, struct process *process, struct queue *queue)
{
	threads[number] = (struct thread){.process = process, .state = THREAD_READY};
	queue_put(queue, &threads[number], true, now);
	threads[number].fresh = 0; /* it has run for a while */
	return &threads[number];
}

/* All queues, on processors that run at the same time, for so long; threads never sleep. */
static void run(unsigned processors, uint64_t time)
{
	uint64_t end = now + time;
	unsigned steps = 0;

	while (now < end) {
		uint64_t next = end;

		if (++steps > 1000000) {
			FAIL("it looks without end");
			return;
		}
		for (unsigned i = 0; i < processors; i++) {
			struct queue *queue = &queues[i];

			if (!queue->running)
				queue_pick(queue, now);
			if (queue->look < next)
				next = queue->look;
		}
		now = next > now ? next : now + 1;
		for (unsigned i = 0; i < processors; i++) {
			struct thread *running = queues[i].running;

			queue_charge(&queues[i], now);
			if (now < queues[i].look && now < end)
				continue;
			queue_stop(&queues[i]);
			if (running)
				queue_put(&queues[i], running, false, now);
		}
	}
}

/* Within 2% of so many thousandths of the time. */
static void expect_share(uint64_t used, uint64_t time, uint64_t thousandths)
{
	uint64_t wanted = time / 1000 * thousandths;

	if (used > wanted + wanted / 50 || used < wanted - wanted / 50)
		FAIL("%llu us of %llu us instead of %llu us", (unsigned long long)used / 1000,
		     (unsigned long long)time / 1000, (unsigned long long)wanted / 1000);
}

TEST(weights_are_shares)
{
	begin();
	for (unsigned i = 0; i < 3; i++)
		thread(i, machine(i, 100u << i, 0), &queues[0]);
	run(1, SECOND);
	expect_share(threads[0].used, SECOND, 143);
	expect_share(threads[1].used, SECOND, 286);
	expect_share(threads[2].used, SECOND, 571);
}

TEST(extreme_weights_are_shares)
{
	begin();
	thread(0, machine(0, 1, 0), &queues[0]);
	thread(1, machine(1, 9999, 0), &queues[0]);
	run(1, 1000 * SECOND);
	EXPECT(threads[0].used > 80 * MS && threads[0].used < 120 * MS);
}

TEST(threads_of_a_machine_share_its_weight)
{
	struct process *one, *two;

	begin();
	one = machine(0, 100, 0);
	two = machine(1, 100, 0);
	thread(0, one, &queues[0]);
	thread(1, two, &queues[0]);
	thread(2, two, &queues[0]);
	thread(3, two, &queues[0]);
	run(1, 3 * SECOND);
	expect_share(threads[0].used, 3 * SECOND, 500);
	for (unsigned i = 1; i < 4; i++)
		expect_share(threads[i].used, 3 * SECOND, 167);
}

TEST(a_cap_holds_for_who_is_alone)
{
	static const uint32_t caps[] = {1, 10, 25, 50, 90, 99};

	for (unsigned i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		begin();
		thread(0, machine(0, 100, caps[i]), &queues[0]);
		run(1, 5 * SECOND);
		expect_share(threads[0].used, 5 * SECOND, caps[i] * 10);
	}
}

TEST(a_cap_of_a_quarter_holds_over_a_second)
{
	begin();
	thread(0, machine(0, 100, 25), &queues[0]);
	thread(1, machine(1, 100, 0), &queues[0]);
	run(1, SECOND);
	expect_share(threads[0].used, SECOND, 250);
	expect_share(threads[1].used, SECOND, 750);
}

TEST(a_cap_below_the_share_leaves_the_rest_to_others)
{
	begin();
	thread(0, machine(0, 400, 25), &queues[0]);
	thread(1, machine(1, 100, 0), &queues[0]);
	thread(2, machine(2, 200, 0), &queues[0]);
	run(1, 4 * SECOND);
	expect_share(threads[0].used, 4 * SECOND, 250);
	expect_share(threads[1].used, 4 * SECOND, 250);
	expect_share(threads[2].used, 4 * SECOND, 500);
}

TEST(a_cap_counts_all_processors)
{
	static const uint32_t caps[] = {25, 100, 150};

	for (unsigned i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		struct process *process;

		begin();
		process = machine(0, 100, caps[i]);
		thread(0, process, &queues[0]);
		thread(1, process, &queues[1]);
		run(2, 4 * SECOND);
		expect_share(threads[0].used + threads[1].used, 4 * SECOND, caps[i] * 10);
	}
}

TEST(nobody_looks_where_one_thread_runs)
{
	begin();
	thread(0, machine(0, 100, 0), &queues[0]);
	EXPECT_EQ(queue_pick(&queues[0], now), &threads[0]);
	EXPECT_EQ(queues[0].look, QUEUE_NEVER);
	EXPECT(!queue_pick(&queues[1], now));
	EXPECT_EQ(queues[1].look, QUEUE_NEVER);
}

TEST(a_slice_is_at_most_five_milliseconds)
{
	begin();
	thread(0, machine(0, 100, 0), &queues[0]);
	thread(1, machine(1, 100, 0), &queues[0]);
	queue_pick(&queues[0], now);
	EXPECT_EQ(queues[0].look, now + 5 * MS);
}

/* Sleeps with the others going on, then wakes. Whether it should run at once. */
static bool wakes(unsigned number, uint64_t sleep)
{
	run(1, sleep);
	/* run() leaves nobody running. */
	queue_pick(&queues[0], now);
	now += MS;
	queue_charge(&queues[0], now);
	queue_put(&queues[0], &threads[number], true, now);
	return queue_preempts(&queues[0], &threads[number], now);
}

TEST(who_slept_runs_at_once)
{
	begin();
	machine(2, 1, 0);
	threads[2] = (struct thread){.process = &processes[2]};
	thread(0, machine(0, 100, 0), &queues[0]);
	thread(1, machine(1, 10000, 0), &queues[0]);
	EXPECT(wakes(2, SECOND));
	queue_charge(&queues[0], now);
	queue_stop(&queues[0]);
	EXPECT_EQ(queue_pick(&queues[0], now), &threads[2]);
	/* Not for long. */
	EXPECT(queues[0].look <= now + QUEUE_FRESH);
}

TEST(sleep_is_not_saved_up)
{
	uint64_t before;

	begin();
	machine(1, 100, 0);
	threads[1] = (struct thread){.process = &processes[1]};
	thread(0, machine(0, 100, 0), &queues[0]);
	run(1, 10 * SECOND);
	queue_put(&queues[0], &threads[1], true, now);
	before = threads[0].used;
	run(1, SECOND);
	expect_share(threads[0].used - before, SECOND, 500);
}

TEST(a_device_thread_runs_before_its_busy_vcpu_and_others)
{
	struct process *process;

	begin();
	process = machine(0, 100, 0);
	threads[2] = (struct thread){.process = process};
	thread(0, process, &queues[0]);
	thread(1, machine(1, 100, 0), &queues[0]);
	for (unsigned i = 0; i < 20; i++) {
		EXPECT(wakes(2, 7 * MS * (i + 1)));
		queue_charge(&queues[0], now);
		queue_put(&queues[0], queues[0].running == &threads[0] ? &threads[0] : &threads[1],
			  false, now);
		queue_stop(&queues[0]);
		EXPECT_EQ(queue_pick(&queues[0], now), &threads[2]);
		now += MS / 10;
		queue_charge(&queues[0], now);
		queue_stop(&queues[0]); /* sleeps */
	}
}

/* Wakes over and over, to run ahead: it may not get more than its share by that. */
TEST(waking_often_gains_nothing)
{
	begin();
	machine(1, 100, 0);
	thread(0, machine(0, 100, 0), &queues[0]);
	threads[1] = (struct thread){.process = &processes[1]};
	for (uint64_t end = now + 2 * SECOND; now < end;) {
		struct thread *running;

		queue_put(&queues[0], &threads[1], true, now);
		do {
			running = queue_pick(&queues[0], now);
			now += MS / 2;
			queue_charge(&queues[0], now);
			queue_stop(&queues[0]);
			if (running == &threads[0])
				queue_put(&queues[0], running, false, now);
		} while (running != &threads[1]);
	}
	EXPECT(threads[1].used < 1040 * MS);
}

TEST(a_paused_machine_does_not_run)
{
	struct process *process;
	uint64_t before;

	begin();
	process = machine(0, 100, 0);
	thread(0, process, &queues[0]);
	thread(1, machine(1, 100, 0), &queues[0]);
	process->set.paused = 1;
	run(1, SECOND);
	EXPECT_EQ(threads[0].used, 0);
	EXPECT_EQ(threads[1].used, SECOND);
	/* And has saved nothing up. */
	process->set.paused = 0;
	before = threads[1].used;
	run(1, SECOND);
	expect_share(threads[0].used, SECOND, 500);
	expect_share(threads[1].used - before, SECOND, 500);
}

TEST(who_is_to_end_runs_paused_or_capped)
{
	struct process *process;

	begin();
	process = machine(0, 1, 1);
	thread(0, process, &queues[0]);
	thread(1, machine(1, 10000, 0), &queues[0]);
	run(1, SECOND);
	process->set.paused = 1;
	process->ending = true;
	EXPECT_EQ(queue_pick(&queues[0], now), &threads[0]);
}

TEST(a_busy_processor_offers_what_may_run_elsewhere)
{
	struct process *pinned, *paused;

	begin();
	pinned = machine(0, 100, 0);
	pinned->set.processors = 1;
	paused = machine(1, 100, 0);
	paused->set.paused = 1;
	thread(0, pinned, &queues[0]);
	thread(1, paused, &queues[0]);
	EXPECT(!queue_offer(&queues[0], 1, now));
	thread(2, machine(2, 100, 0), &queues[0]);
	EXPECT_EQ(queue_offer(&queues[0], 1, now), &threads[2]);
}

TEST(the_clock_of_shares_may_wrap)
{
	begin();
	queues[0].minimum = UINT64_MAX - SECOND;
	for (unsigned i = 0; i < 2; i++) {
		struct process *process = machine(i, 100, 0);

		shares[i].share.group[0].virtual_time = queues[0].minimum;
		thread(i, process, &queues[0]);
	}
	run(1, SECOND);
	expect_share(threads[0].used, SECOND, 500);
}
