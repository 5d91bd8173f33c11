/* SPDX-License-Identifier: BSD-2-Clause */
#include "engines/translate/jump_cache.h"

#include "engines/translate/map.h"
#include "engines/translate/return_stack.h"

static void set(struct cpu *cpu, unsigned index, struct jump_entry entry, bool global)
{
	cpu->jump[cpu->view][index] = entry;
	map_set(cpu->jump_used[global][cpu->view], index);
	map_clear(cpu->jump_used[!global][cpu->view], index);
	map_set(cpu->jump_words[global][cpu->view], index / 64);
}

static void forget(struct cpu *cpu, unsigned view, unsigned index)
{
	cpu->jump[view][index].address = jump_invalid_address(index);
	map_clear(cpu->jump_used[LOCAL][view], index);
	map_clear(cpu->jump_used[GLOBAL][view], index);
}

static bool is_at_home(const struct cpu *cpu, unsigned index)
{
	return jump_index(cpu->jump[cpu->view][index].address) == index; /* not if it is invalid */
}

/*
 * What was in the entry moves to the other one, if it is not that one's there; nor may it drive out
 * what is, but now and then, for that may not be in use any more.
 */
#define PATIENCE 4u

static void move(struct cpu *cpu, unsigned index)
{
	unsigned other = jump_other(index);

	if (!is_at_home(cpu, index) || (is_at_home(cpu, other) && ++cpu->jump_moves % PATIENCE))
		return;
	set(cpu, other, cpu->jump[cpu->view][index],
	    map_has(cpu->jump_used[GLOBAL][cpu->view], index));
}

void jump_cache_add(struct cpu *cpu, uint64_t linear, void *code, bool global)
{
	unsigned index = jump_index(linear);

	if (cpu->jump[cpu->view][index].address != linear)
		move(cpu, index);
	set(cpu, index, (struct jump_entry){linear, code}, global);
}

void jump_cache_add_crossing(struct cpu *cpu, uint64_t linear, void *code)
{
	unsigned index = cross_index(linear);

	cpu->cross[cpu->view][index] = (struct jump_entry){linear, code};
	cpu->cross_used[cpu->view] |= 1ull << index;
}

void jump_cache_drop_crossing(struct cpu *cpu, uint64_t linear)
{
	cpu->cross[cpu->view][cross_index(linear)].address = 0;
}

void jump_cache_add_callee(struct cpu *cpu, unsigned number)
{
	map_set(cpu->callees, number);
}

/* Flushes */

static void flush_word(struct cpu *cpu, unsigned scope, unsigned view, unsigned word)
{
	uint64_t used = cpu->jump_used[scope][view][word];

	cpu->jump_used[scope][view][word] = 0;
	for (; used; used &= used - 1) {
		unsigned index = word * 64 + (unsigned)__builtin_ctzll(used);

		cpu->jump[view][index].address = jump_invalid_address(index);
	}
}

static void flush_view(struct cpu *cpu, unsigned scope, unsigned view)
{
	for (unsigned i = 0; i < JUMP_SIZE / 64 / 64; i++) {
		uint64_t words = cpu->jump_words[scope][view][i];

		cpu->jump_words[scope][view][i] = 0;
		for (; words; words &= words - 1)
			flush_word(cpu, scope, view, i * 64 + (unsigned)__builtin_ctzll(words));
	}
}

void jump_cache_flush_callees(struct cpu *cpu)
{
	for (unsigned i = 0; i < CALLEES / 64; i++)
		cpu->callees[i] = 0;
}

/* Of all pages, for there are few, and each depends on two. */
static void flush_pairs(struct cpu *cpu)
{
	jump_cache_flush_callees(cpu);
	for (unsigned view = 0; view < VIEW_COUNT; view++) {
		for (uint64_t used = cpu->cross_used[view]; used; used &= used - 1)
			cpu->cross[view][__builtin_ctzll(used)].address = 0;
		cpu->cross_used[view] = 0;
	}
}

void jump_cache_flush_scope(struct cpu *cpu, unsigned scope)
{
	flush_pairs(cpu);
	for (unsigned view = 0; view < VIEW_COUNT; view++)
		flush_view(cpu, scope, view);
}

void jump_cache_flush(struct cpu *cpu)
{
	return_stack_empty(cpu, true);
	jump_cache_flush_scope(cpu, LOCAL);
	jump_cache_flush_scope(cpu, GLOBAL);
}

void jump_cache_flush_view(struct cpu *cpu, unsigned view)
{
	flush_pairs(cpu);
	flush_view(cpu, LOCAL, view);
	flush_view(cpu, GLOBAL, view);
}

static void flush_word_of_page(struct cpu *cpu, unsigned view, unsigned word, uint64_t linear,
			       unsigned bits)
{
	uint64_t used = cpu->jump_used[LOCAL][view][word] | cpu->jump_used[GLOBAL][view][word];

	for (; used; used &= used - 1) {
		unsigned index = word * 64 + (unsigned)__builtin_ctzll(used);

		if ((cpu->jump[view][index].address ^ linear) >> bits == 0)
			forget(cpu, view, index);
	}
}

void jump_cache_flush_page(struct cpu *cpu, uint64_t linear, unsigned bits)
{
	flush_pairs(cpu);
	for (unsigned view = 0; view < VIEW_COUNT; view++) {
		for (unsigned i = 0; i < JUMP_SIZE / 64 / 64; i++) {
			uint64_t words =
				cpu->jump_words[LOCAL][view][i] | cpu->jump_words[GLOBAL][view][i];

			for (; words; words &= words - 1)
				flush_word_of_page(cpu, view,
						   i * 64 + (unsigned)__builtin_ctzll(words),
						   linear, bits);
		}
	}
}

void jump_cache_begin(struct cpu *cpu)
{
	for (unsigned view = 0; view < VIEW_COUNT; view++) {
		forget(cpu, view, 0);
		forget(cpu, view, 1);
	}
}
