/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions that the translator writes out: the stack, lea, and what is hardly anything. */
#include "engines/translate/translation.h"

#include "x86/handlers.h"
#include "x86/registers.h"

/* T0 = host address of 8 bytes at guest's rsp + displacement. */
static void emit_stack_lookup(struct translation *t, int32_t displacement, bool write)
{
	flags_clobber(t, translation_step(t)->live_before);
	emit_add(&t->emit, T0, HOST_RSP, displacement);
	emit_lookup(t, 8, write, PAGE_STACK);
}

/*
 * Runs of push and pop share one look-up. If it fails, the interpreter does the first of them, and
 * behind the block is the rest once more, one by one (STUB_REST).
 */
#define STACK_RUN_MAX 8u

static bool is_plain(const struct step *step, unsigned handler)
{
	const struct insn *insn = &step->insn;

	return !step->interpret && insn->op->handler == handler && insn->operand_size == 8 &&
	       !insn->memory && insn->op->operand[0].kind != OPERAND_IMM && insn->rm != RSP;
}

static unsigned stack_run(const struct translation *t, unsigned handler)
{
	unsigned count = 0;

	while (count < STACK_RUN_MAX && t->current + count < t->count &&
	       is_plain(&t->steps[t->current + count], handler))
		count++;
	return count;
}

/* rm to or from [rsp + T0 + offset]. */
static void emit_window_slot(struct translation *t, const struct insn *insn, bool push,
			     int32_t offset)
{
	unsigned held = is_spilled(insn->rm) ? T1 : host_register(insn->rm);

	if (push)
		held = register_get(t, insn->rm, T1);
	emit_memory(&t->emit, push ? EMIT_STORE : EMIT_LOAD, 8, held, HOST_RSP, T0, 1, offset);
	if (!push)
		register_put(t, insn->rm, held);
}

/* rm to or from [T0 + offset]. */
static void emit_slot(struct translation *t, const struct insn *insn, bool push, int32_t offset)
{
	unsigned held = is_spilled(insn->rm) ? T1 : host_register(insn->rm);

	if (push) {
		held = register_get(t, insn->rm, T1);
		emit_based(&t->emit, EMIT_STORE, 8, held, T0, offset);
	} else {
		emit_based(&t->emit, EMIT_LOAD, 8, held, T0, offset);
		register_put(t, insn->rm, held);
	}
}

static bool translate_stack_run(struct translation *t, bool push)
{
	unsigned first = t->current, count = stack_run(t, push ? HANDLER_PUSH : HANDLER_POP);
	int32_t size = (int32_t)count * 8;
	struct stub *rest;

	if (count < 2)
		return false;
	if (t->stack) {
		emit_stack_delta(t, T0);
	} else {
		flags_clobber(t, translation_step(t)->live_before);
		emit_add(&t->emit, T0, HOST_RSP, push ? -size : 0);
		t->looked_up = true;
		emit_lookup(t, (unsigned)size, push, PAGE_STACK);
	}
	for (unsigned i = 0; i < count; i++) {
		const struct insn *insn = &t->steps[first + i].insn;
		int32_t offset = (int32_t)i * 8;

		if (t->stack)
			emit_window_slot(t, insn, push, push ? -8 - offset : offset);
		else
			emit_slot(t, insn, push, push ? size - 8 - offset : offset);
	}
	emit_add(&t->emit, HOST_RSP, HOST_RSP, push ? -size : size);
	rest = translation_stub(t, STUB_REST, NULL);
	rest->size = (uint8_t)count;
	rest->write = push;
	rest->state = (uint8_t)t->state;
	rest->back = t->emit.at;
	t->current = first + count - 1;
	return true;
}

/* Neither through a recent_entry nor a window: notes do not tell where a fault here comes from. */
void emit_stack_rest(struct translation *t, const struct stub *stub)
{
	const unsigned first = stub->step, count = stub->size;
	const bool push = stub->write;
	uint8_t *back = stub->back;

	t->state = stub->state;
	for (unsigned i = 1; i < count; i++) {
		t->current = first + i;
		t->looked_up = false;
		translation_note(t, t->current, translation_step(t)->offset);
		flags_clobber(t, translation_step(t)->live_before);
		emit_add(&t->emit, T0, HOST_RSP, push ? -8 : 0);
		emit_lookup(t, 8, push, PAGE_ANY);
		emit_slot(t, &translation_step(t)->insn, push, 0);
		emit_add(&t->emit, HOST_RSP, HOST_RSP, push ? -8 : 8);
	}
	if ((stub->state & FLAGS_IN_REG) && translation_step(t)->live_after)
		flags_need(t);
	emit_jump(&t->emit, back);
}

/* push [memory]: the value waits in cpu->scratch for the second look-up. */
static bool push_memory(struct translation *t, const struct insn *insn)
{
	flags_clobber(t, translation_step(t)->live_before);
	if (!emit_operand_address(t, insn, true))
		return false;
	emit_lookup(t, 8, false, operand_page(insn));
	emit_based(&t->emit, EMIT_LOAD, 8, T0, T0, 0);
	if (t->stack) {
		emit_stack_store(t, T0, -8);
	} else {
		emit_cpu(&t->emit, EMIT_STORE, 8, T0, offsetof(struct cpu, scratch));
		emit_stack_lookup(t, -8, true);
		emit_cpu(&t->emit, EMIT_LOAD, 8, T1, offsetof(struct cpu, scratch));
		emit_based(&t->emit, EMIT_STORE, 8, T1, T0, 0);
	}
	emit_add(&t->emit, HOST_RSP, HOST_RSP, -8);
	return true;
}

static bool translate_push(struct translation *t, const struct insn *insn)
{
	unsigned kind = insn->op->operand[0].kind;

	if (insn->operand_size != 8)
		return false;
	if (insn->memory)
		return push_memory(t, insn);
	if (translate_stack_run(t, true))
		return true;
	if (t->stack) {
		emit_stack_delta(t, T0);
		if (kind == OPERAND_IMM)
			emit_store_constant(&t->emit, HOST_RSP, T0, -8, (int32_t)insn->immediate);
		else
			emit_window_slot(t, insn, true, -8);
		emit_add(&t->emit, HOST_RSP, HOST_RSP, -8);
		return true;
	}
	emit_stack_lookup(t, -8, true);
	if (kind == OPERAND_IMM)
		emit_store_constant(&t->emit, T0, INSN_NO_REGISTER, 0, (int32_t)insn->immediate);
	else
		emit_based(&t->emit, EMIT_STORE, 8, register_get(t, insn->rm, T1), T0, 0);
	emit_add(&t->emit, HOST_RSP, HOST_RSP, -8);
	return true;
}

static bool translate_pop(struct translation *t, const struct insn *insn)
{
	if (insn->operand_size != 8 || insn->memory)
		return false;
	if (translate_stack_run(t, false))
		return true;
	if (t->stack) {
		emit_stack_delta(t, T0);
		emit_window_slot(t, insn, false, 0);
		if (insn->rm != RSP)
			emit_add(&t->emit, HOST_RSP, HOST_RSP, 8);
		return true;
	}
	emit_stack_lookup(t, 0, false);
	if (is_spilled(insn->rm)) {
		emit_based(&t->emit, EMIT_LOAD, 8, T1, T0, 0);
		register_put(t, insn->rm, T1);
	} else {
		emit_based(&t->emit, EMIT_LOAD, 8, host_register(insn->rm), T0, 0);
	}
	if (insn->rm != RSP)
		emit_add(&t->emit, HOST_RSP, HOST_RSP, 8);
	return true;
}

static bool translate_leave_insn(struct translation *t, const struct insn *insn)
{
	if (insn->operand_size != 8)
		return false;
	if (t->stack) {
		emit_stack_leave(t);
		return true;
	}
	flags_clobber(t, translation_step(t)->live_before);
	emit_move(&t->emit, T0, RBP);
	emit_lookup(t, 8, false, PAGE_STACK);
	/* The load may still fault, through an empty slot: it comes before any change. */
	emit_based(&t->emit, EMIT_LOAD, 8, T0, T0, 0);
	emit_add(&t->emit, HOST_RSP, RBP, 8);
	emit_move(&t->emit, RBP, T0);
	return true;
}

static bool translate_lea(struct translation *t, const struct insn *insn)
{
	unsigned to = host_register(insn->reg);

	/* The plain case: what the guest's lea says, in one. */
	if (insn->operand_size >= 4 && insn->address_size == 8 && !is_spilled(insn->reg) &&
	    insn->base <= R15 && !is_spilled(insn->base) && !is_spilled(insn->index)) {
		emit_memory(&t->emit, EMIT_LEA, insn->operand_size, to, host_register(insn->base),
			    insn->index == INSN_NO_REGISTER ? INSN_NO_REGISTER
							    : host_register(insn->index),
			    insn->scale, (int32_t)insn->displacement);
		return true;
	}
	if (!emit_operand_address(t, insn, false))
		return false;
	if (insn->operand_size == 2)
		register_put_word(t, insn->reg, T0);
	else if (insn->operand_size == 4 && !is_spilled(insn->reg))
		emit_registers(&t->emit, EMIT_LOAD, 4, to, T0);
	else {
		if (insn->operand_size == 4)
			emit_registers(&t->emit, EMIT_LOAD, 4, T0, T0);
		register_put(t, insn->reg, T0);
	}
	return true;
}

/* rax is wanted for the status flags, whose form in cpu->flags has them in ah and OF in al. */
static bool translate_pushf(struct translation *t, const struct insn *insn)
{
	struct emit *emit = &t->emit;

	if (insn->operand_size != 8)
		return false;
	flags_clobber(t, FLAG_STATUS);
	if (!t->stack)
		emit_stack_lookup(t, -8, true);
	emit_u8(emit, 0x50); /* push rax */
	emit_cpu_load16(emit, RAX, offsetof(struct cpu, flags));
	emit_registers(emit, EMIT_LOAD, 4, T1, RAX);
	emit_shift(emit, GROUP_SHR, 4, T1, 8);
	emit_group(emit, GROUP_AND, 4, RAX, 1);
	emit_shift(emit, GROUP_SHL, 4, RAX, 11);
	emit_registers(emit, EMIT_OR, 4, T1, RAX);
	emit_u8(emit, 0x58); /* pop rax */
	emit_cpu(emit, EMIT_OR, 8, T1, offsetof(struct cpu, rflags));
	emit_group(emit, GROUP_AND, 8, T1, (int32_t) ~(uint32_t)(FLAG_VM | FLAG_RF));
	if (t->stack)
		emit_stack_store(t, T1, -8);
	else
		emit_based(emit, EMIT_STORE, 8, T1, T0, 0);
	emit_add(emit, HOST_RSP, HOST_RSP, -8);
	return true;
}

/* Strings: rep movs and stos of up to a page, when they stay in their pages; else by call-out. */

/* Goes the slow way if rcx elements from the pointer on leave its page. */
static void check_string(struct translation *t, unsigned pointer, unsigned size)
{
	emit_move(&t->emit, T0, pointer);
	emit_group(&t->emit, GROUP_AND, 4, T0, 4095);
	emit_memory(&t->emit, EMIT_LEA, 8, T0, T0, RCX, size, 0);
	emit_group(&t->emit, GROUP_CMP, 4, T0, 4096);
	emit_slow_call(t, CONDITION_A);
}

/* T1 = pointer - T0, pointer = T0: what to add when it is done. */
static void exchange_pointer(struct translation *t, unsigned pointer)
{
	emit_move(&t->emit, T1, pointer);
	emit_registers(&t->emit, EMIT_SUB, 8, T1, T0);
	emit_move(&t->emit, pointer, T0);
}

static bool translate_string(struct translation *t, const struct insn *insn, bool move)
{
	unsigned size = insn_operand_bytes(insn, &insn->op->operand[0]);
	const uint32_t scratch = offsetof(struct cpu, scratch);
	struct emit *emit = &t->emit;

	if (!insn->rep || insn->address_size != 8 || insn->segment == SEGMENT_FS ||
	    insn->segment == SEGMENT_GS)
		return false;
	flags_clobber(t, translation_step(t)->live_before);
	emit_cpu_test_bits(emit, offsetof(struct cpu, rflags), FLAG_DF);
	emit_slow_call(t, CONDITION_NZ);
	emit_add(emit, T0, RCX, -1);
	emit_group(emit, GROUP_CMP, 8, T0, (int32_t)(4096 / size - 1));
	emit_slow_call(t, CONDITION_A);
	check_string(t, RDI, size);
	if (move) {
		check_string(t, RSI, size);
		emit_move(emit, T0, RSI);
		emit_lookup(t, 1, false, PAGE_ANY);
		emit_cpu(emit, EMIT_STORE, 8, T0, scratch);
	}
	emit_move(emit, T0, RDI);
	emit_lookup(t, 1, true, PAGE_ANY);
	if (move) {
		emit_move(emit, T1, RSI);
		emit_cpu(emit, EMIT_SUB, 8, T1, scratch);
		emit_cpu(emit, EMIT_LOAD, 8, RSI, scratch);
		emit_cpu(emit, EMIT_STORE, 8, T1, scratch);
	}
	exchange_pointer(t, RDI);
	emit_u8(emit, 0xf3);
	if (size == 2)
		emit_u8(emit, 0x66);
	emit_rex(emit, size, 0, 0, 0);
	emit_u8(emit, (move ? 0xa4 : 0xaa) | (size > 1));
	emit_registers(emit, EMIT_ADD, 8, RDI, T1);
	if (move)
		emit_cpu(emit, EMIT_ADD, 8, RSI, scratch);
	return true;
}

/*
 * bt, bts, btr and btc of memory, whose element the register chooses: it may be far from the
 * operand.
 */
static bool translate_bit_string(struct translation *t, const struct insn *insn)
{
	/* Only CF is theirs: the others may be wanted as they were. */
	bool keeps = translation_step(t)->live_after & ~insn_flags_killed(insn);
	unsigned size = insn->operand_size, bit;
	bool write = insn->opcode != 0xa3;
	struct emit *emit = &t->emit;

	if (size == 2 || insn->address_size != 8 || (write && keeps))
		return false;
	flags_clobber(t, translation_step(t)->live_before);
	if (!emit_operand_address(t, insn, true))
		return false;
	bit = register_get(t, insn->reg, T1);
	emit_registers(emit, size == 8 ? EMIT_LOAD : EMIT_MOVSXD, 8, T1, bit);
	emit_shift(emit, GROUP_SAR, 8, T1, size == 8 ? 6 : 5);
	emit_memory(emit, EMIT_LEA, 8, T0, T0, T1, size, 0);
	emit_lookup(t, size, write, PAGE_ANY);
	if (keeps)
		flags_need(t);
	bit = register_get(t, insn->reg, T1);
	if (write) {
		emit_registers(emit, EMIT_LOAD, 4, T1, bit);
		emit_group(emit, GROUP_AND, 4, T1, (int32_t)size * 8 - 1);
		bit = T1;
		if (insn->lock)
			emit_u8(emit, 0xf0);
	} else {
		emit_based(emit, EMIT_LOAD, size, T0, T0, 0);
	}
	emit_rex(emit, size, bit, 0, T0);
	emit_u16(emit, (uint16_t)(0x0f | insn->opcode << 8));
	emit_u8(emit, (write ? 0 : 0xc0) | (bit & 7) << 3 | (T0 & 7)); /* [T0] or T0 */
	t->state = FLAGS_IN_REG;
	return true;
}

bool translate_inline(struct translation *t)
{
	const struct insn *insn = &translation_step(t)->insn;

	switch (insn->op->handler) {
	case HANDLER_PUSH:
		return translate_push(t, insn);
	case HANDLER_POP:
		return translate_pop(t, insn);
	case HANDLER_LEAVE:
		return translate_leave_insn(t, insn);
	case HANDLER_LEA:
		return translate_lea(t, insn);
	case HANDLER_PUSHF:
		return translate_pushf(t, insn);
	case HANDLER_STOS:
		return translate_string(t, insn, false);
	case HANDLER_MOVS:
		return translate_string(t, insn, true);
	case HANDLER_NOP:
	case HANDLER_PREFETCH:
		return true;
	case HANDLER_PAUSE: /* with other vcpus to wait for, it may end in the host */
		if (t->code->vm->vcpu_count > 1)
			return false;
		emit_u16(&t->emit, 0x90f3);
		return true;
	case HANDLER_BIT_STRING:
		return translate_bit_string(t, insn);
	default:
		return translate_system(t);
	}
}
