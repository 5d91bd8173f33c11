/* SPDX-License-Identifier: BSD-2-Clause */
/* The instruction crc32 (SSE4.2, but on general registers) makes 8 bytes in three cycles. */
#include "lib/checksum.h"

#include "lib/bytes.h"

#define POLYNOMIAL 0x82f63b78u /* 0x1edc6f41, its bits reversed */
#define SSE4_2	   (1u << 20)

static int has_instruction(void)
{
	uint32_t a = 1, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return (c & SSE4_2) != 0;
}

/* Four bits at a time: the table fits in a cache line. */
uint32_t checksum_crc32c_table(uint32_t crc, const void *bytes, size_t length)
{
	const uint8_t *from = bytes;
	uint32_t table[16];

	for (uint32_t i = 0; i < 16; i++) {
		uint32_t value = i;

		for (unsigned bit = 0; bit < 4; bit++)
			value = value >> 1 ^ (value & 1 ? POLYNOMIAL : 0);
		table[i] = value;
	}
	crc = ~crc;
	for (; length > 0; length--, from++) {
		crc ^= *from;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

static uint32_t by_instruction(uint32_t crc, const uint8_t *from, size_t length)
{
	uint64_t value = (uint32_t)~crc;
	uint32_t narrow;

	for (; length >= 8; length -= 8, from += 8) {
		uint64_t word = bytes_load64(from);

		__asm__("crc32q %1, %0" : "+r"(value) : "r"(word));
	}
	narrow = (uint32_t)value;
	for (; length > 0; length--, from++)
		__asm__("crc32b %1, %0" : "+r"(narrow) : "r"(*from));
	return ~narrow;
}

uint32_t checksum_crc32c(uint32_t crc, const void *bytes, size_t length)
{
	/* Asked once by each thread that comes first: they find the same. */
	static int known;

	if (!__atomic_load_n(&known, __ATOMIC_RELAXED))
		__atomic_store_n(&known, has_instruction() ? 2 : 1, __ATOMIC_RELAXED);
	return known == 2 ? by_instruction(crc, bytes, length)
			  : checksum_crc32c_table(crc, bytes, length);
}
