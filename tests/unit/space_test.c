/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "core/space.h"
#include "lib/bits.h"
#include "lib/error.h"

/* A device that remembers what was asked of it. Its byte at offset n is n + 0x10. */
struct recorder {
	struct region region;
	unsigned reads, writes;
	uint64_t offset[16], value[16];
	unsigned size[16];
};

static uint64_t recorder_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct recorder *recorder = (struct recorder *)region;
	uint64_t value = 0;

	recorder->offset[recorder->reads % 16] = offset;
	recorder->size[recorder->reads++ % 16] = size;
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)(uint8_t)(offset + i + 0x10) << i * 8;
	/* Bits above the size are the space's to clear. */
	return size < 8 ? value | UINT64_C(0xee) << 56 : value;
}

static void recorder_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			   bool *fault)
{
	struct recorder *recorder = (struct recorder *)region;

	recorder->offset[recorder->writes % 16] = offset;
	recorder->size[recorder->writes % 16] = size;
	recorder->value[recorder->writes++ % 16] = value;
}

#define OPS(legal)                                                                                 \
	{                                                                                          \
		.read = recorder_read, .write = recorder_write, .sizes = (legal)                   \
	}
static const struct region_ops any = OPS(1 | 2 | 4 | 8), bytes_only = OPS(1), dwords_only = OPS(4),
			       words_and_bytes = OPS(1 | 2);

static struct space space;

static int add(struct recorder *recorder, const struct region_ops *ops, uint64_t base,
	       uint64_t size)
{
	recorder->region.ops = ops;
	return space_add(&space, &recorder->region, base, size);
}

TEST(regions_stay_sorted_and_are_found)
{
	static struct recorder r[5];

	space_init(&space, "test");
	EXPECT_EQ(add(&r[0], &any, 0x300, 0x10), 0);
	EXPECT_EQ(add(&r[1], &any, 0x100, 0x10), 0);
	EXPECT_EQ(add(&r[2], &any, 0x200, 0x10), 0);
	EXPECT_EQ(add(&r[3], &any, 0x110, 0xf0), 0);
	EXPECT_EQ(add(&r[4], &any, UINT64_MAX, 1), 0);
	EXPECT_EQ(space.count, 5);
	for (unsigned i = 1; i < space.count; i++)
		EXPECT(space.regions[i - 1]->base < space.regions[i]->base);
	EXPECT_EQ(space_find(&space, 0x0ff), NULL);
	EXPECT_EQ(space_find(&space, 0x100), &r[1].region);
	EXPECT_EQ(space_find(&space, 0x10f), &r[1].region);
	EXPECT_EQ(space_find(&space, 0x110), &r[3].region);
	EXPECT_EQ(space_find(&space, 0x1ff), &r[3].region);
	EXPECT_EQ(space_find(&space, 0x200), &r[2].region);
	EXPECT_EQ(space_find(&space, 0x210), NULL);
	EXPECT_EQ(space_find(&space, UINT64_MAX), &r[4].region);
	space_remove(&r[3].region);
	EXPECT_EQ(r[3].region.space, NULL);
	EXPECT_EQ(space_find(&space, 0x110), NULL);
	EXPECT_EQ(space_find(&space, 0x200), &r[2].region);
	space_remove(&r[3].region);
	EXPECT_EQ(space.count, 4);
}

TEST(overlapping_empty_and_wrapping_regions_are_refused)
{
	static struct recorder r[2];

	space_init(&space, "test");
	EXPECT_EQ(add(&r[0], &any, 0x100, 0x10), 0);
	EXPECT_EQ(add(&r[1], &any, 0x100, 0x10), -EBUSY);
	EXPECT_EQ(add(&r[1], &any, 0x0ff, 2), -EBUSY);
	EXPECT_EQ(add(&r[1], &any, 0x10f, 1), -EBUSY);
	EXPECT_EQ(add(&r[1], &any, 0, 0x1000), -EBUSY);
	EXPECT_EQ(add(&r[1], &any, 0x200, 0), -EINVAL);
	EXPECT_EQ(add(&r[1], &any, UINT64_MAX, 2), -EINVAL);
	EXPECT_EQ(r[1].region.space, NULL);
	EXPECT_EQ(add(&r[1], &any, 0x110, 1), 0);
}

TEST(a_full_space_says_so)
{
	static struct recorder r[SPACE_REGIONS_MAX + 1];

	space_init(&space, "test");
	for (unsigned i = 0; i < SPACE_REGIONS_MAX; i++)
		EXPECT_EQ(add(&r[i], &any, i * 4, 4), 0);
	EXPECT_EQ(add(&r[SPACE_REGIONS_MAX], &any, 0x10000, 4), -ENOSPC);
}

TEST(a_region_cannot_be_added_twice)
{
	static struct recorder r;

	space_init(&space, "test");
	add(&r, &any, 0x100, 0x10);
	test_expect_abort("check failed");
	add(&r, &any, 0x200, 0x10);
}

TEST(nothing_answers_with_all_ones)
{
	bool fault = false;

	space_init(&space, "test");
	EXPECT_EQ(space_read(&space, 0x10, 1, NULL), 0xff);
	EXPECT_EQ(space_read(&space, 0x10, 4, &fault), 0xffffffff);
	EXPECT(fault);
	EXPECT_EQ(space_read(&space, 0x10, 8, NULL), UINT64_MAX);
	fault = false;
	space_write(&space, 0x10, 2, 1, &fault);
	EXPECT(fault);
}

TEST(legal_accesses_go_through_as_they_are)
{
	static struct recorder r;

	space_init(&space, "test");
	add(&r, &any, 0x100, 0x20);
	for (unsigned size = 1; size <= 8; size *= 2) {
		bool fault = false;
		uint64_t value = space_read(&space, 0x108, size, &fault);

		EXPECT_EQ(value, UINT64_C(0x1f1e1d1c1b1a1918) & bits_of_size(size));
		EXPECT(!fault);
		EXPECT_EQ(r.size[r.reads - 1], size);
		EXPECT_EQ(r.offset[r.reads - 1], 8);
		space_write(&space, 0x108, size, UINT64_MAX, NULL);
		EXPECT_EQ(r.value[r.writes - 1], bits_of_size(size));
	}
	EXPECT_EQ(r.reads, 4);
	EXPECT_EQ(r.writes, 4);
}

TEST(wide_accesses_are_split)
{
	static struct recorder r;

	space_init(&space, "test");
	add(&r, &bytes_only, 0x100, 0x20);
	EXPECT_EQ(space_read(&space, 0x102, 4, NULL), 0x15141312);
	EXPECT_EQ(r.reads, 4);
	space_write(&space, 0x102, 2, 0xbbaa, NULL);
	EXPECT_EQ(r.writes, 2);
	EXPECT_EQ(r.value[0], 0xaa);
	EXPECT_EQ(r.value[1], 0xbb);
	EXPECT_EQ(r.offset[1], 3);
}

TEST(a_device_sees_aligned_accesses_only)
{
	static struct recorder r;

	space_init(&space, "test");
	add(&r, &words_and_bytes, 0x100, 0x20);
	EXPECT_EQ(space_read(&space, 0x103, 4, NULL), 0x16151413);
	EXPECT_EQ(r.reads, 3);
	EXPECT_EQ(r.size[0], 1);
	EXPECT_EQ(r.size[1], 2);
	EXPECT_EQ(r.offset[1], 4);
	EXPECT_EQ(r.size[2], 1);
}

TEST(narrow_accesses_are_widened)
{
	static struct recorder r;

	space_init(&space, "test");
	add(&r, &dwords_only, 0x100, 0x20);
	EXPECT_EQ(space_read(&space, 0x106, 1, NULL), 0x16);
	EXPECT_EQ(r.size[0], 4);
	EXPECT_EQ(r.offset[0], 4);
	EXPECT_EQ(space_read(&space, 0x106, 4, NULL), 0x19181716);
	EXPECT_EQ(r.reads, 3);
	EXPECT_EQ(space_read(&space, 0x108, 8, NULL), UINT64_C(0x1f1e1d1c1b1a1918));
	EXPECT_EQ(r.reads, 5);
	space_write(&space, 0x106, 2, 0xabcd, NULL);
	EXPECT_EQ(r.offset[0], 4);
	EXPECT_EQ(r.value[0], 0xabcd0000);
}

TEST(accesses_across_regions_are_cut_into_bytes)
{
	static struct recorder low, high;
	bool fault = false;

	space_init(&space, "test");
	add(&low, &any, 0x100, 0x10);
	add(&high, &any, 0x110, 2);
	EXPECT_EQ(space_read(&space, 0x10e, 4, &fault), 0x11101f1e);
	EXPECT(!fault);
	EXPECT_EQ(low.reads, 2);
	for (unsigned i = 0; i < low.reads; i++)
		EXPECT_EQ(low.size[i], 1);
	EXPECT_EQ(space_read(&space, 0x110, 4, &fault), 0xffff1110);
	EXPECT(fault);
	space_write(&space, 0x0fe, 4, 0x44332211, NULL);
	EXPECT_EQ(low.writes, 2);
	EXPECT_EQ(low.value[0], 0x33);
	EXPECT_EQ(low.offset[0], 0);
}

TEST(addresses_wrap_without_harm)
{
	static struct recorder r;

	space_init(&space, "test");
	add(&r, &any, UINT64_MAX - 1, 2);
	EXPECT_EQ(space_read(&space, UINT64_MAX - 1, 4, NULL), 0xffff1110);
}

static uint64_t msr_value;

static uint64_t msr_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	EXPECT_EQ(size, 8);
	*fault = offset == 2;
	return msr_value + offset;
}

static void msr_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		      bool *fault)
{
	EXPECT_EQ(size, 8);
	msr_value = value;
	*fault = offset == 2;
}

TEST(registers_are_whole_at_each_number)
{
	static const struct region_ops ops = {.read = msr_read, .write = msr_write, .sizes = 8};
	static struct region region = {.name = "msr", .ops = &ops};
	bool fault = true;

	space_init(&space, "msrs");
	EXPECT_EQ(space_add(&space, &region, 0x800, 3), 0);
	space_write_register(&space, 0x801, UINT64_C(0x1122334455667788), &fault);
	EXPECT(!fault);
	EXPECT_EQ(space_read_register(&space, 0x801, &fault), UINT64_C(0x1122334455667789));
	EXPECT(!fault);
	EXPECT_EQ(space_read_register(&space, 0x802, &fault), 0);
	EXPECT(fault);
	EXPECT_EQ(space_read_register(&space, 0x803, &fault), 0);
	EXPECT(fault);
	space_write_register(&space, 0x7ff, 1, &fault);
	EXPECT(fault);
}
