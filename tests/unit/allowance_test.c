/* SPDX-License-Identifier: BSD-2-Clause */
/* Caps: what a machine that always wants to run gets, for how long it stands, and what an idle one
 * costs. */
#include "test.h"

#include "core/allowance.h"

#define MILLISECOND UINT64_C(1000000)
#define SECOND	    (1000 * MILLISECOND)

struct outcome {
	uint64_t used;
	uint64_t longest_stand;
	unsigned looks;
};

/* A machine that computes on so many processors at once (none: it is idle) for so long, beside
 * threads that can't be held back and use `beside` percent of one. */
static struct outcome run_for(uint64_t length, unsigned cap, unsigned vcpus, unsigned busy,
			      unsigned beside)
{
	struct outcome outcome = {.used = 0};
	struct allowance allowance = {.cap = 0};
	uint64_t now = 5 * SECOND, end = now + length;

	allowance_set(&allowance, cap, vcpus, 0, now);
	while (now < end) {
		struct allowance_verdict verdict = allowance_look(&allowance, outcome.used, now);
		uint64_t until = verdict.look < end ? verdict.look : end;
		uint64_t from = verdict.stand ? verdict.stand : now;

		outcome.looks++;
		EXPECT(verdict.look > now);
		EXPECT(!verdict.stand || (verdict.stand > now && verdict.stand < verdict.look));
		if (verdict.stand && verdict.stand - now > outcome.longest_stand)
			outcome.longest_stand = verdict.stand - now;
		outcome.used += (until - now) * beside / 100;
		if (until > from)
			outcome.used += (until - from) * busy;
		now = until;
	}
	return outcome;
}

/* Thousandths of one processor, over ten seconds. */
static unsigned share(unsigned cap, unsigned vcpus, unsigned busy)
{
	return (unsigned)(run_for(10 * SECOND, cap, vcpus, busy, 0).used / (10 * MILLISECOND));
}

TEST(without_a_cap_nobody_looks)
{
	struct outcome outcome = run_for(SECOND, 0, 4, 4, 0);

	EXPECT_EQ(outcome.looks, 1);
	EXPECT_EQ(outcome.used, 4 * SECOND);
}

TEST(who_always_wants_to_run_gets_the_cap)
{
	static const unsigned caps[] = {1, 2, 5, 10, 33, 50, 99, 100, 150, 250, 399};

	for (unsigned i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		for (unsigned vcpus = 1; vcpus <= 4; vcpus++) {
			unsigned most = caps[i] < vcpus * 100 ? caps[i] : vcpus * 100;
			unsigned got = share(caps[i], vcpus, vcpus);

			/* A hundredth of it for the first burst. */
			EXPECT(got >= most * 10 - 1);
			EXPECT(got <= most * 10 + most / 8 + 5);
			/* One of them alone. */
			most = caps[i] < 100 ? caps[i] : 100;
			got = share(caps[i], vcpus, 1);
			EXPECT(got >= most * 10 - 1);
			EXPECT(got <= most * 10 + most / 8 + 5);
		}
	}
}

TEST(stands_are_short)
{
	EXPECT(run_for(SECOND, 50, 1, 1, 0).longest_stand <= 11 * MILLISECOND);
	EXPECT(run_for(SECOND, 90, 1, 1, 0).longest_stand <= 3 * MILLISECOND);
	EXPECT(run_for(SECOND, 50, 4, 4, 0).longest_stand <= 18 * MILLISECOND);
	EXPECT(run_for(SECOND, 5, 1, 1, 0).longest_stand <= 20 * MILLISECOND);
	EXPECT(run_for(SECOND, 1, 1, 1, 0).longest_stand <= 50 * MILLISECOND);
}

TEST(an_idle_machine_is_seldom_looked_at)
{
	EXPECT(run_for(SECOND, 50, 1, 0, 0).looks <= 11);
	EXPECT(run_for(SECOND, 200, 1, 0, 0).looks <= 11);
	EXPECT(run_for(SECOND, 10, 1, 0, 0).looks <= 100);
	EXPECT(run_for(SECOND, 1, 1, 0, 0).looks <= 1000);
	EXPECT(run_for(SECOND, 1, 32, 0, 0).looks <= 2000);
}

/* What other threads use is the machine's, too; they don't starve the guest. */
TEST(other_threads_count_and_the_guest_still_runs)
{
	struct outcome outcome = run_for(10 * SECOND, 50, 1, 1, 20);

	EXPECT(outcome.used <= 10 * SECOND * 51 / 100);
	EXPECT(outcome.used >= 10 * SECOND * 49 / 100);
	outcome = run_for(10 * SECOND, 50, 1, 1, 100);
	EXPECT(outcome.used >= 10 * SECOND * 105 / 100);
	EXPECT(outcome.longest_stand <= ALLOWANCE_DEBT + 2 * ALLOWANCE_ROUND);
}

/* Rest is not saved up: behind a long one it has no more than behind a short one. */
TEST(rest_is_lost)
{
	struct allowance allowance = {.cap = 0};
	struct allowance_verdict verdict;

	allowance_set(&allowance, 50, 1, 0, SECOND);
	verdict = allowance_look(&allowance, 0, SECOND);
	EXPECT_EQ(verdict.stand, 0);
	verdict = allowance_look(&allowance, 0, 100 * SECOND);
	EXPECT_EQ(verdict.stand, 0);
	EXPECT_EQ(verdict.look, 100 * SECOND + 100 * MILLISECOND);
	verdict = allowance_look(&allowance, 100 * MILLISECOND, verdict.look);
	EXPECT_EQ(verdict.stand, 0);
	EXPECT_EQ(verdict.look, 100 * SECOND + 110 * MILLISECOND);
	verdict = allowance_look(&allowance, 110 * MILLISECOND, verdict.look);
	EXPECT_EQ(verdict.stand, 100 * SECOND + 120 * MILLISECOND);
}

TEST(figures_at_their_ends_do_no_harm)
{
	struct allowance allowance = {.cap = 0};
	struct allowance_verdict verdict;

	allowance_set(&allowance, UINT32_MAX, 0, 7, SECOND);
	EXPECT_EQ(allowance.cap, ALLOWANCE_CAP_MAX);
	verdict = allowance_look(&allowance, UINT64_MAX, SECOND);
	EXPECT(verdict.look > SECOND && verdict.look < 2 * SECOND);
	allowance_set(&allowance, 1, 32, 0, SECOND);
	verdict = allowance_look(&allowance, UINT64_MAX, SECOND);
	EXPECT_EQ(verdict.stand, SECOND + ALLOWANCE_STAND);
}
