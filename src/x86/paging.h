/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page walk of x86: 32-bit, PAE and 4-level paging, as a pure model over whatever can find a
 * page-table entry in memory. Source: Intel SDM volume 3, chapter 4.
 */
#ifndef X86_PAGING_H
#define X86_PAGING_H

#include <stdbool.h>
#include <stdint.h>

enum paging_mode { PAGING_NONE, PAGING_32, PAGING_PAE, PAGING_LONG };

/* What the control registers say, in the form that a walk wants. */
struct paging {
	uint8_t mode; /* enum paging_mode */
	bool write_protect, smep, smap, no_execute, large_32 /* CR4.PSE */, global_pages,
		gigabyte_pages;
	uint64_t root;	   /* physical address of the top table */
	uint64_t reserved; /* bits that must be 0 in 8-byte entries */
	uint64_t pdpte[4]; /* PAE: loaded when CR3 is */
};

/* Features of the model that change what a walk does. */
struct paging_features {
	uint8_t physical_bits; /* 32..52 */
	bool gigabyte_pages;
};

/* Registers as the guest has them. Leaves pdpte alone: see paging_load_pdpte. */
void paging_configure(struct paging *paging, const struct paging_features *features, uint64_t cr0,
		      uint64_t cr3, uint64_t cr4, uint64_t efer);

/* Takes the four PAE entries; false and nothing changed if one is present with reserved bits set
 * (#GP). */
bool paging_load_pdpte(struct paging *paging, const uint64_t entries[4]);

/* An access, for paging_walk. */
enum {
	PAGING_WRITE = 1,
	PAGING_USER = 2, /* CPL is 3 and it is no implicit supervisor access */
	PAGING_FETCH = 4,
	PAGING_AC = 8,	  /* supervisor, explicit, RFLAGS.AC set: SMAP does not apply */
	PAGING_QUIET = 16 /* set no accessed and dirty bits */
};

/* Page-fault error code (section 4.7). */
enum {
	PAGE_FAULT_PRESENT = 1,
	PAGE_FAULT_WRITE = 2,
	PAGE_FAULT_USER = 4,
	PAGE_FAULT_RESERVED = 8,
	PAGE_FAULT_FETCH = 16,
};

/* What a walk found out. */
struct paging_page {
	uint64_t physical;		 /* of the 4 KiB page that linear is in */
	uint8_t bits;			 /* size of the page that the tables map: 12, 21, 22, 30 */
	bool user, writable, executable; /* rights of all levels combined */
	bool dirty;			 /* already, or set by this walk */
	bool global;
	bool marked;	/* an entry was changed, also if it ended in a fault */
	uint32_t error; /* after a fault */
};

/*
 * Finds the page-table entry at physical (aligned to its size) in host memory, or NULL if it is not
 * RAM. The entry may be changed by others at any time.
 */
typedef void *paging_entry_function(void *context, uint64_t physical);

/*
 * Walks the tables for an access to linear (canonical; below 4 GiB outside long mode). true: page
 * is filled, accessed (and for PAGING_WRITE dirty) bits are set. false: page->error is the error
 * code of the #PF. Any number of vcpus may walk the same tables.
 */
bool paging_walk(const struct paging *paging, uint64_t linear, unsigned access,
		 paging_entry_function *entry, void *context, struct paging_page *page);

/* Whether an access to a page with these rights is allowed, by the second half of section 4.6. */
static inline bool paging_allows(const struct paging *paging, const struct paging_page *page,
				 unsigned access)
{
	if ((access & PAGING_FETCH) && !page->executable)
		return false;
	if (access & PAGING_USER)
		return page->user && (!(access & PAGING_WRITE) || page->writable);
	if (page->user) {
		if ((access & PAGING_FETCH) ? paging->smep : paging->smap && !(access & PAGING_AC))
			return false;
	}
	return !(access & PAGING_WRITE) || page->writable || !paging->write_protect;
}

/* Bits of entries. */
#define PAGE_PRESENT  1ull
#define PAGE_WRITABLE 2ull
#define PAGE_USER     4ull
#define PAGE_ACCESSED 0x20ull
#define PAGE_DIRTY    0x40ull
#define PAGE_LARGE    0x80ull
#define PAGE_GLOBAL   0x100ull
#define PAGE_NX	      (1ull << 63)
#define PAGE_ADDRESS  0x000ffffffffff000ull

#define PAGING_LINEAR_BITS 48

static inline bool paging_canonical(uint64_t linear)
{
	const unsigned above = 64 - PAGING_LINEAR_BITS;

	return (uint64_t)((int64_t)(linear << above) >> above) == linear;
}

/*
 * paging_walk as a template: with a constant entry function the compiler makes one straight piece
 * of code of it, which matters where each TLB miss comes through here.
 */
#define PAGING_INLINE static inline __attribute__((always_inline))

PAGING_INLINE bool paging_fault(const struct paging *paging, struct paging_page *page,
				unsigned access, unsigned error)
{
	if (access & PAGING_WRITE)
		error |= PAGE_FAULT_WRITE;
	if (access & PAGING_USER)
		error |= PAGE_FAULT_USER;
	if ((access & PAGING_FETCH) && (paging->no_execute || paging->smep))
		error |= PAGE_FAULT_FETCH;
	page->error = error;
	return false;
}

/* The entries that a walk went through, top first. */
struct paging_trail {
	unsigned count;
	void *entry[4];
	uint64_t value[4];
};

/* Sets accessed and dirty bits; false if an entry changed meanwhile. */
PAGING_INLINE bool paging_mark(const struct paging_trail *trail, bool wide, unsigned access,
			       struct paging_page *page)
{
	for (unsigned i = 0; i < trail->count; i++) {
		uint64_t old = trail->value[i], new = old | PAGE_ACCESSED;

		if (i == trail->count - 1 && (access & PAGING_WRITE))
			new |= PAGE_DIRTY;
		if (new == old)
			continue;
		if (wide) {
			uint64_t *entry = trail->entry[i];
			if (!__atomic_compare_exchange_n(entry, &old, new, false, __ATOMIC_SEQ_CST,
							 __ATOMIC_SEQ_CST))
				return false;
		} else {
			uint32_t *entry = trail->entry[i], narrow = (uint32_t)old;
			if (!__atomic_compare_exchange_n(entry, &narrow, (uint32_t) new, false,
							 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
				return false;
		}
		page->marked = true;
	}
	return true;
}

enum paging_step { PAGING_OK, PAGING_FAULT, PAGING_AGAIN };

/* What is left when the leaf has been found: rights, accessed and dirty bits. */
PAGING_INLINE enum paging_step paging_finish(const struct paging *paging, unsigned access,
					     const struct paging_trail *trail, bool wide,
					     struct paging_page *page)
{
	uint64_t leaf = trail->value[trail->count - 1];

	page->global = paging->global_pages && (leaf & PAGE_GLOBAL);
	page->dirty = (leaf & PAGE_DIRTY) || ((access & PAGING_WRITE) && !(access & PAGING_QUIET));
	if (!paging_allows(paging, page, access)) {
		paging_fault(paging, page, access, PAGE_FAULT_PRESENT);
		return PAGING_FAULT;
	}
	if (!(access & PAGING_QUIET) && !paging_mark(trail, wide, access, page))
		return PAGING_AGAIN;
	return PAGING_OK;
}

/* Bits that must be 0 in an 8-byte entry at this level beside paging->reserved. */
PAGING_INLINE uint64_t paging_reserved_at(const struct paging *paging, unsigned level,
					  uint64_t value)
{
	if (level == 0 || !(value & PAGE_LARGE))
		return 0;
	if (level == 1)
		return 0x1fe000;
	if (level == 2 && paging->gigabyte_pages)
		return 0x3fffe000;
	return PAGE_LARGE;
}

PAGING_INLINE enum paging_step paging_try_wide(const struct paging *paging, uint64_t linear,
					       unsigned access, paging_entry_function *find,
					       void *context, struct paging_page *page)
{
	struct paging_trail trail;
	uint64_t table = paging->root, rights = PAGE_USER | PAGE_WRITABLE, no_execute = 0, value;
	unsigned level = 3, shift;

	trail.count = 0;
	if (paging->mode == PAGING_PAE) {
		table = paging->pdpte[linear >> 30 & 3];
		level = 1;
		if (!(table & PAGE_PRESENT)) {
			paging_fault(paging, page, access, 0);
			return PAGING_FAULT;
		}
		table &= PAGE_ADDRESS;
	}
	for (;; level--) {
		shift = 12 + 9 * level;
		uint64_t *entry = find(context, table + (linear >> shift & 511) * 8);
		value = entry ? __atomic_load_n(entry, __ATOMIC_RELAXED)
			      : ~0ull; /* nothing answers: the bus floats high */
		if (!(value & PAGE_PRESENT)) {
			paging_fault(paging, page, access, 0);
			return PAGING_FAULT;
		}
		if (!entry ||
		    (value & (paging->reserved | paging_reserved_at(paging, level, value)))) {
			paging_fault(paging, page, access,
				     PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED);
			return PAGING_FAULT;
		}
		trail.entry[trail.count] = entry;
		trail.value[trail.count++] = value;
		rights &= value;
		no_execute |= value;
		if (level == 0 || (value & PAGE_LARGE))
			break;
		table = value & PAGE_ADDRESS;
	}
	page->bits = (uint8_t)shift;
	page->physical = ((value & PAGE_ADDRESS & ~((1ull << shift) - 1)) |
			  (linear & ((1ull << shift) - 1))) &
			 ~0xfffull;
	page->user = rights & PAGE_USER;
	page->writable = rights & PAGE_WRITABLE;
	page->executable = !(no_execute &
			     PAGE_NX); /* the bit is reserved without EFER.NXE, so it was 0 then */
	return paging_finish(paging, access, &trail, true, page);
}

PAGING_INLINE enum paging_step paging_try_32(const struct paging *paging, uint64_t linear,
					     unsigned access, paging_entry_function *find,
					     void *context, struct paging_page *page)
{
	struct paging_trail trail = {.count = 0};
	uint64_t table = paging->root, rights = PAGE_USER | PAGE_WRITABLE, value;
	unsigned shift;

	for (shift = 22;; shift = 12) {
		uint32_t *entry = find(context, table + (linear >> shift & 1023) * 4);
		value = entry ? __atomic_load_n(entry, __ATOMIC_RELAXED) : 0;
		if (!(value & PAGE_PRESENT)) {
			paging_fault(paging, page, access, 0);
			return PAGING_FAULT;
		}
		trail.entry[trail.count] = entry;
		trail.value[trail.count++] = value;
		rights &= value;
		if (shift == 12 || (paging->large_32 && (value & PAGE_LARGE)))
			break;
		table = value & 0xfffff000;
	}
	page->bits = (uint8_t)shift;
	page->physical = value & 0xfffff000;
	if (shift == 22) {
		if (value & 1u << 21) {
			paging_fault(paging, page, access,
				     PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED);
			return PAGING_FAULT;
		}
		/* PSE-36: address bits 39..32 are in bits 20..13. */
		page->physical =
			(value & 0xffc00000) | (value >> 13 & 0xff) << 32 | (linear & 0x3ff000);
	}
	page->user = rights & PAGE_USER;
	page->writable = rights & PAGE_WRITABLE;
	page->executable = true;
	return paging_finish(paging, access, &trail, false, page);
}

PAGING_INLINE bool paging_walk_with(const struct paging *paging, uint64_t linear, unsigned access,
				    paging_entry_function *find, void *context,
				    struct paging_page *page)
{
	enum paging_step step;

	page->error = 0;
	page->marked = false;
	if (paging->mode == PAGING_NONE) {
		*page = (struct paging_page){.physical = linear & 0xfffff000,
					     .bits = 12,
					     .user = true,
					     .writable = true,
					     .executable = true,
					     .dirty = true};
		return true;
	}
	do {
		step = paging->mode == PAGING_32
			       ? paging_try_32(paging, linear, access, find, context, page)
			       : paging_try_wide(paging, linear, access, find, context, page);
	} while (step == PAGING_AGAIN);
	return step == PAGING_OK;
}

#endif
