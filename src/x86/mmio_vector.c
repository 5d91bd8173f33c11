/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Emulation of device accesses: loads and stores of vector registers, SSE and AVX. What also
 * computes is not known, nor are MMX registers.
 */
#include "lib/bytes.h"
#include "x86/mmio_attempt.h"

enum vector_way {
	WAY_NONE,
	WAY_LOAD,	/* the whole operand; above it up to 16 bytes zeroes */
	WAY_LOAD_LOW,	/* 8 bytes; the upper 8 stay, with VEX they are another's */
	WAY_LOAD_HIGH,	/* the other way round */
	WAY_STORE,	/* the low bytes */
	WAY_STORE_HIGH, /* bytes 8 to 15 */
};

/* Mandatory prefixes as bits: which of them an opcode of map 1 has that way. */
enum { NP = 1, P66 = 2, PF3 = 4, PF2 = 8 };

static const struct {
	uint8_t opcode, prefixes, way;
} vector_ways[] = {
	{0x10, NP | P66 | PF3 | PF2, WAY_LOAD},	 /* movups movupd movss movsd */
	{0x11, NP | P66 | PF3 | PF2, WAY_STORE}, /* the same */
	{0x12, NP | P66, WAY_LOAD_LOW},		 /* movlps movlpd */
	{0x13, NP | P66, WAY_STORE},		 /* the same */
	{0x16, NP | P66, WAY_LOAD_HIGH},	 /* movhps movhpd */
	{0x17, NP | P66, WAY_STORE_HIGH},	 /* the same */
	{0x28, NP | P66, WAY_LOAD},		 /* movaps movapd */
	{0x29, NP | P66, WAY_STORE},		 /* the same */
	{0x2b, NP | P66, WAY_STORE},		 /* movntps movntpd */
	{0x6e, P66, WAY_LOAD},			 /* movd movq */
	{0x6f, P66 | PF3, WAY_LOAD},		 /* movdqa movdqu */
	{0x7e, P66, WAY_STORE},			 /* movd movq */
	{0x7e, PF3, WAY_LOAD},			 /* movq */
	{0x7f, P66 | PF3, WAY_STORE},		 /* movdqa movdqu */
	{0xd6, P66, WAY_STORE},			 /* movq */
	{0xe7, P66, WAY_STORE},			 /* movntdq */
	{0xf0, PF2, WAY_LOAD},			 /* lddqu */
};

static unsigned prefix_bit(const struct insn *insn)
{
	switch (insn->mandatory) {
	case 0:
		return NP;
	case 0x66:
		return P66;
	case 0xf3:
		return PF3;
	default:
		return PF2;
	}
}

static enum vector_way find_way(const struct insn *insn)
{
	if (insn->map == 2) /* movntdqa */
		return insn->opcode == 0x2a && insn->mandatory == 0x66 ? WAY_LOAD : WAY_NONE;
	if (insn->map != 1)
		return WAY_NONE;
	for (unsigned i = 0; i < sizeof(vector_ways) / sizeof(vector_ways[0]); i++)
		if (vector_ways[i].opcode == insn->opcode &&
		    (vector_ways[i].prefixes & prefix_bit(insn)))
			return vector_ways[i].way;
	return WAY_NONE;
}

static void set_register(struct attempt *attempt, unsigned size)
{
	attempt->vector_written = true;
	attempt->vector_number = attempt->insn->reg;
	attempt->vector_size = size;
	attempt->vector_zero_above = attempt->insn->vex;
}

static enum mmio_result load(struct attempt *attempt, const struct place *memory)
{
	/* A load of less than 16 bytes zeroes the rest of them. */
	set_register(attempt, memory->size < 16 ? 16 : memory->size);
	return place_read(attempt, memory, attempt->vector_bytes);
}

static enum mmio_result load_half(struct attempt *attempt, const struct place *memory,
				  unsigned where)
{
	const struct insn *insn = attempt->insn;
	struct mmio *mmio = attempt->mmio;

	set_register(attempt, 16);
	mmio->ops->vector_get(mmio, insn->vex ? insn->vvvv : insn->reg, 16, attempt->vector_bytes);
	return place_read(attempt, memory, attempt->vector_bytes + where);
}

static enum mmio_result store(struct attempt *attempt, const struct place *memory, unsigned where)
{
	uint8_t bytes[MMIO_OPERAND_MAX];
	struct mmio *mmio = attempt->mmio;
	unsigned size = where + memory->size;

	mmio->ops->vector_get(mmio, attempt->insn->reg, size < 4 ? 4 : size, bytes);
	return place_write(attempt, memory, bytes + where);
}

enum mmio_result mmio_vector(struct attempt *attempt)
{
	const struct insn *insn = attempt->insn;
	const struct mmio_ops *ops = attempt->mmio->ops;
	enum vector_way way = find_way(insn);
	struct place memory;
	enum mmio_result result;

	if (way == WAY_NONE || !ops->vector_get || !ops->vector_set)
		return MMIO_UNKNOWN;
	result = memory_find(attempt, &memory);
	if (result)
		return result;
	switch (way) {
	case WAY_LOAD:
		return load(attempt, &memory);
	case WAY_LOAD_LOW:
		return load_half(attempt, &memory, 0);
	case WAY_LOAD_HIGH:
		return load_half(attempt, &memory, 8);
	case WAY_STORE_HIGH:
		return store(attempt, &memory, 8);
	default:
		return store(attempt, &memory, 0);
	}
}
