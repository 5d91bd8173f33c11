/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory operands through windows (window.h), in three forms; a slot's members are those of its
 *first place. A hit may still fault, where the page is not mapped. [base + displacement]:
 *
 *	mov  T1, gs:[slot.minus_tag]
 *	lea  T1, [T1 + base + displacement]
 *	cmp  T1, 2 GiB - size
 *	ja   miss				; STUB_WINDOW: the slot's second place, then C
 *	mov  T1, gs:[slot.delta]
 *	op   [base + T1 + displacement]
 *
 * What reads, the address not waiting for the slot:
 *
 *	lea  T0, [operand]
 *	mov  T1, gs:[slot.minus_tag]
 *	add  T1, T0
 *	cmp  T1, 2 GiB - size
 *	ja   miss
 *	mov  T1, gs:[slot.delta]
 *	op   [T0 + T1]
 *
 * What only writes, or where T1 is taken, with one instruction less:
 *
 *	lea  T0, [operand]
 *	add  T0, gs:[slot.minus_tag]
 *	cmp  T0, 2 GiB - size
 *	ja   miss
 *	add  T0, gs:[slot.host]
 *	op   [T0]
 *
 * An operand of the first form may check for others of its block: those that go to the same
 * register, not written in between, at other displacements. Its check is for all of their range,
 *and theirs is
 *
 *	mov  T0, gs:[slot.delta]		; of the first place
 *	op   [base + T0 + displacement]
 *
 * which leaves flags alone. They are reached only from it. Behind its check the slot's first place
 * has the window (a hit of the second exchanges the two), and until the last of them it stays so or
 * is emptied: no other operand of the block has the slot. Where the check fails and C can't help,
 *it empties the slot and does the instruction. An empty slot's delta leads any canonical address,
 *and all that match the slot itself, to none: #GP, and the interpreter does the instruction.
 */
#include "engines/translate/translation.h"

#include "engines/translate/window.h"
#include "lib/check.h"
#include "x86/handlers.h"

enum form { FORM_BASE, FORM_INDEX, FORM_SUM };

/* Slots are given out in turn, so that neighbours do not share them. */
static unsigned next_slot(struct translation *t)
{
	t->code->window_next = (t->code->window_next + 1) % WINDOW_SLOTS;
	return t->code->window_next;
}

static uint32_t slot_offset(const struct translation *t, unsigned slot, unsigned place,
			    size_t member)
{
	return (uint32_t)(offsetof(struct cpu, window_slot) +
			  (t->view * WINDOW_SLOTS + slot) * sizeof(struct window_slot) +
			  place * sizeof(struct window_place) + member);
}

#define SLOT(t, slot, place, member)                                                               \
	slot_offset(t, slot, place, offsetof(struct window_place, member))

static bool is_based(const struct insn *insn)
{
	return insn->base <= R15 && insn->index == INSN_NO_REGISTER && insn->address_size == 8 &&
	       insn->segment != SEGMENT_FS && insn->segment != SEGMENT_GS;
}

/* What an operand checks: the bytes from low, which is relative to its base, to low + span. */
struct range {
	int32_t low;
	unsigned span;
};

/* Where FORM_BASE has the base. */
static unsigned base_register(const struct insn *insn)
{
	return is_spilled(insn->base) ? T0 : host_register(insn->base);
}

/* T1 (or, for FORM_SUM, T0) = offset in the window of a place; flags tell whether it is in there.
 */
static void emit_check(struct translation *t, const struct insn *insn, enum form form,
		       unsigned slot, unsigned place, struct range range)
{
	uint32_t minus_tag = SLOT(t, slot, place, minus_tag);
	struct emit *emit = &t->emit;

	if (form == FORM_SUM) {
		emit_cpu(emit, EMIT_ADD, 8, T0, minus_tag);
	} else {
		emit_cpu(emit, EMIT_LOAD, 8, T1, minus_tag);
		if (form == FORM_BASE)
			emit_memory(emit, EMIT_LEA, 8, T1, base_register(insn), T1, 1, range.low);
		else
			emit_add_registers(emit, T1, T0);
	}
	emit_group(emit, GROUP_CMP, 8, form == FORM_SUM ? T0 : T1,
		   (int32_t)WINDOW_LIMIT(range.span));
}

static void emit_hit(struct translation *t, enum form form, unsigned slot, unsigned place)
{
	if (form == FORM_SUM)
		emit_cpu(&t->emit, EMIT_ADD, 8, T0, SLOT(t, slot, place, host));
	else
		emit_cpu(&t->emit, EMIT_LOAD, 8, T1, SLOT(t, slot, place, delta));
}

/* T0 = the linear address again, of the range's beginning. */
static void emit_restore(struct translation *t, const struct insn *insn, enum form form,
			 unsigned slot, unsigned place, int32_t low)
{
	if (form == FORM_SUM)
		emit_cpu(&t->emit, EMIT_SUB, 8, T0, SLOT(t, slot, place, minus_tag));
	else if (form == FORM_BASE)
		emit_based(&t->emit, EMIT_LEA, 8, T0, base_register(insn), low);
}

/* Checks for several operands */

/* Registers that no copied instruction writes without naming them, and that have no other home. */
#define SHARED_BASES                                                                               \
	(1u << RBX | 1u << RBP | 1u << RSI | 1u << RDI | 1u << R8 | 1u << R12 | 1u << R13 |        \
	 1u << R14 | 1u << R15)
#define SHARED_SPAN 4096 /* the longest range */

static bool shares(const struct step *step)
{
	const struct insn *insn = &step->insn;

	return !step->interpret && insn->op->class == CLASS_COPY && insn->memory &&
	       is_based(insn) && (SHARED_BASES >> insn->base & 1);
}

/* Those of SHARED_BASES that may be others behind the step. */
static unsigned bases_written(const struct step *step)
{
	const struct insn *insn = &step->insn;

	if (step->interpret)
		return SHARED_BASES;
	if (insn->op->class == CLASS_COPY)
		return insn_registers_written(insn);
	if (insn->op->class == CLASS_BRANCH && insn->op->handler == HANDLER_JCC)
		return 0;
	if (insn->op->class == CLASS_INLINE && insn->op->handler == HANDLER_LEA)
		return 1u << insn->reg;
	return SHARED_BASES;
}

void windows_forget(struct translation *t, unsigned first)
{
	for (unsigned i = first; i <= t->current; i++)
		for (unsigned bases = bases_written(&t->steps[i]); bases; bases &= bases - 1)
			t->known[__builtin_ctz(bases)].low = t->known[__builtin_ctz(bases)].high =
				0;
}

/* The current step checks for what the steps behind it do with its base as well. */
static bool range_extend(const struct translation *t, const struct step *step, struct range *range)
{
	int64_t low = range->low, high = low + range->span;
	unsigned base = step->insn.base;
	bool extended = false;

	if (!shares(step))
		return false;
	while (!(bases_written(step) >> base & 1) && ++step < t->steps + t->count) {
		unsigned size = shares(step) ? insn_memory_size(&step->insn) : 0;
		int64_t first = step->insn.displacement, last = first + size;

		if (!size || size > 64 || step->insn.base != base || !uses_window(t, step))
			continue;
		first = first < low ? first : low;
		last = last > high ? last : high;
		if (last - first > SHARED_SPAN)
			continue;
		low = first;
		high = last;
		extended = true;
	}
	*range = (struct range){(int32_t)low, (unsigned)(high - low)};
	return extended;
}

bool window_is_known(const struct translation *t, const struct insn *insn, unsigned size)
{
	const struct step *step = &t->steps[t->current];
	const struct window_known *known;

	if (!shares(step) || !uses_window(t, step))
		return false;
	known = &t->known[insn->base];
	return insn->displacement >= known->low && insn->displacement + size <= known->high;
}

void emit_window_known(struct translation *t, const struct insn *insn, struct insn_address *address)
{
	emit_cpu(&t->emit, EMIT_LOAD, 8, T0, SLOT(t, t->known[insn->base].slot, 0, delta));
	*address = (struct insn_address){.base = (uint8_t)host_register(insn->base),
					 .index = T0,
					 .displacement = (int32_t)insn->displacement};
}

bool emit_window(struct translation *t, const struct insn *insn, unsigned size, bool t1,
		 struct insn_address *address)
{
	struct range range = {(int32_t)insn->displacement, size};
	unsigned slot = next_slot(t);
	enum form form = FORM_SUM;
	bool shared = false;
	struct stub *stub;

	CHECK(!(t->state & FLAGS_IN_REG) && !t->looked_up && size >= 1 && size <= 64);
	*address = (struct insn_address){.base = T0, .index = INSN_NO_REGISTER};
	if (t1 && is_based(insn)) {
		form = FORM_BASE;
		register_get(t, insn->base, T0);
		*address = (struct insn_address){.base = (uint8_t)base_register(insn),
						 .index = T1,
						 .displacement = (int32_t)insn->displacement};
		shared = range_extend(t, translation_step(t), &range);
	} else if (!emit_operand_address(t, insn, true)) {
		return false;
	} else if (t1 && insn_memory_access(insn) != ACCESS_WRITE) {
		form = FORM_INDEX;
		address->index = T1;
	}
	if (shared)
		t->known[insn->base] = (struct window_known){
			range.low, (int64_t)range.low + range.span, (uint16_t)slot};
	emit_check(t, insn, form, slot, 0, range);
	stub = translation_stub(t, STUB_WINDOW, emit_jcc_open(&t->emit, CONDITION_A, false));
	stub->low = range.low;
	stub->span = (uint16_t)range.span;
	stub->slot = (uint16_t)slot;
	stub->state = form;
	stub->shared = shared;
	t->looked_up = true;
	emit_hit(t, form, slot, 0);
	stub->back = t->emit.at;
	return true;
}

/* The slot's places change places. */
static void emit_exchange(struct translation *t, unsigned slot)
{
	const uint32_t members[] = {SLOT(t, slot, 0, minus_tag), SLOT(t, slot, 0, delta),
				    SLOT(t, slot, 0, host)};

	for (unsigned i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		uint32_t other = members[i] + (uint32_t)sizeof(struct window_place);

		emit_cpu(&t->emit, EMIT_LOAD, 8, T0, members[i]);
		emit_cpu(&t->emit, EMIT_LOAD, 8, T1, other);
		emit_cpu(&t->emit, EMIT_STORE, 8, T0, other);
		emit_cpu(&t->emit, EMIT_STORE, 8, T1, members[i]);
	}
}

/* The slot's second place; then C, with T0 the linear address. */
void emit_window_stub(struct translation *t, const struct stub *stub)
{
	const struct insn *insn = &t->steps[stub->step].insn;
	struct range range = {stub->low, stub->span};
	enum form form = stub->state;
	struct emit *emit = &t->emit;
	uint8_t *miss;

	if (form == FORM_SUM)
		emit_restore(t, insn, form, stub->slot, 0, range.low);
	emit_check(t, insn, form, stub->slot, 1, range);
	miss = emit_jcc_open(emit, CONDITION_A, false);
	if (stub->shared)
		emit_exchange(t, stub->slot);
	emit_hit(t, form, stub->slot, !stub->shared);
	emit_jump(emit, stub->back);
	emit_close(miss, emit->at);
	emit_restore(t, insn, form, stub->slot, 1, range.low);
	emit_call(emit, translation_trampoline(t, TRAMPOLINE_WINDOW));
	emit_u32(emit, translation_info(t, stub->step));
	emit_u32(emit, SLOT(t, stub->slot, 0, minus_tag));
	emit_u32(emit, range.span);
}
