/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory: all of its own is zero when it starts (another guest had it before), and all of it can be
 * filled; behind it, up to where addresses end, are no secrets: what is read there is ones, and
 * nothing that is written stays. Devices in between are read and written, too.
 */
#include "neighbour.h"

#define WINDOW	   0x8000000000ull /* where what is looked at is mapped */
#define RAM_FIRST  0x2000000ull	   /* behind this program, its tables and its stack */
#define ALL	   (P_PRESENT | P_WRITE)
#define DEVICES	   0xc0000000ull
#define FOUR_GIB   0x100000000ull
#define LARGE	   0x200000ull
#define BAR_WINDOW 0x1000000000ull /* 64 GiB: the PCI windows of a small machine, as long */

static uint64_t seed;

static void ram_filled(uint64_t end)
{
	volatile uint64_t *words = (volatile uint64_t *)RAM_FIRST;
	uint64_t count = (end - RAM_FIRST) / 8, dirty = 0;

	for (uint64_t i = 0; i < count; i++)
		dirty += words[i] != 0;
	EXPECT_EQ(dirty, 0);
	for (uint64_t i = 0; i < count; i++)
		words[i] = i ^ 0x5ec2e75ec2e75ec2;
	for (uint64_t i = 0; i < count; i++)
		dirty += words[i] != (i ^ 0x5ec2e75ec2e75ec2);
	EXPECT_EQ(dirty, 0);
}

static volatile uint64_t *look_at(uint64_t physical)
{
	page_map(WINDOW, physical & ~0xfffull, ALL);
	return (volatile uint64_t *)(WINDOW + (physical & 0xff8));
}

static void nothing_at(uint64_t physical)
{
	volatile uint64_t *word = look_at(physical);

	EXPECT_EQ(*word, ~0ull);
	*word = 0x1234;
	EXPECT_EQ(*word, ~0ull);
	*(volatile uint8_t *)word = 0;
	asm volatile("lock incq %0" : "+m"(*word));
	asm volatile("repe cmpsb" ::"S"(word), "D"(word), "c"(8) : "memory", "cc");
	EXPECT_EQ(*word, ~0ull);
}

/* Devices, ECAM, APICs: whatever comes back. The local APIC's page stays as it is. */
static void devices(void)
{
	for (uint64_t at = DEVICES; at < FOUR_GIB; at += LARGE / 2) {
		volatile uint64_t *word = look_at(at + (chance(&seed) & 0xffff8));

		if (at >= 0xfee00000 && at < 0xfef00000)
			continue;
		*word = chance(&seed);
		*(volatile uint32_t *)word += 1;
		*(volatile uint8_t *)word = (uint8_t)*word;
	}
}

void test_main(void)
{
	uint32_t bits = cpuid(0x80000008, 0).a & 0xff;
	uint64_t end = option("memory", 64) << 20, limit = 1ull << bits;

	system_init();
	seed = option("seed", 1);
	ram_filled(end);
	for (uint64_t at = end; at < DEVICES; at += 16 * LARGE)
		nothing_at(at + (chance(&seed) & 0x1ffff8));
	devices();
	/* In ever longer steps, and the last page of all. */
	for (uint64_t at = FOUR_GIB, step = 64 * LARGE; at < limit; at += step, step += step / 16)
		if (at < BAR_WINDOW || at >= 2 * BAR_WINDOW)
			nothing_at(at + (chance(&seed) & 0x1ffff8));
	nothing_at(limit - 8);
	print_format("%u bits of address\n", bits);
}
