/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "lib/bytes.h"
#include "machines/acpi.h"
#include "machines/aml.h"

#define BASE 0xe0000

static uint8_t area[ACPI_ROOM];

static const struct acpi_config machine = {
	.cpus = 3,
	.lapic_address = 0xfee00000,
	.ioapic_address = 0xfec00000,
	.ecam_base = 0xe0000000,
	.pci_memory_base = 0xc0000000,
	.pci_memory_limit = 0xe0000000,
	.pci_memory64_base = UINT64_C(0x1000000000),
	.pci_memory64_limit = UINT64_C(0x2000000000),
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

static uint8_t sum(const uint8_t *bytes, size_t size)
{
	uint8_t total = 0;

	while (size--)
		total = (uint8_t)(total + *bytes++);
	return total;
}

/* The table of that name that the XSDT leads to, as a guest finds it; its length and checksum are
 * right. */
static const uint8_t *find(const char *signature)
{
	const uint8_t *xsdt = area + (bytes_load64(area + 24) - BASE);
	unsigned count = (bytes_load32(xsdt + 4) - 36) / 8;

	for (unsigned i = 0; i < count; i++) {
		const uint8_t *table = area + (bytes_load64(xsdt + 36 + i * 8) - BASE);

		EXPECT_EQ(sum(table, bytes_load32(table + 4)), 0);
		if (bytes_equal(table, signature, 4))
			return table;
	}
	test_fail(__FILE__, __LINE__, "no %s", signature);
	test_stop();
}

TEST(root_pointer_leads_to_every_table)
{
	const uint8_t *fadt, *dsdt, *xsdt;

	REQUIRE(acpi_build(&machine, area, sizeof(area), BASE) > 0);
	EXPECT_MEM(area, "RSD PTR ", 8);
	EXPECT_EQ(sum(area, 20), 0);
	EXPECT_EQ(sum(area, 36), 0);
	EXPECT_EQ(area[15], 2);
	xsdt = area + (bytes_load64(area + 24) - BASE);
	EXPECT_MEM(xsdt, "XSDT", 4);
	EXPECT_EQ(sum(xsdt, bytes_load32(xsdt + 4)), 0);
	fadt = find("FACP");
	EXPECT_EQ(bytes_load32(fadt + 4), 276);
	EXPECT_EQ(bytes_load32(fadt + 40), bytes_load64(fadt + 140));
	dsdt = area + (bytes_load64(fadt + 140) - BASE);
	EXPECT_MEM(dsdt, "DSDT", 4);
	EXPECT_EQ(sum(dsdt, bytes_load32(dsdt + 4)), 0);
	EXPECT_EQ(bytes_load64(fadt + 132), 0);
	EXPECT_EQ(bytes_load32(fadt + 36) % 64, 0);
	EXPECT_MEM(area + (bytes_load32(fadt + 36) - BASE), "FACS", 4);
	find("MCFG");
}

TEST(fadt_names_the_ports)
{
	const uint8_t *fadt;

	REQUIRE(acpi_build(&machine, area, sizeof(area), BASE) > 0);
	fadt = find("FACP");
	EXPECT_EQ(bytes_load16(fadt + 46), 9);
	EXPECT_EQ(bytes_load32(fadt + 48), 0);
	EXPECT_EQ(bytes_load32(fadt + 56), 0x600);
	EXPECT_EQ(bytes_load64(fadt + 148 + 4), 0x600);
	EXPECT_EQ(fadt[148 + 1], 32);
	EXPECT_EQ(bytes_load32(fadt + 64), 0x604);
	EXPECT_EQ(bytes_load32(fadt + 76), 0x608);
	EXPECT_EQ(bytes_load64(fadt + 116 + 4), 0xcf9);
	EXPECT_EQ(fadt[116], 1);
	EXPECT_EQ(fadt[116 + 1], 8);
	EXPECT_EQ(fadt[128], 6);
	EXPECT(bytes_load32(fadt + 112) & 1u << 10);
	/* Fixed buttons, no PS/2 controller, no VGA. */
	EXPECT_EQ(bytes_load32(fadt + 112) & 3u << 4, 0);
	EXPECT_EQ(bytes_load16(fadt + 109) & 6, 4);
}

TEST(madt_lists_each_processor)
{
	const uint8_t *madt, *entry;
	unsigned lapics = 0, ioapics = 0, overrides = 0, nmis = 0;

	REQUIRE(acpi_build(&machine, area, sizeof(area), BASE) > 0);
	madt = find("APIC");
	EXPECT_EQ(bytes_load32(madt + 36), 0xfee00000);
	for (entry = madt + 44; entry < madt + bytes_load32(madt + 4); entry += entry[1]) {
		REQUIRE(entry[1] >= 6);
		switch (entry[0]) {
		case 0:
			EXPECT_EQ(entry[3], lapics);
			EXPECT_EQ(bytes_load32(entry + 4), 1);
			lapics++;
			break;
		case 1:
			EXPECT_EQ(bytes_load32(entry + 4), 0xfec00000);
			ioapics++;
			break;
		case 2:
			EXPECT_EQ(bytes_load32(entry + 4), entry[3] == 0 ? 2 : 9);
			EXPECT_EQ(bytes_load16(entry + 8), entry[3] == 0 ? 0 : 0xd);
			overrides++;
			break;
		case 4:
			nmis++;
			break;
		}
	}
	EXPECT_EQ(entry - madt, bytes_load32(madt + 4));
	EXPECT_EQ(lapics, 3);
	EXPECT_EQ(ioapics, 1);
	EXPECT_EQ(overrides, 2);
	EXPECT_EQ(nmis, 1);
}

TEST(too_little_room_is_told_and_not_overrun)
{
	static uint8_t guarded[ACPI_ROOM];
	size_t size = acpi_build(&machine, area, sizeof(area), BASE);

	for (size_t room = 64; room < size; room += 61) {
		bytes_fill(guarded, 0xa5, sizeof(guarded));
		EXPECT_EQ(acpi_build(&machine, guarded, room, BASE), 0);
		for (size_t i = room; i < size; i++)
			REQUIRE(guarded[i] == 0xa5);
	}
	EXPECT_EQ(acpi_build(&machine, guarded, size, BASE), size);
}

TEST(most_processors_fit)
{
	struct acpi_config many = machine;

	many.cpus = 254;
	EXPECT(acpi_build(&many, area, sizeof(area), BASE) > 0);
}

/* The byte code of small terms, as ACPI 6.5, chapter 20, has it. */
TEST(aml_terms_have_their_byte_code)
{
	uint8_t bytes[128];
	struct aml aml = {.bytes = bytes, .size = sizeof(bytes)};
	struct aml_block block;

	aml_name_eisa_id(&aml, "_HID", "PNP0A08");
	EXPECT_MEM(bytes, "\x08_HID\x0c\x41\xd0\x0a\x08", 10);
	aml.position = 0;
	aml_integer(&aml, 0);
	aml_integer(&aml, 1);
	aml_integer(&aml, 0xff);
	aml_integer(&aml, 0x100);
	aml_integer(&aml, 0x10000);
	aml_integer(&aml, UINT64_C(0x100000000));
	EXPECT_EQ(aml.position, 1 + 1 + 2 + 3 + 5 + 9);
	EXPECT_MEM(bytes, "\x00\x01\x0a\xff\x0b\x00\x01\x0c", 8);
	aml.position = 0;
	block = aml_scope_begin(&aml, "\\_SB");
	aml_end(&aml, block);
	/* A length of 8 (itself and the name) in three bytes. */
	EXPECT_MEM(bytes, "\x10\x88\x00\x00\\_SB_", 9);
}
