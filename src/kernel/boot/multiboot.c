/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Multiboot2 specification, version 2.0, section 3.6: a list of tags, each of a type and a size, at
 * multiples of 8. Used: the command line (1), modules (3), the memory map (6), copies of ACPI's
 * root pointer (14, 15).
 *
 * Memory maps of true computers overlap and are in no order: what any entry calls unusable is.
 */
#include "kernel/boot/multiboot.h"

#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/checked.h"
#include "lib/string.h"

enum { TAG_END, TAG_COMMAND_LINE, TAG_MODULE = 3, TAG_MEMORY = 6, TAG_RSDP_1 = 14, TAG_RSDP_2 };

#define TAG_HEADER  8
#define MEMORY_RAM  1
#define MODULE_TEXT 16 /* where a module's tag has its command line */
/* What the kernel's map of all memory has room for. */
#define ADDRESS_END (MAPPED_BASE - DIRECT_BASE)

struct tag {
	const uint8_t *bytes;
	uint32_t type, size; /* header included */
};

/* The tag behind this one (bytes NULL: the first). False: there is none. */
static bool next_tag(struct tag *tag, const uint8_t *bytes, uint32_t size)
{
	uint64_t at = 8;

	if (tag->bytes)
		at = align_up((uint64_t)(tag->bytes - bytes) + tag->size, 8);
	if (!range_within(at, TAG_HEADER, size))
		return false;
	tag->bytes = bytes + at;
	tag->type = bytes_load32(tag->bytes);
	tag->size = bytes_load32(tag->bytes + 4);
	return tag->type != TAG_END && tag->size >= TAG_HEADER && range_within(at, tag->size, size);
}

static void copy_text(char *to, size_t size, const uint8_t *from, size_t length)
{
	length = string_length_limited((const char *)from, length);
	if (length > size - 1)
		length = size - 1;
	bytes_copy(to, from, length);
	to[length] = '\0';
}

/* Memory */

static void add_ram(struct boot_information *out, uint64_t base, uint64_t end)
{
	unsigned i = out->ram_count;

	base = align_up(base, PAGE_SIZE);
	end = align_down(end, PAGE_SIZE);
	if (base >= end || out->ram_count == BOOT_RAM_MAX)
		return;
	for (; i && out->ram[i - 1].base > base; i--)
		out->ram[i] = out->ram[i - 1];
	out->ram[i] = (struct frame_range){.base = base, .size = end - base};
	out->ram_count++;
}

static void remove_entry(struct boot_information *out, unsigned i)
{
	out->ram_count--;
	bytes_move(&out->ram[i], &out->ram[i + 1], (out->ram_count - i) * sizeof(out->ram[0]));
}

/* Those that touch or overlap become one. */
static void merge_ram(struct boot_information *out)
{
	for (unsigned i = 1; i < out->ram_count;) {
		struct frame_range *before = &out->ram[i - 1], *this = &out->ram[i];
		uint64_t end = this->base + this->size;

		if (this->base > before->base + before->size) {
			i++;
			continue;
		}
		if (end > before->base + before->size)
			before->size = end - before->base;
		remove_entry(out, i);
	}
}

static void remove_ram(struct boot_information *out, uint64_t base, uint64_t end)
{
	base = align_down(base, PAGE_SIZE);
	end = align_up(end, PAGE_SIZE);
	for (unsigned i = 0; i < out->ram_count;) {
		uint64_t ram = out->ram[i].base, ram_end = ram + out->ram[i].size;

		if (base >= ram_end || end <= ram) {
			i++;
			continue;
		}
		/* What is left of it on either side comes back in its place. */
		remove_entry(out, i);
		if (ram < base) {
			add_ram(out, ram, base);
			i++;
		}
		if (end < ram_end) {
			add_ram(out, end, ram_end);
			i++;
		}
	}
}

/* Entries of memory maps, the usable ones or the others. */
static void read_memory(struct boot_information *out, const struct tag *tag, bool usable)
{
	uint32_t entry_size, at = 16;

	if (tag->size < at)
		return;
	entry_size = bytes_load32(tag->bytes + 8);
	if (entry_size < 24)
		return;
	for (; range_within(at, entry_size, tag->size); at += entry_size) {
		uint64_t base = bytes_load64(tag->bytes + at), end;

		if (!checked_add(base, bytes_load64(tag->bytes + at + 8), &end) ||
		    end > ADDRESS_END)
			end = ADDRESS_END;
		if (base >= end || (bytes_load32(tag->bytes + at + 16) == MEMORY_RAM) != usable)
			continue;
		if (usable)
			add_ram(out, base, end);
		else
			remove_ram(out, base, end);
	}
}

/* Modules */

static bool is_ram(const struct boot_information *out, uint64_t base, uint64_t size)
{
	for (unsigned i = 0; i < out->ram_count; i++)
		if (base >= out->ram[i].base &&
		    range_within(base - out->ram[i].base, size, out->ram[i].size))
			return true;
	return false;
}

static bool is_taken(const struct boot_information *out, uint64_t base, uint64_t size)
{
	for (unsigned i = 0; i < out->module_count; i++)
		if (ranges_overlap(base, size, out->module[i].base.value,
				   align_up(out->module[i].size, PAGE_SIZE)))
			return true;
	return false;
}

static void add_module(struct boot_information *out, const struct tag *tag, uint64_t image,
		       uint64_t image_size)
{
	struct boot_module *module = &out->module[out->module_count];
	char text[sizeof(module->name) + sizeof(module->arguments)];
	uint64_t base, end, pages;
	size_t word = 0, next;

	if (tag->size < MODULE_TEXT)
		return;
	base = bytes_load32(tag->bytes + 8);
	end = bytes_load32(tag->bytes + 12);
	pages = align_up(end, PAGE_SIZE) - base;
	if (end <= base || !is_aligned(base, PAGE_SIZE) || !is_ram(out, base, pages) ||
	    is_taken(out, base, pages) || ranges_overlap(base, pages, image, image_size) ||
	    out->module_count == METAL_MODULES_MAX) {
		out->modules_refused++;
		return;
	}
	copy_text(text, sizeof(text), tag->bytes + MODULE_TEXT, tag->size - MODULE_TEXT);
	while (text[word] && text[word] != ' ')
		word++;
	next = word + string_length_limited(text + word, 1);
	*module = (struct boot_module){.base = {base}, .size = end - base};
	copy_text(module->name, sizeof(module->name), (const uint8_t *)text, word);
	copy_text(module->arguments, sizeof(module->arguments), (const uint8_t *)text + next,
		  sizeof(text) - next);
	out->module_count++;
}

/* The newer root pointer is preferred, wherever it stands. */
static void read_rsdp(struct boot_information *out, const struct tag *tag)
{
	uint32_t size = tag->size - TAG_HEADER;

	if (tag->type == TAG_RSDP_1 && out->rsdp_size > 20)
		return;
	if (size > sizeof(out->rsdp))
		size = sizeof(out->rsdp);
	bytes_copy(out->rsdp, tag->bytes + TAG_HEADER, size);
	out->rsdp_size = size;
}

const char *multiboot_parse(struct boot_information *out, const uint8_t *bytes, uint32_t size,
			    uint64_t image, uint64_t image_size)
{
	struct tag tag = {0};

	*out = (struct boot_information){0};
	while (next_tag(&tag, bytes, size))
		if (tag.type == TAG_MEMORY)
			read_memory(out, &tag, true);
		else if (tag.type == TAG_COMMAND_LINE)
			copy_text(out->command_line, sizeof(out->command_line),
				  tag.bytes + TAG_HEADER, tag.size - TAG_HEADER);
		else if (tag.type == TAG_RSDP_1 || tag.type == TAG_RSDP_2)
			read_rsdp(out, &tag);
	merge_ram(out);
	tag.bytes = NULL;
	while (next_tag(&tag, bytes, size))
		if (tag.type == TAG_MEMORY)
			read_memory(out, &tag, false);
	if (!out->ram_count)
		return "the boot loader tells of no memory";
	if (!is_ram(out, image, align_up(image_size, PAGE_SIZE)))
		return "the boot loader has put the kernel where its map has no memory";
	/* Modules last: they are judged by all the memory. */
	tag.bytes = NULL;
	while (next_tag(&tag, bytes, size))
		if (tag.type == TAG_MODULE)
			add_module(out, &tag, image, image_size);
	return NULL;
}
