/* SPDX-License-Identifier: BSD-2-Clause */
/* The timer of a PC: Intel 8254, with channel 2's gate and output at port 0x61. */
#ifndef DEVICES_PIT_H
#define DEVICES_PIT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"
#include "core/irq.h"
#include "core/snapshot.h"
#include "core/space.h"
#include "core/timer.h"

#define PIT_FREQUENCY 1193182u /* Hz */

struct pit_channel {
	uint8_t mode;	/* 0..5 */
	uint8_t access; /* 1 low byte, 2 high byte, 3 low then high */
	bool bcd;
	bool gate;
	bool loaded;	/* a count has been written since the control word */
	bool counting;	/* time passes; otherwise the count stands at `held` */
	bool triggered; /* modes 1 and 5: the gate has risen */
	bool high_next_write, high_next_read;
	uint8_t low_written;
	uint32_t reload; /* 1..65536 (or ..10000) */
	uint64_t start;	 /* guest time at which `held` clocks had passed */
	uint64_t held;	 /* clocks */
	bool count_latched, status_latched;
	uint16_t latch;
	uint8_t status;
};

struct pit {
	struct device device;
	struct vm *vm;
	struct region ports, port_61;
	struct irq_line irq; /* channel 0's output; connected by the machine */
	struct timer timer;
	struct pit_channel channel[3];
	uint8_t port_61_bits;
};

/* Ports 0x40..0x43 and 0x61. */
void pit_init(struct pit *pit, struct vm *vm);

#endif
