/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory is shared with vcpus that run meanwhile. So every value is read from it once, into a
 * local, before it is checked, and the two indices are read with acquire and written with release
 * order.
 */
#include "devices/virtio/virtqueue.h"

#include "core/memory.h"
#include "core/vm.h"
#include "lib/check.h"
#include "lib/error.h"

/* virtio 1.2, section 2.7.5. */
struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags;
	uint16_t next;
};
enum { DESCRIPTOR_NEXT = 1, DESCRIPTOR_WRITE = 2, DESCRIPTOR_INDIRECT = 4 };

/* Driver area (2.7.6): flags, idx, ring[size], used_event. Device area (2.7.8): flags, idx,
 * ring[size] of 8 bytes, avail_event. */
enum { RING_INDEX = 2, RING_ENTRIES = 4, USED_SIZE = 8 };
enum { AVAILABLE_NO_INTERRUPT = 1 };

static uint16_t load16(const void *address)
{
	return __atomic_load_n((const uint16_t *)address, __ATOMIC_ACQUIRE);
}

static void store16(void *address, uint16_t value)
{
	__atomic_store_n((uint16_t *)address, value, __ATOMIC_RELEASE);
}

static uint64_t driver_area_size(const struct virtqueue *queue)
{
	return RING_ENTRIES + 2ull * queue->size + 2;
}

static uint64_t device_area_size(const struct virtqueue *queue)
{
	return RING_ENTRIES + (uint64_t)USED_SIZE * queue->size + 2;
}

void virtqueue_init(struct virtqueue *queue, struct vm *vm, uint16_t size_max)
{
	CHECK(size_max > 0 && size_max <= VIRTQUEUE_SIZE_MAX && !(size_max & (size_max - 1)));
	*queue = (struct virtqueue){.vm = vm, .size_max = size_max, .size = size_max};
}

void virtqueue_reset(struct virtqueue *queue)
{
	virtqueue_init(queue, queue->vm, queue->size_max);
}

void virtqueue_break(struct virtqueue *queue, const char *problem)
{
	if (queue->broken)
		return;
	queue->broken = true;
	queue->problem = problem;
}

/* The areas' host addresses, or a broken queue. */
static void find_areas(struct virtqueue *queue)
{
	queue->descriptor_area = vm_slice(queue->vm, gpa(queue->descriptors), 16ull * queue->size);
	queue->driver_area = vm_slice(queue->vm, gpa(queue->driver), driver_area_size(queue));
	queue->device_area = vm_slice(queue->vm, gpa(queue->device), device_area_size(queue));
	if (!queue->descriptor_area || !queue->driver_area || !queue->device_area)
		virtqueue_break(queue, "a ring is not in memory");
}

void virtqueue_enable(struct virtqueue *queue)
{
	queue->enabled = true;
	queue->next_available = 0;
	queue->next_used = 0;
	queue->published = 0;
	if ((queue->descriptors & 15) || (queue->driver & 1) || (queue->device & 3))
		virtqueue_break(queue, "a ring is not aligned");
	else
		find_areas(queue);
}

/*
 * A walk through one chain. The table is the queue's own or an indirect one.
 */
struct walk {
	struct virtqueue *queue;
	const uint8_t *table;
	uint32_t table_entries;
	bool indirect;
	unsigned steps;
	struct virtqueue_chain *chain;
	struct slice *slices;
	unsigned room;
	uint64_t length;
};

static bool walk_fail(struct walk *walk, const char *problem)
{
	virtqueue_break(walk->queue, problem);
	return false;
}

static struct descriptor walk_fetch(const struct walk *walk, uint32_t index)
{
	struct descriptor descriptor;

	__builtin_memcpy(&descriptor, walk->table + (uint64_t)index * sizeof(descriptor),
			 sizeof(descriptor));
	/* From here on the compiler can't read the guest's copy again: it may have changed. */
	__asm__ volatile("" ::: "memory");
	return descriptor;
}

static bool walk_buffer(struct walk *walk, const struct descriptor *descriptor)
{
	struct virtqueue_chain *chain = walk->chain;
	bool writable = descriptor->flags & DESCRIPTOR_WRITE;
	unsigned count = chain->readable_count + chain->writable_count;
	void *base;

	if (!writable && chain->writable_count)
		return walk_fail(walk, "a readable buffer follows a writable one");
	if (descriptor->length == 0)
		return true;
	if (count >= walk->room)
		return walk_fail(walk, "a chain has too many buffers");
	walk->length += descriptor->length;
	if (walk->length > UINT32_MAX)
		return walk_fail(walk, "a chain is longer than 4 GiB");
	base = vm_slice(walk->queue->vm, gpa(descriptor->address), descriptor->length);
	if (!base)
		return walk_fail(walk, "a buffer is not in memory");
	walk->slices[count] = (struct slice){base, descriptor->length};
	if (writable) {
		chain->writable_count++;
		chain->writable_length += descriptor->length;
	} else {
		chain->readable_count++;
		chain->readable_length += descriptor->length;
	}
	return true;
}

static bool walk_indirect(struct walk *walk, const struct descriptor *descriptor)
{
	if (walk->indirect)
		return walk_fail(walk, "an indirect table names an indirect table");
	if (!walk->queue->indirect)
		return walk_fail(walk, "an indirect table was not agreed on");
	if (descriptor->flags & DESCRIPTOR_NEXT)
		return walk_fail(walk, "an indirect descriptor has a next one");
	if (descriptor->length == 0 || descriptor->length % sizeof(*descriptor))
		return walk_fail(walk, "an indirect table has a bad length");
	walk->table = vm_slice(walk->queue->vm, gpa(descriptor->address), descriptor->length);
	if (!walk->table)
		return walk_fail(walk, "an indirect table is not in memory");
	walk->table_entries = descriptor->length / sizeof(*descriptor);
	walk->indirect = true;
	return true;
}

/*
 * A chain may not be longer than the queue (2.7.5.3.1), which also ends loops. An indirect one may
 * be as long as the device's queue: a driver that chose a smaller one fits it to what else the
 * device says, as a disk's SEG_MAX.
 */
static bool walk_chain(struct walk *walk, uint32_t index)
{
	for (;;) {
		struct descriptor descriptor;

		if (index >= walk->table_entries)
			return walk_fail(walk, "a descriptor's number is too high");
		if (walk->steps++ > (walk->indirect ? walk->queue->size_max : walk->queue->size))
			return walk_fail(walk, "a chain is longer than its queue");
		descriptor = walk_fetch(walk, index);
		if (descriptor.flags & DESCRIPTOR_INDIRECT) {
			if (!walk_indirect(walk, &descriptor))
				return false;
			index = 0;
			continue;
		}
		if (!walk_buffer(walk, &descriptor))
			return false;
		if (!(descriptor.flags & DESCRIPTOR_NEXT))
			return true;
		index = descriptor.next;
	}
}

static int take(struct virtqueue *queue, uint16_t head, struct virtqueue_chain *chain,
		struct slice *slices, unsigned room)
{
	struct walk walk = {.queue = queue,
			    .table = queue->descriptor_area,
			    .table_entries = queue->size,
			    .chain = chain,
			    .slices = slices,
			    .room = room};

	*chain = (struct virtqueue_chain){.head = head, .readable = slices};
	if (!walk_chain(&walk, head))
		return -EPROTO;
	chain->writable = slices + chain->readable_count;
	queue->in_flight++;
	return 1;
}

/* 0 also for a queue that is not to be looked at. */
unsigned virtqueue_waiting(struct virtqueue *queue)
{
	uint16_t count;

	if (!queue->enabled || queue->broken)
		return 0;
	count = (uint16_t)(load16(queue->driver_area + RING_INDEX) - queue->next_available);
	if (count <= queue->size)
		return count;
	virtqueue_break(queue, "the available index jumps");
	return 0;
}

int virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain, struct slice *slices,
		  unsigned room)
{
	unsigned count = virtqueue_waiting(queue);
	uint16_t head;
	int result;

	if (queue->broken)
		return -EPROTO;
	if (count == 0)
		return 0;
	head = load16(queue->driver_area + RING_ENTRIES +
		      2u * (queue->next_available & (queue->size - 1u)));
	result = take(queue, head, chain, slices, room);
	if (result == 1)
		queue->next_available++;
	return result;
}

void virtqueue_unpop(struct virtqueue *queue, unsigned count)
{
	CHECK(count <= queue->in_flight);
	queue->next_available = (uint16_t)(queue->next_available - count);
	queue->in_flight -= count;
}

int virtqueue_retake(struct virtqueue *queue, uint16_t head, struct virtqueue_chain *chain,
		     struct slice *slices, unsigned room)
{
	if (!queue->enabled || queue->broken)
		return -EPROTO;
	return take(queue, head, chain, slices, room);
}

void virtqueue_forget(struct virtqueue *queue)
{
	CHECK(queue->in_flight > 0);
	queue->in_flight--;
}

void virtqueue_touched(struct virtqueue *queue, const void *address, uint64_t length)
{
	const struct memory *memory = &queue->vm->memory;
	uint64_t offset = (uint64_t)((const uint8_t *)address - memory->base);

	if (length == 0)
		return;
	for (unsigned i = 0; i < memory->count; i++) {
		const struct memory_range *range = &memory->range[i];

		if (offset - range->offset < range->size)
			vm_written(queue->vm, gpa(range->base + (offset - range->offset)), length);
	}
}

void virtqueue_push(struct virtqueue *queue, const struct virtqueue_chain *chain, uint64_t written)
{
	uint32_t entry[2] = {chain->head, (uint32_t)written};
	uint8_t *place;

	CHECK(queue->in_flight > 0);
	queue->in_flight--;
	/* Written it has been, whether or not anybody is told. */
	for (unsigned i = 0; i < chain->writable_count && written > 0; i++) {
		uint64_t length =
			chain->writable[i].length < written ? chain->writable[i].length : written;

		virtqueue_touched(queue, chain->writable[i].base, length);
		written -= length;
	}
	if (!queue->enabled || queue->broken)
		return;
	place = queue->device_area + RING_ENTRIES +
		USED_SIZE * (queue->next_used & (queue->size - 1u));
	__builtin_memcpy(place, entry, sizeof(entry));
	virtqueue_touched(queue, place, sizeof(entry));
	queue->next_used++;
}

void virtqueue_show(struct virtqueue *queue)
{
	if (!queue->enabled || queue->broken)
		return;
	store16(queue->device_area + RING_INDEX, queue->next_used);
	virtqueue_touched(queue, queue->device_area + RING_INDEX, 2);
}

bool virtqueue_publish(struct virtqueue *queue)
{
	uint16_t old = queue->published, now = queue->next_used, event;

	if (!queue->enabled || queue->broken || old == now)
		return false;
	virtqueue_show(queue);
	queue->published = now;
	/* The index must be out before we look whether the driver sleeps; the driver does the
	 * reverse. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!queue->event_index)
		return !(load16(queue->driver_area) & AVAILABLE_NO_INTERRUPT);
	event = load16(queue->driver_area + RING_ENTRIES + 2u * queue->size);
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

bool virtqueue_await(struct virtqueue *queue)
{
	uint8_t *event;

	if (!queue->enabled || queue->broken)
		return false;
	if (queue->event_index) {
		event = queue->device_area + RING_ENTRIES + (uint32_t)USED_SIZE * queue->size;
		store16(event, queue->next_available);
		virtqueue_touched(queue, event, 2);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
	return virtqueue_waiting(queue) > 0;
}

size_t virtqueue_chain_read(struct virtqueue_chain *chain, void *bytes, size_t length)
{
	size_t done = 0;

	while (done < length && chain->readable_count) {
		struct slice *slice = chain->readable;
		size_t part = slice->length < length - done ? slice->length : length - done;

		__builtin_memcpy((uint8_t *)bytes + done, slice->base, part);
		done += part;
		slice->base = (uint8_t *)slice->base + part;
		slice->length -= part;
		if (slice->length == 0) {
			chain->readable++;
			chain->readable_count--;
		}
	}
	chain->readable_length -= done;
	return done;
}

size_t virtqueue_chain_write(const struct virtqueue_chain *chain, uint64_t offset,
			     const void *bytes, size_t length)
{
	size_t done = 0;

	for (unsigned i = 0; i < chain->writable_count && done < length; i++) {
		const struct slice *slice = &chain->writable[i];
		size_t part;

		if (offset >= slice->length) {
			offset -= slice->length;
			continue;
		}
		part = slice->length - offset;
		if (part > length - done)
			part = length - done;
		__builtin_memcpy((uint8_t *)slice->base + offset, (const uint8_t *)bytes + done,
				 part);
		done += part;
		offset = 0;
	}
	return done;
}

uint8_t *virtqueue_chain_cut_last(struct virtqueue_chain *chain)
{
	struct slice *last;

	if (chain->writable_count == 0)
		return NULL;
	last = &chain->writable[chain->writable_count - 1];
	last->length--;
	chain->writable_length--;
	if (last->length == 0)
		chain->writable_count--;
	return (uint8_t *)last->base + last->length;
}

void virtqueue_state(struct virtqueue *queue, struct snapshot *snapshot)
{
	snapshot_u16(snapshot, &queue->size);
	snapshot_bool(snapshot, &queue->enabled);
	snapshot_bool(snapshot, &queue->broken);
	snapshot_u64(snapshot, &queue->descriptors);
	snapshot_u64(snapshot, &queue->driver);
	snapshot_u64(snapshot, &queue->device);
	snapshot_u16(snapshot, &queue->next_available);
	snapshot_u16(snapshot, &queue->next_used);
	snapshot_u16(snapshot, &queue->published);
	if (!snapshot->loading)
		return;
	queue->in_flight = 0;
	queue->problem = "saved as broken";
	if (queue->size == 0 || queue->size > queue->size_max || (queue->size & (queue->size - 1)))
		snapshot_fail(snapshot, "a virtqueue's size is wrong");
}

void virtqueue_loaded(struct virtqueue *queue)
{
	if (queue->enabled && !queue->broken)
		find_areas(queue);
}
