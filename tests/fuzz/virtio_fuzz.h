/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile virtio driver: the input is a list of things that it does to rings, registers and the
 * device's other end. Afterwards the device must be able to be reset, and must work for an honest
 * driver.
 *
 * Build: clang -fsanitize=fuzzer,address,undefined tests/fuzz/virtio_X.c and what is freestanding,
 * with the host `fake`.
 */
#ifndef TESTS_FUZZ_VIRTIO_FUZZ_H
#define TESTS_FUZZ_VIRTIO_FUZZ_H

#include "hosts/fake/fake.h"
#include "tests/unit/virtio_driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_input {
	const uint8_t *data;
	size_t left;
	bool power_cycle; /* the configuration space was written to */
};

/* What is different for each device. */
struct fuzz_device {
	int (*init)(struct driver *driver, unsigned slot);
	/* The other end does something (a byte to choose it by). */
	void (*world)(struct driver *driver, uint8_t choice);
	/* Fills in what the device looks for at the start of a request, choosing likely values by a
	 * few bytes. Returns its length, up to 64. */
	unsigned (*header)(struct fuzz_input *input, uint8_t *bytes);
	/* The other end finishes all it has begun, and is well-behaved from now on. */
	void (*settle)(struct driver *driver);
	/* After a fresh start by an honest driver: whether the device does its work. */
	bool (*works)(struct driver *driver);
};

enum { FUZZ_SLOT = 1, FUZZ_USED = 256 << 10 };

static inline uint64_t fuzz_take(struct fuzz_input *input, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size && input->left; i++, input->left--)
		value |= (uint64_t)*input->data++ << (8 * i);
	return value;
}

#define FUZZ_EXPECT(condition) ((condition) ? (void)0 : __builtin_trap())

/* Addresses at which something is likely to happen. */
static inline uint64_t fuzz_address(struct driver *driver, struct fuzz_input *input)
{
	uint64_t value = fuzz_take(input, 2);

	switch (fuzz_take(input, 1) % 8) {
	case 0:
		return DRIVER_MEMORY - (value & 63);
	case 1:
		return UINT64_MAX - (value & 4095);
	case 2:
		return value << 48 | value;
	case 3:
		return driver->cap[DRIVER_CAP_COMMON] + (value & 0x3fff);
	default:
		return DRIVER_MEMORY_BASE + value * 2;
	}
}

static inline uint32_t fuzz_length(struct fuzz_input *input)
{
	uint32_t value = (uint32_t)fuzz_take(input, 1);

	switch (fuzz_take(input, 1) % 8) {
	case 0:
		return UINT32_MAX - value;
	case 1:
		return value << 24;
	case 2:
		return value * 512;
	case 3:
		return value * 16;
	default:
		return value;
	}
}

static inline void fuzz_descriptor(struct driver *driver, struct fuzz_input *input, unsigned queue)
{
	const struct driver_queue *one = &driver->queue[queue];
	unsigned index = (unsigned)fuzz_take(input, 1) % (one->size ? one->size : 1);
	uint64_t address = fuzz_address(driver, input);
	uint32_t length = fuzz_length(input);
	uint16_t flags = (uint16_t)(fuzz_take(input, 1) & 7);

	if (one->descriptors)
		driver_describe(driver, one->descriptors + 16 * index, address, length, flags,
				(uint16_t)fuzz_take(input, 1));
}

/* A request with nothing wrong about its chain, which may be indirect. */
static inline void fuzz_request(const struct fuzz_device *device, struct driver *driver,
				struct fuzz_input *input, unsigned queue)
{
	unsigned shape = (unsigned)fuzz_take(input, 1), count = 2 + (shape & 3),
		 readable = 1 + (shape >> 2) % count;
	struct driver_buffer buffers[5];
	uint8_t header[64];
	uint64_t table;

	if (!driver->queue[queue].size)
		return;
	buffers[0] = driver_readable(driver, header, device->header(input, header));
	for (unsigned i = 1; i < count; i++) {
		buffers[i].address = DRIVER_MEMORY_BASE + fuzz_take(input, 2);
		buffers[i].length = shape & 128 ? (uint32_t)fuzz_take(input, 1)
						: 16u << (fuzz_take(input, 1) % 8);
		buffers[i].writable = i >= readable;
	}
	if (shape & 64) {
		table = driver_alloc(driver, 16 * count, 1);
		for (unsigned i = 0; i < count; i++)
			driver_describe(
				driver, table + 16 * i, buffers[i].address, buffers[i].length,
				(uint16_t)((buffers[i].writable ? 2 : 0) | (i + 1 < count ? 1 : 0)),
				(uint16_t)(i + 1));
		driver_describe(driver, driver->queue[queue].descriptors, table, 16 * count, 4, 0);
		driver_offer(driver, queue, 0);
		driver_show(driver, queue);
	} else {
		driver_add(driver, queue, buffers, count);
	}
	driver_kick(driver, queue);
}

/* A start with rings in unlikely places. */
static inline void fuzz_begin_badly(struct driver *driver, struct fuzz_input *input, unsigned queue)
{
	uint64_t features = driver_features(driver);

	driver_negotiate(driver, features | VIRTIO_F_VERSION_1);
	driver_queue_init(driver, queue, (uint16_t)(1u << (fuzz_take(input, 1) % 8)));
	driver->queue[queue].descriptors = fuzz_address(driver, input);
	driver->queue[queue].available = fuzz_address(driver, input);
	driver->queue[queue].used = fuzz_address(driver, input);
	driver_queue_enable(driver, queue);
	driver_common_set(driver, 0x14, 1, 15);
}

static inline void fuzz_put(struct driver *driver, struct fuzz_input *input)
{
	uint64_t address = DRIVER_MEMORY_BASE + fuzz_take(input, 2);
	uint64_t value = fuzz_take(input, 8);

	driver_put(driver, address, &value, sizeof(value));
}

static inline void fuzz_step(const struct fuzz_device *device, struct driver *driver,
			     struct fuzz_input *input)
{
	uint8_t what = (uint8_t)fuzz_take(input, 1);
	unsigned queue = (what >> 4) % DRIVER_QUEUES;
	uint64_t value;

	switch (what & 15) {
	case 0:
	case 1:
	case 2:
		fuzz_descriptor(driver, input, queue);
		break;
	case 3:
	case 4:
		if (!driver->queue[queue].size)
			break;
		driver_offer(driver, queue, (uint16_t)fuzz_take(input, 1));
		driver_show(driver, queue);
		break;
	case 5:
	case 6:
		driver->deaf = what == 0xf6; /* its bell is heard with a later one */
		driver_kick(driver, queue);
		break;
	case 7:
		fuzz_put(driver, input);
		break;
	case 8:
		value = fuzz_take(input, 1) & 63;
		driver_common_set(driver, (unsigned)value, 1u << (queue & 3), fuzz_take(input, 4));
		break;
	case 9:
		if (queue & 4)
			fuzz_begin_badly(driver, input, queue & 3);
		else
			driver_load(driver,
				    driver->cap[DRIVER_CAP_COMMON] + (fuzz_take(input, 2) & 0x3fff),
				    1u << (queue & 3));
		break;
	case 10:
		input->power_cycle = true;
		value = fuzz_take(input, 1);
		driver_config_set(driver, (unsigned)value & ~3u, 4, (uint32_t)fuzz_take(input, 4));
		break;
	case 11:
		driver_begin(driver, fuzz_take(input, 8), (uint32_t)(queue & 1));
		break;
	case 12:
		fake_advance(fuzz_take(input, 4));
		break;
	case 13:
		if (driver->queue[queue].size)
			driver_put16(driver, driver->queue[queue].available + 2,
				     (uint16_t)fuzz_take(input, 2));
		break;
	case 14:
		fuzz_request(device, driver, input, queue);
		break;
	default:
		device->world(driver, (uint8_t)fuzz_take(input, 1));
		break;
	}
	if (driver->next > DRIVER_MEMORY - (1u << 20))
		driver->next = DRIVER_MEMORY_BASE;
}

static inline int fuzz_run(const struct fuzz_device *device, const uint8_t *data, size_t size)
{
	static struct driver driver;
	static bool started;
	uint64_t value;
	struct fuzz_input input = {data, size, false};

	if (!started) {
		FUZZ_EXPECT(driver_machine(&driver, 2) == 0);
		vm_lock(&driver.vm);
		FUZZ_EXPECT(device->init(&driver, FUZZ_SLOT) == 0);
		vm_unlock(&driver.vm);
		driver_power_on(&driver, FUZZ_SLOT);
		started = true;
	}
	device->settle(&driver);
	bytes_fill(driver.vm.memory.base, 0, FUZZ_USED);
	driver.next = DRIVER_MEMORY_BASE;
	bytes_fill(driver.queue, 0, sizeof(driver.queue));
	value = fuzz_take(&input, 1);
	driver_begin(&driver,
		     driver_features(&driver) & (value & 1 ? UINT64_MAX : fuzz_take(&input, 8)), 0);
	while (input.left)
		fuzz_step(device, &driver, &input);

	/* Whatever it has done: an honest driver (after firmware, if addresses and the like were
	 * changed) can use it again. */
	driver.deaf = false;
	device->settle(&driver);
	driver.next = DRIVER_MEMORY_BASE;
	if (input.power_cycle)
		driver_power_on(&driver, FUZZ_SLOT);
	FUZZ_EXPECT(driver_begin(&driver, 0, 0));
	FUZZ_EXPECT(device->works(&driver));
	FUZZ_EXPECT(driver_status(&driver) == 15);
	return 0;
}

#endif
