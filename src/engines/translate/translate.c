/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From guest instructions to a block of host code, in three passes: decode up to 64 instructions of
 * one page; go back over them to see which status flags are wanted where; write the code.
 *
 *	kick entry: test kick		(mode_has_kick_entry)
 *	mem entry:  nop (patchable)
 *		    load flags		} if the block reads them; else both entries are one, if
 *	reg entry:  nop (patchable)	} all that lead here know it
 *		    checks of windows	(a loop's: translate_loop.c)
 *		    instruction 0
 *		    instruction 1 ...
 *		    way out
 *	stubs:	    look-up misses, taken branches, links
 *
 * Where RFLAGS is needed for something else before anything reads the flags there, it begins so:
 *
 *	reg entry:  nop (patchable)
 *		    save flags
 *	kick entry: test kick
 *	mem entry:  nop (patchable)
 *		    instruction 0 ...
 *
 * Each instruction is written by the first of these that can: translate_copy, translate_branch or
 * translate_inline by its class, else translate_callout. The interpreter's handler is called for
 * whatever is rare or has to look at the mode, so this is free to give up.
 */
#include "engines/translate/translation.h"

#include "engines/translate/cpu_offsets.h"
#include "engines/translate/enter.h"
#include "engines/translate/mmu.h"
#include "lib/check.h"
#include "x86/cpuid.h"
#include "x86/handlers.h"

_Static_assert(offsetof(struct cpu, gpr) == CPU_GPR && offsetof(struct cpu, rip) == CPU_RIP,
	       "cpu_offsets.h");
_Static_assert(offsetof(struct cpu, code_page) == CPU_CODE_PAGE, "cpu_offsets.h");
_Static_assert(offsetof(struct cpu, flags) == CPU_FLAGS && offsetof(struct cpu, self) == CPU_SELF,
	       "cpu_offsets.h");
_Static_assert(offsetof(struct cpu, host_stack) == CPU_HOST_STACK, "cpu_offsets.h");
_Static_assert(offsetof(struct cpu, returns) == CPU_RETURNS &&
		       offsetof(struct cpu, returns_top) == CPU_RETURNS_TOP &&
		       offsetof(struct cpu, scratch) == CPU_SCRATCH,
	       "cpu_offsets.h");

_Static_assert(offsetof(struct cpu, view) == CPU_VIEW && offsetof(struct cpu, kick) == CPU_KICK &&
		       offsetof(struct cpu, jump) == CPU_JUMP && VIEW_USER == 0 &&
		       JUMP_INDEX_MASK == (JUMP_SIZE - 1) * sizeof(struct jump_entry) &&
		       1 << JUMP_VIEW_SHIFT == JUMP_SIZE * sizeof(struct jump_entry),
	       "cpu_offsets.h");

_Static_assert(offsetof(struct tlb_entry, read) == TLB_READ &&
		       offsetof(struct tlb_entry, write) == TLB_WRITE &&
		       offsetof(struct tlb_entry, host) == TLB_HOST,
	       "cpu_offsets.h");
_Static_assert(sizeof(struct tlb_entry) == 1u << (12 - TLB_INDEX_SHIFT) &&
		       TLB_INDEX_MASK == (TLB_SIZE - 1) * sizeof(struct tlb_entry),
	       "cpu_offsets.h");
_Static_assert(RECENT_EMPTY == RECENT_EMPTY_TAG, "cpu_offsets.h");
_Static_assert(offsetof(struct recent_entry, tag) == 0 && offsetof(struct recent_entry, host) == 8,
	       "enter.S");

struct stub *translation_stub(struct translation *t, enum stub_kind kind, uint8_t *place)
{
	struct stub *stub = &t->stubs[t->stub_count++];

	CHECK(t->stub_count <= TRANSLATION_STUBS);
	*stub = (struct stub){.place = place, .kind = (uint8_t)kind, .step = (uint8_t)t->current};
	return stub;
}

void emit_slow_call(struct translation *t, unsigned condition)
{
	translation_stub(t, STUB_CALL, emit_jcc_open(&t->emit, condition, false));
}

/* Pass 1: decode */

/* What the guest's mode or model does not allow is left to the interpreter, which raises the
 * exception. */
static bool is_usable(const struct translation *t, const struct opcode *op)
{
	if ((op->attributes & OP_AVX) && !(t->mode & MODE_AVX))
		return false;
	if ((op->attributes & OP_SSE) && !(t->mode & MODE_SSE))
		return false;
	if ((op->attributes & (OP_X87 | OP_MMX | OP_WAIT)) && !(t->mode & MODE_X87))
		return false;
	return !op->feature || cpu_model_has(t->code->vm->cpu_model, op->feature);
}

/* Does the block end with it, whatever it does? */
static bool is_end(const struct translation *t, const struct opcode *op)
{
	return op->class == CLASS_END && (op->handler != HANDLER_STI || t->view == VIEW_USER);
}

/* Copies of a short loop that stand one behind the other, and their instructions at the most. */
#define LOOP_COPIES 4u
#define LOOP_INSNS  48u

/* May it stand in a loop's copy: does it lead nowhere, and leave the stack and the mode alone? */
static bool is_plain(const struct step *step)
{
	const struct opcode *op = step->insn.op;

	return (op->class == CLASS_COPY || op->handler == HANDLER_LEA) &&
	       !(insn_registers(&step->insn).written & 1u << RSP);
}

/*
 * The last step is a jcc. If it leads to the block's first instruction, and something between goes
 * to memory, the steps are repeated, so that the checks of windows and the test of kick are needed
 * only once for some rounds (window_is_known). All jccs but the last are the other way round, to
 * what is behind it.
 */
static void unroll(struct translation *t)
{
	unsigned length = t->count, copies = LOOP_COPIES;
	struct step *last = &t->steps[length - 1];
	bool memory = false;

	if (!t->windows || t->branches ||
	    last->insn.immediate + (int64_t)t->next != t->steps[0].offset)
		return;
	for (unsigned i = 0; i < length - 1; i++) {
		if (!is_plain(&t->steps[i]))
			return;
		memory |= t->steps[i].insn.memory && t->steps[i].insn.op->class == CLASS_COPY;
	}
	while (copies * length > LOOP_INSNS)
		copies /= 2;
	if (!memory || copies < 2)
		return;
	for (; t->count < copies * length; t->count++)
		t->steps[t->count] = t->steps[t->count - length];
	for (unsigned i = 1; i < copies; i++) {
		t->steps[i * length - 1].insn.opcode ^= 1;
		t->steps[i * length - 1].insn.immediate = 0;
	}
	t->branches += copies - 1;
}

enum decode_result translation_decode(const struct translation *t, struct step *step, unsigned room)
{
	enum decode_result result =
		insn_decode(&step->insn, step->bytes, room < 15 ? room : 15, CODE_64);

	step->interpret = step->crosses = step->counted = step->inlined = step->older = false;
	step->call = 0;
	if (result == DECODE_OK)
		step->older = !cpu_model_has(t->code->vm->cpu_model, step->insn.op->feature) &&
			      insn_fall_back(&step->insn);
	return result;
}

/* Fills the next step from its bytes; true if the block may go on behind it. */
static bool decode_bytes(struct translation *t, unsigned room)
{
	struct step *step = &t->steps[t->count];
	enum decode_result result = translation_decode(t, step, room);

	step->offset = (uint16_t)t->next;
	t->count++;
	step->interpret = result != DECODE_OK;
	step->crosses = result == DECODE_MORE;
	if (step->interpret) {
		/* what the block depends on; of one that is invalid a byte is enough */
		step->insn.length = step->crosses ? (uint8_t)room : 1;
		return false;
	}
	t->next += step->insn.length;
	if (is_end(t, step->insn.op))
		return false;
	if (step->insn.op->class != CLASS_BRANCH)
		return true;
	switch (step->insn.op->handler) {
	case HANDLER_JCC:
		if (step->insn.operand_size != 2)
			unroll(t);
		/* fall through */
	case HANDLER_LOOP:
	case HANDLER_JCXZ:
		return ++t->branches < TRANSLATION_BRANCHES && step->insn.operand_size != 2;
	case HANDLER_CALL_NEAR:
	case HANDLER_CALL_INDIRECT:
		callee_append(t);
		return t->returns && ++t->calls < TRANSLATION_CALLS && step->insn.operand_size != 2;
	default:
		return false;
	}
}

static bool decode_step(struct translation *t)
{
	unsigned room = 4096 - t->next;

	bytes_copy(t->steps[t->count].bytes, t->page.bytes + t->next, room < 16 ? room : 16);
	return decode_bytes(t, room);
}

/* Is there a block for what follows, to go on in? One that inlines a call is had here as well, for
 * what is known of registers and flags is of use to it. */
static bool is_continued(const struct translation *t)
{
	const struct block *block;

	if (!t->branches || t->steps[t->count - 1].inlined)
		return false;
	block = code_lookup(t->code, t->home.physical + t->next,
			    block_linear(t->home.linear, t->mode), t->mode);
	return block && !(block->inlines && !t->callee.count);
}

static void decode(struct translation *t)
{
	while (decode_step(t) && t->next < 4096 && t->count < CODE_BLOCK_INSNS)
		if (is_continued(t))
			break;
}

/* Pass 2: which flags are wanted */

static unsigned branch_target_flags(struct translation *t, const struct step *step)
{
	if (is_callees(t, (unsigned)(step - t->steps)))
		return callee_target_flags(t, step);
	if (step->insn.op->operand[0].kind != OPERAND_RELATIVE)
		return FLAG_STATUS;
	return scan_flags(t, step->insn.immediate + step->offset + step->insn.length);
}

static bool is_call(const struct step *step)
{
	return !step->interpret && (step->insn.op->handler == HANDLER_CALL_NEAR ||
				    step->insn.op->handler == HANDLER_CALL_INDIRECT);
}

/* Does the block go on behind its last step? */
static bool falls_through(const struct translation *t, const struct step *step)
{
	if (t->returns && is_call(step))
		return true;
	if (step->interpret || is_end(t, step->insn.op))
		return false;
	return step->insn.op->class != CLASS_BRANCH || step->insn.op->handler == HANDLER_JCC ||
	       step->insn.op->handler == HANDLER_LOOP || step->insn.op->handler == HANDLER_JCXZ;
}

static void find_flags(struct translation *t)
{
	const struct step *last = &t->steps[t->count - 1];
	unsigned live = falls_through(t, last) ? scan_flags(t, t->next) : 0;

	for (unsigned i = t->count; i-- > 0;) {
		struct step *step = &t->steps[i];

		step->live_after = (uint16_t)live;
		step->live_target = 0;
		if (step->interpret || is_end(t, step->insn.op)) {
			live = FLAG_STATUS;
		} else {
			if (step->insn.op->class == CLASS_BRANCH)
				step->live_target = (uint16_t)branch_target_flags(t, step);
			if (is_call(step) && !step->inlined)
				live = 0; /* what is called makes others */
			live = (live & ~insn_flags_killed(&step->insn)) | step->live_target |
			       (insn_flags_read(&step->insn) & FLAG_STATUS);
		}
		step->live_before = (uint16_t)live;
	}
}

/* Pass 3: write */

/* Nothing is left for the handler to check but that the level is 0, not 1 or 2. */
static bool is_checked(const struct translation *t, const struct opcode *op)
{
	return is_usable(t, op) && !(op->attributes & OP_WAIT) &&
	       !((op->attributes & OP_CPL0) && t->view == VIEW_USER);
}

/* Calls the handler, and then is behind the call; there is a jump, to `behind` in the code, or over
 * the words if that is NULL. end: jumps to it. */
static void write_way_to_handler(struct translation *t, const uint8_t *behind, bool end,
				 unsigned words)
{
	struct emit *emit = &t->emit;

	if (end) {
		emit_here(emit, T1, JUMP_BEHIND);
		emit_jump(emit, translation_trampoline(t, TRAMPOLINE_END));
		return;
	}
	emit_call(emit, translation_trampoline(t, TRAMPOLINE_CALL));
	emit_jump(emit, behind ? behind : emit->at + JUMP_BEHIND + words);
}

/* Handlers are called often, so that the words tell all that the notes do. */
static void write_call(struct translation *t, const uint8_t *behind, bool end)
{
	struct machine_code *code = t->code;
	struct step *step = translation_step(t);
	unsigned host = t->notes[t->current].host, back;

	if (!step->call) {
		code->insns[code->insn_count++] = step->insn;
		step->call = code->insn_count;
	}
	write_way_to_handler(t, behind, end, 16);
	back = (unsigned)(t->emit.at - JUMP_BEHIND - t->start);
	emit_u32(&t->emit, translation_info(t, t->current));
	emit_u32(&t->emit, (step->call - 1) | (is_checked(t, step->insn.op) ? WORDS_CHECKED : 0));
	emit_u32(&t->emit, step->offset | (uint32_t)(step->offset + step->insn.length) << 16);
	emit_u32(&t->emit, host | back << 16);
}

void translate_callout(struct translation *t, bool end)
{
	flags_clobber(t, translation_step(t)->live_before);
	write_call(t, NULL, end);
	t->state = FLAGS_IN_MEM | FLAGS_IN_REG;
	t->ended |= end;
}

static void write_interpret_call(struct translation *t)
{
	translation_page(t);
	emit_call(&t->emit, translation_trampoline(t, TRAMPOLINE_INTERPRET));
	emit_u32(&t->emit, translation_step(t)->offset);
}

static void write_interpret(struct translation *t)
{
	flags_clobber(t, translation_step(t)->live_before);
	if (translation_step(t)->crosses)
		emit_crossing(t);
	else
		write_interpret_call(t);
	t->ended = true;
}

static void write_step(struct translation *t)
{
	const struct step *step = translation_step(t);
	const struct opcode *op = step->insn.op;

	if (step->interpret) {
		write_interpret(t);
		return;
	}
	if (is_usable(t, op)) {
		if (op->class == CLASS_COPY && translate_copy(t))
			return;
		if (op->class == CLASS_BRANCH && translate_branch(t))
			return;
		if ((op->class == CLASS_INLINE || op->class == CLASS_CALL) && translate_inline(t))
			return;
		if ((op->handler == HANDLER_STAC || op->handler == HANDLER_CLAC) &&
		    translate_ac(t, op->handler == HANDLER_STAC))
			return;
		if (op->handler == HANDLER_STI && translate_sti(t))
			return;
	}
	translate_callout(t, op->class == CLASS_END || op->class == CLASS_BRANCH);
}

static void write_link_stub(struct translation *t, const struct stub *stub)
{
	bool flags = stub->state == LINK_REG && stub->live;

	emit_call(&t->emit,
		  translation_trampoline(t, flags ? TRAMPOLINE_LINK_FLAGS : TRAMPOLINE_LINK));
	emit_u32(&t->emit, (uint32_t)(t->block - t->code->blocks));
	emit_u32(&t->emit, (uint32_t)stub->target | (uint32_t)stub->state << 16);
	emit_u32(&t->emit, (uint32_t)(stub->place - t->code->memory.write));
}

static void write_stub(struct translation *t, const struct stub *stub)
{
	if (stub->place)
		emit_close(stub->place, t->emit.at);
	translation_turn(t, stub->step);
	switch (stub->kind) {
	case STUB_REST:
		emit_stack_rest(t, stub);
		break;
	case STUB_RECENT:
		emit_recent_stub(t, stub);
		break;
	case STUB_WINDOW:
		emit_window_stub(t, stub);
		break;
	case STUB_FIXED:
		emit_fixed_stub(t, stub);
		break;
	case STUB_READ:
	case STUB_WRITE:
		emit_call(&t->emit,
			  translation_trampoline(t, stub->kind == STUB_READ ? TRAMPOLINE_READ
									    : TRAMPOLINE_WRITE));
		emit_u32(&t->emit, translation_info(t, stub->step));
		emit_u32(&t->emit, stub->size);
		break;
	case STUB_CALL:
		write_call(t, t->start + t->notes[stub->step + 1].host, false);
		break;
	case STUB_END:
		write_call(t, NULL, true);
		break;
	case STUB_BRANCH:
		emit_branch_stub(t, stub);
		break;
	case STUB_CALL_MISS:
		emit_call(&t->emit, translation_trampoline(t, TRAMPOLINE_JUMP));
		emit_jump(&t->emit, stub->back);
		break;
	case STUB_INTERPRET:
		write_interpret_call(t);
		break;
	case STUB_KICK:
		translation_page(t);
		emit_call(&t->emit, translation_trampoline(t, TRAMPOLINE_GOTO));
		emit_u32(&t->emit, (uint32_t)stub->target);
		break;
	case STUB_SITE:
		emit_site_stub(t, stub);
		break;
	case STUB_CALLEE:
		emit_callee_stub(t, stub);
		break;
	case STUB_OTHER_CALLEE:
		emit_other_callee_stub(t, stub);
		break;
	case STUB_LINK:
		write_link_stub(t, stub);
		break;
	}
}

void translation_turn(struct translation *t, unsigned step)
{
	t->current = step;
	t->page = is_callees(t, step) ? t->callee.page : t->home;
}

void translation_note(struct translation *t, unsigned step, unsigned offset)
{
	size_t host = (size_t)(t->emit.at - t->start);

	CHECK(host <= UINT16_MAX);
	t->notes[step] = (struct note){.host = (uint16_t)host, .guest = (uint16_t)offset};
}

void translation_page(struct translation *t)
{
	if (!t->placed)
		return;
	emit_cpu_set32(&t->emit, offsetof(struct cpu, code_page), (uint32_t)t->page.linear);
	emit_cpu_set32(&t->emit, offsetof(struct cpu, code_page) + 4,
		       (uint32_t)(t->page.linear >> 32));
}

void translation_note_flags(struct translation *t)
{
	if (t->state & FLAGS_IN_REG)
		t->notes[t->current].flags = true;
}

/* mov rsp, anything: a kernel on its way in or out leaves one stack for another. */
static bool loads_rsp(const struct step *step)
{
	const struct insn *insn = &step->insn;

	if (step->interpret || insn->map)
		return false;
	return (insn->opcode == 0x8b && insn->reg == RSP) ||
	       (insn->opcode == 0x89 && !insn->memory && insn->rm == RSP);
}

static enum entries choose_entries(const struct translation *t)
{
	if (t->crossing)
		return ENTRIES_CROSSING;
	if (!t->steps[0].live_before)
		return scans_find_no_flags(t) ? ENTRIES_ONE : ENTRIES_TWO;
	return flags_are_clobbered_first(t) ? ENTRIES_SAVE : ENTRIES_LOAD;
}

/* Where the code begins, and the mem entry is. */
static void place(struct translation *t)
{
	uint32_t before = mode_has_kick_entry(t->mode) ? KICK_ENTRY_BYTES : 0;

	t->entries = choose_entries(t);
	if (t->entries == ENTRIES_SAVE)
		before += SAVE_ENTRY_BYTES;
	CHECK(before < CODE_ALIGNMENT);
	t->block->code = t->code->code_used + before;
	t->start = t->code->memory.write + t->block->code;
	if (t->crossing)
		t->block[-1].code = t->block->code;
}

static void write_entries(struct translation *t)
{
	t->emit.at = t->code->memory.write + t->code->code_used;
	t->reg_entry = t->start;
	t->current = 0;
	if (t->entries == ENTRIES_SAVE) {
		t->reg_entry = t->emit.at;
		emit_patchable(&t->emit);
		emit_flags_save(&t->emit);
		CHECK(t->emit.at == t->reg_entry + SAVE_ENTRY_BYTES);
	}
	if (mode_has_kick_entry(t->mode))
		emit_kick_entry(t);
	CHECK(t->emit.at == t->start);
	emit_patchable(&t->emit);
	if (t->entries == ENTRIES_LOAD)
		emit_flags_load(&t->emit);
	if (t->entries == ENTRIES_LOAD || t->entries == ENTRIES_TWO) {
		emit_align(&t->emit, 8);
		t->reg_entry = t->emit.at;
		emit_patchable(&t->emit);
	}
	t->state = t->entries <= ENTRIES_LOAD ? FLAGS_IN_REG : FLAGS_IN_MEM;
}

static void write(struct translation *t)
{
	unsigned first;

	write_entries(t);
	windows_begin(t);
	loop_begin(t);
	for (t->current = 0; t->current < t->count; t->current++) {
		translation_turn(t, t->current);
		callee_join(t);
		translation_note(t, t->current, t->steps[t->current].offset);
		loop_before_step(t);
		t->ended = t->looked_up = false;
		first = t->current;
		if (t->stack)
			stack_before_step(t);
		write_step(t);
		windows_forget(t, first);
		if (t->stack && !t->ended)
			stack_after_step(t);
		t->other_stack |= loads_rsp(&t->steps[t->current]);
	}
	t->page = t->home;
	t->current = t->count - 1;
	translation_note(t, t->count, t->next);
	if (t->stack && !t->ended)
		stack_at_end(t);
	if (!t->ended)
		emit_goto(t, t->next, translation_step(t)->live_after);
	loop_end(t);
	for (unsigned i = 0; i < t->stub_count; i++)
		write_stub(t, &t->stubs[i]);
}

/* The whole */

static void fill_block(struct translation *t)
{
	const struct step *last = &t->steps[t->count - 1];
	struct block *block = t->block;

	CHECK(t->reg_entry - t->start == (int8_t)(t->reg_entry - t->start) && t->count < 128);
	callee_end_block(t);
	block->reg_entry = (int8_t)(t->reg_entry - t->start);
	block->end = (uint16_t)(last->offset + last->insn.length);
	block->scan_low = (uint16_t)t->scan_low;
	block->scan_high = (uint16_t)t->scan_high;
	block->count = (t->count - t->callee.count) & 127;
	t->code->count_rounds += t->goes_round;
	block->loops = t->goes_round || (t->loop_head && !mode_has_kick_entry(t->mode));
	t->code->note_count += note_write(t->code->notes + block->notes, t->notes, block->count);
}

static void translation_init(struct translation *t, struct cpu *cpu, uint64_t physical,
			     const uint8_t *page, bool crossing)
{
	struct machine_code *code = cpu->code;

	t->code = code;
	t->cpu = cpu;
	t->page = t->home = (struct code_page){page, physical & ~4095ull, cpu->rip & ~4095ull};
	t->callee.first = t->callee.count = t->callee.jump_count = 0;
	t->mode = cpu->mode;
	t->view = cpu->view;
	t->placed = mode_is_placed(t->mode);
	t->windows = (t->mode & MODE_WINDOW) && code_uses_windows(code, t->page.physical);
	t->stack = t->mode & MODE_WINDOW;
	t->returns = mode_has_returns(t->mode);
	t->stack_moved = 0;
	t->count = t->branches = t->calls = t->stub_count = 0;
	t->near_count[false] = t->near_count[true] = 0;
	t->other_stack = false;
	t->other_slots[false] = t->other_slots[true] = 0;
	t->next = physical & 4095;
	t->scan_low = 4096;
	t->scan_high = 0;
	t->crossing = crossing;
	t->block = &code->blocks[code->block_count + crossing];
	*t->block = (struct block){
		.page = (uint32_t)(physical >> 12),
		.start = physical & 4095,
		.crosses = crossing,
		.mode = (uint8_t)cpu->mode,
		.linear = block_linear(cpu->rip, cpu->mode),
		.notes = code->note_count,
	};
}

_Static_assert(MODE_WINDOW <= UINT8_MAX, "a block's mode");

static struct block *make(struct translation *t)
{
	find_flags(t);
	place(t);
	callee_begin_block(t);
	write(t);
	CHECK((size_t)(t->emit.at - t->code->memory.write) - t->code->code_used <=
	      CODE_BLOCK_BYTES);
	fill_block(t);
	code_publish(t->code, t->block, (uint32_t)(t->emit.at - t->code->memory.write));
	t->cpu->count_blocks++;
	return t->block;
}

struct block *translate_block(struct cpu *cpu, uint64_t physical, const uint8_t *page)
{
	struct translation *t = cpu->code->translation;

	translation_init(t, cpu, physical, page, false);
	decode(t);
	return make(t);
}

struct block *translate_crossing(struct cpu *cpu, uint64_t physical, uint64_t second,
				 const uint8_t *page, const uint8_t bytes[16])
{
	struct translation *t = cpu->code->translation;

	translation_init(t, cpu, physical, page, true);
	bytes_copy(t->steps[0].bytes, bytes, 16);
	decode_bytes(t, 15);
	if (t->steps[0].interpret || t->next <= 4096)
		return NULL;
	t->block[-1] = (struct block){
		.page = (uint32_t)(second >> 12),
		.end = (uint16_t)(t->next - 4096),
		.scan_low = 4096,
		.mode = t->block->mode,
		.second = true,
		.dropped = true,
	};
	return make(t);
}
