/* SPDX-License-Identifier: BSD-2-Clause */
/* pvpanic: a port at which a guest that has panicked says so. QEMU's docs/specs/pvpanic. */
#ifndef DEVICES_PVPANIC_H
#define DEVICES_PVPANIC_H

#include "core/device.h"
#include "core/space.h"

#define PVPANIC_PORT 0x505

struct pvpanic {
	struct device device;
	struct vm *vm;
	struct region region;
};

/* One port at PVPANIC_PORT; the DSDT names it as QEMU0001. */
void pvpanic_init(struct pvpanic *pvpanic, struct vm *vm);

#endif
