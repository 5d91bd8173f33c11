/* SPDX-License-Identifier: BSD-2-Clause */
#include "pci_fixture.h"

#include "lib/error.h"

static unsigned hook_reads, hook_writes, hook_offset;

static void hook_read(struct pci_device *dev, unsigned offset, unsigned size)
{
	hook_reads++;
	dev->config[0x80] = 0x77;
}

static void hook_written(struct pci_device *dev, unsigned offset, unsigned size)
{
	hook_writes++;
	hook_offset = offset;
}

static const struct pci_device_ops hooks = {.config_read = hook_read,
					    .config_written = hook_written};

static void probe(void)
{
	for (unsigned i = 0; i < 256; i += 4)
		config_read(i, 4);
	in32(0xcfc);
	pci_msix_notify(&gadget.pci, 99);
	pci_msi_notify(&gadget.pci);
	load32(0, 0xe0000000);
}

static void type1(unsigned devfn, unsigned offset)
{
	out32(0xcf8, 0x80000000 | devfn << 8 | offset);
}

TEST(functions_are_found_by_ports_and_by_ecam)
{
	pci_setup();
	type1(0, 0);
	EXPECT_EQ(in32(0xcfc), 0x29c08086);
	EXPECT_EQ(in32(0xcf8), 0x80000000);
	type1(PCI_DEVFN(0x1f, 0), 8);
	EXPECT_EQ(in32(0xcfc), 0x06010000);
	EXPECT_EQ(in16(0xcfe), 0x0601);
	type1(PCI_DEVFN(SLOT, 0), 0x2c);
	EXPECT_EQ(in32(0xcfc), 0x22221111);
	EXPECT_EQ(in8(0xcfd), 0x11);
	EXPECT_EQ(config_read(0, 4), 0x10421af4);
	EXPECT_EQ(config_read(8, 4), 0x01800007);
	EXPECT_EQ(config_read(0x3d, 1), 1);
	EXPECT_EQ(config_read(0x100, 4), 0);
	EXPECT_EQ(load32(0, ECAM), 0x29c08086);
}

TEST(nobody_answers_with_all_ones)
{
	pci_setup();
	type1(PCI_DEVFN(9, 0), 0);
	EXPECT_EQ(in32(0xcfc), 0xffffffff);
	out32(0xcf8, 0x80010000); /* bus 1 */
	EXPECT_EQ(in32(0xcfc), 0xffffffff);
	out32(0xcf8, 0);
	EXPECT_EQ(in32(0xcfc), 0xffffffff);
	out32(0xcfc, 0x12345678);
	EXPECT_EQ(load32(0, ECAM + (9 << 15)), 0xffffffff);
	EXPECT_EQ(in8(0xcf8), 0xff);
	EXPECT_EQ(in16(0xcf8), 0xffff);
}

TEST(only_writable_bits_change)
{
	pci_setup();
	config_write(0, 4, 0xffffffff);
	EXPECT_EQ(config_read(0, 4), 0x10421af4);
	config_write(4, 4, 0xffffffff);
	EXPECT_EQ(config_read(4, 4), 0x00100547);
	config_write(0x3c, 4, 0xffffffff);
	EXPECT_EQ(config_read(0x3c, 4), 0x000001ff);
	config_write(0x3c, 1, 11);
	type1(PCI_DEVFN(SLOT, 0), 0x3c);
	EXPECT_EQ(in8(0xcfc), 11);
}

TEST(bars_tell_their_size_and_kind)
{
	pci_setup();
	for (unsigned i = 0; i < 6; i++)
		config_write(0x10 + 4 * i, 4, 0xffffffff);
	EXPECT_EQ(config_read(0x10, 4), 0xffffc00c);
	EXPECT_EQ(config_read(0x14, 4), 0xffffffff);
	EXPECT_EQ(config_read(0x18, 4), 0xffffffe1);
	EXPECT_EQ(config_read(0x1c, 4), 0);
	EXPECT_EQ(config_read(0x20, 4), 0xfffff000);
	EXPECT_EQ(config_read(0x24, 4), 0);
	EXPECT_EQ(config_read(0x30, 4), 0); /* no ROM */
}

TEST(bars_answer_where_the_guest_puts_them)
{
	pci_setup();
	config_write(0x10, 4, 0xe0000000);
	config_write(0x18, 4, 0xc000);
	EXPECT_EQ(load32(0, 0xe0000010), 0xffffffff);
	config_write(4, 2, PCI_COMMAND_MEMORY);
	EXPECT_EQ(load32(0, 0xe0000010), 0x1000010);
	EXPECT_EQ(in32(0xc004), 0xffffffff);
	config_write(4, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	EXPECT_EQ(in32(0xc004), 0x2000004);
	config_write(0x14, 4, 2); /* above 4 GiB */
	EXPECT_EQ(load32(0, 0xe0000010), 0xffffffff);
	EXPECT_EQ(load32(0, 0x2e0003ffc), 0x1003ffc);
	EXPECT_EQ(pci_bar_address(&gadget.pci, 0), 0x2e0000000);
	config_write(4, 2, 0);
	EXPECT_EQ(load32(0, 0x2e0003ffc), 0xffffffff);
	EXPECT_EQ(in32(0xc004), 0xffffffff);
}

TEST(a_bar_over_something_else_is_refused_until_it_gives_way)
{
	static struct pci_device other;
	static struct region other_region = {.name = "other", .ops = &gadget_ports_ops};
	static const struct pci_ids ids = {.vendor = 1, .device = 2};

	pci_setup();
	EXPECT_EQ(pci_device_init(&other, &bus, SLOT + 1, 0, &ids, 0), 0);
	pci_bar_add(&other, 0, &other_region, 0x1000, PCI_BAR_MEMORY32);
	config_write(0x10, 4, 0xe0000000);
	config_write(4, 2, PCI_COMMAND_MEMORY);
	pci_config_write(&bus, other.devfn, 0x10, 4, 0xe0001000);
	pci_config_write(&bus, other.devfn, 4, 2, PCI_COMMAND_MEMORY);
	EXPECT_EQ(load32(0, 0xe0001000), 0x1001000);
	EXPECT_EQ(fake_log_count(LOG_WARNING), 1);
	config_write(0x10, 4, 0xe8000000);
	EXPECT_EQ(load32(0, 0xe0001000), 0x2000000);
	EXPECT_EQ(load32(0, 0xe8000000), 0x1000000);
	EXPECT_EQ(fake_log_count(LOG_WARNING), 1);
}

TEST(a_bar_over_memory_or_beyond_everything_is_not_decoded)
{
	pci_setup();
	config_write(4, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	config_write(0x10, 4, 0x100000);
	EXPECT(!gadget.memory.space);
	EXPECT_EQ(fake_log_count(LOG_WARNING), 1);
	config_write(0x10, 4, 0xffffffff);
	config_write(0x14, 4, 0xffffffff);
	EXPECT(!gadget.memory.space);
	config_write(0x14, 4, 0x100);
	config_write(0x10, 4, 0);
	EXPECT(!gadget.memory.space); /* beyond 40 bits */
	config_write(0x14, 4, 0xff);
	EXPECT(gadget.memory.space);
	config_write(0x18, 4, 0x10000);
	EXPECT(!gadget.ports.space);
	config_write(0x20, 4, 0xfffff000);
	EXPECT(!gadget.pci.msix_region.space);
	config_write(0x20, 4, ECAM);
	EXPECT(!gadget.pci.msix_region.space);
	EXPECT_EQ(config_read(0, 2), 0x1af4);
}

TEST(firmware_assigns_every_bar)
{
	struct pci_windows windows = {.io_base = 0xc001,
				      .io_limit = 0xd000,
				      .memory_base = 0xe0000000,
				      .memory_limit = 0xe0002000,
				      .memory64_base = 0x800000001,
				      .memory64_limit = 0x800100000};

	pci_setup();
	vm_reset(&fixture_vm);
	EXPECT_EQ(pci_bus_assign(&bus, &windows), 0);
	EXPECT_EQ(pci_bar_address(&gadget.pci, 0), 0x800004000);
	EXPECT_EQ(pci_bar_address(&gadget.pci, 2), 0xc020);
	EXPECT_EQ(pci_bar_address(&gadget.pci, 4), 0xe0000000);
	EXPECT_EQ(load32(0, 0x800004000), 0x1000000);
	EXPECT_EQ(in32(0xc020), 0x2000000);
	windows.memory64_limit = 0x800000010;
	windows.memory_limit = 0xe0000fff;
	vm_reset(&fixture_vm);
	EXPECT_EQ(pci_bus_assign(&bus, &windows), -ENOSPC);
	EXPECT_EQ(pci_bar_address(&gadget.pci, 0), 0);
	EXPECT_EQ(pci_bar_address(&gadget.pci, 4), 0);
	EXPECT_EQ(pci_bar_address(&gadget.pci, 2), 0xc020);
}

TEST(capabilities_are_chained)
{
	static const uint8_t bytes[5] = {0, 0, 5, 0xaa, 0xbb}, bits[5] = {0, 0, 0, 0x0f, 0};
	unsigned offset;

	pci_setup();
	offset = pci_capability_add(&gadget.pci, PCI_CAPABILITY_VENDOR, bytes, bits, 5);
	EXPECT_EQ(config_read(6, 2), 0x0010);
	EXPECT_EQ(config_read(0x34, 1), 0x40);
	EXPECT_EQ(config_read(0x40, 1), 0x05);
	EXPECT_EQ(config_read(0x41, 1), 0x58);
	EXPECT_EQ(config_read(0x58, 1), 0x11);
	EXPECT_EQ(config_read(0x59, 1), offset);
	EXPECT_EQ(offset & 3, 0);
	EXPECT_EQ(config_read(offset, 4), 0xaa050009);
	config_write(offset, 4, 0xffffffff);
	EXPECT_EQ(config_read(offset, 4), 0xaf050009);
	vm_reset(&fixture_vm);
	EXPECT_EQ(config_read(offset, 4), 0xaa050009);
}

TEST(intx_is_swizzled_shared_and_can_be_disabled)
{
	static struct pci_device other;
	static const struct pci_ids ids = {.vendor = 1, .device = 2};

	pci_setup();
	EXPECT_EQ(pci_device_init(&other, &bus, SLOT - 1, 0, &ids, 2), 0);
	pci_interrupt_set(&gadget.pci, true);
	EXPECT(intx[SLOT].level);
	EXPECT_EQ(config_read(6, 1) & 8, 8);
	pci_interrupt_set(&other, true);
	pci_interrupt_set(&gadget.pci, false);
	EXPECT(intx[SLOT].level);
	EXPECT_EQ(intx[SLOT].rises, 1);
	pci_interrupt_set(&other, false);
	EXPECT(!intx[SLOT].level);
	pci_interrupt_set(&gadget.pci, true);
	config_write(4, 2, PCI_COMMAND_INTX_DISABLE);
	EXPECT(!intx[SLOT].level);
	EXPECT_EQ(config_read(6, 1) & 8, 8);
	config_write(4, 2, 0);
	EXPECT(intx[SLOT].level);
	vm_reset(&fixture_vm);
	EXPECT(!intx[SLOT].level);
}

TEST(hooks_are_told)
{
	pci_setup();
	gadget.pci.ops = &hooks;
	EXPECT_EQ(config_read(0x80, 1), 0x77);
	EXPECT_EQ(hook_reads, 1);
	config_write(0x80, 2, 1);
	EXPECT_EQ(hook_writes, 1);
	EXPECT_EQ(hook_offset, 0x80);
	config_read(0x100, 4);
	EXPECT_EQ(hook_reads, 1);
}

TEST(places_are_taken_once_and_multifunction_is_marked)
{
	static struct pci_device second, wrong;
	static const struct pci_ids ids = {.vendor = 1, .device = 2};

	pci_setup();
	EXPECT_EQ(config_read(0x0e, 1), 0);
	EXPECT_EQ(pci_device_init(&second, &bus, SLOT, 1, &ids, 0), 0);
	EXPECT_EQ(config_read(0x0e, 1), 0x80);
	EXPECT_EQ(pci_device_init(&wrong, &bus, SLOT, 1, &ids, 0), -EBUSY);
	EXPECT_EQ(pci_device_init(&wrong, &bus, 32, 0, &ids, 0), -EINVAL);
}

TEST(port_cf9_resets_on_a_rise)
{
	pci_setup();
	out8(0xcf9, 0x02);
	EXPECT_EQ(fixture_vm.stop, VM_RUNNING);
	EXPECT_EQ(in8(0xcf9), 0x02);
	EXPECT_EQ(in32(0xcf8), 0);
	out8(0xcf9, 0x06);
	EXPECT_EQ(fixture_vm.stop, VM_RESET);
}

TEST(state_survives)
{
	size_t size;

	pci_setup();
	config_write(0x10, 4, 0xe0000000);
	config_write(4, 2, PCI_COMMAND_MEMORY);
	pci_interrupt_set(&gadget.pci, true);
	size = device_save(&gadget.device);
	vm_reset(&fixture_vm);
	EXPECT_EQ(load32(0, 0xe0000000), 0xffffffff);
	EXPECT_EQ(device_load(&gadget.device, size), 0);
	EXPECT_EQ(load32(0, 0xe0000000), 0x1000000);
	EXPECT(intx[SLOT].level);
	EXPECT_EQ(bus.intx_count[SLOT], 1);
	EXPECT_EQ(device_load(&gadget.device, size), 0);
	EXPECT_EQ(bus.intx_count[SLOT], 1);
	type1(0, 4);
	size = device_save(&bus.device);
	vm_reset(&fixture_vm);
	EXPECT_EQ(device_load(&bus.device, size), 0);
	EXPECT_EQ(in32(0xcf8), 0x80000004);
}

TEST(nonsense_states_do_no_harm)
{
	pci_setup();
	device_load_nonsense(&gadget.device, probe);
	device_load_nonsense(&bus.device, probe);
	EXPECT_EQ(config_read(0, 4), 0x10421af4);
	EXPECT_EQ(load32(0, ECAM), 0x29c08086);
}
