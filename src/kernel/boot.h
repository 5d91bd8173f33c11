/* SPDX-License-Identifier: BSD-2-Clause */
/* What the boot loader left: memory, modules, the command line, ACPI's root. boot/ fills it in. */
#ifndef KERNEL_BOOT_H
#define KERNEL_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/abi.h"
#include "kernel/address.h"

struct boot_module {
	pa_t base;
	uint64_t size;
	char name[64];	     /* the first word of its command line */
	char arguments[192]; /* the rest */
};

struct boot_ram {
	uint64_t base, size;
};

#define BOOT_RAM_MAX 64

struct boot_information {
	char command_line[256];
	unsigned ram_count;
	struct boot_ram ram[BOOT_RAM_MAX]; /* usable, ascending, page aligned, disjoint; modules and
					      image are still in it */
	unsigned module_count;
	struct boot_module module[METAL_MODULES_MAX];
	uint64_t rsdp; /* ACPI's root pointer, physical; 0: not found */
};
extern struct boot_information boot_information;

/* Whether the command line has this word ("name" or "name=value"): its value, or NULL. */
const char *boot_option(const char *name);

/* The two programs, linked into the kernel's image as page-aligned ELF files (programs.S). */
struct program {
	const uint8_t *bytes;
	uint64_t size;
};
extern const struct program program_manager, program_machine;

#endif
