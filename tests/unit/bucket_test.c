/* SPDX-License-Identifier: BSD-2-Clause */
/* Token buckets: what passes in the long run, at once, and with figures at their ends. */
#include "test.h"

#include "lib/bucket.h"

#define SECOND UINT64_C(1000000000)

/* How many units pass in this time if as much as possible is taken, in pieces. */
static uint64_t pass(struct bucket *bucket, uint64_t from, uint64_t length, uint64_t piece)
{
	uint64_t passed = 0;

	for (uint64_t now = from; now < from + length; now += bucket_wait(bucket, now)) {
		bucket_take(bucket, piece, now);
		passed += piece;
	}
	return passed;
}

TEST(without_limit_nothing_waits)
{
	struct bucket bucket = {0};

	bucket_take(&bucket, UINT64_MAX, 5);
	EXPECT_EQ(bucket_wait(&bucket, 5), 0);
	bucket_limit(&bucket, UINT64_MAX, UINT64_MAX);
	bucket_take(&bucket, UINT64_MAX, 5);
	EXPECT_EQ(bucket_wait(&bucket, 5), 0);
}

TEST(rate_holds_in_the_long_run_for_every_size)
{
	static const uint64_t pieces[] = {1, 512, 4096, 65536, 1 << 20, 300000};

	for (unsigned i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct bucket bucket = {0};
		uint64_t rate = pieces[i] == 1 ? 1000 : 10 << 20, passed;

		bucket_limit(&bucket, rate, 0);
		passed = pass(&bucket, 7 * SECOND, 100 * SECOND, pieces[i]);
		/* Twice the burst at most, and one piece. */
		EXPECT(passed >= rate * 100);
		EXPECT(passed <= rate * 100 + rate / 5 + 2 * pieces[i]);
	}
}

TEST(burst_passes_at_once_and_comes_back_with_rest)
{
	struct bucket bucket = {0};
	unsigned passed = 0;

	bucket_limit(&bucket, 1000, 5000);
	for (; !bucket_wait(&bucket, SECOND); passed++)
		bucket_take(&bucket, 1, SECOND);
	EXPECT_EQ(passed, 5001);
	for (passed = 0; !bucket_wait(&bucket, 3 * SECOND); passed++)
		bucket_take(&bucket, 1, 3 * SECOND);
	EXPECT_EQ(passed, 2000);
	for (passed = 0; !bucket_wait(&bucket, 100 * SECOND); passed++)
		bucket_take(&bucket, 1, 100 * SECOND);
	EXPECT_EQ(passed, 5001);
}

TEST(what_is_larger_than_the_burst_passes_and_is_paid_for)
{
	struct bucket bucket = {0};

	bucket_limit(&bucket, 1 << 20, 0);
	EXPECT_EQ(bucket_wait(&bucket, 0), 0);
	bucket_take(&bucket, 10 << 20, 0);
	EXPECT_EQ(bucket_wait(&bucket, 0), 10 * SECOND - BUCKET_BURST);
	EXPECT_EQ(bucket_wait(&bucket, 10 * SECOND), 0);
}

TEST(figures_at_their_ends)
{
	struct bucket bucket = {0};

	bucket_limit(&bucket, 1, UINT64_MAX);
	bucket_take(&bucket, UINT64_MAX, 0);
	EXPECT(bucket_wait(&bucket, 0) > 0);
	EXPECT(bucket_wait(&bucket, 0) <= BUCKET_AMOUNT_MAX * SECOND);
	/* A lower limit counts for what comes; lifting it frees at once. */
	bucket_limit(&bucket, 0, 0);
	EXPECT_EQ(bucket_wait(&bucket, 0), 0);
}
