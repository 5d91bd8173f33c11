/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much processor time a machine may use, for a host that can only look now and then and hold
 * the vcpus back: when they are to stand, until when, and when to look again. Pure: time is an
 * argument.
 *
 * It is what a cap means on bare metal (kernel/queue.h): a percentage of one processor, for all
 * that the machine does on all of them together.
 */
#ifndef CORE_ALLOWANCE_H
#define CORE_ALLOWANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/bucket.h"

#define ALLOWANCE_CAP_MAX 6400		       /* percent */
#define ALLOWANCE_LEAST	  UINT64_C(500000)     /* ns: it runs at least so long between two stands */
#define ALLOWANCE_ROUND	  UINT64_C(20000000)   /* ns: for a run and a stand, if that is enough */
#define ALLOWANCE_STAND	  UINT64_C(1000000000) /* ns: no stand is longer */
#define ALLOWANCE_DEBT	  UINT64_C(100000000)  /* ns: nor than this and what a long run takes */

struct allowance {
	struct bucket bucket;  /* of nanoseconds of processor time */
	unsigned cap;	       /* percent of one processor; 0: none */
	unsigned vcpus;	       /* how many there are to run at once */
	uint64_t used, looked; /* as of the last look, and when that was */
};

/* What a look comes to; host_now() times. */
struct allowance_verdict {
	uint64_t stand; /* no vcpu runs until then; 0: they run */
	uint64_t look;	/* the next look; UINT64_MAX: none is needed */
};

/* A cap from now on. used: nanoseconds of processor time that the machine has had so far. */
void allowance_set(struct allowance *allowance, unsigned cap, unsigned vcpus, uint64_t used,
		   uint64_t now);

/* A look: used as above, now in nanoseconds. Both never go back. */
struct allowance_verdict allowance_look(struct allowance *allowance, uint64_t used, uint64_t now);

#endif
