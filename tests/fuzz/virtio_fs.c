/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_fuzz.h"

#include "devices/virtio/fs.h"

static struct virtio_fs fs;
static struct share_request *waiting[VIRTIO_FS_SLOTS];
static unsigned count, sum;

/* Looks at all of a message and fills all of the room, so that a slice that isn't memory is found.
 */
static void answer(struct share_request *request)
{
	uint64_t readable = 0, written = 0;

	for (unsigned i = 0; i < request->readable_count; i++) {
		readable += request->readable[i].length;
		for (size_t j = 0; j < request->readable[i].length; j += 512)
			sum += ((const uint8_t *)request->readable[i].base)[j];
	}
	for (unsigned i = 0; i < request->writable_count; i++) {
		bytes_fill(request->writable[i].base, 1, request->writable[i].length);
		written += request->writable[i].length;
	}
	FUZZ_EXPECT(readable == request->readable_length && written == request->writable_length);
	request->done(request, written);
}

static int submit(struct share *share, struct share_request *request)
{
	FUZZ_EXPECT(count < VIRTIO_FS_SLOTS);
	waiting[count++] = request;
	return 0;
}

static void settle(struct driver *driver)
{
	while (count)
		answer(waiting[--count]);
}

static void drain(struct share *share)
{
	settle(NULL);
}

static void state(struct share *share, struct snapshot *snapshot)
{
}

static const struct share_ops ops = {.submit = submit, .drain = drain, .state = state};
static struct share share = {.ops = &ops, .tag = "fuzz"};

static int init(struct driver *driver, unsigned slot)
{
	return virtio_fs_init(&fs, &driver->vm, &driver->bus, slot, "share0", &share);
}

static void world(struct driver *driver, uint8_t choice)
{
	struct share_request *request;

	if (!count)
		return;
	choice %= count;
	request = waiting[choice];
	waiting[choice] = waiting[--count];
	answer(request);
}

static bool works(struct driver *driver)
{
	struct driver_buffer buffers[2] = {driver_readable(driver, "ask", 4),
					   driver_writable(driver, 16)};

	driver_add(driver, 1, buffers, 2);
	driver_kick(driver, 1);
	settle(driver);
	return driver_used(driver, 1, NULL) == 0;
}

static unsigned header(struct fuzz_input *input, uint8_t *bytes)
{
	bytes_store32(bytes, 40);
	bytes_store32(bytes + 4, (uint32_t)fuzz_take(input, 1));
	return 40;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_device device = {init, world, header, settle, works};

	return fuzz_run(&device, data, size);
}
