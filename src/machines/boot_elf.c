/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ELF kernels with a PVH note (an uncompressed vmlinux, Xen, some unikernels): Xen's
 * docs/misc/pvh.pandoc for the state, and xen/include/public/arch-x86/hvm/start_info.h for the
 * structures.
 */
#include "machines/boot.h"

#include "core/vm.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/string.h"
#include "machines/elf.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define START_MAGIC		 0x336ec578u
#define START_SIZE		 56
#define MODULE_SIZE		 32
#define MEMMAP_SIZE		 24
#define PAGE			 4096u
#define LOW_MEMORY_MIN		 0x1000
#define LOW_MEMORY_MAX		 0x90000

/* A note's parts are padded to the segment's alignment: 4, or 8 where it says so. */
static uint64_t padded(uint64_t size, const struct elf_segment *segment)
{
	return align_up(size, segment->align == 8 ? 8 : 4);
}

/* The entry that a note in this segment names; false if there is none. */
static bool find_entry(const struct elf *elf, const struct elf_segment *segment, uint64_t *entry)
{
	const uint8_t *bytes = elf->file->image.bytes + segment->offset;
	uint64_t left = segment->file_size;

	while (left >= 12) {
		uint64_t name_size = bytes_load32(bytes), size = bytes_load32(bytes + 4);
		uint64_t whole = 12 + padded(name_size, segment) + padded(size, segment);
		const uint8_t *description = bytes + 12 + padded(name_size, segment);

		/* The last one's padding needn't be there. */
		if (12 + padded(name_size, segment) + size > left)
			return false;
		if (bytes_load32(bytes + 8) == XEN_ELFNOTE_PHYS32_ENTRY && name_size == 4 &&
		    bytes_equal(bytes + 12, "Xen", 4) && (size == 4 || size == 8)) {
			*entry = bytes_load(description, (unsigned)size);
			return true;
		}
		if (whole >= left)
			return false;
		bytes += whole;
		left -= whole;
	}
	return false;
}

static int pvh_entry(const struct elf *elf, uint32_t *entry, struct boot_result *result)
{
	for (unsigned i = 0; i < elf->count; i++) {
		uint64_t value;

		if (elf->segment[i].type != ELF_PT_NOTE ||
		    !find_entry(elf, &elf->segment[i], &value))
			continue;
		if (value > UINT32_MAX)
			break;
		*entry = (uint32_t)value;
		return 0;
	}
	return boot_fail(result, -ENOEXEC,
			 "%s is an ELF file without a PVH note (CONFIG_PVH) or a multiboot header: "
			 "there is no way to start it",
			 elf->file->name);
}

/* Takes low memory and fills it. BOOT_NOWHERE if there is none. */
static uint64_t put(struct vm *vm, struct boot_placer *placer, const void *bytes, uint64_t size)
{
	uint64_t at = boot_place_low(placer, size, 16, LOW_MEMORY_MIN, LOW_MEMORY_MAX);

	if (at == BOOT_NOWHERE)
		at = boot_place_low(placer, size, 16, 1u << 20, placer->map->hole_base);
	if (at != BOOT_NOWHERE && vm_write(vm, gpa(at), bytes, size))
		return BOOT_NOWHERE;
	return at;
}

static uint64_t put_modules(struct vm *vm, const struct boot_config *config,
			    struct boot_placer *placer, const uint64_t *addresses)
{
	uint8_t list[BOOT_MODULES_MAX * MODULE_SIZE] = {0};

	for (unsigned i = 0; i < config->module_count; i++) {
		bytes_store64(list + i * MODULE_SIZE, addresses[i]);
		bytes_store64(list + i * MODULE_SIZE + 8, config->modules[i].image.size);
	}
	return config->module_count ? put(vm, placer, list, config->module_count * MODULE_SIZE) : 0;
}

static uint64_t put_map(struct vm *vm, const struct boot_map *map, struct boot_placer *placer)
{
	uint8_t table[BOOT_RANGES_MAX * MEMMAP_SIZE] = {0};

	for (unsigned i = 0; i < map->count; i++) {
		bytes_store64(table + i * MEMMAP_SIZE, map->range[i].base);
		bytes_store64(table + i * MEMMAP_SIZE + 8, map->range[i].size);
		bytes_store32(table + i * MEMMAP_SIZE + 16, map->range[i].type);
	}
	return put(vm, placer, table, map->count * MEMMAP_SIZE);
}

static int write_start_info(struct vm *vm, const struct boot_config *config,
			    struct boot_placer *placer, const uint64_t *addresses, uint64_t *start,
			    struct boot_result *result)
{
	uint64_t modules = put_modules(vm, config, placer, addresses);
	uint64_t command_line =
		put(vm, placer, config->command_line, string_length(config->command_line) + 1);
	uint64_t map = put_map(vm, &config->map, placer);
	uint8_t info[START_SIZE] = {0};

	if (modules == BOOT_NOWHERE || command_line == BOOT_NOWHERE || map == BOOT_NOWHERE)
		return boot_fail(result, -ENOMEM, "%s leaves no memory for its start information",
				 config->kernel.name);
	bytes_store32(info, START_MAGIC);
	bytes_store32(info + 4, 1); /* version */
	bytes_store32(info + 12, config->module_count);
	bytes_store64(info + 16, modules);
	bytes_store64(info + 24, command_line);
	bytes_store64(info + 32, config->rsdp);
	bytes_store64(info + 40, map);
	bytes_store32(info + 48, config->map.count);
	*start = put(vm, placer, info, START_SIZE);
	if (*start == BOOT_NOWHERE)
		return boot_fail(result, -ENOMEM, "%s leaves no memory for its start information",
				 config->kernel.name);
	return 0;
}

int boot_elf(struct vm *vm, const struct boot_config *config, struct boot_result *result)
{
	uint64_t end, start, addresses[BOOT_MODULES_MAX];
	struct boot_placer placer;
	struct elf elf;
	uint32_t entry = 0;
	int error = elf_open(&elf, &config->kernel, result);

	boot_placer_init(&placer, &config->map);
	if (!error)
		error = pvh_entry(&elf, &entry, result);
	if (!error)
		error = elf_load(vm, &elf, config, &placer, &end, result);
	/* Above the kernel: many use what follows their last segment before they look at the map.
	 */
	if (!error)
		error = boot_modules(vm, config, &placer, align_up(end, PAGE),
				     config->map.hole_base, addresses, result);
	if (!error)
		error = write_start_info(vm, config, &placer, addresses, &start, result);
	if (error)
		return error;
	boot_state_protected(vm, entry, 0, (uint32_t)start);
	return 0;
}
