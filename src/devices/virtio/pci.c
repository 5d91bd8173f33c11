/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio over PCI: virtio 1.2, section 4.1. All registers are in BAR 0 (64-bit memory), MSI-X is
 * BAR 4.
 *
 * Not modelled: I/O BARs, legacy registers, power management.
 */
#include "core/host.h"
#include "core/vm.h"
#include "devices/virtio/virtio.h"
#include "lib/bytes.h"

enum { VENDOR_VIRTIO = 0x1af4, DEVICE_MODERN = 0x1040, REVISION_MODERN = 1 };
enum { BAR_REGISTERS = 0, BAR_MSIX = 4 };
enum { COMMON_SIZE = 0x3c, PAGE = 0x1000 };

/* virtio_pci_cap (4.1.4): cfg_type, and its size for each. */
enum { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_ISR = 3, CAP_DEVICE = 4, CAP_PCI = 5 };
enum {
	CAP_LENGTH = 2,
	CAP_TYPE = 3,
	CAP_BAR = 4,
	CAP_OFFSET = 8,
	CAP_SIZE = 12,
	CAP_EXTRA = 16,
	CAP_BYTES = 20
};

static uint32_t read_isr(struct virtio *virtio)
{
	uint8_t isr = virtio->isr;

	virtio->isr = 0;
	pci_interrupt_set(&virtio->pci, false);
	return isr;
}

static uint64_t bar_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct virtio *virtio = container_of(region, struct virtio, bar);
	unsigned within = offset % PAGE;

	switch (offset - within) {
	case VIRTIO_BAR_COMMON:
		return virtio_common_read(virtio, within, size);
	case VIRTIO_BAR_ISR:
		return within == 0 ? read_isr(virtio) : 0;
	case VIRTIO_BAR_DEVICE:
		if (within + size > virtio->config_size)
			return 0;
		return bytes_load(virtio->config + within, size);
	default:
		return 0;
	}
}

static void bar_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		      bool *fault)
{
	struct virtio *virtio = container_of(region, struct virtio, bar);
	unsigned within = offset % PAGE;

	switch (offset - within) {
	case VIRTIO_BAR_NOTIFY:
		virtio_notified(virtio, within / VIRTIO_NOTIFY_MULTIPLIER);
		break;
	case VIRTIO_BAR_COMMON:
		virtio_common_write(virtio, within, size, (uint32_t)value);
		break;
	case VIRTIO_BAR_DEVICE:
		if (virtio->ops->config_written && within + size <= virtio->config_size)
			virtio->ops->config_written(virtio, within, size, (uint32_t)value);
		break;
	}
}

static void bar_moved(struct region *region)
{
	virtio_bells_update(container_of(region, struct virtio, bar));
}

static const struct region_ops bar_ops = {
	.read = bar_read, .write = bar_write, .sizes = 1 | 2 | 4, .moved = bar_moved};

/* The window that VIRTIO_PCI_CAP_PCI_CFG opens (4.1.4.9): true and its address and size if it is a
 * legal one. */
static bool window(const struct virtio *virtio, uint32_t *offset, unsigned *size)
{
	const uint8_t *cap = virtio->pci.config + virtio->pci_config_capability;
	uint32_t length = bytes_load32(cap + CAP_SIZE);

	*offset = bytes_load32(cap + CAP_OFFSET);
	*size = (unsigned)length;
	return cap[CAP_BAR] == BAR_REGISTERS && (length == 1 || length == 2 || length == 4) &&
	       *offset % length == 0 && *offset < VIRTIO_BAR_SIZE;
}

static bool is_window_data(const struct virtio *virtio, unsigned offset, unsigned size)
{
	unsigned data = virtio->pci_config_capability + CAP_EXTRA;

	return offset < data + 4 && offset + size > data;
}

static void config_read(struct pci_device *dev, unsigned offset, unsigned size)
{
	struct virtio *virtio = container_of(dev, struct virtio, pci);
	uint8_t *data = dev->config + virtio->pci_config_capability + CAP_EXTRA;
	uint32_t place;
	unsigned length;
	bool fault;

	if (is_window_data(virtio, offset, size) && window(virtio, &place, &length))
		bytes_store(data, bar_read(&virtio->bar, place, length, &fault), length);
}

static void config_written(struct pci_device *dev, unsigned offset, unsigned size)
{
	struct virtio *virtio = container_of(dev, struct virtio, pci);
	const uint8_t *data = dev->config + virtio->pci_config_capability + CAP_EXTRA;
	uint32_t place;
	unsigned length;
	bool fault;

	if (is_window_data(virtio, offset, size) && window(virtio, &place, &length))
		bar_write(&virtio->bar, place, length, bytes_load(data, length), &fault);
}

static const struct pci_device_ops pci_ops = {.config_read = config_read,
					      .config_written = config_written};

static unsigned add_capability(struct virtio *virtio, uint8_t type, uint32_t offset, uint32_t size)
{
	/* The guest chooses BAR, offset and length of the window, and its data. */
	static const uint8_t
		window_writable[CAP_BYTES] = {[CAP_BAR] = 0xff,	       [CAP_OFFSET] = 0xff,
					      [CAP_OFFSET + 1] = 0xff, [CAP_OFFSET + 2] = 0xff,
					      [CAP_OFFSET + 3] = 0xff, [CAP_SIZE] = 0xff,
					      [CAP_SIZE + 1] = 0xff,   [CAP_SIZE + 2] = 0xff,
					      [CAP_SIZE + 3] = 0xff,   [CAP_EXTRA] = 0xff,
					      [CAP_EXTRA + 1] = 0xff,  [CAP_EXTRA + 2] = 0xff,
					      [CAP_EXTRA + 3] = 0xff};
	uint8_t bytes[CAP_BYTES] = {0};
	unsigned length = type == CAP_NOTIFY || type == CAP_PCI ? CAP_BYTES : CAP_EXTRA;

	bytes[CAP_LENGTH] = (uint8_t)length;
	bytes[CAP_TYPE] = type;
	bytes[CAP_BAR] = BAR_REGISTERS;
	bytes_store32(bytes + CAP_OFFSET, offset);
	bytes_store32(bytes + CAP_SIZE, size);
	if (type == CAP_NOTIFY)
		bytes_store32(bytes + CAP_EXTRA, VIRTIO_NOTIFY_MULTIPLIER);
	return pci_capability_add(&virtio->pci, PCI_CAPABILITY_VENDOR, bytes,
				  type == CAP_PCI ? window_writable : NULL, length);
}

int virtio_pci_init(struct virtio *virtio, struct pci_bus *bus, unsigned slot)
{
	const struct pci_ids ids = {
		.vendor = VENDOR_VIRTIO,
		.device = (uint16_t)(DEVICE_MODERN + virtio->id),
		.subsystem_vendor = VENDOR_VIRTIO,
		.subsystem = (uint16_t)(DEVICE_MODERN + virtio->id),
		.revision = REVISION_MODERN,
		.class_code = virtio->class_code,
	};
	int error = pci_device_init(&virtio->pci, bus, slot, 0, &ids, 1);

	if (error)
		return error;
	virtio->pci.ops = &pci_ops;
	virtio->bar.name = "virtio";
	virtio->bar.ops = &bar_ops;
	pci_bar_add(&virtio->pci, BAR_REGISTERS, &virtio->bar, VIRTIO_BAR_SIZE,
		    PCI_BAR_MEMORY64 | PCI_BAR_PREFETCHABLE);
	add_capability(virtio, CAP_COMMON, VIRTIO_BAR_COMMON, COMMON_SIZE);
	add_capability(virtio, CAP_NOTIFY, VIRTIO_BAR_NOTIFY,
		       VIRTIO_NOTIFY_MULTIPLIER * virtio->queue_count);
	add_capability(virtio, CAP_ISR, VIRTIO_BAR_ISR, 1);
	if (virtio->config_size)
		add_capability(virtio, CAP_DEVICE, VIRTIO_BAR_DEVICE, virtio->config_size);
	virtio->pci_config_capability = add_capability(virtio, CAP_PCI, 0, 0);
	pci_msix_init(&virtio->pci, BAR_MSIX, virtio->queue_count + 1);
	return 0;
}

void virtio_pci_interrupt(struct virtio *virtio, uint16_t vector, uint8_t isr)
{
	if (pci_msix_enabled(&virtio->pci)) {
		if (vector != VIRTIO_NO_VECTOR)
			pci_msix_notify(&virtio->pci, vector);
		return;
	}
	virtio->isr |= isr;
	pci_interrupt_set(&virtio->pci, true);
}
