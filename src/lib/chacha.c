/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/chacha.h"

#include "lib/bytes.h"

static uint32_t rotate(uint32_t value, unsigned by)
{
	return value << by | value >> (32 - by);
}

static void quarter_round(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
	*a += *b, *d = rotate(*d ^ *a, 16);
	*c += *d, *b = rotate(*b ^ *c, 12);
	*a += *b, *d = rotate(*d ^ *a, 8);
	*c += *d, *b = rotate(*b ^ *c, 7);
}

/* Columns, then diagonals. */
static void double_round(uint32_t x[16])
{
	for (unsigned i = 0; i < 4; i++)
		quarter_round(&x[i], &x[4 + i], &x[8 + i], &x[12 + i]);
	for (unsigned i = 0; i < 4; i++)
		quarter_round(&x[i], &x[4 + (i + 1) % 4], &x[8 + (i + 2) % 4],
			      &x[12 + (i + 3) % 4]);
}

void chacha_block(const uint8_t key[CHACHA_KEY], uint32_t counter, const uint8_t nonce[12],
		  uint8_t block[CHACHA_BLOCK])
{
	/* "expand 32-byte k" */
	uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, x[16];

	for (unsigned i = 0; i < 8; i++)
		start[4 + i] = bytes_load32(key + 4 * i);
	start[12] = counter;
	for (unsigned i = 0; i < 3; i++)
		start[13 + i] = bytes_load32(nonce + 4 * i);
	bytes_copy(x, start, sizeof(x));
	for (unsigned i = 0; i < 10; i++)
		double_round(x);
	for (unsigned i = 0; i < 16; i++)
		bytes_store32(block + 4 * i, x[i] + start[i]);
}
