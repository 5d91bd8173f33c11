/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <stddef.h>

#include "lib/word.h"

TEST(numbers_are_digits_and_fit)
{
	static const char *const bad[] = {
		"", "-1", "+1", " 1", "1 ", "0x10", "18446744073709551616"};
	uint64_t number;

	EXPECT(word_number("0", &number) && number == 0);
	EXPECT(word_number("007", &number) && number == 7);
	EXPECT(word_number("18446744073709551615", &number) && number == UINT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (word_number(bad[i], &number))
			FAIL("'%s' is taken for a number", bad[i]);
}

TEST(sizes_have_suffixes_in_powers_of_1024)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{"0", 0},
		{"4096", 4096},
		{"1K", 1024},
		{"512M", 512u << 20},
		{"2G", UINT64_C(2) << 30},
		{"64MiB", 64u << 20},
		{"64MB", 64u << 20},
		{"3g", UINT64_C(3) << 30},
		{"1T", UINT64_C(1) << 40},
		{"18446744073709551615", UINT64_MAX},
		{"16777215T", UINT64_C(16777215) << 40},
	};
	static const char *const bad[] = {"",	       "M",	"-1",
					  "1X",	       "1MM",	"1Mi",
					  "1 M",       "0x10",	"18446744073709551616",
					  "16777216T", "1MiBs", "+1",
					  "1.5G",      " 1"};
	uint64_t bytes;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (EXPECT(word_size(good[i].text, &bytes)))
			EXPECT_EQ(bytes, good[i].bytes);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (word_size(bad[i], &bytes))
			FAIL("%s is taken for a size", bad[i]);
}

TEST(lists_of_numbers_are_bits)
{
	static const char *const bad[] = {
		"",   ",",    "1,",   ",1", "1-",   "-1",    "3-1",
		"64", "0-64", "1 ,2", "a",  "1--2", "1-2-3", "18446744073709551616"};
	uint64_t bits;

	EXPECT(word_bits("0", &bits) && bits == 1);
	EXPECT(word_bits("0-3,5", &bits) && bits == 0x2f);
	EXPECT(word_bits("5,0-3,2", &bits) && bits == 0x2f);
	EXPECT(word_bits("0-63", &bits) && bits == UINT64_MAX);
	EXPECT(word_bits("63", &bits) && bits == UINT64_C(1) << 63);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (word_bits(bad[i], &bits))
			FAIL("'%s' is taken for a list", bad[i]);
}

TEST(near_words_are_suggested_and_far_ones_not)
{
	static const char *const words[] = {"--kernel", "--memory", "--cpus", NULL};
	static char long_word[5000];

	EXPECT_STR(word_nearest("--memroy", words), "--memory");
	EXPECT_STR(word_nearest("--kernl", words), "--kernel");
	EXPECT_STR(word_nearest("--cpu", words), "--cpus");
	EXPECT(!word_nearest("--frobnicate", words));
	for (size_t i = 0; i + 1 < sizeof(long_word); i++)
		long_word[i] = 'a';
	EXPECT(!word_nearest(long_word, words));
}
