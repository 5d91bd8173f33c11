/* SPDX-License-Identifier: BSD-2-Clause */
/* Near control flow. Source: Intel SDM volume 2, JMP, Jcc, CALL, RET, LOOP. */
#include "engines/translate/exception.h"
#include "engines/translate/handlers.h"
#include "engines/translate/mmu.h"

/* Goes to target; #GP(0) if the processor would not, with nothing changed. */
static uint64_t branch_target(struct cpu *cpu, const struct insn *insn, uint64_t target)
{
	if (cpu_code_size(cpu) == CODE_64) {
		if ((int64_t)(target << 16) >> 16 != (int64_t)target)
			exception_raise_error(cpu, EXCEPTION_GP, 0);
		return target;
	}
	target &= insn->operand_size == 2 ? 0xffffu : 0xffffffffu;
	if (target > cpu->segment[SEGMENT_CS].limit)
		exception_raise_error(cpu, EXCEPTION_GP, 0);
	return target;
}

static unsigned branch_size(struct cpu *cpu, const struct insn *insn)
{
	return cpu_code_size(cpu) == CODE_64 ? 8 : insn->operand_size;
}

static void branch_relative(struct cpu *cpu, const struct insn *insn)
{
	cpu->next_rip = branch_target(cpu, insn, cpu->next_rip + (uint64_t)insn->immediate);
}

bool condition_holds(uint32_t status, unsigned condition)
{
	bool cf = status & FLAG_CF, zf = status & FLAG_ZF, sf = status & FLAG_SF,
	     of = status & FLAG_OF;
	bool holds = false;

	switch (condition >> 1 & 7) {
	case 0:
		holds = of;
		break;
	case 1:
		holds = cf;
		break;
	case 2:
		holds = zf;
		break;
	case 3:
		holds = cf || zf;
		break;
	case 4:
		holds = sf;
		break;
	case 5:
		holds = status & FLAG_PF;
		break;
	case 6:
		holds = sf != of;
		break;
	case 7:
		holds = zf || sf != of;
		break;
	}
	return holds != (condition & 1);
}

void handle_jmp(struct cpu *cpu, const struct insn *insn)
{
	branch_relative(cpu, insn);
}

void handle_jmp_indirect(struct cpu *cpu, const struct insn *insn)
{
	cpu->next_rip = branch_target(cpu, insn, operand_read(cpu, insn, 0));
}

void handle_jcc(struct cpu *cpu, const struct insn *insn)
{
	if (condition_holds(cpu_status(cpu), insn->opcode & 15))
		branch_relative(cpu, insn);
}

void handle_call_near(struct cpu *cpu, const struct insn *insn)
{
	uint64_t target = branch_target(cpu, insn, cpu->next_rip + (uint64_t)insn->immediate);

	stack_push(cpu, branch_size(cpu, insn), cpu->next_rip);
	cpu->next_rip = target;
}

void handle_call_indirect(struct cpu *cpu, const struct insn *insn)
{
	uint64_t target = branch_target(cpu, insn, operand_read(cpu, insn, 0));

	stack_push(cpu, branch_size(cpu, insn), cpu->next_rip);
	cpu->next_rip = target;
}

void handle_ret_near(struct cpu *cpu, const struct insn *insn)
{
	uint64_t rsp = cpu->gpr[RSP];
	unsigned size = branch_size(cpu, insn);
	unsigned width = stack_width(cpu);
	uint64_t top = register_read(cpu, RSP, width, false);
	uint64_t linear = segment_linear(cpu, SEGMENT_SS, top, size, MMU_READ);

	cpu->next_rip = branch_target(cpu, insn, mmu_load(cpu, linear, size, MMU_READ));
	register_write(cpu, RSP, width, false, rsp + size + (uint16_t)insn->immediate);
}

/* Counts rcx, ecx or cx down; true if it is not zero then. */
static bool count_down(struct cpu *cpu, const struct insn *insn)
{
	uint64_t count = register_read(cpu, RCX, insn->address_size, false) - 1;

	register_write(cpu, RCX, insn->address_size, false, count);
	return register_read(cpu, RCX, insn->address_size, false) != 0;
}

/* The target is checked before rcx changes. */
static void loop_if(struct cpu *cpu, const struct insn *insn, bool condition)
{
	uint64_t count = register_read(cpu, RCX, insn->address_size, false);
	uint64_t target = cpu->next_rip;

	if (condition && count != 1)
		target = branch_target(cpu, insn, cpu->next_rip + (uint64_t)insn->immediate);
	count_down(cpu, insn);
	cpu->next_rip = target;
}

void handle_loop(struct cpu *cpu, const struct insn *insn)
{
	loop_if(cpu, insn, true);
}

void handle_loope(struct cpu *cpu, const struct insn *insn)
{
	loop_if(cpu, insn, cpu_status(cpu) & FLAG_ZF);
}

void handle_loopne(struct cpu *cpu, const struct insn *insn)
{
	loop_if(cpu, insn, !(cpu_status(cpu) & FLAG_ZF));
}

void handle_jcxz(struct cpu *cpu, const struct insn *insn)
{
	if (register_read(cpu, RCX, insn->address_size, false) == 0)
		branch_relative(cpu, insn);
}
