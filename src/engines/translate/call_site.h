/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls that are made often, and short functions that may stand in their callers' blocks
 * (translate_callee.c): what is called at a place, and which callees there are. All functions:
 * machine->lock is held.
 */
#ifndef TRANSLATE_CALL_SITE_H
#define TRANSLATE_CALL_SITE_H

#include <stdbool.h>
#include <stdint.h>

struct machine_code;

/* The call at guest-physical address `at`, in a placed block for a linear page and a mode. */
struct call_site {
	uint64_t at, page;
	uint32_t mode;		   /* 0: an empty place */
	bool plain;		   /* what it called cannot stand in the block */
	uint64_t linear, physical; /* of what it called, else */
};
#define CALL_SITES 2048u

/* What is known of the call, or NULL: nothing yet, or other calls have taken its place. */
struct call_site *call_site_find(struct machine_code *code, uint64_t at, uint64_t page,
				 uint32_t mode);
void call_site_enter(struct machine_code *code, const struct call_site *site);
void call_site_forget(struct machine_code *code, uint64_t at, uint64_t page, uint32_t mode);

/*
 * The number of the callee at linear, whose bytes are at physical; it gets one if there are any
 * left, else -1. They are given back when the cache is emptied, or by code_empty_callees.
 * cpu->callees has a bit for each.
 */
int callee_number(struct machine_code *code, uint64_t linear, uint64_t physical, uint32_t mode);

#endif
