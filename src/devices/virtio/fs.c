/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio file system device: virtio 1.2, section 5.11.
 *
 * It carries messages between the guest's rings and a share, and looks into none of them. Each sits
 * in a slot of its own until the share has answered, on a thread of its own.
 *
 * Not modelled: the notification queue, the DAX window, more than one queue for requests.
 */
#include "devices/virtio/fs.h"

#include "core/host.h"
#include "core/vm.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/string.h"

/* Device configuration (5.11.4). */
enum { CONFIG_TAG = 0, CONFIG_TAG_SIZE = 36, CONFIG_REQUEST_QUEUES = 36 };
enum { SLICES_MAX = VIRTIO_FS_QUEUE_SIZE };

struct virtio_fs_slot {
	struct share_request request;
	struct virtio_fs *fs;
	struct virtio_fs_slot *next; /* of the idle ones */
	unsigned queue;
	bool busy;
	bool orphan; /* the machine was reset meanwhile: nobody waits for it any more */
	struct virtqueue_chain chain;
	struct slice slices[SLICES_MAX];
};

static struct virtio_fs_slot *slot_take(struct virtio_fs *fs, unsigned queue)
{
	struct virtio_fs_slot *slot = fs->idle;

	if (slot) {
		fs->idle = slot->next;
	} else {
		if (fs->slots_used == VIRTIO_FS_SLOTS)
			return NULL;
		slot = &fs->slots[fs->slots_used++];
		slot->fs = fs;
	}
	slot->busy = true;
	slot->orphan = false;
	slot->queue = queue;
	return slot;
}

static void slot_free(struct virtio_fs_slot *slot)
{
	slot->busy = false;
	slot->next = slot->fs->idle;
	slot->fs->idle = slot;
}

static void finish(struct virtio_fs_slot *slot, uint64_t written)
{
	if (!slot->orphan)
		virtio_complete(&slot->fs->virtio, slot->queue, &slot->chain, written);
	slot_free(slot);
	virtio_feed(&slot->fs->virtio);
}

/* On any thread. */
static void share_done(struct share_request *request, uint64_t written)
{
	struct virtio_fs_slot *slot = container_of(request, struct virtio_fs_slot, request);
	struct vm *vm = slot->fs->virtio.device.vm;

	vm_lock(vm);
	finish(slot, written);
	vm_unlock(vm);
}

static void begin(struct virtio_fs_slot *slot)
{
	struct share *share = slot->fs->share;
	const struct virtqueue_chain *chain = &slot->chain;

	slot->request = (struct share_request){
		.readable = chain->readable,
		.writable = chain->writable,
		.readable_count = chain->readable_count,
		.writable_count = chain->writable_count,
		.readable_length = chain->readable_length,
		.writable_length = chain->writable_length,
		.done = share_done,
	};
	/* A host without room for a thread: an answer of no bytes, which a driver takes for an
	 * error. */
	if (share->ops->submit(share, &slot->request))
		finish(slot, 0);
}

static void notify(struct virtio *virtio, unsigned queue)
{
	struct virtio_fs *fs = container_of(virtio, struct virtio_fs, virtio);

	for (unsigned i = 0; i < VIRTIO_BATCH; i++) {
		struct virtio_fs_slot *slot = slot_take(fs, queue);

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
		begin(slot);
	}
	virtio_again(virtio, queue);
}

static void ready(struct virtio *virtio)
{
	for (unsigned i = 0; i < virtio->queue_count; i++)
		virtio_notified(virtio, i);
}

static void reset(struct virtio *virtio)
{
	struct virtio_fs *fs = container_of(virtio, struct virtio_fs, virtio);

	for (unsigned i = 0; i < fs->slots_used; i++)
		fs->slots[i].orphan = fs->slots[i].busy;
}

/*
 * Requests can't be begun again as those of a disk: the second mkdir fails. So whoever saves drains
 * the share first, which takes no longer than the host's file system.
 */
static void state(struct virtio *virtio, struct snapshot *snapshot)
{
	struct virtio_fs *fs = container_of(virtio, struct virtio_fs, virtio);

	if (snapshot->loading)
		reset(virtio);
	for (unsigned i = 0; !snapshot->loading && i < fs->slots_used; i++)
		if (fs->slots[i].busy && !fs->slots[i].orphan)
			snapshot_fail(snapshot, "a shared folder has not answered yet");
	fs->share->ops->state(fs->share, snapshot);
}

static void destroy(struct virtio *virtio)
{
	struct virtio_fs *fs = container_of(virtio, struct virtio_fs, virtio);

	host_pages_free(fs->slots, VIRTIO_FS_SLOTS * sizeof(*fs->slots));
	fs->slots = NULL;
}

static const struct virtio_ops ops = {
	.reset = reset,
	.ready = ready,
	.notify = notify,
	.state = state,
	.destroy = destroy,
};

int virtio_fs_init(struct virtio_fs *fs, struct vm *vm, struct pci_bus *bus, unsigned slot,
		   const char *instance, struct share *share)
{
	static const uint16_t sizes[VIRTIO_FS_QUEUES] = {VIRTIO_FS_QUEUE_SIZE,
							 VIRTIO_FS_QUEUE_SIZE};
	struct virtio *virtio = &fs->virtio;
	int error;

	fs->share = share;
	/* Padded by zeroes, without one if it is as long as that. */
	bytes_copy(fs->config + CONFIG_TAG, share->tag,
		   string_length_limited(share->tag, CONFIG_TAG_SIZE));
	bytes_store32(fs->config + CONFIG_REQUEST_QUEUES, VIRTIO_FS_QUEUES - 1);
	virtio->ops = &ops;
	virtio->id = VIRTIO_FS;
	virtio->class_code = 0x018000; /* mass storage, other */
	virtio->queues = fs->queues;
	virtio->queue_count = VIRTIO_FS_QUEUES;
	virtio->config = fs->config;
	virtio->config_size = sizeof(fs->config);
	fs->slots = host_pages(VIRTIO_FS_SLOTS * sizeof(*fs->slots));
	if (!fs->slots)
		return -ENOMEM;
	error = virtio_init(virtio, vm, bus, slot, instance, sizes);
	if (error)
		destroy(virtio);
	return error;
}
