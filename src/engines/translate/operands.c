/* SPDX-License-Identifier: BSD-2-Clause */
/* Operands and the stack, for the interpreter's handlers. */
#include "engines/translate/exception.h"
#include "engines/translate/interpret.h"
#include "engines/translate/mmu.h"
#include "lib/check.h"

static uint64_t cut(uint64_t value, unsigned size)
{
	return size == 8 ? value : value & (((uint64_t)1 << size * 8) - 1);
}

uint64_t operand_address(struct cpu *cpu, const struct insn *insn)
{
	uint64_t address = (uint64_t)insn->displacement;

	if (insn->base == INSN_RIP)
		address += cpu->rip + insn->length;
	else if (insn->base != INSN_NO_REGISTER)
		address += cpu->gpr[insn->base];
	if (insn->index != INSN_NO_REGISTER)
		address += cpu->gpr[insn->index] * insn->scale;
	return cut(address, insn->address_size);
}

uint64_t register_read(const struct cpu *cpu, unsigned number, unsigned size, bool high_byte)
{
	return high_byte ? (cpu->gpr[number & 3] >> 8) & 0xff : cut(cpu->gpr[number], size);
}

void register_write(struct cpu *cpu, unsigned number, unsigned size, bool high_byte, uint64_t value)
{
	uint64_t *gpr = &cpu->gpr[high_byte ? number & 3 : number];

	if (high_byte)
		*gpr = (*gpr & ~0xff00ull) | (value & 0xff) << 8;
	else if (size == 8)
		*gpr = value;
	else if (size == 4)
		*gpr = (uint32_t)value;
	else
		*gpr = (*gpr & ~(((uint64_t)1 << size * 8) - 1)) | cut(value, size);
}

static bool operand_is_memory(const struct insn *insn, const struct operand *operand)
{
	switch (operand->kind) {
	case OPERAND_RM:
	case OPERAND_XMM_RM:
	case OPERAND_MMX_RM:
		return insn->memory;
	case OPERAND_MEMORY:
	case OPERAND_OFFSET:
		return true;
	default:
		return false;
	}
}

/* ah, ch, dh, bh: byte registers 4..7 of an instruction without REX. */
static bool operand_high_byte(const struct insn *insn, const struct operand *operand,
			      unsigned number)
{
	return operand->size == SIZE_B && !insn->rex && number >= 4 && number < 8 &&
	       (operand->kind == OPERAND_RM || operand->kind == OPERAND_REG ||
		operand->kind == OPERAND_OPCODE_REG);
}

uint64_t operand_read(struct cpu *cpu, const struct insn *insn, unsigned which)
{
	const struct operand *operand = &insn->op->operand[which];
	unsigned size = insn_operand_bytes(insn, operand);
	unsigned number;

	if (operand->kind == OPERAND_IMM || operand->kind == OPERAND_RELATIVE)
		return (uint64_t)insn->immediate;
	if (operand->kind == OPERAND_ONE)
		return 1;
	if (operand_is_memory(insn, operand)) {
		uint64_t linear = segment_linear(cpu, insn->segment, operand_address(cpu, insn),
						 size, MMU_READ);

		return mmu_load(cpu, linear, size, MMU_READ);
	}
	number = insn_operand_register(insn, operand);
	CHECK(number < 16);
	return register_read(cpu, number, size, operand_high_byte(insn, operand, number));
}

void operand_write(struct cpu *cpu, const struct insn *insn, unsigned which, uint64_t value)
{
	const struct operand *operand = &insn->op->operand[which];
	unsigned size = insn_operand_bytes(insn, operand);
	unsigned number;

	if (operand_is_memory(insn, operand)) {
		uint64_t linear = segment_linear(cpu, insn->segment, operand_address(cpu, insn),
						 size, MMU_WRITE);

		mmu_store(cpu, linear, size, value, MMU_WRITE);
		return;
	}
	number = insn_operand_register(insn, operand);
	CHECK(number < 16);
	register_write(cpu, number, size, operand_high_byte(insn, operand, number), value);
}

/* Bytes of rsp that the stack uses: SS.B, or all in 64-bit code. */
unsigned stack_width(const struct cpu *cpu)
{
	if (cpu_code_size(cpu) == CODE_64)
		return 8;
	return cpu->segment[SEGMENT_SS].attributes & SEGMENT_DB ? 4 : 2;
}

void stack_push(struct cpu *cpu, unsigned size, uint64_t value)
{
	unsigned width = stack_width(cpu);
	uint64_t top = cut(cpu->gpr[RSP] - size, width);

	mmu_store(cpu, segment_linear(cpu, SEGMENT_SS, top, size, MMU_WRITE), size, value,
		  MMU_WRITE);
	register_write(cpu, RSP, width, false, top);
}

uint64_t stack_pop(struct cpu *cpu, unsigned size)
{
	unsigned width = stack_width(cpu);
	uint64_t top = cut(cpu->gpr[RSP], width);
	uint64_t value =
		mmu_load(cpu, segment_linear(cpu, SEGMENT_SS, top, size, MMU_READ), size, MMU_READ);

	register_write(cpu, RSP, width, false, cut(top + size, width));
	return value;
}
