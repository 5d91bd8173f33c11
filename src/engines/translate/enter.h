/* SPDX-License-Identifier: BSD-2-Clause */
/* What enter.S has: see there. All but translate_enter are code addresses, not to be called from C.
 */
#ifndef TRANSLATE_ENTER_H
#define TRANSLATE_ENTER_H

#include <stdint.h>

#include "engines/translate/cpu.h"

/* Runs translated code from the entry `code` on, until it leaves. cpu is the thread's gs base. */
void translate_enter(struct cpu *cpu, const void *code);

void translate_leave(void);
void thunk_recent_read(void);
void thunk_recent_write(void);
void thunk_window(void);
void thunk_fixed(void);
void thunk_read(void);
void thunk_write(void);
void thunk_call(void);
void thunk_end(void);
void thunk_interpret(void);
void thunk_goto(void);
void thunk_link(void);
void thunk_link_flags(void);
void thunk_stale(void);
void thunk_stale_flags(void);
void thunk_jump(void);
void thunk_return(void);
void thunk_site(void);
void thunk_callee(void);
void thunk_return_empty(void);
void fault_resume(void);

/* What follows a call-out in translated code, at any alignment. */
struct words {
	uint32_t at[7];
} __attribute__((packed, may_alias));

/* In the instruction's number: see interpret_checked. */
#define WORDS_CHECKED 0x80000000u

/*
 * What the thunks call (callout.c). t0, t1: those
 * registers. Each returns the code address to go on at, which may be translate_leave.
 */
const void *translate_read(struct cpu *cpu, const struct words *words, uint64_t t0, uint64_t t1);
const void *translate_write(struct cpu *cpu, const struct words *words, uint64_t t0, uint64_t t1);
const void *translate_recent_read(struct cpu *cpu, const struct words *words, uint64_t linear);
const void *translate_recent_write(struct cpu *cpu, const struct words *words, uint64_t linear);
const void *translate_window(struct cpu *cpu, const struct words *words, uint64_t linear);
const void *translate_fixed(struct cpu *cpu, const struct words *words, uint64_t linear);
const void *translate_call(struct cpu *cpu, const struct words *words);
const void *translate_end(struct cpu *cpu, const struct words *words);
const void *translate_interpret(struct cpu *cpu, const struct words *words);
const void *translate_goto(struct cpu *cpu, const struct words *words);
const void *translate_link(struct cpu *cpu, const struct words *words);
const void *translate_stale(struct cpu *cpu, const struct words *words);
const void *translate_jump(struct cpu *cpu);
const void *translate_site(struct cpu *cpu, const struct words *words, uint64_t linear);
const void *translate_callee(struct cpu *cpu, const struct words *words);

#endif
