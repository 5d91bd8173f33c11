/* SPDX-License-Identifier: BSD-2-Clause */
/* What all virtio devices share: the registers, features, status, resets and interrupts, on an
 * entropy device. */
#include "test.h"
#include "virtio_driver.h"

#include "devices/virtio/rng.h"
#include "hosts/fake/fake.h"

enum { SLOT = 3, DATA_VECTOR = 0, CONFIG_VECTOR = 1 };

static struct driver driver;
static struct virtio_rng rng;

static void start(void)
{
	REQUIRE(driver_machine(&driver, 1) == 0);
	vm_lock(&driver.vm);
	REQUIRE(virtio_rng_init(&rng, &driver.vm, &driver.bus, SLOT, "rng0") == 0);
	vm_unlock(&driver.vm);
	driver_power_on(&driver, SLOT);
}

/* Asks for length bytes; how many came. */
static uint32_t ask(uint32_t length)
{
	struct driver_buffer buffer = driver_writable(&driver, length);
	uint32_t got = 0;

	driver_add(&driver, 0, &buffer, 1);
	driver_kick(&driver, 0);
	return driver_used(&driver, 0, &got) < 0 ? 0 : got;
}

TEST(device_has_modern_ids)
{
	start();
	EXPECT_EQ(driver_config(&driver, PCI_VENDOR, 2), 0x1af4);
	EXPECT_EQ(driver_config(&driver, PCI_DEVICE_ID, 2), 0x1044);
	EXPECT_EQ(driver_config(&driver, PCI_REVISION, 1), 1);
}

TEST(structures_are_found_through_capabilities)
{
	start();
	EXPECT(driver.cap[DRIVER_CAP_COMMON] != 0);
	EXPECT(driver.cap[DRIVER_CAP_NOTIFY] != 0);
	EXPECT(driver.cap[DRIVER_CAP_ISR] != 0);
	EXPECT_EQ(driver.cap[DRIVER_CAP_DEVICE], 0); /* an entropy device has no configuration */
	EXPECT(driver.cap_config[DRIVER_CAP_PCI] != 0);
	EXPECT(driver.msix_table != 0);
	EXPECT_EQ(driver.notify_multiplier, 4);
	EXPECT_EQ(driver_common(&driver, 0x12, 2), 1);
}

TEST(features_need_version_1)
{
	start();
	EXPECT_EQ(driver_features(&driver), VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX |
						    VIRTIO_F_INDIRECT_DESC | VIRTIO_F_RING_RESET);
	EXPECT(!driver_negotiate(&driver, 0));
	EXPECT(driver_negotiate(&driver, VIRTIO_F_VERSION_1));
}

TEST(features_not_offered_are_refused)
{
	start();
	EXPECT(!driver_negotiate(&driver, VIRTIO_F_VERSION_1 | 1));
	EXPECT(!driver_negotiate(&driver, VIRTIO_F_VERSION_1 | 1ull << 34)); /* packed rings */
}

TEST(features_are_fixed_after_features_ok)
{
	start();
	REQUIRE(driver_negotiate(&driver, VIRTIO_F_VERSION_1));
	driver_common_set(&driver, 0x08, 4, 0);
	driver_common_set(&driver, 0x0c, 4, VIRTIO_F_EVENT_IDX);
	EXPECT_EQ(driver_common(&driver, 0x0c, 4), 0);
}

TEST(feature_words_beyond_the_second_are_zero)
{
	start();
	driver_common_set(&driver, 0x00, 4, 2);
	EXPECT_EQ(driver_common(&driver, 0x04, 4), 0);
	driver_common_set(&driver, 0x08, 4, 0xffffffff);
	driver_common_set(&driver, 0x0c, 4, 0xffffffff);
	EXPECT_EQ(driver_common(&driver, 0x0c, 4), 0);
}

TEST(request_is_served_with_an_msix_message)
{
	start();
	REQUIRE(driver_begin(&driver, 0, 0));
	EXPECT_EQ(ask(100), 100);
	EXPECT_EQ(driver.interrupts[DATA_VECTOR], 1);
	EXPECT_EQ(driver.interrupts[CONFIG_VECTOR], 0);
	EXPECT_EQ(driver.intx, 0);
	EXPECT_EQ(driver_audit(&driver), 0);
}

TEST(without_msix_the_pin_is_raised_until_isr_is_read)
{
	start();
	REQUIRE(driver_begin(&driver, 0, DRIVER_NO_MSIX));
	EXPECT_EQ(ask(100), 100);
	EXPECT_EQ(driver.intx, 1);
	EXPECT_EQ(driver_load(&driver, driver.cap[DRIVER_CAP_ISR], 1), 1);
	EXPECT_EQ(driver_load(&driver, driver.cap[DRIVER_CAP_ISR], 1), 0);
	EXPECT_EQ(ask(100), 100);
	EXPECT_EQ(driver.intx, 2);
}

TEST(vectors_that_are_not_there_read_back_as_none)
{
	start();
	driver_common_set(&driver, 0x10, 2, 2);
	EXPECT_EQ(driver_common(&driver, 0x10, 2), 0xffff);
	driver_common_set(&driver, 0x16, 2, 0);
	driver_common_set(&driver, 0x1a, 2, 77);
	EXPECT_EQ(driver_common(&driver, 0x1a, 2), 0xffff);
	driver_common_set(&driver, 0x1a, 2, 1);
	EXPECT_EQ(driver_common(&driver, 0x1a, 2), 1);
}

TEST(queue_that_is_not_there_has_size_zero)
{
	start();
	driver_common_set(&driver, 0x16, 2, 1);
	EXPECT_EQ(driver_common(&driver, 0x18, 2), 0);
	driver_common_set(&driver, 0x1c, 2, 1);
	EXPECT_EQ(driver_common(&driver, 0x1c, 2), 0);
	driver_common_set(&driver, 0x16, 2, 0xffff);
	EXPECT_EQ(driver_common(&driver, 0x18, 2), 0);
}

TEST(queue_sizes_must_be_powers_of_two_up_to_the_largest)
{
	static const unsigned bad[] = {0, 3, 65, 128, 0xffff};

	start();
	driver_common_set(&driver, 0x16, 2, 0);
	EXPECT_EQ(driver_common(&driver, 0x18, 2), 64);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		driver_common_set(&driver, 0x18, 2, bad[i]);
		EXPECT_EQ(driver_common(&driver, 0x18, 2), 64);
	}
	driver_common_set(&driver, 0x18, 2, 16);
	EXPECT_EQ(driver_common(&driver, 0x18, 2), 16);
}

TEST(queue_is_not_touched_before_driver_ok)
{
	struct driver_buffer buffer;

	start();
	REQUIRE(driver_negotiate(&driver, VIRTIO_F_VERSION_1));
	driver_queue_init(&driver, 0, 64);
	driver_queue_enable(&driver, 0);
	buffer = driver_writable(&driver, 8);
	driver_add(&driver, 0, &buffer, 1);
	driver_kick(&driver, 0);
	EXPECT_EQ(driver_used(&driver, 0, NULL), -1);
	driver_common_set(&driver, 0x14, 1, 15);
	EXPECT_EQ(driver_used(&driver, 0, NULL), 0); /* what waited is served then */
}

TEST(queue_is_not_enabled_before_features_ok)
{
	start();
	driver_queue_init(&driver, 0, 64);
	driver_queue_enable(&driver, 0);
	EXPECT_EQ(driver_common(&driver, 0x1c, 2), 0);
}

TEST(driver_ok_needs_features_ok)
{
	start();
	driver_common_set(&driver, 0x14, 1, 7);
	EXPECT_EQ(driver_status(&driver), 3);
}

TEST(reset_by_the_driver_begins_anew)
{
	start();
	REQUIRE(driver_begin(&driver, 0, 0));
	driver_common_set(&driver, 0x14, 1, 0);
	EXPECT_EQ(driver_status(&driver), 0);
	EXPECT_EQ(driver_common(&driver, 0x1c, 2), 0);
	EXPECT_EQ(driver_common(&driver, 0x1a, 2), 0xffff);
	EXPECT_EQ(ask(10), 0);
	REQUIRE(driver_begin(&driver, 0, 0));
	EXPECT_EQ(ask(10), 10);
}

TEST(one_queue_can_be_reset)
{
	start();
	REQUIRE(driver_begin(&driver, VIRTIO_F_RING_RESET, 0));
	EXPECT_EQ(ask(10), 10);
	driver_common_set(&driver, 0x16, 2, 0);
	driver_common_set(&driver, 0x3a, 2, 1);
	EXPECT_EQ(driver_common(&driver, 0x3a, 2), 0);
	EXPECT_EQ(driver_common(&driver, 0x1c, 2), 0);
	EXPECT_EQ(ask(10), 0);
	driver_queue_init(&driver, 0, 16);
	driver_queue_enable(&driver, 0);
	EXPECT_EQ(driver_common(&driver, 0x1c, 2), 1);
	EXPECT_EQ(ask(10), 10);
	EXPECT_EQ(driver_status(&driver), 15);
}

TEST(broken_ring_needs_reset_with_a_configuration_interrupt)
{
	start();
	REQUIRE(driver_begin(&driver, 0, 0));
	driver_put16(&driver, driver.queue[0].available + 2, 1000);
	driver_kick(&driver, 0);
	EXPECT_EQ(driver_status(&driver), 15 | VIRTIO_NEEDS_RESET);
	EXPECT_EQ(driver.interrupts[CONFIG_VECTOR], 1);
	EXPECT_EQ(fake_log_count(LOG_WARNING), 1);
	driver_kick(&driver, 0);
	EXPECT_EQ(driver.interrupts[CONFIG_VECTOR], 1);
	REQUIRE(driver_begin(&driver, 0, 0)); /* and works again after it */
	EXPECT_EQ(ask(10), 10);
}

TEST(broken_rings_are_logged_once_only)
{
	start();
	for (unsigned i = 0; i < 5; i++) {
		REQUIRE(driver_begin(&driver, 0, 0));
		driver_put16(&driver, driver.queue[0].available + 2, 1000);
		driver_kick(&driver, 0);
		EXPECT(driver_status(&driver) & VIRTIO_NEEDS_RESET);
	}
	EXPECT_EQ(fake_log_count(LOG_WARNING), 1);
}

TEST(rings_outside_of_memory_need_reset)
{
	start();
	REQUIRE(driver_negotiate(&driver, VIRTIO_F_VERSION_1));
	driver_queue_init(&driver, 0, 64);
	driver.queue[0].used = UINT64_MAX - 3;
	driver_queue_enable(&driver, 0);
	driver_common_set(&driver, 0x14, 1, 15);
	EXPECT(driver_status(&driver) & VIRTIO_NEEDS_RESET);
	driver_kick(&driver, 0);
}

TEST(without_bus_mastering_nothing_is_done)
{
	start();
	REQUIRE(driver_begin(&driver, 0, 0));
	driver_config_set(&driver, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	EXPECT_EQ(ask(10), 0);
}

TEST(notifications_of_queues_that_are_not_there_do_nothing)
{
	start();
	REQUIRE(driver_begin(&driver, 0, 0));
	for (unsigned offset = 4; offset < 0x1000; offset += 4)
		driver_store(&driver, driver.cap[DRIVER_CAP_NOTIFY] + offset, 4, 0);
	EXPECT_EQ(driver_status(&driver), 15);
}

TEST(registers_can_be_reached_through_configuration_space)
{
	unsigned cap;

	start();
	cap = driver.cap_config[DRIVER_CAP_PCI];
	driver_config_set(&driver, cap + 4, 1, 0);
	driver_config_set(&driver, cap + 8, 4, 0x14); /* device_status */
	driver_config_set(&driver, cap + 12, 4, 1);
	driver_config_set(&driver, cap + 16, 1, 3);
	EXPECT_EQ(driver_status(&driver), 3);
	EXPECT_EQ(driver_config(&driver, cap + 16, 1), 3);
}

TEST(window_with_bad_offset_or_length_does_nothing)
{
	static const uint32_t bad[][3] = {{0, 0x14, 0},	      {0, 0x14, 3},   {0, 0x14, 8},
					  {0, 0xffffffff, 1}, {0, 0x4000, 1}, {0, 0x11, 2},
					  {4, 0x14, 1},	      {9, 0x14, 1}};
	unsigned cap;

	start();
	cap = driver.cap_config[DRIVER_CAP_PCI];
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		driver_config_set(&driver, cap + 4, 1, bad[i][0]);
		driver_config_set(&driver, cap + 8, 4, bad[i][1]);
		driver_config_set(&driver, cap + 12, 4, bad[i][2]);
		driver_config_set(&driver, cap + 16, 4, 0x01010101);
		driver_config(&driver, cap + 16, 4);
		EXPECT_EQ(driver_status(&driver), 0);
	}
}

/* Of more than VIRTIO_BATCH requests in one go (another processor adds them meanwhile) the rest
 * comes by a timer. */
TEST(work_put_off_is_taken_up_again)
{
	enum { COUNT = 64 };
	struct driver_buffer buffer;

	start();
	REQUIRE(driver_begin(&driver, 0, 0));
	vm_lock(&driver.vm);
	virtio_again(&rng.virtio, 0);
	vm_unlock(&driver.vm);
	buffer = driver_writable(&driver, 4);
	for (unsigned i = 0; i < COUNT; i++)
		driver_add(&driver, 0, &buffer, 1);
	EXPECT_EQ(driver_used(&driver, 0, NULL), -1);
	fake_advance(1000);
	EXPECT_EQ(driver_used(&driver, 0, NULL), 0);
}

TEST(state_survives_save_and_load)
{
	static uint8_t bytes[64 << 10];
	static uint8_t ram[DRIVER_MEMORY];
	struct snapshot saved = {.bytes = bytes, .size = sizeof(bytes)};
	struct driver_queue queue;

	start();
	REQUIRE(driver_begin(&driver, VIRTIO_F_EVENT_IDX, 0));
	EXPECT_EQ(ask(10), 10);
	vm_lock(&driver.vm);
	for (struct device *device = driver.vm.devices; device; device = device->next)
		device->ops->state(device, &saved);
	vm_unlock(&driver.vm);
	REQUIRE(saved.error == 0);
	queue = driver.queue[0];
	bytes_copy(ram, driver.vm.memory.base, DRIVER_MEMORY);

	bytes_fill(&rng, 0, sizeof(rng));
	start();
	driver.next = 0x100000;
	driver.queue[0] = queue;
	driver_put(&driver, 0, ram, DRIVER_MEMORY);
	saved = (struct snapshot){.loading = true, .bytes = bytes, .size = saved.position};
	vm_lock(&driver.vm);
	for (struct device *device = driver.vm.devices; device; device = device->next)
		device->ops->state(device, &saved);
	for (struct device *device = driver.vm.devices; device; device = device->next)
		if (device->ops->loaded)
			device->ops->loaded(device);
	vm_unlock(&driver.vm);
	REQUIRE(saved.error == 0);
	EXPECT_EQ(driver_status(&driver), 15);
	driver_put16(&driver, queue.available + 6 + 2 * 64 - 2,
		     queue.next_used); /* used_event: interrupt for the next */
	EXPECT_EQ(ask(20), 20);
	EXPECT_EQ(driver.interrupts[DATA_VECTOR], 1);
}
