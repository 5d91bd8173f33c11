/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * insn_encode: some encodings byte by byte, and every instruction that can be copied there and
 * back: encoded with other registers and decoded again, it must be the same instruction with those.
 */
#include <stddef.h>

#include "test.h"
#include "x86/insn.h"

static const uint8_t identity[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
/* As the translator has it: rsp in r13, so that r13, r14, r15 live elsewhere. */
static const uint8_t translator[16] = {0, 1, 2, 3, 13, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 14};
/* Everything moves, within the high bytes too. */
static const uint8_t permuted[16] = {2, 3, 1, 0, 12, 8, 15, 5, 4, 13, 6, 7, 10, 9, 11, 14};

static unsigned encode(uint8_t *out, enum code_size size, const uint8_t rename[16], unsigned base,
		       const uint8_t *bytes, unsigned count)
{
	struct insn insn;

	if (!EXPECT_EQ(insn_decode(&insn, bytes, count, size), DECODE_OK))
		return 0;
	EXPECT_EQ(insn.length, count);
	EXPECT_EQ(insn.op->class, CLASS_COPY);
	return insn_encode(&insn, out, rename, base);
}

#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

static void expect_encoded(int line, enum code_size size, const uint8_t rename[16], unsigned base,
			   const uint8_t *in, unsigned in_count, const uint8_t *out,
			   unsigned out_count)
{
	uint8_t bytes[16];
	unsigned count = encode(bytes, size, rename, base, in, in_count);

	if (count != out_count)
		FAIL("line %d: %u bytes instead of %u", line, count, out_count);
	else
		EXPECT_MEM(bytes, out, count);
}

#define IS(size, rename, base, in, out) expect_encoded(__LINE__, size, rename, base, in, out)

TEST(memory_operands_become_the_base_register)
{
	/* mov rax, [rsp+8] -> mov rax, [r14] */
	IS(CODE_64, identity, 14, BYTES(0x48, 0x8b, 0x44, 0x24, 0x08), BYTES(0x49, 0x8b, 0x06));
	/* add gs:[rip+0x10], ecx -> add [rbx], ecx */
	IS(CODE_64, identity, 3, BYTES(0x65, 0x01, 0x0d, 0x10, 0, 0, 0), BYTES(0x01, 0x0b));
	/* rsp and r12 need a SIB byte, rbp and r13 a displacement */
	IS(CODE_64, identity, 12, BYTES(0x8b, 0x01), BYTES(0x41, 0x8b, 0x04, 0x24));
	IS(CODE_64, identity, 4, BYTES(0x8b, 0x01), BYTES(0x8b, 0x04, 0x24));
	IS(CODE_64, identity, 13, BYTES(0x8b, 0x01), BYTES(0x41, 0x8b, 0x45, 0x00));
	IS(CODE_64, identity, 5, BYTES(0x8b, 0x01), BYTES(0x8b, 0x45, 0x00));
	/* lock cmpxchg [rdi], esi */
	IS(CODE_64, identity, 14, BYTES(0xf0, 0x0f, 0xb1, 0x37),
	   BYTES(0xf0, 0x41, 0x0f, 0xb1, 0x36));
	/* mov eax, [moffs] */
	IS(CODE_64, identity, 14, BYTES(0xa1, 1, 2, 3, 4, 5, 6, 7, 8), BYTES(0x41, 0x8b, 0x06));
	IS(CODE_32, identity, 6, BYTES(0xa2, 1, 2, 3, 4), BYTES(0x88, 0x06));
}

TEST(registers_are_renamed)
{
	/* add rsp, 0x20 -> add r13, 0x20 */
	IS(CODE_64, translator, 0, BYTES(0x48, 0x83, 0xc4, 0x20), BYTES(0x49, 0x83, 0xc5, 0x20));
	/* mov r13, rsp -> mov r14, r13 */
	IS(CODE_64, translator, 0, BYTES(0x49, 0x89, 0xe5), BYTES(0x4d, 0x89, 0xee));
	/* mov spl, 1 -> mov r13b, 1 */
	IS(CODE_64, translator, 0, BYTES(0x40, 0xb4, 1), BYTES(0x41, 0xb5, 1));
	/* bswap r15d -> bswap r14d */
	IS(CODE_64, translator, 0, BYTES(0x41, 0x0f, 0xcf), BYTES(0x41, 0x0f, 0xce));
	/* andn r13, rsp, [rax] -> andn r14, r13, [r8] */
	IS(CODE_64, translator, 8, BYTES(0xc4, 0x62, 0xd8, 0xf2, 0x28),
	   BYTES(0xc4, 0x42, 0x90, 0xf2, 0x30));
	/* vector registers keep their numbers: movd xmm4, esp -> movd xmm4, r13d */
	IS(CODE_64, translator, 0, BYTES(0x66, 0x0f, 0x6e, 0xe4),
	   BYTES(0x66, 0x41, 0x0f, 0x6e, 0xe5));
	/* xchg rax, rsp; with r8 in the place of rsp it must not become the nop that 90 is */
	IS(CODE_64, translator, 0, BYTES(0x48, 0x94), BYTES(0x49, 0x87, 0xc5));
	static const uint8_t swapped[16] = {8, 1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 11, 12, 13, 14, 15};
	IS(CODE_64, swapped, 0, BYTES(0x41, 0x90), BYTES(0x87, 0xc0));
}

TEST(high_byte_registers_exclude_rex)
{
	uint8_t out[16];

	/* mov ah, [rdi] with a base below r8, and above */
	IS(CODE_64, translator, 6, BYTES(0x8a, 0x27), BYTES(0x8a, 0x26));
	EXPECT_EQ(encode(out, CODE_64, translator, 14, BYTES(0x8a, 0x27)), 0);
	/* movzx esp, ah: r13d cannot take it */
	EXPECT_EQ(encode(out, CODE_64, translator, 0, BYTES(0x0f, 0xb6, 0xe4)), 0);
	/* mov ch, dl stays, and moves along with rcx */
	IS(CODE_64, translator, 0, BYTES(0x88, 0xd5), BYTES(0x88, 0xd5));
	IS(CODE_64, permuted, 0, BYTES(0x88, 0xd5), BYTES(0x88, 0xcf));
}

TEST(old_encodings_become_those_of_64_bit_code)
{
	IS(CODE_32, translator, 0, BYTES(0x44), BYTES(0x41, 0xff, 0xc5));	/* inc esp */
	IS(CODE_32, translator, 0, BYTES(0x66, 0x4b), BYTES(0x66, 0xff, 0xcb)); /* dec bx */
	IS(CODE_16, translator, 0, BYTES(0x4b), BYTES(0x66, 0xff, 0xcb));
	IS(CODE_32, translator, 0, BYTES(0x82, 0xc0, 5), BYTES(0x80, 0xc0, 5)); /* add al, 5 */
	/* In 16-bit code the prefix means the opposite. */
	IS(CODE_16, identity, 0, BYTES(0x05, 0x34, 0x12), BYTES(0x66, 0x05, 0x34, 0x12));
	IS(CODE_16, identity, 0, BYTES(0x66, 0x05, 1, 2, 3, 4), BYTES(0x05, 1, 2, 3, 4));
	IS(CODE_16, identity, 3, BYTES(0x67, 0x66, 0x8b, 0x04, 0x24), BYTES(0x8b, 0x03));
	IS(CODE_16, identity, 3, BYTES(0x0f, 0x10, 0x00), BYTES(0x0f, 0x10, 0x03)); /* movups */
	/* vblendvps: the top bit of the fourth register does not count in 32-bit code */
	IS(CODE_32, identity, 0, BYTES(0xc4, 0xe3, 0x69, 0x4a, 0xc1, 0xb0),
	   BYTES(0xc4, 0xe3, 0x69, 0x4a, 0xc1, 0x30));
	/* vmovd with W in 32-bit code is vmovd still */
	IS(CODE_32, identity, 0, BYTES(0xc4, 0xe1, 0xf9, 0x6e, 0xc1),
	   BYTES(0xc5, 0xf9, 0x6e, 0xc1));
}

TEST(what_is_not_copied_is_not_encoded)
{
	struct insn insn;
	uint8_t out[16];

	EXPECT_EQ(insn_decode(&insn, BYTES(0x50), CODE_64), DECODE_OK); /* push rax */
	EXPECT_EQ(insn_encode(&insn, out, identity, 0), 0);
}

struct named {
	bool general, high;
	unsigned number;
};

static bool is_high_byte(const struct insn *insn, const struct operand *operand, unsigned number)
{
	return operand->size == SIZE_B && !insn->rex && !insn->vex && number >= 4 && number < 8;
}

/* Which register an operand is, if any. */
static struct named name_operand(const struct insn *insn, const struct operand *operand)
{
	struct named named = {.number = INSN_NO_REGISTER};

	switch (operand->kind) {
	case OPERAND_REG:
		named.general = true;
		named.number = insn->reg;
		break;
	case OPERAND_RM:
	case OPERAND_RM_REGISTER:
	case OPERAND_OPCODE_REG:
		named.general = !insn->memory || operand->kind == OPERAND_OPCODE_REG;
		named.number = named.general ? insn->rm : INSN_NO_REGISTER;
		break;
	case OPERAND_VVVV:
		named.general = true;
		named.number = insn->vvvv;
		break;
	case OPERAND_XMM_REG:
		named.number = insn->reg;
		break;
	case OPERAND_XMM_RM:
	case OPERAND_XMM_RM_REGISTER:
		named.number = insn->memory ? INSN_NO_REGISTER : insn->rm;
		break;
	case OPERAND_XMM_VVVV:
		named.number = insn->vvvv;
		break;
	case OPERAND_MMX_REG:
		named.number = insn->modrm >> 3 & 7;
		break;
	case OPERAND_MMX_RM:
	case OPERAND_MMX_RM_REGISTER:
	case OPERAND_STI:
		named.number = insn->memory ? INSN_NO_REGISTER : insn->modrm & 7;
		break;
	default:
		break;
	}
	if (named.general && is_high_byte(insn, operand, named.number)) {
		named.high = true;
		named.number -= 4;
	}
	return named;
}

/* The same instruction, or its equal with another opcode? */
static bool same_instruction(const struct insn *before, const struct insn *after)
{
	const char *a = before->op->name, *b = after->op->name;

	if (before->op == after->op)
		return true;
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b && before->map == 0 &&
	       ((before->opcode & 0xf0) == 0x40 || (before->opcode & 0xf8) == 0x90 ||
		before->opcode == 0x82 || (before->opcode & 0xfc) == 0xa0);
}

static bool equal_registers(const struct insn *before, const struct insn *after,
			    const uint8_t rename[16])
{
	if (before->op != after->op)
		return true; /* those have their cases above */
	for (unsigned i = 0; i < 4; i++) {
		struct named a = name_operand(before, &before->op->operand[i]);
		struct named b = name_operand(after, &after->op->operand[i]);

		if (a.general)
			a.number = rename[a.number];
		if (a.general != b.general || a.high != b.high || a.number != b.number)
			return false;
	}
	return true;
}

static bool equal_rest(const struct insn *before, const struct insn *after,
		       const struct insn_address *address)
{
	bool sized = false;

	for (unsigned i = 0; i < 4; i++)
		sized |= before->op->operand[i].kind && before->op->operand[i].size == SIZE_V;
	if (sized && before->operand_size != after->operand_size)
		return false;
	if (before->memory && (after->base != address->base || after->index != address->index ||
			       after->displacement != address->displacement ||
			       after->segment_override || after->address_size != 8))
		return false;
	return before->memory == after->memory && before->lock == after->lock &&
	       before->w == after->w && before->vex == after->vex &&
	       before->vex_l == after->vex_l && before->mandatory == after->mandatory &&
	       (before->immediate & 0x7f) == (after->immediate & 0x7f) &&
	       (before->code_size != CODE_64 || before->immediate == after->immediate) &&
	       insn_memory_size(before) == insn_memory_size(after);
}

static bool has_high_byte(const struct insn *insn)
{
	for (unsigned i = 0; i < 4; i++)
		if (name_operand(insn, &insn->op->operand[i]).high)
			return true;
	return false;
}

static unsigned copied, failures;

static void check_round_trip(const uint8_t *bytes, enum code_size size, const uint8_t rename[16],
			     const struct insn_address *address)
{
	struct insn before, after;
	uint8_t out[16];

	if (insn_decode(&before, bytes, 16, size) != DECODE_OK || before.op->class != CLASS_COPY)
		return;
	copied++;
	unsigned count = insn_encode_at(&before, out, rename, address);
	bool good = count ? count <= 16 && insn_decode(&after, out, count, CODE_64) == DECODE_OK &&
				    after.length == count && same_instruction(&before, &after) &&
				    equal_registers(&before, &after, rename) &&
				    equal_rest(&before, &after, address)
			  : has_high_byte(&before);

	if (!good && failures++ < 20)
		FAIL("%s (code size %d): %x %x %x %x %x %x -> %x %x %x %x %x %x (%u bytes)",
		     before.op->name, size, bytes[0], bytes[1], bytes[2], bytes[3], bytes[4],
		     bytes[5], out[0], out[1], out[2], out[3], out[4], out[5], count);
}

static uint32_t random_number(void)
{
	static uint32_t state = 12345;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

static uint8_t random_index(void)
{
	unsigned index = random_number() >> 28;

	return index == 4 || random_number() & 0x100 ? INSN_NO_REGISTER : (uint8_t)index;
}

static int32_t random_displacement(void)
{
	int32_t displacement = (int32_t)random_number();

	switch (random_number() >> 30) {
	case 0:
		return (int8_t)displacement;
	case 1:
		return displacement;
	default:
		return 0;
	}
}

static void check_opcode(const uint8_t *prefixes, unsigned prefix_count, unsigned map,
			 unsigned opcode, unsigned modrm, enum code_size size)
{
	uint8_t bytes[16];
	unsigned at = 0;

	for (unsigned i = 0; i < 16; i++)
		bytes[i] = (uint8_t)(random_number() >> 24);
	while (at < prefix_count) {
		bytes[at] = prefixes[at];
		at++;
	}
	if (map)
		bytes[at++] = 0x0f;
	if (map >= 2)
		bytes[at++] = map == 2 ? 0x38 : 0x3a;
	bytes[at++] = (uint8_t)opcode;
	bytes[at] = (uint8_t)modrm;
	check_round_trip(bytes, size, random_number() & 1 ? translator : permuted,
			 &(struct insn_address){(uint8_t)(random_number() >> 28), random_index(),
						random_displacement()});
}

static void check_code_size(enum code_size size)
{
	static const uint8_t prefixes[][3] = {
		{0},	   {1, 0x66},	    {1, 0xf3},	     {1, 0xf2},	      {1, 0x41},
		{1, 0x44}, {1, 0x48},	    {2, 0x66, 0x4d}, {2, 0xf3, 0x48}, {2, 0xf2, 0x43},
		{1, 0xf0}, {2, 0x66, 0xf2}, {2, 0x67, 0x64}, {1, 0x40},
	};

	copied = 0;
	for (unsigned i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		for (unsigned opcode = 0; opcode < 4 * 256; opcode++)
			for (unsigned modrm = random_number() % 7; modrm < 256; modrm += 7)
				check_opcode(&prefixes[i][1], prefixes[i][0], opcode / 256,
					     opcode % 256, modrm, size);
	EXPECT(copied > 100000);
}

TEST(every_instruction_of_16_bit_code_survives)
{
	check_code_size(CODE_16);
}

TEST(every_instruction_of_32_bit_code_survives)
{
	check_code_size(CODE_32);
}

TEST(every_instruction_of_64_bit_code_survives)
{
	check_code_size(CODE_64);
}

static void check_vex(enum code_size size)
{
	copied = 0;
	for (unsigned i = 0; i < 3 * 65536; i++)
		for (unsigned round = 0; round < 3; round++) {
			unsigned random = random_number();
			uint8_t bytes[16] = {0xc4,
					     (uint8_t)((random & 0xe0) | (1 + i / 65536)),
					     (uint8_t)i,
					     (uint8_t)(i >> 8),
					     (uint8_t)(random >> 8),
					     (uint8_t)(random >> 16),
					     (uint8_t)(random >> 24),
					     1,
					     2,
					     3};

			if (size != CODE_64)
				bytes[1] |= 0xc0;
			check_round_trip(bytes, size, random >> 31 ? translator : permuted,
					 &(struct insn_address){random >> 27 & 15, random_index(),
								random_displacement()});
		}
	EXPECT(copied > 10000);
}

TEST(every_vex_instruction_of_32_bit_code_survives)
{
	check_vex(CODE_32);
}

TEST(every_vex_instruction_of_64_bit_code_survives)
{
	check_vex(CODE_64);
}
