/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A key that each request changes: it goes through ChaCha20 with what the processor offers, rdrand
 * where it has it, and the time stamp counter, whose low bits after boot and devices' interrupts
 * are what is unpredictable without. Half of the last block is given away, the other half is the
 * next key, so that what was given before cannot be found out later.
 */
#include "kernel/random.h"

#include <stdbool.h>

#include "kernel/clock.h"
#include "kernel/cpu.h"
#include "kernel/lock.h"
#include "lib/bytes.h"
#include "lib/chacha.h"

#define ROUNDS 4 /* 256 bits of rdrand */

static struct lock lock;
static uint8_t key[CHACHA_KEY];

static uint64_t hardware(void)
{
	uint64_t value = 0;
	bool ok = false;

	for (unsigned i = 0; i < 10 && !ok && cpu_features.rdrand; i++)
		__asm__ volatile("rdrand %0" : "=r"(value), "=@ccc"(ok));
	return value;
}

void random_bytes(uint8_t bytes[32])
{
	uint8_t fresh[12], block[CHACHA_BLOCK];

	lock_take(&lock);
	for (unsigned i = 0; i < ROUNDS; i++) {
		bytes_store64(fresh, hardware());
		bytes_store32(fresh + 8, (uint32_t)clock_tsc());
		chacha_block(key, i, fresh, block);
		bytes_copy(key, block, sizeof(key));
	}
	bytes_copy(bytes, block + sizeof(key), 32);
	lock_drop(&lock);
}
