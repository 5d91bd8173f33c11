/* SPDX-License-Identifier: BSD-2-Clause */
/* What a boot loader leaves may be anything; what the kernel makes of it must hold together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/boot/multiboot.h"

#define IMAGE	   UINT64_C(0x200000)
#define IMAGE_SIZE UINT64_C(0x80000)
#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct boot_information information;

static bool is_ram(uint64_t base, uint64_t end)
{
	for (unsigned i = 0; i < information.ram_count; i++)
		if (base >= information.ram[i].base &&
		    end <= information.ram[i].base + information.ram[i].size)
			return true;
	return false;
}

static uint64_t end_of(const struct boot_module *module)
{
	return (module->base.value + module->size + 0xfff) & ~UINT64_C(0xfff);
}

static void check_modules(void)
{
	FUZZ_CHECK(information.module_count <= METAL_MODULES_MAX);
	for (unsigned i = 0; i < information.module_count; i++) {
		const struct boot_module *m = &information.module[i];

		FUZZ_CHECK(m->size && !(m->base.value & 0xfff));
		FUZZ_CHECK(is_ram(m->base.value, end_of(m)));
		FUZZ_CHECK(end_of(m) <= IMAGE || m->base.value >= IMAGE + IMAGE_SIZE);
		FUZZ_CHECK(memchr(m->name, 0, sizeof(m->name)));
		FUZZ_CHECK(memchr(m->arguments, 0, sizeof(m->arguments)));
		for (unsigned j = 0; j < i; j++)
			FUZZ_CHECK(end_of(m) <= information.module[j].base.value ||
				   end_of(&information.module[j]) <= m->base.value);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	uint8_t *copy;
	const char *complaint;

	if (size < 8 || size > 0x10000)
		return 0;
	/* Exactly as long as it is, so that a read behind its end is seen; aligned as the real one.
	 */
	copy = malloc(size);
	FUZZ_CHECK(copy);
	memcpy(copy, bytes, size);
	complaint = multiboot_parse(&information, copy, (uint32_t)size, IMAGE, IMAGE_SIZE);
	free(copy);
	if (complaint) {
		FUZZ_CHECK(complaint[0] && !strchr(complaint, '\n'));
		return 0;
	}
	FUZZ_CHECK(information.ram_count && information.ram_count <= BOOT_RAM_MAX);
	for (unsigned i = 0; i < information.ram_count; i++) {
		const struct frame_range *ram = &information.ram[i];

		FUZZ_CHECK(ram->size && !((ram->base | ram->size) & 0xfff));
		FUZZ_CHECK(!i || ram->base >= ram[-1].base + ram[-1].size);
	}
	FUZZ_CHECK(is_ram(IMAGE, IMAGE + IMAGE_SIZE));
	FUZZ_CHECK(memchr(information.command_line, 0, sizeof(information.command_line)));
	FUZZ_CHECK(information.rsdp_size <= sizeof(information.rsdp));
	check_modules();
	return 0;
}
