/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "kernel/address.h"
#include "kernel/frame.h"
#include "kernel/frame_pool.h"
#include "lib/bytes.h"

#define MEMORY	(32 * LARGE_SIZE)
#define LOW	(UINT64_C(1) << 20)
#define PROCESS (OWNER_PROCESS + 1)

static struct frame_pool pool;

/* Memory of the test's own in place of the computer's. */
static void make(const struct frame_range *ram, unsigned ram_count, const struct frame_range *taken,
		 unsigned taken_count)
{
	static _Alignas(16) uint8_t memory[MEMORY], entries[33 * 16];

	REQUIRE(frame_pool_size(MEMORY) == sizeof(entries));
	REQUIRE(frame_pool_create(&pool, memory, entries, MEMORY, ram, ram_count, taken,
				  taken_count));
}

static const struct frame_range all = {0, MEMORY, OWNER_FREE};
static const struct frame_range low = {0, LOW, OWNER_RESERVED};

/* The accounts agree with what each page says. */
static void expect_accounts(void)
{
	uint64_t counted[FRAME_OWNERS_MAX] = {0};

	for (uint64_t at = 0; at < MEMORY + LARGE_SIZE; at += PAGE_SIZE)
		counted[frame_pool_owner(&pool, at)]++;
	EXPECT_MEM(counted, pool.owned, sizeof(counted));
}

TEST(what_is_taken_is_its_owners)
{
	const struct frame_range taken[] = {
		low,
		{LOW, 3 * PAGE_SIZE, OWNER_KERNEL},
		{8 * LARGE_SIZE - PAGE_SIZE, 2 * LARGE_SIZE, OWNER_MODULE},
	};
	const struct frame_range ram[] = {
		{0, 0x9f000, OWNER_FREE},
		{LOW, 20 * LARGE_SIZE - LOW, OWNER_FREE},
		{20 * LARGE_SIZE + PAGE_SIZE, PAGE_SIZE, OWNER_FREE},
	};

	make(ram, 3, taken, 3);
	EXPECT_EQ(frame_pool_owner(&pool, 0), OWNER_RESERVED);
	EXPECT_EQ(frame_pool_owner(&pool, LOW), OWNER_KERNEL);
	EXPECT_EQ(frame_pool_owner(&pool, LOW + 64 * PAGE_SIZE), OWNER_FREE);
	EXPECT_EQ(frame_pool_owner(&pool, 8 * LARGE_SIZE - PAGE_SIZE), OWNER_MODULE);
	EXPECT_EQ(frame_pool_owner(&pool, 8 * LARGE_SIZE), OWNER_MODULE);
	EXPECT(frame_pool_owner(&pool, 10 * LARGE_SIZE - PAGE_SIZE) != OWNER_MODULE);
	EXPECT_EQ(frame_pool_owner(&pool, 20 * LARGE_SIZE), OWNER_RESERVED);
	EXPECT_EQ(frame_pool_owner(&pool, 20 * LARGE_SIZE + PAGE_SIZE), OWNER_FREE);
	EXPECT_EQ(frame_pool_owner(&pool, MEMORY), OWNER_RESERVED);
	EXPECT_EQ(frame_pool_owner(&pool, UINT64_MAX), OWNER_RESERVED);
	EXPECT_EQ(pool.owned[OWNER_MODULE], 1024);
	expect_accounts();
}

TEST(neighbours_come_in_ascending_order)
{
	uint64_t last = 0;

	make(&all, 1, &low, 1);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t large = frame_pool_alloc_large(&pool, PROCESS);

		EXPECT(large > last && (!last || large == last + LARGE_SIZE));
		last = large;
	}
	expect_accounts();
}

TEST(all_memory_can_be_had_and_comes_back)
{
	uint64_t before, list = 0, count = 0, at;
	uint32_t large_before;

	make(&all, 1, &low, 1);
	large_before = pool.large_free;
	before = pool.owned[OWNER_FREE];
	while ((at = frame_pool_alloc(&pool, 1, PROCESS))) {
		bytes_store64(pool.memory + at, list);
		list = at;
		count++;
	}
	EXPECT_EQ(pool.owned[OWNER_FREE], 0);
	EXPECT_EQ(pool.owned[PROCESS], count);
	/* What it knows of them: a page for each large page. */
	EXPECT(before - count <= 32);
	EXPECT(!frame_pool_alloc_large(&pool, PROCESS));
	expect_accounts();
	while (list) {
		at = list;
		list = bytes_load64(pool.memory + at);
		frame_pool_free(&pool, at, 1, PROCESS);
	}
	EXPECT_EQ(pool.owned[OWNER_FREE], before);
	EXPECT_EQ(pool.large_free, large_before);
	expect_accounts();
}

TEST(pages_in_a_row)
{
	uint64_t a, b;

	make(&all, 1, &low, 1);
	a = frame_pool_alloc(&pool, 511, PROCESS);
	b = frame_pool_alloc(&pool, 510, PROCESS);
	EXPECT(a && b && a / LARGE_SIZE != b / LARGE_SIZE);
	for (unsigned i = 0; i < 511; i++)
		EXPECT_EQ(frame_pool_owner(&pool, a + i * PAGE_SIZE), PROCESS);
	frame_pool_free(&pool, a, 511, PROCESS);
	frame_pool_free(&pool, b, 510, PROCESS);
	EXPECT_EQ(pool.owned[PROCESS], 0);
	expect_accounts();
}

/* A part of a whole large page that was taken at the start may come back (the first page tables).
 */
TEST(a_part_of_a_taken_large_page_comes_back)
{
	const struct frame_range taken[] = {low, {4 * LARGE_SIZE, 2 * LARGE_SIZE, OWNER_KERNEL}};

	make(&all, 1, taken, 2);
	frame_pool_free(&pool, 5 * LARGE_SIZE + 7 * PAGE_SIZE, 2, OWNER_KERNEL);
	EXPECT_EQ(frame_pool_owner(&pool, 5 * LARGE_SIZE + 6 * PAGE_SIZE), OWNER_KERNEL);
	EXPECT_EQ(frame_pool_owner(&pool, 5 * LARGE_SIZE + 8 * PAGE_SIZE), OWNER_FREE);
	EXPECT_EQ(frame_pool_owner(&pool, 5 * LARGE_SIZE + 9 * PAGE_SIZE), OWNER_KERNEL);
	expect_accounts();
}

TEST(anybodys_mixture_keeps_the_accounts)
{
	static struct {
		uint64_t at;
		unsigned count, owner;
	} held[300];
	uint32_t random = 1, large_before;
	uint64_t before;

	make(&all, 1, &low, 1);
	large_before = pool.large_free;
	before = pool.owned[OWNER_FREE];
	for (unsigned step = 0; step < 20000; step++) {
		unsigned i;

		random = random * 1664525 + 1013904223;
		i = random >> 8 & 0xff;
		if (held[i].at && held[i].count)
			frame_pool_free(&pool, held[i].at, held[i].count, held[i].owner);
		else if (held[i].at)
			frame_pool_free_large(&pool, held[i].at, held[i].owner);
		if (held[i].at) {
			held[i].at = 0;
			continue;
		}
		held[i].owner = PROCESS + (random >> 16 & 3);
		held[i].count = random >> 20 & 15 ? (random >> 18 & 63) + 1 : 0;
		held[i].at = held[i].count ? frame_pool_alloc(&pool, held[i].count, held[i].owner)
					   : frame_pool_alloc_large(&pool, held[i].owner);
		if (step % 1000 == 0)
			expect_accounts();
	}
	for (unsigned i = 0; i < 300; i++)
		if (held[i].at && held[i].count)
			frame_pool_free(&pool, held[i].at, held[i].count, held[i].owner);
		else if (held[i].at)
			frame_pool_free_large(&pool, held[i].at, held[i].owner);
	EXPECT_EQ(pool.owned[OWNER_FREE], before);
	EXPECT_EQ(pool.large_free, large_before);
	expect_accounts();
}

TEST(anothers_page_is_not_freed)
{
	uint64_t at;

	make(&all, 1, &low, 1);
	at = frame_pool_alloc(&pool, 1, PROCESS);
	test_expect_abort("owner");
	frame_pool_free(&pool, at, 1, PROCESS + 1);
}

TEST(a_free_page_is_not_freed)
{
	uint64_t at;

	make(&all, 1, &low, 1);
	at = frame_pool_alloc_large(&pool, PROCESS);
	frame_pool_free_large(&pool, at, PROCESS);
	test_expect_abort("owner");
	frame_pool_free_large(&pool, at, PROCESS);
}
