/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From bytes to struct insn. One pass: prefixes, opcode (a few indexed steps through the tables),
 * ModRM with SIB and displacement, immediates, then what makes the whole invalid.
 *
 * What depends on the processor's state (privilege, CR0 and CR4, features of the model) is not
 * looked at here; struct opcode says what to look at.
 *
 * Source: Intel SDM volume 2, chapter 2.
 */
#include <stddef.h>

#include "lib/bits.h"
#include "lib/bytes.h"
#include "x86/insn.h"
#include "x86/opcodes.h"

/* The bytes and how far they were read. */
struct reader {
	const uint8_t *bytes;
	unsigned at, limit; /* limit <= INSN_MAX_LENGTH */
	bool operand_66, address_67, vex_w;
	uint8_t rep; /* last of f2, f3 */
};

/* Which opcodes have a ModRM byte: one bit for each, by row of the map. */
static const uint16_t modrm_one_byte[16] = {
	0x0f0f, 0x0f0f, 0x0f0f, 0x0f0f, 0, 0, 0x0a0c, 0, 0xffff, 0, 0, 0, 0x00f3, 0xff0f, 0, 0xc0c0,
};
static const uint16_t modrm_0f[16] = {
	0xa00f, 0xffff, 0xff0f, 0,	0xffff, 0xffff, 0xffff, 0xff7f,
	0,	0xffff, 0xf838, 0xffff, 0x00ff, 0xffff, 0xffff, 0xffff,
};

/* Bytes that are prefixes in some mode. */
static const uint8_t prefix_bytes[32] = {
	[0x26 / 8] = 0x40, /* 26 2e */
	[0x2e / 8] = 0x40, [0x36 / 8] = 0x40, [0x3e / 8] = 0x40,
	[0x40 / 8] = 0xff, [0x48 / 8] = 0xff, [0x64 / 8] = 0xf0, /* 64 65 66 67 */
	[0xf0 / 8] = 0x0d,					 /* f0 f2 f3 */
};

static bool is_prefix(uint8_t byte)
{
	return prefix_bytes[byte >> 3] >> (byte & 7) & 1;
}

/* The answer when more bytes are needed than there are. */
static enum decode_result out_of_bytes(const struct reader *reader)
{
	return reader->limit == INSN_MAX_LENGTH ? DECODE_TOO_LONG : DECODE_MORE;
}

static void set_segment(struct insn *insn, unsigned segment)
{
	insn->segment = (uint8_t)segment;
	insn->segment_override = true;
}

/* Takes one prefix. A REX prefix counts only if nothing but the opcode follows it. */
static void take_prefix(struct insn *insn, struct reader *reader, uint8_t byte)
{
	bool long_mode = insn->code_size == CODE_64;

	insn->rex = 0;
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
		if (!long_mode)
			set_segment(insn, (byte >> 3) & 3u);
		break;
	case 0x64:
	case 0x65:
		set_segment(insn, SEGMENT_FS + (byte & 1u));
		break;
	case 0x66:
		reader->operand_66 = true;
		break;
	case 0x67:
		reader->address_67 = true;
		break;
	case 0xf0:
		insn->lock = true;
		break;
	case 0xf2:
	case 0xf3:
		reader->rep = byte;
		break;
	default:
		insn->rex = byte;
	}
}

/* Reads prefixes up to the first byte that is none; leaves `at` on that. */
static enum decode_result take_prefixes(struct insn *insn, struct reader *reader)
{
	for (;;) {
		if (reader->at >= reader->limit)
			return out_of_bytes(reader);
		uint8_t byte = reader->bytes[reader->at];

		if (!is_prefix(byte))
			return DECODE_OK;
		if ((byte & 0xf0) == 0x40 && insn->code_size != CODE_64)
			return DECODE_OK;
		take_prefix(insn, reader, byte);
		reader->at++;
	}
}

/*
 * Takes a VEX prefix; `at` is on c4 or c5. Outside of 64-bit code those are les and lds unless the
 * next byte has the form of a register ModRM; *found says which.
 */
static enum decode_result take_vex(struct insn *insn, struct reader *reader, bool *found)
{
	const uint8_t *bytes = reader->bytes + reader->at;
	bool long_mode = insn->code_size == CODE_64;
	bool three = bytes[0] == 0xc4;

	if (reader->at + 1 >= reader->limit)
		return out_of_bytes(reader);
	*found = long_mode || bytes[1] >= 0xc0;
	if (!*found)
		return DECODE_OK;
	if (insn->lock || reader->operand_66 || reader->rep || insn->rex)
		return DECODE_INVALID;
	if (reader->at + (three ? 3 : 2) >= reader->limit)
		return out_of_bytes(reader);

	static const uint8_t mandatory[4] = {0, 0x66, 0xf3, 0xf2};
	uint8_t last = bytes[three ? 2 : 1];
	uint8_t rex = bytes[1] & 0x80 ? 0 : 4;

	insn->map = 1;
	if (three) {
		insn->map = bytes[1] & 0x1f;
		rex |= (uint8_t)((~bytes[1] >> 5) & 3);
		reader->vex_w = last >> 7;
		insn->w = reader->vex_w && long_mode;
	}
	if (long_mode)
		insn->rex = 0x40 | rex;
	insn->vex = true;
	insn->vex_l = last >> 2 & 1;
	insn->vvvv = (~last >> 3) & 15;
	insn->mandatory = mandatory[last & 3];
	reader->at += three ? 3 : 2;
	insn->opcode = reader->bytes[reader->at++];
	return insn->map >= 1 && insn->map <= 3 ? DECODE_OK : DECODE_INVALID;
}

static const struct node *vex_node(const struct insn *insn)
{
	static const struct node *const maps[4] = {NULL, opcodes_vex_0f, opcodes_vex_0f38,
						   opcodes_vex_0f3a};

	return &maps[insn->map][insn->opcode];
}

/* Takes the escapes and the opcode of an instruction without VEX. */
static enum decode_result take_opcode(struct insn *insn, struct reader *reader,
				      const struct node **node)
{
	uint8_t byte = reader->bytes[reader->at++];

	if (byte != 0x0f) {
		insn->opcode = byte;
		insn->has_modrm = modrm_one_byte[byte >> 4] >> (byte & 15) & 1;
		*node = (byte & 0xf8) == 0xd8 ? &opcodes_x87[byte & 7] : &opcodes_one_byte[byte];
		return DECODE_OK;
	}
	if (reader->at >= reader->limit)
		return out_of_bytes(reader);
	insn->opcode = byte = reader->bytes[reader->at++];
	insn->map = 1;
	insn->has_modrm = modrm_0f[byte >> 4] >> (byte & 15) & 1;
	*node = &opcodes_0f[byte];
	if (byte != 0x38 && byte != 0x3a)
		return DECODE_OK;
	if (reader->at >= reader->limit)
		return out_of_bytes(reader);
	insn->opcode = reader->bytes[reader->at++];
	insn->map = byte == 0x38 ? 2 : 3;
	insn->has_modrm = true;
	*node = byte == 0x38 ? &opcodes_0f38[insn->opcode] : &opcodes_0f3a[insn->opcode];
	return DECODE_OK;
}

/* Index of the child that NODE_PREFIX means; f2 and f3 win over 66. */
static unsigned choose_by_prefix(struct insn *insn, const struct reader *reader)
{
	if (!insn->vex)
		insn->mandatory = reader->rep ? reader->rep : reader->operand_66 ? 0x66 : 0;
	switch (insn->mandatory) {
	case 0x66:
		return 1;
	case 0xf3:
		return 2;
	case 0xf2:
		return 3;
	default:
		return 0;
	}
}

static const struct node *choose_by_rep(struct insn *insn, const struct reader *reader,
					const struct node *children)
{
	if (!reader->rep)
		return children;
	const struct node *child = &children[reader->rep == 0xf3 ? 1 : 2];

	if (child->kind == NODE_SAME)
		return children;
	insn->mandatory = reader->rep;
	return child;
}

/* Walks from a map's node to the instruction; NULL if there is none. */
static const struct opcode *choose(struct insn *insn, const struct reader *reader,
				   const struct node *node)
{
	for (;;) {
		switch (node->kind) {
		case NODE_LEAF:
			return node->op;
		case NODE_REG:
			node = &node->children[insn->modrm >> 3 & 7];
			break;
		case NODE_RM:
			node = &node->children[insn->modrm & 7];
			break;
		case NODE_MOD:
			node = &node->children[insn->modrm >= 0xc0];
			break;
		case NODE_PREFIX:
			node = &node->children[choose_by_prefix(insn, reader)];
			break;
		case NODE_REP:
			node = choose_by_rep(insn, reader, node->children);
			break;
		case NODE_W:
			if (insn->vex)
				insn->w = reader->vex_w;
			node = &node->children[insn->w];
			break;
		case NODE_L:
			node = &node->children[insn->vex_l];
			break;
		case NODE_LONG:
			node = &node->children[insn->code_size == CODE_64];
			break;
		case NODE_REX_B:
			node = &node->children[insn->rex & 1];
			break;
		default:
			return NULL;
		}
	}
}

/* Operand size of V operands. */
static unsigned choose_operand_size(const struct insn *insn, const struct reader *reader,
				    uint32_t attributes)
{
	bool other = reader->operand_66 && insn->mandatory != 0x66 && !(attributes & OP_IGNORE_66);

	if (insn->code_size == CODE_16)
		return other || (attributes & OP_IGNORE_66) ? 4 : 2;
	if (insn->code_size == CODE_64) {
		if (insn->w || (attributes & OP_FORCE_64))
			return 8;
		if (!other && (attributes & OP_DEFAULT_64))
			return 8;
	}
	return other ? 2 : 4;
}

/* Takes `count` (0, 1, 2, 4 or 8) bytes, sign-extended; false if they aren't there. */
static bool take_signed(struct reader *reader, unsigned count, int64_t *value)
{
	const uint8_t *bytes = reader->bytes + reader->at;

	if (reader->limit - reader->at < count)
		return false;
	reader->at += count;
	switch (count) {
	case 0:
		return true;
	case 1:
		*value = (int8_t)bytes[0];
		return true;
	case 2:
		*value = (int16_t)bytes_load16(bytes);
		return true;
	case 4:
		*value = (int32_t)bytes_load32(bytes);
		return true;
	default:
		*value = (int64_t)bytes_load64(bytes);
		return true;
	}
}

/* 16-bit addressing: SDM volume 2, table 2-1. */
static bool take_memory_16(struct insn *insn, struct reader *reader)
{
	static const uint8_t base[8] = {3, 3, 5, 5, 6, 7, 5, 3};
	static const uint8_t index[8] = {
		6, 7, 6, 7, INSN_NO_REGISTER, INSN_NO_REGISTER, INSN_NO_REGISTER, INSN_NO_REGISTER};
	unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;
	unsigned bytes = mod; /* 0, 1, 2 */

	insn->base = base[rm];
	insn->index = index[rm];
	if (mod == 0 && rm == 6) {
		insn->base = INSN_NO_REGISTER;
		bytes = 2;
	}
	return take_signed(reader, bytes, &insn->displacement);
}

/* 32- and 64-bit addressing: SDM volume 2, tables 2-2 and 2-3. */
static bool take_memory_32(struct insn *insn, struct reader *reader)
{
	unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;
	unsigned extend_base = (insn->rex & 1u) << 3;
	unsigned bytes = mod == 2 ? 4 : mod;

	insn->base = (uint8_t)(rm | extend_base);
	if (rm == 4) {
		if (reader->at >= reader->limit)
			return false;
		uint8_t sib = reader->bytes[reader->at++];
		uint8_t index = (uint8_t)((sib >> 3 & 7) | (insn->rex & 2u) << 2);

		insn->scale = (uint8_t)(1u << (sib >> 6));
		insn->index = index;
		if (index == 4 && insn->op->operand[1].kind != OPERAND_VSIB)
			insn->index = INSN_NO_REGISTER;
		insn->base = (uint8_t)((sib & 7) | extend_base);
		if (mod == 0 && (sib & 7) == 5) {
			insn->base = INSN_NO_REGISTER;
			bytes = 4;
		}
	} else if (mod == 0 && rm == 5) {
		insn->base = insn->code_size == CODE_64 ? INSN_RIP : INSN_NO_REGISTER;
		bytes = 4;
	}
	return take_signed(reader, bytes, &insn->displacement);
}

/* Takes SIB and displacement of a memory operand by ModRM. */
static bool take_memory(struct insn *insn, struct reader *reader)
{
	bool taken = insn->address_size == 2 ? take_memory_16(insn, reader)
					     : take_memory_32(insn, reader);

	insn->memory = true;
	if (!insn->segment_override && (insn->base == 4 || insn->base == 5))
		insn->segment = SEGMENT_SS;
	return taken;
}

static bool take_offset(struct insn *insn, struct reader *reader)
{
	unsigned count = insn->address_size;

	if (reader->limit - reader->at < count)
		return false;
	insn->displacement = (int64_t)(count == 2   ? bytes_load16(reader->bytes + reader->at)
				       : count == 4 ? bytes_load32(reader->bytes + reader->at)
						    : bytes_load64(reader->bytes + reader->at));
	reader->at += count;
	insn->memory = true;
	return true;
}

static unsigned immediate_bytes(const struct insn *insn, const struct operand *operand)
{
	switch (operand->size) {
	case SIZE_B:
	case SIZE_X:
		return 1;
	case SIZE_W:
		return 2;
	case SIZE_V:
		return insn->operand_size;
	default: /* SIZE_Z */
		return insn->operand_size == 2 ? 2 : 4;
	}
}

/* Takes what follows ModRM for one operand; `first` is cleared by the first immediate. */
static bool take_immediate(struct insn *insn, struct reader *reader, const struct operand *operand,
			   bool *first)
{
	int64_t value = 0;

	switch (operand->kind) {
	case OPERAND_FAR:
		return take_signed(reader, insn->operand_size == 2 ? 2 : 4, &insn->immediate) &&
		       take_signed(reader, 2, &value) && (insn->immediate2 = (uint16_t)value, true);
	case OPERAND_OFFSET:
		return take_offset(insn, reader);
	default:
		if (!take_signed(reader, immediate_bytes(insn, operand), &value))
			return false;
		if (*first)
			insn->immediate = value;
		else
			insn->immediate2 = (uint16_t)(value & 0xff); /* enter's level */
		*first = false;
		return true;
	}
}

/*
 * Goes through the operands: forms that need memory or a register, and immediates.
 */
static enum decode_result take_operands(struct insn *insn, struct reader *reader)
{
	const uint64_t immediates = BIT(OPERAND_IMM) | BIT(OPERAND_RELATIVE) | BIT(OPERAND_FAR) |
				    BIT(OPERAND_OFFSET) | BIT(OPERAND_XMM_IS4);
	const uint64_t memory_only = BIT(OPERAND_MEMORY) | BIT(OPERAND_VSIB);
	const uint64_t register_only = BIT(OPERAND_RM_REGISTER) | BIT(OPERAND_XMM_RM_REGISTER) |
				       BIT(OPERAND_MMX_RM_REGISTER);
	const uint64_t invalid = insn->memory ? register_only : memory_only;
	const struct operand *operand = insn->op->operand;
	uint64_t kinds = BIT(operand[0].kind) | BIT(operand[1].kind) | BIT(operand[2].kind) |
			 BIT(operand[3].kind);
	bool first = true;

	if (kinds & invalid)
		return DECODE_INVALID;
	if (insn->vex && insn->vvvv != 0) {
		if (!(kinds & (BIT(OPERAND_VVVV) | BIT(OPERAND_XMM_VVVV))))
			return DECODE_INVALID;
		if (insn->code_size != CODE_64)
			insn->vvvv &= 7; /* the top bit counts only where it means nothing */
	}
	if (!(kinds & immediates))
		return DECODE_OK;
	for (unsigned i = 0; i < 4; i++)
		if ((immediates & BIT(operand[i].kind)) &&
		    !take_immediate(insn, reader, &operand[i], &first))
			return out_of_bytes(reader);
	return DECODE_OK;
}

/* Control, debug and segment registers that do not exist. */
static bool register_exists(const struct insn *insn)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct operand *operand = &insn->op->operand[i];

		switch (operand->kind) {
		case OPERAND_CR:
			return insn->reg <= 8 && (0x11d >> insn->reg & 1); /* 0, 2, 3, 4, 8 */
		case OPERAND_DR:
			return insn->reg < 8;
		case OPERAND_SEGMENT:
			return insn->reg <= SEGMENT_GS &&
			       !(insn->reg == SEGMENT_CS && (operand->access & ACCESS_WRITE));
		default:
			break;
		}
	}
	return true;
}

/* What is wrong with the whole, known once the instruction is. */
static bool is_allowed(const struct insn *insn)
{
	uint32_t attributes = insn->op->attributes;

	if (insn->code_size == CODE_64 ? attributes & OP_NO_64 : attributes & OP_ONLY_64)
		return false;
	if (insn->lock && !(insn->memory && (attributes & OP_LOCKABLE)))
		return false;
	if (insn->vex && (attributes & (insn->vex_l ? OP_VEX_L0 : OP_VEX_L1)))
		return false;
	return !(attributes & OP_CHECK_REGISTER) || register_exists(insn);
}

/* A gather needs a SIB byte and three different registers: SDM volume 2, 2.3.12. */
static bool gather_is_allowed(const struct insn *insn)
{
	return insn->address_size != 2 && (insn->modrm & 7) == 4 && insn->reg != insn->index &&
	       insn->reg != insn->vvvv && insn->index != insn->vvvv;
}

static void take_modrm(struct insn *insn, struct reader *reader)
{
	insn->modrm = reader->bytes[reader->at++];
	/* mov to and from control and debug registers takes the register form whatever mod says. */
	if (insn->map == 1 && !insn->vex && (insn->opcode & 0xfc) == 0x20)
		insn->modrm |= 0xc0;
	insn->reg = (uint8_t)((insn->modrm >> 3 & 7) | (insn->rex & 4u) << 1);
	insn->rm = (uint8_t)((insn->modrm & 7) | (insn->rex & 1u) << 3);
}

static void set_sizes(struct insn *insn, const struct reader *reader)
{
	static const uint8_t address_sizes[3][2] = {{2, 4}, {4, 2}, {8, 4}};

	insn->address_size = address_sizes[insn->code_size][reader->address_67];
	insn->operand_size = (uint8_t)choose_operand_size(insn, reader, insn->op->attributes);
	if (reader->rep && insn->mandatory != reader->rep)
		insn->rep = reader->rep;
	if (insn->op->attributes & OP_CHECK_REGISTER && insn->op->operand[0].kind != OPERAND_CR &&
	    insn->op->operand[1].kind != OPERAND_CR && insn->op->operand[0].kind != OPERAND_DR &&
	    insn->op->operand[1].kind != OPERAND_DR)
		insn->reg &= 7; /* REX.R does not extend segment registers */
}

static enum decode_result decode(struct insn *insn, struct reader *reader)
{
	const struct node *node = NULL;
	enum decode_result result = take_prefixes(insn, reader);

	if (result != DECODE_OK)
		return result;
	if ((reader->bytes[reader->at] & 0xfe) == 0xc4) {
		bool found;

		result = take_vex(insn, reader, &found);
		if (result != DECODE_OK)
			return result;
		if (found) {
			node = vex_node(insn);
			insn->has_modrm = insn->map != 1 || insn->opcode != 0x77;
		}
	}
	if (!node) {
		result = take_opcode(insn, reader, &node);
		if (result != DECODE_OK)
			return result;
		insn->w = insn->rex >> 3 & 1;
	}
	if (node->kind == NODE_INVALID)
		return DECODE_INVALID;
	if (insn->has_modrm) {
		if (reader->at >= reader->limit)
			return out_of_bytes(reader);
		take_modrm(insn, reader);
	} else {
		insn->rm = (uint8_t)((insn->opcode & 7) | (insn->rex & 1u) << 3);
	}

	insn->op = choose(insn, reader, node);
	if (!insn->op)
		return DECODE_INVALID;
	set_sizes(insn, reader);
	if (insn->has_modrm && insn->modrm < 0xc0 && !take_memory(insn, reader))
		return out_of_bytes(reader);
	result = take_operands(insn, reader);
	if (result != DECODE_OK)
		return result;
	if (insn->op->operand[1].kind == OPERAND_VSIB && !gather_is_allowed(insn))
		return DECODE_INVALID;
	return is_allowed(insn) ? DECODE_OK : DECODE_INVALID;
}

/*
 * What an instruction is before its first byte is read. Copied, which compiles to a few moves;
 * filling with zeros would become a slow `rep stos`.
 */
#define BLANK(size)                                                                                \
	[size] = {.code_size = (size),                                                             \
		  .segment = SEGMENT_DS,                                                           \
		  .base = INSN_NO_REGISTER,                                                        \
		  .index = INSN_NO_REGISTER,                                                       \
		  .scale = 1}
static const struct insn blank[3] = {BLANK(CODE_16), BLANK(CODE_32), BLANK(CODE_64)};

enum decode_result insn_decode(struct insn *insn, const uint8_t *bytes, unsigned count,
			       enum code_size size)
{
	struct reader reader = {
		.bytes = bytes,
		.limit = count < INSN_MAX_LENGTH ? count : INSN_MAX_LENGTH,
	};

	*insn = blank[size];
	enum decode_result result = decode(insn, &reader);

	insn->length = (uint8_t)reader.at;
	return result;
}
