/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One processor rewrites an instruction while another runs it: from a store, to the page that the
 * code itself is on, into one that loads the register which the store and the load behind it go by.
 * What the first instruction was must not be relied on when the second goes to memory. Either one
 * may be run, but whole. Source: Intel SDM volume 3, 9.1.3.
 *	lodge: --cpus 2 --cpu-model max
 */
#include "system.h"

#define FAR_AWAY     0x1000000000ull
#define NEAR_WORD    0x1111111111111111ull
#define FAR_WORD     0x2222222222222222ull
#define PATIENCE     2000000000ull /* TSC ticks */
#define ROUNDS_LEAST 100u
#define AREA	     256 /* word of the page: what is stored to, and loaded from behind it */
#define REWRITTEN    5	 /* the byte of the page */
#define STORE	     0x13
#define MOVE	     0xcb

/* mov %rsi, %rbx; mov %rdx, (%rbx) or mov %rcx, %rbx; mov 8(%rbx), %rax; ret */
static const uint8_t code[] = {0x48, 0x89, 0xf3, 0x48, 0x89, STORE, 0x48, 0x8b, 0x43, 0x08, 0xc3};

static volatile uint64_t page[512] __attribute__((aligned(4096)));
static volatile uint64_t near_words, far_words, other_words;

static void run_it(unsigned int index)
{
	uint64_t word;

	(void)index;
	for (;;) {
		asm volatile("call *%%rdi"
			     : "=a"(word)
			     : "D"(page), "S"(page + AREA), "c"(FAR_AWAY), "d"(near_words)
			     : "rbx", "memory");
		if (word == NEAR_WORD)
			near_words++;
		else if (word == FAR_WORD)
			far_words++;
		else
			other_words++;
	}
}

/* Until it has been run once more as it is now, or for some time; and a little longer, so that it
 * is not at the same place each time. */
static void let_it(const volatile uint64_t *words, unsigned int round)
{
	uint64_t before = *words, start = tsc_read();

	while (*words == before && tsc_read() - start < 100000000)
		pause();
	for (unsigned int i = 0; i < round % 64; i++)
		pause();
}

void test_main(void)
{
	volatile uint8_t *byte = (volatile uint8_t *)page + REWRITTEN;
	uint64_t *far_page, start;
	unsigned int round = 0;

	system_init();
	for (unsigned int i = 0; i < sizeof(code); i++)
		((volatile uint8_t *)page)[i] = code[i];
	page[AREA + 1] = NEAR_WORD;
	far_page = page_new();
	far_page[1] = FAR_WORD;
	page_map(FAR_AWAY, (uintptr_t)far_page, P_PRESENT | P_WRITE);
	EXPECT_EQ(processors_start(run_it), 2);
	start = tsc_read();
	while (round < ROUNDS_LEAST || tsc_read() - start < PATIENCE) {
		*byte = MOVE;
		let_it(&far_words, round);
		*byte = STORE;
		let_it(&near_words, round);
		round++;
	}
	print_format("%u rounds, %lu stores, %lu moves\n", round, near_words, far_words);
	EXPECT(near_words > 0 && far_words > 0);
	EXPECT_EQ(other_words, 0);
}
