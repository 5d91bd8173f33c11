/* SPDX-License-Identifier: BSD-2-Clause */
#include "core_fixture.h"

#define MICROSECOND UINT64_C(1000)

/* A hlt that ends so long after it began; whether it is looked at all first, and in time. */
static bool halts(struct halt *halt, uint64_t nanoseconds)
{
	uint64_t window = halt_window(halt);

	EXPECT(window <= HALT_POLL_MOST);
	if (window)
		halt_looked(halt, nanoseconds <= window, false);
	halt_ended(halt, nanoseconds);
	return window >= nanoseconds;
}

static unsigned hits_of(struct halt *halt, uint64_t nanoseconds, unsigned count)
{
	unsigned hits = 0;

	for (unsigned i = 0; i < count; i++)
		hits += halts(halt, nanoseconds);
	return hits;
}

/* How many of so many hlts are looked at, whose events all come too late for it. */
static unsigned misses_of(struct halt *halt, unsigned count)
{
	unsigned looks = 0;

	for (unsigned i = 0; i < count; i++) {
		if (halt_window(halt)) {
			looks++;
			halt_looked(halt, false, false);
		}
		halt_ended(halt, 90 * MICROSECOND);
	}
	return looks;
}

TEST(an_idle_guest_is_never_looked_at)
{
	struct halt halt = {0};

	for (unsigned i = 0; i < 1000; i++) {
		EXPECT_EQ(halt_window(&halt), 0);
		halt_ended(&halt, HALT_POLL_MOST + 1);
	}
}

TEST(events_that_come_soon_are_met_from_the_second_on)
{
	struct halt halt = {0};

	EXPECT_EQ(hits_of(&halt, 10 * MICROSECOND, 100), 99);
	EXPECT_EQ(halt_window(&halt), 20 * MICROSECOND);
}

TEST(the_window_grows_to_its_bound_only)
{
	struct halt halt = {0};

	EXPECT_EQ(hits_of(&halt, 80 * MICROSECOND, 100), 99);
	EXPECT_EQ(halt_window(&halt), HALT_POLL_MOST);
}

TEST(one_long_wait_ends_the_looking)
{
	struct halt halt = {0};

	hits_of(&halt, 10 * MICROSECOND, 100);
	halt_ended(&halt, 1000 * MICROSECOND);
	EXPECT_EQ(halt_window(&halt), 0);
	EXPECT_EQ(hits_of(&halt, 10 * MICROSECOND, 100), 99);
}

TEST(looking_in_vain_becomes_rare)
{
	struct halt halt = {0};

	EXPECT(misses_of(&halt, 10000) <= 12);
	EXPECT_EQ(misses_of(&halt, 1), 0);
}

TEST(hits_bring_back_trust)
{
	struct halt halt = {0};
	uint32_t wary;

	misses_of(&halt, 10000);
	wary = halt.caution;
	halt.barred = 0;
	EXPECT_EQ(hits_of(&halt, 10 * MICROSECOND, 200), 200);
	EXPECT(wary > 1000);
	EXPECT_EQ(halt.caution, 0);
}

TEST(a_crowded_host_is_left_alone_for_longer)
{
	struct halt alone = {0}, crowded = {0};

	halt_ended(&alone, MICROSECOND);
	halt_ended(&crowded, MICROSECOND);
	halt_looked(&alone, false, false);
	halt_looked(&crowded, false, true);
	EXPECT(crowded.barred > alone.barred);
	EXPECT_EQ(halt_window(&crowded), 0);
}

/* One in vain among so many hits: does it keep the next from being looked at? */
static bool bars_after(unsigned hits, bool crowded)
{
	struct halt halt = {0};

	halt_ended(&halt, MICROSECOND);
	for (unsigned i = 0; i < hits; i++)
		halt_looked(&halt, true, false);
	halt_looked(&halt, false, crowded);
	return halt_window(&halt) == 0;
}

TEST(hits_pay_for_a_look_in_vain)
{
	EXPECT(bars_after(0, false) && bars_after(15, false) && bars_after(63, true));
	EXPECT(!bars_after(16, false) && !bars_after(64, true));
}

TEST(no_more_is_saved_up_than_a_few_looks_cost)
{
	struct halt halt = {0};
	unsigned looks = 0;

	halt_ended(&halt, MICROSECOND);
	for (unsigned i = 0; i < 100000; i++)
		halt_looked(&halt, true, false);
	while (!halt.barred && ++looks < 100)
		halt_looked(&halt, false, false);
	EXPECT_EQ(looks, 17); /* the last one bars */
}

/* The vcpu's part: who posts the event, and where the thread was. */
static unsigned polls, sleeps;

static void event(struct vcpu *vcpu)
{
	fake_advance(10 * MICROSECOND);
	vcpu_post(vcpu, PENDING_NMI);
}

static void on_sleep(struct vcpu *vcpu)
{
	sleeps++;
	EXPECT_EQ(atomic_load(&vcpu->place), VCPU_WAITING);
	event(vcpu);
}

static void on_poll(struct vcpu *vcpu, uint64_t nanoseconds)
{
	polls++;
	EXPECT_EQ(nanoseconds, 20 * MICROSECOND);
	EXPECT_EQ(atomic_load(&vcpu->place), VCPU_OUTSIDE);
	event(vcpu);
}

/* The handler of the NMI before has ended. */
static void unblock(struct vcpu *vcpu)
{
	vcpu->state.nmi_blocked = 0;
}

static void run_three_hlts(void)
{
	static const struct scripted_step steps[] = {
		{.exit = {.kind = EXIT_HALT}, .before = unblock},
		{.exit = {.kind = EXIT_HALT}, .before = unblock},
		{.exit = {.kind = EXIT_HALT}, .before = unblock}};

	fixture_create(1);
	fake_on_idle(on_sleep);
	fake_on_poll(on_poll);
	scripted_play(vm.vcpus[0], steps, 3, NULL);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(atomic_load(&vm.stop), VM_POWERED_OFF);
	EXPECT_EQ(scripted_vector_count(vm.vcpus[0]), 3);
	EXPECT_EQ(vm.vcpus[0]->slept, 30 * MICROSECOND);
}

TEST(a_vcpu_sleeps_once_and_then_looks)
{
	run_three_hlts();
	EXPECT_EQ(sleeps, 1);
	EXPECT_EQ(polls, 2);
	EXPECT_EQ(vm.vcpus[0]->polled, 20 * MICROSECOND);
}

TEST(a_vcpu_on_a_crowded_host_sleeps)
{
	fake_crowd(true);
	run_three_hlts();
	EXPECT_EQ(sleeps, 3);
	EXPECT_EQ(polls, 0);
}
