/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "lib/checksum.h"

/* RFC 3720, appendix B.4. */
TEST(known_answers)
{
	uint8_t bytes[32] = {0};

	EXPECT_EQ(checksum_crc32c(0, "123456789", 9), 0xe3069283);
	EXPECT_EQ(checksum_crc32c(0, bytes, 32), 0x8a9136aa);
	for (unsigned i = 0; i < 32; i++)
		bytes[i] = 0xff;
	EXPECT_EQ(checksum_crc32c(0, bytes, 32), 0x62a8ab43);
	for (unsigned i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	EXPECT_EQ(checksum_crc32c(0, bytes, 32), 0x46dd794e);
	EXPECT_EQ(checksum_crc32c(0, bytes, 0), 0);
}

TEST(both_ways_and_any_pieces_agree)
{
	uint8_t bytes[100];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37 + (i >> 3));
	for (unsigned i = 0; i <= sizeof(bytes); i++) {
		uint32_t whole = checksum_crc32c(0, bytes, sizeof(bytes));
		uint32_t first = checksum_crc32c(0, bytes, i);

		EXPECT_EQ(checksum_crc32c(first, bytes + i, sizeof(bytes) - i), whole);
		EXPECT_EQ(checksum_crc32c_table(0, bytes, i), first);
	}
}
