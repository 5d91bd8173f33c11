/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"
#include "virtio_driver.h"

#include "core/snapshot.h"
#include "devices/virtio/balloon.h"
#include "hosts/fake/fake.h"

enum { SLOT = 1, INFLATE = 0, DEFLATE = 1, STATISTICS = 2, REPORTING = 3, PAGE = 4096 };

#define F_STATS_VQ  (1ull << 1)
#define F_REPORTING (1ull << 5)

static struct driver driver;
static struct virtio_balloon balloon;

static void start_with(uint64_t features)
{
	REQUIRE(driver_machine(&driver, 1) == 0);
	vm_lock(&driver.vm);
	REQUIRE(virtio_balloon_init(&balloon, &driver.vm, &driver.bus, SLOT, "balloon0") == 0);
	vm_unlock(&driver.vm);
	driver_power_on(&driver, SLOT);
	REQUIRE(driver_begin(&driver, features, 0));
}

static void start(void)
{
	start_with(F_STATS_VQ | F_REPORTING);
}

/* Whether the page has been given back: the host `fake` clears it. */
static bool is_back(unsigned page)
{
	for (unsigned i = 0; i < PAGE; i++)
		if (driver_at(&driver, (uint64_t)page * PAGE)[i])
			return false;
	return true;
}

static void fill(unsigned page, unsigned count)
{
	driver_fill(&driver, (uint64_t)page * PAGE, 0xaa, (uint64_t)count * PAGE);
}

static void send(unsigned queue, const void *bytes, uint32_t length)
{
	struct driver_buffer buffer = driver_readable(&driver, bytes, length);

	driver_add(&driver, queue, &buffer, 1);
	driver_kick(&driver, queue);
}

TEST(pages_of_the_balloon_are_given_back)
{
	/* Not in order, one twice, one that is no RAM. */
	const uint32_t pages[] = {520, 515, 514, 513, 0x7fffffff, 515, 600};
	uint32_t length = 1;

	start();
	fill(512, 100);
	send(INFLATE, pages, sizeof(pages));
	EXPECT_EQ(driver_used(&driver, INFLATE, &length), 0);
	EXPECT_EQ(length, 0);
	for (unsigned page = 512; page < 612; page++) {
		bool named = page == 520 || (page >= 513 && page <= 515) || page == 600;

		EXPECT_EQ(is_back(page), named);
	}
	EXPECT_EQ(balloon.given_back, 5 * PAGE);
	EXPECT_EQ(driver_audit(&driver), 0);
	send(DEFLATE, pages, sizeof(pages));
	EXPECT_EQ(driver_used(&driver, DEFLATE, NULL), 0);
	EXPECT_EQ(balloon.given_back, 5 * PAGE);
}

/* One request could name pages by the thousand million, with the vm's lock held. */
TEST(a_request_takes_no_longer_than_others)
{
	struct driver_buffer numbers = {600 * PAGE, 4 * 4097, false};
	struct driver_buffer reports[3];
	uint8_t *page;

	start();
	page = driver.vm.memory.base + 600 * PAGE;
	fill(512, 2);
	for (unsigned i = 0; i < 4097; i++)
		bytes_store32(page + 4 * i, 0x7fffffff);
	bytes_store32(page + 4 * 4095, 512);
	bytes_store32(page + 4 * 4096, 513);
	driver_add(&driver, INFLATE, &numbers, 1);
	driver_kick(&driver, INFLATE);
	EXPECT_EQ(driver_used(&driver, INFLATE, NULL), 0);
	EXPECT(is_back(512) && !is_back(513));

	/* More than there is. */
	for (unsigned i = 0; i < 3; i++)
		reports[i] = (struct driver_buffer){512 * PAGE, DRIVER_MEMORY / 2, true};
	driver_add(&driver, REPORTING, reports, 3);
	driver_kick(&driver, REPORTING);
	EXPECT_EQ(driver_used(&driver, REPORTING, NULL), 0);
	EXPECT(balloon.given_back <= PAGE + DRIVER_MEMORY);
}

TEST(free_pages_that_are_reported_are_given_back)
{
	struct driver_buffer buffers[2] = {{512 * PAGE, 64 * PAGE, true},
					   {700 * PAGE + 100, 3 * PAGE, true}};

	start();
	fill(500, 300);
	driver_add(&driver, REPORTING, buffers, 2);
	driver_kick(&driver, REPORTING);
	EXPECT_EQ(driver_used(&driver, REPORTING, NULL), 0);
	EXPECT(!is_back(511) && is_back(512) && is_back(575) && !is_back(576));
	/* Whole pages only. */
	EXPECT(!is_back(700) && is_back(701) && is_back(702) && !is_back(703));
	EXPECT_EQ(balloon.given_back, 66 * PAGE);
	EXPECT_EQ(driver_audit(&driver), 0);
}

TEST(queues_have_no_gaps)
{
	struct driver_buffer buffer = {512 * PAGE, PAGE, true};

	start_with(F_REPORTING);
	fill(512, 1);
	driver_add(&driver, 2, &buffer, 1);
	driver_kick(&driver, 2);
	EXPECT_EQ(driver_used(&driver, 2, NULL), 0);
	EXPECT(is_back(512));
}

TEST(nothing_is_taken_of_a_driver_that_does_not_report)
{
	struct driver_buffer buffer = {512 * PAGE, PAGE, true};

	start_with(0);
	fill(512, 1);
	driver_add(&driver, 2, &buffer, 1);
	driver_kick(&driver, 2);
	EXPECT_EQ(driver_used(&driver, 2, NULL), -1);
	EXPECT(!is_back(512));
}

static uint32_t config(unsigned offset)
{
	return (uint32_t)driver_load(&driver, driver.cap[DRIVER_CAP_DEVICE] + offset, 4);
}

TEST(target_is_told_and_what_was_reached_is_kept)
{
	unsigned before;

	start();
	before = driver.interrupts[4];
	vm_lock(&driver.vm);
	virtio_balloon_set(&balloon, 1 << 20);
	vm_unlock(&driver.vm);
	EXPECT_EQ(driver.interrupts[4], before + 1);
	EXPECT_EQ(config(0), 256);
	driver_store(&driver, driver.cap[DRIVER_CAP_DEVICE] + 4, 4, 200);
	EXPECT_EQ(config(4), 200);
	EXPECT_EQ(virtio_balloon_actual(&balloon), 200 * PAGE);
	/* The target is not the driver's to change, nor can one get at more than there is. */
	driver_store(&driver, driver.cap[DRIVER_CAP_DEVICE], 4, 7);
	EXPECT_EQ(config(0), 256);
	vm_lock(&driver.vm);
	virtio_balloon_set(&balloon, UINT64_MAX);
	vm_unlock(&driver.vm);
	EXPECT_EQ(virtio_balloon_target(&balloon), DRIVER_MEMORY);
	driver_power_on(&driver, SLOT);
	EXPECT_EQ(virtio_balloon_actual(&balloon), 0);
	EXPECT_EQ(virtio_balloon_target(&balloon), DRIVER_MEMORY);
}

static unsigned put_stat(uint8_t *at, uint16_t tag, uint64_t value)
{
	bytes_store16(at, tag);
	bytes_store64(at + 2, value);
	return 10;
}

TEST(statistics_come_when_they_are_asked_for)
{
	uint8_t stats[64];
	unsigned length = 0;

	start();
	length += put_stat(stats, BALLOON_FREE, 1000);
	length += put_stat(stats + length, 4711, 5);
	length += put_stat(stats + length, BALLOON_TOTAL, 2000);
	send(STATISTICS, stats, length + 3);
	EXPECT_EQ(balloon.stats_known, 1u << BALLOON_FREE | 1u << BALLOON_TOTAL);
	EXPECT_EQ(balloon.stats[BALLOON_FREE], 1000);
	EXPECT_EQ(balloon.stats[BALLOON_TOTAL], 2000);
	EXPECT_EQ(driver_used(&driver, STATISTICS, NULL), -1);
	for (unsigned i = 0; i < 3; i++) {
		vm_lock(&driver.vm);
		virtio_balloon_ask(&balloon);
		vm_unlock(&driver.vm);
		EXPECT_EQ(driver_used(&driver, STATISTICS, NULL), (int)i);
		vm_lock(&driver.vm);
		virtio_balloon_ask(&balloon); /* it has no buffer now */
		vm_unlock(&driver.vm);
		EXPECT_EQ(driver_used(&driver, STATISTICS, NULL), -1);
		length = put_stat(stats, BALLOON_FREE, i);
		send(STATISTICS, stats, length);
		EXPECT_EQ(balloon.stats[BALLOON_FREE], i);
	}
	/* Nothing of the driver's is held: a reset doesn't wait. */
	driver_common_set(&driver, 0x14, 1, 0);
	EXPECT_EQ(driver_status(&driver), 0);
}

TEST(state_survives)
{
	static uint8_t bytes[4096];
	struct snapshot saving = {.bytes = bytes, .size = sizeof(bytes)};
	struct snapshot loading = {.loading = true, .bytes = bytes, .size = sizeof(bytes)};
	struct device *device = &balloon.virtio.device;

	start();
	vm_lock(&driver.vm);
	virtio_balloon_set(&balloon, 1 << 20);
	device->ops->state(device, &saving);
	REQUIRE(saving.error == 0);
	virtio_balloon_set(&balloon, 0);
	device->ops->state(device, &loading);
	EXPECT_EQ(loading.error, 0);
	EXPECT_EQ(virtio_balloon_target(&balloon), 1 << 20);
	/* The last bytes are the balloon's: a target beyond memory is refused. */
	bytes[saving.position - 5] = 0xff;
	loading = (struct snapshot){.loading = true, .bytes = bytes, .size = sizeof(bytes)};
	device->ops->state(device, &loading);
	EXPECT(loading.error != 0);
	vm_unlock(&driver.vm);
}
