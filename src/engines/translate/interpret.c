/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One instruction at a time: fetch, decode, the checks that every instruction shares, and on to its
 * handler or to the host's own processor (copy.h).
 */
#include "engines/translate/interpret.h"

#include "core/vm.h"
#include "engines/translate/copy.h"
#include "engines/translate/engine.h"
#include "engines/translate/exception.h"
#include "engines/translate/mmu.h"
#include "lib/format.h"
#include "x86/cpuid.h"
#include "x86/registers.h"

static void log_unknown(struct cpu *cpu, const uint8_t *bytes, unsigned count)
{
	static const char digits[] = "0123456789abcdef";
	char text[INSN_MAX_LENGTH * 3 + 1];
	unsigned place = 0;

	for (unsigned i = 0; i < count && i < INSN_MAX_LENGTH; i++) {
		text[place++] = digits[bytes[i] >> 4];
		text[place++] = digits[bytes[i] & 15];
		text[place++] = ' ';
	}
	text[place ? place - 1 : 0] = 0;
	engine_log_once(cpu, ENGINE_LOG_INSTRUCTION,
			"instruction not implemented at %#llx: %s (#UD)",
			(unsigned long long)cpu->rip, text);
}

/* ud0, ud1, ud2 and bytes that no processor takes raise #UD by right; what we lack is logged. */
_Noreturn static void raise_undefined(struct cpu *cpu)
{
	exception_raise(cpu, EXCEPTION_UD);
}

#define XCR0_AVX 6u

/* Why SSE, AVX or x87 cannot run now. */
static unsigned sse_exception(const struct cpu *cpu)
{
	return (cpu->cr0 & CR0_EM) || !(cpu->cr4 & CR4_OSFXSR) ? EXCEPTION_UD : EXCEPTION_NM;
}

static unsigned avx_exception(const struct cpu *cpu)
{
	return !(cpu->cr4 & CR4_OSXSAVE) || (cpu->xcr0 & XCR0_AVX) != XCR0_AVX ? EXCEPTION_UD
									       : EXCEPTION_NM;
}

static unsigned x87_exception(const struct cpu *cpu, bool mmx)
{
	return mmx && (cpu->cr0 & CR0_EM) ? EXCEPTION_UD : EXCEPTION_NM;
}

/* What class of state the instruction needs, as the mode allows it: #UD or #NM. */
static void check_vector(struct cpu *cpu, const struct opcode *op)
{
	if ((op->attributes & OP_AVX) && !(cpu->mode & MODE_AVX))
		exception_raise(cpu, avx_exception(cpu));
	if ((op->attributes & OP_SSE) && !(cpu->mode & MODE_SSE))
		exception_raise(cpu, sse_exception(cpu));
	if ((op->attributes & OP_WAIT) && (cpu->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
		exception_raise(cpu, EXCEPTION_NM);
	if ((op->attributes & (OP_X87 | OP_MMX)) && !(cpu->mode & MODE_X87))
		exception_raise(cpu, x87_exception(cpu, op->attributes & OP_MMX));
}

static void check(struct cpu *cpu, const struct insn *insn)
{
	const struct opcode *op = insn->op;

	if (op->feature && !cpu_model_has(cpu->vm->cpu_model, op->feature))
		raise_undefined(cpu);
	if ((op->attributes & OP_MODE_DEPENDENT_REAL) &&
	    (!(cpu->cr0 & CR0_PE) || (cpu->rflags & FLAG_VM)))
		raise_undefined(cpu);
	if (op->attributes & (OP_AVX | OP_SSE | OP_X87 | OP_MMX | OP_WAIT))
		check_vector(cpu, op);
	if ((op->attributes & OP_CPL0) && cpu->cpl)
		exception_raise_error(cpu, EXCEPTION_GP, 0);
}

static inline void carry_out(struct cpu *cpu, const struct insn *insn)
{
	uint64_t next = cpu->rip + insn->length;

	cpu->next_rip = cpu_code_size(cpu) == CODE_64 ? next : (uint32_t)next;
	cpu->rflags &= ~FLAG_RF;
	if (insn->op->class == CLASS_COPY)
		copy_run(cpu, insn);
	else
		handler_table[insn->op->handler](cpu, insn);
	cpu->rip = cpu->next_rip;
}

void interpret_insn(struct cpu *cpu, const struct insn *insn)
{
	check(cpu, insn);
	carry_out(cpu, insn);
}

void interpret_checked(struct cpu *cpu, const struct insn *insn)
{
	if (cpu->cpl == 1 || cpu->cpl == 2)
		check(cpu, insn);
	carry_out(cpu, insn);
}

/* The instruction's bytes from RAM (fast) or across pages. */
static enum decode_result fetch_and_decode(struct cpu *cpu, struct insn *insn, uint8_t bytes[16],
					   unsigned *count, uint64_t *fault_at)
{
	enum code_size size = cpu_code_size(cpu);
	uint64_t linear =
		size == CODE_64 ? cpu->rip : (uint32_t)(cpu->segment[SEGMENT_CS].base + cpu->rip);

	*count = mmu_fetch(cpu, linear, bytes, fault_at);
	return insn_decode(insn, bytes, *count, size);
}

/* rip beyond CS's limit, or not canonical. */
static void check_rip(struct cpu *cpu)
{
	if (cpu_code_size(cpu) == CODE_64) {
		if ((int64_t)(cpu->rip << 16) >> 16 != (int64_t)cpu->rip)
			exception_raise_error(cpu, EXCEPTION_GP, 0);
	} else if (cpu->rip > cpu->segment[SEGMENT_CS].limit) {
		exception_raise_error(cpu, EXCEPTION_GP, 0);
	}
}

/* The rest of the instruction is on a page that could not be fetched from: raises, unless another
 * vcpu has mapped it meanwhile, or it is no memory (false). */
static bool page_came(struct cpu *cpu, uint64_t linear)
{
	uint8_t bytes[16];
	uint64_t fault_at;

	return mmu_fetch(cpu, linear, bytes, &fault_at) > 0;
}

void interpret(struct cpu *cpu)
{
	struct insn *insn = &cpu->insn;
	uint8_t bytes[16];
	uint64_t fault_at = 0;
	enum decode_result result;
	unsigned count;

	check_rip(cpu);
	do
		result = fetch_and_decode(cpu, insn, bytes, &count, &fault_at);
	while (result == DECODE_MORE && count < INSN_MAX_LENGTH && page_came(cpu, fault_at));
	switch (result) {
	case DECODE_OK:
		if (!cpu_model_has(cpu->vm->cpu_model, insn->op->feature))
			insn_fall_back(insn);
		break;
	case DECODE_MORE:
	case DECODE_TOO_LONG:
		exception_raise_error(cpu, EXCEPTION_GP, 0);
	case DECODE_INVALID:
		log_unknown(cpu, bytes, insn->length ? insn->length : count);
		raise_undefined(cpu);
	}
	if (insn->op->class != CLASS_COPY && !handler_table[insn->op->handler]) {
		log_unknown(cpu, bytes, insn->length);
		raise_undefined(cpu);
	}
	interpret_insn(cpu, insn);
}
