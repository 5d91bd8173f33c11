/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loops within a block: its jumps back to its own beginning, and of its last jump to its middle.
 *
 * Where no flags are wanted at the beginning, the test of kick is there, and the jumps need nothing
 * but themselves: that is the kick entry, or else out of the way of the entries. As the way round
 * does not pass those then, dropping such a block kicks all vcpus (code_cache.c). Where the head
 * lies makes a difference to short loops (docs/translate.md, "Measured").
 *
 * Rounds. With windows whose places are constants (fixed_window.h), the registers that operands are
 * based on, and that the loop does no more to than moving them a little, are checked once:
 *
 *	entries:  test kick
 *		  rorx T1, base, 31
 *		  cmp  T1d, gs:[fixed_number]	; for each of those registers
 *		  jne  miss			; C, which comes back to the entry
 *	round:	  test kick
 *		  ...				; their operands, unchecked
 *		  jcc  round
 *
 * A round may begin where each of them is known to be in its window or close to it: whatever has
 * been accessed without a fault was in the window, so each round proves that to the next
 * (translate_window.c). A jump for which that is not known (the register has moved too far, or is
 * another one) leads to the entry, and so to the checks.
 */
#include "engines/translate/translation.h"

#include "x86/handlers.h"

#define LOOP_OFFSET 32 /* of 64 bytes */

bool loop_leads_to(const struct translation *t, int64_t target)
{
	return t->loop_head && target == t->steps[0].offset;
}

static bool leads_to(const struct translation *t, unsigned step, int64_t target)
{
	const struct insn *insn = &t->steps[step].insn;

	return !t->steps[step].interpret && !is_callees(t, step) && insn->operand_size != 2 &&
	       (insn->op->handler == HANDLER_JCC || insn->op->handler == HANDLER_JMP) &&
	       step_target(&t->steps[step]) == target;
}

/* The last step that leads to the block's beginning, + 1; or 0. */
static unsigned find_loop(const struct translation *t)
{
	for (unsigned i = t->count; i > 0; i--)
		if (leads_to(t, i - 1, t->steps[0].offset))
			return i;
	return 0;
}

/* The step in the middle that the last one, a jmp, leads back to; or 0. */
static unsigned find_round(const struct translation *t)
{
	unsigned last = t->count - 1;

	if (!t->windows || t->steps[last].interpret ||
	    t->steps[last].insn.op->handler != HANDLER_JMP)
		return 0;
	for (unsigned i = 1; i <= last; i++)
		if (!is_callees(t, i) && leads_to(t, last, t->steps[i].offset))
			return t->steps[i].live_before ? 0 : i;
	return 0;
}

static void begin_round(struct translation *t, struct round *round)
{
	round->at = t->emit.at;
	windows_begin_round(t, round->known);
}

/* Beside the entries, which jump over it. */
static void write_head(struct translation *t)
{
	uint8_t *over = t->emit.at;

	emit_u16(&t->emit, 0x00eb); /* jmp */
	while ((uintptr_t)t->emit.at % 64 != LOOP_OFFSET)
		emit_u8(&t->emit, 0xcc);
	t->loop_head = t->emit.at;
	emit_kick_test(t, t->steps[0].offset);
	over[1] = (uint8_t)(t->emit.at - (over + 2));
}

void loop_begin(struct translation *t)
{
	unsigned end = find_loop(t);

	t->loop_head = NULL;
	t->goes_round = false;
	t->rounds[0].at = t->rounds[1].at = NULL;
	t->rounds[1].step = find_round(t);
	if (!end || t->steps[0].live_before)
		return;
	if (!mode_has_kick_entry(t->mode)) {
		write_head(t);
		return;
	}
	t->loop_head = t->start - KICK_ENTRY_BYTES;
	if (windows_begin_loop(t, t->rounds[1].step ? t->count : end)) {
		begin_round(t, &t->rounds[0]);
		emit_kick_test(t, t->steps[0].offset);
	}
}

void loop_before_step(struct translation *t)
{
	if (t->current && t->current == t->rounds[1].step)
		begin_round(t, &t->rounds[1]);
}

void loop_end(struct translation *t)
{
	t->rounds[0].at = t->rounds[1].at = NULL;
}

const uint8_t *loop_way(struct translation *t)
{
	const struct round *round = &t->rounds[0];

	if (!round->at || !windows_hold(t, round->known))
		return t->loop_head;
	t->goes_round = true;
	return round->at;
}

bool emit_way_round(struct translation *t, int64_t target)
{
	const struct round *round = &t->rounds[1];

	if (!round->at || t->steps[round->step].offset != target || !windows_hold(t, round->known))
		return false;
	emit_kick_test(t, target);
	emit_jump(&t->emit, round->at);
	t->goes_round = true;
	return true;
}
