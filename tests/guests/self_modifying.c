/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Code that is written while it is used. Source: Intel SDM volume 3, 11.6: stores to code are seen
 *by the same processor after a branch at the latest (on all that there are, at once for the same
 * linear address); through another linear address after a serializing instruction.
 *	lodge: --cpus 1
 */
#include "system.h"

#define AREA 0x8000000000ull
#define ALL  (P_PRESENT | P_WRITE | P_USER)

static uint8_t *page, *other;

static uint32_t call(const void *code)
{
	uint32_t result;

	asm volatile("call *%1" : "=a"(result) : "r"(code) : "rcx", "rdx", "memory", "cc");
	return result;
}

/* mov $value, %eax; ret */
static void put_return(volatile uint8_t *at, uint32_t value)
{
	at[0] = 0xb8;
	*(volatile uint32_t *)(at + 1) = value;
	at[5] = 0xc3;
}

static void serialize(void)
{
	cpuid(0, 0);
}

static void test_rewrite(void)
{
	uint64_t wrong = 0;

	for (uint32_t i = 0; i < 100000; i++) {
		put_return(page, i);
		wrong += call(page) != i;
	}
	EXPECT_EQ(wrong, 0);
	/* By every store that there is: string, locked, vector, exchange. */
	uint8_t source[16] = {0xb8, 1, 2, 3, 4, 0xc3};
	void *to = page, *from = source;
	uint64_t count = 6;

	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count)::"memory");
	EXPECT_EQ(call(page), 0x04030201);
	to = page + 1, count = 4;
	asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0x7e) : "memory");
	EXPECT_EQ(call(page), 0x7e7e7e7e);
	asm volatile("lock addl $1, (%0)" ::"r"(page + 1) : "memory");
	EXPECT_EQ(call(page), 0x7e7e7e7f);
	asm volatile("xchg %0, (%1)" ::"r"(0x1234), "r"(page + 1) : "memory");
	EXPECT_EQ(call(page), 0x1234);
	asm volatile("movd %0, %%xmm0; movd %%xmm0, (%1)" ::"r"(0x4321), "r"(page + 1) : "memory");
	EXPECT_EQ(call(page), 0x4321);
	asm volatile("mov $0xb8, %%eax; mov $0x55, %%ah; movdqu (%0), %%xmm0; psrldq $1, %%xmm0; "
		     "pslldq $1, %%xmm0; movups %%xmm0, (%0); movb %%al, (%0)" ::"r"(page)
		     : "rax", "memory");
	EXPECT_EQ(call(page), 0x4321);
	page[1] = 0x99;
	EXPECT_EQ(call(page), 0x4399);
	asm volatile("cmpxchg16b (%0)" ::"r"(page), "a"(*(uint64_t *)page),
		     "d"(*(uint64_t *)(page + 8)), "b"(0xc300005555b8), "c"(0ul)
		     : "memory");
	EXPECT_EQ(call(page), 0x5555);
	asm volatile("push %%rax; mov %%rsp, %%rcx; lea 8(%0), %%rsp; push %1; mov %%rcx, %%rsp; "
		     "pop %%rax" ::"r"(page),
		     "r"(0xc300006666b8)
		     : "rcx", "memory");
	EXPECT_EQ(call(page), 0x6666);
}

/* The next instruction: written just before it runs, in the same block, over and over. */
CODE(next, "xor %eax, %eax\n"
	   "mov $20000, %ecx\n"
	   "1: incl 2f+1(%rip)\n"
	   "2: mov $0, %edx\n"
	   "add %rdx, %rax\n"
	   "dec %ecx\n"
	   "jnz 1b\n"
	   "ret");

static void test_next(void)
{
	/* The sum of 1 to 20000. */
	EXPECT_EQ(call(next), 20000u * 20001 / 2);
	asm volatile("movl $0, (%0)" ::"r"(next + 7 + 6 + 1) : "memory");
}

static void test_alias(void)
{
	uint64_t wrong = 0;

	page_map(AREA, (uintptr_t)page, ALL);
	page_map(AREA + 4096, (uintptr_t)page, P_PRESENT);
	for (uint32_t i = 0; i < 20000; i++) {
		put_return((uint8_t *)AREA, i);
		serialize();
		wrong += call((void *)(AREA + 4096)) != i;
		wrong += call(page) != i;
	}
	EXPECT_EQ(wrong, 0);
}

static void test_links(void)
{
	uint64_t wrong = 0;

	/* page: mov $1, %eax; jmp other. other: add $imm, %eax; ret. Then the target changes. */
	page[0] = 0xb8, *(uint32_t *)(page + 1) = 1;
	page[5] = 0xe9, *(uint32_t *)(page + 6) = (uint32_t)(other - (page + 10));
	other[0] = 5, *(uint32_t *)(other + 1) = 10, other[5] = 0xc3;
	for (unsigned int i = 0; i < 1000; i++)
		wrong += call(page) != 11;
	for (uint32_t i = 0; i < 1000; i++) {
		*(volatile uint32_t *)(other + 1) = i;
		wrong += call(page) != i + 1;
		*(volatile uint32_t *)(page + 1) = i; /* and its source */
		wrong += call(page) != i + i;
		*(volatile uint32_t *)(page + 1) = 1;
	}
	EXPECT_EQ(wrong, 0);
	/* Inside a page: a loop whose branch is turned. */
	page[100] = 0xeb, page[101] = 6; /* jmp +6 */
	put_return(page + 102, 1);
	put_return(page + 108, 2);
	for (unsigned int i = 0; i < 1000; i++) {
		page[101] = i & 1 ? 0 : 6;
		wrong += call(page + 100) != (i & 1 ? 1 : 2);
	}
	EXPECT_EQ(wrong, 0);
}

/* An instruction whose bytes lie on two pages, either of which changes. */
static void test_crossing(void)
{
	uint64_t wrong = 0;
	uint8_t *at = (uint8_t *)AREA + 4096 - 3;

	page_map(AREA, (uintptr_t)page, ALL);
	page_map(AREA + 4096, (uintptr_t)other, ALL);
	for (uint32_t i = 0; i < 5000; i++) {
		put_return(at, i << 16 | (i & 0xffff));
		wrong += call(at) != (i << 16 | (i & 0xffff));
	}
	EXPECT_EQ(wrong, 0);
	/* The second page is another one from now on. */
	put_return(at, 0x01020304);
	EXPECT_EQ(call(at), 0x01020304);
	uint8_t *third = page_new();

	third[0] = 0x11, third[1] = 0x22, third[2] = 0xc3;
	page_map(AREA + 4096, (uintptr_t)third, ALL);
	EXPECT_EQ(call(at), 0x22110304);
	/* Not there: the fault names the second page and the first instruction. */
	struct trap s;

	page_map(AREA + 4096, 0, 0);
	state_init(&s, at, false);
	EXPECT_EQ(state_run(&s), 14);
	EXPECT_EQ(s.error, 0x10);
	EXPECT_EQ(s.ip, (uintptr_t)at);
	EXPECT_EQ(cr2_read(), AREA + 4096);
	/* Not executable. */
	page_map(AREA + 4096, (uintptr_t)third, ALL | P_NX);
	state_init(&s, at, false);
	EXPECT_EQ(state_run(&s), 14);
	EXPECT_EQ(s.error, 0x11);
	EXPECT_EQ(cr2_read(), AREA + 4096);
	page_map(AREA + 4096, (uintptr_t)third, ALL);
	EXPECT_EQ(call(at), 0x22110304);
}

/* The same linear address, another page: after invlpg and after mov cr3. */
static void test_remap(void)
{
	uint64_t wrong = 0, first = cr3_read(), second = root_new();

	put_return(page, 1);
	put_return(other, 2);
	for (unsigned int i = 0; i < 2000; i++) {
		page_map(AREA, (uintptr_t)(i & 1 ? page : other), ALL);
		wrong += call((void *)AREA) != (i & 1 ? 1 : 2);
	}
	EXPECT_EQ(wrong, 0);
	page_map(AREA, (uintptr_t)page, ALL);
	*page_entry(second, AREA, 0) = (uintptr_t)other | ALL;
	for (unsigned int i = 0; i < 2000; i++) {
		cr3_write(i & 1 ? first : second);
		wrong += call((void *)AREA) != (i & 1 ? 1 : 2);
	}
	EXPECT_EQ(wrong, 0);
	cr3_write(first);
	/* It loses the right to execute, while translated code of it is hot. */
	struct trap s;

	for (unsigned int i = 0; i < 100; i++)
		call((void *)AREA);
	page_map(AREA, (uintptr_t)page, ALL | P_NX);
	state_init(&s, (void *)AREA, false);
	EXPECT_EQ(state_run(&s), 14);
	EXPECT_EQ(s.error, 0x11);
	/* As data the page is still written, and then runs again. */
	*(volatile uint32_t *)(AREA + 1) = 77;
	page_map(AREA, (uintptr_t)page, ALL);
	EXPECT_EQ(call((void *)AREA), 77);
}

/* Stack, data and code on one page: much false sharing, nothing may go wrong. */
static void test_mixed(void)
{
	uint64_t wrong = 0;

	put_return(page, 42);
	for (uint32_t i = 0; i < 50000; i++) {
		*(volatile uint32_t *)(page + 256 + i % 512 * 4) = i;
		wrong += call(page) != 42;
		wrong += *(volatile uint32_t *)(page + 256 + i % 512 * 4) != i;
	}
	EXPECT_EQ(wrong, 0);
}

void test_main(void)
{
	system_init();
	page = page_new();
	other = page_new();
	test_rewrite();
	test_next();
	test_alias();
	test_links();
	test_crossing();
	test_remap();
	test_mixed();
}
