/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/siphash.h"

#include "lib/bytes.h"

struct state {
	uint64_t v[4];
};

static uint64_t turn(uint64_t value, unsigned by)
{
	return value << by | value >> (64 - by);
}

static void rounds(struct state *state, unsigned count)
{
	uint64_t *v = state->v;

	while (count--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = turn(v[1], 13) ^ v[0];
		v[3] = turn(v[3], 16) ^ v[2];
		v[0] = turn(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = turn(v[1], 17) ^ v[2];
		v[3] = turn(v[3], 21) ^ v[0];
		v[2] = turn(v[2], 32);
	}
}

static void take(struct state *state, uint64_t word)
{
	state->v[3] ^= word;
	rounds(state, 2);
	state->v[0] ^= word;
}

uint64_t siphash(const uint8_t key[SIPHASH_KEY], const void *bytes, size_t length)
{
	const uint8_t *from = bytes;
	uint64_t k0 = bytes_load64(key), k1 = bytes_load64(key + 8);
	uint64_t last = (uint64_t)length << 56;
	struct state state = {{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
			       k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}};

	for (; length >= 8; from += 8, length -= 8)
		take(&state, bytes_load64(from));
	for (unsigned i = 0; i < length; i++)
		last |= (uint64_t)from[i] << 8 * i;
	take(&state, last);
	state.v[2] ^= 0xff;
	rounds(&state, 4);
	return state.v[0] ^ state.v[1] ^ state.v[2] ^ state.v[3];
}
