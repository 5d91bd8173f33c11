/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest RAM: at most two ranges (below the PCI hole, above 4 GiB) of one block of host memory, and
 * the one checked door to it.
 */
#ifndef CORE_MEMORY_H
#define CORE_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/address.h"

struct vm;

#define MEMORY_RANGES_MAX 4

struct memory_range {
	uint64_t base;	 /* guest-physical */
	uint64_t size;	 /* bytes, page multiple */
	uint64_t offset; /* into the block of host memory */
};

/*
 * Where contents come from that are not in memory yet, as those of a machine that has just been
 * restored: whoever is the first to look at a chunk of the block has it fetched.
 */
#define MEMORY_CHUNK UINT64_C(65536)
struct memory_source {
	/*
	 * Brings the chunk at `offset` into RAM, and calls memory_arrived for it, if it isn't there
	 * yet. Does not fail: where there is no way to get it, it does not return. Any thread, vm's
	 * lock held or not; takes no lock that is held while RAM is looked at.
	 */
	void (*fetch)(struct memory_source *source, uint64_t offset);
};

struct memory {
	uint8_t *base; /* host address of the block */
	uint64_t size;
	int handle; /* host_guest_memory */
	unsigned count;
	struct memory_range range[MEMORY_RANGES_MAX]; /* by ascending base */
	/* A bit for each chunk that is still with its source; NULL if there never was one. */
	_Atomic uint64_t *absent;
	struct memory_source *source;
};

/*
 * Gets `size` bytes of guest memory from the host and lays them out: up to hole_base from 0 on, the
 * rest from 4 GiB on. Both are multiples of 2 MiB; size > 0, hole_base in (0, 4 GiB]. 0; -EINVAL;
 * -ENOMEM.
 */
int memory_init(struct memory *memory, uint64_t size, uint64_t hole_base);
void memory_destroy(struct memory *memory);

/*
 * The host address of guest-physical [address, address + length), or NULL unless all of it is RAM
 * in one range. length > 0. A caller that writes through it calls vm_written afterwards. Any
 * thread; RAM never moves.
 */
void *vm_slice(struct vm *vm, gpa_t address, uint64_t length);

/* Copy out of and into guest memory. 0, or -EFAULT with nothing copied if it is not all RAM (it may
 * cross ranges). Any thread. */
int vm_read(struct vm *vm, gpa_t address, void *bytes, uint64_t length);
int vm_write(struct vm *vm, gpa_t address, const void *bytes, uint64_t length);

/*
 * Gives the whole pages of [address, address + length) that are RAM back to the host: they read as
 * zeroes, or as before if the host doesn't take them. vm_written is called. How many bytes were
 * given back. Any thread.
 */
uint64_t vm_discard(struct vm *vm, gpa_t address, uint64_t length);

/* The guest-physical address of a host address in RAM. */
gpa_t memory_address(const struct memory *memory, const void *host);

/* Tells the engine and the dirty log that a device (not the vcpu) changed RAM, all of which it is:
 * translated code of it is dropped. Any thread; vm's lock not needed. */
void vm_written(struct vm *vm, gpa_t address, uint64_t length);

/*
 * From now on all of memory is absent: it is to come from the source, which calls memory_arrived
 * also for what it need not fetch. RAM is all zero. Nothing of the vm runs; once in its life. 0 or
 * -ENOMEM.
 */
int memory_await(struct memory *memory, struct memory_source *source);

/* The chunk at offset is as it should be. */
void memory_arrived(struct memory *memory, uint64_t offset);

/* Has [offset, offset + length) of the block fetched, as far as that is needed. Any thread.
 * vm_slice and those below it do so for all they give; only who looks at `base` needs it. */
void memory_fetch(struct memory *memory, uint64_t offset, uint64_t length);

static inline bool memory_is_absent(const struct memory *memory, uint64_t offset)
{
	uint64_t chunk = offset / MEMORY_CHUNK;

	return memory->absent &&
	       (atomic_load_explicit(&memory->absent[chunk / 64], memory_order_acquire) >>
			chunk % 64 &
		1);
}

/* The offset in the block of the page at address, or UINT64_MAX if it is not RAM. */
uint64_t memory_offset(const struct memory *memory, uint64_t address);

#endif
