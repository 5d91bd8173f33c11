/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_fuzz.h"

#include "devices/virtio/vsock.h"

enum { ENDS = 4, ROOM = 512, PORT = 3 };

/* Ends that keep the books: what they were given must never be more than there was room for. */
struct end {
	struct stream stream;
	bool busy, open;
	uint32_t waiting;
};

static struct virtio_vsock vsock;
static struct caller caller;
static struct end ends[ENDS];
static bool works_heard;
static unsigned sum;

static void opened(struct stream *stream)
{
	struct end *end = container_of(stream, struct end, stream);

	FUZZ_EXPECT(end->busy && !end->open);
	end->open = true;
	caller.input(stream, "hello", 5);
}

static void write_out(struct stream *stream, const void *bytes, size_t length)
{
	struct end *end = container_of(stream, struct end, stream);

	for (size_t i = 0; i < length; i++)
		sum += ((const uint8_t *)bytes)[i];
	end->waiting += (uint32_t)length;
	FUZZ_EXPECT(end->busy && end->open && end->waiting <= ROOM);
	works_heard = true;
	if (length == 7) {
		caller.close(stream);
		*end = (struct end){.stream = end->stream};
	}
}

static void input_ready(struct stream *stream)
{
	caller.input(stream, "some more of this", 17);
}

static void ended(struct stream *stream)
{
	FUZZ_EXPECT(container_of(stream, struct end, stream)->open);
}

static void closed(struct stream *stream, int error)
{
	struct end *end = container_of(stream, struct end, stream);

	FUZZ_EXPECT(end->busy);
	end->busy = end->open = false;
	end->waiting = 0;
}

static const struct stream_ops ops = {opened, write_out, input_ready, ended, closed};

static int init(struct driver *driver, unsigned slot)
{
	for (unsigned i = 0; i < ENDS; i++)
		ends[i].stream = (struct stream){.ops = &ops, .room = ROOM};
	return virtio_vsock_init(&vsock, &driver->vm, &driver->bus, slot, "vsock0", &caller);
}

static void call(struct end *end)
{
	end->waiting = 0;
	end->busy = true;
	end->open = false;
	if (caller.call(caller.device, &end->stream, PORT))
		end->busy = false;
}

static void world(struct driver *driver, uint8_t choice)
{
	struct end *end = &ends[choice % ENDS];

	vm_lock(&driver->vm);
	if (!end->busy) {
		/* So that the ports are those that header() guesses. */
		vsock.next_port = 0x40000000 + choice % ENDS;
		call(end);
	} else if (choice & 0x80) {
		caller.consumed(&end->stream, end->waiting);
		end->waiting = 0;
	} else if (choice & 0x40) {
		caller.input(&end->stream, "some text to be read", choice & 15);
	} else if (choice & 0x20) {
		caller.finish(&end->stream);
	} else {
		caller.close(&end->stream);
		end->busy = false;
	}
	vm_unlock(&driver->vm);
}

static unsigned header(struct fuzz_input *input, uint8_t *bytes)
{
	unsigned choice = (unsigned)fuzz_take(input, 1);

	bytes_fill(bytes, 0, 64);
	bytes_store64(bytes, choice & 64 ? 3 : fuzz_take(input, 1) | 3);
	bytes_store64(bytes + 8, 2);
	bytes_store32(bytes + 16, PORT);
	bytes_store32(bytes + 20, 0x40000001 + (choice & 3));
	bytes_store32(bytes + 24, (uint32_t)fuzz_take(input, 1) * (choice & 128 ? 1 : 16));
	bytes_store16(bytes + 28, 1);
	bytes_store16(bytes + 30, choice >> 2 & 7);
	bytes_store32(bytes + 32, choice >> 4 & 3);
	bytes_store32(bytes + 36, (uint32_t)fuzz_take(input, 2));
	bytes_store32(bytes + 40, (uint32_t)fuzz_take(input, 1));
	return VIRTIO_VSOCK_HEADER + (choice & 15);
}

static void settle(struct driver *driver)
{
	vm_lock(&driver->vm);
	for (unsigned i = 0; i < ENDS; i++) {
		if (ends[i].busy)
			caller.close(&ends[i].stream);
		ends[i] = (struct end){.stream = ends[i].stream};
	}
	vm_unlock(&driver->vm);
}

static bool works(struct driver *driver)
{
	struct driver_buffer in = driver_writable(driver, 256), both[2];
	uint8_t bytes[VIRTIO_VSOCK_HEADER];

	driver_add(driver, 0, &in, 1);
	driver_kick(driver, 0);
	vm_lock(&driver->vm);
	call(&ends[0]);
	vm_unlock(&driver->vm);
	if (!ends[0].busy || driver_used(driver, 0, NULL) != 0)
		return false;
	bytes_copy(bytes, driver_at(driver, in.address), sizeof(bytes));
	bytes_store64(bytes, 3);
	bytes_store64(bytes + 8, 2);
	bytes_store32(bytes + 20, bytes_load32(bytes + 16));
	bytes_store32(bytes + 16, PORT);
	bytes_store16(bytes + 30, 2);
	both[0] = driver_readable(driver, bytes, sizeof(bytes));
	driver_add(driver, 1, both, 1);
	bytes_store16(bytes + 30, 5);
	bytes_store32(bytes + 24, 4);
	both[0] = driver_readable(driver, bytes, sizeof(bytes));
	both[1] = driver_readable(driver, "text", 4);
	driver_add(driver, 1, both, 2);
	works_heard = false;
	driver_kick(driver, 1);
	return ends[0].open && works_heard && ends[0].waiting == 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_device device = {init, world, header, settle, works};

	return fuzz_run(&device, data, size);
}
