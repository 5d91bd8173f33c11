/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames that wait, in their order. One thread at a time. */
#ifndef NETWORK_FRAME_QUEUE_H
#define NETWORK_FRAME_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_QUEUE_BYTES (1u << 20)

/* Zeroed: empty. */
struct frame_queue {
	size_t first, used; /* bytes; four of length before each frame */
	uint8_t bytes[FRAME_QUEUE_BYTES];
};

/* Adds a frame if `used` doesn't go above most (up to FRAME_QUEUE_BYTES) by that. */
bool frame_queue_add(struct frame_queue *queue, const void *frame, size_t length, size_t most);

/* Copies the first frame, of the largest that was added at most, without taking it. Its length; 0:
 * there is none. */
size_t frame_queue_first(const struct frame_queue *queue, void *frame);

/* The first frame, which is of this length, is done with. */
void frame_queue_drop(struct frame_queue *queue, size_t length);

#endif
