/* SPDX-License-Identifier: BSD-2-Clause */
/* What the boot loader left: memory, modules, the command line, ACPI's root. boot/ fills it in. */
#ifndef KERNEL_BOOT_H
#define KERNEL_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/abi.h"
#include "kernel/address.h"
#include "kernel/frame_pool.h"

struct boot_module {
	pa_t base;
	uint64_t size;
	char name[64];	     /* the first word of its command line */
	char arguments[192]; /* the rest */
};

#define BOOT_RAM_MAX 64

struct boot_information {
	char command_line[256];
	unsigned ram_count;
	struct frame_range ram[BOOT_RAM_MAX]; /* usable, ascending, page aligned, disjoint; modules
					      and image are still in it */
	unsigned module_count;
	struct boot_module module[METAL_MODULES_MAX];
	unsigned modules_refused; /* empty, not in memory, not on a page, over something else, too
				     many */
	uint8_t rsdp[36];	  /* a copy of ACPI's root pointer */
	uint32_t rsdp_size;	  /* 0: not found */
};
extern struct boot_information boot_information;

/* Reads what the boot loader left at `information`; the kernel itself is at `image`. */
void boot_init(uint64_t information, pa_t image, uint64_t image_size);

/* Whether the command line has this word. */
bool boot_option(const char *word);

/* The two programs, linked into the kernel's image as page-aligned ELF files, and what
 * tools/list-segments found out about them (programs.S). */
struct program {
	const uint8_t *bytes;
	uint64_t entry;
	struct program_segment {
		uint64_t address, offset; /* page aligned */
		uint64_t file_size, memory_size;
		uint64_t rights; /* PAGE_MAP_* */
	} segment[];		 /* the last one has no memory */
};
extern const struct program program_manager, program_machine;

#endif
