/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes instruction sequences. Random bytes in the shape of an instruction go through the decoder;
 * what it takes is kept if its effects stay inside the registers, the flags and the data area:
 * three registers always point into the data and one holds a small index, and no instruction that
 * would write those is kept.
 */
#include "conformance.h"

#include <string.h>

#include "x86/handlers.h"
#include "x86/features.h"
#include "x86/insn.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

/* The vector register that holds small indices, for gathers. */
#define INDEX_VECTOR 15

struct generator {
	uint64_t random;
	uint8_t pointer[2];
	uint8_t index;
	unsigned stack_run; /* proposals to come that are pushes (from 8 on) or pops */
	bool strings;	    /* rsi, rdi point into the data and rcx is small */
	uint32_t undefined;
	uint32_t undefined_before_skip;
	bool skipping;
};

static enum { KIND_ALL, KIND_INTEGER, KIND_SSE, KIND_AVX } kind;

bool generate_select(const char *name)
{
	static const char *const names[] = {"all", "integer", "sse", "avx"};

	for (unsigned i = 0; i < 4; i++) {
		if (strcmp(name, names[i]) == 0) {
			kind = i;
			return true;
		}
	}
	return false;
}

static uint64_t next(struct generator *g)
{
	uint64_t z = g->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static unsigned below(struct generator *g, unsigned limit)
{
	return (unsigned)(next(g) % limit);
}

static bool chance(struct generator *g, unsigned percent)
{
	return below(g, 100) < percent;
}

static uint64_t interesting(struct generator *g)
{
	static const uint64_t values[] = {0,
					  1,
					  2,
					  UINT64_MAX,
					  0x7fffffff,
					  0x80000000,
					  0xffffffff,
					  0x7f,
					  0x80,
					  0xff,
					  0x7fff,
					  0x8000,
					  0xffff,
					  INT64_MAX,
					  (uint64_t)INT64_MAX + 1,
					  0x0123456789abcdef,
					  0x3ff0000000000000};

	switch (below(g, 4)) {
	case 0:
		return values[below(g, sizeof(values) / sizeof(values[0]))];
	case 1:
		return next(g) >> below(g, 64);
	default:
		return next(g);
	}
}

/* Finite numbers, small integers, the odd NaN: so that floating point does more than overflow. */
static void fill_vector(struct generator *g, uint8_t *bytes, unsigned size)
{
	for (unsigned i = 0; i < size; i += 8) {
		uint64_t value = next(g);
		double number = (double)(int64_t)(value >> 40) / 16;
		float numbers[2] = {(float)(value & 0xfff) / 4, -(float)(value >> 52)};

		switch (below(g, 4)) {
		case 0:
			memcpy(bytes + i, &number, 8);
			break;
		case 1:
			memcpy(bytes + i, numbers, 8);
			break;
		case 2:
			value = interesting(g);
			/* fall through */
		default:
			memcpy(bytes + i, &value, 8);
			break;
		}
	}
}

static void start_state(struct generator *g, struct machine_state *start)
{
	static const uint32_t mxcsr = 0x1f80, mask = 0xffff;
	static const uint16_t fcw = 0x37f;
	uint64_t components = 7;

	for (unsigned i = 0; i < 16; i++)
		start->gpr[i] = interesting(g);
	/* Sometimes runs of pushes and pops go over the page's edge, or lie across it. */
	start->gpr[RSP] = DATA_MIDDLE + (chance(g, 75) ? 512 + below(g, 16) * 8 : below(g, 80));
	for (unsigned i = 0; i < 2; i++)
		start->gpr[g->pointer[i]] = DATA_MIDDLE + (chance(g, 70) ? (below(g, 64) - 32) * 32
									 : below(g, 256) - 128);
	start->gpr[g->index] = below(g, 40);
	start->rflags = 0x202 | (next(g) & FLAG_STATUS);
	start->exception = 0xff;
	memset(start->xsave, 0, sizeof(start->xsave));
	memcpy(start->xsave, &fcw, 2);
	memcpy(start->xsave + 24, &mxcsr, 4);
	memcpy(start->xsave + 28, &mask, 4);
	start->xsave[4] = (uint8_t)next(g);
	for (unsigned i = 0; i < 8; i++) {
		uint64_t significand = next(g) | 1ull << 63;
		uint16_t exponent =
			(uint16_t)(16383 - 20 + below(g, 40)) | (uint16_t)(below(g, 2) << 15);

		memcpy(start->xsave + 32 + i * 16, &significand, 8);
		memcpy(start->xsave + 40 + i * 16, &exponent, 2);
	}
	fill_vector(g, start->xsave + 160, 256);
	memcpy(start->xsave + 512, &components, 8);
	fill_vector(g, start->xsave + 576, 256);
	for (unsigned i = 0; i < 4; i += 2) { /* small as 32-bit indices and as 64-bit ones */
		uint32_t low = below(g, 256), high = below(g, 256);

		memset(start->xsave + 160 + INDEX_VECTOR * 16 + i * 4, 0, 8);
		memset(start->xsave + 576 + INDEX_VECTOR * 16 + i * 4, 0, 8);
		memcpy(start->xsave + 160 + INDEX_VECTOR * 16 + i * 4, &low, 4);
		memcpy(start->xsave + 576 + INDEX_VECTOR * 16 + i * 4, &high, 4);
	}
	fill_vector(g, start->data, DATA_SIZE);
}

static unsigned general_register(const struct insn *insn, const struct operand *operand)
{
	unsigned number;

	switch (operand->kind) {
	case OPERAND_RM:
		number = insn->memory ? INSN_NO_REGISTER : insn->rm;
		break;
	case OPERAND_RM_REGISTER:
		number = insn->rm;
		break;
	case OPERAND_REG:
		number = insn->reg;
		break;
	case OPERAND_VVVV:
		return insn->vvvv;
	case OPERAND_OPCODE_REG:
		number = (insn->opcode & 7u) | (insn->rex & 1u) << 3;
		break;
	case OPERAND_ACC:
		return RAX;
	case OPERAND_CL:
		return RCX;
	case OPERAND_DX:
		return RDX;
	case OPERAND_FIXED:
		return operand->number;
	default:
		return INSN_NO_REGISTER;
	}
	if (operand->size == SIZE_B && !insn->rex && number >= 4 && number < 8)
		number -= 4;
	return number;
}

static bool reserved(const struct generator *g, unsigned number)
{
	return number == RSP || number == g->pointer[0] || number == g->pointer[1] ||
	       number == g->index || (g->strings && number == RCX);
}

static bool writes_reserved(const struct generator *g, const struct insn *insn)
{
	for (unsigned i = 0; i < 4; i++) {
		const struct operand *operand = &insn->op->operand[i];
		unsigned number;

		if (!(operand->access & ACCESS_WRITE))
			continue;
		number = general_register(insn, operand);
		if (number < 16 && reserved(g, number))
			return true;
		if (operand->kind == OPERAND_XMM_REG && insn->reg == INDEX_VECTOR)
			return true;
		if ((operand->kind == OPERAND_XMM_RM || operand->kind == OPERAND_XMM_RM_REGISTER) &&
		    !insn->memory && insn->rm == INDEX_VECTOR)
			return true;
		if (operand->kind == OPERAND_XMM_VVVV && insn->vvvv == INDEX_VECTOR)
			return true;
	}
	return false;
}

/* All its memory lies in the data area. */
static bool memory_fits(const struct generator *g, const struct insn *insn)
{
	bool vsib = insn->op->handler == HANDLER_GATHER;

	if (!insn->memory)
		return true;
	if (insn->base == INSN_RIP)
		return true; /* fixed up */
	if (insn->base != g->pointer[0] && insn->base != g->pointer[1] && insn->base != RSP)
		return false;
	if (vsib ? insn->index != INDEX_VECTOR
		 : insn->index != INSN_NO_REGISTER && insn->index != g->index)
		return false;
	return insn->displacement >= -1024 && insn->displacement <= 1024;
}

static bool handler_wanted(const struct generator *g, const struct insn *insn)
{
	switch (insn->op->handler) {
	case HANDLER_PUSH:
	case HANDLER_POP:
	case HANDLER_PUSHF:
	case HANDLER_LEA:
	case HANDLER_NOP:
	case HANDLER_PREFETCH:
	case HANDLER_CLFLUSH:
	case HANDLER_VMASKMOV:
	case HANDLER_GATHER:
		return true;
	case HANDLER_MASKMOVDQU:
	case HANDLER_MASKMOVQ:
		return g->strings; /* rdi points into the data */
	case HANDLER_MOVS:
	case HANDLER_STOS:
	case HANDLER_LODS:
	case HANDLER_CMPS:
	case HANDLER_SCAS:
	case HANDLER_CLD:
	case HANDLER_STD:
		return g->strings && !insn->segment_override;
	case HANDLER_BIT_STRING:
		return insn->reg == g->index;
	default:
		return false;
	}
}

static bool kind_wanted(const struct insn *insn)
{
	unsigned attributes = insn->op->attributes;
	bool vector = attributes & (OP_SSE | OP_AVX | OP_MMX | OP_X87);

	switch (kind) {
	case KIND_INTEGER:
		return !vector;
	case KIND_SSE:
		return attributes & (OP_SSE | OP_MMX | OP_X87);
	case KIND_AVX:
		return insn->vex;
	default:
		return true;
	}
}

static bool wanted(struct generator *g, const struct insn *insn)
{
	const struct opcode *op = insn->op;

	if (op->class == CLASS_COPY ? false : !handler_wanted(g, insn))
		return false;
	if (op->feature == FEATURE_RDRAND || op->feature == FEATURE_RDSEED ||
	    op->feature == FEATURE_SHA)
		return false;
	if (insn->segment_override && insn->segment >= SEGMENT_FS)
		return false;
	/* 0f 0d of registers: a nop for Intel's processors and our models, #UD for AMD's. */
	if (insn->map == 1 && insn->opcode == 0x0d && !insn->memory)
		return false;
	if (strncmp(op->name, "div", 4) == 0 || strncmp(op->name, "idiv", 5) == 0) {
		if (!chance(g, 30))
			return false;
	}
	if ((op->handler == HANDLER_PUSH || op->handler == HANDLER_POP) && insn->memory &&
	    insn->base == RSP)
		return false;
	return kind_wanted(insn) && !writes_reserved(g, insn) && memory_fits(g, insn) &&
	       !(insn_flags_read(insn) & g->undefined & FLAG_STATUS);
}

struct bytes {
	uint8_t byte[32];
	unsigned count;
};

static void put(struct bytes *bytes, unsigned byte)
{
	bytes->byte[bytes->count++] = (uint8_t)byte;
}

/* ModRM with what belongs to it; rex collects R, X and B. */
static void put_modrm(struct generator *g, struct bytes *bytes, unsigned *rex, bool vsib)
{
	unsigned reg = below(g, 16), mod = chance(g, 45) ? 3 : 1 + below(g, 2), rm = below(g, 16);
	bool sib;

	*rex |= (reg >> 3) << 2;
	if (mod == 3) {
		*rex |= rm >> 3;
		put(bytes, 0xc0 | (reg & 7) << 3 | (rm & 7));
		return;
	}
	if (!vsib && chance(g, 10)) { /* relative to rip */
		put(bytes, (reg & 7) << 3 | 5);
		bytes->count += 4;
		return;
	}
	rm = chance(g, 10) ? RSP : g->pointer[below(g, 2)];
	sib = (rm & 7) == 4 || vsib || chance(g, 40);
	*rex |= rm >> 3;
	put(bytes, mod << 6 | (reg & 7) << 3 | (sib ? 4 : (rm & 7)));
	if (sib) {
		unsigned index = vsib ? INDEX_VECTOR : chance(g, 60) ? g->index : RSP;

		*rex |= (index >> 3) << 1;
		put(bytes, below(g, 4) << 6 | (index & 7) << 3 | (rm & 7));
	}
	if (mod == 1) {
		put(bytes, chance(g, 80) ? (below(g, 8) - 4) * 16 : below(g, 256));
	} else {
		int32_t displacement =
			chance(g, 80) ? ((int)below(g, 64) - 32) * 16 : (int)below(g, 2048) - 1024;

		memcpy(bytes->byte + bytes->count, &displacement, 4);
		bytes->count += 4;
	}
}

static void put_vex(struct generator *g, struct bytes *bytes, unsigned rex, unsigned map,
		    unsigned pp)
{
	unsigned vvvv = chance(g, 40) ? 15 : below(g, 16), l = below(g, 2), w = below(g, 2);

	if (map == 1 && !(rex & 3) && !w && chance(g, 50)) {
		put(bytes, 0xc5);
		put(bytes, (rex & 4 ? 0 : 0x80) | vvvv << 3 | l << 2 | pp);
		return;
	}
	put(bytes, 0xc4);
	put(bytes, (~rex & 7) << 5 | map);
	put(bytes, w << 7 | vvvv << 3 | l << 2 | pp);
}

static void put_legacy_prefixes(struct generator *g, struct bytes *bytes, unsigned map)
{
	static const uint8_t mandatory[] = {0x66, 0xf2, 0xf3};

	if (chance(g, 3))
		put(bytes, 0x67);
	if (map == 0 ? chance(g, 15) : chance(g, 45))
		put(bytes, map == 0 ? 0x66 : mandatory[below(g, 3)]);
	if (map == 0 && g->strings && chance(g, 30))
		put(bytes, chance(g, 50) ? 0xf3 : 0xf2);
	if (chance(g, 4))
		put(bytes, 0xf0);
}

/* Bytes in the shape of an instruction, and enough behind them for any immediate. */
static void propose(struct generator *g, struct bytes *bytes)
{
	unsigned shape = below(g, 100), rex = 0,
		 map = shape < 45   ? 0
		       : shape < 75 ? 1
		       : shape < 90 ? 2
				    : 3;
	bool vex = kind == KIND_AVX ||
		   (kind != KIND_INTEGER && kind != KIND_SSE && chance(g, 30)) || chance(g, 5);
	unsigned opcode = below(g, 256);
	struct bytes tail = {.count = 0};
	bool vsib;

	if (vex && map == 0)
		map = 1;
	if (kind == KIND_SSE && map == 0)
		opcode = 0xd8 + below(g, 8);
	vsib = vex && map == 2 && opcode >= 0x90 && opcode <= 0x93;
	bytes->count = 0;
	if (g->stack_run) { /* push and pop of registers */
		g->stack_run--;
		opcode = 0x50 | (g->stack_run & 8) | below(g, 8);
		vex = false;
		map = 0;
	}
	put_modrm(g, &tail, &rex, vsib);
	if (vex) {
		put_vex(g, bytes, rex, map, below(g, 4));
	} else {
		put_legacy_prefixes(g, bytes, map);
		if (rex || chance(g, 40))
			put(bytes, 0x40 | rex | (chance(g, 50) ? 8 : 0));
		if (map)
			put(bytes, 0x0f);
		if (map >= 2)
			put(bytes, map == 2 ? 0x38 : 0x3a);
	}
	put(bytes, opcode);
	memcpy(bytes->byte + bytes->count, tail.byte, tail.count);
	bytes->count += tail.count;
	while (bytes->count < INSN_MAX_LENGTH + 4)
		put(bytes, chance(g, 50) ? below(g, 8) : (unsigned)next(g) & 0xff);
}

/* A rip-relative operand gets a place in the data. The displacement is the last four bytes but the
 * immediate's. */
static bool fix_relative(struct generator *g, const struct insn *insn, uint8_t *bytes, uint64_t at)
{
	uint64_t target = DATA_MIDDLE + (below(g, 32) - 16) * 32;
	int32_t displacement = (int32_t)(target - (at + insn->length));

	for (unsigned place = insn->length - 4;; place--) {
		struct insn again;

		memcpy(bytes + place, &displacement, 4);
		if (insn_decode(&again, bytes, insn->length, CODE_64) == DECODE_OK &&
		    again.length == insn->length && again.base == INSN_RIP &&
		    again.displacement == displacement)
			return true;
		if (place <= 2)
			return false;
		memset(bytes + place, 0, 4);
	}
}

static void note_flags(struct generator *g, const struct insn *insn)
{
	g->undefined &= ~insn_flags_killed(insn);
	g->undefined |= insn_flags_undefined(insn) & FLAG_STATUS;
	if (g->skipping)
		g->undefined |= g->undefined_before_skip;
	g->skipping = false;
}

static bool add_instruction(struct generator *g, struct sequence *sequence)
{
	uint64_t at = CODE_ADDRESS + sequence->code_offset + sequence->size;
	struct bytes bytes;
	struct insn insn;
	uint8_t kept[INSN_MAX_LENGTH];

	propose(g, &bytes);
	if (insn_decode(&insn, bytes.byte, INSN_MAX_LENGTH, CODE_64) != DECODE_OK ||
	    !wanted(g, &insn))
		return false;
	memcpy(kept, bytes.byte, insn.length);
	/* What was fixed may have been taken for part of the immediate, which tells what flags do.
	 */
	if (insn.memory && insn.base == INSN_RIP &&
	    (!fix_relative(g, &insn, kept, at) ||
	     insn_decode(&insn, kept, insn.length, CODE_64) != DECODE_OK || !wanted(g, &insn)))
		return false;
	sequence->offset[sequence->count] = sequence->size;
	sequence->length[sequence->count] = insn.length;
	memcpy(sequence->bytes + sequence->size, kept, insn.length);
	sequence->size += insn.length;
	if (sequence->count && g->skipping) /* the jump before goes over it */
		sequence->bytes[sequence->offset[sequence->count - 1] + 1] = insn.length;
	note_flags(g, &insn);
	sequence->undefined[sequence->count++] = g->undefined;
	return true;
}

static void add_jump(struct generator *g, struct sequence *sequence)
{
	uint8_t opcode = (uint8_t)(0x70 | below(g, 16));
	uint8_t bytes[2] = {opcode, 0};
	struct insn insn;

	if (insn_decode(&insn, bytes, 2, CODE_64) != DECODE_OK ||
	    (insn_flags_read(&insn) & g->undefined))
		return;
	sequence->offset[sequence->count] = sequence->size;
	sequence->length[sequence->count] = 2;
	memcpy(sequence->bytes + sequence->size, bytes, 2);
	sequence->size += 2;
	sequence->undefined[sequence->count++] = g->undefined;
	g->undefined_before_skip = g->undefined;
	g->skipping = true;
}

static void choose_registers(struct generator *g)
{
	static const uint8_t choices[] = {3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

	g->strings = kind != KIND_AVX && chance(g, 20);
	g->pointer[0] = g->strings ? RSI : choices[below(g, 12)];
	do
		g->pointer[1] = g->strings ? RDI : choices[below(g, 12)];
	while (g->pointer[1] == g->pointer[0]);
	do
		g->index = g->strings ? RCX : choices[below(g, 12)];
	while (g->index == g->pointer[0] || g->index == g->pointer[1]);
}

void sequence_generate(struct sequence *sequence, uint64_t seed)
{
	struct generator g = {.random = seed * 0x2545f4914f6cdd1du + 1};
	unsigned count, tries = 0;

	next(&g);
	choose_registers(&g);
	sequence->count = sequence->size = 0;
	sequence->code_offset = below(&g, 64);
	if (chance(&g, 5)) /* across a page */
		sequence->code_offset = 4096 - below(&g, 40);
	start_state(&g, &sequence->start);
	count = 1 + below(&g, SEQUENCE_INSNS_MAX - 1);
	while (sequence->count < count && tries++ < 4000) {
		if (!g.stack_run && kind != KIND_SSE && kind != KIND_AVX && chance(&g, 1))
			g.stack_run = below(&g, 16);
		if (!g.skipping && sequence->count + 1 < count && chance(&g, 1))
			add_jump(&g, sequence);
		else
			add_instruction(&g, sequence);
	}
}

void sequence_drop(struct sequence *sequence, unsigned which)
{
	unsigned at = sequence->offset[which], length = sequence->length[which];

	memmove(sequence->bytes + at, sequence->bytes + at + length, sequence->size - at - length);
	sequence->size -= length;
	sequence->count--;
	for (unsigned i = which; i < sequence->count; i++) {
		sequence->offset[i] = sequence->offset[i + 1] - length;
		sequence->length[i] = sequence->length[i + 1];
		sequence->undefined[i] = sequence->undefined[i + 1];
	}
}
