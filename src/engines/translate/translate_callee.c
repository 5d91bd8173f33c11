/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inlined calls: a short function that is called often has its instructions in the caller's block,
 * behind the call. For the guest nothing is different, but that the return finds out by itself
 * where it goes: nothing between call and return stores to memory, so what the call has pushed is
 * still there.
 *
 *	mov  [rsp + stack_delta - 8], return address
 *	lea  rsp, [rsp - 8]
 *	cmp  target, linear address of the callee	; if the call is an indirect one
 *	jne  other					; STUB_OTHER_CALLEE: an ordinary call
 *	test gs:[callees], its bit
 *	jz   ask					; STUB_CALLEE: C looks where it is mapped
 *	...						; its instructions
 *	lea  rsp, [rsp + 8]
 *
 * The block depends on the bytes of two pages, so it has a second (struct block), which holds the
 * notes of the callee's instructions as well. And it depends on what the callee's page is mapped
 * to: cpu->callees has a bit for each callee (callee_number), which is set when C has found it
 * where the block took it from, and cleared whenever jump caches lose something.
 *
 * A call is inlined when it has been made some thousand times (STUB_SITE). Until then it has a
 * counter, which the blocks lose that are made behind the decision.
 */
#include "engines/translate/translation.h"

#include "core/vm.h"
#include "lib/check.h"
#include "x86/cpuid.h"
#include "x86/handlers.h"

/* What calls add to their counters, so that the carry comes after 1,024. */
#define CALL_COUNT (1u << 22)

/* Pass 1 */

/* May it stand in an inlined callee, but for jcc and ret? */
static bool is_plain(const struct translation *t, const struct step *step)
{
	const struct insn *insn = &step->insn;
	const struct opcode *op = insn->op;

	if (op->handler == HANDLER_LEA)
		return insn->reg != RSP;
	if (op->handler == HANDLER_NOP)
		return true;
	return op->class == CLASS_COPY && !(insn_registers(insn).written & 1u << RSP) &&
	       !(insn->memory && (insn_memory_access(insn) & ACCESS_WRITE)) &&
	       (!op->feature || cpu_model_has(t->code->vm->cpu_model, op->feature));
}

static bool is_ret(const struct insn *insn)
{
	return insn->op->handler == HANDLER_RET_NEAR && !insn->immediate && insn->operand_size != 2;
}

static bool is_jcc(const struct insn *insn)
{
	return insn->op->handler == HANDLER_JCC && insn->operand_size != 2;
}

static unsigned behind(const struct step *step)
{
	return (unsigned)step->offset + step->insn.length;
}

/* Each jcc of those steps leads forward to one of them. */
static bool find_jumps(struct translation *t, unsigned first, unsigned count)
{
	unsigned jumps = 0;

	for (unsigned i = first; i < first + count; i++) {
		struct step *step = &t->steps[i];
		int64_t target = step->insn.immediate + behind(step);
		unsigned to = i + 1;

		if (!is_jcc(&step->insn))
			continue;
		while (to < first + count && t->steps[to].offset != target)
			to++;
		if (to == first + count || ++jumps > CALLEE_JUMPS)
			return false;
		step->join = (uint8_t)to;
	}
	return true;
}

/* Fills steps from t->count on with the function at `offset` in the page, up to its ret; returns
 * how many, 0 if it cannot be inlined. */
static unsigned decode_callee(struct translation *t, const uint8_t *page, unsigned offset)
{
	unsigned first = t->count, count = 0;

	for (;;) {
		struct step *step = &t->steps[first + count];
		unsigned room = 4096 - offset;

		if (count == CALLEE_INSNS || !room || first + count >= CODE_BLOCK_INSNS)
			return 0;
		bytes_copy(step->bytes, page + offset, room < 16 ? room : 16);
		step->offset = (uint16_t)offset;
		if (translation_decode(t, step, room) != DECODE_OK)
			return 0;
		offset += step->insn.length;
		count++;
		if (is_ret(&step->insn))
			return find_jumps(t, first, count) ? count : 0;
		if (!is_jcc(&step->insn) && !is_plain(t, step))
			return 0;
	}
}

/* The call's operand is one that translate_callee_call can write. */
static bool can_call(const struct insn *insn)
{
	if (insn->operand_size == 2)
		return false;
	if (insn->op->handler == HANDLER_CALL_NEAR)
		return true;
	return insn->memory ? insn->address_size == 8 : insn->rm != RSP;
}

static bool leads_to(const struct translation *t, const struct step *step, uint64_t linear)
{
	return step->insn.op->handler != HANDLER_CALL_NEAR ||
	       t->home.linear + (uint64_t)(step->insn.immediate + behind(step)) == linear;
}

bool translate_callee_fits(struct cpu *cpu, uint64_t physical, const uint8_t *page)
{
	struct translation *t = cpu->code->translation;

	t->code = cpu->code;
	t->count = 0;
	return code_uses_windows(cpu->code, physical) && decode_callee(t, page, physical & 4095);
}

/* Fills t->callee with what the site says, and the steps behind the call, if that is still so. */
static bool append(struct translation *t, const struct step *call, const struct call_site *site)
{
	struct callee_steps *callee = &t->callee;

	if (!leads_to(t, call, site->linear) || !code_page_prepared(t->cpu, site->physical) ||
	    !code_uses_windows(t->code, site->physical))
		return false;
	callee->page = (struct code_page){
		.bytes = vm_slice(t->code->vm, gpa(site->physical & ~4095ull), 4096),
		.physical = site->physical & ~4095ull,
		.linear = site->linear & ~4095ull,
	};
	CHECK(callee->page.bytes);
	callee->first = t->count;
	callee->count = decode_callee(t, callee->page.bytes, site->physical & 4095);
	return callee->count > 0;
}

/* One more step is to follow the callee's, so that the block ends in its page. */
void callee_append(struct translation *t)
{
	struct step *call = &t->steps[t->count - 1];
	uint64_t at = t->home.physical + call->offset;
	const struct call_site *site;
	int number;

	if (!t->stack || !t->windows || !can_call(&call->insn))
		return;
	site = call_site_find(t->code, at, t->home.linear, t->mode);
	call->counted = !site;
	if (!site || site->plain || t->callee.count || t->next >= 4096 ||
	    t->calls + 1 >= TRANSLATION_CALLS || t->count + CALLEE_INSNS >= CODE_BLOCK_INSNS)
		return;
	number = callee_number(t->code, site->linear, site->physical, t->mode);
	if (number < 0)
		return;
	t->callee.number = (unsigned)number;
	if (!append(t, call, site)) {
		call_site_forget(t->code, at, t->home.linear, t->mode);
		call->counted = true;
		return;
	}
	t->count += t->callee.count;
	call->inlined = t->steps[t->count - 1].inlined = true;
}

/* The second block: before the other one, which is made behind it. */

void callee_begin_block(struct translation *t)
{
	const struct callee_steps *callee = &t->callee;
	struct block *second = t->block;

	if (!callee->count)
		return;
	*++t->block = *second;
	t->block->inlines = 1;
	*second = (struct block){
		.linear = callee->page.linear,
		.page = (uint32_t)(callee->page.physical >> 12),
		.code = t->block->code,
		.start = t->steps[callee->first].offset & 4095,
		.end = (uint16_t)behind(&t->steps[callee->first + callee->count - 1]),
		.scan_low = 4096,
		.mode = t->block->mode,
		.count = callee->count & 127,
		.second = true,
		.dropped = true,
	};
}

/* Takes the callee's notes out of the block's. */
void callee_end_block(struct translation *t)
{
	const struct callee_steps *callee = &t->callee;
	unsigned first = callee->first, count = callee->count;
	struct machine_code *code = t->code;
	struct note notes[CALLEE_INSNS + 1];

	if (!count)
		return;
	for (unsigned i = 0; i <= count; i++)
		notes[i] = t->notes[first + i];
	notes[count].guest = (uint16_t)behind(&t->steps[first + count - 1]);
	t->block[-1].notes = code->note_count;
	code->note_count += note_write(code->notes + code->note_count, notes, count);
	t->block->notes = code->note_count;
	for (unsigned i = first; i + count <= t->count; i++)
		t->notes[i] = t->notes[i + count];
}

/* Pass 2 */

unsigned callee_target_flags(const struct translation *t, const struct step *step)
{
	return step->inlined ? 0 : t->steps[step->join].live_before;
}

/* Pass 3 */

static bool makes_flags_only(const struct insn *insn)
{
	unsigned opcode = insn->opcode, reg = insn->reg & 7;

	if (insn->memory || insn->map || insn->vex)
		return false;
	return (opcode >= 0x38 && opcode <= 0x3d) || (opcode & ~1u) == 0x84 ||
	       (opcode & ~1u) == 0xa8 || ((opcode & ~3u) == 0x80 && reg == 7) ||
	       ((opcode & ~1u) == 0xf6 && reg < 2);
}

/*
 * The cmp or test of registers, + 1, that made the flags in RFLAGS and would make them again,
 * before a call whose callee does not want them; else 0. So only an ordinary call needs to keep
 * them.
 */
static unsigned find_maker(const struct translation *t)
{
	unsigned written = 1u << RSP;

	if (t->state != FLAGS_IN_REG || t->steps[t->current + 1].live_before)
		return 0;
	for (unsigned i = t->current; i-- > 0;) {
		const struct step *step = &t->steps[i];
		const struct insn *insn = &step->insn;

		if (is_jcc(insn))
			continue;
		if (!is_plain(t, step))
			return 0;
		if (makes_flags_only(insn))
			return (insn_registers(insn).used & written) ||
					       (FLAG_STATUS & ~insn_flags_killed(insn))
				       ? 0
				       : i + 1;
		if ((insn->op->flags_written | insn->op->flags_undefined) & FLAG_STATUS)
			return 0;
		written |= insn->op->handler == HANDLER_LEA ? 1u << insn->reg
							    : insn_registers(insn).written;
	}
	return 0;
}

/* Flags as they were before the call, into cpu->flags. */
static void make_flags(struct translation *t, const struct stub *stub)
{
	t->state = stub->state;
	if (!stub->maker)
		return;
	t->current = stub->maker - 1u;
	CHECK(translate_copy(t));
	t->current = stub->step;
	flags_clobber(t, FLAG_STATUS);
}

static struct stub *open_stub(struct translation *t, enum stub_kind kind, uint8_t *place,
			      unsigned maker)
{
	struct stub *stub = translation_stub(t, kind, place);

	stub->maker = (uint8_t)maker;
	stub->state = (uint8_t)t->state;
	return stub;
}

/* T0 or its own register = where an indirect call leads, behind the push. */
static unsigned get_target(struct translation *t, const struct insn *insn)
{
	if (!insn->memory)
		return register_get(t, insn->rm, T0);
	emit_cpu(&t->emit, EMIT_LOAD, 8, T0, offsetof(struct cpu, scratch));
	return T0;
}

static void emit_compare(struct translation *t, unsigned target, uint64_t linear)
{
	if ((int64_t)linear == (int32_t)linear) {
		emit_group(&t->emit, GROUP_CMP, 8, target, (int32_t)linear);
		return;
	}
	emit_constant(&t->emit, T1, linear);
	emit_registers(&t->emit, EMIT_CMP, 8, target, T1);
}

void translate_callee_call(struct translation *t, const struct step *step)
{
	const struct callee_steps *callee = &t->callee;
	const struct insn *insn = &step->insn;
	uint64_t linear = callee->page.linear + t->steps[callee->first].offset;
	unsigned maker = insn->memory ? 0 : find_maker(t);
	struct stub *stub;

	if (!maker)
		flags_clobber(t, step->live_before);
	if (insn->memory) {
		CHECK(emit_operand_address(t, insn, true));
		emit_lookup(t, 8, false, operand_page(insn));
		emit_based(&t->emit, EMIT_LOAD, 8, T0, T0, 0);
		emit_cpu(&t->emit, EMIT_STORE, 8, T0, offsetof(struct cpu, scratch));
	}
	emit_push_return(t, step);
	if (maker)
		t->state = 0; /* from here on, only other ways want them */
	if (insn->op->handler == HANDLER_CALL_INDIRECT) {
		emit_compare(t, get_target(t, insn), linear);
		open_stub(t, STUB_OTHER_CALLEE, emit_jcc_open(&t->emit, CONDITION_NZ, false),
			  maker);
	}
	emit_cpu_test_bits(&t->emit,
			   (uint32_t)(offsetof(struct cpu, callees) + callee->number / 32 * 4),
			   1u << callee->number % 32);
	stub = open_stub(t, STUB_CALLEE, emit_jcc_open(&t->emit, CONDITION_Z, false), maker);
	stub->back = t->emit.at;
}

void emit_callee_stub(struct translation *t, const struct stub *stub)
{
	make_flags(t, stub);
	emit_call(&t->emit, translation_trampoline(t, TRAMPOLINE_CALLEE));
	emit_u32(&t->emit, translation_info(t, stub->step));
	emit_u32(&t->emit, (uint32_t)(stub->back - t->start));
	emit_u32(&t->emit, t->callee.number);
}

/* Another block goes on behind it, where nothing is known of registers. */
void emit_other_callee_stub(struct translation *t, const struct stub *stub)
{
	const struct step *step = &t->steps[stub->step];
	unsigned target;

	make_flags(t, stub);
	target = get_target(t, &step->insn);
	if (target != T0)
		emit_move(&t->emit, T0, target);
	emit_jump_cache(t, JUMP_CALL);
	emit_return_point(t, step);
	emit_goto(t, behind(step), t->steps[stub->step + t->callee.count].live_after);
}

void translate_callee_ret(struct translation *t)
{
	emit_add(&t->emit, HOST_RSP, HOST_RSP, 8);
}

/* The flags are in cpu->flags where both ways meet, if anybody wants them. */
void translate_callee_jcc(struct translation *t, const struct step *step)
{
	struct callee_jump *jump = &t->callee.jumps[t->callee.jump_count++];

	flags_need(t);
	if (step->live_target && !(t->state & FLAGS_IN_MEM)) {
		emit_flags_save(&t->emit);
		t->state |= FLAGS_IN_MEM;
	}
	jump->place = emit_jcc_open(&t->emit, step->insn.opcode & 15, false);
	jump->step = step->join;
	for (unsigned i = 0; i < 16; i++)
		jump->known[i] = t->known[i];
}

void callee_join(struct translation *t)
{
	unsigned live = t->steps[t->current].live_before;
	bool joined = false;

	for (unsigned i = 0; i < t->callee.jump_count; i++) {
		const struct callee_jump *jump = &t->callee.jumps[i];

		if (jump->step != t->current)
			continue;
		if (!joined)
			flags_clobber(t, live);
		joined = true;
		emit_close(jump->place, t->emit.at);
		windows_meet(t, jump->known);
	}
	if (joined)
		t->state = live ? FLAGS_IN_MEM : FLAGS_IN_REG;
}

/* Counts */

void emit_call_count(struct translation *t, const struct step *step)
{
	uint64_t hash = (t->home.physical + step->offset) * 0x9e3779b97f4a7c15u;
	uint32_t at = (uint32_t)(offsetof(struct cpu, call_counts) +
				 (hash >> 32 & (CALL_COUNTS - 1)) * sizeof(uint32_t));

	CHECK(!(t->state & FLAGS_IN_REG));
	emit_cpu_group32(&t->emit, GROUP_ADD, at, CALL_COUNT);
	translation_stub(t, STUB_SITE, emit_jcc_open(&t->emit, CONDITION_C, false));
}

void emit_site_stub(struct translation *t, const struct stub *stub)
{
	const struct step *step = &t->steps[stub->step];
	unsigned target;

	if (step->insn.op->handler == HANDLER_CALL_NEAR) {
		emit_linear(t, T0, step->insn.immediate + behind(step));
	} else if (!step->insn.memory) {
		target = register_get(t, step->insn.rm, T0);
		if (target != T0)
			emit_move(&t->emit, T0, target);
	}
	emit_call(&t->emit, translation_trampoline(t, TRAMPOLINE_SITE));
	emit_u32(&t->emit, translation_info(t, stub->step));
}
