/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The well-behaved one, beside whom others misbehave: for a number of seconds (seconds=) it takes
 * an interrupt of its timer every 10 ms, asleep in between, and looks each time whether its memory
 * and its registers are as it left them. No interrupt may be late by more than late= milliseconds.
 */
#include "neighbour.h"

#define PERIOD	 10 /* ms */
#define AREA	 ((volatile uint64_t *)0x2000000)
#define WORDS	 0x20000 /* 1 MiB, a page of it each time */
#define LVT_ONCE 0x40

static volatile uint32_t ticks;
static uint32_t counts_per_period;

static void tick(struct trap *trap)
{
	(void)trap;
	ticks++;
	lapic_eoi();
}

/* Counts of the local APIC's timer, undivided, in a period. */
static uint32_t calibrate(uint64_t tsc_millisecond)
{
	uint64_t end;

	lapic_write(0x320, 0x10000 | LVT_ONCE);
	lapic_write(0x3e0, 0xb);
	lapic_write(0x380, ~0u);
	end = tsc_read() + PERIOD * tsc_millisecond;
	while (tsc_read() < end)
		pause();
	return ~0u - lapic_read(0x390);
}

static uint64_t pattern(uint64_t at)
{
	return at * 0x9e3779b97f4a7c15 + 1;
}

static bool memory_kept(uint32_t round)
{
	uint64_t first = (uint64_t)(round % (WORDS / 512)) * 512;

	for (uint64_t i = first; i < first + 512; i++)
		if (AREA[i] != pattern(i))
			return false;
	return true;
}

static bool registers_kept(uint64_t value)
{
	uint64_t a = value, b = ~value, low;

	asm volatile("movq %0, %%xmm3\n"
		     "sti\n"
		     "hlt\n"
		     "cli\n"
		     "movq %%xmm3, %2"
		     : "+r"(a), "+r"(b), "=r"(low)::"memory");
	return a == value && b == ~value && low == value;
}

void test_main(void)
{
	uint64_t seconds = option("seconds", 5), late = option("late", 500), worst = 0;
	uint64_t millisecond = tsc_per_millisecond();
	uint32_t rounds = (uint32_t)(seconds * 1000 / PERIOD);

	system_init();
	trap_set(LVT_ONCE, tick);
	out8(0x21, 0xff), out8(0xa1, 0xff);
	lapic_enable();
	for (uint64_t i = 0; i < WORDS; i++)
		AREA[i] = pattern(i);
	counts_per_period = calibrate(millisecond);
	lapic_write(0x320, LVT_ONCE);
	for (uint32_t round = 0; round < rounds; round++) {
		uint64_t start = tsc_read(), took;

		lapic_write(0x380, counts_per_period);
		while (ticks <= round)
			if (!EXPECT(registers_kept(round * 0x0101010101010101)))
				return;
		took = (tsc_read() - start) / millisecond;
		if (took > worst)
			worst = took;
		if (!EXPECT(memory_kept(round)))
			return;
		if (round % 100 == 0)
			print_format("a second: %u\n", round / 100);
	}
	print_format("%u interrupts, the last of them late by %llu ms at most\n", ticks,
		     (unsigned long long)(worst > PERIOD ? worst - PERIOD : 0));
	EXPECT(worst <= PERIOD + late);
}
