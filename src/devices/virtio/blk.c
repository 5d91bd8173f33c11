/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio block device: virtio 1.2, section 5.2.
 *
 * Each request sits in a slot of its own until the disk is done with it, so a full queue of them
 * can be in flight. The disk may be done at once (what is in the host's page cache) or later, on a
 * thread of its own.
 *
 * Not modelled: several discard ranges in a request, secure erase, zoned devices, a write cache
 * that the driver can switch off (a driver that does not know flush gets one after each write
 * instead), request lifetimes.
 */
#include "devices/virtio/blk.h"

#include "core/host.h"
#include "core/vm.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "lib/checked.h"
#include "lib/error.h"

#define F_SEG_MAX      (1ull << 2)
#define F_RO	       (1ull << 5)
#define F_BLK_SIZE     (1ull << 6)
#define F_FLUSH	       (1ull << 9)
#define F_TOPOLOGY     (1ull << 10)
#define F_MQ	       (1ull << 12)
#define F_DISCARD      (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)

/* Device configuration (5.2.4). */
enum {
	CONFIG_CAPACITY = 0x00,
	CONFIG_SEG_MAX = 0x0c,
	CONFIG_BLK_SIZE = 0x14,
	CONFIG_PHYSICAL_BLOCK_EXPONENT = 0x18,
	CONFIG_MIN_IO_SIZE = 0x1a,
	CONFIG_OPT_IO_SIZE = 0x1c,
	CONFIG_NUM_QUEUES = 0x22,
	CONFIG_MAX_DISCARD_SECTORS = 0x24,
	CONFIG_MAX_DISCARD_SEGMENTS = 0x28,
	CONFIG_DISCARD_ALIGNMENT = 0x2c,
	CONFIG_MAX_WRITE_ZEROES_SECTORS = 0x30,
	CONFIG_MAX_WRITE_ZEROES_SEGMENTS = 0x34,
	CONFIG_WRITE_ZEROES_MAY_UNMAP = 0x38,
};

/* Requests (5.2.6). */
enum {
	TYPE_IN = 0,
	TYPE_OUT = 1,
	TYPE_FLUSH = 4,
	TYPE_GET_ID = 8,
	TYPE_DISCARD = 11,
	TYPE_WRITE_ZEROES = 13
};
enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPP = 2, STATUS_NONE = 0xff };
enum { HEADER_SIZE = 16, RANGE_SIZE = 16, RANGE_UNMAP = 1, SECTOR = 512, ID_SIZE = 20 };
enum { SLICES_MAX = VIRTIO_BLK_QUEUE_SIZE, SEGMENTS_MAX = VIRTIO_BLK_QUEUE_SIZE - 2 };

/* How many sectors one discard or write-zeroes may cover: 1 GiB. */
#define RANGE_SECTORS_MAX (1u << 21)

struct virtio_blk_slot {
	struct disk_request request;
	struct virtio_blk *blk;
	struct virtio_blk_slot *next; /* of the idle ones */
	unsigned queue;
	bool busy;
	bool orphan; /* the machine was reset meanwhile: nobody waits for it any more */
	bool flush_after;
	uint8_t *status; /* where the guest wants its status byte */
	struct virtqueue_chain chain;
	struct slice slices[SLICES_MAX];
};

static unsigned slot_count(const struct virtio_blk *blk)
{
	return blk->virtio.queue_count * VIRTIO_BLK_QUEUE_SIZE;
}

static struct virtio_blk_slot *slot_take(struct virtio_blk *blk, unsigned queue)
{
	struct virtio_blk_slot *slot = blk->idle;

	if (slot) {
		blk->idle = slot->next;
	} else {
		if (blk->slots_used == slot_count(blk))
			return NULL;
		slot = &blk->slots[blk->slots_used++];
		slot->blk = blk;
	}
	slot->busy = true;
	slot->orphan = false;
	slot->flush_after = false;
	slot->queue = queue;
	return slot;
}

static void slot_free(struct virtio_blk_slot *slot)
{
	struct virtio_blk *blk = slot->blk;

	slot->busy = false;
	slot->next = blk->idle;
	blk->idle = slot;
}

/* Gives the chain back with a status; all of its writable part counts as written. */
static void finish(struct virtio_blk_slot *slot, uint8_t status)
{
	struct virtio_blk *blk = slot->blk;
	struct virtqueue *ring = &blk->virtio.queues[slot->queue].ring;

	if (!slot->orphan) {
		*slot->status = status;
		virtqueue_touched(ring, slot->status, 1);
		virtio_complete(&blk->virtio, slot->queue, &slot->chain,
				slot->chain.writable_length + 1);
	}
	slot_free(slot);
	virtio_feed(&blk->virtio);
}

static uint8_t status_of(int result)
{
	return result == 0 ? STATUS_OK : result == -ENOTSUP ? STATUS_UNSUPP : STATUS_IOERR;
}

/*
 * Hands the request to the disk. A driver that knows no flush expects what it wrote to be safe once
 * it is done (5.2.6.2), so a flush follows. DISK_PENDING, or the result.
 */
static int submit(struct virtio_blk_slot *slot)
{
	struct disk *disk = slot->blk->disk;
	int result = disk->ops->submit(disk, &slot->request);

	if (result != 0 || !slot->flush_after)
		return result;
	slot->flush_after = false;
	slot->request.operation = DISK_FLUSH;
	return disk->ops->submit(disk, &slot->request);
}

/* On any thread. */
static void disk_done(struct disk_request *request, int result)
{
	struct virtio_blk_slot *slot = container_of(request, struct virtio_blk_slot, request);
	struct vm *vm = slot->blk->virtio.device.vm;

	if (result == 0 && slot->flush_after) {
		slot->flush_after = false;
		request->operation = DISK_FLUSH;
		result = slot->blk->disk->ops->submit(slot->blk->disk, request);
		if (result == DISK_PENDING)
			return;
	}
	vm_lock(vm);
	finish(slot, status_of(result));
	vm_unlock(vm);
}

/* Each of the following fills in slot->request; STATUS_NONE if it is to be submitted, else the
 * status of a request that ends here. */

static uint8_t make_transfer(struct virtio_blk_slot *slot, uint64_t sector, bool write)
{
	struct disk *disk = slot->blk->disk;
	struct virtqueue_chain *chain = &slot->chain;
	uint64_t length = write ? chain->readable_length : chain->writable_length, offset;

	if ((write && disk->read_only) || length % SECTOR ||
	    !checked_multiply(sector, SECTOR, &offset) || !range_within(offset, length, disk->size))
		return STATUS_IOERR;
	if (length == 0)
		return STATUS_OK;
	slot->request.operation = write ? DISK_WRITE : DISK_READ;
	slot->request.offset = offset;
	slot->request.length = length;
	slot->request.slices = write ? chain->readable : chain->writable;
	slot->request.slice_count = write ? chain->readable_count : chain->writable_count;
	return STATUS_NONE;
}

static uint8_t make_range(struct virtio_blk_slot *slot, bool zeroes)
{
	struct disk *disk = slot->blk->disk;
	uint8_t range[RANGE_SIZE];
	uint64_t offset, length;
	uint32_t flags;

	if (!virtio_accepted(&slot->blk->virtio, zeroes ? F_WRITE_ZEROES : F_DISCARD) ||
	    slot->chain.readable_length != RANGE_SIZE)
		return STATUS_UNSUPP;
	virtqueue_chain_read(&slot->chain, range, RANGE_SIZE);
	length = (uint64_t)bytes_load32(range + 8) * SECTOR;
	flags = bytes_load32(range + 12);
	if (flags & ~(zeroes ? (uint32_t)RANGE_UNMAP : 0))
		return STATUS_UNSUPP;
	if (disk->read_only || length > (uint64_t)RANGE_SECTORS_MAX * SECTOR ||
	    !checked_multiply(bytes_load64(range), SECTOR, &offset) ||
	    !range_within(offset, length, disk->size))
		return STATUS_IOERR;
	if (length == 0)
		return STATUS_OK;
	slot->request.operation = zeroes ? DISK_WRITE_ZEROES : DISK_DISCARD;
	slot->request.offset = offset;
	slot->request.length = length;
	slot->request.unmap = flags & RANGE_UNMAP;
	return STATUS_NONE;
}

static uint8_t answer_id(struct virtio_blk_slot *slot)
{
	/* Up to 20 bytes; a zero ends it if it is shorter. */
	virtqueue_chain_write(&slot->chain, 0, slot->blk->disk->serial, ID_SIZE);
	return STATUS_OK;
}

static uint8_t make_request(struct virtio_blk_slot *slot, const uint8_t *header)
{
	uint32_t type = bytes_load32(header);
	uint64_t sector = bytes_load64(header + 8);
	bool modifies = type == TYPE_OUT || type == TYPE_DISCARD || type == TYPE_WRITE_ZEROES;

	slot->request = (struct disk_request){.done = disk_done};
	slot->flush_after = modifies && !virtio_accepted(&slot->blk->virtio, F_FLUSH);
	switch (type) {
	case TYPE_IN:
		return make_transfer(slot, sector, false);
	case TYPE_OUT:
		return make_transfer(slot, sector, true);
	case TYPE_FLUSH:
		slot->request.operation = DISK_FLUSH;
		return slot->blk->disk->read_only ? STATUS_OK : STATUS_NONE;
	case TYPE_GET_ID:
		return answer_id(slot);
	case TYPE_DISCARD:
		return make_range(slot, false);
	case TYPE_WRITE_ZEROES:
		return make_range(slot, true);
	default:
		return STATUS_UNSUPP;
	}
}

/* Begins what the chain in the slot asks for. False if the chain can't be a request. */
static bool begin(struct virtio_blk_slot *slot)
{
	uint8_t header[HEADER_SIZE], status;
	int result;

	slot->status = virtqueue_chain_cut_last(&slot->chain);
	if (!slot->status || virtqueue_chain_read(&slot->chain, header, HEADER_SIZE) < HEADER_SIZE)
		return false;
	status = make_request(slot, header);
	if (status == STATUS_NONE) {
		result = submit(slot);
		if (result == DISK_PENDING)
			return true;
		status = status_of(result);
	}
	finish(slot, status);
	return true;
}

static void notify(struct virtio *virtio, unsigned queue)
{
	struct virtio_blk *blk = container_of(virtio, struct virtio_blk, virtio);
	struct virtio_blk_slot *slot;

	for (unsigned i = 0; i < VIRTIO_BATCH; i++) {
		slot = slot_take(blk, queue);
		/* As many as the driver can have are in flight; or some are from before a
		 * machine's reset. */
		if (!slot) {
			virtio_starve(virtio, queue);
			return;
		}
		if (!virtio_pop(virtio, queue, &slot->chain, slot->slices, SLICES_MAX)) {
			slot_free(slot);
			return;
		}
		if (!begin(slot)) {
			virtqueue_unpop(&virtio->queues[queue].ring, 1);
			slot_free(slot);
			virtio_fail(virtio, "a request without header or status");
			return;
		}
	}
	virtio_again(virtio, queue);
}

static void reset(struct virtio *virtio)
{
	struct virtio_blk *blk = container_of(virtio, struct virtio_blk, virtio);

	for (unsigned i = 0; i < blk->slots_used; i++)
		blk->slots[i].orphan = blk->slots[i].busy;
	blk->reload_count = 0;
}

/*
 * Saved are the chains of the requests in flight. After loading they are begun once more: reads,
 * writes and the like can be repeated.
 */
static void state(struct virtio *virtio, struct snapshot *snapshot)
{
	struct virtio_blk *blk = container_of(virtio, struct virtio_blk, virtio);
	uint16_t count = 0;

	for (unsigned i = 0; i < blk->slots_used; i++)
		count += blk->slots[i].busy && !blk->slots[i].orphan;
	snapshot_u16(snapshot, &count);
	if (snapshot->loading) {
		if (count > VIRTIO_BLK_RELOAD_MAX)
			snapshot_fail(snapshot,
				      "a disk has more requests in flight than its queues hold");
		blk->reload_count = snapshot->error ? 0 : count;
		for (unsigned i = 0; i < blk->reload_count; i++) {
			snapshot_u8(snapshot, &blk->reload[i].queue);
			snapshot_u16(snapshot, &blk->reload[i].head);
			if (blk->reload[i].queue >= virtio->queue_count)
				snapshot_fail(snapshot,
					      "a disk has a request of a queue that isn't there");
		}
		return;
	}
	for (unsigned i = 0; i < blk->slots_used; i++) {
		uint8_t queue = (uint8_t)blk->slots[i].queue;

		if (!blk->slots[i].busy || blk->slots[i].orphan)
			continue;
		snapshot_u8(snapshot, &queue);
		snapshot_u16(snapshot, &blk->slots[i].chain.head);
	}
}

static void reload(struct virtio_blk *blk, unsigned queue, uint16_t head)
{
	struct virtqueue *ring = &blk->virtio.queues[queue].ring;
	struct virtio_blk_slot *slot = ring->enabled ? slot_take(blk, queue) : NULL;

	if (!slot) /* or the driver resets the queue */
		return;
	if (virtqueue_retake(ring, head, &slot->chain, slot->slices, SLICES_MAX) == 1) {
		if (begin(slot))
			return;
		virtqueue_forget(ring);
	}
	slot_free(slot);
	virtio_fail(&blk->virtio, "a request that was in flight is gone after loading");
}

static void ready(struct virtio *virtio)
{
	struct virtio_blk *blk = container_of(virtio, struct virtio_blk, virtio);
	unsigned count = blk->reload_count;

	blk->reload_count = 0;
	for (unsigned i = 0; i < count && virtio_live(virtio); i++)
		reload(blk, blk->reload[i].queue, blk->reload[i].head);
	for (unsigned i = 0; i < virtio->queue_count; i++)
		notify(virtio, i);
}

static void destroy(struct virtio *virtio)
{
	struct virtio_blk *blk = container_of(virtio, struct virtio_blk, virtio);

	host_pages_free(blk->slots, slot_count(blk) * sizeof(*blk->slots));
	blk->slots = NULL;
}

static const struct virtio_ops ops = {
	.reset = reset,
	.ready = ready,
	.notify = notify,
	.state = state,
	.destroy = destroy,
};

static void fill_config(struct virtio_blk *blk)
{
	const struct disk *disk = blk->disk;
	uint8_t *config = blk->config;
	unsigned exponent = 0;

	while (((uint32_t)SECTOR << exponent) < disk->block_size)
		exponent++;
	bytes_store64(config + CONFIG_CAPACITY, disk->size / SECTOR);
	bytes_store32(config + CONFIG_SEG_MAX, SEGMENTS_MAX);
	bytes_store32(config + CONFIG_BLK_SIZE, SECTOR);
	config[CONFIG_PHYSICAL_BLOCK_EXPONENT] = (uint8_t)exponent;
	bytes_store16(config + CONFIG_MIN_IO_SIZE, (uint16_t)(1u << exponent));
	bytes_store16(config + CONFIG_NUM_QUEUES, (uint16_t)blk->virtio.queue_count);
	if (blk->virtio.offered & F_DISCARD) {
		bytes_store32(config + CONFIG_MAX_DISCARD_SECTORS, RANGE_SECTORS_MAX);
		bytes_store32(config + CONFIG_MAX_DISCARD_SEGMENTS, 1);
		bytes_store32(config + CONFIG_DISCARD_ALIGNMENT, 1u << exponent);
	}
	if (blk->virtio.offered & F_WRITE_ZEROES) {
		bytes_store32(config + CONFIG_MAX_WRITE_ZEROES_SECTORS, RANGE_SECTORS_MAX);
		bytes_store32(config + CONFIG_MAX_WRITE_ZEROES_SEGMENTS, 1);
		config[CONFIG_WRITE_ZEROES_MAY_UNMAP] = disk->can_discard;
	}
}

int virtio_blk_init(struct virtio_blk *blk, struct vm *vm, struct pci_bus *bus, unsigned slot,
		    const char *instance, struct disk *disk)
{
	static const uint16_t sizes[VIRTIO_BLK_QUEUES_MAX] = {
		VIRTIO_BLK_QUEUE_SIZE, VIRTIO_BLK_QUEUE_SIZE, VIRTIO_BLK_QUEUE_SIZE,
		VIRTIO_BLK_QUEUE_SIZE};
	struct virtio *virtio = &blk->virtio;
	int error;

	blk->disk = disk;
	virtio->ops = &ops;
	virtio->id = VIRTIO_BLK;
	virtio->class_code =
		0x010000; /* mass storage, SCSI: what drivers that go by class expect */
	virtio->queues = blk->queues;
	virtio->queue_count =
		vm->vcpu_count < VIRTIO_BLK_QUEUES_MAX ? vm->vcpu_count : VIRTIO_BLK_QUEUES_MAX;
	virtio->bells = (UINT64_C(1) << virtio->queue_count) - 1;
	virtio->config = blk->config;
	virtio->config_size = sizeof(blk->config);
	virtio->offered = F_SEG_MAX | F_BLK_SIZE | F_TOPOLOGY;
	if (virtio->queue_count > 1)
		virtio->offered |= F_MQ;
	if (disk->read_only)
		virtio->offered |= F_RO;
	else
		virtio->offered |= F_FLUSH | F_WRITE_ZEROES | (disk->can_discard ? F_DISCARD : 0);
	fill_config(blk);
	blk->slots = host_pages(slot_count(blk) * sizeof(*blk->slots));
	if (!blk->slots)
		return -ENOMEM;
	error = virtio_init(virtio, vm, bus, slot, instance, sizes);
	if (error)
		destroy(virtio);
	return error;
}
