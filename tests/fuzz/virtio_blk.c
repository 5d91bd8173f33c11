/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_fuzz.h"

#include "devices/virtio/blk.h"

enum { SIZE = 64 << 10, PENDING_MAX = VIRTIO_BLK_RELOAD_MAX };

static struct virtio_blk blk;
static uint8_t contents[SIZE];
static struct disk_request *pending[PENDING_MAX];
static unsigned pending_count;
static bool at_once;

static int carry_out(const struct disk_request *request)
{
	uint64_t at = request->offset, total = 0;

	if (request->operation == DISK_FLUSH)
		return 0;
	FUZZ_EXPECT(at % 512 == 0 && request->length % 512 == 0 && at <= SIZE &&
		    request->length <= SIZE - at);
	if (request->operation != DISK_READ && request->operation != DISK_WRITE)
		return 0;
	for (unsigned i = 0; i < request->slice_count; i++)
		total += request->slices[i].length;
	FUZZ_EXPECT(total == request->length);
	for (unsigned i = 0; i < request->slice_count; i++) {
		const struct slice *slice = &request->slices[i];

		/* Slices may overlap. */
		if (request->operation == DISK_READ)
			bytes_copy(slice->base, contents + at, slice->length);
		else
			bytes_copy(contents + at, slice->base, slice->length);
		at += slice->length;
	}
	return 0;
}

static int submit(struct disk *disk, struct disk_request *request)
{
	if (at_once)
		return carry_out(request);
	FUZZ_EXPECT(pending_count < PENDING_MAX);
	pending[pending_count++] = request;
	return DISK_PENDING;
}

static const struct disk_ops ops = {.submit = submit};
static struct disk disk = {.ops = &ops, .size = SIZE, .block_size = 512, .can_discard = true};

static int init(struct driver *driver, unsigned slot)
{
	return virtio_blk_init(&blk, &driver->vm, &driver->bus, slot, "disk0", &disk);
}

static void finish(unsigned index)
{
	struct disk_request *request = pending[index];

	pending[index] = pending[--pending_count];
	request->done(request, carry_out(request));
}

static void world(struct driver *driver, uint8_t choice)
{
	if (choice & 1)
		at_once = choice & 2;
	else if (pending_count)
		finish(choice % pending_count);
}

/* A request's header, and behind it what may be a range. */
static unsigned header(struct fuzz_input *input, uint8_t *bytes)
{
	unsigned choice = (unsigned)fuzz_take(input, 1);

	bytes_fill(bytes, 0, 32);
	bytes[0] = choice & 15;
	bytes_store64(bytes + 8, choice & 16 ? fuzz_take(input, 8) : fuzz_take(input, 1));
	bytes_store64(bytes + 16, choice & 16 ? fuzz_take(input, 8) : fuzz_take(input, 1));
	bytes_store32(bytes + 24, choice & 32 ? (uint32_t)fuzz_take(input, 4) : 1);
	bytes_store32(bytes + 28, (uint32_t)fuzz_take(input, 1) & 3);
	return choice & 64 ? 16 : 32;
}

static void settle(struct driver *driver)
{
	while (pending_count)
		finish(0);
	at_once = true;
}

static bool works(struct driver *driver)
{
	uint8_t header[16] = {0};
	struct driver_buffer buffers[2] = {driver_readable(driver, header, 16),
					   driver_writable(driver, 513)};

	driver_add(driver, 0, buffers, 2);
	driver_kick(driver, 0);
	return driver_used(driver, 0, NULL) == 0 &&
	       *driver_at(driver, buffers[1].address + 512) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_device device = {init, world, header, settle, works};

	at_once = false;
	return fuzz_run(&device, data, size);
}
