/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The computer's memory: the pool's lock, zeroing, and what is taken from the start. Memory below
 * 1 MiB is given to nobody: firmware keeps things there that no map tells of, and smp.c needs a
 * page.
 */
#include "kernel/frame.h"

#include <stddef.h>

#include "kernel/boot.h"
#include "kernel/boot/boot_layout.h"
#include "kernel/frame_pool.h"
#include "kernel/lock.h"
#include "kernel/log.h"
#include "lib/bits.h"
#include "lib/check.h"
#include "lib/checked.h"

#define LOW_END 0x100000

static struct frame_pool pool;
static struct lock lock;

static void clear(void *memory, uint64_t size)
{
	uint64_t count = size / 8;

	__asm__ volatile("rep stosq" : "+D"(memory), "+c"(count) : "a"(0) : "memory");
}

/* Where the pool's entries can be: in RAM that the first page tables map, and clear of what is
 * taken. */
static uint64_t find_place(uint64_t size, const struct frame_range *taken, unsigned count)
{
	for (unsigned i = 0; i < boot_information.ram_count; i++) {
		const struct frame_range *ram = &boot_information.ram[i];
		uint64_t at = ram->base;
		unsigned j = 0;

		/* From each thing in the way on to its end; there the search begins again. */
		while (j < count && range_within(at - ram->base, size, ram->size) &&
		       at + size <= BOOT_DIRECT_END) {
			if (ranges_overlap(at, size, taken[j].base, taken[j].size)) {
				at = taken[j].base + taken[j].size;
				j = 0;
			} else {
				j++;
			}
		}
		if (j == count)
			return at;
	}
	return 0;
}

void frames_init(pa_t image, uint64_t size)
{
	static struct frame_range taken[METAL_MODULES_MAX + 3];
	const struct boot_information *boot = &boot_information;
	unsigned count = 0;
	uint64_t end = 0, entries_size, entries;

	for (unsigned i = 0; i < boot->ram_count; i++)
		end = boot->ram[i].base + boot->ram[i].size;
	taken[count++] = (struct frame_range){0, LOW_END, OWNER_RESERVED};
	taken[count++] = (struct frame_range){image.value, align_up(size, PAGE_SIZE), OWNER_KERNEL};
	for (unsigned i = 0; i < boot->module_count; i++)
		taken[count++] = (struct frame_range){boot->module[i].base.value,
						      align_up(boot->module[i].size, PAGE_SIZE),
						      OWNER_MODULE};
	entries_size = align_up(frame_pool_size(end), PAGE_SIZE);
	entries = find_place(entries_size, taken, count);
	if (!entries)
		panic(NULL, "there is no room for the tables of %llu MiB of memory below 4 GiB",
		      (unsigned long long)(end >> 20));
	taken[count++] = (struct frame_range){entries, entries_size, OWNER_KERNEL};
	if (!frame_pool_create(&pool, direct(pa(0)), direct(pa(entries)), end, boot->ram,
			       boot->ram_count, taken, count))
		panic(NULL, "the computer has too little memory");
}

static uint64_t alloc(unsigned count, unsigned owner)
{
	uint64_t address;

	lock_take(&lock);
	address = frame_pool_alloc(&pool, count, owner);
	lock_drop(&lock);
	if (address)
		clear(direct(pa(address)), count * PAGE_SIZE);
	return address;
}

static void give_back(uint64_t address, unsigned count, unsigned owner)
{
	lock_take(&lock);
	frame_pool_free(&pool, address, count, owner);
	lock_drop(&lock);
}

pa_t frame_alloc(unsigned owner)
{
	return pa(alloc(1, owner));
}

void frame_free(pa_t frame, unsigned owner)
{
	give_back(frame.value, 1, owner);
}

pa_t frame_alloc_large(unsigned owner)
{
	uint64_t address;

	lock_take(&lock);
	address = frame_pool_alloc_large(&pool, owner);
	lock_drop(&lock);
	return pa(address);
}

void frame_free_large(pa_t frame, unsigned owner)
{
	lock_take(&lock);
	frame_pool_free_large(&pool, frame.value, owner);
	lock_drop(&lock);
}

void frame_clear_large(pa_t frame)
{
	clear(direct(frame), LARGE_SIZE);
}

unsigned frame_owner(pa_t address)
{
	unsigned owner;

	lock_take(&lock);
	owner = frame_pool_owner(&pool, address.value);
	lock_drop(&lock);
	return owner;
}

uint64_t frame_owned(unsigned owner)
{
	uint64_t count;

	CHECK(owner < FRAME_OWNERS_MAX);
	lock_take(&lock);
	count = pool.owned[owner];
	lock_drop(&lock);
	return count * PAGE_SIZE;
}

uint64_t frames_free(void)
{
	return frame_owned(OWNER_FREE);
}

uint64_t frames_total(void)
{
	return pool.total;
}

void *kernel_pages(uint64_t size)
{
	uint64_t address;

	if (size > LARGE_SIZE - PAGE_SIZE)
		return NULL;
	address = alloc((unsigned)(align_up(size, PAGE_SIZE) / PAGE_SIZE), OWNER_KERNEL);
	return address ? direct(pa(address)) : NULL;
}

void kernel_pages_free(void *pages, uint64_t size)
{
	give_back(direct_pa(pages).value, (unsigned)(align_up(size, PAGE_SIZE) / PAGE_SIZE),
		  OWNER_KERNEL);
}
