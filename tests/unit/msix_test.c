/* SPDX-License-Identifier: BSD-2-Clause */
#include "pci_fixture.h"

#define TABLE	0xe0000000u
#define PENDING (TABLE + 2048)

static unsigned msi, msix;

static void setup(void)
{
	pci_setup();
	msi = gadget.pci.msi;
	msix = gadget.pci.msix;
	config_write(0x20, 4, TABLE);
	config_write(4, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void entry_set(unsigned vector, uint64_t address, uint32_t data, uint32_t control)
{
	fixture_access(0, EXIT_MEMORY, true, TABLE + 16 * vector, 8, address);
	store32(0, TABLE + 16 * vector + 8, data);
	store32(0, TABLE + 16 * vector + 12, control);
}

TEST(capability_tells_size_and_place)
{
	setup();
	EXPECT_EQ(config_read(msix, 1), 0x11);
	EXPECT_EQ(config_read(msix + 2, 2), 99);
	EXPECT_EQ(config_read(msix + 4, 4), 4);
	EXPECT_EQ(config_read(msix + 8, 4), 2048 | 4);
	config_write(msix + 2, 2, 0xffff);
	EXPECT_EQ(config_read(msix + 2, 2), 0xc000 | 99);
}

TEST(entries_read_back_and_start_masked)
{
	setup();
	EXPECT_EQ(load32(0, TABLE + 12), 1);
	entry_set(99, 0x1234567890abcdec, 0xfeedface, 0xfffffffe);
	EXPECT_EQ(fixture_access(0, EXIT_MEMORY, false, TABLE + 16 * 99, 8, 0), 0x1234567890abcdec);
	EXPECT_EQ(load32(0, TABLE + 16 * 99 + 8), 0xfeedface);
	EXPECT_EQ(load32(0, TABLE + 16 * 99 + 12), 0);
	entry_set(100, UINT64_MAX, UINT32_MAX, 0); /* not there */
	EXPECT_EQ(load32(0, TABLE + 1600), 0);
	store32(0, PENDING, UINT32_MAX);
	EXPECT_EQ(load32(0, PENDING), 0);
	EXPECT_EQ(load32(0, TABLE + 4092), 0);
}

TEST(messages_are_sent_only_when_enabled)
{
	setup();
	entry_set(3, 0xfee01000, 0x41, 0);
	pci_msix_notify(&gadget.pci, 3);
	EXPECT_EQ(messages, 0);
	EXPECT(!pci_msix_enabled(&gadget.pci));
	config_write(msix + 2, 2, 0x8000);
	EXPECT_EQ(messages, 0); /* nothing was kept */
	pci_msix_notify(&gadget.pci, 3);
	EXPECT_EQ(messages, 1);
	EXPECT_EQ(message_address, 0xfee01000);
	EXPECT_EQ(message_data, 0x41);
	pci_msix_notify(&gadget.pci, 100);
	pci_msix_notify(&gadget.pci, 100000);
	EXPECT_EQ(messages, 1);
	config_write(4, 2, PCI_COMMAND_MEMORY);
	pci_msix_notify(&gadget.pci, 3);
	EXPECT_EQ(messages, 1); /* not a bus master */
}

TEST(messages_are_pending_until_the_function_is_a_bus_master)
{
	setup();
	entry_set(3, 0xfee01000, 0x41, 0);
	config_write(msix + 2, 2, 0x8000);
	config_write(4, 2, PCI_COMMAND_MEMORY);
	pci_msix_notify(&gadget.pci, 3);
	EXPECT_EQ(messages, 0);
	EXPECT_EQ(load32(0, PENDING), 1u << 3);
	config_write(4, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	EXPECT_EQ(messages, 1);
	EXPECT_EQ(load32(0, PENDING), 0);
	config_write(4, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	EXPECT_EQ(messages, 1);

	config_write(msix + 2, 2, 0);
	config_write(msi + 2, 2, 1);
	config_write(4, 2, PCI_COMMAND_MEMORY);
	pci_msi_notify(&gadget.pci);
	EXPECT_EQ(messages, 1);
	EXPECT_EQ(config_read(msi + 20, 4), 1);
	config_write(4, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	EXPECT_EQ(messages, 2);
	EXPECT_EQ(config_read(msi + 20, 4), 0);
}

TEST(a_masked_vector_is_pending_until_unmasked)
{
	setup();
	config_write(msix + 2, 2, 0x8000);
	entry_set(70, 0xfee00000, 0x50, 1);
	pci_msix_notify(&gadget.pci, 70);
	pci_msix_notify(&gadget.pci, 70);
	EXPECT_EQ(messages, 0);
	EXPECT_EQ(load32(0, PENDING + 8), 1u << 6);
	store32(0, TABLE + 16 * 70 + 12, 0);
	EXPECT_EQ(messages, 1);
	EXPECT_EQ(load32(0, PENDING + 8), 0);
}

TEST(the_function_mask_holds_all_back)
{
	setup();
	config_write(msix + 2, 2, 0xc000);
	entry_set(1, 0xfee00000, 0x51, 0);
	entry_set(2, 0xfee00000, 0x52, 0);
	pci_msix_notify(&gadget.pci, 1);
	pci_msix_notify(&gadget.pci, 2);
	EXPECT_EQ(messages, 0);
	EXPECT_EQ(load32(0, PENDING), 6);
	config_write(msix + 2, 2, 0x8000);
	EXPECT_EQ(messages, 2);
}

TEST(msix_silences_intx)
{
	setup();
	pci_interrupt_set(&gadget.pci, true);
	EXPECT(intx[SLOT].level);
	config_write(msix + 2, 2, 0x8000);
	EXPECT(!intx[SLOT].level);
	config_write(msix + 2, 2, 0);
	EXPECT(intx[SLOT].level);
}

TEST(msi_sends_one_message)
{
	setup();
	EXPECT_EQ(config_read(msi + 2, 2), 0x0180);
	config_write(msi + 4, 4, 0xfee02003);
	EXPECT_EQ(config_read(msi + 4, 4), 0xfee02000);
	config_write(msi + 12, 2, 0x4131);
	pci_msi_notify(&gadget.pci);
	EXPECT_EQ(messages, 0);
	config_write(msi + 2, 2, 0xffff);
	EXPECT_EQ(config_read(msi + 2, 2), 0x0181);
	pci_msi_notify(&gadget.pci);
	EXPECT_EQ(messages, 1);
	EXPECT_EQ(message_address, 0xfee02000);
	EXPECT_EQ(message_data, 0x4131);
	config_write(msi + 16, 4, 0xffffffff);
	EXPECT_EQ(config_read(msi + 16, 4), 1);
	pci_msi_notify(&gadget.pci);
	EXPECT_EQ(messages, 1);
	EXPECT_EQ(config_read(msi + 20, 4), 1);
	config_write(msi + 16, 4, 0);
	EXPECT_EQ(messages, 2);
	EXPECT_EQ(config_read(msi + 20, 4), 0);
}

TEST(state_survives)
{
	size_t size;

	setup();
	config_write(msix + 2, 2, 0xc000);
	entry_set(1, 0xfee03000, 0x51, 0);
	pci_msix_notify(&gadget.pci, 1);
	config_write(msi + 16, 4, 1);
	config_write(msi + 2, 2, 1);
	pci_msi_notify(&gadget.pci);
	size = device_save(&gadget.device);
	vm_reset(&fixture_vm);
	EXPECT_EQ(gadget.pci.msix_table[1].control, 1);
	EXPECT_EQ(gadget.pci.msix_pending[0], 0);
	EXPECT_EQ(device_load(&gadget.device, size), 0);
	EXPECT_EQ(config_read(msi + 20, 4), 1);
	EXPECT_EQ(load32(0, PENDING), 2);
	config_write(msix + 2, 2, 0x8000);
	EXPECT_EQ(messages, 1);
	EXPECT_EQ(message_address, 0xfee03000);
}
