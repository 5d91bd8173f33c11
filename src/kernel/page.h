/* SPDX-License-Identifier: BSD-2-Clause */
/* Page tables of the processor itself: the kernel's own half, and one tree for each process. */
#ifndef KERNEL_PAGE_H
#define KERNEL_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/address.h"

enum { PAGE_MAP_WRITE = 1, PAGE_MAP_EXECUTE = 2, PAGE_MAP_USER = 4, PAGE_MAP_UNCACHED = 8 };

/* The tree that only the kernel's half is in. */
extern pa_t page_kernel_root;

/* Makes it and loads it: from here on nothing is both writable and executable. image: where the
 * kernel's is. */
void page_init(pa_t image);
/* A tree with this page of conventional memory where it is as well, executable, for processors that
 * start. pa 0: no memory (below 4 GiB). */
pa_t page_trampoline_create(pa_t page);

/* A new tree with the kernel's half in it; its table pages belong to owner (frame.h). pa 0: no
 * memory. */
pa_t page_tree_create(unsigned owner);
/* Gives back the tables (not what they map). It is loaded nowhere; no lock is held. */
void page_tree_destroy(pa_t root, unsigned owner);

/*
 * Maps size bytes (page multiples; with large pages where both addresses and the size allow it).
 * What is there already is a bug of ours. 0 or -ENOMEM, with a part of it mapped. Never both
 * PAGE_MAP_WRITE and PAGE_MAP_EXECUTE.
 */
int page_map(pa_t root, uint64_t address, pa_t physical, uint64_t size, unsigned rights,
	     unsigned owner);

/* Removes the first page, small or large, that is mapped from *address on, below end: where it was
 * in memory; *address is behind it then. False: there is none. The caller sees to the TLBs. */
bool page_take(pa_t root, uint64_t *address, uint64_t end, pa_t *physical);

/* What is mapped at the address, with its rights (PAGE_MAP_*); false if nothing is. */
bool page_find(pa_t root, uint64_t address, pa_t *physical, unsigned *rights);

/* A kernel stack of 16 KiB behind a page that is not there; its top, or 0. Nobody uses it any more
 * when it is destroyed; no lock is held then, for other processors may have to be interrupted. */
uint64_t stack_create(void);
void stack_destroy(uint64_t top);

/* A device's registers, uncached; never given back. NULL: no memory. */
void *device_map(pa_t physical, uint64_t size);

#endif
