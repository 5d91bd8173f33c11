/* SPDX-License-Identifier: BSD-2-Clause */
/* The block device, in front of a disk in memory that is done at once, or when the test says so. */
#include "test.h"
#include "virtio_driver.h"

#include "devices/virtio/blk.h"
#include "hosts/fake/fake.h"
#include "lib/error.h"

enum { SLOT = 2, DISK_SIZE = 1 << 20, PENDING_MAX = 512 };
enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };
enum { OK = 0, IOERR = 1, UNSUPP = 2 };
#define F_RO	       (1ull << 5)
#define F_FLUSH	       (1ull << 9)
#define F_MQ	       (1ull << 12)
#define F_DISCARD      (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)

static struct driver driver;
static struct virtio_blk blk;
static uint8_t contents[DISK_SIZE];
static bool later; /* requests wait for finish() */
static int fails;  /* with this */
static struct disk_request *pending[PENDING_MAX];
static unsigned pending_count, flushes, operations[5];

static int carry_out(struct disk_request *request)
{
	uint64_t at = request->offset;

	operations[request->operation]++;
	if (fails)
		return fails;
	switch (request->operation) {
	case DISK_READ:
	case DISK_WRITE:
		REQUIRE(at <= DISK_SIZE && request->length <= DISK_SIZE - at);
		for (unsigned i = 0; i < request->slice_count; i++) {
			const struct slice *slice = &request->slices[i];

			if (request->operation == DISK_READ)
				bytes_copy(slice->base, contents + at, slice->length);
			else
				bytes_copy(contents + at, slice->base, slice->length);
			at += slice->length;
		}
		EXPECT_EQ(at, request->offset + request->length);
		break;
	case DISK_DISCARD:
	case DISK_WRITE_ZEROES:
		REQUIRE(at <= DISK_SIZE && request->length <= DISK_SIZE - at);
		bytes_fill(contents + at, 0, request->length);
		break;
	case DISK_FLUSH:
		flushes++;
		break;
	}
	return 0;
}

static int disk_submit(struct disk *disk, struct disk_request *request)
{
	if (!later)
		return carry_out(request);
	REQUIRE(pending_count < PENDING_MAX);
	pending[pending_count++] = request;
	return DISK_PENDING;
}

static const struct disk_ops disk_ops = {.submit = disk_submit};
static struct disk disk = {.ops = &disk_ops,
			   .size = DISK_SIZE,
			   .block_size = 4096,
			   .can_discard = true,
			   .serial = "a-serial-of-20-bytes"};

/* The disk is done with its oldest request. */
static void finish(void)
{
	struct disk_request *request = pending[0];

	REQUIRE(pending_count > 0);
	pending_count--;
	bytes_move(pending, pending + 1, pending_count * sizeof(pending[0]));
	request->done(request, carry_out(request));
}

static void start_with(unsigned vcpus, uint64_t features)
{
	REQUIRE(driver_machine(&driver, vcpus) == 0);
	for (unsigned i = 0; i < DISK_SIZE; i++)
		contents[i] = (uint8_t)(i / 512 + i);
	vm_lock(&driver.vm);
	REQUIRE(virtio_blk_init(&blk, &driver.vm, &driver.bus, SLOT, "disk0", &disk) == 0);
	vm_unlock(&driver.vm);
	driver_power_on(&driver, SLOT);
	REQUIRE(driver_begin(&driver, features, 0));
}

static void start(void)
{
	start_with(1, F_FLUSH | F_DISCARD | F_WRITE_ZEROES);
}

/* Puts a request into the queue: header, data, status; returns the guest address of its status
 * byte. */
static uint64_t add(uint32_t type, uint64_t sector, const struct driver_buffer *data,
		    unsigned count)
{
	struct driver_buffer buffers[8];
	uint8_t header[16] = {0};

	bytes_store32(header, type);
	bytes_store64(header + 8, sector);
	buffers[0] = driver_readable(&driver, header, sizeof(header));
	for (unsigned i = 0; i < count; i++)
		buffers[1 + i] = data[i];
	buffers[1 + count] = driver_writable(&driver, 1);
	driver_add(&driver, 0, buffers, count + 2);
	return buffers[1 + count].address;
}

static uint8_t status_at(uint64_t address)
{
	return *driver_at(&driver, address);
}

/* Makes a request that is done at once; its status. */
static uint8_t request(uint32_t type, uint64_t sector, const struct driver_buffer *data,
		       unsigned count)
{
	uint64_t status = add(type, sector, data, count);

	driver_kick(&driver, 0);
	EXPECT(driver_used(&driver, 0, NULL) >= 0);
	EXPECT_EQ(driver_audit(&driver), 0);
	return status_at(status);
}

static uint8_t range_request(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	uint8_t bytes[16];
	struct driver_buffer buffer;

	bytes_store64(bytes, sector);
	bytes_store32(bytes + 8, sectors);
	bytes_store32(bytes + 12, flags);
	buffer = driver_readable(&driver, bytes, sizeof(bytes));
	return request(type, 0, &buffer, 1);
}

static uint64_t config(unsigned offset, unsigned size)
{
	return driver_load(&driver, driver.cap[DRIVER_CAP_DEVICE] + offset, size);
}

TEST(configuration_describes_the_disk)
{
	start();
	EXPECT_EQ(config(0, 4), DISK_SIZE / 512);
	EXPECT_EQ(config(4, 4), 0);
	EXPECT_EQ(config(0x0c, 4), VIRTIO_BLK_QUEUE_SIZE - 2);
	EXPECT_EQ(config(0x14, 4), 512);
	EXPECT_EQ(config(0x18, 1), 3); /* 4096 = 512 << 3 */
	EXPECT_EQ(config(0x22, 2), 1);
	EXPECT_EQ(config(0x28, 4), 1);
	EXPECT_EQ(config(0x1000 - 4, 4), 0);
}

TEST(read_returns_what_is_on_the_disk)
{
	struct driver_buffer data[2];

	start();
	data[0] = driver_writable(&driver, 512);
	data[1] = driver_writable(&driver, 1024);
	EXPECT_EQ(request(IN, 7, data, 2), OK);
	EXPECT_MEM(driver_at(&driver, data[0].address), contents + 7 * 512, 512);
	EXPECT_MEM(driver_at(&driver, data[1].address), contents + 8 * 512, 1024);
	EXPECT_EQ(driver.interrupts[0], 1);
}

TEST(used_length_of_a_read_includes_its_status)
{
	struct driver_buffer data;
	uint32_t length = 0;

	start();
	data = driver_writable(&driver, 512);
	add(IN, 0, &data, 1);
	driver_kick(&driver, 0);
	driver_used(&driver, 0, &length);
	EXPECT_EQ(length, 513);
}

TEST(write_reaches_the_disk)
{
	static uint8_t bytes[1024];
	struct driver_buffer data;

	start();
	bytes_fill(bytes, 0x5a, sizeof(bytes));
	data = driver_readable(&driver, bytes, sizeof(bytes));
	EXPECT_EQ(request(OUT, 3, &data, 1), OK);
	EXPECT_MEM(contents + 3 * 512, bytes, sizeof(bytes));
	EXPECT_EQ(contents[5 * 512], (uint8_t)(5 + 5 * 512));
	EXPECT_EQ(flushes, 0);
}

/* The layout of a chain is the driver's choice (2.7.4). */
TEST(header_data_and_status_may_be_cut_anywhere)
{
	struct driver_buffer buffers[4];
	uint8_t bytes[16 + 512] = {OUT};

	start();
	bytes[8] = 1;
	bytes_fill(bytes + 16, 0x77, 512);
	buffers[0] = driver_readable(&driver, bytes, 5);
	buffers[1] = driver_readable(&driver, bytes + 5, 100);
	buffers[2] = driver_readable(&driver, bytes + 105, 528 - 105);
	buffers[3] = driver_writable(&driver, 1);
	driver_add(&driver, 0, buffers, 4);
	driver_kick(&driver, 0);
	EXPECT_EQ(status_at(buffers[3].address), OK);
	EXPECT_MEM(contents + 512, bytes + 16, 512);

	bytes[0] = IN;
	buffers[0] = driver_readable(&driver, bytes, 16);
	buffers[1] = driver_writable(&driver, 513); /* data and status in one */
	driver_add(&driver, 0, buffers, 2);
	driver_kick(&driver, 0);
	EXPECT_MEM(driver_at(&driver, buffers[1].address), bytes + 16, 512);
	EXPECT_EQ(status_at(buffers[1].address + 512), OK);
}

TEST(serial_number_is_told)
{
	struct driver_buffer data;

	start();
	data = driver_writable(&driver, 20);
	EXPECT_EQ(request(GET_ID, 0, &data, 1), OK);
	EXPECT_MEM(driver_at(&driver, data.address), "a-serial-of-20-bytes", 20);
	data = driver_writable(&driver, 4);
	EXPECT_EQ(request(GET_ID, 0, &data, 1), OK);
	EXPECT_MEM(driver_at(&driver, data.address), "a-se", 4);
}

TEST(flush_reaches_the_disk)
{
	start();
	EXPECT_EQ(request(FLUSH, 0, NULL, 0), OK);
	EXPECT_EQ(flushes, 1);
}

TEST(driver_without_flush_gets_each_write_flushed)
{
	static uint8_t bytes[512];
	struct driver_buffer data;

	start_with(1, 0);
	data = driver_readable(&driver, bytes, sizeof(bytes));
	EXPECT_EQ(request(OUT, 0, &data, 1), OK);
	EXPECT_EQ(flushes, 1);
	later = true;
	add(OUT, 0, &data, 1);
	driver_kick(&driver, 0);
	finish();
	EXPECT_EQ(driver_used(&driver, 0, NULL), -1);
	EXPECT_EQ(pending_count, 1);
	finish();
	EXPECT(driver_used(&driver, 0, NULL) >= 0);
	EXPECT_EQ(flushes, 2);
}

TEST(discard_and_write_zeroes_reach_the_disk)
{
	start();
	EXPECT_EQ(range_request(DISCARD, 8, 8, 0), OK);
	EXPECT_EQ(contents[8 * 512] | contents[16 * 512 - 1], 0);
	EXPECT_EQ(contents[16 * 512], 16);
	EXPECT_EQ(range_request(WRITE_ZEROES, 16, 1, 1), OK);
	EXPECT_EQ(contents[16 * 512], 0);
	EXPECT_EQ(operations[DISK_DISCARD], 1);
	EXPECT_EQ(operations[DISK_WRITE_ZEROES], 1);
}

TEST(bad_ranges_are_refused)
{
	start();
	EXPECT_EQ(range_request(DISCARD, DISK_SIZE / 512, 1, 0), IOERR);
	EXPECT_EQ(range_request(DISCARD, UINT64_MAX, 1, 0), IOERR);
	EXPECT_EQ(range_request(WRITE_ZEROES, 0, 0xffffffff, 0), IOERR);
	EXPECT_EQ(range_request(DISCARD, 0, 1, 1), UNSUPP);
	EXPECT_EQ(range_request(WRITE_ZEROES, 0, 1, 2), UNSUPP);
	EXPECT_EQ(range_request(DISCARD, 0, 0, 0), OK);
	EXPECT_EQ(operations[DISK_DISCARD] + operations[DISK_WRITE_ZEROES], 0);
}

TEST(transfers_beyond_the_end_fail)
{
	static const uint64_t sectors[] = {DISK_SIZE / 512, DISK_SIZE / 512 - 1, UINT64_MAX,
					   UINT64_MAX / 512, 1ull << 55};
	struct driver_buffer data;

	start();
	data = driver_writable(&driver, 1024);
	for (unsigned i = 0; i < sizeof(sectors) / sizeof(sectors[0]); i++)
		EXPECT_EQ(request(IN, sectors[i], &data, 1), IOERR);
	EXPECT_EQ(operations[DISK_READ], 0);
	EXPECT_EQ(driver_status(&driver), 15);
}

TEST(transfer_of_half_a_sector_fails)
{
	struct driver_buffer data;

	start();
	data = driver_writable(&driver, 100);
	EXPECT_EQ(request(IN, 0, &data, 1), IOERR);
}

TEST(unknown_requests_are_unsupported)
{
	start();
	EXPECT_EQ(request(99, 0, NULL, 0), UNSUPP);
	EXPECT_EQ(request(UINT32_MAX, 0, NULL, 0), UNSUPP);
}

TEST(errors_of_the_disk_are_told)
{
	struct driver_buffer data;

	start();
	data = driver_writable(&driver, 512);
	fails = -EIO;
	EXPECT_EQ(request(IN, 0, &data, 1), IOERR);
	fails = -ENOSPC;
	EXPECT_EQ(request(FLUSH, 0, NULL, 0), IOERR);
	fails = -ENOTSUP;
	EXPECT_EQ(request(FLUSH, 0, NULL, 0), UNSUPP);
}

TEST(read_only_disk_refuses_to_be_changed)
{
	static uint8_t bytes[512];
	struct driver_buffer data;

	disk.read_only = true;
	start_with(1, F_RO);
	EXPECT(!(driver_features(&driver) & (F_FLUSH | F_DISCARD | F_WRITE_ZEROES)));
	data = driver_readable(&driver, bytes, sizeof(bytes));
	EXPECT_EQ(request(OUT, 0, &data, 1), IOERR);
	EXPECT_EQ(range_request(DISCARD, 0, 1, 0), UNSUPP);
	EXPECT_EQ(request(FLUSH, 0, NULL, 0), OK);
	EXPECT_EQ(operations[DISK_WRITE] + operations[DISK_DISCARD] + flushes, 0);
}

TEST(requests_may_end_in_any_order)
{
	struct driver_buffer data[3];
	uint64_t status[3];

	start();
	later = true;
	for (unsigned i = 0; i < 3; i++) {
		data[i] = driver_writable(&driver, 512);
		status[i] = add(IN, i, &data[i], 1);
	}
	driver_kick(&driver, 0);
	REQUIRE(pending_count == 3);
	EXPECT_EQ(driver_used(&driver, 0, NULL), -1);
	pending[0]->done(pending[2], carry_out(pending[2]));
	EXPECT_EQ(driver_used(&driver, 0, NULL), 6);
	EXPECT_EQ(status_at(status[2]), OK);
	EXPECT_EQ(status_at(status[0]), 0xee);
	finish();
	EXPECT_EQ(driver_used(&driver, 0, NULL), 0);
	finish();
	EXPECT_EQ(driver_used(&driver, 0, NULL), 3);
	EXPECT_EQ(driver_audit(&driver), 0);
}

/* Requests in all of the queue's entries, none of which is done. */
static void fill_queue(void)
{
	struct driver_buffer buffers[2], table;
	uint8_t header[16] = {0};

	start_with(1, VIRTIO_F_INDIRECT_DESC);
	later = true;
	buffers[0] = driver_readable(&driver, header, sizeof(header));
	buffers[1] = driver_writable(&driver, 513);
	table.address = driver_alloc(&driver, 32, 16);
	driver_describe(&driver, table.address, buffers[0].address, 16, 1, 1);
	driver_describe(&driver, table.address + 16, buffers[1].address, 513, 2, 0);
	for (unsigned i = 0; i < VIRTIO_BLK_QUEUE_SIZE; i++) {
		driver_describe(&driver, driver.queue[0].descriptors + 16 * i, table.address, 32, 4,
				0);
		driver_offer(&driver, 0, (uint16_t)i);
	}
	driver_show(&driver, 0);
	driver_kick(&driver, 0);
	EXPECT_EQ(pending_count, VIRTIO_BLK_QUEUE_SIZE);
}

TEST(a_whole_queue_can_be_in_flight)
{
	fill_queue();
	while (pending_count)
		finish();
	for (unsigned i = 0; i < VIRTIO_BLK_QUEUE_SIZE; i++)
		EXPECT_EQ(driver_used(&driver, 0, NULL), i);
}

TEST(a_full_queue_is_looked_at_when_a_request_ends)
{
	fill_queue();
	EXPECT(!timer_armed(&blk.virtio.later));
	finish();
	driver_offer(&driver, 0, (uint16_t)driver_used(&driver, 0, NULL));
	driver_show(&driver, 0);
	fake_advance(1);
	EXPECT_EQ(pending_count, VIRTIO_BLK_QUEUE_SIZE);
	EXPECT(!timer_armed(&blk.virtio.later));
}

TEST(behind_a_machine_reset_requests_wait_for_those_before)
{
	struct driver_buffer data;

	fill_queue();
	driver_power_on(&driver, SLOT);
	REQUIRE(driver_begin(&driver, 0, 0));
	data = driver_writable(&driver, 512);
	add(IN, 0, &data, 1);
	driver_kick(&driver, 0);
	EXPECT_EQ(pending_count, VIRTIO_BLK_QUEUE_SIZE);
	EXPECT(!timer_armed(&blk.virtio.later));
	finish();
	fake_advance(1);
	EXPECT_EQ(pending_count, VIRTIO_BLK_QUEUE_SIZE);
	while (pending_count)
		finish();
	EXPECT_EQ(driver_used(&driver, 0, NULL), 0);
	EXPECT_EQ(driver_used(&driver, 0, NULL), -1);
}

TEST(reset_waits_for_requests_in_flight)
{
	struct driver_buffer data;

	start();
	later = true;
	data = driver_writable(&driver, 512);
	add(IN, 0, &data, 1);
	driver_kick(&driver, 0);
	driver_common_set(&driver, 0x14, 1, 0);
	EXPECT_EQ(driver_status(&driver), 15);
	finish();
	EXPECT_EQ(driver_status(&driver), 0);
	EXPECT_EQ(driver_used(&driver, 0, NULL), -1);
	later = false;
	REQUIRE(driver_begin(&driver, 0, 0));
	EXPECT_EQ(request(IN, 0, &data, 1), OK);
}

TEST(queue_reset_waits_for_requests_in_flight)
{
	struct driver_buffer data;

	start_with(1, VIRTIO_F_RING_RESET);
	later = true;
	data = driver_writable(&driver, 512);
	add(IN, 0, &data, 1);
	driver_kick(&driver, 0);
	driver_common_set(&driver, 0x16, 2, 0);
	driver_common_set(&driver, 0x3a, 2, 1);
	EXPECT_EQ(driver_common(&driver, 0x3a, 2), 1);
	driver_common_set(&driver, 0x1c, 2, 1);
	EXPECT_EQ(driver_common(&driver, 0x1c, 2), 0);
	finish();
	EXPECT_EQ(driver_common(&driver, 0x3a, 2), 0);
	later = false;
	driver_queue_init(&driver, 0, 16);
	driver_queue_enable(&driver, 0);
	EXPECT_EQ(request(IN, 0, &data, 1), OK);
}

TEST(machine_reset_forgets_requests_in_flight)
{
	struct driver_buffer data;

	start();
	later = true;
	data = driver_writable(&driver, 512);
	add(IN, 0, &data, 1);
	driver_kick(&driver, 0);
	driver_power_on(&driver, SLOT);
	EXPECT_EQ(driver_status(&driver), 0);
	REQUIRE(driver_begin(&driver, 0, 0));
	finish();
	EXPECT_EQ(driver_used(&driver, 0, NULL), -1);
	later = false;
	EXPECT_EQ(request(IN, 0, &data, 1), OK);
}

TEST(request_without_header_or_status_needs_reset)
{
	struct driver_buffer buffer;

	start();
	buffer = driver_readable(&driver, "0123456789abcdef", 16);
	driver_add(&driver, 0, &buffer, 1);
	driver_kick(&driver, 0);
	EXPECT(driver_status(&driver) & VIRTIO_NEEDS_RESET);

	REQUIRE(driver_begin(&driver, 0, 0));
	buffer = driver_writable(&driver, 100);
	driver_add(&driver, 0, &buffer, 1);
	driver_kick(&driver, 0);
	EXPECT(driver_status(&driver) & VIRTIO_NEEDS_RESET);
	REQUIRE(driver_begin(&driver, 0, 0));
}

TEST(one_queue_for_each_vcpu_up_to_four)
{
	start_with(2, F_MQ);
	EXPECT_EQ(driver_common(&driver, 0x12, 2), 2);
	EXPECT_EQ(config(0x22, 2), 2);
	driver_end(&driver);
	bytes_fill(&blk, 0, sizeof(blk));
	start_with(8, F_MQ);
	EXPECT_EQ(config(0x22, 2), 4);
}

/* Saves the device and loads it again: what is in flight is an orphan then, as if in another
 * process. */
static void save_and_load(void)
{
	static uint8_t saved_bytes[64 << 10];
	struct snapshot snapshot = {.bytes = saved_bytes, .size = sizeof(saved_bytes)};
	struct device *device = &blk.virtio.device;

	vm_lock(&driver.vm);
	device->ops->state(device, &snapshot);
	device->ops->reset(device);
	snapshot =
		(struct snapshot){.loading = true, .bytes = saved_bytes, .size = snapshot.position};
	device->ops->state(device, &snapshot);
	device->ops->loaded(device);
	vm_unlock(&driver.vm);
	REQUIRE(snapshot.error == 0);
}

TEST(requests_of_a_device_that_was_being_reset_are_not_begun_again)
{
	struct driver_buffer data;

	start();
	later = true;
	data = driver_writable(&driver, 512);
	add(IN, 0, &data, 1);
	driver_kick(&driver, 0);
	driver_common_set(&driver, 0x14, 1, 0);
	save_and_load();
	EXPECT_EQ(driver_status(&driver), 0);
	REQUIRE(driver_begin(&driver, 0, 0));
	EXPECT_EQ(pending_count, 1);
	EXPECT_EQ(driver_status(&driver), 15);
	finish();
	EXPECT_EQ(driver_used(&driver, 0, NULL), -1);
	later = false;
	EXPECT_EQ(request(IN, 0, &data, 1), OK);
}

TEST(nor_are_those_of_a_queue_that_was)
{
	struct driver_buffer data;

	start_with(1, VIRTIO_F_RING_RESET);
	later = true;
	data = driver_writable(&driver, 512);
	add(IN, 0, &data, 1);
	driver_kick(&driver, 0);
	driver_common_set(&driver, 0x16, 2, 0);
	driver_common_set(&driver, 0x3a, 2, 1);
	save_and_load();
	EXPECT_EQ(pending_count, 1);
	EXPECT(!(driver_status(&driver) & VIRTIO_NEEDS_RESET));
	finish();
	EXPECT_EQ(driver_common(&driver, 0x3a, 2), 0);
	later = false;
	driver_queue_init(&driver, 0, 16);
	driver_queue_enable(&driver, 0);
	EXPECT_EQ(request(IN, 0, &data, 1), OK);
}

TEST(requests_in_flight_are_begun_again_after_a_load)
{
	struct driver_buffer data;
	uint64_t status;

	start();
	later = true;
	data = driver_writable(&driver, 512);
	status = add(IN, 5, &data, 1);
	driver_kick(&driver, 0);
	REQUIRE(pending_count == 1);
	save_and_load();
	EXPECT_EQ(pending_count, 2);
	finish();
	EXPECT_EQ(driver_used(&driver, 0, NULL), -1);
	finish();
	EXPECT_EQ(driver_used(&driver, 0, NULL), 0);
	EXPECT_EQ(status_at(status), OK);
	EXPECT_MEM(driver_at(&driver, data.address), contents + 5 * 512, 512);
}

TEST(destroy_gives_the_memory_back)
{
	size_t before = fake_memory_in_use();

	start();
	driver_end(&driver);
	EXPECT_EQ(fake_memory_in_use(), before);
}
