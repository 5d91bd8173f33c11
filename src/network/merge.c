/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segments are joined whose headers differ in nothing but what must differ, so that the stream is
 * the same. IPv4: RFC 791; IPv6: RFC 8200; TCP: RFC 9293.
 */
#include "network/merge.h"

#include <string.h>

enum { ETHERNET = 14, IPV4 = 20, IPV6 = 40, TCP = 20 };
enum { TYPE_IPV4 = 0x0800, TYPE_IPV6 = 0x86dd, PROTOCOL_TCP = 6 };
enum { FLAG_PUSH = 8, FLAG_ACK = 16 };

static uint32_t load16(const uint8_t *from)
{
	return (uint32_t)from[0] << 8 | from[1];
}

static uint32_t load32(const uint8_t *from)
{
	return load16(from) << 16 | load16(from + 2);
}

static void store16(uint8_t *to, uint32_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

/* The length of the headers of a TCP segment with data and neither IP options nor fragments, nor
 * padding behind; 0 for every other frame. */
static unsigned headers_of(const uint8_t *frame, size_t length)
{
	const uint8_t *ip = frame + ETHERNET;
	unsigned headers = ETHERNET;

	if (length < ETHERNET + IPV4 + TCP)
		return 0;
	if (load16(frame + 12) == TYPE_IPV4 && ip[0] == 0x45 && ip[9] == PROTOCOL_TCP &&
	    !(load16(ip + 6) & 0x3fff) && load16(ip + 2) == length - ETHERNET)
		headers += IPV4;
	else if (load16(frame + 12) == TYPE_IPV6 && length >= ETHERNET + IPV6 + TCP &&
		 ip[6] == PROTOCOL_TCP && load16(ip + 4) == length - ETHERNET - IPV6)
		headers += IPV6;
	else
		return 0;
	headers += (frame[headers + 12] >> 4) * 4u;
	return headers < length ? headers : 0;
}

static uint8_t *tcp_of(uint8_t *frame)
{
	return frame + ETHERNET + (load16(frame + 12) == TYPE_IPV4 ? IPV4 : IPV6);
}

/* Same headers, but for lengths, identification, checksums, sequence number and PSH. */
static bool same_headers(const uint8_t *a, const uint8_t *b, unsigned headers)
{
	const bool v4 = load16(a + 12) == TYPE_IPV4;
	const unsigned tcp = ETHERNET + (v4 ? IPV4 : IPV6), ip = ETHERNET;

	if (memcmp(a, b, ip + 2))
		return false;
	if (v4 ? memcmp(a + ip + 6, b + ip + 6, 4) || memcmp(a + ip + 12, b + ip + 12, 8)
	       : memcmp(a + ip + 2, b + ip + 2, 2) || memcmp(a + ip + 6, b + ip + 6, 34))
		return false;
	return !memcmp(a + tcp, b + tcp, 4) && !memcmp(a + tcp + 8, b + tcp + 8, 5) &&
	       !memcmp(a + tcp + 14, b + tcp + 14, 2) &&
	       !memcmp(a + tcp + 18, b + tcp + 18, headers - tcp - 18);
}

bool merge_add(struct merge *merge, unsigned mtu, const void *bytes, size_t length)
{
	const uint8_t *frame = bytes;
	unsigned headers = headers_of(frame, length), tcp;
	uint8_t flags;

	if (!headers || length > (size_t)mtu + ETHERNET || length > MERGE_FRAME_MAX)
		return false;
	tcp = ETHERNET + (load16(frame + 12) == TYPE_IPV4 ? IPV4 : IPV6);
	flags = frame[tcp + 13];
	if ((flags & ~FLAG_PUSH) != FLAG_ACK)
		return false;
	if (!merge->length) {
		memcpy(merge->frame, frame, length);
		merge->length = length;
		merge->headers = headers;
		merge->count = 1;
		merge->segment = length;
	} else {
		if (merge->full || headers != merge->headers ||
		    load32(frame + tcp + 4) != merge->next ||
		    !same_headers(merge->frame, frame, headers) ||
		    merge->length + length - headers <= (size_t)mtu + ETHERNET ||
		    merge->length + length - headers > MERGE_FRAME_MAX)
			return false;
		memcpy(merge->frame + merge->length, frame + headers, length - headers);
		merge->length += length - headers;
		merge->frame[tcp + 13] |= flags;
		merge->count++;
	}
	merge->next = load32(frame + tcp + 4) + (uint32_t)(length - headers);
	merge->full = length < merge->segment;
	return true;
}

static uint32_t sum_of(const uint8_t *from, size_t length)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < length; i += 2)
		sum += load16(from + i);
	return sum;
}

static uint32_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* The headers of a joined frame. */
static void put_right(uint8_t *frame, size_t length)
{
	uint8_t *ip = frame + ETHERNET, *tcp = tcp_of(frame);
	const uint32_t segment = (uint32_t)(frame + length - tcp);
	uint32_t sum = PROTOCOL_TCP + segment;

	if (load16(frame + 12) == TYPE_IPV4) {
		store16(ip + 2, (uint32_t)(length - ETHERNET));
		store16(ip + 10, 0);
		store16(ip + 10, ~fold(sum_of(ip, IPV4)));
		sum += sum_of(ip + 12, 8);
	} else {
		store16(ip + 4, segment);
		sum += sum_of(ip + 8, 32);
	}
	store16(tcp + 16, fold(sum));
}

const void *merge_take(struct merge *merge, size_t *length)
{
	*length = merge->length;
	if (!merge->length)
		return NULL;
	if (merge->count > 1)
		put_right(merge->frame, merge->length);
	merge->length = 0;
	return merge->frame;
}
