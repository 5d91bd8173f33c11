/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads every MSR there could be, and writes to it zero, ones, its own value with a bit flipped,
 * and what chance says. A #GP is as good an answer as a value. What was there is written back at
 * once, so that it can go on.
 */
#include "neighbour.h"

#define GP   13
#define EFER 0xc0000080

static const struct {
	uint32_t first, last;
} ranges[] = {
	{0, 0x1fff},
	{0x40000000, 0x400001ff},
	{0x4b564d00, 0x4b564d10},
	{0x80000000, 0x800000ff},
	{0xc0000000, 0xc0001fff},
	{0xc0010000, 0xc0011fff},
	{0xffffff00, 0xffffffff},
};

static uint64_t seed;

static int try_read(uint32_t msr)
{
	return TRAP_OF("rdmsr", "c"(msr));
}

static int try_write(uint32_t msr, uint64_t value)
{
	/* eax and edx come by way of two others, for the macro has those for itself. */
	return TRAP_OF("mov %%esi, %%eax; mov %%edi, %%edx; wrmsr", "c"(msr), "S"((uint32_t)value),
		       "D"((uint32_t)(value >> 32)));
}

static bool is_answer(int vector)
{
	return vector == -1 || vector == GP;
}

static void try_msr(uint32_t msr)
{
	uint64_t value = 0;
	int read = try_read(msr);

	EXPECT(is_answer(read));
	if (read == -1)
		value = msr_read(msr);
	const uint64_t written[] = {0, ~0ull, value ^ 1ull << (chance(&seed) & 63), chance(&seed)};

	/* The registers that this very program stands on. */
	if (msr == 0x1b || msr == EFER)
		return;
	for (unsigned int i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
		EXPECT(is_answer(try_write(msr, written[i])));
		if (read == -1)
			EXPECT(is_answer(try_write(msr, value)));
	}
}

void test_main(void)
{
	uint32_t count = 0;

	system_init();
	seed = option("seed", 1);
	for (unsigned int i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		for (uint64_t msr = ranges[i].first; msr <= ranges[i].last; msr++, count++)
			try_msr((uint32_t)msr);
	print_format("%u MSRs\n", count);
	/* No way to the processor's own virtualization, and what it has is not ours. */
	EXPECT_EQ(try_write(EFER, msr_read(EFER) | 1 << 12), GP);
	EXPECT_EQ(try_write(0xc0010117, 0x1000), GP);
}
