/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "probe_device.h"
#include "saved_fixture.h"

#include "core/device.h"
#include "core/snapshot.h"
#include "lib/bytes.h"

static uint8_t bytes[SAVED_STATE_USUAL], again[SAVED_STATE_USUAL];
static char reason[SAVED_STATE_REASON];

static size_t save(uint8_t *to)
{
	size_t length = 0;

	vm_lock(&saved_vm);
	EXPECT_EQ(saved_state_write(&saved_vm, to, SAVED_STATE_USUAL, &length), 0);
	vm_unlock(&saved_vm);
	return length;
}

static int load(const uint8_t *from, size_t length)
{
	int error;

	reason[0] = '\0';
	vm_lock(&saved_vm);
	error = saved_state_read(&saved_vm, from, length, reason);
	if (!error)
		saved_state_begin(&saved_vm);
	vm_unlock(&saved_vm);
	return error;
}

static void resume(void)
{
	vm_lock(&saved_vm);
	vm_resume(&saved_vm);
	vm_unlock(&saved_vm);
}

static void machine_of(unsigned vcpus, bool disk, bool network)
{
	REQUIRE(saved_machine_create(vcpus, disk, network) == 0);
}

static void out(uint16_t port, unsigned size, uint32_t value)
{
	vm_lock(&saved_vm);
	space_write(&saved_vm.ports, port, size, value, 0);
	vm_unlock(&saved_vm);
}

TEST(what_is_saved_is_what_is_loaded)
{
	struct vcpu_state *state;
	size_t length, different = 0;

	machine_of(2, true, true);
	fake_advance(5000000);
	out(0x43, 1, 0x34); /* the 8254 counts */
	out(0x40, 1, 0x34);
	out(0x40, 1, 0x12);
	state = &saved_vm.vcpus[1]->state;
	state->gpr[3] = 0x123456789abcdef0;
	state->activity = VCPU_HALTED;
	state->xsave[160] = 77;
	state->xcr0 = 7;
	saved_machine_pause();
	length = save(bytes);
	saved_machine_destroy();

	fake_advance(7777777);
	machine_of(2, true, true);
	fake_advance(1111);
	REQUIRE(load(bytes, length) == 0);
	EXPECT_EQ(save(again), length);
	/* But for the wall clock's time, and when the battery-backed clock last looked at it. */
	for (size_t i = 0; i < length; i++)
		different += bytes[i] != again[i];
	EXPECT(different > 0 && different <= 16);
	state = &saved_vm.vcpus[1]->state;
	EXPECT_EQ(state->gpr[3], 0x123456789abcdef0);
	EXPECT_EQ(state->activity, VCPU_HALTED);
	EXPECT_EQ(state->xsave[160], 77);
	EXPECT_EQ(state->xcr0, 7);
	EXPECT_EQ(saved_submits, 0);
}

/* A machine that is read is another's still. */
TEST(devices_do_nothing_before_they_may)
{
	struct device probe;
	size_t length;

	machine_of(1, true, true);
	device_init(&probe, &saved_vm, &probe_ops, "0");
	saved_machine_pause();
	length = save(bytes);
	vm_lock(&saved_vm);
	EXPECT_EQ(saved_state_read(&saved_vm, bytes, length, reason), 0);
	EXPECT_EQ(probes_begun, 0);
	EXPECT(vm_paused(&saved_vm));
	saved_state_begin(&saved_vm);
	EXPECT_EQ(probes_begun, 1);
	vm_unlock(&saved_vm);
}

TEST(guest_time_stands_still_meanwhile)
{
	uint64_t time, tsc;
	size_t length;

	machine_of(1, false, false);
	fake_advance(123456789);
	saved_machine_pause();
	time = vm_time(&saved_vm);
	tsc = vcpu_tsc(saved_vm.vcpus[0]);
	length = save(bytes);
	saved_machine_destroy();

	fake_advance(UINT64_C(86400) * 1000000000);
	machine_of(1, false, false);
	REQUIRE(load(bytes, length) == 0);
	fake_advance(5000);
	EXPECT_EQ(vm_time(&saved_vm), time);
	EXPECT_EQ(vcpu_tsc(saved_vm.vcpus[0]), tsc);
	resume();
	EXPECT_EQ(vm_time(&saved_vm), time);
	fake_advance(1000);
	EXPECT_EQ(vm_time(&saved_vm), time + 1000);
	EXPECT_EQ(vcpu_tsc(saved_vm.vcpus[0]), tsc + 2000);
}

/* As the engine kvm leaves it when a processor stops between the acknowledgement of an interrupt
 * and its handler. */
TEST(an_acknowledged_interrupt_is_saved)
{
	struct vcpu_state *state;
	size_t length;

	machine_of(1, false, false);
	saved_machine_pause();
	state = &saved_vm.vcpus[0]->state;
	state->exception_pending = 1;
	state->exception_vector = 0xec;
	length = save(bytes);
	saved_machine_destroy();
	machine_of(1, false, false);
	state = &saved_vm.vcpus[0]->state;
	REQUIRE(load(bytes, length) == 0);
	EXPECT_EQ(state->exception_pending, 1);
	EXPECT_EQ(state->exception_vector, 0xec);
	/* But it has no error code. */
	state->exception_has_error = 1;
	length = save(bytes);
	saved_machine_destroy();
	machine_of(1, false, false);
	EXPECT(load(bytes, length) != 0);
}

TEST(pending_events_are_saved_and_stops_are_not_lost)
{
	size_t length;

	machine_of(2, false, false);
	saved_machine_pause();
	vcpu_post(saved_vm.vcpus[1], PENDING_SIPI | PENDING_NMI);
	saved_vm.vcpus[1]->sipi_vector = 0x42;
	length = save(bytes);
	saved_machine_destroy();

	machine_of(2, false, false);
	vcpu_post(saved_vm.vcpus[1], PENDING_STOP);
	REQUIRE(load(bytes, length) == 0);
	EXPECT_EQ(saved_vm.vcpus[1]->pending, PENDING_SIPI | PENDING_NMI | PENDING_STOP);
	EXPECT_EQ(saved_vm.vcpus[1]->sipi_vector, 0x42);
}

TEST(another_machine_is_refused)
{
	size_t length;

	machine_of(1, true, false);
	saved_machine_pause();
	length = save(bytes);
	saved_machine_destroy();

	machine_of(1, false, false);
	EXPECT_EQ(load(bytes, length), -EINVAL);
	EXPECT_STR(reason, "it holds devices that this machine doesn't have");
	saved_machine_destroy();
	machine_of(1, true, true);
	EXPECT_EQ(load(bytes, length), -EINVAL);
	EXPECT_STR(reason, "it holds virtio rng0 where this machine has virtio net0: they are not "
			   "the same machine");
	saved_machine_destroy();
	machine_of(2, true, false);
	EXPECT_EQ(load(bytes, length), -EINVAL);
}

TEST(impossible_processors_are_refused)
{
	static const struct {
		size_t offset;
		uint64_t value;
	} cases[] = {
		{offsetof(struct vcpu_state, cr0), 0x80000000},
		{offsetof(struct vcpu_state, cr4), 1ull << 40},
		{offsetof(struct vcpu_state, efer), 0x400},
		{offsetof(struct vcpu_state, rflags), 0},
		{offsetof(struct vcpu_state, xcr0), 0xff},
		{offsetof(struct vcpu_state, lstar), 0x8000000000000000},
		{offsetof(struct vcpu_state, pat), 0x0202020202020202},
		{offsetof(struct vcpu_state, dr) + 7 * 8, 1ull << 32},
		{offsetof(struct vcpu_state, xsave) + 24, 0x00010000},
		{offsetof(struct vcpu_state, xsave) + 512, 0x200},
		{offsetof(struct vcpu_state, xsave) + 520, 1ull << 63},
	};

	machine_of(1, false, false);
	saved_machine_pause();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vcpu_state good = saved_vm.vcpus[0]->state;
		size_t length;

		bytes_store64((uint8_t *)&saved_vm.vcpus[0]->state + cases[i].offset,
			      cases[i].value);
		length = save(bytes);
		saved_vm.vcpus[0]->state = good;
		EXPECT_EQ(load(bytes, length), -EINVAL);
		saved_vm.vcpus[0]->state = good;
	}
	EXPECT_EQ(load(bytes, save(bytes)), 0);
}

/* A state that is cut off anywhere, or has one wrong bit, is refused, or makes a machine that runs.
 */
TEST(hostile_states_do_no_harm)
{
	size_t length;
	uint64_t random = 88172645463325252u;

	machine_of(2, true, true);
	saved_machine_pause();
	length = save(bytes);
	for (size_t cut = 0; cut < length; cut += cut < 300 ? 1 : 97)
		EXPECT_EQ(load(bytes, cut), -EINVAL);
	for (unsigned i = 0; i < 3000; i++) {
		size_t at;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		at = random % length;
		bytes_copy(again, bytes, length);
		again[at] ^= (uint8_t)(1u << (random >> 40 & 7));
		if (load(again, length) == 0) {
			resume();
			fake_advance(1000000);
		} else {
			EXPECT(reason[0]);
		}
		vm_reset(&saved_vm);
		saved_machine_pause();
	}
}

TEST(no_room_is_said)
{
	size_t length;

	machine_of(1, false, false);
	saved_machine_pause();
	vm_lock(&saved_vm);
	EXPECT_EQ(saved_state_write(&saved_vm, bytes, 100, &length), -ENOSPC);
	vm_unlock(&saved_vm);
}
