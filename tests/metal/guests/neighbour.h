/* SPDX-License-Identifier: BSD-2-Clause */
/* What the guests of this folder share: numbers on their command line, and chance. */
#ifndef TESTS_METAL_NEIGHBOUR_H
#define TESTS_METAL_NEIGHBOUR_H

#include "system.h"

/* The number behind NAME= on the command line, or `otherwise`. */
static inline uint64_t option(const char *name, uint64_t otherwise)
{
	const char *at = guest_command_line();

	for (; *at; at++) {
		size_t length = 0;
		uint64_t value = 0;

		while (name[length] && at[length] == name[length])
			length++;
		if (name[length] || at[length] != '=')
			continue;
		for (at += length + 1; *at >= '0' && *at <= '9'; at++)
			value = value * 10 + (uint64_t)(*at - '0');
		return value;
	}
	return otherwise;
}

/* xorshift64*: the same seed, the same numbers. */
static inline uint64_t chance(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1d;
}

/* Ticks of the TSC in a millisecond, by 20 ms of the ACPI timer (3.579545 MHz, 24 bits wide here).
 */
#define ACPI_TIMER 0x608
static inline uint64_t tsc_per_millisecond(void)
{
	uint32_t first = in32(ACPI_TIMER), now;
	uint64_t start = tsc_read();

	do {
		now = in32(ACPI_TIMER);
	} while (((now - first) & 0xffffff) < 71591);
	return (tsc_read() - start) / 20;
}

#endif
