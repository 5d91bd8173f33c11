/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Multiboot 0.6.96 (GNU, "Multiboot Specification"): ELF kernels, and others that name their
 * addresses in the header. A kernel's wish for a video mode is not heeded.
 */
#include "machines/boot.h"

#include "core/vm.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/format.h"
#include "lib/string.h"
#include "machines/elf.h"

#define HEADER_MAGIC   0x1badb002u
#define HEADER_SEARCH  8192u
#define LOADER_MAGIC   0x2badb002u
#define PAGE	       4096u
#define LOW_MEMORY_MIN 0x1000
#define LOW_MEMORY_MAX 0x90000

/* The header's flags (3.1.2): below bit 16 those that a loader must know. */
#define WANTS_PAGE_ALIGNMENT 0x00000001u
#define WANTS_MEMORY	     0x00000002u
#define WANTS_VIDEO	     0x00000004u
#define HAS_ADDRESSES	     0x00010000u
#define REQUIRED	     0x0000ffffu

/* The information structure (3.3). */
#define INFO_SIZE	  120
#define INFO_MEMORY	  0x001u
#define INFO_COMMAND_LINE 0x004u
#define INFO_MODULES	  0x008u
#define INFO_MAP	  0x040u
#define INFO_LOADER_NAME  0x200u
#define MODULE_SIZE	  16
#define MAP_ENTRY_SIZE	  24

struct multiboot {
	struct vm *vm;
	const struct boot_config *config;
	struct boot_placer placer;
	uint64_t header, flags; /* the header's offset in the file */
	uint64_t end;		/* of what was loaded */
	uint64_t entry;
	uint64_t modules[BOOT_MODULES_MAX];
};

/* The offset of the header, or -1. */
static int64_t find_header(const struct image *image)
{
	const uint64_t limit = image->size < HEADER_SEARCH ? image->size : HEADER_SEARCH;

	for (uint64_t at = 0; at + 12 <= limit; at += 4) {
		const uint8_t *header = image->bytes + at;

		if (bytes_load32(header) == HEADER_MAGIC &&
		    bytes_load32(header) + bytes_load32(header + 4) + bytes_load32(header + 8) == 0)
			return (int64_t)at;
	}
	return -1;
}

bool boot_is_multiboot(const struct image *image)
{
	return find_header(image) >= 0;
}

/* Loads what the header's five address fields name (3.1.3). */
static int load_addresses(struct multiboot *boot, struct boot_result *result)
{
	const struct boot_file *file = &boot->config->kernel;
	const uint8_t *header = file->image.bytes + boot->header;
	uint64_t header_address, load, load_end, bss_end, offset, size;
	void *memory;

	if (boot->header + 32 > file->image.size)
		return boot_fail(result, -ENOEXEC,
				 "%s is truncated: it ends within its multiboot header",
				 file->name);
	header_address = bytes_load32(header + 12);
	load = bytes_load32(header + 16);
	load_end = bytes_load32(header + 20);
	bss_end = bytes_load32(header + 24);
	boot->entry = bytes_load32(header + 28);
	if (load > header_address || header_address - load > boot->header)
		return boot_fail(result, -ENOEXEC,
				 "%s is damaged: its multiboot header's addresses make no sense",
				 file->name);
	offset = boot->header - (header_address - load);
	if (!load_end)
		load_end = load + (file->image.size - offset);
	if (!bss_end)
		bss_end = load_end;
	if (load_end < load || bss_end < load_end)
		return boot_fail(result, -ENOEXEC,
				 "%s is damaged: its multiboot header's addresses make no sense",
				 file->name);
	size = load_end - load;
	if (size > file->image.size - offset)
		return boot_fail(result, -ENOEXEC, "%s is truncated: %llu of %llu bytes are there",
				 file->name, (unsigned long long)file->image.size,
				 (unsigned long long)(offset + size));
	if (bss_end == load)
		return boot_fail(result, -ENOEXEC, "%s has nothing to load", file->name);
	if (!boot_place_at(&boot->placer, load, bss_end - load)) {
		if (load >= 1u << 20 && bss_end <= boot->config->map.hole_base)
			return boot_fail_memory(result, boot->config, bss_end);
		return boot_fail(result, -ENOEXEC,
				 "%s wants to be at 0x%llx..0x%llx, which is not memory",
				 file->name, (unsigned long long)load, (unsigned long long)bss_end);
	}
	memory = vm_slice(boot->vm, gpa(load), bss_end - load);
	if (!memory)
		return boot_fail(result, -ENOEXEC, "%s can't be put into memory", file->name);
	bytes_copy(memory, file->image.bytes + offset, size);
	bytes_fill((uint8_t *)memory + size, 0, bss_end - load_end);
	vm_written(boot->vm, gpa(load), bss_end - load);
	boot->end = bss_end;
	return 0;
}

static int load_elf(struct multiboot *boot, struct boot_result *result)
{
	struct elf elf;
	int error;

	if (!boot_is_elf(&boot->config->kernel.image))
		return boot_fail(
			result, -ENOEXEC,
			"%s has a multiboot header without addresses, and isn't an ELF file",
			boot->config->kernel.name);
	error = elf_open(&elf, &boot->config->kernel, result);
	if (!error)
		error = elf_load(boot->vm, &elf, boot->config, &boot->placer, &boot->end, result);
	boot->entry = elf.entry;
	if (!error && boot->entry > UINT32_MAX)
		error = boot_fail(result, -ENOEXEC, "%s starts above 4 GiB, where multiboot can't",
				  boot->config->kernel.name);
	return error;
}

static int load(struct multiboot *boot, struct boot_result *result)
{
	const struct boot_file *file = &boot->config->kernel;
	uint64_t unknown;

	boot->header = (uint64_t)find_header(&file->image);
	boot->flags = bytes_load32(file->image.bytes + boot->header + 4);
	unknown = boot->flags & REQUIRED & ~(WANTS_PAGE_ALIGNMENT | WANTS_MEMORY | WANTS_VIDEO);
	if (unknown)
		return boot_fail(
			result, -ENOEXEC,
			"%s requires multiboot features that don't exist here (flags 0x%llx)",
			file->name, (unsigned long long)unknown);
	return boot->flags & HAS_ADDRESSES ? load_addresses(boot, result) : load_elf(boot, result);
}

/* Takes memory below 4 GiB and fills it. BOOT_NOWHERE if there is none. */
static uint64_t put(struct multiboot *boot, const void *bytes, uint64_t size)
{
	uint64_t at = boot_place_low(&boot->placer, size, 16, LOW_MEMORY_MIN, LOW_MEMORY_MAX);

	if (at == BOOT_NOWHERE)
		at = boot_place_low(&boot->placer, size, 16, 1u << 20, boot->config->map.hole_base);
	if (at != BOOT_NOWHERE && vm_write(boot->vm, gpa(at), bytes, size))
		return BOOT_NOWHERE;
	return at;
}

/* A kernel's command line begins with its own name, as GRUB's does. */
static uint64_t put_command_line(struct multiboot *boot)
{
	const struct boot_config *config = boot->config;
	uint64_t name = string_length(config->kernel.name),
		 text = string_length(config->command_line);
	uint64_t size = name + (text ? 1 + text : 0) + 1;
	uint64_t at = boot_place_low(&boot->placer, size, 16, LOW_MEMORY_MIN, LOW_MEMORY_MAX);

	if (at == BOOT_NOWHERE)
		at = boot_place_low(&boot->placer, size, 16, 1u << 20, config->map.hole_base);
	if (at == BOOT_NOWHERE || vm_write(boot->vm, gpa(at), config->kernel.name, name + 1) ||
	    (text && (vm_write(boot->vm, gpa(at + name), " ", 1) ||
		      vm_write(boot->vm, gpa(at + name + 1), config->command_line, text + 1))))
		return BOOT_NOWHERE;
	return at;
}

static uint64_t put_modules(struct multiboot *boot)
{
	const struct boot_config *config = boot->config;
	uint8_t list[BOOT_MODULES_MAX * MODULE_SIZE] = {0};

	for (unsigned i = 0; i < config->module_count; i++) {
		uint8_t *entry = list + i * MODULE_SIZE;
		uint64_t name = put(boot, config->modules[i].name,
				    string_length(config->modules[i].name) + 1);

		if (name == BOOT_NOWHERE)
			return name;
		bytes_store32(entry, (uint32_t)boot->modules[i]);
		bytes_store32(entry + 4,
			      (uint32_t)(boot->modules[i] + config->modules[i].image.size));
		bytes_store32(entry + 8, (uint32_t)name);
	}
	return config->module_count ? put(boot, list, config->module_count * MODULE_SIZE) : 0;
}

static uint64_t put_map(struct multiboot *boot)
{
	const struct boot_map *map = &boot->config->map;
	uint8_t table[BOOT_RANGES_MAX * MAP_ENTRY_SIZE] = {0};

	for (unsigned i = 0; i < map->count; i++) {
		uint8_t *entry = table + i * MAP_ENTRY_SIZE;

		bytes_store32(entry, MAP_ENTRY_SIZE - 4); /* the size field doesn't count itself */
		bytes_store64(entry + 4, map->range[i].base);
		bytes_store64(entry + 12, map->range[i].size);
		bytes_store32(entry + 20, map->range[i].type);
	}
	return put(boot, table, map->count * MAP_ENTRY_SIZE);
}

/* Kilobytes of memory from 1 MiB up to the first hole. */
static uint32_t upper_memory(const struct boot_map *map)
{
	for (unsigned i = 0; i < map->count; i++)
		if (map->range[i].type == BOOT_RAM && map->range[i].base == 1u << 20)
			return (uint32_t)(map->range[i].size >> 10);
	return 0;
}

static int write_info(struct multiboot *boot, uint64_t *at, struct boot_result *result)
{
	const struct boot_config *config = boot->config;
	uint64_t command_line = put_command_line(boot);
	uint64_t modules = put_modules(boot);
	uint64_t map = put_map(boot);
	uint64_t loader = put(boot, BOOT_LOADER_NAME, sizeof(BOOT_LOADER_NAME));
	uint8_t info[INFO_SIZE] = {0};

	bytes_store32(info, INFO_MEMORY | INFO_COMMAND_LINE | INFO_MAP | INFO_LOADER_NAME |
				    (config->module_count ? INFO_MODULES : 0));
	bytes_store32(info + 4, (uint32_t)(boot_map_ram_end(&config->map, 0xa0000) >> 10));
	bytes_store32(info + 8, upper_memory(&config->map));
	bytes_store32(info + 16, (uint32_t)command_line);
	bytes_store32(info + 20, config->module_count);
	bytes_store32(info + 24, (uint32_t)modules);
	bytes_store32(info + 44, config->map.count * MAP_ENTRY_SIZE);
	bytes_store32(info + 48, (uint32_t)map);
	bytes_store32(info + 64, (uint32_t)loader);
	*at = put(boot, info, INFO_SIZE);
	if (command_line == BOOT_NOWHERE || modules == BOOT_NOWHERE || map == BOOT_NOWHERE ||
	    loader == BOOT_NOWHERE || *at == BOOT_NOWHERE)
		return boot_fail(result, -ENOMEM,
				 "%s leaves no memory for its multiboot information",
				 config->kernel.name);
	return 0;
}

int boot_multiboot(struct vm *vm, const struct boot_config *config, struct boot_result *result)
{
	struct multiboot boot = {.vm = vm, .config = config};
	uint64_t info;
	int error;

	boot_placer_init(&boot.placer, &config->map);
	error = load(&boot, result);
	if (!error)
		error = boot_modules(vm, config, &boot.placer, align_up(boot.end, PAGE),
				     config->map.hole_base, boot.modules, result);
	if (!error)
		error = write_info(&boot, &info, result);
	if (error)
		return error;
	boot_state_protected(vm, (uint32_t)boot.entry, LOADER_MAGIC, (uint32_t)info);
	return 0;
}
