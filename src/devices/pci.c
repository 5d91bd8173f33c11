/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI bus 0 with a host bridge that names itself as Intel's Q35 (8086:29c0) and an ISA bridge
 * (ICH9, 8086:2918), whose reset control register at port 0xcf9 lies inside the configuration
 * address port. PCI Local Bus Specification 3.0; PCI Express Base Specification 3.0 (ECAM); Intel
 * ICH9 datasheet, section 13.7.5 (reset control).
 *
 * Not modelled: buses behind bridges, expansion ROMs, extended capabilities (the space from 0x100
 * on reads as zero), parity and system errors, power management, the bridges' own registers behind
 * the common header.
 */
#include "devices/pci.h"

#include "core/host.h"
#include "core/vm.h"
#include "lib/check.h"
#include "lib/error.h"

#define CONFIG_ENABLE	   0x80000000u
#define CAPABILITIES_START 0x40u
#define ECAM_SIZE	   0x100000u
#define RESET_CPU	   0x04u

static void config_set(struct pci_device *dev, unsigned offset, unsigned size, uint32_t value)
{
	for (unsigned i = 0; i < size; i++) {
		dev->config[offset + i] = (uint8_t)(value >> (8 * i));
		dev->power_on[offset + i] = dev->config[offset + i];
	}
}

static void writable_set(struct pci_device *dev, unsigned offset, unsigned size, uint32_t bits)
{
	for (unsigned i = 0; i < size; i++)
		dev->writable[offset + i] = (uint8_t)(bits >> (8 * i));
}

static uint32_t config_get(const struct pci_device *dev, unsigned offset, unsigned size)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint32_t)dev->config[offset + i] << (8 * i);
	return value;
}

static uint16_t command(const struct pci_device *dev)
{
	return (uint16_t)config_get(dev, PCI_COMMAND, 2);
}

static bool overlaps(unsigned offset, unsigned size, unsigned start, unsigned length)
{
	return offset < start + length && start < offset + size;
}

/* BARs */

uint64_t pci_bar_address(const struct pci_device *dev, unsigned index)
{
	const struct pci_bar *bar = &dev->bar[index];
	uint64_t value = config_get(dev, PCI_BAR0 + 4 * index, 4);

	if (bar->flags & PCI_BAR_IO)
		return value & ~3ull;
	if (bar->flags & PCI_BAR_MEMORY64)
		value |= (uint64_t)config_get(dev, PCI_BAR0 + 4 * index + 4, 4) << 32;
	return value & ~15ull;
}

static bool is_ram(const struct vm *vm, uint64_t base, uint64_t size)
{
	for (unsigned i = 0; i < vm->memory.count; i++) {
		const struct memory_range *range = &vm->memory.range[i];

		if (base < range->base + range->size && range->base < base + size)
			return true;
	}
	return false;
}

/* Whether the guest asks for BAR index to be decoded, at an address that exists. */
static bool bar_wanted(const struct pci_device *dev, unsigned index)
{
	const struct pci_bar *bar = &dev->bar[index];
	bool io = bar->flags & PCI_BAR_IO;
	uint64_t address = pci_bar_address(dev, index);
	uint64_t end = io				 ? 0x10000
		       : (bar->flags & PCI_BAR_MEMORY64) ? dev->bus->memory_end
							 : 0x100000000;

	if (!bar->region || !(command(dev) & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
		return false;
	/* An address of 0 is what an unset BAR holds, one that ends at the top what sizing it
	 * leaves. */
	return address && address < end && bar->size < end - address;
}

static void bar_decode(struct pci_device *dev, unsigned index)
{
	struct pci_bar *bar = &dev->bar[index];
	struct vm *vm = dev->bus->vm;
	bool io = bar->flags & PCI_BAR_IO;
	uint64_t address = pci_bar_address(dev, index);

	if (io || !is_ram(vm, address, bar->size)) {
		if (!space_add(io ? &vm->ports : &vm->mmio, bar->region, address, bar->size))
			return;
	}
	if (!bar->complained)
		host_log(LOG_WARNING, "pci %02x.%x: BAR %u at 0x%llx overlaps something else",
			 dev->devfn >> 3, dev->devfn & 7, index, (unsigned long long)address);
	bar->complained = true;
}

/*
 * Makes the spaces agree with every BAR on the bus. All of them, because one that gives way may let
 * another, refused so far, in.
 */
static void bars_update(struct pci_bus *bus)
{
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < PCI_FUNCTIONS * PCI_BARS; i++) {
			struct pci_device *dev = bus->function[i / PCI_BARS];
			unsigned index = i % PCI_BARS;
			struct region *region = dev ? dev->bar[index].region : NULL;

			if (!region)
				continue;
			if (pass == 1 && !region->space && bar_wanted(dev, index))
				bar_decode(dev, index);
			if (pass == 0 && region->space &&
			    !(bar_wanted(dev, index) &&
			      region->base == pci_bar_address(dev, index)))
				space_remove(region);
		}
	}
}

void pci_bar_add(struct pci_device *dev, unsigned index, struct region *region, uint64_t size,
		 unsigned flags)
{
	struct pci_bar *bar = &dev->bar[index];
	bool wide = flags & PCI_BAR_MEMORY64;

	CHECK(index + wide < PCI_BARS);
	CHECK(size >= ((flags & PCI_BAR_IO) ? 4 : 16) && !(size & (size - 1)));
	CHECK(wide || size <= 0x80000000);
	bar->region = region;
	bar->size = size;
	bar->flags = (uint8_t)flags;
	config_set(dev, PCI_BAR0 + 4 * index, 4, flags);
	writable_set(dev, PCI_BAR0 + 4 * index, 4, (uint32_t) ~(size - 1));
	if (wide)
		writable_set(dev, PCI_BAR0 + 4 * index + 4, 4, (uint32_t)(~(size - 1) >> 32));
}

static void bar_set(struct pci_device *dev, unsigned index, uint64_t address)
{
	unsigned offset = PCI_BAR0 + 4 * index;

	pci_config_write(dev->bus, dev->devfn, offset, 4, (uint32_t)address);
	if (dev->bar[index].flags & PCI_BAR_MEMORY64)
		pci_config_write(dev->bus, dev->devfn, offset + 4, 4, (uint32_t)(address >> 32));
}

/* The next free address for size bytes in a window, or 0. */
static uint64_t window_take(uint64_t *base, uint64_t limit, uint64_t size)
{
	uint64_t address = (*base + size - 1) & ~(size - 1);

	if (address < *base || address > limit || limit - address < size)
		return 0;
	*base = address + size;
	return address;
}

int pci_bus_assign(struct pci_bus *bus, const struct pci_windows *windows)
{
	struct pci_windows left = *windows;
	int error = 0;

	for (unsigned i = 0; i < PCI_FUNCTIONS * PCI_BARS; i++) {
		struct pci_device *dev = bus->function[i / PCI_BARS];
		struct pci_bar *bar = dev ? &dev->bar[i % PCI_BARS] : NULL;
		uint64_t address = 0;

		if (!bar || !bar->region)
			continue;
		if (bar->flags & PCI_BAR_IO)
			address = window_take(&left.io_base, left.io_limit, bar->size);
		else if (bar->flags & PCI_BAR_MEMORY64)
			address = window_take(&left.memory64_base, left.memory64_limit, bar->size);
		if (!address && !(bar->flags & PCI_BAR_IO))
			address = window_take(&left.memory_base, left.memory_limit, bar->size);
		if (!address)
			error = -ENOSPC;
		bar_set(dev, i % PCI_BARS, address);
	}
	for (unsigned devfn = 0; devfn < PCI_FUNCTIONS; devfn++)
		if (bus->function[devfn])
			pci_config_write(bus, devfn, PCI_COMMAND, 2,
					 PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	return error;
}

/* INTx */

/* The bridge's swizzle: INTA of neighbouring slots reaches different lines (PCI-to-PCI bridge 1.2,
 * table 9-1). */
static unsigned intx_line(const struct pci_device *dev)
{
	return ((dev->devfn >> 3) + dev->config[PCI_INTERRUPT_PIN] - 1u) & 3;
}

void pci_interrupt_update(struct pci_device *dev)
{
	bool level = dev->interrupt && !(command(dev) & PCI_COMMAND_INTX_DISABLE) &&
		     !pci_msi_enabled(dev) && !pci_msix_enabled(dev);
	unsigned line = intx_line(dev);

	dev->config[PCI_STATUS] = (uint8_t)((dev->config[PCI_STATUS] & ~PCI_STATUS_INTERRUPT) |
					    (dev->interrupt ? PCI_STATUS_INTERRUPT : 0));
	if (level == dev->asserted)
		return;
	dev->asserted = level;
	if (level)
		dev->bus->intx_count[line]++;
	else
		dev->bus->intx_count[line]--;
	irq_set(&dev->bus->intx[line], dev->bus->intx_count[line] != 0);
}

void pci_interrupt_set(struct pci_device *dev, bool level)
{
	if (!dev->config[PCI_INTERRUPT_PIN] || dev->interrupt == level)
		return;
	dev->interrupt = level;
	pci_interrupt_update(dev);
}

bool pci_bus_master(const struct pci_device *dev)
{
	return command(dev) & PCI_COMMAND_MASTER;
}

/* Configuration space */

uint32_t pci_config_read(struct pci_bus *bus, unsigned devfn, unsigned offset, unsigned size)
{
	struct pci_device *dev = devfn < PCI_FUNCTIONS ? bus->function[devfn] : NULL;

	if (!dev)
		return UINT32_MAX;
	if (offset + size > PCI_CONFIG_SIZE)
		return 0;
	if (dev->ops && dev->ops->config_read)
		dev->ops->config_read(dev, offset, size);
	return config_get(dev, offset, size);
}

void pci_config_write(struct pci_bus *bus, unsigned devfn, unsigned offset, unsigned size,
		      uint32_t value)
{
	struct pci_device *dev = devfn < PCI_FUNCTIONS ? bus->function[devfn] : NULL;

	if (!dev || offset + size > PCI_CONFIG_SIZE)
		return;
	for (unsigned i = 0; i < size; i++) {
		uint8_t bits = dev->writable[offset + i];
		uint8_t byte = (uint8_t)(value >> (8 * i));

		dev->config[offset + i] =
			(uint8_t)((dev->config[offset + i] & ~bits) | (byte & bits));
	}
	if (overlaps(offset, size, PCI_COMMAND, 2) || overlaps(offset, size, PCI_BAR0, 24))
		bars_update(bus);
	pci_msi_config_written(dev, offset, size);
	if (overlaps(offset, size, PCI_COMMAND, 2))
		pci_interrupt_update(dev);
	if (dev->ops && dev->ops->config_written)
		dev->ops->config_written(dev, offset, size);
}

unsigned pci_capability_add(struct pci_device *dev, uint8_t id, const void *bytes,
			    const void *writable, unsigned length)
{
	const uint8_t *from = bytes, *bits = writable;
	unsigned offset = dev->capability_end;

	CHECK(length >= 3 && offset + length <= PCI_CONFIG_SIZE);
	for (unsigned i = 2; i < length; i++) {
		config_set(dev, offset + i, 1, from[i]);
		dev->writable[offset + i] = bits ? bits[i] : 0;
	}
	config_set(dev, offset, 1, id);
	config_set(dev, offset + 1, 1, 0);
	config_set(dev, dev->capability_last ? dev->capability_last + 1 : PCI_CAPABILITIES, 1,
		   offset);
	config_set(dev, PCI_STATUS, 2, PCI_STATUS_CAPABILITIES);
	dev->capability_last = offset;
	dev->capability_end = (offset + length + 3) & ~3u;
	return offset;
}

int pci_device_init(struct pci_device *dev, struct pci_bus *bus, unsigned slot, unsigned function,
		    const struct pci_ids *ids, unsigned pin)
{
	if (slot > 31 || function > 7 || pin > 4)
		return -EINVAL;
	if (bus->function[PCI_DEVFN(slot, function)])
		return -EBUSY;
	*dev = (struct pci_device){.bus = bus, .capability_end = CAPABILITIES_START};
	dev->devfn = (uint8_t)PCI_DEVFN(slot, function);
	config_set(dev, PCI_VENDOR, 2, ids->vendor);
	config_set(dev, PCI_DEVICE_ID, 2, ids->device);
	config_set(dev, PCI_REVISION, 1, ids->revision);
	config_set(dev, PCI_CLASS, 3, ids->class_code);
	config_set(dev, PCI_SUBSYSTEM_VENDOR, 2, ids->subsystem_vendor);
	config_set(dev, PCI_SUBSYSTEM, 2, ids->subsystem);
	config_set(dev, PCI_INTERRUPT_PIN, 1, pin);
	writable_set(dev, PCI_COMMAND, 2,
		     PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
			     PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
	writable_set(dev, PCI_CACHE_LINE, 2, 0xffff);
	writable_set(dev, PCI_INTERRUPT_LINE, 1, 0xff);
	/* A slot with a second function says so in its first one, which alone is looked at (3.0,
	 * section 6.2.1). */
	if (function && bus->function[PCI_DEVFN(slot, 0)])
		config_set(bus->function[PCI_DEVFN(slot, 0)], PCI_HEADER_TYPE, 1, 0x80);
	bus->function[dev->devfn] = dev;
	return 0;
}

void pci_device_reset(struct pci_device *dev)
{
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		dev->config[i] = dev->power_on[i];
	for (unsigned i = 0; i < PCI_BARS; i++)
		dev->bar[i].complained = false;
	dev->interrupt = false;
	pci_msi_reset(dev);
	pci_interrupt_update(dev);
	bars_update(dev->bus);
}

void pci_device_state(struct pci_device *dev, struct snapshot *snapshot)
{
	snapshot_bytes(snapshot, dev->config, sizeof(dev->config));
	snapshot_bool(snapshot, &dev->interrupt);
	for (unsigned i = 0; snapshot->loading && i < PCI_CONFIG_SIZE; i++)
		dev->config[i] = (uint8_t)((dev->power_on[i] & ~dev->writable[i]) |
					   (dev->config[i] & dev->writable[i]));
	pci_msi_state(dev, snapshot);
	if (!dev->config[PCI_INTERRUPT_PIN])
		dev->interrupt = false;
}

void pci_device_loaded(struct pci_device *dev)
{
	pci_interrupt_update(dev);
	bars_update(dev->bus);
}

/* The two mechanisms (PCI 3.0, section 3.2.2.3.2; PCI Express 3.0, section 7.2.2). */

static struct pci_device *addressed_bus_is_ours(struct pci_bus *bus)
{
	if (!(bus->address & CONFIG_ENABLE) || (bus->address >> 16 & 0xff))
		return NULL;
	return bus->function[bus->address >> 8 & 0xff];
}

static uint64_t address_port_read(struct region *region, uint64_t offset, unsigned size,
				  bool *fault)
{
	struct pci_bus *bus = container_of(region, struct pci_bus, address_port);

	if (size == 4)
		return bus->address;
	return size == 1 && offset == 1 ? bus->reset_control : UINT64_MAX;
}

static void address_port_write(struct region *region, uint64_t offset, unsigned size,
			       uint64_t value, bool *fault)
{
	struct pci_bus *bus = container_of(region, struct pci_bus, address_port);

	if (size == 4) {
		bus->address = (uint32_t)value & 0x80fffffc;
	} else if (size == 1 && offset == 1) {
		/* A reset begins when the bit goes from 0 to 1. */
		if (value & ~bus->reset_control & RESET_CPU)
			vm_stop(bus->vm, VM_RESET, 0);
		bus->reset_control = (uint8_t)value & 0x0e;
	}
}

static uint64_t data_port_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct pci_bus *bus = container_of(region, struct pci_bus, data_port);
	struct pci_device *dev = addressed_bus_is_ours(bus);

	return dev ? pci_config_read(bus, dev->devfn, (bus->address & 0xfc) + (unsigned)offset,
				     size)
		   : UINT64_MAX;
}

static void data_port_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			    bool *fault)
{
	struct pci_bus *bus = container_of(region, struct pci_bus, data_port);
	struct pci_device *dev = addressed_bus_is_ours(bus);

	if (dev)
		pci_config_write(bus, dev->devfn, (bus->address & 0xfc) + (unsigned)offset, size,
				 (uint32_t)value);
}

static uint64_t ecam_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct pci_bus *bus = container_of(region, struct pci_bus, ecam);

	return pci_config_read(bus, (unsigned)(offset >> 12), offset & 0xfff, size);
}

static void ecam_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		       bool *fault)
{
	struct pci_bus *bus = container_of(region, struct pci_bus, ecam);

	pci_config_write(bus, (unsigned)(offset >> 12), offset & 0xfff, size, (uint32_t)value);
}

static const struct region_ops address_port_ops = {
	.read = address_port_read, .write = address_port_write, .sizes = 1 | 2 | 4};
static const struct region_ops data_port_ops = {
	.read = data_port_read, .write = data_port_write, .sizes = 1 | 2 | 4};
static const struct region_ops ecam_ops = {
	.read = ecam_read, .write = ecam_write, .sizes = 1 | 2 | 4};

/* The bus as a device */

static void pci_bus_reset(struct device *device)
{
	struct pci_bus *bus = container_of(device, struct pci_bus, device);

	bus->address = 0;
	bus->reset_control = 0;
	pci_device_reset(&bus->host_bridge);
	pci_device_reset(&bus->isa_bridge);
}

static void pci_bus_state(struct device *device, struct snapshot *snapshot)
{
	struct pci_bus *bus = container_of(device, struct pci_bus, device);

	snapshot_u32(snapshot, &bus->address);
	snapshot_u8(snapshot, &bus->reset_control);
	pci_device_state(&bus->host_bridge, snapshot);
	pci_device_state(&bus->isa_bridge, snapshot);
	bus->address &= 0x80fffffc;
	bus->reset_control &= 0x0e;
}

static void pci_bus_loaded(struct device *device)
{
	bars_update(container_of(device, struct pci_bus, device));
}

static const struct device_ops pci_bus_ops = {
	.name = "pci",
	.version = 1,
	.reset = pci_bus_reset,
	.state = pci_bus_state,
	.loaded = pci_bus_loaded,
};

static const struct pci_ids host_bridge_ids = {
	.vendor = 0x8086, .device = 0x29c0, .class_code = 0x060000};
static const struct pci_ids isa_bridge_ids = {
	.vendor = 0x8086, .device = 0x2918, .class_code = 0x060100};

void pci_bus_init(struct pci_bus *bus, struct vm *vm, uint64_t ecam_base)
{
	*bus = (struct pci_bus){.vm = vm, .memory_end = 1ull << 40};
	device_init(&bus->device, vm, &pci_bus_ops, "0");
	bus->address_port = (struct region){.name = "pci address", .ops = &address_port_ops};
	bus->data_port = (struct region){.name = "pci data", .ops = &data_port_ops};
	bus->ecam = (struct region){.name = "pci ecam", .ops = &ecam_ops};
	CHECK(!space_add(&vm->ports, &bus->address_port, 0xcf8, 4));
	CHECK(!space_add(&vm->ports, &bus->data_port, 0xcfc, 4));
	CHECK(!ecam_base || !space_add(&vm->mmio, &bus->ecam, ecam_base, ECAM_SIZE));
	CHECK(!pci_device_init(&bus->host_bridge, bus, 0, 0, &host_bridge_ids, 0));
	CHECK(!pci_device_init(&bus->isa_bridge, bus, 0x1f, 0, &isa_bridge_ids, 0));
}
