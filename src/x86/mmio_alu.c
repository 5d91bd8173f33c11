/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Emulation of device accesses: arithmetic. The host's processor does the very operation at the
 * very size, so the flags are what it makes of them. lahf and seto fetch them, for a push would
 * write below the stack pointer.
 */
#include "x86/mmio_attempt.h"

/* The flags of lahf, in the high byte, and of seto, in the low one. */
static uint64_t status_of(uint16_t ax)
{
	return (ax >> 8 & (FLAG_STATUS & 0xff)) | (ax & 1 ? FLAG_OF : 0);
}

static void status_set(uint64_t *rflags, uint64_t mask, uint16_t ax)
{
	*rflags = (*rflags & ~mask) | (status_of(ax) & mask);
}

/* One instruction with the guest's carry going in. */
#define RUN(text, ...)                                                                             \
	__asm__("btl $0, %k[rflags]\n\t" text "\n\tlahf\n\tseto %%al"                              \
		: "=&a"(ax), [left] "+r"(value)                                                    \
		: [rflags] "r"(*rflags), __VA_ARGS__                                               \
		: "cc")

/* The same at each of the sizes. */
#define BINARY(name)                                                                               \
	switch (size) {                                                                            \
	case 1:                                                                                    \
		RUN(name "b %b[right], %b[left]", [right] "r"(right));                             \
		break;                                                                             \
	case 2:                                                                                    \
		RUN(name "w %w[right], %w[left]", [right] "r"(right));                             \
		break;                                                                             \
	case 4:                                                                                    \
		RUN(name "l %k[right], %k[left]", [right] "r"(right));                             \
		break;                                                                             \
	default:                                                                                   \
		RUN(name "q %q[right], %q[left]", [right] "r"(right));                             \
		break;                                                                             \
	}                                                                                          \
	break

#define UNARY(name, suffix)                                                                        \
	switch (size) {                                                                            \
	case 1:                                                                                    \
		RUN(name "b " suffix "%b[left]", "c"(count));                                      \
		break;                                                                             \
	case 2:                                                                                    \
		RUN(name "w " suffix "%w[left]", "c"(count));                                      \
		break;                                                                             \
	case 4:                                                                                    \
		RUN(name "l " suffix "%k[left]", "c"(count));                                      \
		break;                                                                             \
	default:                                                                                   \
		RUN(name "q " suffix "%q[left]", "c"(count));                                      \
		break;                                                                             \
	}                                                                                          \
	break

void alu_binary(enum alu_binary operation, unsigned size, uint64_t *left, uint64_t right,
		uint64_t *rflags)
{
	uint64_t value = *left;
	uint16_t ax = 0;

	switch (operation) {
	case ALU_ADD:
		BINARY("add");
	case ALU_OR:
		BINARY("or");
	case ALU_ADC:
		BINARY("adc");
	case ALU_SBB:
		BINARY("sbb");
	case ALU_AND:
		BINARY("and");
	case ALU_SUB:
		BINARY("sub");
	case ALU_XOR:
		BINARY("xor");
	case ALU_CMP:
		BINARY("cmp");
	case ALU_TEST:
		BINARY("test");
	}
	*left = value_cut(value, size);
	status_set(rflags, FLAG_STATUS, ax);
}

void alu_unary(enum alu_unary operation, unsigned size, uint64_t *left, uint64_t *rflags)
{
	uint64_t value = *left, mask = FLAG_STATUS;
	uint16_t ax = 0;
	uint8_t count = 0;

	switch (operation) {
	case ALU_NOT:
		mask = 0;
		value = ~value;
		break;
	case ALU_NEG:
		UNARY("neg", "");
	case ALU_INC:
		UNARY("inc", "");
	case ALU_DEC:
		UNARY("dec", "");
	}
	*left = value_cut(value, size);
	status_set(rflags, mask, ax);
}

void alu_shift(unsigned operation, unsigned size, uint64_t *left, uint8_t count, uint64_t *rflags)
{
	uint64_t value = *left;
	/* Rotates change no other flags, but bt before them may have. */
	uint64_t mask = operation < 4 ? FLAG_CF | FLAG_OF : FLAG_STATUS;
	uint16_t ax = 0;

	if (!(count & (size == 8 ? 63 : 31)))
		return;
	switch (operation & 7) {
	case 0:
		UNARY("rol", "%%cl, ");
	case 1:
		UNARY("ror", "%%cl, ");
	case 2:
		UNARY("rcl", "%%cl, ");
	case 3:
		UNARY("rcr", "%%cl, ");
	case 4:
	case 6:
		UNARY("shl", "%%cl, ");
	case 5:
		UNARY("shr", "%%cl, ");
	case 7:
		UNARY("sar", "%%cl, ");
	}
	*left = value_cut(value, size);
	status_set(rflags, mask, ax);
}

void alu_bit(unsigned operation, unsigned bit, uint64_t *value, uint64_t *rflags)
{
	uint64_t mask = (uint64_t)1 << bit;

	*rflags = (*rflags & ~(uint64_t)FLAG_CF) | (*value & mask ? FLAG_CF : 0);
	if (operation == 1)
		*value |= mask;
	else if (operation == 2)
		*value &= ~mask;
	else if (operation == 3)
		*value ^= mask;
}

bool alu_condition(unsigned condition, uint64_t rflags)
{
	bool sign = rflags & FLAG_SF, overflow = rflags & FLAG_OF, zero = rflags & FLAG_ZF;
	bool held;

	switch (condition >> 1 & 7) {
	case 0:
		held = overflow;
		break;
	case 1:
		held = rflags & FLAG_CF;
		break;
	case 2:
		held = zero;
		break;
	case 3:
		held = zero || (rflags & FLAG_CF);
		break;
	case 4:
		held = sign;
		break;
	case 5:
		held = rflags & FLAG_PF;
		break;
	case 6:
		held = sign != overflow;
		break;
	default:
		held = zero || sign != overflow;
		break;
	}
	return held != (condition & 1);
}
