/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio entropy device: virtio 1.2, section 5.4.
 *
 * Not modelled: VIRTIO_RNG_F_LEAK.
 */
#include "devices/virtio/rng.h"

#include "core/host.h"
#include "core/vm.h"

/* The driver must be able to live with less than it has asked for (5.4.6.2). */
static uint64_t fill(struct virtio_rng *rng, const struct virtqueue_chain *chain)
{
	uint64_t written = 0;

	for (unsigned i = 0; i < chain->writable_count && rng->left; i++) {
		uint64_t length = chain->writable[i].length < rng->left ? chain->writable[i].length
									: rng->left;

		host_random(chain->writable[i].base, length);
		rng->left -= (uint32_t)length;
		written += length;
	}
	return written;
}

static void notify(struct virtio *virtio, unsigned queue)
{
	struct virtio_rng *rng = container_of(virtio, struct virtio_rng, virtio);
	struct virtqueue_chain chain;
	unsigned count = 0;

	while (rng->left && count < VIRTIO_BATCH &&
	       virtio_pop(virtio, queue, &chain, rng->slices, VIRTQUEUE_SIZE_MAX)) {
		virtqueue_push(&rng->queue.ring, &chain, fill(rng, &chain));
		count++;
	}
	virtio_publish(virtio, queue);
	if (count == VIRTIO_BATCH)
		virtio_again(virtio, queue);
	if (rng->left < VIRTIO_RNG_BYTES && !timer_armed(&rng->refill))
		timer_set(&rng->refill, vm_time(virtio->device.vm) + VIRTIO_RNG_PERIOD_NS);
}

static void refill(struct timer *timer)
{
	struct virtio_rng *rng = container_of(timer, struct virtio_rng, refill);
	bool waiting = rng->left == 0;

	rng->left = VIRTIO_RNG_BYTES;
	if (waiting)
		virtio_notified(&rng->virtio, 0);
}

static void ready(struct virtio *virtio)
{
	virtio_notified(virtio, 0);
}

static void reset(struct virtio *virtio)
{
	struct virtio_rng *rng = container_of(virtio, struct virtio_rng, virtio);

	rng->left = VIRTIO_RNG_BYTES;
	timer_set(&rng->refill, TIMER_NEVER);
}

/* What is left of the period is not worth saving: after loading it is all there. */
static void state(struct virtio *virtio, struct snapshot *snapshot)
{
	if (snapshot->loading)
		reset(virtio);
}

static const struct virtio_ops ops = {
	.reset = reset, .ready = ready, .notify = notify, .state = state};

int virtio_rng_init(struct virtio_rng *rng, struct vm *vm, struct pci_bus *bus, unsigned slot,
		    const char *instance)
{
	static const uint16_t size = 64;
	struct virtio *virtio = &rng->virtio;

	virtio->ops = &ops;
	virtio->id = VIRTIO_RNG;
	virtio->class_code = 0xff0000; /* no class fits */
	virtio->queues = &rng->queue;
	virtio->queue_count = 1;
	rng->left = VIRTIO_RNG_BYTES;
	timer_init(&rng->refill, vm, refill);
	return virtio_init(virtio, vm, bus, slot, instance, &size);
}
