/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boot protocols: puts a kernel into a vm's memory and its first vcpu at the kernel's entry, as a
 * boot loader would. There is no firmware. Which protocol: a Linux bzImage, else a multiboot 1
 * kernel, else an ELF file with a PVH note.
 *
 * Every byte of the files is hostile. Nothing here allocates; the machine calls boot_load at
 * power-on and at every reset.
 */
#ifndef MACHINES_BOOT_H
#define MACHINES_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machines/boot_place.h"

struct vm;

/* A file's bytes. Need not stay after boot_load. */
struct image {
	const uint8_t *bytes;
	size_t size;
};

struct boot_file {
	struct image image;
	const char
		*name; /* as the user wrote it; also what a multiboot module's command line says */
};

#define BOOT_MODULES_MAX      32
#define BOOT_COMMAND_LINE_MAX 65536 /* bytes, with the NUL; a protocol may allow less */
#define BOOT_LOADER_NAME      "lodge"

struct boot_config {
	struct boot_file kernel;
	struct boot_file modules[BOOT_MODULES_MAX]; /* Linux and PVH: the first is the initrd */
	unsigned module_count;
	const char *command_line; /* never NULL */
	uint64_t rsdp;		  /* guest-physical address of ACPI's root pointer, or 0 */
	struct boot_map map;	  /* what is where, for the kernel and for placing things */
};

struct boot_result {
	int error; /* 0, or a negative errno: -ENOEXEC (the file), -ENOMEM (the memory), -E2BIG
		      (command line), -EINVAL */
	char reason[256];	/* for a person, without a newline; names the file */
	uint64_t memory_needed; /* bytes, with -ENOMEM: a vm of this size would do; 0 if none would
				 */
	const char *protocol;	/* "linux", "multiboot" or "pvh" once it is known */
};

/* After vm_reset; no vcpu runs. Returns result->error. */
int boot_load(struct vm *vm, const struct boot_config *config, struct boot_result *result);

/* The rest is for the protocols' own files. Each of them is told what boot_load is told. */

bool boot_is_linux(const struct image *image);
bool boot_is_multiboot(const struct image *image);
bool boot_is_elf(const struct image *image);

int boot_linux(struct vm *vm, const struct boot_config *config, struct boot_result *result);
int boot_multiboot(struct vm *vm, const struct boot_config *config, struct boot_result *result);
int boot_elf(struct vm *vm, const struct boot_config *config, struct boot_result *result);

/* Notes the error with its reason (lib/format.h) and returns it. */
int boot_fail(struct boot_result *result, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Says that the vm's memory ends too early: things of `bytes` in all would have to end below or at
 * `end`. */
int boot_fail_memory(struct boot_result *result, const struct boot_config *config, uint64_t end);

/*
 * Puts the modules into memory between min and max (exclusive), page aligned, as high as they go,
 * and their addresses into addresses[]. 0, or a negative errno with its reason.
 */
int boot_modules(struct vm *vm, const struct boot_config *config, struct boot_placer *placer,
		 uint64_t min, uint64_t max, uint64_t *addresses, struct boot_result *result);

/* The first vcpu in flat 32-bit protected mode without paging, interrupts off (PVH and
 * multiboot 3.2). eax and ebx as given. */
void boot_state_protected(struct vm *vm, uint32_t entry, uint32_t eax, uint32_t ebx);

/* The registers of the first vcpu in flat 64-bit mode; cr3 and a GDT of BOOT_GDT_SIZE bytes at gdt
 * are in guest memory already. */
void boot_state_long(struct vm *vm, uint64_t entry, uint64_t cr3, uint64_t gdt, uint64_t rsi);

/* Null, null, 64-bit code (0x10), data (0x18), TSS (0x20): selectors as Linux's boot protocol wants
 * them. */
#define BOOT_GDT_SIZE 48
extern const uint64_t boot_gdt_long[BOOT_GDT_SIZE / 8];

#endif
