/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk over a boot module: read-only, or copy-on-write, its changed 4 KiB blocks in a pool of
 * memory that all disks of the machine share.
 */
#ifndef HOSTS_METAL_DISK_H
#define HOSTS_METAL_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/host.h"
#include "core/plug.h"

#define DISK_BLOCK 4096

struct disk_pool {
	struct host_lock lock; /* of the pool and of all its disks */
	uint8_t *blocks;
	uint32_t limit; /* blocks that there may be */
	uint32_t made;	/* of them, those that have ever been used */
	uint32_t used;	/* those that hold something now */
	uint32_t free;	/* number of a block given back, which names the next; POOL_NONE: none */
};

/* bytes: what changes may take; rounded down to blocks, at most 8 TiB. 0, or -ENOMEM. */
int disk_pool_init(struct disk_pool *pool, uint64_t bytes);

/*
 * The module's bytes stay where they are. The pool is not looked at if read_only. 0; -EINVAL: size
 * is 0 or not a multiple of 512; -EFBIG; -ENOMEM. What a write finds no block for ends with
 * -ENOSPC.
 */
int disk_module_open(struct disk **disk, const void *bytes, uint64_t size, bool read_only,
		     struct disk_pool *pool);

#endif
