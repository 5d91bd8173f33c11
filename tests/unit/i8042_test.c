/* SPDX-License-Identifier: BSD-2-Clause */
#include "device_fixture.h"

#include "devices/i8042.h"

static struct i8042 i8042;
static struct wire irq;

static void setup(void)
{
	i8042_init(&i8042, fixture_vm_create(1));
	irq_connect(&i8042.irq, wire_set, &irq, 0);
}

static void probe(void)
{
	out8(0x60, 0xed);
	in8(0x60);
	in8(0x64);
	out8(0x64, 0x3f);
	in8(0x60);
	in8(0x92);
}

TEST(self_tests_pass_and_the_mouse_port_is_not_there)
{
	setup();
	EXPECT_EQ(in8(0x64), 0x10);
	out8(0x64, 0xaa);
	EXPECT_EQ(in8(0x64) & 0x05, 0x05);
	EXPECT_EQ(in8(0x60), 0x55);
	EXPECT_EQ(in8(0x64) & 0x01, 0);
	out8(0x64, 0xab);
	EXPECT_EQ(in8(0x60), 0x00);
	out8(0x64, 0xa9);
	EXPECT_EQ(in8(0x60), 0x01);
	out8(0x64, 0xd3);
	out8(0x60, 0x5a);
	EXPECT_EQ(in8(0x64) & 0x21, 0x01);
	EXPECT_EQ(in8(0x60), 0x5a);
}

TEST(command_byte_reads_back)
{
	setup();
	out8(0x64, 0x60);
	EXPECT_EQ(in8(0x64) & 0x08, 0x08);
	out8(0x60, 0x47);
	out8(0x64, 0x20);
	EXPECT_EQ(in8(0x60), 0x47);
	out8(0x64, 0xad);
	out8(0x64, 0x20);
	EXPECT_EQ(in8(0x60), 0x57);
	out8(0x64, 0xae);
	out8(0x64, 0xa7);
	out8(0x64, 0x20);
	EXPECT_EQ(in8(0x60), 0x67);
}

TEST(an_absent_keyboard_times_out_with_an_interrupt)
{
	setup();
	out8(0x60, 0xff);
	EXPECT_EQ(in8(0x64) & 0x41, 0x41);
	EXPECT(!irq.level);
	EXPECT_EQ(in8(0x60), 0xfe);
	out8(0x64, 0x60);
	out8(0x60, 0x01);
	out8(0x60, 0xf2);
	EXPECT(irq.level);
	in8(0x60);
	EXPECT(!irq.level);
}

TEST(pulse_resets)
{
	setup();
	out8(0x64, 0xff);
	EXPECT_EQ(fixture_vm.stop, VM_RUNNING);
	out8(0x64, 0xfe);
	EXPECT_EQ(fixture_vm.stop, VM_RESET);
}

TEST(output_port_resets_and_gates)
{
	setup();
	out8(0x64, 0xd1);
	out8(0x60, 0xdd);
	out8(0x64, 0xd0);
	EXPECT_EQ(in8(0x60) & 0x03, 0x01);
	EXPECT_EQ(in8(0x92), 0);
	out8(0x92, 2);
	EXPECT_EQ(in8(0x92), 2);
	EXPECT_EQ(fixture_vm.stop, VM_RUNNING);
	out8(0x64, 0xd1);
	out8(0x60, 0x02);
	EXPECT_EQ(fixture_vm.stop, VM_RESET);
}

TEST(port_92_resets_on_a_rise)
{
	setup();
	out8(0x92, 0x02);
	EXPECT_EQ(fixture_vm.stop, VM_RUNNING);
	out8(0x92, 0x03);
	EXPECT_EQ(fixture_vm.stop, VM_RESET);
}

TEST(state_survives)
{
	size_t size;

	setup();
	out8(0x64, 0x60);
	out8(0x60, 0x45);
	out8(0x92, 0);
	out8(0x64, 0xaa);
	out8(0x64, 0x60);
	size = device_save(&i8042.device);
	vm_reset(&fixture_vm);
	EXPECT_EQ(in8(0x92), 2);
	EXPECT_EQ(device_load(&i8042.device, size), 0);
	EXPECT(irq.level);
	EXPECT_EQ(in8(0x60), 0x55);
	out8(0x60, 0x77); /* the command's byte was still to come */
	out8(0x64, 0x20);
	EXPECT_EQ(in8(0x60), 0x77);
	EXPECT_EQ(in8(0x92), 0);
}

TEST(nonsense_states_do_no_harm)
{
	setup();
	device_load_nonsense(&i8042.device, probe);
}
