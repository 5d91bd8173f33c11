/* SPDX-License-Identifier: BSD-2-Clause */
/* What every device has in common. It is the first member of each device's struct. */
#ifndef CORE_DEVICE_H
#define CORE_DEVICE_H

#include <stdint.h>

struct vm;
struct device;
struct snapshot;

struct device_ops {
	const char *name; /* its chip */
	uint32_t version; /* of its saved state */
	/* Power-on state; also at a machine reset. Vm's lock held; no vcpu runs. */
	void (*reset)(struct device *device);
	/* Visits its saved state. Vm's lock held; no vcpu runs. */
	void (*state)(struct device *device, struct snapshot *snapshot);
	/* After every device has been loaded: lines, timers and regions as the state wants them.
	 * May be NULL. */
	void (*loaded)(struct device *device);
	/* Frees what init allocated. May be NULL. */
	void (*destroy)(struct device *device);
};

struct device {
	const struct device_ops *ops;
	const char
		*instance; /* tells devices of one kind apart in a saved state: "0", "disk0", ... */
	struct vm *vm;
	struct device *next;
};

/* Makes the device part of the vm (resets and snapshots include it). */
void device_init(struct device *device, struct vm *vm, const struct device_ops *ops,
		 const char *instance);

/* What vm_reset, restoring and vm_destroy do with each, in the order of device_init (destroy: the
 * reverse). Vm's lock held. */
void devices_reset(struct vm *vm);
void devices_loaded(struct vm *vm);
void devices_destroy(struct vm *vm);

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#endif
