/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio sockets: streams between the world and programs in the guest. virtio 1.2, section 5.10. */
#ifndef DEVICES_VIRTIO_VSOCK_H
#define DEVICES_VIRTIO_VSOCK_H

#include "core/plug.h"
#include "devices/virtio/virtio.h"

#define VIRTIO_VSOCK_QUEUES	 3
#define VIRTIO_VSOCK_STREAMS_MAX 64
#define VIRTIO_VSOCK_HEADER	 44
#define VIRTIO_VSOCK_CID_HOST	 2 /* addresses: the world's, and the guest's */
#define VIRTIO_VSOCK_CID_GUEST	 3

struct virtio_vsock;

/* A stream, or what is left of it: a last message that the driver is to get. */
struct virtio_vsock_stream {
	struct virtio_vsock *owner;
	struct stream *stream; /* NULL: only owed counts */
	bool open, ended;      /* the guest has taken the call; will write no more */
	bool deaf;	       /* nor read */
	bool finished;	       /* the world will */
	bool wants_input;      /* the world waits for input_ready */
	uint8_t owed;	       /* messages for the driver, bits of enum owed in vsock.c */
	uint32_t guest_port, host_port;
	/* Counts of bytes, modulo 2^32. To the guest: */
	uint32_t sent, guest_room, guest_consumed;
	/* From the guest; told: consumed as the guest knows it. */
	uint32_t received, consumed, told;
};

struct virtio_vsock {
	struct virtio virtio;
	struct virtio_queue queues[VIRTIO_VSOCK_QUEUES];
	struct virtio_vsock_stream streams[VIRTIO_VSOCK_STREAMS_MAX];
	uint32_t next_port;
	bool reset_owed; /* the driver is to hear that all streams are gone */
	/* And to have heard of it, or this guest time to have come, before there are new ones. */
	uint64_t settled_by;
	unsigned events_left; /* buffers for events, when it was told */
	bool transmit_waits;  /* for room to answer what the guest has sent */
	uint8_t config[8];
	struct slice slices[2]
			   [VIRTQUEUE_SIZE_MAX]; /* of the chain at hand: received, transmitted */
};

/*
 * Initialises the device (zeroed memory) on the bus, and fills in the caller. The guest's own calls
 * are refused. 0, or what virtio_init says. Vm's lock held.
 */
int virtio_vsock_init(struct virtio_vsock *vsock, struct vm *vm, struct pci_bus *bus, unsigned slot,
		      const char *instance, struct caller *caller);

#endif
