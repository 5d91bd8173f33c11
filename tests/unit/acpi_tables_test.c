/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "kernel/acpi.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/checked.h"

/* Physical memory that the tables are in. */
#define BASE 0x7fe00000u
static uint8_t memory[16384];
static uint32_t used;
static uint8_t rsdp[36];
static uint64_t tables[8];
static unsigned table_count;
static struct acpi_information information;

static const uint8_t *read_memory(uint64_t physical, uint64_t size)
{
	return physical >= BASE && range_within(physical - BASE, size, sizeof(memory))
		       ? memory + (physical - BASE)
		       : NULL;
}

static void seal(uint8_t *bytes, uint32_t size, unsigned place)
{
	uint8_t sum = 0;

	bytes[place] = 0;
	for (uint32_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + bytes[i]);
	bytes[place] = (uint8_t)-sum;
}

/* A table of this size behind its header, whose checksum seal_table is to make. */
static uint8_t *table(const char *signature, uint32_t size, uint64_t *address)
{
	uint8_t *bytes = memory + used;

	*address = BASE + used;
	bytes_fill(bytes, 0, 36 + size);
	bytes_copy(bytes, signature, 4);
	bytes_store32(bytes + 4, 36 + size);
	used += (36 + size + 15) & ~15u;
	return bytes;
}

static void seal_table(uint8_t *bytes)
{
	seal(bytes, bytes_load32(bytes + 4), 9);
}

static uint8_t *listed(const char *signature, uint32_t size)
{
	return table(signature, size, &tables[table_count++]);
}

static const char *parse(bool extended)
{
	uint64_t root;
	uint8_t *bytes = table(extended ? "XSDT" : "RSDT", table_count * (extended ? 8 : 4), &root);

	for (unsigned i = 0; i < table_count; i++)
		bytes_store(bytes + 36 + i * (extended ? 8 : 4), tables[i], extended ? 8 : 4);
	seal_table(bytes);
	bytes_fill(rsdp, 0, sizeof(rsdp));
	bytes_copy(rsdp, "RSD PTR ", 8);
	rsdp[15] = extended ? 2 : 0;
	bytes_store32(rsdp + 16, extended ? 0 : (uint32_t)root);
	bytes_store64(rsdp + 24, extended ? root : 0);
	seal(rsdp, 20, 8);
	return acpi_parse(&information, rsdp, sizeof(rsdp), read_memory);
}

static void begin(void)
{
	used = 0;
	table_count = 0;
}

static void add_madt(void)
{
	static const uint8_t entries[] = {
		0, 8,  0,    0, 1, 0,	 0,    0,			      /* processor 0 */
		0, 8,  1,    2, 1, 0,	 0,    0,			      /* APIC id 2 */
		0, 8,  2,    4, 0, 0,	 0,    0,			      /* disabled */
		9, 16, 0,    0, 0, 1,	 0,    0,    1,	 0, 0, 0, 0, 0, 0, 0, /* x2APIC id 0x100 */
		9, 16, 0,    0, 2, 0,	 0,    0,    1,	 0, 0, 0, 0, 0, 0, 0, /* id 2 once more */
		1, 12, 0,    0, 0, 0,	 0xc0, 0xfe, 0,	 0, 0, 0,	      /* I/O APIC */
		1, 12, 1,    0, 0, 0x10, 0xc0, 0xfe, 24, 0, 0, 0,	      /* its second */
		2, 10, 0,    0, 2, 0,	 0,    0,    0,	 0,		      /* line 0 is 2 */
		2, 10, 0,    9, 9, 0,	 0,    0,    15, 0, /* line 9 is low, level */
		4, 6,  0xff, 0, 0, 1,			    /* NMI: not ours */
	};
	uint8_t *madt = listed("APIC", 8 + sizeof(entries));

	bytes_store32(madt + 36, 0xfee00000);
	bytes_copy(madt + 44, entries, sizeof(entries));
	seal_table(madt);
}

static void add_fadt(void)
{
	static const uint8_t aml[] = {0x08, '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0x0a, 5, 1, 0, 0};
	uint64_t dsdt_address;
	uint8_t *dsdt = table("DSDT", 64, &dsdt_address), *fadt;

	bytes_copy(dsdt + 50, "_S5_", 4); /* one that is no package */
	bytes_copy(dsdt + 60, aml, sizeof(aml));
	seal_table(dsdt);
	fadt = listed("FACP", 208);
	bytes_store32(fadt + 40, (uint32_t)dsdt_address);
	bytes_store32(fadt + 48, 0xb2);
	fadt[52] = 0xf1;
	bytes_store32(fadt + 64, 0x604);
	bytes_store32(fadt + 76, 0x608);
	fadt[91] = 4;
	fadt[108] = 0x32;
	bytes_store32(fadt + 112, 1 << 10);
	fadt[116] = 1;
	bytes_store64(fadt + 120, 0xcf9);
	fadt[128] = 0x0f;
	seal_table(fadt);
}

static void add_hpet(void)
{
	uint8_t *hpet = listed("HPET", 20);

	bytes_store64(hpet + 44, 0xfed00000);
	seal_table(hpet);
}

static void expect_all(void)
{
	EXPECT_EQ(information.cpu_count, 3);
	EXPECT_EQ(information.cpu[0], 0);
	EXPECT_EQ(information.cpu[1], 2);
	EXPECT_EQ(information.cpu[2], 0x100);
	EXPECT_EQ(information.local_apic, 0xfee00000);
	EXPECT_EQ(information.ioapic_count, 2);
	EXPECT_EQ(information.ioapic[1].address, 0xfec01000);
	EXPECT_EQ(information.ioapic[1].first, 24);
	EXPECT_EQ(information.line[0].number, 2);
	EXPECT(!information.line[0].low && !information.line[0].level);
	EXPECT_EQ(information.line[4].number, 4);
	EXPECT(information.line[9].low && information.line[9].level);
	EXPECT_EQ(information.hpet, 0xfed00000);
	EXPECT_EQ(information.pm_timer, 0x608);
	EXPECT_EQ(information.century, 0x32);
	EXPECT_EQ(information.reset_port, 0xcf9);
	EXPECT_EQ(information.reset_value, 0x0f);
	EXPECT(information.can_power_off);
	EXPECT_EQ(information.control[0], 0x604);
	EXPECT_EQ(information.control[1], 0);
	EXPECT_EQ(information.sleep_type[0], 5);
	EXPECT_EQ(information.sleep_type[1], 1);
	EXPECT_EQ(information.smi_port, 0xb2);
	EXPECT_EQ(information.enable_value, 0xf1);
}

TEST(tables_of_both_kinds)
{
	for (unsigned extended = 0; extended < 2; extended++) {
		begin();
		add_hpet();
		add_madt();
		add_fadt();
		EXPECT(!parse(extended));
		expect_all();
	}
}

TEST(without_processors_is_no_start)
{
	uint8_t *madt;

	begin();
	add_fadt();
	EXPECT(parse(true) != NULL);
	begin();
	madt = listed("APIC", 8);
	seal_table(madt);
	EXPECT(parse(true) != NULL);
	EXPECT(acpi_parse(&information, rsdp, 0, read_memory) != NULL);
	EXPECT(acpi_parse(&information, rsdp, 19, read_memory) != NULL);
}

TEST(a_wrong_checksum_is_no_table)
{
	begin();
	add_madt();
	add_hpet();
	memory[tables[1] - BASE + 44]++;
	EXPECT(!parse(true));
	EXPECT_EQ(information.hpet, 0);
	memory[tables[0] - BASE + 44]++;
	EXPECT(parse(true) != NULL);
}

TEST(more_processors_than_there_is_room_for)
{
	uint8_t *madt;

	begin();
	madt = listed("APIC", 8 + 100 * 8);
	for (unsigned i = 0; i < 100; i++)
		bytes_copy(madt + 44 + i * 8, (uint8_t[]){0, 8, 0, (uint8_t)i, 1, 0, 0, 0}, 8);
	seal_table(madt);
	EXPECT(!parse(true));
	EXPECT_EQ(information.cpu_count, ACPI_CPUS_MAX);
	EXPECT_EQ(information.cpu_left_out, 100 - ACPI_CPUS_MAX);
}

/* Any byte of any table may be anything, as long as the checksum is right. */
TEST(bytes_that_lie)
{
	uint32_t end;

	begin();
	add_madt();
	add_fadt();
	add_hpet();
	parse(true);
	end = used;
	for (uint32_t at = 0; at < end; at++) {
		for (unsigned i = 0; i < 4; i++) {
			static const uint8_t values[] = {0, 1, 0x7f, 0xff};
			uint8_t before = memory[at], sum_at = at % 16 == 9 ? 8 : 9;
			uint64_t table_at = 0;

			for (unsigned t = 0; t < table_count; t++)
				if (tables[t] - BASE <= at && tables[t] - BASE >= table_at)
					table_at = tables[t] - BASE;
			memory[at] = values[i];
			memory[table_at + sum_at] =
				(uint8_t)(memory[table_at + sum_at] + before - values[i]);
			acpi_parse(&information, rsdp, sizeof(rsdp), read_memory);
			memory[table_at + sum_at] =
				(uint8_t)(memory[table_at + sum_at] - before + values[i]);
			memory[at] = before;
		}
	}
	EXPECT(!acpi_parse(&information, rsdp, sizeof(rsdp), read_memory));
	expect_all();
}
