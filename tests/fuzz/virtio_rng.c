/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_fuzz.h"

#include "devices/virtio/rng.h"

static struct virtio_rng rng;

static int init(struct driver *driver, unsigned slot)
{
	return virtio_rng_init(&rng, &driver->vm, &driver->bus, slot, "rng0");
}

static void world(struct driver *driver, uint8_t choice)
{
}

static bool works(struct driver *driver)
{
	struct driver_buffer buffer = driver_writable(driver, 16);

	driver_add(driver, 0, &buffer, 1);
	driver_kick(driver, 0);
	return driver_used(driver, 0, NULL) == 0;
}

static unsigned header(struct fuzz_input *input, uint8_t *bytes)
{
	return 0;
}

static void settle(struct driver *driver)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_device device = {init, world, header, settle, works};

	return fuzz_run(&device, data, size);
}
