/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An instruction that begins in one page and ends in the next depends on both: on their bytes, and
 *on what is mapped where, also if it has been run often. Source: Intel SDM volume 3, 4.10.2 (what
 *is remembered of a page), 8.1.3 (code that changes itself). lodge: --cpus 2 --cpu-model max
 */
#include "system.h"

#define PAGE_SIZE 4096u
#define HERE	  0x30000000ull
#define NEXT	  (HERE + PAGE_SIZE)
#define ROUNDS	  50u

static uint8_t first[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t second[2][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static struct trap fault;
extern const uint8_t run_left[];

static void put(uint8_t *to, const uint8_t *bytes, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		((volatile uint8_t *)to)[i] = bytes[i];
}

/* So that `before` bytes of it are in the first page, the rest in second[which]. */
static void put_across(const uint8_t *bytes, unsigned int count, unsigned int before,
		       unsigned int which)
{
	put(first + PAGE_SIZE - before, bytes, before);
	put(second[which], bytes + before, count - before);
}
#define PUT(before, which, ...)                                                                    \
	do {                                                                                       \
		static const uint8_t code[] = {__VA_ARGS__};                                       \
                                                                                                   \
		put_across(code, sizeof(code), before, which);                                     \
	} while (0)

/* mov $number, %eax; ret; of which 2 bytes are in the first page. */
static void put_number(uint32_t number, unsigned int which)
{
	const uint8_t code[] = {0xb8,
				(uint8_t)number,
				(uint8_t)(number >> 8),
				(uint8_t)(number >> 16),
				(uint8_t)(number >> 24),
				0xc3};

	put_across(code, sizeof(code), 2, which);
}

static __attribute__((noinline)) uint64_t run(unsigned int before, uint64_t argument)
{
	uint64_t result = 0x5a5a5a5a;

	asm volatile("call *%[code]\n"
		     : "+a"(result), "+d"(argument)
		     : [code] "r"(NEXT - before)
		     : "memory", "cc");
	return result;
}

static uint64_t run_often(unsigned int before, uint64_t argument)
{
	for (unsigned int i = 1; i < ROUNDS; i++)
		run(before, argument);
	return run(before, argument);
}

static void follows_the_bytes_of_both(void)
{
	put_number(0x11223344, 0);
	EXPECT_EQ(run_often(2, 0), 0x11223344);
	put_number(0x11223355, 0);
	EXPECT_EQ(run_often(2, 0), 0x11223355);
	put_number(0x99223355, 0);
	EXPECT_EQ(run_often(2, 0), 0x99223355);
	PUT(2, 0, 0x90, 0xc3); /* nop; ret: it does not cross any more */
	EXPECT_EQ(run_often(2, 0), 0x5a5a5a5a);
	put_number(7, 0);
	EXPECT_EQ(run_often(2, 0), 7);
}

static void follows_what_is_mapped(void)
{
	put_number(0x01000007, 0);
	put_number(0x02000007, 1);
	for (unsigned int i = 0; i < 6; i++) {
		page_map(NEXT, (uintptr_t)second[i % 2], P_PRESENT | P_WRITE);
		EXPECT_EQ(run_often(2, 0), i % 2 ? 0x02000007 : 0x01000007);
	}
	put_number(0x03000007, 0);
	page_map(NEXT, (uintptr_t)second[0], P_PRESENT | P_WRITE);
	EXPECT_EQ(run_often(2, 0), 0x03000007);
}

static void note_fault(struct trap *trap)
{
	fault = *trap;
	trap->ip = (uintptr_t)run_left;
	trap->sp += 8;
}

static void faults_for_the_second(void)
{
	uint64_t result = 0;

	put_number(23, 0);
	EXPECT_EQ(run_often(2, 0), 23);
	page_map(NEXT, 0, 0);
	trap_set(14, note_fault);
	for (unsigned int i = 0; i < 3; i++) {
		fault.ip = 0;
		asm volatile("call *%[code]\n"
			     ".globl run_left\n"
			     "run_left:"
			     : "+a"(result)
			     : [code] "r"(NEXT - 2)
			     : "memory", "cc");
		EXPECT_EQ(fault.ip, NEXT - 2);
		EXPECT_EQ(cr2_read(), NEXT);
	}
	trap_set(14, NULL);
	page_map(NEXT, (uintptr_t)second[0], P_PRESENT | P_WRITE);
	EXPECT_EQ(run_often(2, 0), 23);
}

static void keeps_flags(void)
{
	for (unsigned int before = 2; before < 6; before++) {
		/* stc; mov $5, %eax; adc $0, %eax; ret */
		PUT(before, 0, 0xf9, 0xb8, 5, 0, 0, 0, 0x83, 0xd0, 0, 0xc3);
		EXPECT_EQ(run_often(before, 0), 6);
		/* xor %eax, %eax; mov $5, %eax; setz %al; ret */
		PUT(before + 1, 0, 0x31, 0xc0, 0xb8, 5, 0, 0, 0, 0x0f, 0x94, 0xc0, 0xc3);
		EXPECT_EQ(run_often(before + 1, 0), 1);
	}
}

/* One byte of each is in the second page. */
static void crosses_with_all_kinds(void)
{
	/* 1: xor %eax, %eax; 2: add %edx, %eax; dec %edx; jnz 2b; ret: it leads back */
	PUT(7, 0, 0x31, 0xc0, 0x01, 0xd0, 0xff, 0xca, 0x75, 0xfa, 0xc3);
	EXPECT_EQ(run_often(7, 10), 55);
	EXPECT_EQ(run(7, 100000), (uint32_t)(100000ull * 100001 / 2));
	/* call 1f; add $1, %eax; ret; 1: mov $8, %eax; ret */
	PUT(4, 0, 0xe8, 4, 0, 0, 0, 0x83, 0xc0, 1, 0xc3, 0xb8, 8, 0, 0, 0, 0xc3);
	EXPECT_EQ(run_often(4, 0), 9);
	/* push $0x1234; pop %rax; ret */
	PUT(4, 0, 0x68, 0x34, 0x12, 0, 0, 0x58, 0xc3);
	EXPECT_EQ(run_often(4, 0), 0x1234);
	/* ret $0, in the middle */
	PUT(2, 0, 0xc2, 0, 0);
	EXPECT_EQ(run_often(2, 0), 0x5a5a5a5a);
	/* mov 1f(%rip), %eax; ret; 1: .long 0x777 */
	PUT(5, 0, 0x8b, 0x05, 1, 0, 0, 0, 0xc3, 0x77, 7, 0, 0);
	EXPECT_EQ(run_often(5, 0), 0x777);
	/* cpuid takes a handler; mov %cr3, %rax ends a block */
	PUT(1, 0, 0x0f, 0xa2, 0xb8, 3, 0, 0, 0, 0xc3);
	{
		uint64_t result = 0;

		asm volatile("call *%[code]"
			     : "+a"(result)
			     : [code] "r"(NEXT - 1)
			     : "rbx", "rcx", "rdx", "memory", "cc");
		EXPECT_EQ(result, 3);
	}
	/* mov %cr3, %rax; mov %rax, %cr3; mov $4, %eax; ret */
	PUT(4, 0, 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8, 0xb8, 4, 0, 0, 0, 0xc3);
	EXPECT_EQ(run_often(4, 0), 4);
}

/* movb $9, 1f(%rip); mov $5, %eax; ret; the store crosses, and changes the immediate behind it, or
 * its own. */
static void rewrites_what_it_crosses_into(void)
{
	for (unsigned int i = 0; i < 3; i++) {
		PUT(6, 0, 0xc6, 0x05, 1, 0, 0, 0, 9, 0xb8, 5, 0, 0, 0, 0xc3);
		EXPECT_EQ(run(6, 0), 9);
		EXPECT_EQ(run_often(6, 0), 9);
		PUT(6, 0, 0xc6, 0x05, 0xff, 0xff, 0xff, 0xff, 9, 0xb8, 5, 0, 0, 0, 0xc3);
		EXPECT_EQ(run_often(6, 0), 5);
		EXPECT_EQ(second[0][0], 9);
	}
}

static volatile uint32_t turn; /* odd: the writer's */

static void writer(unsigned int index)
{
	(void)index;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		while (turn != 2 * i + 1)
			pause();
		second[0][2] = (uint8_t)i; /* the number's highest byte */
		turn = 2 * i + 2;
	}
	for (;;)
		asm volatile("hlt");
}

static void another_processor_rewrites_it(void)
{
	put_number(0, 0);
	EXPECT_EQ(processors_start(writer), 2);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		run_often(2, 0);
		turn = 2 * i + 1;
		while (turn != 2 * i + 2)
			pause();
		cpuid(0, 0); /* serializes */
		EXPECT_EQ(run(2, 0), i << 24);
	}
}

void test_main(void)
{
	system_init();
	*page_entry(0, HERE, 1) = 0;
	page_map(HERE, (uintptr_t)first, P_PRESENT | P_WRITE);
	page_map(NEXT, (uintptr_t)second[0], P_PRESENT | P_WRITE);
	follows_the_bytes_of_both();
	follows_what_is_mapped();
	faults_for_the_second();
	keeps_flags();
	crosses_with_all_kinds();
	rewrites_what_it_crosses_into();
	another_processor_rewrites_it();
}
