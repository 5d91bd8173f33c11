/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is where in a process's address space, besides its program's text and data. Pages come in
 * when they are touched, so that large sparse mappings cost nothing.
 *
 * Functions take the process's lock unless they say otherwise.
 */
#ifndef KERNEL_MAPPING_H
#define KERNEL_MAPPING_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/address.h"
#include "kernel/process.h"

enum mapping_kind {
	MAPPING_MEMORY,	 /* zeroed pages */
	MAPPING_MODULE,	 /* index: which boot module; read-only */
	MAPPING_CHANNEL, /* in the manager; index: whose. Its pages are mapped by who adds it */
	MAPPING_VCPU,	 /* index: whose struct metal_vcpu */
	MAPPING_LEAVES,	 /* what is just being removed */
};

struct mapping {
	uint64_t address;
	uint64_t pages : 40, kind : 8, index : 16;
};

/* Ascending, disjoint, with a free page behind each. The table is one page of the process's. */
#define MAPPINGS_MAX (PAGE_SIZE / sizeof(struct mapping))

/*
 * Where a mapping of so many bytes was put, or -ENOMEM, -EINVAL. mapping_add_at puts it at an
 * address of the caller's, in the program's part. Both with the process's lock held.
 */
int64_t mapping_add(struct process *process, uint64_t size, unsigned kind, unsigned index);
int mapping_add_at(struct process *process, uint64_t address, uint64_t size, unsigned kind,
		   unsigned index);
/* NULL: there is none. Lock held. */
struct mapping *mapping_find(struct process *process, unsigned kind, unsigned index);

/* Takes out the mapping of this kind that begins at this address, and gives its memory back if that
 * was MAPPING_MEMORY. 0 or -EINVAL: there is none of this size. No lock held. */
int mapping_remove(struct process *process, uint64_t address, uint64_t size, unsigned kind);
/* Takes one out of which no page was ever mapped. Lock held. */
void mapping_drop(struct process *process, struct mapping *mapping);

/*
 * Makes the page at a user address present. False if there is none, if it may not be written though
 * `write` says so, or if memory has run out (then *no_memory is set, where it is not NULL). Lock
 * held.
 */
bool mapping_touch(struct process *process, uint64_t address, bool write, bool *no_memory);

/* A zeroed page that the process may still have, owned by it; pa 0: none. Lock held. */
pa_t process_page(struct process *process);

/* Bytes of its own: pages, and what the kernel holds for it. Any lock. */
uint64_t process_memory(const struct process *process);

/* Gives back what is mapped, and the table. Nobody runs in it any more. No lock held. */
void mapping_release(struct process *process);

#endif
