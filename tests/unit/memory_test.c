/* SPDX-License-Identifier: BSD-2-Clause */
#include "core_fixture.h"

#include "lib/bytes.h"
#include "lib/error.h"

#define FOUR_GIB (UINT64_C(4) << 30)

TEST(ram_lies_below_the_hole_and_from_four_gib_on)
{
	fixture_create(1);
	EXPECT_EQ(vm.memory.count, 2);
	EXPECT_EQ(vm.memory.range[0].base, 0);
	EXPECT_EQ(vm.memory.range[0].size, 4 * FIXTURE_MIB);
	EXPECT_EQ(vm.memory.range[1].base, FOUR_GIB);
	EXPECT_EQ(vm.memory.range[1].offset, 4 * FIXTURE_MIB);
	EXPECT_EQ(memory_offset(&vm.memory, 0x1000), 0x1000);
	EXPECT_EQ(memory_offset(&vm.memory, FOUR_GIB + 0x1000), 4 * FIXTURE_MIB + 0x1000);
	EXPECT_EQ(memory_offset(&vm.memory, 4 * FIXTURE_MIB), UINT64_MAX);
	EXPECT_EQ(memory_offset(&vm.memory, UINT64_MAX), UINT64_MAX);
	vm_destroy(&vm);
	EXPECT_EQ(fake_memory_in_use(), 0);
}

TEST(little_ram_has_one_range)
{
	struct memory memory;

	EXPECT_EQ(memory_init(&memory, 2 * FIXTURE_MIB, 4 * FIXTURE_MIB), 0);
	EXPECT_EQ(memory.count, 1);
	memory_destroy(&memory);
	EXPECT_EQ(memory_init(&memory, 4 * FIXTURE_MIB, 4 * FIXTURE_MIB), 0);
	EXPECT_EQ(memory.count, 1);
	memory_destroy(&memory);
}

TEST(odd_layouts_are_refused)
{
	struct memory memory;

	EXPECT_EQ(memory_init(&memory, 0, FOUR_GIB), -EINVAL);
	EXPECT_EQ(memory_init(&memory, FIXTURE_MIB, FOUR_GIB), -EINVAL);
	EXPECT_EQ(memory_init(&memory, 2 * FIXTURE_MIB, 0), -EINVAL);
	EXPECT_EQ(memory_init(&memory, 2 * FIXTURE_MIB, FOUR_GIB + 2 * FIXTURE_MIB), -EINVAL);
	fake_memory_fails(0);
	EXPECT_EQ(memory_init(&memory, 2 * FIXTURE_MIB, FOUR_GIB), -ENOMEM);
}

TEST(slices_stay_within_one_range)
{
	fixture_create(1);
	EXPECT_EQ(vm_slice(&vm, gpa(0), 1), vm.memory.base);
	EXPECT_EQ(vm_slice(&vm, gpa(0), 4 * FIXTURE_MIB), vm.memory.base);
	EXPECT_EQ(vm_slice(&vm, gpa(0), 4 * FIXTURE_MIB + 1), NULL);
	EXPECT_EQ(vm_slice(&vm, gpa(4 * FIXTURE_MIB - 1), 1), vm.memory.base + 4 * FIXTURE_MIB - 1);
	EXPECT_EQ(vm_slice(&vm, gpa(4 * FIXTURE_MIB - 1), 2), NULL);
	EXPECT_EQ(vm_slice(&vm, gpa(4 * FIXTURE_MIB), 1), NULL);
	EXPECT_EQ(vm_slice(&vm, gpa(FOUR_GIB), 4 * FIXTURE_MIB), vm.memory.base + 4 * FIXTURE_MIB);
	EXPECT_EQ(vm_slice(&vm, gpa(FOUR_GIB + 1), 4 * FIXTURE_MIB), NULL);
	EXPECT_EQ(vm_slice(&vm, gpa(0), 0), NULL);
	EXPECT_EQ(vm_slice(&vm, gpa(0), UINT64_MAX), NULL);
	EXPECT_EQ(vm_slice(&vm, gpa(1), UINT64_MAX), NULL);
	EXPECT_EQ(vm_slice(&vm, gpa(UINT64_MAX), 2), NULL);
	vm_destroy(&vm);
}

TEST(reads_and_writes_are_all_or_nothing)
{
	uint8_t bytes[16] = "0123456789abcde", back[16] = "";
	uint64_t address, length;

	fixture_create(1);
	EXPECT_EQ(vm_write(&vm, gpa(0x1234), bytes, 16), 0);
	EXPECT_EQ(scripted_written(&vm, &address, &length), 1);
	EXPECT_EQ(address, 0x1234);
	EXPECT_EQ(length, 16);
	EXPECT_MEM(vm.memory.base + 0x1234, bytes, 16);
	EXPECT_EQ(vm_read(&vm, gpa(0x1234), back, 16), 0);
	EXPECT_MEM(back, bytes, 16);
	EXPECT_EQ(vm_write(&vm, gpa(4 * FIXTURE_MIB - 8), bytes, 9), -EFAULT);
	EXPECT_EQ(vm.memory.base[4 * FIXTURE_MIB - 8], 0);
	EXPECT_EQ(vm_write(&vm, gpa(UINT64_MAX), bytes, 2), -EFAULT);
	EXPECT_EQ(vm_read(&vm, gpa(FOUR_GIB + 4 * FIXTURE_MIB), back, 1), -EFAULT);
	EXPECT_MEM(back, bytes, 16);
	EXPECT_EQ(scripted_written(&vm, &address, &length), 1);
	EXPECT_EQ(vm_read(&vm, gpa(0), back, 0), 0);
	EXPECT_EQ(vm_write(&vm, gpa(0), back, 0), 0);
	EXPECT_EQ(scripted_written(&vm, &address, &length), 1);
	vm_destroy(&vm);
}

TEST(copies_cross_from_one_range_into_the_next)
{
	struct vm_config config = {.vcpus = 1,
				   .memory_size = FOUR_GIB + 2 * FIXTURE_MIB,
				   .hole_base = FOUR_GIB,
				   .engine = &engine_scripted};
	uint8_t bytes[4] = {1, 2, 3, 4}, back[4] = {0};

	REQUIRE(vm_create(&vm, &config) == 0);
	EXPECT_EQ(vm_write(&vm, gpa(FOUR_GIB - 2), bytes, 4), 0);
	EXPECT_EQ(vm_read(&vm, gpa(FOUR_GIB - 2), back, 4), 0);
	EXPECT_MEM(back, bytes, 4);
	EXPECT_EQ(*(uint8_t *)vm_slice(&vm, gpa(FOUR_GIB), 1), 3);
	vm_destroy(&vm);
}

static bool is_zero(uint64_t offset, uint64_t length)
{
	for (uint64_t i = 0; i < length; i++)
		if (vm.memory.base[offset + i])
			return false;
	return true;
}

TEST(whole_pages_of_ram_are_given_back)
{
	fixture_create(1);
	bytes_fill(vm.memory.base, 1, vm.memory.size);
	EXPECT_EQ(vm_discard(&vm, gpa(0x10fff), 0x2002), 0x2000);
	EXPECT(is_zero(0x11000, 0x2000) && vm.memory.base[0x10fff] && vm.memory.base[0x13000]);
	EXPECT_EQ(vm_discard(&vm, gpa(0x20001), 0x1000), 0);
	/* Over the end of a range, and all of both. */
	EXPECT_EQ(vm_discard(&vm, gpa(4 * FIXTURE_MIB - 0x1000), FOUR_GIB),
		  0x1000 + 4 * FIXTURE_MIB - 0x1000);
	EXPECT_EQ(vm_discard(&vm, gpa(4 * FIXTURE_MIB), 0x100000), 0);
	EXPECT_EQ(vm_discard(&vm, gpa(UINT64_MAX), UINT64_MAX), 0);
	EXPECT_EQ(vm_discard(&vm, gpa(0), UINT64_MAX), 8 * FIXTURE_MIB);
	EXPECT(is_zero(0, vm.memory.size));
	EXPECT_EQ(memory_address(&vm.memory, vm.memory.base + 4 * FIXTURE_MIB + 5).value,
		  FOUR_GIB + 5);
	vm_destroy(&vm);
}
