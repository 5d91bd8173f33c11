/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio network device: virtio 1.2, section 5.1. One pair of queues.
 *
 * The checksum that a driver leaves open is filled in here: at the host's full speed, which the
 * guest does not have on every engine.
 *
 * Not modelled: the control queue (so no filters: all frames are received), several queue pairs,
 * notification coalescing, UDP segmentation.
 */
#include "devices/virtio/net.h"

#include "core/snapshot.h"
#include "core/vm.h"
#include "lib/bytes.h"

#define F_CSUM	     (1ull << 0)
#define F_GUEST_CSUM (1ull << 1)
#define F_MTU	     (1ull << 3)
#define F_MAC	     (1ull << 5)
#define F_GUEST_TSO4 (1ull << 7)
#define F_GUEST_TSO6 (1ull << 8)
#define F_HOST_TSO4  (1ull << 11)
#define F_HOST_TSO6  (1ull << 12)
#define F_HOST_ECN   (1ull << 13)
#define F_MRG_RXBUF  (1ull << 15)
#define F_STATUS     (1ull << 16)

enum { QUEUE_RECEIVE = 0, QUEUE_TRANSMIT = 1 };
#define NOTICE_DELAY 10000000 /* ns */
enum { CONFIG_MAC = 0, CONFIG_STATUS = 6, CONFIG_MTU = 10, STATUS_LINK_UP = 1 };

/* struct virtio_net_hdr (5.1.6). */
enum {
	HEADER_FLAGS = 0,
	HEADER_GSO_TYPE = 1,
	HEADER_LENGTH = 2,
	HEADER_GSO_SIZE = 4,
	HEADER_CSUM_START = 6,
	HEADER_CSUM_OFFSET = 8,
	HEADER_NUM_BUFFERS = 10,
	HEADER_SIZE = 12,
};
enum { FLAG_NEEDS_CSUM = 1, FLAG_DATA_VALID = 2 };
enum { GSO_NONE = 0, GSO_TCPV4 = 1, GSO_TCPV6 = 4, GSO_ECN = 0x80 };
enum { ETHERNET_HEADER = 14, IPV4_HEADER = 20, IPV6_HEADER = 40, TCP_CHECKSUM = 16 };

uint16_t virtio_net_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

uint64_t virtio_net_sum(uint64_t sum, const void *bytes, size_t length, bool odd)
{
	const uint8_t *from = bytes;
	uint64_t own = 0, even = 0, carries = 0;
	uint16_t folded;

	for (; length >= 16; from += 16, length -= 16) {
		carries += __builtin_add_overflow(even, bytes_load64(from), &even);
		carries += __builtin_add_overflow(own, bytes_load64(from + 8), &own);
	}
	own = (own & 0xffffffff) + (own >> 32) + (even & 0xffffffff) + (even >> 32) + carries;
	for (; length >= 4; from += 4, length -= 4)
		own += bytes_load32(from);
	if (length & 2) {
		own += bytes_load16(from);
		from += 2;
	}
	if (length & 1)
		own += *from;
	folded = (uint16_t)~virtio_net_fold(own);
	return sum + (odd ? (uint16_t)(folded << 8 | folded >> 8) : folded);
}

/* Guest to world. */

static size_t frame_max(const struct virtio_net *net)
{
	return net->port->send_max ? net->port->send_max : net->port->mtu + ETHERNET_HEADER;
}

static bool segments_allowed(const struct virtio_net *net, uint8_t type)
{
	switch (type & ~GSO_ECN) {
	case GSO_NONE:
		return true;
	case GSO_TCPV4:
		return virtio_accepted(&net->virtio, F_HOST_TSO4);
	case GSO_TCPV6:
		return virtio_accepted(&net->virtio, F_HOST_TSO6);
	default:
		return false;
	}
}

/*
 * Fills in the checksum of a frame whose driver summed up only the pseudo header. The driver's
 * memory is not ours to write, so the headers move to net->front. False if the header makes no
 * sense.
 */
static bool complete_checksum(struct virtio_net *net, struct virtqueue_chain *chain,
			      const uint8_t *header)
{
	size_t start = bytes_load16(header + HEADER_CSUM_START);
	size_t place = start + bytes_load16(header + HEADER_CSUM_OFFSET);
	size_t front = place + 2, at;
	uint64_t sum;
	uint16_t check;

	if (front > VIRTIO_NET_FRONT_MAX || front > chain->readable_length)
		return false;
	virtqueue_chain_read(chain, net->front, front);
	sum = virtio_net_sum(0, net->front + start, front - start, false);
	at = front - start;
	for (unsigned i = 0; i < chain->readable_count; i++) {
		sum = virtio_net_sum(sum, chain->readable[i].base, chain->readable[i].length,
				     at & 1);
		at += chain->readable[i].length;
	}
	check = virtio_net_fold(sum);
	bytes_store16(net->front + place, check ? check : 0xffff);
	/* There is always room: net->send has one more than a chain can fill. */
	chain->readable--;
	chain->readable_count++;
	chain->readable[0] = (struct slice){net->front, front};
	chain->readable_length += front;
	return true;
}

/*
 * The header of a frame that goes out with it: what the driver has written, as far as it makes
 * sense. False if it makes none.
 */
static bool put_header(struct virtio_net *net, struct virtqueue_chain *chain, const uint8_t *header)
{
	uint8_t *own = net->front;
	uint64_t place = (uint64_t)bytes_load16(header + HEADER_CSUM_START) +
			 bytes_load16(header + HEADER_CSUM_OFFSET);

	bytes_fill(own, 0, HEADER_SIZE);
	if (header[HEADER_FLAGS] & FLAG_NEEDS_CSUM) {
		if (place + 2 > chain->readable_length)
			return false;
		bytes_copy(own, header, HEADER_NUM_BUFFERS);
		own[HEADER_FLAGS] = FLAG_NEEDS_CSUM;
	} else if (header[HEADER_GSO_TYPE] != GSO_NONE) {
		return false;
	}
	if (header[HEADER_GSO_TYPE] != GSO_NONE && !bytes_load16(header + HEADER_GSO_SIZE))
		return false;
	chain->readable--;
	chain->readable_count++;
	chain->readable[0] = (struct slice){own, HEADER_SIZE};
	return true;
}

/* The guest may change it meanwhile: so a copy. */
static void see_sent(struct virtio_net *net, const struct virtqueue_chain *chain)
{
	uint8_t front[NET_FRONT];
	size_t length = 0;

	for (unsigned i = 0; i < chain->readable_count && length < sizeof(front); i++) {
		const struct slice *slice = &chain->readable[i];
		size_t room = sizeof(front) - length;
		size_t part = slice->length < room ? slice->length : room;

		bytes_copy(front + length, slice->base, part);
		length += part;
	}
	net_connections_see(&net->connections, front, length, true);
}

static bool send_chain(struct virtio_net *net, struct virtqueue_chain *chain)
{
	uint8_t header[HEADER_SIZE];

	if (virtqueue_chain_read(chain, header, HEADER_SIZE) < HEADER_SIZE ||
	    chain->readable_length < ETHERNET_HEADER || chain->readable_length > frame_max(net) ||
	    !segments_allowed(net, header[HEADER_GSO_TYPE]))
		return false;
	see_sent(net, chain);
	if (net->port->has_header) {
		if (!put_header(net, chain, header))
			return false;
	} else if ((header[HEADER_FLAGS] & FLAG_NEEDS_CSUM) &&
		   !complete_checksum(net, chain, header)) {
		return false;
	}
	net->port->ops->send(net->port, chain->readable, chain->readable_count);
	net->sent_bytes += chain->readable_length;
	return true;
}

static void notice(struct timer *timer)
{
	struct virtio_net *net = container_of(timer, struct virtio_net, notice);

	virtio_publish(&net->virtio, QUEUE_TRANSMIT);
}

/*
 * A frame was answered before it was sent completely, as the user network acknowledges segments.
 * The driver is interrupted for the answer, and most then also look at what was sent: so it is
 * shown to them before, and has an interrupt of its own only if it wasn't looked at a moment later.
 */
static void publish_answered(struct virtio_net *net)
{
	struct virtqueue *ring = &net->queues[QUEUE_TRANSMIT].ring;

	net->answered = false;
	if ((uint16_t)(ring->next_used - ring->published) >= ring->size / 2)
		virtio_publish(&net->virtio, QUEUE_TRANSMIT);
	else
		virtqueue_show(ring);
	if (ring->next_used != ring->published && !timer_armed(&net->notice))
		timer_set(&net->notice, vm_time(net->virtio.device.vm) + NOTICE_DELAY);
	virtio_publish(&net->virtio, QUEUE_RECEIVE);
}

static void transmit(struct virtio_net *net)
{
	struct virtqueue *ring = &net->queues[QUEUE_TRANSMIT].ring;
	struct virtqueue_chain chain;
	unsigned count = 0;
	bool answered = false;

	while (count < VIRTIO_BATCH && virtio_pop(&net->virtio, QUEUE_TRANSMIT, &chain,
						  net->send + 1, VIRTQUEUE_SIZE_MAX)) {
		net->sending = true;
		if (!send_chain(net, &chain))
			net->dropped_sent++;
		net->sending = false;
		virtqueue_push(ring, &chain, 0);
		answered = net->answered;
		if (answered)
			publish_answered(net);
		count++;
	}
	if (!answered)
		virtio_publish(&net->virtio, QUEUE_TRANSMIT);
	if (count == VIRTIO_BATCH)
		virtio_again(&net->virtio, QUEUE_TRANSMIT);
}

/* World to guest. */

/* Takes buffers for size bytes: how many; 0 if there are not enough of them now, -1 if there never
 * will be. */
static int take_buffers(struct virtio_net *net, uint64_t size)
{
	bool merge = virtio_accepted(&net->virtio, F_MRG_RXBUF);
	struct virtqueue *ring = &net->queues[QUEUE_RECEIVE].ring;
	struct slice *slices = net->receive;
	unsigned count = 0;
	uint64_t room = 0;
	int result = -1;

	while (count < (merge ? VIRTIO_NET_BUFFERS_MAX : 1) &&
	       slices <= net->receive + VIRTQUEUE_SIZE_MAX) {
		struct virtqueue_chain *chain = &net->chains[count];

		if (!virtio_pop(&net->virtio, QUEUE_RECEIVE, chain, slices, VIRTQUEUE_SIZE_MAX)) {
			result = 0;
			break;
		}
		count++;
		slices += chain->readable_count + chain->writable_count;
		room += chain->writable_length;
		if (room >= size)
			return (int)count;
	}
	virtqueue_unpop(ring, count);
	return result;
}

static bool is_joined(const struct virtio_net *net, size_t length)
{
	return length > (size_t)net->port->mtu + ETHERNET_HEADER;
}

/* What the driver needs to know of segments that the port has joined (see struct netport): 5.1.6.4.
 */
static void describe_joined(const struct virtio_net *net, const uint8_t *frame, uint8_t *header)
{
	bool v6 = frame[12] == 0x86; /* of type 0x86dd, else 0x0800 */
	unsigned tcp = ETHERNET_HEADER + (v6 ? IPV6_HEADER : IPV4_HEADER);
	unsigned headers = tcp + (frame[tcp + 12] >> 4) * 4u;

	header[HEADER_FLAGS] = FLAG_NEEDS_CSUM;
	header[HEADER_GSO_TYPE] = v6 ? GSO_TCPV6 : GSO_TCPV4;
	bytes_store16(header + HEADER_LENGTH, (uint16_t)headers);
	bytes_store16(header + HEADER_GSO_SIZE,
		      (uint16_t)(net->port->mtu + ETHERNET_HEADER - headers));
	bytes_store16(header + HEADER_CSUM_START, (uint16_t)tcp);
	bytes_store16(header + HEADER_CSUM_OFFSET, TCP_CHECKSUM);
}

static void fill_buffers(struct virtio_net *net, unsigned count, const uint8_t *frame,
			 size_t length)
{
	struct virtqueue *ring = &net->queues[QUEUE_RECEIVE].ring;
	uint8_t header[HEADER_SIZE] = {0};
	uint64_t offset = HEADER_SIZE;

	if (net->port->has_header) {
		bytes_copy(header, frame, HEADER_SIZE);
		if (!virtio_accepted(&net->virtio, F_GUEST_CSUM))
			header[HEADER_FLAGS] = 0; /* 5.1.6.4.1 */
		frame += HEADER_SIZE;
		length -= HEADER_SIZE;
	} else if (is_joined(net, length))
		describe_joined(net, frame, header);
	else if (net->port->receive_checked && virtio_accepted(&net->virtio, F_GUEST_CSUM))
		header[HEADER_FLAGS] = FLAG_DATA_VALID;
	bytes_store16(header + HEADER_NUM_BUFFERS, (uint16_t)count);
	virtqueue_chain_write(&net->chains[0], 0, header, HEADER_SIZE);
	for (unsigned i = 0; i < count; i++) {
		size_t part = virtqueue_chain_write(&net->chains[i], offset, frame, length);

		virtqueue_push(ring, &net->chains[i], offset + part);
		frame += part;
		length -= part;
		offset = 0;
	}
}

/* What is still to be done to a frame is for those drivers to do that said so: the port may have it
 * for one that was there before. */
static bool can_take(const struct virtio_net *net, const uint8_t *frame, size_t length)
{
	if (!net->port->has_header)
		return !is_joined(net, length) || net->port->takes_joined;
	if (length < HEADER_SIZE + ETHERNET_HEADER)
		return false;
	return net->port->takes_joined ||
	       (!(frame[HEADER_FLAGS] & FLAG_NEEDS_CSUM) && frame[HEADER_GSO_TYPE] == GSO_NONE);
}

static void see_received(struct virtio_net *net, const uint8_t *frame, size_t length)
{
	const size_t header = net->port->has_header ? HEADER_SIZE : 0;

	net_connections_see(&net->connections, frame + header, length - header, false);
}

/* For the netport: true if the frame was taken or can't ever be, false if it may be offered again
 * at receive_ready. */
static bool receive(void *device, const void *frame, size_t length)
{
	struct virtio_net *net = device;
	int count;

	if (!virtio_live(&net->virtio) || !net->queues[QUEUE_RECEIVE].ring.enabled)
		return true;
	if (!can_take(net, frame, length)) {
		net->dropped_received++;
		return true;
	}
	count = take_buffers(net, (net->port->has_header ? 0 : HEADER_SIZE) + (uint64_t)length);
	if (count == 0 && virtio_live(&net->virtio)) {
		net->starved = true;
		return false;
	}
	if (count > 0 && net->chains[0].writable_length < HEADER_SIZE) {
		virtqueue_unpop(&net->queues[QUEUE_RECEIVE].ring, (unsigned)count);
		virtio_fail(&net->virtio, "a receive buffer has no room for a header");
		return true;
	}
	if (count <= 0) {
		net->dropped_received++;
		return true;
	}
	see_received(net, frame, length);
	fill_buffers(net, (unsigned)count, frame, length);
	net->received_bytes += length - (net->port->has_header ? HEADER_SIZE : 0);
	net->answered = net->sending;
	if (!net->answered)
		virtio_publish(&net->virtio, QUEUE_RECEIVE);
	return true;
}

/* A guest that comes from elsewhere. */

/* Whoever learns where hardware addresses are (switches, bridges) hears that this one is here now:
 * a request of RARP (RFC 903), which nobody answers. */
static void announce(struct virtio_net *net)
{
	uint8_t bytes[HEADER_SIZE + 60] = {0}, *frame = bytes + HEADER_SIZE;
	static const uint8_t rarp[] = {0x80, 0x35, 0, 1, 0x08, 0x00, 6, 4, 0, 3};
	struct slice slice = {frame, 60};

	bytes_fill(frame, 0xff, 6);
	bytes_copy(frame + 6, net->port->mac, 6);
	bytes_copy(frame + 12, rarp, sizeof(rarp));
	bytes_copy(frame + 22, net->port->mac, 6);
	bytes_copy(frame + 32, net->port->mac, 6);
	if (net->port->has_header)
		slice = (struct slice){bytes, sizeof(bytes)};
	net->port->ops->send(net->port, &slice, 1);
}

/* As many as there is room for. */
static void ask(struct virtio_net *net)
{
	while (net->questions > 0 && net->questions <= 2 * net->connections.count) {
		uint8_t bytes[HEADER_SIZE + NET_QUESTION_MAX] = {0}, *frame = bytes + HEADER_SIZE;
		const uint32_t next = net->questions - 1;
		size_t length =
			net_connections_question(&net->connections, next / 2, next & 1, frame);
		bool taken = net->port->has_header ? receive(net, bytes, HEADER_SIZE + length)
						   : receive(net, frame, length);

		if (!taken)
			return;
		net->questions = next;
	}
	net->questions = 0;
}

static void arrived(struct timer *timer)
{
	struct virtio_net *net = container_of(timer, struct virtio_net, arrival);

	if (!virtio_live(&net->virtio))
		return;
	announce(net);
	net->questions = 2 * net->connections.count;
	ask(net);
}

static void notify(struct virtio *virtio, unsigned queue)
{
	struct virtio_net *net = container_of(virtio, struct virtio_net, virtio);

	if (queue == QUEUE_TRANSMIT) {
		transmit(net);
	} else if (net->starved) {
		net->starved = false;
		ask(net);
		net->port->ops->receive_ready(net->port);
	}
}

static void ready(struct virtio *virtio)
{
	struct virtio_net *net = container_of(virtio, struct virtio_net, virtio);

	net->port->takes_joined = net->port->can_join && virtio_accepted(virtio, F_GUEST_CSUM) &&
				  virtio_accepted(virtio, F_GUEST_TSO4) &&
				  virtio_accepted(virtio, F_GUEST_TSO6) &&
				  virtio_accepted(virtio, F_MRG_RXBUF);
	virtio_notified(virtio, QUEUE_TRANSMIT);
	net->starved = false;
	net->port->ops->receive_ready(net->port);
	if (net->loaded)
		timer_set(&net->arrival, vm_time(virtio->device.vm));
	net->loaded = false;
}

static void state(struct virtio *virtio, struct snapshot *snapshot)
{
	struct virtio_net *net = container_of(virtio, struct virtio_net, virtio);

	net_connections_state(&net->connections, snapshot);
	net->loaded = snapshot->loading;
}

static void reset(struct virtio *virtio)
{
	struct virtio_net *net = container_of(virtio, struct virtio_net, virtio);

	net->starved = net->loaded = net->answered = false;
	net->port->takes_joined = false;
	net->questions = 0;
	net_connections_forget(&net->connections);
	timer_set(&net->arrival, TIMER_NEVER);
	timer_set(&net->notice, TIMER_NEVER);
}

static const struct virtio_ops ops = {
	.reset = reset, .ready = ready, .notify = notify, .state = state};

int virtio_net_init(struct virtio_net *net, struct vm *vm, struct pci_bus *bus, unsigned slot,
		    const char *instance, struct netport *port)
{
	static const uint16_t sizes[2] = {VIRTIO_NET_QUEUE_SIZE, VIRTIO_NET_QUEUE_SIZE};
	struct virtio *virtio = &net->virtio;
	int error;

	net->port = port;
	timer_init(&net->arrival, vm, arrived);
	timer_init(&net->notice, vm, notice);
	bytes_copy(net->config + CONFIG_MAC, port->mac, sizeof(port->mac));
	bytes_store16(net->config + CONFIG_STATUS, STATUS_LINK_UP);
	bytes_store16(net->config + CONFIG_MTU, (uint16_t)port->mtu);
	virtio->ops = &ops;
	virtio->id = VIRTIO_NET;
	virtio->class_code = 0x020000; /* network, Ethernet */
	virtio->offered = F_CSUM | F_MTU | F_MAC | F_MRG_RXBUF | F_STATUS;
	if (port->receive_checked)
		virtio->offered |= F_GUEST_CSUM;
	if (port->can_join)
		virtio->offered |= F_GUEST_TSO4 | F_GUEST_TSO6;
	if (port->send_max)
		virtio->offered |= F_HOST_TSO4 | F_HOST_TSO6 | F_HOST_ECN;
	virtio->queues = net->queues;
	virtio->queue_count = 2;
	virtio->bells = UINT64_C(1) << QUEUE_TRANSMIT;
	virtio->config = net->config;
	virtio->config_size = sizeof(net->config);
	error = virtio_init(virtio, vm, bus, slot, instance, sizes);
	if (error)
		return error;
	port->device = net;
	port->receive = receive;
	return 0;
}
