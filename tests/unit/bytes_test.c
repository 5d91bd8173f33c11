/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/checked.h"
#include "lib/string.h"

#define SIZE 1200

static uint8_t one[SIZE], two[SIZE], expected[SIZE];

static void patterns(void)
{
	for (unsigned i = 0; i < SIZE; i++) {
		one[i] = (uint8_t)(i * 7 + i / 251);
		two[i] = (uint8_t)(i * 13 + 5);
		expected[i] = two[i];
	}
}

static const unsigned sizes[] = {0,   1,   2,	3,   4,	  5,   7,   8,	 9,   15,  16,
				 17,  23,  31,	32,  33,  47,  48,  49,	 63,  64,  65,
				 127, 128, 200, 255, 256, 257, 300, 511, 512, 777, 1000};

TEST(copy_at_any_size_and_alignment)
{
	for (unsigned s = 0; s < ARRAY_LENGTH(sizes); s++) {
		for (unsigned shift = 0; shift < 64; shift += 7) {
			unsigned size = sizes[s], from = shift % 17, to = shift;

			patterns();
			for (unsigned i = 0; i < size; i++)
				expected[to + i] = one[from + i];
			EXPECT_EQ(bytes_memcpy(two + to, one + from, size), two + to);
			EXPECT_MEM(two, expected, SIZE);
		}
	}
}

TEST(move_within_one_array)
{
	static const int distances[] = {-300, -64, -63, -17, -16, -9, -8, -1,  0,  1,
					7,    8,   15,	16,  17,  33, 64, 100, 199};

	for (unsigned s = 0; s < ARRAY_LENGTH(sizes); s++) {
		for (unsigned d = 0; d < ARRAY_LENGTH(distances); d++) {
			unsigned size = sizes[s] % 800, from = 300,
				 to = (unsigned)(300 + distances[d]);

			patterns();
			for (unsigned i = 0; i < SIZE; i++)
				expected[i] = one[i];
			for (unsigned i = 0; i < size && to + i < SIZE && from + i < SIZE; i++)
				expected[to + i] = one[from + i];
			if (to + size > SIZE || from + size > SIZE)
				continue;
			EXPECT_EQ(bytes_memmove(one + to, one + from, size), one + to);
			EXPECT_MEM(one, expected, SIZE);
		}
	}
}

TEST(fill_exactly)
{
	for (unsigned s = 0; s < ARRAY_LENGTH(sizes); s++) {
		for (unsigned to = 0; to < 20; to += 3) {
			patterns();
			for (unsigned i = 0; i < sizes[s]; i++)
				expected[to + i] = 0xa5;
			/* Only the low byte of the value counts. */
			EXPECT_EQ(bytes_memset(two + to, 0x7a5, sizes[s]), two + to);
			EXPECT_MEM(two, expected, SIZE);
		}
	}
}

TEST(compare_tells_the_first_difference)
{
	for (unsigned size = 0; size < 40; size++) {
		patterns();
		bytes_copy(two, one, SIZE);
		EXPECT_EQ(bytes_memcmp(one + 3, two + 3, size), 0);
		for (unsigned at = 0; at < size; at++) {
			bytes_copy(two, one, SIZE);
			one[3 + at] = 0x80;
			two[3 + at] = 0x7f;
			two[3 + size] ^= 1;
			if (at + 1 < size)
				one[3 + at + 1] = 0, two[3 + at + 1] = 0xff;
			EXPECT(bytes_memcmp(one + 3, two + 3, size) > 0);
			EXPECT(bytes_memcmp(two + 3, one + 3, size) < 0);
			patterns();
		}
	}
	EXPECT(bytes_equal("lodge", "lodge!", 5));
	EXPECT(!bytes_equal("lodge", "lodge!", 6));
}

TEST(integers_are_little_endian_at_any_alignment)
{
	uint8_t bytes[12] = {9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9};

	EXPECT_EQ(bytes_load16(bytes + 1), 0x0201);
	EXPECT_EQ(bytes_load32(bytes + 1), 0x04030201);
	EXPECT_EQ(bytes_load64(bytes + 1), UINT64_C(0x0807060504030201));
	EXPECT_EQ(bytes_load(bytes + 1, 3), 0x030201);
	EXPECT_EQ(bytes_load(bytes + 1, 0), 0);
	bytes_store16(bytes + 3, 0xbbaa);
	EXPECT_EQ(bytes[3], 0xaa);
	bytes_store(bytes + 1, UINT64_C(0x1111111111ccddee), 3);
	EXPECT_EQ(bytes_load32(bytes + 1), 0xbbccddee);
	bytes_store64(bytes + 3, 1);
	bytes_store32(bytes + 7, 2);
	EXPECT_EQ(bytes_load64(bytes + 3), UINT64_C(0x200000001));
}

TEST(bits)
{
	EXPECT_EQ(bits_mask(0), 0);
	EXPECT_EQ(bits_mask(1), 1);
	EXPECT_EQ(bits_mask(64), UINT64_MAX);
	EXPECT_EQ(bits_get(0xabcd, 11, 4), 0xbc);
	EXPECT_EQ(bits_get(UINT64_MAX, 63, 0), UINT64_MAX);
	EXPECT_EQ(bits_set(0xabcd, 11, 4, 0x112), 0xa12d);
	EXPECT_EQ(bits_sign_extend(0x80, 8), -128);
	EXPECT_EQ(bits_sign_extend(0x7f, 8), 127);
	EXPECT_EQ(align_up(4097, 4096), 8192);
	EXPECT_EQ(align_up(4096, 4096), 4096);
	EXPECT_EQ(align_down(8191, 4096), 4096);
	EXPECT(is_power_of_two(UINT64_C(1) << 63));
	EXPECT(!is_power_of_two(0) && !is_power_of_two(3));
	EXPECT_EQ(bits_lowest(0), -1);
	EXPECT_EQ(bits_lowest(0x50), 4);
	EXPECT_EQ(bits_highest(0x50), 6);
	EXPECT_EQ(bits_count(UINT64_MAX), 64);
	EXPECT_EQ(bits_count(UINT64_C(0x8000000100000001)), 3);
}

TEST(checked_arithmetic)
{
	uint64_t result;

	EXPECT(checked_add(1, 2, &result) && result == 3);
	EXPECT(!checked_add(UINT64_MAX, 1, &result));
	EXPECT(checked_subtract(2, 2, &result) && result == 0);
	EXPECT(!checked_subtract(1, 2, &result));
	EXPECT(checked_multiply(1u << 31, 2, &result) && result == UINT64_C(1) << 32);
	EXPECT(!checked_multiply(UINT64_C(1) << 63, 2, &result));
	EXPECT(range_within(0, 0, 0));
	EXPECT(range_within(4, 6, 10));
	EXPECT(!range_within(4, 7, 10));
	EXPECT(!range_within(11, 0, 10));
	EXPECT(!range_within(4, UINT64_MAX, 10));
	EXPECT(ranges_overlap(0, 10, 9, 1));
	EXPECT(!ranges_overlap(0, 10, 10, 1));
	EXPECT(!ranges_overlap(5, 0, 0, 10));
	EXPECT(ranges_overlap(UINT64_MAX, 1, UINT64_MAX - 4, 5));
	EXPECT_EQ(multiply_divide(UINT64_MAX, 1000, 2000), UINT64_MAX / 2);
	EXPECT_EQ(multiply_divide(UINT64_MAX, 2, 1), UINT64_MAX);
	EXPECT_EQ(multiply_divide(7, 3, 2), 10);
}

TEST(strings)
{
	char text[6];

	EXPECT_EQ(string_length(""), 0);
	EXPECT_EQ(string_length("lodge"), 5);
	EXPECT_EQ(string_length_limited("lodge", 3), 3);
	EXPECT(string_equal("", "") && string_equal("a", "a"));
	EXPECT(!string_equal("a", "ab") && !string_equal("ab", "a") && !string_equal("a", "b"));
	EXPECT(string_starts("lodge", "lod") && string_starts("lodge", "") &&
	       !string_starts("lo", "lod"));
	EXPECT(string_copy(text, sizeof(text), "lodge"));
	EXPECT_STR(text, "lodge");
	EXPECT(!string_copy(text, sizeof(text), "lodges"));
	EXPECT_STR(text, "lodge");
	EXPECT(!string_copy(text, 1, "x"));
	EXPECT_STR(text, "");
}
