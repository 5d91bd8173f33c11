/* SPDX-License-Identifier: BSD-2-Clause */
/* The test devices, and the two small ones that have no state worth a file: pvpanic and the ports
 * from 0x80 on. */
#include "device_fixture.h"

#include "devices/post.h"
#include "devices/pvpanic.h"
#include "devices/testdev.h"

static struct testdev testdev;
static struct wire wires[TESTDEV_LINES];
static char written[16];
static unsigned written_count;

static size_t console_write(struct console *console, const void *bytes, size_t length)
{
	written[written_count++] = *(const char *)bytes;
	return length;
}

static const struct console_ops console_ops = {.write = console_write};
static struct console console = {.ops = &console_ops};

static void setup(void)
{
	testdev_init(&testdev, fixture_vm_create(1), &console);
	for (unsigned i = 0; i < TESTDEV_LINES; i++)
		irq_connect(&testdev.line[i], wire_set, &wires[i], i);
}

TEST(exit_ends_the_vm_with_the_value)
{
	setup();
	EXPECT_EQ(in32(0xf4), 0);
	out32(0xf4, 0x1234);
	EXPECT_EQ(fixture_vm.stop, VM_TEST_EXIT);
	EXPECT_EQ(fixture_vm.stop_code, 0x1234);
}

TEST(echo_in_every_size)
{
	setup();
	out32(0xe0, 0x12345678);
	EXPECT_EQ(in32(0xe0), 0x12345678);
	EXPECT_EQ(in16(0xe2), 0x1234);
	EXPECT_EQ(in8(0xe1), 0x56);
	out16(0xe1, 0xabcd);
	EXPECT_EQ(in32(0xe0), 0x12abcd78);
	EXPECT_EQ(in8(0xe8), 0x78);
	EXPECT_EQ(in16(0xea), 0x12ab);
	out8(0xeb, 0x99);
	out8(0xe8, 0x11);
	EXPECT_EQ(in32(0xe0), 0x99abcd11);
	out32(0xe4, 0x1000); /* the flush leaves no trace */
	EXPECT_EQ(in32(0xe0), 0x99abcd11);
}

TEST(debug_console)
{
	setup();
	EXPECT_EQ(in8(0xe9), 0xe9);
	out8(0xe9, 'o');
	out8(0xe9, 'k');
	EXPECT_EQ(written_count, 2);
	EXPECT_MEM(written, "ok", 2);
}

TEST(lines_go_where_they_are_set)
{
	setup();
	out8(0x2000 + 7, 1);
	out8(0x2000 + 23, 0x80);
	EXPECT(wires[7].level);
	EXPECT(wires[23].level);
	out8(0x2000 + 7, 0);
	EXPECT(!wires[7].level);
	EXPECT_EQ(in8(0x2007), 0);
}

TEST(memory_keeps_what_is_written)
{
	setup();
	store32(0, 0xff000000, 0x11223344);
	store32(0, 0xff00fffc, 0x55667788);
	EXPECT_EQ(load32(0, 0xff000000), 0x11223344);
	EXPECT_EQ(fixture_access(0, EXIT_MEMORY, false, 0xff000001, 1, 0), 0x33);
	EXPECT_EQ(fixture_access(0, EXIT_MEMORY, false, 0xff00fffe, 2, 0), 0x5566);
	EXPECT_EQ(load32(0, 0xff010000), 0xffffffff);
	vm_reset(&fixture_vm);
	EXPECT_EQ(load32(0, 0xff000000), 0);
}

TEST(state_survives)
{
	size_t size;

	setup();
	out32(0xe0, 0xdeadbeef);
	store32(0, 0xff000040, 77);
	out8(0x2003, 1);
	size = device_save(&testdev.device);
	vm_reset(&fixture_vm);
	EXPECT(!wires[3].level);
	EXPECT_EQ(device_load(&testdev.device, size), 0);
	EXPECT(wires[3].level);
	EXPECT_EQ(in32(0xe0), 0xdeadbeef);
	EXPECT_EQ(load32(0, 0xff000040), 77);
	fixture_state[4 + TESTDEV_MEMORY_SIZE + 3] = 0xff; /* lines that are not there */
	EXPECT_EQ(device_load(&testdev.device, size), 0);
	EXPECT(wires[3].level);
	EXPECT(device_load(&testdev.device, size - 1) < 0);
}

TEST(pvpanic_says_what_it_knows_and_stops_the_vm)
{
	static struct pvpanic pvpanic;

	pvpanic_init(&pvpanic, fixture_vm_create(1));
	EXPECT_EQ(in8(0x505), 1);
	out8(0x505, 2);
	EXPECT_EQ(fixture_vm.stop, VM_RUNNING);
	out8(0x505, 1);
	EXPECT_EQ(fixture_vm.stop, VM_PANICKED);
}

TEST(post_codes_read_back)
{
	static struct post post;
	size_t size;

	post_init(&post, fixture_vm_create(1));
	out8(0x80, 0x42);
	out16(0x8e, 0x1234);
	size = device_save(&post.device);
	vm_reset(&fixture_vm);
	EXPECT_EQ(in8(0x80), 0);
	EXPECT_EQ(device_load(&post.device, size), 0);
	EXPECT_EQ(in8(0x80), 0x42);
	EXPECT_EQ(in8(0x8f), 0x12);
}
