/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Single-stepping and breakpoints (Intel SDM volume 3, chapter 17). They are noticed by interpreted
 * code only: while cpu->debug_active is not 0, the dispatcher interprets.
 */
#ifndef TRANSLATE_DEBUG_H
#define TRANSLATE_DEBUG_H

#include "engines/translate/cpu.h"

/* cpu->debug_active */
enum {
	DEBUG_STEP = 1, /* RFLAGS.TF */
	DEBUG_INSTRUCTION = 2,
	DEBUG_DATA = 4,
	DEBUG_IO = 8,
	DEBUG_ALIGNMENT = 16, /* CR0.AM, RFLAGS.AC and CPL 3: not for debugging, but as rare */
};

/* DR7 or RFLAGS.TF changed: computes debug_active. (cpu_mode_changed calls it.) */
void debug_changed(struct cpu *cpu);

/* Before the instruction at cpu->rip is fetched: raises #DB for an instruction breakpoint, unless
 * RFLAGS.RF. */
void debug_check_instruction(struct cpu *cpu);

/* Called by the mmu for explicit accesses while DEBUG_ALIGNMENT: raises #AC (volume 3, 6.15). */
void debug_check_alignment(struct cpu *cpu, uint64_t linear, unsigned size);

/* Called by the mmu and by in and out: notes a hit; debug_after_instruction raises. */
void debug_check_data(struct cpu *cpu, uint64_t linear, unsigned size, bool write);
void debug_check_io(struct cpu *cpu, unsigned port, unsigned size);

/*
 * After an instruction (cpu->rip is behind it): raises #DB for data breakpoints that it hit and, if
 * RFLAGS.TF was set before it began, for the single step. stepping: TF before the instruction. In
 * an interrupt shadow of mov ss nothing is raised yet.
 */
void debug_after_instruction(struct cpu *cpu, bool stepping);

/* Sets DR6 bits (and clears DR7.GD) and raises #DB. */
_Noreturn void debug_raise(struct cpu *cpu, uint32_t dr6);

#define DR6_BS	  0x4000u
#define DR6_BD	  0x2000u
#define DR6_FIXED 0xffff0ff0u
#define DR7_GD	  0x2000u
#define DR7_FIXED 0x400u

#endif
