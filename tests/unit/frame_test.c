/* SPDX-License-Identifier: BSD-2-Clause */
/* The frame itself: what must pass passes, whatever the types. */
#include "test.h"

#include <stdint.h>

TEST(integers_compare_by_value)
{
	uint8_t byte = 200;
	long negative = -1;

	EXPECT_EQ(byte, 200);
	EXPECT_EQ(negative, -1);
	EXPECT_EQ(UINT64_MAX, ~0ULL);
	EXPECT_EQ(&byte, &byte);
}

TEST(memory_and_strings_compare_by_contents)
{
	const char a[] = "lodge", b[] = "lodge";

	EXPECT_STR(a, b);
	EXPECT_MEM(a, b, sizeof(a));
	REQUIRE(sizeof(a) == sizeof(b));
}

TEST(expected_abort_passes)
{
	test_expect_abort(0);
	__builtin_abort();
}
