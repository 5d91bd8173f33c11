/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Our decoder against Zydis: every opcode with many prefixes and ModRM bytes, and random bytes, in
 * 16-, 32- and 64-bit code. Where they are meant to differ, the table below says why; anything else
 * that differs is a failure.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "../test.h"
#include "x86/insn.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum field {
	FIELD_ONLY_ZYDIS = 1, /* Zydis knows it, we do not */
	FIELD_ONLY_OURS = 2,  /* we know it, Zydis does not */
	FIELD_LENGTH = 4,
	FIELD_OPERAND_SIZE = 8,
	FIELD_ADDRESS_SIZE = 16,
	FIELD_ADDRESS = 32, /* base, index, scale, displacement */
	FIELD_SEGMENT = 64,
	FIELD_IMMEDIATE = 128,
	FIELD_MEMORY_SIZE = 256,
	FIELD_MEMORY_ACCESS = 512,
	FIELD_FLAGS_READ = 1024,
	FIELD_FLAGS_WRITTEN = 2048,
	FIELD_FLAGS_UNDEFINED = 4096,
	FIELD_TOO_LONG = 8192,
	FIELD_REGISTERS_WRITTEN = 16384,
};

struct both {
	const uint8_t *bytes;
	enum code_size size;
	struct insn insn;
	ZydisDecodedInstruction zydis;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

/* An intended difference: in these fields, for this mnemonic of Zydis or this name of ours. */
struct difference {
	unsigned fields;
	int mnemonic;	  /* 0: any */
	const char *name; /* NULL: any */
	const char *reason;
	bool (*when)(const struct both *both); /* NULL: always */
};

/* SIB with mod 0 and base r13: as with rbp, there is no base (SDM volume 2, table 2-3; objdump
 * agrees). */
static bool is_base_r13_of_32_bit_address(const struct both *both)
{
	return both->insn.address_size == 4 && both->insn.modrm < 0x40 && (both->insn.rex & 1) &&
	       both->insn.base == INSN_NO_REGISTER;
}

/*
 * Extensions that no guest is offered. (They are not in the tables at all, so that nothing depends
 * on a feature bit being looked at.)
 */
static const int not_offered[] = {
	ZYDIS_ISA_EXT_AMD3DNOW,	 ZYDIS_ISA_EXT_AMD_INVLPGB,
	ZYDIS_ISA_EXT_AMX_BF16,	 ZYDIS_ISA_EXT_AMX_INT8,
	ZYDIS_ISA_EXT_AMX_TILE,	 ZYDIS_ISA_EXT_AVX512EVEX,
	ZYDIS_ISA_EXT_AVX512VEX, ZYDIS_ISA_EXT_AVX_VNNI,
	ZYDIS_ISA_EXT_CET,	 ZYDIS_ISA_EXT_CLZERO,
	ZYDIS_ISA_EXT_ENQCMD,	 ZYDIS_ISA_EXT_FMA4,
	ZYDIS_ISA_EXT_GFNI,	 ZYDIS_ISA_EXT_HRESET,
	ZYDIS_ISA_EXT_KEYLOCKER, ZYDIS_ISA_EXT_KEYLOCKER_WIDE,
	ZYDIS_ISA_EXT_KNC,	 ZYDIS_ISA_EXT_KNCE,
	ZYDIS_ISA_EXT_KNCV,	 ZYDIS_ISA_EXT_MCOMMIT,
	ZYDIS_ISA_EXT_MONITORX,	 ZYDIS_ISA_EXT_MOVDIR,
	ZYDIS_ISA_EXT_PADLOCK,	 ZYDIS_ISA_EXT_PCONFIG,
	ZYDIS_ISA_EXT_PKU,	 ZYDIS_ISA_EXT_PT,
	ZYDIS_ISA_EXT_RDPRU,	 ZYDIS_ISA_EXT_RTM,
	ZYDIS_ISA_EXT_SERIALIZE, ZYDIS_ISA_EXT_SGX,
	ZYDIS_ISA_EXT_SGX_ENCLV, ZYDIS_ISA_EXT_SMX,
	ZYDIS_ISA_EXT_SNP,	 ZYDIS_ISA_EXT_SSE4A,
	ZYDIS_ISA_EXT_SVM,	 ZYDIS_ISA_EXT_TBM,
	ZYDIS_ISA_EXT_TDX,	 ZYDIS_ISA_EXT_TSX_LDTRK,
	ZYDIS_ISA_EXT_UINTR,	 ZYDIS_ISA_EXT_VAES,
	ZYDIS_ISA_EXT_VMFUNC,	 ZYDIS_ISA_EXT_VPCLMULQDQ,
	ZYDIS_ISA_EXT_VTX,	 ZYDIS_ISA_EXT_WAITPKG,
	ZYDIS_ISA_EXT_XOP,
};

static const struct difference differences[] = {
	{FIELD_ADDRESS, 0, NULL, "with a 67 prefix Zydis takes r13 as the base where there is none",
	 is_base_r13_of_32_bit_address},
	{FIELD_ONLY_ZYDIS, ZYDIS_MNEMONIC_SALC, NULL,
	 "undocumented, and absent from current compilers and kernels", NULL},
	{FIELD_ONLY_ZYDIS, ZYDIS_MNEMONIC_RSM, NULL,
	 "#UD outside of system management mode, which guests never are in", NULL},
	{FIELD_MEMORY_SIZE | FIELD_MEMORY_ACCESS, 0, "nop",
	 "Zydis lists the operand; nothing is accessed", NULL},
	{FIELD_MEMORY_SIZE | FIELD_MEMORY_ACCESS, 0, "prefetchw", "a hint accesses nothing", NULL},
	{FIELD_MEMORY_SIZE | FIELD_MEMORY_ACCESS, 0, "prefetchnta", "a hint accesses nothing",
	 NULL},
	{FIELD_MEMORY_SIZE | FIELD_MEMORY_ACCESS, 0, "prefetcht0", "a hint accesses nothing", NULL},
	{FIELD_MEMORY_SIZE | FIELD_MEMORY_ACCESS, 0, "prefetcht1", "a hint accesses nothing", NULL},
	{FIELD_MEMORY_SIZE | FIELD_MEMORY_ACCESS, 0, "prefetcht2", "a hint accesses nothing", NULL},
	{FIELD_MEMORY_SIZE | FIELD_MEMORY_ACCESS, 0, "clflush",
	 "no data is moved; the handler sees to faults", NULL},
	{FIELD_MEMORY_SIZE | FIELD_MEMORY_ACCESS, 0, "clflushopt",
	 "no data is moved; the handler sees to faults", NULL},
	{FIELD_MEMORY_SIZE | FIELD_MEMORY_ACCESS, 0, "clwb",
	 "no data is moved; the handler sees to faults", NULL},
	{FIELD_MEMORY_SIZE | FIELD_MEMORY_ACCESS, 0, "invlpg", "the operand is an address only",
	 NULL},
	{FIELD_MEMORY_SIZE | FIELD_MEMORY_ACCESS, 0, "ud0", "raises #UD before any access", NULL},
	{FIELD_MEMORY_SIZE | FIELD_MEMORY_ACCESS, 0, "ud1", "raises #UD before any access", NULL},
	{FIELD_MEMORY_SIZE, ZYDIS_MNEMONIC_MOVSXD, NULL,
	 "with a 66 prefix it reads 2 bytes (SDM; tried on a processor), Zydis says 4", NULL},
	{FIELD_SEGMENT, ZYDIS_MNEMONIC_LEA, NULL,
	 "lea uses no segment, Zydis reports the default one", NULL},
	{FIELD_FLAGS_READ, ZYDIS_MNEMONIC_SYSCALL, NULL, "it saves all flags in r11", NULL},
	{FIELD_FLAGS_READ, 0, "cmpsb", "Zydis: repe reads ZF; it does only after having written it",
	 NULL},
	{FIELD_FLAGS_READ, 0, "cmps", "Zydis: repe reads ZF; it does only after having written it",
	 NULL},
	{FIELD_FLAGS_READ, 0, "scasb", "Zydis: repe reads ZF; it does only after having written it",
	 NULL},
	{FIELD_FLAGS_READ, 0, "scas", "Zydis: repe reads ZF; it does only after having written it",
	 NULL},
	{FIELD_FLAGS_UNDEFINED, ZYDIS_MNEMONIC_SBB, NULL, "AF is defined (SDM), Zydis errs", NULL},
	{FIELD_FLAGS_UNDEFINED, ZYDIS_MNEMONIC_BEXTR, NULL,
	 "CF, OF and ZF are defined (SDM), Zydis errs", NULL},
	{FIELD_FLAGS_WRITTEN, ZYDIS_MNEMONIC_VTESTPS, NULL,
	 "OF, AF, PF and SF are cleared (SDM), Zydis leaves them out", NULL},
	{FIELD_FLAGS_WRITTEN, ZYDIS_MNEMONIC_VTESTPD, NULL,
	 "OF, AF, PF and SF are cleared (SDM), Zydis leaves them out", NULL},
	{FIELD_FLAGS_WRITTEN, ZYDIS_MNEMONIC_VPTEST, NULL,
	 "OF, AF, PF and SF are cleared (SDM), Zydis leaves them out", NULL},
};

static const char *const field_names[] = {
	"only zydis", "only ours",     "length",	  "operand size", "address size",
	"address",    "segment",       "immediate",	  "memory size",  "memory access",
	"flags read", "flags written", "flags undefined", "too long",	  "registers written",
};

static struct {
	unsigned long compared, both_valid, both_invalid, intended, wrong;
} counts;

#define SEEN 4096
static uint32_t seen[SEEN];

/* Is this the first report of its kind? */
static bool is_news(unsigned key)
{
	unsigned i = key * 2654435761u % SEEN;

	for (; seen[i]; i = (i + 1) % SEEN)
		if (seen[i] == key)
			return false;
	seen[i] = key;
	return true;
}

static bool is_intended(const struct both *both, unsigned field)
{
	bool have_zydis = field != FIELD_ONLY_OURS, have_ours = field != FIELD_ONLY_ZYDIS;

	for (unsigned i = 0; field == FIELD_ONLY_ZYDIS && i < COUNT(not_offered); i++)
		if ((int)both->zydis.meta.isa_ext == not_offered[i])
			return true;
	for (unsigned i = 0; i < COUNT(differences); i++) {
		const struct difference *d = &differences[i];

		if ((d->fields & field) && (!d->when || d->when(both)) &&
		    (!d->mnemonic || (have_zydis && d->mnemonic == (int)both->zydis.mnemonic)) &&
		    (!d->name || (have_ours && !strcmp(d->name, both->insn.op->name))))
			return true;
	}
	return false;
}

static void report(const struct both *both, unsigned field, uint64_t ours, uint64_t theirs)
{
	bool have_zydis = field != FIELD_ONLY_OURS, have_ours = field != FIELD_ONLY_ZYDIS;
	unsigned number = 0;
	char hex[64] = "";

	if (is_intended(both, field)) {
		counts.intended++;
		return;
	}
	counts.wrong++;
	while (field >> number != 1)
		number++;
	if (!is_news(number << 20 |
		     (have_zydis ? both->zydis.mnemonic
				 : 0x10000u + both->insn.opcode + both->insn.map * 256u)))
		return;
	for (unsigned i = 0; i < 15; i++)
		sprintf(hex + strlen(hex), "%02x ", both->bytes[i]);
	FAIL("%s-bit %s: %s: ours %s %" PRIx64 ", zydis %s (%s) %" PRIx64,
	     both->size == CODE_16   ? "16"
	     : both->size == CODE_32 ? "32"
				     : "64",
	     hex, field_names[number], have_ours ? both->insn.op->name : "-", ours,
	     have_zydis ? ZydisMnemonicGetString(both->zydis.mnemonic) : "-",
	     have_zydis ? ZydisISAExtGetString(both->zydis.meta.isa_ext) : "-", theirs);
}

static void expect(const struct both *both, unsigned field, uint64_t ours, uint64_t theirs)
{
	if (ours != theirs)
		report(both, field, ours, theirs);
}

static bool has_size(const struct insn *insn, enum operand_size size)
{
	for (unsigned i = 0; i < 4; i++)
		if (insn->op->operand[i].kind && insn->op->operand[i].size == size)
			return true;
	return false;
}

/* A general or vector register of Zydis as our number. */
static unsigned number_of(ZydisRegister reg)
{
	if (reg == ZYDIS_REGISTER_NONE)
		return INSN_NO_REGISTER;
	if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
		return INSN_RIP;
	return (unsigned)ZydisRegisterGetId(reg);
}

static void compare_memory(const struct both *both, const ZydisDecodedOperand *operand)
{
	const struct insn *insn = &both->insn;
	unsigned access = 0;
	uint64_t mask = insn->address_size == 8 ? ~0ull : (1ull << 8 * insn->address_size) - 1;

	expect(both, FIELD_ADDRESS, insn->memory, 1);
	expect(both, FIELD_ADDRESS_SIZE, insn->address_size * 8u, both->zydis.address_width);
	expect(both, FIELD_ADDRESS, insn->base, number_of(operand->mem.base));
	expect(both, FIELD_ADDRESS, insn->index, number_of(operand->mem.index));
	if (insn->index != INSN_NO_REGISTER)
		expect(both, FIELD_ADDRESS, insn->scale,
		       operand->mem.scale ? operand->mem.scale : 1);
	expect(both, FIELD_ADDRESS, (uint64_t)insn->displacement & mask,
	       (uint64_t)operand->mem.disp.value & mask);
	expect(both, FIELD_SEGMENT, insn->segment,
	       (unsigned)ZydisRegisterGetId(operand->mem.segment));
	if (operand->mem.type == ZYDIS_MEMOP_TYPE_MEM ||
	    operand->mem.type == ZYDIS_MEMOP_TYPE_VSIB) {
		if (operand->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
			access |= ACCESS_READ;
		if (operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
			access |= ACCESS_WRITE;
		expect(both, FIELD_MEMORY_SIZE, insn_memory_size(insn), operand->size / 8);
	}
	expect(both, FIELD_MEMORY_ACCESS, insn_memory_access(insn), access);
}

static void compare_operands(const struct both *both)
{
	const struct insn *insn = &both->insn;
	bool memory = false, immediate = false;

	for (unsigned i = 0; i < both->zydis.operand_count; i++) {
		const ZydisDecodedOperand *operand = &both->operands[i];

		if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    operand->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT &&
		    (operand->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM ||
		     operand->encoding == ZYDIS_OPERAND_ENCODING_DISP16_32_64)) {
			memory = true;
			compare_memory(both, operand);
		} else if (operand->type == ZYDIS_OPERAND_TYPE_POINTER) {
			expect(both, FIELD_IMMEDIATE, (uint32_t)insn->immediate,
			       insn->operand_size == 2 ? (uint32_t)(int16_t)operand->ptr.offset
						       : operand->ptr.offset);
			expect(both, FIELD_IMMEDIATE, insn->immediate2, operand->ptr.segment);
		} else if (operand->type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
			   operand->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
			/* Zydis says unsigned values of the operand's width for the unsigned ones.
			 */
			uint64_t mask = operand->imm.is_signed ? ~0ull
					: operand->size >= 64  ? ~0ull
							       : (1ull << operand->size) - 1;

			if (immediate)
				expect(both, FIELD_IMMEDIATE, insn->immediate2,
				       operand->imm.value.u);
			else
				expect(both, FIELD_IMMEDIATE, (uint64_t)insn->immediate & mask,
				       operand->imm.value.u & mask);
			immediate = true;
		}
	}
	if (!memory)
		expect(both, FIELD_ADDRESS, insn->memory, 0);
}

static void compare_flags(const struct both *both)
{
	const unsigned status = FLAG_STATUS;
	const ZydisAccessedFlags *flags = both->zydis.cpu_flags;
	static const ZydisAccessedFlags none;

	if (!flags)
		flags = &none;
	expect(both, FIELD_FLAGS_READ, both->insn.op->flags_read & (status | FLAG_DF),
	       flags->tested & (status | FLAG_DF));
	expect(both, FIELD_FLAGS_WRITTEN,
	       (both->insn.op->flags_written | both->insn.op->flags_undefined) & status,
	       (flags->modified | flags->set_0 | flags->set_1 | flags->undefined) & status);
	expect(both, FIELD_FLAGS_UNDEFINED,
	       both->insn.op->flags_undefined & status & ~flags->modified,
	       flags->undefined & status);
}

/* The general register that a register of Zydis's is a part of, as a mask; 0: of none. */
static uint16_t mask_of(ZydisRegister reg)
{
	unsigned number = (unsigned)ZydisRegisterGetId(reg);

	if (ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_GPR8)
		number = (unsigned)ZydisRegisterGetId(
			ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg));
	else if (ZydisRegisterGetClass(reg) != ZYDIS_REGCLASS_GPR16 &&
		 ZydisRegisterGetClass(reg) != ZYDIS_REGCLASS_GPR32 &&
		 ZydisRegisterGetClass(reg) != ZYDIS_REGCLASS_GPR64)
		return 0;
	return (uint16_t)(1u << number);
}

/* Translated code relies on registers that such instructions leave alone. */
static void compare_registers_written(const struct both *both)
{
	uint16_t written = 0;

	if (both->insn.op->class != CLASS_COPY)
		return;
	for (unsigned i = 0; i < both->zydis.operand_count; i++)
		if (both->operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (both->operands[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			written |= mask_of(both->operands[i].reg.value);
	expect(both, FIELD_REGISTERS_WRITTEN, insn_registers(&both->insn).written, written);
}

static void compare(ZydisDecoder *decoder, enum code_size size, const uint8_t *bytes)
{
	static struct both both;
	enum decode_result ours;
	ZyanStatus theirs;

	both.bytes = bytes;
	both.size = size;
	ours = insn_decode(&both.insn, bytes, 16, size);
	theirs = ZydisDecoderDecodeFull(decoder, bytes, 16, &both.zydis, both.operands);
	counts.compared++;
	if (ours == DECODE_OK && ZYAN_SUCCESS(theirs)) {
		counts.both_valid++;
		expect(&both, FIELD_LENGTH, both.insn.length, both.zydis.length);
		if (both.insn.length != both.zydis.length)
			return;
		if (has_size(&both.insn, SIZE_V))
			expect(&both, FIELD_OPERAND_SIZE, both.insn.operand_size * 8u,
			       both.zydis.operand_width);
		compare_operands(&both);
		compare_flags(&both);
		compare_registers_written(&both);
	} else if (ours == DECODE_OK) {
		report(&both,
		       theirs == ZYDIS_STATUS_INSTRUCTION_TOO_LONG ? FIELD_TOO_LONG
								   : FIELD_ONLY_OURS,
		       0, theirs);
	} else if (ZYAN_SUCCESS(theirs)) {
		report(&both, FIELD_ONLY_ZYDIS, ours, 0);
	} else {
		counts.both_invalid++;
	}
}

static ZydisDecoder decoder_for(enum code_size size)
{
	static const ZydisMachineMode modes[] = {ZYDIS_MACHINE_MODE_LEGACY_16,
						 ZYDIS_MACHINE_MODE_LEGACY_32,
						 ZYDIS_MACHINE_MODE_LONG_64};
	static const ZydisStackWidth widths[] = {ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32,
						 ZYDIS_STACK_WIDTH_64};
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder, modes[size], widths[size]);
	ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_KNC, ZYAN_FALSE);
	ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
	ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
	return decoder;
}

static uint64_t state = 0x2545f4914f6cdd1d;

static uint64_t random_number(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void random_bytes(uint8_t *bytes)
{
	for (unsigned i = 0; i < 16; i++)
		bytes[i] = (uint8_t)(random_number() >> 32);
}

static void print_counts(void)
{
	printf("decode against zydis: %lu compared, %lu valid in both, %lu invalid in both, "
	       "%lu intended differences, %lu wrong\n",
	       counts.compared, counts.both_valid, counts.both_invalid, counts.intended,
	       counts.wrong);
}

/* One opcode of one map behind one string of prefixes, with ModRM bytes `step` apart. */
static void compare_opcode(ZydisDecoder *decoder, enum code_size size, const char *prefixes,
			   unsigned map, unsigned opcode, unsigned step)
{
	static const uint8_t escapes[4][2] = {{0}, {0x0f}, {0x0f, 0x38}, {0x0f, 0x3a}};
	uint8_t bytes[16];

	for (unsigned modrm = random_number() % step; modrm < 256; modrm += step) {
		unsigned at = 0, count = map > 1 ? 2 : map;

		random_bytes(bytes);
		while (prefixes[at]) {
			bytes[at] = (uint8_t)prefixes[at];
			at++;
		}
		memcpy(bytes + at, escapes[map], count);
		bytes[at + count] = (uint8_t)opcode;
		bytes[at + count + 1] = (uint8_t)modrm;
		compare(decoder, size, bytes);
	}
}

static void compare_maps(enum code_size size)
{
	static const struct {
		const char *prefixes;
		unsigned step;
	} forms[] = {
		{"", 1},	  {"\x66", 1},	    {"\xf3", 1},	  {"\xf2", 1},
		{"\x67", 5},	  {"\x48", 3},	    {"\x66\x48", 7},	  {"\xf3\x48", 7},
		{"\xf2\x4f", 7},  {"\x41", 7},	    {"\x44", 7},	  {"\xf0", 7},
		{"\x66\xf2", 7},  {"\xf3\x66", 7},  {"\xf2\xf3", 11},	  {"\xf3\xf2", 11},
		{"\xf0\xf3", 11}, {"\x48\x66", 11}, {"\x65", 11},	  {"\x2e\x64", 11},
		{"\x64\x36", 11}, {"\x67\x66", 11}, {"\xf3\x66\x43", 11},
	};
	ZydisDecoder decoder = decoder_for(size);

	memset(&counts, 0, sizeof(counts));
	for (unsigned form = 0; form < COUNT(forms); form++)
		for (unsigned map = 0; map < 4; map++)
			for (unsigned opcode = 0; opcode < 256; opcode++)
				compare_opcode(&decoder, size, forms[form].prefixes, map, opcode,
					       forms[form].step);
	print_counts();
}

TEST(every_opcode_of_16_bit_code_is_as_zydis_says)
{
	compare_maps(CODE_16);
}

TEST(every_opcode_of_32_bit_code_is_as_zydis_says)
{
	compare_maps(CODE_32);
}

TEST(every_opcode_of_64_bit_code_is_as_zydis_says)
{
	compare_maps(CODE_64);
}

static void compare_vex(enum code_size size)
{
	ZydisDecoder decoder = decoder_for(size);
	uint8_t bytes[16];

	memset(&counts, 0, sizeof(counts));
	for (unsigned i = 0; i < 3 * 256 * 256; i++) {
		unsigned map = 1 + i / 65536, opcode = i / 256 % 256, last = i % 256;

		/* Most of the time, vvvv as if it were not used, or not the other registers. */
		for (unsigned modrm = random_number() % 37; modrm < 256; modrm += 37) {
			random_bytes(bytes);
			bytes[0] = 0xc4;
			bytes[1] = (uint8_t)((size == CODE_64 ? bytes[1] & 0xe0
							      : 0xc0 | (bytes[1] & 0x20)) |
					     map);
			bytes[2] = (uint8_t)last;
			bytes[3] = (uint8_t)opcode;
			bytes[4] = (uint8_t)modrm;
			compare(&decoder, size, bytes);
			if (map == 1 && (last & 0x80)) {
				bytes[0] = 0xc5;
				bytes[1] = (uint8_t)(size == CODE_64 ? last : last | 0xc0);
				memmove(bytes + 2, bytes + 3, 13);
				compare(&decoder, size, bytes);
			}
		}
	}
	print_counts();
}

TEST(every_vex_opcode_of_32_bit_code_is_as_zydis_says)
{
	compare_vex(CODE_32);
}

TEST(every_vex_opcode_of_64_bit_code_is_as_zydis_says)
{
	compare_vex(CODE_64);
}

TEST(random_bytes_are_as_zydis_says)
{
	for (unsigned size = CODE_16; size <= CODE_64; size++) {
		ZydisDecoder decoder = decoder_for((enum code_size)size);
		uint8_t bytes[16];

		memset(&counts, 0, sizeof(counts));
		for (unsigned i = 0; i < 300000; i++) {
			random_bytes(bytes);
			compare(&decoder, (enum code_size)size, bytes);
		}
		print_counts();
	}
}

/* Prefixes in great number, so that 15 bytes are often too few. */
TEST(many_prefixes_are_as_zydis_says)
{
	static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66,
					   0x67, 0xf0, 0xf2, 0xf3, 0x48, 0x41, 0x44};

	for (unsigned size = CODE_16; size <= CODE_64; size++) {
		ZydisDecoder decoder = decoder_for((enum code_size)size);
		uint8_t bytes[16];

		memset(&counts, 0, sizeof(counts));
		for (unsigned i = 0; i < 100000; i++) {
			unsigned count = random_number() % 16;

			random_bytes(bytes);
			for (unsigned j = 0; j < count; j++)
				bytes[j] = prefixes[random_number() % COUNT(prefixes)];
			compare(&decoder, (enum code_size)size, bytes);
		}
		print_counts();
	}
}
