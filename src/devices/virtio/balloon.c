/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio memory balloon: virtio 1.2, section 5.5.
 *
 * Pages come in two ways: by number, those that the driver has taken for the balloon; and as the
 * buffers of a request, those that lie free in the guest (free page reporting). Both are given back
 * to the host, and are zeroes, or what they were, when the guest touches them again. A guest that
 * names pages which it uses loses what was in them: its own affair.
 *
 * The statistics' buffer stays in its ring: it is read where it lies, and given back to ask for new
 * ones.
 *
 * Not modelled: free page hints, page poison, and the duty to tell the host before a page of the
 * balloon is used again.
 */
#include "devices/virtio/balloon.h"

#include "core/host.h"
#include "core/vm.h"
#include "lib/bytes.h"

#define F_STATS_VQ	 (1ull << 1)
#define F_DEFLATE_ON_OOM (1ull << 2)
#define F_REPORTING	 (1ull << 5)

enum { CONFIG_TARGET = 0, CONFIG_ACTUAL = 4 };
enum { STAT_SIZE = 10, STATS_MAX = 32 };
enum { INFLATE = 0, DEFLATE = 1, STATISTICS = 2 };

/* Giving memory back takes a while, under the vm's lock: so many requests in one go, and of each so
 * many page numbers. Drivers send 256; what is behind those is left where it is. */
enum { INFLATE_BATCH = 4, REPORT_BATCH = 1, NUMBERS_MAX = 4096 };
_Static_assert(NUMBERS_MAX % VIRTIO_BALLOON_PAGES == 0, "taken in whole rounds");

/* Queues follow each other without gaps, whichever of the features the driver has taken. */
static bool is_statistics(const struct virtio_balloon *balloon, unsigned queue)
{
	return queue == STATISTICS && virtio_accepted(&balloon->virtio, F_STATS_VQ);
}

static bool is_reporting(const struct virtio_balloon *balloon, unsigned queue)
{
	return virtio_accepted(&balloon->virtio, F_REPORTING) &&
	       queue == (virtio_accepted(&balloon->virtio, F_STATS_VQ) ? 3u : 2u);
}

static void give_back(struct virtio_balloon *balloon, uint64_t address, uint64_t length)
{
	balloon->given_back += vm_discard(balloon->virtio.device.vm, gpa(address), length);
}

/* By insertion: drivers give them nearly in order. */
static void sort(uint32_t *pages, unsigned count)
{
	for (unsigned i = 1; i < count; i++) {
		uint32_t page = pages[i];
		unsigned j = i;

		for (; j > 0 && pages[j - 1] > page; j--)
			pages[j] = pages[j - 1];
		pages[j] = page;
	}
}

/* Gives back what is named by number, neighbours together. */
static void take_pages(struct virtio_balloon *balloon, struct virtqueue_chain *chain)
{
	uint32_t *pages = balloon->pages;
	unsigned count, end, taken = 0;

	while (taken < NUMBERS_MAX &&
	       (count = (unsigned)(virtqueue_chain_read(chain, pages, sizeof(balloon->pages)) /
				   sizeof(*pages))) > 0) {
		taken += count;
		sort(pages, count);
		for (unsigned i = 0; i < count; i = end) {
			for (end = i + 1; end < count && pages[end] - pages[end - 1] <= 1; end++)
				;
			give_back(balloon, (uint64_t)pages[i] * VIRTIO_BALLOON_PAGE,
				  ((uint64_t)pages[end - 1] - pages[i] + 1) * VIRTIO_BALLOON_PAGE);
		}
	}
}

static void take_reported(struct virtio_balloon *balloon, const struct virtqueue_chain *chain)
{
	const struct memory *memory = &balloon->virtio.device.vm->memory;
	uint64_t left = memory->size;

	/* Free pages are reported once: more than there is makes no sense. */
	for (unsigned i = 0; i < chain->writable_count && chain->writable[i].length <= left; i++) {
		const struct slice *slice = &chain->writable[i];

		left -= slice->length;
		give_back(balloon, memory_address(memory, slice->base).value, slice->length);
	}
}

static void read_stats(struct virtio_balloon *balloon, struct virtqueue_chain *chain)
{
	uint8_t stat[STAT_SIZE];

	balloon->stats_known = 0;
	for (unsigned i = 0;
	     i < STATS_MAX && virtqueue_chain_read(chain, stat, STAT_SIZE) == STAT_SIZE; i++) {
		uint16_t tag = bytes_load16(stat);

		if (tag >= BALLOON_STATS)
			continue;
		balloon->stats[tag] = bytes_load64(stat + 2);
		balloon->stats_known |= 1u << tag;
	}
	balloon->stats_at = vm_time(balloon->virtio.device.vm);
}

static void notify_stats(struct virtio_balloon *balloon)
{
	struct virtqueue_chain chain;

	if (!virtio_pop(&balloon->virtio, STATISTICS, &chain, balloon->slices, VIRTQUEUE_SIZE_MAX))
		return;
	read_stats(balloon, &chain);
	virtqueue_unpop(&balloon->queues[STATISTICS].ring, 1);
}

static void notify(struct virtio *virtio, unsigned queue)
{
	struct virtio_balloon *balloon = container_of(virtio, struct virtio_balloon, virtio);
	const bool reporting = is_reporting(balloon, queue);
	const unsigned batch = reporting ? REPORT_BATCH : INFLATE_BATCH;
	struct virtqueue_chain chain;
	unsigned count = 0;

	if (is_statistics(balloon, queue)) {
		notify_stats(balloon);
		return;
	}
	if (queue > DEFLATE && !reporting)
		return;
	while (count < batch &&
	       virtio_pop(virtio, queue, &chain, balloon->slices, VIRTQUEUE_SIZE_MAX)) {
		struct virtqueue_chain rest = chain;

		if (reporting)
			take_reported(balloon, &chain);
		else if (queue == INFLATE)
			take_pages(balloon, &rest);
		virtqueue_push(&balloon->queues[queue].ring, &chain, 0);
		count++;
	}
	virtio_publish(virtio, queue);
	if (count == batch)
		virtio_again(virtio, queue);
}

static void config_written(struct virtio *virtio, unsigned offset, unsigned size, uint32_t value)
{
	struct virtio_balloon *balloon = container_of(virtio, struct virtio_balloon, virtio);

	if (offset == CONFIG_ACTUAL && size == 4)
		bytes_store32(balloon->config + CONFIG_ACTUAL, value);
}

static void ready(struct virtio *virtio)
{
	for (unsigned i = 0; i < virtio->queue_count; i++)
		virtio_notified(virtio, i);
}

/* What was asked for stays asked for. */
static void reset(struct virtio *virtio)
{
	struct virtio_balloon *balloon = container_of(virtio, struct virtio_balloon, virtio);

	bytes_store32(balloon->config + CONFIG_ACTUAL, 0);
	balloon->stats_known = 0;
}

static void state(struct virtio *virtio, struct snapshot *snapshot)
{
	struct virtio_balloon *balloon = container_of(virtio, struct virtio_balloon, virtio);

	snapshot_bytes(snapshot, balloon->config, sizeof(balloon->config));
	if (snapshot->loading)
		balloon->stats_known = 0;
	if (snapshot->loading &&
	    virtio_balloon_target(balloon) > balloon->virtio.device.vm->memory.size)
		snapshot_fail(snapshot, "the balloon is to be larger than memory is");
}

static const struct virtio_ops ops = {
	.reset = reset,
	.ready = ready,
	.notify = notify,
	.config_written = config_written,
	.state = state,
};

uint64_t virtio_balloon_target(const struct virtio_balloon *balloon)
{
	return (uint64_t)bytes_load32(balloon->config + CONFIG_TARGET) * VIRTIO_BALLOON_PAGE;
}

uint64_t virtio_balloon_actual(const struct virtio_balloon *balloon)
{
	return (uint64_t)bytes_load32(balloon->config + CONFIG_ACTUAL) * VIRTIO_BALLOON_PAGE;
}

void virtio_balloon_set(struct virtio_balloon *balloon, uint64_t bytes)
{
	const uint64_t most = balloon->virtio.device.vm->memory.size;
	uint32_t pages = (uint32_t)((bytes < most ? bytes : most) / VIRTIO_BALLOON_PAGE);

	if (pages == bytes_load32(balloon->config + CONFIG_TARGET))
		return;
	bytes_store32(balloon->config + CONFIG_TARGET, pages);
	virtio_config_changed(&balloon->virtio);
}

void virtio_balloon_ask(struct virtio_balloon *balloon)
{
	struct virtqueue *ring = &balloon->queues[STATISTICS].ring;
	struct virtqueue_chain chain;

	if (!is_statistics(balloon, STATISTICS) ||
	    !virtio_pop(&balloon->virtio, STATISTICS, &chain, balloon->slices, VIRTQUEUE_SIZE_MAX))
		return;
	virtqueue_push(ring, &chain, 0);
	/* Then the ring is empty, and the next buffer is told of. */
	if (virtio_pop(&balloon->virtio, STATISTICS, &chain, balloon->slices, VIRTQUEUE_SIZE_MAX))
		virtqueue_unpop(ring, 1);
	virtio_publish(&balloon->virtio, STATISTICS);
}

int virtio_balloon_init(struct virtio_balloon *balloon, struct vm *vm, struct pci_bus *bus,
			unsigned slot, const char *instance)
{
	static const uint16_t sizes[VIRTIO_BALLOON_QUEUES] = {64, 64, 64, 64};
	struct virtio *virtio = &balloon->virtio;

	virtio->ops = &ops;
	virtio->id = VIRTIO_BALLOON;
	virtio->class_code = 0xff0000; /* no class fits */
	virtio->offered = F_STATS_VQ | F_DEFLATE_ON_OOM | F_REPORTING;
	virtio->queues = balloon->queues;
	virtio->queue_count = VIRTIO_BALLOON_QUEUES;
	virtio->config = balloon->config;
	virtio->config_size = sizeof(balloon->config);
	return virtio_init(virtio, vm, bus, slot, instance, sizes);
}
