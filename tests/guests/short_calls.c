/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A short function that is called thousands of times, and is another one all at once: mapped
 * otherwise, rewritten by this processor or another one, out of reach, or faulting. Source: Intel
 * SDM volume 2, CALL; volume 3, 4.10.4, 8.1.3. lodge: --cpus 2 --cpu-model max
 */
#include "system.h"

#define ROUNDS	  20u
#define OFTEN	  3000u
#define PAGE_SIZE 4096u
#define NOWHERE	  0x8000000000ull /* mapped by nobody else */

CODE(calls, "1:	call	*%rdi\n"
	    "calls_behind: add %eax, %ebx\n"
	    "	dec	%ecx\n"
	    "	jnz	1b\n"
	    "	ud2\n");
extern const uint8_t calls_behind[];
CODE(number, "	mov	$1, %eax\n"
	     "	ret\n");
CODE(load, "	nop\n"
	   "load_insn: mov (%rsi), %eax\n"
	   "	ret\n");
extern const uint8_t load_insn[];

static uint8_t versions[2][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static void put_numbers(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		memcpy(versions[i], number, (size_t)(number_end - number));
		versions[i][1] = (uint8_t)(7 + i);
	}
}

/* The sum of what so many calls return. */
static uint32_t sum(uint64_t callee, uint32_t count)
{
	struct trap state;

	state_init(&state, calls, false);
	state.di = callee;
	state.bx = 0;
	state.cx = count;
	EXPECT_EQ(state_run(&state), 6);
	EXPECT_EQ(state.ip, (uintptr_t)calls_end - 2);
	return (uint32_t)state.bx;
}

static void is_mapped_otherwise(uint64_t bits)
{
	put_numbers();
	for (unsigned int i = 0; i < ROUNDS; i++) {
		unsigned int version = i & 1;

		page_map(NOWHERE, (uintptr_t)versions[version], bits);
		EXPECT_EQ(sum(NOWHERE, i + 1), (i + 1) * (7 + version));
		EXPECT_EQ(sum(NOWHERE, OFTEN), OFTEN * (7 + version));
	}
}

static void is_another_one_in_each_space(void)
{
	uint64_t first = cr3_read(), spaces[2] = {first, root_new()};

	put_numbers();
	for (unsigned int i = 0; i < 2; i++) {
		cr3_write(spaces[i]);
		page_map(NOWHERE, (uintptr_t)versions[i], P_PRESENT | P_WRITE);
	}
	for (unsigned int i = 0; i < ROUNDS; i++) {
		unsigned int space = i & 1;

		cr3_write(spaces[space]);
		EXPECT_EQ(sum(NOWHERE, 10), 10 * (7 + space));
		EXPECT_EQ(sum(NOWHERE, OFTEN), OFTEN * (7 + space));
	}
	cr3_write(first);
}

static void is_rewritten(void)
{
	put_numbers();
	page_map(NOWHERE, (uintptr_t)versions[0], P_PRESENT | P_WRITE);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		((volatile uint8_t *)versions[0])[1] = (uint8_t)i;
		EXPECT_EQ(sum(NOWHERE, OFTEN), OFTEN * i);
	}
}

/* Its page is not the user's any more: the call itself is done. */
static void is_out_of_reach(void)
{
	static uint64_t stack[64];
	struct trap state;

	put_numbers();
	for (unsigned int i = 0; i < ROUNDS; i++) {
		bool may = i & 1;

		page_map(NOWHERE, (uintptr_t)versions[0], P_PRESENT | (may ? P_USER : 0));
		state_init(&state, calls, true);
		state.di = NOWHERE;
		state.bx = 0;
		state.cx = OFTEN;
		state.sp = user_alias(&stack[32]);
		stack[31] = 0;
		EXPECT_EQ(state_run(&state), may ? 6 : 14);
		if (may) {
			EXPECT_EQ(state.bx, OFTEN * 7);
			continue;
		}
		EXPECT_EQ(cr2_read(), NOWHERE);
		EXPECT_EQ(state.error & 5, 5);
		EXPECT_EQ(state.ip, NOWHERE);
		EXPECT_EQ(state.sp, user_alias(&stack[31]));
		EXPECT_EQ(stack[31], user_alias(calls_behind));
	}
}

static void faults(void)
{
	static uint64_t stack[64];
	struct trap state;
	uint32_t value = 3;

	*page_entry(0, NOWHERE, 0) = 0;
	page_invalidate(NOWHERE);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		bool may = i & 1;

		state_init(&state, calls, false);
		state.di = (uintptr_t)load;
		state.si = may ? (uintptr_t)&value : NOWHERE;
		state.ax = 77;
		state.bx = 0;
		state.cx = OFTEN;
		state.sp = (uintptr_t)&stack[32];
		EXPECT_EQ(state_run(&state), may ? 6 : 14);
		EXPECT_EQ(state.bx, may ? OFTEN * 3 : 0);
		if (may)
			continue;
		EXPECT_EQ(cr2_read(), NOWHERE);
		EXPECT_EQ(state.ip, (uintptr_t)load_insn);
		EXPECT_EQ(state.ax, 77);
		EXPECT_EQ(state.cx, OFTEN);
		EXPECT_EQ(state.sp, (uintptr_t)&stack[31]);
		EXPECT_EQ(stack[31], (uintptr_t)calls_behind);
	}
}

/* Another processor rewrites it, and says so: who has seen that, and serializes, runs the new one.
 */
static volatile uint32_t written, seen;

static void writer(unsigned int index)
{
	(void)index;
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		((volatile uint8_t *)versions[1])[1] = (uint8_t)i;
		written = i;
		while (seen < i)
			pause();
	}
	for (;;)
		asm volatile("hlt");
}

static uint32_t call_version(void)
{
	uint32_t result;

	asm volatile("call *%1" : "=a"(result) : "r"(versions[1]) : "memory", "cc");
	return result;
}

static void is_rewritten_by_another(void)
{
	put_numbers();
	versions[1][1] = 0;
	for (unsigned int i = 0; i < OFTEN; i++)
		EXPECT_EQ(call_version(), 0);
	EXPECT_EQ(processors_start(writer), 2);
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		uint32_t result = i - 1;

		while (written < i) {
			result = call_version();
			EXPECT(result == i - 1 || result == i);
		}
		cpuid(0, 0); /* serializes */
		for (unsigned int j = 0; j < OFTEN; j++)
			EXPECT_EQ(call_version(), i);
		seen = i;
	}
}

void test_main(void)
{
	system_init();
	is_mapped_otherwise(P_PRESENT | P_WRITE);
	is_another_one_in_each_space();
	is_rewritten();
	is_out_of_reach();
	faults();
	cr4_write(cr4_read() | 1u << 7); /* PGE */
	is_mapped_otherwise(P_PRESENT | P_WRITE | P_GLOBAL);
	is_rewritten_by_another();
}
