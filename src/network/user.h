/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network of the guest's own behind this host's address, by libslirp: DHCP (the guest
 * is 10.0.2.15, the host 10.0.2.2, names are asked at 10.0.2.3), TCP, UDP and echo requests out,
 * and chosen ports in. Needs no privileges.
 */
#ifndef NETWORK_USER_H
#define NETWORK_USER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/plug.h"

struct vm;

/* What arrives at this port of the host goes to that port of the guest. */
struct user_forward {
	bool udp;
	bool ipv6;		     /* host_ipv6 counts, and the guest's address of that kind */
	struct in_addr host_address; /* network order */
	struct in6_addr host_ipv6;
	struct in_addr guest_address; /* network order; 0: the guest's, if there is but one */
	uint16_t host_port, guest_port;
};

struct user_config {
	uint8_t mac[6]; /* the guest's; all zero: 52:54:00:4c:44:47 */
	unsigned mtu;	/* 0: 1500; up to 65521 */
	const struct user_forward *forwards;
	unsigned forward_count;
	uint64_t rate; /* bytes of frames that may pass in a second, each way; 0: any */
};

/*
 * Reads "[address:]host:guest[/udp]" (also "/tcp"); without an address it is 127.0.0.1, and one of
 * IPv6 stands in brackets. Behind that the guest is reached by the IPv6 address that it has made
 * itself from what the network advertises, and not before it has one. 0, or
 * -EINVAL with one line for the person in reason (of size bytes).
 */
int user_forward_parse(const char *text, struct user_forward *forward, char *reason, size_t size);

#define USER_FORWARD_TEXT 64

/* Writes it as user_forward_parse reads it, with its address, into text (USER_FORWARD_TEXT bytes).
 */
void user_forward_text(const struct user_forward *forward, char *text);

/* Only what of this host it takes: its address and port. */
void user_forward_host_text(const struct user_forward *forward, char *text);

/* Whether both take the same port of this host; and lead to the same of a guest. */
bool user_forward_same_host(const struct user_forward *one, const struct user_forward *other);
bool user_forward_same(const struct user_forward *one, const struct user_forward *other);

/* One that is to be, or no more, while a network runs which may take its time for that. The
 * asker's. */
struct user_forward_change {
	struct user_forward forward;
	bool remove;
	/* 0, or a negative errno with one line in reason. Vm's lock held, any thread; from within,
	 * the next change may begin. */
	void (*done)(struct user_forward_change *change, int error, const char *reason);
};

/*
 * Adds and removes one while the network runs; an open connection stays. Vm's lock held. 0, or as
 * user_open; remove: -ENOENT if there is none.
 */
int user_forward_add(struct netport *port, const struct user_forward *forward, char *reason,
		     size_t size);
int user_forward_remove(struct netport *port, const struct user_forward *forward);

/* That limit, while the network runs. Vm's lock held. */
void user_limit(struct netport *port, uint64_t rate);
uint64_t user_rate(const struct netport *port);

/*
 * Opens the network, whose thread takes the vm's lock for whatever it does there; all of libslirp
 * is called with that lock held. 0, with *port to be closed by its close() (without the vm's lock,
 * when no vcpu runs any more); or a negative errno, with one line for the person in reason:
 * -EADDRINUSE, -EACCES for a port that can't be had. Sets SIGPIPE to be ignored if it was not
 * handled.
 */
int user_open(struct vm *vm, const struct user_config *config, struct netport **port, char *reason,
	      size_t size);

#endif
