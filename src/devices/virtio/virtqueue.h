/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A split virtqueue, the device's side: virtio 1.2, section 2.7. The rings are in guest memory and
 * wholly in the guest's hands, which may change them at any moment. Whatever it writes there, the
 * worst that happens is that the queue becomes broken, and its device asks for a reset.
 *
 * All functions are called with the vm's lock held.
 */
#ifndef DEVICES_VIRTIO_VIRTQUEUE_H
#define DEVICES_VIRTIO_VIRTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/plug.h"
#include "core/snapshot.h"

struct vm;

#define VIRTQUEUE_SIZE_MAX 256 /* entries of a queue, so also buffers of a chain */

struct virtqueue {
	struct vm *vm;
	uint16_t size_max; /* what the device offers: a power of two, up to VIRTQUEUE_SIZE_MAX */
	uint16_t size;	   /* what the driver chose */
	bool enabled;
	bool broken;	      /* the driver broke the rules; nothing more is taken from it */
	bool event_index;     /* VIRTIO_F_RING_EVENT_IDX was negotiated */
	bool indirect;	      /* VIRTIO_F_RING_INDIRECT_DESC was */
	uint64_t descriptors; /* guest-physical addresses of the three areas */
	uint64_t driver;
	uint64_t device;
	uint16_t next_available; /* counts, modulo 2^16 */
	uint16_t next_used;
	uint16_t published;  /* next_used as the driver has been told */
	unsigned in_flight;  /* chains taken and not given back */
	const char *problem; /* with broken: what the driver did */
	/* The areas' host addresses while enabled. */
	const uint8_t *descriptor_area;
	uint8_t *driver_area;
	uint8_t *device_area;
};

/* The buffers of one request. Slices belong to whoever popped it and may be changed freely once
 * their contents are in use. */
struct virtqueue_chain {
	uint16_t head;
	unsigned readable_count, writable_count;
	uint64_t readable_length, writable_length; /* bytes in all, below 2^32 */
	struct slice *readable, *writable;
};

void virtqueue_init(struct virtqueue *queue, struct vm *vm, uint16_t size_max);

/* As after power-on: disabled, with no addresses. */
void virtqueue_reset(struct virtqueue *queue);

/* Starts the queue on the areas chosen; makes it broken if they are not properly aligned RAM. */
void virtqueue_enable(struct virtqueue *queue);

/* How many requests wait. */
unsigned virtqueue_waiting(struct virtqueue *queue);

/*
 * Takes the next request. room: how many slices there is place for at slices (VIRTQUEUE_SIZE_MAX
 * always suffices; a longer chain breaks the queue). 1: taken; 0: there is none; -EPROTO: the queue
 * is broken.
 */
int virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain, struct slice *slices,
		  unsigned room);

/* Puts the last count chains popped back, as if they had not been taken. */
void virtqueue_unpop(struct virtqueue *queue, unsigned count);

/* Reads the chain that starts at descriptor head once more (after a load): as virtqueue_pop. */
int virtqueue_retake(struct virtqueue *queue, uint16_t head, struct virtqueue_chain *chain,
		     struct slice *slices, unsigned room);

/* A chain taken will never be given back. */
void virtqueue_forget(struct virtqueue *queue);

/*
 * Gives a chain back, with written bytes at the start of its writable part new to the guest. The
 * driver sees it with the next virtqueue_publish. The chain's writable slices are as they were
 * popped.
 */
void virtqueue_push(struct virtqueue *queue, const struct virtqueue_chain *chain, uint64_t written);

/* Shows the driver what has been pushed; whether it wants an interrupt for it, or for what it was
 * shown since the last time. */
bool virtqueue_publish(struct virtqueue *queue);

/* Shows the driver what has been pushed. virtqueue_publish must follow, within queue->size pushes.
 */
void virtqueue_show(struct virtqueue *queue);

/* Asks the driver to notify us of the next request; whether there is one already. */
bool virtqueue_await(struct virtqueue *queue);

/* Marks the queue as broken, for a reason (a constant) that a person can read. */
void virtqueue_break(struct virtqueue *queue, const char *problem);

/* Tells the vm that length bytes of guest RAM at this host address were written. */
void virtqueue_touched(struct virtqueue *queue, const void *address, uint64_t length);

/* Copies up to length bytes out of the chain's readable part, and removes them from it. Returns how
 * many. */
size_t virtqueue_chain_read(struct virtqueue_chain *chain, void *bytes, size_t length);

/* Copies up to length bytes to offset in the chain's writable part. Returns how many. */
size_t virtqueue_chain_write(const struct virtqueue_chain *chain, uint64_t offset,
			     const void *bytes, size_t length);

/* Removes the last byte from the writable part, and returns its address; NULL if there is none. */
uint8_t *virtqueue_chain_cut_last(struct virtqueue_chain *chain);

/* Saves or loads it; after loading, virtqueue_loaded finds the areas again (or breaks the queue).
 */
void virtqueue_state(struct virtqueue *queue, struct snapshot *snapshot);
void virtqueue_loaded(struct virtqueue *queue);

#endif
