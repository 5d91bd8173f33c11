/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unpredictable bytes: ChaCha20 under a key that the kernel gave. Each call begins with a block
 * whose first half is the next key, so that what is in memory tells nothing of what was given out
 * before.
 */
#include "core/host.h"
#include "engines/metal/call.h"
#include "lib/bytes.h"
#include "lib/chacha.h"

_Static_assert(sizeof(((struct metal_start *)0)->seed) == CHACHA_KEY, "the seed is a key");

/* The seed is the first key, and becomes the next in its place. */
void host_random(void *bytes, size_t size)
{
	static struct host_lock lock; /* zeroes: free (lock.c) */
	static const uint8_t nonce[12];
	uint8_t *seed = metal_start()->seed, *to = bytes, key[CHACHA_KEY], block[CHACHA_BLOCK];

	host_lock(&lock);
	bytes_copy(key, seed, sizeof(key));
	chacha_block(key, 0, nonce, block);
	bytes_copy(seed, block, CHACHA_KEY);
	host_unlock(&lock);
	for (uint32_t counter = 1; size > 0; counter++) {
		size_t part = size < sizeof(block) ? size : sizeof(block);

		chacha_block(key, counter, nonce, block);
		bytes_copy(to, block, part);
		to += part;
		size -= part;
	}
	bytes_fill(key, 0, sizeof(key));
	bytes_fill(block, 0, sizeof(block));
	__asm__ volatile("" : : "r"(key), "r"(block) : "memory"); /* the zeroes are written */
}
