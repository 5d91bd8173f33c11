/* SPDX-License-Identifier: BSD-2-Clause */
/* Intel's compiler as oracle: it takes our DSDT apart and puts it together again without an error.
 */
#include "test.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machines/acpi.h"

#define BASE 0xe0000

static uint8_t area[ACPI_ROOM];

static uint32_t u32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static const uint8_t *table(const char *signature, size_t size)
{
	for (size_t at = 0; at + 36 <= size; at += 16)
		if (!memcmp(area + at, signature, 4))
			return area + at;
	FAIL("no %s", signature);
	test_stop();
}

static void write_table(const char *folder, const char *signature, size_t size)
{
	const uint8_t *bytes = table(signature, size);
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.dat", folder, signature);
	file = fopen(path, "w");
	REQUIRE(file);
	EXPECT_EQ(fwrite(bytes, 1, u32(bytes + 4), file), u32(bytes + 4));
	EXPECT_EQ(fclose(file), 0);
}

static bool run(const char *folder, const char *command, const char *expected)
{
	char line[512], output[8192] = "";
	FILE *pipe;
	size_t length;

	snprintf(line, sizeof(line), "cd %s && %s 2>&1", folder, command);
	pipe = popen(line, "r");
	REQUIRE(pipe);
	length = fread(output, 1, sizeof(output) - 1, pipe);
	output[length] = '\0';
	if (pclose(pipe) == 0 && strstr(output, expected))
		return true;
	FAIL("%s: %s", command, output);
	return false;
}

TEST(iasl_understands_every_table)
{
	const struct acpi_config machine = {
		.cpus = 4,
		.lapic_address = 0xfee00000,
		.ioapic_address = 0xfec00000,
		.ecam_base = 0xe0000000,
		.pci_memory_base = 0xc0000000,
		.pci_memory_limit = 0xe0000000,
		.pci_memory64_base = 0x1000000000,
		.pci_memory64_limit = 0x2000000000,
		.pci_io_base = 0xc000,
		.pci_gsi = {16, 17, 18, 19},
		.pm1_event_port = 0x600,
		.pm1_control_port = 0x604,
		.pm_timer_port = 0x608,
		.sci = 9,
		.soft_off = 5,
		.reset_port = 0xcf9,
		.reset_value = 6,
		.com1_port = 0x3f8,
		.com1_irq = 4,
		.rtc_port = 0x70,
		.rtc_irq = 8,
	};
	size_t size = acpi_build(&machine, area, sizeof(area), BASE);
	const char *folder = test_folder();

	REQUIRE(size > 0);
	if (access("/usr/bin/iasl", X_OK))
		SKIP("iasl (Debian: acpica-tools) is not installed");
	write_table(folder, "DSDT", size);
	write_table(folder, "FACP", size);
	write_table(folder, "APIC", size);
	write_table(folder, "MCFG", size);
	EXPECT(run(folder, "iasl -d DSDT.dat", "Disassembly completed"));
	EXPECT(run(folder, "iasl DSDT.dsl", "Compilation successful. 0 Errors, 0 Warnings"));
	EXPECT(run(folder, "cat DSDT.dsl", "EisaId (\"PNP0A08\")"));
	EXPECT(run(folder, "iasl -d FACP.dat APIC.dat MCFG.dat", "MCFG] decoded"));
	EXPECT(run(folder,
		   "! grep -i 'invalid\\|incorrect\\|unknown\\|error' FACP.dsl APIC.dsl MCFG.dsl",
		   ""));
}
