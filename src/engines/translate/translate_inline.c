/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions that the translator writes out: the stack, lea, and what is hardly anything. */
#include "engines/translate/translation.h"

#include "x86/handlers.h"

/* T0 = host address of 8 bytes at guest's rsp + displacement. */
static void emit_stack_lookup(struct translation *t, int32_t displacement, bool write)
{
	flags_clobber(t, translation_step(t)->live_before);
	emit_add(&t->emit, T0, HOST_RSP, displacement);
	emit_lookup(t, 8, write);
}

/* push [memory]: the value waits in cpu->scratch for the second look-up. */
static bool push_memory(struct translation *t, const struct insn *insn)
{
	flags_clobber(t, translation_step(t)->live_before);
	if (!emit_operand_address(t, insn, true))
		return false;
	emit_lookup(t, 8, false);
	emit_based(&t->emit, EMIT_LOAD, 8, T0, T0, 0);
	emit_cpu(&t->emit, EMIT_STORE, 8, T0, offsetof(struct cpu, scratch));
	emit_stack_lookup(t, -8, true);
	emit_cpu(&t->emit, EMIT_LOAD, 8, T1, offsetof(struct cpu, scratch));
	emit_based(&t->emit, EMIT_STORE, 8, T1, T0, 0);
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
	emit_stack_lookup(t, -8, true);
	if (kind == OPERAND_IMM)
		emit_store_constant(&t->emit, T0, (int32_t)insn->immediate);
	else
		emit_based(&t->emit, EMIT_STORE, 8, register_get(t, insn->rm, T1), T0, 0);
	emit_add(&t->emit, HOST_RSP, HOST_RSP, -8);
	return true;
}

static bool translate_pop(struct translation *t, const struct insn *insn)
{
	if (insn->operand_size != 8 || insn->memory)
		return false;
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
	flags_clobber(t, translation_step(t)->live_before);
	emit_move(&t->emit, T0, RBP);
	emit_lookup(t, 8, false);
	emit_add(&t->emit, HOST_RSP, RBP, 8);
	emit_based(&t->emit, EMIT_LOAD, 8, RBP, T0, 0);
	return true;
}

/* mov word host, T0 or mov word gs:[gpr], T0: the upper bits stay. */
static void put_word(struct translation *t, unsigned number)
{
	if (is_spilled(number)) {
		emit_cpu(&t->emit, EMIT_STORE, 2, T0, gpr_offset(number));
		return;
	}
	emit_u8(&t->emit, 0x66);
	emit_registers(&t->emit, EMIT_LOAD, 4, host_register(number), T0);
}

static bool translate_lea(struct translation *t, const struct insn *insn)
{
	unsigned to = host_register(insn->reg);

	/* The plain case: what the guest's lea says, in one. */
	if (insn->operand_size >= 4 && insn->address_size == 8 && !is_spilled(insn->reg) &&
	    insn->base < R13 && !is_spilled(insn->index)) {
		emit_memory(&t->emit, EMIT_LEA, insn->operand_size, to, host_register(insn->base),
			    insn->index == INSN_NO_REGISTER ? INSN_NO_REGISTER
							    : host_register(insn->index),
			    insn->scale, (int32_t)insn->displacement);
		return true;
	}
	if (!emit_operand_address(t, insn, false))
		return false;
	if (insn->operand_size == 2)
		put_word(t, insn->reg);
	else if (insn->operand_size == 4 && !is_spilled(insn->reg))
		emit_registers(&t->emit, EMIT_LOAD, 4, to, T0);
	else {
		if (insn->operand_size == 4)
			emit_registers(&t->emit, EMIT_LOAD, 4, T0, T0);
		register_put(t, insn->reg, T0);
	}
	return true;
}

/* Sets or clears bits of cpu->rflags. */
static void emit_rflags(struct translation *t, enum emit_group group, uint32_t bits)
{
	emit_cpu_group32(&t->emit, group, offsetof(struct cpu, rflags), bits);
}

/* At CPL 0 always allowed; the interpreter looks at IOPL otherwise. */
static bool translate_cli(struct translation *t)
{
	struct stub *stub;

	if (t->view == VIEW_USER)
		return false;
	flags_clobber(t, translation_step(t)->live_before);
	emit_cpu_compare8(&t->emit, offsetof(struct cpu, cpl), 0);
	stub = translation_stub(t, STUB_READ, emit_jcc_open(&t->emit, CONDITION_NZ, false));
	stub->size = 0;
	emit_rflags(t, GROUP_AND, ~(uint32_t)FLAG_IF);
	return true;
}

static bool translate_direction(struct translation *t, bool set)
{
	flags_clobber(t, translation_step(t)->live_before);
	if (set)
		emit_rflags(t, GROUP_OR, FLAG_DF);
	else
		emit_rflags(t, GROUP_AND, ~(uint32_t)FLAG_DF);
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
	case HANDLER_NOP:
	case HANDLER_PREFETCH:
		return true;
	case HANDLER_PAUSE: /* with other vcpus to wait for, it may end in the host */
		if (t->code->vm->vcpu_count > 1)
			return false;
		emit_u16(&t->emit, 0x90f3);
		return true;
	case HANDLER_CLD:
		return translate_direction(t, false);
	case HANDLER_STD:
		return translate_direction(t, true);
	case HANDLER_CLI:
		return translate_cli(t);
	default:
		return false;
	}
}
