/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two test programs of the system calls agree on: calls_manager.c, which takes the
 *manager's place, and fuzz_calls.c, which takes the machine's. The one writes what the other is to
 *do into the channel, as the machine's `append`: so the same program obeys a machine file too.
 *
 *	do=NAME seed=NUMBER count=NUMBER threads=NUMBER
 */
#ifndef TESTS_METAL_CALLS_SHARED_H
#define TESTS_METAL_CALLS_SHARED_H

#include <stdint.h>

#include "kernel/abi.h"
#include "lib/checked.h"
#include "lib/string.h"

/* The number behind `key=` in the text, or `otherwise`. */
static inline uint64_t option_number(const char *text, const char *key, uint64_t otherwise)
{
	for (; *text; text++)
		if (string_starts(text, key)) {
			uint64_t value = 0;

			for (text += string_length(key); *text >= '0' && *text <= '9'; text++)
				value = value * 10 + (uint64_t)(*text - '0');
			return value;
		}
	return otherwise;
}

/* Whether the text has the word `do=name`. */
static inline int option_is(const char *text, const char *name)
{
	for (; *text; text++)
		if (string_starts(text, "do=")) {
			size_t length = string_length(name);

			return string_starts(text + 3, name) &&
			       (text[3 + length] == ' ' || !text[3 + length]);
		}
	return 0;
}

/* The clock of deadlines, by what the start page said. */
static inline uint64_t clock_by(const struct metal_start *start)
{
	uint32_t low, high;
	uint64_t ticks;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	ticks = ((uint64_t)high << 32 | low) - start->tsc_zero;
	return multiply_divide(ticks, 1000000000u, start->tsc_frequency);
}

#endif
