/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pvpanic: QEMU's specification docs/specs/pvpanic. A read tells which events may be written; the
 * event "panicked" stops the vm.
 *
 * Not modelled: the event "crash kernel loaded": such a guest carries on by itself, so nothing
 * needs to happen.
 */
#include "devices/pvpanic.h"

#include "core/vm.h"
#include "lib/check.h"

#define PANICKED 0x01u

static uint64_t pvpanic_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return PANICKED;
}

static void pvpanic_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			  bool *fault)
{
	if (value & PANICKED)
		vm_stop(container_of(region, struct pvpanic, region)->vm, VM_PANICKED, 0);
}

static const struct region_ops region_ops = {
	.read = pvpanic_read, .write = pvpanic_write, .sizes = 1};

static void pvpanic_reset(struct device *device)
{
}

static void pvpanic_state(struct device *device, struct snapshot *snapshot)
{
}

static const struct device_ops pvpanic_ops = {
	.name = "pvpanic",
	.version = 1,
	.reset = pvpanic_reset,
	.state = pvpanic_state,
};

void pvpanic_init(struct pvpanic *pvpanic, struct vm *vm)
{
	*pvpanic = (struct pvpanic){.vm = vm};
	device_init(&pvpanic->device, vm, &pvpanic_ops, "0");
	pvpanic->region = (struct region){.name = "pvpanic", .ops = &region_ops};
	CHECK(!space_add(&vm->ports, &pvpanic->region, PVPANIC_PORT, 1));
}
