/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What ACPI's tables tell of the computer (ACPI specification 6.5, chapter 5). Read once, before
 * page.c's page tables are in use; the parser (acpi_tables.c) is pure.
 */
#ifndef KERNEL_ACPI_H
#define KERNEL_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACPI_CPUS_MAX	 64
#define ACPI_IOAPICS_MAX 16
#define ACPI_LINES	 16

/* Where an ISA line is among all lines of the I/O APICs. */
struct acpi_line {
	uint32_t number;
	bool low, level; /* active low, level-triggered */
};

struct acpi_ioapic {
	uint64_t address;
	uint32_t first; /* number of its first line */
};

struct acpi_information {
	unsigned cpu_count; /* that may be used; those beyond ACPI_CPUS_MAX are left out: */
	unsigned cpu_left_out;
	uint32_t cpu[ACPI_CPUS_MAX]; /* APIC ids */
	uint64_t local_apic;	     /* address of the registers */
	unsigned ioapic_count;
	struct acpi_ioapic ioapic[ACPI_IOAPICS_MAX];
	struct acpi_line line[ACPI_LINES];
	uint64_t hpet;	   /* 0: none */
	uint16_t pm_timer; /* port, 0: none */
	uint8_t century;   /* CMOS register, 0: none */
	/* Reset: a value to be written there; 0: unknown. */
	uint16_t reset_port;
	uint64_t reset_memory;
	uint8_t reset_value;
	/* Power off: types for the control registers at these ports. */
	bool can_power_off;
	uint16_t control[2]; /* 0: none */
	uint8_t sleep_type[2];
	uint16_t smi_port; /* to be written enable_value if ACPI mode is off; 0: it is always on */
	uint8_t enable_value;
};
extern struct acpi_information acpi_information;

/* How the parser reaches physical memory: size bytes, or NULL if that can't be read. */
typedef const uint8_t *acpi_read(uint64_t physical, uint64_t size);

/*
 * rsdp: the root pointer's bytes, as many as there are. NULL, or why the computer can't be used.
 * What is wrong in tables that can be done without is left out.
 */
const char *acpi_parse(struct acpi_information *information, const uint8_t *rsdp, size_t size,
		       acpi_read *read);

/* Fills acpi_information in, from boot_information; panics if that can't be. */
void acpi_init(void);

#endif
