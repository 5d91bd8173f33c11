/* SPDX-License-Identifier: BSD-2-Clause */
#include "core_fixture.h"

#include "lib/bytes.h"
#include "lib/error.h"

#define FOUR_GIB (UINT64_C(4) << 30)
#define WORDS	 (8 * FIXTURE_MIB / 4096 / 64)

static uint64_t bitmap[WORDS];

static void create(void)
{
	struct vm_config config = {.vcpus = 1,
				   .memory_size = 8 * FIXTURE_MIB,
				   .hole_base = 4 * FIXTURE_MIB,
				   .engine = &engine_scripted_apics};

	bytes_fill(bitmap, 0, sizeof(bitmap));
	REQUIRE(vm_create(&vm, &config) == 0);
	REQUIRE(dirty_words(&vm) == WORDS);
}

static unsigned count(void)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < WORDS; i++)
		bits += (unsigned)__builtin_popcountll(bitmap[i]);
	return bits;
}

static bool is_set(unsigned page)
{
	return bitmap[page / 64] >> page % 64 & 1;
}

static void collect(void)
{
	bytes_fill(bitmap, 0, sizeof(bitmap));
	EXPECT_EQ(dirty_collect(&vm, bitmap), 0);
}

TEST(an_engine_without_a_log_says_so)
{
	fixture_create(1);
	EXPECT_EQ(dirty_start(&vm), -ENOTSUP);
	EXPECT(!dirty_is_on(&vm));
	EXPECT_EQ(vm_write(&vm, gpa(0), "x", 1), 0);
	dirty_stop(&vm);
	vm_destroy(&vm);
	EXPECT_EQ(fake_memory_in_use(), 0);
}

TEST(writes_of_devices_and_vcpus_are_collected_once)
{
	uint8_t bytes[8194] = {0};

	create();
	EXPECT_EQ(vm_write(&vm, gpa(0x9000), bytes, 1), 0);
	EXPECT_EQ(dirty_start(&vm), 0);
	collect();
	EXPECT_EQ(count(), 0);
	/* The last byte of page 1, pages 2 and 3, the first byte of page 4. */
	EXPECT_EQ(vm_write(&vm, gpa(0x1fff), bytes, 8194), 0);
	EXPECT_EQ(vm_write(&vm, gpa(FOUR_GIB + 0x3000), bytes, 4096), 0);
	scripted_touch(&vm, 0x7123);
	scripted_touch(&vm, 8 * FIXTURE_MIB - 1);
	collect();
	EXPECT_EQ(count(), 7);
	for (unsigned page = 1; page <= 4; page++)
		EXPECT(is_set(page));
	EXPECT(is_set(7));
	EXPECT(is_set(4 * FIXTURE_MIB / 4096 + 3));
	EXPECT(is_set(8 * FIXTURE_MIB / 4096 - 1));
	collect();
	EXPECT_EQ(count(), 0);
	dirty_stop(&vm);
	vm_destroy(&vm);
	EXPECT_EQ(fake_memory_in_use(), 0);
}

TEST(what_was_in_the_callers_bitmap_stays)
{
	create();
	EXPECT_EQ(dirty_start(&vm), 0);
	bitmap[0] = 1;
	dirty_mark(&vm, 4096, 1);
	dirty_mark(&vm, 8192, 0);
	EXPECT_EQ(dirty_collect(&vm, bitmap), 0);
	EXPECT_EQ(bitmap[0], 3);
	vm_destroy(&vm);
}

TEST(a_log_begins_clean_again)
{
	create();
	EXPECT_EQ(dirty_start(&vm), 0);
	EXPECT_EQ(vm_write(&vm, gpa(0), "x", 1), 0);
	dirty_stop(&vm);
	EXPECT(!dirty_is_on(&vm));
	EXPECT_EQ(vm_write(&vm, gpa(0x5000), "x", 1), 0);
	EXPECT_EQ(dirty_start(&vm), 0);
	collect();
	EXPECT_EQ(count(), 0);
	vm_destroy(&vm);
	EXPECT_EQ(fake_memory_in_use(), 0);
}

TEST(nothing_is_lost_when_the_engine_fails)
{
	create();
	scripted_dirty_fails(&vm, true);
	EXPECT_EQ(dirty_start(&vm), -EIO);
	EXPECT(!dirty_is_on(&vm));
	scripted_dirty_fails(&vm, false);
	EXPECT_EQ(dirty_start(&vm), 0);
	EXPECT_EQ(vm_write(&vm, gpa(0x2000), "x", 1), 0);
	scripted_dirty_fails(&vm, true);
	EXPECT_EQ(dirty_collect(&vm, bitmap), -EIO);
	EXPECT_EQ(count(), 0);
	scripted_dirty_fails(&vm, false);
	collect();
	EXPECT_EQ(count(), 1);
	vm_destroy(&vm);
}

TEST(no_memory_for_the_log)
{
	create();
	fake_memory_fails(0);
	EXPECT_EQ(dirty_start(&vm), -ENOMEM);
	vm_destroy(&vm);
	EXPECT_EQ(fake_memory_in_use(), 0);
}
