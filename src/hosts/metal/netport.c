/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's port of its switch, which is the kernel's. A frame that the guest has no room for
 * is held; those behind it wait in the kernel's queue, and are lost there when that is full.
 */
#include "engines/metal/call.h"
#include "hosts/metal/machine.h"
#include "lib/bytes.h"
#include "lib/error.h"

#define FRAMES_AT_ONCE 64
#define MTU	       (METAL_FRAME_MAX - 14)

struct metal_port {
	struct netport port; /* first */
	uint32_t held;	     /* length of the frame that waits; 0: none */
	uint8_t frame[METAL_FRAME_MAX];
};

static void send_one(const void *frame, size_t length)
{
	const struct metal_slice whole = {(uintptr_t)frame, length};

	METAL_CALL(METAL_SWITCH_SEND, (uintptr_t)&whole, 1);
}

/* More pieces than the kernel takes are put together first. */
static void send_gathered(const struct slice *slices, unsigned count)
{
	uint8_t frame[METAL_FRAME_MAX];
	size_t length = 0;

	for (unsigned i = 0; i < count; i++) {
		if (slices[i].length > sizeof(frame) - length)
			return; /* larger than any frame */
		bytes_copy(frame + length, slices[i].base, slices[i].length);
		length += slices[i].length;
	}
	send_one(frame, length);
}

static void port_send(struct netport *port, const struct slice *slices, unsigned count)
{
	struct metal_slice pieces[METAL_SLICES_MAX];

	if (count > METAL_SLICES_MAX) {
		send_gathered(slices, count);
		return;
	}
	for (unsigned i = 0; i < count; i++)
		pieces[i] = (struct metal_slice){(uintptr_t)slices[i].base, slices[i].length};
	METAL_CALL(METAL_SWITCH_SEND, (uintptr_t)pieces, count);
}

/* The next frame of the switch into `frame`. */
static bool fetch(struct metal_port *own)
{
	int64_t length =
		METAL_CALL(METAL_SWITCH_RECEIVE, (uintptr_t)own->frame, sizeof(own->frame));

	own->held = length > 0 && length <= (int64_t)sizeof(own->frame) ? (uint32_t)length : 0;
	return own->held;
}

void netport_look(struct netport *port)
{
	struct metal_port *own = (struct metal_port *)port;

	for (unsigned i = 0; i < FRAMES_AT_ONCE; i++) {
		if (!own->held && !fetch(own))
			return;
		if (!port->receive || !port->receive(port->device, own->frame, own->held))
			return; /* receive_ready comes */
		own->held = 0;
	}
	/* Others may send as fast as we take: the rest is for the main thread's next round. */
	atomic_fetch_or(&metal_start()->events, METAL_EVENT_FRAME);
	wake_main();
}

static void port_close(struct netport *port)
{
}

static const struct netport_ops ops = {
	.send = port_send, .receive_ready = netport_look, .close = port_close};

struct netport *netport_open(const uint8_t mac[6])
{
	static struct metal_port own;
	int64_t length = METAL_CALL(METAL_SWITCH_RECEIVE, (uintptr_t)own.frame, sizeof(own.frame));

	/* The kernel alone knows whether there is a port; frames for the guest can't be here yet.
	 */
	if (length < 0 && length != -EAGAIN)
		return NULL;
	own.port = (struct netport){.ops = &ops, .mtu = MTU};
	bytes_copy(own.port.mac, mac, sizeof(own.port.mac));
	return &own.port;
}
