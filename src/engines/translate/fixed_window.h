/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory operands for which the place of their window (window.h) is a constant in the code, so that
 * an access need not wait until it is loaded. Those of blocks that inline a call have it: they are
 * known to run often.
 *
 * Each such operand has a number, and code->fixed.at[number].delta is the constant. A vcpu whose
 * window is at that place has cpu->fixed_number[number] = bits 31 to 62 of the window's addresses,
 * which the operand compares its address with. Where the place is another one (another vcpu,
 * another process) there is no match, and C does the instruction; when that has happened often, the
 * block is made anew with the place that is right then, or, after some times, without constants.
 */
#ifndef TRANSLATE_FIXED_WINDOW_H
#define TRANSLATE_FIXED_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct block;
struct cpu;
struct machine_code;

#define FIXED_WINDOWS 256u /* numbers */
#define FIXED_BLOCKS  512u

struct fixed_windows {
	struct {
		uint64_t delta; /* from linear addresses to the host's */
		uint32_t misses;
	} at[FIXED_WINDOWS];
	_Atomic unsigned count;
	uint8_t tries[FIXED_BLOCKS]; /* by a hash of where blocks begin */
};

/* May the block that begins at physical have constants? Lock held. */
bool fixed_window_allowed(const struct machine_code *code, uint64_t physical);

/* A number for delta; or -1: there are no more until all are taken back, with the callee_numbers
 * (call_site.h). Lock held. */
int fixed_window_add(struct machine_code *code, uint64_t delta);

/* All numbers are free, and all is forgotten. No block has any, and fixed_window_empty follows for
 * each vcpu. Lock held. */
void fixed_window_take_back(struct machine_code *code);

/* An operand of the block has been elsewhere. Lock not held; may drop the block. */
void fixed_window_missed(struct machine_code *code, struct block *block, unsigned number);

/* No number matches anything on this vcpu. By its thread, or in an exclusive section. */
void fixed_window_empty(struct cpu *cpu);

#endif
