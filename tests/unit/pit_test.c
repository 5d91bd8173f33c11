/* SPDX-License-Identifier: BSD-2-Clause */
#include "device_fixture.h"

#include "devices/ioapic.h"
#include "devices/lapic.h"
#include "devices/pit.h"
#include "lib/bytes.h"

#define CLOCK(count) (((count)*1000000000ull + PIT_FREQUENCY - 1) / PIT_FREQUENCY)

static struct pit pit;
static struct wire irq;

static void setup(void)
{
	pit_init(&pit, fixture_vm_create(1));
	irq_connect(&pit.irq, wire_set, &irq, 0);
}

static void programme(unsigned channel, uint8_t control, unsigned count)
{
	out8(0x43, (uint8_t)(channel << 6 | 0x30 | control));
	out8(0x40 + channel, (uint8_t)count);
	out8(0x40 + channel, (uint8_t)(count >> 8));
}

static unsigned word(unsigned channel)
{
	unsigned low = in8(0x40 + channel);

	return low | (unsigned)in8(0x40 + channel) << 8;
}

static unsigned count(unsigned channel)
{
	out8(0x43, (uint8_t)(channel << 6));
	return word(channel);
}

static uint8_t status(unsigned channel)
{
	out8(0x43, (uint8_t)(0xe0 | 2u << channel));
	return in8(0x40 + channel);
}

static void probe(void)
{
	for (unsigned i = 0; i < 3; i++) {
		count(i);
		status(i);
	}
	out8(0x61, 1);
	in8(0x61);
	out8(0x61, 0);
}

TEST(mode_0_interrupts_once_at_the_end)
{
	setup();
	programme(0, 0x00, 1000);
	EXPECT(!irq.level);
	fake_advance(CLOCK(400));
	EXPECT_EQ(count(0), 600);
	EXPECT(!irq.level);
	fake_advance(CLOCK(601));
	EXPECT(irq.level);
	EXPECT_EQ(irq.rises, 1);
	fake_advance(1000000000);
	EXPECT_EQ(irq.rises, 1);
	out8(0x43, 0x30); /* a control word lowers it */
	EXPECT(!irq.level);
}

TEST(mode_2_interrupts_at_its_rate)
{
	setup();
	programme(0, 0x04, 11932); /* 100 Hz */
	irq.rises = 0;
	fake_advance(1000000000);
	EXPECT(irq.rises >= 99 && irq.rises <= 100);
	EXPECT(irq.level);
	EXPECT_EQ(status(0), 0xb4);
}

TEST(mode_3_counts_by_two)
{
	setup();
	programme(0, 0x06, 10000);
	fake_advance(CLOCK(1000));
	EXPECT_EQ(count(0), 8000);
	fake_advance(CLOCK(4000) + 900);
	EXPECT(count(0) > 9990);
	EXPECT_EQ(status(0) & 0x80, 0);
	irq.rises = 0;
	fake_advance(1000000000);
	EXPECT(irq.rises >= 118 && irq.rises <= 120);
}

TEST(mode_4_strobes_once)
{
	setup();
	programme(0, 0x08, 500);
	EXPECT(irq.level);
	irq.rises = 0;
	fake_advance(10000000);
	EXPECT_EQ(irq.rises, 1);
}

TEST(count_0_means_65536)
{
	setup();
	programme(2, 0x00, 0);
	out8(0x61, 1);
	fake_advance(CLOCK(1));
	EXPECT_EQ(count(2), 0xffff);
}

TEST(bcd_counts_in_decimal)
{
	setup();
	programme(0, 0x01, 0x1000);
	fake_advance(CLOCK(1));
	EXPECT_EQ(count(0), 0x0999);
	fake_advance(CLOCK(1001));
	EXPECT_EQ(count(0), 0x9998);
	programme(0, 0x01, 0);
	fake_advance(CLOCK(1));
	EXPECT_EQ(count(0), 0x9999);
}

TEST(single_byte_access)
{
	setup();
	out8(0x43, 0x10); /* low byte only */
	out8(0x40, 200);
	fake_advance(CLOCK(50));
	EXPECT_EQ(in8(0x40), 150);
	out8(0x43, 0x20); /* high byte only */
	out8(0x40, 2);
	fake_advance(CLOCK(1));
	EXPECT_EQ(in8(0x40), 1);
}

TEST(a_latched_count_stays_until_read)
{
	setup();
	programme(0, 0x04, 50000);
	fake_advance(CLOCK(1000));
	out8(0x43, 0x00);
	fake_advance(CLOCK(1000));
	out8(0x43, 0x00); /* a second latch changes nothing */
	EXPECT_EQ(word(0), 49000);
	EXPECT_EQ(word(0), 48000);
}

TEST(read_back_latches_status_and_count_together)
{
	setup();
	programme(0, 0x04, 50000);
	out8(0x43, 0xb4); /* channel 2: a control word without a count */
	fake_advance(CLOCK(1000));
	out8(0x43, 0xc2); /* both, of channel 0 */
	fake_advance(CLOCK(1000));
	EXPECT_EQ(in8(0x40), 0xb4);
	EXPECT_EQ(word(0), 49000);
	EXPECT_EQ(status(2) & 0x40, 0x40); /* null count */
	EXPECT_EQ(in8(0x43), 0xff);
}

TEST(port_61_gates_channel_2_and_shows_its_output)
{
	setup();
	programme(2, 0x00, 1000);
	fake_advance(CLOCK(2000));
	EXPECT_EQ(in8(0x61) & 0x20, 0); /* the gate is low: nothing counts */
	out8(0x61, 1);
	fake_advance(CLOCK(400));
	out8(0x61, 0);
	fake_advance(CLOCK(5000));
	EXPECT_EQ(count(2), 600);
	out8(0x61, 1);
	fake_advance(CLOCK(599));
	EXPECT_EQ(in8(0x61) & 0x20, 0);
	fake_advance(CLOCK(2));
	EXPECT_EQ(in8(0x61) & 0x21, 0x21);
}

TEST(mode_1_is_triggered_by_its_gate)
{
	setup();
	programme(2, 0x02, 1000);
	EXPECT_EQ(in8(0x61) & 0x20, 0x20);
	out8(0x61, 1);
	EXPECT_EQ(in8(0x61) & 0x20, 0);
	fake_advance(CLOCK(800));
	out8(0x61, 0);
	out8(0x61, 1); /* again, from the start */
	fake_advance(CLOCK(800));
	EXPECT_EQ(in8(0x61) & 0x20, 0);
	fake_advance(CLOCK(201));
	EXPECT_EQ(in8(0x61) & 0x20, 0x20);
}

TEST(refresh_toggles)
{
	unsigned changes = 0;
	uint8_t before;

	setup();
	before = in8(0x61) & 0x10;
	for (unsigned i = 0; i < 100; i++) {
		uint8_t now;

		fake_advance(5000);
		now = in8(0x61) & 0x10;
		changes += now != before;
		before = now;
	}
	EXPECT(changes >= 32 && changes <= 34);
}

TEST(a_tiny_period_does_not_hang_the_host)
{
	unsigned before;

	setup();
	programme(0, 0x04, 2);
	before = fake_wake_requests();
	fake_advance(1000000);
	EXPECT(fake_wake_requests() - before < 200);
}

TEST(state_survives)
{
	size_t size;
	unsigned rises;

	setup();
	programme(0, 0x04, 11932);
	programme(2, 0x00, 1000);
	out8(0x61, 1);
	fake_advance(CLOCK(400));
	size = device_save(&pit.device);
	vm_reset(&fixture_vm);
	EXPECT_EQ(in8(0x61) & 1, 0);
	EXPECT_EQ(device_load(&pit.device, size), 0);
	EXPECT_EQ(count(2), 600);
	EXPECT_EQ(count(0), 11532);
	rises = irq.rises;
	fake_advance(100000000);
	EXPECT(irq.rises - rises >= 9 && irq.rises - rises <= 10);
}

/* The output is low by then, the I/O APIC's input is not. */
TEST(no_tick_is_lost_by_a_load)
{
	static uint8_t saved[FIXTURE_STATE_SIZE];
	static struct lapics lapics;
	static struct ioapic ioapic;
	struct vcpu *vcpu;
	size_t size, ioapic_size;

	setup();
	vcpu = fixture_vm.vcpus[0];
	lapics_init(&lapics, &fixture_vm);
	ioapic_init(&ioapic, &fixture_vm, &lapics, 0);
	irq_connect(&pit.irq, ioapic_set, &ioapic, 2);
	store32(0, 0xfee000f0, 0x1ff);
	store32(0, IOAPIC_ADDRESS, 0x14);
	store32(0, IOAPIC_ADDRESS + 0x10, 0x34);
	programme(0, 0x06, 10000);
	fake_advance(CLOCK(10000) + 1);
	EXPECT_EQ(vcpu_take_interrupt(vcpu), 0x34);
	store32(0, 0xfee000b0, 0);
	fake_advance(CLOCK(7500));
	size = device_save(&pit.device);
	bytes_copy(saved, fixture_state, size);
	ioapic_size = device_save(&ioapic.device);

	vm_reset(&fixture_vm);
	store32(0, 0xfee000f0, 0x1ff);
	EXPECT_EQ(device_load(&ioapic.device, ioapic_size), 0);
	bytes_copy(fixture_state, saved, size);
	EXPECT_EQ(device_load(&pit.device, size), 0);
	EXPECT_EQ(vcpu_take_interrupt(vcpu), -1);
	fake_advance(CLOCK(2500));
	EXPECT_EQ(vcpu_take_interrupt(vcpu), 0x34);
}

TEST(nonsense_states_do_no_harm)
{
	setup();
	device_load_nonsense(&pit.device, probe);
}
