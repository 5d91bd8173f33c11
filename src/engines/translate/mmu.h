/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest-linear memory as the software engine reaches it: page walks, the TLBs, loads and stores
 * that fault precisely.
 *
 * Functions that may raise a guest exception do not return then (exception_raise unwinds to the
 * dispatcher), so callers change no guest state before their last faulting access, and hold no lock
 * across one.
 */
#ifndef TRANSLATE_MMU_H
#define TRANSLATE_MMU_H

#include "engines/translate/cpu.h"

enum mmu_access {
	MMU_READ = 0,
	MMU_WRITE = 1, /* also: read-modify-write; needs both rights */
	MMU_FETCH = 2,
	MMU_SYSTEM = 4, /* implicit supervisor access (descriptor tables, TSS) whatever CPL is */
};

/*
 * The host address of linear..linear+size-1 if it lies in one page of RAM that may be accessed
 * directly; after a walk and a TLB fill if need be. Raises #PF. NULL if it crosses a page, is not
 * RAM, or is written and holds translated code: use mmu_load/store then. linear is canonical
 * already (segment_linear).
 */
void *mmu_host(struct cpu *cpu, uint64_t linear, unsigned size, unsigned access);

/* size 1, 2, 4, 8; crosses pages, reaches devices. Raises #PF (before anything is stored). */
uint64_t mmu_load(struct cpu *cpu, uint64_t linear, unsigned size, unsigned access);
void mmu_store(struct cpu *cpu, uint64_t linear, unsigned size, uint64_t value, unsigned access);

/* Any size up to 4096. A store checks all its pages before it changes any. */
void mmu_load_bytes(struct cpu *cpu, uint64_t linear, void *bytes, unsigned size, unsigned access);
void mmu_store_bytes(struct cpu *cpu, uint64_t linear, const void *bytes, unsigned size,
		     unsigned access);

/* Raises #PF unless linear..linear+size-1 could be accessed so; changes nothing but accessed (and
 * for MMU_WRITE dirty) bits. */
void mmu_probe(struct cpu *cpu, uint64_t linear, unsigned size, unsigned access);

/*
 * Instruction bytes at linear: fills bytes[0..15) and returns how many were readable before a page
 * that faults or is not RAM (then *fault_at is set to that page's first linear address). Raises #PF
 * only if the very first byte cannot be fetched.
 */
unsigned mmu_fetch(struct cpu *cpu, uint64_t linear, uint8_t bytes[16], uint64_t *fault_at);

/* The fetch entry of linear's page for the current view (for block lookup); raises #PF. */
const struct fetch_entry *mmu_fetch_page(struct cpu *cpu, uint64_t linear);

/*
 * The same without raising: false where it would raise (for stac'ed look-aheads and block
 * building).
 */
bool mmu_try_fetch_page(struct cpu *cpu, uint64_t linear, const struct fetch_entry **entry);

/* CR0, CR3, CR4 or EFER changed: recomputes cpu->paging (PDPTEs are not read). Flushes nothing. */
void mmu_paging_changed(struct cpu *cpu);

/* PAE paging: takes the four top entries from where CR3 points. False if one has reserved bits set
 * (#GP); nothing has changed then. */
bool mmu_load_pdpte(struct cpu *cpu);

/* First use of a cpu, which is all zero: every TLB, fetch and jump entry becomes invalid. */
void mmu_init(struct cpu *cpu);

/* Empties them, and gives back what TLB and jump caches take. */
void mmu_trim(struct cpu *cpu);

/* Linear addresses are 32 bits wide outside long mode. */
static inline uint64_t mmu_wrap(const struct cpu *cpu, uint64_t linear)
{
	return cpu->paging.mode == PAGING_LONG ? linear : (uint32_t)linear;
}

/* TLB maintenance; each also drops what depends on it: fetch entries and jump caches. */
void mmu_flush_all(struct cpu *cpu);		       /* global pages too; windows */
void mmu_flush_non_global(struct cpu *cpu);	       /* mov cr3; windows are the caller's */
void mmu_flush_page(struct cpu *cpu, uint64_t linear); /* invlpg: global too */

/* Drops write tags for the guest-physical page in all views of this cpu (it now holds translated
 * code). The vcpu is not in translated code. */
void mmu_protect_physical(struct cpu *cpu, uint64_t physical);

/* All write tags go, in recent entries and windows as well: each first store comes through the TLB
 * again. Also for other vcpus' in an exclusive section. */
void mmu_forget_writes(struct cpu *cpu);

/*
 * Whether another vcpu, which may be running, might be about to store to the guest-physical page
 * without looking at its flags again. Sees all that cpu had entered before it last called
 * code_on_page, if the caller has set the page's flag before (seq_cst).
 */
bool mmu_may_store(const struct cpu *cpu, uint64_t physical);

/*
 * The linear address of segment:offset for an access of size bytes, checked: limit and type in 16-
 * and 32-bit code, canonical in 64-bit code. Raises #GP(0) or #SS(0). offset is cut to the address
 * size by the caller.
 */
uint64_t segment_linear(struct cpu *cpu, unsigned segment, uint64_t offset, unsigned size,
			unsigned access);

#endif
