/* SPDX-License-Identifier: BSD-2-Clause */
#include "machines/elf.h"

#include "core/vm.h"
#include "lib/bytes.h"
#include "lib/error.h"

#define EM_386	  3
#define EM_X86_64 62
#define ET_EXEC	  2
#define ET_DYN	  3

/* Offsets of the headers' fields in the two classes. */
struct layout {
	uint8_t entry, phoff, phentsize, phnum, header_size; /* file header */
	uint8_t p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align, p_size;
};
static const struct layout layout32 = {24, 28, 42, 44, 52, 4, 8, 12, 16, 20, 28, 32};
static const struct layout layout64 = {24, 32, 54, 56, 64, 8, 16, 24, 32, 40, 48, 56};

static uint64_t word(const struct elf *elf, const uint8_t *bytes)
{
	return elf->bits == 64 ? bytes_load64(bytes) : bytes_load32(bytes);
}

bool boot_is_elf(const struct image *image)
{
	return image->size >= 4 && bytes_equal(image->bytes, "\177ELF", 4);
}

static int check_segment(const struct elf *elf, const struct elf_segment *segment,
			 struct boot_result *result)
{
	const struct image *image = &elf->file->image;

	if (segment->offset > image->size || segment->file_size > image->size - segment->offset)
		return boot_fail(result, -ENOEXEC,
				 "%s is truncated: a segment ends behind the end of the file",
				 elf->file->name);
	if (segment->type == ELF_PT_LOAD && (segment->file_size > segment->memory_size ||
					     segment->address > UINT64_MAX - segment->memory_size))
		return boot_fail(result, -ENOEXEC,
				 "%s is damaged: a segment's sizes or address make no sense",
				 elf->file->name);
	return 0;
}

static int read_segments(struct elf *elf, const struct layout *layout, uint64_t table,
			 unsigned entries, struct boot_result *result)
{
	const uint8_t *bytes = elf->file->image.bytes;
	uint64_t virtual_entry = elf->entry;
	bool found = false;

	for (unsigned i = 0; i < entries; i++) {
		const uint8_t *header = bytes + table + (uint64_t)i * layout->p_size;
		struct elf_segment *segment = &elf->segment[elf->count];
		uint64_t address;
		int error;

		*segment = (struct elf_segment){
			.type = bytes_load32(header),
			.offset = word(elf, header + layout->p_offset),
			.address = word(elf, header + layout->p_paddr),
			.file_size = word(elf, header + layout->p_filesz),
			.memory_size = word(elf, header + layout->p_memsz),
			.align = word(elf, header + layout->p_align),
		};
		if (segment->type != ELF_PT_LOAD && segment->type != ELF_PT_NOTE)
			continue;
		if (elf->count == ELF_SEGMENTS_MAX - 1)
			return boot_fail(result, -ENOEXEC, "%s has more than %u segments",
					 elf->file->name, ELF_SEGMENTS_MAX - 1);
		error = check_segment(elf, segment, result);
		if (error)
			return error;
		address = word(elf, header + layout->p_vaddr);
		if (segment->type == ELF_PT_LOAD && !found && virtual_entry >= address &&
		    virtual_entry - address < segment->memory_size) {
			elf->entry = segment->address + (virtual_entry - address);
			found = true;
		}
		elf->count++;
	}
	return 0;
}

int elf_open(struct elf *elf, const struct boot_file *file, struct boot_result *result)
{
	const struct image *image = &file->image;
	const struct layout *layout;
	uint64_t table, entries;
	uint16_t machine, type;

	bytes_fill(elf, 0, sizeof(*elf));
	elf->file = file;
	if (image->size < 20 || !boot_is_elf(image))
		return boot_fail(result, -ENOEXEC, "%s is not an ELF file, or is truncated",
				 file->name);
	if ((image->bytes[4] != 1 && image->bytes[4] != 2) || image->bytes[5] != 1)
		return boot_fail(result, -ENOEXEC,
				 "%s is an ELF file of neither 32 nor 64 little-endian bits",
				 file->name);
	elf->bits = image->bytes[4] == 1 ? 32 : 64;
	layout = elf->bits == 64 ? &layout64 : &layout32;
	type = bytes_load16(image->bytes + 16);
	machine = bytes_load16(image->bytes + 18);
	if (machine != EM_386 && machine != EM_X86_64)
		return boot_fail(result, -ENOEXEC,
				 "%s is an ELF file for another processor (machine %u), not x86",
				 file->name, machine);
	if (type != ET_EXEC && type != ET_DYN)
		return boot_fail(result, -ENOEXEC, "%s is an ELF file, but not a program (type %u)",
				 file->name, type);
	if (image->size < layout->header_size)
		return boot_fail(result, -ENOEXEC, "%s is truncated: it ends within its ELF header",
				 file->name);
	elf->entry = word(elf, image->bytes + layout->entry);
	table = word(elf, image->bytes + layout->phoff);
	entries = bytes_load16(image->bytes + layout->phnum);
	if (bytes_load16(image->bytes + layout->phentsize) != layout->p_size && entries)
		return boot_fail(result, -ENOEXEC,
				 "%s is damaged: its ELF program headers have a wrong size",
				 file->name);
	if (table > image->size || entries * layout->p_size > image->size - table)
		return boot_fail(result, -ENOEXEC,
				 "%s is truncated: it ends within its ELF program headers",
				 file->name);
	return read_segments(elf, layout, table, (unsigned)entries, result);
}

/* Zeroes guest memory in place; the range has been taken, so it is RAM. */
static int clear(struct vm *vm, uint64_t address, uint64_t size)
{
	void *memory;

	if (!size)
		return 0;
	memory = vm_slice(vm, gpa(address), size);
	if (!memory)
		return -EFAULT;
	bytes_fill(memory, 0, size);
	vm_written(vm, gpa(address), size);
	return 0;
}

static int load_segment(struct vm *vm, const struct elf *elf, const struct elf_segment *segment,
			const struct boot_config *config, struct boot_placer *placer,
			struct boot_result *result)
{
	const uint64_t size = segment->memory_size;

	if (!boot_place_at(placer, segment->address, size)) {
		uint64_t top = boot_map_ram_end(placer->map, UINT64_MAX),
			 end = segment->address + size;

		if (segment->address >= 1u << 20 && end > top && end <= placer->map->hole_base)
			return boot_fail_memory(result, config, end);
		return boot_fail(result, -ENOEXEC,
				 "%s has a segment at 0x%llx..0x%llx, which overlaps another or is "
				 "not memory",
				 elf->file->name, (unsigned long long)segment->address,
				 (unsigned long long)end);
	}
	if ((segment->file_size &&
	     vm_write(vm, gpa(segment->address), elf->file->image.bytes + segment->offset,
		      segment->file_size)) ||
	    clear(vm, segment->address + segment->file_size, size - segment->file_size))
		return boot_fail(result, -ENOEXEC, "%s has a segment that can't be put into memory",
				 elf->file->name);
	return 0;
}

int elf_load(struct vm *vm, const struct elf *elf, const struct boot_config *config,
	     struct boot_placer *placer, uint64_t *end, struct boot_result *result)
{
	*end = 0;
	for (unsigned i = 0; i < elf->count; i++) {
		const struct elf_segment *segment = &elf->segment[i];
		int error;

		if (segment->type != ELF_PT_LOAD || !segment->memory_size)
			continue;
		error = load_segment(vm, elf, segment, config, placer, result);
		if (error)
			return error;
		if (segment->address + segment->memory_size > *end)
			*end = segment->address + segment->memory_size;
	}
	if (!*end)
		return boot_fail(result, -ENOEXEC, "%s has nothing to load", elf->file->name);
	return 0;
}
