/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest RAM: at most two ranges (below the PCI hole, above 4 GiB) of one block of host memory, and
 * the one checked door to it.
 */
#ifndef CORE_MEMORY_H
#define CORE_MEMORY_H

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

struct memory {
	uint8_t *base; /* host address of the block */
	uint64_t size;
	int handle; /* host_guest_memory */
	unsigned count;
	struct memory_range range[MEMORY_RANGES_MAX]; /* by ascending base */
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

/* The offset in the block of the page at address, or UINT64_MAX if it is not RAM. */
uint64_t memory_offset(const struct memory *memory, uint64_t address);

#endif
