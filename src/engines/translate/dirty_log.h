/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine's part of the dirty log (core/dirty.h). A page is entered when a vcpu gets a write tag
 * for it, and stays writable without more until the next collection, which takes all write tags
 * away in an exclusive section: so nothing is written by who has no tag that the log knows of.
 */
#ifndef TRANSLATE_DIRTY_LOG_H
#define TRANSLATE_DIRTY_LOG_H

#include "core/engine.h"
#include "engines/translate/code_cache.h"

extern const struct engine_dirty dirty_log;

/* No vcpu runs any more. */
void dirty_log_destroy(struct machine_code *code);

/* Enters the page at this offset of the block of memory, for a vcpu that is inside. */
void dirty_log_enter(struct machine_code *code, uint64_t offset);

static inline bool dirty_log_is_on(struct machine_code *code)
{
	return __builtin_expect(atomic_load_explicit(&code->written, memory_order_relaxed) != NULL,
				0);
}

/* The vcpu, which is inside, writes to the page at physical, or may do so from now on. */
static inline void dirty_log_note(struct cpu *cpu, uint64_t physical)
{
	if (dirty_log_is_on(cpu->code))
		dirty_log_enter(cpu->code, memory_offset(&cpu->vm->memory, physical & ~4095ull));
}

#endif
