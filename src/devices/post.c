/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ports 0x80..0x8f: sixteen bytes that keep what is written. ICH9 datasheet, section 13.2 (DMA page
 * registers; 0x80 is one that no channel uses).
 *
 * Not modelled: the DMA controllers, whose pages these would be.
 */
#include "devices/post.h"

#include "core/snapshot.h"
#include "core/vm.h"
#include "lib/check.h"

static uint64_t post_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return container_of(region, struct post, region)->bytes[offset];
}

static void post_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		       bool *fault)
{
	container_of(region, struct post, region)->bytes[offset] = (uint8_t)value;
}

static const struct region_ops region_ops = {.read = post_read, .write = post_write, .sizes = 1};

static void post_reset(struct device *device)
{
	struct post *post = container_of(device, struct post, device);

	for (unsigned i = 0; i < sizeof(post->bytes); i++)
		post->bytes[i] = 0;
}

static void post_state(struct device *device, struct snapshot *snapshot)
{
	struct post *post = container_of(device, struct post, device);

	snapshot_bytes(snapshot, post->bytes, sizeof(post->bytes));
}

static const struct device_ops post_ops = {
	.name = "post",
	.version = 1,
	.reset = post_reset,
	.state = post_state,
};

void post_init(struct post *post, struct vm *vm)
{
	*post = (struct post){0};
	device_init(&post->device, vm, &post_ops, "0");
	post->region = (struct region){.name = "post", .ops = &region_ops};
	CHECK(!space_add(&vm->ports, &post->region, 0x80, 16));
}
