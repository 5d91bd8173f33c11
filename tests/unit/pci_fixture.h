/* SPDX-License-Identifier: BSD-2-Clause */
/* A bus with one function on it, for the tests of pci.c and pci_msi.c. */
#ifndef TESTS_UNIT_PCI_FIXTURE_H
#define TESTS_UNIT_PCI_FIXTURE_H

#include "device_fixture.h"

#include "devices/pci.h"

#define ECAM 0xb0000000u
#define SLOT 3u

/* A device with a 64-bit BAR 0 of 16 KiB, an I/O BAR 2 of 32 ports, MSI and MSI-X in BAR 4, and
 * INTA. */
struct gadget {
	struct device device;
	struct pci_device pci;
	struct region memory, ports;
	uint64_t last_offset;
};

static struct pci_bus bus;
static struct gadget gadget;
static struct wire intx[4];
static uint64_t message_address;
static uint32_t message_data;
static unsigned messages;

static inline void message(void *listener, uint64_t address, uint32_t data)
{
	message_address = address;
	message_data = data;
	messages++;
}

static inline uint64_t gadget_memory_read(struct region *region, uint64_t offset, unsigned size,
					  bool *fault)
{
	return 0x1000000 + offset;
}

static inline uint64_t gadget_ports_read(struct region *region, uint64_t offset, unsigned size,
					 bool *fault)
{
	return 0x2000000 + offset;
}

static inline void gadget_write(struct region *region, uint64_t offset, unsigned size,
				uint64_t value, bool *fault)
{
	gadget.last_offset = offset;
}

static inline void gadget_reset(struct device *device)
{
	pci_device_reset(&gadget.pci);
}

static inline void gadget_state(struct device *device, struct snapshot *snapshot)
{
	pci_device_state(&gadget.pci, snapshot);
}

static inline void gadget_loaded(struct device *device)
{
	pci_device_loaded(&gadget.pci);
}

static const struct region_ops gadget_memory_ops = {
	.read = gadget_memory_read, .write = gadget_write, .sizes = 4};
static const struct region_ops gadget_ports_ops = {
	.read = gadget_ports_read, .write = gadget_write, .sizes = 4};
static const struct device_ops gadget_ops = {
	.name = "gadget", .reset = gadget_reset, .state = gadget_state, .loaded = gadget_loaded};

static inline void pci_setup(void)
{
	static const struct pci_ids ids = {.vendor = 0x1af4,
					   .device = 0x1042,
					   .subsystem_vendor = 0x1111,
					   .subsystem = 0x2222,
					   .revision = 7,
					   .class_code = 0x018000};
	struct vm *vm = fixture_vm_create(1);

	pci_bus_init(&bus, vm, ECAM);
	bus.msi.send = message;
	for (unsigned i = 0; i < 4; i++)
		irq_connect(&bus.intx[i], wire_set, &intx[i], i);
	device_init(&gadget.device, vm, &gadget_ops, "0");
	EXPECT_EQ(pci_device_init(&gadget.pci, &bus, SLOT, 0, &ids, 1), 0);
	gadget.memory = (struct region){.name = "gadget memory", .ops = &gadget_memory_ops};
	gadget.ports = (struct region){.name = "gadget ports", .ops = &gadget_ports_ops};
	pci_bar_add(&gadget.pci, 0, &gadget.memory, 0x4000,
		    PCI_BAR_MEMORY64 | PCI_BAR_PREFETCHABLE);
	pci_bar_add(&gadget.pci, 2, &gadget.ports, 32, PCI_BAR_IO);
	pci_msi_init(&gadget.pci);
	pci_msix_init(&gadget.pci, 4, 100);
}

static inline uint64_t ecam(unsigned offset)
{
	return ECAM + (PCI_DEVFN(SLOT, 0) << 12) + offset;
}

static inline uint32_t config_read(unsigned offset, unsigned size)
{
	return (uint32_t)fixture_access(0, EXIT_MEMORY, false, ecam(offset), size, 0);
}

static inline void config_write(unsigned offset, unsigned size, uint32_t value)
{
	fixture_access(0, EXIT_MEMORY, true, ecam(offset), size, value);
}

#endif
