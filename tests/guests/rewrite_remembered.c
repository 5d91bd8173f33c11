/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A processor that has stored to a page, and has used so much else since that anything else would
 * have been thrown out, stores there once more by the same instruction, after another processor has
 * begun to run code that is there: which serializes, and must run what is written then. Source:
 * Intel SDM volume 3, 9.1.3.
 *	lodge: --cpus 2 --cpu-model max
 */
#include "system.h"

#define OTHERS	  6
#define APART	  0x400000ull /* pages so far apart are likely to want one place in anything */
#define ROUNDS	  64u
#define PAGE_SIZE 4096

static struct {
	uint8_t code[PAGE_SIZE];
} pages[ROUNDS] __attribute__((aligned(PAGE_SIZE)));
static volatile uint32_t turn; /* odd: the writer's */

/* mov $number, %eax; ret. The store of the number is one instruction for all, with a constant
 * address: page_map makes it another page. */
#define HERE  0x30000000ull
#define WRITE "movl %0, 0x30000001"

static __attribute__((noinline)) void write_number(uint32_t number)
{
	asm volatile(WRITE ::"r"(number) : "memory");
}

static void use_others(void)
{
	for (unsigned int i = 1; i <= OTHERS; i++)
		*(volatile uint32_t *)(HERE + i * APART) = i;
}

static void wait_turn(uint32_t wanted)
{
	while (turn != wanted)
		pause();
}

static void writer(unsigned int index)
{
	(void)index;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		wait_turn(4 * round + 1);
		page_invalidate(HERE);
		write_number(2 * round);
		use_others();
		turn = 4 * round + 2;
		wait_turn(4 * round + 3);
		write_number(2 * round + 1);
		turn = 4 * round + 4;
	}
	for (;;)
		asm volatile("hlt");
}

static uint32_t run(void)
{
	uint32_t number;

	cpuid(0, 0); /* serializes */
	asm volatile("call *%1" : "=a"(number) : "r"(HERE) : "memory");
	return number;
}

void test_main(void)
{
	uint64_t *other = page_new();

	system_init();
	for (unsigned int i = 1; i <= OTHERS; i++) {
		*page_entry(0, HERE + i * APART, 1) = 0;
		page_map(HERE + i * APART, (uintptr_t)other, P_PRESENT | P_WRITE);
	}
	*page_entry(0, HERE, 1) = 0;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		pages[i].code[0] = 0xb8;
		pages[i].code[5] = 0xc3;
	}
	page_map(HERE, (uintptr_t)&pages[0], P_PRESENT | P_WRITE);
	EXPECT_EQ(processors_start(writer), 2);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		page_map(HERE, (uintptr_t)&pages[round], P_PRESENT | P_WRITE);
		turn = 4 * round + 1;
		wait_turn(4 * round + 2);
		EXPECT_EQ(run(), 2 * round);
		turn = 4 * round + 3;
		wait_turn(4 * round + 4);
		EXPECT_EQ(run(), 2 * round + 1);
	}
}
