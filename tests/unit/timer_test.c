/* SPDX-License-Identifier: BSD-2-Clause */
#include "core_fixture.h"

#include "lib/bits.h"

#define COUNT 40

struct alarm {
	struct timer timer;
	uint64_t again; /* period, 0 for once */
	unsigned calls;
	uint64_t at; /* guest time of the last call */
};

static struct alarm alarms[COUNT];
static struct alarm *order[1000];
static unsigned calls;

static void expired(struct timer *timer)
{
	struct alarm *alarm = (struct alarm *)timer;

	EXPECT(fake_lock_held(&vm.lock));
	EXPECT(!timer_armed(timer));
	alarm->calls++;
	alarm->at = vm_time(&vm);
	order[calls++ % 1000] = alarm;
	if (alarm->again)
		timer_set(timer, vm_time(&vm) + alarm->again);
}

static void create(void)
{
	fixture_create(1);
	for (unsigned i = 0; i < COUNT; i++)
		timer_init(&alarms[i].timer, &vm, expired);
}

static void set(unsigned i, uint64_t deadline)
{
	vm_lock(&vm);
	timer_set(&alarms[i].timer, deadline);
	vm_unlock(&vm);
}

static void check_heap(void)
{
	for (unsigned i = 0; i < vm.timers.count; i++) {
		EXPECT_EQ(vm.timers.heap[i]->place, i);
		EXPECT(vm.timers.heap[i]->deadline >= vm.timers.heap[(i - (i > 0)) / 2]->deadline);
	}
}

TEST(guest_time_begins_at_zero)
{
	fake_advance(12345);
	create();
	EXPECT_EQ(vm_time(&vm), 0);
	fake_advance(10);
	EXPECT_EQ(vm_time(&vm), 10);
}

TEST(a_timer_expires_once_at_its_deadline)
{
	create();
	set(0, 1000);
	EXPECT(timer_armed(&alarms[0].timer));
	fake_advance(999);
	EXPECT_EQ(alarms[0].calls, 0);
	fake_advance(1);
	EXPECT_EQ(alarms[0].calls, 1);
	EXPECT_EQ(alarms[0].at, 1000);
	EXPECT_EQ(fake_deadline(&vm), UINT64_MAX);
	fake_advance(100000);
	EXPECT_EQ(alarms[0].calls, 1);
}

TEST(a_deadline_in_the_past_expires_soon)
{
	create();
	fake_advance(5000);
	set(0, 10);
	EXPECT_EQ(alarms[0].calls, 0);
	fake_advance(0);
	EXPECT_EQ(alarms[0].calls, 1);
}

TEST(timers_expire_in_order_whatever_the_order_of_setting)
{
	create();
	for (unsigned i = 0; i < COUNT; i++) {
		set(i, (i * 17 % COUNT + 1) * 100);
		check_heap();
	}
	/* Some are moved, some taken out. */
	set(3, 100 * COUNT + 50);
	check_heap();
	set(5, 7);
	check_heap();
	set(8, TIMER_NEVER);
	set(9, TIMER_NEVER);
	set(9, TIMER_NEVER);
	check_heap();
	EXPECT_EQ(vm.timers.count, COUNT - 2);
	fake_advance(100 * COUNT + 50);
	EXPECT_EQ(calls, COUNT - 2);
	EXPECT_EQ(order[0], &alarms[5]);
	EXPECT_EQ(order[calls - 1], &alarms[3]);
	for (unsigned i = 1; i < calls; i++)
		EXPECT(order[i - 1]->at < order[i]->at);
	EXPECT_EQ(alarms[8].calls + alarms[9].calls, 0);
}

TEST(a_periodic_timer_sets_itself_again)
{
	create();
	alarms[0].again = 100;
	set(0, 100);
	fake_advance(1000);
	EXPECT_EQ(alarms[0].calls, 10);
	EXPECT_EQ(alarms[0].at, 1000);
}

TEST(the_host_is_asked_only_when_the_first_deadline_changes)
{
	unsigned before;

	create();
	set(0, 1000);
	EXPECT_EQ(fake_deadline(&vm), FAKE_START + 1000);
	before = fake_wake_requests();
	set(1, 2000);
	set(0, 1000);
	set(1, 1500);
	EXPECT_EQ(fake_wake_requests(), before);
	set(1, 500);
	EXPECT_EQ(fake_deadline(&vm), FAKE_START + 500);
	set(1, TIMER_NEVER);
	EXPECT_EQ(fake_deadline(&vm), FAKE_START + 1000);
	set(0, TIMER_NEVER);
	EXPECT_EQ(fake_deadline(&vm), UINT64_MAX);
	EXPECT_EQ(fake_wake_requests(), before + 3);
}

TEST(a_timer_that_sets_itself_to_now_does_not_hold_up_the_run)
{
	unsigned left = 1;

	create();
	alarms[0].again = 0;
	set(0, 100);
	set(1, 100);
	fake_advance(99);
	vm_lock(&vm);
	alarms[0].again = 1;
	vm_unlock(&vm);
	fake_advance(left);
	EXPECT_EQ(alarms[0].calls, 1);
	EXPECT_EQ(alarms[1].calls, 1);
	EXPECT_EQ(alarms[0].timer.deadline, 101);
}

TEST(far_deadlines_do_not_wrap)
{
	create();
	set(0, UINT64_MAX - 1);
	EXPECT_EQ(fake_deadline(&vm), UINT64_MAX);
	fake_advance(UINT64_C(1) << 40);
	EXPECT_EQ(alarms[0].calls, 0);
	/* A guest whose time is ahead of the host's, as after a restore. */
	vm_lock(&vm);
	timer_set(&alarms[0].timer, TIMER_NEVER);
	vm.time_offset = UINT64_C(1) << 50;
	timer_set(&alarms[0].timer, vm_time(&vm) + 100);
	vm_unlock(&vm);
	EXPECT_EQ(fake_deadline(&vm), host_now() + 100);
	set(0, 5);
	EXPECT_EQ(fake_deadline(&vm), 0);
	fake_advance(0);
	EXPECT_EQ(alarms[0].calls, 1);
}
