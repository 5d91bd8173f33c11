/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt wires and messages. All functions are called with the vm's lock held. */
#ifndef CORE_IRQ_H
#define CORE_IRQ_H

#include <stdbool.h>
#include <stdint.h>

/* One interrupt wire. Whoever holds it may raise or lower it; who listens is the machine's
 * business. */
struct irq_line {
	void (*set)(void *listener, unsigned input, bool level);
	void *listener;
	unsigned input;
	bool level;
};

/* Connects the wire's other end. A line with no listener swallows everything. */
void irq_connect(struct irq_line *line, void (*set)(void *listener, unsigned input, bool level),
		 void *listener, unsigned input);

/* Sets the level; tells the listener only of changes. */
void irq_set(struct irq_line *line, bool level);

/* Raises and lowers it: an edge. */
void irq_pulse(struct irq_line *line);

/* Where message-signalled interrupts go (the local APICs). */
struct msi_target {
	void (*send)(void *listener, uint64_t address, uint32_t data);
	void *listener;
};
void msi_send(const struct msi_target *target, uint64_t address, uint32_t data);

#endif
