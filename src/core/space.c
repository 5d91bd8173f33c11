/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/space.h"

#include "lib/bits.h"
#include "lib/check.h"
#include "lib/checked.h"
#include "lib/error.h"

void space_init(struct space *space, const char *name)
{
	space->name = name;
	space->count = 0;
}

/* How many regions begin at or below address. */
static unsigned space_rank(const struct space *space, uint64_t address)
{
	unsigned low = 0, high = space->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (space->regions[middle]->base <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int space_add(struct space *space, struct region *region, uint64_t base, uint64_t size)
{
	unsigned rank = space_rank(space, base);

	CHECK(!region->space);
	CHECK(region->ops->sizes && !(region->ops->sizes & ~15u));
	if (size == 0 || base + (size - 1) < base)
		return -EINVAL;
	if (rank > 0 && ranges_overlap(space->regions[rank - 1]->base,
				       space->regions[rank - 1]->size, base, size))
		return -EBUSY;
	if (rank < space->count && space->regions[rank]->base - base < size)
		return -EBUSY;
	if (space->count == SPACE_REGIONS_MAX)
		return -ENOSPC;
	for (unsigned i = space->count; i > rank; i--)
		space->regions[i] = space->regions[i - 1];
	space->regions[rank] = region;
	space->count++;
	region->base = base;
	region->size = size;
	region->space = space;
	if (region->ops->moved)
		region->ops->moved(region);
	return 0;
}

void space_remove(struct region *region)
{
	struct space *space = region->space;
	unsigned rank;

	if (!space)
		return;
	rank = space_rank(space, region->base);
	CHECK(rank > 0 && space->regions[rank - 1] == region);
	space->count--;
	for (unsigned i = rank - 1; i < space->count; i++)
		space->regions[i] = space->regions[i + 1];
	region->space = NULL;
	if (region->ops->moved)
		region->ops->moved(region);
}

struct region *space_find(const struct space *space, uint64_t address)
{
	unsigned rank = space_rank(space, address);
	struct region *region;

	if (rank == 0)
		return NULL;
	region = space->regions[rank - 1];
	return address - region->base < region->size ? region : NULL;
}

/* The largest legal size for a piece at offset of at most `left` bytes; 0 if only wider ones are
 * legal. */
static unsigned piece_size(const struct region *region, uint64_t offset, unsigned left)
{
	for (unsigned size = 8; size > 0; size /= 2)
		if (size <= left && is_aligned(offset, size) && (region->ops->sizes & size))
			return size;
	return 0;
}

/* One piece of an access that lies within the region; *done says how many bytes it was. */
static uint64_t read_piece(struct region *region, uint64_t offset, unsigned left, unsigned *done,
			   bool *fault)
{
	unsigned size = piece_size(region, offset, left), skip;
	uint64_t value;

	if (size) {
		*done = size;
		return region->ops->read(region, offset, size, fault) & bits_of_size(size);
	}
	for (size = 2; !(region->ops->sizes & size); size *= 2)
		;
	skip = (unsigned)(offset % size);
	*done = size - skip < left ? size - skip : left;
	value = region->ops->read(region, offset - skip, size, fault) >> skip * 8;
	return value & bits_of_size(*done);
}

static void write_piece(struct region *region, uint64_t offset, unsigned left, uint64_t value,
			unsigned *done, bool *fault)
{
	unsigned size = piece_size(region, offset, left), skip;

	if (size) {
		*done = size;
		region->ops->write(region, offset, size, value & bits_of_size(size), fault);
		return;
	}
	for (size = 2; !(region->ops->sizes & size); size *= 2)
		;
	skip = (unsigned)(offset % size);
	*done = size - skip < left ? size - skip : left;
	region->ops->write(region, offset - skip, size, (value & bits_of_size(*done)) << skip * 8,
			   fault);
}

static bool contains(const struct region *region, uint64_t address, unsigned size)
{
	return region && range_within(address - region->base, size, region->size);
}

/* Each piece is looked up anew: a device may vanish or move by what the piece before it did. */
uint64_t space_read(struct space *space, uint64_t address, unsigned size, bool *fault)
{
	bool whole = contains(space_find(space, address), address, size), ignored = false;
	uint64_t result = 0;

	CHECK(size == 1 || size == 2 || size == 4 || size == 8);
	fault = fault ? fault : &ignored;
	for (unsigned at = 0, done = 1; at < size; at += done, done = 1) {
		struct region *region = space_find(space, address + at);
		unsigned left = whole && contains(region, address + at, size - at) ? size - at : 1;
		uint64_t value = 0xff;

		if (region)
			value = read_piece(region, address + at - region->base, left, &done, fault);
		else
			*fault = true;
		result |= value << at * 8;
	}
	return result;
}

void space_write(struct space *space, uint64_t address, unsigned size, uint64_t value, bool *fault)
{
	bool whole = contains(space_find(space, address), address, size), ignored = false;

	CHECK(size == 1 || size == 2 || size == 4 || size == 8);
	fault = fault ? fault : &ignored;
	for (unsigned at = 0, done = 1; at < size; at += done, done = 1) {
		struct region *region = space_find(space, address + at);
		unsigned left = whole && contains(region, address + at, size - at) ? size - at : 1;

		if (region)
			write_piece(region, address + at - region->base, left, value >> at * 8,
				    &done, fault);
		else
			*fault = true;
	}
}

uint64_t space_read_register(struct space *space, uint64_t number, bool *fault)
{
	struct region *region = space_find(space, number);
	uint64_t value;

	*fault = !region;
	if (!region)
		return 0;
	value = region->ops->read(region, number - region->base, 8, fault);
	return *fault ? 0 : value;
}

void space_write_register(struct space *space, uint64_t number, uint64_t value, bool *fault)
{
	struct region *region = space_find(space, number);

	*fault = !region;
	if (region)
		region->ops->write(region, number - region->base, 8, value, fault);
}
