/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/bucket.h"

#define SECOND	  UINT64_C(1000000000)
#define BURST_MAX (3600 * SECOND)
#define RATE_COUNTS                                                                                \
	(UINT64_C(1) << 40) /* as good as none: a unit takes no time that could be told */

/* amount units' time at this rate. */
static uint64_t time_of(uint64_t amount, uint64_t rate)
{
	uint64_t most = amount < BUCKET_AMOUNT_MAX ? amount : BUCKET_AMOUNT_MAX;

	return most * SECOND / rate;
}

void bucket_limit(struct bucket *bucket, uint64_t rate, uint64_t burst)
{
	bucket->rate = rate < RATE_COUNTS ? rate : 0;
	bucket->burst = bucket->rate ? time_of(burst, bucket->rate) : 0;
	if (bucket->burst < BUCKET_BURST)
		bucket->burst = BUCKET_BURST;
	if (bucket->burst > BURST_MAX)
		bucket->burst = BURST_MAX;
	bucket->full = 0;
}

uint64_t bucket_wait(const struct bucket *bucket, uint64_t now)
{
	uint64_t late = bucket->full > now ? bucket->full - now : 0;

	return bucket->rate && late > bucket->burst ? late - bucket->burst : 0;
}

void bucket_take(struct bucket *bucket, uint64_t amount, uint64_t now)
{
	if (!bucket->rate)
		return;
	if (bucket->full < now)
		bucket->full = now;
	bucket->full += time_of(amount, bucket->rate);
}
