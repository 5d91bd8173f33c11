/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk in front of another: limits, and writes that wait for room. */
#include "test.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/device.h"
#include "core/host.h"
#include "core/vm.h"
#include "storage/hold.h"

#define SECOND UINT64_C(1000000000)
#define KIB    1024u

/* The disk below: done at once, with an error for writes while it is full; counts what comes. */
static atomic_uint came, came_flushes, closed, drained;
static atomic_int full;
static atomic_bool defer;
static struct disk_request *deferred[64];
static atomic_uint deferred_count;

static int below_submit(struct disk *disk, struct disk_request *request)
{
	atomic_fetch_add(request->operation == DISK_FLUSH ? &came_flushes : &came, 1);
	if (atomic_load(&defer)) {
		deferred[atomic_fetch_add(&deferred_count, 1)] = request;
		return DISK_PENDING;
	}
	return request->operation == DISK_READ ? 0 : -atomic_load(&full);
}

/* The end of what was deferred: what a drain waits for. */
static void finish_deferred(void)
{
	unsigned count = atomic_exchange(&deferred_count, 0);

	for (unsigned i = 0; i < count; i++)
		deferred[i]->done(deferred[i], deferred[i]->operation == DISK_READ ? 0 : -full);
}

static void below_drain(struct disk *disk)
{
	atomic_fetch_add(&drained, 1);
	finish_deferred();
}

static void below_close(struct disk *disk)
{
	atomic_fetch_add(&closed, 1);
}

static const struct disk_ops below_ops = {
	.submit = below_submit, .drain = below_drain, .close = below_close};
static struct disk below = {.ops = &below_ops, .size = 1 << 30, .block_size = 512};
static struct disk *disk;
static struct vm vm;

/* What hold tells of writes that wait: how often they began to, and ended. */
static atomic_uint told_waiting, told_going;
static atomic_int told_error;

static void waits(void *owner, struct disk *one, bool waiting, int error)
{
	EXPECT(owner == &vm && one == disk);
	atomic_store(&told_error, error);
	atomic_fetch_add(waiting ? &told_waiting : &told_going, 1);
}

static void start_with(enum hold_full when_full, struct hold_limits limits)
{
	struct hold_config config = {
		.limits = limits, .when_full = when_full, .waits = waits, .owner = &vm};

	host_lock_init(&vm.lock);
	REQUIRE(hold_open(&below, &vm, &config, &disk) == 0);
	strcpy(disk->serial, "test");
}

static void stop(void)
{
	disk->ops->close(disk);
	EXPECT_EQ(closed, 1);
}

/* Requests that note when and how they ended. */
#define REQUESTS 64
static struct one {
	struct disk_request request;
	atomic_int result;
	atomic_uint done;
} ones[REQUESTS];
static atomic_uint done_count;

static void note(struct disk_request *request, int result)
{
	struct one *one = container_of(request, struct one, request);

	atomic_store(&one->result, result);
	atomic_fetch_add(&one->done, 1);
	atomic_fetch_add(&done_count, 1);
}

static void submit(unsigned i, enum disk_operation operation, uint64_t length)
{
	int result;

	ones[i].done = 0;
	ones[i].request =
		(struct disk_request){.operation = operation, .length = length, .done = note};
	result = disk->ops->submit(disk, &ones[i].request);
	if (result != DISK_PENDING)
		note(&ones[i].request, result);
}

static void rest(unsigned milliseconds)
{
	nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000L}, NULL);
}

/* Up to five seconds. */
static bool comes(atomic_uint *count, unsigned wanted)
{
	for (unsigned i = 0; i < 5000 && *count < wanted; i++)
		rest(1);
	return *count >= wanted;
}

static void pause_vm(bool pause)
{
	vm_lock(&vm);
	vm.pausing = vm.paused = pause;
	vm_unlock(&vm);
}

TEST(without_limits_everything_passes_at_once)
{
	struct hold_counts counts;

	start_with(HOLD_FULL_WAIT, (struct hold_limits){0});
	for (unsigned i = 0; i < REQUESTS; i++)
		submit(i, i % 2 ? DISK_WRITE : DISK_READ, 4 * KIB);
	EXPECT_EQ(done_count, REQUESTS);
	submit(0, DISK_FLUSH, 0);
	submit(1, DISK_DISCARD, 4 * KIB);
	hold_counts(disk, &counts);
	EXPECT_EQ(counts.reads, 32);
	EXPECT_EQ(counts.writes, 32);
	EXPECT_EQ(counts.flushes, 1);
	EXPECT_EQ(counts.discards, 1);
	EXPECT_EQ(counts.read_bytes, 128 * KIB);
	EXPECT_EQ(counts.written_bytes, 128 * KIB);
	EXPECT_EQ(counts.held, 0);
	stop();
}

TEST(bytes_a_second_hold_and_come_in_their_order)
{
	/* 64 requests of 16 KiB at 2 MiB/s: 200 KiB at once, the rest in 0.4 s. */
	uint64_t begin = host_now(), took;
	struct hold_counts counts;

	start_with(HOLD_FULL_WAIT, (struct hold_limits){.rate = 2 << 20});
	for (unsigned i = 0; i < REQUESTS; i++)
		submit(i, i % 2 ? DISK_WRITE : DISK_READ, 16 * KIB);
	EXPECT(done_count >= 12 && done_count < 20);
	while (done_count < REQUESTS) {
		unsigned i = 0;

		while (i < REQUESTS && ones[i].done)
			i++;
		for (i = i + 2; i < REQUESTS; i++)
			EXPECT(!ones[i].done || done_count > i - 2);
		rest(1);
	}
	took = host_now() - begin;
	EXPECT(took > SECOND / 1000 * 380);
	EXPECT(took < SECOND * 2);
	hold_counts(disk, &counts);
	EXPECT(counts.held >= 44);
	EXPECT_EQ(counts.reads + counts.writes, REQUESTS);
	stop();
}

TEST(operations_a_second_hold_and_burst_passes)
{
	uint64_t begin = host_now();

	start_with(HOLD_FULL_WAIT, (struct hold_limits){.operations = 40, .operations_burst = 40});
	for (unsigned i = 0; i < 60; i++)
		submit(i, DISK_READ, 512);
	EXPECT(done_count >= 41 && done_count <= 44);
	EXPECT(comes(&done_count, 60));
	EXPECT(host_now() - begin > SECOND / 1000 * 400);
	stop();
}

TEST(flush_and_direct_pass_what_is_held)
{
	start_with(HOLD_FULL_WAIT, (struct hold_limits){.rate = 1});
	submit(0, DISK_WRITE, 1 << 20);
	submit(1, DISK_WRITE, 512);
	EXPECT_EQ(done_count, 1);
	submit(2, DISK_FLUSH, 0);
	EXPECT_EQ(ones[2].done, 1);
	ones[3].request = (struct disk_request){
		.operation = DISK_WRITE, .length = 512, .direct = true, .done = note};
	EXPECT_EQ(disk->ops->submit(disk, &ones[3].request), 0);
	EXPECT_EQ(ones[1].done, 0);
	stop();
	/* The end: it was never written, and says so. */
	EXPECT_EQ(ones[1].done, 1);
	EXPECT_EQ(ones[1].result, -EIO);
	EXPECT_EQ(came, 2);
}

TEST(limit_changes_while_requests_are_held)
{
	start_with(HOLD_FULL_WAIT, (struct hold_limits){.rate = 1});
	submit(0, DISK_WRITE, 1 << 20);
	for (unsigned i = 1; i < 10; i++)
		submit(i, DISK_WRITE, 512);
	rest(20);
	EXPECT_EQ(done_count, 1);
	hold_limit(disk, &(struct hold_limits){0});
	EXPECT(comes(&done_count, 10));
	submit(10, DISK_WRITE, 1 << 20);
	EXPECT_EQ(ones[10].done, 1);
	hold_limit(disk, &(struct hold_limits){.operations = 1});
	submit(11, DISK_WRITE, 512);
	submit(12, DISK_WRITE, 512);
	EXPECT_EQ(ones[12].done, 0);
	stop();
}

TEST(pause_keeps_what_is_held_and_resume_lets_it_go)
{
	start_with(HOLD_FULL_WAIT, (struct hold_limits){.rate = 64 * KIB});
	submit(0, DISK_WRITE, 16 * KIB);
	submit(1, DISK_WRITE, 16 * KIB);
	EXPECT_EQ(done_count, 1);
	pause_vm(true);
	disk->ops->drain(disk);
	EXPECT_EQ(drained, 1);
	rest(400);
	EXPECT_EQ(ones[1].done, 0);
	EXPECT_EQ(came, 1);
	pause_vm(false);
	EXPECT(comes(&done_count, 2));
	EXPECT_EQ(ones[1].result, 0);
	stop();
}

TEST(reset_gives_back_what_is_held)
{
	start_with(HOLD_FULL_WAIT, (struct hold_limits){.rate = 1});
	for (unsigned i = 0; i < 8; i++)
		submit(i, DISK_READ, 4 * KIB);
	disk->ops->drain(disk);
	EXPECT_EQ(done_count, 8);
	EXPECT_EQ(came, 1);
	EXPECT_EQ(ones[7].result, -EIO);
	stop();
}

TEST(one_disk_that_is_held_holds_up_no_other)
{
	struct disk *other, *first;
	uint64_t begin;

	start_with(HOLD_FULL_WAIT, (struct hold_limits){.rate = 1});
	first = disk;
	for (unsigned i = 0; i < 32; i++)
		submit(i, DISK_WRITE, 4 * KIB);
	REQUIRE(hold_open(&below, &vm, &(struct hold_config){0}, &other) == 0);
	disk = other;
	begin = host_now();
	for (unsigned i = 32; i < 64; i++)
		submit(i, DISK_WRITE, 4 * KIB);
	EXPECT_EQ(done_count, 33);
	EXPECT(host_now() - begin < SECOND / 10);
	other->ops->close(other);
	first->ops->close(first);
}

TEST(full_disk_is_an_error_where_that_was_chosen)
{
	start_with(HOLD_FULL_ERROR, (struct hold_limits){0});
	atomic_store(&full, ENOSPC);
	submit(0, DISK_WRITE, 512);
	EXPECT_EQ(ones[0].result, -ENOSPC);
	EXPECT(!hold_waits(disk));
	stop();
}

TEST(writes_wait_for_room_and_lose_nothing)
{
	static const int errors[] = {ENOSPC, EDQUOT, EFBIG};

	for (unsigned later = 0; later < 2; later++) {
		for (unsigned e = 0; e < 3; e++) {
			came = closed = done_count = told_waiting = told_going = 0;
			memset(ones, 0, sizeof(ones));
			start_with(HOLD_FULL_WAIT, (struct hold_limits){0});
			atomic_store(&full, errors[e]);
			atomic_store(&defer, later);
			for (unsigned i = 0; i < 20; i++)
				submit(i, i % 4 == 1 ? DISK_WRITE_ZEROES : DISK_WRITE, 512);
			submit(20, DISK_READ, 512);
			atomic_store(&defer, false);
			finish_deferred();
			EXPECT(comes(&told_waiting, 1));
			EXPECT_EQ(told_error, -errors[e]);
			EXPECT(hold_waits(disk));
			/* Reads go on. */
			EXPECT_EQ(done_count, 1);
			EXPECT_EQ(ones[20].done, 1);
			/* And it is tried again, but not all the time. */
			rest(300);
			EXPECT(came > 21 && came < 25);
			atomic_store(&full, 0);
			EXPECT(comes(&done_count, 21));
			for (unsigned i = 0; i < 21; i++)
				EXPECT(ones[i].done == 1 && ones[i].result == 0);
			EXPECT(comes(&told_going, 1));
			EXPECT(!hold_waits(disk));
			stop();
		}
	}
}

TEST(other_errors_are_not_waited_for)
{
	start_with(HOLD_FULL_WAIT, (struct hold_limits){0});
	atomic_store(&full, EIO);
	submit(0, DISK_WRITE, 512);
	submit(1, DISK_FLUSH, 0);
	EXPECT(ones[0].result == -EIO && ones[1].result == -EIO);
	stop();
}

TEST(full_disk_and_pause_and_end)
{
	unsigned before;

	start_with(HOLD_FULL_WAIT, (struct hold_limits){.operations = 1000});
	atomic_store(&full, ENOSPC);
	submit(0, DISK_WRITE, 512);
	submit(1, DISK_FLUSH, 0);
	EXPECT(comes(&told_waiting, 1));
	pause_vm(true);
	disk->ops->drain(disk);
	before = came + came_flushes;
	/* The flush of whoever saves does not wait. */
	ones[2].request =
		(struct disk_request){.operation = DISK_FLUSH, .direct = true, .done = note};
	EXPECT_EQ(disk->ops->submit(disk, &ones[2].request), -ENOSPC);
	rest(600);
	EXPECT_EQ(came + came_flushes, before + 1);
	EXPECT_EQ(done_count, 0);
	pause_vm(false);
	stop();
	EXPECT(ones[0].result == -EIO && ones[1].result == -EIO);
}
