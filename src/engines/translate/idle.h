/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an idle machine does not need goes back to the host. Most of what has been translated was
 * needed once, by the boot mostly: a machine whose vcpus have been halted nearly all the time for
 * some seconds drops it, and what is needed after all is translated anew.
 */
#ifndef TRANSLATE_IDLE_H
#define TRANSLATE_IDLE_H

#include "engines/translate/cpu.h"

/* The vcpu begins to run guest code: it is inside (exclusive.h). */
void idle_begin(struct cpu *cpu);

/* It has ended, and is inside still, with its vector state saved. halted: it waits for an event. */
void idle_end(struct cpu *cpu, bool halted);

/* Ticks of the host's TSC that a machine is looked at for: some two or three seconds. */
#define IDLE_PERIOD (3ull << 31)

/* Bytes of code that an idle machine keeps at first. */
#define IDLE_KEEP (8u << 20)

#endif
