/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio block device in front of a disk. virtio 1.2, section 5.2. */
#ifndef DEVICES_VIRTIO_BLK_H
#define DEVICES_VIRTIO_BLK_H

#include "core/plug.h"
#include "devices/virtio/virtio.h"

#define VIRTIO_BLK_QUEUES_MAX 4
#define VIRTIO_BLK_QUEUE_SIZE 128 /* a power of two, up to VIRTQUEUE_SIZE_MAX */
#define VIRTIO_BLK_CONFIG     0x3c
#define VIRTIO_BLK_RELOAD_MAX (VIRTIO_BLK_QUEUES_MAX * VIRTIO_BLK_QUEUE_SIZE)

struct virtio_blk_slot;

struct virtio_blk {
	struct virtio virtio;
	struct disk *disk;
	struct virtio_queue queues[VIRTIO_BLK_QUEUES_MAX];
	uint8_t config[VIRTIO_BLK_CONFIG];
	struct virtio_blk_slot *slots; /* VIRTIO_BLK_QUEUE_SIZE for each queue */
	struct virtio_blk_slot *idle;  /* those of the first slots_used that have no request */
	unsigned slots_used;	       /* the others' memory was never touched */
	/* Loaded requests in flight, until they are begun again. */
	unsigned reload_count;
	struct {
		uint16_t head;
		uint8_t queue;
	} reload[VIRTIO_BLK_RELOAD_MAX];
};

/*
 * Initialises the device (zeroed memory) on the bus, with as many queues as there are vcpus, up to
 * VIRTIO_BLK_QUEUES_MAX. The disk stays open as long as the device; it is closed by its owner once
 * no request is in flight. 0; -ENOMEM; what virtio_init says. Vm's lock held.
 */
int virtio_blk_init(struct virtio_blk *blk, struct vm *vm, struct pci_bus *bus, unsigned slot,
		    const char *instance, struct disk *disk);

#endif
