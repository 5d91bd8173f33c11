/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Message-signalled interrupts of PCI functions: MSI with one maskable vector and a 64-bit address,
 * MSI-X with table and pending bits in a BAR of their own. PCI Local Bus Specification 3.0,
 * section 6.8.
 *
 * Not modelled: several MSI messages of one function.
 */
#include "devices/pci.h"

#include "lib/check.h"

#define CONTROL		   2 /* offset of message control in both capabilities */
#define MSI_ENABLE	   0x0001u
#define MSI_64		   0x0080u
#define MSI_MASKABLE	   0x0100u
#define MSI_ADDRESS	   4
#define MSI_DATA	   12
#define MSI_MASK	   16
#define MSI_PENDING	   20
#define MSI_SIZE	   24
#define MSIX_ENABLE	   0x8000u
#define MSIX_FUNCTION_MASK 0x4000u
#define MSIX_SIZE	   12
#define MSIX_PENDING_BITS  2048 /* offset in the BAR */
#define ENTRY_MASKED	   1u

static uint32_t get(const struct pci_device *dev, unsigned offset, unsigned size)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint32_t)dev->config[offset + i] << (8 * i);
	return value;
}

/* MSI. A message is a memory write like any other, which takes bus mastering (section 6.8.3.4):
 * without it, it stays pending. */

void pci_msi_init(struct pci_device *dev)
{
	static const uint8_t bytes[MSI_SIZE] = {[CONTROL] = MSI_64,
						[CONTROL + 1] = MSI_MASKABLE >> 8};
	static const uint8_t writable[MSI_SIZE] =
		{
			[CONTROL] = MSI_ENABLE,	  [MSI_ADDRESS] = 0xfc,
			[MSI_ADDRESS + 1] = 0xff, [MSI_ADDRESS + 2] = 0xff,
			[MSI_ADDRESS + 3] = 0xff, [MSI_ADDRESS + 4] = 0xff,
			[MSI_ADDRESS + 5] = 0xff, [MSI_ADDRESS + 6] = 0xff,
			[MSI_ADDRESS + 7] = 0xff, [MSI_DATA] = 0xff,
			[MSI_DATA + 1] = 0xff,	  [MSI_MASK] = 0x01,
		};

	dev->msi = pci_capability_add(dev, PCI_CAPABILITY_MSI, bytes, writable, MSI_SIZE);
}

bool pci_msi_enabled(const struct pci_device *dev)
{
	return dev->msi && (dev->config[dev->msi + CONTROL] & MSI_ENABLE);
}

static void msi_flush(struct pci_device *dev)
{
	uint8_t *pending = &dev->config[dev->msi + MSI_PENDING];
	uint64_t address = get(dev, dev->msi + MSI_ADDRESS, 4) |
			   (uint64_t)get(dev, dev->msi + MSI_ADDRESS + 4, 4) << 32;

	if (!pci_msi_enabled(dev) || !*pending || (dev->config[dev->msi + MSI_MASK] & 1) ||
	    !pci_bus_master(dev))
		return;
	*pending = 0;
	msi_send(&dev->bus->msi, address, get(dev, dev->msi + MSI_DATA, 2));
}

void pci_msi_notify(struct pci_device *dev)
{
	if (!pci_msi_enabled(dev))
		return;
	dev->config[dev->msi + MSI_PENDING] = 1;
	msi_flush(dev);
}

/* MSI-X */

static uint32_t msix_control(const struct pci_device *dev)
{
	return dev->msix ? get(dev, dev->msix + CONTROL, 2) : 0;
}

bool pci_msix_enabled(const struct pci_device *dev)
{
	return msix_control(dev) & MSIX_ENABLE;
}

/* Sends a pending vector's message unless something masks it. */
static void msix_flush(struct pci_device *dev, unsigned vector)
{
	const struct pci_msix_entry *entry = &dev->msix_table[vector];
	uint64_t bit = 1ull << (vector % 64);

	if ((msix_control(dev) & (MSIX_ENABLE | MSIX_FUNCTION_MASK)) != MSIX_ENABLE)
		return;
	if ((entry->control & ENTRY_MASKED) || !(dev->msix_pending[vector / 64] & bit) ||
	    !pci_bus_master(dev))
		return;
	dev->msix_pending[vector / 64] &= ~bit;
	msi_send(&dev->bus->msi, entry->address, entry->data);
}

void pci_msix_notify(struct pci_device *dev, unsigned vector)
{
	if (vector >= dev->msix_vectors || !pci_msix_enabled(dev))
		return;
	dev->msix_pending[vector / 64] |= 1ull << (vector % 64);
	msix_flush(dev, vector);
}

/* An aligned dword of the BAR. */
static uint32_t msix_dword(const struct pci_device *dev, unsigned offset)
{
	const struct pci_msix_entry *entry = &dev->msix_table[offset / 16 % PCI_MSIX_VECTORS_MAX];

	if (offset >= MSIX_PENDING_BITS) {
		unsigned place = (offset - MSIX_PENDING_BITS) / 4;

		if (place / 2 >= sizeof(dev->msix_pending) / sizeof(dev->msix_pending[0]))
			return 0;
		return (uint32_t)(dev->msix_pending[place / 2] >> (place % 2 * 32));
	}
	if (offset / 16 >= dev->msix_vectors)
		return 0;
	switch (offset % 16) {
	case 0:
		return (uint32_t)entry->address;
	case 4:
		return (uint32_t)(entry->address >> 32);
	case 8:
		return entry->data;
	default:
		return entry->control;
	}
}

static void msix_dword_set(struct pci_device *dev, unsigned offset, uint32_t value)
{
	unsigned vector = offset / 16;
	struct pci_msix_entry *entry = &dev->msix_table[vector % PCI_MSIX_VECTORS_MAX];

	if (vector >= dev->msix_vectors)
		return;
	switch (offset % 16) {
	case 0:
		entry->address = (entry->address & ~0xffffffffull) | (value & ~3u);
		break;
	case 4:
		entry->address = (entry->address & 0xffffffff) | (uint64_t)value << 32;
		break;
	case 8:
		entry->data = value;
		break;
	default:
		entry->control = value & ENTRY_MASKED;
		msix_flush(dev, vector);
		break;
	}
}

static uint64_t msix_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct pci_device *dev = container_of(region, struct pci_device, msix_region);
	uint64_t value = msix_dword(dev, (unsigned)offset & ~3u);

	if (size == 8)
		value |= (uint64_t)msix_dword(dev, ((unsigned)offset & ~3u) + 4) << 32;
	return value;
}

static void msix_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		       bool *fault)
{
	struct pci_device *dev = container_of(region, struct pci_device, msix_region);

	if (offset & 3)
		return; /* software uses aligned dwords and quadwords only (section 6.8.2) */
	msix_dword_set(dev, (unsigned)offset, (uint32_t)value);
	if (size == 8)
		msix_dword_set(dev, (unsigned)offset + 4, (uint32_t)(value >> 32));
}

static const struct region_ops msix_ops = {.read = msix_read, .write = msix_write, .sizes = 4 | 8};

void pci_msix_init(struct pci_device *dev, unsigned bar_index, unsigned vectors)
{
	uint8_t bytes[MSIX_SIZE] = {0};
	static const uint8_t writable[MSIX_SIZE] = {
		[CONTROL + 1] = (MSIX_ENABLE | MSIX_FUNCTION_MASK) >> 8};

	CHECK(vectors >= 1 && vectors <= PCI_MSIX_VECTORS_MAX);
	bytes[CONTROL] = (uint8_t)(vectors - 1);
	bytes[4] = (uint8_t)bar_index;
	bytes[8] = (uint8_t)bar_index;
	bytes[9] = MSIX_PENDING_BITS >> 8;
	dev->msix = pci_capability_add(dev, PCI_CAPABILITY_MSIX, bytes, writable, MSIX_SIZE);
	dev->msix_vectors = vectors;
	dev->msix_region = (struct region){.name = "msi-x", .ops = &msix_ops};
	pci_bar_add(dev, bar_index, &dev->msix_region, PCI_MSIX_BAR_SIZE, PCI_BAR_MEMORY32);
	pci_msi_reset(dev);
}

/* What both have in common with the rest of the function */

void pci_msi_config_written(struct pci_device *dev, unsigned offset, unsigned size)
{
	bool command = offset < PCI_COMMAND + 2 && PCI_COMMAND < offset + size;

	if (dev->msi && (command || (offset < dev->msi + MSI_SIZE && dev->msi < offset + size))) {
		pci_interrupt_update(dev);
		msi_flush(dev);
	}
	if (dev->msix &&
	    (command || (offset < dev->msix + MSIX_SIZE && dev->msix < offset + size))) {
		pci_interrupt_update(dev);
		for (unsigned i = 0; i < dev->msix_vectors; i++)
			msix_flush(dev, i);
	}
}

void pci_msi_reset(struct pci_device *dev)
{
	for (unsigned i = 0; i < PCI_MSIX_VECTORS_MAX; i++)
		dev->msix_table[i] = (struct pci_msix_entry){.control = ENTRY_MASKED};
	for (unsigned i = 0; i < PCI_MSIX_VECTORS_MAX / 64; i++)
		dev->msix_pending[i] = 0;
}

void pci_msi_state(struct pci_device *dev, struct snapshot *snapshot)
{
	uint8_t msi_pending = dev->msi ? dev->config[dev->msi + MSI_PENDING] : 0;

	for (unsigned i = 0; i < dev->msix_vectors; i++) {
		struct pci_msix_entry *entry = &dev->msix_table[i];

		snapshot_u64(snapshot, &entry->address);
		snapshot_u32(snapshot, &entry->data);
		snapshot_u32(snapshot, &entry->control);
		entry->address &= ~3ull;
		entry->control &= ENTRY_MASKED;
	}
	for (unsigned i = 0; i < PCI_MSIX_VECTORS_MAX / 64; i++) {
		unsigned there = dev->msix_vectors > 64 * i ? dev->msix_vectors - 64 * i : 0;

		snapshot_u64(snapshot, &dev->msix_pending[i]);
		if (there < 64)
			dev->msix_pending[i] &= (1ull << there) - 1;
	}
	snapshot_u8(snapshot, &msi_pending);
	if (dev->msi)
		dev->config[dev->msi + MSI_PENDING] = msi_pending & 1;
}
