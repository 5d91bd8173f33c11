/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A limit of so many units (bytes, operations) a second, as a token bucket in terms of time: what
 * is taken puts the instant off at which the bucket is as full as it can be. No locks; time is an
 * argument, in nanoseconds that never go back.
 */
#ifndef LIB_BUCKET_H
#define LIB_BUCKET_H

#include <stdint.h>

/* The least burst, in nanoseconds: what may pass at once is what may pass in this time. */
#define BUCKET_BURST UINT64_C(100000000)

/* One request's units at most: more count as this. */
#define BUCKET_AMOUNT_MAX (UINT64_C(1) << 33)

/* Zeroed: no limit. */
struct bucket {
	uint64_t rate;	/* units a second; 0: no limit */
	uint64_t burst; /* nanoseconds' worth of units that may be taken at once */
	uint64_t full;	/* when it is full again */
};

/* rate: units a second, 0 for none. burst: units that may pass at once after a rest; less than
 * BUCKET_BURST's worth counts as that. What was taken before is forgotten. */
void bucket_limit(struct bucket *bucket, uint64_t rate, uint64_t burst);

/* How long until something, whatever its size, may pass: nanoseconds, 0 for now. So a request
 * larger than the burst passes, and those behind it wait for longer. */
uint64_t bucket_wait(const struct bucket *bucket, uint64_t now);

/* Something passes. */
void bucket_take(struct bucket *bucket, uint64_t amount, uint64_t now);

#endif
