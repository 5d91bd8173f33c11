/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads every port in all sizes and writes zero, ones, and what chance says to it, and strings,
 * too. Left out is what ends this guest or makes its output unreadable.
 */
#include "neighbour.h"

#define DEVICES 0x1000 /* below that */

static const struct {
	uint16_t first, last;
} left_out[] = {
	{0xf1, 0xf7},	/* the exit port */
	{0x61, 0x67},	/* 8042: resets */
	{0x8f, 0x92},	/* resets */
	{0xe6, 0xe9},	/* the debug console */
	{0x3f5, 0x3ff}, /* COM1 */
	{0x502, 0x508}, /* pvpanic */
	{0x601, 0x607}, /* ACPI: powers off */
	{0xcf6, 0xcf9}, /* resets */
};

static bool is_left_out(uint32_t port)
{
	for (unsigned int i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
		if (port >= left_out[i].first && port <= left_out[i].last)
			return true;
	return false;
}

void test_main(void)
{
	uint64_t seed = option("seed", 1), sum = 0;
	static uint32_t words[4];

	system_init();
	for (uint32_t port = 0; port < 0x10000; port++) {
		uint16_t at = (uint16_t)port;

		sum += in8(at);
		if (port >= DEVICES && port % 16)
			continue;
		sum += in16(at);
		sum += in32(at);
		if (is_left_out(port))
			continue;
		out32(at, 0);
		out16(at, 0xffff);
		out32(at, (uint32_t)chance(&seed));
		out8(at, (uint8_t)chance(&seed));
		if (port % 64)
			continue;
		void *to = words;
		uint64_t count = 4;

		asm volatile("rep insl" : "+D"(to), "+c"(count) : "d"(at) : "memory");
		to = words, count = 4;
		asm volatile("rep outsl" : "+S"(to), "+c"(count) : "d"(at) : "memory");
	}
	print_format("65536 ports, %llx\n", (unsigned long long)sum);
}
