/* SPDX-License-Identifier: BSD-2-Clause */
/* The test vectors of the paper's appendix and reference: key 00 01 ..., messages 00 01 ... */
#include "test.h"

#include "lib/siphash.h"

TEST(it_is_as_in_the_paper)
{
	static const struct {
		size_t length;
		uint64_t hash;
	} known[] = {{0, 0x726fdb47dd0e0e31},
		     {1, 0x74f839c593dc67fd},
		     {8, 0x93f5f5799a932462},
		     {15, 0xa129ca6149be45e5}};
	uint8_t key[SIPHASH_KEY], message[16];

	for (uint8_t i = 0; i < 16; i++)
		key[i] = message[i] = i;
	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		EXPECT_EQ(siphash(key, message, known[i].length), known[i].hash);
	key[3] ^= 1;
	EXPECT(siphash(key, message, 15) != known[3].hash);
}
