/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * I/O APICs: 82093AA data sheet, section 3. Which line of which one is an ISA line, with which
 * polarity, ACPI's MADT says (acpi.h); unless it does, the line has its own number, rising edges.
 *
 * The 8259s are moved away from the exceptions' vectors and masked: they may still send spurious
 * interrupts, which trap.c ignores.
 */
#include "kernel/ioapic.h"

#include "kernel/acpi.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/port.h"

#define REGISTER_VERSION 0x01
#define REGISTER_LINES	 0x10 /* two for each */
#define SELECT		 0    /* in words */
#define WINDOW		 4

#define LINE_LOW    0x02000u
#define LINE_LEVEL  0x08000u
#define LINE_MASKED 0x10000u

#define PIC_BASE 0x20 /* the vectors it is moved to */

static volatile uint32_t *registers[ACPI_IOAPICS_MAX];

static uint32_t get(unsigned chip, uint32_t number)
{
	registers[chip][SELECT] = number;
	return registers[chip][WINDOW];
}

static void put(unsigned chip, uint32_t number, uint32_t value)
{
	registers[chip][SELECT] = number;
	registers[chip][WINDOW] = value;
}

static unsigned line_count(unsigned chip)
{
	return (get(chip, REGISTER_VERSION) >> 16 & 0xff) + 1;
}

static void mask_pics(void)
{
	static const struct {
		uint8_t port, value;
	} steps[] = {
		{0x20, 0x11}, {0xa0, 0x11}, {0x21, PIC_BASE}, {0xa1, PIC_BASE + 8}, {0x21, 0x04},
		{0xa1, 0x02}, {0x21, 0x01}, {0xa1, 0x01},     {0x21, 0xff},	    {0xa1, 0xff},
	};

	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		port_write8(steps[i].port, steps[i].value);
}

void ioapic_init(void)
{
	mask_pics();
	for (unsigned i = 0; i < acpi_information.ioapic_count; i++) {
		registers[i] = device_map(pa(acpi_information.ioapic[i].address), 0x20);
		if (!registers[i])
			continue;
		for (unsigned line = 0; line < line_count(i); line++)
			put(i, REGISTER_LINES + line * 2, LINE_MASKED);
	}
}

void ioapic_route(unsigned isa_line, uint8_t vector, uint32_t apic_id)
{
	const struct acpi_line *line = &acpi_information.line[isa_line];

	for (unsigned i = 0; i < acpi_information.ioapic_count; i++) {
		uint32_t number = line->number - acpi_information.ioapic[i].first;

		if (!registers[i] || line->number < acpi_information.ioapic[i].first ||
		    number >= line_count(i))
			continue;
		put(i, REGISTER_LINES + number * 2 + 1, apic_id << 24);
		put(i, REGISTER_LINES + number * 2,
		    vector | (line->low ? LINE_LOW : 0) | (line->level ? LINE_LEVEL : 0));
		return;
	}
	log_line("no I/O APIC has ISA line %u: its device is not heard", isa_line);
}
