/* SPDX-License-Identifier: BSD-2-Clause */
/* Ethernet II, IPv4 (RFC 791), IPv6 (RFC 8200) without extension headers, TCP (RFC 9293). */
#include "devices/virtio/net_connections.h"

#include "core/snapshot.h"
#include "lib/bytes.h"

enum { ETHERNET = 14, IPV4 = 20, IPV6 = 40, TCP = 20, PROTOCOL_TCP = 6 };
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };
enum { BY_GUEST = 1, BY_PEER = 2, BY_BOTH = 3 };

/* Where a segment's TCP header is; 0: the frame is none, or a fragment. */
static unsigned find_tcp(const uint8_t *frame, size_t length)
{
	const uint8_t *ip = frame + ETHERNET;
	unsigned tcp = 0;

	if (length < ETHERNET + IPV4 + TCP)
		return 0;
	if (frame[12] == 0x08 && frame[13] == 0x00 && ip[0] >> 4 == 4 && ip[9] == PROTOCOL_TCP &&
	    !(ip[6] & 0x3f) && !ip[7])
		tcp = ETHERNET + (ip[0] & 15) * 4u;
	else if (frame[12] == 0x86 && frame[13] == 0xdd && ip[6] == PROTOCOL_TCP)
		tcp = ETHERNET + IPV6;
	return tcp >= ETHERNET + IPV4 && length >= tcp + TCP ? tcp : 0;
}

static struct net_connection read_ends(const uint8_t *frame, unsigned tcp, bool from_guest)
{
	const bool v4 = frame[12] == 0x08;
	const unsigned size = v4 ? 4 : 16, addresses = ETHERNET + (v4 ? 12 : 8);
	struct net_connection ends = {.version = v4 ? 4 : 6};
	const uint8_t *source = frame + addresses, *destination = source + size;

	bytes_copy(ends.guest, from_guest ? source : destination, size);
	bytes_copy(ends.peer, from_guest ? destination : source, size);
	bytes_copy(ends.guest_port, frame + tcp + (from_guest ? 0 : 2), 2);
	bytes_copy(ends.peer_port, frame + tcp + (from_guest ? 2 : 0), 2);
	bytes_copy(ends.macs, frame + (from_guest ? 0 : 6), 6);
	bytes_copy(ends.macs + 6, frame + (from_guest ? 6 : 0), 6);
	return ends;
}

/* FNV-1a of what tells connections apart. */
static uint32_t key_of(const struct net_connection *ends)
{
	const uint8_t *bytes = (const uint8_t *)ends;
	uint32_t hash = UINT32_C(2166136261);

	for (unsigned i = 0; i < offsetof(struct net_connection, macs); i++)
		hash = (hash ^ bytes[i]) * UINT32_C(16777619);
	return hash;
}

static uint32_t find(const struct net_connections *connections, const struct net_connection *ends,
		     uint32_t key)
{
	uint32_t i = 0;

	while (i < connections->count &&
	       (connections->key[i] != key || connections->list[i].version != ends->version ||
		!bytes_equal(&connections->list[i], ends, offsetof(struct net_connection, macs))))
		i++;
	return i;
}

static void add(struct net_connections *connections, uint32_t at, const struct net_connection *ends,
		uint32_t key)
{
	if (at == NET_CONNECTIONS_MAX) {
		at = connections->oldest;
		connections->oldest = (at + 1) % NET_CONNECTIONS_MAX;
	} else if (at == connections->count) {
		connections->count++;
	}
	connections->key[at] = key;
	connections->list[at] = *ends;
}

static void remove(struct net_connections *connections, uint32_t at)
{
	uint32_t last = --connections->count;

	connections->key[at] = connections->key[last];
	connections->list[at] = connections->list[last];
}

void net_connections_see(struct net_connections *connections, const uint8_t *frame, size_t length,
			 bool from_guest)
{
	unsigned tcp = find_tcp(frame, length);
	struct net_connection ends;
	uint32_t key, at;
	uint8_t flags;

	if (!tcp || !(frame[tcp + 13] & (FIN | SYN | RST)))
		return;
	flags = frame[tcp + 13];
	ends = read_ends(frame, tcp, from_guest);
	key = key_of(&ends);
	at = find(connections, &ends, key);
	if ((flags & SYN) && !(flags & RST)) {
		if (from_guest)
			add(connections, at, &ends, key);
		return;
	}
	if (at == connections->count)
		return;
	connections->list[at].ended |= from_guest ? BY_GUEST : BY_PEER;
	if ((flags & RST) || connections->list[at].ended == BY_BOTH)
		remove(connections, at);
}

void net_connections_forget(struct net_connections *connections)
{
	connections->count = connections->oldest = 0;
}

static uint32_t sum_words(const uint8_t *bytes, size_t length)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < length; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return sum;
}

static void put_sum(uint8_t *at, uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	at[0] = (uint8_t)(~sum >> 8);
	at[1] = (uint8_t)~sum;
}

size_t net_connections_question(const struct net_connections *connections, uint32_t index,
				bool other, uint8_t frame[NET_QUESTION_MAX])
{
	const struct net_connection *ends = &connections->list[index];
	const bool v4 = ends->version == 4;
	const unsigned size = v4 ? 4 : 16, addresses = ETHERNET + (v4 ? 12 : 8);
	uint8_t *ip = frame + ETHERNET, *tcp = ip + (v4 ? IPV4 : IPV6);

	bytes_fill(frame, 0, NET_QUESTION_MAX);
	bytes_copy(frame, ends->macs + 6, 6);
	bytes_copy(frame + 6, ends->macs, 6);
	frame[12] = v4 ? 0x08 : 0x86;
	frame[13] = v4 ? 0x00 : 0xdd;
	ip[0] = v4 ? 0x45 : 0x60;
	ip[v4 ? 3 : 5] = v4 ? IPV4 + TCP : TCP;
	ip[v4 ? 8 : 7] = 64; /* hops */
	ip[v4 ? 9 : 6] = PROTOCOL_TCP;
	bytes_copy(frame + addresses, ends->peer, size);
	bytes_copy(frame + addresses + size, ends->guest, size);
	if (v4)
		put_sum(ip + 10, sum_words(ip, IPV4));
	bytes_copy(tcp, ends->peer_port, 2);
	bytes_copy(tcp + 2, ends->guest_port, 2);
	tcp[4] = other ? 0x80 : 0;
	tcp[12] = TCP / 4 << 4;
	tcp[13] = ACK;
	tcp[14] = 0x7f; /* a window, for one that would be taken seriously after all */
	put_sum(tcp + 16,
		PROTOCOL_TCP + TCP + sum_words(frame + addresses, 2 * size) + sum_words(tcp, TCP));
	return (size_t)(tcp + TCP - frame);
}

static void connection_state(struct net_connection *ends, struct snapshot *snapshot)
{
	snapshot_bytes(snapshot, ends->guest, sizeof(ends->guest));
	snapshot_bytes(snapshot, ends->peer, sizeof(ends->peer));
	snapshot_bytes(snapshot, ends->guest_port, sizeof(ends->guest_port));
	snapshot_bytes(snapshot, ends->peer_port, sizeof(ends->peer_port));
	snapshot_bytes(snapshot, ends->macs, sizeof(ends->macs));
	snapshot_u8(snapshot, &ends->version);
	snapshot_u8(snapshot, &ends->ended);
	if (ends->version != 4 && ends->version != 6)
		snapshot_fail(snapshot, "a network card has a connection of an unknown kind");
}

void net_connections_state(struct net_connections *connections, struct snapshot *snapshot)
{
	if (snapshot->loading)
		net_connections_forget(connections);
	if (snapshot->loading && snapshot->position == snapshot->size)
		return;
	snapshot_u32(snapshot, &connections->count);
	if (connections->count > NET_CONNECTIONS_MAX) {
		snapshot_fail(snapshot, "a network card has more connections than there can be");
		connections->count = 0;
	}
	for (uint32_t i = 0; i < connections->count && !snapshot->error; i++) {
		connection_state(&connections->list[i], snapshot);
		connections->key[i] = key_of(&connections->list[i]);
	}
	if (snapshot->error && snapshot->loading)
		net_connections_forget(connections);
}
