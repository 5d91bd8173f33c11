/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the translated code of linear addresses begins (struct jump_entry). All entries must be
 * made here: flushes look only at what was entered. All functions are for the vcpu's own thread.
 */
#ifndef TRANSLATE_JUMP_CACHE_H
#define TRANSLATE_JUMP_CACHE_H

#include "engines/translate/cpu.h"

/*
 * Enters code as what linear translates to in the current view; linear's page has been given by
 * mmu_fetch_page before, and global is bit 0 of that entry's physical.
 */
void jump_cache_add(struct cpu *cpu, uint64_t linear, void *code, bool global);
/* The same for an instruction that crosses into the next page, which has been given as well. */
void jump_cache_add_crossing(struct cpu *cpu, uint64_t linear, void *code);
void jump_cache_drop_crossing(struct cpu *cpu, uint64_t linear);
/* Says that callee_number `number` is mapped as it was; its page has been given by
 * mmu_fetch_page. */
void jump_cache_add_callee(struct cpu *cpu, unsigned number);

/* Drops all (the code cache was flushed). */
void jump_cache_flush(struct cpu *cpu);
void jump_cache_flush_view(struct cpu *cpu, unsigned view);
void jump_cache_flush_callees(struct cpu *cpu);

/* For mmu.c: those of LOCAL or GLOBAL pages (map.h); those of the page of 2^bits bytes that linear
 * is in. */
void jump_cache_flush_scope(struct cpu *cpu, unsigned scope);
void jump_cache_flush_page(struct cpu *cpu, uint64_t linear, unsigned bits);
/* Makes the entries of a table of zeroes invalid. */
void jump_cache_begin(struct cpu *cpu);

#endif
