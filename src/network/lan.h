/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A switch between machines, with VLANs (IEEE 802.1Q) and limits of speed, and what a small network
 * needs besides: addresses (DHCP, RFC 2131) and names (DNS, RFC 1035) of its machines. Frames come
 * from guests and are hostile.
 *
 * Every network is 10.0.2.0/24: .1 is the switch itself, which knows addresses and names; .2 leads
 * to the world, if anything does (a port with `gateway`); machines have .16 to .250, each the same
 * one as long as its hardware address is the same and no other wants it.
 *
 * A port of a machine takes frames from that machine's hardware address only, and, unless guests
 * are trusted, nothing in which it passes itself off as another machine or as the network
 * (lan_guard.c).
 *
 * No memory is allocated, nothing waits, and time is an argument. One thread at a time.
 */
#ifndef NETWORK_LAN_H
#define NETWORK_LAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAN_PORTS_MAX  64
#define LAN_STATIONS   256 /* hardware addresses seen behind trunks and gateway */
#define LAN_NAME_MAX   63
#define LAN_FRAME_MAX  1518 /* Ethernet's 1514, and a tag */
#define LAN_VLAN       1    /* the one of ports for which none was chosen */
#define LAN_VLAN_MAX   4094
#define LAN_NETWORK    UINT32_C(0x0a000200)
#define LAN_SERVICE    (LAN_NETWORK + 1)
#define LAN_GATEWAY    (LAN_NETWORK + 2)
#define LAN_RESOLVER   (LAN_NETWORK + 3) /* the gateway's */
#define LAN_FIRST      (LAN_NETWORK + 16)
#define LAN_LAST       (LAN_NETWORK + 250)
#define LAN_BROADCAST  (LAN_NETWORK + 255)
#define LAN_ADDRESSES6 16 /* IPv6 addresses that a machine may have at a time */

struct lan_port {
	/* Set by the caller of lan_add. */
	void (*send)(void *owner, const void *frame, size_t length); /* or drops; never waits */
	void *owner;
	char name[LAN_NAME_MAX + 1]; /* of the machine; "": none */
	uint8_t mac[6];		     /* the machine's */
	uint16_t vlan;		     /* 1..LAN_VLAN_MAX */
	bool trunk;		     /* frames have tags but for those of LAN_VLAN; any sender */
	bool gateway;		     /* leads to the world; any sender */
	uint64_t rate;		     /* bytes a second that it may send; 0: no limit */
	/* The switch's. */
	bool used;
	uint32_t address; /* given to the machine; 0: none is left, or it needs none */
	uint8_t addresses6[LAN_ADDRESSES6][16]; /* that it has used, in a ring */
	unsigned address6_count, address6_next;
	uint64_t allowance, refilled;
	uint64_t received, sent, dropped; /* frames, as the switch sees it */
};

struct lan_station {
	uint8_t mac[6];
	uint16_t vlan; /* 0: nothing here */
	uint8_t port;
};

struct lan {
	char name[LAN_NAME_MAX + 1];
	bool trust_guests; /* set by the caller, behind lan_init */
	struct lan_port ports[LAN_PORTS_MAX];
	struct lan_station stations[LAN_STATIONS];
};

void lan_init(struct lan *lan, const char *name);

/* Adds a port. Its number; -ENOSPC; -EEXIST: another machine has this hardware address; -EINVAL. */
int lan_add(struct lan *lan, const struct lan_port *port, uint64_t now);
void lan_remove(struct lan *lan, unsigned port);

/* A frame comes in. now: nanoseconds, never backwards. */
void lan_input(struct lan *lan, unsigned port, const void *frame, size_t length, uint64_t now);

/* Letters, digits, _ and -, this not at an end; up to LAN_NAME_MAX. */
bool lan_name_ok(const char *name);

/* The port that leads to the world, or -1. */
int lan_gateway(const struct lan *lan);

#endif
