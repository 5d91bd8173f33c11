/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory operands through windows (window.h), in three forms; a slot's members are those of its
 * first place. A hit may still fault, where the page is not mapped.
 *
 * [base + displacement], where the displacement is less than WINDOW_REACH; base is what is checked:
 *
 *	rorx T1, base, 31			; without BMI2: mov, shr
 *	cmp  T1d, gs:[slot.number]
 *	jne  miss				; STUB_WINDOW: the slot's second place, then C
 *	mov  T0, gs:[slot.delta]		; T1, if base is spilled: then T0 has it
 *	op   [base + T0 + displacement]
 *
 * The same where the flags are in RFLAGS, and something in the block needs them there (adc, a jcc
 * behind a mov); nothing here changes them:
 *
 *	rorx  T1, base, 31
 *	mov   T0, rcx
 *	mov   ecx, gs:[slot.minus_number]
 *	lea   ecx, [rcx + T1]
 *	jrcxz hit
 *	jmp   miss
 * hit:	mov   rcx, T0
 *	mov   T0, gs:[slot.delta]
 *	op    [base + T0 + displacement]
 *
 * Else:
 *
 *	lea  T0, [operand]
 *	rorx T1, T0, 31
 *	cmp  T1d, gs:[slot.number]
 *	jne  miss
 *	mov  T1, gs:[slot.delta]
 *	op   [T0 + T1]
 *
 * Where T1 is taken:
 *
 *	...
 *	add  T0, gs:[slot.delta]
 *	op   [T0]
 *
 * Bit 63 is not compared: where it alone is not the window's, neither the address nor the host
 * address is canonical. What lies beyond the window is without access for WINDOW_GUARD.
 *
 * An operand of the first form checks for others of its block as well: those that go to the same
 * register, if that is only moved by constants in between, by no more than WINDOW_REACH. Theirs is
 *
 *	mov  T0, gs:[slot.delta]		; of the first place
 *	op   [base + T0 + displacement]
 *
 * which leaves flags alone. They are reached only from it. Behind its check the slot's first place
 * has the window (a hit of the second exchanges the two), and until the last of them it stays so or
 * is emptied: no other operand of the block has the slot. Where the check fails and C can't help,
 * it empties the slot and does the instruction. An empty slot's delta leads any canonical address,
 * and all that match the slot itself, to none: #GP, and the interpreter does the instruction.
 *
 * Instead of a slot, one of the first form may have a number of fixed_window.h, where it is likely
 * that the window is the one that the register pointed into when the block was made:
 *
 *	rorx T1, base, 31
 *	cmp  T1d, gs:[fixed_number]
 *	jne  miss				; STUB_FIXED: C fills it in, or leaves
 *	mov  T0, delta
 *	op   [base + T0 + displacement]
 *
 * A number is emptied when a window goes; then nothing comes back into the middle of a block, for
 * those that rely on the check do not look (resume, in callout.c).
 *
 * An access is as good as a check: what has not faulted was in the window, so the base is no
 * farther from it than the displacement. So loops need no checks but the first (translate_loop.c).
 */
#include "engines/translate/translation.h"

#include "engines/translate/window.h"
#include "lib/check.h"
#include "x86/handlers.h"

_Static_assert(2 * WINDOW_REACH + 64 < WINDOW_GUARD, "never beyond the guards");

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

/* Is it close to its base? */
static bool is_near(const struct insn *insn)
{
	return insn->displacement >= -WINDOW_REACH && insn->displacement <= WINDOW_REACH;
}

/* Where FORM_BASE has the base, and the delta. */
static unsigned base_register(const struct insn *insn)
{
	return is_spilled(insn->base) ? T0 : host_register(insn->base);
}

static unsigned delta_register(const struct insn *insn)
{
	return is_spilled(insn->base) ? T1 : T0;
}

static uint32_t fixed_offset(unsigned number)
{
	return (uint32_t)(offsetof(struct cpu, fixed_number) + number * sizeof(uint32_t));
}

/* Returns the open jump to where the place is another one. */
static uint8_t *emit_check(struct translation *t, unsigned slot, unsigned place)
{
	emit_cpu(&t->emit, EMIT_CMP, 4, T1, SLOT(t, slot, place, number));
	return emit_jcc_open(&t->emit, CONDITION_NZ, false);
}

/* Likewise, of the first place, with the flags left alone; there guest rcx is in T0. */
static uint8_t *emit_check_keeping_flags(struct translation *t, unsigned slot)
{
	struct emit *emit = &t->emit;
	uint8_t *miss;

	emit_move(emit, T0, RCX);
	emit_cpu(emit, EMIT_LOAD, 4, RCX, SLOT(t, slot, 0, minus_number));
	emit_memory(emit, EMIT_LEA, 4, RCX, RCX, T1, 1, 0);
	emit_u16(emit, 0x05e3); /* jrcxz over the jump */
	miss = emit_jump_open(emit, false);
	emit_move(emit, RCX, T0);
	return miss;
}

/* T1d = bits 31 to 62 of what is checked. */
static void emit_number(struct translation *t, unsigned from)
{
	if (t->code->bmi2) {
		emit_rotate(&t->emit, T1, from, WINDOW_BITS);
		return;
	}
	emit_move(&t->emit, T1, from);
	emit_shift(&t->emit, GROUP_SHR, 8, T1, WINDOW_BITS);
}

static void emit_hit(struct translation *t, const struct insn *insn, enum form form, unsigned slot,
		     unsigned place)
{
	uint32_t delta = SLOT(t, slot, place, delta);

	if (form == FORM_SUM)
		emit_cpu(&t->emit, EMIT_ADD, 8, T0, delta);
	else
		emit_cpu(&t->emit, EMIT_LOAD, 8, form == FORM_BASE ? delta_register(insn) : T1,
			 delta);
}

/* Checks for several operands */

/* Registers that live in the host's own; rsp has translate_stack.c. */
#define SHARED_BASES (0xffffu & ~(SPILLED | 1u << RSP))

static bool shares(const struct step *step)
{
	const struct insn *insn = &step->insn;

	return !step->interpret && insn->op->class == CLASS_COPY && insn->memory &&
	       is_based(insn) && is_near(insn) && (SHARED_BASES >> insn->base & 1);
}

/* Those of SHARED_BASES that may be others behind the step. */
static unsigned bases_written(const struct step *step)
{
	const struct insn *insn = &step->insn;

	if (step->interpret)
		return SHARED_BASES;
	if (step->inlined)
		return 0;
	if (insn->op->class == CLASS_COPY)
		return insn_registers(insn).written;
	switch (insn->op->handler) {
	case HANDLER_JCC:
	case HANDLER_JMP:
	case HANDLER_NOP:
	case HANDLER_PREFETCH:
		return 0;
	case HANDLER_LEA:
		return 1u << insn->reg;
	default:
		return SHARED_BASES;
	}
}

/* By how much the step moves its SHARED_BASE `base`, if it does nothing else to it; else, or if it
 * does not at all, 0. */
static uint64_t moves_by(const struct step *step, unsigned base)
{
	const struct insn *insn = &step->insn;
	int64_t by;

	if (step->interpret || insn->map || insn->vex || insn->operand_size != 8)
		return 0;
	if (insn->op->handler == HANDLER_LEA && insn->reg == base && insn->base == base &&
	    insn->index == INSN_NO_REGISTER && insn->address_size == 8)
		by = insn->displacement;
	else if ((insn->opcode == 0x81 || insn->opcode == 0x83) && !insn->memory &&
		 insn->rm == base && (insn->reg == 0 || insn->reg == 5))
		by = insn->immediate; /* add, sub */
	else
		return 0;
	return (uint64_t)(by < 0 ? -by : by);
}

/* mov to, from: both of SHARED_BASES. */
static bool is_copy(const struct step *step, unsigned *to, unsigned *from)
{
	const struct insn *insn = &step->insn;

	if (step->interpret || insn->map || insn->vex || insn->memory || insn->operand_size != 8 ||
	    (insn->opcode != 0x89 && insn->opcode != 0x8b))
		return false;
	*to = insn->opcode == 0x89 ? insn->rm : insn->reg;
	*from = insn->opcode == 0x89 ? insn->reg : insn->rm;
	return *to != *from && (SHARED_BASES >> *to & SHARED_BASES >> *from & 1);
}

/* It is the same as no other one any more. */
static void part(struct translation *t, unsigned base)
{
	struct window_known *known = &t->known[base];

	t->known[known->same].same = known->same;
	known->same = (uint8_t)base;
}

static void forget(struct translation *t, const struct step *step)
{
	for (unsigned bases = bases_written(step); bases; bases &= bases - 1) {
		unsigned base = (unsigned)__builtin_ctz(bases);
		struct window_known *known = &t->known[base];
		uint64_t by = moves_by(step, base);

		part(t, base);
		known->likely &= by != 0;
		if (by && known->moved + by <= WINDOW_REACH)
			known->moved += (uint32_t)by;
		else
			known->valid = false;
	}
}

void windows_forget(struct translation *t, unsigned first)
{
	for (unsigned i = first; i <= t->current; i++) {
		unsigned to, from;

		forget(t, &t->steps[i]);
		if (!is_copy(&t->steps[i], &to, &from))
			continue;
		part(t, from);
		t->known[to] = t->known[from];
		t->known[to].same = (uint8_t)from;
		t->known[from].same = (uint8_t)to;
	}
}

void windows_meet(struct translation *t, const struct window_known known[16])
{
	for (unsigned i = 0; i < 16; i++) {
		struct window_known *here = &t->known[i];

		here->valid &= known[i].valid && here->fixed == known[i].fixed &&
			       here->slot == known[i].slot;
		here->likely &= known[i].likely && here->likely_delta == known[i].likely_delta;
		if (here->moved < known[i].moved)
			here->moved = known[i].moved;
		if (here->same != known[i].same)
			part(t, i);
	}
}

/* May what the steps behind this one do with its base, or with what is the same, rely on its check?
 */
static bool is_shared(const struct translation *t, const struct step *step)
{
	unsigned base = step->insn.base, bases = 1u << base | 1u << t->known[base].same, to, from;

	if (!shares(step))
		return false;
	for (;;) {
		bool copies = is_copy(step, &to, &from) && (bases >> from & 1);

		for (unsigned written = bases_written(step) & bases; written;
		     written &= written - 1)
			if (!moves_by(step, (unsigned)__builtin_ctz(written)))
				bases &= ~(written & -written);
		if (copies)
			bases |= 1u << to;
		if (!bases || ++step >= t->steps + t->count)
			return false;
		if (shares(step) && (bases >> step->insn.base & 1) && uses_window(t, step))
			return true;
	}
}

bool window_is_known(const struct translation *t, const struct insn *insn)
{
	const struct step *step = &t->steps[t->current];

	return shares(step) && uses_window(t, step) && t->known[insn->base].valid;
}

/* The base is no farther from its window now than by the displacement: beyond is a fault, and C
 * does not come back from that. All of CLASS_COPY do go there (masked moves are not of it). */
static void touch(struct translation *t, const struct insn *insn)
{
	int64_t by = insn->displacement;
	struct window_known *known = &t->known[insn->base];

	known->moved = t->known[known->same].moved = (uint32_t)(by < 0 ? -by : by);
}

void emit_window_known(struct translation *t, const struct insn *insn, struct insn_address *address)
{
	const struct window_known *known = &t->known[insn->base];

	touch(t, insn);
	if (known->fixed)
		emit_constant(&t->emit, T0, t->code->fixed.at[known->slot].delta);
	else
		emit_cpu(&t->emit, EMIT_LOAD, 8, T0, SLOT(t, known->slot, 0, delta));
	*address = (struct insn_address){.base = (uint8_t)host_register(insn->base),
					 .index = T0,
					 .displacement = (int32_t)insn->displacement};
}

/* The check of the slot comes next, and the block goes on only where it holds. */
static void know(struct translation *t, unsigned base, unsigned slot, bool fixed)
{
	const unsigned bases[] = {base, t->known[base].same};

	for (unsigned i = 0; i < 2; i++) {
		struct window_known *known = &t->known[bases[i]];

		known->valid = true;
		known->fixed = fixed;
		known->slot = (uint16_t)slot;
		known->moved = 0;
	}
}

void windows_begin(struct translation *t)
{
	bool fixed = t->windows && t->callee.count &&
		     fixed_window_allowed(t->code, block_physical(t->block));

	for (unsigned i = 0; i < 16; i++) {
		t->known[i] = (struct window_known){.same = (uint8_t)i};
		if (fixed && (SHARED_BASES >> i & 1))
			t->known[i].likely =
				window_delta(t->cpu, t->cpu->gpr[i], &t->known[i].likely_delta);
	}
}

/* The register that an operand is based on is in its window, whose place is a constant: goes on
 * only where that holds; where it does not, and C can help, at the offset of the block's code.
 * False, with nothing written, if it is not likely to be one. */
static bool emit_fixed_check(struct translation *t, unsigned base, bool shared, unsigned back)
{
	const struct window_known *known = &t->known[base];
	struct stub *stub;
	int number;

	if (!known->likely)
		return false;
	number = fixed_window_add(t->code, known->likely_delta);
	if (number < 0)
		return false;
	if (shared)
		know(t, base, (unsigned)number, true);
	emit_number(t, host_register(base));
	emit_cpu(&t->emit, EMIT_CMP, 4, T1, fixed_offset((unsigned)number));
	stub = translation_stub(t, STUB_FIXED, emit_jcc_open(&t->emit, CONDITION_NZ, false));
	stub->slot = (uint16_t)number;
	stub->checked = (uint8_t)host_register(base);
	stub->target = back;
	return true;
}

/* The operand's window as a constant; likewise. */
static bool emit_fixed(struct translation *t, const struct insn *insn, bool shared,
		       struct insn_address *address)
{
	if (!emit_fixed_check(t, insn->base, shared, t->notes[t->current].host))
		return false;
	emit_constant(&t->emit, T0, t->known[insn->base].likely_delta);
	*address = (struct insn_address){.base = (uint8_t)base_register(insn),
					 .index = T0,
					 .displacement = (int32_t)insn->displacement};
	return true;
}

void emit_fixed_stub(struct translation *t, const struct stub *stub)
{
	emit_move(&t->emit, T0, stub->checked);
	emit_call(&t->emit, translation_trampoline(t, TRAMPOLINE_FIXED));
	emit_u32(&t->emit, translation_info(t, stub->step));
	emit_u32(&t->emit, stub->slot);
	emit_u32(&t->emit, (uint32_t)stub->target);
}

/* Loops */

/* Registers that operands of the steps before `end` are based on, by way of copies too, as they are
 * when the block begins, but for being moved. */
static unsigned loop_bases(const struct translation *t, unsigned end)
{
	unsigned bases = 0, changed = 0, to, from;
	uint8_t origin[16];

	for (unsigned i = 0; i < 16; i++)
		origin[i] = (uint8_t)i;
	for (unsigned i = 0; i < end; i++) {
		const struct step *step = &t->steps[i];

		if (shares(step) && uses_window(t, step))
			bases |= 1u << origin[step->insn.base];
		for (unsigned written = bases_written(step); written; written &= written - 1) {
			unsigned base = (unsigned)__builtin_ctz(written);

			if (moves_by(step, base))
				continue;
			origin[base] = RSP;
			changed |= 1u << base;
		}
		if (is_copy(step, &to, &from))
			origin[to] = origin[from];
	}
	return bases & ~changed & SHARED_BASES;
}

bool windows_begin_loop(struct translation *t, unsigned end)
{
	bool any = false;

	for (unsigned bases = loop_bases(t, end); bases; bases &= bases - 1) {
		unsigned base = (unsigned)__builtin_ctz(bases);

		any |= emit_fixed_check(t, base, true, 0);
	}
	return any;
}

#define ROUND_MOVES (WINDOW_REACH / 2u)

void windows_begin_round(struct translation *t, struct window_known known[16])
{
	for (unsigned i = 0; i < 16; i++) {
		if (t->known[i].moved < ROUND_MOVES)
			t->known[i].moved = ROUND_MOVES;
		known[i] = t->known[i];
	}
}

bool windows_hold(const struct translation *t, const struct window_known known[16])
{
	for (unsigned i = 0; i < 16; i++) {
		const struct window_known *here = &t->known[i];

		if (known[i].same != i && here->same != known[i].same)
			return false;
		if (known[i].valid && (!here->valid || here->fixed != known[i].fixed ||
				       here->slot != known[i].slot || here->moved > known[i].moved))
			return false;
	}
	return true;
}

/* Has the operand's check to leave the flags where they are, in RFLAGS, and can it? */
static bool keeps_flags(struct translation *t, const struct insn *insn, enum form form)
{
	return t->state == FLAGS_IN_REG && translation_step(t)->live_before && form == FORM_BASE &&
	       !is_spilled(insn->base) && t->code->bmi2 && flags_are_awaited(t);
}

bool emit_window(struct translation *t, const struct insn *insn, unsigned size, bool t1,
		 struct insn_address *address)
{
	bool near = is_based(insn) && is_near(insn) && (t1 || !is_spilled(insn->base));
	enum form form = near ? FORM_BASE : t1 ? FORM_INDEX : FORM_SUM;
	bool keep_flags = keeps_flags(t, insn, form), shared = false;
	unsigned slot, checked = T0;
	struct stub *stub;
	uint8_t *miss;

	CHECK(!t->looked_up && size >= 1 && size <= 64);
	if (!keep_flags)
		flags_clobber(t, translation_step(t)->live_before);
	*address = (struct insn_address){.base = T0, .index = INSN_NO_REGISTER};
	if (form == FORM_BASE && !keep_flags &&
	    emit_fixed(t, insn, is_shared(t, translation_step(t)), address)) {
		t->looked_up = true;
		return true;
	}
	slot = next_slot(t);
	if (form == FORM_BASE) {
		checked = register_get(t, insn->base, T0);
		*address = (struct insn_address){.base = (uint8_t)checked,
						 .index = (uint8_t)delta_register(insn),
						 .displacement = (int32_t)insn->displacement};
		shared = is_shared(t, translation_step(t));
	} else if (!emit_operand_address(t, insn, true)) {
		return false;
	} else if (form == FORM_INDEX) {
		address->index = T1;
	}
	if (shared)
		know(t, insn->base, slot, false);
	emit_number(t, checked);
	miss = keep_flags ? emit_check_keeping_flags(t, slot) : emit_check(t, slot, 0);
	stub = translation_stub(t, STUB_WINDOW, miss);
	stub->slot = (uint16_t)slot;
	stub->state = form;
	stub->shared = shared;
	stub->keep_flags = keep_flags;
	t->looked_up = true;
	emit_hit(t, insn, form, slot, 0);
	stub->back = t->emit.at;
	return true;
}

/* The slot's places change places. */
static void emit_exchange(struct translation *t, unsigned slot)
{
	/* with what is behind number */
	const uint32_t members[] = {SLOT(t, slot, 0, delta), SLOT(t, slot, 0, number)};

	for (unsigned i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		uint32_t other = members[i] + (uint32_t)sizeof(struct window_place);

		emit_cpu(&t->emit, EMIT_LOAD, 8, T0, members[i]);
		emit_cpu(&t->emit, EMIT_LOAD, 8, T1, other);
		emit_cpu(&t->emit, EMIT_STORE, 8, T0, other);
		emit_cpu(&t->emit, EMIT_STORE, 8, T1, members[i]);
	}
}

/* The slot's second place; then C, with T0 what is checked. */
void emit_window_stub(struct translation *t, const struct stub *stub)
{
	const struct insn *insn = &t->steps[stub->step].insn;
	enum form form = stub->state;
	struct emit *emit = &t->emit;
	uint8_t *miss;

	if (stub->keep_flags) {
		emit_move(emit, RCX, T0);
		emit_flags_save(emit);
		emit_number(t, base_register(insn));
	}
	miss = emit_check(t, stub->slot, 1);
	if (stub->shared)
		emit_exchange(t, stub->slot);
	if (stub->keep_flags)
		emit_flags_load(emit);
	emit_hit(t, insn, form, stub->slot, !stub->shared);
	emit_jump(emit, stub->back);
	emit_close(miss, emit->at);
	if (form == FORM_BASE && base_register(insn) != T0)
		emit_move(emit, T0, base_register(insn));
	emit_call(emit, translation_trampoline(t, TRAMPOLINE_WINDOW));
	emit_u32(emit, translation_info(t, stub->step));
	emit_u32(emit, SLOT(t, stub->slot, 0, delta));
}
