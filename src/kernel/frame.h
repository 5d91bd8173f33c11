/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The computer's memory, page by page: each has exactly one owner at a time. Large pages (2 MiB) are
 * what guests get; a large page is split into small ones for everything else.
 *
 * Any processor; takes the allocator's own lock. What is known of each costs at most 16 bytes a large
 * page, and two bytes a small one where a large page is split.
 */
#ifndef KERNEL_FRAME_H
#define KERNEL_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/address.h"

/* Who has a page. Processes are OWNER_PROCESS + their id. */
enum {
	OWNER_FREE,
	OWNER_RESERVED, /* firmware's, devices', or not RAM */
	OWNER_KERNEL,
	OWNER_MODULE, /* a boot module's bytes; given to nobody, read by many */
	OWNER_PROCESS = 16,
};

/* One zeroed small page, or pa 0 if there is none. */
pa_t frame_alloc(unsigned owner);
/* The page must be that owner's: anything else is a bug of ours (CHECK). */
void frame_free(pa_t frame, unsigned owner);

/*
 * One large page, not zeroed (frame_clean does that, when it is first used), or pa 0. Neighbours are
 * given out in ascending order where there are any, so that 512 of them may make a huge page.
 */
pa_t frame_alloc_large(unsigned owner);
void frame_free_large(pa_t frame, unsigned owner);

/* Zeroes a large page unless that was done since it was given to its owner. True if it was done now. */
bool frame_clean_large(pa_t frame, unsigned owner);

/* Who has the page at this address. */
unsigned frame_owner(pa_t address);

/* `owner`s bytes; bytes that nobody has; all RAM. */
uint64_t frame_owned(unsigned owner);
uint64_t frames_free(void);
uint64_t frames_total(void);

/* Pages of zeroed memory of the kernel itself, in the direct map (physically contiguous up to 2 MiB);
 * size in bytes. NULL: there is none. */
void *kernel_pages(uint64_t size);
void kernel_pages_free(void *pages, uint64_t size);

#endif
