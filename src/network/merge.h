/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Joins consecutive TCP segments of one connection, on their way to a guest, to one of up to 64
 * KiB, which the guest takes in a single go.
 */
#ifndef NETWORK_MERGE_H
#define NETWORK_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MERGE_FRAME_MAX (65535 + 14)

/* Zeroed: holds nothing. */
struct merge {
	size_t length;	/* of the frame that is held; 0: none */
	unsigned count; /* segments in it */
	size_t segment; /* length of the first's frame */
	unsigned headers;
	uint32_t next; /* sequence number behind it */
	bool full;     /* the last was shorter: the sender had no more */
	uint8_t frame[MERGE_FRAME_MAX];
};

/*
 * Offers a frame for a link of the given MTU. True: it was taken, alone if the merge held nothing,
 * else behind what it held. False: it can't be; take out what is held, then offer it again, and if
 * it is still refused, it is none that could be joined with others.
 */
bool merge_add(struct merge *merge, unsigned mtu, const void *frame, size_t length);

/*
 * The frame that is held, NULL if there is none; it stays valid until the next call, and the merge
 * holds nothing any more. One of several segments is longer than mtu + 14, has its lengths put
 * right, and the sum of its pseudo header for a TCP checksum.
 */
const void *merge_take(struct merge *merge, size_t *length);

#endif
