/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VEX map 1 (0f xx): AVX and AVX2 forms of the SSE instructions.
 * AVX-512's instructions on mask registers, which share this map, are invalid.
 * Source: Intel SDM volume 2, table A-3 and the instruction pages.
 */
#include "x86/opcodes_vex.h"

/* clang-format off */

/* dst = vvvv op src in the types ps, pd, ss, sd. */
#define FOUR(text) PREFIX( \
	VEX(AVX, text "ps", 0, ARGS(V(X, w), H(X, r), X(X, r))), VEX(AVX, text "pd", 0, ARGS(V(X, w), H(X, r), X(X, r))), \
	VEX(AVX, text "ss", 0, ARGS(V(X, w), H(X, r), X(D, r))), VEX(AVX, text "sd", 0, ARGS(V(X, w), H(X, r), X(Q, r))))
#define TWO(text) PREFIX( \
	VEX(AVX, text "ps", 0, ARGS(V(X, w), H(X, r), X(X, r))), VEX(AVX, text "pd", 0, ARGS(V(X, w), H(X, r), X(X, r))), \
	INVALID, INVALID)
#define COMPARE(text) PREFIX( \
	VEX(AVX, text "ss", 0, ARGS(V(X, r), X(D, r)), WRITES(FLAG_STATUS)), \
	VEX(AVX, text "sd", 0, ARGS(V(X, r), X(Q, r)), WRITES(FLAG_STATUS)), INVALID, INVALID)
#define LOAD(text, attributes_)  VEX(AVX, text, attributes_, ARGS(V(X, w), X(X, r)))
#define STORE(text, attributes_) VEX(AVX, text, attributes_, ARGS(X(X, w), V(X, r)))
#define INT(text)      P66(VEX_INT(text, V(X, w), H(X, r), X(X, r)))
#define SHIFT(text)    P66(VEX_INT(text, H(X, w), U(X, r), I(B)))
#define SHIFT_BY(text) P66(VEX_INT(text, V(X, w), H(X, r), X(O, r)))
#define SCALAR_MOVE(text, s) \
	MOD(VEX(AVX, text, 0, ARGS(V(X, w), M(s, r))), VEX(AVX, text, 0, ARGS(V(X, w), H(X, r), U(X, r))))
#define SCALAR_STORE(text, s) \
	MOD(VEX(AVX, text, 0, ARGS(M(s, w), V(X, r))), VEX(AVX, text, 0, ARGS(U(X, w), H(X, r), V(X, r))))

const struct node opcodes_vex_0f[256] = {
	[0x10] = PREFIX(LOAD("vmovups", 0), LOAD("vmovupd", 0), SCALAR_MOVE("vmovss", D), SCALAR_MOVE("vmovsd", Q)),
	[0x11] = PREFIX(STORE("vmovups", 0), STORE("vmovupd", 0), SCALAR_STORE("vmovss", D), SCALAR_STORE("vmovsd", Q)),
	[0x12] = PREFIX(MOD(VEX(AVX, "vmovlps", OP_VEX_L0, ARGS(V(X, w), H(X, r), M(Q, r))),
			    VEX(AVX, "vmovhlps", OP_VEX_L0, ARGS(V(X, w), H(X, r), U(X, r)))),
			VEX(AVX, "vmovlpd", OP_VEX_L0, ARGS(V(X, w), H(X, r), M(Q, r))),
			VEX(AVX, "vmovsldup", 0, ARGS(V(X, w), X(X, r))),
			BY_L(VEX(AVX, "vmovddup", 0, ARGS(V(X, w), X(Q, r))), VEX(AVX, "vmovddup", 0, ARGS(V(X, w), X(X, r))))),
	[0x13] = PREFIX(VEX(AVX, "vmovlps", OP_VEX_L0, ARGS(M(Q, w), V(X, r))),
			VEX(AVX, "vmovlpd", OP_VEX_L0, ARGS(M(Q, w), V(X, r))), INVALID, INVALID),
	[0x14] = TWO("vunpckl"),
	[0x15] = TWO("vunpckh"),
	[0x16] = PREFIX(MOD(VEX(AVX, "vmovhps", OP_VEX_L0, ARGS(V(X, w), H(X, r), M(Q, r))),
			    VEX(AVX, "vmovlhps", OP_VEX_L0, ARGS(V(X, w), H(X, r), U(X, r)))),
			VEX(AVX, "vmovhpd", OP_VEX_L0, ARGS(V(X, w), H(X, r), M(Q, r))),
			VEX(AVX, "vmovshdup", 0, ARGS(V(X, w), X(X, r))), INVALID),
	[0x17] = PREFIX(VEX(AVX, "vmovhps", OP_VEX_L0, ARGS(M(Q, w), V(X, r))),
			VEX(AVX, "vmovhpd", OP_VEX_L0, ARGS(M(Q, w), V(X, r))), INVALID, INVALID),
	[0x28] = PREFIX(LOAD("vmovaps", OP_ALIGNED), LOAD("vmovapd", OP_ALIGNED), INVALID, INVALID),
	[0x29] = PREFIX(STORE("vmovaps", OP_ALIGNED), STORE("vmovapd", OP_ALIGNED), INVALID, INVALID),
	[0x2a] = PREFIX(INVALID, INVALID, VEX(AVX, "vcvtsi2ss", 0, ARGS(V(X, w), H(X, r), E(Y, r))),
			VEX(AVX, "vcvtsi2sd", 0, ARGS(V(X, w), H(X, r), E(Y, r)))),
	[0x2b] = PREFIX(VEX(AVX, "vmovntps", OP_ALIGNED, ARGS(M(X, w), V(X, r))),
			VEX(AVX, "vmovntpd", OP_ALIGNED, ARGS(M(X, w), V(X, r))), INVALID, INVALID),
	[0x2c] = PREFIX(INVALID, INVALID, VEX(AVX, "vcvttss2si", 0, ARGS(G(Y, w), X(D, r))),
			VEX(AVX, "vcvttsd2si", 0, ARGS(G(Y, w), X(Q, r)))),
	[0x2d] = PREFIX(INVALID, INVALID, VEX(AVX, "vcvtss2si", 0, ARGS(G(Y, w), X(D, r))),
			VEX(AVX, "vcvtsd2si", 0, ARGS(G(Y, w), X(Q, r)))),
	[0x2e] = COMPARE("vucomi"),
	[0x2f] = COMPARE("vcomi"),

	[0x50] = PREFIX(VEX(AVX, "vmovmskps", 0, ARGS(G(D, w), U(X, r))), VEX(AVX, "vmovmskpd", 0, ARGS(G(D, w), U(X, r))), INVALID, INVALID),
	[0x51] = PREFIX(LOAD("vsqrtps", 0), LOAD("vsqrtpd", 0),
			VEX(AVX, "vsqrtss", 0, ARGS(V(X, w), H(X, r), X(D, r))), VEX(AVX, "vsqrtsd", 0, ARGS(V(X, w), H(X, r), X(Q, r)))),
	[0x52] = PREFIX(LOAD("vrsqrtps", 0), INVALID, VEX(AVX, "vrsqrtss", 0, ARGS(V(X, w), H(X, r), X(D, r))), INVALID),
	[0x53] = PREFIX(LOAD("vrcpps", 0), INVALID, VEX(AVX, "vrcpss", 0, ARGS(V(X, w), H(X, r), X(D, r))), INVALID),
	[0x54] = TWO("vand"),
	[0x55] = TWO("vandn"),
	[0x56] = TWO("vor"),
	[0x57] = TWO("vxor"),
	[0x58] = FOUR("vadd"),
	[0x59] = FOUR("vmul"),
	[0x5a] = PREFIX(VEX(AVX, "vcvtps2pd", 0, ARGS(V(X, w), X(H, r))), LOAD("vcvtpd2ps", 0),
			VEX(AVX, "vcvtss2sd", 0, ARGS(V(X, w), H(X, r), X(D, r))), VEX(AVX, "vcvtsd2ss", 0, ARGS(V(X, w), H(X, r), X(Q, r)))),
	[0x5b] = PREFIX(LOAD("vcvtdq2ps", 0), LOAD("vcvtps2dq", 0), LOAD("vcvttps2dq", 0), INVALID),
	[0x5c] = FOUR("vsub"),
	[0x5d] = FOUR("vmin"),
	[0x5e] = FOUR("vdiv"),
	[0x5f] = FOUR("vmax"),

	[0x60] = INT("vpunpcklbw"),
	[0x61] = INT("vpunpcklwd"),
	[0x62] = INT("vpunpckldq"),
	[0x63] = INT("vpacksswb"),
	[0x64] = INT("vpcmpgtb"),
	[0x65] = INT("vpcmpgtw"),
	[0x66] = INT("vpcmpgtd"),
	[0x67] = INT("vpackuswb"),
	[0x68] = INT("vpunpckhbw"),
	[0x69] = INT("vpunpckhwd"),
	[0x6a] = INT("vpunpckhdq"),
	[0x6b] = INT("vpackssdw"),
	[0x6c] = INT("vpunpcklqdq"),
	[0x6d] = INT("vpunpckhqdq"),
	[0x6e] = P66(VEX(AVX, "vmovd", OP_VEX_L0, ARGS(V(X, w), E(Y, r)))),
	[0x6f] = PREFIX(INVALID, LOAD("vmovdqa", OP_ALIGNED), LOAD("vmovdqu", 0), INVALID),
	[0x70] = PREFIX(INVALID, VEX_INT("vpshufd", V(X, w), X(X, r), I(B)), VEX_INT("vpshufhw", V(X, w), X(X, r), I(B)),
			VEX_INT("vpshuflw", V(X, w), X(X, r), I(B))),
	[0x71] = GROUP(INVALID, INVALID, SHIFT("vpsrlw"), INVALID, SHIFT("vpsraw"), INVALID, SHIFT("vpsllw"), INVALID),
	[0x72] = GROUP(INVALID, INVALID, SHIFT("vpsrld"), INVALID, SHIFT("vpsrad"), INVALID, SHIFT("vpslld"), INVALID),
	[0x73] = GROUP(INVALID, INVALID, SHIFT("vpsrlq"), SHIFT("vpsrldq"), INVALID, INVALID, SHIFT("vpsllq"), SHIFT("vpslldq")),
	[0x74] = INT("vpcmpeqb"),
	[0x75] = INT("vpcmpeqw"),
	[0x76] = INT("vpcmpeqd"),
	[0x77] = NP(BY_L(VEX(AVX, "vzeroupper", 0), VEX(AVX, "vzeroall", 0))),
	[0x7c] = PREFIX(INVALID, VEX(AVX, "vhaddpd", 0, ARGS(V(X, w), H(X, r), X(X, r))), INVALID,
			VEX(AVX, "vhaddps", 0, ARGS(V(X, w), H(X, r), X(X, r)))),
	[0x7d] = PREFIX(INVALID, VEX(AVX, "vhsubpd", 0, ARGS(V(X, w), H(X, r), X(X, r))), INVALID,
			VEX(AVX, "vhsubps", 0, ARGS(V(X, w), H(X, r), X(X, r)))),
	[0x7e] = PREFIX(INVALID, VEX(AVX, "vmovd", OP_VEX_L0, ARGS(E(Y, w), V(X, r))),
			VEX(AVX, "vmovq", OP_VEX_L0, ARGS(V(X, w), X(Q, r))), INVALID),
	[0x7f] = PREFIX(INVALID, STORE("vmovdqa", OP_ALIGNED), STORE("vmovdqu", 0), INVALID),

	[0xae] = GROUP(INVALID, INVALID, NP(OP("vldmxcsr", CALL, LDMXCSR, ARGS(M(D, r)), NEED(AVX), ATTR(OP_AVX | OP_MODE_DEPENDENT_REAL | OP_VEX_L0))),
		       NP(VEX(AVX, "vstmxcsr", OP_VEX_L0, ARGS(M(D, w)))), INVALID, INVALID, INVALID, INVALID),
	[0xc2] = PREFIX(VEX(AVX, "vcmpps", 0, ARGS(V(X, w), H(X, r), X(X, r), I(B))), VEX(AVX, "vcmppd", 0, ARGS(V(X, w), H(X, r), X(X, r), I(B))),
			VEX(AVX, "vcmpss", 0, ARGS(V(X, w), H(X, r), X(D, r), I(B))), VEX(AVX, "vcmpsd", 0, ARGS(V(X, w), H(X, r), X(Q, r), I(B)))),
	[0xc4] = P66(MOD(VEX(AVX, "vpinsrw", OP_VEX_L0, ARGS(V(X, w), H(X, r), M(W, r), I(B))),
			 VEX(AVX, "vpinsrw", OP_VEX_L0, ARGS(V(X, w), H(X, r), R(D, r), I(B))))),
	[0xc5] = P66(VEX(AVX, "vpextrw", OP_VEX_L0, ARGS(G(D, w), U(X, r), I(B)))),
	[0xc6] = PREFIX(VEX(AVX, "vshufps", 0, ARGS(V(X, w), H(X, r), X(X, r), I(B))),
			VEX(AVX, "vshufpd", 0, ARGS(V(X, w), H(X, r), X(X, r), I(B))), INVALID, INVALID),

	[0xd0] = PREFIX(INVALID, VEX(AVX, "vaddsubpd", 0, ARGS(V(X, w), H(X, r), X(X, r))), INVALID,
			VEX(AVX, "vaddsubps", 0, ARGS(V(X, w), H(X, r), X(X, r)))),
	[0xd1] = SHIFT_BY("vpsrlw"),
	[0xd2] = SHIFT_BY("vpsrld"),
	[0xd3] = SHIFT_BY("vpsrlq"),
	[0xd4] = INT("vpaddq"),
	[0xd5] = INT("vpmullw"),
	[0xd6] = P66(VEX(AVX, "vmovq", OP_VEX_L0, ARGS(X(Q, w), V(X, r)))),
	[0xd7] = P66(VEX_INT("vpmovmskb", G(D, w), U(X, r))),
	[0xd8] = INT("vpsubusb"),
	[0xd9] = INT("vpsubusw"),
	[0xda] = INT("vpminub"),
	[0xdb] = INT("vpand"),
	[0xdc] = INT("vpaddusb"),
	[0xdd] = INT("vpaddusw"),
	[0xde] = INT("vpmaxub"),
	[0xdf] = INT("vpandn"),
	[0xe0] = INT("vpavgb"),
	[0xe1] = SHIFT_BY("vpsraw"),
	[0xe2] = SHIFT_BY("vpsrad"),
	[0xe3] = INT("vpavgw"),
	[0xe4] = INT("vpmulhuw"),
	[0xe5] = INT("vpmulhw"),
	[0xe6] = PREFIX(INVALID, LOAD("vcvttpd2dq", 0), VEX(AVX, "vcvtdq2pd", 0, ARGS(V(X, w), X(H, r))), LOAD("vcvtpd2dq", 0)),
	[0xe7] = P66(VEX(AVX, "vmovntdq", OP_ALIGNED, ARGS(M(X, w), V(X, r)))),
	[0xe8] = INT("vpsubsb"),
	[0xe9] = INT("vpsubsw"),
	[0xea] = INT("vpminsw"),
	[0xeb] = INT("vpor"),
	[0xec] = INT("vpaddsb"),
	[0xed] = INT("vpaddsw"),
	[0xee] = INT("vpmaxsw"),
	[0xef] = INT("vpxor"),
	[0xf0] = PF2(VEX(AVX, "vlddqu", 0, ARGS(V(X, w), M(X, r)))),
	[0xf1] = SHIFT_BY("vpsllw"),
	[0xf2] = SHIFT_BY("vpslld"),
	[0xf3] = SHIFT_BY("vpsllq"),
	[0xf4] = INT("vpmuludq"),
	[0xf5] = INT("vpmaddwd"),
	[0xf6] = INT("vpsadbw"),
	[0xf7] = P66(OP("vmaskmovdqu", CALL, MASKMOVDQU, NEED(AVX), ATTR(OP_AVX | OP_MODE_DEPENDENT_REAL | OP_VEX_L0), ARGS(V(X, r), U(X, r)))),
	[0xf8] = INT("vpsubb"),
	[0xf9] = INT("vpsubw"),
	[0xfa] = INT("vpsubd"),
	[0xfb] = INT("vpsubq"),
	[0xfc] = INT("vpaddb"),
	[0xfd] = INT("vpaddw"),
	[0xfe] = INT("vpaddd"),
};
