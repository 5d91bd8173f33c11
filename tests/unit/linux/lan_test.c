/* SPDX-License-Identifier: BSD-2-Clause */
/* The switch between machines, by its frames. */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "network/lan.h"

enum { ETHERNET = 14, HEADERS = 42, STATIONS = 6 };

#define SECOND UINT64_C(1000000000)

static struct lan lan;
static uint64_t now;

/* What a port was sent last, and how often. */
static struct station {
	uint8_t frame[LAN_FRAME_MAX];
	size_t length;
	unsigned count;
	int port;
} stations[STATIONS];

static void deliver(void *owner, const void *frame, size_t length)
{
	struct station *station = owner;

	memcpy(station->frame, frame, length);
	station->length = length;
	station->count++;
}

static struct lan_port a_port(unsigned index, const char *name)
{
	struct lan_port port = {.send = deliver,
				.owner = &stations[index],
				.mac = {0x52, 0x54, 0, 0, 0, (uint8_t)index},
				.vlan = LAN_VLAN};

	snprintf(port.name, sizeof(port.name), "%s", name);
	return port;
}

static void add(unsigned index, const char *name)
{
	struct lan_port port = a_port(index, name);

	stations[index].port = lan_add(&lan, &port, now);
	REQUIRE(stations[index].port >= 0);
}

static void start(void)
{
	lan_init(&lan, "net");
	add(0, "zero");
	add(1, "one");
	add(2, "two");
}

static void forget(void)
{
	for (unsigned i = 0; i < STATIONS; i++)
		stations[i].count = 0;
}

/* An Ethernet frame between two stations; to 0xff: all. */
static void send_frame(unsigned from, uint8_t to, uint16_t type, const void *body, size_t length)
{
	uint8_t frame[LAN_FRAME_MAX + 100] = {0x52, 0x54, 0, 0, 0, to,
					      0x52, 0x54, 0, 0, 0, (uint8_t)from};

	if (to == 0xff)
		memset(frame, 0xff, 6);
	frame[12] = (uint8_t)(type >> 8);
	frame[13] = (uint8_t)type;
	memcpy(frame + ETHERNET, body, length);
	forget();
	lan_input(&lan, (unsigned)stations[from].port, frame, ETHERNET + length, now);
}

TEST(frames_go_to_whom_they_are_for)
{
	start();
	send_frame(0, 1, 0x1234, "hello", 5);
	EXPECT(stations[0].count == 0 && stations[1].count == 1 && stations[2].count == 0);
	EXPECT_EQ(stations[1].length, 19);
	EXPECT_MEM(stations[1].frame + ETHERNET, "hello", 5);
	send_frame(0, 0xff, 0x1234, "all", 3);
	EXPECT(stations[0].count == 0 && stations[1].count == 1 && stations[2].count == 1);
	/* Nobody's, and one's own. */
	send_frame(0, 77, 0x1234, "x", 1);
	send_frame(0, 0, 0x1234, "x", 1);
	EXPECT(stations[0].count + stations[1].count + stations[2].count == 0);
	lan_remove(&lan, (unsigned)stations[1].port);
	send_frame(0, 1, 0x1234, "gone", 4);
	EXPECT_EQ(stations[1].count, 0);
}

/* It would answer in the name of the machine that is away. */
TEST(the_gateway_gets_no_frame_for_a_machine_that_is_away)
{
	static const uint8_t own[6] = {0x52, 0x55, 10, 0, 2, 2};
	struct lan_port port;
	uint8_t frame[60] = {0};

	start();
	port = a_port(3, "");
	port.gateway = true;
	stations[3].port = lan_add(&lan, &port, now);
	REQUIRE(stations[3].port >= 0);
	lan_remove(&lan, (unsigned)stations[1].port);
	send_frame(0, 1, 0x1234, "gone", 4);
	EXPECT_EQ(stations[3].count, 0);
	send_frame(0, 0xff, 0x1234, "all", 3);
	EXPECT_EQ(stations[3].count, 1);
	memcpy(frame, own, 6);
	memcpy(frame + 6, a_port(0, "").mac, 6);
	frame[12] = 0x12;
	lan_input(&lan, (unsigned)stations[0].port, frame, sizeof(frame), now);
	EXPECT_EQ(stations[3].count, 2);
}

TEST(nobody_sends_as_another)
{
	uint8_t frame[20] = {0x52, 0x54, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 1, 0x12, 0x34};
	struct lan_port twin = a_port(1, "twin");

	start();
	lan_input(&lan, (unsigned)stations[0].port, frame, sizeof(frame), now);
	EXPECT_EQ(stations[2].count, 0);
	EXPECT_EQ(lan_add(&lan, &twin, now), -EEXIST);
}

/* An answer from station `from` to all, of a hardware address's last byte and an address. */
static void send_arp(unsigned from, uint8_t hardware, uint32_t address)
{
	uint8_t body[28] = {0, 1, 8, 0, 6, 4, 0, 2, 0x52, 0x54, 0, 0, 0, hardware};

	for (unsigned i = 0; i < 4; i++)
		body[14 + i] = (uint8_t)(address >> (24 - 8 * i));
	send_frame(from, 0xff, 0x0806, body, sizeof(body));
}

TEST(nobody_says_by_arp_that_it_is_another)
{
	struct lan_port port = a_port(3, "three");
	uint32_t own, other, free;

	start();
	own = lan.ports[stations[0].port].address;
	other = lan.ports[stations[2].port].address;
	for (free = LAN_FIRST;
	     free == own || free == other || free == lan.ports[stations[1].port].address;)
		free++;
	send_arp(0, 0, own);
	EXPECT(stations[1].count == 1 && stations[2].count == 1);
	send_arp(0, 0, 0);
	EXPECT_EQ(stations[1].count, 1);
	send_arp(0, 0, free);
	EXPECT_EQ(stations[1].count, 1);
	/* Another's hardware address; another's address, the switch's, the world's. */
	send_arp(0, 2, own);
	EXPECT_EQ(stations[1].count, 0);
	send_arp(0, 0, other);
	EXPECT_EQ(stations[1].count, 0);
	send_arp(0, 0, LAN_SERVICE);
	EXPECT_EQ(stations[1].count, 0);
	send_arp(0, 0, LAN_GATEWAY);
	EXPECT_EQ(stations[1].count, 0);
	EXPECT_EQ(lan.ports[stations[0].port].dropped, 4);
	/* Cut off, it can't be looked at. */
	send_frame(0, 0xff, 0x0806, "\0\1\10\0\6\4\0\2", 8);
	EXPECT_EQ(stations[1].count, 0);
	/* What is behind a trunk has addresses of its own. */
	port.trunk = true;
	stations[3].port = lan_add(&lan, &port, now);
	REQUIRE(stations[3].port >= 0);
	send_arp(3, 77, free);
	EXPECT_EQ(stations[1].count, 1);
}

TEST(arp_in_another_vlan_is_of_any_address_but_ones_own_hardware)
{
	struct lan_port port = a_port(4, "four");

	start();
	port.vlan = 7;
	stations[4].port = lan_add(&lan, &port, now);
	port = a_port(5, "five");
	port.vlan = 7;
	stations[5].port = lan_add(&lan, &port, now);
	REQUIRE(stations[4].port >= 0 && stations[5].port >= 0);
	send_arp(4, 4, LAN_SERVICE);
	EXPECT_EQ(stations[5].count, 1);
	send_arp(4, 5, LAN_SERVICE);
	EXPECT_EQ(stations[5].count, 0);
}

static uint32_t address_of(unsigned station)
{
	return lan.ports[stations[station].port].address;
}

/* An address of the network that no machine was given. */
static uint32_t free_address(void)
{
	uint32_t address = LAN_FIRST;

	while (address == address_of(0) || address == address_of(1) || address == address_of(2))
		address++;
	return address;
}

/* Whether an IPv4 packet of station 0 arrives; behind its header are the bytes. */
static bool ip_arrives(uint32_t from, uint8_t protocol, uint16_t fragment, const void *bytes,
		       size_t length)
{
	uint8_t ip[200] = {0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 0, 0, 0, 0, 10, 0, 2, 99};

	ip[3] = (uint8_t)(20 + length);
	ip[6] = (uint8_t)(fragment >> 8);
	ip[7] = (uint8_t)fragment;
	for (unsigned i = 0; i < 4; i++)
		ip[12 + i] = (uint8_t)(from >> (24 - 8 * i));
	memcpy(ip + 20, bytes, length);
	send_frame(0, 1, 0x0800, ip, 20 + length);
	return stations[1].count == 1;
}

TEST(nobody_sends_from_anothers_address)
{
	static const char web[] = "\x12\x34\0\x50\0\x08\0\0";

	start();
	EXPECT(ip_arrives(address_of(0), 17, 0, web, 8));
	EXPECT(ip_arrives(address_of(0), 6, 0, web, 8));
	EXPECT(ip_arrives(free_address(), 17, 0, web, 8));
	EXPECT(!ip_arrives(address_of(2), 17, 0, web, 8));
	EXPECT(!ip_arrives(address_of(2), 17, 0x10, web, 8));
	EXPECT(!ip_arrives(LAN_SERVICE, 17, 0, web, 8));
	EXPECT(!ip_arrives(LAN_GATEWAY, 6, 0, web, 8));
	EXPECT(!ip_arrives(LAN_RESOLVER, 17, 0, web, 8));
	EXPECT(!ip_arrives(LAN_BROADCAST, 17, 0, web, 8));
	EXPECT(!ip_arrives(UINT32_C(0x08080808), 17, 0, web, 8));
	EXPECT(!ip_arrives(UINT32_C(0x7f000001), 17, 0, web, 8));
	/* Without one it asks for one, and does nothing else. */
	EXPECT(ip_arrives(0, 17, 0, "\0\x44\0\x43\0\x08\0\0", 8));
	EXPECT(!ip_arrives(0, 17, 0, web, 8));
	EXPECT(!ip_arrives(0, 17, 0x10, "\0\x44\0\x43\0\x08\0\0", 8));
	EXPECT(!ip_arrives(0, 6, 0, "\0\x44\0\x43\0\x08\0\0", 8));
	/* Its neighbour may use it once the machine that has it is gone. */
	lan_remove(&lan, (unsigned)stations[2].port);
	EXPECT(ip_arrives(address_of(2), 17, 0, web, 8));
	/* Headers that are none. */
	send_frame(0, 1, 0x0800, "\x45", 1);
	EXPECT_EQ(stations[1].count, 0);
	send_frame(0, 1, 0x0800, "", 0);
	EXPECT_EQ(stations[1].count, 0);
	send_frame(0, 1, 0x0800, "\x4f\0\0\x14\0\0\0\0\x40\x06\0\0\x0a\0\2\x63\x0a\0\2\x63", 20);
	EXPECT_EQ(stations[1].count, 0);
}

TEST(no_machine_is_a_server_or_router)
{
	uint32_t own;

	start();
	own = address_of(0);
	EXPECT(!ip_arrives(own, 17, 0, "\0\x43\0\x44\0\x08\0\0", 8));
	EXPECT(!ip_arrives(own, 17, 0, "\0\x43\x12\x34\0\x08\0\0", 8));
	EXPECT(!ip_arrives(own, 17, 0, "\x12\x34\0\x44\0\x08\0\0", 8));
	EXPECT(!ip_arrives(own, 17, 0x2000, "\0\x43\0\x44\0\x08\0\0", 8));
	/* A first fragment without all of the ports. */
	EXPECT(!ip_arrives(own, 17, 0x2000, "\0\x43\0", 3));
	EXPECT(!ip_arrives(own, 1, 0, "\5\1\0\0\x0a\0\2\2", 8));
	EXPECT(ip_arrives(own, 1, 0, "\10\0\0\0\0\0\0\0", 8));
	/* Frames that some unpack. */
	send_frame(0, 1, 20, "\xaa\xaa\3\0\0\0\x86\xdd            ", 20);
	EXPECT_EQ(stations[1].count, 0);
	send_frame(0, 1, 0x88a8, "\0\1\x86\xdd        ", 12);
	EXPECT_EQ(stations[1].count, 0);
	send_frame(0, 1, 3, "\x42\x42\3    ", 8);
	EXPECT_EQ(stations[1].count, 1);
}

TEST(trusted_guests_send_what_they_like)
{
	start();
	lan.trust_guests = true;
	EXPECT(ip_arrives(address_of(2), 17, 0, "\0\x43\0\x44\0\x08\0\0", 8));
	EXPECT(ip_arrives(UINT32_C(0x08080808), 6, 0, "\0\x43\0\x44\0\x08\0\0", 8));
	send_arp(0, 0, address_of(2));
	EXPECT_EQ(stations[1].count, 1);
}

/* IPv6 addresses: by their last byte, or the one that follows from a station's hardware. */
static void put_address6(uint8_t *at, uint8_t last, int hardware)
{
	const uint8_t follows[8] = {0x50, 0x54, 0, 0xff, 0xfe, 0, 0, (uint8_t)hardware};

	memset(at, 0, 16);
	at[0] = 0xfe;
	at[1] = 0x80;
	at[14] = 1;
	at[15] = last;
	if (hardware >= 0)
		memcpy(at + 8, follows, 8);
}

static bool ip6_arrives(unsigned from, const uint8_t *address, uint8_t next, const void *bytes,
			size_t length)
{
	uint8_t ip[300] = {0x60, 0, 0, 0, 0, (uint8_t)length, next, 255};
	unsigned to = from ? 0 : 1;

	memcpy(ip + 8, address, 16);
	ip[24] = 0xff;
	memcpy(ip + 40, bytes, length);
	send_frame(from, 0xff, 0x86dd, ip, 40 + length);
	return stations[to].count == 1;
}

/* A message about an address, with an option of a hardware address. */
static size_t neighbour(uint8_t *icmp, uint8_t type, const uint8_t *target, uint8_t option,
			uint8_t hardware)
{
	const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, hardware};

	memset(icmp, 0, 32);
	icmp[0] = type;
	memcpy(icmp + 8, target, 16);
	icmp[24] = option;
	icmp[25] = 1;
	memcpy(icmp + 26, mac, 6);
	return 32;
}

TEST(an_ipv6_address_is_whose_it_was_first)
{
	uint8_t a[16], b[16], none[16] = {0}, icmp[64];

	start();
	put_address6(a, 1, -1);
	put_address6(b, 2, -1);
	EXPECT(ip6_arrives(0, a, 6, "tcp", 3));
	EXPECT(!ip6_arrives(1, a, 6, "tcp", 3));
	EXPECT(ip6_arrives(0, a, 6, "tcp", 3));
	/* Who asks whether one is free has it; asking for one that isn't is heard by its owner. */
	EXPECT(ip6_arrives(1, none, 58, icmp, neighbour(icmp, 135, b, 14, 1)));
	EXPECT(!ip6_arrives(0, b, 6, "tcp", 3));
	EXPECT(ip6_arrives(0, none, 58, icmp, neighbour(icmp, 135, b, 14, 0)));
	EXPECT(!ip6_arrives(0, b, 58, icmp, neighbour(icmp, 136, b, 2, 0)));
	EXPECT(ip6_arrives(1, b, 58, icmp, neighbour(icmp, 136, b, 2, 1)));
	EXPECT(!ip6_arrives(0, a, 58, icmp, neighbour(icmp, 136, b, 2, 0)));
	/* With another's hardware address. */
	EXPECT(!ip6_arrives(0, a, 58, icmp, neighbour(icmp, 136, a, 2, 1)));
	EXPECT(!ip6_arrives(0, a, 58, icmp, neighbour(icmp, 135, b, 1, 1)));
	EXPECT(ip6_arrives(0, a, 58, icmp, neighbour(icmp, 135, b, 1, 0)));
	/* From nowhere only ICMP. */
	EXPECT(!ip6_arrives(0, none, 17, "\x12\x34\0\x50\0\x08\0\0", 8));
	/* The network's. */
	put_address6(a, 2, -1);
	a[14] = 0;
	EXPECT(!ip6_arrives(0, a, 6, "tcp", 3));
	memset(a, 0xff, 16);
	EXPECT(!ip6_arrives(0, a, 6, "tcp", 3));
	/* It goes with its machine. */
	lan_remove(&lan, (unsigned)stations[1].port);
	EXPECT(!ip6_arrives(0, b, 6, "tcp", 3));
	EXPECT_EQ(stations[2].count, 1);
}

TEST(an_ipv6_address_of_its_hardware_is_a_machines_own)
{
	uint8_t address[16], more[16];

	start();
	put_address6(address, 0, 1);
	EXPECT(!ip6_arrives(0, address, 6, "tcp", 3));
	EXPECT(ip6_arrives(1, address, 6, "tcp", 3));
	/* Of one that isn't there yet: taken, until it is. */
	put_address6(address, 0, 3);
	EXPECT(ip6_arrives(0, address, 6, "tcp", 3));
	add(3, "three");
	EXPECT(!ip6_arrives(0, address, 6, "tcp", 3));
	EXPECT(ip6_arrives(3, address, 6, "tcp", 3));
	/* One that takes many loses its own, not another's. */
	for (unsigned i = 0; i < 1000; i++) {
		put_address6(more, (uint8_t)i, -1);
		more[13] = (uint8_t)(i / 256 + 1);
		EXPECT(ip6_arrives(0, more, 6, "tcp", 3));
	}
	EXPECT(!ip6_arrives(0, address, 6, "tcp", 3));
	EXPECT(ip6_arrives(2, more, 6, "tcp", 3) == false);
	more[13] = 1;
	more[15] = 0;
	EXPECT(ip6_arrives(2, more, 6, "tcp", 3));
}

TEST(no_machine_is_an_ipv6_router_or_server)
{
	static const char advertisement[] = "\x86\0\0\0\x40\0\x07\x08\0\0\0\0\0\0\0\0",
			  options[] = "\x3a\0\1\4\0\0\0\0\x86\0\0\0\x40\0\x07\x08",
			  fragment[] = "\x3a\0\0\1\0\0\0\1\x86\0\0\0\x40\0\x07\x08",
			  later[] = "\x3a\0\0\x11\0\0\0\1\x86\0\0\0\x40\0\x07\x08",
			  server[] = "\2\x23\2\x22\0\x08\0\0";
	uint8_t own[16], chain[8 * 20 + 8], icmp[64];

	start();
	put_address6(own, 0, 0);
	EXPECT(!ip6_arrives(0, own, 58, advertisement, 16));
	EXPECT(!ip6_arrives(0, own, 0, options, 16));
	EXPECT(!ip6_arrives(0, own, 60, options, 16));
	EXPECT(!ip6_arrives(0, own, 44, fragment, 16));
	EXPECT(ip6_arrives(0, own, 44, later, 16));
	EXPECT(!ip6_arrives(0, own, 58, icmp, neighbour(icmp, 137, own, 2, 0)));
	EXPECT(!ip6_arrives(0, own, 17, server, 8));
	EXPECT(ip6_arrives(0, own, 17, "\2\x22\2\x23\0\x08\0\0", 8));
	/* What can't be looked at. */
	EXPECT(!ip6_arrives(0, own, 58, "\x86", 0));
	EXPECT(!ip6_arrives(0, own, 0, options, 7));
	EXPECT(!ip6_arrives(0, own, 0, "\x3a\7\1\4\0\0\0\0\x86\0\0\0\x40\0\x07\x08", 16));
	memset(chain, 0, sizeof(chain));
	for (unsigned i = 0; i < 20; i++)
		chain[8 * i] = i < 19 ? 60 : 58;
	chain[8 * 20] = 0x86;
	EXPECT(!ip6_arrives(0, own, 60, chain, sizeof(chain)));
	send_frame(0, 0xff, 0x86dd, own, 16);
	EXPECT_EQ(stations[1].count, 0);
	/* An option without a length. */
	neighbour(icmp, 135, own, 1, 0);
	icmp[25] = 0;
	EXPECT(!ip6_arrives(0, own, 58, icmp, 32));
	/* The gateway is one. */
	lan.ports[stations[0].port].gateway = true;
	EXPECT(ip6_arrives(0, own, 58, advertisement, 16));
}

TEST(odd_frames_are_dropped)
{
	uint8_t frame[LAN_FRAME_MAX + 1] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					    0x52, 0x54, 0,    0,    0,	  0};

	start();
	for (size_t length = 0; length < ETHERNET; length++)
		lan_input(&lan, 0, frame, length, now);
	lan_input(&lan, 0, frame, sizeof(frame), now);
	lan_input(&lan, 0, frame, LAN_FRAME_MAX - 3, now); /* too long without a tag */
	EXPECT_EQ(stations[1].count, 0);
	lan_input(&lan, 0, frame, LAN_FRAME_MAX - 4, now);
	EXPECT_EQ(stations[1].count, 1);
	EXPECT_EQ(lan.ports[0].dropped, ETHERNET + 2);
}

TEST(vlans_are_apart_and_trunks_carry_tags)
{
	struct lan_port green = a_port(3, "green"), trunk = a_port(4, "trunk");
	const uint8_t tagged[] = {0x00, 0x07, 0x12, 0x34, 'x'}, other[] = {0x00, 0x08, 0x12, 0x34},
		      twice[] = {0x00, 0x07, 0x81, 0x00, 0x00, 0x01, 0x12, 0x34};

	start();
	green.vlan = 7;
	trunk.trunk = true;
	stations[3].port = lan_add(&lan, &green, now);
	stations[4].port = lan_add(&lan, &trunk, now);
	send_frame(3, 0xff, 0x1234, "x", 1);
	EXPECT(stations[0].count == 0 && stations[4].count == 1);
	EXPECT_MEM(stations[4].frame + 12, "\x81\x00\x00\x07\x12\x34x", 7);
	EXPECT_EQ(stations[4].length, 19);
	send_frame(0, 0xff, 0x1234, "y", 1);
	EXPECT(stations[1].count == 1 && stations[3].count == 0 && stations[4].count == 1);
	EXPECT_MEM(stations[4].frame + 12, "\x12\x34y", 3);
	send_frame(4, 3, 0x8100, tagged, sizeof(tagged));
	EXPECT_EQ(stations[3].count, 1);
	EXPECT_MEM(stations[3].frame + 12, "\x12\x34x", 3);
	EXPECT_EQ(stations[3].length, 15);
	send_frame(4, 3, 0x8100, other, sizeof(other));
	EXPECT_EQ(stations[3].count, 0);
	send_frame(4, 3, 0x8100, twice, sizeof(twice));
	EXPECT_EQ(stations[3].count, 0);
	/* Who is not a trunk sends no tags. */
	send_frame(0, 3, 0x8100, tagged, sizeof(tagged));
	EXPECT_EQ(stations[3].count, 0);
	green.vlan = 4095;
	green.mac[5] = 9;
	EXPECT_EQ(lan_add(&lan, &green, now), -EINVAL);
}

/* Unless the network trusts its guests. */
TEST(nobody_behind_a_trunk_takes_the_gateways_frames)
{
	static const uint8_t frame[60] = {0x52, 0x54, 0, 0, 0, 0,    0x52,
					  0x55, 10,   0, 2, 2, 0x12, 0x34};
	struct lan_port gateway = a_port(3, ""), trunk = a_port(4, "trunk");
	uint8_t to_gateway[60] = {0x52, 0x55, 10, 0, 2, 2};

	start();
	gateway.gateway = true;
	trunk.trunk = true;
	stations[3].port = lan_add(&lan, &gateway, now);
	stations[4].port = lan_add(&lan, &trunk, now);
	memcpy(to_gateway + 6, lan.ports[stations[0].port].mac, 6);
	to_gateway[12] = 0x12;
	for (unsigned i = 0; i < 2; i++) {
		lan.trust_guests = i;
		lan_input(&lan, (unsigned)stations[3].port, frame, sizeof(frame), now);
		lan_input(&lan, (unsigned)stations[4].port, frame, sizeof(frame), now);
		forget();
		lan_input(&lan, (unsigned)stations[0].port, to_gateway, sizeof(to_gateway), now);
		EXPECT_EQ(stations[4].count, i);
	}
}

TEST(rate_is_kept_and_bursts_are_short)
{
	struct lan_port slow = a_port(5, "slow");
	uint64_t bytes = 0;

	start();
	slow.rate = 1000000;
	stations[5].port = lan_add(&lan, &slow, now);
	/* Ten seconds of trying at 10 MB/s. */
	for (unsigned i = 0; i < 100000; i++) {
		static const uint8_t body[986];

		send_frame(5, 1, 0x1234, body, sizeof(body));
		bytes += stations[1].count * 1000;
		now += SECOND / 10000;
	}
	EXPECT(bytes >= 9900000 && bytes <= 10200000);
}

/* DHCP */

static void put32(uint8_t *at, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* A UDP packet as a frame's body. How long. */
static size_t udp(uint8_t *ip, uint32_t from, uint32_t to, uint16_t from_port, uint16_t to_port,
		  size_t length)
{
	memset(ip, 0, 20);
	ip[0] = 0x45;
	ip[2] = (uint8_t)((28 + length) >> 8);
	ip[3] = (uint8_t)(28 + length);
	ip[8] = 64;
	ip[9] = 17;
	put32(ip + 12, from);
	put32(ip + 16, to);
	ip[20] = (uint8_t)(from_port >> 8);
	ip[21] = (uint8_t)from_port;
	ip[22] = (uint8_t)(to_port >> 8);
	ip[23] = (uint8_t)to_port;
	ip[24] = (uint8_t)((8 + length) >> 8);
	ip[25] = (uint8_t)(8 + length);
	ip[26] = ip[27] = 0;
	return 28 + length;
}

static bool ip_sum_right(const uint8_t *ip)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* Asks by DHCP; the answer's type, 0: none. */
static uint8_t dhcp(unsigned station, uint8_t type, uint32_t wanted)
{
	uint8_t ip[400] = {0}, *message = ip + 28, *at = message + 240;

	message[0] = message[1] = 1;
	message[2] = 6;
	put32(message + 4, 0x12345678);
	memcpy(message + 28, lan.ports[stations[station].port].mac, 6);
	put32(message + 236, 0x63825363);
	*at++ = 53;
	*at++ = 1;
	*at++ = type;
	if (wanted) {
		*at++ = 50;
		*at++ = 4;
		put32(at, wanted);
		at += 4;
	}
	*at++ = 255;
	send_frame(station, 0xff, 0x0800, ip,
		   udp(ip, 0, UINT32_MAX, 68, 67, (size_t)(at - message)));
	for (unsigned i = 0; i < STATIONS; i++)
		EXPECT(i == station || stations[i].count == 0);
	if (!stations[station].count)
		return 0;
	EXPECT(ip_sum_right(stations[station].frame + ETHERNET));
	return stations[station].frame[HEADERS + 242];
}

static const uint8_t *option(unsigned station, uint8_t code)
{
	const uint8_t *at = stations[station].frame + HEADERS + 240;

	while (*at != 255 && *at != code)
		at += *at ? 2 + at[1] : 1;
	return *at == code ? at + 1 : NULL;
}

TEST(addresses_are_given_and_stay)
{
	uint32_t zero, one;

	start();
	EXPECT_EQ(dhcp(0, 1, 0), 2);
	zero = get32(stations[0].frame + HEADERS + 16);
	EXPECT(zero >= LAN_FIRST && zero <= LAN_LAST);
	EXPECT_EQ(get32(stations[0].frame + HEADERS + 4), 0x12345678);
	EXPECT_MEM(option(0, 6), "\x04\x0a\x00\x02\x01", 5);
	EXPECT_MEM(option(0, 15), "\x03net", 4);
	EXPECT_MEM(option(0, 12), "\x04zero", 5);
	EXPECT(option(0, 3) == NULL); /* no way to the world */
	EXPECT_EQ(dhcp(0, 3, zero), 5);
	EXPECT_EQ(dhcp(1, 1, 0), 2);
	one = get32(stations[1].frame + HEADERS + 16);
	EXPECT(one != zero);
	EXPECT_EQ(dhcp(1, 3, zero), 6);
	/* The same after it was away. */
	lan_remove(&lan, (unsigned)stations[0].port);
	add(0, "zero");
	EXPECT_EQ(lan.ports[stations[0].port].address, zero);
	/* Another's hardware address in the message. */
	EXPECT_EQ(dhcp(0, 9, 0), 0);
}

TEST(all_ports_have_different_addresses)
{
	bool taken[256] = {false};

	lan_init(&lan, "net");
	for (unsigned i = 0; i < LAN_PORTS_MAX; i++) {
		struct lan_port port = a_port(0, "");
		int number;

		port.mac[5] = (uint8_t)i;
		number = lan_add(&lan, &port, now);
		REQUIRE(number >= 0);
		EXPECT(!taken[lan.ports[number].address & 255]);
		taken[lan.ports[number].address & 255] = true;
	}
	struct lan_port more = a_port(0, "more");
	more.mac[4] = 1;
	EXPECT_EQ(lan_add(&lan, &more, now), -ENOSPC);
}

/* DNS */

/* Asks; the code of the answer, -1: none. */
static int dns(unsigned station, const char *name, uint16_t type)
{
	uint8_t ip[400] = {0}, *message = ip + 28, *at = message + 12;

	message[0] = 0xab;
	message[2] = 1;
	message[5] = 1;
	for (const char *label = name; *label;) {
		size_t length = strcspn(label, ".");

		*at++ = (uint8_t)length;
		memcpy(at, label, length);
		at += length;
		label += length + (label[length] == '.');
	}
	at[0] = 0;
	at[1] = (uint8_t)(type >> 8);
	at[2] = (uint8_t)type;
	at[4] = 1;
	at += 5;
	send_frame(station, 0xff, 0x0800, ip,
		   udp(ip, LAN_FIRST, LAN_SERVICE, 5000, 53, (size_t)(at - message)));
	if (!stations[station].count)
		return -1;
	EXPECT(ip_sum_right(stations[station].frame + ETHERNET));
	EXPECT_MEM(stations[station].frame + 34, "\x00\x35\x13\x88", 4);
	EXPECT_EQ(stations[station].frame[HEADERS], 0xab);
	return stations[station].frame[HEADERS + 3] & 15;
}

static unsigned answers(unsigned station)
{
	return stations[station].frame[HEADERS + 7];
}

/* The last four bytes of the answer: an address. */
static uint32_t address(unsigned station)
{
	return get32(stations[station].frame + stations[station].length - 4);
}

TEST(machines_have_names)
{
	char reverse[64];
	uint32_t two;

	start();
	two = lan.ports[stations[2].port].address;
	EXPECT_EQ(dns(0, "two", 1), 0);
	EXPECT_EQ(answers(0), 1);
	EXPECT_EQ(address(0), two);
	EXPECT_EQ(dns(0, "TWO.Net", 1), 0);
	EXPECT_EQ(address(0), two);
	EXPECT_EQ(dns(0, "two", 28), 0); /* it has no address of IPv6 */
	EXPECT_EQ(answers(0), 0);
	EXPECT_EQ(dns(0, "three", 1), 3);
	EXPECT_EQ(dns(0, "www.example.org", 1), 3);
	snprintf(reverse, sizeof(reverse), "%u.2.0.10.in-addr.arpa", two & 255);
	EXPECT_EQ(dns(0, reverse, 12), 0);
	EXPECT_MEM(stations[0].frame + stations[0].length - 9, "\x03two\x03net\x00", 9);
	lan_remove(&lan, (unsigned)stations[2].port);
	EXPECT_EQ(dns(0, "two", 1), 3);
}

TEST(other_names_are_asked_of_the_gateways_resolver)
{
	struct lan_port world = {
		.send = deliver, .owner = &stations[5], .vlan = LAN_VLAN, .gateway = true};
	uint8_t frame[LAN_FRAME_MAX];
	size_t length;

	start();
	stations[5].port = lan_add(&lan, &world, now);
	EXPECT_EQ(dhcp(0, 1, 0), 2);
	EXPECT_MEM(option(0, 3), "\x04\x0a\x00\x02\x02", 5);
	EXPECT_EQ(dns(0, "www.example.org", 1), -1);
	REQUIRE(stations[5].count == 1);
	length = stations[5].length;
	memcpy(frame, stations[5].frame, length);
	EXPECT_EQ(get32(frame + ETHERNET + 16), LAN_RESOLVER);
	EXPECT(ip_sum_right(frame + ETHERNET));
	/* The answer comes from the one who was asked. */
	memcpy(frame, lan.ports[stations[0].port].mac, 6);
	memcpy(frame + 6, "\x52\x55\x0a\x00\x02\x03", 6);
	udp(frame + ETHERNET, LAN_RESOLVER, LAN_FIRST, 53, 5000, 40);
	forget();
	lan_input(&lan, (unsigned)stations[5].port, frame, ETHERNET + 68, now);
	REQUIRE(stations[0].count == 1);
	EXPECT_EQ(get32(stations[0].frame + ETHERNET + 12), LAN_SERVICE);
	EXPECT(ip_sum_right(stations[0].frame + ETHERNET));
	EXPECT_EQ(dns(0, "one", 1), 0);
}

TEST(switch_answers_for_its_address)
{
	uint8_t ask[28] = {0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0, 0, 0, 0, 10, 0, 2, 16};

	start();
	put32(ask + 24, LAN_SERVICE);
	send_frame(0, 0xff, 0x0806, ask, sizeof(ask));
	EXPECT(stations[0].count == 1 && stations[1].count == 0);
	EXPECT_EQ(stations[0].frame[ETHERNET + 7], 2);
	EXPECT_EQ(get32(stations[0].frame + ETHERNET + 14), LAN_SERVICE);
	put32(ask + 24, LAN_FIRST);
	send_frame(0, 0xff, 0x0806, ask, sizeof(ask));
	EXPECT(stations[0].count == 0 && stations[1].count == 1);
}
