/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the parts of the switch. */
#ifndef NETWORK_LAN_INTERNAL_H
#define NETWORK_LAN_INTERNAL_H

#include "network/lan.h"

enum {
	LAN_ETHERNET = 14, /* bytes of header, without a tag */
	LAN_TYPE_AT = 12,
	LAN_TYPE_IP = 0x0800,
	LAN_TYPE_ARP = 0x0806,
	LAN_TYPE_VLAN = 0x8100,
	LAN_TYPE_IPV6 = 0x86dd,
	LAN_TYPE_SERVICE_VLAN = 0x88a8,
	LAN_PROTOCOL_ICMP = 1,
	LAN_PROTOCOL_UDP = 17,
};

static inline uint16_t lan_load16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t lan_load32(const uint8_t *at)
{
	return (uint32_t)lan_load16(at) << 16 | lan_load16(at + 2);
}

/* Looks at a frame (without a tag, of LAN_VLAN, at least 14 bytes, which may be changed) before it
 * is passed on. True: it was for the switch itself. */
bool lan_service(struct lan *lan, unsigned port, uint8_t *frame, size_t length);

/* RFC 826 for Ethernet and IPv4, all there; length: of the frame. */
bool lan_is_arp(const uint8_t *body, size_t length);

/* Whether a machine may send this (without a tag, at least 14 bytes): lan_guard.c says what. The
 * port takes note of IPv6 addresses that it uses. */
bool lan_is_honest(struct lan *lan, unsigned port, uint16_t vlan, const uint8_t *frame,
		   size_t length);

/* A machine of this hardware address is new: nobody has those that follow from it. */
void lan_guard_arrives(struct lan *lan, const uint8_t *mac);

/* Sends a frame (without a tag, of LAN_VLAN) out of a port. */
void lan_output(struct lan *lan, unsigned port, const void *frame, size_t length);

#endif
