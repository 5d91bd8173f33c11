/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Not described: processors as objects of the DSDT (no power or throttling states), HPET, a serial
 * console by SPCR, sleep states but S5. The power and sleep buttons are fixed hardware (ACPI 6.5,
 * section 4.8.3.1).
 */
#include "machines/acpi.h"

#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "machines/aml.h"

#define HEADER_SIZE   36
#define RSDP_SIZE     36
#define FACS_SIZE     64
#define FADT_SIZE     276
#define FADT_REVISION 6
#define OEM_ID	      "LODGE "
#define OEM_TABLE_ID  "LODGEPC "
#define CREATOR_ID    "LDGE"

/* FADT's flags (table 5.10) and boot flags (table 5.11). */
#define FADT_WBINVD	    BIT(0)
#define FADT_PROC_C1	    BIT(2)
#define FADT_FIX_RTC	    BIT(6) /* the clock can't wake through fixed registers */
#define FADT_TMR_VAL_EXT    BIT(8) /* a 32-bit timer */
#define FADT_RESET_REG	    BIT(10)
#define BOOT_LEGACY_DEVICES BIT(0)
#define BOOT_8042	    BIT(1)
#define BOOT_NO_VGA	    BIT(2)
#define BOOT_NO_PCIE_ASPM   BIT(4)
#define BOOT_NO_CMOS_RTC    BIT(5)

#define ADDRESS_SPACE_IO 1

#define MADT_PCAT_COMPAT      1u
#define MADT_LAPIC	      0
#define MADT_IOAPIC	      1
#define MADT_OVERRIDE	      2
#define MADT_LAPIC_NMI	      4
#define MPS_ACTIVE_HIGH_LEVEL 0x0d

struct builder {
	const struct acpi_config *config;
	struct aml out;
	uint64_t address;
	uint64_t tables[8]; /* addresses for the XSDT */
	unsigned count;
	uint64_t dsdt, facs;
};

static uint64_t here(const struct builder *build)
{
	return build->address + build->out.position;
}

static void align(struct builder *build, unsigned alignment)
{
	while (build->out.position % alignment)
		aml_byte(&build->out, 0);
}

static uint8_t checksum(const uint8_t *bytes, size_t size)
{
	uint8_t sum = 0;

	while (size--)
		sum = (uint8_t)(sum + *bytes++);
	return (uint8_t)-sum;
}

/* Starts a table; its length and checksum are filled in by table_end. Returns its offset. */
static size_t table_begin(struct builder *build, const char *signature, uint8_t revision)
{
	struct aml *out = &build->out;
	size_t start;

	align(build, 16);
	start = out->position;
	aml_bytes(out, signature, 4);
	aml_u32(out, 0); /* length */
	aml_byte(out, revision);
	aml_byte(out, 0); /* checksum */
	aml_bytes(out, OEM_ID, 6);
	aml_bytes(out, OEM_TABLE_ID, 8);
	aml_u32(out, 1);
	aml_bytes(out, CREATOR_ID, 4);
	aml_u32(out, 1);
	return start;
}

static void table_end(struct builder *build, size_t start)
{
	struct aml *out = &build->out;
	size_t size = out->position - start;

	if (out->position > out->size)
		return;
	bytes_store32(out->bytes + start + 4, (uint32_t)size);
	out->bytes[start + 9] = checksum(out->bytes + start, size);
}

static void list(struct builder *build, size_t start)
{
	CHECK(build->count < ARRAY_LENGTH(build->tables));
	build->tables[build->count++] = build->address + start;
}

/* _PRT: the interrupt of each slot's pins, with the bridge's swizzle (PCI-to-PCI Bridge 1.2,
 * section 9.1). */
static void add_prt(struct aml *out, const struct acpi_config *config)
{
	struct aml_block routes, route;

	aml_name(out, "_PRT");
	routes = aml_package_begin(out, 32 * 4);
	for (unsigned slot = 0; slot < 32; slot++) {
		for (unsigned pin = 0; pin < 4; pin++) {
			route = aml_package_begin(out, 4);
			aml_integer(out, slot << 16 | 0xffff);
			aml_integer(out, pin);
			aml_integer(out, 0);
			aml_integer(out, config->pci_gsi[(slot + pin) & 3]);
			aml_end(out, route);
		}
	}
	aml_end(out, routes);
}

static void add_pci_windows(struct aml *out, const struct acpi_config *config)
{
	struct aml_resources resources = aml_resources_begin(out);

	aml_word_bus(out, 0, 0);
	aml_io(out, 0xcf8, 8);
	aml_word_io(out, config->pci_io_base, 0xffff);
	if (config->pci_memory_limit > config->pci_memory_base)
		aml_dword_memory(out, (uint32_t)config->pci_memory_base,
				 (uint32_t)(config->pci_memory_limit - 1));
	if (config->pci_memory64_limit > config->pci_memory64_base)
		aml_qword_memory(out, config->pci_memory64_base, config->pci_memory64_limit - 1);
	aml_resources_end(out, resources);
}

/* A device of the ISA bus: its ports and its interrupt. */
static void add_isa_device(struct aml *out, const char *name, const char *id, uint16_t port,
			   uint8_t ports, uint8_t irq)
{
	struct aml_block device = aml_device_begin(out, name);
	struct aml_resources resources;

	aml_name_eisa_id(out, "_HID", id);
	aml_name_integer(out, "_UID", 0);
	resources = aml_resources_begin(out);
	aml_io(out, port, ports);
	aml_irq(out, irq);
	aml_resources_end(out, resources);
	aml_end(out, device);
}

/* Where a guest's kernel says that it panicked. */
static void add_pvpanic(struct aml *out, const struct acpi_config *config)
{
	struct aml_block device = aml_device_begin(out, "PEVT");
	struct aml_resources resources;

	aml_name(out, "_HID");
	aml_string(out, "QEMU0001");
	resources = aml_resources_begin(out);
	aml_io(out, config->pvpanic_port, 1);
	aml_resources_end(out, resources);
	aml_end(out, device);
}

static void add_pci(struct aml *out, const struct acpi_config *config)
{
	struct aml_block bridge = aml_device_begin(out, "PCI0"), isa;

	aml_name_eisa_id(out, "_HID", "PNP0A08");
	aml_name_eisa_id(out, "_CID", "PNP0A03");
	aml_name_integer(out, "_UID", 0);
	aml_name_integer(out, "_BBN", 0);
	aml_name_integer(out, "_SEG", 0);
	add_pci_windows(out, config);
	add_prt(out, config);
	isa = aml_device_begin(out, "ISA");
	aml_name_integer(out, "_ADR", 0x001f0000);
	if (config->com1_port)
		add_isa_device(out, "COM1", "PNP0501", config->com1_port, 8, config->com1_irq);
	if (config->rtc_port)
		add_isa_device(out, "RTC", "PNP0B00", config->rtc_port, 2, config->rtc_irq);
	if (config->pvpanic_port)
		add_pvpanic(out, config);
	aml_end(out, isa);
	aml_end(out, bridge);
}

/* What is neither RAM nor a window: operating systems use ECAM only if it is claimed somewhere. */
static void add_motherboard(struct aml *out, const struct acpi_config *config)
{
	struct aml_block device = aml_device_begin(out, "MBRD");
	struct aml_resources resources;

	aml_name_eisa_id(out, "_HID", "PNP0C02");
	aml_name_integer(out, "_UID", 0);
	resources = aml_resources_begin(out);
	if (config->ecam_base)
		aml_memory32_fixed(out, (uint32_t)config->ecam_base, 1u << 20);
	if (config->pm1_event_port)
		aml_io(out, config->pm1_event_port, 4);
	if (config->pm1_control_port)
		aml_io(out, config->pm1_control_port, 2);
	if (config->pm_timer_port)
		aml_io(out, config->pm_timer_port, 4);
	if (config->gpe_port)
		aml_io(out, config->gpe_port, 8);
	aml_resources_end(out, resources);
	aml_end(out, device);
}

static void add_dsdt(struct builder *build)
{
	struct aml *out = &build->out;
	size_t start = table_begin(build, "DSDT", 2);
	struct aml_block scope, package;

	scope = aml_scope_begin(out, "\\_SB");
	add_pci(out, build->config);
	add_motherboard(out, build->config);
	aml_end(out, scope);
	aml_name(out, "\\_S5");
	package = aml_package_begin(out, 4);
	aml_integer(out, build->config->soft_off);
	aml_integer(out, build->config->soft_off);
	aml_integer(out, 0);
	aml_integer(out, 0);
	aml_end(out, package);
	table_end(build, start);
	build->dsdt = build->address + start;
}

static void add_facs(struct builder *build)
{
	struct aml *out = &build->out;
	size_t start;

	align(build, 64);
	start = out->position;
	build->facs = here(build);
	aml_bytes(out, "FACS", 4);
	aml_u32(out, FACS_SIZE);
	while (out->position < start + FACS_SIZE)
		aml_byte(out, out->position == start + 32 ? 2 : 0); /* version 2 */
}

/* A Generic Address Structure of the port space; all zero for none. */
static void put_port(uint8_t *at, uint16_t port, unsigned bytes)
{
	if (!port)
		return;
	at[0] = ADDRESS_SPACE_IO;
	at[1] = (uint8_t)(bytes * 8);
	at[3] = (uint8_t)(bytes <= 2 ? bytes : 3); /* access size; more than 4 bytes in turn */
	bytes_store64(at + 4, port);
}

static uint16_t fadt_boot_flags(const struct acpi_config *config)
{
	return (uint16_t)(BOOT_NO_VGA | BOOT_NO_PCIE_ASPM |
			  (config->com1_port ? BOOT_LEGACY_DEVICES : 0) |
			  (config->i8042 ? BOOT_8042 : 0) |
			  (config->rtc_port ? 0 : BOOT_NO_CMOS_RTC));
}

/* Offsets: table 5.9. No SMI command port: the machine is in ACPI mode from power-on. */
static void add_fadt(struct builder *build)
{
	const struct acpi_config *config = build->config;
	size_t start = table_begin(build, "FACP", FADT_REVISION);
	uint8_t fadt[FADT_SIZE] = {0};
	uint32_t flags = FADT_WBINVD | FADT_PROC_C1 | FADT_FIX_RTC;

	flags |= config->pm_timer_port ? FADT_TMR_VAL_EXT : 0;
	flags |= config->reset_port ? FADT_RESET_REG : 0;
	bytes_store32(fadt + 36, (uint32_t)build->facs);
	bytes_store32(fadt + 40, (uint32_t)build->dsdt);
	bytes_store16(fadt + 46, config->sci);
	bytes_store32(fadt + 56, config->pm1_event_port);
	bytes_store32(fadt + 64, config->pm1_control_port);
	bytes_store32(fadt + 76, config->pm_timer_port);
	bytes_store32(fadt + 80, config->gpe_port);
	fadt[88] = config->pm1_event_port ? 4 : 0;
	fadt[89] = config->pm1_control_port ? 2 : 0;
	fadt[91] = config->pm_timer_port ? 4 : 0;
	fadt[92] = config->gpe_port ? 8 : 0;
	bytes_store16(fadt + 96, 0xffff); /* no C2, no C3 */
	bytes_store16(fadt + 98, 0xffff);
	fadt[108] = config->rtc_port ? 0x32 : 0; /* CMOS byte of the century */
	bytes_store16(fadt + 109, fadt_boot_flags(config));
	bytes_store32(fadt + 112, flags);
	put_port(fadt + 116, config->reset_port, 1);
	fadt[128] = config->reset_value;
	fadt[131] = 5; /* 6.5 */
	bytes_store64(fadt + 140, build->dsdt);
	put_port(fadt + 148, config->pm1_event_port, 4);
	put_port(fadt + 172, config->pm1_control_port, 2);
	put_port(fadt + 208, config->pm_timer_port, 4);
	put_port(fadt + 220, config->gpe_port, 8);
	bytes_copy(fadt + 268, "LODGE\0\0", 8); /* hypervisor vendor */
	aml_bytes(&build->out, fadt + HEADER_SIZE, FADT_SIZE - HEADER_SIZE);
	table_end(build, start);
	list(build, start);
}

static void add_override(struct aml *out, uint8_t source, uint32_t gsi, uint16_t flags)
{
	aml_byte(out, MADT_OVERRIDE);
	aml_byte(out, 10);
	aml_byte(out, 0); /* ISA */
	aml_byte(out, source);
	aml_u32(out, gsi);
	aml_u16(out, flags);
}

static void add_madt(struct builder *build)
{
	const struct acpi_config *config = build->config;
	struct aml *out = &build->out;
	size_t start = table_begin(build, "APIC", 5);

	aml_u32(out, config->lapic_address);
	aml_u32(out, MADT_PCAT_COMPAT);
	for (unsigned cpu = 0; cpu < config->cpus; cpu++) {
		aml_byte(out, MADT_LAPIC);
		aml_byte(out, 8);
		aml_byte(out, (uint8_t)cpu); /* processor uid */
		aml_byte(out, (uint8_t)cpu); /* APIC id */
		aml_u32(out, 1);	     /* enabled */
	}
	aml_byte(out, MADT_IOAPIC);
	aml_byte(out, 12);
	aml_byte(out, 0); /* its id */
	aml_byte(out, 0);
	aml_u32(out, config->ioapic_address);
	aml_u32(out, 0);
	add_override(out, 0, 2, 0); /* the 8254 is on pin 2 */
	if (config->sci)
		add_override(out, config->sci, config->sci, MPS_ACTIVE_HIGH_LEVEL);
	aml_byte(out, MADT_LAPIC_NMI);
	aml_byte(out, 6);
	aml_byte(out, 0xff); /* all processors */
	aml_u16(out, 0);
	aml_byte(out, 1); /* LINT1 */
	table_end(build, start);
	list(build, start);
}

static void add_mcfg(struct builder *build)
{
	size_t start;

	if (!build->config->ecam_base)
		return;
	start = table_begin(build, "MCFG", 1);
	aml_u64(&build->out, 0);
	aml_u64(&build->out, build->config->ecam_base);
	aml_u16(&build->out, 0);  /* segment */
	aml_byte(&build->out, 0); /* first bus */
	aml_byte(&build->out, 0); /* last bus */
	aml_u32(&build->out, 0);
	table_end(build, start);
	list(build, start);
}

static uint64_t add_xsdt(struct builder *build)
{
	size_t start = table_begin(build, "XSDT", 1);

	for (unsigned i = 0; i < build->count; i++)
		aml_u64(&build->out, build->tables[i]);
	table_end(build, start);
	return build->address + start;
}

/* Two checksums: of the first 20 bytes, as in ACPI 1.0, and of all (section 5.2.5.3). */
static void fill_rsdp(uint8_t *rsdp, uint64_t xsdt)
{
	bytes_copy(rsdp, "RSD PTR ", 8);
	bytes_copy(rsdp + 9, OEM_ID, 6);
	rsdp[15] = 2; /* revision */
	bytes_store32(rsdp + 20, RSDP_SIZE);
	bytes_store64(rsdp + 24, xsdt);
	rsdp[8] = checksum(rsdp, 20);
	rsdp[32] = checksum(rsdp, RSDP_SIZE);
}

size_t acpi_build(const struct acpi_config *config, uint8_t *bytes, size_t room, uint64_t address)
{
	struct builder build = {
		.config = config, .out = {.bytes = bytes, .size = room}, .address = address};
	uint64_t xsdt;

	CHECK(address % 64 == 0 && room >= RSDP_SIZE);
	bytes_fill(bytes, 0, RSDP_SIZE);
	build.out.position = RSDP_SIZE;
	add_facs(&build);
	add_dsdt(&build);
	add_fadt(&build);
	add_madt(&build);
	add_mcfg(&build);
	xsdt = add_xsdt(&build);
	if (build.out.position > room)
		return 0;
	fill_rsdp(bytes, xsdt);
	return build.out.position;
}
