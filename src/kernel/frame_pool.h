/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The book-keeping behind frame.h, apart from locks and zeroing: pure, so that unit tests can run
 * it on memory of their own. Addresses are physical, sizes in bytes.
 *
 * Each large page (2 MiB) has an entry of 16 bytes. A large page that is split has a table of its
 * 512 owners, in a small page of the pool itself.
 */
#ifndef KERNEL_FRAME_POOL_H
#define KERNEL_FRAME_POOL_H

#include <stdbool.h>
#include <stdint.h>

#define FRAME_OWNERS_MAX 96

struct frame_large;

struct frame_range {
	uint64_t base, size; /* page aligned */
	unsigned owner;
};

struct frame_pool {
	uint8_t *memory; /* where physical address 0 is reachable */
	struct frame_large *large;
	uint32_t large_count;
	uint32_t large_free;		  /* how many are free */
	uint32_t large_lowest;		  /* none below it is free */
	uint32_t partial;		  /* split ones with small pages left: list, number + 1 */
	uint64_t owned[FRAME_OWNERS_MAX]; /* small pages of each owner */
	uint64_t total;
};

/* Bytes that the entries take for memory up to this address. */
uint64_t frame_pool_size(uint64_t end);

/*
 * Makes the pool: entries has frame_pool_size(end) bytes. What is in ram is free, but what is in
 * taken, whose ranges are that owner's. Ranges of one array are disjoint; those of taken may lie
 * outside of ram. Page 0 must not be free: it means none. False: too little memory for the pool's
 * own tables.
 */
bool frame_pool_create(struct frame_pool *pool, void *memory, void *entries, uint64_t end,
		       const struct frame_range *ram, unsigned ram_count,
		       const struct frame_range *taken, unsigned taken_count);

/* count (1..511) small pages in a row, or 0. */
uint64_t frame_pool_alloc(struct frame_pool *pool, unsigned count, unsigned owner);
/* All must be the owner's (CHECK). */
void frame_pool_free(struct frame_pool *pool, uint64_t address, unsigned count, unsigned owner);

uint64_t frame_pool_alloc_large(struct frame_pool *pool, unsigned owner);
void frame_pool_free_large(struct frame_pool *pool, uint64_t address, unsigned owner);

/* OWNER_RESERVED where the pool has nothing. */
unsigned frame_pool_owner(const struct frame_pool *pool, uint64_t address);

#endif
