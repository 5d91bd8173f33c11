/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "core/snapshot.h"
#include "lib/error.h"

struct fields {
	uint8_t a;
	uint16_t b;
	uint32_t c;
	uint64_t d;
	bool e, f;
	uint8_t g[5];
};

#define FIELDS_SIZE 22

static void visit(struct snapshot *snapshot, struct fields *fields)
{
	snapshot_u8(snapshot, &fields->a);
	snapshot_u16(snapshot, &fields->b);
	snapshot_u32(snapshot, &fields->c);
	snapshot_u64(snapshot, &fields->d);
	snapshot_bool(snapshot, &fields->e);
	snapshot_bool(snapshot, &fields->f);
	snapshot_bytes(snapshot, fields->g, sizeof(fields->g));
}

static struct fields saved = {0x11, 0x2233, 0x44556677, 0x8899aabbccddeeff, true, false, "lodg"};

TEST(what_was_saved_is_loaded)
{
	uint8_t bytes[FIELDS_SIZE];
	struct snapshot save = {.bytes = bytes, .size = sizeof(bytes)};
	struct snapshot load = {.loading = true, .bytes = bytes, .size = sizeof(bytes)};
	struct fields loaded = {0};

	visit(&save, &saved);
	EXPECT_EQ(save.error, 0);
	EXPECT_EQ(save.position, FIELDS_SIZE);
	EXPECT_MEM(bytes, "\x11\x33\x22\x77\x66\x55\x44\xff\xee", 9);
	visit(&load, &loaded);
	EXPECT_EQ(load.error, 0);
	EXPECT_EQ(loaded.a, saved.a);
	EXPECT_EQ(loaded.b, saved.b);
	EXPECT_EQ(loaded.c, saved.c);
	EXPECT_EQ(loaded.d, saved.d);
	EXPECT(loaded.e && !loaded.f);
	EXPECT_MEM(loaded.g, saved.g, 5);
}

TEST(any_shorter_stream_fails_and_gives_zeroes)
{
	uint8_t bytes[FIELDS_SIZE];
	struct snapshot save = {.bytes = bytes, .size = sizeof(bytes)};

	visit(&save, &saved);
	for (unsigned length = 0; length < FIELDS_SIZE; length++) {
		struct snapshot load = {.loading = true, .bytes = bytes, .size = length};
		struct fields loaded = saved;

		visit(&load, &loaded);
		EXPECT_EQ(load.error, -EINVAL);
		EXPECT(load.reason != NULL);
		EXPECT(load.position <= length);
		EXPECT_MEM(loaded.g, "\0\0\0\0\0", 5);
	}
}

TEST(no_room_is_an_error)
{
	uint8_t bytes[FIELDS_SIZE + 1] = {[FIELDS_SIZE - 1] = 0x5a, [FIELDS_SIZE] = 0xa5};
	struct snapshot save = {.bytes = bytes, .size = FIELDS_SIZE - 1};

	visit(&save, &saved);
	EXPECT_EQ(save.error, -ENOSPC);
	EXPECT_EQ(bytes[FIELDS_SIZE - 1], 0x5a);
	EXPECT_EQ(bytes[FIELDS_SIZE], 0xa5);
}

TEST(a_bool_is_zero_or_one)
{
	uint8_t byte = 2;
	struct snapshot load = {.loading = true, .bytes = &byte, .size = 1};
	bool value = true;

	snapshot_bool(&load, &value);
	EXPECT_EQ(load.error, -EINVAL);
	EXPECT(!value);
}

TEST(the_first_failure_stays)
{
	uint8_t byte = 1;
	struct snapshot load = {.loading = true, .bytes = &byte, .size = 1};
	uint8_t value = 9;

	snapshot_fail(&load, "first");
	snapshot_fail(&load, "second");
	snapshot_u8(&load, &value);
	EXPECT_STR(load.reason, "first");
	EXPECT_EQ(value, 0);
	EXPECT_EQ(load.position, 0);
}
