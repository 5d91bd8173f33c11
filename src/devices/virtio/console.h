/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio console: a terminal (port 0) and named byte streams. virtio 1.2, section 5.3. */
#ifndef DEVICES_VIRTIO_CONSOLE_H
#define DEVICES_VIRTIO_CONSOLE_H

#include "core/plug.h"
#include "devices/virtio/virtio.h"

#define VIRTIO_CONSOLE_PORTS_MAX   4
#define VIRTIO_CONSOLE_QUEUES_MAX  (2 * VIRTIO_CONSOLE_PORTS_MAX + 2)
#define VIRTIO_CONSOLE_NAME_MAX	   32
#define VIRTIO_CONSOLE_CONFIG_SIZE 12

struct virtio_console;

struct virtio_console_port {
	struct virtio_console *owner;
	struct console *console; /* NULL: nobody is at the other end */
	char name[VIRTIO_CONSOLE_NAME_MAX];
	uint8_t owed; /* control messages that the driver is to get, bits of enum owed in console.c
		       */
	bool guest_open; /* somebody in the guest holds the port open */
	uint32_t sent;	 /* bytes of the first chain to transmit that the other end has taken */
	uint16_t columns, rows;
};

struct virtio_console {
	struct virtio virtio;
	struct virtio_queue queues[VIRTIO_CONSOLE_QUEUES_MAX];
	struct virtio_console_port ports[VIRTIO_CONSOLE_PORTS_MAX];
	unsigned port_count;
	bool device_ready; /* the driver has begun to speak on the control queues */
	uint8_t config[VIRTIO_CONSOLE_CONFIG_SIZE];
	/* Of the chain at hand, of a receive [0] and a transmit queue [1]: writing to the world may
	 * bring input at once. */
	struct slice slices[2][VIRTQUEUE_SIZE_MAX];
};

/* What is at the other end of a port. Port 0 is the guest's hvc0, the others are
 * /dev/virtio-ports/NAME. */
struct virtio_console_plug {
	struct console *console;
	const char *name; /* up to 31 characters; ignored for port 0 */
};

/*
 * Initialises the device (zeroed memory) on the bus with count (1..VIRTIO_CONSOLE_PORTS_MAX) ports,
 * and connects the plugs. Input for a named port is taken only while the guest holds it open; then
 * the plug's input_ready is called. 0, or what virtio_init says. Vm's lock held.
 */
int virtio_console_init(struct virtio_console *console, struct vm *vm, struct pci_bus *bus,
			unsigned slot, const char *instance,
			const struct virtio_console_plug *plugs, unsigned count);

#endif
