/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all virtio devices share: features, status, queues, resets, and the PCI transport's
 * registers (virtio 1.2, sections 2 and 4.1).
 *
 * A device embeds a struct virtio as its first member, fills in what "set by the device" says, and
 * calls virtio_init. All functions are called with the vm's lock held.
 */
#ifndef DEVICES_VIRTIO_VIRTIO_H
#define DEVICES_VIRTIO_VIRTIO_H

#include "core/device.h"
#include "core/doorbell.h"
#include "core/timer.h"
#include "devices/pci.h"
#include "devices/virtio/virtqueue.h"

/* Device ids (section 5). */
enum {
	VIRTIO_NET = 1,
	VIRTIO_BLK = 2,
	VIRTIO_CONSOLE = 3,
	VIRTIO_RNG = 4,
	VIRTIO_BALLOON = 5,
	VIRTIO_VSOCK = 19,
	VIRTIO_FS = 26,
};

/* Feature bits of every device (section 6). */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)
#define VIRTIO_F_RING_RESET    (1ull << 40)

/* Device status (2.1). */
enum {
	VIRTIO_ACKNOWLEDGE = 1,
	VIRTIO_DRIVER = 2,
	VIRTIO_DRIVER_OK = 4,
	VIRTIO_FEATURES_OK = 8,
	VIRTIO_NEEDS_RESET = 64,
	VIRTIO_FAILED = 128,
};

#define VIRTIO_NO_VECTOR	 0xffff
#define VIRTIO_BAR_SIZE		 0x4000
#define VIRTIO_NOTIFY_MULTIPLIER 4

/* Where things are in BAR 0, a page each; a queue's notification register is at VIRTIO_BAR_NOTIFY +
 * VIRTIO_NOTIFY_MULTIPLIER * queue. */
enum {
	VIRTIO_BAR_COMMON = 0x0000,
	VIRTIO_BAR_ISR = 0x1000,
	VIRTIO_BAR_DEVICE = 0x2000,
	VIRTIO_BAR_NOTIFY = 0x3000,
};

struct virtio;

struct virtio_ops {
	/* Back to power-on state, the queues already are. Chains in the device's hands are to be
	 * forgotten, never given back. May be NULL. */
	void (*reset)(struct virtio *virtio);
	/* The driver is ready (DRIVER_OK), or has been loaded as such: every queue may hold
	 * requests. May be NULL. */
	void (*ready)(struct virtio *virtio);
	/* The driver has put something into an enabled queue. Only while it is ready. */
	void (*notify)(struct virtio *virtio, unsigned queue);
	/* The queue was reset on its own (VIRTIO_F_RING_RESET). May be NULL. */
	void (*queue_reset)(struct virtio *virtio, unsigned queue);
	/* The driver has written `size` bytes of the device configuration, all within it. NULL: it
	 * may only be read. */
	void (*config_written)(struct virtio *virtio, unsigned offset, unsigned size,
			       uint32_t value);
	/* Saves or loads what is the device's own; then the queues have been loaded. May be NULL.
	 */
	void (*state)(struct virtio *virtio, struct snapshot *snapshot);
	/* Releases what its init took. May be NULL. */
	void (*destroy)(struct virtio *virtio);
};

struct virtio_queue {
	struct virtqueue ring;
	uint16_t vector; /* of MSI-X */
	bool resetting;	 /* waits for its chains to come back */
	bool again;	 /* is looked at again when the timer expires */
	bool starved;	 /* waits for virtio_feed */
	struct virtio *virtio;
	struct doorbell bell; /* placed while the device is live, where `bells` says so */
};

struct virtio {
	struct device device;
	struct pci_device pci;
	struct region bar;
	/* Set by the device before virtio_init, and constant. */
	const struct virtio_ops *ops;
	uint16_t id;	     /* VIRTIO_BLK... */
	uint32_t class_code; /* PCI, 0xCCSSII */
	uint64_t offered;    /* its feature bits; those of every device are added */
	struct virtio_queue *queues;
	unsigned queue_count; /* up to PCI_MSIX_VECTORS_MAX - 1 */
	uint64_t bells;	 /* a bit for each queue that is better served off the vcpus' threads */
	uint8_t *config; /* device configuration: bytes that the driver may read; NULL for none */
	unsigned config_size;
	unsigned pci_config_capability; /* offset of VIRTIO_PCI_CAP_PCI_CFG */
	/* The driver's part. */
	uint64_t accepted;
	uint8_t status;
	bool resetting; /* a reset waits for chains in the device's hands */
	uint8_t isr;
	uint8_t generation;
	uint16_t config_vector;
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select;
	bool complained; /* in the log, once and for all */
	struct timer later;
};

/*
 * Puts the device on the bus. sizes: entries of each queue (powers of two). 0, or what
 * pci_device_init says.
 */
int virtio_init(struct virtio *virtio, struct vm *vm, struct pci_bus *bus, unsigned slot,
		const char *instance, const uint16_t *sizes);

static inline bool virtio_accepted(const struct virtio *virtio, uint64_t feature)
{
	return (virtio->accepted & feature) != 0;
}

/* Whether the driver runs and the device may use its queues. */
bool virtio_live(const struct virtio *virtio);

/*
 * virtqueue_pop for a live device: a broken queue makes the device ask for a reset, and looks
 * empty. Asks for a notification when it is empty. True if a chain was taken.
 */
bool virtio_pop(struct virtio *virtio, unsigned queue, struct virtqueue_chain *chain,
		struct slice *slices, unsigned room);

/*
 * Lets notify be called for the queue again, soon. A device that has taken VIRTIO_BATCH chains in
 * one go does that instead of taking more: else a driver that feeds the queue all the time would
 * keep the vm's lock for ever.
 */
#define VIRTIO_BATCH 512
void virtio_again(struct virtio *virtio, unsigned queue);

/*
 * A device that has no room for more of a queue's chains starves it, and feeds all that it has
 * starved when it has some: then notify is called for them again, soon.
 */
void virtio_starve(struct virtio *virtio, unsigned queue);
void virtio_feed(struct virtio *virtio);

/* Shows the driver what was pushed to the queue, and interrupts it if it wants to know. */
void virtio_publish(struct virtio *virtio, unsigned queue);

/* virtqueue_push and virtio_publish of one chain, taken at any time since the last reset; ends a
 * reset that waited for it. */
void virtio_complete(struct virtio *virtio, unsigned queue, const struct virtqueue_chain *chain,
		     uint64_t written);

/* The configuration bytes have changed: tells the driver. */
void virtio_config_changed(struct virtio *virtio);

/* The driver broke the rules: DEVICE_NEEDS_RESET until it resets the device. problem: a constant
 * for the log. */
void virtio_fail(struct virtio *virtio, const char *problem);

/* Registers, for the transport (pci.c): offset within the common configuration, size 1, 2, 4. */
uint32_t virtio_common_read(struct virtio *virtio, unsigned offset, unsigned size);
void virtio_common_write(struct virtio *virtio, unsigned offset, unsigned size, uint32_t value);
void virtio_notified(struct virtio *virtio, unsigned queue);
/* The device became live or ceases to be, or its registers are elsewhere: so are its doorbells. */
void virtio_bells_update(struct virtio *virtio);

/* The transport's part of init, and its interrupts: vector, or VIRTIO_NO_VECTOR; isr: bit 0 queue,
 * bit 1 configuration. */
int virtio_pci_init(struct virtio *virtio, struct pci_bus *bus, unsigned slot);
void virtio_pci_interrupt(struct virtio *virtio, uint16_t vector, uint8_t isr);

#endif
