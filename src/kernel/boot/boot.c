/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/boot.h"

#include <stddef.h>

#include "kernel/boot/boot_layout.h"
#include "kernel/boot/multiboot.h"
#include "kernel/log.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/checked.h"
#include "lib/string.h"

struct boot_information boot_information;

void boot_init(uint64_t information, pa_t image, uint64_t image_size)
{
	const uint8_t *bytes = direct(pa(information));
	uint32_t size = bytes_load32(bytes);
	const char *complaint;

	if (size > MULTIBOOT_SIZE_MAX || !range_within(information, size, BOOT_DIRECT_END))
		panic(NULL, "the boot loader's information has %u bytes", size);
	complaint = multiboot_parse(&boot_information, bytes, size, image.value, image_size);
	if (complaint)
		panic(NULL, "%s", complaint);
	/* Processes will see modules up to the end of their last pages. */
	for (unsigned i = 0; i < boot_information.module_count; i++) {
		const struct boot_module *module = &boot_information.module[i];
		uint8_t *end = (uint8_t *)direct(module->base) + module->size;

		bytes_fill(end, 0, align_up(module->size, PAGE_SIZE) - module->size);
	}
}

bool boot_option(const char *word)
{
	const char *at = boot_information.command_line;
	size_t length = string_length(word);

	for (;; at++) {
		if (string_starts(at, word) && (at[length] == ' ' || !at[length]))
			return true;
		while (*at && *at != ' ')
			at++;
		if (!*at)
			return false;
	}
}
