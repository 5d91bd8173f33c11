/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Learning switches of Ethernet frames (IEEE 802.1D, clause 7, as far as it fits). A port has one
 * machine, and that one address: frames with another source are refused. So what a switch learns is
 * which of its ports have spoken, and who last of two with the same address; frames for an address
 * that nobody has spoken with go to all others, as those for groups do.
 *
 * A port's queue is a ring of bytes, each frame behind its length. Its machine is told when it
 * stops being empty, not of each frame.
 *
 * Not modelled: spanning trees (there is one switch, without loops), VLANs, pause frames, ageing: a
 * port's address is forgotten with the port.
 */
#include "kernel/switch.h"

#include <stddef.h>

#include "kernel/frame.h"
#include "kernel/process.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/error.h"

#define SWITCHES     256
#define ADDRESS_SIZE 6
#define HEADER_SIZE  14
#define FRAMES_MAX   128
#define RING_SIZE    0xf000u /* bytes; with the struct, 16 pages */

struct switch_port {
	struct process *process;
	struct bridge *bridge;
	struct switch_port *next;
	uint8_t address[ADDRESS_SIZE];
	uint64_t heard; /* the bridge's count when it spoke last; 0: never */
	uint64_t sent, received, lost;
	unsigned frames; /* in the ring */
	uint32_t read, write;
	uint32_t used; /* bytes of the ring */
	uint8_t ring[RING_SIZE];
};

static struct bridge {
	struct lock lock; /* its ports and their queues */
	struct switch_port *ports;
	uint64_t count; /* frames so far */
} bridges[SWITCHES];

struct switch_port *switch_port_create(struct process *process, unsigned number)
{
	struct switch_port *port = kernel_pages(sizeof(*port));
	struct bridge *bridge = &bridges[number];

	if (!port)
		return NULL;
	port->process = process;
	port->bridge = bridge;
	bytes_copy(port->address, process->config.mac, ADDRESS_SIZE);
	lock_take(&bridge->lock);
	port->next = bridge->ports;
	bridge->ports = port;
	lock_drop(&bridge->lock);
	return port;
}

void switch_port_destroy(struct switch_port *port)
{
	struct bridge *bridge = port->bridge;
	struct switch_port **place = &bridge->ports;

	lock_take(&bridge->lock);
	while (*place != port)
		place = &(*place)->next;
	*place = port->next;
	lock_drop(&bridge->lock);
	kernel_pages_free(port, sizeof(*port));
}

static void ring_put(struct switch_port *port, const void *bytes, uint32_t length)
{
	uint32_t first = RING_SIZE - port->write < length ? RING_SIZE - port->write : length;

	bytes_copy(port->ring + port->write, bytes, first);
	bytes_copy(port->ring, (const uint8_t *)bytes + first, length - first);
	port->write = (port->write + length) % RING_SIZE;
	port->used += length;
}

static void ring_take(struct switch_port *port, void *bytes, uint32_t length)
{
	uint32_t first = RING_SIZE - port->read < length ? RING_SIZE - port->read : length;

	bytes_copy(bytes, port->ring + port->read, first);
	bytes_copy((uint8_t *)bytes + first, port->ring, length - first);
	port->read = (port->read + length) % RING_SIZE;
	port->used -= length;
}

static void deliver(struct switch_port *port, const uint8_t *frame, uint16_t length)
{
	if (port->frames == FRAMES_MAX || RING_SIZE - port->used < length + sizeof(length)) {
		port->lost++;
		return;
	}
	ring_put(port, &length, sizeof(length));
	ring_put(port, frame, length);
	if (!port->frames++)
		process_event(port->process, METAL_EVENT_FRAME);
}

/* The port that spoke last with this address; NULL: none did. */
static struct switch_port *learned(const struct bridge *bridge, const uint8_t *address)
{
	struct switch_port *best = NULL;

	for (struct switch_port *port = bridge->ports; port; port = port->next)
		if (port->heard && bytes_equal(port->address, address, ADDRESS_SIZE) &&
		    (!best || port->heard > best->heard))
			best = port;
	return best;
}

int switch_send(struct switch_port *port, const uint8_t *frame, uint64_t length)
{
	struct bridge *bridge = port->bridge;
	struct switch_port *to = NULL;

	if (length < HEADER_SIZE || length > METAL_FRAME_MAX)
		return -EINVAL;
	if (!bytes_equal(frame + ADDRESS_SIZE, port->address, ADDRESS_SIZE))
		return -EACCES;
	lock_take(&bridge->lock);
	port->heard = ++bridge->count;
	port->sent++;
	if (!(frame[0] & 1))
		to = learned(bridge, frame);
	if (to) {
		/* What is for the sender itself, it has. */
		if (to != port)
			deliver(to, frame, (uint16_t)length);
	} else {
		for (to = bridge->ports; to; to = to->next)
			if (to != port)
				deliver(to, frame, (uint16_t)length);
	}
	lock_drop(&bridge->lock);
	return 0;
}

int64_t switch_receive(struct switch_port *port, uint8_t *frame)
{
	uint16_t length;

	lock_take(&port->bridge->lock);
	if (!port->frames) {
		lock_drop(&port->bridge->lock);
		return -EAGAIN;
	}
	ring_take(port, &length, sizeof(length));
	ring_take(port, frame, length);
	port->frames--;
	port->received++;
	lock_drop(&port->bridge->lock);
	return length;
}

void switch_count(const struct switch_port *port, struct metal_process_info *info)
{
	info->frames_sent = port->sent;
	info->frames_received = port->received;
	info->frames_lost = port->lost;
}
