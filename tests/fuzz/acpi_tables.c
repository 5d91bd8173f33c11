/* SPDX-License-Identifier: BSD-2-Clause */
/* Firmware's tables may be anything. The input is memory from BASE on, the root pointer first;
 * checksums are made right as the parser asks, or it would see little. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/acpi.h"

#define BASE UINT64_C(0x7fe00000)
#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static uint8_t *memory;
static size_t memory_size;

static void seal(uint8_t *at, uint64_t size, unsigned place)
{
	uint8_t sum = 0;

	for (uint64_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + at[i]);
	at[place] = (uint8_t)(at[place] - sum);
}

static const uint8_t *read_memory(uint64_t physical, uint64_t size)
{
	uint8_t *at;

	if (physical < BASE || size > memory_size || physical - BASE > memory_size - size)
		return NULL;
	at = memory + (physical - BASE);
	if (size >= 36)
		seal(at, size, 9);
	return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct acpi_information information;
	uint8_t rsdp[36] = {0};
	const char *complaint;

	if (size < sizeof(rsdp) || size > 0x10000)
		return 0;
	memory = malloc(size);
	FUZZ_CHECK(memory);
	memory_size = size;
	memcpy(memory, bytes, size);
	memcpy(rsdp, bytes, sizeof(rsdp));
	memcpy(rsdp, "RSD PTR ", 8);
	seal(rsdp, 20, 8);
	complaint = acpi_parse(&information, rsdp, sizeof(rsdp), read_memory);
	FUZZ_CHECK(information.cpu_count <= ACPI_CPUS_MAX);
	FUZZ_CHECK(information.ioapic_count <= ACPI_IOAPICS_MAX);
	FUZZ_CHECK(complaint || information.cpu_count);
	free(memory);
	return 0;
}
