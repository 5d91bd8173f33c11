/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio entropy device. virtio 1.2, section 5.4. */
#ifndef DEVICES_VIRTIO_RNG_H
#define DEVICES_VIRTIO_RNG_H

#include "core/timer.h"
#include "devices/virtio/virtio.h"

/* What the guest gets in a period at most, so that it can't keep the host busy with it. */
#define VIRTIO_RNG_BYTES     (256u << 10)
#define VIRTIO_RNG_PERIOD_NS UINT64_C(100000000)

struct virtio_rng {
	struct virtio virtio;
	struct virtio_queue queue;
	struct timer refill;
	uint32_t left; /* bytes in this period */
	struct slice slices[VIRTQUEUE_SIZE_MAX];
};

/* Initialises the device (zeroed memory) on the bus. 0, or what virtio_init says. Vm's lock held.
 */
int virtio_rng_init(struct virtio_rng *rng, struct vm *vm, struct pci_bus *bus, unsigned slot,
		    const char *instance);

#endif
