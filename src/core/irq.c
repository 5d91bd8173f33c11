/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/irq.h"

void irq_connect(struct irq_line *line, void (*set)(void *listener, unsigned input, bool level),
		 void *listener, unsigned input)
{
	line->set = set;
	line->listener = listener;
	line->input = input;
}

void irq_set(struct irq_line *line, bool level)
{
	if (line->level == level)
		return;
	line->level = level;
	if (line->set)
		line->set(line->listener, line->input, level);
}

void irq_pulse(struct irq_line *line)
{
	irq_set(line, true);
	irq_set(line, false);
}

void msi_send(const struct msi_target *target, uint64_t address, uint32_t data)
{
	if (target->send)
		target->send(target->listener, address, data);
}
