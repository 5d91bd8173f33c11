/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot_fuzz.h"

#define SETUP_SIZE (5 * 512)
#define CODE_SIZE  0x1000

/* A bzImage of protocol 2.15 that prefers 4 MiB and can be elsewhere. */
static void make(uint8_t *file)
{
	file[0x1f1] = 4;
	fuzz_put(file + 0x1f4, CODE_SIZE / 16, 4);
	fuzz_put(file + 0x1fe, 0xaa55, 2);
	file[0x201] = 0x6a;
	memcpy(file + 0x202, "HdrS", 4);
	fuzz_put(file + 0x206, 0x20f, 2);
	file[0x211] = 1;
	fuzz_put(file + 0x22c, 0x7fffffff, 4);
	fuzz_put(file + 0x230, 0x200000, 4);
	file[0x234] = 1;
	fuzz_put(file + 0x236, 3, 2);
	fuzz_put(file + 0x238, 2047, 4);
	fuzz_put(file + 0x258, 0x400000, 8);
	fuzz_put(file + 0x260, 0x200000, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static uint8_t file[SETUP_SIZE + CODE_SIZE];

	if (!file[0x1f1])
		make(file);
	fuzz_boot(file, sizeof(file), 0x268, bytes, size, boot_linux, boot_is_linux);
	return 0;
}
