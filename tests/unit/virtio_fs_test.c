/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"
#include "virtio_driver.h"

#include "core/snapshot.h"
#include "devices/virtio/fs.h"
#include "hosts/fake/fake.h"
#include "lib/error.h"

enum { SLOT = 1, URGENT = 0, REQUESTS = 1 };

static struct driver driver;
static struct virtio_fs fs;

/* A share that answers when it is told to, with what it was asked. */
static struct share_request *waiting[2 * VIRTIO_FS_SLOTS];
static unsigned waiting_count;
static int refuse;

static int submit(struct share *share, struct share_request *request)
{
	if (refuse)
		return refuse;
	waiting[waiting_count++] = request;
	return 0;
}

static void answer(unsigned index)
{
	struct share_request *request = waiting[index];
	uint64_t length = request->readable_length < request->writable_length
				  ? request->readable_length
				  : request->writable_length;

	if (request->writable_count)
		bytes_copy(request->writable[0].base, request->readable[0].base, length);
	request->done(request, length);
}

static void answer_all(void)
{
	for (unsigned i = 0; i < waiting_count; i++)
		answer(i);
	waiting_count = 0;
}

static void drain(struct share *share)
{
}

static void state(struct share *share, struct snapshot *snapshot)
{
	uint32_t value = 4711;

	snapshot_u32(snapshot, &value);
	EXPECT(!snapshot->loading || snapshot->error || value == 4711);
}

static const struct share_ops ops = {.submit = submit, .drain = drain, .state = state};
static struct share share = {.ops = &ops, .tag = "a folder"};

static void start(void)
{
	REQUIRE(driver_machine(&driver, 1) == 0);
	vm_lock(&driver.vm);
	REQUIRE(virtio_fs_init(&fs, &driver.vm, &driver.bus, SLOT, "share0", &share) == 0);
	vm_unlock(&driver.vm);
	driver_power_on(&driver, SLOT);
	REQUIRE(driver_begin(&driver, 0, 0));
}

static void ask(unsigned queue, const char *text, struct driver_buffer *buffers)
{
	buffers[0] = driver_readable(&driver, text, 4);
	buffers[1] = driver_writable(&driver, 16);
	driver_add(&driver, queue, buffers, 2);
	driver_kick(&driver, queue);
}

TEST(tag_and_queues_are_told)
{
	uint8_t tag[36] = "a folder";

	start();
	for (unsigned i = 0; i < sizeof(tag); i++)
		EXPECT_EQ(driver_load(&driver, driver.cap[DRIVER_CAP_DEVICE] + i, 1), tag[i]);
	EXPECT_EQ(driver_load(&driver, driver.cap[DRIVER_CAP_DEVICE] + 36, 4), 1);
	EXPECT_EQ(driver_config(&driver, 2, 2), 0x1040 + 26);
}

TEST(answers_come_in_any_order)
{
	struct driver_buffer one[2], two[2];
	uint32_t length;

	start();
	ask(REQUESTS, "one", one);
	ask(URGENT, "two", two);
	ask(REQUESTS, "six", two);
	REQUIRE(waiting_count == 3);
	EXPECT_EQ(waiting[0]->readable_length, 4);
	EXPECT_EQ(waiting[0]->writable_length, 16);
	EXPECT_EQ(driver_used(&driver, REQUESTS, NULL), -1);
	answer(2);
	EXPECT_EQ(driver_used(&driver, REQUESTS, &length), 2);
	EXPECT_EQ(length, 4);
	EXPECT_MEM(driver_at(&driver, two[1].address), "six", 4);
	answer(0);
	EXPECT_EQ(driver_used(&driver, REQUESTS, NULL), 0);
	EXPECT_MEM(driver_at(&driver, one[1].address), "one", 4);
	answer(1);
	EXPECT_EQ(driver_used(&driver, URGENT, NULL), 0);
	EXPECT_EQ(driver.interrupts[REQUESTS], 2);
	EXPECT_EQ(driver_audit(&driver), 0);
}

TEST(share_that_can_not_begin_answers_nothing)
{
	struct driver_buffer buffers[2];
	uint32_t length = 1;

	start();
	refuse = -EAGAIN;
	ask(REQUESTS, "one", buffers);
	EXPECT_EQ(driver_used(&driver, REQUESTS, &length), 0);
	EXPECT_EQ(length, 0);
}

TEST(reset_waits_for_the_share)
{
	struct driver_buffer buffers[2];

	start();
	ask(REQUESTS, "one", buffers);
	driver_common_set(&driver, 0x14, 1, 0);
	EXPECT(driver_status(&driver) != 0);
	answer_all();
	EXPECT_EQ(driver_status(&driver), 0);
}

TEST(machine_reset_forgets_what_is_answered_later)
{
	struct driver_buffer buffers[2];

	start();
	ask(REQUESTS, "one", buffers);
	driver_power_on(&driver, SLOT);
	driver.next = DRIVER_MEMORY_BASE;
	REQUIRE(driver_begin(&driver, 0, 0));
	answer_all();
	EXPECT_EQ(driver_used(&driver, REQUESTS, NULL), -1);
	ask(REQUESTS, "two", buffers);
	answer_all();
	EXPECT_EQ(driver_used(&driver, REQUESTS, NULL), 0);
}

static void fill_queue(unsigned queue)
{
	struct driver_buffer buffer = {driver_alloc(&driver, 4, 4), 4, false};

	for (unsigned i = 0; i < VIRTIO_FS_QUEUE_SIZE; i++)
		driver_add(&driver, queue, &buffer, 1);
	driver_kick(&driver, queue);
}

TEST(full_queue_is_taken)
{
	start();
	fill_queue(REQUESTS);
	EXPECT_EQ(waiting_count, VIRTIO_FS_QUEUE_SIZE);
	answer_all();
	for (unsigned i = 0; i < VIRTIO_FS_QUEUE_SIZE; i++)
		EXPECT_EQ(driver_used(&driver, REQUESTS, NULL), (int)i);
}

TEST(full_queues_are_looked_at_when_a_request_ends)
{
	start();
	fill_queue(URGENT);
	fill_queue(REQUESTS);
	EXPECT_EQ(waiting_count, VIRTIO_FS_SLOTS);
	EXPECT(!timer_armed(&fs.virtio.later));
	answer(VIRTIO_FS_QUEUE_SIZE);
	driver_offer(&driver, REQUESTS, (uint16_t)driver_used(&driver, REQUESTS, NULL));
	driver_show(&driver, REQUESTS);
	fake_advance(1);
	EXPECT_EQ(waiting_count, VIRTIO_FS_SLOTS + 1);
	EXPECT(!timer_armed(&fs.virtio.later));
}

TEST(behind_a_machine_reset_requests_wait_for_those_before)
{
	struct driver_buffer buffers[2];

	start();
	fill_queue(URGENT);
	fill_queue(REQUESTS);
	driver_power_on(&driver, SLOT);
	REQUIRE(driver_begin(&driver, 0, 0));
	ask(REQUESTS, "one", buffers);
	EXPECT_EQ(waiting_count, VIRTIO_FS_SLOTS);
	EXPECT(!timer_armed(&fs.virtio.later));
	answer(0);
	fake_advance(1);
	REQUIRE(waiting_count == VIRTIO_FS_SLOTS + 1);
	answer(VIRTIO_FS_SLOTS);
	EXPECT_EQ(driver_used(&driver, REQUESTS, NULL), 0);
}

TEST(state_survives_if_nothing_is_under_way)
{
	static uint8_t bytes[4096];
	struct snapshot saving = {.bytes = bytes, .size = sizeof(bytes)};
	struct snapshot loading = {.loading = true, .bytes = bytes, .size = sizeof(bytes)};
	struct driver_buffer buffers[2];
	struct device *device = &fs.virtio.device;

	start();
	ask(REQUESTS, "one", buffers);
	vm_lock(&driver.vm);
	device->ops->state(device, &saving);
	vm_unlock(&driver.vm);
	EXPECT(saving.error != 0);
	answer_all();
	EXPECT_EQ(driver_used(&driver, REQUESTS, NULL), 0);
	saving = (struct snapshot){.bytes = bytes, .size = sizeof(bytes)};
	vm_lock(&driver.vm);
	device->ops->state(device, &saving);
	EXPECT_EQ(saving.error, 0);
	device->ops->state(device, &loading);
	EXPECT_EQ(loading.error, 0);
	device->ops->loaded(device);
	vm_unlock(&driver.vm);
	ask(REQUESTS, "two", buffers);
	answer_all();
	EXPECT_EQ(driver_used(&driver, REQUESTS, NULL), 2);
}
