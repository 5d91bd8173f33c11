/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a machine may say of itself, and what only the network says. A port takes frames of its
 * machine's hardware address alone (lan.c); of what is in them, this:
 *
 *	IPv4, ARP	from its own address, or one of the network that no machine was given; not
 *from the network's own (below LAN_FIRST), nor from elsewhere: it is no router IPv6
 *from an address that no other machine on its VLAN uses: the first to use one, or to ask whether it
 *is free (RFC 4862), has it, as in RFC 6620; but what follows from a machine's hardware address
 *(RFC 4291, appendix A) is its own neighbours	(RFC 4861) with its own hardware address, and of its
 *own addresses never		what routers and servers say: router advertisements, redirects, DHCP
 *and DHCPv6 from a server; Ethernet headers within others, which some systems unpack
 *
 * On VLANs other than LAN_VLAN there is no router or server but machines, and the switch gives no
 * IPv4 addresses: there only hardware addresses and those of IPv6 are looked at. Headers that are
 * cut off, or lie behind more than a few others, don't pass: none could be looked at (RFC 7112).
 */
#include <string.h>

#include "lib/bytes.h"
#include "network/lan_internal.h"

enum {
	IP = 20, /* without options */
	UDP = 8,
	IPV6 = 40,
	PORT_DHCP_SERVER = 67,
	PORT_DHCP_CLIENT = 68,
	PORT_DHCPV6_SERVER = 547,
	PORT_DHCPV6_CLIENT = 546,
	TYPE_LEAST = 0x600, /* less is a length (IEEE 802.3) */
	EXTENSIONS_MAX = 8,
};

/* Protocols and extension headers (RFC 8200). */
enum {
	HOP_BY_HOP = 0,
	ROUTING = 43,
	FRAGMENT = 44,
	AUTHENTICATION = 51,
	ICMPV6 = 58,
	OPTIONS = 60
};
enum { ICMP_REDIRECT = 5 };
enum { SOLICITS_ROUTER = 133, ADVERTISES_ROUTER, SOLICITS, ADVERTISES, REDIRECTS };
enum { SOURCE_HARDWARE = 1, TARGET_HARDWARE = 2 }; /* options of those */

struct sender {
	struct lan *lan;
	struct lan_port *port;
	bool guarded; /* by what holds on LAN_VLAN */
};

/* IPv4 */

static bool may_use(const struct sender *sender, uint32_t address)
{
	const struct lan *lan = sender->lan;

	if (address == sender->port->address || !sender->guarded)
		return true;
	if (address < LAN_FIRST || address >= LAN_BROADCAST)
		return false;
	for (unsigned i = 0; i < LAN_PORTS_MAX; i++)
		if (lan->ports[i].used && lan->ports[i].address == address)
			return false;
	return true;
}

static bool arp_is_honest(const struct sender *sender, const uint8_t *body, size_t length)
{
	uint32_t address;

	if (!lan_is_arp(body, length + LAN_ETHERNET) ||
	    !bytes_equal(body + 8, sender->port->mac, 6))
		return false;
	/* Who asks whether an address is free says 0 (RFC 5227). */
	address = lan_load32(body + 14);
	return !address || may_use(sender, address);
}

static bool udp_is_honest(const uint8_t *udp, size_t length, uint16_t server, uint16_t client)
{
	return length >= UDP && lan_load16(udp) != server && lan_load16(udp + 2) != client;
}

static bool ip_is_honest(const struct sender *sender, const uint8_t *ip, size_t length)
{
	size_t header = (size_t)(ip[0] & 15) * 4, left;
	uint32_t from;

	if (!sender->guarded)
		return true;
	if (length < IP || ip[0] >> 4 != 4 || header < IP || header > length)
		return false;
	from = lan_load32(ip + 12);
	if (from && !may_use(sender, from))
		return false;
	/* Fragments behind the first have no ports, and can't change those of the first. */
	if (lan_load16(ip + 6) & 0x1fff)
		return from;
	left = length - header;
	/* Without an address all that it may do is ask for one. */
	if (!from && (ip[9] != LAN_PROTOCOL_UDP || left < UDP ||
		      lan_load16(ip + header + 2) != PORT_DHCP_SERVER))
		return false;
	if (ip[9] == LAN_PROTOCOL_UDP)
		return udp_is_honest(ip + header, left, PORT_DHCP_SERVER, PORT_DHCP_CLIENT);
	return ip[9] != LAN_PROTOCOL_ICMP || (left >= 1 && ip[header] != ICMP_REDIRECT);
}

/* IPv6 */

static bool is_zero(const uint8_t *bytes, size_t length)
{
	while (length--)
		if (bytes[length])
			return false;
	return true;
}

/* Of the network itself: the gateway has ::2 and ::3 of each prefix. */
static bool is_networks(const uint8_t *address)
{
	return is_zero(address + 8, 7) && address[15] < 16;
}

/* Whether the last half follows from the hardware address. */
static bool follows(const uint8_t *address, const uint8_t *mac)
{
	const uint8_t last[8] = {mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};

	return bytes_equal(address + 8, last, sizeof(last));
}

static bool has(const struct lan_port *port, const uint8_t *address)
{
	for (unsigned i = 0; i < port->address6_count; i++)
		if (bytes_equal(port->addresses6[i], address, 16))
			return true;
	return false;
}

static bool others_have(const struct sender *sender, const uint8_t *address)
{
	for (unsigned i = 0; i < LAN_PORTS_MAX; i++) {
		const struct lan_port *port = &sender->lan->ports[i];

		if (port != sender->port && port->used && port->vlan == sender->port->vlan &&
		    !port->trunk && !port->gateway &&
		    (has(port, address) || follows(address, port->mac)))
			return true;
	}
	return false;
}

/* The address becomes the machine's, unless it is another's. It has a few: a new one takes the
 * place of the oldest. */
static bool take(const struct sender *sender, const uint8_t *address)
{
	struct lan_port *port = sender->port;

	if (address[0] == 0xff || is_zero(address, 16))
		return false;
	if (has(port, address))
		return true;
	if ((sender->guarded && is_networks(address)) || others_have(sender, address))
		return false;
	memcpy(port->addresses6[port->address6_next], address, 16);
	port->address6_next = (port->address6_next + 1) % LAN_ADDRESSES6;
	if (port->address6_count < LAN_ADDRESSES6)
		port->address6_count++;
	return true;
}

void lan_guard_arrives(struct lan *lan, const uint8_t *mac)
{
	for (unsigned i = 0; i < LAN_PORTS_MAX; i++)
		for (unsigned j = 0; j < LAN_ADDRESSES6; j++)
			if (follows(lan->ports[i].addresses6[j], mac))
				memset(lan->ports[i].addresses6[j], 0, 16);
}

/* Each option has its length, in eights of bytes, behind its kind. */
static bool options_are_honest(const struct sender *sender, const uint8_t *at, size_t length)
{
	while (length >= 8) {
		size_t size = (size_t)at[1] * 8;

		if (!size || size > length)
			return false;
		if ((at[0] == SOURCE_HARDWARE || at[0] == TARGET_HARDWARE) &&
		    !bytes_equal(at + 2, sender->port->mac, 6))
			return false;
		at += size;
		length -= size;
	}
	return true;
}

static bool icmp_is_honest(const struct sender *sender, const uint8_t *from, const uint8_t *icmp,
			   size_t length)
{
	if (length < 4)
		return false;
	switch (icmp[0]) {
	case ADVERTISES_ROUTER:
	case REDIRECTS:
		return !sender->guarded;
	case SOLICITS_ROUTER:
		return length >= 8 && options_are_honest(sender, icmp + 8, length - 8);
	case SOLICITS:
		if (length < 24 || !options_are_honest(sender, icmp + 24, length - 24))
			return false;
		/* It asks whether the address is free. If it isn't, its owner will say so. */
		if (is_zero(from, 16))
			take(sender, icmp + 8);
		return true;
	case ADVERTISES:
		return length >= 24 && take(sender, icmp + 8) &&
		       options_are_honest(sender, icmp + 24, length - 24);
	default:
		return true;
	}
}

/* What lies behind the headers of which each names the next; NULL: it can't be told. */
static const uint8_t *find_body(const uint8_t *ip, size_t length, uint8_t *protocol, size_t *left,
				bool *later)
{
	const uint8_t *at = ip + IPV6;

	*protocol = ip[6];
	*left = length - IPV6;
	*later = false;
	for (unsigned i = 0; i < EXTENSIONS_MAX; i++) {
		size_t size;

		if (*protocol != HOP_BY_HOP && *protocol != ROUTING && *protocol != FRAGMENT &&
		    *protocol != AUTHENTICATION && *protocol != OPTIONS)
			return at;
		if (*left < 8)
			return NULL;
		size = *protocol == FRAGMENT	     ? 8
		       : *protocol == AUTHENTICATION ? ((size_t)at[1] + 2) * 4
						     : ((size_t)at[1] + 1) * 8;
		*later = *later || (*protocol == FRAGMENT && lan_load16(at + 2) & 0xfff8);
		*protocol = at[0];
		if (size > *left)
			return NULL;
		at += size;
		*left -= size;
		if (*later)
			return at;
	}
	return NULL;
}

static bool ipv6_is_honest(const struct sender *sender, const uint8_t *ip, size_t length)
{
	const uint8_t *from = ip + 8, *body;
	uint8_t protocol;
	bool later;
	size_t left;

	if (length < IPV6 || ip[0] >> 4 != 6)
		return false;
	body = find_body(ip, length, &protocol, &left, &later);
	if (!body || (is_zero(from, 16) ? protocol != ICMPV6 : !take(sender, from)))
		return false;
	if (later)
		return true;
	if (protocol == ICMPV6)
		return icmp_is_honest(sender, from, body, left);
	return protocol != LAN_PROTOCOL_UDP || !sender->guarded ||
	       udp_is_honest(body, left, PORT_DHCPV6_SERVER, PORT_DHCPV6_CLIENT);
}

bool lan_is_honest(struct lan *lan, unsigned number, uint16_t vlan, const uint8_t *frame,
		   size_t length)
{
	const struct sender sender = {lan, &lan->ports[number], vlan == LAN_VLAN};
	uint16_t type = lan_load16(frame + LAN_TYPE_AT);
	const uint8_t *body = frame + LAN_ETHERNET;

	length -= LAN_ETHERNET;
	switch (type) {
	case LAN_TYPE_IP:
		return length && ip_is_honest(&sender, body, length);
	case LAN_TYPE_ARP:
		return arp_is_honest(&sender, body, length);
	case LAN_TYPE_IPV6:
		return ipv6_is_honest(&sender, body, length);
	case LAN_TYPE_SERVICE_VLAN:
		return false;
	default:
		/* Ethernet's types behind IEEE 802.2's headers (RFC 1042). */
		return type >= TYPE_LEAST || length < 8 || body[0] != 0xaa || body[1] != 0xaa;
	}
}
