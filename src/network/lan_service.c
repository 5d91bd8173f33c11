/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the switch says itself: ARP (RFC 826) and ICMP echo for its own address, DHCP (RFC 2131),
 * and names of machines (DNS, RFC 1035). A question about another name goes to the gateway's
 * resolver, in the switch's name, if there is a gateway; otherwise there is no such name.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/bytes.h"
#include "network/lan_internal.h"

enum {
	IP = 20, /* without options, as we write it */
	UDP = 8,
	PORT_DNS = 53,
	PORT_DHCP_SERVER = 67,
	PORT_DHCP_CLIENT = 68,
	HEADERS = LAN_ETHERNET + IP + UDP,
	DHCP_FIXED = 240, /* up to and with the magic number */
	DHCP_MAGIC = 0x63825363,
	DHCP_LEAST = 300,
	DNS_HEADER = 12,
	NAME_MAX_TEXT = 255,
	LEASE_SECONDS = 86400,
};
enum { DISCOVER = 1, OFFER = 2, REQUEST = 3, ACK = 5, NAK = 6 };
enum { DNS_A = 1, DNS_PTR = 12, DNS_ANY = 255, DNS_NO_NAME = 3, DNS_NOT_IMPLEMENTED = 4 };

static const uint8_t service_mac[6] = {0x52, 0x55, 0x0a, 0x00, 0x02, 0x01};
static const uint8_t resolver_mac[6] = {0x52, 0x55, 0x0a, 0x00, 0x02, 0x03};

static void store16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void store32(uint8_t *at, uint32_t value)
{
	store16(at, (uint16_t)(value >> 16));
	store16(at + 2, (uint16_t)value);
}

/* The Internet checksum (RFC 1071) of a piece whose own field is zero. */
static uint16_t checksum(const uint8_t *bytes, size_t length)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += lan_load16(bytes + i);
	if (length % 2)
		sum += (uint32_t)bytes[length - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* An IP packet in a frame, not a fragment. */
struct packet {
	uint8_t *frame, *ip, *body;
	size_t ip_header, body_length;
	uint32_t from, to;
	uint8_t protocol;
};

static bool take_packet(uint8_t *frame, size_t length, struct packet *packet)
{
	uint8_t *ip = frame + LAN_ETHERNET;
	size_t header, total;

	if (length < LAN_ETHERNET + IP || ip[0] >> 4 != 4)
		return false;
	header = (size_t)(ip[0] & 15) * 4;
	total = lan_load16(ip + 2);
	if (header < IP || total < header || total > length - LAN_ETHERNET ||
	    lan_load16(ip + 6) & 0x3fff)
		return false;
	*packet = (struct packet){frame,
				  ip,
				  ip + header,
				  header,
				  total - header,
				  lan_load32(ip + 12),
				  lan_load32(ip + 16),
				  ip[9]};
	return true;
}

/* Writes the headers of an answer in front of `length` bytes at frame + HEADERS, and sends it. The
 * checksum of UDP is left out, as it may be. */
static void send_udp(struct lan *lan, unsigned port, const uint8_t *mac, uint32_t to,
		     uint16_t from_port, uint16_t to_port, uint8_t *frame, size_t length)
{
	uint8_t *ip = frame + LAN_ETHERNET, *udp = ip + IP;

	memcpy(frame, mac, 6);
	memcpy(frame + 6, service_mac, 6);
	store16(frame + 12, LAN_TYPE_IP);
	memset(ip, 0, IP);
	ip[0] = 0x45;
	store16(ip + 2, (uint16_t)(IP + UDP + length));
	ip[8] = 64;
	ip[9] = LAN_PROTOCOL_UDP;
	store32(ip + 12, LAN_SERVICE);
	store32(ip + 16, to);
	store16(ip + 10, checksum(ip, IP));
	store16(udp, from_port);
	store16(udp + 2, to_port);
	store16(udp + 4, (uint16_t)(UDP + length));
	store16(udp + 6, 0);
	lan_output(lan, port, frame, HEADERS + length);
}

bool lan_is_arp(const uint8_t *body, size_t length)
{
	return length >= LAN_ETHERNET + 28 && lan_load16(body) == 1 &&
	       lan_load16(body + 2) == LAN_TYPE_IP && body[4] == 6 && body[5] == 4;
}

static bool arp(struct lan *lan, unsigned port, uint8_t *frame, size_t length)
{
	uint8_t *body = frame + LAN_ETHERNET;
	uint8_t asker[10];

	if (!lan_is_arp(body, length) || lan_load16(body + 6) != 1 ||
	    lan_load32(body + 24) != LAN_SERVICE)
		return false;
	memcpy(asker, body + 8, sizeof(asker));
	memcpy(frame, frame + 6, 6);
	memcpy(frame + 6, service_mac, 6);
	store16(body + 6, 2);
	memcpy(body + 8, service_mac, 6);
	store32(body + 14, LAN_SERVICE);
	memcpy(body + 18, asker, sizeof(asker));
	lan_output(lan, port, frame, LAN_ETHERNET + 28);
	return true;
}

static void echo(struct lan *lan, unsigned port, struct packet *packet)
{
	if (packet->body_length < 8 || packet->body[0] != 8)
		return;
	memcpy(packet->frame, packet->frame + 6, 6);
	memcpy(packet->frame + 6, service_mac, 6);
	store32(packet->ip + 12, LAN_SERVICE);
	store32(packet->ip + 16, packet->from);
	packet->body[0] = 0;
	store16(packet->body + 2, 0);
	store16(packet->body + 2, checksum(packet->body, packet->body_length));
	lan_output(lan, port, packet->frame,
		   LAN_ETHERNET + packet->ip_header + packet->body_length);
}

/* DHCP */

/* What of a request's options counts; 0: not given. */
struct dhcp {
	uint8_t type;
	uint32_t wanted, server;
};

static void dhcp_options(const uint8_t *at, size_t left, struct dhcp *dhcp)
{
	while (left > 0 && *at != 255) {
		size_t size;

		if (*at == 0) {
			at++;
			left--;
			continue;
		}
		if (left < 2 || (size = at[1]) > left - 2)
			return;
		if (at[0] == 53 && size == 1)
			dhcp->type = at[2];
		else if (at[0] == 50 && size == 4)
			dhcp->wanted = lan_load32(at + 2);
		else if (at[0] == 54 && size == 4)
			dhcp->server = lan_load32(at + 2);
		at += 2 + size;
		left -= 2 + size;
	}
}

static uint8_t *put_option(uint8_t *at, uint8_t code, const void *bytes, size_t size)
{
	*at++ = code;
	*at++ = (uint8_t)size;
	memcpy(at, bytes, size);
	return at + size;
}

static uint8_t *put_option32(uint8_t *at, uint8_t code, uint32_t value)
{
	uint8_t bytes[4];

	store32(bytes, value);
	return put_option(at, code, bytes, 4);
}

static void dhcp_answer(struct lan *lan, unsigned number, const uint8_t *request, uint8_t type)
{
	const struct lan_port *port = &lan->ports[number];
	uint8_t frame[HEADERS + DHCP_FIXED + 300] = {0};
	uint8_t *reply = frame + HEADERS, *at = reply + DHCP_FIXED;
	const uint32_t current = lan_load32(request + 12);

	memcpy(reply, request, 12); /* operation, hardware, number, seconds, flags */
	reply[0] = 2;
	if (type != NAK) {
		store32(reply + 12, current);
		store32(reply + 16,
			lan_load32(request + 12) && type == ACK ? current : port->address);
	}
	memcpy(reply + 24, request + 24, 4 + 16);
	store32(reply + 236, DHCP_MAGIC);
	at = put_option(at, 53, &type, 1);
	at = put_option32(at, 54, LAN_SERVICE);
	if (type != NAK) {
		at = put_option32(at, 51, LEASE_SECONDS);
		at = put_option32(at, 1, 0xffffff00);
		if (lan_gateway(lan) >= 0)
			at = put_option32(at, 3, LAN_GATEWAY);
		at = put_option32(at, 6, LAN_SERVICE);
		at = put_option(at, 15, lan->name, strlen(lan->name));
		if (port->name[0])
			at = put_option(at, 12, port->name, strlen(port->name));
	}
	*at++ = 255;
	/* Old clients take nothing shorter. */
	if (at < reply + DHCP_LEAST)
		at = reply + DHCP_LEAST;
	send_udp(lan, number, port->mac, current && type != NAK ? current : UINT32_MAX,
		 PORT_DHCP_SERVER, PORT_DHCP_CLIENT, frame, (size_t)(at - reply));
}

static void dhcp(struct lan *lan, unsigned number, const uint8_t *request, size_t length)
{
	const struct lan_port *port = &lan->ports[number];
	struct dhcp dhcp = {0};
	uint32_t wanted;

	if (length < DHCP_FIXED || request[0] != 1 || request[1] != 1 || request[2] != 6 ||
	    lan_load32(request + 236) != DHCP_MAGIC || !bytes_equal(request + 28, port->mac, 6) ||
	    !port->address)
		return;
	dhcp_options(request + DHCP_FIXED, length - DHCP_FIXED, &dhcp);
	if (dhcp.server && dhcp.server != LAN_SERVICE)
		return;
	wanted = dhcp.wanted ? dhcp.wanted : lan_load32(request + 12);
	if (dhcp.type == DISCOVER)
		dhcp_answer(lan, number, request, OFFER);
	else if (dhcp.type == REQUEST)
		dhcp_answer(lan, number, request, wanted == port->address ? ACK : NAK);
}

/* DNS */

/* Reads a name without compression, in small letters with dots between its labels; how long it is
 * in the message, or 0 if it is none. */
static size_t take_name(const uint8_t *at, size_t left, char *text)
{
	size_t used = 0, length = 0;

	for (;;) {
		size_t label;

		if (used >= left)
			return 0;
		label = at[used++];
		if (!label)
			break;
		if (label > 63 || label > left - used || length + label + 1 > NAME_MAX_TEXT)
			return 0;
		if (length)
			text[length++] = '.';
		for (size_t i = 0; i < label; i++) {
			uint8_t c = at[used++];

			if (c == '.' || c == 0)
				return 0;
			text[length++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
		}
	}
	text[length] = '\0';
	return used;
}

/* What is left of a name in front of the network's own, or all of a name of one label. NULL: it is
 * not one of this network's. Changes the text. */
static char *own_part(const struct lan *lan, char *text)
{
	char *dot = strchr(text, '.');

	if (!dot)
		return text;
	if (strcasecmp(dot + 1, lan->name) != 0)
		return NULL;
	*dot = '\0';
	return text;
}

static const struct lan_port *find_machine(const struct lan *lan, const char *name)
{
	for (unsigned i = 0; i < LAN_PORTS_MAX; i++)
		if (lan->ports[i].used && lan->ports[i].address && lan->ports[i].name[0] &&
		    !strcasecmp(lan->ports[i].name, name))
			return &lan->ports[i];
	return NULL;
}

/* The machine of d.c.b.a.in-addr.arpa; *ours if that is an address of the network. */
static const struct lan_port *find_reverse(const struct lan *lan, const char *text, bool *ours)
{
	char wanted[48];

	*ours = false;
	for (uint32_t address = LAN_NETWORK; address <= LAN_NETWORK + 255 && !*ours; address++) {
		snprintf(wanted, sizeof(wanted), "%u.%u.%u.%u.in-addr.arpa", address & 255,
			 address >> 8 & 255, address >> 16 & 255, address >> 24);
		if (strcmp(text, wanted) != 0)
			continue;
		*ours = true;
		for (unsigned i = 0; i < LAN_PORTS_MAX; i++)
			if (lan->ports[i].used && lan->ports[i].address == address &&
			    lan->ports[i].name[0])
				return &lan->ports[i];
	}
	return NULL;
}

/* NAME.NETWORK as a message has it. How many bytes. */
static size_t put_name(uint8_t *at, const char *machine, const char *network)
{
	const size_t first = strlen(machine), second = strlen(network);

	at[0] = (uint8_t)first;
	memcpy(at + 1, machine, first);
	at[1 + first] = (uint8_t)second;
	memcpy(at + 2 + first, network, second);
	at[2 + first + second] = 0;
	return first + second + 3;
}

struct question {
	const uint8_t *message; /* header and question */
	size_t length;		/* of both */
	uint16_t type;
	char text[NAME_MAX_TEXT + 1];
};

static void dns_answer(struct lan *lan, unsigned number, const struct packet *packet,
		       const struct question *question, unsigned code,
		       const struct lan_port *machine, bool reverse)
{
	uint8_t frame[HEADERS + DNS_HEADER + NAME_MAX_TEXT + 6 + 12 + 2 * LAN_NAME_MAX + 8];
	uint8_t *reply = frame + HEADERS, *at = reply + question->length;

	memcpy(reply, question->message, question->length);
	reply[2] = (uint8_t)(0x84 | (reply[2] & 1)); /* an answer, of authority */
	reply[3] = (uint8_t)(0x80 | code);
	memset(reply + 6, 0, 6);
	if (machine) {
		store16(reply + 6, 1);
		store16(at, 0xc000 | DNS_HEADER); /* the name of the question */
		store16(at + 2, reverse ? DNS_PTR : DNS_A);
		store16(at + 4, 1);
		store32(at + 6, 5); /* seconds: machines come and go */
		store16(at + 10, 4);
		if (reverse)
			store16(at + 10, (uint16_t)put_name(at + 12, machine->name, lan->name));
		else
			store32(at + 12, machine->address);
		at += 12 + lan_load16(at + 10);
	}
	send_udp(lan, number, packet->frame + 6, packet->from, PORT_DNS, lan_load16(packet->body),
		 frame, (size_t)(at - reply));
}

/* A question for the gateway's resolver, whose answer comes back through dns_back. */
static void dns_forward(struct lan *lan, unsigned gateway, struct packet *packet)
{
	memcpy(packet->frame, resolver_mac, 6);
	store32(packet->ip + 16, LAN_RESOLVER);
	store16(packet->ip + 10, 0);
	store16(packet->ip + 10, checksum(packet->ip, packet->ip_header));
	store16(packet->body + 6, 0);
	lan_output(lan, gateway, packet->frame,
		   LAN_ETHERNET + packet->ip_header + packet->body_length);
}

static void dns_back(struct packet *packet)
{
	memcpy(packet->frame + 6, service_mac, 6);
	store32(packet->ip + 12, LAN_SERVICE);
	store16(packet->ip + 10, 0);
	store16(packet->ip + 10, checksum(packet->ip, packet->ip_header));
	store16(packet->body + 6, 0);
}

static void dns(struct lan *lan, unsigned number, struct packet *packet)
{
	struct question question = {.message = packet->body + UDP};
	const size_t left = packet->body_length - UDP;
	const struct lan_port *machine = NULL;
	const int gateway = lan_gateway(lan);
	bool reverse;
	char *own;
	size_t name;

	if (left < DNS_HEADER || question.message[2] & 0x80)
		return;
	question.length = DNS_HEADER;
	if (question.message[2] & 0x78 || lan_load16(question.message + 4) != 1)
		return;
	name = take_name(question.message + DNS_HEADER, left - DNS_HEADER, question.text);
	if (!name || left - DNS_HEADER - name < 4)
		return;
	question.length += name + 4;
	question.type = lan_load16(question.message + DNS_HEADER + name);
	machine = find_reverse(lan, question.text, &reverse);
	own = reverse ? question.text : own_part(lan, question.text);
	if (!own && gateway >= 0) {
		dns_forward(lan, (unsigned)gateway, packet);
		return;
	}
	if (own && !reverse)
		machine = find_machine(lan, own);
	if (!machine)
		dns_answer(lan, number, packet, &question, DNS_NO_NAME, NULL, false);
	else if (question.type == (reverse ? DNS_PTR : DNS_A) || question.type == DNS_ANY)
		dns_answer(lan, number, packet, &question, 0, machine, reverse);
	else
		dns_answer(lan, number, packet, &question, 0, NULL, false);
}

bool lan_service(struct lan *lan, unsigned port, uint8_t *frame, size_t length)
{
	const bool gateway = lan->ports[port].gateway;
	struct packet packet;
	bool to_us;

	if (lan_load16(frame + 12) == LAN_TYPE_ARP)
		return arp(lan, port, frame, length);
	if (lan_load16(frame + 12) != LAN_TYPE_IP || !take_packet(frame, length, &packet))
		return false;
	to_us = packet.to == LAN_SERVICE;
	if (packet.protocol != LAN_PROTOCOL_UDP || packet.body_length < UDP) {
		if (to_us && packet.protocol == LAN_PROTOCOL_ICMP)
			echo(lan, port, &packet);
		return to_us;
	}
	if (gateway) {
		if (packet.from == LAN_RESOLVER && lan_load16(packet.body) == PORT_DNS)
			dns_back(&packet);
		return to_us;
	}
	if (lan_load16(packet.body + 2) == PORT_DHCP_SERVER && (to_us || packet.to == UINT32_MAX)) {
		dhcp(lan, port, packet.body + UDP, packet.body_length - UDP);
		return true;
	}
	if (to_us && lan_load16(packet.body + 2) == PORT_DNS)
		dns(lan, port, &packet);
	return to_us;
}
