/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The format is the processor's own of four levels; what differs between vendors are the bits
 * beside the address (vendor.h). Entries only ever go from not present to present, or from a table
 * of large pages to one huge page that maps the same memory: so no processor can hold a translation
 * that is wrong, and nothing has to be flushed while the guest lives. A table that a huge page has
 * replaced is kept until the guest ends, since a processor may still be reading it.
 */
#include "kernel/guest.h"

#include "kernel/cpu.h"
#include "kernel/frame.h"
#include "kernel/process.h"
#include "kernel/vendor.h"
#include "lib/error.h"

#define ENTRIES	     512
#define ADDRESS_MASK UINT64_C(0x000ffffffffff000)

/* A range of n GiB needs at most n + 1 tables of the lowest kind and two of the one above, as long
 * as it is smaller than 512 GiB; one more for each 512 GiB. */
static unsigned tables_for(uint64_t size)
{
	return (unsigned)(1 + GUEST_RANGES_MAX * 4 + size / HUGE_SIZE +
			  size / (HUGE_SIZE * ENTRIES));
}

static uint64_t *table_at(uint64_t entry)
{
	return direct(pa(entry & ADDRESS_MASK));
}

static uint64_t *slot(uint64_t *table, uint64_t address, unsigned level)
{
	return &table[address >> (12 + 9 * level) & (ENTRIES - 1)];
}

static pa_t table_create(struct guest *guest)
{
	pa_t table;

	if (guest->table_count == guest->tables_max)
		return pa(0);
	table = frame_alloc(process_owner(guest->process));
	if (table.value)
		guest->table[guest->table_count++] = table;
	return table;
}

int nested_create(struct guest *guest)
{
	guest->tables_max = tables_for(guest->size);
	guest->table = kernel_pages(guest->tables_max * sizeof(guest->table[0]));
	if (!guest->table)
		return -ENOMEM;
	guest->nested = table_create(guest);
	return guest->nested.value ? 0 : -ENOMEM;
}

int nested_prepare(struct guest *guest, uint64_t base, uint64_t size)
{
	for (uint64_t address = base & ~(HUGE_SIZE - 1); address < base + size;
	     address += HUGE_SIZE) {
		uint64_t *table = direct(guest->nested);

		for (unsigned level = 3; level > 1; level--) {
			uint64_t *entry = slot(table, address, level);

			if (!*entry) {
				pa_t below = table_create(guest);

				if (!below.value)
					return -ENOMEM;
				*entry = below.value | vendor->nested_table;
			}
			table = table_at(*entry);
		}
	}
	return 0;
}

/* If all large pages of a table are one huge page, its address. */
static bool is_huge(const uint64_t *table, uint64_t *entry)
{
	uint64_t first = table[0];

	if (!first || (first & ADDRESS_MASK & (HUGE_SIZE - 1)))
		return false;
	for (unsigned i = 1; i < ENTRIES; i++)
		if (table[i] != first + i * LARGE_SIZE)
			return false;
	*entry = first;
	return true;
}

void nested_fill(struct guest *guest, uint64_t address, pa_t large)
{
	uint64_t *upper, *huge, *lower, value;

	lock_take(&guest->lock);
	upper = table_at(*slot(direct(guest->nested), address, 3));
	huge = slot(upper, address, 2);
	if (!(*huge & vendor->nested_large)) {
		lower = table_at(*huge);
		/* Accessed and dirty bits are set from the beginning: no processor writes here. */
		__atomic_store_n(slot(lower, address, 1),
				 large.value | vendor->nested_leaf | vendor->nested_large,
				 __ATOMIC_RELEASE);
		if (cpu_features.gigabyte_pages && is_huge(lower, &value))
			__atomic_store_n(huge, value, __ATOMIC_RELEASE);
	}
	lock_drop(&guest->lock);
}

void nested_destroy(struct guest *guest)
{
	for (unsigned i = 0; i < guest->table_count; i++)
		frame_free(guest->table[i], process_owner(guest->process));
	if (guest->table)
		kernel_pages_free(guest->table, guest->tables_max * sizeof(guest->table[0]));
}
