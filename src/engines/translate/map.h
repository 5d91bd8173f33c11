/* SPDX-License-Identifier: BSD-2-Clause */
/* Maps of bits: which entries of a table are in use. */
#ifndef TRANSLATE_MAP_H
#define TRANSLATE_MAP_H

#include <stdbool.h>
#include <stdint.h>

/* Entries of global pages have maps of their own: the second of each pair. */
enum { LOCAL, GLOBAL };

static inline void map_set(uint64_t *map, unsigned index)
{
	map[index / 64] |= 1ull << index % 64;
}

static inline bool map_has(const uint64_t *map, unsigned index)
{
	return map[index / 64] >> index % 64 & 1;
}

static inline void map_clear(uint64_t *map, unsigned index)
{
	map[index / 64] &= ~(1ull << index % 64);
}

#endif
