/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What mostly kernels run: interrupts on and off, time, segments and their bases. Whatever the
 * processor would check of the mode is checked by the code, which calls the interpreter's handler
 * where that is not the usual case.
 */
#include "engines/translate/translation.h"

#include "x86/handlers.h"
#include "x86/paging.h"
#include "x86/registers.h"

/* Sets or clears bits of cpu->rflags. */
static void emit_rflags(struct translation *t, enum emit_group group, uint32_t bits)
{
	emit_cpu_group32(&t->emit, group, offsetof(struct cpu, rflags), bits);
}

/* Views tell user code from the rest, of which level 0 alone is a kernel. False in user code. */
static bool level_0(struct translation *t)
{
	if (t->view == VIEW_USER)
		return false;
	flags_clobber(t, translation_step(t)->live_before);
	emit_cpu_compare8(&t->emit, offsetof(struct cpu, cpl), 0);
	return true;
}

/* At CPL 0 always allowed; the interpreter looks at IOPL otherwise. */
static bool translate_cli(struct translation *t)
{
	if (!level_0(t))
		return false;
	emit_slow_call(t, CONDITION_NZ);
	emit_rflags(t, GROUP_AND, ~(uint32_t)FLAG_IF);
	return true;
}

/*
 * Where an event is pending, the handler sees to it, and to the instruction behind that it must not
 * come before. One that comes later sets kick, which nothing tests before that instruction is done,
 * for it is in the same block; otherwise the handler, which knows of the shadow, does all.
 */
bool translate_sti(struct translation *t)
{
	struct emit *emit = &t->emit;

	if (t->current + 1 == t->count || !level_0(t))
		return false;
	translation_stub(t, STUB_END, emit_jcc_open(emit, CONDITION_NZ, false));
	emit_cpu(emit, EMIT_LOAD, 8, T0, offsetof(struct cpu, vcpu));
	emit_test32(emit, T0, offsetof(struct vcpu, pending));
	translation_stub(t, STUB_END, emit_jcc_open(emit, CONDITION_NZ, false));
	emit_rflags(t, GROUP_OR, FLAG_IF);
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

/* With CR4.TSD the handler knows who may. */
static bool translate_rdtsc(struct translation *t, bool aux)
{
	struct emit *emit = &t->emit;

	flags_clobber(t, translation_step(t)->live_before);
	emit_cpu_test_bits(emit, offsetof(struct cpu, cr4), CR4_TSD);
	emit_slow_call(t, CONDITION_NZ);
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

/* Segments */

static uint32_t segment_offset(unsigned number, size_t member)
{
	return (uint32_t)(offsetof(struct cpu, segment) + number * sizeof(struct segment) + member);
}

static bool translate_swapgs(struct translation *t)
{
	const uint32_t base = segment_offset(SEGMENT_GS, offsetof(struct segment, base)),
		       other = offsetof(struct cpu, kernel_gs_base);
	struct emit *emit = &t->emit;

	if (!level_0(t))
		return false;
	emit_slow_call(t, CONDITION_NZ);
	emit_cpu(emit, EMIT_LOAD, 8, T0, base);
	emit_cpu(emit, EMIT_LOAD, 8, T1, other);
	emit_cpu(emit, EMIT_STORE, 8, T0, other);
	emit_cpu(emit, EMIT_STORE, 8, T1, base);
	return true;
}

static bool translate_from_segment(struct translation *t, const struct insn *insn)
{
	if (insn->memory || insn->reg > SEGMENT_GS)
		return false;
	emit_cpu_load16(&t->emit, T0,
			segment_offset(insn->reg, offsetof(struct segment, selector)));
	if (insn->operand_size == 2)
		register_put_word(t, insn->rm, T0);
	else
		register_put(t, insn->rm, T0);
	return true;
}

/* rdfsbase, rdgsbase, wrfsbase, wrgsbase of 64 bits; flags are clobbered behind it. */
static bool translate_base(struct translation *t, const struct insn *insn, unsigned number,
			   bool write)
{
	const uint32_t base = segment_offset(number, offsetof(struct segment, base));
	struct emit *emit = &t->emit;
	unsigned from;

	if (!insn->w)
		return false;
	flags_clobber(t, translation_step(t)->live_before);
	emit_cpu_test_bits(emit, offsetof(struct cpu, cr4), CR4_FSGSBASE);
	emit_slow_call(t, CONDITION_Z);
	if (!write) {
		emit_cpu(emit, EMIT_LOAD, 8, T0, base);
		register_put(t, insn->rm, T0);
		return true;
	}
	from = register_get(t, insn->rm, T0);
	emit_move(emit, T1, from);
	emit_shift(emit, GROUP_SHL, 8, T1, 64 - PAGING_LINEAR_BITS);
	emit_shift(emit, GROUP_SAR, 8, T1, 64 - PAGING_LINEAR_BITS);
	emit_registers(emit, EMIT_CMP, 8, T1, from);
	emit_slow_call(t, CONDITION_NZ);
	emit_cpu(emit, EMIT_STORE, 8, T1, base);
	return true;
}

bool translate_system(struct translation *t)
{
	const struct insn *insn = &translation_step(t)->insn;

	switch (insn->op->handler) {
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
	case HANDLER_MOV_FROM_SEGMENT:
		return translate_from_segment(t, insn);
	case HANDLER_RDFSBASE:
		return translate_base(t, insn, SEGMENT_FS, false);
	case HANDLER_RDGSBASE:
		return translate_base(t, insn, SEGMENT_GS, false);
	case HANDLER_WRFSBASE:
		return translate_base(t, insn, SEGMENT_FS, true);
	case HANDLER_WRGSBASE:
		return translate_base(t, insn, SEGMENT_GS, true);
	default:
		return false;
	}
}
