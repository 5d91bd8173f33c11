/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The computer's memory, page by page: each has exactly one owner at a time. Large pages (2 MiB)
 * are what guests get; a large page is split into small ones for everything else.
 *
 * Any processor; takes the allocator's own lock. What is known of each costs 16 bytes a large page,
 * and a small page where one is split.
 */
#ifndef KERNEL_FRAME_H
#define KERNEL_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/address.h"

/* Machines are given nothing any more when less than this is free: the kernel needs memory of its
 * own, and the manager, without which all would end. */
#define FRAMES_KEPT (4 * LARGE_SIZE)

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
 * One large page, not zeroed (frame_clear_large does that, before anybody sees it), or pa 0.
 * Neighbours are given out in ascending order where there are any, so that 512 of them may make a
 * huge page.
 */
pa_t frame_alloc_large(unsigned owner);
void frame_free_large(pa_t frame, unsigned owner);

void frame_clear_large(pa_t frame);

/* Takes over the computer's memory as the boot loader left it (boot_information), while
 * boot/entry.S's page tables are in use. image: where the kernel's is. */
void frames_init(pa_t image, uint64_t size);

/* Who has the page at this address. */
unsigned frame_owner(pa_t address);

/* `owner`s bytes; bytes that nobody has; all RAM. */
uint64_t frame_owned(unsigned owner);
uint64_t frames_free(void);
uint64_t frames_total(void);

/* Pages of zeroed memory of the kernel itself, in the direct map, physically contiguous; size in
 * bytes. NULL: there is none, or it is not less than 2 MiB. */
void *kernel_pages(uint64_t size);
void kernel_pages_free(void *pages, uint64_t size);

#endif
