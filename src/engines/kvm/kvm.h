/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine of hosts whose processor can virtualize: Linux's KVM. The local APICs are the kernel's
 * (its "split irqchip"); the I/O APIC, the 8259s, the 8254 and all other devices are ours, as on
 * every engine. docs/decisions/0020 says why.
 */
#ifndef ENGINES_KVM_KVM_H
#define ENGINES_KVM_KVM_H

#include <stdint.h>

#include "core/engine.h"

extern const struct engine engine_kvm;

/* The ioctls that the engine makes once a machine runs, for a sandbox; ended by 0. */
extern const uint32_t kvm_ioctls[];

#endif
