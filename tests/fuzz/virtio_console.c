/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_fuzz.h"

#include "devices/virtio/console.h"

static struct virtio_console console;
static unsigned sum;
static size_t room;
static bool echo;

static size_t write_out(struct console *plug, const void *bytes, size_t length)
{
	size_t taken = length < room ? length : room;

	for (size_t i = 0; i < taken; i += 997)
		sum += ((const uint8_t *)bytes)[i];
	room -= taken;
	if (echo && taken)
		plug->input(plug->device, bytes, taken < 64 ? taken : 64);
	return taken;
}

static void input_ready(struct console *plug)
{
	if (echo)
		plug->input(plug->device, "ready", 5);
}

static const struct console_ops ops = {.write = write_out, .input_ready = input_ready};
static struct console end[3] = {{.ops = &ops}, {.ops = &ops}, {.ops = &ops}};

static int init(struct driver *driver, unsigned slot)
{
	static const struct virtio_console_plug plugs[3] = {
		{&end[0], NULL}, {&end[1], "one"}, {&end[2], "two"}};

	return virtio_console_init(&console, &driver->vm, &driver->bus, slot, "console0", plugs, 3);
}

static void world(struct driver *driver, uint8_t choice)
{
	struct console *one = &end[choice % 3];

	vm_lock(&driver->vm);
	switch (choice / 3 % 5) {
	case 0:
		room = (size_t)choice * choice;
		one->output_ready(one->device);
		break;
	case 1:
		one->resized(one->device, choice, 25);
		break;
	case 2:
		echo = choice & 64;
		break;
	default:
		one->input(one->device, "some text to be read", choice % 20 + 1u);
		break;
	}
	vm_unlock(&driver->vm);
}

/* A control message. */
static unsigned header(struct fuzz_input *input, uint8_t *bytes)
{
	unsigned choice = (unsigned)fuzz_take(input, 1);

	bytes_fill(bytes, 0, 8);
	bytes_store32(bytes, choice & 3);
	bytes_store16(bytes + 4, choice >> 2 & 7);
	bytes_store16(bytes + 6, choice & 128 ? (uint16_t)fuzz_take(input, 2) : choice >> 5 & 1);
	return 8;
}

static void settle(struct driver *driver)
{
	room = SIZE_MAX / 2;
	echo = false;
}

static bool works(struct driver *driver)
{
	struct driver_buffer in = driver_writable(driver, 16),
			     out = driver_readable(driver, "text", 4);
	bool taken;

	driver_add(driver, 0, &in, 1);
	driver_add(driver, 1, &out, 1);
	driver_kick(driver, 1);
	vm_lock(&driver->vm);
	taken = end[0].input(end[0].device, "x", 1) == 1;
	vm_unlock(&driver->vm);
	return taken && driver_used(driver, 0, NULL) == 0 && driver_used(driver, 1, NULL) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_device device = {init, world, header, settle, works};

	room = 0;
	return fuzz_run(&device, data, size);
}
