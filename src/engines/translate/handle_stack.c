/* SPDX-License-Identifier: BSD-2-Clause */
/* Push, pop and frames. Source: Intel SDM volume 2, PUSH, POP, PUSHA, POPA, ENTER, LEAVE. */
#include "engines/translate/handlers.h"
#include "engines/translate/mmu.h"

/* Bytes that a push or pop moves. */
static unsigned slot_size(struct cpu *cpu, const struct insn *insn)
{
	return cpu_code_size(cpu) == CODE_64 && insn->operand_size != 2 ? 8 : insn->operand_size;
}

void handle_push(struct cpu *cpu, const struct insn *insn)
{
	stack_push(cpu, slot_size(cpu, insn), operand_read(cpu, insn, 0));
}

/* A segment register's slot beyond the selector is written as zero. */
void handle_push_segment(struct cpu *cpu, const struct insn *insn)
{
	stack_push(cpu, slot_size(cpu, insn), cpu->segment[insn->op->operand[0].number].selector);
}

/* A memory operand that is based on rsp is addressed with rsp already popped. */
void handle_pop(struct cpu *cpu, const struct insn *insn)
{
	uint64_t rsp = cpu->gpr[RSP];
	unsigned size = slot_size(cpu, insn);
	uint64_t value = stack_pop(cpu, size);

	if (insn->memory) {
		uint64_t popped = cpu->gpr[RSP];
		uint64_t address = operand_address(cpu, insn);

		cpu->gpr[RSP] = rsp; /* as it was, should the store fault */
		mmu_store(cpu, segment_linear(cpu, insn->segment, address, size, MMU_WRITE), size,
			  value, MMU_WRITE);
		cpu->gpr[RSP] = popped;
		return;
	}
	operand_write(cpu, insn, 0, value);
}

void handle_pusha(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->operand_size, width = stack_width(cpu);
	uint64_t rsp = cpu->gpr[RSP];
	uint64_t mask = width == 2 ? 0xffff : 0xffffffff;

	for (unsigned i = 0; i < 8; i++) /* all slots, before any changes */
		mmu_probe(cpu,
			  segment_linear(cpu, SEGMENT_SS, (rsp - size * (i + 1)) & mask, size,
					 MMU_WRITE),
			  size, MMU_WRITE);
	for (unsigned i = 0; i < 8; i++)
		stack_push(cpu, size, i == RSP ? rsp : cpu->gpr[i]);
}

void handle_popa(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->operand_size, width = stack_width(cpu);
	uint64_t rsp = cpu->gpr[RSP];
	uint64_t mask = width == 2 ? 0xffff : 0xffffffff;
	uint64_t values[8];

	for (unsigned i = 0; i < 8; i++) {
		uint64_t linear =
			segment_linear(cpu, SEGMENT_SS, (rsp + size * i) & mask, size, MMU_READ);

		values[7 - i] = mmu_load(cpu, linear, size, MMU_READ);
	}
	for (unsigned i = 0; i < 8; i++) {
		if (i != RSP)
			register_write(cpu, i, size, false, values[i]);
	}
	register_write(cpu, RSP, width, false, rsp + size * 8);
}

/* Pushes go to rsp only after the last of them could not fault any more, so that the instruction
 * can be run again. */
void handle_enter(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = slot_size(cpu, insn), width = stack_width(cpu),
		 level = insn->immediate2 & 31;
	uint64_t rsp = cpu->gpr[RSP], rbp = cpu->gpr[RBP];
	uint64_t frame, mask = width == 8 ? UINT64_MAX : ((uint64_t)1 << width * 8) - 1;
	uint64_t top = rsp & mask;
	uint64_t pushed[33];
	unsigned count = 0;

	pushed[count++] = rbp;
	frame = (top - size) & mask;
	for (unsigned i = 1; i < level; i++) {
		uint64_t linear =
			segment_linear(cpu, SEGMENT_SS, (rbp - size * i) & mask, size, MMU_READ);

		pushed[count++] = mmu_load(cpu, linear, size, MMU_READ);
	}
	if (level)
		pushed[count++] = frame;
	for (unsigned i = 0; i < count; i++)
		mmu_probe(cpu,
			  segment_linear(cpu, SEGMENT_SS, (top - size * (i + 1)) & mask, size,
					 MMU_WRITE),
			  size, MMU_WRITE);
	for (unsigned i = 0; i < count; i++)
		stack_push(cpu, size, pushed[i]);
	register_write(cpu, RBP, size == 8 ? 8 : width < size ? width : size, false, frame);
	register_write(cpu, RSP, width, false, cpu->gpr[RSP] - (uint16_t)insn->immediate);
}

void handle_leave(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = slot_size(cpu, insn), width = stack_width(cpu);
	uint64_t frame = register_read(cpu, RBP, width, false);
	uint64_t value = mmu_load(cpu, segment_linear(cpu, SEGMENT_SS, frame, size, MMU_READ), size,
				  MMU_READ);

	register_write(cpu, RSP, width, false, frame + size);
	register_write(cpu, RBP, size, false, value);
}
