/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine's counters (core/engine.h). */
#ifndef TRANSLATE_STATISTICS_H
#define TRANSLATE_STATISTICS_H

#include "core/engine.h"
#include "engines/translate/cpu.h"

unsigned statistics_vm(const struct machine_code *code, struct engine_counter *counters);
unsigned statistics_vcpu(const struct cpu *cpu, struct engine_counter *counters);

/* From now on time is measured, too. The vcpu does not run. */
void statistics_measure(struct cpu *cpu);

#endif
