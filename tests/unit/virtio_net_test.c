/* SPDX-License-Identifier: BSD-2-Clause */
/* The network device, in front of a port that keeps what is sent. */
#include "test.h"
#include "virtio_driver.h"

#include "devices/virtio/net.h"
#include "hosts/fake/fake.h"

enum { SLOT = 4, RECEIVE = 0, TRANSMIT = 1, HEADER = 12 };
#define F_CSUM	     (1ull << 0)
#define F_GUEST_CSUM (1ull << 1)
#define F_GUEST_TSO4 (1ull << 7)
#define F_GUEST_TSO6 (1ull << 8)
#define F_HOST_TSO4  (1ull << 11)
#define F_MRG_RXBUF  (1ull << 15)

static struct driver driver;
static struct virtio_net net;
static uint8_t sent[70000];
static size_t sent_length;
static const uint8_t an_answer[60];
static unsigned sent_count, ready_count, answers; /* to each frame that is sent */

static void port_send(struct netport *port, const struct slice *slices, unsigned count)
{
	sent_length = 0;
	sent_count++;
	for (unsigned i = 0; i < count; i++) {
		REQUIRE(sent_length + slices[i].length <= sizeof(sent));
		bytes_copy(sent + sent_length, slices[i].base, slices[i].length);
		sent_length += slices[i].length;
	}
	for (unsigned i = 0; i < answers; i++)
		EXPECT(port->receive(port->device, an_answer, sizeof(an_answer)));
}

static void port_receive_ready(struct netport *port)
{
	ready_count++;
}

static const struct netport_ops port_ops = {.send = port_send, .receive_ready = port_receive_ready};
static struct netport port = {.ops = &port_ops, .mac = {0x52, 0x54, 0, 1, 2, 3}, .mtu = 1500};

static void start(uint64_t features)
{
	answers = 0;
	REQUIRE(driver_machine(&driver, 1) == 0);
	vm_lock(&driver.vm);
	REQUIRE(virtio_net_init(&net, &driver.vm, &driver.bus, SLOT, "net0", &port) == 0);
	vm_unlock(&driver.vm);
	driver_power_on(&driver, SLOT);
	REQUIRE(driver_begin(&driver, features, 0));
}

static void send(const uint8_t *header, const void *frame, uint32_t length)
{
	struct driver_buffer buffers[2];

	buffers[0] = driver_readable(&driver, header, HEADER);
	buffers[1] = driver_readable(&driver, frame, length);
	driver_add(&driver, TRANSMIT, buffers, 2);
	driver_kick(&driver, TRANSMIT);
	EXPECT(driver_used(&driver, TRANSMIT, NULL) >= 0);
}

static bool receive(const void *frame, size_t length)
{
	bool taken;

	vm_lock(&driver.vm);
	taken = port.receive(port.device, frame, length);
	vm_unlock(&driver.vm);
	return taken;
}

static const uint8_t plain[HEADER];
static uint8_t frame[66000];

TEST(configuration_has_address_link_and_mtu)
{
	start(0);
	for (unsigned i = 0; i < 6; i++)
		EXPECT_EQ(driver_load(&driver, driver.cap[DRIVER_CAP_DEVICE] + i, 1), port.mac[i]);
	EXPECT_EQ(driver_load(&driver, driver.cap[DRIVER_CAP_DEVICE] + 6, 2), 1);
	EXPECT_EQ(driver_load(&driver, driver.cap[DRIVER_CAP_DEVICE] + 10, 2), 1500);
}

TEST(frame_is_sent_without_its_header)
{
	start(0);
	bytes_fill(frame, 0x33, 100);
	send(plain, frame, 100);
	EXPECT_EQ(sent_count, 1);
	EXPECT_EQ(sent_length, 100);
	EXPECT_MEM(sent, frame, 100);
	EXPECT_EQ(driver.interrupts[TRANSMIT], 1);
	EXPECT_EQ(driver_audit(&driver), 0);
}

TEST(header_and_frame_may_share_a_buffer)
{
	struct driver_buffer buffer;

	start(0);
	bytes_fill(frame, 0, HEADER);
	bytes_fill(frame + HEADER, 0x44, 60);
	buffer = driver_readable(&driver, frame, HEADER + 60);
	driver_add(&driver, TRANSMIT, &buffer, 1);
	driver_kick(&driver, TRANSMIT);
	EXPECT_EQ(sent_length, 60);
	EXPECT_EQ(sent[0], 0x44);
}

TEST(frames_too_short_or_too_long_are_dropped)
{
	start(0);
	send(plain, frame, 13);
	send(plain, frame, 1515);
	EXPECT_EQ(sent_count, 0);
	send(plain, frame, 14);
	send(plain, frame, 1514);
	EXPECT_EQ(sent_count, 2);
	EXPECT_EQ(net.dropped_sent, 2);
	EXPECT_EQ(driver_status(&driver), 15);
}

TEST(sum_is_that_of_rfc_1071_however_it_is_cut)
{
	static const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03,
					0xf4, 0xf5, 0xf6, 0xf7}; /* the RFC's example */
	uint16_t whole = virtio_net_fold(virtio_net_sum(0, bytes, sizeof(bytes), false));

	EXPECT_EQ((uint16_t)(whole << 8 | whole >> 8), (uint16_t)~0xddf2);
	for (unsigned cut = 0; cut <= sizeof(bytes); cut++) {
		uint64_t sum = virtio_net_sum(0, bytes, cut, false);

		sum = virtio_net_sum(sum, bytes + cut, sizeof(bytes) - cut, cut & 1);
		EXPECT_EQ(virtio_net_fold(sum), whole);
	}
}

TEST(sum_of_any_length_is_that_of_its_words)
{
	for (unsigned fill = 0; fill < 3; fill++) {
		for (unsigned i = 0; i < 600; i++)
			frame[i] = fill < 2 ? 0xff * (uint8_t)fill : (uint8_t)(i * i * 167 + 13);
		for (unsigned length = 0; length <= 600; length++) {
			uint64_t words = 0;

			for (unsigned i = 0; i < length; i++)
				words += (uint64_t)frame[i] << (i & 1) * 8;
			EXPECT_EQ(virtio_net_fold(virtio_net_sum(0, frame, length, false)),
				  virtio_net_fold(words));
		}
	}
}

TEST(open_checksum_is_filled_in_and_guest_memory_left_alone)
{
	uint8_t header[HEADER] = {1}; /* NEEDS_CSUM */
	uint64_t sum;

	start(F_CSUM);
	for (unsigned i = 0; i < 101; i++)
		frame[i] = (uint8_t)(i * 7);
	bytes_store16(header + 6, 34); /* csum_start */
	bytes_store16(header + 8, 16); /* csum_offset */
	send(header, frame, 101);
	REQUIRE(sent_length == 101);
	EXPECT_MEM(sent, frame, 50);
	EXPECT_MEM(sent + 52, frame + 52, 49);
	/* The field held the pseudo header's sum: together with it, everything adds up to all ones.
	 */
	sum = virtio_net_sum(0, sent + 34, 101 - 34, false);
	EXPECT_EQ(virtio_net_fold(sum + bytes_load16(frame + 50)), 0);
	EXPECT_EQ(driver_audit(&driver), 0);
}

TEST(checksum_outside_of_the_frame_drops_it)
{
	uint8_t header[HEADER] = {1};

	start(F_CSUM);
	bytes_store16(header + 6, 90);
	bytes_store16(header + 8, 16);
	send(header, frame, 100);
	bytes_store16(header + 6, 0xffff);
	bytes_store16(header + 8, 0xffff);
	send(header, frame, 100);
	EXPECT_EQ(sent_count, 0);
	EXPECT_EQ(net.dropped_sent, 2);
}

TEST(large_segments_go_only_to_ports_that_take_them)
{
	uint8_t header[HEADER] = {0, 1}; /* GSO_TCPV4 */

	start(0);
	EXPECT(!(driver_features(&driver) & F_HOST_TSO4));
	send(header, frame, 1000);
	EXPECT_EQ(sent_count, 0);
	driver_end(&driver);

	port.send_max = 65549;
	bytes_fill(&net, 0, sizeof(net));
	start(F_CSUM | F_HOST_TSO4);
	send(header, frame, 65549);
	EXPECT_EQ(sent_length, 65549);
	send(header, frame, 65550);
	EXPECT_EQ(sent_count, 1);
}

TEST(received_frame_has_a_header_before_it)
{
	struct driver_buffer buffer;
	uint32_t length = 0;

	start(0);
	buffer = driver_writable(&driver, 1526);
	driver_add(&driver, RECEIVE, &buffer, 1);
	bytes_fill(frame, 0x66, 60);
	EXPECT(receive(frame, 60));
	EXPECT_EQ(driver_used(&driver, RECEIVE, &length), 0);
	EXPECT_EQ(length, 72);
	EXPECT_EQ(bytes_load16(driver_at(&driver, buffer.address) + 10), 1);
	EXPECT_EQ(*driver_at(&driver, buffer.address), 0);
	EXPECT_MEM(driver_at(&driver, buffer.address + HEADER), frame, 60);
	EXPECT_EQ(*driver_at(&driver, buffer.address + 72), 0xee);
	EXPECT_EQ(driver.interrupts[RECEIVE], 1);
	EXPECT_EQ(driver_audit(&driver), 0);
}

TEST(frame_waits_for_a_buffer)
{
	struct driver_buffer buffer;

	start(0);
	ready_count = 0;
	EXPECT(!receive(frame, 60));
	buffer = driver_writable(&driver, 1526);
	driver_add(&driver, RECEIVE, &buffer, 1);
	driver_kick(&driver, RECEIVE);
	EXPECT_EQ(ready_count, 1);
	EXPECT(receive(frame, 60));
	driver_add(&driver, RECEIVE, &buffer, 1);
	driver_kick(&driver, RECEIVE);
	EXPECT_EQ(ready_count, 1); /* only who was turned away is called */
}

TEST(frame_is_spread_over_buffers_and_they_are_seen_together)
{
	struct driver_buffer buffer[3];
	uint32_t length;

	start(F_MRG_RXBUF);
	for (unsigned i = 0; i < 1014; i++)
		frame[i] = (uint8_t)(i * 3);
	for (unsigned i = 0; i < 2; i++) {
		buffer[i] = driver_writable(&driver, 400);
		driver_add(&driver, RECEIVE, &buffer[i], 1);
	}
	EXPECT(!receive(frame, 1014));
	EXPECT_EQ(driver_used(&driver, RECEIVE, NULL), -1);
	buffer[2] = driver_writable(&driver, 400);
	driver_add(&driver, RECEIVE, &buffer[2], 1);
	EXPECT(receive(frame, 1014));
	EXPECT_EQ(driver_get16(&driver, driver.queue[RECEIVE].used + 2), 3);
	EXPECT_EQ(driver_used(&driver, RECEIVE, &length), 0);
	EXPECT_EQ(length, 400);
	EXPECT_EQ(driver_used(&driver, RECEIVE, &length), 1);
	EXPECT_EQ(driver_used(&driver, RECEIVE, &length), 2);
	EXPECT_EQ(length, 226);
	EXPECT_EQ(bytes_load16(driver_at(&driver, buffer[0].address) + 10), 3);
	EXPECT_MEM(driver_at(&driver, buffer[0].address + HEADER), frame, 388);
	EXPECT_MEM(driver_at(&driver, buffer[1].address), frame + 388, 400);
	EXPECT_MEM(driver_at(&driver, buffer[2].address), frame + 788, 226);
	EXPECT_EQ(driver_audit(&driver), 0);
}

TEST(frame_that_fits_no_buffer_is_dropped)
{
	struct driver_buffer buffer;

	start(0);
	buffer = driver_writable(&driver, 40);
	driver_add(&driver, RECEIVE, &buffer, 1);
	EXPECT(receive(frame, 60));
	EXPECT_EQ(net.dropped_received, 1);
	EXPECT_EQ(driver_used(&driver, RECEIVE, NULL), -1);
}

TEST(buffer_too_small_for_a_header_needs_reset)
{
	struct driver_buffer buffer[2];

	start(F_MRG_RXBUF);
	buffer[0] = driver_writable(&driver, 11);
	buffer[1] = driver_writable(&driver, 1500);
	driver_add(&driver, RECEIVE, &buffer[0], 1);
	driver_add(&driver, RECEIVE, &buffer[1], 1);
	EXPECT(receive(frame, 60));
	EXPECT(driver_status(&driver) & VIRTIO_NEEDS_RESET);
	driver_common_set(&driver, 0x14, 1, 0);
	EXPECT_EQ(driver_status(&driver), 0);
}

TEST(checked_frames_are_marked_so)
{
	struct driver_buffer buffer;

	port.receive_checked = true;
	start(F_GUEST_CSUM);
	buffer = driver_writable(&driver, 1526);
	driver_add(&driver, RECEIVE, &buffer, 1);
	EXPECT(receive(frame, 60));
	EXPECT_EQ(*driver_at(&driver, buffer.address), 2);
}

TEST(frames_before_the_driver_is_ready_are_dropped)
{
	start(0);
	driver_common_set(&driver, 0x14, 1, 0);
	EXPECT(receive(frame, 60));
}

/* A frame that the port has joined of three segments. */
static void joined_frame(void)
{
	bytes_fill(frame, 0, sizeof(frame));
	frame[12] = 0x08;
	frame[14] = 0x45;
	frame[46] = 0x80; /* a TCP header of 32 bytes */
}

#define F_JOINED (F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6 | F_MRG_RXBUF)

TEST(joined_segments_are_described)
{
	struct driver_buffer buffer;
	const uint8_t *header;
	uint32_t length;

	port.receive_checked = port.can_join = true;
	start(F_JOINED);
	EXPECT(port.takes_joined);
	buffer = driver_writable(&driver, 5000);
	driver_add(&driver, RECEIVE, &buffer, 1);
	joined_frame();
	EXPECT(receive(frame, 4000));
	EXPECT_EQ(driver_used(&driver, RECEIVE, &length), 0);
	EXPECT_EQ(length, HEADER + 4000);
	header = driver_at(&driver, buffer.address);
	EXPECT_EQ(header[0], 1);
	EXPECT_EQ(header[1], 1);
	EXPECT_EQ(bytes_load16(header + 2), 66);
	EXPECT_EQ(bytes_load16(header + 4), 1500 + 14 - 66);
	EXPECT_EQ(bytes_load16(header + 6), 34);
	EXPECT_EQ(bytes_load16(header + 8), 16);
	EXPECT_EQ(driver_audit(&driver), 0);
	port.receive_checked = port.can_join = false;
}

TEST(joined_segments_are_not_for_drivers_that_do_not_know_them)
{
	struct driver_buffer buffer;

	port.receive_checked = port.can_join = true;
	start(F_JOINED & ~F_GUEST_TSO6);
	EXPECT(!port.takes_joined);
	buffer = driver_writable(&driver, 5000);
	driver_add(&driver, RECEIVE, &buffer, 1);
	joined_frame();
	EXPECT(receive(frame, 4000));
	EXPECT_EQ(driver_used(&driver, RECEIVE, NULL), -1);
	EXPECT_EQ(net.dropped_received, 1);
	port.receive_checked = port.can_join = false;
}

/* A port that gets the header too: what the driver left open stays so, what makes no sense goes no
 * further. */
TEST(a_port_with_headers_gets_what_the_driver_left_open)
{
	uint8_t header[HEADER] = {1 /* needs csum */, 1 /* tcp4 */, 54, 0, 0xb4, 5, 34, 0, 16, 0};

	port.has_header = port.can_join = port.receive_checked = true;
	port.send_max = 65549;
	start(F_CSUM | F_HOST_TSO4 | F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6 | F_MRG_RXBUF);
	send(header, frame, 9000);
	REQUIRE(sent_count == 1);
	EXPECT_EQ(sent_length, HEADER + 9000);
	EXPECT(bytes_equal(sent, header, 10));
	header[4] = header[5] = 0; /* segments of no size */
	send(header, frame, 9000);
	header[4] = 100;
	header[0] = 0; /* segments without a sum */
	send(header, frame, 9000);
	header[0] = 1;
	header[1] = 0;
	header[7] = 0x40; /* the sum is far behind the frame */
	send(header, frame, 9000);
	EXPECT_EQ(sent_count, 1);
	EXPECT_EQ(net.dropped_sent, 3);
	header[0] = 0xfe; /* flags that we don't know, and no sum: nothing is passed on */
	send(header, frame, 100);
	EXPECT_EQ(sent_count, 2);
	EXPECT_EQ(sent_length, HEADER + 100);
	EXPECT(bytes_equal(sent, plain, HEADER));
}

TEST(a_frame_with_a_header_is_for_drivers_that_take_it)
{
	port.has_header = port.can_join = port.receive_checked = true;
	port.send_max = 65549;
	start(0);
	frame[0] = 1;
	EXPECT(receive(frame, HEADER + 100));
	EXPECT_EQ(net.dropped_received, 1);
	EXPECT(receive(frame, HEADER + 13));
	EXPECT_EQ(net.dropped_received, 2);
	frame[0] = 0;
	frame[1] = 1;
	EXPECT(receive(frame, HEADER + 100));
	EXPECT_EQ(net.dropped_received, 3);
}

/* The host's kernel says so of each frame whose checksum it has seen to. */
TEST(a_checked_frame_with_a_header_is_for_all_drivers)
{
	static const uint64_t features[2] = {0, F_GUEST_CSUM};

	port.has_header = port.can_join = port.receive_checked = true;
	for (unsigned i = 0; i < 2; i++) {
		struct driver_buffer buffer;

		bytes_fill(&net, 0, sizeof(net));
		start(features[i]);
		buffer = driver_writable(&driver, 1526);
		driver_add(&driver, RECEIVE, &buffer, 1);
		frame[0] = 2;
		EXPECT(receive(frame, HEADER + 100));
		EXPECT_EQ(driver_used(&driver, RECEIVE, NULL), 0);
		EXPECT_EQ(*driver_at(&driver, buffer.address), i ? 2 : 0);
		frame[0] = 3;
		EXPECT(receive(frame, HEADER + 100));
		EXPECT_EQ(net.dropped_received, 1);
		driver_end(&driver);
	}
}

/* The guest's segment that begins a connection from its port `number`. */
static void connect_from(uint8_t number)
{
	uint8_t syn[54] = {0};

	syn[12] = 0x08;
	syn[14] = 0x45;
	syn[14 + 9] = 6;
	syn[34 + 1] = number;
	syn[34 + 3] = 80;
	syn[34 + 12] = 5 << 4;
	syn[34 + 13] = 2;
	send(plain, syn, sizeof(syn));
}

TEST(a_loaded_guest_is_announced_and_asked_for_its_connections)
{
	static uint8_t bytes[NET_CONNECTIONS_MAX * 64];
	struct driver_buffer into[4];
	struct snapshot saving = {.bytes = bytes, .size = sizeof(bytes)}, loading;
	struct device *device = &net.virtio.device;
	uint8_t got[HEADER + 54];

	port.has_header = port.can_join = false;
	start(0);
	connect_from(1);
	connect_from(2);
	for (unsigned i = 0; i < 2; i++) {
		into[i] = driver_writable(&driver, HEADER + 1514);
		driver_add(&driver, RECEIVE, &into[i], 1);
	}
	vm_lock(&driver.vm);
	device->ops->state(device, &saving);
	EXPECT_EQ(saving.error, 0);
	loading = (struct snapshot){.loading = true, .bytes = bytes, .size = saving.position};
	device->ops->state(device, &loading);
	EXPECT_EQ(loading.error, 0);
	device->ops->loaded(device);
	vm_unlock(&driver.vm);
	sent_count = 0;
	fake_advance(1000);
	/* Switches hear of it; there is room for two of four questions. */
	EXPECT_EQ(sent_count, 1);
	EXPECT_EQ(sent_length, 60);
	EXPECT_EQ(sent[0], 0xff);
	EXPECT(bytes_equal(sent + 6, port.mac, 6));
	EXPECT_EQ(sent[12] << 8 | sent[13], 0x8035);
	EXPECT_EQ(driver_used(&driver, RECEIVE, NULL), 0);
	EXPECT_EQ(driver_used(&driver, RECEIVE, NULL), 1);
	EXPECT_EQ(driver_used(&driver, RECEIVE, NULL), -1);
	bytes_copy(got, driver_at(&driver, into[0].address), sizeof(got));
	EXPECT_EQ(got[HEADER + 34 + 3], 2);
	EXPECT_EQ(got[HEADER + 34 + 13], 16);
	for (unsigned i = 2; i < 4; i++) {
		into[i] = driver_writable(&driver, HEADER + 1514);
		driver_add(&driver, RECEIVE, &into[i], 1);
	}
	driver_kick(&driver, RECEIVE);
	EXPECT(driver_used(&driver, RECEIVE, NULL) >= 0);
	EXPECT(driver_used(&driver, RECEIVE, NULL) >= 0);
	bytes_copy(got, driver_at(&driver, into[2].address), sizeof(got));
	EXPECT_EQ(got[HEADER + 34 + 3], 1);
	EXPECT_EQ(net.questions, 0);
	/* One that is only reset is asked nothing. */
	sent_count = 0;
	fake_advance(1000000000);
	EXPECT_EQ(sent_count, 0);
}

/* Sends one that is answered. */
static void ask(unsigned buffers)
{
	for (unsigned i = 0; i < buffers; i++) {
		struct driver_buffer buffer = driver_writable(&driver, 1526);

		driver_add(&driver, RECEIVE, &buffer, 1);
	}
	answers = buffers;
	send(plain, frame, 60);
	answers = 0;
	for (unsigned i = 0; i < buffers; i++)
		EXPECT(driver_used(&driver, RECEIVE, NULL) >= 0);
	EXPECT_EQ(driver_audit(&driver), 0);
}

TEST(frames_are_counted_without_headers_and_with_all_of_theirs)
{
	uint8_t header[HEADER] = {1, 0, 0, 0, 0, 0, 34, 0, 16, 0};
	struct driver_buffer buffer;

	start(F_CSUM);
	send(header, frame, 101);
	EXPECT_EQ(net.sent_bytes, 101);
	driver_end(&driver);

	port.has_header = port.can_join = port.receive_checked = true;
	bytes_fill(&net, 0, sizeof(net));
	start(F_CSUM);
	send(header, frame, 101);
	EXPECT_EQ(net.sent_bytes, 101);
	buffer = driver_writable(&driver, 1526);
	driver_add(&driver, RECEIVE, &buffer, 1);
	EXPECT(receive(frame, HEADER + 100));
	EXPECT_EQ(net.received_bytes, 100);
}

TEST(an_answered_frame_interrupts_once)
{
	uint64_t used_event;

	start(VIRTIO_F_EVENT_IDX);
	used_event = driver.queue[TRANSMIT].available + 4 + 2u * driver.queue[TRANSMIT].size;
	ask(2);
	EXPECT_EQ(driver.interrupts[RECEIVE], 1);
	EXPECT_EQ(driver.interrupts[TRANSMIT], 0);
	/* The driver took the frame back when it looked for the answer. */
	driver_put16(&driver, used_event, 1);
	fake_advance(20000000);
	EXPECT_EQ(driver.interrupts[TRANSMIT], 0);
	/* Or didn't: it is interrupted soon, once. */
	ask(1);
	EXPECT_EQ(driver.interrupts[TRANSMIT], 0);
	fake_advance(20000000);
	EXPECT_EQ(driver.interrupts[TRANSMIT], 1);
	fake_advance(1000000000);
	EXPECT_EQ(driver.interrupts[TRANSMIT], 1);
	/* Without an answer, at once. */
	driver_put16(&driver, used_event, 2);
	send(plain, frame, 60);
	EXPECT_EQ(driver.interrupts[TRANSMIT], 2);
}

TEST(answered_frames_of_half_a_ring_interrupt)
{
	start(0);
	for (unsigned i = 1; i < driver.queue[TRANSMIT].size / 2; i++)
		ask(1);
	EXPECT_EQ(driver.interrupts[TRANSMIT], 0);
	ask(1);
	EXPECT_EQ(driver.interrupts[TRANSMIT], 1);
	fake_advance(1000000000);
	EXPECT_EQ(driver.interrupts[TRANSMIT], 1);
}

TEST(a_reset_forgets_the_interrupt_that_is_due)
{
	start(0);
	ask(1);
	driver_common_set(&driver, 0x14, 1, 0);
	fake_advance(20000000);
	EXPECT_EQ(driver.interrupts[TRANSMIT], 0);
}

TEST(an_interrupt_that_is_due_is_saved)
{
	static uint8_t bytes[NET_CONNECTIONS_MAX * 64];
	struct snapshot saving = {.bytes = bytes, .size = sizeof(bytes)}, loading;
	struct device *device = &net.virtio.device;

	start(0);
	ask(1);
	vm_lock(&driver.vm);
	device->ops->state(device, &saving);
	REQUIRE(saving.error == 0);
	device->ops->reset(device);
	loading = (struct snapshot){.loading = true, .bytes = bytes, .size = saving.position};
	device->ops->state(device, &loading);
	REQUIRE(loading.error == 0);
	EXPECT_EQ(driver.interrupts[TRANSMIT], 0);
	device->ops->loaded(device);
	vm_unlock(&driver.vm);
	EXPECT_EQ(driver.interrupts[TRANSMIT], 1);
}
