/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio memory balloon: the guest gives memory back that it has freed, and more when it is asked
 * to. virtio 1.2, section 5.5.
 */
#ifndef DEVICES_VIRTIO_BALLOON_H
#define DEVICES_VIRTIO_BALLOON_H

#include "devices/virtio/virtio.h"

#define VIRTIO_BALLOON_QUEUES 4
#define VIRTIO_BALLOON_CONFIG 8
#define VIRTIO_BALLOON_PAGE   4096u
#define VIRTIO_BALLOON_PAGES  256 /* page numbers that are looked at in one go */

/* What the driver reports of the guest's memory (5.5.6.3.1), by tag. */
enum {
	BALLOON_SWAP_IN,      /* bytes */
	BALLOON_SWAP_OUT,     /* bytes */
	BALLOON_MAJOR_FAULTS, /* how many */
	BALLOON_MINOR_FAULTS, /* how many */
	BALLOON_FREE,	      /* bytes */
	BALLOON_TOTAL,	      /* bytes */
	BALLOON_AVAILABLE,    /* bytes: free, or soon to be had */
	BALLOON_CACHES,	      /* bytes of files in memory */
	BALLOON_STATS
};

struct virtio_balloon {
	struct virtio virtio;
	struct virtio_queue queues[VIRTIO_BALLOON_QUEUES];
	uint8_t config[VIRTIO_BALLOON_CONFIG];
	struct slice slices[VIRTQUEUE_SIZE_MAX];
	uint32_t pages[VIRTIO_BALLOON_PAGES];
	uint64_t given_back; /* bytes since power-on, by both ways */
	uint64_t stats[BALLOON_STATS];
	uint32_t stats_known; /* a bit for each */
	uint64_t stats_at;    /* guest time */
};

/* Initialises the device (zeroed memory) on the bus. 0, or what virtio_init says. Vm's lock held.
 */
int virtio_balloon_init(struct virtio_balloon *balloon, struct vm *vm, struct pci_bus *bus,
			unsigned slot, const char *instance);

/* How much memory the guest is to give up, in bytes: asks its driver for it, or gives some back.
 * Vm's lock held. */
void virtio_balloon_set(struct virtio_balloon *balloon, uint64_t bytes);

/* What was asked for, and what the driver says that it has given up. Vm's lock held. */
uint64_t virtio_balloon_target(const struct virtio_balloon *balloon);
uint64_t virtio_balloon_actual(const struct virtio_balloon *balloon);

/* Asks the driver for new statistics, which come soon after, or never. Vm's lock held. */
void virtio_balloon_ask(struct virtio_balloon *balloon);

#endif
