/* SPDX-License-Identifier: BSD-2-Clause */
#include "device_fixture.h"

#include "devices/rtc.h"

#define SECOND 1000000000ull

/* The fake host's wall clock starts on Tuesday, 2023-11-14 22:13:20 UTC. */
static struct rtc rtc;
static struct wire irq;

static void setup(void)
{
	rtc_init(&rtc, fixture_vm_create(1));
	irq_connect(&rtc.irq, wire_set, &irq, 0);
}

static uint8_t get(unsigned index)
{
	out8(0x70, (uint8_t)index);
	return in8(0x71);
}

static void set(unsigned index, uint8_t value)
{
	out8(0x70, (uint8_t)index);
	out8(0x71, value);
}

static void probe(void)
{
	for (unsigned i = 0; i < 128; i++)
		get(i);
	set(0x0b, 0x72);
	set(4, 0x99);
	set(0x0b, 0x82);
	set(0x0b, 0x02);
}

static void expect_time(unsigned century, unsigned year, unsigned month, unsigned day,
			unsigned hour, unsigned minute, unsigned second)
{
	EXPECT_EQ(get(0x32), century);
	EXPECT_EQ(get(9), year);
	EXPECT_EQ(get(8), month);
	EXPECT_EQ(get(7), day);
	EXPECT_EQ(get(4), hour);
	EXPECT_EQ(get(2), minute);
	EXPECT_EQ(get(0), second);
}

TEST(shows_the_hosts_time)
{
	setup();
	expect_time(0x20, 0x23, 0x11, 0x14, 0x22, 0x13, 0x20);
	EXPECT_EQ(get(6), 3); /* Sunday is 1 */
	fake_advance(3 * SECOND);
	EXPECT_EQ(get(0), 0x23);
	fake_advance(2 * 3600 * SECOND);
	expect_time(0x20, 0x23, 0x11, 0x15, 0x00, 0x13, 0x23);
	EXPECT_EQ(get(6), 4);
}

TEST(binary_and_twelve_hour_formats)
{
	setup();
	set(0x0b, 0x06);
	expect_time(20, 23, 11, 14, 22, 13, 20);
	set(0x0b, 0x00);
	EXPECT_EQ(get(4), 0x90); /* ten, afternoon */
	set(0x0b, 0x04);
	EXPECT_EQ(get(4), 0x8a);
	fake_advance(2 * 3600 * SECOND);
	EXPECT_EQ(get(4), 12); /* midnight */
	fake_advance(12 * 3600 * SECOND);
	EXPECT_EQ(get(4), 0x8c); /* noon */
}

TEST(a_time_that_is_set_runs_on)
{
	static const uint8_t indices[] = {0x32, 9, 8, 7, 4, 2, 0};
	static const uint8_t values[] = {0x19, 0x96, 0x02, 0x28, 0x23, 0x59, 0x58};

	setup();
	set(0x0b, 0x82);
	for (unsigned i = 0; i < sizeof(indices); i++)
		set(indices[i], values[i]);
	fake_advance(10 * SECOND); /* stands while it is being set */
	expect_time(0x19, 0x96, 0x02, 0x28, 0x23, 0x59, 0x58);
	set(0x0b, 0x02);
	expect_time(0x19, 0x96, 0x02, 0x28, 0x23, 0x59, 0x58);
	fake_advance(3 * SECOND);
	expect_time(0x19, 0x96, 0x02, 0x29, 0x00, 0x00, 0x01);
	EXPECT_EQ(get(6), 5); /* a Thursday */
	fake_advance(86400 * SECOND);
	expect_time(0x19, 0x96, 0x03, 0x01, 0x00, 0x00, 0x01);
}

TEST(years_that_are_not_leap)
{
	setup();
	set(0x0b, 0x86);
	set(0x32, 21);
	set(9, 0);
	set(8, 2);
	set(7, 28);
	set(4, 12);
	set(0x0b, 0x06);
	fake_advance(86400 * SECOND);
	EXPECT_EQ(get(8), 3);
	EXPECT_EQ(get(7), 1);
	EXPECT_EQ(get(9), 0);
	EXPECT_EQ(get(0x32), 21);
}

TEST(day_0_is_the_one_before_the_first)
{
	setup();
	set(8, 0x03);
	set(7, 0x00);
	expect_time(0x20, 0x23, 0x02, 0x28, 0x22, 0x13, 0x20);
	device_save(&rtc.device);
}

TEST(update_in_progress_is_shown_before_the_second)
{
	setup();
	EXPECT_EQ(get(0x0a), 0x26);
	fake_advance(SECOND - 300000);
	EXPECT_EQ(get(0x0a), 0x26);
	fake_advance(200000);
	EXPECT_EQ(get(0x0a), 0xa6);
	fake_advance(100000);
	EXPECT_EQ(get(0x0a), 0x26);
	EXPECT_EQ(get(0), 0x21);
}

TEST(update_interrupt_every_second_until_read)
{
	setup();
	set(0x0b, 0x12);
	for (unsigned i = 0; i < 3; i++) {
		fake_advance(SECOND);
		EXPECT(irq.level);
		EXPECT_EQ(get(0x0c) & 0x90, 0x90);
		EXPECT(!irq.level);
		EXPECT_EQ(get(0x0c), 0);
	}
	fake_advance(5 * SECOND);
	EXPECT_EQ(irq.rises, 4);
}

TEST(periodic_interrupt_has_the_rate_of_register_a)
{
	unsigned rises = 0;

	setup();
	set(0x0a, 0x2f); /* 2 Hz */
	set(0x0b, 0x42);
	fake_advance(1);
	for (unsigned i = 0; i < 100; i++) {
		fake_advance(SECOND / 10);
		rises += irq.level;
		if (irq.level)
			EXPECT_EQ(get(0x0c) & 0xc0, 0xc0);
	}
	EXPECT_EQ(rises, 20);
	set(0x0a, 0x20);
	get(0x0c);
	fake_advance(SECOND);
	EXPECT(!irq.level);
}

TEST(flags_rise_without_being_enabled)
{
	setup();
	get(0x0c);
	fake_advance(SECOND);
	EXPECT_EQ(get(0x0c), 0x50);
	EXPECT_EQ(irq.rises, 0);
	EXPECT_EQ(fake_deadline(&fixture_vm), UINT64_MAX);
}

TEST(alarm_at_a_time_of_day)
{
	setup();
	set(5, 0x22);
	set(3, 0x14);
	set(1, 0x05);
	set(0x0b, 0x22);
	fake_advance(44 * SECOND);
	EXPECT(!irq.level);
	fake_advance(SECOND);
	EXPECT(irq.level);
	EXPECT_EQ(get(0x0c) & 0xa0, 0xa0);
	fake_advance(3600 * SECOND);
	EXPECT(!irq.level);
	set(5, 0xff); /* any hour */
	fake_advance(3600 * SECOND);
	EXPECT(irq.level);
}

TEST(an_alarm_slept_through_is_still_flagged)
{
	setup();
	set(5, 0x03);
	set(3, 0x00);
	set(1, 0x00);
	get(0x0c);
	fake_advance(4 * 3600 * SECOND);
	EXPECT_EQ(get(0x0c) & 0x20, 0);
	fake_advance(10 * 86400 * SECOND);
	EXPECT_EQ(get(0x0c) & 0x20, 0x20);
}

TEST(memory_survives_a_reset)
{
	setup();
	rtc_memory_set(&rtc, 0x38, 0x5a);
	set(0x40, 0x77);
	set(0x0b, 0x7a);
	fake_advance(SECOND);
	EXPECT(irq.level);
	vm_reset(&fixture_vm);
	EXPECT(!irq.level);
	EXPECT_EQ(get(0x38), 0x5a);
	EXPECT_EQ(get(0x40), 0x77);
	EXPECT_EQ(get(0x0b), 0x02);
	EXPECT_EQ(get(0x0d), 0x80);
	set(0x0d, 0);
	EXPECT_EQ(get(0x0d), 0x80);
}

TEST(state_survives)
{
	size_t size;

	setup();
	set(0x0b, 0x12);
	set(9, 0x30); /* while it runs */
	EXPECT_EQ(get(9), 0x30);
	fake_advance(SECOND);
	size = device_save(&rtc.device);
	get(0x0c);
	set(9, 0x40);
	set(0x0b, 0x02);
	EXPECT(!irq.level);
	EXPECT_EQ(device_load(&rtc.device, size), 0);
	EXPECT(irq.level);
	EXPECT_EQ(get(9), 0x30);
	EXPECT_EQ(get(0x0b), 0x12);
}

TEST(nonsense_states_do_no_harm)
{
	setup();
	device_load_nonsense(&rtc.device, probe);
}
