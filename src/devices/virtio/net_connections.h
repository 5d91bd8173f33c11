/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TCP connections of a guest, as its frames tell them, and a question for each that makes the
 * guest find out whether its peer still knows it.
 *
 * The question is a segment without data that lies outside of the guest's window: TCP answers such
 * a one with an acknowledgment (RFC 9293, section 3.10.7.4), which a peer that knows the
 * connection takes as any other, and a peer that doesn't by a reset with the right number. So a
 * connection that lives is left alone, and one that has died while the guest was saved ends at
 * once, also where the guest only listens.
 */
#ifndef DEVICES_VIRTIO_NET_CONNECTIONS_H
#define DEVICES_VIRTIO_NET_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct snapshot;

#define NET_CONNECTIONS_MAX 1024 /* further ones take the places of the oldest */
#define NET_FRONT	    94	 /* bytes of a frame that are looked at */
#define NET_QUESTION_MAX    74

struct net_connection {
	uint8_t guest[16], peer[16]; /* IPv4: the first four */
	uint8_t guest_port[2], peer_port[2];
	uint8_t macs[12]; /* the peer's (or a router's), the guest's */
	uint8_t version;  /* 4 or 6 */
	uint8_t ended;	  /* bit 0: by the guest, 1: by the peer */
};

struct net_connections {
	uint32_t count, oldest;
	uint32_t key[NET_CONNECTIONS_MAX];
	struct net_connection list[NET_CONNECTIONS_MAX];
};

/* A frame, or its first NET_FRONT bytes, from the guest or for it. Only those count that begin or
 * end a connection. */
void net_connections_see(struct net_connections *connections, const uint8_t *frame, size_t length,
			 bool from_guest);

void net_connections_forget(struct net_connections *connections);

/*
 * The question about connection number `index` below count, of which there are two (`other`), far
 * from each other: one of them is outside of the window in any case. Its length in bytes.
 */
size_t net_connections_question(const struct net_connections *connections, uint32_t index,
				bool other, uint8_t frame[NET_QUESTION_MAX]);

/* Saves or loads them; of what a Lodge has saved that knew none of this there are none. */
void net_connections_state(struct net_connections *connections, struct snapshot *snapshot);

#endif
