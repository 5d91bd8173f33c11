/* SPDX-License-Identifier: BSD-2-Clause */
/* RFLAGS beyond the status flags. Source: Intel SDM volume 2, PUSHF, POPF, CLI, STI, CLAC, STAC. */
#include "engines/translate/exception.h"
#include "engines/translate/handlers.h"
#include "engines/translate/segment.h"

static unsigned iopl(const struct cpu *cpu)
{
	return (cpu->rflags & FLAG_IOPL) >> 12;
}

static unsigned slot_size(const struct cpu *cpu, const struct insn *insn)
{
	return cpu_code_size(cpu) == CODE_64 && insn->operand_size != 2 ? 8 : insn->operand_size;
}

static void check_vm86(struct cpu *cpu)
{
	if (cpu_vm86(cpu) && iopl(cpu) < 3)
		exception_raise_error(cpu, EXCEPTION_GP, 0);
}

static void check_iopl(struct cpu *cpu)
{
	if (cpu->cpl > iopl(cpu))
		exception_raise_error(cpu, EXCEPTION_GP, 0);
}

void handle_pushf(struct cpu *cpu, const struct insn *insn)
{
	check_vm86(cpu);
	stack_push(cpu, slot_size(cpu, insn), cpu_rflags(cpu) & ~(FLAG_VM | FLAG_RF));
}

void handle_popf(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = slot_size(cpu, insn);
	uint64_t mask, value;

	check_vm86(cpu);
	mask = flags_writable(cpu, size) & ~FLAG_RF;
	if (cpu_vm86(cpu))
		mask &= ~FLAG_IOPL;
	value = stack_pop(cpu, size);
	cpu_set_rflags(cpu, (cpu_rflags(cpu) & ~mask) | (value & mask));
	cpu_mode_changed(cpu);
}

void handle_cli(struct cpu *cpu, const struct insn *insn)
{
	check_iopl(cpu);
	cpu->rflags &= ~(uint64_t)FLAG_IF;
}

void handle_sti(struct cpu *cpu, const struct insn *insn)
{
	check_iopl(cpu);
	if (!(cpu->rflags & FLAG_IF))
		cpu->interrupt_shadow = SHADOW_STI;
	cpu->rflags |= FLAG_IF;
}

static void set_ac(struct cpu *cpu, bool set)
{
	if (cpu->cpl)
		exception_raise(cpu, EXCEPTION_UD);
	cpu->rflags = set ? cpu->rflags | FLAG_AC : cpu->rflags & ~FLAG_AC;
	cpu_mode_changed(cpu);
}

void handle_clac(struct cpu *cpu, const struct insn *insn)
{
	set_ac(cpu, false);
}

void handle_stac(struct cpu *cpu, const struct insn *insn)
{
	set_ac(cpu, true);
}
