/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open addressing: from the slot that a key hashes to on, up to one that was never taken. A slot
 * has the block's number + 1 and a tag, a few bits of the key's hash, so that blocks of other keys,
 * which are in the way, need not be looked at: the table is small beside the blocks, and the host's
 * processor has to wait for most of those.
 *
 * Neighbours in a page have neighbouring slots, or the same one: the translator asks for one
 * instruction after another, and what runs jumps to what is near. A library's page has blocks for
 * each place that it has been mapped at (struct block): each place has slots of its own.
 */
#include "engines/translate/code_hash.h"

#include "engines/translate/code_memory.h"
#include "lib/check.h"

#define NUMBER_BITS 22
#define NUMBER_MASK ((1u << NUMBER_BITS) - 1)
#define REMOVED	    (1u << NUMBER_BITS) /* a tag, but no number */

#define MIX_1 0x9e3779b97f4a7c15u
#define MIX_2 0xd6e8feb86659fd93u

#define BYTES_A_SLOT  256u
#define OFFSETS_SHIFT 1 /* 2 offsets in a page begin at one slot */

struct place {
	uint32_t slot, tag; /* the tag where it is in a slot */
};

/* Nobody who doesn't know the key knows which pages meet. */
static struct place hash(const struct machine_code *code, uint64_t physical, uint64_t linear,
			 uint32_t mode)
{
	uint64_t page = (physical >> 12 ^ (uint64_t)mode << 40 ^ code->hash_key) * MIX_1;
	uint32_t offset = physical & 4095;

	page = ((page ^ page >> 32) + (linear >> 12)) * MIX_2;
	page = (page ^ page >> 32) * MIX_1;

	return (struct place){
		.slot = ((uint32_t)(page >> 32) + (offset >> OFFSETS_SHIFT)) &
			(code->hash_size - 1),
		.tag = ((uint32_t)(page >> 10) ^ offset) << NUMBER_BITS,
	};
}

static struct place hash_block(const struct machine_code *code, const struct block *block)
{
	return hash(code, block_physical(block), block->linear, block->mode);
}

static uint32_t next_slot(const struct machine_code *code, uint32_t slot)
{
	return (slot + 1) & (code->hash_size - 1);
}

#define NO_PAGE UINT32_MAX

static uint32_t second_page(const struct block *block)
{
	return block->crosses ? block[-1].page : NO_PAGE;
}

static struct block *find(struct machine_code *code, uint64_t physical, uint32_t second,
			  uint64_t linear, uint32_t mode)
{
	struct place place = hash(code, physical, linear, mode);

	for (uint32_t slot = place.slot;; slot = next_slot(code, slot)) {
		uint32_t entry = atomic_load_explicit(&code->hash[slot], memory_order_acquire);
		uint32_t number = entry & NUMBER_MASK;
		struct block *block;

		if (!entry)
			return NULL;
		if ((entry & ~NUMBER_MASK) != place.tag || !number)
			continue;
		block = &code->blocks[number - 1];
		if (block_physical(block) == physical && block->mode == mode &&
		    block->linear == linear && second_page(block) == second && !block->dropped)
			return block;
	}
}

struct block *code_lookup(struct machine_code *code, uint64_t physical, uint64_t linear,
			  uint32_t mode)
{
	return find(code, physical, NO_PAGE, linear, mode);
}

struct block *code_lookup_crossing(struct machine_code *code, uint64_t physical, uint64_t second,
				   uint64_t linear, uint32_t mode)
{
	return find(code, physical, (uint32_t)(second >> 12), linear, mode);
}

uint32_t code_hash_size(uint64_t bytes)
{
	uint32_t size = 1;

	while (size < bytes / BYTES_A_SLOT)
		size *= 2;
	return size;
}

void code_hash_add(struct machine_code *code, const struct block *block)
{
	struct place place = hash_block(code, block);
	uint32_t number = (uint32_t)(block - code->blocks) + 1, slot = place.slot, passed = 0;

	CHECK(number <= NUMBER_MASK);
	while (atomic_load_explicit(&code->hash[slot], memory_order_relaxed) & NUMBER_MASK) {
		slot = next_slot(code, slot);
		passed++;
	}
	code->hash_crowded |= passed >= CODE_HASH_RUN;
	atomic_store_explicit(&code->hash[slot], place.tag | number, memory_order_release);
}

void code_hash_remove(struct machine_code *code, const struct block *block)
{
	struct place place = hash_block(code, block);
	uint32_t entry = place.tag | ((uint32_t)(block - code->blocks) + 1), slot = place.slot;

	while (code->hash[slot] != entry) {
		CHECK(code->hash[slot]);
		slot = next_slot(code, slot);
	}
	atomic_store_explicit(&code->hash[slot], REMOVED, memory_order_relaxed);
}

void code_hash_clear(struct machine_code *code)
{
	code_memory_clear((void *)code->hash, code->hash_size * sizeof(*code->hash));
	code->hash_crowded = false;
}
