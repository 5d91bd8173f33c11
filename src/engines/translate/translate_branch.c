/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways out of a block. Targets are relative to the page, for only placed blocks know their
 * linear address: one in [0, 4096) is in the same page, and a jump there leads straight to its
 * block; anything else goes through the jump cache. What goes back, or to an address that is not
 * known, tests cpu->kick: so every loop does.
 */
#include "engines/translate/translation.h"

#include "lib/check.h"
#include "x86/handlers.h"
#include "x86/registers.h"

#define SCAN_INSNS 4

/* The instruction as the next one of a scan; false: it ends here. */
static bool scan_insn(const struct insn *insn, unsigned *wanted, unsigned *left)
{
	*wanted |= insn_flags_read(insn) & *left;
	if (insn->op->class == CLASS_BRANCH || insn->op->class == CLASS_END) {
		*wanted |= *left;
		return false;
	}
	*left &= ~insn_flags_killed(insn);
	return *left;
}

/*
 * The flags that the instructions at target may read before they set them. Looking a few
 * instructions ahead is enough nearly always; what is not known is wanted. The block then depends
 * on those bytes too.
 */
unsigned scan_flags(struct translation *t, int64_t target)
{
	unsigned wanted = 0, left = FLAG_STATUS, offset = (unsigned)target;
	bool more = true;

	if (target < 0 || target >= 4096)
		return FLAG_STATUS;
	for (unsigned i = 0; more; i++) {
		struct insn insn;
		uint8_t bytes[16];
		unsigned room = 4096 - offset;

		if (i == SCAN_INSNS || !room)
			return wanted | left;
		bytes_copy(bytes, t->page.bytes + offset, room < 15 ? room : 15);
		if (insn_decode(&insn, bytes, room < 15 ? room : 15, CODE_64) != DECODE_OK)
			return wanted | left;
		more = scan_insn(&insn, &wanted, &left);
		if (!more && left)
			return wanted;
		if (offset < t->scan_low)
			t->scan_low = offset;
		offset += insn.length;
		if (offset > t->scan_high)
			t->scan_high = offset;
	}
	return wanted;
}

bool scans_find_no_flags(const struct translation *t)
{
	unsigned wanted = 0, left = FLAG_STATUS, i = 0;

	while (i < SCAN_INSNS && i < t->count && !t->steps[i].interpret &&
	       scan_insn(&t->steps[i].insn, &wanted, &left))
		i++;
	return !wanted && !left;
}

/* Out of this page */

static uint32_t jump_offset(const struct translation *t, size_t member)
{
	return (uint32_t)(offsetof(struct cpu, jump) +
			  t->view * sizeof(((struct cpu *)NULL)->jump[0]) + member);
}

#define ENTRY_BITS 4
_Static_assert(sizeof(struct jump_entry) == 1 << ENTRY_BITS, "the look-up shifts by it");

static void emit_miss(struct translation *t, enum jump_kind kind)
{
	uint8_t *place = emit_jcc_open(&t->emit, CONDITION_NZ, false);

	if (kind == JUMP_CALL)
		translation_stub(t, STUB_CALL_MISS, place);
	else
		emit_close(place, translation_trampoline(t, TRAMPOLINE_JUMP));
}

/* Goes to what the jump cache has for T0, if it is that in the entry at gs:[T1 + at]. T1 may be
 * INSN_NO_REGISTER. */
static void emit_through_cache(struct translation *t, enum jump_kind kind, unsigned index,
			       uint32_t at)
{
	struct emit *emit = &t->emit;
	unsigned first = t->stub_count;

	at += jump_offset(t, 0);
	if (index == INSN_NO_REGISTER)
		emit_cpu(emit, EMIT_CMP, 8, T0, at + offsetof(struct jump_entry, address));
	else
		emit_cpu_indexed(emit, EMIT_CMP, T0, index,
				 at + offsetof(struct jump_entry, address));
	emit_miss(t, kind);
	if (kind != JUMP_FORWARD) {
		emit_cpu_test32(emit, offsetof(struct cpu, kick));
		emit_miss(t, kind);
	}
	if (!t->placed) {
		emit_group(emit, GROUP_AND, 8, T0, -4096);
		emit_cpu(emit, EMIT_STORE, 8, T0, offsetof(struct cpu, code_page));
	}
	emit_cpu_jump(emit, kind == JUMP_CALL, index, at + offsetof(struct jump_entry, code));
	for (unsigned i = first; i < t->stub_count; i++)
		t->stubs[i].back = emit->at;
}

/*
 * jump_index() by hand; code_page is set for the block that is jumped to, unless it knows. Every
 * way round in a guest has something in it that leads backward, to another page, or where nobody
 * knows: only that tests kick.
 */
void emit_jump_cache(struct translation *t, enum jump_kind kind)
{
	struct emit *emit = &t->emit;

	CHECK(!(t->state & FLAGS_IN_REG));
	emit_registers(emit, EMIT_LOAD, 4, T1, T0);
	emit_shift(emit, GROUP_SHL, 4, T1, ENTRY_BITS);
	emit_registers(emit, EMIT_XOR, 4, T1, T0);
	emit_group(emit, GROUP_AND, 4, T1, (JUMP_SIZE - 1) << ENTRY_BITS);
	emit_through_cache(t, kind, T1, 0);
}

/* to = linear address of target, which is relative to the page. */
void emit_linear(struct translation *t, unsigned to, int64_t target)
{
	if (t->placed) {
		emit_constant(&t->emit, to, t->page.linear + (uint64_t)target);
		return;
	}
	emit_cpu(&t->emit, EMIT_LOAD, 8, to, offsetof(struct cpu, code_page));
	/* A displacement of 32 bits from within the page may lead a little further than another one
	 * can say. */
	while (target != (int32_t)target) {
		int32_t part = target < 0 ? INT32_MIN : INT32_MAX;

		emit_add(&t->emit, to, to, part);
		target -= part;
	}
	if (target)
		emit_add(&t->emit, to, to, (int32_t)target);
}

/* Within the page */

static bool is_in_page(int64_t target)
{
	return target >= 0 && target < 4096;
}

static bool is_back(struct translation *t, int64_t target)
{
	return target <= translation_step(t)->offset;
}

/* The entry of target's block in the write view, if there is one already. */
static uint8_t *find_entry(struct translation *t, int64_t target, enum link_entry entry)
{
	struct machine_code *code = t->code;
	uint64_t physical = t->page.physical + (uint64_t)target;
	struct block *block = t->block;
	uint8_t *start = t->start;
	ptrdiff_t reg = t->reg_entry - t->start;

	if (physical != block_physical(block)) {
		block = code_lookup(code, physical, block->linear, t->mode);
		if (!block)
			return NULL;
		start = code->memory.write + block->code;
		reg = block->reg_entry;
	}
	return entry == LINK_KICK ? start - KICK_ENTRY_BYTES
				  : start + (entry == LINK_REG ? reg : 0);
}

/*
 * jmp, call, or jcc with a condition, to target's block, now or once it is there. What will be
 * changed then has to be aligned.
 */
#define ALWAYS 16u
#define CALL   17u
static uint8_t *emit_open(struct translation *t, unsigned condition, bool aligned)
{
	if (condition == CALL)
		return emit_call_open(&t->emit, aligned);
	return condition == ALWAYS ? emit_jump_open(&t->emit, aligned)
				   : emit_jcc_open(&t->emit, condition, aligned);
}

static void emit_link_to(struct translation *t, unsigned condition, int64_t target, unsigned live,
			 enum link_entry entry)
{
	uint8_t *known = find_entry(t, target, entry);
	uint8_t *place = emit_open(t, condition, !known);
	struct stub *stub;

	if (known) {
		emit_close(place, known);
		return;
	}
	stub = translation_stub(t, STUB_LINK, place);
	stub->target = target;
	stub->state = entry;
	stub->live = (uint16_t)live;
}

static void emit_link(struct translation *t, unsigned condition, int64_t target, unsigned live)
{
	emit_link_to(t, condition, target, live,
		     (t->state & FLAGS_IN_REG) || !live ? LINK_REG : LINK_MEM);
}

void emit_kick_test(struct translation *t, int64_t target)
{
	struct stub *stub;

	emit_cpu_test32(&t->emit, offsetof(struct cpu, kick));
	stub = translation_stub(t, STUB_KICK, emit_jcc_open(&t->emit, CONDITION_NZ, false));
	stub->target = target;
}

/* To a target in another page, by way of its place in the jump cache. */
static void emit_far(struct translation *t, int64_t target, enum jump_kind kind)
{
	emit_linear(t, T0, target);
	if (t->placed)
		emit_through_cache(t, kind, INSN_NO_REGISTER,
				   jump_index(t->page.linear + (uint64_t)target) << ENTRY_BITS);
	else
		emit_jump_cache(t, kind);
}

/* As through the jump cache, by the page. */
void emit_crossing(struct translation *t)
{
	struct emit *emit = &t->emit;
	uint32_t at = (uint32_t)(offsetof(struct cpu, cross) + t->view * sizeof(t->cpu->cross[0]));
	uint32_t code = offsetof(struct jump_entry, code);
	unsigned index = INSN_NO_REGISTER;

	emit_linear(t, T0, translation_step(t)->offset);
	if (t->placed) {
		at += cross_index(t->page.linear) << ENTRY_BITS;
		emit_cpu(emit, EMIT_CMP, 8, T0, at);
	} else {
		index = T1;
		emit_cpu(emit, EMIT_LOAD, 4, T1, offsetof(struct cpu, code_page));
		emit_shift(emit, GROUP_SHR, 4, T1, 12 - ENTRY_BITS);
		emit_group(emit, GROUP_AND, 4, T1, (CROSS_SIZE - 1) << ENTRY_BITS);
		emit_cpu_indexed(emit, EMIT_CMP, T0, T1, at);
	}
	translation_stub(t, STUB_INTERPRET, emit_jcc_open(emit, CONDITION_NZ, false));
	emit_cpu_jump(emit, false, index, at + code);
}

void emit_goto(struct translation *t, int64_t target, unsigned live)
{
	if (!is_in_page(target)) {
		flags_clobber(t, live);
		emit_far(t, target, is_back(t, target) ? JUMP_ANYWHERE : JUMP_FORWARD);
		return;
	}
	if (loop_leads_to(t, target)) {
		emit_jump(&t->emit, loop_way(t));
		return;
	}
	if (is_back(t, target)) {
		flags_clobber(t, live);
		if (emit_way_round(t, target))
			return;
		if (mode_has_kick_entry(t->mode)) {
			emit_link_to(t, ALWAYS, target, live, LINK_KICK);
			return;
		}
		emit_kick_test(t, target);
	}
	emit_link(t, ALWAYS, target, live);
}

/* In front of the mem entry, to which it leads. The flags are in cpu->flags, or nobody's. */
void emit_kick_entry(struct translation *t)
{
	emit_kick_test(t, t->steps[0].offset);
	emit_u8(&t->emit, 0x90); /* nop */
}

void emit_branch_stub(struct translation *t, const struct stub *stub)
{
	t->state = stub->state;
	emit_goto(t, stub->target, stub->live);
}

/* Instructions */

static void open_branch(struct translation *t, uint8_t *place, int64_t target)
{
	struct stub *stub = translation_stub(t, STUB_BRANCH, place);

	stub->target = target;
	stub->state = (uint8_t)t->state;
	stub->live = translation_step(t)->live_target;
}

/*
 * Forward in the page: the jcc itself is linked. Backward, but to the block's own loop head: so it
 * is where the block that it leads to tests kick, and wants no flags; else over a jump with its
 * test of kick, for that way is taken mostly. Elsewhere: out of line.
 */
static void translate_jcc(struct translation *t, const struct step *step)
{
	int64_t target = step_target(step);
	unsigned condition = step->insn.opcode & 15;

	flags_need(t);
	if (!is_in_page(target)) {
		open_branch(t, emit_jcc_open(&t->emit, condition, false), target);
	} else if (loop_leads_to(t, target)) {
		emit_close(emit_jcc_open(&t->emit, condition, false), loop_way(t));
	} else if (is_back(t, target) && mode_has_kick_entry(t->mode) && !step->live_target) {
		emit_link_to(t, condition, target, 0, LINK_KICK);
	} else if (is_back(t, target)) {
		uint8_t *over = emit_jcc_open(&t->emit, condition ^ 1, false);
		unsigned state = t->state;

		emit_goto(t, target, step->live_target);
		t->state = state;
		emit_close(over, t->emit.at);
	} else {
		emit_link(t, condition, target, step->live_target);
	}
}

/* loop and jrcxz leave the flags alone, and so must we. */
static bool translate_count(struct translation *t, const struct step *step)
{
	const struct insn *insn = &step->insn;
	struct emit *emit = &t->emit;

	if (insn->address_size == 2)
		return false;
	if (insn->op->handler == HANDLER_LOOP)
		emit_based(emit, EMIT_LEA, insn->address_size, RCX, RCX, -1);
	if (insn->address_size == 4)
		emit_u8(emit, 0x67);
	if (insn->op->handler == HANDLER_LOOP) {
		emit_u16(emit, 0x05e3); /* jrcxz over the jump */
	} else {
		emit_u16(emit, 0x02e3); /* jrcxz to the jump */
		emit_u16(emit, 0x05eb); /* jmp over it */
	}
	open_branch(t, emit_jump_open(emit, false), step_target(step));
	return true;
}

/* jmp and call r/m */
static bool translate_indirect(struct translation *t, const struct step *step, bool call)
{
	const struct insn *insn = &step->insn;

	if (!insn->memory && insn->rm == RSP)
		return false;
	if (!t->stack || insn->memory || step->counted)
		flags_clobber(t, step->live_before);
	if (insn->memory) {
		if (!emit_operand_address(t, insn, true))
			return false;
		emit_lookup(t, 8, false, operand_page(insn));
		emit_based(&t->emit, EMIT_LOAD, 8, T0, T0, 0);
		if (call)
			emit_cpu(&t->emit, EMIT_STORE, 8, T0, offsetof(struct cpu, scratch));
	}
	if (step->counted)
		emit_call_count(t, step);
	if (call)
		emit_push_return(t, step);
	if (!insn->memory) {
		unsigned from = register_get(t, insn->rm, T0);

		if (from != T0)
			emit_move(&t->emit, T0, from);
	} else if (call) {
		emit_cpu(&t->emit, EMIT_LOAD, 8, T0, offsetof(struct cpu, scratch));
	}
	flags_clobber(t, step->live_before);
	emit_jump_cache(t, call && t->returns ? JUMP_CALL : JUMP_ANYWHERE);
	if (call && t->returns)
		emit_return_point(t, step);
	return true;
}

/*
 * With the return stack, kick is tested where a call comes back to as well, so that no tree of
 * calls takes for ever.
 */
static void translate_call(struct translation *t, const struct step *step)
{
	int64_t target = step_target(step);
	bool back = is_back(t, target), in_page = is_in_page(target);

	if (!t->stack || step->counted)
		flags_clobber(t, step->live_before);
	if (step->counted)
		emit_call_count(t, step);
	emit_push_return(t, step);
	if (!t->returns) {
		emit_goto(t, target, step->live_target);
		return;
	}
	if (!in_page || back)
		flags_clobber(t, step->live_target);
	if (!in_page) {
		emit_far(t, target, JUMP_CALL);
	} else {
		if (back)
			emit_kick_test(t, target);
		emit_link(t, CALL, target, step->live_target);
	}
	emit_return_point(t, step);
}

/*
 * stac and clac, which end a block, for what is behind them runs in another view: on through that
 * view's jump cache. Only with SMAP, at level 0, and if that cache is for the mode that follows.
 */
bool translate_ac(struct translation *t, bool set)
{
	unsigned from = t->view, to = set ? VIEW_KERNEL_AC : VIEW_KERNEL;
	uint32_t mode = (t->mode & ~(3u << MODE_VIEW_SHIFT)) | to << MODE_VIEW_SHIFT;
	struct emit *emit = &t->emit;

	if (from == VIEW_USER || from == to || (mode & MODE_WINDOW))
		return false;
	flags_clobber(t, translation_step(t)->live_before);
	emit_cpu_compare8(emit, offsetof(struct cpu, cpl), 0);
	translation_stub(t, STUB_CALL, emit_jcc_open(emit, CONDITION_NZ, false));
	emit_cpu_test_bits(emit, offsetof(struct cpu, cr4), CR4_SMAP);
	translation_stub(t, STUB_CALL, emit_jcc_open(emit, CONDITION_Z, false));
	emit_cpu_group32(emit, GROUP_CMP,
			 (uint32_t)(offsetof(struct cpu, jump_mode) + to * sizeof(uint32_t)), mode);
	translation_stub(t, STUB_CALL, emit_jcc_open(emit, CONDITION_NZ, false));
	if (set)
		emit_cpu_group32(emit, GROUP_OR, offsetof(struct cpu, rflags), FLAG_AC);
	else
		emit_cpu_group32(emit, GROUP_AND, offsetof(struct cpu, rflags), ~(uint32_t)FLAG_AC);
	emit_cpu_set8(emit, offsetof(struct cpu, view), (uint8_t)to);
	emit_cpu_set32(emit, offsetof(struct cpu, mode), mode);
	t->view = to;
	emit_far(t, t->next, JUMP_FORWARD);
	t->view = from;
	/* Only the handler comes here, where the mode stays as it is (no SMAP). */
	t->state = FLAGS_IN_MEM | FLAGS_IN_REG;
	return true;
}

bool translate_branch(struct translation *t)
{
	const struct step *step = translation_step(t);
	const struct insn *insn = &step->insn;

	if (insn->operand_size == 2)
		return false;
	if (step->inlined) {
		if (is_callees(t, t->current))
			translate_callee_ret(t);
		else
			translate_callee_call(t, step);
		return true;
	}
	switch (insn->op->handler) {
	case HANDLER_JCC:
		if (is_callees(t, t->current))
			translate_callee_jcc(t, step);
		else
			translate_jcc(t, step);
		return true;
	case HANDLER_LOOP:
	case HANDLER_JCXZ:
		return translate_count(t, step);
	case HANDLER_JMP:
		emit_goto(t, step_target(step), step->live_target);
		break;
	case HANDLER_CALL_NEAR:
		translate_call(t, step);
		if (t->returns)
			return true;
		break;
	case HANDLER_RET_NEAR:
		translate_ret(t, step);
		break;
	case HANDLER_JMP_INDIRECT:
		if (!translate_indirect(t, step, false))
			return false;
		break;
	case HANDLER_CALL_INDIRECT:
		if (!translate_indirect(t, step, true))
			return false;
		if (t->returns)
			return true;
		break;
	default:
		return false;
	}
	t->ended = true;
	return true;
}
