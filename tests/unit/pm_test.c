/* SPDX-License-Identifier: BSD-2-Clause */
#include "device_fixture.h"

#include "devices/pm.h"

static struct pm pm;
static struct wire sci;

static void setup(void)
{
	pm_init(&pm, fixture_vm_create(1));
	irq_connect(&pm.sci, wire_set, &sci, 0);
}

static void press(void (*button)(struct pm *pm))
{
	vm_lock(&fixture_vm);
	button(&pm);
	vm_unlock(&fixture_vm);
}

static void probe(void)
{
	in32(0x600);
	in16(0x604);
	in32(0x608);
	out16(0x602, 0x0101);
	in32(0x620);
	in32(0x624);
}

TEST(timer_runs_at_its_frequency)
{
	uint32_t before;

	setup();
	before = in32(0x608);
	fake_advance(1000000000);
	EXPECT_EQ(in32(0x608) - before, 3579545);
	out32(0x608, 0);
	EXPECT_EQ(in32(0x608) - before, 3579545);
	EXPECT_EQ(in8(0x609), (uint8_t)(in32(0x608) >> 8));
}

TEST(sleep_type_5_powers_off)
{
	setup();
	EXPECT_EQ(in16(0x604), 0x0001);
	out16(0x604, 0x3400 & ~0x2000); /* type without enable */
	EXPECT_EQ(fixture_vm.stop, VM_RUNNING);
	EXPECT_EQ(in16(0x604), 0x1401);
	out16(0x604, 0x2400); /* type 1 */
	out16(0x604, 0x2400);
	EXPECT_EQ(fixture_vm.stop, VM_RUNNING);
	EXPECT_EQ(fake_log_count(LOG_WARNING), 1);
	out16(0x604, 0x3400);
	EXPECT_EQ(fixture_vm.stop, VM_POWERED_OFF);
}

TEST(buttons_raise_sci_until_cleared)
{
	setup();
	press(pm_power_button);
	EXPECT(!sci.level);
	EXPECT_EQ(in16(0x600), 0x0100);
	out16(0x602, 0x0100);
	EXPECT(sci.level);
	out16(0x600, 0x0200); /* another bit */
	EXPECT(sci.level);
	out16(0x600, 0x0100);
	EXPECT(!sci.level);
	out16(0x602, 0xffff);
	EXPECT_EQ(in16(0x602), 0x0721);
	press(pm_sleep_button);
	EXPECT_EQ(in16(0x600), 0x0200);
	EXPECT(sci.level);
	EXPECT_EQ(in32(0x600), 0x07210200);
}

TEST(timer_overflow_interrupts)
{
	uint64_t half = 2147483648ull * 1000000000 / 3579545;

	setup();
	out16(0x602, 1);
	fake_advance(half - 10000);
	EXPECT(!sci.level);
	fake_advance(20000);
	EXPECT(sci.level);
	EXPECT_EQ(in16(0x600), 1);
	out16(0x600, 1);
	EXPECT(!sci.level);
	fake_advance(half);
	EXPECT(sci.level);
}

TEST(timer_status_is_there_for_those_who_poll)
{
	setup();
	fake_advance(601000000000);
	EXPECT_EQ(in16(0x600), 1);
	EXPECT(!sci.level);
}

TEST(general_purpose_events)
{
	setup();
	out8(0x624, 0x04);
	vm_lock(&fixture_vm);
	pm_gpe_raise(&pm, 2);
	pm_gpe_raise(&pm, 9);
	vm_unlock(&fixture_vm);
	EXPECT(sci.level);
	EXPECT_EQ(in32(0x620), 0x204);
	EXPECT_EQ(in8(0x621), 0x02);
	out8(0x620, 0x04);
	EXPECT(!sci.level);
	out8(0x625, 0x02);
	EXPECT(sci.level);
	EXPECT_EQ(in32(0x624), 0x204);
}

TEST(state_survives)
{
	size_t size;

	setup();
	out16(0x602, 0x0100);
	press(pm_power_button);
	out8(0x624, 0x04);
	size = device_save(&pm.device);
	vm_reset(&fixture_vm);
	EXPECT(!sci.level);
	EXPECT_EQ(in16(0x602), 0);
	EXPECT_EQ(device_load(&pm.device, size), 0);
	EXPECT(sci.level);
	EXPECT_EQ(in32(0x600), 0x01000100);
	EXPECT_EQ(in8(0x624), 0x04);
}

TEST(nonsense_states_do_no_harm)
{
	setup();
	device_load_nonsense(&pm.device, probe);
}
