/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's time-stamp counter: the host's, moved. */
#ifndef TRANSLATE_TSC_H
#define TRANSLATE_TSC_H

#include "engines/translate/cpu.h"

static inline uint64_t tsc_read(const struct cpu *cpu)
{
	return __builtin_ia32_rdtsc() + cpu->tsc_offset;
}

/* Makes it count on from value; the change goes into TSC_ADJUST (Intel SDM volume 3,
 * section 17.17.3). */
void tsc_write(struct cpu *cpu, uint64_t value);
void tsc_write_adjust(struct cpu *cpu, uint64_t value);

#endif
