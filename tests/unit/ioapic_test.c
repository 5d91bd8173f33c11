/* SPDX-License-Identifier: BSD-2-Clause */
#include "device_fixture.h"

#include "devices/ioapic.h"
#include "devices/lapic.h"

#define EOI 0xfee000b0u
#define SVR 0xfee000f0u

static struct lapics lapics;
static struct ioapic ioapic;

static void setup(unsigned vcpus)
{
	struct vm *vm = fixture_vm_create(vcpus);

	lapics_init(&lapics, vm);
	ioapic_init(&ioapic, vm, &lapics, 2);
	for (unsigned i = 0; i < vcpus; i++)
		store32(i, SVR, 0x1ff);
}

static uint32_t get(unsigned number)
{
	store32(0, IOAPIC_ADDRESS, number);
	return load32(0, IOAPIC_ADDRESS + 0x10);
}

static void set(unsigned number, uint32_t value)
{
	store32(0, IOAPIC_ADDRESS, number);
	store32(0, IOAPIC_ADDRESS + 0x10, value);
}

static void entry_set(unsigned input, uint64_t entry)
{
	set(0x11 + 2 * input, (uint32_t)(entry >> 32));
	set(0x10 + 2 * input, (uint32_t)entry);
}

static int take(unsigned vcpu)
{
	return vcpu_take_interrupt(fixture_vm.vcpus[vcpu]);
}

static void probe(void)
{
	for (unsigned i = 0; i < 64; i++)
		set(i, get(i) & ~0x10000u);
	for (unsigned i = 0; i < IOAPIC_INPUTS; i++) {
		ioapic_set(&ioapic, i, true);
		ioapic_set(&ioapic, i, false);
	}
	store32(0, IOAPIC_ADDRESS + 0x40, 0x30);
}

TEST(says_what_it_is)
{
	setup(1);
	EXPECT_EQ(get(0), 2u << 24);
	EXPECT_EQ(get(1), 0x00170020);
	EXPECT_EQ(get(0x10), 0x10000);
	set(0, 0xff000000);
	EXPECT_EQ(get(0), 0x0f000000);
	EXPECT_EQ(get(0x40), 0);
	set(1, 0);
	EXPECT_EQ(get(1), 0x00170020);
}

TEST(an_edge_is_delivered_once)
{
	setup(1);
	entry_set(4, 0x34);
	ioapic_set(&ioapic, 4, true);
	EXPECT_EQ(take(0), 0x34);
	EXPECT_EQ(take(0), -1);
	store32(0, EOI, 0);
	EXPECT_EQ(take(0), -1);
	ioapic_set(&ioapic, 4, false);
	ioapic_set(&ioapic, 4, true);
	EXPECT_EQ(take(0), 0x34);
}

TEST(a_masked_edge_is_lost)
{
	setup(1);
	entry_set(4, 0x10034);
	ioapic_set(&ioapic, 4, true);
	entry_set(4, 0x34);
	EXPECT_EQ(take(0), -1);
}

TEST(a_level_comes_again_until_it_falls)
{
	setup(1);
	entry_set(16, 0x8040);
	ioapic_set(&ioapic, 16, true);
	EXPECT_EQ(get(0x10 + 32), 0xc040);
	EXPECT_EQ(take(0), 0x40);
	EXPECT_EQ(take(0), -1);
	store32(0, EOI, 0);
	EXPECT_EQ(take(0), 0x40);
	ioapic_set(&ioapic, 16, false);
	store32(0, EOI, 0);
	EXPECT_EQ(take(0), -1);
	EXPECT_EQ(get(0x10 + 32), 0x8040);
}

/* Nobody would end it. */
TEST(a_level_that_no_apic_takes_is_not_in_service)
{
	setup(1);
	store32(0, SVR, 0xff);
	entry_set(16, 0x8040);
	ioapic_set(&ioapic, 16, true);
	EXPECT_EQ(get(0x10 + 32), 0x8040);
	store32(0, SVR, 0x1ff);
	entry_set(16, 0x8040);
	EXPECT_EQ(get(0x10 + 32), 0xc040);
	EXPECT_EQ(take(0), 0x40);
}

TEST(a_level_is_not_sent_twice_before_its_end)
{
	setup(1);
	entry_set(16, 0x8040);
	ioapic_set(&ioapic, 16, true);
	EXPECT_EQ(take(0), 0x40);
	ioapic_set(&ioapic, 16, false);
	ioapic_set(&ioapic, 16, true);
	ioapic_set(&ioapic, 16, false);
	store32(0, EOI, 0);
	EXPECT_EQ(take(0), -1);
}

TEST(a_masked_level_waits)
{
	setup(1);
	entry_set(16, 0x18040);
	ioapic_set(&ioapic, 16, true);
	EXPECT_EQ(take(0), -1);
	entry_set(16, 0x8040);
	EXPECT_EQ(take(0), 0x40);
}

TEST(its_own_eoi_register_ends_a_level)
{
	setup(1);
	store32(0, SVR, 0x11ff); /* no broadcast */
	entry_set(16, 0x8040);
	ioapic_set(&ioapic, 16, true);
	EXPECT_EQ(take(0), 0x40);
	store32(0, EOI, 0);
	EXPECT_EQ(take(0), -1);
	store32(0, IOAPIC_ADDRESS + 0x40, 0x41);
	EXPECT_EQ(take(0), -1);
	store32(0, IOAPIC_ADDRESS + 0x40, 0x40);
	EXPECT_EQ(take(0), 0x40);
}

TEST(edge_mode_clears_remote_irr)
{
	setup(1);
	entry_set(16, 0x8040);
	ioapic_set(&ioapic, 16, true);
	entry_set(16, 0x10040);
	EXPECT_EQ(get(0x10 + 32), 0x10040);
	entry_set(16, 0xc040); /* remote IRR is not for writing */
	EXPECT_EQ(get(0x10 + 32), 0xc040);
	ioapic_set(&ioapic, 16, false);
	entry_set(17, 0xd041);
	EXPECT_EQ(get(0x10 + 34), 0x8041);
}

TEST(destination_decides_who_gets_it)
{
	setup(3);
	entry_set(5, 0x0200000000000050);
	ioapic_set(&ioapic, 5, true);
	EXPECT_EQ(take(0), -1);
	EXPECT_EQ(take(1), -1);
	EXPECT_EQ(take(2), 0x50);
	entry_set(6, 0xff00000000000051);
	ioapic_set(&ioapic, 6, true);
	for (unsigned i = 0; i < 2; i++)
		EXPECT_EQ(take(i), 0x51);
}

TEST(an_nmi_input_is_an_nmi)
{
	setup(1);
	entry_set(7, 0x400);
	ioapic_set(&ioapic, 7, true);
	EXPECT(fixture_vm.vcpus[0]->pending & PENDING_NMI);
}

TEST(state_survives)
{
	size_t size;

	setup(1);
	entry_set(16, 0x8040);
	ioapic_set(&ioapic, 16, true);
	EXPECT_EQ(take(0), 0x40);
	size = device_save(&ioapic.device);
	entry_set(16, 0x10000);
	ioapic_set(&ioapic, 16, false);
	EXPECT_EQ(device_load(&ioapic.device, size), 0);
	EXPECT_EQ(get(0x10 + 32), 0xc040);
	store32(0, EOI, 0);
	EXPECT_EQ(take(0), 0x40);
}

TEST(nonsense_states_do_no_harm)
{
	setup(2);
	device_load_nonsense(&ioapic.device, probe);
}
