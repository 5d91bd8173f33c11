/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI bus 0: the host bridge with both configuration mechanisms, and what is common to all
 * functions on it: configuration space, BARs, capabilities, INTx, MSI and MSI-X. PCI Local Bus 3.0;
 * PCI Express Base 3.0, section 7.2.2 (ECAM).
 *
 * A device embeds a struct pci_device next to its struct device, and from its own reset, state and
 * loaded calls pci_device_reset, pci_device_state and pci_device_loaded. All functions are called
 * with the vm's lock held.
 */
#ifndef DEVICES_PCI_H
#define DEVICES_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"
#include "core/irq.h"
#include "core/snapshot.h"
#include "core/space.h"

struct vm;
struct pci_bus;
struct pci_device;

#define PCI_CONFIG_SIZE	      256
#define PCI_BARS	      6
#define PCI_FUNCTIONS	      256 /* devfn: slot * 8 + function */
#define PCI_MSIX_VECTORS_MAX  128
#define PCI_MSIX_BAR_SIZE     4096 /* table at 0, pending bits at 2048 */
#define PCI_DEVFN(slot, func) ((unsigned)(slot)*8u + (unsigned)(func))

/* Offsets in the configuration header (PCI 3.0, section 6.1). */
enum {
	PCI_VENDOR = 0x00,
	PCI_DEVICE_ID = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION = 0x08,
	PCI_CLASS = 0x09, /* three bytes: interface, subclass, class */
	PCI_CACHE_LINE = 0x0c,
	PCI_LATENCY = 0x0d,
	PCI_HEADER_TYPE = 0x0e,
	PCI_BAR0 = 0x10,
	PCI_SUBSYSTEM_VENDOR = 0x2c,
	PCI_SUBSYSTEM = 0x2e,
	PCI_CAPABILITIES = 0x34,
	PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d,
};

enum {
	PCI_COMMAND_IO = 0x0001,
	PCI_COMMAND_MEMORY = 0x0002,
	PCI_COMMAND_MASTER = 0x0004,
	PCI_COMMAND_PARITY = 0x0040,
	PCI_COMMAND_SERR = 0x0100,
	PCI_COMMAND_INTX_DISABLE = 0x0400,
	PCI_STATUS_INTERRUPT = 0x0008,
	PCI_STATUS_CAPABILITIES = 0x0010,
};

enum { PCI_CAPABILITY_MSI = 0x05, PCI_CAPABILITY_VENDOR = 0x09, PCI_CAPABILITY_MSIX = 0x11 };

/* What a BAR asks for; PREFETCHABLE is OR'ed to a memory kind. */
enum {
	PCI_BAR_MEMORY32 = 0x0,
	PCI_BAR_IO = 0x1,
	PCI_BAR_MEMORY64 = 0x4,
	PCI_BAR_PREFETCHABLE = 0x8
};

struct pci_bar {
	struct region *region; /* NULL: no such BAR (or the upper half of a 64-bit one) */
	uint64_t size;	       /* bytes, a power of two */
	uint8_t flags;
	bool complained; /* about an address at which it can't be decoded */
};

struct pci_msix_entry {
	uint64_t address;
	uint32_t data;
	uint32_t control; /* bit 0: masked */
};

struct pci_device_ops {
	/*
	 * Before the guest reads size bytes at offset: brings dev->config there up to date. May be
	 * NULL.
	 */
	void (*config_read)(struct pci_device *dev, unsigned offset, unsigned size);
	/* After the guest wrote size bytes at offset (the writable bits are in dev->config). May be
	 * NULL. */
	void (*config_written)(struct pci_device *dev, unsigned offset, unsigned size);
};

struct pci_ids {
	uint16_t vendor, device;
	uint16_t subsystem_vendor, subsystem;
	uint8_t revision;
	uint32_t class_code; /* 0xCCSSII: class, subclass, interface */
};

struct pci_device {
	struct pci_bus *bus;
	const struct pci_device_ops *ops; /* may be NULL; set after pci_device_init */
	void *owner;			  /* for the owner's use */
	uint8_t devfn;
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t power_on[PCI_CONFIG_SIZE]; /* what a reset restores */
	uint8_t writable[PCI_CONFIG_SIZE]; /* bits that the guest can change */
	unsigned capability_end;	   /* first free byte behind the capabilities */
	unsigned capability_last;	   /* offset of the last one, or 0 */
	struct pci_bar bar[PCI_BARS];
	bool interrupt; /* INTx as the device wants it */
	bool asserted;	/* INTx as the bus sees it */
	/* MSI: offset of the capability, or 0. */
	unsigned msi;
	/* MSI-X: offset of the capability, or 0. */
	unsigned msix;
	unsigned msix_vectors;
	struct region msix_region;
	struct pci_msix_entry msix_table[PCI_MSIX_VECTORS_MAX];
	uint64_t msix_pending[PCI_MSIX_VECTORS_MAX / 64];
};

/* Where firmware puts BARs; limits are the first address that is too high. 0, 0: none of the kind.
 */
struct pci_windows {
	uint64_t io_base, io_limit;
	uint64_t memory_base, memory_limit; /* below 4 GiB */
	uint64_t memory64_base,
		memory64_limit; /* for 64-bit BARs; those that don't fit go into the other */
};

struct pci_bus {
	struct device device;
	struct vm *vm;
	struct msi_target msi;	 /* where message interrupts go; set by the machine */
	struct irq_line intx[4]; /* INTA..INTD of the host bridge; connected by the machine */
	uint32_t intx_count[4];	 /* functions that assert each */
	uint32_t address;	 /* the register at port 0xcf8 */
	uint8_t reset_control;	 /* the register at port 0xcf9 */
	uint64_t memory_end;	 /* BARs may be decoded below it: 1 << the guest's address bits */
	struct region address_port, data_port, ecam;
	struct pci_device *function[PCI_FUNCTIONS];
	struct pci_device host_bridge; /* 00.0, 8086:29c0 */
	struct pci_device isa_bridge;  /* 1f.0, 8086:2918 */
};

/*
 * The bus with its host bridge and ISA bridge, ports 0xcf8..0xcff, and the ECAM window (1 MiB, bus
 * 0 only) at ecam_base, unless that is 0. Before any pci_device_init.
 */
void pci_bus_init(struct pci_bus *bus, struct vm *vm, uint64_t ecam_base);

/*
 * Gives every BAR an address and switches decoding on, as firmware would: the machine calls it
 * after vm_reset where no firmware runs. 0, or -ENOSPC if a window is too small (that BAR stays at
 * 0; the others are done).
 */
int pci_bus_assign(struct pci_bus *bus, const struct pci_windows *windows);

/*
 * Puts a function on the bus. pin: 0 for no INTx, 1..4 for INTA..INTD. 0, -EBUSY if the place is
 * taken, -EINVAL for a slot above 31, function above 7.
 */
int pci_device_init(struct pci_device *dev, struct pci_bus *bus, unsigned slot, unsigned function,
		    const struct pci_ids *ids, unsigned pin);

/*
 * Adds BAR index (0..5; a 64-bit one uses index + 1 too). The region belongs to the caller, who has
 * filled in name and ops; the bus adds it to and removes it from the vm's spaces. size: bytes, a
 * power of two, at least 16 for memory (4 for I/O).
 */
void pci_bar_add(struct pci_device *dev, unsigned index, struct region *region, uint64_t size,
		 unsigned flags);

/* The address the guest gave BAR index (decoded or not). */
uint64_t pci_bar_address(const struct pci_device *dev, unsigned index);

/*
 * Adds a capability of length bytes (3..., with the id and the next pointer, which bytes[0..1]
 * leave room for; the first two are filled in here). writable: as many bytes, bits that the guest
 * can change; NULL for none. Returns its offset in dev->config, a multiple of 4. The room (192
 * bytes) must suffice.
 */
unsigned pci_capability_add(struct pci_device *dev, uint8_t id, const void *bytes,
			    const void *writable, unsigned length);

/* Adds the MSI capability: one vector, 64-bit address, maskable. */
void pci_msi_init(struct pci_device *dev);
bool pci_msi_enabled(const struct pci_device *dev);
void pci_msi_notify(struct pci_device *dev);

/* Adds the MSI-X capability and, as BAR bar_index, its table and pending bits (memory, 32 bits).
 * vectors: 1..PCI_MSIX_VECTORS_MAX. */
void pci_msix_init(struct pci_device *dev, unsigned bar_index, unsigned vectors);

/* Whether the guest has switched MSI-X on: then INTx is not to be used. */
bool pci_msix_enabled(const struct pci_device *dev);

/*
 * Sends the vector's message; while it is masked, notes it as pending. Does nothing if MSI-X is off
 * or there is no such vector.
 */
void pci_msix_notify(struct pci_device *dev, unsigned vector);

/* The level of the function's INTx pin. Reaches the interrupt line unless the guest disabled INTx,
 * or uses MSI or MSI-X. */
void pci_interrupt_set(struct pci_device *dev, bool level);

/* Whether the guest allows the function to reach memory. */
bool pci_bus_master(const struct pci_device *dev);

/* Recomputes whether the function asserts its INTx line, after a change of what decides it. */
void pci_interrupt_update(struct pci_device *dev);

/* pci_msi.c's share of a configuration write, a reset, a saved state, and what follows a load. */
void pci_msi_config_written(struct pci_device *dev, unsigned offset, unsigned size);
void pci_msi_reset(struct pci_device *dev);
void pci_msi_state(struct pci_device *dev, struct snapshot *snapshot);

/* The function's part of its owner's reset, state and loaded. */
void pci_device_reset(struct pci_device *dev);
void pci_device_state(struct pci_device *dev, struct snapshot *snapshot);
void pci_device_loaded(struct pci_device *dev);

/* A guest's configuration access: offset 0..4095, size 1, 2 or 4 within an aligned dword. For the
 * bus, and for tests. */
uint32_t pci_config_read(struct pci_bus *bus, unsigned devfn, unsigned offset, unsigned size);
void pci_config_write(struct pci_bus *bus, unsigned devfn, unsigned offset, unsigned size,
		      uint32_t value);

#endif
