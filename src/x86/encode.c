/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes a decoded COPY instruction down again for 64-bit code, with other general registers and
 * with its memory operand elsewhere. The decoder's fields hold all that is needed, so nothing of
 * the original bytes is looked at but ModRM's opcode extension.
 *
 * Four encodings do not exist in 64-bit code, or not with a ModRM byte, and are written as their
 * equals: inc and dec of 40..4f as ff /0 and /1, 82 as 80, mov with moffs as 88..8b, and xchg with
 * rax as 87 (90 would be nop if the register became rax).
 *
 * Source: Intel SDM volume 2, chapter 2.
 */
#include "x86/insn.h"
#include "x86/opcodes.h"

/* What is known about the new form before its bytes are written. */
struct form {
	uint8_t opcode;
	bool modrm;
	bool memory;
	uint8_t reg; /* ModRM.reg with its extension bit */
	uint8_t rm;  /* ModRM.rm, the base or the opcode's register, with its extension bit */
	uint8_t vvvv;
	uint8_t index;	      /* of a memory operand, or INSN_NO_REGISTER */
	int32_t displacement; /* likewise */
	bool high;	      /* uses ah, ch, dh or bh: no REX prefix possible */
	bool low;	      /* uses spl, bpl, sil or dil: REX prefix needed */
	bool in_opcode;	      /* rm goes to the opcode's low bits */
	bool size_16;	      /* needs 66 as operand size */
};

struct writer {
	uint8_t *out;
	unsigned at;
};

static void put(struct writer *writer, unsigned byte)
{
	writer->out[writer->at++] = (uint8_t)byte;
}

/*
 * The new number of general register `number`, as the encoding has it; notes in `form` what that
 * asks of REX. False if there is none (a high byte of what is not one of the first four).
 */
static bool rename_register(const struct insn *insn, struct form *form, const uint8_t rename[16],
			    const struct operand *operand, uint8_t number, uint8_t *renamed)
{
	bool byte = operand->size == SIZE_B && !insn->vex;

	if (byte && !insn->rex && number >= 4 && number < 8) {
		if (rename[number - 4] >= 4)
			return false;
		form->high = true;
		*renamed = rename[number - 4] + 4;
		return true;
	}
	*renamed = rename[number];
	if (byte && *renamed >= 4)
		form->low = true;
	return true;
}

static bool rename_operand(const struct insn *insn, struct form *form, const uint8_t rename[16],
			   const struct operand *operand)
{
	if (operand->size == SIZE_V || operand->size == SIZE_Z)
		form->size_16 = insn->operand_size == 2;
	switch (operand->kind) {
	case OPERAND_REG:
		return rename_register(insn, form, rename, operand, insn->reg, &form->reg);
	case OPERAND_XMM_REG:
		form->reg = insn->reg;
		return true;
	case OPERAND_VVVV:
		form->vvvv = rename[insn->vvvv];
		return true;
	case OPERAND_XMM_VVVV:
		form->vvvv = insn->vvvv;
		return true;
	case OPERAND_OPCODE_REG:
		form->in_opcode = true;
		return rename_register(insn, form, rename, operand, insn->rm, &form->rm);
	case OPERAND_RM:
	case OPERAND_RM_REGISTER:
		return insn->memory ||
		       rename_register(insn, form, rename, operand, insn->rm, &form->rm);
	case OPERAND_XMM_RM:
	case OPERAND_XMM_RM_REGISTER:
		if (!insn->memory)
			form->rm = insn->rm;
		return true;
	default: /* MMX and x87 registers have no extension bit; fixed ones no field */
		return true;
	}
}

/* Opcodes of the one-byte map that are written as others. */
static void replace_opcode(const struct insn *insn, struct form *form)
{
	uint8_t opcode = insn->opcode;

	if (opcode >= 0x40 && opcode <= 0x4f) {
		form->opcode = 0xff;
		form->reg = opcode >> 3 & 1;
	} else if (opcode >= 0x90 && opcode <= 0x97) {
		form->opcode = 0x87;
		form->reg = 0;
	} else if (opcode >= 0xa0 && opcode <= 0xa3) {
		form->opcode = (opcode & 2 ? 0x88 : 0x8a) + (opcode & 1);
		form->reg = 0;
		form->modrm = true;
		return;
	} else {
		if (opcode == 0x82)
			form->opcode = 0x80;
		return;
	}
	form->modrm = true;
	form->in_opcode = false;
}

static bool has_high_index(const struct form *form)
{
	return form->index >= 8 && form->index < 16;
}

static void put_legacy(const struct insn *insn, const struct form *form, struct writer *writer)
{
	unsigned rex = insn->w ? 0x48 : 0;

	if (insn->lock)
		put(writer, 0xf0);
	if (insn->mandatory == 0x66 || form->size_16)
		put(writer, 0x66);
	if (insn->mandatory >= 0xf2)
		put(writer, insn->mandatory);
	if (form->low || form->reg >= 8 || form->rm >= 8 || has_high_index(form))
		rex |= 0x40 | (form->reg & 8u) >> 1 | (has_high_index(form) ? 2u : 0) |
		       form->rm >> 3;
	if (rex)
		put(writer, rex);
	if (insn->map)
		put(writer, 0x0f);
	if (insn->map >= 2)
		put(writer, insn->map == 2 ? 0x38 : 0x3a);
}

static void put_vex(const struct insn *insn, const struct form *form, struct writer *writer)
{
	unsigned pp = insn->mandatory == 0x66	? 1
		      : insn->mandatory == 0xf3 ? 2
		      : insn->mandatory == 0xf2 ? 3
						: 0;
	unsigned last = (~form->vvvv & 15u) << 3 | (insn->vex_l ? 4u : 0) | pp;
	unsigned not_r = form->reg & 8 ? 0 : 0x80;

	if (insn->map == 1 && !insn->w && form->rm < 8 && !has_high_index(form)) {
		put(writer, 0xc5);
		put(writer, not_r | last);
		return;
	}
	put(writer, 0xc4);
	put(writer,
	    not_r | (has_high_index(form) ? 0 : 0x40u) | (form->rm & 8 ? 0 : 0x20u) | insn->map);
	put(writer, (insn->w ? 0x80u : 0) | last);
}

static void put_modrm(const struct form *form, struct writer *writer)
{
	unsigned reg = (form->reg & 7u) << 3, rm = form->rm & 7u, mode = 0;
	uint32_t displacement = (uint32_t)form->displacement;

	if (!form->memory) {
		put(writer, 0xc0 | reg | rm);
		return;
	}
	/* rbp, r13: only with a displacement; rsp, r12: only through SIB, which has no index 4 */
	if (displacement || rm == 5)
		mode = form->displacement == (int8_t)form->displacement ? 1 : 2;
	if (form->index != INSN_NO_REGISTER || rm == 4) {
		put(writer, mode << 6 | reg | 4);
		put(writer, (form->index != INSN_NO_REGISTER ? form->index & 7u : 4u) << 3 | rm);
	} else {
		put(writer, mode << 6 | reg | rm);
	}
	for (unsigned i = 0; i < (mode == 2 ? 4u : mode); i++)
		put(writer, displacement >> 8 * i & 0xff);
}

static void put_immediates(const struct insn *insn, struct writer *writer)
{
	for (unsigned i = 0; i < 4; i++) {
		const struct operand *operand = &insn->op->operand[i];
		uint64_t value = (uint64_t)insn->immediate;
		unsigned bytes;

		if (operand->kind == OPERAND_XMM_IS4) {
			/* Outside of 64-bit code, the register number's top bit does not count. */
			put(writer, value & (insn->code_size == CODE_64 ? 0xff : 0x7f));
		} else if (operand->kind == OPERAND_IMM) {
			bytes = insn_operand_bytes(insn, operand);
			for (unsigned j = 0; j < bytes; j++)
				put(writer, (unsigned)(value >> 8 * j) & 0xff);
		}
	}
}

unsigned insn_encode_at(const struct insn *insn, uint8_t *out, const uint8_t rename[16],
			const struct insn_address *address)
{
	struct writer writer = {.out = out};
	struct form form = {
		.opcode = insn->opcode,
		.modrm = insn->has_modrm,
		.memory = insn->memory,
		.reg = insn->modrm >> 3 & 7,
		.rm = insn->modrm & 7,
		.index = address->index,
		.displacement = address->displacement,
	};

	if (insn->op->class != CLASS_COPY)
		return 0;
	for (unsigned i = 0; i < 4; i++)
		if (!rename_operand(insn, &form, rename, &insn->op->operand[i]))
			return 0;
	if (insn->memory)
		form.rm = address->base;
	else
		form.index = INSN_NO_REGISTER;
	if (insn->map == 0)
		replace_opcode(insn, &form);
	if (insn->vex)
		put_vex(insn, &form, &writer);
	else if (form.high &&
		 (insn->w || form.low || form.reg >= 8 || form.rm >= 8 || has_high_index(&form)))
		return 0;
	else
		put_legacy(insn, &form, &writer);
	put(&writer, form.in_opcode ? (form.opcode & 0xf8u) | (form.rm & 7u) : form.opcode);
	if (form.modrm)
		put_modrm(&form, &writer);
	put_immediates(insn, &writer);
	return writer.at;
}

unsigned insn_encode(const struct insn *insn, uint8_t *out, const uint8_t rename[16], unsigned base)
{
	const struct insn_address address = {.base = (uint8_t)base, .index = INSN_NO_REGISTER};

	return insn_encode_at(insn, out, rename, &address);
}
