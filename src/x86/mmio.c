/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Emulation of device accesses: which instruction it is, and the integer ones among them. Each
 * works on a copy of the registers; attempt_finish puts the copy in its place.
 *
 * Source: Intel SDM volume 2, the instruction pages and appendix A.
 *
 * Not modelled: see mmio.h.
 */
#include "x86/mmio.h"

#include <stddef.h>

#include "lib/bytes.h"
#include "x86/handlers.h"
#include "x86/mmio_attempt.h"

typedef enum mmio_result way(struct attempt *attempt);

/* Operands 0 and 1 of a two-operand instruction, its memory found. */
struct operands {
	struct place memory;
	unsigned size;
	uint64_t first, second;
};

static enum mmio_result operands_get(struct attempt *attempt, struct operands *operands)
{
	enum mmio_result result = memory_find(attempt, &operands->memory);

	operands->size = operand_bytes(attempt, 0);
	if (!result)
		result = operand_get(attempt, 0, &operands->memory, &operands->first);
	if (!result)
		result = operand_get(attempt, 1, &operands->memory, &operands->second);
	return result;
}

/* Data */

/* Also movzx, whose source is the smaller. */
static enum mmio_result do_mov(struct attempt *attempt)
{
	struct place memory;
	uint64_t value;
	enum mmio_result result = memory_find(attempt, &memory);

	if (!result)
		result = operand_get(attempt, 1, &memory, &value);
	return result ? result : operand_put(attempt, 0, &memory, value);
}

static enum mmio_result do_movsx(struct attempt *attempt)
{
	struct place memory;
	uint64_t value;
	enum mmio_result result = memory_find(attempt, &memory);

	if (!result)
		result = operand_get(attempt, 1, &memory, &value);
	if (result)
		return result;
	return operand_put(attempt, 0, &memory, value_extend(value, memory.size));
}

static enum mmio_result do_movbe(struct attempt *attempt)
{
	struct place memory;
	uint64_t value;
	enum mmio_result result = memory_find(attempt, &memory);

	if (!result)
		result = operand_get(attempt, 1, &memory, &value);
	if (result)
		return result;
	value = __builtin_bswap64(value) >> (64 - 8 * memory.size);
	return operand_put(attempt, 0, &memory, value);
}

/* Reads its source in any case. */
static enum mmio_result do_cmov(struct attempt *attempt)
{
	struct operands operands;
	enum mmio_result result = operands_get(attempt, &operands);

	if (result)
		return result;
	return operand_put(attempt, 0, &operands.memory,
			   alu_condition(attempt->insn->opcode, attempt->rflags) ? operands.second
										 : operands.first);
}

static enum mmio_result do_setcc(struct attempt *attempt)
{
	struct place memory;
	enum mmio_result result = memory_find(attempt, &memory);

	if (result)
		return result;
	return operand_put(attempt, 0, &memory,
			   alu_condition(attempt->insn->opcode, attempt->rflags));
}

/* Arithmetic */

static enum mmio_result binary(struct attempt *attempt, enum alu_binary operation)
{
	struct operands operands;
	enum mmio_result result = operands_get(attempt, &operands);

	if (result)
		return result;
	alu_binary(operation, operands.size, &operands.first, operands.second, &attempt->rflags);
	if (operation >= ALU_CMP)
		return MMIO_DONE;
	return operand_put(attempt, 0, &operands.memory, operands.first);
}

static enum mmio_result do_row(struct attempt *attempt)
{
	return binary(attempt, (enum alu_binary)(attempt->insn->opcode >> 3));
}

static enum mmio_result do_group_1(struct attempt *attempt)
{
	return binary(attempt, (enum alu_binary)(attempt->insn->modrm >> 3 & 7));
}

static enum mmio_result do_test(struct attempt *attempt)
{
	return binary(attempt, ALU_TEST);
}

static enum mmio_result unary(struct attempt *attempt, enum alu_unary operation)
{
	struct place memory;
	uint64_t value;
	enum mmio_result result = memory_find(attempt, &memory);

	if (!result)
		result = operand_get(attempt, 0, &memory, &value);
	if (result)
		return result;
	alu_unary(operation, memory.size, &value, &attempt->rflags);
	return operand_put(attempt, 0, &memory, value);
}

/* Multiplication and division are not known. */
static enum mmio_result do_group_3(struct attempt *attempt)
{
	switch (attempt->insn->modrm >> 3 & 7) {
	case 0:
	case 1:
		return do_test(attempt);
	case 2:
		return unary(attempt, ALU_NOT);
	case 3:
		return unary(attempt, ALU_NEG);
	default:
		return MMIO_UNKNOWN;
	}
}

/* Groups 4 and 5, as far as they are arithmetic: the others have handlers. */
static enum mmio_result do_increment(struct attempt *attempt)
{
	return unary(attempt, attempt->insn->modrm >> 3 & 7 ? ALU_DEC : ALU_INC);
}

static enum mmio_result do_shift(struct attempt *attempt)
{
	struct operands operands;
	enum mmio_result result = operands_get(attempt, &operands);

	if (result)
		return result;
	alu_shift(attempt->insn->modrm >> 3 & 7, operands.size, &operands.first,
		  (uint8_t)operands.second, &attempt->rflags);
	return operand_put(attempt, 0, &operands.memory, operands.first);
}

/* The operation is in the opcode (a3 bt, ab bts, b3 btr, bb btc), or in the same order in ModRM. */
static enum mmio_result do_bit(struct attempt *attempt)
{
	const struct insn *insn = attempt->insn;
	unsigned operation = (insn->opcode == 0xba ? insn->modrm : insn->opcode) >> 3 & 3;
	struct operands operands;
	enum mmio_result result = operands_get(attempt, &operands);

	if (result)
		return result;
	alu_bit(operation, (unsigned)operands.second & (operands.size * 8 - 1), &operands.first,
		&attempt->rflags);
	if (operation == 0)
		return MMIO_DONE;
	return operand_put(attempt, 0, &operands.memory, operands.first);
}

static enum mmio_result do_xchg(struct attempt *attempt)
{
	struct operands operands;
	enum mmio_result result = operands_get(attempt, &operands);

	if (!result)
		result = operand_put(attempt, 0, &operands.memory, operands.second);
	return result ? result : operand_put(attempt, 1, &operands.memory, operands.first);
}

static enum mmio_result do_xadd(struct attempt *attempt)
{
	struct operands operands;
	enum mmio_result result = operands_get(attempt, &operands);
	uint64_t sum;

	if (result)
		return result;
	sum = operands.first;
	alu_binary(ALU_ADD, operands.size, &sum, operands.second, &attempt->rflags);
	result = operand_put(attempt, 0, &operands.memory, sum);
	return result ? result : operand_put(attempt, 1, &operands.memory, operands.first);
}

/* Writes its destination in any case: with what was there if it was not equal. */
static enum mmio_result do_cmpxchg(struct attempt *attempt)
{
	struct operands operands;
	enum mmio_result result = operands_get(attempt, &operands);
	uint64_t accumulator;
	bool equal;

	if (!result)
		result = operand_get(attempt, 2, &operands.memory, &accumulator);
	if (result)
		return result;
	alu_binary(ALU_CMP, operands.size, &accumulator, operands.first, &attempt->rflags);
	equal = attempt->rflags & FLAG_ZF;
	result =
		operand_put(attempt, 0, &operands.memory, equal ? operands.second : operands.first);
	if (result || equal)
		return result;
	return operand_put(attempt, 2, &operands.memory, operands.first);
}

/* Which it is */

static way *way_by_handler(const struct insn *insn)
{
	switch (insn->op->handler) {
	case HANDLER_PUSH:
	case HANDLER_POP:
	case HANDLER_JMP_INDIRECT:
	case HANDLER_CALL_NEAR:
	case HANDLER_CALL_INDIRECT:
	case HANDLER_RET_NEAR:
		return mmio_stack;
	case HANDLER_BIT_STRING:
		return do_bit;
	case HANDLER_MOVS:
	case HANDLER_STOS:
	case HANDLER_LODS:
	case HANDLER_CMPS:
	case HANDLER_SCAS:
	case HANDLER_INS:
	case HANDLER_OUTS:
		return mmio_string;
	default:
		return NULL;
	}
}

/* The one-byte map, of what is COPY and has memory. */
static way *way_by_opcode(uint8_t opcode)
{
	switch (opcode) {
	case 0x00 ... 0x3f:
		return do_row;
	case 0x63:
		return do_movsx;
	case 0x80 ... 0x83:
		return do_group_1;
	case 0x84 ... 0x85:
		return do_test;
	case 0x86 ... 0x87:
		return do_xchg;
	case 0x88 ... 0x8b:
	case 0xa0 ... 0xa3:
	case 0xc6 ... 0xc7:
		return do_mov;
	case 0xc0 ... 0xc1:
	case 0xd0 ... 0xd3:
		return do_shift;
	case 0xf6 ... 0xf7:
		return do_group_3;
	case 0xfe ... 0xff:
		return do_increment;
	default:
		return NULL;
	}
}

static way *way_by_opcode_0f(uint8_t opcode)
{
	switch (opcode) {
	case 0x40 ... 0x4f:
		return do_cmov;
	case 0x90 ... 0x9f:
		return do_setcc;
	case 0xb0 ... 0xb1:
		return do_cmpxchg;
	case 0xb6 ... 0xb7: /* movzx */
	case 0xc3:	    /* movnti */
		return do_mov;
	case 0xba:
		return do_bit;
	case 0xbe ... 0xbf:
		return do_movsx;
	case 0xc0 ... 0xc1:
		return do_xadd;
	default:
		return mmio_vector;
	}
}

static way *way_of(const struct insn *insn)
{
	if (insn->op->class != CLASS_COPY)
		return way_by_handler(insn);
	if (insn->vex || insn->map > 2)
		return mmio_vector;
	if (insn->map == 0)
		return way_by_opcode(insn->opcode);
	if (insn->map == 1)
		return way_by_opcode_0f(insn->opcode);
	/* movbe shares its opcodes with crc32. */
	return insn->opcode >= 0xf0 && insn->rep != 0xf2 && !insn->mandatory ? do_movbe
									     : mmio_vector;
}

void mmio_begin(struct mmio *mmio)
{
	mmio->answers = 0;
	mmio->asked = 0;
	mmio->touched_device = false;
}

void mmio_answer(struct mmio *mmio, uint64_t value)
{
	if (mmio->answers < MMIO_ANSWERS_MAX)
		mmio->answer[mmio->answers++] = value;
}

enum mmio_result mmio_emulate(struct mmio *mmio, const struct insn *insn)
{
	way *carry_out = way_of(insn);
	struct attempt attempt = {
		.mmio = mmio,
		.insn = insn,
		.rip = mmio->rip + insn->length,
		.rflags = mmio->rflags,
	};
	enum mmio_result result;

	mmio->asked = 0;
	mmio->touched_device = false;
	/* All that COPY touches in memory is its operand. */
	if (insn->op->class == CLASS_COPY && !insn->memory)
		return MMIO_RETRY;
	if (!carry_out)
		return MMIO_UNKNOWN;
	if (mmio->code_size != CODE_64)
		attempt.rip = (uint32_t)attempt.rip;
	bytes_copy(attempt.gpr, mmio->gpr, sizeof(mmio->gpr));
	result = carry_out(&attempt);
	return result ? result : attempt_finish(&attempt);
}
