/* SPDX-License-Identifier: BSD-2-Clause */
#include "device_fixture.h"

#include "devices/pic.h"

static struct pic pic;
static struct wire intr;

/* As every operating system does it: vectors 0x20 and 0x28, everything unmasked. */
static void programme(uint8_t icw4)
{
	out8(0x20, 0x11);
	out8(0xa0, 0x11);
	out8(0x21, 0x20);
	out8(0xa1, 0x28);
	out8(0x21, 0x04);
	out8(0xa1, 0x02);
	out8(0x21, icw4);
	out8(0xa1, icw4 & 0x0f);
	out8(0x21, 0);
	out8(0xa1, 0);
}

static void setup(void)
{
	pic_init(&pic, fixture_vm_create(1));
	irq_connect(&pic.intr, wire_set, &intr, 0);
	programme(0x01);
}

static void edge(unsigned input)
{
	pic_set(&pic, input, true);
	pic_set(&pic, input, false);
}

static void probe(void)
{
	for (unsigned i = 0; i < 16; i++)
		edge(i);
	for (unsigned i = 0; i < 40; i++) {
		int vector = pic_acknowledge(&pic);

		EXPECT(vector >= 0 && vector <= 255);
		out8(0xa0, 0x20);
		out8(0x20, 0x20);
	}
	in8(0x20);
	in8(0xa1);
	out8(0x21, 0);
}

TEST(an_edge_is_delivered_and_ended)
{
	setup();
	edge(4);
	EXPECT(intr.level);
	EXPECT_EQ(in8(0x20), 0x10);
	EXPECT_EQ(pic_acknowledge(&pic), 0x24);
	EXPECT(!intr.level);
	out8(0x20, 0x0b);
	EXPECT_EQ(in8(0x20), 0x10);
	out8(0x20, 0x20);
	EXPECT_EQ(in8(0x20), 0);
}

TEST(lower_inputs_come_first_and_block_higher_ones)
{
	setup();
	edge(5);
	edge(3);
	EXPECT_EQ(pic_acknowledge(&pic), 0x23);
	EXPECT(!intr.level);
	edge(1);
	EXPECT(intr.level);
	EXPECT_EQ(pic_acknowledge(&pic), 0x21);
	out8(0x20, 0x20);
	EXPECT(!intr.level);
	out8(0x20, 0x20);
	EXPECT_EQ(pic_acknowledge(&pic), 0x25);
}

TEST(the_slave_comes_through_input_2)
{
	setup();
	edge(12);
	EXPECT(intr.level);
	EXPECT_EQ(pic_acknowledge(&pic), 0x2c);
	out8(0x20, 0x0b);
	out8(0xa0, 0x0b);
	EXPECT_EQ(in8(0x20), 0x04);
	EXPECT_EQ(in8(0xa0), 0x10);
	edge(8);
	EXPECT(!intr.level); /* the master's input 2 is in service */
	out8(0xa0, 0x20);
	out8(0x20, 0x20);
	EXPECT_EQ(pic_acknowledge(&pic), 0x28);
}

TEST(special_fully_nested_lets_the_slave_interrupt_itself)
{
	setup();
	programme(0x11);
	edge(12);
	EXPECT_EQ(pic_acknowledge(&pic), 0x2c);
	edge(8);
	EXPECT(intr.level);
	EXPECT_EQ(pic_acknowledge(&pic), 0x28);
}

TEST(masks_hold_back_and_let_go)
{
	setup();
	out8(0x21, 0xff);
	edge(1);
	EXPECT(!intr.level);
	EXPECT_EQ(in8(0x21), 0xff);
	out8(0x21, 0xfd);
	EXPECT_EQ(pic_acknowledge(&pic), 0x21);
}

TEST(nothing_to_acknowledge_is_input_7)
{
	setup();
	edge(1);
	out8(0x21, 0xff);
	EXPECT_EQ(pic_acknowledge(&pic), 0x27);
	out8(0x20, 0x0b);
	EXPECT_EQ(in8(0x20), 0); /* and not in service */
}

TEST(level_inputs_follow_their_line)
{
	setup();
	out8(0x4d1, 0xff);
	EXPECT_EQ(in8(0x4d1), 0xde);
	out8(0x4d0, 0xff);
	EXPECT_EQ(in8(0x4d0), 0xf8);
	pic_set(&pic, 10, true);
	EXPECT_EQ(pic_acknowledge(&pic), 0x2a);
	out8(0xa0, 0x20);
	out8(0x20, 0x20);
	EXPECT(intr.level);
	EXPECT_EQ(pic_acknowledge(&pic), 0x2a);
	pic_set(&pic, 10, false);
	out8(0xa0, 0x20);
	out8(0x20, 0x20);
	EXPECT(!intr.level);
}

TEST(automatic_end_of_interrupt)
{
	setup();
	programme(0x03);
	edge(3);
	EXPECT_EQ(pic_acknowledge(&pic), 0x23);
	out8(0x20, 0x0b);
	EXPECT_EQ(in8(0x20), 0);
}

/* What the slave does not block it asks for at once. */
TEST(the_slave_comes_again_at_once)
{
	setup();
	programme(0x03);
	edge(8);
	edge(12);
	EXPECT_EQ(pic_acknowledge(&pic), 0x28);
	EXPECT(intr.level);
	EXPECT_EQ(pic_acknowledge(&pic), 0x2c);
	EXPECT(!intr.level);
	edge(8);
	edge(12);
	out8(0x20, 0x0c);
	EXPECT_EQ(in8(0x20), 0x82);
	out8(0xa0, 0x0c);
	EXPECT_EQ(in8(0xa0), 0x80);
	EXPECT_EQ(pic_acknowledge(&pic), 0x2c);

	programme(0x01);
	out8(0xa0, 0x68);
	edge(8);
	edge(12);
	EXPECT_EQ(pic_acknowledge(&pic), 0x28);
	out8(0x20, 0x20);
	EXPECT(intr.level);
	EXPECT_EQ(pic_acknowledge(&pic), 0x2c);
}

TEST(rotation_makes_the_served_the_last)
{
	setup();
	edge(3);
	EXPECT_EQ(pic_acknowledge(&pic), 0x23);
	out8(0x20, 0xa0); /* rotate on non-specific EOI */
	edge(3);
	edge(4);
	EXPECT_EQ(pic_acknowledge(&pic), 0x24);
	out8(0x20, 0x64); /* specific EOI */
	EXPECT_EQ(pic_acknowledge(&pic), 0x23);
	out8(0x20, 0x63);
	out8(0x20, 0xc5); /* set priority: 6 is first */
	edge(0);
	edge(6);
	EXPECT_EQ(pic_acknowledge(&pic), 0x26);
}

TEST(special_mask_mode_opens_lower_priorities)
{
	setup();
	edge(1);
	EXPECT_EQ(pic_acknowledge(&pic), 0x21);
	edge(5);
	EXPECT(!intr.level);
	out8(0x20, 0x68);
	EXPECT(intr.level);
	EXPECT_EQ(pic_acknowledge(&pic), 0x25);
	out8(0x20, 0x48);
}

TEST(polling_acknowledges)
{
	setup();
	edge(6);
	out8(0x20, 0x0c);
	EXPECT_EQ(in8(0x20), 0x86);
	EXPECT(!intr.level);
	out8(0x20, 0x0c);
	EXPECT_EQ(in8(0x20) & 0x80, 0);
}

TEST(initialisation_forgets)
{
	setup();
	edge(3);
	out8(0x21, 0xaa);
	out8(0x20, 0x13); /* single, ICW4 */
	out8(0x21, 0x40);
	out8(0x21, 0x01);
	EXPECT_EQ(in8(0x21), 0);
	EXPECT(!intr.level);
	edge(3);
	EXPECT_EQ(pic_acknowledge(&pic), 0x43);
}

TEST(state_survives)
{
	size_t size;

	setup();
	edge(3);
	EXPECT_EQ(pic_acknowledge(&pic), 0x23);
	edge(12);
	edge(1);
	size = device_save(&pic.device);
	vm_reset(&fixture_vm);
	EXPECT(!intr.level);
	EXPECT_EQ(device_load(&pic.device, size), 0);
	EXPECT(intr.level);
	EXPECT_EQ(pic_acknowledge(&pic), 0x21);
	out8(0x20, 0x20);
	EXPECT_EQ(pic_acknowledge(&pic), 0x2c);
}

TEST(nonsense_states_do_no_harm)
{
	setup();
	device_load_nonsense(&pic.device, probe);
}
