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

static void slow_call(struct translation *t, unsigned condition)
{
	translation_stub(t, STUB_CALL, emit_jcc_open(&t->emit, condition, false));
}

/* With CR4.TSD the handler knows who may. */
static bool translate_rdtsc(struct translation *t, bool aux)
{
	struct emit *emit = &t->emit;

	flags_clobber(t, translation_step(t)->live_before);
	emit_cpu_test_bits(emit, offsetof(struct cpu, cr4), CR4_TSD);
	slow_call(t, CONDITION_NZ);
	emit_u16(emit, 0x310f); /* rdtsc */
	emit_shift(emit, GROUP_SHL, 8, RDX, 32);
	emit_registers(emit, EMIT_OR, 8, RAX, RDX);
	emit_cpu(emit, EMIT_ADD, 8, RAX, offsetof(struct cpu, tsc_offset));
	emit_move(emit, RDX, RAX);
	emit_shift(emit, GROUP_SHR, 8, RDX, 32);
	emit_registers(emit, EMIT_LOAD, 4, RAX, RAX);
	if (aux)
		emit_cpu(emit, EMIT_LOAD, 4, RCX, offsetof(struct cpu, tsc_aux));
	return true;
}

static bool translate_swapgs(struct translation *t)
{
	const uint32_t base = (uint32_t)(offsetof(struct cpu, segment) +
					 SEGMENT_GS * sizeof(struct segment) +
					 offsetof(struct segment, base)),
		       other = offsetof(struct cpu, kernel_gs_base);
	struct emit *emit = &t->emit;

	if (t->view == VIEW_USER)
		return false;
	flags_clobber(t, translation_step(t)->live_before);
	emit_cpu_compare8(emit, offsetof(struct cpu, cpl), 0);
	slow_call(t, CONDITION_NZ);
	emit_cpu(emit, EMIT_LOAD, 8, T0, base);
	emit_cpu(emit, EMIT_LOAD, 8, T1, other);
	emit_cpu(emit, EMIT_STORE, 8, T0, other);
	emit_cpu(emit, EMIT_STORE, 8, T1, base);
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
	emit_u8(emit, 0x50);	    /* push rax */
	emit_u32(emit, 0x04b70f65); /* movzx eax, word gs:[flags] */
	emit_u8(emit, 0x25);
	emit_u32(emit, offsetof(struct cpu, flags));
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

static bool translate_from_segment(struct translation *t, const struct insn *insn)
{
	if (insn->memory || insn->operand_size == 2 || insn->reg > 5)
		return false;
	emit_u8(&t->emit, 0x65); /* movzx T0d, word gs:[selector] */
	emit_rex(&t->emit, 4, T0, 0, 0);
	emit_u16(&t->emit, 0xb70f);
	emit_u16(&t->emit, 0x2504 | (T0 & 7) << 3);
	emit_u32(&t->emit,
		 (uint32_t)(offsetof(struct cpu, segment) + insn->reg * sizeof(struct segment) +
			    offsetof(struct segment, selector)));
	register_put(t, insn->rm, T0);
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
	slow_call(t, CONDITION_A);
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
	slow_call(t, CONDITION_NZ);
	emit_add(emit, T0, RCX, -1);
	emit_group(emit, GROUP_CMP, 8, T0, (int32_t)(4096 / size - 1));
	slow_call(t, CONDITION_A);
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
	case HANDLER_MOV_FROM_SEGMENT:
		return translate_from_segment(t, insn);
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
	case HANDLER_CLD:
		return translate_direction(t, false);
	case HANDLER_STD:
		return translate_direction(t, true);
	case HANDLER_CLI:
		return translate_cli(t);
	case HANDLER_RDTSC:
		return translate_rdtsc(t, false);
	case HANDLER_RDTSCP:
		return translate_rdtsc(t, true);
	case HANDLER_SWAPGS:
		return translate_swapgs(t);
	default:
		return false;
	}
}
