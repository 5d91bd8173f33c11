/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two-byte opcode map, 0f xx: system and integer instructions, MMX, SSE to SSE3.
 * Virtualization (VMX, SVM), transactional memory, CET, MPX, SSE4a, 3DNow! and protection keys are
 * not offered to guests: those encodings are invalid, or the NOPs that they are without the
 * feature. Source: Intel SDM volume 2, tables A-3 and A-6 (groups).
 */
#include "x86/opcodes.h"

/* clang-format off */

#define NOP_RM OP("nop", INLINE, NOP, ARGS(E(ADDRESS_ONLY, n)))
#define HINT(text) OP(text, INLINE, PREFETCH, ARGS(M(ADDRESS_ONLY, n)))
#define SIZED_BY_FORM(text, c, h, a, ...) \
	MOD(OP(text, c, h, ARGS(M(W, a)), __VA_ARGS__), OP(text, c, h, ARGS(R(V, a)), __VA_ARGS__))

/* SSE: packed operands must be aligned, scalar ones need not be. */
#define PACKED(f, text, ...) COPY(text, NEED(f), ATTR(OP_SSE | OP_ALIGNED), __VA_ARGS__)
#define SCALAR(f, text, ...) COPY(text, NEED(f), ATTR(OP_SSE), __VA_ARGS__)
#define MMX(f, text, ...)    COPY(text, NEED(f), ATTR(OP_MMX), __VA_ARGS__)
#define BOTH(f, text, ...)   COPY(text, NEED(f), ATTR(OP_SSE | OP_MMX), __VA_ARGS__)

/* xmm op= xmm/m in the four types ps, pd, ss, sd. */
#define FOUR(text, a) PREFIX( \
	PACKED(SSE, text "ps", ARGS(V(X, a), X(X, r))), PACKED(SSE2, text "pd", ARGS(V(X, a), X(X, r))), \
	SCALAR(SSE, text "ss", ARGS(V(X, a), X(D, r))), SCALAR(SSE2, text "sd", ARGS(V(X, a), X(Q, r))))
#define TWO(text, a) PREFIX( \
	PACKED(SSE, text "ps", ARGS(V(X, a), X(X, r))), PACKED(SSE2, text "pd", ARGS(V(X, a), X(X, r))), \
	INVALID, INVALID)
#define COMPARE(text) PREFIX( \
	SCALAR(SSE, text "ss", ARGS(V(X, r), X(D, r)), WRITES(FLAG_STATUS)), \
	SCALAR(SSE2, text "sd", ARGS(V(X, r), X(Q, r)), WRITES(FLAG_STATUS)), INVALID, INVALID)

/* An integer instruction in its MMX form (of feature f) and its SSE2 form. */
#define INT_F(f, text) PREFIX( \
	MMX(f, text, ARGS(P(Q, rw), Q(Q, r))), PACKED(SSE2, text, ARGS(V(X, rw), X(X, r))), INVALID, INVALID)
#define INT(text) INT_F(MMX, text)
#define INT_LOW(text) PREFIX( \
	MMX(MMX, text, ARGS(P(Q, rw), Q(D, r))), PACKED(SSE2, text, ARGS(V(X, rw), X(X, r))), INVALID, INVALID)
#define SHIFT(text) PREFIX( \
	MMX(MMX, text, ARGS(N(Q, rw), I(B))), PACKED(SSE2, text, ARGS(U(X, rw), I(B))), INVALID, INVALID)
#define SHIFT_X(text) P66(PACKED(SSE2, text, ARGS(U(X, rw), I(B))))

#define CMOV(i, text, reads) [0x40 + (i)] = COPY("cmov" text, ARGS(G(V, rw), E(V, r)), NEED(CMOV), READS(reads)),
#define JCC(i, text, reads)  [0x80 + (i)] = OP("j" text, BRANCH, JCC, ARGS(J(Z)), ATTR(OP_FORCE_64), READS(reads)),
#define SETCC(i, text, reads) [0x90 + (i)] = COPY("set" text, ARGS(E(B, w)), READS(reads)),

#define DOUBLE_SHIFT(text, count) COPY(text, ARGS(E(V, rw), G(V, r), count), ATTR(OP_CONDITIONAL_FLAGS), \
	WRITES(FLAG_CF | FLAG_PF | FLAG_ZF | FLAG_SF), UNDEF(FLAG_AF | FLAG_OF))

/* A register bit offset reaches outside of the memory operand, so that form is not for copying. */
#define BIT(text, a, lockable) MOD( \
	OP(text, CALL, BIT_STRING, ARGS(M(V, a), G(V, r)), ATTR(lockable), FLAGS_BIT), \
	COPY(text, ARGS(R(V, a), G(V, r)), FLAGS_BIT))

#define XSAVE_AREA(text, h, f, a, ...) OP(text, CALL, h, ARGS(M(STATE, a)), NEED(f), __VA_ARGS__)
#define FSGS(text, a) OP(#text, CALL, text, ARGS(R(Y, a)), NEED(FSGSBASE), ATTR(OP_ONLY_64))

static const struct node group_7_memory[8] = {
	OP("sgdt", CALL, SGDT, ARGS(M(TABLE, w))),
	OP("sidt", CALL, SIDT, ARGS(M(TABLE, w))),
	OP("lgdt", END, LGDT, ARGS(M(TABLE, r)), ATTR(OP_CPL0)),
	OP("lidt", END, LIDT, ARGS(M(TABLE, r)), ATTR(OP_CPL0)),
	OP("smsw", CALL, SMSW, ARGS(M(W, w))),
	INVALID,
	OP("lmsw", END, LMSW, ARGS(M(W, r)), ATTR(OP_CPL0)),
	OP("invlpg", END, INVLPG, ARGS(M(ADDRESS_ONLY, n)), ATTR(OP_CPL0)),
};

static const struct node group_7_register[8] = {
	INVALID,
	NP(BY_RM(OP("monitor", CALL, MONITOR, NEED(MONITOR), ATTR(OP_CPL0)),
		 OP("mwait", END, MWAIT, NEED(MONITOR), ATTR(OP_CPL0)),
		 OP("clac", END, CLAC, NEED(SMAP)),
		 OP("stac", END, STAC, NEED(SMAP)),
		 INVALID, INVALID, INVALID, INVALID)),
	NP(BY_RM(OP("xgetbv", CALL, XGETBV, NEED(XSAVE)),
		 OP("xsetbv", END, XSETBV, NEED(XSAVE), ATTR(OP_CPL0)),
		 INVALID, INVALID, INVALID, INVALID, INVALID, INVALID)),
	INVALID,
	OP("smsw", CALL, SMSW, ARGS(R(V, w))),
	INVALID,
	OP("lmsw", END, LMSW, ARGS(R(W, r)), ATTR(OP_CPL0)),
	BY_RM(OP("swapgs", CALL, SWAPGS, ATTR(OP_ONLY_64 | OP_CPL0)),
	      OP("rdtscp", CALL, RDTSCP, NEED(RDTSCP)),
	      INVALID, INVALID, INVALID, INVALID, INVALID, INVALID),
};

static const struct node group_9_memory[8] = {
	INVALID,
	BY_W(COPY("cmpxchg8b", ARGS(M(Q, rw), F(0, D, rw), F(2, D, rw), F(3, D, r)), NEED(CX8), ATTR(OP_LOCKABLE), FLAGS_ZERO),
	     COPY("cmpxchg16b", ARGS(M(O, rw), F(0, Q, rw), F(2, Q, rw), F(3, Q, r)), NEED(CX16), ATTR(OP_LOCKABLE | OP_ALIGNED), FLAGS_ZERO)),
	INVALID,
	NP(XSAVE_AREA("xrstors", XRSTORS, XSAVES, r, ATTR(OP_CPL0))),
	NP(XSAVE_AREA("xsavec", XSAVEC, XSAVEC, w)),
	NP(XSAVE_AREA("xsaves", XSAVES, XSAVES, w, ATTR(OP_CPL0))),
	INVALID, INVALID,
};

static const struct node group_9_register[8] = {
	INVALID, INVALID, INVALID, INVALID, INVALID, INVALID,
	REP(COPY("rdrand", ARGS(R(V, w)), NEED(RDRAND), WRITES(FLAG_STATUS)), INVALID, INVALID),
	REP(COPY("rdseed", ARGS(R(V, w)), NEED(RDSEED), WRITES(FLAG_STATUS)),
	    OP("rdpid", CALL, RDPID, ARGS(R(Q, w)), NEED(RDPID)), INVALID),
};

static const struct node group_15_memory[8] = {
	NP(XSAVE_AREA("fxsave", FXSAVE, FXSR, w)),
	NP(XSAVE_AREA("fxrstor", FXRSTOR, FXSR, r)),
	NP(OP("ldmxcsr", CALL, LDMXCSR, ARGS(M(D, r)), NEED(SSE), ATTR(OP_SSE))),
	NP(SCALAR(SSE, "stmxcsr", ARGS(M(D, w)))),
	NP(XSAVE_AREA("xsave", XSAVE, XSAVE, rw)),
	NP(XSAVE_AREA("xrstor", XRSTOR, XSAVE, r)),
	PREFIX(XSAVE_AREA("xsaveopt", XSAVEOPT, XSAVEOPT, rw),
	       OP("clwb", INLINE, CLFLUSH, ARGS(M(ADDRESS_ONLY, n)), NEED(CLWB)), INVALID, INVALID),
	PREFIX(OP("clflush", INLINE, CLFLUSH, ARGS(M(ADDRESS_ONLY, n)), NEED(CLFLUSH)),
	       OP("clflushopt", INLINE, CLFLUSH, ARGS(M(ADDRESS_ONLY, n)), NEED(CLFLUSHOPT)), INVALID, INVALID),
};

static const struct node group_15_register[8] = {
	PF3(FSGS(RDFSBASE, w)),
	PF3(FSGS(RDGSBASE, w)),
	PF3(FSGS(WRFSBASE, r)),
	PF3(FSGS(WRGSBASE, r)),
	INVALID,
	NP(COPY("lfence", NEED(SSE2))),
	NP(COPY("mfence", NEED(SSE2))),
	NP(COPY("sfence", NEED(SSE))),
};

const struct node opcodes_0f[256] = {
	[0x00] = GROUP(SIZED_BY_FORM("sldt", CALL, SLDT, w, ATTR(OP_MODE_DEPENDENT_REAL)),
		       SIZED_BY_FORM("str", CALL, STR, w, ATTR(OP_MODE_DEPENDENT_REAL)),
		       OP("lldt", END, LLDT, ARGS(E(W, r)), ATTR(OP_MODE_DEPENDENT_REAL | OP_CPL0)),
		       OP("ltr", END, LTR, ARGS(E(W, r)), ATTR(OP_MODE_DEPENDENT_REAL | OP_CPL0)),
		       OP("verr", CALL, VERR, ARGS(E(W, r)), ATTR(OP_MODE_DEPENDENT_REAL), FLAGS_ZERO),
		       OP("verw", CALL, VERW, ARGS(E(W, r)), ATTR(OP_MODE_DEPENDENT_REAL), FLAGS_ZERO),
		       INVALID, INVALID),
	[0x01] = NODE(MOD, { .kind = NODE_REG, .children = group_7_memory },
		      { .kind = NODE_REG, .children = group_7_register }),
	[0x02] = OP("lar", CALL, LAR, ARGS(G(V, rw), E(W, r)), ATTR(OP_MODE_DEPENDENT_REAL), FLAGS_ZERO),
	[0x03] = OP("lsl", CALL, LSL, ARGS(G(V, rw), E(W, r)), ATTR(OP_MODE_DEPENDENT_REAL), FLAGS_ZERO),
	[0x05] = OP("syscall", END, SYSCALL, NEED(SYSCALL), READS(FLAG_STATUS | FLAG_DF), WRITES(FLAG_STATUS | FLAG_DF)),
	[0x06] = OP("clts", END, CLTS, ATTR(OP_CPL0)),
	[0x07] = OP("sysret", END, SYSRET, NEED(SYSCALL), ATTR(OP_CPL0), WRITES(FLAG_STATUS | FLAG_DF)),
	[0x08] = OP("invd", CALL, INVD, ATTR(OP_CPL0)),
	[0x09] = REP(OP("wbinvd", CALL, WBINVD, ATTR(OP_CPL0)),
		     OP("wbnoinvd", CALL, WBINVD, ATTR(OP_CPL0 | OP_FALL_BACK), NEED(WBNOINVD)), SAME),
	[0x0b] = OP("ud2", END, UD),
	[0x0d] = MOD(HINT("prefetchw"), NOP_RM),

	[0x10] = PREFIX(SCALAR(SSE, "movups", ARGS(V(X, w), X(X, r))), SCALAR(SSE2, "movupd", ARGS(V(X, w), X(X, r))),
			SCALAR(SSE, "movss", ARGS(V(X, rw), X(D, r))), SCALAR(SSE2, "movsd", ARGS(V(X, rw), X(Q, r)))),
	[0x11] = PREFIX(SCALAR(SSE, "movups", ARGS(X(X, w), V(X, r))), SCALAR(SSE2, "movupd", ARGS(X(X, w), V(X, r))),
			SCALAR(SSE, "movss", ARGS(X(D, w), V(D, r))), SCALAR(SSE2, "movsd", ARGS(X(Q, w), V(Q, r)))),
	[0x12] = PREFIX(MOD(SCALAR(SSE, "movlps", ARGS(V(X, rw), M(Q, r))), SCALAR(SSE, "movhlps", ARGS(V(X, rw), U(X, r)))),
			SCALAR(SSE2, "movlpd", ARGS(V(X, rw), M(Q, r))),
			PACKED(SSE3, "movsldup", ARGS(V(X, w), X(X, r))), SCALAR(SSE3, "movddup", ARGS(V(X, w), X(Q, r)))),
	[0x13] = PREFIX(SCALAR(SSE, "movlps", ARGS(M(Q, w), V(Q, r))), SCALAR(SSE2, "movlpd", ARGS(M(Q, w), V(Q, r))), INVALID, INVALID),
	[0x14] = TWO("unpckl", rw),
	[0x15] = TWO("unpckh", rw),
	[0x16] = PREFIX(MOD(SCALAR(SSE, "movhps", ARGS(V(X, rw), M(Q, r))), SCALAR(SSE, "movlhps", ARGS(V(X, rw), U(X, r)))),
			SCALAR(SSE2, "movhpd", ARGS(V(X, rw), M(Q, r))), PACKED(SSE3, "movshdup", ARGS(V(X, w), X(X, r))), INVALID),
	[0x17] = PREFIX(SCALAR(SSE, "movhps", ARGS(M(Q, w), V(X, r))), SCALAR(SSE2, "movhpd", ARGS(M(Q, w), V(X, r))), INVALID, INVALID),
	[0x18] = MOD(GROUP(HINT("prefetchnta"), HINT("prefetcht0"), HINT("prefetcht1"), HINT("prefetcht2"),
			   NOP_RM, NOP_RM, NOP_RM, NOP_RM), NOP_RM),
	[0x19 ... 0x1f] = NOP_RM,

	[0x20] = OP("mov", CALL, MOV_FROM_CR, ARGS(R(V, w), CR(r)), ATTR(OP_FORCE_64 | OP_IGNORE_66 | OP_CHECK_REGISTER | OP_CPL0)),
	[0x21] = OP("mov", CALL, MOV_FROM_DR, ARGS(R(V, w), DR(r)), ATTR(OP_FORCE_64 | OP_IGNORE_66 | OP_CHECK_REGISTER | OP_CPL0)),
	[0x22] = OP("mov", END, MOV_TO_CR, ARGS(CR(w), R(V, r)), ATTR(OP_FORCE_64 | OP_IGNORE_66 | OP_CHECK_REGISTER | OP_CPL0)),
	[0x23] = OP("mov", END, MOV_TO_DR, ARGS(DR(w), R(V, r)), ATTR(OP_FORCE_64 | OP_IGNORE_66 | OP_CHECK_REGISTER | OP_CPL0)),

	[0x28] = PREFIX(PACKED(SSE, "movaps", ARGS(V(X, w), X(X, r))), PACKED(SSE2, "movapd", ARGS(V(X, w), X(X, r))), INVALID, INVALID),
	[0x29] = PREFIX(PACKED(SSE, "movaps", ARGS(X(X, w), V(X, r))), PACKED(SSE2, "movapd", ARGS(X(X, w), V(X, r))), INVALID, INVALID),
	[0x2a] = PREFIX(BOTH(SSE, "cvtpi2ps", ARGS(V(X, rw), Q(Q, r))), BOTH(SSE2, "cvtpi2pd", ARGS(V(X, w), Q(Q, r))),
			SCALAR(SSE, "cvtsi2ss", ARGS(V(X, rw), E(Y, r))), SCALAR(SSE2, "cvtsi2sd", ARGS(V(X, rw), E(Y, r)))),
	[0x2b] = PREFIX(PACKED(SSE, "movntps", ARGS(M(X, w), V(X, r))), PACKED(SSE2, "movntpd", ARGS(M(X, w), V(X, r))), INVALID, INVALID),
	[0x2c] = PREFIX(BOTH(SSE, "cvttps2pi", ARGS(P(Q, w), X(Q, r))),
			COPY("cvttpd2pi", NEED(SSE2), ATTR(OP_SSE | OP_MMX | OP_ALIGNED), ARGS(P(Q, w), X(X, r))),
			SCALAR(SSE, "cvttss2si", ARGS(G(Y, w), X(D, r))), SCALAR(SSE2, "cvttsd2si", ARGS(G(Y, w), X(Q, r)))),
	[0x2d] = PREFIX(BOTH(SSE, "cvtps2pi", ARGS(P(Q, w), X(Q, r))),
			COPY("cvtpd2pi", NEED(SSE2), ATTR(OP_SSE | OP_MMX | OP_ALIGNED), ARGS(P(Q, w), X(X, r))),
			SCALAR(SSE, "cvtss2si", ARGS(G(Y, w), X(D, r))), SCALAR(SSE2, "cvtsd2si", ARGS(G(Y, w), X(Q, r)))),
	[0x2e] = COMPARE("ucomi"),
	[0x2f] = COMPARE("comi"),

	[0x30] = OP("wrmsr", END, WRMSR, NEED(MSR), ATTR(OP_CPL0)),
	[0x31] = OP("rdtsc", CALL, RDTSC, NEED(TSC)),
	[0x32] = OP("rdmsr", CALL, RDMSR, NEED(MSR), ATTR(OP_CPL0)),
	[0x33] = OP("rdpmc", CALL, RDPMC),
	[0x34] = OP("sysenter", END, SYSENTER, NEED(SEP)),
	[0x35] = OP("sysexit", END, SYSEXIT, NEED(SEP), ATTR(OP_CPL0)),

	CONDITIONS(CMOV)

	[0x50] = PREFIX(SCALAR(SSE, "movmskps", ARGS(G(D, w), U(X, r))), SCALAR(SSE2, "movmskpd", ARGS(G(D, w), U(X, r))), INVALID, INVALID),
	[0x51] = PREFIX(PACKED(SSE, "sqrtps", ARGS(V(X, w), X(X, r))), PACKED(SSE2, "sqrtpd", ARGS(V(X, w), X(X, r))),
			SCALAR(SSE, "sqrtss", ARGS(V(X, rw), X(D, r))), SCALAR(SSE2, "sqrtsd", ARGS(V(X, rw), X(Q, r)))),
	[0x52] = PREFIX(PACKED(SSE, "rsqrtps", ARGS(V(X, w), X(X, r))), INVALID, SCALAR(SSE, "rsqrtss", ARGS(V(X, rw), X(D, r))), INVALID),
	[0x53] = PREFIX(PACKED(SSE, "rcpps", ARGS(V(X, w), X(X, r))), INVALID, SCALAR(SSE, "rcpss", ARGS(V(X, rw), X(D, r))), INVALID),
	[0x54] = TWO("and", rw),
	[0x55] = TWO("andn", rw),
	[0x56] = TWO("or", rw),
	[0x57] = TWO("xor", rw),
	[0x58] = FOUR("add", rw),
	[0x59] = FOUR("mul", rw),
	[0x5a] = PREFIX(SCALAR(SSE2, "cvtps2pd", ARGS(V(X, w), X(Q, r))), PACKED(SSE2, "cvtpd2ps", ARGS(V(X, w), X(X, r))),
			SCALAR(SSE2, "cvtss2sd", ARGS(V(X, rw), X(D, r))), SCALAR(SSE2, "cvtsd2ss", ARGS(V(X, rw), X(Q, r)))),
	[0x5b] = PREFIX(PACKED(SSE2, "cvtdq2ps", ARGS(V(X, w), X(X, r))), PACKED(SSE2, "cvtps2dq", ARGS(V(X, w), X(X, r))),
			PACKED(SSE2, "cvttps2dq", ARGS(V(X, w), X(X, r))), INVALID),
	[0x5c] = FOUR("sub", rw),
	[0x5d] = FOUR("min", rw),
	[0x5e] = FOUR("div", rw),
	[0x5f] = FOUR("max", rw),

	[0x60] = INT_LOW("punpcklbw"),
	[0x61] = INT_LOW("punpcklwd"),
	[0x62] = INT_LOW("punpckldq"),
	[0x63] = INT("packsswb"),
	[0x64] = INT("pcmpgtb"),
	[0x65] = INT("pcmpgtw"),
	[0x66] = INT("pcmpgtd"),
	[0x67] = INT("packuswb"),
	[0x68] = INT("punpckhbw"),
	[0x69] = INT("punpckhwd"),
	[0x6a] = INT("punpckhdq"),
	[0x6b] = INT("packssdw"),
	[0x6c] = P66(PACKED(SSE2, "punpcklqdq", ARGS(V(X, rw), X(X, r)))),
	[0x6d] = P66(PACKED(SSE2, "punpckhqdq", ARGS(V(X, rw), X(X, r)))),
	[0x6e] = PREFIX(MMX(MMX, "movd", ARGS(P(Q, w), E(Y, r))), SCALAR(SSE2, "movd", ARGS(V(X, w), E(Y, r))), INVALID, INVALID),
	[0x6f] = PREFIX(MMX(MMX, "movq", ARGS(P(Q, w), Q(Q, r))), PACKED(SSE2, "movdqa", ARGS(V(X, w), X(X, r))),
			SCALAR(SSE2, "movdqu", ARGS(V(X, w), X(X, r))), INVALID),
	[0x70] = PREFIX(MMX(SSE, "pshufw", ARGS(P(Q, w), Q(Q, r), I(B))), PACKED(SSE2, "pshufd", ARGS(V(X, w), X(X, r), I(B))),
			PACKED(SSE2, "pshufhw", ARGS(V(X, w), X(X, r), I(B))), PACKED(SSE2, "pshuflw", ARGS(V(X, w), X(X, r), I(B)))),
	[0x71] = GROUP(INVALID, INVALID, SHIFT("psrlw"), INVALID, SHIFT("psraw"), INVALID, SHIFT("psllw"), INVALID),
	[0x72] = GROUP(INVALID, INVALID, SHIFT("psrld"), INVALID, SHIFT("psrad"), INVALID, SHIFT("pslld"), INVALID),
	[0x73] = GROUP(INVALID, INVALID, SHIFT("psrlq"), SHIFT_X("psrldq"), INVALID, INVALID, SHIFT("psllq"), SHIFT_X("pslldq")),
	[0x74] = INT("pcmpeqb"),
	[0x75] = INT("pcmpeqw"),
	[0x76] = INT("pcmpeqd"),
	[0x77] = NP(MMX(MMX, "emms")),
	[0x7c] = PREFIX(INVALID, PACKED(SSE3, "haddpd", ARGS(V(X, rw), X(X, r))), INVALID, PACKED(SSE3, "haddps", ARGS(V(X, rw), X(X, r)))),
	[0x7d] = PREFIX(INVALID, PACKED(SSE3, "hsubpd", ARGS(V(X, rw), X(X, r))), INVALID, PACKED(SSE3, "hsubps", ARGS(V(X, rw), X(X, r)))),
	[0x7e] = PREFIX(MMX(MMX, "movd", ARGS(E(Y, w), P(Q, r))), SCALAR(SSE2, "movd", ARGS(E(Y, w), V(X, r))),
			SCALAR(SSE2, "movq", ARGS(V(X, w), X(Q, r))), INVALID),
	[0x7f] = PREFIX(MMX(MMX, "movq", ARGS(Q(Q, w), P(Q, r))), PACKED(SSE2, "movdqa", ARGS(X(X, w), V(X, r))),
			SCALAR(SSE2, "movdqu", ARGS(X(X, w), V(X, r))), INVALID),

	CONDITIONS(JCC)
	CONDITIONS(SETCC)

	[0xa0] = OP("push", CALL, PUSH_SEGMENT, ARGS(SEG(FS, r)), ATTR(OP_DEFAULT_64)),
	[0xa1] = OP("pop", END, POP_SEGMENT, ARGS(SEG(FS, w)), ATTR(OP_DEFAULT_64)),
	[0xa2] = OP("cpuid", CALL, CPUID),
	[0xa3] = BIT("bt", r, 0),
	[0xa4] = DOUBLE_SHIFT("shld", I(B)),
	[0xa5] = DOUBLE_SHIFT("shld", CL),
	[0xa8] = OP("push", CALL, PUSH_SEGMENT, ARGS(SEG(GS, r)), ATTR(OP_DEFAULT_64)),
	[0xa9] = OP("pop", END, POP_SEGMENT, ARGS(SEG(GS, w)), ATTR(OP_DEFAULT_64)),
	[0xab] = BIT("bts", rw, OP_LOCKABLE),
	[0xac] = DOUBLE_SHIFT("shrd", I(B)),
	[0xad] = DOUBLE_SHIFT("shrd", CL),
	[0xae] = NODE(MOD, { .kind = NODE_REG, .children = group_15_memory },
		      { .kind = NODE_REG, .children = group_15_register }),
	[0xaf] = COPY("imul", ARGS(G(V, rw), E(V, r)), FLAGS_MULTIPLY),

	[0xb0] = COPY("cmpxchg", ARGS(E(B, rw), G(B, r), A(B, rw)), ATTR(OP_LOCKABLE), FLAGS_ARITHMETIC),
	[0xb1] = COPY("cmpxchg", ARGS(E(V, rw), G(V, r), A(V, rw)), ATTR(OP_LOCKABLE), FLAGS_ARITHMETIC),
	[0xb2] = OP("lss", END, LOAD_FAR_POINTER, ARGS(G(V, w), M(P, r), SEG(SS, w))),
	[0xb3] = BIT("btr", rw, OP_LOCKABLE),
	[0xb4] = OP("lfs", END, LOAD_FAR_POINTER, ARGS(G(V, w), M(P, r), SEG(FS, w))),
	[0xb5] = OP("lgs", END, LOAD_FAR_POINTER, ARGS(G(V, w), M(P, r), SEG(GS, w))),
	[0xb6] = COPY("movzx", ARGS(G(V, w), E(B, r))),
	[0xb7] = COPY("movzx", ARGS(G(V, w), E(W, r))),
	[0xb8] = REP(INVALID, COPY("popcnt", ARGS(G(V, w), E(V, r)), NEED(POPCNT), WRITES(FLAG_STATUS)), INVALID),
	[0xb9] = OP("ud1", END, UD, ARGS(G(V, n), E(ADDRESS_ONLY, n))),
	[0xba] = GROUP(INVALID, INVALID, INVALID, INVALID,
		       COPY("bt", ARGS(E(V, r), I(B)), FLAGS_BIT),
		       COPY("bts", ARGS(E(V, rw), I(B)), ATTR(OP_LOCKABLE), FLAGS_BIT),
		       COPY("btr", ARGS(E(V, rw), I(B)), ATTR(OP_LOCKABLE), FLAGS_BIT),
		       COPY("btc", ARGS(E(V, rw), I(B)), ATTR(OP_LOCKABLE), FLAGS_BIT)),
	[0xbb] = BIT("btc", rw, OP_LOCKABLE),
	[0xbc] = REP(COPY("bsf", ARGS(G(V, rw), E(V, r)), FLAGS_ZERO, UNDEF(FLAG_STATUS & ~FLAG_ZF)),
		     COPY("tzcnt", ARGS(G(V, w), E(V, r)), NEED(BMI1), ATTR(OP_FALL_BACK), WRITES(FLAG_CF | FLAG_ZF),
			  UNDEF(FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF)), SAME),
	[0xbd] = REP(COPY("bsr", ARGS(G(V, rw), E(V, r)), FLAGS_ZERO, UNDEF(FLAG_STATUS & ~FLAG_ZF)),
		     COPY("lzcnt", ARGS(G(V, w), E(V, r)), NEED(LZCNT), ATTR(OP_FALL_BACK), WRITES(FLAG_CF | FLAG_ZF),
			  UNDEF(FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF)), SAME),
	[0xbe] = COPY("movsx", ARGS(G(V, w), E(B, r))),
	[0xbf] = COPY("movsx", ARGS(G(V, w), E(W, r))),

	[0xc0] = COPY("xadd", ARGS(E(B, rw), G(B, rw)), ATTR(OP_LOCKABLE), FLAGS_ARITHMETIC),
	[0xc1] = COPY("xadd", ARGS(E(V, rw), G(V, rw)), ATTR(OP_LOCKABLE), FLAGS_ARITHMETIC),
	[0xc2] = PREFIX(PACKED(SSE, "cmpps", ARGS(V(X, rw), X(X, r), I(B))), PACKED(SSE2, "cmppd", ARGS(V(X, rw), X(X, r), I(B))),
			SCALAR(SSE, "cmpss", ARGS(V(X, rw), X(D, r), I(B))), SCALAR(SSE2, "cmpsd", ARGS(V(X, rw), X(Q, r), I(B)))),
	[0xc3] = NP(COPY("movnti", ARGS(M(Y, w), G(Y, r)), NEED(SSE2))),
	[0xc4] = PREFIX(MOD(MMX(SSE, "pinsrw", ARGS(P(Q, rw), M(W, r), I(B))), MMX(SSE, "pinsrw", ARGS(P(Q, rw), R(D, r), I(B)))),
			MOD(SCALAR(SSE2, "pinsrw", ARGS(V(X, rw), M(W, r), I(B))), SCALAR(SSE2, "pinsrw", ARGS(V(X, rw), R(D, r), I(B)))),
			INVALID, INVALID),
	[0xc5] = PREFIX(MMX(SSE, "pextrw", ARGS(G(D, w), N(Q, r), I(B))), SCALAR(SSE2, "pextrw", ARGS(G(D, w), U(X, r), I(B))), INVALID, INVALID),
	[0xc6] = PREFIX(PACKED(SSE, "shufps", ARGS(V(X, rw), X(X, r), I(B))), PACKED(SSE2, "shufpd", ARGS(V(X, rw), X(X, r), I(B))), INVALID, INVALID),
	[0xc7] = NODE(MOD, { .kind = NODE_REG, .children = group_9_memory },
		      { .kind = NODE_REG, .children = group_9_register }),
	[0xc8 ... 0xcf] = COPY("bswap", ARGS(Z(V, rw))),

	[0xd0] = PREFIX(INVALID, PACKED(SSE3, "addsubpd", ARGS(V(X, rw), X(X, r))), INVALID, PACKED(SSE3, "addsubps", ARGS(V(X, rw), X(X, r)))),
	[0xd1] = INT("psrlw"),
	[0xd2] = INT("psrld"),
	[0xd3] = INT("psrlq"),
	[0xd4] = INT_F(SSE2, "paddq"),
	[0xd5] = INT("pmullw"),
	[0xd6] = PREFIX(INVALID, SCALAR(SSE2, "movq", ARGS(X(Q, w), V(Q, r))),
			BOTH(SSE2, "movq2dq", ARGS(V(X, w), N(Q, r))), BOTH(SSE2, "movdq2q", ARGS(P(Q, w), U(X, r)))),
	[0xd7] = PREFIX(MMX(SSE, "pmovmskb", ARGS(G(D, w), N(Q, r))), SCALAR(SSE2, "pmovmskb", ARGS(G(D, w), U(X, r))), INVALID, INVALID),
	[0xd8] = INT("psubusb"),
	[0xd9] = INT("psubusw"),
	[0xda] = INT_F(SSE, "pminub"),
	[0xdb] = INT("pand"),
	[0xdc] = INT("paddusb"),
	[0xdd] = INT("paddusw"),
	[0xde] = INT_F(SSE, "pmaxub"),
	[0xdf] = INT("pandn"),
	[0xe0] = INT_F(SSE, "pavgb"),
	[0xe1] = INT("psraw"),
	[0xe2] = INT("psrad"),
	[0xe3] = INT_F(SSE, "pavgw"),
	[0xe4] = INT_F(SSE, "pmulhuw"),
	[0xe5] = INT("pmulhw"),
	[0xe6] = PREFIX(INVALID, PACKED(SSE2, "cvttpd2dq", ARGS(V(X, w), X(X, r))),
			SCALAR(SSE2, "cvtdq2pd", ARGS(V(X, w), X(Q, r))), PACKED(SSE2, "cvtpd2dq", ARGS(V(X, w), X(X, r)))),
	[0xe7] = PREFIX(MMX(SSE, "movntq", ARGS(M(Q, w), P(Q, r))), PACKED(SSE2, "movntdq", ARGS(M(X, w), V(X, r))), INVALID, INVALID),
	[0xe8] = INT("psubsb"),
	[0xe9] = INT("psubsw"),
	[0xea] = INT_F(SSE, "pminsw"),
	[0xeb] = INT("por"),
	[0xec] = INT("paddsb"),
	[0xed] = INT("paddsw"),
	[0xee] = INT_F(SSE, "pmaxsw"),
	[0xef] = INT("pxor"),
	[0xf0] = PF2(SCALAR(SSE3, "lddqu", ARGS(V(X, w), M(X, r)))),
	[0xf1] = INT("psllw"),
	[0xf2] = INT("pslld"),
	[0xf3] = INT("psllq"),
	[0xf4] = INT_F(SSE2, "pmuludq"),
	[0xf5] = INT("pmaddwd"),
	[0xf6] = INT_F(SSE, "psadbw"),
	[0xf7] = PREFIX(OP("maskmovq", CALL, MASKMOVQ, NEED(SSE), ATTR(OP_MMX), ARGS(P(Q, r), N(Q, r))),
			OP("maskmovdqu", CALL, MASKMOVDQU, NEED(SSE2), ATTR(OP_SSE), ARGS(V(X, r), U(X, r))), INVALID, INVALID),
	[0xf8] = INT("psubb"),
	[0xf9] = INT("psubw"),
	[0xfa] = INT("psubd"),
	[0xfb] = INT_F(SSE2, "psubq"),
	[0xfc] = INT("paddb"),
	[0xfd] = INT("paddw"),
	[0xfe] = INT("paddd"),
	[0xff] = OP("ud0", END, UD, ARGS(G(V, n), E(ADDRESS_ONLY, n))),
};
