/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ports of this host that lead to a machine on a network: the switch's side. The machine's process
 * asks for them over a socket of its own (network/wire.h), and when it goes they go too.
 */
#ifndef MANAGE_NET_PORTS_H
#define MANAGE_NET_PORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "manage/options.h"
#include "network/user.h"

struct net_ports {
	int socket; /* -1: none */
	unsigned count;
	struct user_forward forwards[OPTIONS_FORWARDS_MAX];
};

/* Where the ports of one machine lead. */
struct net_ports_target {
	const char *network;
	struct netport *world; /* NULL: the network is isolated */
	uint32_t address;      /* 0: it has none */
	const uint8_t *mac;
};

/* Answers what has been asked. False: the socket has ended, or what came was no question. The lock
 * of the world's vm is held, as for all of these. */
bool net_ports_serve(struct net_ports *ports, const struct net_ports_target *target);

/* Takes all of them away, and closes the socket. */
void net_ports_close(struct net_ports *ports, struct netport *world);

#endif
