/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PC: which device, at which address, on which line, in which plug. No firmware runs in it, so
 * pc_boot leaves everything as firmware would.
 *
 * memory:
 *	0x0000000000  RAM, with the ACPI tables at 0xe0000
 *	0x00c0000000  PCI BARs
 *	0x00e0000000  PCI configuration (ECAM) of bus 0
 *	0x00fec00000  IO-APIC
 *	0x00fee00000  local APICs
 *	0x00ff000000  test devices' scratch memory
 *	0x0100000000  RAM above 3 GiB
 *	behind RAM    PCI BARs of 64 bits
 *
 * ports:
 *	0x020  8259			0x0e0  test devices (0xe0, 0xe9, 0xec, 0xf4)
 *	0x040  8254, and 0x61		0x3f8  COM1
 *	0x060  8042, 0x64, 0x92		0x505  panic report
 *	0x070  clock, CMOS		0x600  ACPI power management
 *	0x080  POST codes		0xcf8  PCI configuration, reset at 0xcf9
 *
 * interrupts, of IO-APIC and 8259 alike where nothing else is said:
 *	 0  8254 (IO-APIC: 2)		 9  ACPI
 *	 1  8042			10  INTA and INTC (8259 only)
 *	 4  COM1			11  INTB and INTD (8259 only)
 *	 8  clock			16  INTA, INTB, INTC, INTD (IO-APIC only)
 *
 * PCI bus 0:
 *	00.0  host bridge		03.0  virtio entropy
 *	01.0  virtio network		04.0  virtio disks, one a slot
 *	02.0  virtio console		14.0  virtio shared folders, one a slot
 *	1c.0  virtio memory balloon	1e.0  virtio sockets
 *					1f.0  ISA bridge
 */
#include "machines/pc.h"

#include "core/host.h"
#include "core/irq.h"
#include "devices/i8042.h"
#include "devices/ioapic.h"
#include "devices/lapic.h"
#include "devices/pci.h"
#include "devices/pic.h"
#include "devices/pit.h"
#include "devices/pm.h"
#include "devices/post.h"
#include "devices/pvpanic.h"
#include "devices/rtc.h"
#include "devices/testdev.h"
#include "devices/uart.h"
#include "devices/virtio/balloon.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/console.h"
#include "devices/virtio/fs.h"
#include "devices/virtio/net.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/vsock.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "lib/error.h"
#include "lib/format.h"
#include "machines/acpi.h"
#include "x86/cpuid.h"

#define MIB UINT64_C(0x100000)
#define GIB UINT64_C(0x40000000)

#define LOW_RAM_END	 0x9fc00 /* conventional memory, less the extended BIOS data area */
#define ACPI_BASE	 0xe0000
#define RAM_HIGH_BASE	 (4 * GIB)
#define PCI_MEMORY_BASE	 PC_HOLE_BASE
#define PCI_MEMORY_LIMIT UINT64_C(0xe0000000)
#define ECAM_BASE	 UINT64_C(0xe0000000)
#define ECAM_SIZE	 MIB
#define APICS_BASE	 UINT64_C(0xfec00000)
#define APICS_END	 UINT64_C(0xff000000)
#define PCI_MEMORY64	 (64 * GIB) /* size of that window, and what its base is a multiple of */
#define PCI_IO_BASE	 0xc000
#define COM1_PORT	 0x3f8
#define RTC_PORT	 0x70
#define RESET_PORT	 0xcf9
#define RESET_HARD	 0x06
#define ELCR_SLAVE	 0x4d1
#define ELCR_LEVEL	 0x0e /* 9 to 11: ACPI and PCI */

enum {
	IRQ_PIT = 0,
	IRQ_KEYBOARD = 1,
	IRQ_COM1 = 4,
	IRQ_RTC = 8,

	IRQ_PCI_FIRST = 10,
	GSI_PIT = 2,
	GSI_PCI = 16
};
enum {
	SLOT_NET = 1,
	SLOT_CONSOLE = 2,
	SLOT_RNG = 3,
	SLOT_DISKS = 4,
	SLOT_SHARES = 20,
	SLOT_BALLOON = 28,
	SLOT_VSOCK = 30,
};

struct pc {
	struct vm *vm;
	struct lapics lapics;
	struct ioapic ioapic;
	struct pic pic;
	struct pit pit;
	struct rtc rtc;
	struct uart com1;
	struct i8042 i8042;
	struct pm pm;
	struct post post;
	struct pvpanic pvpanic;
	struct testdev testdev;
	struct pci_bus pci;
	struct msi_target msi;
	struct virtio_net net;
	struct virtio_console console;
	struct virtio_rng rng;
	struct virtio_vsock vsock;
	struct virtio_blk disks[PC_DISKS_MAX];
	char disk_names[PC_DISKS_MAX][4];
	struct virtio_balloon balloon;
	bool has_balloon;
	struct virtio_fs shares[PC_SHARES_MAX];
	char share_names[PC_SHARES_MAX][12];
	unsigned intx; /* levels of INTA..INTD, a bit each */
	struct pci_windows windows;
	struct boot_map map;
	struct boot_config boot;
	uint8_t acpi[ACPI_ROOM];
};

/* Wires */

static void isa_irq_set(void *listener, unsigned input, bool level)
{
	struct pc *pc = listener;

	pic_set(&pc->pic, input, level);
	ioapic_set(&pc->ioapic, input == IRQ_PIT ? GSI_PIT : input, level);
}

/* Two of the four lines share an input of the 8259. */
static void intx_set(void *listener, unsigned input, bool level)
{
	struct pc *pc = listener;
	const unsigned pair = 5u << (input & 1);

	pc->intx = (pc->intx & ~(1u << input)) | (unsigned)level << input;
	ioapic_set(&pc->ioapic, GSI_PCI + input, level);
	pic_set(&pc->pic, IRQ_PCI_FIRST + (input & 1), pc->intx & pair);
}

static void add_interrupt_controllers(struct pc *pc)
{
	lapics_init(&pc->lapics, pc->vm);
	ioapic_init(&pc->ioapic, pc->vm, &pc->lapics, 0);
	pic_init(&pc->pic, pc->vm);
	irq_connect(&pc->pic.intr, lapics_lint_set, &pc->lapics, 0);
	pc->lapics.pic = &pc->pic;
	pc->lapics.pic_acknowledge = pic_acknowledge;
}

static void add_isa_devices(struct pc *pc, const struct pc_config *config)
{
	pit_init(&pc->pit, pc->vm);
	irq_connect(&pc->pit.irq, isa_irq_set, pc, IRQ_PIT);
	rtc_init(&pc->rtc, pc->vm);
	irq_connect(&pc->rtc.irq, isa_irq_set, pc, IRQ_RTC);
	uart_init(&pc->com1, pc->vm, "com1", COM1_PORT, config->serial);
	irq_connect(&pc->com1.irq, isa_irq_set, pc, IRQ_COM1);
	i8042_init(&pc->i8042, pc->vm);
	irq_connect(&pc->i8042.irq, isa_irq_set, pc, IRQ_KEYBOARD);
	pm_init(&pc->pm, pc->vm);
	irq_connect(&pc->pm.sci, isa_irq_set, pc, PM_SCI);
	post_init(&pc->post, pc->vm);
	pvpanic_init(&pc->pvpanic, pc->vm);
}

static void add_test_devices(struct pc *pc, const struct pc_config *config)
{
	testdev_init(&pc->testdev, pc->vm, config->debug);
	for (unsigned i = 0; i < TESTDEV_LINES; i++) {
		if (i < 16)
			irq_connect(&pc->testdev.line[i], isa_irq_set, pc, i);
		else
			irq_connect(&pc->testdev.line[i], ioapic_set, &pc->ioapic, i);
	}
}

static int add_pci_devices(struct pc *pc, const struct pc_config *config)
{
	struct virtio_console_plug plugs[2] = {{NULL, NULL},
					       {config->command, config->command_name}};
	int error = 0;

	pci_bus_init(&pc->pci, pc->vm, ECAM_BASE);
	pc->pci.msi = (struct msi_target){.send = lapics_msi, .listener = &pc->lapics};
	pc->pci.memory_end = UINT64_C(1) << cpu_model_physical_bits(pc->vm->cpu_model);
	for (unsigned i = 0; i < 4; i++)
		irq_connect(&pc->pci.intx[i], intx_set, pc, i);
	if (config->netport)
		error = virtio_net_init(&pc->net, pc->vm, &pc->pci, SLOT_NET, "net0",
					config->netport);
	if (!error && config->command)
		error = virtio_console_init(&pc->console, pc->vm, &pc->pci, SLOT_CONSOLE,
					    "console0", plugs, 2);
	if (!error)
		error = virtio_rng_init(&pc->rng, pc->vm, &pc->pci, SLOT_RNG, "rng0");
	if (!error && config->caller)
		error = virtio_vsock_init(&pc->vsock, pc->vm, &pc->pci, SLOT_VSOCK, "vsock0",
					  config->caller);
	for (unsigned i = 0; !error && i < config->disk_count; i++) {
		format(pc->disk_names[i], sizeof(pc->disk_names[i]), "%u", i);
		error = virtio_blk_init(&pc->disks[i], pc->vm, &pc->pci, SLOT_DISKS + i,
					pc->disk_names[i], config->disks[i]);
	}
	if (!error && config->balloon)
		error = virtio_balloon_init(&pc->balloon, pc->vm, &pc->pci, SLOT_BALLOON,
					    "balloon0");
	pc->has_balloon = config->balloon;
	for (unsigned i = 0; !error && i < config->share_count; i++) {
		format(pc->share_names[i], sizeof(pc->share_names[i]), "share%u", i);
		error = virtio_fs_init(&pc->shares[i], pc->vm, &pc->pci, SLOT_SHARES + i,
				       pc->share_names[i], config->shares[i]);
	}
	return error;
}

/* What is where, as the kernel is told; and the windows behind all RAM. */
static void lay_out(struct pc *pc)
{
	const uint64_t size = pc->vm->memory.size;
	const uint64_t low = size < PC_HOLE_BASE ? size : PC_HOLE_BASE;
	const uint64_t end = size > low ? RAM_HIGH_BASE + (size - low) : RAM_HIGH_BASE;
	const struct boot_range ranges[] = {
		{0, LOW_RAM_END, BOOT_RAM},
		{LOW_RAM_END, 0xa0000 - LOW_RAM_END, BOOT_RESERVED},
		{ACPI_BASE, MIB - ACPI_BASE, BOOT_RESERVED},
		{MIB, low - MIB, BOOT_RAM},
		{ECAM_BASE, ECAM_SIZE, BOOT_RESERVED},
		{APICS_BASE, APICS_END - APICS_BASE, BOOT_RESERVED},
		{RAM_HIGH_BASE, end - RAM_HIGH_BASE, BOOT_RAM},
	};

	pc->map = (struct boot_map){.hole_base = PC_HOLE_BASE};
	for (unsigned i = 0; i < ARRAY_LENGTH(ranges); i++)
		if (ranges[i].size)
			pc->map.range[pc->map.count++] = ranges[i];
	pc->windows = (struct pci_windows){
		.io_base = PCI_IO_BASE,
		.io_limit = 0x10000,
		.memory_base = PCI_MEMORY_BASE,
		.memory_limit = PCI_MEMORY_LIMIT,
		.memory64_base = align_up(end, PCI_MEMORY64),
		.memory64_limit = align_up(end, PCI_MEMORY64) + PCI_MEMORY64,
	};
}

/* What firmware leaves in the clock's memory for systems that look for sizes there: kilobytes above
 * 1 MiB, 64 KiB above 16 MiB. */
static void fill_cmos(struct pc *pc)
{
	const uint64_t size =
		pc->vm->memory.size < PC_HOLE_BASE ? pc->vm->memory.size : PC_HOLE_BASE;
	const uint64_t extended = (size - MIB) >> 10 > UINT16_MAX ? UINT16_MAX : (size - MIB) >> 10;
	const uint64_t above_16 = size > 16 * MIB ? (size - 16 * MIB) >> 16 : 0;
	const struct {
		uint8_t index;
		uint64_t value; /* 16 bits */
	} words[] = {{0x15, 640}, {0x17, extended}, {0x30, extended}, {0x34, above_16}};

	for (unsigned i = 0; i < ARRAY_LENGTH(words); i++) {
		rtc_memory_set(&pc->rtc, words[i].index, (uint8_t)words[i].value);
		rtc_memory_set(&pc->rtc, words[i].index + 1, (uint8_t)(words[i].value >> 8));
	}
}

int pc_create(struct pc **result, struct vm *vm, const struct pc_config *config)
{
	struct pc *pc = host_pages(sizeof(*pc));
	int error;

	*result = pc;
	if (!pc)
		return -ENOMEM;
	CHECK(config->disk_count <= PC_DISKS_MAX && config->share_count <= PC_SHARES_MAX);
	CHECK(vm->memory.size >= PC_MEMORY_MIN && vm->memory.size <= PC_MEMORY_MAX);
	pc->vm = vm;
	lay_out(pc);
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		vm->vcpus[i]->signature = vm->cpu_model->signature;
	vm_lock(vm);
	add_interrupt_controllers(pc);
	add_isa_devices(pc, config);
	if (config->test_devices)
		add_test_devices(pc, config);
	fill_cmos(pc);
	error = add_pci_devices(pc, config);
	vm_unlock(vm);
	return error;
}

void pc_destroy(struct pc *pc)
{
	if (pc)
		host_pages_free(pc, sizeof(*pc));
}

/* What firmware does */

/* RAM is write-back; the hole and the windows of BARs are uncacheable (Intel SDM volume 3,
 * section 12.11). */
static void set_mtrrs(struct pc *pc, struct vcpu_state *state)
{
	const uint64_t addresses = bits_mask(cpu_model_physical_bits(pc->vm->cpu_model)),
		       valid = BIT(11);
	const uint64_t enable = BIT(11), enable_fixed = BIT(10), write_back = 6, uncacheable = 0;

	state->mtrr_def_type = enable | enable_fixed | write_back;
	for (unsigned i = 0; i < ARRAY_LENGTH(state->mtrr_fixed); i++)
		state->mtrr_fixed[i] = UINT64_C(0x0606060606060606);
	state->mtrr_variable[0] = PC_HOLE_BASE | uncacheable;
	state->mtrr_variable[1] = (addresses & ~(RAM_HIGH_BASE - PC_HOLE_BASE - 1)) | valid;
	state->mtrr_variable[2] = pc->windows.memory64_base | uncacheable;
	state->mtrr_variable[3] = (addresses & ~(PCI_MEMORY64 - 1)) | valid;
}

/* Addresses and, for guests that use the 8259, interrupts of all functions. */
static int set_up_pci(struct pc *pc)
{
	bool fault = false;

	for (unsigned devfn = 0; devfn < PCI_FUNCTIONS; devfn++) {
		const struct pci_device *function = pc->pci.function[devfn];
		unsigned pin = function ? function->config[PCI_INTERRUPT_PIN] : 0;

		if (pin)
			pci_config_write(&pc->pci, devfn, PCI_INTERRUPT_LINE, 1,
					 IRQ_PCI_FIRST + (((devfn >> 3) + pin - 1) & 1));
	}
	space_write(&pc->vm->ports, ELCR_SLAVE, 1, ELCR_LEVEL, &fault);
	return pci_bus_assign(&pc->pci, &pc->windows);
}

static int put_acpi_tables(struct pc *pc)
{
	const struct acpi_config config = {
		.cpus = pc->vm->vcpu_count,
		.lapic_address = APIC_ADDRESS,
		.ioapic_address = IOAPIC_ADDRESS,
		.ecam_base = ECAM_BASE,
		.pci_memory_base = pc->windows.memory_base,
		.pci_memory_limit = pc->windows.memory_limit,
		.pci_memory64_base = pc->windows.memory64_base,
		.pci_memory64_limit = pc->windows.memory64_limit,
		.pci_io_base = PCI_IO_BASE,
		.pci_gsi = {GSI_PCI, GSI_PCI + 1, GSI_PCI + 2, GSI_PCI + 3},
		.pm1_event_port = PM_EVENT_PORT,
		.pm1_control_port = PM_CONTROL_PORT,
		.pm_timer_port = PM_TIMER_PORT,
		.gpe_port = PM_GPE_PORT,
		.sci = PM_SCI,
		.soft_off = PM_S5,
		.pvpanic_port = PVPANIC_PORT,
		.reset_port = RESET_PORT,
		.reset_value = RESET_HARD,
		.com1_port = COM1_PORT,
		.com1_irq = IRQ_COM1,
		.rtc_port = RTC_PORT,
		.rtc_irq = IRQ_RTC,
	};
	size_t size = acpi_build(&config, pc->acpi, sizeof(pc->acpi), ACPI_BASE);

	CHECK(size > 0 && size <= MIB - ACPI_BASE);
	return vm_write(pc->vm, gpa(ACPI_BASE), pc->acpi, size);
}

int pc_boot(struct pc *pc, const struct boot_config *boot, struct boot_result *result)
{
	int error;

	vm_reset(pc->vm);
	vm_lock(pc->vm);
	for (unsigned i = 0; i < pc->vm->vcpu_count; i++) {
		vcpu_sync(pc->vm->vcpus[i]);
		set_mtrrs(pc, &pc->vm->vcpus[i]->state);
	}
	error = set_up_pci(pc);
	vm_unlock(pc->vm);
	CHECK(!error); /* the windows are large enough for all devices there can be */
	error = put_acpi_tables(pc);
	CHECK(!error);
	pc->boot = *boot;
	pc->boot.map = pc->map;
	pc->boot.rsdp = ACPI_BASE;
	return boot_load(pc->vm, &pc->boot, result);
}

struct virtio_balloon *pc_balloon(struct pc *pc)
{
	return pc->has_balloon ? &pc->balloon : NULL;
}

struct virtio_net *pc_net(struct pc *pc)
{
	return pc->net.port ? &pc->net : NULL;
}

void pc_power_button(struct pc *pc)
{
	pm_power_button(&pc->pm);
}

void pc_sleep_button(struct pc *pc)
{
	pm_sleep_button(&pc->pm);
}
