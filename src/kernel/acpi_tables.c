/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI's tables, as far as a kernel without ACPI's machine language needs them: ACPI
 * specification 6.5, sections 5.2.5 (RSDP), 5.2.7 (RSDT, XSDT), 5.2.9 (FADT), 5.2.12 (MADT); IA-PC
 * HPET specification 1.0a, section 3.2.4. Of the machine language only the package \_S5 is looked
 * for, by its bytes.
 *
 * Firmware wrote them, so they may be wrong in any way: each is read within the length that was
 * checked.
 *
 * Not modelled: processors that can be added later (MADT flag 1), NMI entries, SSDTs.
 */
#include "kernel/acpi.h"

#include "lib/bits.h"
#include "lib/bytes.h"

#define HEADER_SIZE 36
#define TABLE_MAX   0x400000
#define TABLES_MAX  256

/* A table whose checksum is right. */
struct table {
	const uint8_t *bytes; /* NULL: none */
	uint32_t size;
};

static bool sums_to_zero(const uint8_t *bytes, size_t size)
{
	uint8_t sum = 0;

	while (size)
		sum = (uint8_t)(sum + bytes[--size]);
	return !sum;
}

/* The table at this address if it has the signature. */
static struct table table_at(uint64_t address, const char *signature, acpi_read *read)
{
	const struct table none = {NULL, 0};
	const uint8_t *bytes = read(address, HEADER_SIZE);
	uint32_t size;

	if (!bytes || !bytes_equal(bytes, signature, 4))
		return none;
	size = bytes_load32(bytes + 4);
	if (size < HEADER_SIZE || size > TABLE_MAX)
		return none;
	bytes = read(address, size);
	if (!bytes || !sums_to_zero(bytes, size))
		return none;
	return (struct table){bytes, size};
}

/* A field, or 0 where an older, shorter table has none. */
static uint64_t field(const struct table *table, uint32_t offset, unsigned size)
{
	return offset + size <= table->size ? bytes_load(table->bytes + offset, size) : 0;
}

/* Every table that the root names. */
struct root {
	struct table table;
	unsigned entry_size;
};

static bool root_find(struct root *root, const uint8_t *rsdp, size_t size, acpi_read *read)
{
	if (size < 20 || !bytes_equal(rsdp, "RSD PTR ", 8) || !sums_to_zero(rsdp, 20))
		return false;
	if (rsdp[15] >= 2 && size >= 36 && bytes_load64(rsdp + 24)) {
		root->table = table_at(bytes_load64(rsdp + 24), "XSDT", read);
		root->entry_size = 8;
		if (root->table.bytes)
			return true;
	}
	root->table = table_at(bytes_load32(rsdp + 16), "RSDT", read);
	root->entry_size = 4;
	return root->table.bytes;
}

static struct table find(const struct root *root, const char *signature, acpi_read *read)
{
	unsigned count = (root->table.size - HEADER_SIZE) / root->entry_size;

	for (unsigned i = 0; i < count && i < TABLES_MAX; i++) {
		uint32_t at = HEADER_SIZE + i * root->entry_size;
		struct table table =
			table_at(field(&root->table, at, root->entry_size), signature, read);

		if (table.bytes)
			return table;
	}
	return (struct table){NULL, 0};
}

/* MADT */

static void add_cpu(struct acpi_information *out, uint32_t id, uint32_t flags)
{
	if (!(flags & 1))
		return;
	for (unsigned i = 0; i < out->cpu_count; i++)
		if (out->cpu[i] == id)
			return;
	if (out->cpu_count < ACPI_CPUS_MAX)
		out->cpu[out->cpu_count++] = id;
	else
		out->cpu_left_out++;
}

static void add_ioapic(struct acpi_information *out, uint64_t address, uint32_t first)
{
	if (out->ioapic_count < ACPI_IOAPICS_MAX)
		out->ioapic[out->ioapic_count++] = (struct acpi_ioapic){address, first};
}

static void move_line(struct acpi_information *out, uint8_t line, uint32_t number, uint16_t flags)
{
	/* Polarity 3: active low; trigger mode 3: level. Others are as usual on the ISA bus. */
	if (line < ACPI_LINES)
		out->line[line] =
			(struct acpi_line){number, (flags & 3) == 3, (flags >> 2 & 3) == 3};
}

static void read_madt(struct acpi_information *out, const struct table *madt)
{
	uint32_t at = 44, size;

	out->local_apic = field(madt, 36, 4);
	for (; at + 2 <= madt->size; at += size) {
		const uint8_t *e = madt->bytes + at;

		size = e[1];
		if (size < 2 || at + size > madt->size)
			return;
		if (e[0] == 0 && size >= 8 && e[3] != 0xff)
			add_cpu(out, e[3], bytes_load32(e + 4));
		else if (e[0] == 1 && size >= 12)
			add_ioapic(out, bytes_load32(e + 4), bytes_load32(e + 8));
		else if (e[0] == 2 && size >= 10)
			move_line(out, e[3], bytes_load32(e + 4), bytes_load16(e + 8));
		else if (e[0] == 5 && size >= 12)
			out->local_apic = bytes_load64(e + 4);
		else if (e[0] == 9 && size >= 16)
			add_cpu(out, bytes_load32(e + 4), bytes_load32(e + 8));
	}
}

/* FADT */

/* An AML integer at the place, and how many bytes it takes; 0: none. */
static unsigned aml_integer(const uint8_t *at, const uint8_t *end, uint8_t *value)
{
	if (at < end && (at[0] == 0x00 || at[0] == 0x01)) {
		*value = at[0];
		return 1;
	}
	if (end - at >= 2 && at[0] == 0x0a) {
		*value = at[1];
		return 2;
	}
	return 0;
}

/* Name (\_S5, Package () {a, b, ...}): the sleep types of the two control registers. */
static bool read_s5(struct acpi_information *out, const uint8_t *at, const uint8_t *end)
{
	unsigned size;

	/* PackageOp, its length of 1 to 4 bytes, the count of elements. */
	if (end - at < 3 || at[0] != 0x12)
		return false;
	size = 1 + 1 + (at[1] >> 6) + 1;
	if ((size_t)(end - at) < size)
		return false;
	at += size;
	size = aml_integer(at, end, &out->sleep_type[0]);
	if (!size)
		return false;
	return aml_integer(at + size, end, &out->sleep_type[1]);
}

static bool find_s5(struct acpi_information *out, const struct table *dsdt)
{
	const uint8_t *end = dsdt->bytes + dsdt->size;

	for (const uint8_t *at = dsdt->bytes + HEADER_SIZE; end - at >= 4; at++)
		if (bytes_equal(at, "_S5_", 4) && read_s5(out, at + 4, end))
			return true;
	return false;
}

static uint16_t port_of(uint64_t value)
{
	return value <= UINT16_MAX ? (uint16_t)value : 0;
}

static void read_fadt(struct acpi_information *out, const struct table *fadt, acpi_read *read)
{
	uint64_t dsdt_address = field(fadt, 140, 8);
	struct table dsdt;

	if (!dsdt_address)
		dsdt_address = field(fadt, 40, 4);
	if (field(fadt, 91, 1) == 4)
		out->pm_timer = port_of(field(fadt, 76, 4));
	if (field(fadt, 108, 1) < 0x80)
		out->century = (uint8_t)field(fadt, 108, 1);
	if (field(fadt, 112, 4) & BIT(10)) {
		if (field(fadt, 116, 1) == 0)
			out->reset_memory = field(fadt, 120, 8);
		else if (field(fadt, 116, 1) == 1)
			out->reset_port = port_of(field(fadt, 120, 8));
		out->reset_value = (uint8_t)field(fadt, 128, 1);
	}
	out->smi_port = port_of(field(fadt, 48, 4));
	out->enable_value = (uint8_t)field(fadt, 52, 1);
	out->control[0] = port_of(field(fadt, 64, 4));
	out->control[1] = port_of(field(fadt, 68, 4));
	dsdt = table_at(dsdt_address, "DSDT", read);
	out->can_power_off = dsdt.bytes && out->control[0] && find_s5(out, &dsdt);
}

/* HPET */

static void read_hpet(struct acpi_information *out, const struct table *hpet)
{
	/* In memory, as everywhere. */
	if (hpet->size >= 56 && hpet->bytes[40] == 0)
		out->hpet = bytes_load64(hpet->bytes + 44);
}

const char *acpi_parse(struct acpi_information *out, const uint8_t *rsdp, size_t size,
		       acpi_read *read)
{
	struct root root;
	struct table table;

	*out = (struct acpi_information){0};
	for (unsigned i = 0; i < ACPI_LINES; i++)
		out->line[i].number = i;
	if (!root_find(&root, rsdp, size, read))
		return "there are no ACPI tables";
	table = find(&root, "APIC", read);
	if (!table.bytes)
		return "ACPI has no table of processors (MADT)";
	read_madt(out, &table);
	if (!out->cpu_count)
		return "ACPI's table of processors (MADT) names none";
	table = find(&root, "FACP", read);
	if (table.bytes)
		read_fadt(out, &table, read);
	table = find(&root, "HPET", read);
	if (table.bytes)
		read_hpet(out, &table);
	return NULL;
}
