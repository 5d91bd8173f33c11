/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VEX maps 2 (0f 38 xx) and 3 (0f 3a xx): AVX, AVX2, FMA, F16C, AES, PCLMULQDQ, BMI1, BMI2.
 * Source: Intel SDM volume 2, tables and the instruction pages.
 */
#include "x86/opcodes_vex.h"

/* clang-format off */

#define INT(text)         P66(VEX_INT(text, V(X, w), H(X, r), X(X, r)))
#define INT_1(text)       P66(VEX_INT(text, V(X, w), X(X, r)))
#define AVX_W0(text, attributes_, ...) P66(BY_W(VEX(AVX, text, attributes_, ARGS(__VA_ARGS__)), INVALID))
#define AVX2_W0(text, attributes_, ...) P66(BY_W(VEX(AVX2, text, attributes_, ARGS(__VA_ARGS__)), INVALID))
#define AVX2_W1(text, attributes_, ...) P66(BY_W(INVALID, VEX(AVX2, text, attributes_, ARGS(__VA_ARGS__))))
#define EXTEND(text, s) P66(BY_L(VEX(AVX, text, 0, ARGS(V(X, w), X(s, r))), VEX(AVX2, text, 0, ARGS(V(X, w), X(s, r)))))
#define AES(text, ...) P66(COPY(text, NEED(AES), ATTR(OP_AVX | OP_MODE_DEPENDENT_REAL | OP_VEX_L0), ARGS(__VA_ARGS__)))

/* By W: d and q, or ps and pd, or ss and sd. */
#define BY_ELEMENT(f, text, even, odd) P66(BY_W( \
	VEX(f, text even, 0, ARGS(V(X, w), H(X, r), X(X, r))), VEX(f, text odd, 0, ARGS(V(X, w), H(X, r), X(X, r)))))
#define FMA(text) P66(BY_W( \
	VEX(FMA, text "ps", 0, ARGS(V(X, rw), H(X, r), X(X, r))), VEX(FMA, text "pd", 0, ARGS(V(X, rw), H(X, r), X(X, r)))))
#define FMA_1(text) P66(BY_W( \
	VEX(FMA, text "ss", 0, ARGS(V(X, rw), H(X, r), X(D, r))), VEX(FMA, text "sd", 0, ARGS(V(X, rw), H(X, r), X(Q, r)))))

#define OP_VECTOR_CALL(f, text, h, ...) \
	OP(text, CALL, h, NEED(f), ATTR(OP_AVX | OP_MODE_DEPENDENT_REAL), ARGS(__VA_ARGS__))
#define MASK_LOAD(f, text)  OP_VECTOR_CALL(f, text, VMASKMOV, V(X, w), H(X, r), M(X, r))
#define MASK_STORE(f, text) OP_VECTOR_CALL(f, text, VMASKMOV, M(X, w), H(X, r), V(X, r))
/* The element's size is that of one access; operand order: destination, addresses, mask. */
#define GATHER(text, even, odd) P66(BY_W( \
	OP_VECTOR_CALL(AVX2, text even, GATHER, V(X, rw), VSIB(D), H(X, rw)), \
	OP_VECTOR_CALL(AVX2, text odd, GATHER, V(X, rw), VSIB(Q), H(X, rw))))

#define FLAGS_BLS WRITES(FLAG_STATUS & ~(FLAG_AF | FLAG_PF)), UNDEF(FLAG_AF | FLAG_PF)

const struct node opcodes_vex_0f38[256] = {
	[0x00] = INT("vpshufb"),
	[0x01] = INT("vphaddw"),
	[0x02] = INT("vphaddd"),
	[0x03] = INT("vphaddsw"),
	[0x04] = INT("vpmaddubsw"),
	[0x05] = INT("vphsubw"),
	[0x06] = INT("vphsubd"),
	[0x07] = INT("vphsubsw"),
	[0x08] = INT("vpsignb"),
	[0x09] = INT("vpsignw"),
	[0x0a] = INT("vpsignd"),
	[0x0b] = INT("vpmulhrsw"),
	[0x0c] = AVX_W0("vpermilps", 0, V(X, w), H(X, r), X(X, r)),
	[0x0d] = AVX_W0("vpermilpd", 0, V(X, w), H(X, r), X(X, r)),
	[0x0e] = P66(BY_W(VEX(AVX, "vtestps", 0, ARGS(V(X, r), X(X, r)), WRITES(FLAG_STATUS)), INVALID)),
	[0x0f] = P66(BY_W(VEX(AVX, "vtestpd", 0, ARGS(V(X, r), X(X, r)), WRITES(FLAG_STATUS)), INVALID)),
	[0x13] = P66(BY_W(VEX(F16C, "vcvtph2ps", 0, ARGS(V(X, w), X(H, r))), INVALID)),
	[0x16] = AVX2_W0("vpermps", OP_VEX_L1, V(X, w), H(X, r), X(X, r)),
	[0x17] = P66(VEX(AVX, "vptest", 0, ARGS(V(X, r), X(X, r)), WRITES(FLAG_STATUS))),
	[0x18] = P66(BY_W(MOD(VEX(AVX, "vbroadcastss", 0, ARGS(V(X, w), M(D, r))), VEX(AVX2, "vbroadcastss", 0, ARGS(V(X, w), U(O, r)))), INVALID)),
	[0x19] = P66(BY_W(MOD(VEX(AVX, "vbroadcastsd", OP_VEX_L1, ARGS(V(X, w), M(Q, r))),
			      VEX(AVX2, "vbroadcastsd", OP_VEX_L1, ARGS(V(X, w), U(O, r)))), INVALID)),
	[0x1a] = AVX_W0("vbroadcastf128", OP_VEX_L1, V(X, w), M(O, r)),
	[0x1c] = INT_1("vpabsb"),
	[0x1d] = INT_1("vpabsw"),
	[0x1e] = INT_1("vpabsd"),
	[0x20] = EXTEND("vpmovsxbw", H),
	[0x21] = EXTEND("vpmovsxbd", 4TH),
	[0x22] = EXTEND("vpmovsxbq", 8TH),
	[0x23] = EXTEND("vpmovsxwd", H),
	[0x24] = EXTEND("vpmovsxwq", 4TH),
	[0x25] = EXTEND("vpmovsxdq", H),
	[0x28] = INT("vpmuldq"),
	[0x29] = INT("vpcmpeqq"),
	[0x2a] = P66(BY_L(VEX(AVX, "vmovntdqa", OP_ALIGNED, ARGS(V(X, w), M(X, r))),
			  VEX(AVX2, "vmovntdqa", OP_ALIGNED, ARGS(V(X, w), M(X, r))))),
	[0x2b] = INT("vpackusdw"),
	[0x2c] = P66(BY_W(MASK_LOAD(AVX, "vmaskmovps"), INVALID)),
	[0x2d] = P66(BY_W(MASK_LOAD(AVX, "vmaskmovpd"), INVALID)),
	[0x2e] = P66(BY_W(MASK_STORE(AVX, "vmaskmovps"), INVALID)),
	[0x2f] = P66(BY_W(MASK_STORE(AVX, "vmaskmovpd"), INVALID)),
	[0x30] = EXTEND("vpmovzxbw", H),
	[0x31] = EXTEND("vpmovzxbd", 4TH),
	[0x32] = EXTEND("vpmovzxbq", 8TH),
	[0x33] = EXTEND("vpmovzxwd", H),
	[0x34] = EXTEND("vpmovzxwq", 4TH),
	[0x35] = EXTEND("vpmovzxdq", H),
	[0x36] = AVX2_W0("vpermd", OP_VEX_L1, V(X, w), H(X, r), X(X, r)),
	[0x37] = INT("vpcmpgtq"),
	[0x38] = INT("vpminsb"),
	[0x39] = INT("vpminsd"),
	[0x3a] = INT("vpminuw"),
	[0x3b] = INT("vpminud"),
	[0x3c] = INT("vpmaxsb"),
	[0x3d] = INT("vpmaxsd"),
	[0x3e] = INT("vpmaxuw"),
	[0x3f] = INT("vpmaxud"),
	[0x40] = INT("vpmulld"),
	[0x41] = P66(VEX(AVX, "vphminposuw", OP_VEX_L0, ARGS(V(X, w), X(X, r)))),
	[0x45] = BY_ELEMENT(AVX2, "vpsrlv", "d", "q"),
	[0x46] = AVX2_W0("vpsravd", 0, V(X, w), H(X, r), X(X, r)),
	[0x47] = BY_ELEMENT(AVX2, "vpsllv", "d", "q"),
	[0x58] = AVX2_W0("vpbroadcastd", 0, V(X, w), X(D, r)),
	[0x59] = AVX2_W0("vpbroadcastq", 0, V(X, w), X(Q, r)),
	[0x5a] = AVX2_W0("vbroadcasti128", OP_VEX_L1, V(X, w), M(O, r)),
	[0x78] = AVX2_W0("vpbroadcastb", 0, V(X, w), X(B, r)),
	[0x79] = AVX2_W0("vpbroadcastw", 0, V(X, w), X(W, r)),
	[0x8c] = P66(BY_W(MASK_LOAD(AVX2, "vpmaskmovd"), MASK_LOAD(AVX2, "vpmaskmovq"))),
	[0x8e] = P66(BY_W(MASK_STORE(AVX2, "vpmaskmovd"), MASK_STORE(AVX2, "vpmaskmovq"))),
	[0x90] = GATHER("vpgatherd", "d", "q"),
	[0x91] = GATHER("vpgatherq", "d", "q"),
	[0x92] = GATHER("vgatherd", "ps", "pd"),
	[0x93] = GATHER("vgatherq", "ps", "pd"),
	[0x96] = FMA("vfmaddsub132"),
	[0x97] = FMA("vfmsubadd132"),
	[0x98] = FMA("vfmadd132"),
	[0x99] = FMA_1("vfmadd132"),
	[0x9a] = FMA("vfmsub132"),
	[0x9b] = FMA_1("vfmsub132"),
	[0x9c] = FMA("vfnmadd132"),
	[0x9d] = FMA_1("vfnmadd132"),
	[0x9e] = FMA("vfnmsub132"),
	[0x9f] = FMA_1("vfnmsub132"),
	[0xa6] = FMA("vfmaddsub213"),
	[0xa7] = FMA("vfmsubadd213"),
	[0xa8] = FMA("vfmadd213"),
	[0xa9] = FMA_1("vfmadd213"),
	[0xaa] = FMA("vfmsub213"),
	[0xab] = FMA_1("vfmsub213"),
	[0xac] = FMA("vfnmadd213"),
	[0xad] = FMA_1("vfnmadd213"),
	[0xae] = FMA("vfnmsub213"),
	[0xaf] = FMA_1("vfnmsub213"),
	[0xb6] = FMA("vfmaddsub231"),
	[0xb7] = FMA("vfmsubadd231"),
	[0xb8] = FMA("vfmadd231"),
	[0xb9] = FMA_1("vfmadd231"),
	[0xba] = FMA("vfmsub231"),
	[0xbb] = FMA_1("vfmsub231"),
	[0xbc] = FMA("vfnmadd231"),
	[0xbd] = FMA_1("vfnmadd231"),
	[0xbe] = FMA("vfnmsub231"),
	[0xbf] = FMA_1("vfnmsub231"),
	[0xdb] = AES("vaesimc", V(X, w), X(X, r)),
	[0xdc] = AES("vaesenc", V(X, w), H(X, r), X(X, r)),
	[0xdd] = AES("vaesenclast", V(X, w), H(X, r), X(X, r)),
	[0xde] = AES("vaesdec", V(X, w), H(X, r), X(X, r)),
	[0xdf] = AES("vaesdeclast", V(X, w), H(X, r), X(X, r)),
	[0xf2] = NP(VEX_GPR(BMI1, "andn", ARGS(G(Y, w), B(Y, r), E(Y, r)), FLAGS_BLS)),
	[0xf3] = GROUP(INVALID, NP(VEX_GPR(BMI1, "blsr", ARGS(B(Y, w), E(Y, r)), FLAGS_BLS)),
		       NP(VEX_GPR(BMI1, "blsmsk", ARGS(B(Y, w), E(Y, r)), FLAGS_BLS)),
		       NP(VEX_GPR(BMI1, "blsi", ARGS(B(Y, w), E(Y, r)), FLAGS_BLS)),
		       INVALID, INVALID, INVALID, INVALID),
	[0xf5] = PREFIX(VEX_GPR(BMI2, "bzhi", ARGS(G(Y, w), E(Y, r), B(Y, r)), FLAGS_BLS), INVALID,
			VEX_GPR(BMI2, "pext", ARGS(G(Y, w), B(Y, r), E(Y, r))),
			VEX_GPR(BMI2, "pdep", ARGS(G(Y, w), B(Y, r), E(Y, r)))),
	[0xf6] = PF2(VEX_GPR(BMI2, "mulx", ARGS(G(Y, w), B(Y, w), E(Y, r), F(2, Y, r)))),
	[0xf7] = PREFIX(VEX_GPR(BMI1, "bextr", ARGS(G(Y, w), E(Y, r), B(Y, r)), WRITES(FLAG_ZF | FLAG_CF | FLAG_OF),
				UNDEF(FLAG_AF | FLAG_SF | FLAG_PF)),
			VEX_GPR(BMI2, "shlx", ARGS(G(Y, w), E(Y, r), B(Y, r))),
			VEX_GPR(BMI2, "sarx", ARGS(G(Y, w), E(Y, r), B(Y, r))),
			VEX_GPR(BMI2, "shrx", ARGS(G(Y, w), E(Y, r), B(Y, r)))),
};

#define UNARY_IMM(text)  P66(VEX(AVX, text, 0, ARGS(V(X, w), X(X, r), I(B))))
#define BINARY_IMM(text) P66(VEX(AVX, text, 0, ARGS(V(X, w), H(X, r), X(X, r), I(B))))
#define INT_IMM(text)    P66(VEX_INT(text, V(X, w), H(X, r), X(X, r), I(B)))
#define SCALAR_IMM(text, s) P66(VEX(AVX, text, 0, ARGS(V(X, w), H(X, r), X(s, r), I(B))))
#define COMPARE_STRING(text) P66(VEX(AVX, text, OP_VEX_L0, ARGS(V(X, r), X(X, r), I(B)), WRITES(FLAG_STATUS)))
#define FIND_STRING(text)    P66(VEX(AVX, text, OP_VEX_L0, ARGS(V(X, r), X(X, r), I(B), F(1, D, w)), WRITES(FLAG_STATUS)))

const struct node opcodes_vex_0f3a[256] = {
	[0x00] = AVX2_W1("vpermq", OP_VEX_L1, V(X, w), X(X, r), I(B)),
	[0x01] = AVX2_W1("vpermpd", OP_VEX_L1, V(X, w), X(X, r), I(B)),
	[0x02] = AVX2_W0("vpblendd", 0, V(X, w), H(X, r), X(X, r), I(B)),
	[0x04] = AVX_W0("vpermilps", 0, V(X, w), X(X, r), I(B)),
	[0x05] = AVX_W0("vpermilpd", 0, V(X, w), X(X, r), I(B)),
	[0x06] = AVX_W0("vperm2f128", OP_VEX_L1, V(X, w), H(X, r), X(X, r), I(B)),
	[0x08] = UNARY_IMM("vroundps"),
	[0x09] = UNARY_IMM("vroundpd"),
	[0x0a] = SCALAR_IMM("vroundss", D),
	[0x0b] = SCALAR_IMM("vroundsd", Q),
	[0x0c] = BINARY_IMM("vblendps"),
	[0x0d] = BINARY_IMM("vblendpd"),
	[0x0e] = INT_IMM("vpblendw"),
	[0x0f] = INT_IMM("vpalignr"),
	[0x14] = P66(MOD(VEX(AVX, "vpextrb", OP_VEX_L0, ARGS(M(B, w), V(X, r), I(B))), VEX(AVX, "vpextrb", OP_VEX_L0, ARGS(R(D, w), V(X, r), I(B))))),
	[0x15] = P66(MOD(VEX(AVX, "vpextrw", OP_VEX_L0, ARGS(M(W, w), V(X, r), I(B))), VEX(AVX, "vpextrw", OP_VEX_L0, ARGS(R(D, w), V(X, r), I(B))))),
	[0x16] = P66(VEX(AVX, "vpextrd", OP_VEX_L0, ARGS(E(Y, w), V(X, r), I(B)))),
	[0x17] = P66(VEX(AVX, "vextractps", OP_VEX_L0, ARGS(E(D, w), V(X, r), I(B)))),
	[0x18] = AVX_W0("vinsertf128", OP_VEX_L1, V(X, w), H(X, r), X(O, r), I(B)),
	[0x19] = AVX_W0("vextractf128", OP_VEX_L1, X(O, w), V(X, r), I(B)),
	[0x1d] = P66(BY_W(VEX(F16C, "vcvtps2ph", 0, ARGS(X(H, w), V(X, r), I(B))), INVALID)),
	[0x20] = P66(MOD(VEX(AVX, "vpinsrb", OP_VEX_L0, ARGS(V(X, w), H(X, r), M(B, r), I(B))),
			 VEX(AVX, "vpinsrb", OP_VEX_L0, ARGS(V(X, w), H(X, r), R(D, r), I(B))))),
	[0x21] = P66(VEX(AVX, "vinsertps", OP_VEX_L0, ARGS(V(X, w), H(X, r), X(D, r), I(B)))),
	[0x22] = P66(VEX(AVX, "vpinsrd", OP_VEX_L0, ARGS(V(X, w), H(X, r), E(Y, r), I(B)))),
	[0x38] = AVX2_W0("vinserti128", OP_VEX_L1, V(X, w), H(X, r), X(O, r), I(B)),
	[0x39] = AVX2_W0("vextracti128", OP_VEX_L1, X(O, w), V(X, r), I(B)),
	[0x40] = BINARY_IMM("vdpps"),
	[0x41] = P66(VEX(AVX, "vdppd", OP_VEX_L0, ARGS(V(X, w), H(X, r), X(X, r), I(B)))),
	[0x42] = INT_IMM("vmpsadbw"),
	[0x44] = P66(VEX(PCLMULQDQ, "vpclmulqdq", OP_VEX_L0, ARGS(V(X, w), H(X, r), X(X, r), I(B)))),
	[0x46] = AVX2_W0("vperm2i128", OP_VEX_L1, V(X, w), H(X, r), X(X, r), I(B)),
	[0x4a] = AVX_W0("vblendvps", 0, V(X, w), H(X, r), X(X, r), L(X)),
	[0x4b] = AVX_W0("vblendvpd", 0, V(X, w), H(X, r), X(X, r), L(X)),
	[0x4c] = P66(BY_W(VEX_INT("vpblendvb", V(X, w), H(X, r), X(X, r), L(X)), INVALID)),
	[0x60] = COMPARE_STRING("vpcmpestrm"),
	[0x61] = FIND_STRING("vpcmpestri"),
	[0x62] = COMPARE_STRING("vpcmpistrm"),
	[0x63] = FIND_STRING("vpcmpistri"),
	[0xdf] = AES("vaeskeygenassist", V(X, w), X(X, r), I(B)),
	[0xf0] = PF2(VEX_GPR(BMI2, "rorx", ARGS(G(Y, w), E(Y, r), I(B)))),
};
