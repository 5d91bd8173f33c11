/* SPDX-License-Identifier: BSD-2-Clause */
/* The processor is in long mode, and the exceptions that tell it arrive with the right words. */
#include "guest.h"

enum { DE = 0, DB = 1, BP = 3, UD = 6, GP = 13, PF = 14 };

#define EFER 0xc0000080u

static void *volatile nowhere = (void *)0x100000000; /* just past what start.S maps */

void test_main(void)
{
	uint64_t cr0, cr4;

	asm("mov %%cr0, %0" : "=r"(cr0));
	asm("mov %%cr4, %0" : "=r"(cr4));
	EXPECT_EQ(cr0 & 0x80000001, 0x80000001);
	EXPECT_EQ(cr4 & 0x20, 0x20);
	EXPECT_EQ(msr_read(EFER) & 0x500, 0x500); /* LME and LMA */

	EXPECT_EQ(TRAP_OF("nop", "b"(0)), -1);
	EXPECT_EQ(TRAP_OF("ud2", "b"(0)), UD);
	EXPECT_EQ(TRAP_OF("int3", "b"(0)), BP);
	EXPECT_EQ(TRAP_OF("mov $1, %%eax; div %%cl", "c"(0)), DE);

	/* Volume 3, 4.7: a read of what isn't present, by the supervisor, then a write. */
	EXPECT_EQ(TRAP_OF("movb (%0), %%al", "b"(nowhere)), PF);
	EXPECT_EQ(trap_error, 0);
	EXPECT_EQ(TRAP_OF("movb $1, (%0)", "b"(nowhere)), PF);
	EXPECT_EQ(trap_error, 2);
	asm("mov %%cr2, %0" : "=r"(cr0));
	EXPECT_EQ(cr0, (uintptr_t)nowhere);

	/* Not canonical: no page fault but a general protection, error 0. */
	EXPECT_EQ(TRAP_OF("movb (%0), %%al", "b"(0x8000000000000000)), GP);
	EXPECT_EQ(trap_error, 0);
	/* A reserved MSR, a reserved bit of CR4, a selector beyond the table. */
	EXPECT_EQ(TRAP_OF("rdmsr", "c"(0x12345678)), GP);
	cr4 |= 1ull << 40;
	EXPECT_EQ(TRAP_OF("mov %0, %%cr4", "b"(cr4)), GP); /* not on kvm: 32 bits count */
	EXPECT_EQ(TRAP_OF("mov %0, %%fs", "b"(0x1230)), GP);
	EXPECT_EQ(trap_error, 0x1230);
}
