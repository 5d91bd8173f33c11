/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reset: ACPI's register (section 4.8.3.6), then what PCs have had for long: the chipset's port
 * 0xcf9, the keyboard controller, and a triple fault. Power off: ACPI's state S5 (section 7.4.2.6)
 * without the methods that may precede it, which only tell the firmware's machine language.
 */
#include "kernel/power.h"

#include "kernel/acpi.h"
#include "kernel/clock.h"
#include "kernel/cpu.h"
#include "kernel/page.h"
#include "kernel/port.h"
#include "kernel/serial.h"
#include "kernel/smp.h"

#define CONTROL_SCI   0x0001u /* ACPI mode is on */
#define CONTROL_SLEEP 0x2000u
#define PAUSE	      100000000 /* ns */
#define TEST_EXIT     0xf4

void power_reboot(void)
{
	const struct acpi_information *acpi = &acpi_information;
	const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) nothing = {0, 0};

	serial_drain();
	smp_stop_others();
	if (acpi->reset_port) {
		port_write8(acpi->reset_port, acpi->reset_value);
	} else if (acpi->reset_memory) {
		volatile uint8_t *at = device_map(pa(acpi->reset_memory), 1);

		if (at)
			*at = acpi->reset_value;
	}
	clock_delay(PAUSE);
	port_write8(0xcf9, 0x02);
	port_write8(0xcf9, 0x06);
	clock_delay(PAUSE);
	port_write8(0x64, 0xfe);
	clock_delay(PAUSE);
	__asm__ volatile("lidt %0; int3" : : "m"(nothing));
	cpu_halt();
}

static void sleep_by(uint16_t port, uint8_t type)
{
	uint32_t value;

	if (!port)
		return;
	value = port_read16(port) & ~UINT32_C(0x3c00);
	port_write16(port, (uint16_t)(value | type << 10 | CONTROL_SLEEP));
}

void power_off(void)
{
	const struct acpi_information *acpi = &acpi_information;

	serial_drain();
	smp_stop_others();
	if (!acpi->can_power_off)
		cpu_halt();
	if (acpi->smi_port && !(port_read16(acpi->control[0]) & CONTROL_SCI)) {
		port_write8(acpi->smi_port, acpi->enable_value);
		clock_delay(PAUSE);
	}
	sleep_by(acpi->control[0], acpi->sleep_type[0] & 7);
	sleep_by(acpi->control[1], acpi->sleep_type[1] & 7);
	cpu_halt();
}

void power_test_exit(uint32_t code)
{
	serial_drain();
	port_write32(TEST_EXIT, code);
	cpu_halt();
}
