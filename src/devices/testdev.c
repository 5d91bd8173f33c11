/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices for test programs. They have no manual but QEMU's behaviour:
 *	0xf4	isa-debug-exit: a write ends the vm with its value
 *	0xe0	pc-testdev: four bytes that read back as written, in any size
 *	0xe4	pc-testdev: a page address, whose mapping is to be dropped and made again
 *	0xe8	pc-testdev: as 0xe0, but only bytes reach it
 *	0xe9	debug console: bytes written are output; reads 0xe9
 *	0x2000	pc-testdev: 24 bytes that set the level of one interrupt line each
 *	memory at 0xff000000: 64 KiB that keep what is written
 *
 * Not modelled: byte 1 of the port at 0xe8, where the debug console is; the flush (no mapping
 *outlives a change here).
 */
#include "devices/testdev.h"

#include "core/vm.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/check.h"

static uint64_t nothing_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return 0;
}

static void nothing_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			  bool *fault)
{
}

static void exit_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		       bool *fault)
{
	vm_stop(container_of(region, struct testdev, exit)->vm, VM_TEST_EXIT, (int)value);
}

static uint64_t echoed_get(const struct testdev *testdev, unsigned offset, unsigned size)
{
	uint8_t bytes[4];

	bytes_store32(bytes, testdev->echoed);
	return bytes_load(bytes + offset, size);
}

static void echoed_set(struct testdev *testdev, unsigned offset, unsigned size, uint64_t value)
{
	uint8_t bytes[4];

	bytes_store32(bytes, testdev->echoed);
	bytes_store(bytes + offset, value, size);
	testdev->echoed = bytes_load32(bytes);
}

static uint64_t echo_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return echoed_get(container_of(region, struct testdev, echo), (unsigned)offset, size);
}

static void echo_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		       bool *fault)
{
	echoed_set(container_of(region, struct testdev, echo), (unsigned)offset, size, value);
}

static uint64_t echo_low_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return echoed_get(container_of(region, struct testdev, echo_low), 0, 1);
}

static void echo_low_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			   bool *fault)
{
	echoed_set(container_of(region, struct testdev, echo_low), 0, 1, value);
}

static uint64_t echo_high_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return echoed_get(container_of(region, struct testdev, echo_high), 2 + (unsigned)offset, 1);
}

static void echo_high_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			    bool *fault)
{
	echoed_set(container_of(region, struct testdev, echo_high), 2 + (unsigned)offset, 1, value);
}

static uint64_t debug_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return 0xe9;
}

static void debug_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			bool *fault)
{
	struct testdev *testdev = container_of(region, struct testdev, debug);
	uint8_t byte = (uint8_t)value;

	/* A console that is full loses the byte: there is no way to make the guest wait. */
	if (testdev->console)
		testdev->console->ops->write(testdev->console, &byte, 1);
}

static void lines_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			bool *fault)
{
	struct testdev *testdev = container_of(region, struct testdev, lines_ports);

	testdev->levels =
		(uint32_t)bits_set(testdev->levels, (unsigned)offset, (unsigned)offset, value != 0);
	irq_set(&testdev->line[offset], value != 0);
}

static uint64_t scratch_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return bytes_load(&container_of(region, struct testdev, scratch)->memory[offset], size);
}

static void scratch_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			  bool *fault)
{
	bytes_store(&container_of(region, struct testdev, scratch)->memory[offset], value, size);
}

static const struct region_ops exit_ops = {
	.read = nothing_read, .write = exit_write, .sizes = 1 | 2 | 4};
static const struct region_ops echo_ops = {
	.read = echo_read, .write = echo_write, .sizes = 1 | 2 | 4};
static const struct region_ops flush_ops = {
	.read = nothing_read, .write = nothing_write, .sizes = 4};
static const struct region_ops echo_low_ops = {
	.read = echo_low_read, .write = echo_low_write, .sizes = 1};
static const struct region_ops echo_high_ops = {
	.read = echo_high_read, .write = echo_high_write, .sizes = 1};
static const struct region_ops debug_ops = {.read = debug_read, .write = debug_write, .sizes = 1};
static const struct region_ops lines_ops = {.read = nothing_read, .write = lines_write, .sizes = 1};
static const struct region_ops scratch_ops = {
	.read = scratch_read, .write = scratch_write, .sizes = 1 | 2 | 4 | 8};

static void testdev_reset(struct device *device)
{
	struct testdev *testdev = container_of(device, struct testdev, device);

	testdev->echoed = 0;
	testdev->levels = 0;
	bytes_fill(testdev->memory, 0, sizeof(testdev->memory));
	for (unsigned i = 0; i < TESTDEV_LINES; i++)
		irq_set(&testdev->line[i], false);
}

static void testdev_state(struct device *device, struct snapshot *snapshot)
{
	struct testdev *testdev = container_of(device, struct testdev, device);

	snapshot_u32(snapshot, &testdev->echoed);
	snapshot_bytes(snapshot, testdev->memory, sizeof(testdev->memory));
	snapshot_u32(snapshot, &testdev->levels);
	testdev->levels &= (1u << TESTDEV_LINES) - 1;
}

static void testdev_loaded(struct device *device)
{
	struct testdev *testdev = container_of(device, struct testdev, device);

	for (unsigned i = 0; i < TESTDEV_LINES; i++)
		irq_set(&testdev->line[i], testdev->levels >> i & 1);
}

static const struct device_ops testdev_ops = {
	.name = "testdev",
	.version = 1,
	.reset = testdev_reset,
	.state = testdev_state,
	.loaded = testdev_loaded,
};

static void add(struct space *space, struct region *region, const char *name,
		const struct region_ops *ops, uint64_t base, uint64_t size)
{
	*region = (struct region){.name = name, .ops = ops};
	CHECK(!space_add(space, region, base, size));
}

void testdev_init(struct testdev *testdev, struct vm *vm, struct console *console)
{
	bytes_fill(testdev, 0, sizeof(*testdev));
	testdev->vm = vm;
	testdev->console = console;
	device_init(&testdev->device, vm, &testdev_ops, "0");
	add(&vm->ports, &testdev->exit, "debug exit", &exit_ops, 0xf4, 4);
	add(&vm->ports, &testdev->echo, "testdev echo", &echo_ops, 0xe0, 4);
	add(&vm->ports, &testdev->flush, "testdev flush", &flush_ops, 0xe4, 4);
	add(&vm->ports, &testdev->echo_low, "testdev byte 0", &echo_low_ops, 0xe8, 1);
	add(&vm->ports, &testdev->debug, "debug console", &debug_ops, 0xe9, 1);
	add(&vm->ports, &testdev->echo_high, "testdev bytes 2, 3", &echo_high_ops, 0xea, 2);
	add(&vm->ports, &testdev->lines_ports, "testdev lines", &lines_ops, 0x2000, TESTDEV_LINES);
	add(&vm->mmio, &testdev->scratch, "testdev memory", &scratch_ops, TESTDEV_MEMORY,
	    TESTDEV_MEMORY_SIZE);
}
