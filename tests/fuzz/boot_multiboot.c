/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot_fuzz.h"

#define HEADER_AT 0x200
#define SIZE	  0x1000

/* ELF32 with one segment at 1 MiB; the multiboot header has addresses for 2 MiB, which count if
 * flag 16 is set. */
static void make(uint8_t *file)
{
	memcpy(file, "\177ELF\1\1\1", 7);
	fuzz_put(file + 16, 2, 2);
	fuzz_put(file + 18, 3, 2);
	fuzz_put(file + 24, 0x100000, 4);
	fuzz_put(file + 28, 52, 4);
	fuzz_put(file + 42, 32, 2);
	fuzz_put(file + 44, 1, 2);
	fuzz_put(file + 52, 1, 4);
	fuzz_put(file + 56, 0x400, 4);
	fuzz_put(file + 60, 0x100000, 4);
	fuzz_put(file + 64, 0x100000, 4);
	fuzz_put(file + 68, 0x400, 4);
	fuzz_put(file + 72, 0x1000, 4);
	fuzz_put(file + HEADER_AT + 12, 0x200000 + HEADER_AT, 4);
	fuzz_put(file + HEADER_AT + 16, 0x200000, 4);
	fuzz_put(file + HEADER_AT + 20, 0x200400, 4);
	fuzz_put(file + HEADER_AT + 24, 0x201000, 4);
	fuzz_put(file + HEADER_AT + 28, 0x200020, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static uint8_t file[SIZE];
	uint32_t flags;

	if (!size)
		return 0;
	if (!file[0])
		make(file);
	/* The checksum is right, whatever the flags: what is patched later breaks it again. */
	flags = (bytes[0] & 1 ? 0x10000 : 0) | (bytes[0] >> 1 & 7) | (bytes[0] >> 4 & 1 ? 0x40 : 0);
	fuzz_put(file + HEADER_AT, 0x1badb002, 4);
	fuzz_put(file + HEADER_AT + 4, flags, 4);
	fuzz_put(file + HEADER_AT + 8, -(0x1badb002 + flags), 4);
	fuzz_boot(file, SIZE, HEADER_AT + 32, bytes + 1, size - 1, boot_multiboot,
		  boot_is_multiboot);
	return 0;
}
