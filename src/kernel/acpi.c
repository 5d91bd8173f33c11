/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel/acpi.h"

#include "kernel/address.h"
#include "kernel/boot.h"
#include "kernel/boot/boot_layout.h"
#include "kernel/log.h"
#include "lib/checked.h"

struct acpi_information acpi_information;

/* Firmware puts its tables below 4 GiB, where 32-bit systems find them, and the first page tables
 * have all of that. */
static const uint8_t *read(uint64_t physical, uint64_t size)
{
	return range_within(physical, size, BOOT_DIRECT_END) ? direct(pa(physical)) : NULL;
}

void acpi_init(void)
{
	const char *complaint = acpi_parse(&acpi_information, boot_information.rsdp,
					   boot_information.rsdp_size, read);

	if (complaint)
		panic(NULL, "%s: Lodge can't use this computer", complaint);
	if (acpi_information.cpu_left_out)
		log_line("%u processors more than the %u that Lodge can use",
			 acpi_information.cpu_left_out, ACPI_CPUS_MAX);
}
