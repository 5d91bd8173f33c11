/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot_fixture.h"

#define NOTE_AT 0x800
#define CODE_AT 0x1000

/* An ELF64 kernel at 1 MiB with 0x100 bytes of code and 0x1000 of memory, and a PVH note. */
static void make_kernel(void)
{
	uint8_t *header = kernel_file + 64;

	bytes_copy(kernel_file, "\177ELF\2\1\1", 7);
	bytes_store16(kernel_file + 16, 2);
	bytes_store16(kernel_file + 18, 62);
	bytes_store64(kernel_file + 24, 0xffffffff80100040); /* e_entry, virtual */
	bytes_store64(kernel_file + 32, 64);
	bytes_store16(kernel_file + 54, 56);
	bytes_store16(kernel_file + 56, 2);
	bytes_store32(header, 1);
	bytes_store64(header + 8, CODE_AT);
	bytes_store64(header + 16, 0xffffffff80100000);
	bytes_store64(header + 24, 0x100000);
	bytes_store64(header + 32, 0x100);
	bytes_store64(header + 40, 0x1000);
	bytes_store64(header + 48, 0x1000);
	header += 56;
	bytes_store32(header, 4);
	bytes_store64(header + 8, NOTE_AT);
	bytes_store64(header + 32, 20 + 20);
	bytes_store64(header + 48, 4);
	/* Another note first: a name of 3 bytes with its NUL, no description. */
	bytes_store32(kernel_file + NOTE_AT, 3);
	bytes_store32(kernel_file + NOTE_AT + 4, 4);
	bytes_store32(kernel_file + NOTE_AT + 8, 18);
	bytes_copy(kernel_file + NOTE_AT + 12, "Ab", 3);
	bytes_store32(kernel_file + NOTE_AT + 20, 4);
	bytes_store32(kernel_file + NOTE_AT + 24, 4);
	bytes_store32(kernel_file + NOTE_AT + 28, 18);
	bytes_copy(kernel_file + NOTE_AT + 32, "Xen", 4);
	bytes_store32(kernel_file + NOTE_AT + 36, 0x100020);
	for (unsigned i = 0; i < 0x100; i++)
		kernel_file[CODE_AT + i] = (uint8_t)(i + 1);
	fixture.config.kernel.image.size = CODE_AT + 0x100;
}

TEST(enters_by_the_pvh_note_with_its_start_information)
{
	const struct vcpu_state *state;
	const uint8_t *info, *module;

	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	fixture.config.command_line = "hello";
	add_module((const uint8_t *)"initrd bytes", 12, "initrd");
	bytes_fill((void *)(uintptr_t)guest(0x100000), 0xee, 0x2000);
	REQUIRE(fixture_boot() == 0);
	EXPECT_STR(fixture.result.protocol, "pvh");
	state = &fixture.vm.vcpus[0]->state;
	EXPECT_EQ(state->rip, 0x100020);
	EXPECT_EQ(state->cr0 & 0x80000001, 1);
	EXPECT_EQ(state->cr4, 0);
	EXPECT_EQ(state->rflags, 2);
	for (int i = 0; i < 6; i++) {
		EXPECT_EQ(state->segment[i].base, 0);
		EXPECT_EQ(state->segment[i].limit, 0xffffffff);
		EXPECT(state->segment[i].attributes & SEGMENT_DB);
	}
	EXPECT_EQ(state->tr.limit, 0x67);
	EXPECT_MEM(guest(0x100000), kernel_file + CODE_AT, 0x100);
	EXPECT_EQ(*guest(0x100100), 0);
	EXPECT_EQ(*guest(0x100fff), 0);
	EXPECT_EQ(*guest(0x101000), 0xee);
	info = guest(state->gpr[3]);
	EXPECT_EQ(bytes_load32(info), 0x336ec578);
	EXPECT_EQ(bytes_load32(info + 4), 1);
	EXPECT_EQ(bytes_load32(info + 12), 1);
	EXPECT_STR((const char *)guest(bytes_load64(info + 24)), "hello");
	EXPECT_EQ(bytes_load64(info + 32), 0xe0000);
	EXPECT_EQ(bytes_load32(info + 48), 3);
	EXPECT_EQ(bytes_load64(guest(bytes_load64(info + 40)) + 2 * 24 + 8), 63 * FIXTURE_MIB);
	module = guest(bytes_load64(info + 16));
	EXPECT_EQ(bytes_load64(module + 8), 12);
	EXPECT_MEM(guest(bytes_load64(module)), "initrd bytes", 12);
}

TEST(without_the_note_there_is_no_way_to_start_it)
{
	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	bytes_store32(kernel_file + NOTE_AT + 28, 17);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	EXPECT(reason_has("without a PVH note"));
}

TEST(damaged_notes_end_the_search)
{
	fixture_init(64 * FIXTURE_MIB);
	for (uint32_t size = 0xfffffff0; size; size++) {
		make_kernel();
		bytes_store32(kernel_file + NOTE_AT, size);
		EXPECT_EQ(fixture_boot(), -ENOEXEC);
		make_kernel();
		bytes_store32(kernel_file + NOTE_AT + 24, size);
		EXPECT_EQ(fixture_boot(), -ENOEXEC);
	}
}

TEST(segments_must_be_in_the_file_and_in_memory)
{
	uint8_t *load = kernel_file + 64;

	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	bytes_store64(load + 8, UINT64_MAX);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	EXPECT(reason_has("truncated"));
	make_kernel();
	bytes_store64(load + 32, UINT64_MAX);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	make_kernel();
	bytes_store64(load + 40, 0xff);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	EXPECT(reason_has("damaged"));
	make_kernel();
	bytes_store64(load + 24, UINT64_MAX - 10);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	make_kernel();
	bytes_store64(load + 24, 0x9f000);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	EXPECT(reason_has("is not memory"));
	make_kernel();
	bytes_store64(load + 24, 64 * FIXTURE_MIB);
	EXPECT_EQ(fixture_boot(), -ENOMEM);
	EXPECT_EQ(fixture.result.memory_needed, 66 * FIXTURE_MIB);
}

TEST(segments_must_not_overlap)
{
	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	bytes_copy(kernel_file + 64 + 112, kernel_file + 64, 56);
	bytes_store16(kernel_file + 56, 3);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	EXPECT(reason_has("overlaps"));
}

TEST(every_truncation_is_refused)
{
	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	expect_truncations_refused(CODE_AT + 0x100, 13);
}

TEST(other_processors_and_objects_are_refused)
{
	fixture_init(64 * FIXTURE_MIB);
	make_kernel();
	bytes_store16(kernel_file + 18, 183);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	EXPECT(reason_has("another processor"));
	make_kernel();
	bytes_store16(kernel_file + 16, 1);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	make_kernel();
	kernel_file[5] = 2;
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
	make_kernel();
	bytes_store16(kernel_file + 56, 0xffff);
	EXPECT_EQ(fixture_boot(), -ENOEXEC);
}
