/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all vcpus of a vm share of translated code: the memory that it lives in, the blocks by
 * guest-physical address and mode, and for each page of guest RAM whether code of it has been
 * translated.
 *
 * Looking up takes no lock. Adding, linking and dropping blocks take machine->lock. Nothing that a
 * block consists of is given back before the whole cache is flushed, in an exclusive section
 * (exclusive.h); so a vcpu may always run on in a block that has just been dropped, and leaves it
 * at its end or at the next C function that looks.
 */
#ifndef TRANSLATE_CODE_CACHE_H
#define TRANSLATE_CODE_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/vm.h"
#include "engines/translate/call_site.h"
#include "engines/translate/code_memory.h"
#include "engines/translate/cpu.h"
#include "engines/translate/exclusive.h"
#include "engines/translate/note.h"

/* Room that translating one block may need. */
#define CODE_BLOCK_BYTES 65536u
#define CODE_BLOCK_INSNS 64u

/*
 * There are some hundred thousand: kept small. A block that crosses is one instruction, which
 * begins in one page and ends in another; one that inlines has the instructions of a function that
 * it calls among its own (translate_callee.c). The block before either is `second`: it stands for
 * the bytes in the other page, has no place in the hash, and its `dropped` means nothing. Its code
 * is that of the whole; if that inlines, its notes are for the function's instructions.
 */
struct block {
	uint64_t linear;     /* page that it was translated for, if it is placed; else 0: any */
	uint32_t page;	     /* guest-physical, its number */
	uint32_t code;	     /* offset of its code in code memory: the mem entry */
	uint32_t notes;	     /* index of the first word (note.h) */
	uint32_t page_next;  /* block number + 1; machine->lock */
	uint16_t start : 12; /* offset in the page of its first byte */
	uint16_t crosses : 1, inlines : 1, second : 1;
	uint16_t end; /* offset behind its last byte; beyond the page if it crosses into another */
	uint16_t scan_low,
		scan_high; /* range of bytes in the page that its flags depend on as well */
	uint8_t mode;	   /* cpu->mode that it was translated for */
	int8_t reg_entry;  /* offset from code; 0: the mem entry is both */
	uint8_t count : 7; /* instructions */
	bool loops : 1;	   /* without passing its entries */
	_Atomic bool dropped;
};
_Static_assert(sizeof(struct block) == 40, "small");

static inline uint64_t block_page(const struct block *block)
{
	return (uint64_t)block->page << 12;
}

static inline uint64_t block_physical(const struct block *block)
{
	return block_page(block) + block->start;
}

static inline bool block_has_second(const struct block *block)
{
	return block->crosses || block->inlines;
}

/* What a block's code begins with is a multiple of this; other entries may stand before the mem
 * entry, which is less than this behind it. */
#define CODE_ALIGNMENT 64u

static inline uint32_t block_begin(const struct block *block)
{
	return block->code & ~(CODE_ALIGNMENT - 1);
}

/* The block that this one is, or is the second of. */
static inline struct block *block_whole(struct block *block)
{
	return block->second ? block + 1 : block;
}

/* What code memory begins with: jumps to the thunks of enter.S, so that they can be reached by near
 * calls. */
enum trampoline {
	TRAMPOLINE_RECENT_READ,
	TRAMPOLINE_RECENT_WRITE,
	TRAMPOLINE_WINDOW,
	TRAMPOLINE_FIXED,
	TRAMPOLINE_READ,
	TRAMPOLINE_WRITE,
	TRAMPOLINE_CALL,
	TRAMPOLINE_END,
	TRAMPOLINE_INTERPRET,
	TRAMPOLINE_GOTO,
	TRAMPOLINE_LINK,
	TRAMPOLINE_LINK_FLAGS,
	TRAMPOLINE_STALE,
	TRAMPOLINE_STALE_FLAGS,
	TRAMPOLINE_JUMP,
	TRAMPOLINE_RETURN,
	TRAMPOLINE_SITE,
	TRAMPOLINE_CALLEE,
	TRAMPOLINE_COUNT
};
#define TRAMPOLINE_BYTES 16u
/* Where the first block begins. */
#define TRAMPOLINES_END                                                                            \
	((TRAMPOLINE_COUNT * TRAMPOLINE_BYTES + CODE_ALIGNMENT - 1) & ~(CODE_ALIGNMENT - 1))

/* Per page of guest RAM. */
enum {
	CODE_PAGE_TRANSLATED = 1 /* holds translated code */,
	CODE_PAGE_WRITABLE = 2 /* some vcpu may hold a write tag */
};

struct translation;

#define WANDERERS 8192u

struct machine_code {
	struct vm *vm;
	struct code_memory memory;
	bool bmi2; /* the host has it: translated code may use it */
	struct code_lock lock;
	struct exclusive exclusive;
	_Atomic uint32_t generation; /* counts flushes */
	_Atomic uint32_t drops;	     /* counts blocks that were dropped */
	_Atomic uint32_t trims;	     /* counts code_trim */

	struct cpu *cpus[VM_VCPUS_MAX]; /* by vcpu id; set before any of them runs */

	/* Under lock. */
	uint32_t code_used;
	uint32_t code_limit; /* grows to memory.size */
	uint32_t code_peak;  /* code_used at the most, since the last trim */
	uint32_t code_large; /* large pages have been asked for below it */
	_Atomic uint64_t
		large_due; /* host's TSC when the next one is to be; 0: its bytes are not full */
	uint64_t filled;   /* host's TSC when it was full last */
	uint64_t trimmed;  /* host's TSC at the last trim that emptied the cache; 0: none */
	uint32_t keep;	   /* bytes of code that an idle machine keeps (idle.c) */
	struct block *blocks;
	uint32_t block_count, block_max;
	uint16_t *notes;
	uint32_t note_count, note_max; /* words */
	struct insn *insns;	       /* of call-outs */
	uint32_t insn_count, insn_max;
	struct translation *translation; /* the one that is being made */
	unsigned recent_next[2]; /* what was given to a look-up last (struct recent_entry), by
				    access */
	unsigned window_next;	 /* likewise (struct window_slot) */
	struct call_site *call_sites;
	struct callee {
		uint64_t linear, physical;
		uint32_t mode;
	} callees[CALLEES];
	_Atomic unsigned callee_count;
	_Atomic uint64_t callees_emptied; /* host's TSC, the last time */
	struct fixed_windows fixed;
	uint32_t *wanders; /* a few of the bits of an instruction's address, at a hash of it */

	_Atomic uint32_t *hash; /* code_hash.h */
	uint32_t hash_size;	/* a power of 2; grows with code_limit */
	uint64_t hash_key;	/* of chance */
	bool hash_crowded;	/* in one place: to be emptied */

	/*
	 * The dirty log (dirty_log.h), a bit for each page: those that vcpus have written to, or
	 * may write to without being noticed, since the last collection. NULL: nobody wants to
	 * know.
	 */
	_Atomic(_Atomic uint64_t *) written;

	uint64_t page_count;
	_Atomic uint8_t *page_flags; /* PAGE_* */
	uint8_t *page_writes;  /* stores to a page with code since its last block was made; lock */
	uint32_t *page_blocks; /* first block number + 1; lock */
	_Atomic uint16_t *page_windows; /* where vcpus' windows have it mapped writable */
	_Atomic uint8_t *page_misses;	/* accesses of its code that windows were of no use for */

	/* Statistics; lock. */
	uint64_t count_flushes, count_dropped, count_links, count_insns, count_wanderers;
	uint64_t count_inlined, count_fixed, count_rounds;
};

/*
 * For vm, whose memory is laid out; size: bytes of code memory, a multiple of 4096 from 1 MiB to 1
 * GiB, 0 for the default (128 MiB, of which as much is used as is needed). 0, or a negative errno.
 */
int code_create(struct vm *vm, uint64_t size, struct machine_code **code);
void code_destroy(struct machine_code *code);

/* Makes cpu one of those that run code's guest: sets cpu->code and cpu->self. Before it runs;
 * cpu->vcpu is set. */
void code_attach(struct machine_code *code, struct cpu *cpu);

/*
 * A placed block is for one linear page, and knows its address; any other can be run wherever its
 * guest-physical page is mapped, and finds its address in cpu->code_page. The kernel's are placed,
 * for it is mapped in one place, and those with windows, for they run often.
 */
static inline bool mode_is_placed(uint32_t mode)
{
	return (mode & MODE_WINDOW) || (mode >> MODE_VIEW_SHIFT & 3) != VIEW_USER;
}

/*
 * Do its calls and returns go by the return stack (return_stack.h)? Those with windows, and the
 * kernel's, but where RFLAGS.AC lets it reach user memory: that is switched within blocks, which
 * must not return into code of the other view.
 */
static inline bool mode_has_returns(uint32_t mode)
{
	return (mode & MODE_WINDOW) || (mode >> MODE_VIEW_SHIFT & 3) == VIEW_KERNEL;
}

/* What block->linear is for an address. */
static inline uint64_t block_linear(uint64_t linear, uint32_t mode)
{
	return mode_is_placed(mode) ? linear & ~4095ull : 0;
}

/* The block, or NULL. linear: block->linear. No lock; the caller is inside (exclusive.h). */
struct block *code_lookup(struct machine_code *code, uint64_t physical, uint64_t linear,
			  uint32_t mode);

/* The same for a block that crosses into the page that `second` is in. */
struct block *code_lookup_crossing(struct machine_code *code, uint64_t physical, uint64_t second,
				   uint64_t linear, uint32_t mode);

/*
 * Those with windows, which are made of code that runs often, have a third entry, for jumps back:
 * KICK_ENTRY_BYTES before the mem entry, and leading to it, it tests kick.
 */
#define KICK_ENTRY_BYTES 16u
static inline bool mode_has_kick_entry(uint32_t mode)
{
	return mode & MODE_WINDOW;
}

static inline uint8_t *code_entry(const struct machine_code *code, const struct block *block)
{
	return code->memory.run + block->code;
}

/* The block whose code has this byte of the run view, or NULL. The caller is inside, or holds the
 * lock. */
struct block *code_find_host(struct machine_code *code, uint64_t host);

/* Is there room for one more block? Lock held. */
bool code_has_room(const struct machine_code *code);

/* Drops the block: old links lead to a new one. Lock held. */
void code_drop(struct machine_code *code, struct block *block);
/* And those that end where it begins: they may have its instructions among their own the next time.
 */
void code_drop_run(struct machine_code *code, struct block *block);

/*
 * Have all callee_numbers been given out, or those of fixed windows, and that so long ago that they
 * should be taken back? code_empty_callees drops all blocks that inline calls; in an exclusive
 * section, lock not held. No vcpu comes back to the middle of one behind it: what waits for
 * sections looks at `dropped` first.
 */
bool code_is_out_of_callees(const struct machine_code *code);
void code_empty_callees(struct machine_code *code);

/* Enters the block that was built behind block_count (and behind its second), whose code ends at
 * that offset: from now on others find it. Lock held. */
void code_publish(struct machine_code *code, struct block *block, uint32_t code_end);

/* Now and then, for any vcpu that is inside: code that has been there for a while gets large pages
 * of the host's. Lock not held. */
void code_settle(struct machine_code *code);

/* The cache is full: it grows, or is emptied. In an exclusive section, lock not held. */
void code_make_room(struct machine_code *code);

/* Empties it as well if `all`, and gives memory that is in no use back to the host. In an exclusive
 * section, lock not held. */
void code_trim(struct machine_code *code, bool all);

/*
 * Makes sure that no store to the page goes unseen from now on, before its code is read: sets its
 * code flag and takes away write tags, in an exclusive section if other vcpus have any. The caller
 * is inside and holds no lock; all may have changed afterwards, which code_page_prepared tells.
 * False if the page is not RAM.
 */
bool code_page_prepare(struct cpu *cpu, uint64_t physical);

/* Whether the page still is as code_page_prepare leaves it. Lock held: then it stays so. */
bool code_page_prepared(const struct cpu *cpu, uint64_t physical);

/*
 * For the mmu: a TLB is about to get a write tag for this page. It calls code_note_writable, enters
 * the tag, and calls code_on_page: if that is true, the tag has to go again before it is used. Any
 * guest-physical address in the page; false for what is not RAM. code_on_page looks after all that
 * the vcpu has stored before is visible to others.
 */
void code_note_writable(struct cpu *cpu, uint64_t physical);
bool code_on_page(struct cpu *cpu, uint64_t physical);

/* A store by this vcpu to a page that has code has been done; it lies in one page. Drops blocks
 * that depend on the bytes. */
void code_written(struct cpu *cpu, uint64_t physical, unsigned size);

/* The same for a device's store, by any thread, of any length. */
void code_written_by_device(struct machine_code *code, uint64_t physical, uint64_t length);

/*
 * Code of the page at physical has accessed memory through a window in vain. When that happens
 * often its blocks do without (code_uses_windows).
 */
void code_window_missed(struct machine_code *code, uint64_t physical);
bool code_uses_windows(const struct machine_code *code, uint64_t physical);

/* The block's instruction at offset in the page goes to many windows in turn: looks into the TLB
 * from now on (code_wanders), until some other one takes its place in the table. */
void code_window_wanders(struct machine_code *code, struct block *block, unsigned offset);
bool code_wanders(const struct machine_code *code, uint64_t physical);

#endif
