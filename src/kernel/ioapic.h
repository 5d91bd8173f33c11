/* SPDX-License-Identifier: BSD-2-Clause */
/* The computer's I/O APICs, of which the kernel uses one line: COM1's. 82093AA data sheet. */
#ifndef KERNEL_IOAPIC_H
#define KERNEL_IOAPIC_H

#include <stdint.h>

/* Masks all lines of all of them, and the 8259s. */
void ioapic_init(void);

/* Interrupts of an ISA line (0..15) come as this vector to that processor (APIC id below 256). */
void ioapic_route(unsigned isa_line, uint8_t vector, uint32_t apic_id);

#endif
