/* SPDX-License-Identifier: BSD-2-Clause */
#include "network/frame_queue.h"

#include <string.h>

static void bytes_in(struct frame_queue *queue, const void *bytes, size_t length)
{
	size_t at = (queue->first + queue->used) % FRAME_QUEUE_BYTES;
	size_t part = FRAME_QUEUE_BYTES - at < length ? FRAME_QUEUE_BYTES - at : length;

	memcpy(queue->bytes + at, bytes, part);
	memcpy(queue->bytes, (const uint8_t *)bytes + part, length - part);
	queue->used += length;
}

static void bytes_at(const struct frame_queue *queue, size_t skip, void *bytes, size_t length)
{
	size_t at = (queue->first + skip) % FRAME_QUEUE_BYTES;
	size_t part = FRAME_QUEUE_BYTES - at < length ? FRAME_QUEUE_BYTES - at : length;

	memcpy(bytes, queue->bytes + at, part);
	memcpy((uint8_t *)bytes + part, queue->bytes, length - part);
}

bool frame_queue_add(struct frame_queue *queue, const void *frame, size_t length, size_t most)
{
	uint32_t length32 = (uint32_t)length;

	if (queue->used > most || most - queue->used < sizeof(length32) + length)
		return false;
	bytes_in(queue, &length32, sizeof(length32));
	bytes_in(queue, frame, length);
	return true;
}

size_t frame_queue_first(const struct frame_queue *queue, void *frame)
{
	uint32_t length;

	if (!queue->used)
		return 0;
	bytes_at(queue, 0, &length, sizeof(length));
	bytes_at(queue, sizeof(length), frame, length);
	return length;
}

void frame_queue_drop(struct frame_queue *queue, size_t length)
{
	length += sizeof(uint32_t);
	queue->first = (queue->first + length) % FRAME_QUEUE_BYTES;
	queue->used -= length;
}
