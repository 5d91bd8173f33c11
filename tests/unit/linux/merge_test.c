/* SPDX-License-Identifier: BSD-2-Clause */
/* Joining of TCP segments. */
#include "test.h"

#include "network/merge.h"

#include <string.h>

enum { MTU = 1500, DATA = 1436, ETHERNET = 14, HEADERS4 = 54, HEADERS6 = 74 };

static struct merge merge;
static uint8_t frame[2048];

static void put16(uint8_t *to, unsigned value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static unsigned get16(const uint8_t *from)
{
	return from[0] * 256u + from[1];
}

/* A segment of length bytes of data, each `fill`; returns the frame's length. */
static size_t segment(bool v6, uint32_t sequence, unsigned length, uint8_t fill)
{
	unsigned headers = v6 ? HEADERS6 : HEADERS4;
	uint8_t *ip = frame + ETHERNET, *tcp = frame + headers - 20;

	memset(frame, 0, sizeof(frame));
	put16(frame + 12, v6 ? 0x86dd : 0x0800);
	if (v6) {
		ip[0] = 0x60;
		put16(ip + 4, 20 + length);
		ip[6] = 6;
		ip[23] = 1;
		ip[39] = 2;
	} else {
		ip[0] = 0x45;
		put16(ip + 2, 40 + length);
		put16(ip + 4, sequence); /* identification */
		ip[8] = 64;
		ip[9] = 6;
		put16(ip + 12, 0x0a00);
		put16(ip + 14, 0x0202);
		put16(ip + 16, 0x0a00);
		put16(ip + 18, 0x020f);
	}
	put16(tcp, 80);
	put16(tcp + 2, 1024);
	put16(tcp + 4, sequence >> 16);
	put16(tcp + 6, sequence & 0xffff);
	tcp[12] = 5 << 4;
	tcp[13] = 16;
	put16(tcp + 16, 0x1234);
	memset(frame + headers, fill, length);
	return headers + length;
}

static bool add(size_t length)
{
	return merge_add(&merge, MTU, frame, length);
}

static uint32_t sum(const uint8_t *from, size_t length)
{
	uint32_t total = 0;

	for (size_t i = 0; i < length; i += 2)
		total += get16(from + i);
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return total;
}

TEST(segments_are_joined)
{
	size_t length;
	const uint8_t *joined;
	uint8_t pseudo[12] = {10, 0, 2, 2, 10, 0, 2, 15, 0, 6};

	memset(&merge, 0, sizeof(merge));
	EXPECT(add(segment(false, 0xffffff00, DATA, 'a')));
	EXPECT(add(segment(false, 0xffffff00 + DATA, DATA, 'b')));
	EXPECT(add(segment(false, 0xffffff00 + 2 * DATA, 101, 'c')));
	EXPECT(!add(
		segment(false, 0xffffff00 + 2 * DATA + 101, DATA, 'd'))); /* behind a short one */
	joined = merge_take(&merge, &length);
	REQUIRE(joined && length == HEADERS4 + 2 * DATA + 101);
	EXPECT_EQ(get16(joined + 16), length - 14);
	EXPECT_EQ(sum(joined + 14, 20), 0xffff);
	put16(pseudo + 10, (unsigned)length - 34);
	EXPECT_EQ(get16(joined + 50), sum(pseudo, sizeof(pseudo)));
	EXPECT_EQ(joined[HEADERS4 + DATA - 1], 'a');
	EXPECT_EQ(joined[HEADERS4 + DATA], 'b');
	EXPECT_EQ(joined[HEADERS4 + 2 * DATA], 'c');
	EXPECT(!merge_take(&merge, &length));
}

TEST(segments_of_ipv6_are_joined)
{
	size_t length;
	const uint8_t *joined;

	memset(&merge, 0, sizeof(merge));
	EXPECT(add(segment(true, 1, DATA - 20, 'a')));
	EXPECT(add(segment(true, 1 + DATA - 20, DATA - 20, 'b')));
	joined = merge_take(&merge, &length);
	REQUIRE(joined && length == HEADERS6 + 2 * (DATA - 20));
	EXPECT_EQ(get16(joined + 18), length - ETHERNET - 40);
	EXPECT_EQ(get16(joined + 54 + 16), 1 + 2 + 6 + (length - ETHERNET - 40));
}

TEST(one_alone_stays_as_it_is)
{
	size_t length, size = segment(false, 7, DATA, 'a');

	memset(&merge, 0, sizeof(merge));
	EXPECT(add(size));
	EXPECT_MEM(merge_take(&merge, &length), frame, size);
	EXPECT_EQ(length, size);
}

TEST(what_is_not_the_next_segment_is_refused)
{
	size_t length = segment(false, 1, DATA, 'a');

	memset(&merge, 0, sizeof(merge));
	EXPECT(add(length));
	EXPECT(!add(length)); /* once more */
	segment(false, 2 + DATA, DATA, 'b');
	EXPECT(!add(length)); /* a gap */
	segment(false, 1 + DATA, DATA, 'b');
	frame[37]++; /* another port */
	EXPECT(!add(length));
	segment(false, 1 + DATA, DATA, 'b');
	frame[45]++; /* another acknowledgement */
	EXPECT(!add(length));
	segment(false, 1 + DATA, DATA, 'b');
	frame[47] |= 1; /* FIN */
	EXPECT(!add(length));
	segment(false, 1 + DATA, DATA, 'b');
	frame[23] = 17; /* UDP */
	EXPECT(!add(length));
	segment(false, 1 + DATA, DATA, 'b');
	frame[20] |= 0x20; /* a fragment */
	EXPECT(!add(length));
	EXPECT(!add(segment(false, 1 + DATA, 0, 'b')));
	EXPECT(add(segment(false, 1 + DATA, DATA, 'b')));
}

TEST(a_joined_frame_is_longer_than_the_mtu_and_at_most_64_kib)
{
	size_t length;
	unsigned i = 0;

	memset(&merge, 0, sizeof(merge));
	EXPECT(add(segment(false, 1, 100, 'a')));
	EXPECT(!add(segment(false, 101, 100, 'b')));
	EXPECT(merge_take(&merge, &length));
	while (add(segment(false, 1 + i * DATA, DATA, 'a')))
		i++;
	EXPECT_EQ(i, (MERGE_FRAME_MAX - HEADERS4) / DATA);
}

TEST(frames_cut_anywhere_are_refused)
{
	size_t length = segment(true, 1, DATA, 'a');

	memset(&merge, 0, sizeof(merge));
	for (size_t cut = 0; cut < length; cut++)
		EXPECT(!add(cut));
	length = segment(false, 1, DATA, 'a');
	frame[46] = 15 << 4; /* headers longer than the frame */
	EXPECT(!add(HEADERS4));
}
