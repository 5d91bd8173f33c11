/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine's end of a wire: a descriptor on which each read and each write is an Ethernet frame.
 *
 * To a switch in another process it is a connected Unix socket of the type SOCK_SEQPACKET, once the
 * two have said hello; to the host's own network a tap (network/tap.h).
 */
#ifndef NETWORK_WIRE_H
#define NETWORK_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "core/plug.h"
#include "network/lan.h"
#include "network/user.h"

struct vm;

#define WIRE_VERSION 3

/* What the machine says first. With it comes a socket (SCM_RIGHTS), over which ports of the host
 * are asked for: frames, which are the guest's, can't be taken for questions. */
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

/* Over that other socket: that a port be forwarded, or no more, as user_forward_parse reads it. */
struct wire_question {
	uint32_t remove;
	char port[USER_FORWARD_TEXT];
};
struct wire_reply {
	uint32_t error; /* an errno; 0: done */
	char reason[252];
};

/* Two connections to a switch: frames, and questions about ports. */
struct wire_sockets {
	int frames, ports;
};

/* Says hello over `frames` and waits for the answer, for at most so many milliseconds. 0, with
 * `ports` to be closed; -ECONNRESET: the switch has just ended, try again; another negative errno.
 */
int wire_greet(struct wire_sockets *sockets, const struct wire_hello *hello, int milliseconds);

/* Makes a port of the sockets, which become its own. 0; a negative errno. */
int wire_open(struct vm *vm, const struct wire_sockets *sockets, const uint8_t *mac,
	      struct netport **port);

/* The same of a tap. */
int wire_open_tap(struct vm *vm, int file, unsigned mtu, const uint8_t *mac, struct netport **port);

/* The port's descriptors, in the order of wire_open and wire_open_tap: how many. They stay its. */
unsigned wire_files(const struct netport *port, int files[2]);

/* While it is held the port reads no frames: another process is to have them. Vm's lock held. */
void wire_hold(struct netport *port, bool held);

/* Has the switch forward a port to the machine. 0, or a negative errno with one line in reason.
 * Waits for the switch, some seconds at most: nothing of the vm runs yet. */
int wire_forward(struct netport *port, const struct user_forward *forward, char *reason,
		 size_t size);

/* The same of a machine that runs, or the other way. One at a time. -EINPROGRESS: done() says how
 * it went, in some seconds at most; another negative errno with one line in reason: it has not
 * begun. Vm's lock held. */
int wire_change_begin(struct netport *port, struct user_forward_change *change, char *reason,
		      size_t size);

/* done() does not come any more. Vm's lock held. */
void wire_change_forget(struct netport *port);

#endif
