/* SPDX-License-Identifier: BSD-2-Clause */
/* The user network, with a guest that is a few frames made by hand and a world that is sockets of
 * this process. */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/vm.h"
#include "network/user.h"

enum { FRAMES = 512, FRAME_MAX = 2048, GUEST = 0x0a00020f, HOST = 0x0a000202 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

static struct vm vm;
static struct netport *port;
static char reason[200];

/* What the guest has received; the vm's lock. */
static struct {
	size_t length;
	uint8_t bytes[FRAME_MAX];
} frames[FRAMES];
static unsigned frame_count, frame_next;
static bool full;

static bool receive(void *device, const void *frame, size_t length)
{
	if (full || frame_count == FRAMES || length > FRAME_MAX)
		return false;
	memcpy(frames[frame_count].bytes, frame, length);
	frames[frame_count++].length = length;
	return true;
}

static void start(const struct user_forward *forwards, unsigned count)
{
	const struct user_config config = {.forwards = forwards, .forward_count = count};

	host_lock_init(&vm.lock);
	REQUIRE(user_open(&vm, &config, &port, reason, sizeof(reason)) == 0);
	vm_lock(&vm);
	port->receive = receive;
	vm_unlock(&vm);
}

static void send_frame(const void *bytes, size_t length)
{
	/* In two slices, as a driver might. */
	struct slice slices[2] = {{(void *)bytes, 14}, {(char *)bytes + 14, length - 14}};

	vm_lock(&vm);
	port->ops->send(port, slices, 2);
	vm_unlock(&vm);
}

/* The next frame that is of this Ethernet type and IP protocol (0: any); it waits for a while. */
static const uint8_t *next_frame(uint16_t type, uint8_t protocol, size_t *length)
{
	for (unsigned tries = 0; tries < 5000; tries++) {
		const uint8_t *found = NULL;

		vm_lock(&vm);
		while (frame_next < frame_count && !found) {
			const uint8_t *bytes = frames[frame_next].bytes;

			if (bytes[12] == type >> 8 && bytes[13] == (type & 255) &&
			    (!protocol || bytes[type == 0x86dd ? 20 : 23] == protocol)) {
				found = bytes;
				if (length)
					*length = frames[frame_next].length;
			}
			frame_next++;
		}
		vm_unlock(&vm);
		if (found)
			return found;
		usleep(1000);
	}
	FAIL("no frame of type %x, protocol %u came", type, protocol);
	test_stop();
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t get16(const uint8_t *at)
{
	return (uint32_t)(at[0] << 8 | at[1]);
}

static uint16_t sum(uint32_t total, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		total += i & 1 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return (uint16_t)~total;
}

/* Ethernet and IPv4 headers before length bytes at frame + 34; then sends it. */
static void send_ip(uint8_t *frame, uint8_t protocol, uint32_t to, size_t length, size_t checksum)
{
	static const uint8_t host_mac[6] = {0x52, 0x55, 10, 0, 2, 2};
	uint8_t *ip = frame + 14;

	memcpy(frame, host_mac, 6);
	memcpy(frame + 6, port->mac, 6);
	put16(frame + 12, 0x0800);
	memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, (unsigned)(20 + length));
	ip[8] = 64;
	ip[9] = protocol;
	put32(ip + 12, GUEST);
	put32(ip + 16, to);
	put16(ip + 10, sum(0, ip, 20));
	put16(ip + 20 + checksum, 0);
	put16(ip + 20 + checksum, sum((GUEST >> 16) + (GUEST & 0xffff) + (to >> 16) +
					      (to & 0xffff) + protocol + (uint32_t)length,
				      ip + 20, length));
	send_frame(frame, 34 + length);
}

static void send_udp(uint16_t from_port, uint32_t to, uint16_t to_port, const void *bytes,
		     size_t length)
{
	uint8_t frame[FRAME_MAX];

	put16(frame + 34, from_port);
	put16(frame + 36, to_port);
	put16(frame + 38, (unsigned)(8 + length));
	memcpy(frame + 42, bytes, length);
	send_ip(frame, 17, to, 8 + length, 6);
}

struct connection {
	uint16_t guest_port, other_port;
	uint32_t other, sequence, acknowledged;
};

static void send_tcp(struct connection *tcp, uint8_t flags, const void *bytes, size_t length)
{
	static uint8_t frame[70000];
	uint8_t *header = frame + 34;

	memset(header, 0, 20);
	put16(header, tcp->guest_port);
	put16(header + 2, tcp->other_port);
	put32(header + 4, tcp->sequence);
	put32(header + 8, tcp->acknowledged);
	header[12] = 5 << 4;
	header[13] = flags;
	put16(header + 14, 65535);
	if (length)
		memcpy(header + 20, bytes, length);
	send_ip(frame, 6, tcp->other, 20 + length, 16);
	tcp->sequence += (uint32_t)length + !!(flags & (SYN | FIN));
}

/* The next TCP segment for the connection with data or one of the flags; acknowledges it. Its data
 * into *data. */
static size_t next_tcp(struct connection *tcp, uint8_t flags, const uint8_t **data)
{
	for (;;) {
		size_t length;
		const uint8_t *ip = next_frame(0x0800, 6, &length) + 14, *header = ip + 20;
		size_t data_length = get16(ip + 2) - 20u - (header[12] >> 4) * 4u;

		if (get16(header + 2) != tcp->guest_port ||
		    (!(header[13] & flags) && (flags || !data_length)))
			continue;
		tcp->acknowledged =
			get32(header + 4) + (uint32_t)data_length + !!(header[13] & (SYN | FIN));
		if (data)
			*data = header + (header[12] >> 4) * 4u;
		return data_length;
	}
}

static int listener(int type, uint16_t *number)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	struct timeval limit = {5, 0};
	int file = socket(AF_INET, type, 0);

	REQUIRE(file >= 0 && bind(file, (struct sockaddr *)&address, sizeof(address)) == 0);
	REQUIRE(type == SOCK_DGRAM || listen(file, 4) == 0);
	setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	REQUIRE(getsockname(file, (struct sockaddr *)&address, &length) == 0);
	*number = ntohs(address.sin_port);
	return file;
}

/* Makes the host known to the guest and the other way round, as any guest does first. */
static void introduce(void)
{
	uint8_t frame[42] = {0};

	memset(frame, 0xff, 6);
	memcpy(frame + 6, port->mac, 6);
	put16(frame + 12, 0x0806);
	put16(frame + 14, 1);
	put16(frame + 16, 0x0800);
	frame[18] = 6;
	frame[19] = 4;
	put16(frame + 20, 1);
	memcpy(frame + 22, port->mac, 6);
	put32(frame + 28, GUEST);
	put32(frame + 38, HOST);
	send_frame(frame, sizeof(frame));
	EXPECT_EQ(get32(next_frame(0x0806, 0, NULL) + 28), HOST);
}

TEST(guest_gets_its_address_by_dhcp)
{
	uint8_t frame[342] = {0}, *dhcp = frame + 42;
	static const uint8_t options[] = {0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255};
	const uint8_t *answer;

	start(NULL, 0);
	dhcp[0] = 1;
	dhcp[1] = 1;
	dhcp[2] = 6;
	memcpy(dhcp + 28, port->mac, 6);
	memcpy(dhcp + 236, options, sizeof(options));
	memset(frame, 0xff, 6);
	put16(frame + 34, 68);
	put16(frame + 36, 67);
	put16(frame + 38, 308);
	send_ip(frame, 17, 0xffffffff, 308, 6);
	answer = next_frame(0x0800, 17, NULL);
	EXPECT_EQ(get32(answer + 42 + 16), GUEST);
	port->ops->close(port);
}

TEST(host_answers_arp)
{
	start(NULL, 0);
	introduce();
	port->ops->close(port);
}

TEST(udp_goes_out_and_comes_back)
{
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	uint16_t number;
	char bytes[16] = "";
	const uint8_t *answer;
	int file;

	start(NULL, 0);
	introduce();
	file = listener(SOCK_DGRAM, &number);
	send_udp(5000, HOST, number, "ping", 4);
	EXPECT_EQ(recvfrom(file, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &length), 4);
	EXPECT_STR(bytes, "ping");
	EXPECT_EQ(sendto(file, "pong!", 5, 0, (struct sockaddr *)&from, length), 5);
	answer = next_frame(0x0800, 17, NULL);
	EXPECT_EQ(get16(answer + 36), 5000);
	EXPECT_MEM(answer + 42, "pong!", 5);
	close(file);
	port->ops->close(port);
}

static int connect_out(struct connection *tcp, int file)
{
	int accepted;
	struct timeval limit = {5, 0};

	send_tcp(tcp, SYN, NULL, 0);
	accepted = accept(file, NULL, NULL);
	REQUIRE(accepted >= 0);
	setsockopt(accepted, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	next_tcp(tcp, SYN, NULL);
	send_tcp(tcp, ACK, NULL, 0);
	return accepted;
}

TEST(tcp_goes_out_both_ways_and_ends)
{
	struct connection tcp = {.guest_port = 4000, .other = HOST, .sequence = 1000};
	const uint8_t *data;
	char bytes[16] = "";
	int file, accepted;

	start(NULL, 0);
	introduce();
	file = listener(SOCK_STREAM, &tcp.other_port);
	accepted = connect_out(&tcp, file);
	send_tcp(&tcp, ACK | PSH, "question", 8);
	EXPECT_EQ(recv(accepted, bytes, sizeof(bytes), 0), 8);
	EXPECT_STR(bytes, "question");
	EXPECT_EQ(send(accepted, "answer", 6, 0), 6);
	EXPECT_EQ(next_tcp(&tcp, 0, &data), 6);
	EXPECT_MEM(data, "answer", 6);
	send_tcp(&tcp, ACK, NULL, 0);
	close(accepted);
	next_tcp(&tcp, FIN, NULL);
	send_tcp(&tcp, ACK | FIN, NULL, 0);
	close(file);
	port->ops->close(port);
}

/* What the device offers with send_max: a segment of up to 64 KiB. */
TEST(large_segments_are_taken_whole)
{
	struct connection tcp = {.guest_port = 4001, .other = HOST, .sequence = 77};
	static uint8_t out[60000], in[60000];
	size_t got = 0;
	int file, accepted;

	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + i / 256);
	start(NULL, 0);
	EXPECT(port->send_max >= sizeof(out) + 54);
	introduce();
	file = listener(SOCK_STREAM, &tcp.other_port);
	accepted = connect_out(&tcp, file);
	send_tcp(&tcp, ACK | PSH, out, sizeof(out));
	while (got < sizeof(in)) {
		ssize_t part = recv(accepted, in + got, sizeof(in) - got, 0);

		REQUIRE(part > 0);
		got += (size_t)part;
	}
	EXPECT_MEM(in, out, sizeof(out));
	close(accepted);
	close(file);
	port->ops->close(port);
}

TEST(refused_connection_is_told)
{
	struct connection tcp = {.guest_port = 4002, .other = HOST, .sequence = 5};
	int file;

	start(NULL, 0);
	introduce();
	file = listener(SOCK_STREAM, &tcp.other_port);
	close(file); /* now nobody listens there */
	send_tcp(&tcp, SYN, NULL, 0);
	next_tcp(&tcp, RST, NULL);
	port->ops->close(port);
}

TEST(frames_wait_while_the_guest_has_no_room)
{
	enum { COUNT = 20 };
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	uint16_t number;
	char byte;
	int file;

	start(NULL, 0);
	introduce();
	file = listener(SOCK_DGRAM, &number);
	send_udp(5000, HOST, number, "x", 1);
	REQUIRE(recvfrom(file, &byte, 1, 0, (struct sockaddr *)&from, &length) == 1);
	vm_lock(&vm);
	full = true;
	vm_unlock(&vm);
	for (char i = 0; i < COUNT; i++)
		EXPECT_EQ(sendto(file, &i, 1, 0, (struct sockaddr *)&from, length), 1);
	usleep(50000);
	vm_lock(&vm);
	EXPECT_EQ(frame_next, frame_count);
	full = false;
	port->ops->receive_ready(port);
	vm_unlock(&vm);
	for (char i = 0; i < COUNT; i++) {
		EXPECT_EQ(next_frame(0x0800, 17, NULL)[42], i);
	}
	close(file);
	port->ops->close(port);
}

TEST(forwarded_ports_reach_the_guest)
{
	struct user_forward forward[2] = {{.guest_port = 80}, {.udp = true, .guest_port = 53}};
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int file = listener(SOCK_STREAM, &forward[0].host_port), stream, datagram;

	close(file);
	close(listener(SOCK_DGRAM, &forward[1].host_port));
	forward[0].host_address = forward[1].host_address = address.sin_addr;
	start(forward, 2);
	introduce();
	stream = socket(AF_INET, SOCK_STREAM, 0);
	address.sin_port = htons(forward[0].host_port);
	EXPECT_EQ(connect(stream, (struct sockaddr *)&address, sizeof(address)), 0);
	EXPECT_EQ(get16(next_frame(0x0800, 6, NULL) + 36), 80);
	datagram = socket(AF_INET, SOCK_DGRAM, 0);
	address.sin_port = htons(forward[1].host_port);
	EXPECT_EQ(sendto(datagram, "hi", 2, 0, (struct sockaddr *)&address, sizeof(address)), 2);
	EXPECT_EQ(get16(next_frame(0x0800, 17, NULL) + 36), 53);
	close(stream);
	close(datagram);
	port->ops->close(port);
}

TEST(port_in_use_is_refused_with_a_line)
{
	struct user_forward forward = {.guest_port = 80,
				       .host_address.s_addr = htonl(INADDR_LOOPBACK)};
	const struct user_config config = {.forwards = &forward, .forward_count = 1};

	host_lock_init(&vm.lock);
	for (unsigned udp = 0; udp < 2; udp++) {
		int file = listener(udp ? SOCK_DGRAM : SOCK_STREAM, &forward.host_port);
		char number[32];

		forward.udp = udp;
		EXPECT_EQ(user_open(&vm, &config, &port, reason, sizeof(reason)), -EADDRINUSE);
		snprintf(number, sizeof(number), "127.0.0.1:%u", forward.host_port);
		EXPECT(strstr(reason, number) && strstr(reason, udp ? "UDP" : "TCP") &&
		       strstr(reason, "in use"));
		close(file);
	}
}

/* The guest says by IPv6 that it has this address: a neighbour advertisement. */
static void advertise(const struct in6_addr *address)
{
	static const uint8_t host_mac[6] = {0x52, 0x56, 0, 0, 0, 2};
	uint8_t frame[14 + 40 + 32] = {0};
	uint32_t check = 0;

	memcpy(frame, host_mac, 6);
	memcpy(frame + 6, port->mac, 6);
	put16(frame + 12, 0x86dd);
	frame[14] = 0x60;
	put16(frame + 18, 32);
	frame[20] = 58;
	frame[21] = 255;
	memcpy(frame + 22, address, 16);
	inet_pton(AF_INET6, "fec0::2", frame + 38);
	frame[54] = 136;
	frame[58] = 0x60; /* solicited, overrides */
	memcpy(frame + 62, address, 16);
	frame[78] = 2;
	frame[79] = 1;
	memcpy(frame + 80, port->mac, 6);
	for (unsigned i = 22; i < 54; i += 2)
		check += get16(frame + i);
	put16(frame + 56, sum(check + 32 + 58, frame + 54, 32));
	send_frame(frame, sizeof(frame));
}

static int connect_ipv6(const struct user_forward *forward)
{
	const struct sockaddr_in6 address = {.sin6_family = AF_INET6,
					     .sin6_addr = forward->host_ipv6,
					     .sin6_port = htons(forward->host_port)};
	int file = socket(AF_INET6, SOCK_STREAM, 0);

	EXPECT_EQ(connect(file, (const struct sockaddr *)&address, sizeof(address)), 0);
	return file;
}

/* A port that is free at ::1; 0: this host has no such address. */
static uint16_t free_ipv6_port(void)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	socklen_t length = sizeof(address);
	int file = socket(AF_INET6, SOCK_STREAM, 0);
	uint16_t number = 0;

	if (file >= 0 && !bind(file, (struct sockaddr *)&address, length) &&
	    !getsockname(file, (struct sockaddr *)&address, &length))
		number = ntohs(address.sin6_port);
	if (file >= 0)
		close(file);
	return number;
}

TEST(ports_of_ipv6_reach_the_guest_once_it_has_an_address)
{
	struct user_forward forward = {
		.guest_port = 80, .ipv6 = true, .host_ipv6 = in6addr_loopback};
	struct in6_addr guest;
	const uint8_t *frame;
	int file;

	forward.host_port = free_ipv6_port();
	if (!forward.host_port)
		SKIP("this host has no ::1");
	start(&forward, 1);
	introduce();
	inet_pton(AF_INET6, "fec0::77", &guest);
	/* Not known yet: the connection ends. */
	file = connect_ipv6(&forward);
	EXPECT(recv(file, reason, 1, 0) <= 0);
	close(file);
	advertise(&guest);
	file = connect_ipv6(&forward);
	frame = next_frame(0x86dd, 6, NULL);
	EXPECT_EQ(get16(frame + 56), 80);
	EXPECT(!memcmp(frame + 38, &guest, 16));
	close(file);
	port->ops->close(port);
}

TEST(address_of_another_host_is_refused_with_a_line)
{
	struct user_forward forward = {
		.guest_port = 80, .host_port = 40000, .host_address.s_addr = htonl(0xc0000201)};
	const struct user_config config = {.forwards = &forward, .forward_count = 1};

	host_lock_init(&vm.lock);
	EXPECT_EQ(user_open(&vm, &config, &port, reason, sizeof(reason)), -EADDRNOTAVAIL);
	EXPECT(strstr(reason, "192.0.2.1:40000") != NULL);
}

TEST(nonsense_from_the_guest_does_no_harm)
{
	uint8_t frame[FRAME_MAX];
	unsigned seed = 1;

	start(NULL, 0);
	introduce();
	for (unsigned i = 0; i < 20000; i++) {
		size_t length = 14 + (unsigned)rand_r(&seed) % 200;

		for (size_t j = 0; j < length; j++)
			frame[j] = (uint8_t)rand_r(&seed);
		put16(frame + 12, i % 3 == 0 ? 0x0806 : 0x0800);
		if (i % 3 == 1) {
			memset(frame + 14, 0, 20);
			frame[14] = 0x45;
			put16(frame + 16, (unsigned)(length - 14));
			frame[23] = i % 2 ? 6 : 1;
			put32(frame + 26, GUEST);
			put32(frame + 30, HOST);
			put16(frame + 24, sum(0, frame + 14, 20));
		}
		send_frame(frame, length);
	}
	vm_lock(&vm);
	/* What waits may be more than there is room for; those frames are of no interest. */
	for (unsigned i = 0; i < 100; i++) {
		frame_next = frame_count = 0;
		port->ops->receive_ready(port);
	}
	frame_next = frame_count = 0;
	vm_unlock(&vm);
	introduce();
	port->ops->close(port);
}

TEST(forwards_are_read)
{
	struct user_forward forward;

	EXPECT_EQ(user_forward_parse("8080:80", &forward, reason, sizeof(reason)), 0);
	EXPECT(!forward.udp);
	EXPECT_EQ(forward.host_address.s_addr, htonl(INADDR_LOOPBACK));
	EXPECT_EQ(forward.host_port, 8080);
	EXPECT_EQ(forward.guest_port, 80);
	EXPECT_EQ(user_forward_parse("0.0.0.0:1:65535/udp", &forward, reason, sizeof(reason)), 0);
	EXPECT(forward.udp);
	EXPECT_EQ(forward.host_address.s_addr, 0);
	EXPECT_EQ(forward.guest_port, 65535);
	EXPECT_EQ(user_forward_parse("1:2/tcp", &forward, reason, sizeof(reason)), 0);
	EXPECT(!forward.ipv6);
	EXPECT_EQ(user_forward_parse("[::1]:8080:80/udp", &forward, reason, sizeof(reason)), 0);
	EXPECT(forward.ipv6 && forward.udp && IN6_IS_ADDR_LOOPBACK(&forward.host_ipv6));
	EXPECT_EQ(forward.host_port, 8080);
}

TEST(forwards_are_written_as_they_are_read)
{
	static const char *const texts[] = {
		"127.0.0.1:8080:80", "0.0.0.0:1:65535/udp", "[::]:1:2", "[::1]:8080:80",
		"[2001:db8:1111:2222:3333:4444:5555:6666]:65535:65534/udp"};
	struct user_forward forward, other;
	char text[USER_FORWARD_TEXT];

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		REQUIRE(!user_forward_parse(texts[i], &forward, reason, sizeof(reason)));
		user_forward_text(&forward, text);
		EXPECT_STR(text, texts[i]);
		REQUIRE(!user_forward_parse(texts[0], &other, reason, sizeof(reason)));
		EXPECT_EQ(user_forward_same(&forward, &other), i == 0);
	}
}

TEST(bad_forwards_are_refused_with_a_line)
{
	static const char *const bad[] = {"",
					  ":",
					  "80",
					  "80:",
					  ":80",
					  "0:80",
					  "65536:80",
					  "80:70000",
					  "80:80/",
					  "80:80/sctp",
					  "80:80 ",
					  "a:80",
					  "host:1:2",
					  "1.2.3:1:2",
					  "1.2.3.4:1",
					  "1.2.3.4:1:2:3",
					  "-1:80",
					  "::1:80:80",
					  "[::1]8080:80",
					  "[::1:8080:80",
					  "[]:8080:80",
					  "[127.0.0.1]:8080:80",
					  "[fe80::1%lo]:8080:80",
					  "[::1]:8080",
					  ":80:80",
					  "99999999999999999999:1",
					  "111.111.111.111111:1:2"};
	struct user_forward forward;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (!EXPECT_EQ(user_forward_parse(bad[i], &forward, reason, sizeof(reason)),
			       -EINVAL))
			FAIL("%s was accepted", bad[i]);
		EXPECT(strstr(reason, bad[i]) != NULL);
	}
}
