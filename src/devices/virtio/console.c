/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio console: virtio 1.2, section 5.3. With one port it is a plain console, with more a
 * multiport one.
 *
 * No chain is ever held: output that the other end can't take yet stays in the ring (with a note of
 * how much of it was taken), and so does room for input.
 *
 * Not modelled: emergency write, ports that come and go.
 */
#include "devices/virtio/console.h"

#include "lib/bytes.h"
#include "lib/check.h"
#include "lib/string.h"

#define F_SIZE	    (1ull << 0)
#define F_MULTIPORT (1ull << 1)

enum {
	QUEUE_RECEIVE_0 = 0,
	QUEUE_TRANSMIT_0 = 1,
	QUEUE_CONTROL_RECEIVE = 2,
	QUEUE_CONTROL_TRANSMIT = 3
};
enum { QUEUE_SIZE = 64, CONTROL_SIZE = 8, RESIZE_SIZE = 4 };
enum { CONFIG_COLUMNS = 0, CONFIG_ROWS = 2, CONFIG_PORTS = 4 };

/* Control messages (5.3.6.2). */
enum event {
	EVENT_DEVICE_READY = 0,
	EVENT_PORT_ADD = 1,
	EVENT_PORT_READY = 3,
	EVENT_CONSOLE_PORT = 4,
	EVENT_RESIZE = 5,
	EVENT_PORT_OPEN = 6,
	EVENT_PORT_NAME = 7,
};

/* Messages that wait for room in the control queue, in the order in which a port's are sent. */
enum owed { OWED_ADD = 1, OWED_CONSOLE = 2, OWED_RESIZE = 4, OWED_NAME = 8, OWED_OPEN = 16 };

static unsigned port_receive_queue(unsigned port)
{
	return port == 0 ? QUEUE_RECEIVE_0 : 2 * port + 2;
}

static unsigned port_of_queue(unsigned queue)
{
	return queue < 2 ? 0 : queue / 2 - 1;
}

static bool is_multiport(const struct virtio_console *console)
{
	return virtio_accepted(&console->virtio, F_MULTIPORT);
}

static bool pop(struct virtio_console *console, unsigned queue, struct virtqueue_chain *chain)
{
	return virtio_pop(&console->virtio, queue, chain, console->slices[queue & 1],
			  VIRTQUEUE_SIZE_MAX);
}

/* Guest to world. */

/* Gives the other end what is behind the bytes it has taken already. True if that was all of the
 * chain. */
static bool write_chain(struct virtio_console_port *port, const struct virtqueue_chain *chain)
{
	uint64_t skip = port->sent;

	for (unsigned i = 0; i < chain->readable_count; i++) {
		const struct slice *slice = &chain->readable[i];
		size_t length, taken;

		if (skip >= slice->length) {
			skip -= slice->length;
			continue;
		}
		length = slice->length - skip;
		taken = length;
		if (port->console)
			taken = port->console->ops->write(
				port->console, (const uint8_t *)slice->base + skip, length);
		port->sent += (uint32_t)taken;
		if (taken < length)
			return false;
		skip = 0;
	}
	port->sent = 0;
	return true;
}

static void transmit(struct virtio_console *console, unsigned index)
{
	struct virtio_console_port *port = &console->ports[index];
	unsigned queue = port_receive_queue(index) + 1, count = 0;
	struct virtqueue *ring = &console->queues[queue].ring;
	struct virtqueue_chain chain;

	while (count < VIRTIO_BATCH && pop(console, queue, &chain)) {
		if (!write_chain(port, &chain)) {
			virtqueue_unpop(ring, 1);
			break;
		}
		virtqueue_push(ring, &chain, 0);
		count++;
	}
	virtio_publish(&console->virtio, queue);
	if (count == VIRTIO_BATCH)
		virtio_again(&console->virtio, queue);
}

static void output_ready(void *device)
{
	struct virtio_console_port *port = device;

	transmit(port->owner, (unsigned)(port - port->owner->ports));
}

/* World to guest. */

static bool takes_input(const struct virtio_console_port *port)
{
	return port == &port->owner->ports[0] || port->guest_open;
}

static size_t input(void *device, const void *bytes, size_t length)
{
	struct virtio_console_port *port = device;
	struct virtio_console *console = port->owner;
	unsigned queue = port_receive_queue((unsigned)(port - console->ports));
	struct virtqueue_chain chain;
	size_t done = 0, part;

	if (!takes_input(port))
		return 0;
	while (done < length && pop(console, queue, &chain)) {
		part = virtqueue_chain_write(&chain, 0, (const uint8_t *)bytes + done,
					     length - done);
		virtqueue_push(&console->queues[queue].ring, &chain, part);
		if (part == 0) {
			virtio_fail(&console->virtio, "a console's receive buffer has no room");
			break;
		}
		done += part;
	}
	virtio_publish(&console->virtio, queue);
	return done;
}

static void input_ready(struct virtio_console_port *port)
{
	if (port->console && port->console->ops->input_ready && takes_input(port))
		port->console->ops->input_ready(port->console);
}

/* The control queues. */

static size_t message(const struct virtio_console_port *port, enum owed owed, uint8_t *bytes)
{
	size_t length = CONTROL_SIZE;
	uint16_t event = EVENT_PORT_ADD, value = 1;

	switch (owed) {
	case OWED_ADD:
		break;
	case OWED_CONSOLE:
		event = EVENT_CONSOLE_PORT;
		break;
	case OWED_RESIZE:
		event = EVENT_RESIZE;
		bytes_store16(bytes + CONTROL_SIZE, port->columns);
		bytes_store16(bytes + CONTROL_SIZE + 2, port->rows);
		length += RESIZE_SIZE;
		break;
	case OWED_NAME:
		event = EVENT_PORT_NAME;
		length += string_length(port->name);
		bytes_copy(bytes + CONTROL_SIZE, port->name, length - CONTROL_SIZE);
		break;
	case OWED_OPEN:
		event = EVENT_PORT_OPEN;
		break;
	}
	bytes_store32(bytes, (uint32_t)(port - port->owner->ports));
	bytes_store16(bytes + 4, event);
	bytes_store16(bytes + 6, value);
	return length;
}

static void send_owed(struct virtio_console *console)
{
	struct virtqueue *ring = &console->queues[QUEUE_CONTROL_RECEIVE].ring;
	uint8_t bytes[CONTROL_SIZE + VIRTIO_CONSOLE_NAME_MAX];
	struct virtqueue_chain chain;

	if (!console->device_ready)
		return;
	for (unsigned i = 0; i < console->port_count; i++) {
		struct virtio_console_port *port = &console->ports[i];

		while (port->owed) {
			enum owed next = port->owed & -port->owed;

			if (!pop(console, QUEUE_CONTROL_RECEIVE, &chain))
				goto out;
			virtqueue_push(ring, &chain,
				       virtqueue_chain_write(&chain, 0, bytes,
							     message(port, next, bytes)));
			port->owed &= (uint8_t)~next;
		}
	}
out:
	virtio_publish(&console->virtio, QUEUE_CONTROL_RECEIVE);
}

static void handle(struct virtio_console *console, const uint8_t *bytes)
{
	uint32_t id = bytes_load32(bytes);
	uint16_t event = bytes_load16(bytes + 4), value = bytes_load16(bytes + 6);
	struct virtio_console_port *port = id < console->port_count ? &console->ports[id] : NULL;

	if (event == EVENT_DEVICE_READY && value == 1) {
		console->device_ready = true;
		for (unsigned i = 0; i < console->port_count; i++)
			console->ports[i].owed = OWED_ADD;
	} else if (event == EVENT_PORT_READY && value == 1 && port) {
		port->owed |= OWED_OPEN | (id > 0	   ? OWED_NAME
					   : port->columns ? OWED_CONSOLE | OWED_RESIZE
							   : OWED_CONSOLE);
	} else if (event == EVENT_PORT_OPEN && port) {
		port->guest_open = value != 0;
		input_ready(port);
	}
}

static void control(struct virtio_console *console)
{
	struct virtqueue *ring = &console->queues[QUEUE_CONTROL_TRANSMIT].ring;
	uint8_t bytes[CONTROL_SIZE];
	struct virtqueue_chain chain;
	unsigned count = 0;

	while (count < VIRTIO_BATCH && pop(console, QUEUE_CONTROL_TRANSMIT, &chain)) {
		bool whole = virtqueue_chain_read(&chain, bytes, CONTROL_SIZE) == CONTROL_SIZE;

		virtqueue_push(ring, &chain, 0);
		if (whole)
			handle(console, bytes);
		count++;
	}
	virtio_publish(&console->virtio, QUEUE_CONTROL_TRANSMIT);
	if (count == VIRTIO_BATCH)
		virtio_again(&console->virtio, QUEUE_CONTROL_TRANSMIT);
	send_owed(console);
}

static void resized(void *device, uint16_t columns, uint16_t rows)
{
	struct virtio_console_port *port = device;
	struct virtio_console *console = port->owner;

	port->columns = columns;
	port->rows = rows;
	if (port != &console->ports[0])
		return;
	bytes_store16(console->config + CONFIG_COLUMNS, columns);
	bytes_store16(console->config + CONFIG_ROWS, rows);
	if (is_multiport(console)) {
		port->owed |= OWED_RESIZE;
		send_owed(console);
	} else {
		virtio_config_changed(&console->virtio);
	}
}

static void notify(struct virtio *virtio, unsigned queue)
{
	struct virtio_console *console = container_of(virtio, struct virtio_console, virtio);

	if (queue == QUEUE_CONTROL_TRANSMIT)
		control(console);
	else if (queue == QUEUE_CONTROL_RECEIVE)
		send_owed(console);
	else if (queue & 1)
		transmit(console, port_of_queue(queue));
	else
		input_ready(&console->ports[port_of_queue(queue)]);
}

static void ready(struct virtio *virtio)
{
	for (unsigned i = 0; i < virtio->queue_count; i++)
		virtio_notified(virtio, i);
}

static void reset(struct virtio *virtio)
{
	struct virtio_console *console = container_of(virtio, struct virtio_console, virtio);

	console->device_ready = false;
	for (unsigned i = 0; i < console->port_count; i++) {
		console->ports[i].owed = 0;
		console->ports[i].guest_open = false;
		console->ports[i].sent = 0;
	}
}

static void queue_reset(struct virtio *virtio, unsigned queue)
{
	struct virtio_console *console = container_of(virtio, struct virtio_console, virtio);

	if (queue & 1 && queue != QUEUE_CONTROL_TRANSMIT)
		console->ports[port_of_queue(queue)].sent = 0;
}

static void state(struct virtio *virtio, struct snapshot *snapshot)
{
	struct virtio_console *console = container_of(virtio, struct virtio_console, virtio);

	snapshot_bool(snapshot, &console->device_ready);
	for (unsigned i = 0; i < console->port_count; i++) {
		snapshot_u8(snapshot, &console->ports[i].owed);
		snapshot_bool(snapshot, &console->ports[i].guest_open);
		snapshot_u32(snapshot, &console->ports[i].sent);
	}
}

static const struct virtio_ops ops = {
	.reset = reset,
	.ready = ready,
	.notify = notify,
	.queue_reset = queue_reset,
	.state = state,
};

static void connect(struct virtio_console *console, unsigned index,
		    const struct virtio_console_plug *plug)
{
	struct virtio_console_port *port = &console->ports[index];

	port->owner = console;
	port->console = plug->console;
	if (index > 0)
		string_copy(port->name, sizeof(port->name), plug->name);
	if (!plug->console)
		return;
	plug->console->device = port;
	plug->console->input = input;
	plug->console->output_ready = output_ready;
	plug->console->resized = resized;
}

int virtio_console_init(struct virtio_console *console, struct vm *vm, struct pci_bus *bus,
			unsigned slot, const char *instance,
			const struct virtio_console_plug *plugs, unsigned count)
{
	uint16_t sizes[VIRTIO_CONSOLE_QUEUES_MAX];
	struct virtio *virtio = &console->virtio;

	CHECK(count >= 1 && count <= VIRTIO_CONSOLE_PORTS_MAX);
	for (unsigned i = 0; i < VIRTIO_CONSOLE_QUEUES_MAX; i++)
		sizes[i] = QUEUE_SIZE;
	console->port_count = count;
	bytes_store32(console->config + CONFIG_PORTS, count);
	virtio->ops = &ops;
	virtio->id = VIRTIO_CONSOLE;
	virtio->class_code = 0x078000; /* simple communication, other */
	virtio->offered = F_SIZE | (count > 1 ? F_MULTIPORT : 0);
	virtio->queues = console->queues;
	virtio->queue_count = count > 1 ? 2 * count + 2 : 2;
	virtio->config = console->config;
	virtio->config_size = sizeof(console->config);
	for (unsigned i = 0; i < count; i++)
		connect(console, i, &plugs[i]);
	return virtio_init(virtio, vm, bus, slot, instance, sizes);
}
