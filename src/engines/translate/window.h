/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Windows: pieces of a guest address space as mappings of guest RAM, so that translated code
 * reaches memory without a look-up of each page (docs/translate.md).
 *
 * A window is WINDOW_BYTES of the process's address space, reserved without access, that stands for
 * as many bytes of linear addresses from a multiple of that on, in one address space (CR3) and one
 * view. A page of it is mapped when translated code faults there, only if the TLB has the page, and
 * with no more rights than the TLB says: it is a TLB entry, and goes when those have to go. What is
 * not mapped (devices, pages with translated code for stores, what the guest does not map) faults,
 * and is done by the interpreter.
 *
 * Blocks use windows if their mode has MODE_WINDOW, which an address space gets when its user code
 * has been found running several times, and loses for a while when it costs more than it brings.
 *
 * All functions are for the vcpu's own thread, inside (exclusive.h), but for what says otherwise.
 */
#ifndef TRANSLATE_WINDOW_H
#define TRANSLATE_WINDOW_H

#include "engines/translate/cpu.h"

#define WINDOW_BITS  31
#define WINDOW_BYTES (1ull << WINDOW_BITS)

/*
 * Each window has as many bytes without access on both sides. The stack needs them: what is reached
 * from rsp without a check, and how far rsp moves in between, is less (translate_stack.c).
 */
#define WINDOW_GUARD (1u << 20)

/*
 * So need other operands: it is their base register that is checked, which is no farther than
 * WINDOW_REACH from what they access, and may have moved by no more than that since.
 */
#define WINDOW_REACH (1 << 18)

/* Where an access of size bytes in a window may begin at the last. */
#define WINDOW_LIMIT(size) ((uint32_t)(WINDOW_BYTES - (size)))

/*
 * The number and delta of a slot that no address hits, but for some that are not canonical (2^61,
 * and more): as with recent_entry. The delta makes an address that is not canonical out of those
 * and out of every canonical one: operands that rely on another's check (translate_window.c) find
 * it where a slot has been emptied.
 */
#define WINDOW_EMPTY_NUMBER (1u << 30)
#define WINDOW_EMPTY_DELTA  (1ull << 62)

/* cpu->windows. False if there is no memory; then (and where guest memory has no handle) nothing
 * is ever mapped. Before the vcpu runs; destroy when it no longer does. */
bool window_create(struct cpu *cpu);
void window_destroy(struct cpu *cpu);

/* For tests: these views (bits) use windows from the start, whatever it costs; 0: user code, when
 * it pays. The vcpu does not run. */
void window_force(struct cpu *cpu, unsigned views);

/* CR3 or the paging mode has changed: chooses the address space and the mode. */
void window_switch(struct cpu *cpu);

/* The vcpu was interrupted in guest code. */
void window_sample(struct cpu *cpu);

/* Fills the slot with the window that linear is in, in the current view. False: there is none. */
bool window_fill_slot(struct cpu *cpu, struct window_slot *slot, uint64_t linear);
void window_empty_slot(struct window_slot *slot);

/* Is linear in a window of the current view that there is? Then *delta leads from linear addresses
 * to the host's. */
bool window_delta(const struct cpu *cpu, uint64_t linear, uint64_t *delta);

/* The number (fixed_window.h) matches linear from now on. False: its window is elsewhere, or there
 * is none. */
bool window_fill_fixed(struct cpu *cpu, unsigned number, uint64_t linear);

/*
 * Does the host address lie in one of the vcpu's windows, or in the guard of one? May be called in
 * a signal handler.
 */
bool window_owns(const struct cpu *cpu, uint64_t host);

/* The host address of a window that has been used, or 0: tests attack it. */
uint64_t window_first(const struct cpu *cpu);

/*
 * Whoever runs translated code with MODE_WINDOW sees to it that rsp is in the stack's window
 * before. window_stack chooses it anew. False: there is none, and the mode is another one.
 */
static inline bool window_has_stack(const struct cpu *cpu)
{
	return cpu->gpr[RSP] + cpu->stack_minus_tag < WINDOW_BYTES && cpu->stack_view == cpu->view;
}
bool window_stack(struct cpu *cpu);

/*
 * Translated code has faulted at the host address, which window_owns. Maps the page: true, and the
 * instruction may begin anew. False: it is to be done without windows. Raises the guest's #PF;
 * with known, nothing is raised, and only what the TLB has is mapped.
 */
bool window_fault(struct cpu *cpu, uint64_t host, bool write, bool known);

/* The linear address that a host address in a window stands for; in a guard: some other. */
uint64_t window_linear(const struct cpu *cpu, uint64_t host);

/* TLB maintenance, called by mmu.c's: pages of all address spaces; of those with this PCID; of one
 * address in those. */
void window_flush(struct cpu *cpu);
void window_flush_pcid(struct cpu *cpu, unsigned pcid);
void window_flush_page(struct cpu *cpu, unsigned pcid, uint64_t linear);

/* Empties all windows, at nobody's cost, and gives back what their tables take. */
void window_trim(struct cpu *cpu);

/* The guest-physical page becomes read-only in all windows. Also for other vcpus' in an exclusive
 * section. */
void window_protect(struct cpu *cpu, uint64_t physical);

#endif
