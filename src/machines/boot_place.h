/* SPDX-License-Identifier: BSD-2-Clause */
/* What is where in guest-physical memory when a kernel starts, and where the loader may still put
 * something. */
#ifndef MACHINES_BOOT_PLACE_H
#define MACHINES_BOOT_PLACE_H

#include <stdbool.h>
#include <stdint.h>

/* As in an e820 table (ACPI 6.5, table 15.4), which PVH's and multiboot's maps follow. */
enum boot_range_type { BOOT_RAM = 1, BOOT_RESERVED = 2, BOOT_ACPI = 3 };

struct boot_range {
	uint64_t base, size;
	enum boot_range_type type;
};

#define BOOT_RANGES_MAX 16

struct boot_map {
	uint64_t hole_base; /* no vm has RAM from here to 4 GiB, however large it is */
	unsigned count;
	struct boot_range range[BOOT_RANGES_MAX]; /* by ascending base, disjoint */
};

#define BOOT_PLACES_MAX 128
#define BOOT_NOWHERE	UINT64_MAX

struct boot_placer {
	const struct boot_map *map;
	unsigned count;
	struct {
		uint64_t base, end;
	} used[BOOT_PLACES_MAX];
};

void boot_placer_init(struct boot_placer *placer, const struct boot_map *map);

/* Whether [base, base + size) is RAM in the map. size 0: yes. */
bool boot_map_is_ram(const struct boot_map *map, uint64_t base, uint64_t size);

/* The end of RAM below `limit` (0 if there is none). */
uint64_t boot_map_ram_end(const struct boot_map *map, uint64_t limit);

/* Takes [base, base + size). False if it isn't all RAM, or in use, or there are too many pieces.
 * Size 0 takes nothing. */
bool boot_place_at(struct boot_placer *placer, uint64_t base, uint64_t size);

/*
 * Takes size bytes (1...) at a multiple of align (a power of two) that lie in [min, max), at the
 * lowest or the highest place. BOOT_NOWHERE if there is none.
 */
uint64_t boot_place_low(struct boot_placer *placer, uint64_t size, uint64_t align, uint64_t min,
			uint64_t max);
uint64_t boot_place_high(struct boot_placer *placer, uint64_t size, uint64_t align, uint64_t min,
			 uint64_t max);

#endif
