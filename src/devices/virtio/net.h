/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio network device in front of a netport. virtio 1.2, section 5.1. */
#ifndef DEVICES_VIRTIO_NET_H
#define DEVICES_VIRTIO_NET_H

#include "core/plug.h"
#include "core/timer.h"
#include "devices/virtio/net_connections.h"
#include "devices/virtio/virtio.h"

#define VIRTIO_NET_QUEUE_SIZE  256
#define VIRTIO_NET_CONFIG      12
#define VIRTIO_NET_FRONT_MAX   256 /* a sent frame's headers, up to and with its checksum */
#define VIRTIO_NET_BUFFERS_MAX 64  /* of a received frame */

struct virtio_net {
	struct virtio virtio;
	struct virtio_queue queues[2];
	struct netport *port;
	uint8_t config[VIRTIO_NET_CONFIG];
	bool starved;	     /* the port has a frame for which there was no buffer */
	bool sending;	     /* the port has a frame of the guest's in hand */
	bool answered;	     /* and gave one meanwhile, which the driver hasn't seen yet */
	struct timer notice; /* the driver hears of frames shown to it, if it wants to */
	uint64_t dropped_sent, dropped_received;
	uint64_t sent_bytes, received_bytes; /* of frames that were passed on */
	/* A guest that was elsewhere is asked for its connections, two questions for each. */
	struct net_connections connections;
	bool loaded;	    /* and hasn't been asked yet */
	uint32_t questions; /* still to be asked */
	struct timer arrival;
	/* For the frame at hand. */
	uint8_t front[VIRTIO_NET_FRONT_MAX];
	struct slice send[VIRTQUEUE_SIZE_MAX + 1]; /* one in front of what a chain can fill */
	struct virtqueue_chain chains[VIRTIO_NET_BUFFERS_MAX];
	struct slice receive[2 * VIRTQUEUE_SIZE_MAX];
};

/* Initialises the device (zeroed memory) on the bus and connects the port. 0, or what virtio_init
 * says. Vm's lock held. */
int virtio_net_init(struct virtio_net *net, struct vm *vm, struct pci_bus *bus, unsigned slot,
		    const char *instance, struct netport *port);

/* The ones' complement sum of length bytes, which start at an even (or odd) place of what is
 * summed, added to sum. RFC 1071. */
uint64_t virtio_net_sum(uint64_t sum, const void *bytes, size_t length, bool odd);

/* The 16-bit checksum, as it is stored, of such a sum. */
uint16_t virtio_net_fold(uint64_t sum);

#endif
