/* SPDX-License-Identifier: BSD-2-Clause */
/* The disk over a boot module. */
#include "hosts/metal/disk.h"

#include "hosts/fake/fake.h"
#include "hosts/metal/pages.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "test.h"

#define BLOCKS 16
#define SIZE   (BLOCKS * DISK_BLOCK)

static uint8_t module[SIZE], expected[SIZE];
static struct disk_pool pool;
static struct disk *disk;

/* The kernel's memory: so many pages more. */
static unsigned pages_left = UINT32_MAX;

bool pages_touch(const void *address)
{
	return pages_left && pages_left--;
}

static uint8_t original(size_t i)
{
	return (uint8_t)(i * 31 + i / DISK_BLOCK + 1);
}

static void make(unsigned pool_blocks, uint64_t size, bool read_only)
{
	for (size_t i = 0; i < SIZE; i++)
		module[i] = expected[i] = original(i);
	REQUIRE(disk_pool_init(&pool, pool_blocks * DISK_BLOCK) == 0);
	REQUIRE(disk_module_open(&disk, module, size, read_only, &pool) == 0);
}

static void not_called(struct disk_request *request, int result)
{
	FAIL("done() was called");
}

static int ask(enum disk_operation operation, uint64_t offset, uint64_t length, void *memory)
{
	struct slice slice = {memory, length};
	struct disk_request request = {.operation = operation,
				       .offset = offset,
				       .length = length,
				       .slices = &slice,
				       .slice_count = memory ? 1 : 0,
				       .done = not_called};

	return disk->ops->submit(disk, &request);
}

static void check_all(void)
{
	static uint8_t back[SIZE];

	EXPECT_EQ(ask(DISK_READ, 0, disk->size, back), 0);
	EXPECT_MEM(back, expected, disk->size);
	for (size_t i = 0; i < SIZE; i++)
		if (module[i] != original(i))
			FAIL("the module was written to at %d", (int)i);
}

static int write_pattern(uint64_t offset, uint64_t length, uint8_t with)
{
	static uint8_t bytes[SIZE];
	int result;

	bytes_fill(bytes, with, length);
	result = ask(DISK_WRITE, offset, length, bytes);
	if (!result)
		bytes_fill(expected + offset, with, length);
	return result;
}

TEST(reads_the_module)
{
	make(4, SIZE, false);
	check_all();
	EXPECT_EQ(pool.used, 0);
	EXPECT_EQ(disk->size, SIZE);
	EXPECT_EQ(disk->block_size, 4096);
	EXPECT(disk->can_discard);
}

TEST(writes_are_kept_beside_it)
{
	make(8, SIZE, false);
	EXPECT_EQ(write_pattern(0, 512, 0xaa), 0);
	EXPECT_EQ(write_pattern(4096 * 3 - 512, 1024, 0xbb), 0); /* over an edge */
	EXPECT_EQ(write_pattern(4096 * 5, 4096, 0xcc), 0);
	EXPECT_EQ(write_pattern(512, 512, 0xdd), 0); /* again in a changed block */
	check_all();
	EXPECT_EQ(pool.used, 4);
}

TEST(several_slices_make_one_request)
{
	uint8_t a[512 + 100], b[412];
	struct slice slices[] = {{a, sizeof(a)}, {b, sizeof(b)}};
	struct disk_request request = {.operation = DISK_WRITE,
				       .offset = 4096 - 512,
				       .length = 1024,
				       .slices = slices,
				       .slice_count = 2,
				       .done = not_called};

	make(8, SIZE, false);
	bytes_fill(a, 1, sizeof(a));
	bytes_fill(b, 2, sizeof(b));
	EXPECT_EQ(disk->ops->submit(disk, &request), 0);
	bytes_fill(expected + 4096 - 512, 1, sizeof(a));
	bytes_fill(expected + 4096 - 512 + sizeof(a), 2, sizeof(b));
	check_all();
	/* Slices that are longer than the request says. */
	request.length = 512;
	EXPECT_EQ(disk->ops->submit(disk, &request), -EINVAL);
}

TEST(no_block_left_is_no_space)
{
	make(2, SIZE, false);
	EXPECT_EQ(write_pattern(0, 512, 1), 0);
	EXPECT_EQ(write_pattern(4096, 512, 2), 0);
	EXPECT_EQ(write_pattern(8192, 512, 3), -ENOSPC);
	EXPECT_EQ(write_pattern(4096, 4096, 4), 0); /* what is there can be changed */
	check_all();
	EXPECT_EQ(ask(DISK_DISCARD, 0, 4096, NULL), 0);
	bytes_fill(expected, 0, 4096);
	EXPECT_EQ(pool.used, 1);
	EXPECT_EQ(write_pattern(8192, 512, 5), 0);
	EXPECT_EQ(pool.used, 2);
	check_all();
}

TEST(without_a_pool_nothing_can_be_written)
{
	make(0, SIZE, false);
	EXPECT_EQ(write_pattern(0, 512, 1), -ENOSPC);
	EXPECT_EQ(ask(DISK_WRITE_ZEROES, 0, 4096, NULL), 0);
	bytes_fill(expected, 0, 4096);
	EXPECT_EQ(ask(DISK_WRITE_ZEROES, 4096, 512, NULL), -ENOSPC);
	check_all();
}

TEST(zeroes_take_no_memory_where_whole_blocks_are)
{
	make(8, SIZE, false);
	EXPECT_EQ(write_pattern(0, 4 * 4096, 7), 0);
	EXPECT_EQ(pool.used, 4);
	EXPECT_EQ(ask(DISK_WRITE_ZEROES, 512, 3 * 4096, NULL), 0);
	bytes_fill(expected + 512, 0, 3 * 4096);
	EXPECT_EQ(pool.used, 2);
	check_all();
	/* A part of a block that is zero already. */
	EXPECT_EQ(ask(DISK_WRITE_ZEROES, 4096, 512, NULL), 0);
	EXPECT_EQ(pool.used, 2);
	/* Written again, it comes back from zeroes. */
	EXPECT_EQ(write_pattern(4096 + 512, 512, 9), 0);
	check_all();
}

TEST(discard_leaves_parts_of_blocks)
{
	make(8, SIZE, false);
	EXPECT_EQ(ask(DISK_DISCARD, 512, 2 * 4096, NULL), 0);
	bytes_fill(expected + 4096, 0, 4096);
	EXPECT_EQ(pool.used, 0);
	check_all();
}

TEST(the_last_block_may_be_a_part)
{
	make(4, SIZE - 1024, false);
	EXPECT_EQ(disk->block_size, 512);
	EXPECT_EQ(write_pattern(SIZE - 2048, 1024, 3), 0);
	check_all();
	EXPECT_EQ(ask(DISK_DISCARD, SIZE - 4096, 4096 - 1024, NULL), 0);
	bytes_fill(expected + SIZE - 4096, 0, 4096 - 1024);
	EXPECT_EQ(pool.used, 0);
	check_all();
	EXPECT_EQ(write_pattern(SIZE - 4096, 512, 3), 0);
	check_all();
}

TEST(beyond_the_end_is_refused)
{
	uint8_t bytes[1024];

	make(4, SIZE, false);
	EXPECT_EQ(ask(DISK_READ, SIZE - 512, 1024, bytes), -EINVAL);
	EXPECT_EQ(ask(DISK_WRITE, SIZE, 512, bytes), -EINVAL);
	EXPECT_EQ(ask(DISK_DISCARD, UINT64_MAX - 511, 512, NULL), -EINVAL);
	EXPECT_EQ(ask(DISK_WRITE_ZEROES, 512, UINT64_MAX - 511, NULL), -EINVAL);
	EXPECT_EQ(ask(DISK_FLUSH, 0, 0, NULL), 0);
	check_all();
}

TEST(read_only_disks_stay_as_they_are)
{
	uint8_t bytes[512] = {0};

	make(4, SIZE, true);
	EXPECT(disk->read_only);
	EXPECT(!disk->can_discard);
	EXPECT_EQ(ask(DISK_WRITE, 0, 512, bytes), -EROFS);
	EXPECT_EQ(ask(DISK_DISCARD, 0, 4096, NULL), -EROFS);
	EXPECT_EQ(ask(DISK_WRITE_ZEROES, 0, 4096, NULL), -EROFS);
	EXPECT_EQ(ask(DISK_FLUSH, 0, 0, NULL), 0);
	check_all();
}

TEST(sizes_that_no_disk_has)
{
	EXPECT_EQ(disk_pool_init(&pool, 4096), 0);
	EXPECT_EQ(disk_module_open(&disk, module, 0, false, &pool), -EINVAL);
	EXPECT_EQ(disk_module_open(&disk, module, 1000, false, &pool), -EINVAL);
	EXPECT_EQ(disk_module_open(&disk, module, UINT64_C(1) << 50, false, &pool), -EFBIG);
}

TEST(memory_that_is_not_there)
{
	size_t before = fake_memory_in_use();

	EXPECT_EQ(disk_pool_init(&pool, 4096), 0);
	for (int after = 0; after < 2; after++) {
		fake_memory_fails(after);
		EXPECT_EQ(disk_module_open(&disk, module, SIZE, false, &pool), -ENOMEM);
	}
	fake_memory_fails(0);
	EXPECT_EQ(disk_pool_init(&pool, 8192), -ENOMEM);
	fake_memory_fails(-1);
	EXPECT_EQ(disk_module_open(&disk, module, SIZE, false, &pool), 0);
	disk->ops->drain(disk);
	disk->ops->close(disk);
	EXPECT_EQ(fake_memory_in_use(), before + 4096);
}

TEST(a_computer_without_memory_is_a_disk_without_space)
{
	make(8, SIZE, false);
	pages_left = 3; /* one for the index, one for a block; one for the index */
	EXPECT_EQ(write_pattern(0, 512, 1), 0);
	EXPECT_EQ(write_pattern(4096, 512, 2), -ENOSPC);
	EXPECT_EQ(write_pattern(512, 512, 3), 0); /* what is there can be changed */
	EXPECT_EQ(ask(DISK_DISCARD, 8192, 4096, NULL), -ENOSPC);
	check_all();
	pages_left = UINT32_MAX;
	EXPECT_EQ(write_pattern(4096, 512, 4), 0);
	check_all();
}

/* Two disks, one pool, many requests; compared with plain arrays. */
TEST(any_sequence_reads_back)
{
	static uint8_t other_expected[SIZE], bytes[SIZE];
	struct disk *other, *disks[2];
	uint8_t *images[] = {expected, other_expected};
	uint32_t seed = 99;

	make(24, SIZE, false);
	bytes_copy(other_expected, expected, SIZE);
	REQUIRE(disk_module_open(&other, module, SIZE, false, &pool) == 0);
	disks[0] = disk, disks[1] = other;
	for (unsigned round = 0; round < 20000; round++) {
		unsigned which = (seed = seed * 1664525 + 1013904223) >> 31;
		unsigned kind = (seed = seed * 1664525 + 1013904223) >> 30;
		uint64_t offset = ((seed = seed * 1664525 + 1013904223) >> 16) % (SIZE / 512) * 512;
		uint64_t length = ((seed = seed * 1664525 + 1013904223) >> 16) % 40 * 512;
		int result;

		if (length > SIZE - offset)
			length = SIZE - offset;
		disk = disks[which];
		if (kind == 0) {
			EXPECT_EQ(ask(DISK_READ, offset, length, bytes), 0);
			EXPECT_MEM(bytes, images[which] + offset, length);
			continue;
		}
		bytes_fill(bytes, kind == 1 ? (uint8_t)round : 0, length);
		result = ask(kind == 1 ? DISK_WRITE : DISK_WRITE_ZEROES, offset, length,
			     kind == 1 ? bytes : NULL);
		EXPECT(result == 0 || result == -ENOSPC);
		if (result) /* a part of it may have been done */
			EXPECT_EQ(ask(DISK_READ, offset, length, images[which] + offset), 0);
		else
			bytes_copy(images[which] + offset, bytes, length);
		EXPECT(pool.used <= pool.limit);
	}
}
