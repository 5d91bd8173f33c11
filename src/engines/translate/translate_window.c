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
 */
#include "engines/translate/translation.h"

#include "engines/translate/window.h"
#include "lib/check.h"

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
	return insn->base < R13 && insn->index == INSN_NO_REGISTER && insn->address_size == 8 &&
	       insn->segment != SEGMENT_FS && insn->segment != SEGMENT_GS;
}

/* T1 (or, for FORM_SUM, T0) = offset in the window of a place; flags tell whether it is in there.
 */
static void emit_check(struct translation *t, const struct insn *insn, enum form form,
		       unsigned slot, unsigned place, unsigned size)
{
	uint32_t minus_tag = SLOT(t, slot, place, minus_tag);
	struct emit *emit = &t->emit;

	if (form == FORM_SUM) {
		emit_cpu(emit, EMIT_ADD, 8, T0, minus_tag);
	} else {
		emit_cpu(emit, EMIT_LOAD, 8, T1, minus_tag);
		if (form == FORM_BASE)
			emit_memory(emit, EMIT_LEA, 8, T1, host_register(insn->base), T1, 1,
				    (int32_t)insn->displacement);
		else
			emit_add_registers(emit, T1, T0);
	}
	emit_group(emit, GROUP_CMP, 8, form == FORM_SUM ? T0 : T1, (int32_t)WINDOW_LIMIT(size));
}

static void emit_hit(struct translation *t, enum form form, unsigned slot, unsigned place)
{
	if (form == FORM_SUM)
		emit_cpu(&t->emit, EMIT_ADD, 8, T0, SLOT(t, slot, place, host));
	else
		emit_cpu(&t->emit, EMIT_LOAD, 8, T1, SLOT(t, slot, place, delta));
}

/* T0 = the linear address again. */
static void emit_restore(struct translation *t, const struct insn *insn, enum form form,
			 unsigned slot, unsigned place)
{
	if (form == FORM_SUM)
		emit_cpu(&t->emit, EMIT_SUB, 8, T0, SLOT(t, slot, place, minus_tag));
	else if (form == FORM_BASE)
		emit_based(&t->emit, EMIT_LEA, 8, T0, host_register(insn->base),
			   (int32_t)insn->displacement);
}

bool emit_window(struct translation *t, const struct insn *insn, unsigned size, bool t1,
		 struct insn_address *address)
{
	unsigned slot = next_slot(t);
	enum form form = FORM_SUM;
	struct stub *stub;

	CHECK(!(t->state & FLAGS_IN_REG) && !t->looked_up && size >= 1 && size <= 64);
	*address = (struct insn_address){.base = T0, .index = INSN_NO_REGISTER};
	if (t1 && is_based(insn)) {
		form = FORM_BASE;
		*address = (struct insn_address){.base = (uint8_t)host_register(insn->base),
						 .index = T1,
						 .displacement = (int32_t)insn->displacement};
	} else if (!emit_operand_address(t, insn, true)) {
		return false;
	} else if (t1 && insn_memory_access(insn) != ACCESS_WRITE) {
		form = FORM_INDEX;
		address->index = T1;
	}
	emit_check(t, insn, form, slot, 0, size);
	stub = translation_stub(t, STUB_WINDOW, emit_jcc_open(&t->emit, CONDITION_A, false));
	stub->size = (uint8_t)size;
	stub->slot = (uint16_t)slot;
	stub->state = form;
	t->looked_up = true;
	emit_hit(t, form, slot, 0);
	stub->back = t->emit.at;
	return true;
}

/* The slot's second place; then C, with T0 the linear address. */
void emit_window_stub(struct translation *t, const struct stub *stub)
{
	const struct insn *insn = &t->steps[stub->step].insn;
	enum form form = stub->state;
	struct emit *emit = &t->emit;
	uint8_t *miss;

	if (form == FORM_SUM)
		emit_restore(t, insn, form, stub->slot, 0);
	emit_check(t, insn, form, stub->slot, 1, stub->size);
	miss = emit_jcc_open(emit, CONDITION_A, false);
	emit_hit(t, form, stub->slot, 1);
	emit_jump(emit, stub->back);
	emit_close(miss, emit->at);
	emit_restore(t, insn, form, stub->slot, 1);
	emit_call(emit, translation_trampoline(t, TRAMPOLINE_WINDOW));
	emit_u32(emit, translation_info(t, stub->step));
	emit_u32(emit, SLOT(t, stub->slot, 0, minus_tag));
	emit_u32(emit, stub->size);
}
