/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Code that makes its own page-table entry one of device memory, and goes on by the TLB: for who
 * looks at the instruction again after it has ended in an exit. Then the same in the lowest page,
 * where an address is nearly none.
 */
#include "neighbour.h"

#define PLACE	 0x200000000ull /* nothing else is mapped here */
#define LOW	 0x100ull
#define NOT_RAM	 0x1000000000ull
#define DEADLINE 0x6e0

/* mov %rbx, (%rsi); wrmsr, of a timer that is not in that mode, which is ignored; jmp *%rdx. */
static const uint64_t code = 0x00e2ff300f1e8948;

static int run(uint64_t place, uint64_t *entry, uint64_t value)
{
	return TRAP_OF("xor %%eax, %%eax; mov $2f, %%edx; jmp *%%rdi; 2:", "D"(place),
		       "c"(DEADLINE), "S"(entry), "b"(value));
}

void test_main(void)
{
	volatile uint64_t *low = (volatile uint64_t *)(uintptr_t)LOW;
	uint64_t *page, *entry, scratch, right;

	system_init();
	page = page_new();
	entry = page_entry(cr3_read(), PLACE, 0);
	right = (uintptr_t)page | P_PRESENT | P_WRITE | P_ACCESSED | P_DIRTY;
	for (unsigned int round = 0; round < 3; round++) {
		int vector;

		*page = *low = code;
		page_map(PLACE, (uintptr_t)page, P_PRESENT | P_WRITE);
		EXPECT_EQ(run(PLACE, entry, right), -1);
		vector = run(PLACE, entry, NOT_RAM | P_PRESENT | P_WRITE | P_ACCESSED);
		EXPECT(vector == -1 || vector == 6);
		EXPECT_EQ(run(LOW, &scratch, 0), -1);
	}
}
