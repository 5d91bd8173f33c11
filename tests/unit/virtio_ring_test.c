/* SPDX-License-Identifier: BSD-2-Clause */
/* The split virtqueue, against drivers good and bad. The device under test does nothing but count.
 */
#include "test.h"
#include "virtio_driver.h"

#include "lib/error.h"

enum { SIZE = 8 };

static struct driver driver;
static struct virtqueue ring;
static struct slice slices[VIRTQUEUE_SIZE_MAX];
static struct virtqueue_chain chain;

static void start(void)
{
	REQUIRE(driver_machine(&driver, 1) == 0);
	driver_queue_init(&driver, 0, SIZE);
	virtqueue_init(&ring, &driver.vm, SIZE);
	ring.descriptors = driver.queue[0].descriptors;
	ring.driver = driver.queue[0].available;
	ring.device = driver.queue[0].used;
	virtqueue_enable(&ring);
	REQUIRE(!ring.broken);
	driver_audit(&driver);
}

static int pop(void)
{
	return virtqueue_pop(&ring, &chain, slices, VIRTQUEUE_SIZE_MAX);
}

static void describe(unsigned index, uint64_t address, uint32_t length, uint16_t flags,
		     uint16_t next)
{
	driver_describe(&driver, ring.descriptors + 16 * index, address, length, flags, next);
}

static void offer(uint16_t head)
{
	driver_offer(&driver, 0, head);
	driver_show(&driver, 0);
}

TEST(empty_queue_has_nothing)
{
	start();
	EXPECT_EQ(pop(), 0);
	EXPECT(!ring.broken);
}

TEST(chain_comes_with_its_buffers_in_order)
{
	start();
	describe(3, 0x10000, 16, 1, 5);
	describe(5, 0x20000, 100, 1 | 2, 0);
	describe(0, 0x30000, 1, 2, 7);
	offer(3);
	REQUIRE(pop() == 1);
	EXPECT_EQ(chain.head, 3);
	EXPECT_EQ(chain.readable_count, 1);
	EXPECT_EQ(chain.writable_count, 2);
	EXPECT_EQ(chain.readable_length, 16);
	EXPECT_EQ(chain.writable_length, 101);
	EXPECT_EQ(chain.readable[0].base, driver_at(&driver, 0x10000));
	EXPECT_EQ(chain.writable[0].base, driver_at(&driver, 0x20000));
	EXPECT_EQ(chain.writable[1].base, driver_at(&driver, 0x30000));
	EXPECT_EQ(pop(), 0);
}

TEST(push_is_seen_only_after_publish_and_every_written_byte_is_told)
{
	const uint8_t bytes[50] = {1, 2, 3};
	uint32_t length = 0;

	start();
	describe(0, 0x20000, 20, 1 | 2, 1);
	describe(1, 0x30000, 100, 2, 0);
	offer(0);
	REQUIRE(pop() == 1);
	EXPECT_EQ(virtqueue_chain_write(&chain, 10, bytes, sizeof(bytes)), 50);
	virtqueue_push(&ring, &chain, 60);
	EXPECT_EQ(driver_used(&driver, 0, NULL), -1);
	EXPECT(virtqueue_publish(&ring));
	EXPECT_EQ(driver_used(&driver, 0, &length), 0);
	EXPECT_EQ(length, 60);
	EXPECT_EQ(ring.in_flight, 0);
	EXPECT_EQ(driver.told[0x20000] + driver.told[0x30000 + 39], 2);
	EXPECT_EQ(driver.told[0x30000 + 40], 0);
	EXPECT_EQ(driver_audit(&driver), 0);
}

TEST(indices_wrap_around)
{
	start();
	ring.next_available = ring.next_used = ring.published = 0xfffe;
	driver.queue[0].next_available = driver.queue[0].next_used = 0xfffe;
	driver_put16(&driver, ring.device + 2, 0xfffe);
	describe(0, 0x20000, 4, 2, 0);
	for (unsigned i = 0; i < 4; i++) {
		offer(0);
		REQUIRE(pop() == 1);
		virtqueue_push(&ring, &chain, 4);
		EXPECT(virtqueue_publish(&ring));
		EXPECT_EQ(driver_used(&driver, 0, NULL), 0);
	}
	EXPECT_EQ(driver_get16(&driver, ring.device + 2), 2);
}

TEST(no_interrupt_flag_is_obeyed)
{
	start();
	driver_put16(&driver, ring.driver, 1);
	describe(0, 0x20000, 4, 2, 0);
	offer(0);
	REQUIRE(pop() == 1);
	virtqueue_push(&ring, &chain, 0);
	EXPECT(!virtqueue_publish(&ring));
}

TEST(used_event_says_when_to_interrupt)
{
	start();
	ring.event_index = true;
	describe(0, 0x20000, 4, 2, 0);
	driver_put16(&driver, ring.driver + 4 + 2 * SIZE, 1); /* after the second */
	for (unsigned i = 0; i < 3; i++) {
		offer(0);
		REQUIRE(pop() == 1);
		virtqueue_push(&ring, &chain, 0);
		EXPECT_EQ(virtqueue_publish(&ring), i == 1);
	}
}

TEST(what_is_shown_counts_when_it_is_published)
{
	start();
	ring.event_index = true;
	describe(0, 0x20000, 4, 2, 0);
	driver_put16(&driver, ring.driver + 4 + 2 * SIZE, 0); /* after the first */
	for (unsigned i = 0; i < 2; i++) {
		offer(0);
		REQUIRE(pop() == 1);
		virtqueue_push(&ring, &chain, 0);
		virtqueue_show(&ring);
		EXPECT_EQ(driver_used(&driver, 0, NULL), 0);
	}
	EXPECT_EQ(driver_audit(&driver), 0);
	EXPECT(virtqueue_publish(&ring));
	EXPECT(!virtqueue_publish(&ring));
	/* A driver that has looked meanwhile wants none. */
	offer(0);
	REQUIRE(pop() == 1);
	virtqueue_push(&ring, &chain, 0);
	virtqueue_show(&ring);
	driver_put16(&driver, ring.driver + 4 + 2 * SIZE, 3);
	EXPECT(!virtqueue_publish(&ring));
}

TEST(await_asks_for_the_next_notification)
{
	start();
	ring.event_index = true;
	describe(0, 0x20000, 4, 2, 0);
	offer(0);
	EXPECT(virtqueue_await(&ring));
	REQUIRE(pop() == 1);
	EXPECT(!virtqueue_await(&ring));
	EXPECT_EQ(driver_get16(&driver, ring.device + 4 + 8 * SIZE), 1);
	EXPECT_EQ(driver_audit(&driver), 0);
}

TEST(unpop_gives_the_same_chain_again)
{
	start();
	describe(2, 0x20000, 4, 2, 0);
	offer(2);
	REQUIRE(pop() == 1);
	virtqueue_unpop(&ring, 1);
	EXPECT_EQ(ring.in_flight, 0);
	REQUIRE(pop() == 1);
	EXPECT_EQ(chain.head, 2);
}

TEST(indirect_table_is_followed)
{
	start();
	ring.indirect = true;
	describe(0, 0x10000, 8, 1, 1);
	describe(1, 0x11001, 48, 4, 0); /* tables need no alignment */
	driver_describe(&driver, 0x11001, 0x20000, 16, 1, 2);
	driver_describe(&driver, 0x11001 + 32, 0x30000, 32, 2, 0);
	offer(0);
	REQUIRE(pop() == 1);
	EXPECT_EQ(chain.readable_count, 2);
	EXPECT_EQ(chain.readable_length, 24);
	EXPECT_EQ(chain.writable_length, 32);
}

TEST(empty_buffers_are_skipped)
{
	start();
	describe(0, UINT64_MAX, 0, 1, 1);
	describe(1, 0x20000, 4, 2, 0);
	offer(0);
	REQUIRE(pop() == 1);
	EXPECT_EQ(chain.readable_count, 0);
	EXPECT_EQ(chain.writable_length, 4);
}

TEST(longest_chain_is_the_size_of_the_queue)
{
	start();
	for (unsigned i = 0; i < SIZE; i++)
		describe(i, 0x20000, 1, i + 1 < SIZE ? 1 : 0, (uint16_t)(i + 1));
	offer(0);
	REQUIRE(pop() == 1);
	EXPECT_EQ(chain.readable_count, SIZE);
}

/* Each row is one bad chain; descriptor 0 is the head. */
TEST(bad_chains_break_the_queue)
{
	static const struct {
		const char *what;
		uint64_t address;
		uint32_t length;
		uint16_t flags, next;
	} rows[] = {
		{"loop", 0x20000, 1, 1, 0},
		{"next beyond the table", 0x20000, 1, 1, SIZE},
		{"outside of memory", DRIVER_MEMORY, 1, 0, 0},
		{"ends outside of memory", DRIVER_MEMORY - 1, 2, 0, 0},
		{"wraps around", UINT64_MAX - 3, 8, 0, 0},
		{"longer than memory", 0, UINT32_MAX, 0, 0},
		{"indirect not agreed on", 0x20000, 16, 4, 0},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start();
		describe(0, rows[i].address, rows[i].length, rows[i].flags, rows[i].next);
		offer(0);
		if (!EXPECT_EQ(pop(), -EPROTO))
			FAIL("%s was accepted", rows[i].what);
		EXPECT(ring.broken);
		EXPECT_EQ(ring.in_flight, 0);
		EXPECT_EQ(pop(), -EPROTO);
		driver_end(&driver);
	}
}

TEST(bad_indirect_tables_break_the_queue)
{
	static const struct {
		const char *what;
		uint64_t address;
		uint32_t length;
		uint16_t flags;
		uint16_t inner_flags, inner_next;
	} rows[] = {
		{"with a next descriptor", 0x11000, 32, 4 | 1, 0, 0},
		{"empty", 0x11000, 0, 4, 0, 0},
		{"odd length", 0x11000, 24, 4, 0, 0},
		{"outside of memory", DRIVER_MEMORY - 16, 32, 4, 0, 0},
		{"in an indirect table", 0x11000, 32, 4, 4, 0},
		{"loop", 0x11000, 32, 4, 1, 0},
		{"next beyond the table", 0x11000, 32, 4, 1, 2},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start();
		ring.indirect = true;
		describe(0, rows[i].address, rows[i].length, rows[i].flags, 0);
		driver_describe(&driver, 0x11000, 0x20000, 16, rows[i].inner_flags,
				rows[i].inner_next);
		offer(0);
		if (!EXPECT_EQ(pop(), -EPROTO))
			FAIL("%s was accepted", rows[i].what);
		driver_end(&driver);
	}
}

/* What the device announces is meant for the queue that it offers. */
TEST(indirect_chain_may_be_as_long_as_the_queue_that_was_offered)
{
	for (unsigned count = 2 * SIZE; count <= 2 * SIZE + 1; count++) {
		start();
		ring.size_max = 2 * SIZE;
		ring.indirect = true;
		describe(0, 0x11000, 16 * count, 4, 0);
		for (unsigned i = 0; i < count; i++)
			driver_describe(&driver, 0x11000 + 16 * i, 0x20000, 1, i + 1 < count,
					(uint16_t)(i + 1));
		offer(0);
		EXPECT_EQ(pop(), count == 2 * SIZE ? 1 : -EPROTO);
		driver_end(&driver);
	}
}

TEST(indirect_chain_longer_than_the_queue_breaks_it)
{
	start();
	ring.indirect = true;
	describe(0, 0x11000, 16 * 64, 4, 0);
	for (unsigned i = 0; i < 64; i++)
		driver_describe(&driver, 0x11000 + 16 * i, 0x20000, 1, 1, (uint16_t)(i + 1));
	offer(0);
	EXPECT_EQ(pop(), -EPROTO);
}

TEST(readable_behind_writable_breaks_the_queue)
{
	start();
	describe(0, 0x20000, 1, 1 | 2, 1);
	describe(1, 0x20000, 1, 0, 0);
	offer(0);
	EXPECT_EQ(pop(), -EPROTO);
}

TEST(head_beyond_the_table_breaks_the_queue)
{
	start();
	offer(SIZE);
	EXPECT_EQ(pop(), -EPROTO);
}

TEST(available_index_that_jumps_breaks_the_queue)
{
	start();
	driver_put16(&driver, ring.driver + 2, SIZE + 1);
	EXPECT_EQ(pop(), -EPROTO);
	start();
	driver_put16(&driver, ring.driver + 2, 0xffff); /* backwards */
	EXPECT_EQ(pop(), -EPROTO);
}

TEST(chain_without_room_for_its_slices_breaks_the_queue)
{
	start();
	describe(0, 0x20000, 1, 1, 1);
	describe(1, 0x20000, 1, 0, 0);
	offer(0);
	EXPECT_EQ(virtqueue_pop(&ring, &chain, slices, 1), -EPROTO);
}

TEST(rings_outside_of_memory_or_unaligned_are_refused)
{
	static const uint64_t bad[][3] = {
		{8, 0, 0},
		{0, 1, 0},
		{0, 0, 2},
		{DRIVER_MEMORY - 16, 0, 0},
		{0, DRIVER_MEMORY - 2, 0},
		{0, 0, DRIVER_MEMORY - 4},
		{0, 0, UINT64_MAX - 3},
		{UINT64_MAX - 15, 0, 0},
	};

	REQUIRE(driver_machine(&driver, 1) == 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		virtqueue_init(&ring, &driver.vm, SIZE);
		ring.descriptors = bad[i][0];
		ring.driver = bad[i][1];
		ring.device = bad[i][2];
		virtqueue_enable(&ring);
		EXPECT(ring.broken);
		EXPECT_EQ(pop(), -EPROTO);
		EXPECT(!virtqueue_publish(&ring));
		EXPECT(!virtqueue_await(&ring));
	}
}

TEST(chain_read_consumes_across_slices)
{
	uint8_t bytes[12] = {0};

	start();
	driver_put(&driver, 0x20000, "abc", 3);
	driver_put(&driver, 0x30000, "defghi", 6);
	describe(0, 0x20000, 3, 1, 1);
	describe(1, 0x30000, 6, 0, 0);
	offer(0);
	REQUIRE(pop() == 1);
	EXPECT_EQ(virtqueue_chain_read(&chain, bytes, 5), 5);
	EXPECT_MEM(bytes, "abcde", 5);
	EXPECT_EQ(chain.readable_length, 4);
	EXPECT_EQ(chain.readable_count, 1);
	EXPECT_EQ(virtqueue_chain_read(&chain, bytes, 12), 4);
	EXPECT_MEM(bytes, "fghi", 4);
	EXPECT_EQ(chain.readable_count, 0);
}

TEST(cut_last_takes_the_last_writable_byte)
{
	start();
	describe(0, 0x20000, 3, 1 | 2, 1);
	describe(1, 0x30000, 1, 2, 0);
	offer(0);
	REQUIRE(pop() == 1);
	EXPECT_EQ(virtqueue_chain_cut_last(&chain), driver_at(&driver, 0x30000));
	EXPECT_EQ(chain.writable_count, 1);
	EXPECT_EQ(virtqueue_chain_cut_last(&chain), driver_at(&driver, 0x20002));
	EXPECT_EQ(chain.writable_length, 2);
}
