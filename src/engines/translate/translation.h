/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One block being translated. Private to the translator: translate.c (the whole),
 * translate_memory.c (memory operands, flags), translate_branch.c (ways out of a block),
 * translate_loop.c (ways back into it), translate_inline.c (instructions written out),
 * translate_callee.c (short functions in their callers' blocks), callout.c (what its code calls).
 */
#ifndef TRANSLATE_TRANSLATION_H
#define TRANSLATE_TRANSLATION_H

#include <stddef.h>

#include "engines/translate/code_cache.h"
#include "engines/translate/emit.h"

/* Where the status flags are at a point of translated code; neither: nobody wants them any more. */
enum { FLAGS_IN_REG = 1 /* RFLAGS */, FLAGS_IN_MEM = 2 /* cpu->flags */ };

/* Side exits that a block may have before it ends. */
#define TRANSLATION_BRANCHES 6
#define TRANSLATION_CALLS    4 /* behind which it goes on */

struct step {
	struct insn insn;
	/* What insn was decoded from, and is copied from: the page itself may change under us (a
	 * device's store). */
	uint8_t bytes[16];
	uint16_t offset; /* in the page */
	uint32_t call;	 /* number in code->insns + 1, or 0: not needed yet */
	bool interpret;	 /* whole, at its address: it crosses the page, or does not decode */
	bool crosses;	 /* the former: it has a block of its own */
	bool counted;	 /* a call that nothing is known of yet */
	bool inlined;	 /* a call behind which the callee's steps follow, or their ret */
	uint8_t join;	 /* the step that a callee's jcc leads to */
	bool older;	 /* insn is what a processor without its feature makes of the bytes */
	uint16_t live_before, live_after; /* status flags that somebody may still read */
	uint16_t live_target;		  /* of those at the branch's target in this page */
};

/* What is written out of line, behind the block's instructions. place: the open jump that leads
 * there. */
enum stub_kind {
	STUB_WINDOW, /* the window is not the slot's */
	STUB_FIXED,  /* the window is elsewhere */
	STUB_RECENT, /* the page is not the one of last time: look into the TLB */
	STUB_READ,   /* the TLB look-up missed */
	STUB_WRITE,
	STUB_REST,   /* pushes or pops behind the first of a run, one by one; place is not used */
	STUB_CALL,   /* the interpreter's handler, and on behind the instruction */
	STUB_END,    /* the interpreter's handler, and out of the block */
	STUB_BRANCH, /* to target, with the flags where state says */
	STUB_INTERPRET,	   /* the current step is not in cpu->cross */
	STUB_KICK,	   /* cpu->kick was set before a jump to target */
	STUB_CALL_MISS,	   /* the jump cache lacks what is called */
	STUB_SITE,	   /* a call has been made often */
	STUB_CALLEE,	   /* the callee may be mapped otherwise than it was */
	STUB_OTHER_CALLEE, /* it is another one */
	STUB_LINK,	   /* place is to be linked to the block at target; state: LINK_* */
};
/* Which entry a jump leads to. */
enum link_entry { LINK_MEM, LINK_REG, LINK_KICK };

struct stub {
	uint8_t *place;
	int64_t target; /* relative to the page; STUB_FIXED: where to go on in the block's code */
	uint8_t kind, step, state;
	uint8_t size; /* of the access; 0: to be interpreted */
	uint16_t live;
	uint8_t *back; /* where it goes on after a hit */
	uint16_t slot;
	bool write, again;
	bool shared;	 /* STUB_WINDOW: others rely on it */
	uint8_t checked; /* STUB_FIXED: the host register */
	bool keep_flags; /* STUB_WINDOW: RFLAGS has them; guest rcx is in T0 */
	uint8_t maker; /* STUB_CALLEE, STUB_OTHER_CALLEE: makes the flags again; a step + 1, or 0 */
};

#define TRANSLATION_STUBS (CODE_BLOCK_INSNS * 8)

#define NEAR_SLOTS 8u

/* A page that a block's instructions are from. */
struct code_page {
	const uint8_t *bytes;
	uint64_t physical;
	uint64_t linear; /* only if the block is placed it is for no other */
};

/* Instructions of a callee at the most; its ways forward that skip some. */
#define CALLEE_INSNS 16u
#define CALLEE_JUMPS 4u

/* What is known of a register that operands are based on: the slot whose window it was in when it
 * was checked, or the number of fixed_window.h, and by how much at most it has been moved since;
 * another one that has been made the same, by mov, or itself; where its window is likely to be. */
struct window_known {
	bool valid, fixed, likely;
	uint8_t same;
	uint16_t slot;
	uint32_t moved;
	uint64_t likely_delta;
};

/* What the entries do about status flags (translate.c). */
enum entries {
	ENTRIES_ONE, /* nobody wants them, and all that lead here know it: both are one */
	ENTRIES_TWO, /* nobody does, now; who leads here has not looked far enough to know, and does
			not depend on the bytes that say it */
	ENTRIES_LOAD, /* the mem entry loads them */
	ENTRIES_SAVE, /* the reg entry, in front of it, saves them */
	ENTRIES_CROSSING
};
#define SAVE_ENTRY_BYTES 24

struct translation {
	struct machine_code *code;
	struct cpu *cpu;
	struct block *block;
	struct code_page page; /* of the current step */
	struct code_page home; /* of the block */
	/* The function whose steps, `first` and those behind it, are among the block's (count: 0 if
	 * there is none). */
	struct callee_steps {
		struct code_page page;
		unsigned first, count, number;
		struct callee_jump {
			uint8_t *place;
			unsigned step; /* that it leads to */
			struct window_known known[16];
		} jumps[CALLEE_JUMPS];
		unsigned jump_count;
	} callee;
	uint32_t mode;
	unsigned view;
	struct emit emit;   /* in the write view */
	uint8_t *start;	    /* likewise: the mem entry */
	uint8_t *reg_entry; /* likewise */
	enum entries entries;
	uint8_t *loop_head; /* or NULL */
	struct round {
		unsigned step; /* that a jump leads back to */
		uint8_t *at;   /* where, if `known` is known on its way; or NULL */
		struct window_known known[16];
	} rounds[2];	      /* the first from the loop's head, the other from a later step */
	bool goes_round;      /* by one of them */
	unsigned state;	      /* FLAGS_IN_* at emit.at */
	unsigned current;     /* step */
	bool looked_up;	      /* the current step has had a TLB look-up */
	bool placed;	      /* mode_is_placed() */
	bool windows;	      /* memory operands go through windows */
	bool stack;	      /* so does the stack, without checks (translate_stack.c) */
	bool returns;	      /* mode_has_returns() */
	unsigned stack_moved; /* rsp, since it was last known to be in its window */
	bool crossing;	      /* the block is one instruction that crosses the page */
	bool ended;	      /* the last step has left the block by itself */
	unsigned count, branches, calls, stub_count;
	unsigned next; /* offset in the page behind the last step */
	unsigned scan_low, scan_high;
	struct near_slot {
		int32_t page; /* of the target, from the block's on */
		uint16_t slot;
	} near_slots[2][NEAR_SLOTS]; /* the recent_entry of PAGE_NEAR, by access */
	unsigned near_count[2];
	struct window_known known[16];
	bool other_stack; /* rsp has been loaded: */
	uint16_t other_slots[2];
	struct note notes[CODE_BLOCK_INSNS + 1];
	struct step steps[CODE_BLOCK_INSNS];
	struct stub stubs[TRANSLATION_STUBS];
};

static inline struct step *translation_step(struct translation *translation)
{
	return &translation->steps[translation->current];
}

/* Where a jump leads, relative to the page. */
static inline int64_t step_target(const struct step *step)
{
	return step->insn.immediate + step->offset + step->insn.length;
}

static inline bool is_callees(const struct translation *t, unsigned step)
{
	return step - t->callee.first < t->callee.count;
}

/* The block or its second, and the step's number there. */
static inline uint32_t translation_info(const struct translation *t, unsigned step)
{
	uint32_t block = (uint32_t)(t->block - t->code->blocks);

	if (is_callees(t, step))
		return (block - 1) << 8 | (step - t->callee.first);
	return block << 8 | (step >= t->callee.first ? step - t->callee.count : step);
}

static inline uint8_t *translation_trampoline(const struct translation *translation,
					      enum trampoline trampoline)
{
	return translation->code->memory.write + trampoline * TRAMPOLINE_BYTES;
}

/* Guest registers whose host registers are taken: those that compilers use least. */
#define SPILLED (1u << R9 | 1u << R10 | 1u << R11)

static inline bool is_spilled(unsigned number)
{
	return number >= R9 && number <= R11;
}

static inline uint32_t gpr_offset(unsigned number)
{
	return (uint32_t)(offsetof(struct cpu, gpr) + number * 8);
}

/* The host register that a guest register lives in, if it is not spilled. */
static inline unsigned host_register(unsigned number)
{
	return number == RSP ? HOST_RSP : number;
}

/* Makes the block for physical, in cpu's mode, out of the page's bytes. The lock is held, and there
 * is room. */
struct block *translate_block(struct cpu *cpu, uint64_t physical, const uint8_t *page);

/* The same for the instruction at physical, of which up to 15 bytes are given: the rest of it is in
 * the page that `second` is in. NULL if it does not cross. */
struct block *translate_crossing(struct cpu *cpu, uint64_t physical, uint64_t second,
				 const uint8_t *page, const uint8_t bytes[16]);

/* Can the function at physical, in that page, be inlined? The lock is held; spoils the translation
 * that is being made. */
bool translate_callee_fits(struct cpu *cpu, uint64_t physical, const uint8_t *page);

/* translate.c */
/* Makes the step the current one. */
void translation_turn(struct translation *t, unsigned step);
/* Decodes the step's bytes, of which there are that many, up to 15. */
enum decode_result translation_decode(const struct translation *t, struct step *step,
				      unsigned room);
/* Before a call-out whose words do not tell the block. */
void translation_page(struct translation *t);
/* The handler of a fault at the current step finds the flags in RFLAGS, if they are there now. */
void translation_note_flags(struct translation *t);
struct stub *translation_stub(struct translation *t, enum stub_kind kind, uint8_t *place);
/* Has the interpreter's handler do the current step if the condition holds. */
void emit_slow_call(struct translation *t, unsigned condition);
/* Tells call-outs that the step, at offset in the page, begins here. */
void translation_note(struct translation *t, unsigned step, unsigned offset);
/* Calls the interpreter's handler for the current step; end: it may go anywhere, so the block ends.
 */
void translate_callout(struct translation *t, bool end);

/* translate_memory.c */

/* Flags: before something clobbers RFLAGS; before something reads or keeps part of them; live:
 * those that are still wanted. */
void flags_clobber(struct translation *t, unsigned live);
void flags_need(struct translation *t);
/* Does something from the current step on need them in RFLAGS, before there are others? */
bool flags_are_awaited(const struct translation *t);
/* Does something in the block need RFLAGS for itself, before anything needs the flags there? */
bool flags_are_clobbered_first(const struct translation *t);

/* A guest register's value in a host register: its own, or `scratch`, which it is loaded to. */
unsigned register_get(struct translation *t, unsigned number, unsigned scratch);
/* Stores host register from, 64 bits, as guest register number. */
void register_put(struct translation *t, unsigned number, unsigned from);
/* Likewise its lower 16 bits; the others stay. */
void register_put_word(struct translation *t, unsigned number, unsigned from);

/*
 * T0 = the operand's address, with segment base (linear) or without. Uses T1. With linear, flags
 * must have been clobbered. False, with nothing written, if it cannot be written out.
 */
bool emit_operand_address(struct translation *t, const struct insn *insn, bool linear);

/* What is known of the page that a look-up goes to. Those that go to the same one each time look
 * into a recent_entry first. */
enum lookup_page {
	PAGE_ANY,
	PAGE_STACK,
	PAGE_FIXED, /* the address is a constant */
	PAGE_NEAR   /* likewise, and close to the block */
};
enum lookup_page operand_page(const struct insn *insn);

/* Linear address in T0 to host address in T0; a miss goes to C and does the whole instruction there
 * or again. Uses T1; clobbers flags. */
void emit_lookup(struct translation *t, unsigned size, bool write, enum lookup_page page);
void emit_recent_stub(struct translation *t, const struct stub *stub);

/* translate_window.c */

/*
 * For the current step's memory operand, of size bytes, which is not its second look-up: makes
 * *address its host address, through a window. Uses T0, and T1: with t1 beyond the instruction.
 * Leaves flags where they are, or clobbers them. False, with nothing written but that, if it cannot
 * be.
 */
bool emit_window(struct translation *t, const struct insn *insn, unsigned size, bool t1,
		 struct insn_address *address);
void emit_window_stub(struct translation *t, const struct stub *stub);
void emit_fixed_stub(struct translation *t, const struct stub *stub);
/* Before the first instruction of a block. */
void windows_begin(struct translation *t);

/* Has an operand before it checked for this one as well? */
bool window_is_known(const struct translation *t, const struct insn *insn);
/* Then: makes *address its host address. Uses T0 alone, and leaves flags alone. */
void emit_window_known(struct translation *t, const struct insn *insn,
		       struct insn_address *address);
/* At the head of a loop, of the steps before `end`: checks the windows of registers that are only
 * moved in it. False: there are none, and nothing is written. */
bool windows_begin_loop(struct translation *t, unsigned end);
/* Where ways come back on which windows_hold: they may have moved registers by some more than those
 * that come here first. known: what is known here, from now on too. */
void windows_begin_round(struct translation *t, struct window_known known[16]);
/* Is all of that known here as well? */
bool windows_hold(const struct translation *t, const struct window_known known[16]);
/* Behind the steps from `first` to the current one: forgets the registers that they write. */
void windows_forget(struct translation *t, unsigned first);
/* Where another way comes in, on which `known` is known: knows what both do. */
void windows_meet(struct translation *t, const struct window_known known[16]);

/* May the step's memory operand, which it copies, go through a window? */
bool uses_window(const struct translation *t, const struct step *step);

/* translate_stack.c: only with t->stack */

/* to = cpu->stack_delta, for an access at rsp that follows: no more than 32 KiB away. */
void emit_stack_delta(struct translation *t, unsigned to);
/* Loads and stores 8 bytes there. T0 is used; by the store of T0, T1 instead. */
void emit_stack_load(struct translation *t, unsigned to, int32_t displacement);
void emit_stack_store(struct translation *t, unsigned from, int32_t displacement);
void emit_stack_leave(struct translation *t);
bool is_stack_operand(const struct translation *t, const struct insn *insn);
/* Around each step, and before the block goes on to another behind its last step: keeps rsp in its
 * window. */
void stack_before_step(struct translation *t);
void stack_after_step(struct translation *t);
void stack_at_end(struct translation *t);

/* The current step's instruction, copied. False, with nothing written, if it cannot be. */
bool translate_copy(struct translation *t);

/* translate_branch.c */
bool translate_branch(struct translation *t);
bool translate_ac(struct translation *t, bool set);
/* In front of the mem entry: a jump back leads there, with the flags in cpu->flags or nobody's. */
void emit_kick_entry(struct translation *t);
/* Out of the block, to target (relative to the page), where the flags `live` are wanted. */
void emit_goto(struct translation *t, int64_t target, unsigned live);
/* Out of the block, to the linear address in T0; flags are clobbered already. ANYWHERE tests kick;
 * CALL calls it, to come back. */
enum jump_kind { JUMP_FORWARD, JUMP_ANYWHERE, JUMP_CALL };
void emit_jump_cache(struct translation *t, enum jump_kind kind);
/* Leaves for target by way of C if cpu->kick is set. */
void emit_kick_test(struct translation *t, int64_t target);
/* to = linear address of target, which is relative to the page. */
void emit_linear(struct translation *t, unsigned to, int64_t target);
/* The stubs; may add more stubs. */
void emit_branch_stub(struct translation *t, const struct stub *stub);
/* To the current step's own block, for it crosses the page; flags are clobbered already. */
void emit_crossing(struct translation *t);
/* Flags wanted at target by what is there (relative to the page). */
unsigned scan_flags(struct translation *t, int64_t target);
/* Does everybody find by scan_flags that nobody wants any at the block's beginning? */
bool scans_find_no_flags(const struct translation *t);

/* translate_loop.c */

/* At a block's first instruction, before anything of it: where its jumps back to it lead. */
void loop_begin(struct translation *t);
/* Before each step, and behind the last: stubs do not go round. */
void loop_before_step(struct translation *t);
void loop_end(struct translation *t);
/* Is target, relative to the page, the beginning of a block that loops? Then: where a jump there
 * leads, with what is known of windows now. */
bool loop_leads_to(const struct translation *t, int64_t target);
const uint8_t *loop_way(struct translation *t);
/* To target, in the middle of the block; flags are clobbered already. False, with nothing written,
 * if there is no way. */
bool emit_way_round(struct translation *t, int64_t target);

/* translate_return.c */

/* The guest's push of the address behind the current step, a call. Then the call itself has to
 * follow, and, with t->stack, emit_return_point: there the block goes on. */
void emit_push_return(struct translation *t, const struct step *step);
void emit_return_point(struct translation *t, const struct step *step);
void translate_ret(struct translation *t, const struct step *step);

/* translate_callee.c */

/* Behind a call, when the block is decoded: the callee's steps, if it is to be inlined. */
void callee_append(struct translation *t);
/* Makes room for the second block. */
void callee_begin_block(struct translation *t);
void callee_end_block(struct translation *t);
/* The flags that are wanted where the callee's step leads to. */
unsigned callee_target_flags(const struct translation *t, const struct step *step);
/* Before a step: jumps to it end here. */
void callee_join(struct translation *t);
/* A call with the callee's steps behind it; of those, jcc and ret. */
void translate_callee_call(struct translation *t, const struct step *step);
void translate_callee_jcc(struct translation *t, const struct step *step);
void translate_callee_ret(struct translation *t);
/* Counts a call of which nothing is known; T0 may be its target already. Clobbers flags. */
void emit_call_count(struct translation *t, const struct step *step);
/* The stubs; may add more stubs. */
void emit_site_stub(struct translation *t, const struct stub *stub);
void emit_callee_stub(struct translation *t, const struct stub *stub);
void emit_other_callee_stub(struct translation *t, const struct stub *stub);

/* translate_system.c */
bool translate_system(struct translation *t);
/* Not the end of the block, as the tables have it, but where an event is pending. */
bool translate_sti(struct translation *t);

/* translate_inline.c */
bool translate_inline(struct translation *t);
void emit_stack_rest(struct translation *t, const struct stub *stub);

#endif
