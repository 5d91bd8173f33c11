/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports: reads and writes of each width, nobody's ports, the debug console, string instructions. */
#include "guest.h"

#define NOBODY	 0x1234 /* no device of a PC is there */
#define PIC_MASK 0x21

static const char text[] = "a string by outsb\n";

void test_main(void)
{
	uint8_t before = in8(PIC_MASK);
	uint8_t bytes[3] = {0, 0, 0};
	const char *from = text;
	uint64_t count = sizeof(text) - 1;
	void *to = bytes;

	/* Where nothing answers, the bus floats high and writes are lost. */
	EXPECT_EQ(in8(NOBODY), 0xff);
	EXPECT_EQ(in16(NOBODY), 0xffff);
	EXPECT_EQ(in32(NOBODY), 0xffffffff);
	out8(NOBODY, 0);
	out16(NOBODY, 0);
	out32(NOBODY, 0);
	EXPECT_EQ(in8(NOBODY), 0xff);

	/* A register that keeps what is written: the mask of the first 8259. */
	out8(PIC_MASK, 0x5a);
	EXPECT_EQ(in8(PIC_MASK), 0x5a);
	out8(PIC_MASK, 0xff);
	EXPECT_EQ(in8(PIC_MASK), 0xff);

	out8(PIC_MASK, 0xa5);
	asm volatile("mov $0x21, %%edx; mov $3, %%ecx; cld; rep insb"
		     : "+D"(to)
		     :
		     : "edx", "ecx", "memory");
	EXPECT_EQ(bytes[0], 0xa5);
	EXPECT_EQ(bytes[2], 0xa5);
	EXPECT_EQ((uintptr_t)to, (uintptr_t)(bytes + 3));
	out8(PIC_MASK, before);

	if (in8(DEBUG_PORT) == DEBUG_PORT) {
		asm volatile("mov $0xe9, %%edx; cld; rep outsb"
			     : "+S"(from), "+c"(count)
			     :
			     : "edx", "memory");
		EXPECT_EQ(count, 0);
		EXPECT_EQ((uintptr_t)from, (uintptr_t)(text + sizeof(text) - 1));
	}
}
