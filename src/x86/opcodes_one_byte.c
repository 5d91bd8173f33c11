/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one-byte opcode map. Prefixes and escapes (0f, VEX) are taken by decode.c before it looks
 * here. Source: Intel SDM volume 2, table A-2 and A-6 (groups).
 */
#include "x86/opcodes.h"

/* clang-format off */

/* add, or, adc, ...: six forms from opcode `base` on. `a` is the destination's access. */
#define ALU_ROW(base, text, a, lockable, ...) \
	[(base) + 0] = COPY(text, ARGS(E(B, a), G(B, r)), ATTR(lockable), __VA_ARGS__), \
	[(base) + 1] = COPY(text, ARGS(E(V, a), G(V, r)), ATTR(lockable), __VA_ARGS__), \
	[(base) + 2] = COPY(text, ARGS(G(B, a), E(B, r)), __VA_ARGS__), \
	[(base) + 3] = COPY(text, ARGS(G(V, a), E(V, r)), __VA_ARGS__), \
	[(base) + 4] = COPY(text, ARGS(A(B, a), I(B)), __VA_ARGS__), \
	[(base) + 5] = COPY(text, ARGS(A(V, a), I(Z)), __VA_ARGS__)

/* Group 1: the same with an immediate. */
#define ALU_GROUP(s, i, attributes_) GROUP( \
	COPY("add", ARGS(E(s, rw), I(i)), ATTR(OP_LOCKABLE | (attributes_)), FLAGS_ARITHMETIC), \
	COPY("or", ARGS(E(s, rw), I(i)), ATTR(OP_LOCKABLE | (attributes_)), FLAGS_LOGIC), \
	COPY("adc", ARGS(E(s, rw), I(i)), ATTR(OP_LOCKABLE | (attributes_)), FLAGS_CARRY), \
	COPY("sbb", ARGS(E(s, rw), I(i)), ATTR(OP_LOCKABLE | (attributes_)), FLAGS_CARRY), \
	COPY("and", ARGS(E(s, rw), I(i)), ATTR(OP_LOCKABLE | (attributes_)), FLAGS_LOGIC), \
	COPY("sub", ARGS(E(s, rw), I(i)), ATTR(OP_LOCKABLE | (attributes_)), FLAGS_ARITHMETIC), \
	COPY("xor", ARGS(E(s, rw), I(i)), ATTR(OP_LOCKABLE | (attributes_)), FLAGS_LOGIC), \
	COPY("cmp", ARGS(E(s, r), I(i)), ATTR(attributes_), FLAGS_ARITHMETIC))

/*
 * Group 2, shifts and rotates. What is undefined depends on the count: insn_flags_undefined() says
 * it exactly; here it is the most that may be.
 */
#define ROTATE     WRITES(FLAG_CF), UNDEF(FLAG_OF)
#define ROTATE_CF  READS(FLAG_CF), WRITES(FLAG_CF), UNDEF(FLAG_OF)
#define SHIFT      WRITES(FLAG_CF | FLAG_PF | FLAG_ZF | FLAG_SF), UNDEF(FLAG_AF | FLAG_OF)
#define SHIFT_GROUP(s, count) GROUP( \
	COPY("rol", ARGS(E(s, rw), count), ATTR(OP_CONDITIONAL_FLAGS), ROTATE), \
	COPY("ror", ARGS(E(s, rw), count), ATTR(OP_CONDITIONAL_FLAGS), ROTATE), \
	COPY("rcl", ARGS(E(s, rw), count), ATTR(OP_CONDITIONAL_FLAGS), ROTATE_CF), \
	COPY("rcr", ARGS(E(s, rw), count), ATTR(OP_CONDITIONAL_FLAGS), ROTATE_CF), \
	COPY("shl", ARGS(E(s, rw), count), ATTR(OP_CONDITIONAL_FLAGS), SHIFT), \
	COPY("shr", ARGS(E(s, rw), count), ATTR(OP_CONDITIONAL_FLAGS), SHIFT), \
	COPY("shl", ARGS(E(s, rw), count), ATTR(OP_CONDITIONAL_FLAGS), SHIFT), \
	COPY("sar", ARGS(E(s, rw), count), ATTR(OP_CONDITIONAL_FLAGS), SHIFT))

/* Group 3. */
#define UNARY_GROUP(s, i, high) GROUP( \
	COPY("test", ARGS(E(s, r), I(i)), FLAGS_LOGIC), \
	COPY("test", ARGS(E(s, r), I(i)), FLAGS_LOGIC), \
	COPY("not", ARGS(E(s, rw)), ATTR(OP_LOCKABLE)), \
	COPY("neg", ARGS(E(s, rw)), ATTR(OP_LOCKABLE), FLAGS_ARITHMETIC), \
	COPY("mul", ARGS(E(s, r), A(s, rw), F(high, s, w)), FLAGS_MULTIPLY), \
	COPY("imul", ARGS(E(s, r), A(s, rw), F(high, s, w)), FLAGS_MULTIPLY), \
	COPY("div", ARGS(E(s, r), A(s, rw), F(high, s, rw)), FLAGS_DIVIDE), \
	COPY("idiv", ARGS(E(s, r), A(s, rw), F(high, s, rw)), FLAGS_DIVIDE))

#define JCC(i, text, reads) [0x70 + (i)] = OP("j" text, BRANCH, JCC, ARGS(J(B)), ATTR(OP_FORCE_64), READS(reads)),

#define STRING(text, h, first, second, ...) \
	OP(text, INLINE, h, ARGS(first, second), ATTR(OP_REPEATABLE | OP_CONDITIONAL_FLAGS), READS(FLAG_DF), __VA_ARGS__)

#define PUSH_SEG(s) OP("push", CALL, PUSH_SEGMENT, ARGS(SEG(s, r)), ATTR(OP_NO_64))
#define POP_SEG(s)  OP("pop", END, POP_SEGMENT, ARGS(SEG(s, w)), ATTR(OP_NO_64))

const struct node opcodes_one_byte[256] = {
	ALU_ROW(0x00, "add", rw, OP_LOCKABLE, FLAGS_ARITHMETIC),
	[0x06] = PUSH_SEG(ES),
	[0x07] = POP_SEG(ES),
	ALU_ROW(0x08, "or", rw, OP_LOCKABLE, FLAGS_LOGIC),
	[0x0e] = PUSH_SEG(CS),
	ALU_ROW(0x10, "adc", rw, OP_LOCKABLE, FLAGS_CARRY),
	[0x16] = PUSH_SEG(SS),
	[0x17] = POP_SEG(SS),
	ALU_ROW(0x18, "sbb", rw, OP_LOCKABLE, FLAGS_CARRY),
	[0x1e] = PUSH_SEG(DS),
	[0x1f] = POP_SEG(DS),
	ALU_ROW(0x20, "and", rw, OP_LOCKABLE, FLAGS_LOGIC),
	[0x27] = OP("daa", CALL, DAA, ATTR(OP_NO_64), ARGS(A(B, rw)), READS(FLAG_CF | FLAG_AF), WRITES(FLAG_STATUS & ~FLAG_OF), UNDEF(FLAG_OF)),
	ALU_ROW(0x28, "sub", rw, OP_LOCKABLE, FLAGS_ARITHMETIC),
	[0x2f] = OP("das", CALL, DAS, ATTR(OP_NO_64), ARGS(A(B, rw)), READS(FLAG_CF | FLAG_AF), WRITES(FLAG_STATUS & ~FLAG_OF), UNDEF(FLAG_OF)),
	ALU_ROW(0x30, "xor", rw, OP_LOCKABLE, FLAGS_LOGIC),
	[0x37] = OP("aaa", CALL, AAA, ATTR(OP_NO_64), ARGS(A(W, rw)), READS(FLAG_AF), WRITES(FLAG_AF | FLAG_CF), UNDEF(FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF)),
	ALU_ROW(0x38, "cmp", r, 0, FLAGS_ARITHMETIC),
	[0x3f] = OP("aas", CALL, AAS, ATTR(OP_NO_64), ARGS(A(W, rw)), READS(FLAG_AF), WRITES(FLAG_AF | FLAG_CF), UNDEF(FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF)),

	[0x40 ... 0x47] = COPY("inc", ARGS(Z(V, rw)), ATTR(OP_NO_64), FLAGS_INCREMENT),
	[0x48 ... 0x4f] = COPY("dec", ARGS(Z(V, rw)), ATTR(OP_NO_64), FLAGS_INCREMENT),
	[0x50 ... 0x57] = OP("push", INLINE, PUSH, ARGS(Z(V, r)), ATTR(OP_DEFAULT_64)),
	[0x58 ... 0x5f] = OP("pop", INLINE, POP, ARGS(Z(V, w)), ATTR(OP_DEFAULT_64)),

	[0x60] = OP("pusha", CALL, PUSHA, ATTR(OP_NO_64)),
	[0x61] = OP("popa", CALL, POPA, ATTR(OP_NO_64)),
	[0x62] = OP("bound", CALL, BOUND, ARGS(G(V, r), M(PAIR, r)), ATTR(OP_NO_64)),
	[0x63] = LONG(OP("arpl", CALL, ARPL, ARGS(E(W, rw), G(W, r)), ATTR(OP_MODE_DEPENDENT_REAL), FLAGS_ZERO),
		      COPY("movsxd", ARGS(G(V, w), E(Z, r)))),
	[0x68] = OP("push", INLINE, PUSH, ARGS(I(Z)), ATTR(OP_DEFAULT_64)),
	[0x69] = COPY("imul", ARGS(G(V, w), E(V, r), I(Z)), FLAGS_MULTIPLY),
	[0x6a] = OP("push", INLINE, PUSH, ARGS(I(B)), ATTR(OP_DEFAULT_64)),
	[0x6b] = COPY("imul", ARGS(G(V, w), E(V, r), I(B)), FLAGS_MULTIPLY),
	[0x6c] = OP("insb", CALL, INS, ARGS(TARGET(B, w), DX), ATTR(OP_REPEATABLE | OP_IOPL), READS(FLAG_DF)),
	[0x6d] = OP("ins", CALL, INS, ARGS(TARGET(Z, w), DX), ATTR(OP_REPEATABLE | OP_IOPL), READS(FLAG_DF)),
	[0x6e] = OP("outsb", CALL, OUTS, ARGS(SOURCE(B), DX), ATTR(OP_REPEATABLE | OP_IOPL), READS(FLAG_DF)),
	[0x6f] = OP("outs", CALL, OUTS, ARGS(SOURCE(Z), DX), ATTR(OP_REPEATABLE | OP_IOPL), READS(FLAG_DF)),

	CONDITIONS(JCC)

	[0x80] = ALU_GROUP(B, B, 0),
	[0x81] = ALU_GROUP(V, Z, 0),
	[0x82] = ALU_GROUP(B, B, OP_NO_64),
	[0x83] = ALU_GROUP(V, B, 0),
	[0x84] = COPY("test", ARGS(E(B, r), G(B, r)), FLAGS_LOGIC),
	[0x85] = COPY("test", ARGS(E(V, r), G(V, r)), FLAGS_LOGIC),
	[0x86] = COPY("xchg", ARGS(E(B, rw), G(B, rw)), ATTR(OP_LOCKABLE)),
	[0x87] = COPY("xchg", ARGS(E(V, rw), G(V, rw)), ATTR(OP_LOCKABLE)),
	[0x88] = COPY("mov", ARGS(E(B, w), G(B, r))),
	[0x89] = COPY("mov", ARGS(E(V, w), G(V, r))),
	[0x8a] = COPY("mov", ARGS(G(B, w), E(B, r))),
	[0x8b] = COPY("mov", ARGS(G(V, w), E(V, r))),
	[0x8c] = MOD(OP("mov", CALL, MOV_FROM_SEGMENT, ARGS(M(W, w), S(r)), ATTR(OP_CHECK_REGISTER)),
		     OP("mov", CALL, MOV_FROM_SEGMENT, ARGS(R(V, w), S(r)), ATTR(OP_CHECK_REGISTER))),
	[0x8d] = OP("lea", INLINE, LEA, ARGS(G(V, w), M(ADDRESS_ONLY, n))),
	[0x8e] = OP("mov", END, MOV_TO_SEGMENT, ARGS(S(w), E(W, r)), ATTR(OP_CHECK_REGISTER)),
	[0x8f] = GROUP(OP("pop", INLINE, POP, ARGS(E(V, w)), ATTR(OP_DEFAULT_64)),
		       INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID),

	[0x90] = REP(NODE(REX_B, OP("nop", INLINE, NOP), COPY("xchg", ARGS(Z(V, rw), A(V, rw)))),
		     OP("pause", INLINE, PAUSE), SAME),
	[0x91 ... 0x97] = COPY("xchg", ARGS(Z(V, rw), A(V, rw))),
	[0x98] = COPY("cbw", ARGS(A(V, rw))),
	[0x99] = COPY("cwd", ARGS(A(V, r), F(2, V, w))),
	[0x9a] = OP("callf", END, CALL_FAR, ARGS(FAR), ATTR(OP_NO_64)),
	[0x9b] = COPY("fwait", ATTR(OP_WAIT), NEED(FPU)),
	[0x9c] = OP("pushf", INLINE, PUSHF, ATTR(OP_DEFAULT_64), READS(FLAG_STATUS | FLAG_DF)),
	[0x9d] = OP("popf", END, POPF, ATTR(OP_DEFAULT_64), WRITES(FLAG_STATUS | FLAG_DF)),
	[0x9e] = COPY("sahf", ARGS(A(W, r)), WRITES(FLAG_STATUS & ~FLAG_OF)),
	[0x9f] = COPY("lahf", ARGS(A(W, rw)), READS(FLAG_STATUS & ~FLAG_OF)),

	[0xa0] = COPY("mov", ARGS(A(B, w), O(B, r))),
	[0xa1] = COPY("mov", ARGS(A(V, w), O(V, r))),
	[0xa2] = COPY("mov", ARGS(O(B, w), A(B, r))),
	[0xa3] = COPY("mov", ARGS(O(V, w), A(V, r))),
	[0xa4] = STRING("movsb", MOVS, TARGET(B, w), SOURCE(B)),
	[0xa5] = STRING("movs", MOVS, TARGET(V, w), SOURCE(V)),
	[0xa6] = STRING("cmpsb", CMPS, TARGET(B, r), SOURCE(B), FLAGS_ARITHMETIC),
	[0xa7] = STRING("cmps", CMPS, TARGET(V, r), SOURCE(V), FLAGS_ARITHMETIC),
	[0xa8] = COPY("test", ARGS(A(B, r), I(B)), FLAGS_LOGIC),
	[0xa9] = COPY("test", ARGS(A(V, r), I(Z)), FLAGS_LOGIC),
	[0xaa] = STRING("stosb", STOS, TARGET(B, w), A(B, r)),
	[0xab] = STRING("stos", STOS, TARGET(V, w), A(V, r)),
	[0xac] = STRING("lodsb", LODS, SOURCE(B), A(B, w)),
	[0xad] = STRING("lods", LODS, SOURCE(V), A(V, w)),
	[0xae] = STRING("scasb", SCAS, TARGET(B, r), A(B, r), FLAGS_ARITHMETIC),
	[0xaf] = STRING("scas", SCAS, TARGET(V, r), A(V, r), FLAGS_ARITHMETIC),

	[0xb0 ... 0xb7] = COPY("mov", ARGS(Z(B, w), I(B))),
	[0xb8 ... 0xbf] = COPY("mov", ARGS(Z(V, w), I(V))),

	[0xc0] = SHIFT_GROUP(B, I(B)),
	[0xc1] = SHIFT_GROUP(V, I(B)),
	[0xc2] = OP("ret", BRANCH, RET_NEAR, ARGS(I(W)), ATTR(OP_FORCE_64)),
	[0xc3] = OP("ret", BRANCH, RET_NEAR, ATTR(OP_FORCE_64)),
	[0xc4] = OP("les", END, LOAD_FAR_POINTER, ARGS(G(V, w), M(P, r), SEG(ES, w)), ATTR(OP_NO_64)),
	[0xc5] = OP("lds", END, LOAD_FAR_POINTER, ARGS(G(V, w), M(P, r), SEG(DS, w)), ATTR(OP_NO_64)),
	[0xc6] = GROUP(COPY("mov", ARGS(E(B, w), I(B))), INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID),
	[0xc7] = GROUP(COPY("mov", ARGS(E(V, w), I(Z))), INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID),
	[0xc8] = OP("enter", CALL, ENTER, ARGS(I(W), I(B)), ATTR(OP_DEFAULT_64)),
	[0xc9] = OP("leave", INLINE, LEAVE, ATTR(OP_DEFAULT_64)),
	[0xca] = OP("retf", END, RET_FAR, ARGS(I(W))),
	[0xcb] = OP("retf", END, RET_FAR),
	[0xcc] = OP("int3", END, INT3),
	[0xcd] = OP("int", END, INT, ARGS(I(B))),
	[0xce] = OP("into", END, INTO, ATTR(OP_NO_64), READS(FLAG_OF)),
	[0xcf] = OP("iret", END, IRET, WRITES(FLAG_STATUS | FLAG_DF)),

	[0xd0] = SHIFT_GROUP(B, ONE),
	[0xd1] = SHIFT_GROUP(V, ONE),
	[0xd2] = SHIFT_GROUP(B, CL),
	[0xd3] = SHIFT_GROUP(V, CL),
	[0xd4] = OP("aam", CALL, AAM, ARGS(A(W, rw), I(B)), ATTR(OP_NO_64), WRITES(FLAG_SF | FLAG_ZF | FLAG_PF), UNDEF(FLAG_OF | FLAG_AF | FLAG_CF)),
	[0xd5] = OP("aad", CALL, AAD, ARGS(A(W, rw), I(B)), ATTR(OP_NO_64), WRITES(FLAG_SF | FLAG_ZF | FLAG_PF), UNDEF(FLAG_OF | FLAG_AF | FLAG_CF)),
	[0xd7] = OP("xlat", CALL, XLAT, ARGS(A(B, rw))),

	[0xe0] = OP("loopne", BRANCH, LOOPNE, ARGS(J(B)), ATTR(OP_FORCE_64), READS(FLAG_ZF)),
	[0xe1] = OP("loope", BRANCH, LOOPE, ARGS(J(B)), ATTR(OP_FORCE_64), READS(FLAG_ZF)),
	[0xe2] = OP("loop", BRANCH, LOOP, ARGS(J(B)), ATTR(OP_FORCE_64)),
	[0xe3] = OP("jcxz", BRANCH, JCXZ, ARGS(J(B)), ATTR(OP_FORCE_64)),
	[0xe4] = OP("in", CALL, IN, ARGS(A(B, w), I(B)), ATTR(OP_IOPL)),
	[0xe5] = OP("in", CALL, IN, ARGS(A(Z, w), I(B)), ATTR(OP_IOPL)),
	[0xe6] = OP("out", CALL, OUT, ARGS(I(B), A(B, r)), ATTR(OP_IOPL)),
	[0xe7] = OP("out", CALL, OUT, ARGS(I(B), A(Z, r)), ATTR(OP_IOPL)),
	[0xe8] = OP("call", BRANCH, CALL_NEAR, ARGS(J(Z)), ATTR(OP_FORCE_64)),
	[0xe9] = OP("jmp", BRANCH, JMP, ARGS(J(Z)), ATTR(OP_FORCE_64)),
	[0xea] = OP("jmpf", END, JMP_FAR, ARGS(FAR), ATTR(OP_NO_64)),
	[0xeb] = OP("jmp", BRANCH, JMP, ARGS(J(B)), ATTR(OP_FORCE_64)),
	[0xec] = OP("in", CALL, IN, ARGS(A(B, w), DX), ATTR(OP_IOPL)),
	[0xed] = OP("in", CALL, IN, ARGS(A(Z, w), DX), ATTR(OP_IOPL)),
	[0xee] = OP("out", CALL, OUT, ARGS(DX, A(B, r)), ATTR(OP_IOPL)),
	[0xef] = OP("out", CALL, OUT, ARGS(DX, A(Z, r)), ATTR(OP_IOPL)),

	[0xf1] = OP("int1", END, INT1),
	[0xf4] = OP("hlt", END, HLT, ATTR(OP_CPL0)),
	[0xf5] = COPY("cmc", READS(FLAG_CF), WRITES(FLAG_CF)),
	[0xf6] = UNARY_GROUP(B, B, 0),
	[0xf7] = UNARY_GROUP(V, Z, 2),
	[0xf8] = COPY("clc", WRITES(FLAG_CF)),
	[0xf9] = COPY("stc", WRITES(FLAG_CF)),
	[0xfa] = OP("cli", INLINE, CLI, ATTR(OP_IOPL)),
	[0xfb] = OP("sti", END, STI, ATTR(OP_IOPL)),
	[0xfc] = OP("cld", INLINE, CLD, WRITES(FLAG_DF)),
	[0xfd] = OP("std", INLINE, STD, WRITES(FLAG_DF)),
	[0xfe] = GROUP(COPY("inc", ARGS(E(B, rw)), ATTR(OP_LOCKABLE), FLAGS_INCREMENT),
		       COPY("dec", ARGS(E(B, rw)), ATTR(OP_LOCKABLE), FLAGS_INCREMENT),
		       INVALID, INVALID, INVALID, INVALID, INVALID, INVALID),
	[0xff] = GROUP(COPY("inc", ARGS(E(V, rw)), ATTR(OP_LOCKABLE), FLAGS_INCREMENT),
		       COPY("dec", ARGS(E(V, rw)), ATTR(OP_LOCKABLE), FLAGS_INCREMENT),
		       OP("call", BRANCH, CALL_INDIRECT, ARGS(E(V, r)), ATTR(OP_FORCE_64)),
		       OP("callf", END, CALL_FAR, ARGS(M(P, r))),
		       OP("jmp", BRANCH, JMP_INDIRECT, ARGS(E(V, r)), ATTR(OP_FORCE_64)),
		       OP("jmpf", END, JMP_FAR, ARGS(M(P, r))),
		       OP("push", INLINE, PUSH, ARGS(E(V, r)), ATTR(OP_DEFAULT_64)),
		       INVALID),
};
