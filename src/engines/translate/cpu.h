/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One vcpu as the software engine holds it: registers, translation lookaside buffers, jump caches.
 * While translated code runs, the gs base points here, most general registers and all vector state
 * are in the host's registers (docs/translate.md), and the C functions that it calls are compiled
 * for general registers only, so that the vector state stays where it is.
 *
 * Everything here belongs to the vcpu's thread, but for what says otherwise.
 */
#ifndef TRANSLATE_CPU_H
#define TRANSLATE_CPU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/vcpu.h"
#include "engines/translate/fixed_window.h"
#include "x86/insn.h"
#include "x86/paging.h"

struct vm;
struct machine_code; /* code_cache.h: what all vcpus of a vm share */

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

/* Exceptions (Intel SDM volume 3, table 6-1). */
enum {
	EXCEPTION_DE = 0,
	EXCEPTION_DB = 1,
	EXCEPTION_NMI = 2,
	EXCEPTION_BP = 3,
	EXCEPTION_OF = 4,
	EXCEPTION_BR = 5,
	EXCEPTION_UD = 6,
	EXCEPTION_NM = 7,
	EXCEPTION_DF = 8,
	EXCEPTION_TS = 10,
	EXCEPTION_NP = 11,
	EXCEPTION_SS = 12,
	EXCEPTION_GP = 13,
	EXCEPTION_PF = 14,
	EXCEPTION_MF = 16,
	EXCEPTION_AC = 17,
	EXCEPTION_MC = 18,
	EXCEPTION_XM = 19,
};

/*
 * Whose eyes data is seen with: chooses the TLB and the jump cache. KERNEL: supervisor accesses
 * with SMAP in force (or CR4.SMAP clear); KERNEL_AC: supervisor with CR4.SMAP and RFLAGS.AC set.
 */
enum view { VIEW_USER, VIEW_KERNEL, VIEW_KERNEL_AC, VIEW_COUNT };

/*
 * A guest page that can be reached directly. A tag is the page's linear address where that access
 * is allowed without further work, else tlb_invalid_tag(index), which no lookup at this index
 * matches: (linear ^ tag) < 4096 only for a hit.
 */
struct tlb_entry {
	uint64_t read;
	uint64_t
		write; /* only if writable, dirty already set, and no translated code on the page */
	uint8_t *host; /* of the page's first byte; valid if a tag is */
	uint64_t physical; /* guest-physical page address; bit 0: global */
};
#define TLB_BITS    12
#define TLB_SIZE    (1u << TLB_BITS)
#define TLB_EVICTED 4 /* no instruction evicts more entries that it has found */
static inline uint64_t tlb_invalid_tag(unsigned index)
{
	return (uint64_t)!index << 12; /* so most of an empty TLB is zero, and takes no memory */
}

/*
 * Where one look-up of translated code last hit: each has a slot of its own, or shares one with
 * others, of all over the code or that go to the same page mostly (the stack). Reads have the even
 * slots and writes the odd ones, for a slot doesn't say what its page allows: a write must never
 * find what a read left. (linear - tag) < 4096 is a hit. No tag is safe from every address, so that
 * of an empty slot is not canonical and neither is its host: a guest address that matches it makes
 * the host's processor raise #GP, as it must.
 */
struct recent_entry {
	uint64_t tag;
	uint8_t *host;
};
#define RECENT_BITS  10
#define RECENT_SIZE  (1u << RECENT_BITS)
#define RECENT_GROUP 16u /* slots with one byte that says whether any is in use */
#define RECENT_EMPTY (1ull << 63)
enum { RECENT_STACK_READ, RECENT_STACK_WRITE, RECENT_SITES /* even */ };

/*
 * The last two windows of a memory operand (window.h): a linear address whose bits 31 to 62 are
 * number is a hit, and linear + delta its host address.
 */
struct window_place {
	uint64_t delta;
	uint32_t number;
	uint32_t minus_number; /* modulo 2^32 */
};
struct window_slot {
	struct window_place place[2];
	uint64_t misses; /* of both places */
};
#define WINDOW_SLOTS 256u /* for each view */

/*
 * Where the translated code of a linear address begins: in the entry of its index, or in the one
 * beside it, which is asked where that misses (thunk_jump). An invalid entry has an address that
 * belongs into neither.
 */
struct jump_entry {
	uint64_t address;
	void *code; /* the entry that expects status flags in cpu->flags */
};
#define JUMP_BITS 15
#define JUMP_SIZE (1u << JUMP_BITS)
static inline unsigned jump_index(uint64_t linear)
{
	return (unsigned)(linear ^ linear >> 4) & (JUMP_SIZE - 1);
}
static inline unsigned jump_other(unsigned index)
{
	return index ^ 1;
}
static inline uint64_t jump_invalid_address(unsigned index)
{
	return index < 2 ? 2 : 0; /* most of an empty cache is zero, and takes no memory */
}

/* Instructions that cross into another page have a jump cache of their own: those there go by one
 * page only. None has the address 0, which is invalid. */
#define CROSS_SIZE 64u
static inline unsigned cross_index(uint64_t linear)
{
	return linear >> 12 & (CROSS_SIZE - 1);
}

/* Short functions that stand in their callers' blocks (call_site.h), and counts of calls. */
#define CALLEES	    256u
#define CALL_COUNTS 256u

/* A page that instructions are fetched from: one small direct-mapped cache for the interpreter and
 * for block lookup. */
struct fetch_entry {
	uint64_t page;	     /* linear, or 1 if invalid */
	uint64_t physical;   /* guest-physical page address; bit 0: global */
	const uint8_t *host; /* NULL: not RAM */
	uint64_t view;
};
#define FETCH_SIZE   64
#define FETCHED_BITS 4096

/* What translated code depends on beside its bytes; key of a block together with its guest-physical
 * address. */
enum {
	MODE_CODE_SIZE = 3,   /* enum code_size */
	MODE_VIEW_SHIFT = 2,  /* enum view: 2 bits */
	MODE_SSE = 1 << 4,    /* SSE may run: CR0.EM=0, CR0.TS=0, CR4.OSFXSR=1 */
	MODE_AVX = 1 << 5,    /* and CR4.OSXSAVE=1, XCR0[2:1]=3 */
	MODE_X87 = 1 << 6,    /* x87 and MMX may run: CR0.EM=0, CR0.TS=0 */
	MODE_WINDOW = 1 << 7, /* memory operands through windows (window.h) */
};

/* What a vcpu's time goes into (timing.h). */
enum timing_kind {
	TIMING_OUTSIDE, /* halted, or in what is not the engine's */
	TIMING_GUEST,
	TIMING_FIND,
	TIMING_TRANSLATE,
	TIMING_LOOK_UP,
	TIMING_HANDLER,
	TIMING_INTERPRET,
	TIMING_WINDOW,
	TIMING_DEVICE,
	TIMING_EXCLUSIVE,
	TIMING_DISPATCH, /* events, and the way to all others */
	TIMING_COUNT
};
struct timing {
	bool on;
	uint8_t doing;	/* enum timing_kind */
	uint64_t since; /* the host's TSC */
	uint64_t ticks[TIMING_COUNT];
};

/* What is known of how busy a vcpu is (idle.c), in ticks of the host's TSC. */
struct idle {
	uint64_t entered; /* the engine, last */
	uint64_t inside;  /* all that it has spent there; others read it */
	uint64_t since;	  /* when it was last looked at, */
	uint64_t before;  /* and the sum of all vcpus' inside at that time */
	uint32_t trims;	  /* code->trims that this vcpu has followed */
};

struct cpu {
	/* Reached by translated code at small offsets. */
	uint64_t gpr[16];
	uint64_t next_rip; /* interpreter: of the instruction behind this one, until a handler
			      changes it */
	uint64_t rip; /* linear address minus CS base, of the instruction that runs (interpreter),
			 or where to go on (exits) */
	uint64_t code_page; /* translated code: linear address of the page that the running block's
			       first byte is in */
	uint16_t flags; /* status flags as seto al; lahf leave them in ax: bits 15..8 SF ZF 0 AF 0
			   PF 1 CF, bits 7..0 OF */
	uint8_t cpl;
	uint8_t view;  /* enum view */
	uint32_t mode; /* MODE_*; cpu_mode_changed() computes it and cpl, view, code size from the
			  registers below */
	_Atomic uint32_t kick; /* any thread: leave translated code at the next test */
	uint32_t inside; /* translated code (or a call-out of it) runs: see exclusive.h; atomic
			    accesses */
	uint64_t rflags; /* all but the status flags: IF, DF, TF, AC, IOPL, NT, RF, ID, VM, and bit
			    1 */
	struct cpu *self;
	struct segment segment[6];
	uint64_t tsc_offset;
	uint64_t scratch[8]; /* translated code's own spills */
	void *host_stack;    /* of the dispatcher while translated code runs */
	struct machine_code *code;
	/*
	 * With MODE_WINDOW: the window that rsp is in whenever a block begins, so that the stack is
	 * reached without a check (window_stack): (rsp + minus_tag) is below its size, and rsp +
	 * delta the host address.
	 */
	uint64_t stack_minus_tag, stack_delta;
	/* return_stack.h: the host's rsp while translated code runs, when it does not; and that of
	 * an empty one. Of the stack that is in use. */
	uint64_t *returns, *returns_top;

	_Alignas(64) struct tlb_entry tlb[VIEW_COUNT][TLB_SIZE];
	_Alignas(64) struct jump_entry jump[VIEW_COUNT][JUMP_SIZE];
	struct recent_entry recent[VIEW_COUNT][RECENT_SIZE];
	uint8_t recent_used[VIEW_COUNT][RECENT_SIZE / RECENT_GROUP];
	struct window_slot window_slot[VIEW_COUNT][WINDOW_SLOTS];
	uint32_t fixed_number[FIXED_WINDOWS];	 /* fixed_window.h */
	uint64_t fixed_used[FIXED_WINDOWS / 64]; /* a bit for each that is not empty */
	struct fetch_entry fetch[FETCH_SIZE];
	struct jump_entry cross[VIEW_COUNT][CROSS_SIZE];
	uint64_t callees[CALLEES / 64]; /* a bit for each callee_number that is mapped as it was */
	uint32_t call_counts[CALL_COUNTS]; /* of calls that nothing is known of, by a hash: the
					      upper bits, so that many calls make a carry */

	/*
	 * Which entries are in use, so that a flush touches only those (mmu.c). Entries of global
	 * pages are in the second map of each pair, all others in the first.
	 */
	uint64_t tlb_used[2][VIEW_COUNT][TLB_SIZE / 64];
	/*
	 * Guest-physical pages whose write tags were last evicted: an instruction that has found
	 * where to store may lose the tag to its next operand before it stores. Other vcpus look
	 * here (mmu_may_store).
	 */
	uint64_t evicted[TLB_EVICTED];
	unsigned evictions;
	uint64_t tlb_large[VIEW_COUNT][TLB_SIZE / 64]; /* part of a 2 MiB, 4 MiB or 1 GiB page */
	uint64_t tlb_words[2][VIEW_COUNT]; /* words of tlb_used that are not zero, or have been */
	uint64_t jump_used[2][VIEW_COUNT][JUMP_SIZE / 64];
	uint64_t jump_words[2][VIEW_COUNT][JUMP_SIZE / 64 / 64]; /* likewise */
	/*
	 * Pages that are not global: of data, by view, and of code that is not user code. Only they
	 * make the recent entries and the return stack go with mov cr3, which do not say.
	 */
	bool tlb_local[VIEW_COUNT], fetched_local;
	unsigned jump_moves;		 /* that an entry in use was in the way of */
	uint64_t fetch_used[2];		 /* one bit for each fetch entry */
	uint64_t cross_used[VIEW_COUNT]; /* likewise, of all pages alike */
	uint64_t fetched[2]
			[FETCHED_BITS / 64]; /* Bloom filter: pages that instructions came from */
	uint32_t fetched_count[2]; /* bits that are set in it; user code (and what of a kernel's is
				      not global) is in the first */
	uint32_t jump_mode[VIEW_COUNT]; /* the mode that the entries of a view's jump cache are for
					 */

	struct windows *windows; /* window.c */
	uint8_t windows_on;	 /* by view: MODE_WINDOW */
	bool windows_closed; /* a window has gone: nothing goes back into the middle of a block */
	struct return_stack {
		uint64_t *at, *top;	/* `at` of the one in use is cpu->returns */
		uint32_t mode;		/* that it is for, */
		uint32_t drops;		/* and code->drops at that time */
	} return_stack[2], *returns_in; /* user code's, all others'; the one in use */
	uint8_t stack_view;		/* of the window that stack_minus_tag names */

	/* Cold. */
	struct paging paging; /* follows CR0, CR3, CR4, EFER: mmu_paging_changed() */
	struct segment ldtr, tr;
	struct table_register gdtr, idtr;
	uint64_t cr0, cr2, cr3, cr4, xcr0, dr[8];
	uint64_t efer, star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, tsc_aux, misc_enable, spec_ctrl, debugctl, xss;
	uint64_t tsc_adjust; /* the part of tsc_offset that the guest asked for */
	uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_variable[16];
	uint8_t interrupt_shadow; /* SHADOW_*, else 0: of the instruction that just ran (sti, mov
				     ss); cleared after the next one */
	uint8_t nmi_blocked;

	/* Vector and x87 state: in the host's registers (true) or in xsave below. */
	bool vector_live;
	_Alignas(64) uint8_t xsave[VCPU_XSAVE_SIZE];

	/* The exception being raised: exception_raise() fills it and unwinds to the dispatcher. */
	struct {
		uint8_t vector;
		bool has_error;
		bool software; /* int n, int3, into: rip is behind the instruction, DPL of the gate
				  is checked */
		uint32_t error;
		uint64_t cr2;
		bool triple; /* not deliverable any more: the vm shuts down */
	} event;
	/* The event whose delivery is under way: what another exception meanwhile becomes depends
	 * on it. */
	struct {
		bool active;
		bool exception; /* else an interrupt, an NMI, int n: benign */
		bool external;	/* error codes get EXT: anything but int n, int3, into */
		uint8_t vector;
	} delivery;
	bool event_pending;   /* cpu_load found a half-delivered exception in cpu->event: the
				 dispatcher is to deliver it first */
	uint8_t debug_active; /* DEBUG_* (debug.h), from DR7 and RFLAGS.TF: anything set means
				 "interpret" */
	uint64_t missed_rip, missed_linear; /* translated code's last TLB miss (callout.c) */
	bool step_swallowed;  /* the instruction ended single-stepping before its own #DB was due
				 (int n, syscall) */
	uint32_t debug_hits;  /* DR6 bits of data breakpoints hit by this instruction */
	uint8_t fault_vector; /* of a fault of the host's processor in translated code or a stub
				 (fault.h) */
	uint64_t spin_begin, spin_last; /* host TSC at the first and at the last pause of a loop
					   (handle_pause) */
	uint32_t spin_yields; /* how often the host's processor was given away in that loop */
	uint64_t
		fault_address; /* of EXCEPTION_PF, which is a window's: host address; block, step */
	uint32_t fault_block, fault_step;
	bool fault_write;
	bool fault_empty; /* it came from an empty recent_entry: the interpreter finds out which
			     exception it is */
	bool exclusive;	  /* this vcpu is in an exclusive section (exclusive.h) */
	void *unwind[5];  /* __builtin_setjmp buffer of the dispatcher */

	struct vcpu *vcpu;
	struct vm *vm;
	struct exit *exit; /* run()'s, filled by what ends the run */
	bool leave;	   /* the dispatcher is to return with *exit */
	struct insn insn;  /* the one being interpreted */

	/* What tests and statistics.c look at; the vcpu's thread. */
	uint64_t count_blocks, count_lookups, count_invalidations, count_window_faults;
	uint64_t count_calls, count_misses, count_slot_misses, count_kicks;
	uint64_t count_steps, count_exceptions;
	struct timing timing;
	struct idle idle;
};

enum { SHADOW_STI = 1, SHADOW_MOV_SS = 2 }; /* cpu->interrupt_shadow */

/* Status flags (FLAG_STATUS bits) in and out of their stored form. */
static inline uint32_t cpu_status(const struct cpu *cpu)
{
	return ((cpu->flags >> 8) & (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF)) |
	       ((cpu->flags & 1u) ? FLAG_OF : 0);
}

static inline void cpu_set_status(struct cpu *cpu, uint32_t status)
{
	cpu->flags = (uint16_t)((status & (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF)) << 8 |
				0x0200 | ((status & FLAG_OF) ? 1 : 0));
}

/* RFLAGS as pushf would see it (RF and VM included). */
static inline uint64_t cpu_rflags(const struct cpu *cpu)
{
	return cpu->rflags | cpu_status(cpu);
}

static inline void cpu_set_rflags(struct cpu *cpu, uint64_t rflags)
{
	cpu->rflags = (rflags & ~(uint64_t)FLAG_STATUS) | 2;
	cpu_set_status(cpu, (uint32_t)rflags);
}

static inline enum code_size cpu_code_size(const struct cpu *cpu)
{
	return (enum code_size)(cpu->mode & MODE_CODE_SIZE);
}

/*
 * Recomputes mode, cpl and view. To be called after a change of CR0, CR4, EFER, XCR0, RFLAGS.AC,
 * RFLAGS.VM, CS or SS (cpl is SS.DPL; with VM 3; real mode 0).
 */
void cpu_mode_changed(struct cpu *cpu);

/*
 * For C functions called from translated code that want the host or a device: puts the vector state
 * aside, and back. begin returns what end wants to know.
 */
bool cpu_outside_begin(struct cpu *cpu);
void cpu_outside_end(struct cpu *cpu, bool live);

/* Between vcpu->state and cpu. cpu_load drops TLBs and jump caches. */
void cpu_load(struct cpu *cpu, const struct vcpu_state *state);
void cpu_save(struct cpu *cpu, struct vcpu_state *state);

/* Puts the vector state into the host's registers, or into cpu->xsave (vector.S or linux part;
 * needed before any code that may use them runs). */
void cpu_vector_load(struct cpu *cpu);
void cpu_vector_save(struct cpu *cpu);
/* Into area, in the standard form, wherever it is. area is at a multiple of 64. */
void cpu_vector_copy(const struct cpu *cpu, uint8_t area[VCPU_XSAVE_SIZE]);

/* Asks devices (vcpu_access) with the vector state saved. */
void cpu_access(struct cpu *cpu, struct exit *exit);

#endif
