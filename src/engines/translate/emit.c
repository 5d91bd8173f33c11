/* SPDX-License-Identifier: BSD-2-Clause */
#include "engines/translate/emit.h"

#include <stddef.h>

enum { NO_REGISTER = INSN_NO_REGISTER };

static unsigned scale_bits(unsigned scale)
{
	return scale == 8 ? 3 : scale >> 1;
}

void emit_memory(struct emit *emit, enum emit_opcode opcode, unsigned size, unsigned reg,
		 unsigned base, unsigned index, unsigned scale, int32_t displacement)
{
	bool has_base = base != NO_REGISTER, has_index = index != NO_REGISTER;
	unsigned mod, sib_base = has_base ? base & 7 : 5;

	if (size == 2)
		emit_u8(emit, 0x66);
	emit_rex(emit, size, reg, has_index ? index : 0, has_base ? base : 0);
	emit_u8(emit, opcode);
	/* rbp and r13 as a base have no form without a displacement. */
	if (!has_base || (displacement == 0 && sib_base != 5))
		mod = 0;
	else
		mod = displacement == (int8_t)displacement ? 1 : 2;
	if (has_index || sib_base == 4 || !has_base) {
		emit_u8(emit, mod << 6 | (reg & 7) << 3 | 4);
		emit_u8(emit, scale_bits(scale) << 6 | (has_index ? index & 7 : 4) << 3 | sib_base);
	} else {
		emit_u8(emit, mod << 6 | (reg & 7) << 3 | sib_base);
	}
	if (mod == 1)
		emit_u8(emit, (uint8_t)displacement);
	else if (mod == 2 || !has_base)
		emit_u32(emit, (uint32_t)displacement);
}

void emit_store_constant(struct emit *emit, unsigned base, unsigned index, int32_t displacement,
			 int32_t value)
{
	emit_memory(emit, (enum emit_opcode)0xc7, 8, 0, base, index, 1, displacement);
	emit_u32(emit, (uint32_t)value);
}

void emit_jump(struct emit *emit, const uint8_t *target)
{
	emit_u8(emit, 0xe9);
	emit_u32(emit, (uint32_t)(target - (emit->at + 4)));
}

void emit_call(struct emit *emit, const uint8_t *target)
{
	emit_u8(emit, 0xe8);
	emit_u32(emit, (uint32_t)(target - (emit->at + 4)));
}

/* Nops so that what comes `ahead` bytes later is aligned. */
static void align_ahead(struct emit *emit, unsigned alignment, unsigned ahead)
{
	static const uint8_t nops[8][8] = {
		{0},
		{0x90},
		{0x66, 0x90},
		{0x0f, 0x1f, 0x00},
		{0x0f, 0x1f, 0x40, 0x00},
		{0x0f, 0x1f, 0x44, 0x00, 0x00},
		{0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
		{0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00},
	};
	unsigned count = (unsigned)-((uintptr_t)emit->at + ahead) & (alignment - 1);

	if (count >= 8) {
		emit_u64(emit, 0x0000000000841f0f); /* 0f 1f 84 00 + 4: a nop of 8 */
		count -= 8;
	}
	for (unsigned i = 0; i < count; i++)
		emit_u8(emit, nops[count][i]);
}

void emit_align(struct emit *emit, unsigned alignment)
{
	align_ahead(emit, alignment, 0);
}

static uint8_t *emit_open(struct emit *emit, unsigned opcode, bool aligned)
{
	if (aligned)
		align_ahead(emit, 4, 1);
	emit_u8(emit, opcode);
	emit_u32(emit, 0);
	return emit->at - 4;
}

uint8_t *emit_jump_open(struct emit *emit, bool aligned)
{
	return emit_open(emit, 0xe9, aligned);
}

uint8_t *emit_call_open(struct emit *emit, bool aligned)
{
	return emit_open(emit, 0xe8, aligned);
}

uint8_t *emit_jcc_open(struct emit *emit, unsigned condition, bool aligned)
{
	if (aligned)
		align_ahead(emit, 4, 2);
	emit_u8(emit, 0x0f);
	emit_u8(emit, 0x80 | condition);
	emit_u32(emit, 0);
	return emit->at - 4;
}

void emit_patchable(struct emit *emit)
{
	align_ahead(emit, 8, 0);
	emit_u32(emit, 0x00441f0f);
	emit_u8(emit, 0);
}

void emit_patch(uint8_t *place, uint8_t opcode, const uint8_t *target)
{
	uint64_t *word = (uint64_t *)(void *)place;
	uint64_t jump = opcode | (uint64_t)(uint32_t)(target - (place + 5)) << 8;

	__atomic_store_n(word, (*word & ~0xffffffffffull) | jump, __ATOMIC_RELEASE);
}

void emit_flags_save(struct emit *emit)
{
	emit_move(emit, T1, RAX);
	emit_u32(emit, 0x9fc0900f); /* seto al; lahf */
	emit_cpu(emit, EMIT_STORE, 2, RAX, offsetof(struct cpu, flags));
	emit_move(emit, RAX, T1);
}

void emit_flags_load(struct emit *emit)
{
	emit_move(emit, T1, RAX);
	emit_cpu_load16(emit, RAX, offsetof(struct cpu, flags));
	emit_u16(emit, 0x7f04); /* add al, 0x7f */
	emit_u8(emit, 0x9e);	/* sahf */
	emit_move(emit, RAX, T1);
}
