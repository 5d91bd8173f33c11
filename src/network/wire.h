/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine's end of a wire to a switch in another process: a connected Unix socket of the type
 * SOCK_SEQPACKET, on which each message is an Ethernet frame once the two have said hello.
 */
#ifndef NETWORK_WIRE_H
#define NETWORK_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "core/plug.h"
#include "network/lan.h"

struct vm;

#define WIRE_VERSION 1

/* What the machine says first. */
struct wire_hello {
	char magic[8]; /* WIRE_MAGIC */
	uint32_t version;
	uint8_t mac[6];
	uint16_t vlan;
	uint8_t trunk;
	uint8_t zero[3];
	uint64_t rate;
	char name[LAN_NAME_MAX + 1];
};
#define WIRE_MAGIC "lodgenet"

/* And what it is told: 0, or the errno by which it was refused. */
struct wire_answer {
	char magic[8];
	uint32_t version;
	uint32_t error;
};

/* Says hello and waits for the answer, for at most so many milliseconds. 0; -ECONNRESET: the switch
 * has just ended, try again; another negative errno. */
int wire_greet(int socket, const struct wire_hello *hello, int milliseconds);

/* Makes a port of the socket, which becomes its own. 0; -ENOMEM. */
int wire_open(struct vm *vm, int socket, const uint8_t *mac, struct netport **port);

#endif
