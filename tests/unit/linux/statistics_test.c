/* SPDX-License-Identifier: BSD-2-Clause */
/* What the software engine tells of its work. */
#include "translate_guest.h"

#include "core/host.h"

GUEST(loop, "mov $2000000, %ecx; 1: dec %ecx; jnz 1b; cpuid; mov 0x150000, %rax; hlt");

static struct guest guest;
static struct engine_counter counters[ENGINE_COUNTERS_MAX];

static uint64_t value_of(const struct vcpu *vcpu, const char *name)
{
	unsigned count = engine_translate.counters(&guest.vm, vcpu, counters);

	REQUIRE(count <= ENGINE_COUNTERS_MAX);
	for (unsigned i = 0; i < count; i++)
		if (!strcmp(counters[i].name, name))
			return counters[i].value;
	FAIL("no counter %s", name);
	return 0;
}

TEST(events_are_counted_without_being_asked_for)
{
	const struct vcpu *vcpu;

	guest_create(&guest, 2);
	guest_run(&guest, loop, loop_end);
	vcpu = guest.vm.vcpus[0];
	EXPECT(value_of(vcpu, "blocks translated") >= 2);
	EXPECT(value_of(vcpu, "handlers called") >= 1);
	EXPECT(value_of(vcpu, "TLB misses") >= 1);
	EXPECT_EQ(value_of(guest.vm.vcpus[1], "blocks translated"), 0);
	EXPECT(value_of(NULL, "instructions translated") >= 4);
	for (unsigned i = 0; i < engine_translate.counters(&guest.vm, vcpu, counters); i++)
		EXPECT(counters[i].unit != ENGINE_NANOSECONDS);
}

/* The parts are the whole, and a loop is mostly itself. */
TEST(time_is_told_apart)
{
	uint64_t begin, passed, sum = 0;
	unsigned count;

	guest_create(&guest, 1);
	engine_translate.measure(&guest.vm);
	begin = host_now();
	guest_run(&guest, loop, loop_end);
	passed = host_now() - begin;
	count = engine_translate.counters(&guest.vm, guest.vm.vcpus[0], counters);
	for (unsigned i = 0; i < count; i++)
		if (counters[i].unit == ENGINE_NANOSECONDS)
			sum += counters[i].value;
	EXPECT(sum <= passed * 2); /* outside: from measure() on */
	EXPECT(sum >= passed / 2);
	EXPECT(value_of(guest.vm.vcpus[0], "time in translated code") > 0);
	EXPECT(value_of(guest.vm.vcpus[0], "time translating") > 0);
	EXPECT(value_of(guest.vm.vcpus[0], "time in handlers") > 0);
	EXPECT(value_of(guest.vm.vcpus[0], "time in windows") < passed);
}
