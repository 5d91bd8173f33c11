/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A space is what answers at an address: sorted disjoint regions that belong to devices. A vm has
 * one for memory that is not RAM and one for ports; each vcpu has one for those MSRs that belong to
 * a device.
 *
 * All functions are called with the vm's lock held.
 */
#ifndef CORE_SPACE_H
#define CORE_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPACE_REGIONS_MAX 256

struct region;

struct region_ops {
	/*
	 * offset is from the region's base; size is one of the legal sizes. The result's bits above
	 * size are ignored. A device's own bad state answers with all ones. *fault may be set for
	 * MSRs only.
	 */
	uint64_t (*read)(struct region *region, uint64_t offset, unsigned size, bool *fault);
	void (*write)(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		      bool *fault);
	/*
	 * Legal access sizes: an OR of 1, 2, 4, 8; of these the device sees only aligned ones
	 * (offset a multiple of size). Others are split into legal ones, or widened: a wider read
	 * is made and the bytes asked for are taken out of it, a wider write has zeroes in the
	 * other bytes.
	 */
	uint8_t sizes;
	/* It has been added to a space, or removed from it: region->space says so, and where.
	 * May be NULL. */
	void (*moved)(struct region *region);
};

/* Embedded in its device, which finds itself with container_of. */
struct region {
	const char *name;
	const struct region_ops *ops;
	uint64_t base, size;
	struct space *space; /* NULL while not added */
};

struct space {
	const char *name;
	unsigned count;
	struct region *regions[SPACE_REGIONS_MAX]; /* by ascending base */
};

void space_init(struct space *space, const char *name);

/* Makes region answer at [base, base + size). 0; -EBUSY where another region is; -ENOSPC; -EINVAL
 * if empty or wrapping. */
int space_add(struct space *space, struct region *region, uint64_t base, uint64_t size);

/* Does nothing if the region is in no space. */
void space_remove(struct region *region);

/* The region at address, or NULL. */
struct region *space_find(const struct space *space, uint64_t address);

/*
 * Reads size (1, 2, 4, 8) bytes. Where nothing answers: all ones, and *fault set if the pointer is
 * not NULL. Accesses that leave the region are cut up into bytes.
 */
uint64_t space_read(struct space *space, uint64_t address, unsigned size, bool *fault);
void space_write(struct space *space, uint64_t address, unsigned size, uint64_t value, bool *fault);

/*
 * The same for a space in which each address is a whole 8-byte register (MSRs): never cut up.
 * *fault is set where nothing answers or the device refuses; a read gives 0 then.
 */
uint64_t space_read_register(struct space *space, uint64_t number, bool *fault);
void space_write_register(struct space *space, uint64_t number, uint64_t value, bool *fault);

#endif
