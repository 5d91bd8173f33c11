/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot_fuzz.h"

#define NOTE_AT 0x200
#define CODE_AT 0x400
#define SIZE	0x1000

/* ELF64 with two segments at 1 MiB and 2 MiB, and a PVH note. */
static void make(uint8_t *file)
{
	memcpy(file, "\177ELF\2\1\1", 7);
	fuzz_put(file + 16, 2, 2);
	fuzz_put(file + 18, 62, 2);
	fuzz_put(file + 24, 0x100000, 8);
	fuzz_put(file + 32, 64, 8);
	fuzz_put(file + 54, 56, 2);
	fuzz_put(file + 56, 3, 2);
	for (unsigned i = 0; i < 3; i++) {
		uint8_t *header = file + 64 + i * 56;

		fuzz_put(header, i < 2 ? 1 : 4, 4);
		fuzz_put(header + 8, i < 2 ? CODE_AT : NOTE_AT, 8);
		fuzz_put(header + 16, (i + 1) << 20, 8);
		fuzz_put(header + 24, (i + 1) << 20, 8);
		fuzz_put(header + 32, i < 2 ? 0x400 : 20, 8);
		fuzz_put(header + 40, i < 2 ? 0x1000 : 0, 8);
		fuzz_put(header + 48, 4, 8);
	}
	fuzz_put(file + NOTE_AT, 4, 4);
	fuzz_put(file + NOTE_AT + 4, 4, 4);
	fuzz_put(file + NOTE_AT + 8, 18, 4);
	memcpy(file + NOTE_AT + 12, "Xen", 4);
	fuzz_put(file + NOTE_AT + 16, 0x100000, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static uint8_t file[SIZE];

	if (!file[0])
		make(file);
	fuzz_boot(file, SIZE, NOTE_AT + 32, bytes, size, boot_elf, boot_is_elf);
	return 0;
}
