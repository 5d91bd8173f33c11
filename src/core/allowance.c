/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is used is taken out of a bucket that holds the allowance of BUCKET_BURST. While there is
 * some, the vcpus run, and it is looked again when it could be empty at the earliest. From then on
 * runs and stands take turns: run for t, stand until what that took is paid for. A run is so long
 * that both together take a round, so a guest's timers wait for less than that; where the cap is so
 * small that the run would be too short to be worth it, the round is longer.
 *
 * What other threads of the machine use counts, though they can't be held back. If they use more
 * than the vcpus leave them, stands have an end all the same, and what is not paid for by then is
 * let off: the guest gets little, but not nothing. What a run took that ended late, for this host
 * is busy, is paid for.
 */
#include "core/allowance.h"

#define PERCENT UINT64_C(10000000) /* ns in a second */

void allowance_set(struct allowance *allowance, unsigned cap, unsigned vcpus, uint64_t used,
		   uint64_t now)
{
	allowance->cap = cap < ALLOWANCE_CAP_MAX ? cap : ALLOWANCE_CAP_MAX;
	allowance->vcpus = vcpus ? vcpus : 1;
	allowance->used = used;
	allowance->looked = now;
	bucket_limit(&allowance->bucket, allowance->cap * PERCENT, 0);
}

/* How long a run is when there is nothing left. */
static uint64_t run_length(const struct allowance *allowance)
{
	uint64_t full = allowance->vcpus * UINT64_C(100);
	uint64_t run =
		allowance->cap < full ? ALLOWANCE_ROUND * allowance->cap / full : ALLOWANCE_ROUND;

	return run < ALLOWANCE_LEAST ? ALLOWANCE_LEAST : run;
}

/* How long they can run, all at once, until nothing is left. */
static uint64_t time_left(const struct allowance *allowance, uint64_t now)
{
	const struct bucket *bucket = &allowance->bucket;
	uint64_t full = allowance->vcpus * UINT64_C(100);
	uint64_t late = bucket->full > now ? bucket->full - now : 0;

	if (allowance->cap >= full)
		return BUCKET_BURST;
	/* Each nanosecond takes full / cap of them, and one comes in. */
	return late < bucket->burst
		       ? (bucket->burst - late) * allowance->cap / (full - allowance->cap)
		       : 0;
}

struct allowance_verdict allowance_look(struct allowance *allowance, uint64_t used, uint64_t now)
{
	struct allowance_verdict verdict = {.look = UINT64_MAX};
	struct bucket *bucket = &allowance->bucket;
	uint64_t wait, most, left, run;

	if (!allowance->cap)
		return verdict;
	/* It was used from then on, not just now. */
	bucket_take(bucket, used - allowance->used, allowance->looked);
	allowance->used = used;
	allowance->looked = now;
	run = run_length(allowance);
	most = ALLOWANCE_DEBT + ALLOWANCE_ROUND * allowance->vcpus * 100 / allowance->cap;
	most = most < ALLOWANCE_STAND ? most : ALLOWANCE_STAND;
	wait = bucket_wait(bucket, now);
	if (wait > most) {
		bucket->full -= wait - most;
		wait = most;
	}
	if (wait) {
		verdict.stand = now + wait;
		verdict.look = verdict.stand + run;
		return verdict;
	}
	left = time_left(allowance, now);
	left = left < BUCKET_BURST ? left : BUCKET_BURST;
	verdict.look = now + (left > run ? left : run);
	return verdict;
}
