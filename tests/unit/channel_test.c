/* SPDX-License-Identifier: BSD-2-Clause */
#include "hosts/metal/channel.h"

#include "core/host.h"
#include "lib/bytes.h"
#include "test.h"

static struct channel *make(void)
{
	struct channel *channel = host_pages(METAL_CHANNEL_SIZE);

	REQUIRE(channel);
	channel_init(channel);
	return channel;
}

static char pattern(size_t i)
{
	return (char)(i * 7 + i / 256);
}

TEST(what_is_put_is_taken)
{
	struct channel *channel = make();
	char bytes[16] = {0};

	EXPECT_EQ(channel_put(channel, CHANNEL_OUTPUT, "hello", 5), 5);
	EXPECT_EQ(channel_put(channel, CHANNEL_INPUT, "in", 2), 2);
	EXPECT_EQ(channel_put(channel, CHANNEL_LOG, "log", 3), 3);
	EXPECT_EQ(channel_take(channel, CHANNEL_OUTPUT, bytes, 3), 3);
	EXPECT_MEM(bytes, "hel", 3);
	EXPECT_EQ(channel_take(channel, CHANNEL_OUTPUT, bytes, sizeof(bytes)), 2);
	EXPECT_MEM(bytes, "lo", 2);
	EXPECT_EQ(channel_take(channel, CHANNEL_OUTPUT, bytes, sizeof(bytes)), 0);
	EXPECT_EQ(channel_take(channel, CHANNEL_INPUT, bytes, sizeof(bytes)), 2);
	EXPECT_EQ(channel_take(channel, CHANNEL_LOG, bytes, sizeof(bytes)), 3);
	EXPECT_MEM(bytes, "log", 3);
}

TEST(a_ring_takes_what_fits_and_no_more)
{
	struct channel *channel = make();
	static char many[CHANNEL_OUTPUT_SIZE + 100], back[CHANNEL_OUTPUT_SIZE + 100];

	for (size_t i = 0; i < sizeof(many); i++)
		many[i] = pattern(i);
	EXPECT_EQ(channel_room(channel, CHANNEL_OUTPUT), CHANNEL_OUTPUT_SIZE);
	EXPECT_EQ(channel_put(channel, CHANNEL_OUTPUT, many, sizeof(many)), CHANNEL_OUTPUT_SIZE);
	EXPECT_EQ(channel_room(channel, CHANNEL_OUTPUT), 0);
	EXPECT_EQ(channel_put(channel, CHANNEL_OUTPUT, many, 1), 0);
	EXPECT_EQ(channel_take(channel, CHANNEL_OUTPUT, back, sizeof(back)), CHANNEL_OUTPUT_SIZE);
	EXPECT_MEM(back, many, CHANNEL_OUTPUT_SIZE);
	/* The neighbours have got nothing of it. */
	EXPECT_EQ(channel_take(channel, CHANNEL_INPUT, back, sizeof(back)), 0);
	EXPECT_EQ(channel_take(channel, CHANNEL_LOG, back, sizeof(back)), 0);
}

TEST(bytes_survive_the_ring_s_end_and_the_counters)
{
	struct channel *channel = make();
	size_t put = 0, taken = 0;
	char bytes[777];

	/* Near the wrap of 32 bits. */
	atomic_store(&channel->input.read, 0xfffff000u);
	atomic_store(&channel->input.write, 0xfffff000u);
	for (unsigned round = 0; round < 200; round++) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = pattern(put + i);
		put += channel_put(channel, CHANNEL_INPUT, bytes, 1 + round * 13 % sizeof(bytes));
		size_t length =
			channel_take(channel, CHANNEL_INPUT, bytes, 1 + round * 29 % sizeof(bytes));
		for (size_t i = 0; i < length; i++)
			EXPECT_EQ(bytes[i], pattern(taken + i));
		taken += length;
	}
	EXPECT(put > 20000);
	EXPECT(taken > 20000);
}

TEST(only_a_sleeping_reader_is_to_be_notified)
{
	struct channel *channel = make();
	bool notify;
	char byte;

	channel_send(channel, CHANNEL_OUTPUT, "a", 1, &notify);
	EXPECT(notify);
	channel_send(channel, CHANNEL_OUTPUT, "b", 1, &notify);
	EXPECT(!notify);
	channel_take(channel, CHANNEL_OUTPUT, &byte, 1);
	channel_send(channel, CHANNEL_OUTPUT, "c", 1, &notify);
	EXPECT(!notify);
	channel_take(channel, CHANNEL_OUTPUT, &byte, 1);
	channel_take(channel, CHANNEL_OUTPUT, &byte, 1);
	channel_send(channel, CHANNEL_OUTPUT, "", 0, &notify);
	EXPECT(!notify);
	channel_send(channel, CHANNEL_OUTPUT, "d", 1, &notify);
	EXPECT(notify);
}

/* A neighbour on each side of the channel would notice a byte out of place. */
TEST(hostile_indices_do_no_harm)
{
	uint8_t *memory = host_pages(METAL_CHANNEL_SIZE + 8192),
		*copy = host_pages(METAL_CHANNEL_SIZE);
	struct channel *channel = (struct channel *)(memory + 4096);
	static char bytes[CHANNEL_OUTPUT_SIZE + 1];
	uint32_t seed = 12345;

	REQUIRE(memory && copy);
	channel_init(channel);
	for (unsigned round = 0; round < 30000; round++) {
		struct channel_ring *rings[] = {&channel->output, &channel->input, &channel->log};
		unsigned which = round % 3;
		size_t length = seed >> 8 & 0xff;

		for (unsigned i = 0; i < 4; i++) {
			seed = seed * 1664525 + 1013904223;
			uint32_t nasty = seed & 0x10000 ? seed : seed >> 16;
			uint32_t *fields[] = {(uint32_t *)&rings[which]->read,
					      (uint32_t *)&rings[which]->write, &rings[which]->size,
					      &rings[which]->offset};

			*fields[i] = nasty;
		}
		EXPECT(channel_room(channel, which) <= CHANNEL_OUTPUT_SIZE);
		EXPECT(channel_put(channel, which, bytes, length) <= length);
		EXPECT(channel_take(channel, which, bytes, length) <= length);
		EXPECT(channel_take(channel, which, bytes, sizeof(bytes)) <= sizeof(bytes));
	}
	for (unsigned i = 0; i < 4096; i++) {
		EXPECT_EQ(memory[i], 0);
		EXPECT_EQ(memory[4096 + METAL_CHANNEL_SIZE + i], 0);
	}
}

TEST(a_ring_recovers_from_nonsense)
{
	struct channel *channel = make();
	char bytes[8];

	atomic_store(&channel->output.read, 1000);
	EXPECT_EQ(channel_room(channel, CHANNEL_OUTPUT), 0);
	EXPECT_EQ(channel_put(channel, CHANNEL_OUTPUT, "x", 1), 0);
	EXPECT_EQ(channel_take(channel, CHANNEL_OUTPUT, bytes, 8), 0);
	EXPECT_EQ(channel_put(channel, CHANNEL_OUTPUT, "x", 1), 1);
	EXPECT_EQ(channel_take(channel, CHANNEL_OUTPUT, bytes, 8), 1);
}
