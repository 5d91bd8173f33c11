/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections as frames tell them, and the questions about them. */
#include "test.h"

#include "core/snapshot.h"
#include "devices/virtio/net.h"
#include "devices/virtio/net_connections.h"
#include "lib/bytes.h"

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

static struct net_connections connections, other;
static uint8_t frame[NET_FRONT];

/* A segment between the guest's `port` and the world's port 80. */
static void make(bool v6, bool from_guest, uint16_t port, uint8_t flags)
{
	const uint8_t size = v6 ? 16 : 4, own[2] = {(uint8_t)(port >> 8), (uint8_t)port};
	uint8_t *ip = frame + 14, *addresses = ip + (v6 ? 8 : 12), *tcp = ip + (v6 ? 40 : 20);

	bytes_fill(frame, 0, sizeof(frame));
	bytes_fill(frame + (from_guest ? 0 : 6), 0x22, 6);
	bytes_fill(frame + (from_guest ? 6 : 0), 0x54, 6);
	frame[12] = v6 ? 0x86 : 0x08;
	frame[13] = v6 ? 0xdd : 0x00;
	ip[0] = v6 ? 0x60 : 0x45;
	ip[v6 ? 6 : 9] = 6;
	bytes_fill(addresses, from_guest ? 10 : 99, size);
	bytes_fill(addresses + size, from_guest ? 99 : 10, size);
	bytes_copy(tcp + (from_guest ? 0 : 2), own, 2);
	tcp[from_guest ? 3 : 1] = 80;
	tcp[12] = 5 << 4;
	tcp[13] = flags;
}

static void see(bool v6, bool from_guest, uint16_t port, uint8_t flags)
{
	make(v6, from_guest, port, flags);
	net_connections_see(&connections, frame, v6 ? 74 : 54, from_guest);
}

TEST(a_connection_is_there_from_the_guests_syn_to_both_ends)
{
	see(false, true, 1000, SYN);
	see(false, false, 1000, SYN | ACK);
	see(false, true, 1000, ACK);
	see(false, true, 1000, SYN); /* once more */
	EXPECT_EQ(connections.count, 1);
	see(false, true, 1001, SYN | ACK);
	EXPECT_EQ(connections.count, 2);
	see(false, false, 1000, FIN | ACK);
	see(false, false, 1000, FIN | ACK);
	EXPECT_EQ(connections.count, 2);
	see(false, true, 1000, FIN | ACK);
	EXPECT_EQ(connections.count, 1);
	EXPECT_EQ(connections.list[0].guest_port[1], 1001 & 255);
}

TEST(a_reset_ends_it_at_once)
{
	for (unsigned v6 = 0; v6 < 2; v6++) {
		see(v6, true, 1000, SYN);
		EXPECT_EQ(connections.count, 1);
		see(v6, false, 1001, RST);
		see(!v6, false, 1000, RST);
		EXPECT_EQ(connections.count, 1);
		see(v6, false, 1000, RST | ACK);
		EXPECT_EQ(connections.count, 0);
	}
}

TEST(what_the_world_begins_counts_once_the_guest_answers)
{
	see(false, false, 80, SYN);
	see(false, false, 80, SYN | ACK);
	see(false, true, 80, RST | ACK);
	EXPECT_EQ(connections.count, 0);
	see(false, true, 80, SYN | ACK);
	EXPECT_EQ(connections.count, 1);
}

TEST(other_frames_do_not_count)
{
	make(false, true, 1000, SYN);
	for (size_t length = 0; length < 54; length++)
		net_connections_see(&connections, frame, length, true);
	frame[14 + 7] = 1; /* a fragment */
	net_connections_see(&connections, frame, 54, true);
	frame[14 + 7] = 0;
	frame[14] = 0x4f; /* options up to where no bytes are */
	net_connections_see(&connections, frame, 54, true);
	frame[14] = 0x44;
	net_connections_see(&connections, frame, 54, true);
	frame[14] = 0x45;
	frame[14 + 9] = 17;
	net_connections_see(&connections, frame, 54, true);
	frame[14 + 9] = 6;
	frame[13] = 6; /* ARP */
	net_connections_see(&connections, frame, 54, true);
	make(true, true, 1000, SYN);
	net_connections_see(&connections, frame, 73, true);
	EXPECT_EQ(connections.count, 0);
}

TEST(headers_with_options_are_understood)
{
	make(false, true, 1000, SYN);
	bytes_move(frame + 14 + 60, frame + 14 + 20, 20);
	frame[14] = 0x4f;
	net_connections_see(&connections, frame, NET_FRONT, true);
	EXPECT_EQ(connections.count, 1);
	EXPECT_EQ(connections.list[0].peer_port[1], 80);
}

TEST(the_oldest_makes_room)
{
	for (unsigned i = 0; i < NET_CONNECTIONS_MAX + 3; i++)
		see(false, true, (uint16_t)(1000 + i), SYN);
	EXPECT_EQ(connections.count, NET_CONNECTIONS_MAX);
	see(false, false, 1002, RST);
	EXPECT_EQ(connections.count, NET_CONNECTIONS_MAX);
	see(false, false, 1003, RST);
	see(false, false, 1000 + NET_CONNECTIONS_MAX + 2, RST);
	EXPECT_EQ(connections.count, NET_CONNECTIONS_MAX - 2);
}

/* The sum of a segment and its pseudo header; 0: it is right. */
static uint16_t sum_of(const uint8_t *bytes, bool v6)
{
	static const uint8_t pseudo[4] = {0, 6, 0, 20};
	uint64_t sum = virtio_net_sum(0, bytes + 14 + (v6 ? 8 : 12), v6 ? 32 : 8, false);

	sum = virtio_net_sum(sum, pseudo, 4, false);
	return virtio_net_fold(virtio_net_sum(sum, bytes + 14 + (v6 ? 40 : 20), 20, false));
}

TEST(a_question_is_a_segment_of_the_peers)
{
	uint8_t bytes[NET_QUESTION_MAX];
	const uint8_t *tcp;

	see(false, true, 1000, SYN);
	EXPECT_EQ(net_connections_question(&connections, 0, false, bytes), 54);
	make(false, false, 1000, ACK);
	tcp = bytes + 34;
	EXPECT(bytes_equal(bytes, frame, 14));
	EXPECT(bytes_equal(bytes + 26, frame + 26, 12)); /* addresses and ports */
	EXPECT_EQ(bytes[17], 40);
	EXPECT_EQ(virtio_net_fold(virtio_net_sum(0, bytes + 14, 20, false)), 0);
	EXPECT_EQ(sum_of(bytes, false), 0);
	EXPECT_EQ(tcp[13], ACK);
	EXPECT_EQ(tcp[4], 0);
	net_connections_question(&connections, 0, true, bytes);
	EXPECT_EQ(tcp[4], 0x80);
	EXPECT_EQ(sum_of(bytes, false), 0);
}

TEST(a_question_by_ipv6)
{
	uint8_t bytes[NET_QUESTION_MAX];

	see(true, true, 1000, SYN);
	EXPECT_EQ(net_connections_question(&connections, 0, true, bytes), 74);
	make(true, false, 1000, ACK);
	EXPECT(bytes_equal(bytes, frame, 14));
	EXPECT(bytes_equal(bytes + 22, frame + 22, 36));
	EXPECT_EQ(bytes[19], 20);
	EXPECT_EQ(sum_of(bytes, true), 0);
}

static uint8_t saved[NET_CONNECTIONS_MAX * 64];

static size_t save(void)
{
	struct snapshot snapshot = {.bytes = saved, .size = sizeof(saved)};

	net_connections_state(&connections, &snapshot);
	REQUIRE(snapshot.error == 0);
	return snapshot.position;
}

static int load(size_t size)
{
	struct snapshot snapshot = {.loading = true, .bytes = saved, .size = size};

	net_connections_state(&other, &snapshot);
	return snapshot.error;
}

TEST(state_survives)
{
	size_t size;

	see(false, true, 1000, SYN);
	see(true, true, 1001, SYN);
	see(true, false, 1001, FIN | ACK);
	size = save();
	REQUIRE(load(size) == 0);
	EXPECT_EQ(other.count, 2);
	make(true, true, 1001, FIN | ACK);
	net_connections_see(&other, frame, 74, true);
	EXPECT_EQ(other.count, 1);
	make(false, true, 1000, RST);
	net_connections_see(&other, frame, 54, true);
	EXPECT_EQ(other.count, 0);
}

TEST(of_an_earlier_lodge_there_are_none)
{
	other.count = 7;
	EXPECT_EQ(load(0), 0);
	EXPECT_EQ(other.count, 0);
}

TEST(hostile_state_is_refused)
{
	size_t size;

	see(false, true, 1000, SYN);
	size = save();
	for (size_t cut = 1; cut < size; cut++) {
		EXPECT(load(cut) < 0);
		EXPECT_EQ(other.count, 0);
	}
	bytes_store32(saved, NET_CONNECTIONS_MAX + 1);
	EXPECT(load(sizeof(saved)) < 0);
	EXPECT_EQ(other.count, 0);
	save();
	saved[size - 2] = 5;
	EXPECT(load(size) < 0);
	EXPECT_EQ(other.count, 0);
}
