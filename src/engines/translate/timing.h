/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a vcpu's time goes into, for statistics. At each moment it does one thing; timing_switch
 * says what comes next. Nothing is measured, and a test of one byte is all it costs, unless
 * cpu->timing.on was set before the vcpu ran. The vcpu's own thread.
 */
#ifndef TRANSLATE_TIMING_H
#define TRANSLATE_TIMING_H

#include "engines/translate/cpu.h"

/* Yields what it was, so that it can be gone back to. */
static inline unsigned timing_switch(struct cpu *cpu, enum timing_kind to)
{
	struct timing *timing = &cpu->timing;
	unsigned from = timing->doing;
	uint64_t now;

	if (__builtin_expect(!timing->on, 1))
		return from;
	now = __builtin_ia32_rdtsc();
	timing->ticks[from] += now - timing->since;
	timing->since = now;
	timing->doing = (uint8_t)to;
	return from;
}

#endif
