/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_fuzz.h"

#include "devices/virtio/net.h"

static struct virtio_net net;
static unsigned sum, sent;
static const uint8_t answer[60];

static void send(struct netport *port, const struct slice *slices, unsigned count)
{
	size_t length = 0;

	/* All of the frame is there to be read. */
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *bytes = slices[i].base;

		FUZZ_EXPECT(slices[i].length > 0);
		sum += bytes[0] + bytes[slices[i].length - 1];
		length += slices[i].length;
	}
	FUZZ_EXPECT(length >= 14 && length <= 65549);
	sent++;
	/* As the user network does. */
	if (sum & 1)
		port->receive(port->device, answer, sizeof(answer));
}

static void receive_ready(struct netport *port)
{
}

static const struct netport_ops ops = {.send = send, .receive_ready = receive_ready};
static struct netport port = {.ops = &ops, .mtu = 1500, .send_max = 65549, .receive_checked = true};

static int init(struct driver *driver, unsigned slot)
{
	return virtio_net_init(&net, &driver->vm, &driver->bus, slot, "net0", &port);
}

static void world(struct driver *driver, uint8_t choice)
{
	static const uint8_t frame[1514];

	vm_lock(&driver->vm);
	port.receive(port.device, frame, 14 + choice * 5u);
	vm_unlock(&driver->vm);
}

static unsigned header(struct fuzz_input *input, uint8_t *bytes)
{
	unsigned choice = (unsigned)fuzz_take(input, 1);

	bytes_fill(bytes, 0, 64);
	bytes[0] = choice & 3;
	bytes[1] = choice >> 2 & 15;
	bytes_store16(bytes + 6, (uint16_t)fuzz_take(input, choice & 64 ? 2 : 1));
	bytes_store16(bytes + 8, (uint16_t)fuzz_take(input, choice & 64 ? 2 : 1));
	return choice & 128 ? 12 : 64;
}

static void settle(struct driver *driver)
{
}

static bool works(struct driver *driver)
{
	struct driver_buffer in = driver_writable(driver, 1526);
	static const uint8_t frame[12 + 60];
	struct driver_buffer out = driver_readable(driver, frame, sizeof(frame));
	unsigned before = sent;

	driver_add(driver, 0, &in, 1);
	world(driver, 10);
	driver_add(driver, 1, &out, 1);
	driver_kick(driver, 1);
	return driver_used(driver, 0, NULL) == 0 && driver_used(driver, 1, NULL) == 0 &&
	       sent == before + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_device device = {init, world, header, settle, works};

	return fuzz_run(&device, data, size);
}
