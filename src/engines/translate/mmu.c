/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TLBs and what goes past them.
 *
 * A TLB entry stands for one 4 KiB piece of a page, whatever the page's size, for one view. Maps of
 * bits tell which entries are in use, apart for global pages, so that mov cr3 costs as much as was
 * entered since the last one. invlpg of a piece of a large page has to drop all pieces: those are
 * marked, and looked through only if there are any in that half of the address space.
 *
 * Fetch entries and jump caches hold translations too. A Bloom filter says whether instructions
 * have come from a page (or from the large page that it may be in) since the last flush, for invlpg
 * mostly hits pages of data.
 *
 * What a kernel has is global, so a look at whether anything else has been entered for its view
 * since the last mov cr3 spares its slots and its return stack.
 */
#include "engines/translate/mmu.h"

#include "core/vm.h"
#include "engines/translate/code_cache.h"
#include "engines/translate/debug.h"
#include "engines/translate/dirty_log.h"
#include "engines/translate/exception.h"
#include "engines/translate/jump_cache.h"
#include "engines/translate/map.h"
#include "engines/translate/return_stack.h"
#include "engines/translate/window.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "x86/cpuid.h"
#include "x86/registers.h"

#define PAGE_SIZE 4096u
#define PAGE_MASK 4095ull

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Physical memory */

/* What is still with its source (core/memory.h) is fetched here: no TLB has anything of it yet. */
__attribute__((noinline)) static void fetch_absent(struct cpu *cpu, uint64_t offset)
{
	bool live = cpu_outside_begin(cpu);

	memory_fetch(&cpu->vm->memory, offset, 1);
	cpu_outside_end(cpu, live);
}

static inline uint8_t *ram_host(struct cpu *cpu, uint64_t physical)
{
	const struct memory *memory = &cpu->vm->memory;

	for (unsigned i = 0; i < memory->count; i++) {
		uint64_t offset = physical - memory->range[i].base;

		if (offset >= memory->range[i].size)
			continue;
		offset += memory->range[i].offset;
		if (unlikely(memory_is_absent(memory, offset)))
			fetch_absent(cpu, offset);
		return memory->base + offset;
	}
	return NULL;
}

static inline void *table_entry(void *context, uint64_t physical)
{
	return ram_host(context, physical);
}

/* One access of 1 to 8 bytes to RAM: single, and so atomic where the processor's is. */
struct any16 {
	uint16_t value;
} __attribute__((packed, may_alias));
struct any32 {
	uint32_t value;
} __attribute__((packed, may_alias));
struct any64 {
	uint64_t value;
} __attribute__((packed, may_alias));

static inline uint64_t ram_load(const uint8_t *host, unsigned size)
{
	switch (size) {
	case 1:
		return *(const volatile uint8_t *)host;
	case 2:
		return ((const volatile struct any16 *)host)->value;
	case 4:
		return ((const volatile struct any32 *)host)->value;
	default:
		return ((const volatile struct any64 *)host)->value;
	}
}

static inline void ram_store(uint8_t *host, unsigned size, uint64_t value)
{
	switch (size) {
	case 1:
		*(volatile uint8_t *)host = (uint8_t)value;
		break;
	case 2:
		((volatile struct any16 *)host)->value = (uint16_t)value;
		break;
	case 4:
		((volatile struct any32 *)host)->value = (uint32_t)value;
		break;
	default:
		((volatile struct any64 *)host)->value = value;
	}
}

static uint64_t device_load(struct cpu *cpu, uint64_t physical, unsigned size)
{
	struct exit exit = {.kind = EXIT_MEMORY, .size = (uint8_t)size, .address = physical};

	cpu_access(cpu, &exit);
	return exit.value;
}

static void device_store(struct cpu *cpu, uint64_t physical, unsigned size, uint64_t value)
{
	struct exit exit = {.kind = EXIT_MEMORY,
			    .write = true,
			    .size = (uint8_t)size,
			    .address = physical,
			    .value = value};

	cpu_access(cpu, &exit);
}

/* Filling */

/* Where an access goes: valid until the next walk at the least, for RAM never moves. */
struct place {
	uint8_t *host;	   /* of the page's first byte; NULL: a device */
	uint64_t physical; /* of the page */
	bool code;	   /* translated code is on it: stores have to be told */
};

static inline unsigned view_of(const struct cpu *cpu, unsigned access)
{
	return access & MMU_SYSTEM ? VIEW_KERNEL : cpu->view;
}

static inline unsigned walk_access(unsigned view, unsigned access)
{
	unsigned walk = view == VIEW_USER ? PAGING_USER : view == VIEW_KERNEL_AC ? PAGING_AC : 0;

	if (access & MMU_WRITE)
		walk |= PAGING_WRITE;
	if (access & MMU_FETCH)
		walk |= PAGING_FETCH;
	return walk;
}

static void *table_entry_note(void *context, uint64_t physical)
{
	void *entry = ram_host(context, physical);

	if (entry)
		dirty_log_note(context, physical);
	return entry;
}

/* The tables of linear have been written to: which they are, a second walk tells. */
__attribute__((noinline)) static void note_tables(struct cpu *cpu, uint64_t linear)
{
	struct paging_page page;

	paging_walk(&cpu->paging, linear, PAGING_QUIET, table_entry_note, cpu, &page);
}

static inline bool walk(struct cpu *cpu, uint64_t linear, unsigned walk_flags,
			struct paging_page *page)
{
	bool good = paging_walk_with(&cpu->paging, linear, walk_flags, table_entry, cpu, page);

	if (unlikely(page->marked) && dirty_log_is_on(cpu->code))
		note_tables(cpu, linear);
	return good;
}

static void walk_or_raise(struct cpu *cpu, uint64_t linear, unsigned walk_flags,
			  struct paging_page *page)
{
	if (cpu->paging.mode == PAGING_LONG && unlikely(!paging_canonical(linear)))
		exception_raise_error(cpu, EXCEPTION_GP, 0);
	if (unlikely(!walk(cpu, linear, walk_flags, page)))
		exception_raise_page_fault(cpu, linear, page->error);
}

/* The entry is about to be another page's: see cpu->evicted. */
static inline void note_eviction(struct cpu *cpu, const struct tlb_entry *entry, unsigned index)
{
	if (entry->write == tlb_invalid_tag(index))
		return;
	__atomic_store_n(&cpu->evicted[cpu->evictions++ % TLB_EVICTED],
			 entry->physical & ~PAGE_MASK, __ATOMIC_RELEASE);
}

/* The order of stores and looks matters: see "Writes to translated code" in docs/translate.md. */
static bool enter_write_tag(struct cpu *cpu, struct tlb_entry *entry, uint64_t tag)
{
	uint64_t physical = entry->physical & ~PAGE_MASK;

	code_note_writable(cpu, physical);
	dirty_log_note(cpu, physical);
	__atomic_store_n(&entry->write, tag, __ATOMIC_RELEASE);
	if (likely(!code_on_page(cpu, physical)))
		return true;
	entry->write = tlb_invalid_tag((unsigned)(entry - cpu->tlb[0]) & (TLB_SIZE - 1));
	return false;
}

/*
 * Walks, and enters what it finds into the TLB. An entry is made for RAM only; a device's page
 * comes through here each time, which is little beside what the access itself costs.
 */
__attribute__((noinline)) static void fill(struct cpu *cpu, uint64_t linear, unsigned view,
					   unsigned access, struct place *place)
{
	unsigned index = linear >> 12 & (TLB_SIZE - 1);
	struct tlb_entry *entry = &cpu->tlb[view][index];
	uint64_t tag = linear & ~PAGE_MASK;
	struct paging_page page;

	walk_or_raise(cpu, linear, walk_access(view, access), &page);
	place->physical = page.physical;
	place->host = ram_host(cpu, page.physical);
	place->code = false;
	if (unlikely(!place->host))
		return;
	note_eviction(cpu, entry, index);
	__atomic_store_n(&entry->write, tlb_invalid_tag(index), __ATOMIC_RELEASE);
	entry->read = tag;
	entry->host = place->host;
	__atomic_store_n(&entry->physical, page.physical | page.global, __ATOMIC_RELEASE);
	map_set(cpu->tlb_used[page.global][view], index);
	map_clear(cpu->tlb_used[!page.global][view], index);
	cpu->tlb_words[page.global][view] |= 1ull << index / 64;
	cpu->tlb_local[view] |= !page.global;
	if (page.bits > 12)
		map_set(cpu->tlb_large[view], index);
	else
		map_clear(cpu->tlb_large[view], index);
	if (page.dirty && paging_allows(&cpu->paging, &page, walk_access(view, MMU_WRITE)))
		place->code = !enter_write_tag(cpu, entry, tag);
}

static inline uint8_t *hit(struct cpu *cpu, unsigned view, uint64_t linear, unsigned size,
			   bool write)
{
	struct tlb_entry *entry = &cpu->tlb[view][linear >> 12 & (TLB_SIZE - 1)];
	uint64_t offset = linear ^ (write ? entry->write : entry->read);

	return likely(offset <= PAGE_SIZE - size) ? entry->host + offset : NULL;
}

/* Where the page of linear is, from the TLB or by a walk. */
static void locate(struct cpu *cpu, uint64_t linear, unsigned access, struct place *place)
{
	unsigned view = view_of(cpu, access);
	struct tlb_entry *entry = &cpu->tlb[view][linear >> 12 & (TLB_SIZE - 1)];
	uint64_t tag = access & MMU_WRITE ? entry->write : entry->read;

	if (tag == (linear & ~PAGE_MASK)) {
		place->host = entry->host;
		place->physical = entry->physical & ~PAGE_MASK;
		place->code = false;
		return;
	}
	fill(cpu, linear, view, access, place);
}

static inline bool crosses(uint64_t linear, unsigned size)
{
	return (linear & PAGE_MASK) > PAGE_SIZE - size;
}

static inline void watch(struct cpu *cpu, uint64_t linear, unsigned size, unsigned access)
{
	if (unlikely(cpu->debug_active & DEBUG_DATA))
		debug_check_data(cpu, linear, size, access & MMU_WRITE);
	if (unlikely(cpu->debug_active & DEBUG_ALIGNMENT) && !(access & MMU_SYSTEM))
		debug_check_alignment(cpu, linear, size);
}

/* Loads and stores */

void *mmu_host(struct cpu *cpu, uint64_t linear, unsigned size, unsigned access)
{
	uint8_t *host = hit(cpu, view_of(cpu, access), linear, size, access & MMU_WRITE);
	struct place place;

	if (unlikely(!host)) {
		if (crosses(linear, size))
			return NULL;
		locate(cpu, linear, access, &place);
		if (!place.host || ((access & MMU_WRITE) && place.code))
			return NULL;
		host = place.host + (linear & PAGE_MASK);
	}
	watch(cpu, linear, size, access);
	return host;
}

/* The widest aligned access that a device's part begins with. */
static unsigned device_step(unsigned offset, unsigned size)
{
	for (unsigned step = 8; step > 1; step /= 2)
		if (size >= step && offset % step == 0)
			return step;
	return 1;
}

/* A part of an access that lies in one page. */
static void part_load(struct cpu *cpu, const struct place *place, uint64_t linear, uint8_t *bytes,
		      unsigned size)
{
	unsigned offset = linear & PAGE_MASK, step;

	if (place->host) {
		bytes_copy(bytes, place->host + offset, size);
		return;
	}
	for (; size; size -= step, bytes += step, offset += step) {
		step = device_step(offset, size);
		bytes_store(bytes, device_load(cpu, place->physical + offset, step), step);
	}
}

static void part_store(struct cpu *cpu, const struct place *place, uint64_t linear,
		       const uint8_t *bytes, unsigned size)
{
	unsigned offset = linear & PAGE_MASK, step;

	if (place->host) {
		bytes_copy(place->host + offset, bytes, size);
		if (place->code)
			code_written(cpu, place->physical + offset, size);
		return;
	}
	for (; size; size -= step, bytes += step, offset += step) {
		step = device_step(offset, size);
		device_store(cpu, place->physical + offset, step, bytes_load(bytes, step));
	}
}

/* The page behind linear's; linear addresses wrap at 4 GiB outside long mode. */
static uint64_t next_page(const struct cpu *cpu, uint64_t linear)
{
	return mmu_wrap(cpu, (linear & ~PAGE_MASK) + PAGE_SIZE);
}

void mmu_load_bytes(struct cpu *cpu, uint64_t linear, void *bytes, unsigned size, unsigned access)
{
	unsigned first = PAGE_SIZE - (unsigned)(linear & PAGE_MASK);
	struct place place, second;

	if (!size)
		return;
	locate(cpu, linear, access, &place);
	if (size <= first) {
		watch(cpu, linear, size, access);
		part_load(cpu, &place, linear, bytes, size);
		return;
	}
	locate(cpu, next_page(cpu, linear), access, &second);
	watch(cpu, linear, size, access);
	part_load(cpu, &place, linear, bytes, first);
	part_load(cpu, &second, next_page(cpu, linear), (uint8_t *)bytes + first, size - first);
}

void mmu_store_bytes(struct cpu *cpu, uint64_t linear, const void *bytes, unsigned size,
		     unsigned access)
{
	unsigned first = PAGE_SIZE - (unsigned)(linear & PAGE_MASK);
	struct place place, second;

	if (!size)
		return;
	access |= MMU_WRITE;
	locate(cpu, linear, access, &place);
	if (size <= first) {
		watch(cpu, linear, size, access);
		part_store(cpu, &place, linear, bytes, size);
		return;
	}
	locate(cpu, next_page(cpu, linear), access, &second);
	watch(cpu, linear, size, access);
	part_store(cpu, &place, linear, bytes, first);
	part_store(cpu, &second, next_page(cpu, linear), (const uint8_t *)bytes + first,
		   size - first);
}

__attribute__((noinline)) static uint64_t load_slow(struct cpu *cpu, uint64_t linear, unsigned size,
						    unsigned access)
{
	struct place place;
	uint64_t value = 0;

	if (crosses(linear, size)) {
		mmu_load_bytes(cpu, linear, &value, size, access);
		return value;
	}
	locate(cpu, linear, access, &place);
	watch(cpu, linear, size, access);
	if (place.host)
		return ram_load(place.host + (linear & PAGE_MASK), size);
	return device_load(cpu, place.physical + (linear & PAGE_MASK), size);
}

uint64_t mmu_load(struct cpu *cpu, uint64_t linear, unsigned size, unsigned access)
{
	const uint8_t *host = hit(cpu, view_of(cpu, access), linear, size, access & MMU_WRITE);

	if (unlikely(!host || (cpu->debug_active & (DEBUG_DATA | DEBUG_ALIGNMENT))))
		return load_slow(cpu, linear, size, access);
	return ram_load(host, size);
}

__attribute__((noinline)) static void store_slow(struct cpu *cpu, uint64_t linear, unsigned size,
						 uint64_t value, unsigned access)
{
	unsigned offset = linear & PAGE_MASK;
	struct place place;

	if (crosses(linear, size)) {
		mmu_store_bytes(cpu, linear, &value, size, access);
		return;
	}
	locate(cpu, linear, access, &place);
	watch(cpu, linear, size, access);
	if (!place.host) {
		device_store(cpu, place.physical + offset, size, value);
		return;
	}
	ram_store(place.host + offset, size, value);
	if (place.code)
		code_written(cpu, place.physical + offset, size);
}

void mmu_store(struct cpu *cpu, uint64_t linear, unsigned size, uint64_t value, unsigned access)
{
	uint8_t *host = hit(cpu, view_of(cpu, access), linear, size, true);

	if (unlikely(!host || (cpu->debug_active & (DEBUG_DATA | DEBUG_ALIGNMENT)))) {
		store_slow(cpu, linear, size, value, access | MMU_WRITE);
		return;
	}
	ram_store(host, size, value);
}

void mmu_probe(struct cpu *cpu, uint64_t linear, unsigned size, unsigned access)
{
	struct place place;

	if (!size)
		return;
	locate(cpu, linear, access, &place);
	if (crosses(linear, size))
		locate(cpu, next_page(cpu, linear), access, &place);
}

/* Instructions */

static inline unsigned bloom(uint64_t page, unsigned bits)
{
	return (unsigned)(((page >> bits) + bits) * 0x9e3779b97f4a7c15ull >> 40) &
	       (FETCHED_BITS - 1);
}

static void fetch_enter(struct cpu *cpu, struct fetch_entry *entry, uint64_t linear,
			const struct paging_page *page)
{
	unsigned index;

	entry->page = linear & ~PAGE_MASK;
	entry->physical = page->physical | page->global;
	entry->host = ram_host(cpu, page->physical);
	entry->view = cpu->view;
	index = (unsigned)(entry - cpu->fetch);
	map_set(&cpu->fetch_used[page->global], index);
	map_clear(&cpu->fetch_used[!page->global], index);
	index = bloom(linear, page->bits);
	cpu->fetched_local |= !page->global && cpu->view != VIEW_USER;
	cpu->fetched_count[page->global] += !map_has(cpu->fetched[page->global], index);
	map_set(cpu->fetched[page->global], index);
}

static inline struct fetch_entry *fetch_slot(struct cpu *cpu, uint64_t linear)
{
	return &cpu->fetch[linear >> 12 & (FETCH_SIZE - 1)];
}

static inline bool fetch_hit(const struct cpu *cpu, const struct fetch_entry *entry,
			     uint64_t linear)
{
	return likely(entry->page == (linear & ~PAGE_MASK) && entry->view == cpu->view);
}

bool mmu_try_fetch_page(struct cpu *cpu, uint64_t linear, const struct fetch_entry **found)
{
	struct fetch_entry *entry = fetch_slot(cpu, linear);
	struct paging_page page;

	*found = entry;
	if (fetch_hit(cpu, entry, linear))
		return true;
	if (cpu->paging.mode == PAGING_LONG && !paging_canonical(linear))
		return false;
	if (!walk(cpu, linear, walk_access(cpu->view, MMU_FETCH), &page))
		return false;
	fetch_enter(cpu, entry, linear, &page);
	return true;
}

const struct fetch_entry *mmu_fetch_page(struct cpu *cpu, uint64_t linear)
{
	struct fetch_entry *entry = fetch_slot(cpu, linear);
	struct paging_page page;

	if (!fetch_hit(cpu, entry, linear)) {
		walk_or_raise(cpu, linear, walk_access(cpu->view, MMU_FETCH), &page);
		fetch_enter(cpu, entry, linear, &page);
	}
	return entry;
}

unsigned mmu_fetch(struct cpu *cpu, uint64_t linear, uint8_t bytes[16], uint64_t *fault_at)
{
	const struct fetch_entry *entry = mmu_fetch_page(cpu, linear);
	unsigned offset = linear & PAGE_MASK, first = PAGE_SIZE - offset;

	*fault_at = linear & ~PAGE_MASK;
	if (!entry->host)
		return 0;
	if (first >= 15) {
		bytes_copy(bytes, entry->host + offset, 15);
		return 15;
	}
	for (unsigned i = 0; i < first; i++)
		bytes[i] = entry->host[offset + i];
	*fault_at = next_page(cpu, linear);
	if (!mmu_try_fetch_page(cpu, *fault_at, &entry) || !entry->host)
		return first;
	for (unsigned i = first; i < 15; i++)
		bytes[i] = entry->host[i - first];
	return 15;
}

/* Flushes */

static void tlb_flush_word(struct cpu *cpu, unsigned scope, unsigned view, unsigned word)
{
	uint64_t used = cpu->tlb_used[scope][view][word];

	cpu->tlb_used[scope][view][word] = 0;
	cpu->tlb_large[view][word] &= ~used;
	for (; used; used &= used - 1) {
		unsigned index = word * 64 + (unsigned)__builtin_ctzll(used);

		cpu->tlb[view][index].read = tlb_invalid_tag(index);
		cpu->tlb[view][index].write = tlb_invalid_tag(index);
	}
}

static void tlb_flush(struct cpu *cpu, unsigned scope)
{
	for (unsigned view = 0; view < VIEW_COUNT; view++) {
		uint64_t words = cpu->tlb_words[scope][view];

		cpu->tlb_words[scope][view] = 0;
		for (; words; words &= words - 1)
			tlb_flush_word(cpu, scope, view, (unsigned)__builtin_ctzll(words));
	}
}

static void fetch_flush(struct cpu *cpu, unsigned scope)
{
	for (uint64_t used = cpu->fetch_used[scope]; used; used &= used - 1)
		cpu->fetch[__builtin_ctzll(used)].page = 1;
	cpu->fetch_used[scope] = 0;
	if (!cpu->fetched_count[scope])
		return;
	cpu->fetched_count[scope] = 0;
	for (unsigned i = 0; i < FETCHED_BITS / 64; i++)
		cpu->fetched[scope][i] = 0;
}

/* Empties the view's slots of translated code for the GiB of linear, or all of them. */
static void recent_flush_view(struct cpu *cpu, unsigned view, bool all, uint64_t linear)
{
	struct recent_entry *entry = cpu->recent[view];
	uint8_t *used = cpu->recent_used[view];

	for (unsigned group = 0; group < RECENT_SIZE / RECENT_GROUP;
	     group++, entry += RECENT_GROUP) {
		if (!used[group])
			continue;
		if (all)
			used[group] = 0;
		for (unsigned i = 0; i < RECENT_GROUP; i++) {
			if (all || (entry[i].tag ^ linear) >> 30 == 0) {
				entry[i].tag = RECENT_EMPTY;
				entry[i].host = (uint8_t *)(uintptr_t)RECENT_EMPTY;
			}
		}
	}
}

static void recent_flush(struct cpu *cpu, bool all, uint64_t linear)
{
	for (unsigned view = 0; view < VIEW_COUNT; view++)
		recent_flush_view(cpu, view, all, linear);
}

static void flush_local(struct cpu *cpu)
{
	for (unsigned view = 0; view < VIEW_COUNT; view++) {
		if (cpu->tlb_local[view])
			recent_flush_view(cpu, view, true, 0);
		cpu->tlb_local[view] = false;
	}
	return_stack_empty(cpu, cpu->fetched_local);
	cpu->fetched_local = false;
	tlb_flush(cpu, LOCAL);
	jump_cache_flush_scope(cpu, LOCAL);
	fetch_flush(cpu, LOCAL);
}

void mmu_flush_non_global(struct cpu *cpu)
{
	cpu->count_invalidations++;
	flush_local(cpu);
}

void mmu_flush_all(struct cpu *cpu)
{
	cpu->count_invalidations++;
	flush_local(cpu);
	recent_flush(cpu, true, 0);
	return_stack_empty(cpu, true);
	tlb_flush(cpu, GLOBAL);
	jump_cache_flush_scope(cpu, GLOBAL);
	fetch_flush(cpu, GLOBAL);
	window_flush(cpu);
}

static void tlb_forget(struct cpu *cpu, unsigned view, unsigned index)
{
	cpu->tlb[view][index].read = tlb_invalid_tag(index);
	cpu->tlb[view][index].write = tlb_invalid_tag(index);
	map_clear(cpu->tlb_used[LOCAL][view], index);
	map_clear(cpu->tlb_used[GLOBAL][view], index);
	map_clear(cpu->tlb_large[view], index);
}

/*
 * Pieces of a large page that linear may be in. Sizes are not kept: dropping all pieces in the same
 * GiB is more than was asked, and allowed.
 */
static void tlb_flush_large(struct cpu *cpu, uint64_t linear)
{
	for (unsigned view = 0; view < VIEW_COUNT; view++) {
		for (unsigned word = 0; word < TLB_SIZE / 64; word++) {
			uint64_t large = cpu->tlb_large[view][word];

			for (; large; large &= large - 1) {
				unsigned index = word * 64 + (unsigned)__builtin_ctzll(large);

				if ((cpu->tlb[view][index].read ^ linear) >> 30 == 0)
					tlb_forget(cpu, view, index);
			}
		}
	}
}

static bool was_fetched(const struct cpu *cpu, uint64_t linear, unsigned bits)
{
	unsigned index = bloom(linear, bits);

	return (cpu->fetched[LOCAL][index / 64] | cpu->fetched[GLOBAL][index / 64]) >> index % 64 &
	       1;
}

static void code_flush_page(struct cpu *cpu, uint64_t linear)
{
	static const uint8_t sizes[] = {12, 21, 22, 30};

	for (unsigned i = 0; i < sizeof(sizes); i++) {
		if (!was_fetched(cpu, linear, sizes[i]))
			continue;
		return_stack_empty(cpu, true);
		for (unsigned f = 0; f < FETCH_SIZE; f++)
			if ((cpu->fetch[f].page ^ linear) >> sizes[i] == 0)
				cpu->fetch[f].page = 1;
		jump_cache_flush_page(cpu, linear, sizes[i]);
	}
}

void mmu_flush_page(struct cpu *cpu, uint64_t linear)
{
	unsigned index = linear >> 12 & (TLB_SIZE - 1);

	cpu->count_invalidations++;
	for (unsigned view = 0; view < VIEW_COUNT; view++)
		if (cpu->tlb[view][index].read == (linear & ~PAGE_MASK))
			tlb_forget(cpu, view, index);
	tlb_flush_large(cpu, linear);
	recent_flush(cpu, false, linear);
	window_flush_page(cpu, cpu->cr3 & 0xfff, linear);
	code_flush_page(cpu, linear);
}

void mmu_protect_physical(struct cpu *cpu, uint64_t physical)
{
	physical &= ~PAGE_MASK;
	recent_flush(cpu, true, 0);
	window_protect(cpu, physical);
	for (unsigned view = 0; view < VIEW_COUNT; view++) {
		for (unsigned word = 0; word < TLB_SIZE / 64; word++) {
			uint64_t used = cpu->tlb_used[LOCAL][view][word] |
					cpu->tlb_used[GLOBAL][view][word];

			for (; used; used &= used - 1) {
				unsigned index = word * 64 + (unsigned)__builtin_ctzll(used);

				if ((cpu->tlb[view][index].physical & ~PAGE_MASK) == physical)
					cpu->tlb[view][index].write = tlb_invalid_tag(index);
			}
		}
	}
}

void mmu_forget_writes(struct cpu *cpu)
{
	recent_flush(cpu, true, 0);
	window_flush(cpu);
	for (unsigned view = 0; view < VIEW_COUNT; view++) {
		for (unsigned word = 0; word < TLB_SIZE / 64; word++) {
			uint64_t used = cpu->tlb_used[LOCAL][view][word] |
					cpu->tlb_used[GLOBAL][view][word];

			for (; used; used &= used - 1) {
				unsigned index = word * 64 + (unsigned)__builtin_ctzll(used);

				cpu->tlb[view][index].write = tlb_invalid_tag(index);
			}
		}
	}
}

static bool has_write_slot(const struct cpu *cpu, uint64_t physical)
{
	const struct memory *memory = &cpu->vm->memory;
	const uint8_t *host = memory->base + memory_offset(memory, physical);
	const struct recent_entry *entry = cpu->recent[0];

	for (unsigned i = 1; i < VIEW_COUNT * RECENT_SIZE; i += 2)
		if (__atomic_load_n(&entry[i].host, __ATOMIC_ACQUIRE) == host)
			return true;
	return false;
}

/*
 * Another vcpu's entries, which may change meanwhile. It changes physical only while the tag is
 * invalid, notes the page in `evicted` before it makes the tag so, and fills a slot before that;
 * hence tags are read first. A slot may have the page for longer than they do.
 */
bool mmu_may_store(const struct cpu *cpu, uint64_t physical)
{
	const struct tlb_entry *entry = cpu->tlb[0];

	physical &= ~PAGE_MASK;
	for (unsigned i = 0; i < VIEW_COUNT * TLB_SIZE; i++, entry++)
		if ((__atomic_load_n(&entry->physical, __ATOMIC_ACQUIRE) & ~PAGE_MASK) ==
			    physical &&
		    __atomic_load_n(&entry->write, __ATOMIC_ACQUIRE) !=
			    tlb_invalid_tag(i & (TLB_SIZE - 1)))
			return true;
	for (unsigned i = 0; i < TLB_EVICTED; i++)
		if (__atomic_load_n(&cpu->evicted[i], __ATOMIC_ACQUIRE) == physical)
			return true;
	return has_write_slot(cpu, physical);
}

/* Whose other entries are zero. */
static void begin_tables(struct cpu *cpu)
{
	for (unsigned view = 0; view < VIEW_COUNT; view++)
		tlb_forget(cpu, view, 0);
	jump_cache_begin(cpu);
}

void mmu_init(struct cpu *cpu)
{
	begin_tables(cpu);
	for (unsigned i = 0; i < FETCH_SIZE; i++)
		cpu->fetch[i].page = 1;
	bytes_fill(cpu->recent_used, 1, sizeof(cpu->recent_used));
	mmu_flush_all(cpu);
}

void mmu_trim(struct cpu *cpu)
{
	mmu_flush_all(cpu);
	code_memory_clear(cpu->tlb, sizeof(cpu->tlb));
	code_memory_clear(cpu->jump, sizeof(cpu->jump));
	begin_tables(cpu);
}

void mmu_paging_changed(struct cpu *cpu)
{
	const struct paging_features features = {
		.physical_bits = CPU_PHYSICAL_BITS,
		.gigabyte_pages = cpu_model_has(cpu->vm->cpu_model, FEATURE_1G_PAGES),
	};

	paging_configure(&cpu->paging, &features, cpu->cr0, cpu->cr3, cpu->cr4, cpu->efer);
}

bool mmu_load_pdpte(struct cpu *cpu)
{
	uint64_t entries[4];

	if (cpu->paging.mode != PAGING_PAE)
		return true;
	for (unsigned i = 0; i < 4; i++) {
		const uint8_t *host = ram_host(cpu, cpu->paging.root + i * 8);

		entries[i] = host ? ram_load(host, 8) : ~0ull;
	}
	return paging_load_pdpte(&cpu->paging, entries);
}
