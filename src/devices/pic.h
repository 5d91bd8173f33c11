/* SPDX-License-Identifier: BSD-2-Clause */
/* The two interrupt controllers of a PC: Intel 8259A, cascaded, with the edge/level registers of
 * the PIIX and ICH. */
#ifndef DEVICES_PIC_H
#define DEVICES_PIC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"
#include "core/irq.h"
#include "core/snapshot.h"
#include "core/space.h"

struct pic_chip {
	struct region region;
	uint8_t irr, isr, imr;
	uint8_t lines;	  /* levels of the inputs */
	uint8_t elcr;	  /* inputs that are level-triggered */
	uint8_t vector;	  /* ICW2: of input 0 */
	uint8_t lowest;	  /* the input of lowest priority; 7 after ICW1 */
	uint8_t expected; /* the initialisation word that comes next (2..4), 0 for none */
	bool icw4;	  /* it comes */
	bool single;
	bool auto_eoi, rotate_auto_eoi, special_mask, special_fully_nested;
	bool read_isr; /* OCW3: what a read of the first port shows */
	bool poll;     /* the next read is an acknowledge */
};

struct pic {
	struct device device;
	struct pic_chip chip[2]; /* master at 0x20, slave at 0xa0 */
	struct region elcr_region;
	struct irq_line intr; /* to the processor; connected by the machine */
};

/* Ports 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1. */
void pic_init(struct pic *pic, struct vm *vm);

/* An irq_line's listener; input 0..15 (2 is the cascade and ignored). Vm's lock held. */
void pic_set(void *pic, unsigned input, bool level);

/* The processor acknowledges: the vector, which is input 7's if there is nothing (any more). Vm's
 * lock held. */
int pic_acknowledge(void *pic);

#endif
