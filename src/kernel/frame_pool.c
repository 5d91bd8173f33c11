/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/frame_pool.h"

#include "kernel/address.h"
#include "kernel/frame.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "lib/checked.h"

#define SMALL_IN_LARGE 512

/* In place of an owner: a large page that is split. */
#define SPLIT 0xffffu

struct frame_large {
	uint16_t owner;
	uint16_t free;		 /* of a split one: small pages left */
	uint32_t table;		 /* of a split one: the number of the small page with its owners */
	uint32_t next, previous; /* in the list `partial`; number + 1 */
};
_Static_assert(sizeof(struct frame_large) == 16, "frame.h promises it");

static uint16_t *table_of(const struct frame_pool *pool, const struct frame_large *large)
{
	return (uint16_t *)(pool->memory + large->table * PAGE_SIZE);
}

static void move_account(struct frame_pool *pool, unsigned from, unsigned to, uint64_t count)
{
	pool->owned[from] -= count;
	pool->owned[to] += count;
}

/* The list of split pages with something left. */

static void link_partial(struct frame_pool *pool, uint32_t index)
{
	struct frame_large *large = &pool->large[index];

	large->previous = 0;
	large->next = pool->partial;
	if (pool->partial)
		pool->large[pool->partial - 1].previous = index + 1;
	pool->partial = index + 1;
}

static void unlink_partial(struct frame_pool *pool, uint32_t index)
{
	struct frame_large *large = &pool->large[index];

	if (large->previous)
		pool->large[large->previous - 1].next = large->next;
	else
		pool->partial = large->next;
	if (large->next)
		pool->large[large->next - 1].previous = large->previous;
	large->next = large->previous = 0;
}

/* Changes the owner of small pages of a split page; whether it is in the list follows. */
static void set_small(struct frame_pool *pool, uint32_t index, unsigned first, unsigned count,
		      unsigned owner)
{
	struct frame_large *large = &pool->large[index];
	uint16_t *table = table_of(pool, large);
	unsigned before = large->free;

	for (unsigned i = first; i < first + count; i++) {
		move_account(pool, table[i], owner, 1);
		large->free -= table[i] == OWNER_FREE;
		large->free += owner == OWNER_FREE;
		table[i] = (uint16_t)owner;
	}
	if (before && !large->free)
		unlink_partial(pool, index);
	else if (!before && large->free)
		link_partial(pool, index);
}

/* Splits a large page into small ones of its owner. The table of a free one is the first thing in
 * it, that of another in a page of its own. False: there is none for that. */
static bool split(struct frame_pool *pool, uint32_t index)
{
	struct frame_large *large = &pool->large[index];
	unsigned owner = large->owner;
	uint64_t table =
		owner == OWNER_FREE ? index * LARGE_SIZE : frame_pool_alloc(pool, 1, OWNER_KERNEL);

	if (!table)
		return false;
	large->table = (uint32_t)(table / PAGE_SIZE);
	for (unsigned i = 0; i < SMALL_IN_LARGE; i++)
		table_of(pool, large)[i] = (uint16_t)owner;
	large->owner = SPLIT;
	large->free = 0;
	if (owner == OWNER_FREE) {
		pool->large_free--;
		large->free = SMALL_IN_LARGE;
		link_partial(pool, index);
		set_small(pool, index, 0, 1, OWNER_KERNEL);
	}
	return true;
}

static void set_large_free(struct frame_pool *pool, uint32_t index)
{
	pool->large[index].owner = OWNER_FREE;
	pool->large_free++;
	if (index < pool->large_lowest)
		pool->large_lowest = index;
}

/* The lowest free large page, or -1. */
static int64_t find_large(struct frame_pool *pool)
{
	if (!pool->large_free)
		return -1;
	while (pool->large[pool->large_lowest].owner != OWNER_FREE)
		pool->large_lowest++;
	return pool->large_lowest;
}

/* `count` free small pages in a row in a split page: the first one's number, or SMALL_IN_LARGE. */
static unsigned find_run(const struct frame_pool *pool, uint32_t index, unsigned count)
{
	const uint16_t *table = table_of(pool, &pool->large[index]);
	unsigned run = 0;

	for (unsigned i = 0; i < SMALL_IN_LARGE && pool->large[index].free >= count; i++) {
		run = table[i] == OWNER_FREE ? run + 1 : 0;
		if (run == count)
			return i + 1 - count;
	}
	return SMALL_IN_LARGE;
}

uint64_t frame_pool_alloc(struct frame_pool *pool, unsigned count, unsigned owner)
{
	uint32_t place = pool->partial;
	unsigned first = SMALL_IN_LARGE;
	int64_t large;

	CHECK(count && count < SMALL_IN_LARGE && owner != OWNER_FREE && owner < FRAME_OWNERS_MAX);
	for (; place; place = pool->large[place - 1].next) {
		first = find_run(pool, place - 1, count);
		if (first < SMALL_IN_LARGE)
			break;
	}
	if (!place) {
		large = find_large(pool);
		if (large < 0)
			return 0;
		place = (uint32_t)large + 1;
		split(pool, place - 1);
		first = find_run(pool, place - 1, count);
	}
	set_small(pool, place - 1, first, count, owner);
	return (place - 1) * LARGE_SIZE + first * PAGE_SIZE;
}

/*
 * A split page all of whose small ones are free again, but perhaps the one with its own table,
 * becomes whole. Then its table's page is free too: the large page where that lies is returned,
 * which may be the next to become whole; -1: there is nothing more to do.
 */
static int64_t join(struct frame_pool *pool, uint32_t index)
{
	struct frame_large *large = &pool->large[index];
	uint32_t host = large->table / SMALL_IN_LARGE;

	if (large->free + (host == index) != SMALL_IN_LARGE)
		return -1;
	set_small(pool, host, large->table % SMALL_IN_LARGE, 1, OWNER_FREE);
	unlink_partial(pool, index);
	set_large_free(pool, index);
	return host == index ? -1 : (int64_t)host;
}

void frame_pool_free(struct frame_pool *pool, uint64_t address, unsigned count, unsigned owner)
{
	int64_t index = (int64_t)(address / LARGE_SIZE);
	unsigned first = address / PAGE_SIZE % SMALL_IN_LARGE;

	CHECK(is_aligned(address, PAGE_SIZE) && address / LARGE_SIZE < pool->large_count);
	CHECK(count && first + count <= SMALL_IN_LARGE && owner > OWNER_RESERVED);
	if (pool->large[index].owner != SPLIT) {
		bool done;

		/* A whole one that was taken when the pool was made, a part of which comes back. */
		CHECK(pool->large[index].owner == owner);
		done = split(pool, (uint32_t)index);
		CHECK(done);
	}
	for (unsigned i = first; i < first + count; i++)
		CHECK(table_of(pool, &pool->large[index])[i] == owner);
	set_small(pool, (uint32_t)index, first, count, OWNER_FREE);
	while (index >= 0)
		index = join(pool, (uint32_t)index);
}

uint64_t frame_pool_alloc_large(struct frame_pool *pool, unsigned owner)
{
	int64_t index = find_large(pool);

	CHECK(owner != OWNER_FREE && owner < FRAME_OWNERS_MAX);
	if (index < 0)
		return 0;
	pool->large[index].owner = (uint16_t)owner;
	pool->large_free--;
	move_account(pool, OWNER_FREE, owner, SMALL_IN_LARGE);
	return (uint64_t)index * LARGE_SIZE;
}

void frame_pool_free_large(struct frame_pool *pool, uint64_t address, unsigned owner)
{
	CHECK(is_aligned(address, LARGE_SIZE) && address / LARGE_SIZE < pool->large_count);
	CHECK(owner > OWNER_RESERVED && pool->large[address / LARGE_SIZE].owner == owner);
	set_large_free(pool, (uint32_t)(address / LARGE_SIZE));
	move_account(pool, owner, OWNER_FREE, SMALL_IN_LARGE);
}

unsigned frame_pool_owner(const struct frame_pool *pool, uint64_t address)
{
	const struct frame_large *large;

	if (address / LARGE_SIZE >= pool->large_count)
		return OWNER_RESERVED;
	large = &pool->large[address / LARGE_SIZE];
	if (large->owner != SPLIT)
		return large->owner;
	return table_of(pool, large)[address / PAGE_SIZE % SMALL_IN_LARGE];
}

/* Making it. */

struct layout {
	const struct frame_range *ram, *taken;
	unsigned ram_count, taken_count;
};

/* Whether the range has something in common with the page, and not all of it. */
static bool cuts(const struct frame_range *range, uint64_t base, uint64_t size)
{
	return ranges_overlap(range->base, range->size, base, size) &&
	       !(range->base <= base && base + size <= range->base + range->size);
}

/* Who has the page from the start: all of it, or SPLIT. */
static unsigned first_owner(const struct layout *layout, uint64_t base, uint64_t size)
{
	unsigned owner = OWNER_RESERVED;

	for (unsigned i = 0; i < layout->ram_count; i++) {
		if (cuts(&layout->ram[i], base, size))
			return SPLIT;
		if (ranges_overlap(layout->ram[i].base, layout->ram[i].size, base, size))
			owner = OWNER_FREE;
	}
	for (unsigned i = 0; i < layout->taken_count; i++) {
		if (cuts(&layout->taken[i], base, size))
			return SPLIT;
		if (ranges_overlap(layout->taken[i].base, layout->taken[i].size, base, size))
			owner = layout->taken[i].owner;
	}
	return owner;
}

static bool split_first(struct frame_pool *pool, const struct layout *layout, uint32_t index)
{
	pool->large[index].owner = OWNER_RESERVED;
	if (!split(pool, index))
		return false;
	for (unsigned i = 0; i < SMALL_IN_LARGE; i++) {
		uint64_t base = (uint64_t)index * LARGE_SIZE + i * PAGE_SIZE;

		set_small(pool, index, i, 1, first_owner(layout, base, PAGE_SIZE));
	}
	return true;
}

uint64_t frame_pool_size(uint64_t end)
{
	return (end / LARGE_SIZE + 1) * sizeof(struct frame_large);
}

bool frame_pool_create(struct frame_pool *pool, void *memory, void *entries, uint64_t end,
		       const struct frame_range *ram, unsigned ram_count,
		       const struct frame_range *taken, unsigned taken_count)
{
	const struct layout layout = {ram, taken, ram_count, taken_count};
	bool enough = true;

	*pool = (struct frame_pool){
		.memory = memory,
		.large = entries,
		.large_count = (uint32_t)(end / LARGE_SIZE + 1),
	};
	pool->large_lowest = pool->large_count;
	bytes_fill(entries, 0, frame_pool_size(end));
	/* Whole ones first: the tables of those that are split come from there. */
	for (uint32_t i = 0; i < pool->large_count; i++) {
		unsigned owner = first_owner(&layout, (uint64_t)i * LARGE_SIZE, LARGE_SIZE);

		pool->large[i].owner = (uint16_t)owner;
		if (owner == OWNER_FREE)
			set_large_free(pool, i);
		pool->owned[owner == SPLIT ? OWNER_RESERVED : owner] += SMALL_IN_LARGE;
	}
	/* Splitting makes others split: which are to be must be known by their owner still. */
	for (uint32_t i = 0; i < pool->large_count && enough; i++)
		if (pool->large[i].owner == SPLIT && !pool->large[i].table)
			enough = split_first(pool, &layout, i);
	for (unsigned i = 0; i < ram_count; i++)
		pool->total += ram[i].size;
	return enough;
}
