/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings between two processes that don't trust each other. Each side keeps to its own index and
 * publishes it behind the bytes; all else that is in the shared memory may change at any moment, so
 * it is read once, and what can't be is a full ring to the writer and an empty one to the reader.
 */
#include "hosts/metal/channel.h"

#include "lib/bytes.h"

#define RINGS_AT ((uint32_t)(sizeof(struct channel) + 63) & ~63u)

/* Where each ring's bytes are; the header's own figures are for people. */
static const struct {
	uint32_t offset, size;
} places[] = {
	[CHANNEL_OUTPUT] = {RINGS_AT, CHANNEL_OUTPUT_SIZE},
	[CHANNEL_INPUT] = {RINGS_AT + CHANNEL_OUTPUT_SIZE, CHANNEL_INPUT_SIZE},
	[CHANNEL_LOG] = {RINGS_AT + CHANNEL_OUTPUT_SIZE + CHANNEL_INPUT_SIZE, CHANNEL_LOG_SIZE},
};

_Static_assert(RINGS_AT + CHANNEL_OUTPUT_SIZE + CHANNEL_INPUT_SIZE + CHANNEL_LOG_SIZE <=
		       METAL_CHANNEL_SIZE,
	       "the channel is too small");

static struct channel_ring *ring_of(struct channel *channel, unsigned which)
{
	return which == CHANNEL_OUTPUT	? &channel->output
	       : which == CHANNEL_INPUT ? &channel->input
					: &channel->log;
}

void channel_init(struct channel *channel)
{
	for (unsigned which = CHANNEL_OUTPUT; which <= CHANNEL_LOG; which++) {
		struct channel_ring *ring = ring_of(channel, which);

		atomic_store(&ring->read, 0);
		atomic_store(&ring->write, 0);
		ring->size = places[which].size;
		ring->offset = places[which].offset;
	}
}

/* Bytes that may be written at `write`. */
static size_t room(const struct channel_ring *ring, unsigned which, uint32_t write)
{
	uint32_t used = write - atomic_load(&ring->read);

	return used > places[which].size ? 0 : places[which].size - used;
}

size_t channel_room(const struct channel *channel, unsigned which)
{
	struct channel_ring *ring = ring_of((struct channel *)channel, which);

	return room(ring, which, atomic_load(&ring->write));
}

/* A ring's bytes from `at` on, in one piece or two. */
struct pieces {
	char *first, *second;
	size_t first_length, second_length;
};

static struct pieces pieces_at(struct channel *channel, unsigned which, uint32_t at, size_t length)
{
	char *bytes = (char *)channel + places[which].offset;
	size_t from = at & (places[which].size - 1), left = places[which].size - from;
	size_t first = length < left ? length : left;

	return (struct pieces){.first = bytes + from,
			       .second = bytes,
			       .first_length = first,
			       .second_length = length - first};
}

/*
 * Either the reader, which publishes `read` before it looks at `write` once more, sees what is
 * new, or we see here that it had taken all: both are sequentially consistent.
 */
size_t channel_send(struct channel *channel, unsigned which, const char *bytes, size_t length,
		    bool *notify)
{
	struct channel_ring *ring = ring_of(channel, which);
	uint32_t write = atomic_load(&ring->write);
	size_t free_bytes = room(ring, which, write);
	struct pieces to;

	if (length > free_bytes)
		length = free_bytes;
	to = pieces_at(channel, which, write, length);
	bytes_copy(to.first, bytes, to.first_length);
	bytes_copy(to.second, bytes + to.first_length, to.second_length);
	atomic_store(&ring->write, write + (uint32_t)length);
	*notify = length && atomic_load(&ring->read) == write;
	return length;
}

size_t channel_put(struct channel *channel, unsigned which, const char *bytes, size_t length)
{
	bool notify;

	return channel_send(channel, which, bytes, length, &notify);
}

size_t channel_take(struct channel *channel, unsigned which, char *bytes, size_t length)
{
	struct channel_ring *ring = ring_of(channel, which);
	uint32_t read = atomic_load(&ring->read), used = atomic_load(&ring->write) - read;
	struct pieces from;

	if (used > places[which].size) {
		/* Nonsense: it is given up, as the writer can go on then. */
		atomic_store(&ring->read, read + used);
		return 0;
	}
	if (length > used)
		length = used;
	from = pieces_at(channel, which, read, length);
	bytes_copy(bytes, from.first, from.first_length);
	bytes_copy(bytes + from.first_length, from.second, from.second_length);
	atomic_store(&ring->read, read + (uint32_t)length);
	return length;
}
