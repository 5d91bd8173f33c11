/* SPDX-License-Identifier: BSD-2-Clause */
/* The device where the engine has the APICs, and what core does there. */
#include "device_fixture.h"

#include "devices/ioapic.h"
#include "devices/lapic.h"
#include "lib/bytes.h"

enum { CS = 1, RBX = 3 };

static struct lapics lapics;
static struct ioapic ioapic;
static int pic_vector = 0x68;

static int pic(void *listener)
{
	EXPECT(fake_lock_held(&fixture_vm.lock));
	return pic_vector;
}

static void setup(unsigned vcpus)
{
	struct vm *vm = fixture_vm_create_on(&engine_scripted_apics, vcpus);

	lapics_init(&lapics, vm);
	ioapic_init(&ioapic, vm, &lapics, 0);
	lapics.pic_acknowledge = pic;
}

static struct vcpu *vcpu(unsigned id)
{
	return fixture_vm.vcpus[id];
}

static void locked_lint(unsigned input, bool level)
{
	vm_lock(&fixture_vm);
	lapics_lint_set(&lapics, input, level);
	vm_unlock(&fixture_vm);
}

static void expect_message(unsigned count, uint64_t address, uint32_t data)
{
	uint64_t last_address;
	uint32_t last_data;

	EXPECT_EQ(scripted_messages(&fixture_vm, &last_address, &last_data), count);
	EXPECT_EQ(last_address, address);
	EXPECT_EQ(last_data, data);
}

TEST(the_engine_is_given_the_power_on_state)
{
	setup(2);
	EXPECT_EQ(scripted_apic(vcpu(0))->base, 0xfee00900);
	EXPECT_EQ(scripted_apic(vcpu(0))->lvt[LVT_LINT0], 0x700);
	EXPECT_EQ(scripted_apic(vcpu(1))->base, 0xfee00800);
	EXPECT_EQ(scripted_apic(vcpu(1))->lvt[LVT_LINT0], 0x10000);
	scripted_apic(vcpu(1))->tpr = 0x20;
	vm_reset(&fixture_vm);
	EXPECT_EQ(scripted_apic(vcpu(1))->tpr, 0);
	EXPECT_EQ(scripted_apic(vcpu(1))->svr, 0xff);
}

TEST(the_device_has_no_registers)
{
	setup(1);
	EXPECT_EQ(load32(0, APIC_ADDRESS + 0x30), UINT32_MAX);
	rdmsr(0, 0x1b);
	EXPECT(fixture_fault);
}

TEST(messages_go_to_the_engine_as_they_are)
{
	setup(1);
	vm_lock(&fixture_vm);
	lapics_msi(&lapics, 0xfee0300c, 0x4152);
	expect_message(1, 0xfee0300c, 0x4152);
	lapics_msi(&lapics, 0xfec00000, 0x4152);
	expect_message(1, 0xfee0300c, 0x4152);
	vm_unlock(&fixture_vm);
}

TEST(the_io_apic_sends_messages_and_hears_of_their_end)
{
	setup(2);
	store32(0, IOAPIC_ADDRESS, 0x10 + 2 * 16 + 1);
	store32(0, IOAPIC_ADDRESS + 0x10, 0x01000000);
	store32(0, IOAPIC_ADDRESS, 0x10 + 2 * 16);
	store32(0, IOAPIC_ADDRESS + 0x10, 0x8000 | 0x41);
	vm_lock(&fixture_vm);
	ioapic_set(&ioapic, 16, true);
	vm_unlock(&fixture_vm);
	expect_message(1, 0xfee01000, 0xc041);
	vcpu_end_of_interrupt(vcpu(1), 0x40);
	expect_message(1, 0xfee01000, 0xc041);
	vcpu_end_of_interrupt(vcpu(1), 0x41);
	expect_message(2, 0xfee01000, 0xc041);
	EXPECT(!fake_lock_held(&fixture_vm.lock));
}

static void save_and_load(void)
{
	size_t size = device_save(&lapics.device);

	EXPECT_EQ(device_load(&lapics.device, size), 0);
	size = device_save(&ioapic.device);
	EXPECT_EQ(device_load(&ioapic.device, size), 0);
}

/* The processor had it before the state was asked for, and the engine has not told of its end. */
TEST(an_end_that_nobody_told_of_is_made_up_for_by_a_load)
{
	setup(1);
	store32(0, IOAPIC_ADDRESS, 0x10 + 2 * 16);
	store32(0, IOAPIC_ADDRESS + 0x10, 0x8000 | 0x41);
	vm_lock(&fixture_vm);
	ioapic_set(&ioapic, 16, true);
	vm_unlock(&fixture_vm);
	expect_message(1, 0xfee00000, 0xc041);
	scripted_apic(vcpu(0))->irr[1] = 2;
	save_and_load();
	expect_message(1, 0xfee00000, 0xc041);
	scripted_apic(vcpu(0))->irr[1] = 0;
	save_and_load();
	expect_message(2, 0xfee00000, 0xc041);
}

TEST(pins_go_to_the_engine_and_vectors_come_from_the_8259s)
{
	setup(1);
	locked_lint(0, true);
	EXPECT(scripted_lint(&fixture_vm, 0));
	EXPECT_EQ(vcpu(0)->pending, 0);
	EXPECT_EQ(vcpu_take_interrupt(vcpu(0)), 0x68);
	pic_vector = -1;
	EXPECT_EQ(vcpu_take_interrupt(vcpu(0)), -1);
	locked_lint(0, false);
	EXPECT(!scripted_lint(&fixture_vm, 0));
	locked_lint(1, true);
	EXPECT(scripted_lint(&fixture_vm, 1));
	EXPECT_EQ(vcpu(0)->pending, 0);
}

TEST(state_is_saved_from_the_engine_and_loaded_into_it)
{
	struct apic *apic;
	size_t size;

	setup(2);
	apic = scripted_apic(vcpu(1));
	apic->tpr = 0x30;
	apic->irr[1] = 2;
	apic->timer_running = true;
	apic->initial_count = 500;
	locked_lint(0, true);
	size = device_save(&lapics.device);
	vm_reset(&fixture_vm);
	EXPECT_EQ(apic->tpr, 0);
	EXPECT(!apic->lint0);
	EXPECT(!scripted_lint(&fixture_vm, 0));
	EXPECT_EQ(device_load(&lapics.device, size), 0);
	EXPECT_EQ(apic->tpr, 0x30);
	EXPECT_EQ(apic->irr[1], 2);
	EXPECT(apic->timer_running);
	EXPECT_EQ(apic->initial_count, 500);
	EXPECT(apic->lint0);
	EXPECT(scripted_lint(&fixture_vm, 0));
	EXPECT_EQ(fake_deadline(&fixture_vm), UINT64_MAX);
}

TEST(what_one_way_has_saved_the_other_can_load)
{
	static struct lapics ours;
	size_t size;

	setup(1);
	scripted_apic(vcpu(0))->tpr = 0x40;
	size = device_save(&lapics.device);
	lapics_init(&ours, fixture_vm_create(1));
	EXPECT_EQ(device_load(&ours.device, size), 0);
	EXPECT_EQ(load32(0, APIC_ADDRESS + 0x80), 0x40);
}

static void no_probe(void)
{
	vcpu_end_of_interrupt(vcpu(0), 0x41);
	vcpu_take_interrupt(vcpu(0));
}

TEST(nonsense_states_do_no_harm)
{
	setup(1);
	device_load_nonsense(&lapics.device, no_probe);
}

/* Core */

static unsigned idles;

static void idle_starts(struct vcpu *which)
{
	if (idles++ == 0) {
		vcpu_post(which, PENDING_INIT);
		return;
	}
	which->sipi_vector = 0x9a;
	vcpu_post(which, PENDING_SIPI);
}

TEST(the_engine_sleeps_for_a_processor_that_waits)
{
	static const struct scripted_step steps[] = {{.exit = {.kind = EXIT_KICKED}}};

	setup(2);
	fake_on_idle(idle_starts);
	scripted_apic(vcpu(1))->tpr = 0x70;
	scripted_apic(vcpu(1))->base |= APIC_BASE_X2APIC;
	scripted_play(vcpu(1), steps, 1, NULL);
	vcpu_run(vcpu(1));
	EXPECT_EQ(idles, 2);
	EXPECT_EQ(scripted_position(vcpu(1)), 1);
	EXPECT_EQ(scripted_resets(vcpu(1)), 1);
	EXPECT_EQ(scripted_apic(vcpu(1))->tpr, 0);
	EXPECT_EQ(scripted_apic(vcpu(1))->base, 0xfee00c00);
	EXPECT_EQ(vcpu(1)->state.activity, VCPU_RUNNING);
	vcpu_sync(vcpu(1));
	EXPECT_EQ(vcpu(1)->state.segment[CS].selector, 0x9a00);
	EXPECT_EQ(vcpu(1)->state.rip, 0);
	EXPECT_EQ(atomic_load(&fixture_vm.stop), VM_POWERED_OFF);
}

static void change(struct vcpu *which)
{
	which->state.gpr[RBX] = 0x1234;
	which->state.xsave[900] = 7;
}

static void expect_changed(struct vcpu *which)
{
	EXPECT_EQ(which->state.gpr[RBX], 0x1234);
	EXPECT_EQ(which->state.xsave[900], 7);
}

TEST(state_is_brought_up_to_date_when_somebody_looks)
{
	static const struct scripted_step steps[] = {
		{.exit = {.kind = EXIT_KICKED}, .before = change},
		{.exit = {.kind = EXIT_KICKED}, .before = expect_changed},
	};
	uint64_t tsc_offset;

	setup(1);
	tsc_offset = vcpu(0)->state.tsc_offset;
	scripted_play(vcpu(0), steps, 2, NULL);
	vcpu_run(vcpu(0));
	EXPECT_EQ(scripted_syncs(vcpu(0)), 0);
	EXPECT_EQ(vcpu(0)->state.tsc_offset, tsc_offset);
	EXPECT_EQ(vcpu(0)->state.activity, VCPU_RUNNING);
	EXPECT(vcpu(0)->state.gpr[RBX] != 0x1234);
	vcpu_sync(vcpu(0));
	vcpu_sync(vcpu(0));
	EXPECT_EQ(scripted_syncs(vcpu(0)), 1);
	expect_changed(vcpu(0));
	vm_reset(&fixture_vm);
	EXPECT_EQ(vcpu(0)->state.gpr[RBX], 0);
	vcpu_sync(vcpu(0));
	EXPECT_EQ(vcpu(0)->state.gpr[RBX], 0);
}

static void pause_and_resume(struct vcpu *which)
{
	vm_lock(&fixture_vm);
	if (vm_paused(&fixture_vm))
		vm_resume(&fixture_vm);
	vm_unlock(&fixture_vm);
}

static void ask_for_pause(struct vcpu *which)
{
	vm_lock(&fixture_vm);
	vm_pause(&fixture_vm);
	vm_unlock(&fixture_vm);
}

TEST(a_pause_leaves_the_state_alone)
{
	static const struct scripted_step steps[] = {
		{.exit = {.kind = EXIT_KICKED}, .before = change},
		{.exit = {.kind = EXIT_KICKED}, .before = ask_for_pause},
		{.exit = {.kind = EXIT_KICKED}, .before = expect_changed},
	};

	setup(1);
	fake_on_idle(pause_and_resume);
	scripted_play(vcpu(0), steps, 3, NULL);
	vcpu_run(vcpu(0));
	EXPECT_EQ(scripted_position(vcpu(0)), 3);
	EXPECT_EQ(fixture_vm.pauses, 1);
	EXPECT_EQ(atomic_load(&fixture_vm.stop), VM_POWERED_OFF);
}

static void halt(struct vcpu *which)
{
	which->state.activity = VCPU_HALTED;
}

/* Asleep in the engine; parked; asleep again, until something happens to it. */
static void idle_in_turn(struct vcpu *which)
{
	switch (idles++) {
	case 0:
		ask_for_pause(which);
		break;
	case 1:
		EXPECT(vm_paused(&fixture_vm));
		pause_and_resume(which);
		break;
	default:
		EXPECT_EQ(which->state.activity, VCPU_HALTED);
		which->state.activity = VCPU_RUNNING;
		fixture_vm.engine->kick(which);
		break;
	}
}

TEST(a_halted_processor_sleeps_in_the_engine_and_can_be_paused)
{
	static const struct scripted_step steps[] = {
		{.exit = {.kind = EXIT_KICKED}, .before = halt},
		{.exit = {.kind = EXIT_KICKED}},
	};

	setup(1);
	fake_on_idle(idle_in_turn);
	scripted_play(vcpu(0), steps, 2, NULL);
	vcpu_run(vcpu(0));
	EXPECT_EQ(idles, 3);
	EXPECT_EQ(fixture_vm.pauses, 1);
	EXPECT_EQ(scripted_position(vcpu(0)), 2);
	EXPECT_EQ(vcpu(0)->exits[EXIT_HALT], 0);
	EXPECT_EQ(atomic_load(&fixture_vm.stop), VM_POWERED_OFF);
}
