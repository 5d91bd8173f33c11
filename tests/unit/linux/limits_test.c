/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "manage/limits.h"

TEST(a_share_is_the_nearest_power_of_five_quarters)
{
	EXPECT_EQ(limits_nice(100), 0);
	EXPECT_EQ(limits_nice(125), -1);
	EXPECT_EQ(limits_nice(80), 1);
	EXPECT_EQ(limits_nice(50), 3);
	EXPECT_EQ(limits_nice(40), 4);
	EXPECT_EQ(limits_nice(200), -3);
	EXPECT_EQ(limits_nice(1), 19);
	EXPECT_EQ(limits_nice(10000), -20);
}
