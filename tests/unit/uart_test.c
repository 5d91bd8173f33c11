/* SPDX-License-Identifier: BSD-2-Clause */
#include "device_fixture.h"

#include "devices/uart.h"
#include "lib/bytes.h"

#define BASE 0x3f8u
enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static struct uart uart;
static struct wire wire;
static char written[256];
static size_t written_count, room = sizeof(written);
static unsigned asked;

static size_t console_write(struct console *console, const void *bytes, size_t length)
{
	size_t taken = length < room ? length : room;

	bytes_copy(written + written_count, bytes, taken);
	written_count += taken;
	room -= taken;
	return taken;
}

static void console_input_ready(struct console *console)
{
	asked++;
}

static const struct console_ops console_ops = {.write = console_write,
					       .input_ready = console_input_ready};
static struct console console = {.ops = &console_ops};

static void setup(void)
{
	uart_init(&uart, fixture_vm_create(1), "0", BASE, &console);
	irq_connect(&uart.irq, wire_set, &wire, 0);
}

static void probe(void)
{
	for (unsigned i = 0; i < 8; i++) {
		in8(BASE + i);
		if (i < 3)
			out8(BASE + i, 0x55);
	}
	console.input(console.device, "abc", 3);
}

TEST(written_bytes_reach_the_console)
{
	setup();
	EXPECT_EQ(in8(BASE + LSR), 0x60);
	out8(BASE, 'h');
	out8(BASE, 'i');
	EXPECT_EQ(written_count, 2);
	EXPECT_MEM(written, "hi", 2);
	EXPECT_EQ(in8(BASE + LSR), 0x60);
}

TEST(divisor_hides_behind_dlab)
{
	setup();
	out8(BASE + LCR, 0x83);
	out8(BASE, 0x0c);
	out8(BASE + IER, 0x01);
	EXPECT_EQ(in8(BASE), 0x0c);
	EXPECT_EQ(in8(BASE + IER), 0x01);
	out8(BASE + LCR, 0x03);
	EXPECT_EQ(in8(BASE + IER), 0);
	EXPECT_EQ(in8(BASE + LCR), 0x03);
	EXPECT_EQ(written_count, 0);
}

TEST(transmitter_interrupt_is_cleared_by_reading_what_it_is)
{
	setup();
	EXPECT_EQ(in8(BASE + IIR), 0x01);
	out8(BASE + IER, 0x02);
	EXPECT(wire.level);
	EXPECT_EQ(in8(BASE + IIR), 0x02);
	EXPECT(!wire.level);
	EXPECT_EQ(in8(BASE + IIR), 0x01);
	out8(BASE, 'x');
	EXPECT(wire.level);
	EXPECT_EQ(wire.rises, 2);
	out8(BASE, 'y');
	EXPECT_EQ(wire.rises, 2);
	out8(BASE + IER, 0);
	EXPECT(!wire.level);
}

TEST(receiver_interrupts_until_read)
{
	setup();
	out8(BASE + 2, 0x81);
	out8(BASE + IER, 0x01);
	EXPECT_EQ(in8(BASE + IIR), 0xc1);
	EXPECT_EQ(console.input(console.device, "abcdefgh", 8), 8);
	EXPECT(wire.level);
	EXPECT_EQ(in8(BASE + IIR), 0xc4);
	EXPECT_EQ(in8(BASE + LSR), 0x61);
	EXPECT_EQ(in8(BASE), 'a');
	EXPECT_EQ(in8(BASE + IIR), 0xcc); /* fewer than eight: the time-out */
	for (unsigned i = 1; i < 8; i++)
		EXPECT_EQ(in8(BASE), 'a' + i);
	EXPECT(!wire.level);
	EXPECT_EQ(in8(BASE + LSR), 0x60);
	EXPECT_EQ(in8(BASE), 0);
}

TEST(input_waits_outside_when_the_fifo_is_full)
{
	setup();
	EXPECT_EQ(console.input(console.device, "ab", 2), 1); /* no FIFO yet */
	EXPECT_EQ(in8(BASE), 'a');
	EXPECT_EQ(asked, 1);
	out8(BASE + 2, 0x01);
	EXPECT_EQ(console.input(console.device, "0123456789abcdefgh", 18), 16);
	for (unsigned i = 0; i < 15; i++)
		in8(BASE);
	EXPECT_EQ(asked, 1);
	in8(BASE);
	EXPECT_EQ(asked, 2);
	in8(BASE);
	EXPECT_EQ(asked, 2);
}

TEST(output_waits_when_the_console_is_full)
{
	setup();
	room = 1;
	out8(BASE + 2, 0x01);
	out8(BASE + IER, 0x02);
	in8(BASE + IIR);
	out8(BASE, '1');
	EXPECT(wire.level);
	out8(BASE, '2');
	EXPECT(!wire.level);
	out8(BASE, '3');
	EXPECT_EQ(in8(BASE + LSR), 0);
	EXPECT_EQ(written_count, 1);
	for (unsigned i = 0; i < 20; i++) /* the fifteenth is one too many */
		out8(BASE, 'z');
	room = 1;
	console.output_ready(console.device);
	EXPECT_EQ(written_count, 2);
	EXPECT(!wire.level);
	room = 100;
	console.output_ready(console.device);
	EXPECT_EQ(written_count, 17);
	EXPECT_MEM(written, "123zzz", 6);
	EXPECT(wire.level);
	EXPECT_EQ(in8(BASE + LSR), 0x60);
}

TEST(loopback_turns_everything_around)
{
	setup();
	EXPECT_EQ(in8(BASE + MSR), 0xb0);
	out8(BASE + MCR, 0x10);
	EXPECT_EQ(in8(BASE + MSR), 0x0b); /* all fell: three deltas */
	EXPECT_EQ(in8(BASE + MSR), 0x00);
	out8(BASE + MCR, 0x1a);
	EXPECT_EQ(in8(BASE + MSR) & 0xf0, 0x90);
	out8(BASE + MCR, 0x14);
	EXPECT_EQ(in8(BASE + MSR) & 0xf0, 0x40);
	out8(BASE + MCR, 0x10);
	EXPECT_EQ(in8(BASE + MSR), 0x04); /* the ring's end */
	out8(BASE, 'q');
	EXPECT_EQ(written_count, 0);
	EXPECT_EQ(in8(BASE), 'q');
	EXPECT_EQ(console.input(console.device, "x", 1), 0);
	out8(BASE + MCR, 0x0b);
	EXPECT_EQ(asked, 1);
}

TEST(overrun_is_told_once_and_first)
{
	setup();
	out8(BASE + IER, 0x07);
	out8(BASE + MCR, 0x10);
	out8(BASE, '1');
	out8(BASE, '2');
	EXPECT_EQ(in8(BASE + IIR), 0x06);
	EXPECT_EQ(in8(BASE + LSR), 0x63);
	EXPECT_EQ(in8(BASE + LSR), 0x61);
	EXPECT_EQ(in8(BASE + IIR), 0x04);
	EXPECT_EQ(in8(BASE), '1');
	EXPECT_EQ(in8(BASE + IIR), 0x02);
}

TEST(scratch_and_fifo_enable_read_back)
{
	setup();
	out8(BASE + SCR, 0xa5);
	EXPECT_EQ(in8(BASE + SCR), 0xa5);
	out8(BASE + 2, 0xc6); /* without the enable bit nothing else counts */
	EXPECT_EQ(in8(BASE + IIR), 0x01);
	out8(BASE + 2, 0xc1);
	EXPECT_EQ(in8(BASE + IIR), 0xc1);
	console.input(console.device, "abc", 3);
	out8(BASE + 2, 0xc3);
	EXPECT_EQ(in8(BASE + LSR), 0x60);
}

TEST(without_a_console_output_vanishes)
{
	uart_init(&uart, fixture_vm_create(1), "1", BASE, NULL);
	out8(BASE, 'x');
	EXPECT_EQ(in8(BASE + LSR), 0x60);
	EXPECT_EQ(in8(BASE + MSR), 0);
}

TEST(state_survives)
{
	size_t size;

	setup();
	out8(BASE + 2, 0x41);
	out8(BASE + LCR, 0x1b);
	out8(BASE + IER, 0x05);
	console.input(console.device, "hello", 5);
	in8(BASE);
	size = device_save(&uart.device);
	vm_reset(&fixture_vm);
	EXPECT_EQ(in8(BASE + LCR), 0);
	EXPECT(!wire.level);
	EXPECT_EQ(device_load(&uart.device, size), 0);
	EXPECT(wire.level);
	EXPECT_EQ(in8(BASE + LCR), 0x1b);
	EXPECT_EQ(in8(BASE + IIR), 0xc4);
	EXPECT_EQ(in8(BASE), 'e');
	EXPECT_EQ(in8(BASE), 'l');
}

TEST(nonsense_states_do_no_harm)
{
	setup();
	device_load_nonsense(&uart.device, probe);
	vm_reset(&fixture_vm);
	written_count = 0;
	room = sizeof(written);
	out8(BASE, 'k');
	EXPECT_MEM(written, "k", 1);
}
