/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APICs of all vcpus, as one device. The model is x86/apic.h; here is what connects it to
 * a vm: registers in memory at 0xfee00000 (xAPIC) and as MSRs (x2APIC), timers, vcpus, the 8259s.
 *
 * Where the engine has APICs of its own (vm->engine->apics), messages and pins go there, and the
 * device is what resets and saves them. All functions are called with the vm's lock held.
 */
#ifndef DEVICES_LAPIC_H
#define DEVICES_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"
#include "core/space.h"
#include "core/timer.h"
#include "core/vm.h"
#include "x86/apic.h"

struct lapics;

struct lapic {
	struct lapics *all;
	struct vcpu *vcpu;
	struct region base_msr, deadline_msr, x2apic_msrs;
	struct timer timer;
	struct apic apic; /* with an engine's own: a copy while they are reset or saved */
	bool moved_logged;
};

struct lapics {
	struct device device;
	struct vm *vm;
	struct region mmio;
	unsigned count;
	unsigned last_lowest; /* who took the last lowest-priority interrupt */
	bool lint[2];	      /* levels of the two pins, which all processors share */
	/* Set by the machine; NULL for none. */
	void (*eoi)(void *listener, uint8_t vector); /* a level-triggered interrupt ended */
	void *eoi_listener;
	int (*pic_acknowledge)(void *pic); /* the vector of the 8259s, whose INTR is LINT0 */
	void *pic;
	struct lapic lapic[VM_VCPUS_MAX];
	struct apic *apics[VM_VCPUS_MAX];
};

/* One APIC for each vcpu of the vm; becomes their interrupt controller. */
void lapics_init(struct lapics *lapics, struct vm *vm);

/* Listener of the wires to LINT0 (input 0: the 8259s' INTR) and LINT1 (input 1: NMI). */
void lapics_lint_set(void *lapics, unsigned input, bool level);

/* struct msi_target's send: a write to 0xfeexxxxx (SDM 3, section 10.11). Other addresses are
 * ignored. */
void lapics_msi(void *lapics, uint64_t address, uint32_t data);

/* Delivers a message with an 8-bit destination to all it is for. Returns whether anyone took it. */
bool lapics_deliver(struct lapics *lapics, const struct apic_message *message);

/* As they have been loaded: may the end of a level-triggered interrupt still come, from an APIC
 * that has it, or from a guest that tells the I/O APIC itself? */
bool lapics_await_end(const struct lapics *lapics, uint8_t vector);

/* Between the device's own files. lapic_registers.c: adds the regions. */
void lapic_registers_init(struct lapic *lapic);
void lapics_registers_init(struct lapics *lapics);

#endif
