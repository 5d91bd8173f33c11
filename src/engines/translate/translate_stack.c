/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack in blocks with windows (MODE_WINDOW; window.h): no look-up, no compare, and no flags
 * touched.
 *
 *	mov  T0, gs:[stack_delta]
 *	op   [rsp + T0 + displacement]
 *
 * That is safe because rsp is never far from the window that stack_delta belongs to, and on both
 * sides of the window there is nothing:
 *
 * - When a block begins, rsp is in the window: C sees to that (callout.c), and so does each block
 *   before it leads to another.
 * - Push, pop, call and ret, and operands at no more than REACH from rsp, are touches: what has not
 *   faulted was in the window, and so rsp is no farther from it than REACH (RET after `ret n`).
 * - What moves rsp by a constant may go on without a compare if a touch follows before the way out
 *   of the block, and all of them together by no more than DRIFT. Anything else is compared.
 */
#include "engines/translate/translation.h"

#include "engines/translate/window.h"
#include "x86/handlers.h"

#define REACH 0x8000
#define DRIFT 0x8000
#define RET   0x10008
_Static_assert(RET + REACH + 2 * DRIFT + 64 < WINDOW_GUARD, "never beyond the guards");

void emit_stack_delta(struct translation *t, unsigned to)
{
	emit_cpu(&t->emit, EMIT_LOAD, 8, to, offsetof(struct cpu, stack_delta));
	translation_note_flags(t);
	t->stack_moved = 0;
}

void emit_stack_load(struct translation *t, unsigned to, int32_t displacement)
{
	emit_stack_delta(t, T0);
	emit_memory(&t->emit, EMIT_LOAD, 8, to, HOST_RSP, T0, 1, displacement);
}

void emit_stack_store(struct translation *t, unsigned from, int32_t displacement)
{
	unsigned delta = from == T0 ? T1 : T0;

	emit_stack_delta(t, delta);
	emit_memory(&t->emit, EMIT_STORE, 8, from, HOST_RSP, delta, 1, displacement);
}

bool is_stack_operand(const struct translation *t, const struct insn *insn)
{
	return t->stack && insn->memory && insn->base == RSP && insn->index == INSN_NO_REGISTER &&
	       insn->address_size == 8 && insn->segment != SEGMENT_FS &&
	       insn->segment != SEGMENT_GS && insn->displacement >= -REACH &&
	       insn->displacement <= REACH && !(insn->op->attributes & (OP_X87 | OP_MMX));
}

/* Flags = where rsp, or another register with its displacement, is in the window. */
static void emit_compare(struct translation *t, unsigned base, unsigned size)
{
	emit_cpu(&t->emit, EMIT_LOAD, 8, T1, offsetof(struct cpu, stack_minus_tag));
	emit_memory(&t->emit, EMIT_LEA, 8, T1, base, T1, 1, 0);
	emit_group(&t->emit, GROUP_CMP, 8, T1, (int32_t)WINDOW_LIMIT(size));
}

/* On to `offset` by way of C if rsp is not in the window. live: the flags that are wanted there. */
static void emit_check(struct translation *t, unsigned offset, unsigned live)
{
	struct stub *stub;

	flags_clobber(t, live);
	emit_compare(t, HOST_RSP, 1);
	stub = translation_stub(t, STUB_KICK, emit_jcc_open(&t->emit, CONDITION_A, false));
	stub->target = offset;
	t->stack_moved = 0;
}

/* By how much at most the instruction moves rsp (and one more), 0 if nobody knows. */
static unsigned moves_by(const struct insn *insn)
{
	int64_t by;

	if (insn->op->handler == HANDLER_LEA && insn->base == RSP &&
	    insn->index == INSN_NO_REGISTER && insn->address_size == 8)
		by = insn->displacement;
	else if (!insn->map && (insn->opcode == 0x81 || insn->opcode == 0x83) && !insn->memory &&
		 (insn->reg == 0 || insn->reg == 5 || (insn->reg == 4 && insn->immediate < 0)))
		by = insn->immediate; /* add, sub; and, which makes it less by no more */
	else
		return 0;
	if (insn->operand_size != 8 || by < -DRIFT || by > DRIFT)
		return 0;
	return (unsigned)(by < 0 ? -by : by) + 1;
}

/* Does the instruction touch the stack as translated? */
static bool touches(const struct translation *t, const struct step *step)
{
	const struct insn *insn = &step->insn;

	switch (insn->op->handler) {
	case HANDLER_PUSH:
	case HANDLER_POP:
		return insn->operand_size == 8 && !insn->memory;
	case HANDLER_CALL_NEAR:
	case HANDLER_RET_NEAR:
		return insn->operand_size != 2;
	default:
		return insn->op->class == CLASS_COPY && is_stack_operand(t, insn);
	}
}

/* Before the way out of the block, and not by way of C. */
static bool touch_follows(const struct translation *t)
{
	for (unsigned i = t->current + 1; i < t->count; i++) {
		const struct step *step = &t->steps[i];

		if (step->interpret || step->insn.op->class == CLASS_END || touches(t, step))
			return true;
		if (step->insn.op->class == CLASS_BRANCH)
			return false;
	}
	return false;
}

void stack_before_step(struct translation *t)
{
	const struct step *step = translation_step(t);

	if (t->stack_moved &&
	    (step->crosses ||
	     (!step->interpret && step->insn.op->class == CLASS_BRANCH && !touches(t, step))))
		emit_check(t, step->offset, step->live_before);
}

void stack_after_step(struct translation *t)
{
	const struct step *step = translation_step(t);
	unsigned moved;

	if (step->interpret || step->insn.op->class == CLASS_END ||
	    !(insn_registers(&step->insn).written & 1u << RSP))
		return;
	moved = moves_by(&step->insn);
	t->stack_moved += moved;
	if (!moved || t->stack_moved > DRIFT || !touch_follows(t))
		emit_check(t, (unsigned)step->offset + step->insn.length, step->live_after);
}

void stack_at_end(struct translation *t)
{
	if (t->stack_moved)
		emit_check(t, t->next, translation_step(t)->live_after);
}

void emit_stack_leave(struct translation *t)
{
	flags_clobber(t, translation_step(t)->live_before);
	emit_compare(t, RBP, 16); /* rsp is behind the slot, and in the window as well */
	translation_stub(t, STUB_CALL, emit_jcc_open(&t->emit, CONDITION_A, false));
	emit_stack_delta(t, T0);
	emit_memory(&t->emit, EMIT_LOAD, 8, T0, RBP, T0, 1, 0);
	emit_add(&t->emit, HOST_RSP, RBP, 8);
	emit_move(&t->emit, RBP, T0);
}
