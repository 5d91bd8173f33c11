/* SPDX-License-Identifier: BSD-2-Clause */
#include "engines/translate/fixed_window.h"

#include "engines/translate/code_cache.h"
#include "engines/translate/window.h"

#define MISSES 32u /* of an operand, and its block is made anew */
#define TRIES  16u /* and so many times with constants */

static unsigned block_index(uint64_t physical)
{
	return (unsigned)(physical * 0x9e3779b97f4a7c15u >> 32) & (FIXED_BLOCKS - 1);
}

bool fixed_window_allowed(const struct machine_code *code, uint64_t physical)
{
	return code->fixed.tries[block_index(physical)] < TRIES;
}

int fixed_window_add(struct machine_code *code, uint64_t delta)
{
	struct fixed_windows *fixed = &code->fixed;

	if (fixed->count == FIXED_WINDOWS)
		return -1;
	fixed->at[fixed->count].delta = delta;
	fixed->at[fixed->count].misses = 0;
	code->count_fixed++;
	return (int)fixed->count++;
}

void fixed_window_take_back(struct machine_code *code)
{
	code->fixed.count = 0;
	for (unsigned i = 0; i < FIXED_BLOCKS; i++)
		code->fixed.tries[i] = 0;
}

void fixed_window_missed(struct machine_code *code, struct block *block, unsigned number)
{
	struct fixed_windows *fixed = &code->fixed;

	block = block_whole(block);
	code_lock(&code->lock);
	if (!block->dropped && ++fixed->at[number].misses == MISSES) {
		fixed->tries[block_index(block_physical(block))]++;
		code_drop(code, block);
	}
	code_unlock(&code->lock);
}

void fixed_window_empty(struct cpu *cpu)
{
	for (unsigned word = 0; word < FIXED_WINDOWS / 64; word++) {
		for (uint64_t bits = cpu->fixed_used[word]; bits; bits &= bits - 1)
			cpu->fixed_number[word * 64 + (unsigned)__builtin_ctzll(bits)] =
				WINDOW_EMPTY_NUMBER;
		cpu->fixed_used[word] = 0;
	}
}
