/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_fuzz.h"

#include "devices/virtio/balloon.h"

static struct virtio_balloon balloon;

static int init(struct driver *driver, unsigned slot)
{
	return virtio_balloon_init(&balloon, &driver->vm, &driver->bus, slot, "balloon0");
}

static void world(struct driver *driver, uint8_t choice)
{
	vm_lock(&driver->vm);
	if (choice & 1)
		virtio_balloon_ask(&balloon);
	else
		virtio_balloon_set(&balloon, (uint64_t)choice << (choice & 31));
	vm_unlock(&driver->vm);
}

static unsigned header(struct fuzz_input *input, uint8_t *bytes)
{
	unsigned length = (unsigned)fuzz_take(input, 1) % 64;

	for (unsigned i = 0; i < length; i++)
		bytes[i] = (uint8_t)(i % 4 < 2 ? fuzz_take(input, 1) : 0);
	return length;
}

static void settle(struct driver *driver)
{
}

/* A page far from the rings is given back. */
static bool works(struct driver *driver)
{
	const uint32_t page = (DRIVER_MEMORY >> 12) - 1;
	struct driver_buffer buffer = driver_readable(driver, &page, sizeof(page));

	driver_fill(driver, (uint64_t)page << 12, 1, 4096);
	driver_add(driver, 0, &buffer, 1);
	driver_kick(driver, 0);
	return driver_used(driver, 0, NULL) == 0 && *driver_at(driver, (uint64_t)page << 12) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_device device = {init, world, header, settle, works};

	return fuzz_run(&device, data, size);
}
