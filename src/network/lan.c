/* SPDX-License-Identifier: BSD-2-Clause */
#include "network/lan_internal.h"

#include <errno.h>
#include <string.h>

#include "lib/bytes.h"

enum {
	TAG = 4,
	BURST_NS = 100000000, /* what a port may send at once is what it may in this time */
	BURST_MIN = 2 * LAN_FRAME_MAX,
};
#define SECOND UINT64_C(1000000000)

void lan_init(struct lan *lan, const char *name)
{
	memset(lan, 0, sizeof(*lan));
	strncpy(lan->name, name, LAN_NAME_MAX);
}

bool lan_name_ok(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length <= LAN_NAME_MAX && name[0] != '-' && name[length - 1] != '-' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") ==
		       length;
}

static bool same_mac(const uint8_t *a, const uint8_t *b)
{
	return bytes_equal(a, b, 6);
}

/* Only a machine's own: the port says who sends. */
static bool is_machine(const struct lan_port *port)
{
	return port->used && !port->trunk && !port->gateway;
}

static bool address_taken(const struct lan *lan, uint32_t address)
{
	for (unsigned i = 0; i < LAN_PORTS_MAX; i++)
		if (lan->ports[i].used && lan->ports[i].address == address)
			return true;
	return false;
}

/* The same for the same hardware address, unless another has it: FNV-1a. 0: none is left. */
static uint32_t choose_address(const struct lan *lan, const uint8_t *mac)
{
	const uint32_t count = LAN_LAST - LAN_FIRST + 1;
	uint32_t hash = UINT32_C(2166136261);

	for (unsigned i = 0; i < 6; i++)
		hash = (hash ^ mac[i]) * UINT32_C(16777619);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t address = LAN_FIRST + (hash + i) % count;

		if (!address_taken(lan, address))
			return address;
	}
	return 0;
}

static uint64_t burst(const struct lan_port *port)
{
	uint64_t bytes = port->rate / (SECOND / BURST_NS);

	return bytes > BURST_MIN ? bytes : BURST_MIN;
}

int lan_add(struct lan *lan, const struct lan_port *port, uint64_t now)
{
	int place = -ENOSPC;

	if (port->vlan < 1 || port->vlan > LAN_VLAN_MAX ||
	    (port->name[0] && !lan_name_ok(port->name)))
		return -EINVAL;
	for (unsigned i = LAN_PORTS_MAX; i-- > 0;) {
		if (!lan->ports[i].used)
			place = (int)i;
		else if (is_machine(&lan->ports[i]) && !port->trunk && !port->gateway &&
			 same_mac(lan->ports[i].mac, port->mac))
			return -EEXIST;
	}
	if (place >= 0) {
		struct lan_port *added = &lan->ports[place];

		*added = *port;
		added->used = true;
		added->received = added->sent = added->dropped = 0;
		added->address6_count = added->address6_next = 0;
		memset(added->addresses6, 0, sizeof(added->addresses6));
		if (is_machine(added))
			lan_guard_arrives(lan, added->mac);
		added->allowance = burst(added);
		added->refilled = now;
		added->address = is_machine(added) && added->vlan == LAN_VLAN
					 ? choose_address(lan, added->mac)
					 : 0;
	}
	return place;
}

void lan_remove(struct lan *lan, unsigned port)
{
	lan->ports[port].used = false;
	for (unsigned i = 0; i < LAN_STATIONS; i++)
		if (lan->stations[i].port == port)
			lan->stations[i].vlan = 0;
}

int lan_gateway(const struct lan *lan)
{
	for (unsigned i = 0; i < LAN_PORTS_MAX; i++)
		if (lan->ports[i].used && lan->ports[i].gateway)
			return (int)i;
	return -1;
}

/* Who is behind a trunk or the gateway: a table in which a newer one takes an older one's place. */

static struct lan_station *station_place(struct lan *lan, const uint8_t *mac, uint16_t vlan)
{
	uint32_t hash = vlan;

	for (unsigned i = 0; i < 6; i++)
		hash = hash * 31 + mac[i];
	return &lan->stations[hash % LAN_STATIONS];
}

static void learn(struct lan *lan, unsigned port, const uint8_t *mac, uint16_t vlan)
{
	struct lan_station *station = station_place(lan, mac, vlan);

	memcpy(station->mac, mac, 6);
	station->vlan = vlan;
	station->port = (uint8_t)port;
}

/* The port of an address, -1 if it isn't known. Machines count before what was learned: nobody
 * behind a trunk can take a machine's frames. */
static int find(struct lan *lan, const uint8_t *mac, uint16_t vlan)
{
	const struct lan_station *station = station_place(lan, mac, vlan);

	for (unsigned i = 0; i < LAN_PORTS_MAX; i++)
		if (is_machine(&lan->ports[i]) && lan->ports[i].vlan == vlan &&
		    same_mac(lan->ports[i].mac, mac))
			return (int)i;
	return station->vlan == vlan && same_mac(station->mac, mac) ? station->port : -1;
}

/* Frames out. Here they have no tag. */

static void output(struct lan *lan, unsigned number, uint16_t vlan, const uint8_t *frame,
		   size_t length)
{
	struct lan_port *port = &lan->ports[number];
	uint8_t tagged[LAN_FRAME_MAX];

	if (!port->used || (!port->trunk && port->vlan != vlan))
		return;
	if (port->trunk && vlan != LAN_VLAN) {
		memcpy(tagged, frame, LAN_TYPE_AT);
		tagged[LAN_TYPE_AT] = LAN_TYPE_VLAN >> 8;
		tagged[LAN_TYPE_AT + 1] = LAN_TYPE_VLAN & 0xff;
		tagged[LAN_TYPE_AT + 2] = (uint8_t)(vlan >> 8);
		tagged[LAN_TYPE_AT + 3] = (uint8_t)vlan;
		memcpy(tagged + LAN_TYPE_AT + TAG, frame + LAN_TYPE_AT, length - LAN_TYPE_AT);
		frame = tagged;
		length += TAG;
	}
	port->sent++;
	port->send(port->owner, frame, length);
}

void lan_output(struct lan *lan, unsigned port, const void *frame, size_t length)
{
	output(lan, port, LAN_VLAN, frame, length);
}

/* To all; what is for one station that isn't known, to those that may have it behind them. */
/* The gateway (libslirp) takes every frame that it gets, and would answer a segment for a machine
 * that is away with a reset in its name. Its addresses are 52:55 and 52:56 and what follows. */
static bool is_gateways(const uint8_t *mac)
{
	return (mac[0] & 1) || (mac[0] == 0x52 && (mac[1] == 0x55 || mac[1] == 0x56));
}

static void flood(struct lan *lan, unsigned from, uint16_t vlan, const uint8_t *frame,
		  size_t length)
{
	bool to_all = frame[0] & 1;

	for (unsigned i = 0; i < LAN_PORTS_MAX; i++)
		if (i != from && (to_all || !is_machine(&lan->ports[i])) &&
		    (!lan->ports[i].gateway || is_gateways(frame)))
			output(lan, i, vlan, frame, length);
}

/* Frames in */

/* Takes the tag off a copy, of *length bytes. The VLAN, or 0 if the port may not send this. */
static uint16_t take_tag(const struct lan_port *port, uint8_t *frame, size_t *length)
{
	uint16_t vlan;

	if (lan_load16(frame + LAN_TYPE_AT) != LAN_TYPE_VLAN)
		return *length > LAN_FRAME_MAX - TAG ? 0 : port->trunk ? LAN_VLAN : port->vlan;
	if (!port->trunk || *length < LAN_ETHERNET + TAG)
		return 0;
	vlan = lan_load16(frame + LAN_TYPE_AT + 2) & 0xfff;
	memmove(frame + LAN_TYPE_AT, frame + LAN_TYPE_AT + TAG, *length - LAN_TYPE_AT - TAG);
	*length -= TAG;
	/* One tag in another would leave at an access port as a tag. */
	if (lan_load16(frame + LAN_TYPE_AT) == LAN_TYPE_VLAN || vlan > LAN_VLAN_MAX)
		return 0;
	return vlan ? vlan : LAN_VLAN;
}

static bool within_rate(struct lan_port *port, size_t length, uint64_t now)
{
	uint64_t most = burst(port), passed = now - port->refilled;

	if (!port->rate)
		return true;
	if (passed > SECOND)
		passed = SECOND;
	/* The rest of less than a byte is kept, by the time that it stands for. */
	if (port->rate < UINT64_MAX / SECOND && passed * port->rate >= SECOND) {
		uint64_t bytes = passed * port->rate / SECOND;

		port->allowance += bytes;
		port->refilled = now - (passed - bytes * SECOND / port->rate);
	} else if (port->rate >= UINT64_MAX / SECOND) {
		port->allowance = most;
	}
	if (port->allowance > most)
		port->allowance = most;
	if (port->allowance < length)
		return false;
	port->allowance -= length;
	return true;
}

void lan_input(struct lan *lan, unsigned number, const void *bytes, size_t length, uint64_t now)
{
	struct lan_port *port = &lan->ports[number];
	uint8_t frame[LAN_FRAME_MAX];
	const uint8_t *sender = frame + 6;
	uint16_t vlan;
	int to;

	port->received++;
	port->dropped++; /* until it has passed */
	if (length < LAN_ETHERNET || length > sizeof(frame))
		return;
	memcpy(frame, bytes, length);
	if (sender[0] & 1 || (is_machine(port) && !same_mac(sender, port->mac)))
		return;
	vlan = take_tag(port, frame, &length);
	if (!vlan || !within_rate(port, length, now))
		return;
	if (is_machine(port) && !lan->trust_guests &&
	    !lan_is_honest(lan, number, vlan, frame, length))
		return;
	if (!is_machine(port) && !port->gateway && vlan == LAN_VLAN && !lan->trust_guests &&
	    is_gateways(sender))
		return;
	port->dropped--;
	if (!is_machine(port))
		learn(lan, number, sender, vlan);
	if (vlan == LAN_VLAN && lan_service(lan, number, frame, length))
		return;
	to = frame[0] & 1 ? -1 : find(lan, frame, vlan);
	if (to < 0)
		flood(lan, number, vlan, frame, length);
	else if (to != (int)number)
		output(lan, (unsigned)to, vlan, frame, length);
}
