/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator, as the dispatcher (engine.c) sees it. */
#ifndef TRANSLATE_TRANSLATOR_H
#define TRANSLATE_TRANSLATOR_H

#include "engines/translate/cpu.h"

/* May what is at cpu->rip be translated? Else the dispatcher interprets the next instruction. */
static inline bool translate_possible(const struct cpu *cpu)
{
	return cpu_code_size(cpu) == CODE_64 && !cpu->debug_active && !cpu->interrupt_shadow;
}

/*
 * Runs translated code from cpu->rip on, translating as it goes, until cpu->kick is set, cpu->leave
 * is set, an event could be delivered after an instruction that changed what can be, or
 * translate_possible() no longer holds; then all state is in cpu, vector state perhaps live. Guest
 * exceptions unwind to the dispatcher. Returns false if nothing was run because there is no RAM at
 * rip: the caller then interprets.
 *
 * The caller is inside (exclusive.h), cpu is the thread's gs base, and cpu->unwind has been set up.
 */
bool translate_run(struct cpu *cpu);

#endif
