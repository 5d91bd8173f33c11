/* SPDX-License-Identifier: BSD-2-Clause */
/* The console device, with ends that take as much as the test says. */
#include "test.h"
#include "virtio_driver.h"

#include "devices/virtio/console.h"

enum { SLOT = 5, CONTROL_RECEIVE = 2, CONTROL_TRANSMIT = 3 };
#define F_SIZE	    (1ull << 0)
#define F_MULTIPORT (1ull << 1)

struct end {
	struct console console;
	uint8_t bytes[4096];
	size_t length, room;
	unsigned input_ready;
	bool echo;
};

static struct driver driver;
static struct virtio_console console;
static struct end end[2];

static size_t end_write(struct console *plug, const void *bytes, size_t length)
{
	struct end *one = container_of(plug, struct end, console);
	size_t taken = length < one->room ? length : one->room;

	REQUIRE(one->length + taken <= sizeof(one->bytes));
	bytes_copy(one->bytes + one->length, bytes, taken);
	one->length += taken;
	one->room -= taken;
	if (one->echo)
		EXPECT_EQ(plug->input(plug->device, bytes, taken), taken);
	return taken;
}

static void end_input_ready(struct console *plug)
{
	container_of(plug, struct end, console)->input_ready++;
}

static const struct console_ops end_ops = {.write = end_write, .input_ready = end_input_ready};

static void start(unsigned ports, uint64_t features)
{
	struct virtio_console_plug plugs[2] = {{&end[0].console, NULL},
					       {&end[1].console, "lodge.command"}};

	for (unsigned i = 0; i < 2; i++) {
		end[i].console.ops = &end_ops;
		end[i].room = sizeof(end[i].bytes);
	}
	REQUIRE(driver_machine(&driver, 1) == 0);
	vm_lock(&driver.vm);
	REQUIRE(virtio_console_init(&console, &driver.vm, &driver.bus, SLOT, "console0", plugs,
				    ports) == 0);
	vm_unlock(&driver.vm);
	driver_power_on(&driver, SLOT);
	REQUIRE(driver_begin(&driver, features, 0));
}

static void transmit(unsigned queue, const void *bytes, uint32_t length)
{
	struct driver_buffer buffer = driver_readable(&driver, bytes, length);

	driver_add(&driver, queue, &buffer, 1);
	driver_kick(&driver, queue);
}

static size_t input(unsigned index, const void *bytes, size_t length)
{
	size_t taken;

	vm_lock(&driver.vm);
	taken = end[index].console.input(end[index].console.device, bytes, length);
	vm_unlock(&driver.vm);
	return taken;
}

static void control(uint32_t id, uint16_t event, uint16_t value)
{
	uint8_t bytes[8];

	bytes_store32(bytes, id);
	bytes_store16(bytes + 4, event);
	bytes_store16(bytes + 6, value);
	transmit(CONTROL_TRANSMIT, bytes, 8);
	EXPECT(driver_used(&driver, CONTROL_TRANSMIT, NULL) >= 0);
}

static uint64_t control_buffers;

/* Gives the device room for count messages. */
static void control_room(unsigned count)
{
	control_buffers = driver_alloc(&driver, 64 * count, 1);
	for (unsigned i = 0; i < count; i++) {
		struct driver_buffer buffer = {control_buffers + 64 * i, 64, true};

		driver_add(&driver, CONTROL_RECEIVE, &buffer, 1);
	}
	driver_kick(&driver, CONTROL_RECEIVE);
}

/* The next message from the device must be this one. */
static void expect_message(uint32_t id, uint16_t event, uint16_t value, const char *rest,
			   uint32_t rest_length)
{
	uint32_t length = 0;
	int got = driver_used(&driver, CONTROL_RECEIVE, &length);
	const uint8_t *bytes = driver_at(&driver, control_buffers + 64u * (unsigned)got);

	REQUIRE(got >= 0);
	EXPECT_EQ(length, 8 + rest_length);
	EXPECT_EQ(bytes_load32(bytes), id);
	EXPECT_EQ(bytes_load16(bytes + 4), event);
	EXPECT_EQ(bytes_load16(bytes + 6), value);
	EXPECT_MEM(bytes + 8, rest, rest_length);
}

TEST(output_reaches_the_other_end)
{
	start(1, 0);
	transmit(1, "hello", 5);
	EXPECT(driver_used(&driver, 1, NULL) >= 0);
	EXPECT_EQ(end[0].length, 5);
	EXPECT_MEM(end[0].bytes, "hello", 5);
}

TEST(output_that_is_not_taken_waits_in_the_ring)
{
	start(1, 0);
	end[0].room = 3;
	transmit(1, "hello", 5);
	transmit(1, " world", 6);
	EXPECT_EQ(driver_used(&driver, 1, NULL), -1);
	EXPECT_EQ(end[0].length, 3);
	end[0].room = 4;
	vm_lock(&driver.vm);
	end[0].console.output_ready(end[0].console.device);
	vm_unlock(&driver.vm);
	EXPECT_EQ(driver_used(&driver, 1, NULL), 0);
	EXPECT_EQ(driver_used(&driver, 1, NULL), -1);
	end[0].room = 100;
	vm_lock(&driver.vm);
	end[0].console.output_ready(end[0].console.device);
	vm_unlock(&driver.vm);
	EXPECT_EQ(driver_used(&driver, 1, NULL), 1);
	EXPECT_EQ(end[0].length, 11);
	EXPECT_MEM(end[0].bytes, "hello world", 11);
}

TEST(output_that_waits_does_not_hold_up_a_reset)
{
	start(1, 0);
	end[0].room = 3;
	transmit(1, "hello", 5);
	driver_common_set(&driver, 0x14, 1, 0);
	EXPECT_EQ(driver_status(&driver), 0);
	REQUIRE(driver_begin(&driver, 0, 0));
	end[0].room = 10;
	transmit(1, "HELLO", 5);
	EXPECT_MEM(end[0].bytes, "helHELLO", 8);
}

TEST(output_without_another_end_is_dropped)
{
	struct virtio_console_plug plug = {NULL, NULL};

	REQUIRE(driver_machine(&driver, 1) == 0);
	vm_lock(&driver.vm);
	REQUIRE(virtio_console_init(&console, &driver.vm, &driver.bus, SLOT, "console0", &plug,
				    1) == 0);
	vm_unlock(&driver.vm);
	driver_power_on(&driver, SLOT);
	REQUIRE(driver_begin(&driver, 0, 0));
	transmit(1, "hello", 5);
	EXPECT_EQ(driver_used(&driver, 1, NULL), 0);
}

TEST(input_fills_buffers_as_far_as_they_go)
{
	struct driver_buffer buffer[2];
	uint32_t length = 0;

	start(1, 0);
	EXPECT_EQ(input(0, "x", 1), 0);
	buffer[0] = driver_writable(&driver, 4);
	buffer[1] = driver_writable(&driver, 4);
	driver_add(&driver, 0, &buffer[0], 1);
	driver_add(&driver, 0, &buffer[1], 1);
	driver_kick(&driver, 0);
	EXPECT(end[0].input_ready > 0);
	EXPECT_EQ(input(0, "abcdef", 6), 6);
	EXPECT_EQ(driver_used(&driver, 0, &length), 0);
	EXPECT_EQ(length, 4);
	EXPECT_EQ(driver_used(&driver, 0, &length), 1);
	EXPECT_EQ(length, 2);
	EXPECT_MEM(driver_at(&driver, buffer[0].address), "abcd", 4);
	EXPECT_MEM(driver_at(&driver, buffer[1].address), "ef", 2);
	EXPECT_EQ(input(0, "x", 1), 0);
	EXPECT_EQ(driver_audit(&driver), 0);
}

TEST(input_may_come_from_within_output)
{
	struct driver_buffer buffer[2];

	start(1, 0);
	end[0].echo = true;
	for (unsigned i = 0; i < 2; i++) {
		struct driver_buffer in = driver_writable(&driver, 16);

		driver_add(&driver, 0, &in, 1);
	}
	buffer[0] = driver_readable(&driver, "one", 3);
	buffer[1] = driver_readable(&driver, "two", 3);
	driver_add(&driver, 1, buffer, 2);
	driver_kick(&driver, 1);
	EXPECT_MEM(end[0].bytes, "onetwo", 6);
	EXPECT_EQ(driver_used(&driver, 0, NULL), 0);
	EXPECT_EQ(driver_used(&driver, 0, NULL), 1);
}

TEST(receive_buffer_without_room_needs_reset)
{
	struct driver_buffer buffer;

	start(1, 0);
	buffer = driver_readable(&driver, "abc", 3);
	driver_add(&driver, 0, &buffer, 1);
	EXPECT_EQ(input(0, "x", 1), 0);
	EXPECT(driver_status(&driver) & VIRTIO_NEEDS_RESET);
}

TEST(size_of_a_plain_console_is_in_its_configuration)
{
	start(1, F_SIZE);
	vm_lock(&driver.vm);
	end[0].console.resized(end[0].console.device, 132, 50);
	vm_unlock(&driver.vm);
	EXPECT_EQ(driver_load(&driver, driver.cap[DRIVER_CAP_DEVICE], 2), 132);
	EXPECT_EQ(driver_load(&driver, driver.cap[DRIVER_CAP_DEVICE] + 2, 2), 50);
	EXPECT_EQ(driver.interrupts[2], 1);
	EXPECT_EQ(driver_common(&driver, 0x15, 1), 1);
}

TEST(ports_introduce_themselves)
{
	start(2, F_SIZE | F_MULTIPORT);
	EXPECT_EQ(driver_common(&driver, 0x12, 2), 6);
	EXPECT_EQ(driver_load(&driver, driver.cap[DRIVER_CAP_DEVICE] + 4, 4), 2);
	control_room(16);
	EXPECT_EQ(driver_used(&driver, CONTROL_RECEIVE, NULL), -1);
	control(0, 0, 1); /* DEVICE_READY */
	expect_message(0, 1, 1, "", 0);
	expect_message(1, 1, 1, "", 0);
	control(0, 3, 1); /* PORT_READY */
	expect_message(0, 4, 1, "", 0);
	expect_message(0, 6, 1, "", 0);
	control(1, 3, 1);
	expect_message(1, 7, 1, "lodge.command", 13);
	expect_message(1, 6, 1, "", 0);
	vm_lock(&driver.vm);
	end[0].console.resized(end[0].console.device, 80, 25);
	vm_unlock(&driver.vm);
	expect_message(0, 5, 1, "\x50\0\x19\0", 4); /* columns, then rows */
	EXPECT_EQ(driver_audit(&driver), 0);
}

TEST(messages_wait_for_room)
{
	start(2, F_MULTIPORT);
	control(0, 0, 1);
	control(1, 3, 1);
	control_room(2);
	expect_message(0, 1, 1, "", 0);
	expect_message(1, 1, 1, "", 0);
}

TEST(named_port_takes_input_while_it_is_open)
{
	struct driver_buffer buffer;

	start(2, F_MULTIPORT);
	buffer = driver_writable(&driver, 8);
	driver_add(&driver, 4, &buffer, 1);
	driver_kick(&driver, 4);
	EXPECT_EQ(end[1].input_ready, 0);
	EXPECT_EQ(input(1, "abc", 3), 0);
	control(1, 6, 1); /* PORT_OPEN */
	EXPECT_EQ(end[1].input_ready, 1);
	EXPECT_EQ(input(1, "abc", 3), 3);
	EXPECT_EQ(driver_used(&driver, 4, NULL), 0);
	control(1, 6, 0);
	EXPECT_EQ(input(1, "abc", 3), 0);
	transmit(5, "answer", 6);
	EXPECT_MEM(end[1].bytes, "answer", 6);
}

TEST(messages_about_ports_that_are_not_there_are_ignored)
{
	start(2, F_MULTIPORT);
	control(2, 3, 1);
	control(0xffffffff, 6, 1);
	control(0, 99, 1);
	transmit(CONTROL_TRANSMIT, "abc", 3);
	EXPECT_EQ(driver_status(&driver), 15);
}
