/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What can be said about a decoded instruction: sizes, accesses, flags.
 * Source: Intel SDM volume 2, the instruction pages; volume 1, appendix A (flags).
 */
#include <stddef.h>

#include "x86/insn.h"
#include "x86/opcodes.h"

static const struct operand *memory_operand(const struct insn *insn)
{
	const uint64_t kinds = 1ull << OPERAND_RM | 1ull << OPERAND_MEMORY |
			       1ull << OPERAND_XMM_RM | 1ull << OPERAND_MMX_RM |
			       1ull << OPERAND_OFFSET | 1ull << OPERAND_VSIB;

	if (insn->memory)
		for (unsigned i = 0; i < 4; i++)
			if (kinds >> insn->op->operand[i].kind & 1)
				return &insn->op->operand[i];
	return NULL;
}

/* Areas that are more than one access; for the XSAVE family the legacy part and the header. */
static unsigned state_bytes(const struct insn *insn)
{
	switch (insn->op->handler) {
	case HANDLER_FNSTENV:
	case HANDLER_FLDENV:
		return insn->operand_size == 2 ? 14 : 28;
	case HANDLER_FNSAVE:
	case HANDLER_FRSTOR:
		return insn->operand_size == 2 ? 94 : 108;
	case HANDLER_FXSAVE:
	case HANDLER_FXRSTOR:
		return 512;
	default:
		return 576;
	}
}

unsigned insn_operand_bytes(const struct insn *insn, const struct operand *operand)
{
	unsigned vector = insn->vex_l ? 32 : 16;

	switch (operand->size) {
	case SIZE_B:
		return 1;
	case SIZE_W:
		return 2;
	case SIZE_D:
		return 4;
	case SIZE_Q:
		return 8;
	case SIZE_V:
		return insn->operand_size;
	case SIZE_Y:
		return insn->w && insn->code_size == CODE_64 ? 8 : 4;
	case SIZE_Z:
		return insn->operand_size == 2 ? 2 : 4;
	case SIZE_X:
		return vector;
	case SIZE_O:
		return 16;
	case SIZE_T:
		return 10;
	case SIZE_P:
		return insn->operand_size + 2u;
	case SIZE_H:
		return vector / 2;
	case SIZE_4TH:
		return vector / 4;
	case SIZE_8TH:
		return vector / 8;
	case SIZE_STATE:
		return state_bytes(insn);
	case SIZE_PAIR:
		return insn->operand_size * 2u;
	case SIZE_TABLE:
		return insn->code_size == CODE_64 ? 10 : 6;
	default: /* SIZE_NONE, SIZE_ADDRESS_ONLY */
		return 0;
	}
}

unsigned insn_memory_size(const struct insn *insn)
{
	const struct operand *operand = memory_operand(insn);

	return operand ? insn_operand_bytes(insn, operand) : 0;
}

unsigned insn_memory_access(const struct insn *insn)
{
	const struct operand *operand = memory_operand(insn);

	return operand && operand->size != SIZE_ADDRESS_ONLY ? operand->access : 0;
}

bool insn_fall_back(struct insn *insn)
{
	if (!(insn->op->attributes & OP_FALL_BACK))
		return false;
	insn->op = opcodes_0f[insn->opcode].children[0].op;
	insn->rep = insn->mandatory;
	insn->mandatory = 0;
	return true;
}

unsigned insn_element_size(const struct insn *insn)
{
	/* vmaskmovps 2c 2e, vmaskmovpd 2d 2f; all others by W. */
	if ((insn->opcode & 0xfc) == 0x2c)
		return insn->opcode & 1 ? 8 : 4;
	return insn->w ? 8 : 4;
}

unsigned insn_index_size(const struct insn *insn)
{
	return insn->opcode & 1 ? 8 : 4;
}

/* Is this a shift or rotate (group 2), or shld, shrd? */
static bool is_group_2(const struct insn *insn)
{
	return insn->map == 0 && ((insn->opcode & 0xfe) == 0xc0 || (insn->opcode & 0xfc) == 0xd0);
}

static bool is_double_shift(const struct insn *insn)
{
	return insn->map == 1 && (insn->opcode & 0xf6) == 0xa4;
}

/* The count that a shift uses, if the instruction itself says it; -1 for cl. */
static int shift_count(const struct insn *insn)
{
	unsigned size = insn_operand_bytes(insn, &insn->op->operand[0]);
	const struct operand *count = &insn->op->operand[is_double_shift(insn) ? 2 : 1];

	if (count->kind == OPERAND_ONE)
		return 1;
	if (count->kind == OPERAND_IMM)
		return (int)(insn->immediate & (size == 8 ? 63 : 31));
	return -1;
}

/* Written and undefined flags of a shift or rotate by `count`, which is known and not 0. */
static void shift_flags(const struct insn *insn, int count, unsigned *written, unsigned *undefined)
{
	int bits = (int)insn_operand_bytes(insn, &insn->op->operand[0]) * 8;
	unsigned kind = insn->modrm >> 3 & 7; /* rol ror rcl rcr shl shr shl sar */

	if (is_double_shift(insn)) {
		if (count > bits) {
			*undefined = FLAG_STATUS;
			*written = 0;
			return;
		}
	} else if ((kind == 2 || kind == 3) && count % (bits + 1) == 0) {
		*undefined = FLAG_OF; /* rcl, rcr all the way round: CF is what it was */
		*written = 0;
		return;
	} else if (kind >= 4 && kind != 7 && count >= bits) {
		*undefined |= FLAG_CF;
	}
	if (count == 1)
		*undefined &= ~FLAG_OF;
	*written = (*written | FLAG_OF) & ~*undefined;
}

/* Flags that are certainly written, and those left undefined, by this very instruction. */
static void flags_changed(const struct insn *insn, unsigned *written, unsigned *undefined)
{
	const struct opcode *op = insn->op;

	*written = op->flags_written;
	*undefined = op->flags_undefined;
	if (!(op->attributes & OP_CONDITIONAL_FLAGS))
		return;
	if (op->attributes & OP_REPEATABLE) {
		if (insn->rep)
			*written = 0; /* rcx may be 0 */
		return;
	}
	int count = shift_count(insn);

	if (count > 0) {
		shift_flags(insn, count, written, undefined);
	} else {
		*written = 0;
		if (count == 0)
			*undefined = 0;
		else if (is_double_shift(insn) && insn->operand_size == 2)
			*undefined = FLAG_STATUS;
		else if (is_group_2(insn) && (insn->modrm >> 3 & 7) >= 4 &&
			 insn_operand_bytes(insn, &op->operand[0]) <= 2)
			*undefined |= FLAG_CF;
	}
}

unsigned insn_flags_read(const struct insn *insn)
{
	unsigned read = insn->op->flags_read;

	/* rcl and rcr by 0 read nothing. */
	if ((insn->op->attributes & OP_CONDITIONAL_FLAGS) &&
	    !(insn->op->attributes & OP_REPEATABLE) && shift_count(insn) == 0)
		read = 0;
	return read;
}

unsigned insn_flags_undefined(const struct insn *insn)
{
	unsigned written, undefined;

	flags_changed(insn, &written, &undefined);
	return undefined;
}

unsigned insn_flags_killed(const struct insn *insn)
{
	unsigned written, undefined;

	flags_changed(insn, &written, &undefined);
	/* With a count in cl, even the undefined ones keep their values if it is 0. */
	if ((insn->op->attributes & OP_CONDITIONAL_FLAGS) &&
	    !(insn->op->attributes & OP_REPEATABLE) && shift_count(insn) < 0)
		return 0;
	return (written | undefined) & FLAG_STATUS;
}

unsigned insn_operand_register(const struct insn *insn, const struct operand *operand)
{
	switch (operand->kind) {
	case OPERAND_RM:
		return insn->memory ? INSN_NO_REGISTER : insn->rm;
	case OPERAND_RM_REGISTER:
		return insn->rm;
	case OPERAND_REG:
		return insn->reg;
	case OPERAND_VVVV:
		return insn->vvvv;
	case OPERAND_OPCODE_REG:
		return (insn->opcode & 7u) | (insn->rex & 1u) << 3;
	case OPERAND_ACC:
		return 0;
	case OPERAND_CL:
		return 1;
	case OPERAND_DX:
		return 2;
	case OPERAND_FIXED:
		return operand->number;
	default:
		return INSN_NO_REGISTER;
	}
}

struct insn_registers insn_registers(const struct insn *insn)
{
	struct insn_registers registers = {0};

	for (unsigned i = 0; i < 4 && insn->op->operand[i].kind; i++) {
		const struct operand *operand = &insn->op->operand[i];
		bool named = operand->kind != OPERAND_FIXED;
		unsigned number = insn_operand_register(insn, operand);

		if (number > 15)
			continue;
		if (operand->size == SIZE_B && number >= 4 && number < 8 &&
		    !(named && (insn->rex || insn->vex))) {
			registers.high_byte |= named;
			number -= 4;
		}
		registers.used |= (uint16_t)(1u << number);
		if (operand->access & ACCESS_READ)
			registers.read |= (uint16_t)(1u << number);
		if (operand->access & ACCESS_WRITE)
			registers.written |= (uint16_t)(1u << number);
	}
	return registers;
}
