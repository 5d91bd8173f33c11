/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot_fixture.h"

#define SETUP_SIZE (5 * 512)
#define CODE_SIZE  0x8000

/* A bzImage of protocol 2.15 that prefers 16 MiB and wants 4 MiB there. */
static void make_kernel(void)
{
	kernel_file[0x1f1] = 4;
	bytes_store32(kernel_file + 0x1f4, CODE_SIZE / 16);
	bytes_store16(kernel_file + 0x1fe, 0xaa55);
	kernel_file[0x200] = 0xeb;
	kernel_file[0x201] = 0x6a;
	bytes_copy(kernel_file + 0x202, "HdrS", 4);
	bytes_store16(kernel_file + 0x206, 0x20f);
	kernel_file[0x211] = 1;
	bytes_store32(kernel_file + 0x22c, 0x7fffffff);
	bytes_store32(kernel_file + 0x230, 0x200000);
	kernel_file[0x234] = 1;
	bytes_store16(kernel_file + 0x236, 3);
	bytes_store32(kernel_file + 0x238, 2047);
	bytes_store64(kernel_file + 0x258, 0x1000000);
	bytes_store32(kernel_file + 0x260, 0x400000);
	for (unsigned i = 0; i < CODE_SIZE; i++)
		kernel_file[SETUP_SIZE + i] = (uint8_t)(i * 7);
	fixture.config.kernel.image.size = SETUP_SIZE + CODE_SIZE;
}

TEST(enters_in_long_mode_as_the_protocol_says)
{
	struct vcpu_state *state;
	const uint8_t *page;

	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	fixture.config.command_line = "console=ttyS0 quiet";
	REQUIRE(fixture_boot() == 0);
	EXPECT_STR(fixture.result.protocol, "linux");
	state = &fixture.vm.vcpus[0]->state;
	EXPECT_EQ(state->rip, 0x1000200);
	EXPECT_EQ(state->segment[1].selector, 0x10);
	EXPECT_EQ(state->segment[3].selector, 0x18);
	EXPECT((state->segment[1].attributes & (SEGMENT_L | SEGMENT_P)) == (SEGMENT_L | SEGMENT_P));
	EXPECT_EQ(state->cr0 & 0x80000001, 0x80000001);
	EXPECT_EQ(state->cr0 & 0x60000000, 0);
	EXPECT_EQ(state->efer & 0x500, 0x500);
	EXPECT_EQ(state->cr4 & 0x20, 0x20);
	EXPECT_EQ(state->rflags, 2);
	EXPECT_MEM(guest(0x1000000), kernel_file + SETUP_SIZE, CODE_SIZE);
	page = guest(state->gpr[6]);
	EXPECT_MEM(page + 0x202, "HdrS", 4);
	EXPECT_EQ(bytes_load64(page + 0x70), 0xe0000);
	EXPECT_EQ(page[0x210], 0xff);
	EXPECT_EQ(page[0x1e8], 3);
	EXPECT_EQ(bytes_load64(page + 0x2d0), 0);
	EXPECT_EQ(bytes_load64(page + 0x2d0 + 40), FIXTURE_MIB);
	EXPECT_EQ(bytes_load64(page + 0x2d0 + 48), 63 * FIXTURE_MIB);
	EXPECT_EQ(bytes_load32(page + 0x2d0 + 56), 1);
	EXPECT_STR((const char *)guest(bytes_load32(page + 0x228)), "console=ttyS0 quiet");
	EXPECT_EQ(bytes_load32(page + 0x21c), 0);
}

/* Walks the tables for a few addresses of the first 4 GiB. */
TEST(first_page_tables_map_4_gib_to_themselves)
{
	static const uint64_t addresses[] = {0,		 0x1000200,  0x3fe00000,
					     0x40000000, 0xc0000000, 0xffe00000};
	uint64_t cr3;

	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	REQUIRE(fixture_boot() == 0);
	cr3 = fixture.vm.vcpus[0]->state.cr3;
	for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		uint64_t at = addresses[i], entry = bytes_load64(guest(cr3));

		EXPECT_EQ(entry & 3, 3);
		entry = bytes_load64(guest((entry & ~0xfffull) + (at >> 30) * 8));
		EXPECT_EQ(entry & 0x83, 3);
		entry = bytes_load64(guest((entry & ~0xfffull) + (at >> 21 & 511) * 8));
		EXPECT_EQ(entry & 0x83, 0x83);
		EXPECT_EQ(entry & ~0x1fffffull, at & ~0x1fffffull);
	}
}

TEST(gdt_in_memory_says_what_the_hidden_parts_say)
{
	const struct vcpu_state *state;

	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	REQUIRE(fixture_boot() == 0);
	state = &fixture.vm.vcpus[0]->state;
	for (int i = 0; i < 6; i++) {
		const uint64_t descriptor =
			bytes_load64(guest(state->gdtr.base + (state->segment[i].selector & ~7u)));

		EXPECT_EQ(descriptor >> 40 & 0xf0ff, state->segment[i].attributes);
	}
	EXPECT(state->tr.selector + 7u <= state->gdtr.limit);
}

TEST(initrd_goes_as_high_as_it_may)
{
	static uint8_t initrd[5000];
	const uint8_t *page;

	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	initrd[0] = 0x1f;
	initrd[4999] = 0x8b;
	add_module(initrd, sizeof(initrd), "initrd");
	REQUIRE(fixture_boot() == 0);
	page = guest(fixture.vm.vcpus[0]->state.gpr[6]);
	EXPECT_EQ(bytes_load32(page + 0x218), 64 * FIXTURE_MIB - 0x2000);
	EXPECT_EQ(bytes_load32(page + 0x21c), 5000);
	EXPECT_MEM(guest(64 * FIXTURE_MIB - 0x2000), initrd, 5000);
	bytes_store32(kernel_file + 0x22c, 0x2ffffff);
	REQUIRE(fixture_boot() == 0);
	EXPECT_EQ(bytes_load32(page + 0x218), 48 * FIXTURE_MIB - 0x2000);
}

TEST(initrd_goes_above_4_gib_only_where_it_must_and_may)
{
	static uint8_t initrd[8 * 1024 * 1024];
	const uint8_t *page;

	fixture_init(FIXTURE_HOLE + 64 * FIXTURE_MIB);
	make_kernel();
	add_module(initrd, sizeof(initrd), "initrd");
	bytes_store32(kernel_file + 0x22c, 0x12fffff); /* no room: the kernel is from 16 MiB on */
	bytes_store64(kernel_file + 0x258, 0x100000);
	bytes_store32(kernel_file + 0x260, 0x1000000);
	REQUIRE(fixture_boot() == 0);
	page = guest(fixture.vm.vcpus[0]->state.gpr[6]);
	EXPECT_EQ(bytes_load32(page + 0x0c0), 1);
	EXPECT_EQ(bytes_load32(page + 0x218), 56 * FIXTURE_MIB);
	bytes_store16(kernel_file + 0x236, 1);
	EXPECT_EQ(fixture_boot(), -ENOMEM);
	EXPECT(reason_has("initrd is too large"));
}

TEST(kernel_is_moved_up_where_its_preferred_place_is_taken)
{
	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	fixture.config.map.range[2].size = 16 * FIXTURE_MIB;
	fixture.config.map.range[fixture.config.map.count++] =
		(struct boot_range){18 * FIXTURE_MIB, 46 * FIXTURE_MIB, BOOT_RAM};
	REQUIRE(fixture_boot() == 0);
	EXPECT_EQ(fixture.vm.vcpus[0]->state.rip, 0x1200200);
	kernel_file[0x234] = 0;
	EXPECT_EQ(fixture_boot(), -ENOMEM);
}

TEST(kernel_is_never_put_below_its_preferred_place)
{
	fixture_init(16 * FIXTURE_MIB);
	make_kernel();
	EXPECT_EQ(fixture_boot(), -ENOMEM);
	EXPECT_EQ(fixture.result.memory_needed, 20 * FIXTURE_MIB);
	kernel_file[0x234] = 0;
	EXPECT_EQ(fixture_boot(), -ENOMEM);
	EXPECT_EQ(fixture.result.memory_needed, 20 * FIXTURE_MIB);
	EXPECT(reason_has("kernel needs at least 20 MiB of memory"));
}

TEST(says_how_much_memory_would_do)
{
	static uint8_t initrd[6 * 1024 * 1024];

	fixture_init(8 * FIXTURE_MIB);
	make_kernel();
	add_module(initrd, sizeof(initrd), "initrd");
	EXPECT_EQ(fixture_boot(), -ENOMEM);
	EXPECT(fixture.result.memory_needed > 8 * FIXTURE_MIB);
	EXPECT(reason_has("kernel with its initrd needs at least"));
	{
		uint64_t needed = fixture.result.memory_needed;

		vm_destroy(&fixture.vm);
		fixture_init(needed);
		make_kernel();
		add_module(initrd, sizeof(initrd), "initrd");
		EXPECT_EQ(fixture_boot(), 0);
	}
}

TEST(kernels_without_a_64_bit_entry_start_in_protected_mode)
{
	const struct vcpu_state *state;

	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	bytes_store16(kernel_file + 0x236, 0);
	REQUIRE(fixture_boot() == 0);
	state = &fixture.vm.vcpus[0]->state;
	EXPECT_EQ(state->rip, 0x1000000);
	EXPECT_EQ(state->cr0 & 0x80000001, 1);
	EXPECT_EQ(state->segment[1].selector, 0x10);
	EXPECT_EQ(bytes_load64(guest(state->gdtr.base + 0x10)) >> 40 & 0xf0ff,
		  state->segment[1].attributes);
	EXPECT_MEM(guest(state->gpr[6]) + 0x202, "HdrS", 4);
}

TEST(command_line_longer_than_the_kernel_takes_is_refused)
{
	static char text[3000];

	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	bytes_fill(text, 'a', 2047);
	fixture.config.command_line = text;
	EXPECT_EQ(fixture_boot(), 0);
	bytes_fill(text, 'a', 2048);
	EXPECT_EQ(fixture_boot(), -E2BIG);
	EXPECT(reason_has("2048 bytes, but kernel takes at most 2047"));
}

TEST(every_truncation_is_refused)
{
	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	expect_truncations_refused(0x300, 1);
	expect_truncations_refused(SETUP_SIZE + CODE_SIZE - 15, 97);
	fixture.config.kernel.image.size = SETUP_SIZE + CODE_SIZE - 100;
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	EXPECT(reason_has("kernel is truncated: 35228 of 35328 bytes"));
}

TEST(nonsense_in_the_header_is_refused)
{
	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	bytes_store16(kernel_file + 0x206, 0x204);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	EXPECT(reason_has("too old"));
	make_kernel();
	kernel_file[0x211] = 0;
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	EXPECT(reason_has("zImage"));
	make_kernel();
	bytes_store32(kernel_file + 0x230, 3);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	EXPECT(reason_has("alignment"));
	make_kernel();
	bytes_store64(kernel_file + 0x258, UINT64_MAX - 5);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	make_kernel();
	bytes_store32(kernel_file + 0x260, UINT32_MAX);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	make_kernel();
	bytes_store32(kernel_file + 0x1f4, 0);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
}

TEST(two_initrds_are_one_too_many)
{
	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	add_module(kernel_file, 10, "one");
	add_module(kernel_file, 10, "two");
	EXPECT_EQ(fixture_boot(), -EINVAL);
	EXPECT(reason_has("two is one too many"));
}

TEST(a_file_of_nothing_or_nonsense_is_no_kernel)
{
	fixture_init(64 * FIXTURE_MIB);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	EXPECT(reason_has("kernel is not a kernel"));
	fixture.config.kernel.image.size = 0;
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	EXPECT(reason_has("empty"));
}
