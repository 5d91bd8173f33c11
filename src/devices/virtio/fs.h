/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio file system device in front of a shared folder. virtio 1.2, section 5.11. */
#ifndef DEVICES_VIRTIO_FS_H
#define DEVICES_VIRTIO_FS_H

#include "core/plug.h"
#include "devices/virtio/virtio.h"

#define VIRTIO_FS_QUEUES     2 /* urgent requests, and requests */
#define VIRTIO_FS_QUEUE_SIZE 128
#define VIRTIO_FS_CONFIG     40
#define VIRTIO_FS_SLOTS	     (VIRTIO_FS_QUEUES * VIRTIO_FS_QUEUE_SIZE)

struct virtio_fs_slot;

struct virtio_fs {
	struct virtio virtio;
	struct share *share;
	struct virtio_queue queues[VIRTIO_FS_QUEUES];
	uint8_t config[VIRTIO_FS_CONFIG];
	struct virtio_fs_slot *slots; /* VIRTIO_FS_SLOTS */
	struct virtio_fs_slot *idle;  /* those of the first slots_used that have no request */
	unsigned slots_used;	      /* the others' memory was never touched */
};

/*
 * Initialises the device (zeroed memory) on the bus. The share stays open as long as the device; it
 * is closed by its owner once no request is in flight. 0; -ENOMEM; what virtio_init says. Vm's lock
 * held.
 */
int virtio_fs_init(struct virtio_fs *fs, struct vm *vm, struct pci_bus *bus, unsigned slot,
		   const char *instance, struct share *share);

#endif
