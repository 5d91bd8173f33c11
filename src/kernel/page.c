/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page tables: four levels, AMD APM volume 2, section 5.3. The kernel's half, the upper 256 entries
 * of a root, is the same in each tree: the tables below are made once, at start-up, so that
 * whatever is mapped there later is seen in every tree.
 *
 * Entries of the kernel's half are global: loading CR3 does not forget them.
 */
#include "kernel/page.h"

#include <stddef.h>

#include "kernel/boot.h"
#include "kernel/cpu.h"
#include "kernel/frame.h"
#include "kernel/lock.h"
#include "kernel/log.h"
#include "kernel/register.h"
#include "kernel/schedule.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "lib/error.h"

#define ENTRY_PRESENT  BIT(0)
#define ENTRY_WRITE    BIT(1)
#define ENTRY_USER     BIT(2)
#define ENTRY_UNCACHED (BIT(3) | BIT(4))
#define ENTRY_ACCESSED BIT(5)
#define ENTRY_DIRTY    BIT(6)
#define ENTRY_LARGE    BIT(7)
#define ENTRY_GLOBAL   BIT(8)
#define ENTRY_NX       BIT(63)
#define ENTRY_ADDRESS  UINT64_C(0x000ffffffffff000)

#define ENTRIES	    512
#define KERNEL_HALF 256

/* Parts of the image (kernel.ld). */
extern const uint8_t text_start[], text_end[], constants_start[], constants_end[], data_start[],
	data_end[], boot_tables[], boot_tables_end[], boot_stack[], boot_stack_top[];

pa_t page_kernel_root;
static uint64_t image_offset; /* of physical addresses from those at IMAGE_BASE */
/* Of the kernel's half: two may map there at once. A process's lock is enough for its own. */
static struct lock lock;

static uint64_t *table_at(uint64_t entry)
{
	return direct(pa(entry & ENTRY_ADDRESS));
}

/* Bytes that an entry of this level (0: a small page) stands for. */
static uint64_t level_size(unsigned level)
{
	return PAGE_SIZE << 9 * level;
}

static unsigned entry_number(uint64_t address, unsigned level)
{
	return address >> (12 + 9 * level) & (ENTRIES - 1);
}

/*
 * The entry for the address at this level, or at a higher one if a large page or nothing is there.
 * Says at which. With owner != OWNER_FREE missing tables are made: NULL is out of memory then.
 */
static uint64_t *find_entry(pa_t root, uint64_t address, unsigned *level, unsigned owner)
{
	uint64_t *table = direct(root);

	for (unsigned l = 3;; l--) {
		uint64_t *entry = &table[entry_number(address, l)];

		if (l == *level || (*entry & ENTRY_LARGE && *entry & ENTRY_PRESENT && l < 3)) {
			*level = l;
			return entry;
		}
		if (!(*entry & ENTRY_PRESENT)) {
			pa_t new;

			if (owner == OWNER_FREE) {
				*level = l;
				return entry;
			}
			new = frame_alloc(owner);
			if (!new.value)
				return NULL;
			*entry = new.value | ENTRY_PRESENT | ENTRY_WRITE | ENTRY_ACCESSED |
				 (address < DIRECT_BASE ? ENTRY_USER : 0);
		}
		table = table_at(*entry);
	}
}

static uint64_t entry_rights(uint64_t address, unsigned rights)
{
	uint64_t entry = ENTRY_PRESENT | ENTRY_ACCESSED | ENTRY_DIRTY;

	if (rights & PAGE_MAP_WRITE)
		entry |= ENTRY_WRITE;
	if (!(rights & PAGE_MAP_EXECUTE))
		entry |= ENTRY_NX;
	if (rights & PAGE_MAP_USER)
		entry |= ENTRY_USER;
	if (rights & PAGE_MAP_UNCACHED)
		entry |= ENTRY_UNCACHED;
	if (address >= DIRECT_BASE)
		entry |= ENTRY_GLOBAL;
	return entry;
}

/* The level of the largest page that may begin here. */
static unsigned fitting_level(uint64_t address, uint64_t physical, uint64_t size)
{
	for (unsigned level = cpu_features.gigabyte_pages ? 2 : 1; level; level--)
		if (is_aligned(address | physical, level_size(level)) && size >= level_size(level))
			return level;
	return 0;
}

int page_map(pa_t root, uint64_t address, pa_t physical, uint64_t size, unsigned rights,
	     unsigned owner)
{
	uint64_t done, bits = entry_rights(address, rights);
	unsigned level;

	CHECK((rights & (PAGE_MAP_WRITE | PAGE_MAP_EXECUTE)) !=
	      (PAGE_MAP_WRITE | PAGE_MAP_EXECUTE));
	CHECK(is_aligned(address | physical.value | size, PAGE_SIZE));
	CHECK(!(rights & PAGE_MAP_USER) == (address >= DIRECT_BASE));
	for (done = 0; done < size; done += level_size(level)) {
		unsigned wanted = fitting_level(address + done, physical.value + done, size - done);
		uint64_t *entry;

		/* A table may be there already, from smaller pages nearby. */
		for (;; wanted--) {
			level = wanted;
			entry = find_entry(root, address + done, &level, owner);
			if (!entry)
				return -ENOMEM;
			if (!wanted || !(*entry & ENTRY_PRESENT) || *entry & ENTRY_LARGE)
				break;
		}
		CHECK(!(*entry & ENTRY_PRESENT));
		*entry = (physical.value + done) | bits | (level ? ENTRY_LARGE : 0);
	}
	return 0;
}

bool page_take(pa_t root, uint64_t *address, uint64_t end, pa_t *physical)
{
	while (*address < end) {
		unsigned level = 0;
		uint64_t *entry = find_entry(root, *address, &level, OWNER_FREE), old = *entry;
		uint64_t size = level_size(level), next = align_down(*address, size) + size;

		if (old & ENTRY_PRESENT) {
			CHECK(is_aligned(*address, size) && next <= end);
			*entry = 0;
		}
		*address = next;
		*physical = pa(old & ENTRY_ADDRESS & ~(size - 1));
		if (old & ENTRY_PRESENT)
			return true;
	}
	return false;
}

bool page_find(pa_t root, uint64_t address, pa_t *physical, unsigned *rights)
{
	unsigned level = 0;
	uint64_t entry = *find_entry(root, address, &level, OWNER_FREE);

	if (!(entry & ENTRY_PRESENT))
		return false;
	*physical = pa((entry & ENTRY_ADDRESS & ~(level_size(level) - 1)) |
		       (address & (level_size(level) - 1)));
	*rights = (entry & ENTRY_WRITE ? PAGE_MAP_WRITE : 0) |
		  (entry & ENTRY_NX ? 0 : PAGE_MAP_EXECUTE) |
		  (entry & ENTRY_USER ? PAGE_MAP_USER : 0) |
		  (entry & ENTRY_UNCACHED ? PAGE_MAP_UNCACHED : 0);
	return true;
}

pa_t page_tree_create(unsigned owner)
{
	pa_t root = frame_alloc(owner);

	if (root.value)
		bytes_copy((uint64_t *)direct(root) + KERNEL_HALF,
			   (uint64_t *)direct(page_kernel_root) + KERNEL_HALF,
			   KERNEL_HALF * sizeof(uint64_t));
	return root;
}

static void free_table(uint64_t entry, unsigned level, unsigned owner)
{
	uint64_t *table = table_at(entry);

	if (level)
		for (unsigned i = 0; i < ENTRIES; i++)
			if (table[i] & ENTRY_PRESENT && !(table[i] & ENTRY_LARGE))
				free_table(table[i], level - 1, owner);
	frame_free(pa(entry & ENTRY_ADDRESS), owner);
	if (level == 1)
		schedule_point();
}

void page_tree_destroy(pa_t root, unsigned owner)
{
	uint64_t *table = direct(root);

	for (unsigned i = 0; i < KERNEL_HALF; i++)
		if (table[i] & ENTRY_PRESENT)
			free_table(table[i], 2, owner);
	frame_free(root, owner);
}

/* The kernel's half. */

static int map_kernel(uint64_t address, pa_t physical, uint64_t size, unsigned rights)
{
	int error;

	lock_take(&lock);
	error = page_map(page_kernel_root, address, physical, size, rights, OWNER_KERNEL);
	lock_drop(&lock);
	return error;
}

static uint64_t image_physical(const void *at)
{
	return (uint64_t)at - IMAGE_BASE + image_offset;
}

/* At start-up: memory for this must be there. The other end is physical. */
static void map_first(uint64_t address, uint64_t physical, uint64_t end, unsigned rights)
{
	if (physical < end && map_kernel(address, pa(physical), end - physical, rights))
		panic(NULL, "no memory for the kernel's page tables");
}

static void map_image(const uint8_t *start, const uint8_t *end, unsigned rights)
{
	map_first((uint64_t)start, image_physical(start), image_physical(end), rights);
}

/* RAM, writable but where text and constants are. */
static void map_memory(void)
{
	const struct {
		uint64_t end;
		unsigned rights;
	} parts[] = {
		{image_physical(text_start), PAGE_MAP_WRITE},
		{image_physical(constants_end), 0},
		{UINT64_MAX, PAGE_MAP_WRITE},
	};

	for (unsigned i = 0; i < boot_information.ram_count; i++) {
		uint64_t at = boot_information.ram[i].base;
		uint64_t end = at + boot_information.ram[i].size;

		for (unsigned part = 0; part < ARRAY_LENGTH(parts); part++) {
			uint64_t stop = parts[part].end < end ? parts[part].end : end;

			map_first(DIRECT_BASE + at, at, stop, parts[part].rights);
			if (at < stop)
				at = stop;
		}
	}
}

void page_init(pa_t image)
{
	unsigned level = 2;

	image_offset = image.value;
	page_kernel_root = frame_alloc(OWNER_KERNEL);
	if (!page_kernel_root.value)
		panic(NULL, "no memory for the kernel's page tables");
	map_memory();
	map_image(text_start, text_end, PAGE_MAP_EXECUTE);
	map_image(constants_start, constants_end, 0);
	map_image(data_start, data_end, PAGE_MAP_WRITE);
	map_image(boot_stack, boot_stack_top, PAGE_MAP_WRITE);
	/* One table covers what is at MAPPED_BASE for the next 512 GiB. */
	if (!find_entry(page_kernel_root, MAPPED_BASE, &level, OWNER_KERNEL))
		panic(NULL, "no memory for the kernel's page tables");
	cr3_write(page_kernel_root.value);
	for (uint64_t at = image_physical(boot_tables); at < image_physical(boot_tables_end);
	     at += PAGE_SIZE)
		frame_free(pa(at), OWNER_KERNEL);
}

/* Stacks and devices, at MAPPED_BASE: places for stacks first, devices' registers from DEVICES on.
 */

#define STACK_SIZE  (4 * PAGE_SIZE)
#define STACK_PLACE (STACK_SIZE + PAGE_SIZE) /* the page below is not there */
#define STACKS_MAX  8192
#define DEVICES	    (MAPPED_BASE + UINT64_C(0x40000000))
/* Stacks given back stay mapped up to this many: most are wanted again, and unmapping one
 * interrupts all processors. */
#define STACKS_KEPT 16

static struct lock stack_lock;
static uint64_t stack_used[STACKS_MAX / 64];
static uint64_t stack_kept[STACKS_KEPT]; /* tops */
static unsigned stack_kept_count;
static uint64_t device_next = DEVICES;

static uint64_t take_place(void)
{
	for (unsigned i = 0; i < ARRAY_LENGTH(stack_used); i++)
		if (~stack_used[i]) {
			int bit = bits_lowest(~stack_used[i]);

			stack_used[i] |= BIT(bit);
			return MAPPED_BASE + ((uint64_t)i * 64 + (unsigned)bit) * STACK_PLACE;
		}
	return 0;
}

static void drop_place(uint64_t place)
{
	uint64_t number = (place - MAPPED_BASE) / STACK_PLACE;

	lock_take(&stack_lock);
	stack_used[number / 64] &= ~BIT(number % 64);
	lock_drop(&stack_lock);
}

static void unmap_stack(uint64_t bottom)
{
	uint64_t at = bottom;
	bool taken;
	pa_t frame;

	do {
		lock_take(&lock);
		taken = page_take(page_kernel_root, &at, bottom + STACK_SIZE, &frame);
		lock_drop(&lock);
		if (taken)
			frame_free(frame, OWNER_KERNEL);
	} while (taken);
}

uint64_t stack_create(void)
{
	uint64_t place, top = 0;

	lock_take(&stack_lock);
	if (stack_kept_count)
		top = stack_kept[--stack_kept_count];
	place = top ? 0 : take_place();
	lock_drop(&stack_lock);
	if (!place)
		return top;
	for (uint64_t at = place + PAGE_SIZE; at < place + STACK_PLACE; at += PAGE_SIZE) {
		pa_t frame = frame_alloc(OWNER_KERNEL);

		if (!frame.value || map_kernel(at, frame, PAGE_SIZE, PAGE_MAP_WRITE)) {
			if (frame.value)
				frame_free(frame, OWNER_KERNEL);
			unmap_stack(place + PAGE_SIZE);
			drop_place(place);
			return 0;
		}
	}
	return place + STACK_PLACE;
}

static void forget_stack(void *bottom)
{
	for (uint64_t done = 0; done < STACK_SIZE; done += PAGE_SIZE)
		__asm__ volatile("invlpg (%0)" : : "r"((uint64_t)bottom + done) : "memory");
}

void stack_destroy(uint64_t top)
{
	bool kept = false;

	lock_take(&stack_lock);
	if (stack_kept_count < STACKS_KEPT) {
		stack_kept[stack_kept_count++] = top;
		kept = true;
	}
	lock_drop(&stack_lock);
	if (kept)
		return;
	unmap_stack(top - STACK_SIZE);
	/* Until all have forgotten it, nothing else may come to this place. */
	cpu_call_all(forget_stack, (void *)(top - STACK_SIZE));
	drop_place(top - STACK_PLACE);
}

void *device_map(pa_t physical, uint64_t size)
{
	uint64_t base = align_down(physical.value, PAGE_SIZE), at;
	uint64_t length = align_up(physical.value + size, PAGE_SIZE) - base;

	lock_take(&lock);
	at = device_next;
	device_next += length;
	lock_drop(&lock);
	if (map_kernel(at, pa(base), length, PAGE_MAP_WRITE | PAGE_MAP_UNCACHED))
		return NULL;
	return (uint8_t *)at + (physical.value - base);
}

/* The tree in which further processors begin. */

pa_t page_trampoline_create(pa_t page)
{
	pa_t root = page_tree_create(OWNER_KERNEL);
	unsigned level = 0;
	uint64_t *entry;

	if (!root.value)
		return root;
	entry = find_entry(root, page.value, &level, OWNER_KERNEL);
	if (!entry || root.value > UINT32_MAX) {
		page_tree_destroy(root, OWNER_KERNEL);
		return pa(0);
	}
	/* Not a process's page, so page_map would not have it. */
	*entry = page.value | ENTRY_PRESENT | ENTRY_ACCESSED;
	return root;
}
