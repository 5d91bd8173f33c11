/* SPDX-License-Identifier: BSD-2-Clause */
/* Emulation of device accesses: registers and operands of integer instructions. */
#include "x86/mmio_attempt.h"

#include "x86/handlers.h"
#include "x86/paging.h"

uint64_t gpr_get(const struct attempt *attempt, unsigned number, unsigned size, bool high)
{
	if (high)
		return attempt->gpr[number & 3] >> 8 & 0xff;
	return value_cut(attempt->gpr[number & 15], size);
}

void gpr_set(struct attempt *attempt, unsigned number, unsigned size, bool high, uint64_t value)
{
	uint64_t *gpr = &attempt->gpr[high ? number & 3 : number & 15];

	if (high)
		*gpr = (*gpr & ~0xff00ull) | (value & 0xff) << 8;
	else if (size == 4)
		*gpr = (uint32_t)value;
	else
		*gpr = (*gpr & ~value_cut(UINT64_MAX, size)) | value_cut(value, size);
}

unsigned operand_bytes(const struct attempt *attempt, unsigned which)
{
	return insn_operand_bytes(attempt->insn, &attempt->insn->op->operand[which]);
}

/* A bit string reaches beyond its operand: by as many operands as the register has bits for. */
static uint64_t bit_string_offset(const struct attempt *attempt)
{
	unsigned size = attempt->insn->operand_size;
	int64_t bit = (int64_t)value_extend(attempt->gpr[attempt->insn->reg & 15], size);
	unsigned shift = size == 8 ? 6 : size == 4 ? 5 : 4;

	return (uint64_t)((bit >> shift) * (int64_t)size);
}

static uint64_t memory_offset(const struct attempt *attempt)
{
	const struct insn *insn = attempt->insn;
	uint64_t offset = (uint64_t)insn->displacement;

	if (insn->base == INSN_RIP)
		offset += attempt->mmio->rip + insn->length;
	else if (insn->base != INSN_NO_REGISTER)
		offset += attempt->gpr[insn->base & 15];
	if (insn->index != INSN_NO_REGISTER)
		offset += attempt->gpr[insn->index & 15] * insn->scale;
	if (insn->op->handler == HANDLER_BIT_STRING)
		offset += bit_string_offset(attempt);
	return value_cut(offset, insn->address_size);
}

enum mmio_result memory_find(struct attempt *attempt, struct place *memory)
{
	const struct insn *insn = attempt->insn;
	unsigned size = insn_memory_size(insn);

	if (!insn->memory || !size || size > MMIO_OPERAND_MAX)
		return MMIO_UNKNOWN;
	return place_find(attempt, memory, insn->segment, memory_offset(attempt), size,
			  insn_memory_access(insn) & ACCESS_WRITE ? PAGING_WRITE : 0);
}

static bool is_memory(const struct insn *insn, const struct operand *operand)
{
	return operand->kind == OPERAND_OFFSET || operand->kind == OPERAND_MEMORY ||
	       (operand->kind == OPERAND_RM && insn->memory);
}

/* ah, ch, dh, bh: byte registers 4..7 of an instruction without REX. */
static bool is_high_byte(const struct insn *insn, const struct operand *operand, unsigned number)
{
	return operand->size == SIZE_B && !insn->rex && number >= 4 && number < 8;
}

enum mmio_result operand_get(struct attempt *attempt, unsigned which, const struct place *memory,
			     uint64_t *value)
{
	const struct insn *insn = attempt->insn;
	const struct operand *operand = &insn->op->operand[which];
	unsigned number = insn_operand_register(insn, operand);

	if (operand->kind == OPERAND_IMM)
		*value = (uint64_t)insn->immediate;
	else if (operand->kind == OPERAND_ONE)
		*value = 1;
	else if (is_memory(insn, operand))
		return place_get(attempt, memory, value);
	else if (number != INSN_NO_REGISTER)
		*value = gpr_get(attempt, number, operand_bytes(attempt, which),
				 is_high_byte(insn, operand, number));
	else
		return MMIO_UNKNOWN;
	return MMIO_DONE;
}

enum mmio_result operand_put(struct attempt *attempt, unsigned which, const struct place *memory,
			     uint64_t value)
{
	const struct insn *insn = attempt->insn;
	const struct operand *operand = &insn->op->operand[which];
	unsigned number = insn_operand_register(insn, operand);

	if (is_memory(insn, operand))
		return place_put(attempt, memory, value);
	if (number == INSN_NO_REGISTER)
		return MMIO_UNKNOWN;
	gpr_set(attempt, number, operand_bytes(attempt, which), is_high_byte(insn, operand, number),
		value);
	return MMIO_DONE;
}
