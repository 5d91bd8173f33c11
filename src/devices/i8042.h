/* SPDX-License-Identifier: BSD-2-Clause */
/* The keyboard controller (Intel 8042) without keyboard or mouse, for its reset and A20 gate, and
 * system control port A (0x92). */
#ifndef DEVICES_I8042_H
#define DEVICES_I8042_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"
#include "core/irq.h"
#include "core/snapshot.h"
#include "core/space.h"

struct i8042 {
	struct device device;
	struct vm *vm;
	struct region data_port, command_port, port_92;
	struct irq_line irq; /* IRQ 1; connected by the machine */
	uint8_t status;	     /* bits that are kept; the rest follow */
	uint8_t output;	     /* the byte for the guest, while it has OBF */
	uint8_t command;     /* one that waits for its byte, or 0 */
	bool a20;
	bool reset_bit;	    /* port 0x92, bit 0 */
	uint8_t memory[32]; /* byte 0: the command byte */
};

/* Ports 0x60, 0x64 and 0x92. */
void i8042_init(struct i8042 *i8042, struct vm *vm);

#endif
