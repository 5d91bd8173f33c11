/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "kernel/boot/multiboot.h"
#include "lib/bytes.h"
#include "lib/string.h"

#define IMAGE	   0x200000
#define IMAGE_SIZE 0x80000

static uint8_t bytes[8192];
static uint32_t size;
static struct boot_information information;

static void begin(void)
{
	size = 8;
}

static uint8_t *tag(uint32_t type, uint32_t length)
{
	uint8_t *at = bytes + size;

	bytes_store32(at, type);
	bytes_store32(at + 4, 8 + length);
	size = (size + 8 + length + 7) & ~7u;
	return at + 8;
}

static void text(const char *line)
{
	bytes_copy(tag(1, (uint32_t)string_length(line) + 1), line, string_length(line) + 1);
}

static void module(uint32_t start, uint32_t end, const char *line)
{
	uint8_t *at = tag(3, 8 + (uint32_t)string_length(line) + 1);

	bytes_store32(at, start);
	bytes_store32(at + 4, end);
	bytes_copy(at + 8, line, string_length(line) + 1);
}

struct entry {
	uint64_t base, size;
	uint32_t type;
};

static void memory(const struct entry *entries, unsigned count)
{
	uint8_t *at = tag(6, 8 + count * 24);

	bytes_store32(at, 24);
	bytes_store32(at + 4, 0);
	for (unsigned i = 0; i < count; i++) {
		bytes_store64(at + 8 + i * 24, entries[i].base);
		bytes_store64(at + 16 + i * 24, entries[i].size);
		bytes_store32(at + 24 + i * 24, entries[i].type);
	}
}

static const char *parse(void)
{
	tag(0, 0);
	bytes_store32(bytes, size);
	return multiboot_parse(&information, bytes, size, IMAGE, IMAGE_SIZE);
}

static const struct entry usual[] = {{0, 0x9fc00, 1},
				     {0xf0000, 0x10000, 2},
				     {0x100000, 0x1ff00000, 1},
				     {0xfffc0000, 0x40000, 2}};

TEST(a_usual_computer)
{
	begin();
	text("selftest panic=exit");
	module(0x400000, 0x401234, "machines  with words");
	module(0x500000, 0x501000, "kernel");
	memory(usual, 4);
	bytes_copy(tag(14, 20), "RSD PTR old.........", 20);
	bytes_copy(tag(15, 36), "RSD PTR new.........................", 36);
	EXPECT(!parse());
	EXPECT_STR(information.command_line, "selftest panic=exit");
	EXPECT_EQ(information.ram_count, 2);
	EXPECT_EQ(information.ram[0].size, 0x9f000);
	EXPECT_EQ(information.ram[1].base, 0x100000);
	EXPECT_EQ(information.ram[1].size, 0x1ff00000);
	EXPECT_EQ(information.module_count, 2);
	EXPECT_EQ(information.module[0].size, 0x1234);
	EXPECT_STR(information.module[0].name, "machines");
	EXPECT_STR(information.module[0].arguments, " with words");
	EXPECT_STR(information.module[1].name, "kernel");
	EXPECT_STR(information.module[1].arguments, "");
	EXPECT_EQ(information.rsdp_size, 36);
	EXPECT_MEM(information.rsdp, "RSD PTR new", 11);
}

TEST(memory_maps_are_put_in_order)
{
	const struct entry entries[] = {
		{0x40000000, 0x1000, 1},      {0x100000, 0x700000, 1},
		{0x800000, 0x800000, 1},      {0x900000, 0x100001, 5},
		{0x600000, 0x300000, 1},      {0x40000800, 0x10000, 1},
		{0x7000000000000, 0x1000, 1}, {UINT64_MAX - 10, 0x1000, 1},
		{0x50000000, 0xfff, 1},
	};

	begin();
	memory(entries, 9);
	EXPECT(!parse());
	EXPECT_EQ(information.ram_count, 3);
	EXPECT_EQ(information.ram[0].base, 0x100000);
	EXPECT_EQ(information.ram[0].size, 0x800000);
	EXPECT_EQ(information.ram[1].base, 0xa01000);
	EXPECT_EQ(information.ram[1].size, 0x5ff000);
	EXPECT_EQ(information.ram[2].base, 0x40000000);
	EXPECT_EQ(information.ram[2].size, 0x10000);
}

TEST(what_is_called_unusable_is_cut_out)
{
	const struct entry entries[] = {{0x100000, 0xf00000, 1}, {0x800000, 0x1000, 2},
					{0x700000, 0x80, 4},	 {0xf00000, 0x900000, 3},
					{0, 0x101000, 2},	 {0x900000, 0, 2}};

	begin();
	memory(entries, 6);
	EXPECT(!parse());
	EXPECT_EQ(information.ram_count, 3);
	EXPECT_EQ(information.ram[0].base, 0x101000);
	EXPECT_EQ(information.ram[0].size, 0x5ff000);
	EXPECT_EQ(information.ram[1].base, 0x701000);
	EXPECT_EQ(information.ram[1].size, 0xff000);
	EXPECT_EQ(information.ram[2].base, 0x801000);
	EXPECT_EQ(information.ram[2].size, 0x6ff000);
}

TEST(modules_that_can_not_be_are_refused)
{
	begin();
	memory(usual, 4);
	module(0x400800, 0x401000, "not on a page");
	module(0x401000, 0x401000, "empty");
	module(0x402000, 0x401000, "backwards");
	module(0x1ffff000, 0x20001000, "beyond memory");
	module(0xfffff000, 0xffffffff, "at the end");
	module(0x27f000, 0x281000, "over the kernel");
	module(0x1ff000, 0x200001, "into the kernel");
	module(0x600000, 0x600001, "good");
	module(0x600000, 0x600002, "over the good one");
	module(0x5ff000, 0x600001, "into the good one");
	EXPECT(!parse());
	EXPECT_EQ(information.module_count, 1);
	EXPECT_STR(information.module[0].name, "good");
	EXPECT_EQ(information.modules_refused, 9);
}

TEST(too_many_modules)
{
	begin();
	memory(usual, 4);
	for (unsigned i = 0; i < 70; i++)
		module(0x400000 + i * 0x1000, 0x400001 + i * 0x1000, "m");
	EXPECT(!parse());
	EXPECT_EQ(information.module_count, METAL_MODULES_MAX);
	EXPECT_EQ(information.modules_refused, 6);
}

TEST(long_texts_are_cut)
{
	static char line[600];

	bytes_fill(line, 'x', sizeof(line) - 1);
	line[300] = ' ';
	begin();
	memory(usual, 4);
	text(line);
	module(0x400000, 0x401000, line);
	EXPECT(!parse());
	EXPECT_EQ(string_length(information.command_line), sizeof(information.command_line) - 1);
	EXPECT_EQ(string_length(information.module[0].name),
		  sizeof(information.module[0].name) - 1);
}

TEST(text_without_an_end)
{
	begin();
	memory(usual, 4);
	bytes_fill(tag(1, 4), 'a', 4);
	EXPECT(!parse());
	EXPECT_STR(information.command_line, "aaaa");
}

TEST(no_memory_is_no_start)
{
	begin();
	EXPECT(parse() != NULL);
	begin();
	memory(usual, 1);
	EXPECT(parse() != NULL);
	/* Entries of a size that none has. */
	begin();
	memory(usual, 4);
	bytes_store32(bytes + 16, 0);
	EXPECT(parse() != NULL);
}

TEST(sizes_that_lie)
{
	for (uint32_t lie = 0; lie < 0x200; lie++) {
		begin();
		memory(usual, 4);
		module(0x400000, 0x401000, "m");
		tag(0, 0);
		bytes_store32(bytes + 12, lie);
		multiboot_parse(&information, bytes, size, IMAGE, IMAGE_SIZE);
		bytes_store32(bytes + 12, UINT32_MAX - lie);
		multiboot_parse(&information, bytes, size, IMAGE, IMAGE_SIZE);
		multiboot_parse(&information, bytes, lie, IMAGE, IMAGE_SIZE);
	}
}
