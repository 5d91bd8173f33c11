/* SPDX-License-Identifier: BSD-2-Clause */
/* Hostile files decide the sizes here, so every sum is checked, and work is bounded by the number
 * of pieces. */
#include "machines/boot_place.h"

void boot_placer_init(struct boot_placer *placer, const struct boot_map *map)
{
	placer->map = map;
	placer->count = 0;
}

bool boot_map_is_ram(const struct boot_map *map, uint64_t base, uint64_t size)
{
	if (!size)
		return true;
	for (unsigned i = 0; i < map->count; i++) {
		const struct boot_range *range = &map->range[i];

		if (range->type == BOOT_RAM && base >= range->base &&
		    base - range->base < range->size && size <= range->size - (base - range->base))
			return true;
	}
	return false;
}

uint64_t boot_map_ram_end(const struct boot_map *map, uint64_t limit)
{
	uint64_t end = 0;

	for (unsigned i = 0; i < map->count; i++) {
		const struct boot_range *range = &map->range[i];
		uint64_t range_end = range->base + range->size;

		if (range->type != BOOT_RAM || range->base >= limit)
			continue;
		if (range_end > limit)
			range_end = limit;
		if (range_end > end)
			end = range_end;
	}
	return end;
}

/* The index of a used piece that [base, end) meets, or -1. */
static int used_by(const struct boot_placer *placer, uint64_t base, uint64_t end)
{
	for (unsigned i = 0; i < placer->count; i++)
		if (base < placer->used[i].end && end > placer->used[i].base)
			return (int)i;
	return -1;
}

bool boot_place_at(struct boot_placer *placer, uint64_t base, uint64_t size)
{
	if (!size)
		return true;
	if (placer->count == BOOT_PLACES_MAX || !boot_map_is_ram(placer->map, base, size) ||
	    used_by(placer, base, base + size) >= 0)
		return false;
	placer->used[placer->count].base = base;
	placer->used[placer->count].end = base + size;
	placer->count++;
	return true;
}

/* The lowest place within [low, high), or BOOT_NOWHERE. */
static uint64_t lowest(const struct boot_placer *placer, uint64_t size, uint64_t align,
		       uint64_t low, uint64_t high)
{
	uint64_t base = low;
	int used;

	do {
		if (base > UINT64_MAX - (align - 1))
			return BOOT_NOWHERE;
		base = (base + align - 1) & ~(align - 1);
		if (base > high || high - base < size)
			return BOOT_NOWHERE;
		used = used_by(placer, base, base + size);
		if (used >= 0)
			base = placer->used[used].end;
	} while (used >= 0);
	return base;
}

static uint64_t highest(const struct boot_placer *placer, uint64_t size, uint64_t align,
			uint64_t low, uint64_t high)
{
	uint64_t base, end = high;
	int used;

	do {
		if (end < size)
			return BOOT_NOWHERE;
		base = (end - size) & ~(align - 1);
		if (base < low)
			return BOOT_NOWHERE;
		used = used_by(placer, base, base + size);
		if (used >= 0)
			end = placer->used[used].base;
	} while (used >= 0);
	return base;
}

static uint64_t place(struct boot_placer *placer, uint64_t size, uint64_t align, uint64_t min,
		      uint64_t max, bool high)
{
	const struct boot_map *map = placer->map;

	for (unsigned i = 0; i < map->count; i++) {
		const struct boot_range *range = &map->range[high ? map->count - 1 - i : i];
		uint64_t low_end = range->base > min ? range->base : min;
		uint64_t high_end =
			range->base + range->size < max ? range->base + range->size : max;
		uint64_t base;

		if (range->type != BOOT_RAM || low_end >= high_end)
			continue;
		base = high ? highest(placer, size, align, low_end, high_end)
			    : lowest(placer, size, align, low_end, high_end);
		if (base != BOOT_NOWHERE)
			return boot_place_at(placer, base, size) ? base : BOOT_NOWHERE;
	}
	return BOOT_NOWHERE;
}

uint64_t boot_place_low(struct boot_placer *placer, uint64_t size, uint64_t align, uint64_t min,
			uint64_t max)
{
	return place(placer, size, align, min, max, false);
}

uint64_t boot_place_high(struct boot_placer *placer, uint64_t size, uint64_t align, uint64_t min,
			 uint64_t max)
{
	return place(placer, size, align, min, max, true);
}
