/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The x87 escapes d8..df: by the form of ModRM, then by ModRM.reg, in a few cases by ModRM.rm.
 * Encodings that the manuals leave out but every processor takes as an alias (fcom at dc d0, ...)
 * are kept, since they are copied to a processor anyway.
 * Source: Intel SDM volume 2, tables.
 */
#include "x86/opcodes.h"

/* clang-format off */

#define X87(text, ...)       COPY(text, ATTR(OP_X87), NEED(FPU), __VA_ARGS__)
#define STATE(text, h, a)    OP(text, CALL, h, ATTR(OP_X87), NEED(FPU), ARGS(M(STATE, a)))
#define COMPARE(text)        COPY(text, ATTR(OP_X87), NEED(CMOV), ARGS(ST0(r), STI(r)), WRITES(FLAG_STATUS))
#define MOVE(text, reads)    COPY(text, ATTR(OP_X87), NEED(CMOV), ARGS(ST0(rw), STI(r)), READS(reads))
#define TRUNCATE(s)          COPY("fisttp", ATTR(OP_X87), NEED(SSE3), ARGS(M(s, w)))

#define ARITHMETIC_MEMORY(p, s) GROUP( \
	X87(p "add", ARGS(ST0(rw), M(s, r))), X87(p "mul", ARGS(ST0(rw), M(s, r))), \
	X87(p "com", ARGS(ST0(r), M(s, r))), X87(p "comp", ARGS(ST0(r), M(s, r))), \
	X87(p "sub", ARGS(ST0(rw), M(s, r))), X87(p "subr", ARGS(ST0(rw), M(s, r))), \
	X87(p "div", ARGS(ST0(rw), M(s, r))), X87(p "divr", ARGS(ST0(rw), M(s, r))))

const struct node opcodes_x87[8] = {
	/* d8 */
	MOD(ARITHMETIC_MEMORY("f", D),
	    GROUP(X87("fadd", ARGS(ST0(rw), STI(r))), X87("fmul", ARGS(ST0(rw), STI(r))),
		  X87("fcom", ARGS(ST0(r), STI(r))), X87("fcomp", ARGS(ST0(r), STI(r))),
		  X87("fsub", ARGS(ST0(rw), STI(r))), X87("fsubr", ARGS(ST0(rw), STI(r))),
		  X87("fdiv", ARGS(ST0(rw), STI(r))), X87("fdivr", ARGS(ST0(rw), STI(r))))),
	/* d9 */
	MOD(GROUP(X87("fld", ARGS(ST0(w), M(D, r))), INVALID,
		  X87("fst", ARGS(M(D, w), ST0(r))), X87("fstp", ARGS(M(D, w), ST0(r))),
		  STATE("fldenv", FLDENV, r), X87("fldcw", ARGS(M(W, r))),
		  STATE("fnstenv", FNSTENV, w), X87("fnstcw", ARGS(M(W, w)))),
	    GROUP(X87("fld", ARGS(ST0(w), STI(r))), X87("fxch", ARGS(ST0(rw), STI(rw))),
		  BY_RM(X87("fnop"), INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID),
		  X87("fstp", ARGS(STI(w), ST0(r))),
		  BY_RM(X87("fchs"), X87("fabs"), INVALID, INVALID, X87("ftst"), X87("fxam"), INVALID, INVALID),
		  BY_RM(X87("fld1"), X87("fldl2t"), X87("fldl2e"), X87("fldpi"), X87("fldlg2"), X87("fldln2"), X87("fldz"), INVALID),
		  BY_RM(X87("f2xm1"), X87("fyl2x"), X87("fptan"), X87("fpatan"), X87("fxtract"), X87("fprem1"), X87("fdecstp"), X87("fincstp")),
		  BY_RM(X87("fprem"), X87("fyl2xp1"), X87("fsqrt"), X87("fsincos"), X87("frndint"), X87("fscale"), X87("fsin"), X87("fcos")))),
	/* da */
	MOD(ARITHMETIC_MEMORY("fi", D),
	    GROUP(MOVE("fcmovb", FLAG_CF), MOVE("fcmove", FLAG_ZF),
		  MOVE("fcmovbe", FLAG_CF | FLAG_ZF), MOVE("fcmovu", FLAG_PF), INVALID,
		  BY_RM(INVALID, X87("fucompp"), INVALID, INVALID, INVALID, INVALID, INVALID, INVALID),
		  INVALID, INVALID)),
	/* db */
	MOD(GROUP(X87("fild", ARGS(ST0(w), M(D, r))), TRUNCATE(D),
		  X87("fist", ARGS(M(D, w), ST0(r))), X87("fistp", ARGS(M(D, w), ST0(r))), INVALID,
		  X87("fld", ARGS(ST0(w), M(T, r))), INVALID, X87("fstp", ARGS(M(T, w), ST0(r)))),
	    GROUP(MOVE("fcmovnb", FLAG_CF), MOVE("fcmovne", FLAG_ZF),
		  MOVE("fcmovnbe", FLAG_CF | FLAG_ZF), MOVE("fcmovnu", FLAG_PF),
		  BY_RM(X87("fneni"), X87("fndisi"), X87("fnclex"), X87("fninit"), X87("fnsetpm"), INVALID, INVALID, INVALID),
		  COMPARE("fucomi"), COMPARE("fcomi"), INVALID)),
	/* dc */
	MOD(ARITHMETIC_MEMORY("f", Q),
	    GROUP(X87("fadd", ARGS(STI(rw), ST0(r))), X87("fmul", ARGS(STI(rw), ST0(r))),
		  X87("fcom", ARGS(ST0(r), STI(r))), X87("fcomp", ARGS(ST0(r), STI(r))),
		  X87("fsubr", ARGS(STI(rw), ST0(r))), X87("fsub", ARGS(STI(rw), ST0(r))),
		  X87("fdivr", ARGS(STI(rw), ST0(r))), X87("fdiv", ARGS(STI(rw), ST0(r))))),
	/* dd */
	MOD(GROUP(X87("fld", ARGS(ST0(w), M(Q, r))), TRUNCATE(Q),
		  X87("fst", ARGS(M(Q, w), ST0(r))), X87("fstp", ARGS(M(Q, w), ST0(r))),
		  STATE("frstor", FRSTOR, r), INVALID,
		  STATE("fnsave", FNSAVE, w), X87("fnstsw", ARGS(M(W, w)))),
	    GROUP(X87("ffree", ARGS(STI(w))), X87("fxch", ARGS(ST0(rw), STI(rw))),
		  X87("fst", ARGS(STI(w), ST0(r))), X87("fstp", ARGS(STI(w), ST0(r))),
		  X87("fucom", ARGS(ST0(r), STI(r))), X87("fucomp", ARGS(ST0(r), STI(r))), INVALID, INVALID)),
	/* de */
	MOD(ARITHMETIC_MEMORY("fi", W),
	    GROUP(X87("faddp", ARGS(STI(rw), ST0(r))), X87("fmulp", ARGS(STI(rw), ST0(r))),
		  X87("fcomp", ARGS(ST0(r), STI(r))),
		  BY_RM(INVALID, X87("fcompp"), INVALID, INVALID, INVALID, INVALID, INVALID, INVALID),
		  X87("fsubrp", ARGS(STI(rw), ST0(r))), X87("fsubp", ARGS(STI(rw), ST0(r))),
		  X87("fdivrp", ARGS(STI(rw), ST0(r))), X87("fdivp", ARGS(STI(rw), ST0(r))))),
	/* df */
	MOD(GROUP(X87("fild", ARGS(ST0(w), M(W, r))), TRUNCATE(W),
		  X87("fist", ARGS(M(W, w), ST0(r))), X87("fistp", ARGS(M(W, w), ST0(r))),
		  X87("fbld", ARGS(ST0(w), M(T, r))), X87("fild", ARGS(ST0(w), M(Q, r))),
		  X87("fbstp", ARGS(M(T, w), ST0(r))), X87("fistp", ARGS(M(Q, w), ST0(r)))),
	    GROUP(X87("ffreep", ARGS(STI(w))), X87("fxch", ARGS(ST0(rw), STI(rw))),
		  X87("fstp", ARGS(STI(w), ST0(r))), X87("fstp", ARGS(STI(w), ST0(r))),
		  BY_RM(X87("fnstsw", ARGS(A(W, w))), INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID),
		  COMPARE("fucomip"), COMPARE("fcomip"), INVALID)),
};
