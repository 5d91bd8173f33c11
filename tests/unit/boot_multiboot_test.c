/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot_fixture.h"

#define HEADER_AT 0x40

static void put_header(unsigned at, uint32_t flags)
{
	bytes_store32(kernel_file + at, 0x1badb002);
	bytes_store32(kernel_file + at + 4, flags);
	bytes_store32(kernel_file + at + 8, -(0x1badb002u + flags));
}

/* A kernel by addresses: all 0x400 bytes of the file to 2 MiB, cleared up to 0x1000, entry at 0x20.
 */
static void make_kernel(void)
{
	for (unsigned i = 0; i < 0x400; i++)
		kernel_file[i] = (uint8_t)(i * 3);
	put_header(HEADER_AT, 0x10003);
	bytes_store32(kernel_file + HEADER_AT + 12, 0x200000 + HEADER_AT);
	bytes_store32(kernel_file + HEADER_AT + 16, 0x200000);
	bytes_store32(kernel_file + HEADER_AT + 20, 0x200400);
	bytes_store32(kernel_file + HEADER_AT + 24, 0x201000);
	bytes_store32(kernel_file + HEADER_AT + 28, 0x200020);
	fixture.config.kernel.image.size = 0x400;
}

static void make_elf(void)
{
	uint8_t *header = kernel_file + 52;

	bytes_copy(kernel_file, "\177ELF\1\1\1", 7);
	bytes_store16(kernel_file + 16, 2);
	bytes_store16(kernel_file + 18, 3);
	bytes_store32(kernel_file + 24, 0x100100);
	bytes_store32(kernel_file + 28, 52);
	bytes_store16(kernel_file + 42, 32);
	bytes_store16(kernel_file + 44, 1);
	bytes_store32(header, 1);
	bytes_store32(header + 4, 0x1000);
	bytes_store32(header + 8, 0x100000);
	bytes_store32(header + 12, 0x100000);
	bytes_store32(header + 16, 0x200);
	bytes_store32(header + 20, 0x300);
	put_header(0x1000, 3);
	fixture.config.kernel.image.size = 0x1200;
}

TEST(loads_by_the_addresses_of_the_header)
{
	const struct vcpu_state *state;
	const uint8_t *info, *map;

	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	fixture.config.command_line = "verbose 1";
	bytes_fill((void *)(uintptr_t)guest(0x200000), 0xee, 0x1001);
	REQUIRE(fixture_boot() == 0);
	EXPECT_STR(fixture.result.protocol, "multiboot");
	state = &fixture.vm.vcpus[0]->state;
	EXPECT_EQ(state->rip, 0x200020);
	EXPECT_EQ(state->gpr[0], 0x2badb002);
	EXPECT_EQ(state->cr0 & 0x80000001, 1);
	EXPECT_MEM(guest(0x200000), kernel_file, 0x400);
	EXPECT_EQ(*guest(0x200400), 0);
	EXPECT_EQ(*guest(0x200fff), 0);
	EXPECT_EQ(*guest(0x201000), 0xee);
	info = guest(state->gpr[3]);
	EXPECT_EQ(bytes_load32(info) & 0x4d, 0x45);
	EXPECT_EQ(bytes_load32(info + 4), 639);
	EXPECT_EQ(bytes_load32(info + 8), 63 * 1024);
	EXPECT_STR((const char *)guest(bytes_load32(info + 16)), "kernel verbose 1");
	EXPECT_EQ(bytes_load32(info + 44), 3 * 24);
	map = guest(bytes_load32(info + 48));
	EXPECT_EQ(bytes_load32(map), 20);
	EXPECT_EQ(bytes_load64(map + 4), 0);
	EXPECT_EQ(bytes_load64(map + 12), 0x9fc00);
	EXPECT_EQ(bytes_load32(map + 20), 1);
	EXPECT_STR((const char *)guest(bytes_load32(info + 64)), "lodge");
}

TEST(loads_elf_files_of_32_bits)
{
	fixture_init(64 * FIXTURE_MIB);
	make_elf();
	REQUIRE(fixture_boot() == 0);
	EXPECT_EQ(fixture.vm.vcpus[0]->state.rip, 0x100100);
	EXPECT_MEM(guest(0x100000), kernel_file + 0x1000, 0x200);
}

TEST(modules_have_page_aligned_places_and_their_names)
{
	const uint8_t *info, *list;

	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	add_module((const uint8_t *)"first", 5, "one arguments");
	add_module((const uint8_t *)"", 0, "empty");
	add_module((const uint8_t *)"third", 5, "three");
	REQUIRE(fixture_boot() == 0);
	info = guest(fixture.vm.vcpus[0]->state.gpr[3]);
	EXPECT(bytes_load32(info) & 8);
	EXPECT_EQ(bytes_load32(info + 20), 3);
	list = guest(bytes_load32(info + 24));
	EXPECT_MEM(guest(bytes_load32(list)), "first", 5);
	EXPECT_EQ(bytes_load32(list) & 0xfff, 0);
	EXPECT_EQ(bytes_load32(list + 4) - bytes_load32(list), 5);
	EXPECT_STR((const char *)guest(bytes_load32(list + 8)), "one arguments");
	EXPECT_EQ(bytes_load32(list + 16), bytes_load32(list + 20));
	EXPECT_STR((const char *)guest(bytes_load32(list + 32 + 8)), "three");
}

TEST(header_is_found_within_8192_bytes_only)
{
	fixture_init(64 * FIXTURE_MIB);
	make_elf();
	put_header(0x1000, 0);
	bytes_fill(kernel_file + 0x1000, 0, 12);
	put_header(8192 - 12, 3);
	fixture.config.kernel.image.size = 0x3000;
	EXPECT_EQ(fixture_boot(), 0);
	bytes_fill(kernel_file + 8192 - 12, 0, 12);
	put_header(8192 - 8, 3);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	EXPECT(reason_has("without a PVH note"));
}

TEST(unknown_requirements_are_refused)
{
	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	put_header(HEADER_AT, 0x10013);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	EXPECT(reason_has("flags 0x10"));
}

TEST(nonsense_addresses_are_refused)
{
	static const struct {
		unsigned field;
		uint32_t value;
	} cases[] = {
		{12, 0x1fffff},
		{12, 0x200000 + HEADER_AT + 4},
		{16, 0x200000 + HEADER_AT + 1},
		{20, 0x1fffff},
		{20, 0x300000},
		{24, 0x2003ff},
		{16, 0},
	};

	fixture_init(64 * FIXTURE_MIB);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make_kernel();
		bytes_store32(kernel_file + HEADER_AT + cases[i].field, cases[i].value);
		if (!EXPECT_EQ(fixture_boot(), -ENOEXEC))
			test_fail(__FILE__, __LINE__, "case %u", i);
	}
	make_kernel();
	bytes_store32(kernel_file + HEADER_AT + 24, 0x8000000);
	EXPECT_EQ(fixture_boot(), -ENOMEM);
	EXPECT_EQ(fixture.result.memory_needed, 128 * FIXTURE_MIB);
}

TEST(neither_addresses_nor_elf_is_refused)
{
	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	put_header(HEADER_AT, 3);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	EXPECT(reason_has("isn't an ELF file"));
}

TEST(every_truncation_is_refused)
{
	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	expect_truncations_refused(0x400, 1);
	make_elf();
	expect_truncations_refused(0x1200, 1);
}

TEST(modules_that_do_not_fit_are_told)
{
	static uint8_t module[8 << 20];

	fixture_init(8 * FIXTURE_MIB);
	make_kernel();
	add_module(module, sizeof(module), "big");
	EXPECT_EQ(fixture_boot(), -ENOMEM);
	EXPECT_EQ(fixture.result.memory_needed, 12 * FIXTURE_MIB);
}
