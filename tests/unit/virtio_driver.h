/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio driver for unit tests and fuzzers: it finds its device over PCI and speaks with it
 * through guest memory and registers only, as a guest does. It also keeps the books on guest
 * memory: each byte that a device changed without vm_written is found by driver_audit.
 */
#ifndef TESTS_UNIT_VIRTIO_DRIVER_H
#define TESTS_UNIT_VIRTIO_DRIVER_H

#include "core/engine.h"
#include "core/vm.h"
#include "devices/pci.h"
#include "devices/virtio/virtio.h"
#include "lib/bytes.h"

#define DRIVER_MEMORY	   (4u << 20)
#define DRIVER_MEMORY_BASE 0x4000ull /* of what driver_alloc gives out */
#define DRIVER_QUEUES	   16
#define DRIVER_MSI_ADDRESS 0xfee00000ull
#define DRIVER_VECTORS	   (DRIVER_QUEUES + 1)
#define DRIVER_NO_MSIX	   1u /* flags of driver_begin */

enum {
	DRIVER_CAP_COMMON = 1,
	DRIVER_CAP_NOTIFY,
	DRIVER_CAP_ISR,
	DRIVER_CAP_DEVICE,
	DRIVER_CAP_PCI
};

struct driver_queue {
	uint16_t size;
	uint64_t descriptors, available, used;
	uint16_t next_descriptor, next_available, next_used;
};

struct driver {
	struct vm vm;
	struct pci_bus bus;
	unsigned devfn;
	uint64_t next;		/* guest memory given out */
	uint64_t cap[6];	/* guest-physical address of each structure, by type */
	unsigned cap_config[6]; /* and where its capability is in configuration space */
	uint32_t notify_multiplier;
	uint64_t msix_table;
	struct driver_queue queue[DRIVER_QUEUES];
	unsigned interrupts[DRIVER_VECTORS]; /* messages that came, by their data: queue, or queue
						count for configuration */
	unsigned intx;
	bool deaf;		       /* doorbells wait for driver_hear */
	uint8_t shadow[DRIVER_MEMORY]; /* guest memory as the driver wrote it */
	uint8_t told[DRIVER_MEMORY];   /* bytes that vm_written named */
};

/* A buffer of a request. */
struct driver_buffer {
	uint64_t address;
	uint32_t length;
	bool writable;
};

static struct driver *driver_now; /* whose vm_written is called */

static inline int driver_engine_probe(char *reason, size_t size)
{
	return 0;
}

static inline int driver_engine_vm(struct vm *vm)
{
	return 0;
}

static inline void driver_engine_vm_destroy(struct vm *vm)
{
}

static inline int driver_engine_vcpu(struct vcpu *vcpu)
{
	return 0;
}

static inline void driver_engine_vcpu_destroy(struct vcpu *vcpu)
{
}

static inline void driver_engine_kick(struct vcpu *vcpu)
{
}

static inline void driver_engine_written(struct vm *vm, uint64_t address, uint64_t length)
{
	if (address < DRIVER_MEMORY && length <= DRIVER_MEMORY - address)
		bytes_fill(driver_now->told + address, 1, length);
}

/* Doorbells: bell->slot says whether it has been written to and not heard yet. */
static inline int driver_engine_place(struct vm *vm, struct doorbell *bell)
{
	bell->slot = 0;
	return 0;
}

static inline bool driver_engine_remove(struct vm *vm, struct doorbell *bell)
{
	return bell->slot;
}

static const struct engine_doorbells driver_doorbells = {.place = driver_engine_place,
							 .remove = driver_engine_remove};

static const struct engine driver_engine = {
	.name = "driver",
	.probe = driver_engine_probe,
	.vm_create = driver_engine_vm,
	.vm_destroy = driver_engine_vm_destroy,
	.vcpu_create = driver_engine_vcpu,
	.vcpu_destroy = driver_engine_vcpu_destroy,
	.kick = driver_engine_kick,
	.written = driver_engine_written,
	.doorbells = &driver_doorbells,
};

static inline void driver_msi(void *listener, uint64_t address, uint32_t data)
{
	struct driver *driver = listener;

	if (address == DRIVER_MSI_ADDRESS && data < DRIVER_VECTORS)
		driver->interrupts[data]++;
}

static inline void driver_intx(void *listener, unsigned input, bool level)
{
	struct driver *driver = listener;

	driver->intx += level;
}

/* A machine with a PCI bus and no device. 0 or a negative errno. */
static inline int driver_machine(struct driver *driver, unsigned vcpus)
{
	const struct vm_config config = {.vcpus = vcpus,
					 .memory_size = DRIVER_MEMORY,
					 .hole_base = 0xc0000000,
					 .engine = &driver_engine};
	int error;

	bytes_fill(driver, 0, sizeof(*driver));
	driver_now = driver;
	driver->next = DRIVER_MEMORY_BASE;
	error = vm_create(&driver->vm, &config);
	if (error)
		return error;
	vm_lock(&driver->vm);
	pci_bus_init(&driver->bus, &driver->vm, 0);
	driver->bus.msi = (struct msi_target){driver_msi, driver};
	for (unsigned i = 0; i < 4; i++)
		irq_connect(&driver->bus.intx[i], driver_intx, driver, i);
	vm_unlock(&driver->vm);
	return 0;
}

static inline void driver_end(struct driver *driver)
{
	vm_destroy(&driver->vm);
}

/* Guest memory. */

static inline uint64_t driver_alloc(struct driver *driver, uint64_t size, uint64_t alignment)
{
	uint64_t address = (driver->next + alignment - 1) & ~(alignment - 1);

	driver->next = address + size;
	return driver->next <= DRIVER_MEMORY ? address : 0;
}

static inline void driver_put(struct driver *driver, uint64_t address, const void *bytes,
			      uint64_t length)
{
	if (address > DRIVER_MEMORY || length > DRIVER_MEMORY - address)
		return;
	bytes_copy(driver->vm.memory.base + address, bytes, length);
	bytes_copy(driver->shadow + address, bytes, length);
}

static inline void driver_put16(struct driver *driver, uint64_t address, uint16_t value)
{
	driver_put(driver, address, &value, sizeof(value));
}

static inline void driver_fill(struct driver *driver, uint64_t address, uint8_t value,
			       uint64_t length)
{
	bytes_fill(driver->vm.memory.base + address, value, length);
	bytes_fill(driver->shadow + address, value, length);
}

static inline const uint8_t *driver_at(const struct driver *driver, uint64_t address)
{
	return driver->vm.memory.base + address;
}

static inline uint16_t driver_get16(const struct driver *driver, uint64_t address)
{
	return bytes_load16(driver_at(driver, address));
}

/* How many bytes changed of which nobody was told; starts anew. */
static inline unsigned driver_audit(struct driver *driver)
{
	unsigned missed = 0;

	for (unsigned i = 0; i < DRIVER_MEMORY; i++)
		missed += driver->vm.memory.base[i] != driver->shadow[i] && !driver->told[i];
	bytes_copy(driver->shadow, driver->vm.memory.base, DRIVER_MEMORY);
	bytes_fill(driver->told, 0, DRIVER_MEMORY);
	return missed;
}

/* Registers. */

static inline uint32_t driver_config(struct driver *driver, unsigned offset, unsigned size)
{
	uint32_t value;

	vm_lock(&driver->vm);
	value = pci_config_read(&driver->bus, driver->devfn, offset, size);
	vm_unlock(&driver->vm);
	return value;
}

static inline void driver_config_set(struct driver *driver, unsigned offset, unsigned size,
				     uint32_t value)
{
	vm_lock(&driver->vm);
	pci_config_write(&driver->bus, driver->devfn, offset, size, value);
	vm_unlock(&driver->vm);
}

static inline uint64_t driver_load(struct driver *driver, uint64_t address, unsigned size)
{
	uint64_t value;

	vm_lock(&driver->vm);
	value = space_read(&driver->vm.mmio, address, size, NULL);
	vm_unlock(&driver->vm);
	return value;
}

static inline struct doorbell *driver_bell(struct driver *driver, uint64_t address)
{
	struct doorbell *bell = driver->vm.doorbells;

	while (bell && bell->address != address)
		bell = bell->next;
	return bell;
}

/* Vm's lock held. */
static inline void driver_hear(struct driver *driver)
{
	for (struct doorbell *bell = driver->vm.doorbells; bell;) {
		struct doorbell *next = bell->next;

		if (bell->slot) {
			bell->slot = 0;
			doorbell_ring(bell);
			next = driver->vm.doorbells;
		}
		bell = next;
	}
}

static inline void driver_store(struct driver *driver, uint64_t address, unsigned size,
				uint64_t value)
{
	struct doorbell *bell;

	vm_lock(&driver->vm);
	bell = driver_bell(driver, address);
	if (bell)
		bell->slot = 1;
	else
		space_write(&driver->vm.mmio, address, size, value, NULL);
	if (!driver->deaf)
		driver_hear(driver);
	vm_unlock(&driver->vm);
}

static inline uint32_t driver_common(struct driver *driver, unsigned offset, unsigned size)
{
	return (uint32_t)driver_load(driver, driver->cap[DRIVER_CAP_COMMON] + offset, size);
}

static inline void driver_common_set(struct driver *driver, unsigned offset, unsigned size,
				     uint64_t value)
{
	driver_store(driver, driver->cap[DRIVER_CAP_COMMON] + offset, size, value);
}

static inline uint8_t driver_status(struct driver *driver)
{
	return (uint8_t)driver_common(driver, 0x14, 1);
}

static inline uint64_t driver_bar(struct driver *driver, unsigned index)
{
	uint32_t low = driver_config(driver, PCI_BAR0 + 4 * index, 4);
	uint64_t high = (low & 6) == PCI_BAR_MEMORY64
				? driver_config(driver, PCI_BAR0 + 4 * index + 4, 4)
				: 0;

	return (high << 32 | low) & ~15ull;
}

/* Finds the structures as 4.1.4 says. */
static inline void driver_find(struct driver *driver)
{
	unsigned at = driver_config(driver, PCI_CAPABILITIES, 1);

	for (unsigned i = 0; at && i < 48; i++) {
		uint8_t id = (uint8_t)driver_config(driver, at, 1);
		uint8_t type = (uint8_t)driver_config(driver, at + 3, 1);

		if (id == PCI_CAPABILITY_VENDOR && type >= 1 && type <= 5) {
			driver->cap_config[type] = at;
			driver->cap[type] = driver_bar(driver, driver_config(driver, at + 4, 1)) +
					    driver_config(driver, at + 8, 4);
			if (type == DRIVER_CAP_NOTIFY)
				driver->notify_multiplier = driver_config(driver, at + 16, 4);
		}
		if (id == PCI_CAPABILITY_MSIX) {
			uint32_t table = driver_config(driver, at + 4, 4);

			driver->msix_table = driver_bar(driver, table & 7) + (table & ~7u);
			driver->cap_config[0] = at;
		}
		at = driver_config(driver, at + 1, 1);
	}
}

/* Power-on, and what firmware does: addresses, decoding; then the driver's look for its device in a
 * slot. */
static inline void driver_power_on(struct driver *driver, unsigned slot)
{
	const struct pci_windows windows = {.memory_base = 0xd0000000, .memory_limit = 0xe0000000};

	vm_reset(&driver->vm);
	vm_lock(&driver->vm);
	pci_bus_assign(&driver->bus, &windows);
	vm_unlock(&driver->vm);
	driver->devfn = PCI_DEVFN(slot, 0);
	driver_config_set(driver, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	driver_find(driver);
}

/* The driver's side of a queue, with fresh memory. */
static inline void driver_queue_init(struct driver *driver, unsigned index, uint16_t size)
{
	struct driver_queue *queue = &driver->queue[index];

	*queue = (struct driver_queue){.size = size};
	queue->descriptors = driver_alloc(driver, 16u * size, 16);
	queue->available = driver_alloc(driver, 6 + 2u * size, 2);
	queue->used = driver_alloc(driver, 6 + 8u * size, 4);
	driver_fill(driver, queue->available, 0, 6 + 2u * size);
	driver_fill(driver, queue->used, 0, 6 + 8u * size);
}

static inline void driver_queue_enable(struct driver *driver, unsigned index)
{
	const struct driver_queue *queue = &driver->queue[index];
	const uint64_t areas[3] = {queue->descriptors, queue->available, queue->used};

	driver_common_set(driver, 0x16, 2, index);
	driver_common_set(driver, 0x18, 2, queue->size);
	driver_common_set(driver, 0x1a, 2, index);
	for (unsigned i = 0; i < 3; i++) {
		driver_common_set(driver, 0x20 + 8 * i, 4, areas[i] & 0xffffffff);
		driver_common_set(driver, 0x24 + 8 * i, 4, areas[i] >> 32);
	}
	driver_common_set(driver, 0x1c, 2, 1);
}

static inline uint64_t driver_features(struct driver *driver)
{
	uint64_t features;

	driver_common_set(driver, 0x00, 4, 0);
	features = driver_common(driver, 0x04, 4);
	driver_common_set(driver, 0x00, 4, 1);
	return features | (uint64_t)driver_common(driver, 0x04, 4) << 32;
}

/* As far as FEATURES_OK (3.1.1). False if the device did not agree. */
static inline bool driver_negotiate(struct driver *driver, uint64_t features)
{
	driver_common_set(driver, 0x14, 1, 0);
	driver_common_set(driver, 0x14, 1, VIRTIO_ACKNOWLEDGE);
	driver_common_set(driver, 0x14, 1, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	driver_common_set(driver, 0x08, 4, 0);
	driver_common_set(driver, 0x0c, 4, features & 0xffffffff);
	driver_common_set(driver, 0x08, 4, 1);
	driver_common_set(driver, 0x0c, 4, features >> 32);
	driver_common_set(driver, 0x14, 1, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
	return driver_status(driver) & VIRTIO_FEATURES_OK;
}

/* Vector i's message is data i. */
static inline void driver_msix_on(struct driver *driver, unsigned vectors)
{
	for (unsigned i = 0; i < vectors; i++) {
		driver_store(driver, driver->msix_table + 16 * i, 4, DRIVER_MSI_ADDRESS);
		driver_store(driver, driver->msix_table + 16 * i + 4, 4, 0);
		driver_store(driver, driver->msix_table + 16 * i + 8, 4, i);
		driver_store(driver, driver->msix_table + 16 * i + 12, 4, 0);
	}
	driver_config_set(driver, driver->cap_config[0] + 2, 2, 0x8000);
}

/* All of 3.1.1: VERSION_1 is added to the features. False if the device did not agree. */
static inline bool driver_begin(struct driver *driver, uint64_t features, unsigned flags)
{
	unsigned queues = driver_common(driver, 0x12, 2);

	if (queues > DRIVER_QUEUES || !driver_negotiate(driver, features | VIRTIO_F_VERSION_1))
		return false;
	if (!(flags & DRIVER_NO_MSIX))
		driver_msix_on(driver, queues + 1);
	driver_common_set(driver, 0x10, 2, queues);
	for (unsigned i = 0; i < queues; i++) {
		driver_common_set(driver, 0x16, 2, i);
		driver_queue_init(driver, i, (uint16_t)driver_common(driver, 0x18, 2));
		driver_queue_enable(driver, i);
	}
	driver_common_set(driver, 0x14, 1, 15);
	return driver_status(driver) == 15;
}

/* Requests. */

static inline void driver_describe(struct driver *driver, uint64_t place, uint64_t address,
				   uint32_t length, uint16_t flags, uint16_t next)
{
	uint8_t bytes[16];

	bytes_store64(bytes, address);
	bytes_store32(bytes + 8, length);
	bytes_store16(bytes + 12, flags);
	bytes_store16(bytes + 14, next);
	driver_put(driver, place, bytes, sizeof(bytes));
}

/* Puts a descriptor's number into the available ring, without showing it to the device. */
static inline void driver_offer(struct driver *driver, unsigned index, uint16_t head)
{
	struct driver_queue *queue = &driver->queue[index];

	driver_put16(driver, queue->available + 4 + 2u * (queue->next_available % queue->size),
		     head);
	queue->next_available++;
}

static inline void driver_show(struct driver *driver, unsigned index)
{
	driver_put16(driver, driver->queue[index].available + 2,
		     driver->queue[index].next_available);
}

static inline void driver_kick(struct driver *driver, unsigned index)
{
	driver_store(driver,
		     driver->cap[DRIVER_CAP_NOTIFY] + (uint64_t)index * driver->notify_multiplier,
		     2, index);
}

/* Makes a request of these buffers and shows it; does not notify. Returns its first descriptor's
 * number. */
static inline uint16_t driver_add(struct driver *driver, unsigned index,
				  const struct driver_buffer *buffers, unsigned count)
{
	struct driver_queue *queue = &driver->queue[index];
	uint16_t head = queue->next_descriptor;

	for (unsigned i = 0; i < count; i++) {
		uint16_t here = queue->next_descriptor;
		uint16_t next = (uint16_t)((here + 1) % queue->size);

		driver_describe(driver, queue->descriptors + 16u * here, buffers[i].address,
				buffers[i].length,
				(uint16_t)((buffers[i].writable ? 2 : 0) | (i + 1 < count ? 1 : 0)),
				next);
		queue->next_descriptor = next;
	}
	driver_offer(driver, index, head);
	driver_show(driver, index);
	return head;
}

/* Takes the next used request: its first descriptor's number, or -1; its length into *length if
 * that is not NULL. */
static inline int driver_used(struct driver *driver, unsigned index, uint32_t *length)
{
	struct driver_queue *queue = &driver->queue[index];
	const uint8_t *entry;

	if (driver_get16(driver, queue->used + 2) == queue->next_used)
		return -1;
	entry = driver_at(driver, queue->used + 4 + 8u * (queue->next_used % queue->size));
	queue->next_used++;
	if (length)
		*length = bytes_load32(entry + 4);
	return (int)bytes_load32(entry);
}

/* One buffer with contents, and one of length bytes for the device to write. */
static inline struct driver_buffer driver_readable(struct driver *driver, const void *bytes,
						   uint32_t length)
{
	struct driver_buffer buffer = {driver_alloc(driver, length, 1), length, false};

	driver_put(driver, buffer.address, bytes, length);
	return buffer;
}

static inline struct driver_buffer driver_writable(struct driver *driver, uint32_t length)
{
	struct driver_buffer buffer = {driver_alloc(driver, length, 1), length, true};

	driver_fill(driver, buffer.address, 0xee, length);
	return buffer;
}

#endif
