/* SPDX-License-Identifier: BSD-2-Clause */
/* The hash of blocks beside a list that is searched from one end to the other. */
#include "engines/translate/code_hash.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS  256u
#define BLOCKS 192u /* CODE_HASH_BLOCKS(SLOTS) */
#define KEYS   300u

#define MANY  65536u	      /* slots */
#define USUAL (MANY / 10 * 6) /* blocks are longer than what code_hash_size() reckons with */

static struct machine_code code;
static struct block blocks[BLOCKS];
static _Atomic uint32_t slots[SLOTS];

struct key {
	uint64_t physical, linear;
	uint8_t mode;
};

/* Few pages, so that keys share their slots and differ in one thing alone. */
static struct key key(unsigned number)
{
	return (struct key){
		.physical = (1 + number % 3) << 12 | (number / 3 % 25),
		.linear = (uint64_t)(number / 75 % 2) << 12,
		.mode = (uint8_t)(number / 150),
	};
}

static struct block *look_up(struct key wanted)
{
	return code_lookup(&code, wanted.physical, wanted.linear, wanted.mode);
}

static void start(void)
{
	memset(blocks, 0, sizeof(blocks));
	memset((void *)slots, 0, sizeof(slots));
	code = (struct machine_code){.blocks = blocks, .hash = slots, .hash_size = SLOTS};
}

static void add(unsigned number, struct key added)
{
	blocks[number] = (struct block){
		.linear = added.linear,
		.page = (uint32_t)(added.physical >> 12),
		.start = added.physical & 4095,
		.mode = added.mode,
	};
	code_hash_add(&code, &blocks[number]);
}

TEST(the_hash_finds_what_is_in_it_and_nothing_else)
{
	unsigned of_key[KEYS] = {0}, count = 0; /* block + 1 */

	start();
	srand(1);
	while (count < BLOCKS) {
		unsigned number = (unsigned)rand() % KEYS;

		if (of_key[number]) {
			blocks[of_key[number] - 1].dropped = true;
			code_hash_remove(&code, &blocks[of_key[number] - 1]);
			of_key[number] = 0;
		} else {
			add(count, key(number));
			of_key[number] = ++count;
		}
		for (unsigned i = 0; i < KEYS; i++)
			EXPECT_EQ(look_up(key(i)), of_key[i] ? &blocks[of_key[i] - 1] : NULL);
	}
	code_hash_clear(&code);
	for (unsigned i = 0; i < KEYS; i++)
		EXPECT_EQ(look_up(key(i)), NULL);
}

TEST(blocks_that_cross_are_told_by_their_second_page)
{
	struct key crossing = {.physical = 0x1ffe, .mode = 2};

	start();
	for (unsigned i = 1; i < 20; i += 2) {
		blocks[i - 1] = (struct block){.page = i, .second = true};
		add(i, crossing);
		blocks[i].crosses = true;
	}
	EXPECT_EQ(look_up(crossing), NULL);
	for (unsigned i = 1; i < 20; i += 2)
		EXPECT_EQ(code_lookup_crossing(&code, 0x1ffe, (uint64_t)i << 12, 0, 2), &blocks[i]);
	EXPECT_EQ(code_lookup_crossing(&code, 0x1ffe, 2 << 12, 0, 2), NULL);
}

/* Up to so many blocks, at `each` offsets of each page, until it is crowded. */
static uint32_t fill(uint32_t blocks_wanted, uint64_t hash_key, unsigned each,
		     uint32_t (*offset)(unsigned number))
{
	static _Atomic uint32_t many[MANY];
	static struct block block[CODE_HASH_BLOCKS(MANY)];
	uint32_t count;

	memset((void *)many, 0, sizeof(many));
	code = (struct machine_code){
		.blocks = block, .hash = many, .hash_size = MANY, .hash_key = hash_key};
	for (count = 0; count < blocks_wanted && !code.hash_crowded; count++) {
		block[count] = (struct block){.page = 7 + count / each,
					      .start = offset(count % each) & 4095};
		code_hash_add(&code, &block[count]);
	}
	return count;
}

static uint32_t anywhere(unsigned number)
{
	return (uint32_t)rand();
}

static uint32_t everywhere(unsigned number)
{
	return number;
}

TEST(only_pages_of_nothing_but_blocks_crowd_the_hash)
{
	srand(1);
	for (uint64_t hash_key = 0; hash_key < 20; hash_key++)
		EXPECT_EQ(fill(USUAL, hash_key * 0x123456789, 60, anywhere), USUAL);
	EXPECT(fill(CODE_HASH_BLOCKS(MANY), 1, 4096, everywhere) < CODE_HASH_BLOCKS(MANY));
	EXPECT(code.hash_crowded);
	code_hash_clear(&code);
	EXPECT(!code.hash_crowded);
}
