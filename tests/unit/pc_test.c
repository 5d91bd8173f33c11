/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine as its guest sees it: through ports, memory and the registers of the first vcpu. */
#include "test.h"

#include "core/vm.h"
#include "devices/pci.h"
#include "engines/scripted/scripted.h"
#include "hosts/fake/fake.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "machines/pc.h"
#include "x86/cpuid.h"

#define MIB UINT64_C(0x100000)

static struct vm vm;
static struct pc *pc;
static struct pc_config config;
static struct boot_config boot;
static struct boot_result result;
static uint8_t kernel[64];

static int no_submit(struct disk *disk, struct disk_request *request)
{
	return -EIO;
}

static void no_close(struct disk *disk)
{
}

static const struct disk_ops disk_ops = {.submit = no_submit, .close = no_close};
static struct disk disks[PC_DISKS_MAX];

/* A multiboot kernel of one hlt. */
static void make_kernel(void)
{
	const uint32_t words[] = {0x1badb002, 0x10000,	0u - 0x1badb002 - 0x10000,
				  0x100000,   0x100000, 0,
				  0,	      0x100020, 0xf4};

	bytes_copy(kernel, words, sizeof(words));
	boot = (struct boot_config){.kernel = {{kernel, sizeof(words)}, "kernel"},
				    .command_line = ""};
}

static void start(uint64_t memory, unsigned vcpus)
{
	const struct vm_config vm_config = {
		.vcpus = vcpus,
		.memory_size = memory,
		.hole_base = PC_HOLE_BASE,
		.engine = &engine_scripted,
		.cpu_model = cpu_model_find("x86-64-v2"),
	};

	make_kernel();
	REQUIRE(vm_create(&vm, &vm_config) == 0);
	REQUIRE(pc_create(&pc, &vm, &config) == 0);
	REQUIRE(pc_boot(pc, &boot, &result) == 0);
	vm.current = vm.vcpus[0]; /* whose accesses follow: the local APIC asks */
}

static uint32_t in(uint16_t port, unsigned size)
{
	uint32_t value;

	vm_lock(&vm);
	value = (uint32_t)space_read(&vm.ports, port, size, 0);
	vm_unlock(&vm);
	return value;
}

static void out(uint16_t port, unsigned size, uint32_t value)
{
	vm_lock(&vm);
	space_write(&vm.ports, port, size, value, 0);
	vm_unlock(&vm);
}

static uint64_t load(uint64_t address, unsigned size)
{
	uint64_t value;

	vm_lock(&vm);
	value = space_read(&vm.mmio, address, size, 0);
	vm_unlock(&vm);
	return value;
}

static uint32_t config_read(unsigned slot, unsigned offset)
{
	out(0xcf8, 4, 0x80000000 | slot << 11 | offset);
	return in(0xcfc, 4);
}

TEST(every_device_answers_at_its_place)
{
	start(64 * MIB, 2);
	EXPECT_EQ(in(0x3fd, 1), 0x60);		    /* an idle UART */
	EXPECT_EQ(in(0x21, 1), 0xff & in(0x21, 1)); /* 8259 */
	EXPECT_EQ(config_read(0, 0), 0x29c08086);
	EXPECT_EQ(config_read(0x1f, 0), 0x29188086);
	EXPECT_EQ(load(0xe0000000, 4), 0x29c08086); /* the same by ECAM */
	EXPECT_EQ(load(0xe0000000 + (0x1f << 15), 4), 0x29188086);
	EXPECT_EQ(load(0xfee00030, 4) & 0xff, 0x14); /* local APIC's version, of vcpu 0 */
	EXPECT(in(0x608, 4) != 0xffffffff);	     /* power management timer */
	out(0x70, 1, 0x17);
	EXPECT_EQ(in(0x71, 1) | (63 * 1024 & 0xff00),
		  63 * 1024);			  /* memory size's low byte in CMOS */
	EXPECT_EQ(in(0xe9, 1), 0xff);		  /* no test devices */
	EXPECT_EQ(config_read(1, 0), 0xffffffff); /* no network */
	EXPECT_EQ(config_read(3, 0) & 0xffff, 0x1af4);
}

TEST(test_devices_are_there_when_asked_for)
{
	config.test_devices = true;
	start(64 * MIB, 1);
	EXPECT_EQ(in(0xe9, 1), 0xe9);
	out(0xf4, 4, 21);
	EXPECT_EQ(vm.stop, VM_TEST_EXIT);
	EXPECT_EQ(vm.stop_code, 21);
}

TEST(bars_are_assigned_and_decoded)
{
	uint64_t address;
	uint32_t low;

	start(64 * MIB, 1);
	EXPECT_EQ(config_read(3, 4) & 2, 2);
	low = config_read(3, 0x10);
	EXPECT_EQ(low & 7, 4);
	address = (low & ~15u) | (uint64_t)config_read(3, 0x14) << 32;
	EXPECT(address >= UINT64_C(0x1000000000));
	/* The common configuration's device feature select reads back as written. */
	vm_lock(&vm);
	space_write(&vm.mmio, address, 4, 1, 0);
	vm_unlock(&vm);
	EXPECT_EQ(load(address, 4), 1);
}

TEST(sixteen_disks_fit)
{
	for (unsigned i = 0; i < PC_DISKS_MAX; i++) {
		disks[i] = (struct disk){.ops = &disk_ops, .size = 1 << 20, .block_size = 512};
		config.disks[i] = &disks[i];
	}
	config.disk_count = PC_DISKS_MAX;
	start(64 * MIB, 32);
	for (unsigned i = 0; i < PC_DISKS_MAX; i++) {
		EXPECT_EQ(config_read(4 + i, 0), 0x10421af4);
		EXPECT(config_read(4 + i, 0x10) > 0xf);
	}
	vm_destroy(&vm);
	pc_destroy(pc);
	EXPECT_EQ(fake_memory_in_use(), 0);
}

/* The map that the kernel gets, against the memory that is there. */
TEST(memory_map_covers_all_of_memory)
{
	static const uint64_t sizes[] = {4 * MIB, 64 * MIB, 3072 * MIB, 3074 * MIB, 65536 * MIB};

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t total = 0, before = 0;
		const uint8_t *info, *map;
		uint32_t length;

		start(sizes[i], 1);
		info = vm_slice(&vm, gpa(vm.vcpus[0]->state.gpr[3]), 120);
		REQUIRE(info);
		length = bytes_load32(info + 44);
		map = vm_slice(&vm, gpa(bytes_load32(info + 48)), length);
		REQUIRE(map);
		for (uint32_t at = 0; at < length; at += 24) {
			uint64_t base = bytes_load64(map + at + 4),
				 size = bytes_load64(map + at + 12);

			EXPECT(base >= before);
			before = base + size;
			if (bytes_load32(map + at + 20) != 1)
				continue;
			total += size;
			EXPECT(vm_slice(&vm, gpa(base), size));
			EXPECT(base >= 0xc0000000 ? base >= UINT64_C(0x100000000)
						  : base + size <= 0xc0000000);
		}
		/* All but the 385 KiB from the extended BIOS data area to 1 MiB. */
		EXPECT_EQ(total, sizes[i] - (MIB - 0x9fc00));
		vm_destroy(&vm);
		pc_destroy(pc);
	}
	EXPECT_EQ(fake_memory_in_use(), 0);
}

TEST(tables_are_in_guest_memory_below_1_mib)
{
	const char *rsdp;

	start(64 * MIB, 1);
	rsdp = vm_slice(&vm, gpa(0xe0000), 8);
	REQUIRE(rsdp);
	EXPECT_MEM(rsdp, "RSD PTR ", 8);
}

TEST(firmware_state_of_mtrrs_and_signature)
{
	start(64 * MIB, 2);
	for (unsigned i = 0; i < 2; i++) {
		const struct vcpu_state *state = &vm.vcpus[i]->state;

		EXPECT_EQ(state->mtrr_def_type, 0xc06);
		EXPECT_EQ(state->mtrr_variable[0], 0xc0000000);
		EXPECT_EQ(state->mtrr_variable[1],
			  (UINT64_C(1) << CPU_PHYSICAL_BITS) - 0x40000000 + 0x800);
		EXPECT_EQ(vm.vcpus[i]->signature, vm.cpu_model->signature);
	}
}

TEST(serial_interrupt_reaches_both_controllers)
{
	start(64 * MIB, 1);
	/* 8259: ICW1 to ICW4, IRQ 4 only; then the UART's transmitter interrupt. */
	out(0x20, 1, 0x11);
	out(0x21, 1, 0x20);
	out(0x21, 1, 4);
	out(0x21, 1, 1);
	out(0x21, 1, 0xef);
	out(0x3fc, 1, 8);
	out(0x3f9, 1, 2);
	EXPECT(vm.vcpus[0]->pending & PENDING_INTERRUPT);
	EXPECT_EQ(vcpu_take_interrupt(vm.vcpus[0]), 0x24);
	/* IO-APIC: entry 4 to vector 0x55; its remote part shows in the local APIC's IRR. */
	out(0x21, 1, 0xff);
	out(0x3f9, 1, 0);
	vm_lock(&vm);
	space_write(&vm.mmio, 0xfee000f0, 4, 0x1ff, 0);
	space_write(&vm.mmio, 0xfec00000, 4, 0x10 + 2 * 4, 0);
	space_write(&vm.mmio, 0xfec00010, 4, 0x55, 0);
	vm_unlock(&vm);
	out(0x3f9, 1, 2);
	EXPECT_EQ(vcpu_take_interrupt(vm.vcpus[0]), 0x55);
}

TEST(reset_starts_the_kernel_again)
{
	start(64 * MIB, 1);
	out(0xcf9, 1, 6);
	EXPECT_EQ(vm.stop, VM_RESET);
	vm.vcpus[0]->state.rip = 0x1234;
	REQUIRE(vm_write(&vm, gpa(0x100020), "\0", 1) == 0);
	REQUIRE(pc_boot(pc, &boot, &result) == 0);
	EXPECT_EQ(vm.stop, VM_RUNNING);
	EXPECT_EQ(vm.vcpus[0]->state.rip, 0x100020);
	EXPECT_EQ(*(uint8_t *)vm_slice(&vm, gpa(0x100020), 1), 0xf4);
}

TEST(soft_off_by_acpi_stops_the_machine)
{
	start(64 * MIB, 1);
	out(0x604, 2, 5 << 10 | 1 << 13);
	EXPECT_EQ(vm.stop, VM_POWERED_OFF);
}

TEST(power_button_raises_the_system_control_interrupt)
{
	start(64 * MIB, 1);
	out(0x602, 2, 1 << 8);
	out(0x21, 1, 0xff);
	vm_lock(&vm);
	space_write(&vm.mmio, 0xfee000f0, 4, 0x1ff, 0);
	space_write(&vm.mmio, 0xfec00000, 4, 0x10 + 2 * 9, 0);
	space_write(&vm.mmio, 0xfec00010, 4, 0x8000 | 0x66, 0);
	pc_power_button(pc);
	vm_unlock(&vm);
	EXPECT_EQ(in(0x600, 2) & 1 << 8, 1 << 8);
	EXPECT_EQ(vcpu_take_interrupt(vm.vcpus[0]), 0x66);
}
