/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"
#include "virtio_driver.h"

#include "devices/virtio/rng.h"
#include "hosts/fake/fake.h"

enum { SLOT = 1 };

static struct driver driver;
static struct virtio_rng rng;

static void start(void)
{
	REQUIRE(driver_machine(&driver, 1) == 0);
	vm_lock(&driver.vm);
	REQUIRE(virtio_rng_init(&rng, &driver.vm, &driver.bus, SLOT, "rng0") == 0);
	vm_unlock(&driver.vm);
	driver_power_on(&driver, SLOT);
	REQUIRE(driver_begin(&driver, 0, 0));
}

TEST(bytes_differ_and_come_into_every_buffer)
{
	struct driver_buffer buffers[2];
	uint32_t length = 0;

	start();
	buffers[0] = driver_writable(&driver, 64);
	buffers[1] = driver_writable(&driver, 64);
	driver_add(&driver, 0, buffers, 2);
	driver_kick(&driver, 0);
	EXPECT_EQ(driver_used(&driver, 0, &length), 0);
	EXPECT_EQ(length, 128);
	EXPECT(!bytes_equal(driver_at(&driver, buffers[0].address),
			    driver_at(&driver, buffers[1].address), 64));
	EXPECT_EQ(driver_audit(&driver), 0);
}

TEST(buffer_that_can_only_be_read_gives_nothing)
{
	struct driver_buffer buffer;
	uint32_t length = 1;

	start();
	buffer = driver_readable(&driver, "abcd", 4);
	driver_add(&driver, 0, &buffer, 1);
	driver_kick(&driver, 0);
	EXPECT_EQ(driver_used(&driver, 0, &length), 0);
	EXPECT_EQ(length, 0);
	EXPECT_MEM(driver_at(&driver, buffer.address), "abcd", 4);
}

TEST(rate_is_bounded)
{
	struct driver_buffer buffer;
	uint32_t length, sum = 0;

	start();
	buffer = driver_writable(&driver, VIRTIO_RNG_BYTES / 2 + 1);
	for (unsigned i = 0; i < 4; i++)
		driver_add(&driver, 0, &buffer, 1);
	driver_kick(&driver, 0);
	while (driver_used(&driver, 0, &length) >= 0)
		sum += length;
	EXPECT_EQ(sum, VIRTIO_RNG_BYTES);
	driver_kick(&driver, 0);
	EXPECT_EQ(driver_used(&driver, 0, &length), -1);
	fake_advance(VIRTIO_RNG_PERIOD_NS);
	while (driver_used(&driver, 0, &length) >= 0)
		sum += length;
	EXPECT_EQ(sum, 2 * VIRTIO_RNG_BYTES);
}

TEST(a_reset_forgets_the_wait)
{
	start();
	EXPECT_EQ(rng.left, VIRTIO_RNG_BYTES);
	rng.left = 0;
	driver_kick(&driver, 0);
	REQUIRE(driver_begin(&driver, 0, 0));
	EXPECT_EQ(rng.left, VIRTIO_RNG_BYTES);
	fake_advance(2 * VIRTIO_RNG_PERIOD_NS);
	EXPECT_EQ(driver_status(&driver), 15);
}
