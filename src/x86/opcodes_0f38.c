/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The three-byte opcode maps 0f 38 xx and 0f 3a xx: SSSE3, SSE4, AES, PCLMULQDQ, SHA, movbe, crc32,
 * adx, invpcid. The VEX forms are in opcodes_vex*.c.
 * Source: Intel SDM volume 2, tables.
 */
#include "x86/opcodes.h"

/* clang-format off */

#define PACKED(f, text, ...) COPY(text, NEED(f), ATTR(OP_SSE | OP_ALIGNED), __VA_ARGS__)
#define SCALAR(f, text, ...) COPY(text, NEED(f), ATTR(OP_SSE), __VA_ARGS__)

#define SSSE3(text, a) PREFIX( \
	COPY(text, NEED(SSSE3), ATTR(OP_MMX), ARGS(P(Q, a), Q(Q, r))), \
	PACKED(SSSE3, text, ARGS(V(X, a), X(X, r))), INVALID, INVALID)
#define BINARY(f, text) P66(PACKED(f, text, ARGS(V(X, rw), X(X, r))))
#define UNARY(f, text)  P66(PACKED(f, text, ARGS(V(X, w), X(X, r))))
#define EXTEND(text, s) P66(SCALAR(SSE4_1, text, ARGS(V(X, w), X(s, r))))
#define BLEND(text)     P66(PACKED(SSE4_1, text, ARGS(V(X, rw), X(X, r)))) /* mask: xmm0 */
#define SHA(text)       NP(PACKED(SHA, text, ARGS(V(X, rw), X(X, r))))
#define WITH_IMM(f, text, a) P66(PACKED(f, text, ARGS(V(X, a), X(X, r), I(B))))
#define COMPARE_STRING(text, ...) P66(SCALAR(SSE4_2, text, ARGS(V(X, r), X(X, r), I(B)), __VA_ARGS__))
#define FIND_STRING(text, ...)	  P66(SCALAR(SSE4_2, text, ARGS(V(X, r), X(X, r), I(B), F(1, D, w)), __VA_ARGS__))

const struct node opcodes_0f38[256] = {
	[0x00] = SSSE3("pshufb", rw),
	[0x01] = SSSE3("phaddw", rw),
	[0x02] = SSSE3("phaddd", rw),
	[0x03] = SSSE3("phaddsw", rw),
	[0x04] = SSSE3("pmaddubsw", rw),
	[0x05] = SSSE3("phsubw", rw),
	[0x06] = SSSE3("phsubd", rw),
	[0x07] = SSSE3("phsubsw", rw),
	[0x08] = SSSE3("psignb", rw),
	[0x09] = SSSE3("psignw", rw),
	[0x0a] = SSSE3("psignd", rw),
	[0x0b] = SSSE3("pmulhrsw", rw),
	[0x10] = BLEND("pblendvb"),
	[0x14] = BLEND("blendvps"),
	[0x15] = BLEND("blendvpd"),
	[0x17] = P66(PACKED(SSE4_1, "ptest", ARGS(V(X, r), X(X, r)), WRITES(FLAG_STATUS))),
	[0x1c] = SSSE3("pabsb", w),
	[0x1d] = SSSE3("pabsw", w),
	[0x1e] = SSSE3("pabsd", w),
	[0x20] = EXTEND("pmovsxbw", Q),
	[0x21] = EXTEND("pmovsxbd", D),
	[0x22] = EXTEND("pmovsxbq", W),
	[0x23] = EXTEND("pmovsxwd", Q),
	[0x24] = EXTEND("pmovsxwq", D),
	[0x25] = EXTEND("pmovsxdq", Q),
	[0x28] = BINARY(SSE4_1, "pmuldq"),
	[0x29] = BINARY(SSE4_1, "pcmpeqq"),
	[0x2a] = P66(PACKED(SSE4_1, "movntdqa", ARGS(V(X, w), M(X, r)))),
	[0x2b] = BINARY(SSE4_1, "packusdw"),
	[0x30] = EXTEND("pmovzxbw", Q),
	[0x31] = EXTEND("pmovzxbd", D),
	[0x32] = EXTEND("pmovzxbq", W),
	[0x33] = EXTEND("pmovzxwd", Q),
	[0x34] = EXTEND("pmovzxwq", D),
	[0x35] = EXTEND("pmovzxdq", Q),
	[0x37] = BINARY(SSE4_2, "pcmpgtq"),
	[0x38] = BINARY(SSE4_1, "pminsb"),
	[0x39] = BINARY(SSE4_1, "pminsd"),
	[0x3a] = BINARY(SSE4_1, "pminuw"),
	[0x3b] = BINARY(SSE4_1, "pminud"),
	[0x3c] = BINARY(SSE4_1, "pmaxsb"),
	[0x3d] = BINARY(SSE4_1, "pmaxsd"),
	[0x3e] = BINARY(SSE4_1, "pmaxuw"),
	[0x3f] = BINARY(SSE4_1, "pmaxud"),
	[0x40] = BINARY(SSE4_1, "pmulld"),
	[0x41] = UNARY(SSE4_1, "phminposuw"),
	[0x82] = P66(OP("invpcid", END, INVPCID, ARGS(G(Y, r), M(O, r)), NEED(INVPCID), ATTR(OP_CPL0))),
	[0xc8] = SHA("sha1nexte"),
	[0xc9] = SHA("sha1msg1"),
	[0xca] = SHA("sha1msg2"),
	[0xcb] = SHA("sha256rnds2"),
	[0xcc] = SHA("sha256msg1"),
	[0xcd] = SHA("sha256msg2"),
	[0xdb] = UNARY(AES, "aesimc"),
	[0xdc] = BINARY(AES, "aesenc"),
	[0xdd] = BINARY(AES, "aesenclast"),
	[0xde] = BINARY(AES, "aesdec"),
	[0xdf] = BINARY(AES, "aesdeclast"),
	[0xf0] = REP(COPY("movbe", ARGS(G(V, w), M(V, r)), NEED(MOVBE)), INVALID,
		     COPY("crc32", ARGS(G(Y, rw), E(B, r)), NEED(SSE4_2))),
	[0xf1] = REP(COPY("movbe", ARGS(M(V, w), G(V, r)), NEED(MOVBE)), INVALID,
		     COPY("crc32", ARGS(G(Y, rw), E(V, r)), NEED(SSE4_2))),
	[0xf6] = PREFIX(INVALID,
			COPY("adcx", ARGS(G(Y, rw), E(Y, r)), NEED(ADX), READS(FLAG_CF), WRITES(FLAG_CF)),
			COPY("adox", ARGS(G(Y, rw), E(Y, r)), NEED(ADX), READS(FLAG_OF), WRITES(FLAG_OF)), INVALID),
};

const struct node opcodes_0f3a[256] = {
	[0x08] = WITH_IMM(SSE4_1, "roundps", w),
	[0x09] = WITH_IMM(SSE4_1, "roundpd", w),
	[0x0a] = P66(SCALAR(SSE4_1, "roundss", ARGS(V(X, rw), X(D, r), I(B)))),
	[0x0b] = P66(SCALAR(SSE4_1, "roundsd", ARGS(V(X, rw), X(Q, r), I(B)))),
	[0x0c] = WITH_IMM(SSE4_1, "blendps", rw),
	[0x0d] = WITH_IMM(SSE4_1, "blendpd", rw),
	[0x0e] = WITH_IMM(SSE4_1, "pblendw", rw),
	[0x0f] = PREFIX(COPY("palignr", NEED(SSSE3), ATTR(OP_MMX), ARGS(P(Q, rw), Q(Q, r), I(B))),
			PACKED(SSSE3, "palignr", ARGS(V(X, rw), X(X, r), I(B))), INVALID, INVALID),
	[0x14] = P66(MOD(SCALAR(SSE4_1, "pextrb", ARGS(M(B, w), V(X, r), I(B))), SCALAR(SSE4_1, "pextrb", ARGS(R(D, w), V(X, r), I(B))))),
	[0x15] = P66(MOD(SCALAR(SSE4_1, "pextrw", ARGS(M(W, w), V(X, r), I(B))), SCALAR(SSE4_1, "pextrw", ARGS(R(D, w), V(X, r), I(B))))),
	[0x16] = P66(SCALAR(SSE4_1, "pextrd", ARGS(E(Y, w), V(X, r), I(B)))),
	[0x17] = P66(SCALAR(SSE4_1, "extractps", ARGS(E(D, w), V(X, r), I(B)))),
	[0x20] = P66(MOD(SCALAR(SSE4_1, "pinsrb", ARGS(V(X, rw), M(B, r), I(B))), SCALAR(SSE4_1, "pinsrb", ARGS(V(X, rw), R(D, r), I(B))))),
	[0x21] = P66(SCALAR(SSE4_1, "insertps", ARGS(V(X, rw), X(D, r), I(B)))),
	[0x22] = P66(SCALAR(SSE4_1, "pinsrd", ARGS(V(X, rw), E(Y, r), I(B)))),
	[0x40] = WITH_IMM(SSE4_1, "dpps", rw),
	[0x41] = WITH_IMM(SSE4_1, "dppd", rw),
	[0x42] = WITH_IMM(SSE4_1, "mpsadbw", rw),
	[0x44] = WITH_IMM(PCLMULQDQ, "pclmulqdq", rw),
	[0x60] = COMPARE_STRING("pcmpestrm", WRITES(FLAG_STATUS)), /* also reads rax, rdx; writes xmm0 */
	[0x61] = FIND_STRING("pcmpestri", WRITES(FLAG_STATUS)),	   /* also reads rax, rdx */
	[0x62] = COMPARE_STRING("pcmpistrm", WRITES(FLAG_STATUS)),
	[0x63] = FIND_STRING("pcmpistri", WRITES(FLAG_STATUS)),
	[0xcc] = NP(PACKED(SHA, "sha1rnds4", ARGS(V(X, rw), X(X, r), I(B)))),
	[0xdf] = WITH_IMM(AES, "aeskeygenassist", w),
};
