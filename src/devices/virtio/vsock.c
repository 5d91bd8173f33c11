/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio socket device: virtio 1.2, section 5.10. Streams, called by the world.
 *
 * Each stream has its own account of room on both sides (5.10.6.3), so a program that doesn't read
 * holds up nobody else. What the device itself has to say (a call, an end, room) is noted as owed
 * until the driver gives it a buffer. Only the answer to a message that belongs to no stream has no
 * place to wait in: then the message stays in the ring instead.
 *
 * Streams are not saved: after loading, the driver is told that they are gone (5.10.6.7). It ends
 * all that it has then, so there are no calls until it is done with that.
 *
 * Not modelled: calls by the guest (they are refused), sequenced packets.
 */
#include "devices/virtio/vsock.h"

#include "core/vm.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "lib/error.h"

enum { QUEUE_RECEIVE = 0, QUEUE_TRANSMIT = 1, QUEUE_EVENT = 2 };
enum { QUEUE_SIZE = 128, EVENT_SIZE = 4, FIRST_PORT = 0x40000000 };
#define SETTLE_MAX 1000000000 /* ns */

/* struct virtio_vsock_hdr (5.10.6). */
enum {
	SOURCE_CID = 0,
	TARGET_CID = 8,
	SOURCE_PORT = 16,
	TARGET_PORT = 20,
	LENGTH = 24,
	TYPE = 28,
	OPERATION = 30,
	FLAGS = 32,
	ROOM = 36,
	CONSUMED = 40
};
enum { TYPE_STREAM = 1 };
enum operation {
	REQUEST = 1,
	RESPONSE = 2,
	RESET = 3,
	SHUTDOWN = 4,
	DATA = 5,
	CREDIT_UPDATE = 6,
	CREDIT_REQUEST = 7
};
enum { NO_MORE_RECEIVING = 1, NO_MORE_SENDING = 2 };

/* In the order in which they are sent. */
enum owed { OWED_REQUEST = 1, OWED_CREDIT = 2, OWED_SHUTDOWN = 4, OWED_RESET = 8 };

static bool pop(struct virtio_vsock *vsock, unsigned queue, struct virtqueue_chain *chain)
{
	return virtio_pop(&vsock->virtio, queue, chain, vsock->slices[queue & 1],
			  VIRTQUEUE_SIZE_MAX);
}

/* Messages to the driver */

static void header_fill(uint8_t *header, uint32_t from, uint32_t to, enum operation operation)
{
	bytes_fill(header, 0, VIRTIO_VSOCK_HEADER);
	bytes_store64(header + SOURCE_CID, VIRTIO_VSOCK_CID_HOST);
	bytes_store64(header + TARGET_CID, VIRTIO_VSOCK_CID_GUEST);
	bytes_store32(header + SOURCE_PORT, from);
	bytes_store32(header + TARGET_PORT, to);
	bytes_store16(header + TYPE, TYPE_STREAM);
	bytes_store16(header + OPERATION, operation);
}

/* Puts a message with as much of its contents as fits into the driver's next buffer. False if there
 * is none; *taken: how much of the contents went. */
static bool put(struct virtio_vsock *vsock, uint8_t *header, const void *bytes, uint32_t length,
		uint32_t *taken)
{
	struct virtqueue *ring = &vsock->queues[QUEUE_RECEIVE].ring;
	struct virtqueue_chain chain;
	uint64_t room;

	if (!pop(vsock, QUEUE_RECEIVE, &chain))
		return false;
	room = chain.writable_length;
	if (room < VIRTIO_VSOCK_HEADER + (length ? 1 : 0)) {
		virtqueue_push(ring, &chain, 0);
		virtio_fail(&vsock->virtio, "a socket's receive buffer has no room");
		return false;
	}
	room -= VIRTIO_VSOCK_HEADER;
	if (length > room)
		length = (uint32_t)room;
	bytes_store32(header + LENGTH, length);
	virtqueue_chain_write(&chain, 0, header, VIRTIO_VSOCK_HEADER);
	if (length)
		virtqueue_chain_write(&chain, VIRTIO_VSOCK_HEADER, bytes, length);
	virtqueue_push(ring, &chain, VIRTIO_VSOCK_HEADER + length);
	*taken = length;
	return true;
}

/* A message of a stream. Every one also says how much room the world has. */
static bool send(struct virtio_vsock_stream *one, enum operation operation, uint32_t flags,
		 const void *bytes, uint32_t length, uint32_t *taken)
{
	uint8_t header[VIRTIO_VSOCK_HEADER];

	header_fill(header, one->host_port, one->guest_port, operation);
	bytes_store32(header + FLAGS, flags);
	bytes_store32(header + ROOM, one->stream ? one->stream->room : 0);
	bytes_store32(header + CONSUMED, one->consumed);
	if (!put(one->owner, header, bytes, length, taken))
		return false;
	one->told = one->consumed;
	one->owed &= (uint8_t)~OWED_CREDIT;
	return true;
}

/* Sends what a stream owes. False if there was no room for all of it. */
static bool settle(struct virtio_vsock_stream *one)
{
	static const struct {
		enum owed owed;
		enum operation operation;
		uint32_t flags;
	} messages[] = {{OWED_REQUEST, REQUEST, 0},
			{OWED_CREDIT, CREDIT_UPDATE, 0},
			{OWED_SHUTDOWN, SHUTDOWN, NO_MORE_SENDING},
			{OWED_RESET, RESET, 0}};
	uint32_t taken;

	for (unsigned i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		if (!(one->owed & messages[i].owed))
			continue;
		if (!send(one, messages[i].operation, messages[i].flags, NULL, 0, &taken))
			return false;
		one->owed &= (uint8_t)~messages[i].owed;
	}
	return true;
}

static void publish(struct virtio_vsock *vsock)
{
	virtio_publish(&vsock->virtio, QUEUE_RECEIVE);
}

static void owe(struct virtio_vsock_stream *one, enum owed owed)
{
	one->owed |= owed;
	if (virtio_live(&one->owner->virtio)) {
		settle(one);
		publish(one->owner);
	}
}

/* The end of a stream */

/* The world knows it no more. */
static void forget(struct virtio_vsock_stream *one)
{
	one->stream->place = NULL;
	one->stream = NULL;
	one->owed = 0;
}

static void closed(struct virtio_vsock_stream *one, int error)
{
	struct stream *stream = one->stream;

	forget(one);
	stream->ops->closed(stream, error);
}

/* The guest broke the rules of one stream, or both sides are done with it. */
static void reset_stream(struct virtio_vsock_stream *one, int error)
{
	struct stream *stream = one->stream;

	forget(one);
	owe(one, OWED_RESET);
	stream->ops->closed(stream, error);
}

static void close_all(struct virtio_vsock *vsock)
{
	for (unsigned i = 0; i < VIRTIO_VSOCK_STREAMS_MAX; i++) {
		vsock->streams[i].owed = 0;
		if (vsock->streams[i].stream)
			closed(&vsock->streams[i], -ECONNRESET);
	}
}

/* Messages from the driver */

static uint32_t credit(const struct virtio_vsock_stream *one)
{
	uint32_t under_way = one->sent - one->guest_consumed;

	return under_way < one->guest_room ? one->guest_room - under_way : 0;
}

static struct virtio_vsock_stream *find(struct virtio_vsock *vsock, const uint8_t *header)
{
	uint32_t from = bytes_load32(header + SOURCE_PORT), to = bytes_load32(header + TARGET_PORT);

	if (bytes_load16(header + TYPE) != TYPE_STREAM)
		return NULL;
	for (unsigned i = 0; i < VIRTIO_VSOCK_STREAMS_MAX; i++) {
		struct virtio_vsock_stream *one = &vsock->streams[i];

		if (one->stream && one->guest_port == from && one->host_port == to)
			return one;
	}
	return NULL;
}

/* Data: as many bytes as the header says, in what is left of the chain. */
static void receive(struct virtio_vsock_stream *one, const struct virtqueue_chain *chain,
		    uint32_t length)
{
	struct stream *stream = one->stream;

	if (!one->open || one->ended || length > chain->readable_length ||
	    length > stream->room - (one->received - one->consumed)) {
		reset_stream(one, -ECONNRESET);
		return;
	}
	one->received += length;
	/* The world may end it at each piece. */
	for (unsigned i = 0; i < chain->readable_count && length && one->stream == stream; i++) {
		const struct slice *slice = &chain->readable[i];
		uint32_t part = slice->length < length ? (uint32_t)slice->length : length;

		if (part)
			stream->ops->write(stream, slice->base, part);
		length -= part;
	}
}

/* What was said once holds (5.10.6.6). */
static void shut(struct virtio_vsock_stream *one, uint32_t flags)
{
	struct stream *stream = one->stream;

	if (flags & NO_MORE_RECEIVING)
		one->deaf = true;
	if ((flags & NO_MORE_SENDING) && !one->ended) {
		one->ended = true;
		if (one->open)
			stream->ops->ended(stream);
	}
	/* It has closed the socket, and waits for this. */
	if (one->stream == stream && one->deaf && one->ended)
		reset_stream(one, one->open ? 0 : -ECONNREFUSED);
}

static void input_ready(struct virtio_vsock_stream *one)
{
	if (!one->stream || !one->open || !one->wants_input || !credit(one))
		return;
	one->wants_input = false;
	one->stream->ops->input_ready(one->stream);
}

static void handle(struct virtio_vsock_stream *one, const uint8_t *header,
		   const struct virtqueue_chain *chain)
{
	struct stream *stream = one->stream;

	one->guest_room = bytes_load32(header + ROOM);
	one->guest_consumed = bytes_load32(header + CONSUMED);
	switch (bytes_load16(header + OPERATION)) {
	case RESPONSE:
		if (one->open) {
			reset_stream(one, -ECONNRESET);
			return;
		}
		one->open = true;
		stream->ops->opened(stream);
		break;
	case RESET:
		closed(one, one->ended ? 0 : one->open ? -ECONNRESET : -ECONNREFUSED);
		return;
	case SHUTDOWN:
		shut(one, bytes_load32(header + FLAGS));
		break;
	case DATA:
		receive(one, chain, bytes_load32(header + LENGTH));
		break;
	case CREDIT_REQUEST:
		owe(one, OWED_CREDIT);
		break;
	case CREDIT_UPDATE:
		break;
	default:
		reset_stream(one, -ECONNRESET);
		return;
	}
	if (one->stream == stream)
		input_ready(one);
}

/* What belongs to no stream is answered by a reset, but for a reset. False if there is no room for
 * the answer. */
static bool refuse(struct virtio_vsock *vsock, const uint8_t *header)
{
	uint8_t answer[VIRTIO_VSOCK_HEADER];
	uint32_t taken;

	if (bytes_load16(header + OPERATION) == RESET)
		return true;
	header_fill(answer, bytes_load32(header + TARGET_PORT), bytes_load32(header + SOURCE_PORT),
		    RESET);
	bytes_store16(answer + TYPE, bytes_load16(header + TYPE));
	return put(vsock, answer, NULL, 0, &taken);
}

/* False if the message has to wait. */
static bool message(struct virtio_vsock *vsock, struct virtqueue_chain *chain)
{
	uint8_t header[VIRTIO_VSOCK_HEADER];
	struct virtio_vsock_stream *one;

	if (virtqueue_chain_read(chain, header, sizeof(header)) < sizeof(header) ||
	    bytes_load64(header + SOURCE_CID) != VIRTIO_VSOCK_CID_GUEST ||
	    bytes_load64(header + TARGET_CID) != VIRTIO_VSOCK_CID_HOST)
		return true; /* to nobody */
	one = find(vsock, header);
	if (!one)
		return refuse(vsock, header);
	handle(one, header, chain);
	return true;
}

static void transmit(struct virtio_vsock *vsock)
{
	struct virtqueue *ring = &vsock->queues[QUEUE_TRANSMIT].ring;
	struct virtqueue_chain chain;
	unsigned count = 0;

	vsock->transmit_waits = false;
	while (count < VIRTIO_BATCH && pop(vsock, QUEUE_TRANSMIT, &chain)) {
		if (!message(vsock, &chain)) {
			virtqueue_unpop(ring, 1);
			vsock->transmit_waits = true;
			break;
		}
		virtqueue_push(ring, &chain, 0);
		count++;
	}
	virtio_publish(&vsock->virtio, QUEUE_TRANSMIT);
	publish(vsock);
	if (count == VIRTIO_BATCH)
		virtio_again(&vsock->virtio, QUEUE_TRANSMIT);
}

/* The driver has given buffers: first what is owed, then what the world waits to send. */
static void receive_room(struct virtio_vsock *vsock)
{
	bool room = true;

	for (unsigned i = 0; room && i < VIRTIO_VSOCK_STREAMS_MAX; i++)
		room = settle(&vsock->streams[i]);
	publish(vsock);
	if (room && vsock->transmit_waits)
		transmit(vsock);
	for (unsigned i = 0; room && i < VIRTIO_VSOCK_STREAMS_MAX; i++)
		input_ready(&vsock->streams[i]);
}

static void event(struct virtio_vsock *vsock)
{
	static const uint8_t transport_reset[EVENT_SIZE];
	struct virtqueue_chain chain;

	if (!vsock->reset_owed || !pop(vsock, QUEUE_EVENT, &chain))
		return;
	vsock->reset_owed = false;
	vsock->events_left = virtqueue_waiting(&vsock->queues[QUEUE_EVENT].ring);
	virtqueue_push(&vsock->queues[QUEUE_EVENT].ring, &chain,
		       virtqueue_chain_write(&chain, 0, transport_reset, EVENT_SIZE));
	virtio_publish(&vsock->virtio, QUEUE_EVENT);
}

/* The driver gives an event's buffer back when it is done with it. One that doesn't look at events
 * is not waited for long. */
static bool settled(struct virtio_vsock *vsock)
{
	struct virtqueue *ring = &vsock->queues[QUEUE_EVENT].ring;

	return vm_time(vsock->virtio.device.vm) >= vsock->settled_by ||
	       (!vsock->reset_owed && virtqueue_waiting(ring) > vsock->events_left);
}

static void notify(struct virtio *virtio, unsigned queue)
{
	struct virtio_vsock *vsock = container_of(virtio, struct virtio_vsock, virtio);

	if (queue == QUEUE_TRANSMIT)
		transmit(vsock);
	else if (queue == QUEUE_RECEIVE)
		receive_room(vsock);
	else
		event(vsock);
}

static void ready(struct virtio *virtio)
{
	struct virtio_vsock *vsock = container_of(virtio, struct virtio_vsock, virtio);

	if (vsock->reset_owed)
		vsock->settled_by = vm_time(virtio->device.vm) + SETTLE_MAX;
	for (unsigned i = 0; i < VIRTIO_VSOCK_QUEUES; i++)
		virtio_notified(virtio, i);
}

static void reset(struct virtio *virtio)
{
	struct virtio_vsock *vsock = container_of(virtio, struct virtio_vsock, virtio);

	vsock->reset_owed = false;
	vsock->transmit_waits = false;
	vsock->settled_by = 0;
	close_all(vsock);
}

static void state(struct virtio *virtio, struct snapshot *snapshot)
{
	struct virtio_vsock *vsock = container_of(virtio, struct virtio_vsock, virtio);

	/* So that a new stream is not taken for an old one of the guest's. */
	snapshot_u32(snapshot, &vsock->next_port);
	if (!snapshot->loading)
		return;
	reset(virtio);
	vsock->reset_owed = true;
}

static const struct virtio_ops ops = {
	.reset = reset, .ready = ready, .notify = notify, .state = state};

/* The world's side */

static bool port_is_taken(const struct virtio_vsock *vsock, uint32_t port)
{
	for (unsigned i = 0; i < VIRTIO_VSOCK_STREAMS_MAX; i++)
		if ((vsock->streams[i].stream || vsock->streams[i].owed) &&
		    vsock->streams[i].host_port == port)
			return true;
	return false;
}

static uint32_t port_take(struct virtio_vsock *vsock)
{
	do {
		vsock->next_port++;
	} while (vsock->next_port < FIRST_PORT || vsock->next_port == UINT32_MAX ||
		 port_is_taken(vsock, vsock->next_port));
	return vsock->next_port;
}

static int call(void *device, struct stream *stream, uint32_t port)
{
	struct virtio_vsock *vsock = device;

	if (!virtio_live(&vsock->virtio) || !settled(vsock))
		return -ENETDOWN;
	for (unsigned i = 0; i < VIRTIO_VSOCK_STREAMS_MAX; i++) {
		struct virtio_vsock_stream *one = &vsock->streams[i];

		if (one->stream || one->owed)
			continue;
		*one = (struct virtio_vsock_stream){
			.owner = vsock, .guest_port = port, .host_port = port_take(vsock)};
		one->stream = stream;
		stream->place = one;
		owe(one, OWED_REQUEST);
		return 0;
	}
	return -EBUSY;
}

static size_t input(struct stream *stream, const void *bytes, size_t length)
{
	struct virtio_vsock_stream *one = stream->place;
	size_t done = 0;
	uint32_t taken;

	if (!one || !one->open || one->finished)
		return 0;
	while (done < length && credit(one)) {
		size_t part = length - done < credit(one) ? length - done : credit(one);

		if (!send(one, DATA, 0, (const uint8_t *)bytes + done, (uint32_t)part, &taken))
			break;
		one->sent += taken;
		done += taken;
	}
	publish(one->owner);
	one->wants_input = done < length;
	return done;
}

static void consumed(struct stream *stream, uint32_t length)
{
	struct virtio_vsock_stream *one = stream->place;

	if (!one)
		return;
	CHECK(length <= one->received - one->consumed);
	one->consumed += length;
	/* The guest hears of it half a room later at most, so it never waits for ever. */
	if (one->consumed - one->told >= stream->room / 2 && !one->ended)
		owe(one, OWED_CREDIT);
}

static void finish(struct stream *stream)
{
	struct virtio_vsock_stream *one = stream->place;

	if (!one || one->finished)
		return;
	one->finished = true;
	owe(one, OWED_SHUTDOWN);
}

static void close(struct stream *stream)
{
	struct virtio_vsock_stream *one = stream->place;

	if (!one)
		return;
	/* A guest that has not heard of it need not hear of its end. */
	if (one->owed & OWED_REQUEST) {
		forget(one);
	} else {
		forget(one);
		owe(one, OWED_RESET);
	}
}

int virtio_vsock_init(struct virtio_vsock *vsock, struct vm *vm, struct pci_bus *bus, unsigned slot,
		      const char *instance, struct caller *caller)
{
	static const uint16_t sizes[VIRTIO_VSOCK_QUEUES] = {QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE};
	struct virtio *virtio = &vsock->virtio;

	bytes_store64(vsock->config, VIRTIO_VSOCK_CID_GUEST);
	for (unsigned i = 0; i < VIRTIO_VSOCK_STREAMS_MAX; i++)
		vsock->streams[i].owner = vsock;
	vsock->next_port = FIRST_PORT;
	virtio->ops = &ops;
	virtio->id = VIRTIO_VSOCK;
	virtio->class_code = 0x078000; /* simple communication, other */
	virtio->queues = vsock->queues;
	virtio->queue_count = VIRTIO_VSOCK_QUEUES;
	virtio->config = vsock->config;
	virtio->config_size = sizeof(vsock->config);
	*caller = (struct caller){.call = call,
				  .input = input,
				  .consumed = consumed,
				  .finish = finish,
				  .close = close,
				  .device = vsock};
	return virtio_init(virtio, vm, bus, slot, instance, sizes);
}
