/* SPDX-License-Identifier: BSD-2-Clause */
/* The shortest guest: it starts, prints and ends; and the loader passes what multiboot promises. */
#include "guest.h"

/* lodge: --append one=1 */

static bool ends_with(const char *text, const char *end)
{
	size_t size = 0, tail = 0;

	while (text[size])
		size++;
	while (end[tail])
		tail++;
	for (size_t i = 0; i < tail; i++)
		if (tail > size || text[size - tail + i] != end[i])
			return false;
	return true;
}

void test_main(void)
{
	print_format("hello from %s, %d, %x\n", "a guest", -42, 0xbeefu);
	/* 3.3: bit 0, the memory below and above 1 MiB in KiB; bit 2, the command line. */
	EXPECT(multiboot_info[0] & 1);
	EXPECT(multiboot_info[1] >= 512 && multiboot_info[1] <= 640);
	EXPECT(multiboot_info[2] >= 1024);
	EXPECT(multiboot_info[0] & 4);
	EXPECT(ends_with(guest_command_line(), "one=1"));
}
