/* SPDX-License-Identifier: BSD-2-Clause */
/* The ACPI tables that describe a PC to its guest (ACPI 6.5; PCI Firmware Specification 3.0 for
 * MCFG). */
#ifndef MACHINES_ACPI_H
#define MACHINES_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the tables tell of. Ports and interrupts of 0 are things that the machine doesn't have. */
struct acpi_config {
	unsigned cpus; /* 1..254, local APIC ids from 0 on */
	uint32_t lapic_address, ioapic_address;
	uint64_t ecam_base; /* 1 MiB for bus 0; 0: none */
	uint64_t pci_memory_base,
		pci_memory_limit; /* windows of BARs; limits exclusive, equal for none */
	uint64_t pci_memory64_base, pci_memory64_limit;
	uint16_t pci_io_base; /* ports from here on are for BARs */
	uint8_t pci_gsi[4];   /* of INTA..INTD of the host bridge */
	uint16_t pm1_event_port, pm1_control_port, pm_timer_port;
	uint16_t gpe_port; /* 8 bytes: status and enable of 32 events */
	uint8_t sci;
	uint8_t soft_off; /* SLP_TYP of S5 */
	uint16_t reset_port;
	uint8_t reset_value;
	bool i8042;
	uint16_t com1_port;
	uint8_t com1_irq;
	uint16_t pvpanic_port;
	uint16_t rtc_port;
	uint8_t rtc_irq;
};

/* 64 KiB is more than enough for any machine. */
#define ACPI_ROOM 0x10000u

/*
 * Writes the tables into bytes, for a guest that sees these at guest-physical address `address` (a
 * multiple of 64, below 0x100000). The root pointer (RSDP) comes first. Returns how many bytes were
 * used; 0 if room doesn't suffice.
 */
size_t acpi_build(const struct acpi_config *config, uint8_t *bytes, size_t room, uint64_t address);

#endif
