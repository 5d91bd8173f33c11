/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where pages of a process come from. Each process has one page with a sorted table of what is
 * where; a page that is touched is looked up there and mapped. Addresses are given out from the
 * bottom, so that page tables are used again.
 *
 * Pages leave in steps, each: out of the tables, out of all TLBs, only then back to the allocator;
 * in between others run. The mapping stays in the table, as MAPPING_LEAVES, until all of it has
 * gone.
 */
#include "kernel/mapping.h"

#include <stddef.h>

#include "kernel/boot.h"
#include "kernel/frame.h"
#include "kernel/guest.h"
#include "kernel/page.h"
#include "kernel/schedule.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/checked.h"
#include "lib/error.h"

#define THREAD_BYTES 0x5000	       /* a kernel stack, its share of page tables */
#define STEP	     64		       /* pages that leave at once */
#define STEP_RANGE   (64 * LARGE_SIZE) /* of empty tables there may be so many */

uint64_t process_memory(const struct process *process)
{
	uint64_t owned = frame_owned(process_owner(process));

	if (process->guest)
		owned -= process->guest->size;
	return owned + process->thread_count * THREAD_BYTES;
}

pa_t process_page(struct process *process)
{
	if (process_memory(process) + PAGE_SIZE > process->config.memory_max ||
	    (process->id && frames_free() < FRAMES_KEPT))
		return pa(0);
	return frame_alloc(process_owner(process));
}

static uint64_t end_of(const struct mapping *mapping)
{
	return mapping->address + mapping->pages * PAGE_SIZE;
}

/* The first mapping that ends above the address: its index, or the count. */
static unsigned index_of(const struct process *process, uint64_t address)
{
	unsigned low = 0, high = process->mapping_count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (end_of(&process->mappings[middle]) > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static struct mapping *mapping_at(const struct process *process, uint64_t address)
{
	unsigned i = index_of(process, address);

	if (i == process->mapping_count || process->mappings[i].address > address)
		return NULL;
	return &process->mappings[i];
}

static int insert(struct process *process, unsigned place, const struct mapping *mapping)
{
	struct mapping *at;

	if (!process->mappings) {
		pa_t page = process_page(process);

		if (!page.value)
			return -ENOMEM;
		process->mappings = direct(page);
	}
	if (process->mapping_count == MAPPINGS_MAX)
		return -ENOMEM;
	at = &process->mappings[place];
	bytes_move(at + 1, at, (process->mapping_count - place) * sizeof(*at));
	*at = *mapping;
	process->mapping_count++;
	return 0;
}

int64_t mapping_add(struct process *process, uint64_t size, unsigned kind, unsigned index)
{
	uint64_t from = METAL_MAP_MIN;
	unsigned place = index_of(process, from);
	struct mapping mapping = {.kind = kind, .index = index};
	int error;

	if (!size || size > METAL_MAP_MAX - METAL_MAP_MIN)
		return -EINVAL;
	size = align_up(size, PAGE_SIZE);
	/* The first gap that is large enough, with a page between neighbours. */
	for (; place < process->mapping_count; place++) {
		const struct mapping *next = &process->mappings[place];

		if (next->address >= from + size + PAGE_SIZE)
			break;
		from = end_of(next) + PAGE_SIZE;
	}
	if (from > METAL_MAP_MAX || size > METAL_MAP_MAX - from)
		return -ENOMEM;
	mapping.address = from;
	mapping.pages = size / PAGE_SIZE;
	error = insert(process, place, &mapping);
	return error ? error : (int64_t)from;
}

int mapping_add_at(struct process *process, uint64_t address, uint64_t size, unsigned kind,
		   unsigned index)
{
	unsigned place = index_of(process, address);
	struct mapping mapping = {
		.address = address, .pages = size / PAGE_SIZE, .kind = kind, .index = index};

	if (place < process->mapping_count && process->mappings[place].address < address + size)
		return -EINVAL;
	return insert(process, place, &mapping);
}

struct mapping *mapping_find(struct process *process, unsigned kind, unsigned index)
{
	for (unsigned i = 0; i < process->mapping_count; i++)
		if (process->mappings[i].kind == kind && process->mappings[i].index == index)
			return &process->mappings[i];
	return NULL;
}

/* Takes up to STEP pages of a range out of the tables, or what is in a part of it that does not
 * take long. How many; *from moves on. */
static unsigned take_step(struct process *process, uint64_t *from, uint64_t end, pa_t *frames)
{
	uint64_t stop = end - *from < STEP_RANGE ? end : *from + STEP_RANGE;
	unsigned count = 0;

	while (count < STEP && page_take(process->root, from, stop, &frames[count]))
		count++;
	return count;
}

/* All pages of a mapping, as far as the process is not to end: mapping_release does the rest. */
static bool empty(struct process *process, uint64_t from, uint64_t end, bool free)
{
	pa_t frames[STEP];
	unsigned count;

	do {
		lock_take(&process->lock);
		count = take_step(process, &from, end, frames);
		lock_drop(&process->lock);
		if (count)
			schedule_flush(process);
		for (unsigned i = 0; free && i < count; i++)
			frame_free(frames[i], process_owner(process));
		schedule_point();
		if (process->ending)
			return false;
	} while (from < end);
	return true;
}

void mapping_drop(struct process *process, struct mapping *mapping)
{
	struct mapping *end = process->mappings + --process->mapping_count;

	bytes_move(mapping, mapping + 1, (size_t)(end - mapping) * sizeof(*mapping));
}

int mapping_remove(struct process *process, uint64_t address, uint64_t size, unsigned kind)
{
	struct mapping *mapping;
	uint64_t end = 0;
	bool ok;

	lock_take(&process->lock);
	mapping = mapping_at(process, address);
	ok = mapping && mapping->address == address && mapping->kind == kind &&
	     address >= METAL_MAP_MIN && size && size <= METAL_MAP_MAX - METAL_MAP_MIN &&
	     mapping->pages == align_up(size, PAGE_SIZE) / PAGE_SIZE;
	if (ok) {
		mapping->kind = MAPPING_LEAVES;
		mapping->index = kind;
		end = end_of(mapping);
	}
	lock_drop(&process->lock);
	if (!ok)
		return -EINVAL;
	if (!empty(process, address, end, kind == MAPPING_MEMORY))
		return 0;
	lock_take(&process->lock);
	mapping_drop(process, mapping_at(process, address));
	lock_drop(&process->lock);
	return 0;
}

/* One page that is the process's own, or one of its vcpus'. */
static bool touch_memory(struct process *process, uint64_t page, pa_t frame)
{
	return page_map(process->root, page, frame, PAGE_SIZE, PAGE_MAP_WRITE | PAGE_MAP_USER,
			process_owner(process)) == 0;
}

/* All of a module that the same page of page tables maps: most of it will be read. */
static bool touch_module(struct process *process, const struct mapping *mapping, uint64_t address)
{
	uint64_t from = align_down(address, LARGE_SIZE), to = from + LARGE_SIZE;
	pa_t base = boot_information.module[mapping->index].base;

	if (from < mapping->address)
		from = mapping->address;
	if (to > end_of(mapping))
		to = end_of(mapping);
	if (page_map(process->root, from, pa(base.value + (from - mapping->address)), to - from,
		     PAGE_MAP_USER, process_owner(process)) == 0)
		return true;
	while (page_take(process->root, &from, to, &base))
		continue;
	return false;
}

static bool touch_guest(struct process *process, uint64_t address)
{
	struct guest *guest = process->guest;
	uint64_t offset = align_down(address - METAL_GUEST_ADDRESS, LARGE_SIZE);

	if (!guest || !guest->mapped_by_process || offset >= guest->size)
		return false;
	return page_map(process->root, METAL_GUEST_ADDRESS + offset, guest_touch(guest, offset),
			LARGE_SIZE, PAGE_MAP_WRITE | PAGE_MAP_USER, process_owner(process)) == 0;
}

bool mapping_touch(struct process *process, uint64_t address, bool write, bool *no_memory)
{
	const struct mapping *mapping;
	unsigned rights;
	bool done;
	pa_t frame;

	if (address >= METAL_USER_END)
		return false;
	if (page_find(process->root, address, &frame, &rights))
		return !write || (rights & PAGE_MAP_WRITE);
	if (address >= METAL_GUEST_ADDRESS)
		return touch_guest(process, address);
	mapping = mapping_at(process, address);
	if (!mapping)
		return false;
	address = align_down(address, PAGE_SIZE);
	switch (mapping->kind) {
	case MAPPING_MEMORY:
		frame = process_page(process);
		done = frame.value && touch_memory(process, address, frame);
		if (frame.value && !done)
			frame_free(frame, process_owner(process));
		break;
	case MAPPING_MODULE:
		if (write)
			return false;
		done = touch_module(process, mapping, address);
		break;
	case MAPPING_VCPU:
		done = touch_memory(process, address, process->vcpu_page[mapping->index]);
		break;
	default:
		return false;
	}
	if (!done && no_memory)
		*no_memory = true;
	return done;
}

void mapping_release(struct process *process)
{
	unsigned owner = process_owner(process);

	for (unsigned i = 0; i < process->mapping_count; i++) {
		const struct mapping *mapping = &process->mappings[i];
		uint64_t from = mapping->address, end = end_of(mapping);
		pa_t frames[STEP];
		unsigned count;

		if (mapping->kind != MAPPING_MEMORY &&
		    (mapping->kind != MAPPING_LEAVES || mapping->index != MAPPING_MEMORY))
			continue;
		while (from < end) {
			count = take_step(process, &from, end, frames);
			for (unsigned j = 0; j < count; j++)
				frame_free(frames[j], owner);
			schedule_point();
		}
	}
	if (process->mappings)
		frame_free(direct_pa(process->mappings), owner);
	process->mappings = NULL;
	process->mapping_count = 0;
}
