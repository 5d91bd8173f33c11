/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames into the switch, from machines, a trunk and the world: the input is a row of them. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "network/lan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EXPECT(condition) ((condition) ? (void)0 : __builtin_trap())

enum { PORTS = 5 };

static volatile uint8_t sum;
static unsigned sender;

/* What no machine may say (lan_guard.c), where the headers are the usual ones. */
static void check_honest(const uint8_t *frame, size_t length)
{
	unsigned type = (unsigned)frame[12] << 8 | frame[13];
	bool is_machine = sender < 3 && frame[6] == 0x52 && frame[7] == 0x54;

	if (!is_machine)
		return;
	EXPECT(frame[11] == sender);
	if (sender == 2)
		return;
	if (type == 0x86dd && length > 54 && frame[20] == 58) {
		EXPECT(frame[54] != 134 && frame[54] != 137);
		/* Of the gateway, and another's that follows from its hardware address. */
		EXPECT(memcmp(frame + 30, "\0\0\0\0\0\0\0\2", 8) != 0);
		EXPECT(memcmp(frame + 30, "\x50\x54\0\xff\xfe\0\0", 7) != 0 ||
		       frame[37] == sender || frame[37] >= 3);
	}
	if (type == 0x0800 && length > 38 && frame[14] == 0x45 && frame[23] == 17 &&
	    !(frame[20] & 0x1f) && !frame[21])
		EXPECT(frame[34] != 0 || frame[35] != 67);
}

/* Looks at each byte, so that one that isn't there is found. */
static void deliver(void *owner, const void *frame, size_t length)
{
	EXPECT(length >= 14 && length <= LAN_FRAME_MAX);
	for (size_t i = 0; i < length; i++)
		sum += ((const uint8_t *)frame)[i];
	check_honest(frame, length);
}

/* The beginnings of frames in which something is looked for. */
static size_t start_frame(uint8_t kind, uint8_t *frame, unsigned port)
{
	static const uint8_t ip[] = {0x45, 0, 0,  0, 0, 0,  0,	0, 64, 17,
				     0,	   0, 10, 0, 2, 20, 10, 0, 2,  1};
	const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, (uint8_t)port};
	uint8_t *body = frame + 14;

	memset(frame, kind & 128 ? 0xff : 0x52, 6);
	memcpy(frame + 6, mac, 6);
	frame[12] = 8;
	frame[13] = 0;
	memcpy(body, ip, sizeof(ip));
	body[20] = 0x13;
	body[23] = kind & 1 ? 53 : 67;
	switch (kind % 8) {
	case 0:
		return 12;
	case 1: /* DNS */
		memcpy(body + 28, "\0\1\1\0\0\1\0\0\0\0\0\0", 12);
		return 54;
	case 2: /* DHCP */
		memset(body + 16, 0xff, 4);
		memset(body + 28, 0, 240);
		memcpy(body + 28, "\1\1\6", 3);
		memcpy(body + 28 + 28, mac, 6);
		memcpy(body + 28 + 236, "\x63\x82\x53\x63", 4);
		return 14 + 28 + 240;
	case 3:
		body[9] = 1;
		return 34;
	case 4:
		frame[13] = 6;
		return 14;
	case 5: /* neighbours, routers */
		frame[12] = 0x86;
		frame[13] = 0xdd;
		memset(body, 0, 64);
		body[0] = 0x60;
		body[6] = 58;
		body[7] = 255;
		memcpy(body + 8, "\xfe\x80\0\0\0\0\0\0\x50\x54\0\xff\xfe\0\0", 15);
		body[23] = (uint8_t)port;
		body[40] = (uint8_t)(133 + kind / 8 % 5);
		return 14 + 40 + (kind & 64 ? 24 : 1);
	case 6:
		frame[12] = 0x86;
		frame[13] = 0xdd;
		return 14;
	default:
		frame[12] = 0x81;
		return 14;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct lan lan;
	uint64_t now = 0;
	int number[PORTS];

	lan_init(&lan, "fuzz");
	for (unsigned i = 0; i < PORTS; i++) {
		struct lan_port port = {.send = deliver,
					.name = {(char)('a' + i)},
					.mac = {0x52, 0x54, 0, 0, 0, (uint8_t)i},
					.vlan = (uint16_t)(i == 2 ? 7 : LAN_VLAN),
					.trunk = i == 3,
					.gateway = i == 4,
					.rate = i == 1 ? 100000 : 0};

		number[i] = lan_add(&lan, &port, now);
		EXPECT(number[i] >= 0);
	}
	while (size >= 4) {
		uint8_t frame[LAN_FRAME_MAX + 300];
		unsigned port = data[0] % PORTS;
		size_t length = start_frame(data[1], frame, port);
		size_t more = (size_t)data[2] | (size_t)(data[3] & 7) << 8;

		data += 4;
		size -= 4;
		if (more > size)
			more = size;
		if (more > sizeof(frame) - length)
			more = sizeof(frame) - length;
		memcpy(frame + length, data, more);
		data += more;
		size -= more;
		length += more;
		/* Lengths that fit, most of the time. */
		if (length >= 42 && length < LAN_FRAME_MAX && frame[12] == 8 && frame[13] == 0) {
			frame[16] = (uint8_t)((length - 14) >> 8);
			frame[17] = (uint8_t)(length - 14);
		}
		sender = port;
		lan_input(&lan, (unsigned)number[port], frame, length, now += 1000000);
	}
	return 0;
}
