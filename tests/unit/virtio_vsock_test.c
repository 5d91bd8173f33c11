/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket device between a driver, honest or not, and streams that note what they are told. */
#include "device_fixture.h"
#include "test.h"
#include "virtio_driver.h"

#include "devices/virtio/vsock.h"
#include "lib/error.h"

enum { SLOT = 5, PORT = 512, HEADER = VIRTIO_VSOCK_HEADER };
enum { REQUEST = 1, RESPONSE, RST, SHUTDOWN, DATA, CREDIT_UPDATE, CREDIT_REQUEST };

struct end {
	struct stream stream;
	uint8_t bytes[8192];
	size_t length;
	unsigned opened, input_ready, ended, closed;
	int error;
	bool close_at_once;
};

static struct driver driver;
static struct virtio_vsock vsock;
static struct caller caller;
static struct end end[2];
static uint64_t buffers[128]; /* of the receive queue, by descriptor */

static void end_opened(struct stream *stream)
{
	container_of(stream, struct end, stream)->opened++;
}

static void end_write(struct stream *stream, const void *bytes, size_t length)
{
	struct end *one = container_of(stream, struct end, stream);

	REQUIRE(one->length + length <= sizeof(one->bytes));
	bytes_copy(one->bytes + one->length, bytes, length);
	one->length += length;
	if (one->close_at_once)
		caller.close(stream);
}

static void end_input_ready(struct stream *stream)
{
	container_of(stream, struct end, stream)->input_ready++;
}

static void end_ended(struct stream *stream)
{
	container_of(stream, struct end, stream)->ended++;
}

static void end_closed(struct stream *stream, int error)
{
	container_of(stream, struct end, stream)->closed++;
	container_of(stream, struct end, stream)->error = error;
}

static const struct stream_ops end_ops = {end_opened, end_write, end_input_ready, end_ended,
					  end_closed};

/* Gives the device so many buffers of this size. */
static void room(unsigned count, uint32_t size)
{
	for (unsigned i = 0; i < count; i++) {
		struct driver_buffer buffer = driver_writable(&driver, size);

		buffers[driver_add(&driver, 0, &buffer, 1)] = buffer.address;
	}
	driver_kick(&driver, 0);
}

static void start(void)
{
	REQUIRE(driver_machine(&driver, 1) == 0);
	vm_lock(&driver.vm);
	REQUIRE(virtio_vsock_init(&vsock, &driver.vm, &driver.bus, SLOT, "vsock0", &caller) == 0);
	vm_unlock(&driver.vm);
	driver_power_on(&driver, SLOT);
	for (unsigned i = 0; i < 2; i++)
		end[i].stream = (struct stream){.ops = &end_ops, .room = 4096};
	REQUIRE(driver_begin(&driver, 0, 0));
}

static int call(unsigned index, uint32_t port)
{
	int error;

	vm_lock(&driver.vm);
	error = caller.call(caller.device, &end[index].stream, port);
	vm_unlock(&driver.vm);
	return error;
}

static size_t input(unsigned index, const void *bytes, size_t length)
{
	size_t taken;

	vm_lock(&driver.vm);
	taken = caller.input(&end[index].stream, bytes, length);
	vm_unlock(&driver.vm);
	return taken;
}

static void consumed(unsigned index, uint32_t length)
{
	vm_lock(&driver.vm);
	caller.consumed(&end[index].stream, length);
	vm_unlock(&driver.vm);
}

/* The device's next message, or NULL. */
static const uint8_t *received(void)
{
	int head = driver_used(&driver, 0, NULL);

	return head < 0 ? NULL : driver_at(&driver, buffers[head]);
}

/* Its next message is this one; returns it. */
static const uint8_t *expect(unsigned operation, uint32_t to, uint32_t length)
{
	const uint8_t *header = received();

	REQUIRE(header != NULL);
	EXPECT_EQ(bytes_load64(header), 2);
	EXPECT_EQ(bytes_load64(header + 8), 3);
	EXPECT_EQ(bytes_load32(header + 20), to);
	EXPECT_EQ(bytes_load32(header + 24), length);
	EXPECT_EQ(bytes_load16(header + 28), 1);
	EXPECT_EQ(bytes_load16(header + 30), operation);
	return header;
}

struct sent {
	uint32_t from, to, length, flags, room, consumed;
	uint16_t type;
};

/* The guest says something; text: behind the header. */
static void say_raw(unsigned operation, const struct sent *sent, const void *text, uint32_t size)
{
	uint8_t header[HEADER] = {0};
	struct driver_buffer both[2];

	bytes_store64(header, 3);
	bytes_store64(header + 8, 2);
	bytes_store32(header + 16, sent->from);
	bytes_store32(header + 20, sent->to);
	bytes_store32(header + 24, sent->length);
	bytes_store16(header + 28, sent->type ? sent->type : 1);
	bytes_store16(header + 30, (uint16_t)operation);
	bytes_store32(header + 32, sent->flags);
	bytes_store32(header + 36, sent->room);
	bytes_store32(header + 40, sent->consumed);
	both[0] = driver_readable(&driver, header, sizeof(header));
	both[1] = driver_readable(&driver, size ? text : "", size);
	driver_add(&driver, 1, both, size ? 2 : 1);
	driver_kick(&driver, 1);
}

static uint32_t port_of(unsigned index)
{
	return ((struct virtio_vsock_stream *)end[index].stream.place)->host_port;
}

static void say(unsigned index, unsigned operation, const char *text, uint32_t flags)
{
	uint32_t length = text ? (uint32_t)__builtin_strlen(text) : 0;
	struct sent sent = {PORT, port_of(index), length, flags, 1000, 0, 1};

	say_raw(operation, &sent, text, length);
	EXPECT(driver_used(&driver, 1, NULL) >= 0);
}

/* A stream that the guest has taken. */
static void open_stream(unsigned index)
{
	REQUIRE(call(index, PORT) == 0);
	expect(REQUEST, PORT, 0);
	say(index, RESPONSE, NULL, 0);
	REQUIRE(end[index].opened == 1);
}

TEST(guest_reads_its_address)
{
	start();
	EXPECT_EQ(driver_load(&driver, driver.cap[DRIVER_CAP_DEVICE], 4), 3);
	EXPECT_EQ(driver_common(&driver, 0x12, 2), 3);
}

TEST(call_without_a_driver_is_refused)
{
	start();
	driver_common_set(&driver, 0x14, 1, 0);
	EXPECT_EQ(call(0, PORT), -ENETDOWN);
}

TEST(call_is_taken_and_bytes_go_both_ways)
{
	const uint8_t *header;

	start();
	room(8, 256);
	open_stream(0);
	say(0, DATA, "hello", 0);
	EXPECT_EQ(end[0].length, 5);
	EXPECT_MEM(end[0].bytes, "hello", 5);
	EXPECT_EQ(input(0, "world", 5), 5);
	header = expect(DATA, PORT, 5);
	EXPECT_EQ(bytes_load32(header + 36), 4096);
	EXPECT_MEM(header + HEADER, "world", 5);
	EXPECT_EQ(driver_audit(&driver), 0);
}

TEST(call_waits_for_a_buffer)
{
	start();
	EXPECT_EQ(call(0, PORT), 0);
	EXPECT(received() == NULL);
	room(1, 256);
	expect(REQUEST, PORT, 0);
}

TEST(call_that_nobody_takes_is_closed)
{
	start();
	room(8, 256);
	REQUIRE(call(0, PORT) == 0);
	say(0, RST, NULL, 0);
	EXPECT_EQ(end[0].closed, 1);
	EXPECT_EQ(end[0].error, -ECONNREFUSED);
	EXPECT(end[0].stream.place == NULL);
	EXPECT_EQ(call(0, PORT), 0);
}

TEST(streams_are_told_apart)
{
	start();
	room(8, 256);
	open_stream(0);
	open_stream(1);
	EXPECT(port_of(0) != port_of(1));
	say(1, DATA, "one", 0);
	say(0, DATA, "zero", 0);
	EXPECT_MEM(end[0].bytes, "zero", 4);
	EXPECT_MEM(end[1].bytes, "one", 3);
}

TEST(input_stops_at_the_guests_room)
{
	uint8_t many[2000] = {0};
	struct sent more = {PORT, 0, 0, 0, 1000, 600, 1};

	start();
	room(16, 256);
	open_stream(0);
	EXPECT_EQ(input(0, many, sizeof(many)), 1000);
	for (unsigned i = 0; i < 4; i++)
		expect(DATA, PORT, 212);
	expect(DATA, PORT, 152);
	EXPECT_EQ(end[0].input_ready, 0);
	more.to = port_of(0);
	say_raw(CREDIT_UPDATE, &more, NULL, 0);
	EXPECT_EQ(end[0].input_ready, 1);
	EXPECT_EQ(input(0, many, 1000), 600);
}

TEST(input_stops_at_the_last_buffer)
{
	uint8_t many[500] = {0};

	start();
	room(2, 256);
	open_stream(0);
	EXPECT_EQ(input(0, many, sizeof(many)), 212);
	EXPECT_EQ(end[0].input_ready, 0);
	room(4, 256);
	EXPECT_EQ(end[0].input_ready, 1);
	EXPECT_EQ(input(0, many, 288), 288);
}

TEST(guest_hears_of_room_when_half_is_free)
{
	static char text[2049];
	const uint8_t *header;

	start();
	room(8, 256);
	open_stream(0);
	bytes_fill(text, 'a', 2048);
	say(0, DATA, text, 0);
	consumed(0, 2047);
	EXPECT(received() == NULL);
	consumed(0, 1);
	header = expect(CREDIT_UPDATE, PORT, 0);
	EXPECT_EQ(bytes_load32(header + 40), 2048);
	say(0, CREDIT_REQUEST, NULL, 0);
	expect(CREDIT_UPDATE, PORT, 0);
}

TEST(more_than_there_is_room_for_ends_the_stream)
{
	static char text[4097];

	start();
	room(8, 256);
	open_stream(0);
	bytes_fill(text, 'a', 4096);
	say(0, DATA, text, 0);
	EXPECT_EQ(end[0].length, 4096);
	say(0, DATA, "b", 0);
	EXPECT_EQ(end[0].length, 4096);
	EXPECT_EQ(end[0].error, -ECONNRESET);
	expect(RST, PORT, 0);
	EXPECT_EQ(driver_status(&driver), 15);
}

TEST(length_beyond_the_message_ends_the_stream)
{
	struct sent lie = {PORT, 0, 4000, 0, 1000, 0, 1};

	start();
	room(8, 256);
	open_stream(0);
	lie.to = port_of(0);
	say_raw(DATA, &lie, "abc", 3);
	EXPECT_EQ(end[0].closed, 1);
	EXPECT_EQ(end[0].length, 0);
	expect(RST, PORT, 0);
}

TEST(data_before_the_call_is_taken_ends_the_stream)
{
	start();
	room(8, 256);
	REQUIRE(call(0, PORT) == 0);
	expect(REQUEST, PORT, 0);
	say(0, DATA, "abc", 0);
	EXPECT_EQ(end[0].closed, 1);
	EXPECT_EQ(end[0].length, 0);
}

TEST(both_sides_end_in_order)
{
	const uint8_t *header;

	start();
	room(8, 256);
	open_stream(0);
	vm_lock(&driver.vm);
	caller.finish(&end[0].stream);
	vm_unlock(&driver.vm);
	header = expect(SHUTDOWN, PORT, 0);
	EXPECT_EQ(bytes_load32(header + 32), 2);
	EXPECT_EQ(input(0, "x", 1), 0);
	say(0, DATA, "last", 0);
	EXPECT_EQ(end[0].length, 4);
	say(0, SHUTDOWN, NULL, 2);
	EXPECT_EQ(end[0].ended, 1);
	EXPECT_EQ(end[0].closed, 0);
	say(0, SHUTDOWN, NULL, 3);
	EXPECT_EQ(end[0].ended, 1);
	EXPECT_EQ(end[0].closed, 1);
	EXPECT_EQ(end[0].error, 0);
	expect(RST, PORT, 0);
}

/* In two messages, the second of which need not repeat the first. */
TEST(an_end_in_two_parts_is_answered)
{
	for (unsigned i = 0; i < 2; i++) {
		start();
		room(8, 256);
		end[0].closed = end[0].opened = 0;
		open_stream(0);
		say(0, SHUTDOWN, NULL, i ? 2 : 1);
		EXPECT(received() == NULL);
		say(0, SHUTDOWN, NULL, i ? 1 : 2);
		expect(RST, PORT, 0);
		EXPECT_EQ(end[0].closed, 1);
		EXPECT_EQ(end[0].error, 0);
		driver_end(&driver);
		bytes_fill(&vsock, 0, sizeof(vsock));
	}
}

TEST(world_may_close_at_any_time)
{
	start();
	room(8, 256);
	open_stream(0);
	end[0].close_at_once = true;
	say(0, DATA, "hello", 0);
	EXPECT_EQ(end[0].length, 5);
	EXPECT_EQ(end[0].closed, 0);
	expect(RST, PORT, 0);
	EXPECT(end[0].stream.place == NULL);
}

TEST(call_closed_before_the_guest_heard_of_it_is_forgotten)
{
	start();
	REQUIRE(call(0, PORT) == 0);
	vm_lock(&driver.vm);
	caller.close(&end[0].stream);
	vm_unlock(&driver.vm);
	room(1, 256);
	EXPECT(received() == NULL);
}

TEST(what_belongs_to_no_stream_is_answered_by_a_reset)
{
	struct sent stray = {77, 99, 0, 0, 0, 0, 1};
	const uint8_t *header;

	start();
	room(8, 256);
	say_raw(REQUEST, &stray, NULL, 0);
	header = expect(RST, 77, 0);
	EXPECT_EQ(bytes_load32(header + 16), 99);
	say_raw(RST, &stray, NULL, 0);
	EXPECT(received() == NULL);
	EXPECT_EQ(driver_used(&driver, 1, NULL), 0);
}

TEST(message_waits_while_there_is_no_room_for_its_answer)
{
	struct sent stray = {77, 99, 0, 0, 0, 0, 1};

	start();
	say_raw(REQUEST, &stray, NULL, 0);
	EXPECT_EQ(driver_used(&driver, 1, NULL), -1);
	room(1, 256);
	expect(RST, 77, 0);
	EXPECT_EQ(driver_used(&driver, 1, NULL), 0);
}

TEST(strangers_and_short_messages_are_dropped)
{
	struct driver_buffer buffer;

	start();
	room(8, 256);
	buffer = driver_readable(&driver, "short", 5);
	driver_add(&driver, 1, &buffer, 1);
	driver_kick(&driver, 1);
	EXPECT_EQ(driver_used(&driver, 1, NULL), 0);
	EXPECT(received() == NULL);
	EXPECT_EQ(driver_status(&driver), 15);
}

TEST(receive_buffer_without_room_needs_reset)
{
	start();
	room(1, HEADER - 1);
	REQUIRE(call(0, PORT) == 0);
	EXPECT(driver_status(&driver) & VIRTIO_NEEDS_RESET);
}

TEST(reset_of_the_device_closes_all)
{
	start();
	room(8, 256);
	open_stream(0);
	open_stream(1);
	driver_common_set(&driver, 0x14, 1, 0);
	EXPECT_EQ(end[0].error, -ECONNRESET);
	EXPECT_EQ(end[1].closed, 1);
	REQUIRE(driver_begin(&driver, 0, 0));
	room(8, 256);
	end[0].opened = 0;
	open_stream(0);
}

TEST(there_is_an_end_of_streams)
{
	static struct stream streams[VIRTIO_VSOCK_STREAMS_MAX + 1];

	start();
	vm_lock(&driver.vm);
	for (unsigned i = 0; i <= VIRTIO_VSOCK_STREAMS_MAX; i++) {
		streams[i] = (struct stream){.ops = &end_ops, .room = 16};
		EXPECT_EQ(caller.call(caller.device, &streams[i], PORT),
			  i < VIRTIO_VSOCK_STREAMS_MAX ? 0 : -EBUSY);
	}
	vm_unlock(&driver.vm);
}

static void give_event_buffer(void)
{
	struct driver_buffer buffer = driver_writable(&driver, 4);

	driver_add(&driver, 2, &buffer, 1);
}

/* Else the driver would end the new stream with the old ones. */
TEST(calls_wait_until_the_driver_of_a_loaded_device_has_heard_of_it)
{
	start();
	room(8, 256);
	give_event_buffer();
	give_event_buffer();
	EXPECT_EQ(device_load(&vsock.virtio.device, device_save(&vsock.virtio.device)), 0);
	EXPECT_EQ(call(0, PORT), -ENETDOWN);
	EXPECT_EQ(driver_used(&driver, 2, NULL), 0);
	EXPECT_EQ(call(0, PORT), -ENETDOWN);
	give_event_buffer();
	EXPECT_EQ(call(0, PORT), 0);
	expect(REQUEST, PORT, 0);
}

TEST(calls_do_not_wait_for_a_driver_that_hears_nothing)
{
	start();
	EXPECT_EQ(device_load(&vsock.virtio.device, device_save(&vsock.virtio.device)), 0);
	EXPECT_EQ(call(0, PORT), -ENETDOWN);
	fake_advance(1000000000);
	EXPECT_EQ(call(0, PORT), 0);
}

TEST(loaded_device_tells_the_driver_that_streams_are_gone)
{
	struct driver_buffer buffer;
	uint32_t length = 0;
	size_t size;

	start();
	room(8, 256);
	open_stream(0);
	buffer = driver_writable(&driver, 4);
	driver_add(&driver, 2, &buffer, 1);
	driver_kick(&driver, 2);
	EXPECT_EQ(driver_used(&driver, 2, NULL), -1);
	size = device_save(&vsock.virtio.device);
	EXPECT_EQ(end[0].closed, 0);
	EXPECT_EQ(device_load(&vsock.virtio.device, size), 0);
	EXPECT_EQ(end[0].error, -ECONNRESET);
	driver_kick(&driver, 2);
	EXPECT_EQ(driver_used(&driver, 2, &length), 0);
	EXPECT_EQ(length, 4);
	EXPECT_EQ(bytes_load32(driver_at(&driver, buffer.address)), 0);
}
