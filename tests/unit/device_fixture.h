/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of chips share: a vm without firmware, a guest's accesses, a wire to look at,
 * saved states. */
#ifndef TESTS_UNIT_DEVICE_FIXTURE_H
#define TESTS_UNIT_DEVICE_FIXTURE_H

#include "test.h"

#include "core/device.h"
#include "core/irq.h"
#include "core/snapshot.h"
#include "core/vm.h"
#include "engines/scripted/scripted.h"
#include "hosts/fake/fake.h"

#define FIXTURE_MEMORY	   (UINT64_C(2) << 20)
#define FIXTURE_STATE_SIZE 131072

static struct vm fixture_vm;
static uint8_t fixture_state[FIXTURE_STATE_SIZE];
static bool fixture_fault; /* of the last MSR access */

static inline struct vm *fixture_vm_create_on(const struct engine *engine, unsigned vcpus)
{
	const struct vm_config config = {.vcpus = vcpus,
					 .memory_size = FIXTURE_MEMORY,
					 .hole_base = 0xc0000000,
					 .engine = engine};

	REQUIRE(vm_create(&fixture_vm, &config) == 0);
	return &fixture_vm;
}

static inline struct vm *fixture_vm_create(unsigned vcpus)
{
	return fixture_vm_create_on(&engine_scripted, vcpus);
}

static inline uint64_t fixture_access(unsigned vcpu, enum exit_kind kind, bool write,
				      uint64_t address, unsigned size, uint64_t value)
{
	struct exit exit = {.kind = kind,
			    .write = write,
			    .size = (uint8_t)size,
			    .address = address,
			    .value = value};

	vcpu_access(fixture_vm.vcpus[vcpu], &exit);
	fixture_fault = exit.fault;
	return exit.value;
}

/* What a guest's first vcpu does. */
static inline uint8_t in8(unsigned port)
{
	return (uint8_t)fixture_access(0, EXIT_PORT, false, port, 1, 0);
}

static inline uint16_t in16(unsigned port)
{
	return (uint16_t)fixture_access(0, EXIT_PORT, false, port, 2, 0);
}

static inline uint32_t in32(unsigned port)
{
	return (uint32_t)fixture_access(0, EXIT_PORT, false, port, 4, 0);
}

static inline void out8(unsigned port, uint8_t value)
{
	fixture_access(0, EXIT_PORT, true, port, 1, value);
}

static inline void out16(unsigned port, uint16_t value)
{
	fixture_access(0, EXIT_PORT, true, port, 2, value);
}

static inline void out32(unsigned port, uint32_t value)
{
	fixture_access(0, EXIT_PORT, true, port, 4, value);
}

/* What any vcpu does. */
static inline uint32_t load32(unsigned vcpu, uint64_t address)
{
	return (uint32_t)fixture_access(vcpu, EXIT_MEMORY, false, address, 4, 0);
}

static inline void store32(unsigned vcpu, uint64_t address, uint32_t value)
{
	fixture_access(vcpu, EXIT_MEMORY, true, address, 4, value);
}

static inline uint64_t rdmsr(unsigned vcpu, uint32_t msr)
{
	return fixture_access(vcpu, EXIT_MSR, false, msr, 8, 0);
}

static inline void wrmsr(unsigned vcpu, uint32_t msr, uint64_t value)
{
	fixture_access(vcpu, EXIT_MSR, true, msr, 8, value);
}

/* The other end of a line. */
struct wire {
	bool level;
	unsigned rises;
};

static inline void wire_set(void *listener, unsigned input, bool level)
{
	struct wire *wire = listener;

	wire->level = level;
	wire->rises += level;
}

/* Saves the device into fixture_state; returns how long its state is. */
static inline size_t device_save(struct device *device)
{
	struct snapshot snapshot = {.bytes = fixture_state, .size = sizeof(fixture_state)};

	vm_lock(device->vm);
	device->ops->state(device, &snapshot);
	vm_unlock(device->vm);
	EXPECT_EQ(snapshot.error, 0);
	return snapshot.position;
}

/* Loads the device from the first `size` bytes of fixture_state, as a restored vm does; the error.
 */
static inline int device_load(struct device *device, size_t size)
{
	struct snapshot snapshot = {.loading = true, .bytes = fixture_state, .size = size};

	vm_lock(device->vm);
	device->ops->state(device, &snapshot);
	if (!snapshot.error)
		EXPECT_EQ(snapshot.position, size);
	if (device->ops->loaded)
		device->ops->loaded(device);
	vm_unlock(device->vm);
	return snapshot.error;
}

/*
 * Loads states full of nonsense: the device may refuse or take them, but has to survive what a
 * guest then does (probe), and time.
 */
static inline void device_load_nonsense(struct device *device, void (*probe)(void))
{
	size_t size = device_save(device);
	uint64_t random = 88172645463325252u;

	for (unsigned round = 0; round < 64; round++) {
		for (size_t i = 0; i < size; i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			fixture_state[i] = (uint8_t)(round < 2 ? -(int)round : (int)(random >> 32));
		}
		device_load(device, size);
		probe();
		fake_advance(3000000);
		probe();
	}
	vm_lock(device->vm);
	device->ops->reset(device);
	vm_unlock(device->vm);
	device_save(device);
	EXPECT(device_load(device, size / 2) < 0 || size < 2);
	probe();
}

#endif
