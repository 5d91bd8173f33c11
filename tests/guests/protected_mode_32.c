/* SPDX-License-Identifier: BSD-2-Clause */
/* Protected mode as multiboot leaves it: flat 32-bit segments, no paging, no interrupts. */
#include "guest.h"

enum { DE = 0, BP = 3, OF = 4, BR = 5, UD = 6, NP = 11, GP = 13 };

void test_main(void)
{
	uint32_t cr0, flags;
	int bounds[2] = {1, 5};

	asm("mov %%cr0, %0" : "=r"(cr0));
	EXPECT_EQ(cr0 & 0x80000001, 1);
	asm("pushf; pop %0" : "=r"(flags));
	EXPECT_EQ(flags & 0x200, 0);
	EXPECT_EQ(sizeof(void *), 4);

	EXPECT_EQ(TRAP_OF("ud2", "b"(0)), UD);
	EXPECT_EQ(TRAP_OF("mov $1, %%eax; div %%cl", "c"(0)), DE);
	/* What only the modes before long mode have. */
	EXPECT_EQ(TRAP_OF("movb $0x7f, %%al; addb $1, %%al; into", "b"(0)), OF);
	EXPECT_EQ(TRAP_OF("bound %0, %1", "r"(3), "m"(bounds)), -1);
	EXPECT_EQ(TRAP_OF("bound %0, %1", "r"(6), "m"(bounds)), BR);
	EXPECT_EQ(TRAP_OF("mov %0, %%fs", "b"(0x1230)), GP);
	EXPECT_EQ(trap_error, 0x1230);
	EXPECT_EQ(TRAP_OF("int3", "b"(0)), BP);
}
