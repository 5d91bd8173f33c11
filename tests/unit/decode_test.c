/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * insn_decode and what insn.c says about an instruction: chosen cases. (linux/decode_zydis_test.c
 * goes through all of the opcode maps.)
 */
#include <stddef.h>

#include "test.h"
#include "x86/features.h"
#include "x86/handlers.h"
#include "x86/insn.h"

#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

static struct insn decode(enum code_size size, const uint8_t *bytes, unsigned count)
{
	struct insn insn;

	REQUIRE(insn_decode(&insn, bytes, count, size) == DECODE_OK);
	EXPECT_EQ(insn.length, count);
	return insn;
}

static enum decode_result result(enum code_size size, const uint8_t *bytes, unsigned count)
{
	struct insn insn;

	return insn_decode(&insn, bytes, count, size);
}

TEST(memory_operand_in_64_bit_code)
{
	/* mov rax, fs:[r12 + r9*4 - 0x80] */
	struct insn insn = decode(CODE_64, BYTES(0x64, 0x4b, 0x8b, 0x44, 0x8c, 0x80));

	EXPECT_STR(insn.op->name, "mov");
	EXPECT_EQ(insn.op->class, CLASS_COPY);
	EXPECT(insn.memory);
	EXPECT_EQ(insn.segment, SEGMENT_FS);
	EXPECT(insn.segment_override);
	EXPECT_EQ(insn.base, 12);
	EXPECT_EQ(insn.index, 9);
	EXPECT_EQ(insn.scale, 4);
	EXPECT_EQ(insn.displacement, -0x80);
	EXPECT_EQ(insn.operand_size, 8);
	EXPECT_EQ(insn.address_size, 8);
	EXPECT_EQ(insn_memory_size(&insn), 8);
	EXPECT_EQ(insn_memory_access(&insn), ACCESS_READ);
}

TEST(rip_relative_and_absolute_addresses)
{
	struct insn insn = decode(CODE_64, BYTES(0x01, 0x05, 0xfe, 0xff, 0xff, 0xff));

	EXPECT_EQ(insn.base, INSN_RIP);
	EXPECT_EQ(insn.displacement, -2);
	EXPECT_EQ(insn_memory_access(&insn), ACCESS_READ | ACCESS_WRITE);
	insn = decode(CODE_32, BYTES(0x01, 0x05, 0xfe, 0xff, 0xff, 0xff));
	EXPECT_EQ(insn.base, INSN_NO_REGISTER);
	insn = decode(CODE_64, BYTES(0xa1, 1, 2, 3, 4, 5, 6, 7, 0x88));
	EXPECT_EQ((uint64_t)insn.displacement, 0x8807060504030201);
	EXPECT_EQ(insn_memory_size(&insn), 4);
	insn = decode(CODE_16, BYTES(0xa2, 0xfe, 0xff));
	EXPECT_EQ(insn.displacement, 0xfffe);
	EXPECT_EQ(insn_memory_access(&insn), ACCESS_WRITE);
}

TEST(sixteen_bit_addresses)
{
	struct insn insn = decode(CODE_16, BYTES(0x8b, 0x42, 0xff)); /* mov ax, [bp+si-1] */

	EXPECT_EQ(insn.base, 5);
	EXPECT_EQ(insn.index, 6);
	EXPECT_EQ(insn.segment, SEGMENT_SS);
	EXPECT_EQ(insn.displacement, -1);
	EXPECT_EQ(insn.operand_size, 2);
	insn = decode(CODE_16, BYTES(0x66, 0x8b, 0x0e, 0x34, 0x12)); /* mov ecx, [0x1234] */
	EXPECT_EQ(insn.base, INSN_NO_REGISTER);
	EXPECT_EQ(insn.displacement, 0x1234);
	EXPECT_EQ(insn.operand_size, 4);
	EXPECT_EQ(insn.segment, SEGMENT_DS);
	insn = decode(CODE_32, BYTES(0x67, 0x8b, 0x07)); /* mov eax, [bx] */
	EXPECT_EQ(insn.base, 3);
	EXPECT_EQ(insn.address_size, 2);
}

TEST(prefixes_in_any_order)
{
	/* A REX prefix that does not come last is ignored; so are data segments in 64-bit code. */
	struct insn insn = decode(CODE_64, BYTES(0x48, 0x65, 0x3e, 0x8b, 0x00));

	EXPECT_EQ(insn.operand_size, 4);
	EXPECT_EQ(insn.segment, SEGMENT_GS);
	EXPECT_EQ(result(CODE_64, BYTES(0xf0, 0x8b, 0x00)), DECODE_INVALID); /* lock mov */
	EXPECT_EQ(result(CODE_64, BYTES(0xf0, 0x01, 0xc0)), DECODE_INVALID); /* lock add eax, eax */
	EXPECT_EQ(result(CODE_64, BYTES(0xf0, 0x39, 0x00)), DECODE_INVALID); /* lock cmp */
	EXPECT(decode(CODE_64, BYTES(0xf0, 0x01, 0x00)).lock);
	insn = decode(CODE_64, BYTES(0xf2, 0xf3, 0xa4));
	EXPECT_EQ(insn.rep, 0xf3);
	EXPECT(insn.op->attributes & OP_REPEATABLE);
	insn = decode(CODE_64, BYTES(0xf3, 0x0f, 0x58, 0xc1)); /* addss */
	EXPECT_EQ(insn.rep, 0);
	EXPECT_EQ(insn.mandatory, 0xf3);
	EXPECT_EQ(insn_memory_size(&insn), 0);
}

TEST(immediates)
{
	EXPECT_EQ(decode(CODE_64, BYTES(0x48, 0x83, 0xc0, 0x80)).immediate, -128);
	EXPECT_EQ(decode(CODE_64, BYTES(0x48, 0x05, 0, 0, 0, 0x80)).immediate, -0x80000000ll);
	EXPECT_EQ(decode(CODE_64, BYTES(0x48, 0xb8, 1, 0, 0, 0, 0, 0, 0, 0x80)).immediate,
		  (int64_t)0x8000000000000001);
	EXPECT_EQ(decode(CODE_16, BYTES(0x05, 0, 0x80)).immediate, -0x8000);
	EXPECT_EQ(decode(CODE_64, BYTES(0x66, 0xe8, 0xfb, 0xff, 0xff, 0xff)).immediate, -5);
	EXPECT_EQ(decode(CODE_32, BYTES(0x66, 0xe8, 0xfb, 0xff)).immediate, -5);
	struct insn insn = decode(CODE_32, BYTES(0xea, 1, 2, 3, 4, 8, 0));
	EXPECT_EQ(insn.immediate, 0x04030201);
	EXPECT_EQ(insn.immediate2, 8);
	insn = decode(CODE_64, BYTES(0xc8, 0x10, 0x00, 0x02));
	EXPECT_EQ(insn.immediate, 0x10);
	EXPECT_EQ(insn.immediate2, 2);
}

TEST(bytes_that_are_missing_are_asked_for)
{
	/* lock add qword fs:[eax+ebx*8+0x11223344], imm32, and vpermq: any shorter is not enough.
	 */
	static const uint8_t add[] = {0xf0, 0x64, 0x67, 0x48, 0x81, 0x84, 0xd8, 0x44,
				      0x33, 0x22, 0x11, 1,    2,    3,	  4};
	static const uint8_t permute[] = {0xc4, 0xe3, 0xfd, 0x00, 0x04, 0x25, 1, 2, 3, 4, 5};

	EXPECT_EQ(result(CODE_64, add, 0), DECODE_MORE);
	for (unsigned i = 1; i < sizeof(add); i++) {
		uint8_t some[sizeof(add)]; /* at the very end of the array, for the sanitizer */

		for (unsigned j = 0; j < i; j++)
			some[sizeof(add) - i + j] = add[j];
		EXPECT_EQ(result(CODE_64, some + sizeof(add) - i, i), DECODE_MORE);
	}
	decode(CODE_64, add, sizeof(add));
	for (unsigned i = 1; i < sizeof(permute); i++) {
		uint8_t some[sizeof(permute)];

		for (unsigned j = 0; j < i; j++)
			some[sizeof(permute) - i + j] = permute[j];
		EXPECT_EQ(result(CODE_64, some + sizeof(permute) - i, i), DECODE_MORE);
	}
	decode(CODE_64, permute, sizeof(permute));
}

TEST(no_instruction_is_longer_than_15_bytes)
{
	uint8_t bytes[32];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = 0x66;
	EXPECT_EQ(result(CODE_64, bytes, 14), DECODE_MORE);
	EXPECT_EQ(result(CODE_64, bytes, 15), DECODE_TOO_LONG);
	EXPECT_EQ(result(CODE_64, bytes, 32), DECODE_TOO_LONG);
	bytes[14] = 0x90;
	EXPECT_EQ(result(CODE_64, bytes, 32), DECODE_OK);
	bytes[13] = 0x05; /* add ax, imm16 */
	EXPECT_EQ(result(CODE_64, bytes, 32), DECODE_TOO_LONG);
}

TEST(classes_and_handlers)
{
	EXPECT_EQ(decode(CODE_64, BYTES(0x74, 0x00)).op->handler, HANDLER_JCC);
	EXPECT_EQ(decode(CODE_64, BYTES(0x74, 0x00)).op->class, CLASS_BRANCH);
	EXPECT_EQ(decode(CODE_64, BYTES(0x0f, 0x05)).op->handler, HANDLER_SYSCALL);
	EXPECT_EQ(decode(CODE_64, BYTES(0x0f, 0x22, 0xd8)).op->class, CLASS_END);
	EXPECT_EQ(decode(CODE_64, BYTES(0x0f, 0xa3, 0x00)).op->handler, HANDLER_BIT_STRING);
	EXPECT_EQ(decode(CODE_64, BYTES(0x0f, 0xa3, 0xc0)).op->class, CLASS_COPY);
	EXPECT_EQ(decode(CODE_64, BYTES(0x90)).op->handler, HANDLER_NOP);
	EXPECT_EQ(decode(CODE_64, BYTES(0x66, 0x90)).op->handler, HANDLER_NOP);
	EXPECT_EQ(decode(CODE_64, BYTES(0xf3, 0x90)).op->handler, HANDLER_PAUSE);
	EXPECT_EQ(decode(CODE_64, BYTES(0x41, 0x90)).op->class, CLASS_COPY); /* xchg r8d, eax */
	EXPECT_EQ(decode(CODE_64, BYTES(0xf3, 0x0f, 0x1e, 0xfa)).op->handler, HANDLER_NOP);
	EXPECT_EQ(decode(CODE_32, BYTES(0xc4, 0x00)).op->handler, HANDLER_LOAD_FAR_POINTER);
	EXPECT_EQ(decode(CODE_64, BYTES(0xc5, 0xf8, 0x77)).op->class, CLASS_COPY);
	EXPECT_EQ(decode(CODE_64, BYTES(0xc4, 0xe2, 0x69, 0x92, 0x04, 0x08)).op->handler,
		  HANDLER_GATHER);
}

TEST(what_does_not_exist_is_invalid)
{
	EXPECT_EQ(result(CODE_64, BYTES(0x06)), DECODE_INVALID);	     /* push es */
	EXPECT_EQ(result(CODE_64, BYTES(0x0f, 0x22, 0xc8)), DECODE_INVALID); /* mov cr1 */
	EXPECT_EQ(result(CODE_64, BYTES(0x8e, 0xc8)), DECODE_INVALID);	     /* mov cs */
	EXPECT_EQ(result(CODE_64, BYTES(0x8d, 0xc0)), DECODE_INVALID);	     /* lea reg */
	EXPECT_EQ(result(CODE_64, BYTES(0x0f, 0x01, 0xc1)), DECODE_INVALID); /* vmcall */
	EXPECT_EQ(result(CODE_64, BYTES(0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc0)), DECODE_INVALID);
	EXPECT_EQ(result(CODE_64, BYTES(0x66, 0xc5, 0xf8, 0x58, 0xc0)), DECODE_INVALID);
	EXPECT_EQ(result(CODE_64, BYTES(0xc5, 0x80, 0x10, 0xc0)), DECODE_INVALID); /* vvvv */
	/* A gather whose mask is its destination. */
	EXPECT_EQ(result(CODE_64, BYTES(0xc4, 0xe2, 0x79, 0x92, 0x04, 0x08)), DECODE_INVALID);
}

static void expect_flags(const struct insn *insn, unsigned killed, unsigned undefined, int line)
{
	if (insn_flags_killed(insn) != killed || insn_flags_undefined(insn) != undefined)
		FAIL("line %d: %s kills %x, leaves %x undefined", line, insn->op->name,
		     insn_flags_killed(insn), insn_flags_undefined(insn));
}

#define FLAGS(killed, undefined, ...)                                                              \
	do {                                                                                       \
		struct insn insn_ = decode(CODE_64, BYTES(__VA_ARGS__));                           \
		expect_flags(&insn_, killed, undefined, __LINE__);                                 \
	} while (0)

TEST(flags_of_shifts_depend_on_the_count)
{
	const unsigned all = FLAG_STATUS, rotate = FLAG_CF | FLAG_OF;

	FLAGS(all, 0, 0x01, 0xc0);				/* add */
	FLAGS(all, FLAG_AF, 0xd1, 0xe0);			/* shl eax, 1 */
	FLAGS(all, FLAG_AF, 0xc1, 0xe0, 1);			/* shl eax, 1 */
	FLAGS(all, FLAG_AF | FLAG_OF, 0xc1, 0xe0, 2);		/* shl eax, 2 */
	FLAGS(0, 0, 0xc1, 0xe0, 32);				/* shl eax, 32: by 0 */
	FLAGS(all, FLAG_AF | FLAG_OF, 0x48, 0xc1, 0xe0, 32);	/* shl rax, 32 */
	FLAGS(0, 0, 0x48, 0xc1, 0xe0, 64);			/* shl rax, 64: by 0 */
	FLAGS(0, FLAG_AF | FLAG_OF, 0xd3, 0xe0);		/* shl eax, cl */
	FLAGS(0, FLAG_AF | FLAG_OF | FLAG_CF, 0xd2, 0xe0);	/* shl al, cl */
	FLAGS(all, FLAG_AF | FLAG_OF | FLAG_CF, 0xc0, 0xe0, 9); /* shl al, 9 */
	FLAGS(all, FLAG_AF | FLAG_OF, 0xc0, 0xf8, 9);		/* sar al, 9 */
	FLAGS(rotate, 0, 0xd1, 0xc0);				/* rol eax, 1 */
	FLAGS(rotate, FLAG_OF, 0xc1, 0xc0, 3);			/* rol eax, 3 */
	FLAGS(FLAG_OF, FLAG_OF, 0xc0, 0xd0, 9);			/* rcl al, 9 */
	FLAGS(all, FLAG_AF | FLAG_OF, 0x0f, 0xa4, 0xc0, 4);	/* shld */
	FLAGS(0, 0, 0x0f, 0xa4, 0xc0, 0x20);			/* shld by 0 */
	FLAGS(all, all, 0x66, 0x0f, 0xa4, 0xc0, 17);		/* shld ax, ax, 17 */
}

TEST(flags_of_repeated_compares_may_stay)
{
	FLAGS(FLAG_STATUS, 0, 0xa6);
	FLAGS(0, 0, 0xf3, 0xa6);
	FLAGS(0, 0, 0xf2, 0xae);
	FLAGS(0, 0, 0xf3, 0xa4);
	FLAGS(FLAG_STATUS & ~FLAG_CF, 0, 0xff, 0xc0);	 /* inc */
	FLAGS(FLAG_CF, 0, 0x66, 0x0f, 0x38, 0xf6, 0xc0); /* adcx */
	FLAGS(FLAG_STATUS, FLAG_STATUS & ~FLAG_ZF, 0x0f, 0xbc, 0xc0);
	FLAGS(0, 0, 0x89, 0xc0);
	struct insn cmovbe = decode(CODE_64, BYTES(0x0f, 0x46, 0xc0));
	EXPECT_EQ(insn_flags_read(&cmovbe), FLAG_CF | FLAG_ZF);
	struct insn rcl_0 = decode(CODE_64, BYTES(0xc1, 0xd0, 0));
	EXPECT_EQ(insn_flags_read(&rcl_0), 0);
}

TEST(without_its_feature_tzcnt_is_bsf)
{
	struct insn insn = decode(CODE_64, BYTES(0xf3, 0x48, 0x0f, 0xbc, 0xc1));

	EXPECT_STR(insn.op->name, "tzcnt");
	EXPECT_EQ(insn.op->feature, FEATURE_BMI1);
	EXPECT(insn_fall_back(&insn));
	EXPECT_STR(insn.op->name, "bsf");
	EXPECT_EQ(insn.mandatory, 0);
	EXPECT_EQ(insn.operand_size, 8);
	insn = decode(CODE_64, BYTES(0xf3, 0x0f, 0xb8, 0xc1)); /* popcnt */
	EXPECT(!insn_fall_back(&insn));
}

TEST(memory_sizes)
{
	struct insn insn = decode(CODE_64, BYTES(0x48, 0x0f, 0xc7, 0x08));

	EXPECT_STR(insn.op->name, "cmpxchg16b");
	EXPECT_EQ(insn_memory_size(&insn), 16);
	insn = decode(CODE_64, BYTES(0xc5, 0xfc, 0x10, 0x00)); /* vmovups ymm0 */
	EXPECT_EQ(insn_memory_size(&insn), 32);
	insn = decode(CODE_64, BYTES(0xdb, 0x28)); /* fld m80 */
	EXPECT_EQ(insn_memory_size(&insn), 10);
	insn = decode(CODE_64, BYTES(0x0f, 0x01, 0x10)); /* lgdt */
	EXPECT_EQ(insn_memory_size(&insn), 10);
	insn = decode(CODE_64, BYTES(0x0f, 0x18, 0x08)); /* prefetcht0 */
	EXPECT_EQ(insn_memory_size(&insn), 0);
	EXPECT_EQ(insn_memory_access(&insn), 0);
	insn = decode(CODE_64, BYTES(0xc4, 0xe2, 0xe9, 0x93, 0x04, 0x08)); /* vgatherqpd */
	EXPECT_EQ(insn_element_size(&insn), 8);
	EXPECT_EQ(insn_index_size(&insn), 8);
	insn = decode(CODE_64, BYTES(0xc4, 0xe2, 0x69, 0x2f, 0x00)); /* vmaskmovpd store */
	EXPECT_EQ(insn_element_size(&insn), 8);
	EXPECT_EQ(insn_memory_access(&insn), ACCESS_WRITE);
}

TEST(high_bits_of_registers)
{
	struct insn insn = decode(CODE_64, BYTES(0x4d, 0x01, 0xc7)); /* add r15, r8 */

	EXPECT_EQ(insn.rm, 15);
	EXPECT_EQ(insn.reg, 8);
	insn = decode(CODE_64, BYTES(0x41, 0x57)); /* push r15 */
	EXPECT_EQ(insn.rm, 15);
	EXPECT_EQ(insn.operand_size, 8);
	insn = decode(CODE_64, BYTES(0xc4, 0x42, 0x80, 0xf2, 0xc8)); /* andn r9, r15, r8 */
	EXPECT_EQ(insn.reg, 9);
	EXPECT_EQ(insn.vvvv, 15);
	EXPECT_EQ(insn.rm, 8);
	insn = decode(CODE_64, BYTES(0x44, 0x0f, 0x22, 0xc0)); /* mov cr8, rax */
	EXPECT_EQ(insn.reg, 8);
	insn = decode(CODE_64, BYTES(0x44, 0x8e, 0xd8)); /* mov ds, eax: REX.R means nothing */
	EXPECT_EQ(insn.reg, SEGMENT_DS);
}
