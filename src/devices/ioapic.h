/* SPDX-License-Identifier: BSD-2-Clause */
/* The I/O APIC: 24 inputs. Intel 82093AA datasheet; ICH9 datasheet, section 13.5 (version 0x20,
 * with its EOI register). */
#ifndef DEVICES_IOAPIC_H
#define DEVICES_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"
#include "core/snapshot.h"
#include "core/space.h"

#define IOAPIC_ADDRESS 0xfec00000u
#define IOAPIC_INPUTS  24

struct lapics;

struct ioapic {
	struct device device;
	struct region region;
	struct lapics *lapics;
	uint32_t select; /* IOREGSEL */
	uint32_t id;
	uint32_t lines; /* levels of the inputs, a bit each */
	uint64_t entry[IOAPIC_INPUTS];
};

/*
 * The chip at IOAPIC_ADDRESS, sending to the local APICs and hearing of their EOIs. id: as its
 * register 0 and the MADT name it.
 */
void ioapic_init(struct ioapic *ioapic, struct vm *vm, struct lapics *lapics, uint8_t id);

/*
 * An irq_line's listener; input 0..23. Levels are "asserted" or not, whatever polarity the guest
 * programs. Vm's lock held.
 */
void ioapic_set(void *ioapic, unsigned input, bool level);

#endif
