/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Never leaves a loop of one instruction, with interrupts off, on any of its processors. With
 * seconds= it looks at its TSC meanwhile, and ends after so long.
 */
#include "neighbour.h"

static void forever(unsigned int index)
{
	(void)index;
	asm volatile("1: jmp 1b");
}

void test_main(void)
{
	uint64_t seconds = option("seconds", 0), millisecond = tsc_per_millisecond(), end;

	system_init();
	processors_start(forever);
	print("looping\n");
	asm volatile("cli");
	end = tsc_read() + seconds * 1000 * millisecond;
	while (!seconds || tsc_read() < end)
		continue;
}
