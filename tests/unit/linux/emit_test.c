/* SPDX-License-Identifier: BSD-2-Clause */
/* What the emitters write, taken apart again by our own decoder or compared with the assembler's
 * bytes. */
#include "test.h"

#include <stdint.h>
#include <string.h>

#include "engines/translate/emit.h"

static uint8_t code[256] __attribute__((aligned(64)));

/* Starts an emission; DONE compares with bytes. */
#define EMIT(call)                                                                                 \
	do {                                                                                       \
		struct emit emit = {code};                                                         \
		memset(code, 0xcc, sizeof(code));                                                  \
		call;                                                                              \
		size = (unsigned)(emit.at - code);                                                 \
	} while (0)

#define EXPECT_CODE(...)                                                                           \
	do {                                                                                       \
		static const uint8_t expected[] = {__VA_ARGS__};                                   \
		EXPECT_EQ(size, sizeof(expected));                                                 \
		EXPECT_MEM(code, expected, sizeof(expected));                                      \
	} while (0)

TEST(registers_and_constants)
{
	unsigned size;

	EMIT(emit_move(&emit, R15, RAX));
	EXPECT_CODE(0x4c, 0x8b, 0xf8);
	EMIT(emit_registers(&emit, EMIT_XOR, 4, RCX, RDX));
	EXPECT_CODE(0x33, 0xca);
	EMIT(emit_group(&emit, GROUP_CMP, 8, R14, 4088));
	EXPECT_CODE(0x49, 0x81, 0xfe, 0xf8, 0x0f, 0, 0);
	EMIT(emit_group(&emit, GROUP_AND, 8, R14, -4));
	EXPECT_CODE(0x49, 0x83, 0xe6, 0xfc);
	EMIT(emit_shift(&emit, GROUP_SHR, 8, R15, 7));
	EXPECT_CODE(0x49, 0xc1, 0xef, 7);
	EMIT(emit_rotate(&emit, R10, RBX, 31));
	EXPECT_CODE(0xc4, 0x63, 0xfb, 0xf0, 0xd3, 31);
	EMIT(emit_rotate(&emit, RAX, R13, 7));
	EXPECT_CODE(0xc4, 0xc3, 0xfb, 0xf0, 0xc5, 7);
	EMIT(emit_constant(&emit, R14, 0x12345678));
	EXPECT_CODE(0x41, 0xbe, 0x78, 0x56, 0x34, 0x12);
	EMIT(emit_constant(&emit, RAX, (uint64_t)-2));
	EXPECT_CODE(0x48, 0xc7, 0xc0, 0xfe, 0xff, 0xff, 0xff);
	EMIT(emit_constant(&emit, R9, 0x1122334455667788));
	EXPECT_CODE(0x49, 0xb9, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11);
}

TEST(struct_cpu_is_reached_by_gs)
{
	unsigned size;

	EMIT(emit_cpu(&emit, EMIT_LOAD, 8, R14, 0x90));
	EXPECT_CODE(0x65, 0x4c, 0x8b, 0x34, 0x25, 0x90, 0, 0, 0);
	EMIT(emit_cpu(&emit, EMIT_STORE, 2, RAX, 0x98));
	EXPECT_CODE(0x65, 0x66, 0x89, 0x04, 0x25, 0x98, 0, 0, 0);
	EMIT(emit_cpu_indexed(&emit, EMIT_XOR, R14, R15, 0x1000));
	EXPECT_CODE(0x65, 0x4d, 0x33, 0xb7, 0, 0x10, 0, 0);
	EMIT(emit_cpu_jump(&emit, false, R15, 0x2008));
	EXPECT_CODE(0x65, 0x41, 0xff, 0xa7, 0x08, 0x20, 0, 0);
	EMIT(emit_cpu_test32(&emit, 0xa0));
	EXPECT_CODE(0x65, 0x83, 0x3c, 0x25, 0xa0, 0, 0, 0, 0);
	EMIT(emit_cpu_compare8(&emit, 0x9a, 3));
	EXPECT_CODE(0x65, 0x80, 0x3c, 0x25, 0x9a, 0, 0, 0, 3);
	EMIT(emit_cpu_group32(&emit, GROUP_AND, 0xa8, 0xfffffdff));
	EXPECT_CODE(0x65, 0x81, 0x24, 0x25, 0xa8, 0, 0, 0, 0xff, 0xfd, 0xff, 0xff);
}

/* Every base, index, scale and displacement comes out of the decoder as it went in. */
TEST(addresses_decode_to_what_they_were)
{
	static const int32_t displacements[] = {0, 1, -128, 127, 128, -129, 0x12345678, INT32_MIN};
	static const unsigned sizes[] = {2, 4, 8};

	for (unsigned base = 0; base <= 16; base++) {
		for (unsigned index = 0; index <= 16; index++) {
			for (unsigned i = 0; i < 8 * 4 * 3; i++) {
				unsigned scale = 1u << i / 8 % 4, size = sizes[i / 32];
				unsigned b = base == 16 ? INSN_NO_REGISTER : base,
					 x = index == 16 ? INSN_NO_REGISTER : index;
				struct emit emit = {code};
				struct insn insn;

				if (x == RSP)
					continue;
				emit_memory(&emit, EMIT_LEA, size, (base + index) & 15, b, x, scale,
					    displacements[i % 8]);
				REQUIRE(insn_decode(&insn, code, 15, CODE_64) == DECODE_OK);
				EXPECT_EQ(insn.length, emit.at - code);
				EXPECT_EQ(insn.operand_size, size);
				EXPECT_EQ(insn.reg, (base + index) & 15);
				EXPECT_EQ(insn.base, b);
				EXPECT_EQ(insn.index, x);
				EXPECT_EQ(insn.displacement, displacements[i % 8]);
				if (x != INSN_NO_REGISTER)
					EXPECT_EQ(insn.scale, scale);
			}
		}
	}
}

/* An open jump is closed over any distance; an aligned one has its displacement at a multiple of 4.
 */
TEST(jumps_lead_where_they_should)
{
	for (unsigned skew = 0; skew < 16; skew++) {
		struct emit emit = {code + skew};
		struct insn insn;
		uint8_t *place = emit_jcc_open(&emit, CONDITION_NZ, true);

		EXPECT_EQ((uintptr_t)place & 3, 0);
		EXPECT_EQ(place + 4, emit.at);
		emit_close(place, code + 200);
		REQUIRE(insn_decode(&insn, place - 2, 6, CODE_64) == DECODE_OK);
		EXPECT_EQ(insn.immediate, code + 200 - emit.at);
		place = emit_jump_open(&emit, true);
		EXPECT_EQ((uintptr_t)place & 3, 0);
		emit_patchable(&emit);
		EXPECT_EQ((uintptr_t)(emit.at - 5) & 7, 0);
		emit.at[0] = 0x5a;
		emit_patch(emit.at - 5, 0xe8, code);
		EXPECT_EQ(emit.at[0], 0x5a);
		REQUIRE(insn_decode(&insn, emit.at - 5, 5, CODE_64) == DECODE_OK);
		EXPECT_EQ(insn.opcode, 0xe8);
		EXPECT_EQ(insn.immediate, code - emit.at);
	}
}

TEST(nops_of_every_length_decode)
{
	for (unsigned skew = 1; skew < 16; skew++) {
		struct emit emit = {code + skew};
		unsigned at = skew;

		memset(code, 0xcc, sizeof(code));
		emit_align(&emit, 16);
		EXPECT_EQ(emit.at - code, 16);
		while (at < 16) {
			struct insn insn;

			REQUIRE(insn_decode(&insn, code + at, 16 - at, CODE_64) == DECODE_OK);
			EXPECT_STR(insn.op->name, "nop");
			at += insn.length;
		}
		EXPECT_EQ(at, 16);
	}
}
