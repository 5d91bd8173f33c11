/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the opcode tables (opcodes_*.c) are written down and how decode.c walks them. Private to the
 * decoder: everyone else includes insn.h.
 *
 * A map is an array of 256 nodes, one for each opcode byte. A node is an instruction, or chooses
 * one of its children by some other part of the instruction; so an instruction is found with one
 * index per choice and no search.
 *
 * Source: Intel SDM volume 2, appendix A (opcode maps) and the instruction pages.
 */
#ifndef X86_OPCODES_H
#define X86_OPCODES_H

#include "x86/features.h"
#include "x86/handlers.h"
#include "x86/insn.h"

enum node_kind {
	NODE_INVALID, /* no such instruction */
	NODE_LEAF,
	NODE_REG,    /* by ModRM.reg: 8 children */
	NODE_RM,     /* by ModRM.rm: 8 */
	NODE_MOD,    /* memory form, register form */
	NODE_PREFIX, /* by mandatory prefix: none, 66, f3, f2 */
	NODE_REP,    /* none, f3, f2: 66 stays an operand size prefix */
	NODE_SAME,   /* as a child of NODE_REP: the f3 or f2 is ignored, the first child is meant */
	NODE_W,	     /* REX.W or VEX.W: 0, 1 */
	NODE_L,	     /* VEX.L: 0, 1 */
	NODE_LONG,   /* other than 64-bit code, 64-bit code */
	NODE_REX_B,  /* REX.B: 0, 1 */
};

struct node {
	uint8_t kind; /* enum node_kind */
	union {
		const struct opcode *op;
		const struct node *children;
	};
};

extern const struct node opcodes_one_byte[256];
extern const struct node opcodes_0f[256];
extern const struct node opcodes_0f38[256];
extern const struct node opcodes_0f3a[256];
extern const struct node opcodes_x87[8]; /* d8..df */
extern const struct node opcodes_vex_0f[256];
extern const struct node opcodes_vex_0f38[256];
extern const struct node opcodes_vex_0f3a[256];

/* clang-format off */

/* Accesses, short enough for tables. */
enum { n = 0, r = ACCESS_READ, w = ACCESS_WRITE, rw = ACCESS_READ | ACCESS_WRITE };

/* Operands, by the letters of the manual where it has one: size, access. */
#define E(s, a)    { OPERAND_RM, SIZE_##s, a, 0 }
#define G(s, a)    { OPERAND_REG, SIZE_##s, a, 0 }
#define B(s, a)    { OPERAND_VVVV, SIZE_##s, a, 0 }
#define Z(s, a)    { OPERAND_OPCODE_REG, SIZE_##s, a, 0 }
#define A(s, a)    { OPERAND_ACC, SIZE_##s, a, 0 }
#define F(i, s, a) { OPERAND_FIXED, SIZE_##s, a, i } /* general register number i */
#define CL         { OPERAND_CL, SIZE_B, r, 0 }
#define DX         { OPERAND_DX, SIZE_W, r, 0 }
#define ONE        { OPERAND_ONE, SIZE_NONE, 0, 0 }
#define I(s)       { OPERAND_IMM, SIZE_##s, r, 0 }
#define J(s)       { OPERAND_RELATIVE, SIZE_##s, r, 0 }
#define FAR        { OPERAND_FAR, SIZE_P, r, 0 }
#define M(s, a)    { OPERAND_MEMORY, SIZE_##s, a, 0 }
#define R(s, a)    { OPERAND_RM_REGISTER, SIZE_##s, a, 0 }
#define O(s, a)    { OPERAND_OFFSET, SIZE_##s, a, 0 }
#define S(a)       { OPERAND_SEGMENT, SIZE_W, a, 0 }
#define SEG(i, a)  { OPERAND_FIXED_SEGMENT, SIZE_W, a, SEGMENT_##i }
#define CR(a)      { OPERAND_CR, SIZE_V, a, 0 }
#define DR(a)      { OPERAND_DR, SIZE_V, a, 0 }
#define V(s, a)    { OPERAND_XMM_REG, SIZE_##s, a, 0 }
#define H(s, a)    { OPERAND_XMM_VVVV, SIZE_##s, a, 0 }
#define X(s, a)    { OPERAND_XMM_RM, SIZE_##s, a, 0 }
#define U(s, a)    { OPERAND_XMM_RM_REGISTER, SIZE_##s, a, 0 }
#define L(s)       { OPERAND_XMM_IS4, SIZE_##s, r, 0 }
#define P(s, a)    { OPERAND_MMX_REG, SIZE_##s, a, 0 }
#define Q(s, a)    { OPERAND_MMX_RM, SIZE_##s, a, 0 }
#define N(s, a)    { OPERAND_MMX_RM_REGISTER, SIZE_##s, a, 0 }
#define ST0(a)     { OPERAND_ST0, SIZE_T, a, 0 }
#define STI(a)     { OPERAND_STI, SIZE_T, a, 0 }
#define SOURCE(s)  { OPERAND_STRING_SOURCE, SIZE_##s, r, 0 }
#define TARGET(s, a) { OPERAND_STRING_DESTINATION, SIZE_##s, a, 0 }
#define VSIB(s)    { OPERAND_VSIB, SIZE_##s, r, 0 }

/* Fields of struct opcode. */
#define ARGS(...)  .operand = { __VA_ARGS__ }
#define ATTR(x)    .attributes = (x)
#define NEED(x)    .feature = FEATURE_##x
#define READS(x)   .flags_read = (x)
#define WRITES(x)  .flags_written = (x)
#define UNDEF(x)   .flags_undefined = (x)

/* What families of instructions do to the flags. */
#define FLAGS_ARITHMETIC WRITES(FLAG_STATUS)
#define FLAGS_CARRY      READS(FLAG_CF), WRITES(FLAG_STATUS)
#define FLAGS_LOGIC      WRITES(FLAG_STATUS & ~FLAG_AF), UNDEF(FLAG_AF)
#define FLAGS_INCREMENT  WRITES(FLAG_STATUS & ~FLAG_CF)
#define FLAGS_MULTIPLY   WRITES(FLAG_CF | FLAG_OF), UNDEF(FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF)
#define FLAGS_DIVIDE     UNDEF(FLAG_STATUS)
#define FLAGS_BIT        WRITES(FLAG_CF), UNDEF(FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF)
#define FLAGS_ZERO       WRITES(FLAG_ZF)

/* Conditions by opcode & 15 with the flags that they read. */
#define CONDITIONS(X_) \
	X_(0, "o", FLAG_OF) X_(1, "no", FLAG_OF) X_(2, "b", FLAG_CF) X_(3, "nb", FLAG_CF) \
	X_(4, "z", FLAG_ZF) X_(5, "nz", FLAG_ZF) \
	X_(6, "be", FLAG_CF | FLAG_ZF) X_(7, "nbe", FLAG_CF | FLAG_ZF) \
	X_(8, "s", FLAG_SF) X_(9, "ns", FLAG_SF) X_(10, "p", FLAG_PF) X_(11, "np", FLAG_PF) \
	X_(12, "l", FLAG_SF | FLAG_OF) X_(13, "nl", FLAG_SF | FLAG_OF) \
	X_(14, "le", FLAG_ZF | FLAG_SF | FLAG_OF) X_(15, "nle", FLAG_ZF | FLAG_SF | FLAG_OF)

/* Nodes. */
#define NODE(k, ...)  { .kind = NODE_##k, .children = (const struct node[]){ __VA_ARGS__ } }
#define INVALID       { .kind = NODE_INVALID }
#define SAME          { .kind = NODE_SAME }
#define GROUP(...)    NODE(REG, __VA_ARGS__)    /* eight */
#define BY_RM(...)    NODE(RM, __VA_ARGS__)     /* eight */
#define MOD(...)      NODE(MOD, __VA_ARGS__)    /* memory, register */
#define PREFIX(...)   NODE(PREFIX, __VA_ARGS__) /* none, 66, f3, f2 */
#define REP(...)      NODE(REP, __VA_ARGS__)    /* none, f3, f2 */
#define BY_W(...)     NODE(W, __VA_ARGS__)      /* W0, W1 */
#define BY_L(...)     NODE(L, __VA_ARGS__)      /* L0, L1 */
#define LONG(...)     NODE(LONG, __VA_ARGS__)   /* legacy, 64-bit */
#define NP(...)       PREFIX(__VA_ARGS__, INVALID, INVALID, INVALID)
#define P66(...)      PREFIX(INVALID, __VA_ARGS__, INVALID, INVALID)
#define PF3(...)      PREFIX(INVALID, INVALID, __VA_ARGS__, INVALID)
#define PF2(...)      PREFIX(INVALID, INVALID, INVALID, __VA_ARGS__)
#define MEM(...)      MOD(__VA_ARGS__, INVALID)

/* One instruction: name, class, handler, fields. */
#define OP(text, c, h, ...) \
	{ .kind = NODE_LEAF, .op = &(const struct opcode){ \
		.name = text, .class = CLASS_##c, .handler = HANDLER_##h, __VA_ARGS__ } }
#define COPY(text, ...) OP(text, COPY, NONE, __VA_ARGS__)

/* clang-format on */

#endif
