/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtual switch: who gets which frame, and what is counted. The test plays the kernel around
 * it. */
#include "test.h"

#include <stddef.h>

#include "kernel/process.h"
#include "kernel/switch.h"
#include "lib/bytes.h"
#include "lib/error.h"

#define PORTS 4

static struct process processes[PORTS];
static struct switch_port *ports[PORTS];
static unsigned events[PORTS];

static _Alignas(16) uint8_t pages[PORTS + 1][0x10000];
static unsigned pages_used;

void *kernel_pages(uint64_t size)
{
	REQUIRE(pages_used <= PORTS && size <= sizeof(pages[0]));
	return pages[pages_used++];
}

void kernel_pages_free(void *freed, uint64_t size)
{
	bytes_fill(freed, 0xdb, size);
}

void process_event(struct process *process, uint32_t bits)
{
	EXPECT_EQ(bits, METAL_EVENT_FRAME);
	events[process->id]++;
}

/* Ports 0 to 2 are on switch 1, port 3 on switch 2. */
static void plug(void)
{
	for (unsigned i = 0; i < PORTS; i++) {
		processes[i].id = i;
		bytes_copy(processes[i].config.mac, (const uint8_t[]){2, 0, 0, 0, 0, (uint8_t)i},
			   6);
		ports[i] = switch_port_create(&processes[i], i < 3 ? 1 : 2);
		REQUIRE(ports[i]);
	}
}

static int send(unsigned from, unsigned to, uint64_t length)
{
	uint8_t frame[METAL_FRAME_MAX + 1] = {2, 0, 0, 0, 0, (uint8_t)to,
					      2, 0, 0, 0, 0, (uint8_t)from};

	if (to == 0xff)
		bytes_fill(frame, 0xff, 6);
	for (unsigned i = 14; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7 + from);
	return switch_send(ports[from], frame, length);
}

static int64_t receive(unsigned port)
{
	static uint8_t frame[METAL_FRAME_MAX];
	int64_t length = switch_receive(ports[port], frame);

	for (int64_t i = 14; i < length; i++)
		if (!EXPECT_EQ(frame[i], (uint8_t)(i * 7 + frame[11])))
			break;
	return length;
}

TEST(a_broadcast_reaches_all_others_on_the_switch)
{
	plug();
	EXPECT_EQ(send(0, 0xff, 60), 0);
	EXPECT_EQ(receive(0), -EAGAIN);
	EXPECT_EQ(receive(1), 60);
	EXPECT_EQ(receive(2), 60);
	EXPECT_EQ(receive(1), -EAGAIN);
	EXPECT_EQ(receive(3), -EAGAIN);
}

TEST(an_unknown_address_is_flooded_a_known_one_not)
{
	plug();
	EXPECT_EQ(send(0, 1, 60), 0);
	EXPECT_EQ(receive(1), 60);
	EXPECT_EQ(receive(2), 60);
	EXPECT_EQ(send(1, 0, 61), 0);
	EXPECT_EQ(receive(0), 61);
	EXPECT_EQ(receive(2), -EAGAIN);
	EXPECT_EQ(send(0, 1, 62), 0);
	EXPECT_EQ(receive(1), 62);
	EXPECT_EQ(receive(2), -EAGAIN);
}

TEST(switches_are_apart)
{
	plug();
	EXPECT_EQ(send(3, 0xff, 60), 0);
	EXPECT_EQ(send(3, 0, 60), 0);
	for (unsigned i = 0; i < PORTS; i++)
		EXPECT_EQ(receive(i), -EAGAIN);
}

TEST(a_frame_to_oneself_goes_nowhere)
{
	plug();
	EXPECT_EQ(send(0, 0xff, 60), 0);
	EXPECT_EQ(send(0, 0, 60), 0);
	EXPECT_EQ(receive(0), -EAGAIN);
	EXPECT_EQ(receive(1), 60);
	EXPECT_EQ(receive(1), -EAGAIN);
}

TEST(a_false_source_is_refused)
{
	uint8_t frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1};

	plug();
	EXPECT_EQ(switch_send(ports[0], frame, sizeof(frame)), -EACCES);
	EXPECT_EQ(receive(1), -EAGAIN);
	EXPECT_EQ(receive(2), -EAGAIN);
}

TEST(lengths_have_bounds)
{
	plug();
	EXPECT_EQ(send(0, 1, 13), -EINVAL);
	EXPECT_EQ(send(0, 1, 0), -EINVAL);
	EXPECT_EQ(send(0, 1, METAL_FRAME_MAX + 1), -EINVAL);
	EXPECT_EQ(send(0, 1, UINT64_MAX), -EINVAL);
	EXPECT_EQ(send(0, 1, 14), 0);
	EXPECT_EQ(send(0, 1, METAL_FRAME_MAX), 0);
	EXPECT_EQ(receive(1), 14);
	EXPECT_EQ(receive(1), METAL_FRAME_MAX);
}

TEST(a_queue_is_bounded_and_loses_the_newest)
{
	struct metal_process_info info;
	unsigned got = 0;

	plug();
	for (unsigned i = 0; i < 300; i++)
		EXPECT_EQ(send(0, 0xff, 60), 0);
	while (receive(1) == 60)
		got++;
	EXPECT_EQ(got, 128);
	switch_count(ports[1], &info);
	EXPECT_EQ(info.frames_received, 128);
	EXPECT_EQ(info.frames_lost, 172);
	switch_count(ports[0], &info);
	EXPECT_EQ(info.frames_sent, 300);
	EXPECT_EQ(info.frames_lost, 0);
}

TEST(frames_of_all_lengths_go_round_the_ring)
{
	plug();
	send(1, 0xff, 60);
	for (unsigned i = 0; i < 5000; i++) {
		uint64_t length = 14 + i * 37 % (METAL_FRAME_MAX - 13);

		EXPECT_EQ(send(0, 1, length), 0);
		if (i % 3)
			EXPECT_EQ(send(0, 1, length), 0);
		if (!EXPECT_EQ(receive(1), (int64_t)length))
			break;
		if (i % 3)
			EXPECT_EQ(receive(1), (int64_t)length);
	}
}

TEST(an_event_comes_when_a_queue_stops_being_empty)
{
	plug();
	send(0, 0xff, 60);
	send(0, 0xff, 60);
	EXPECT_EQ(events[1], 1);
	receive(1);
	send(0, 0xff, 60);
	EXPECT_EQ(events[1], 1);
	receive(1);
	receive(1);
	send(0, 0xff, 60);
	EXPECT_EQ(events[1], 2);
}

TEST(an_unplugged_port_is_forgotten)
{
	plug();
	send(1, 0xff, 60);
	switch_port_destroy(ports[1]);
	EXPECT_EQ(send(0, 1, 60), 0);
	/* Nobody is known by that address any more. */
	EXPECT_EQ(receive(2), 60);
	EXPECT_EQ(receive(2), 60);
}

TEST(of_two_with_one_address_the_last_to_speak_gets_the_frame)
{
	struct switch_port *twin;
	uint8_t frame[METAL_FRAME_MAX] = {2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1};

	plug();
	twin = switch_port_create(&processes[1], 1);
	send(1, 0, 60);
	EXPECT_EQ(switch_send(twin, frame, 60), 0);
	send(0, 0xff, 60);
	while (switch_receive(ports[1], frame) > 0)
		;
	while (switch_receive(twin, frame) > 0)
		;
	send(0, 1, 61);
	EXPECT_EQ(switch_receive(twin, frame), 61);
	EXPECT_EQ(receive(1), -EAGAIN);
}
