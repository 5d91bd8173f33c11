/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/device.h"

#include "core/vm.h"
#include "lib/check.h"

void device_init(struct device *device, struct vm *vm, const struct device_ops *ops,
		 const char *instance)
{
	struct device **end = &vm->devices;

	CHECK(ops->name && ops->reset && ops->state);
	device->ops = ops;
	device->instance = instance;
	device->vm = vm;
	device->next = NULL;
	while (*end)
		end = &(*end)->next;
	*end = device;
}

void devices_reset(struct vm *vm)
{
	for (struct device *device = vm->devices; device; device = device->next)
		device->ops->reset(device);
}

void devices_loaded(struct vm *vm)
{
	for (struct device *device = vm->devices; device; device = device->next)
		if (device->ops->loaded)
			device->ops->loaded(device);
}

void devices_destroy(struct vm *vm)
{
	struct device *reversed = NULL, *next;

	for (struct device *device = vm->devices; device; device = next) {
		next = device->next;
		device->next = reversed;
		reversed = device;
	}
	vm->devices = NULL;
	/* A device may be part of what its destroy frees. */
	for (struct device *device = reversed; device; device = next) {
		next = device->next;
		if (device->ops->destroy)
			device->ops->destroy(device);
	}
}
