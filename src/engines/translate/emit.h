/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The few x86-64 instruction forms that the translator writes itself, one function for each. Host
 * registers go by their numbers (cpu.h's enum). Nothing is checked here: the caller keeps enough
 * room.
 *
 * Source: Intel SDM volume 2, chapter 2.
 */
#ifndef TRANSLATE_EMIT_H
#define TRANSLATE_EMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "engines/translate/cpu.h"
#include "lib/bytes.h"

/* What the host's registers hold while translated code runs: see docs/translate.md. */
enum { T0 = R9, T1 = R10, HOST_RSP = R11 /* the guest's rsp */ };

struct emit {
	uint8_t *at;
};

/* The opcodes that take a register and a register or memory operand (ModRM). */
enum emit_opcode {
	EMIT_ADD = 0x03, /* register += r/m */
	EMIT_OR = 0x0b,
	EMIT_AND = 0x23,
	EMIT_SUB = 0x2b,
	EMIT_XOR = 0x33,
	EMIT_CMP = 0x3b,    /* flags of register - r/m */
	EMIT_MOVSXD = 0x63, /* register = r/m of 4 bytes, sign-extended; size 8 */
	EMIT_XCHG = 0x87,   /* registers only */
	EMIT_STORE = 0x89,  /* r/m = register */
	EMIT_LOAD = 0x8b,   /* register = r/m */
	EMIT_LEA = 0x8d,
};

/* Group 1 and 2 members: the ModRM.reg of 81, 83 and c1. */
enum emit_group {
	GROUP_ADD = 0,
	GROUP_OR = 1,
	GROUP_AND = 4,
	GROUP_XOR = 6,
	GROUP_CMP = 7,
	GROUP_SHL = 4,
	GROUP_SHR = 5,
	GROUP_SAR = 7
};

/* Conditions of jcc. */
enum emit_condition { CONDITION_C = 2, CONDITION_Z = 4, CONDITION_NZ = 5, CONDITION_A = 7 };

static inline void emit_u8(struct emit *emit, unsigned value)
{
	*emit->at++ = (uint8_t)value;
}

static inline void emit_u16(struct emit *emit, uint16_t value)
{
	bytes_store16(emit->at, value);
	emit->at += 2;
}

static inline void emit_u32(struct emit *emit, uint32_t value)
{
	bytes_store32(emit->at, value);
	emit->at += 4;
}

static inline void emit_u64(struct emit *emit, uint64_t value)
{
	bytes_store64(emit->at, value);
	emit->at += 8;
}

/* A REX prefix, unless it would say nothing. size 8 sets W. */
static inline void emit_rex(struct emit *emit, unsigned size, unsigned reg, unsigned index,
			    unsigned base)
{
	unsigned rex = 0x40 | (size == 8) << 3 | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3;

	if (rex != 0x40)
		emit_u8(emit, rex);
}

/* opcode reg, rm. size 4 or 8. */
static inline void emit_registers(struct emit *emit, enum emit_opcode opcode, unsigned size,
				  unsigned reg, unsigned rm)
{
	emit_rex(emit, size, reg, 0, rm);
	emit_u8(emit, opcode);
	emit_u8(emit, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

static inline void emit_move(struct emit *emit, unsigned to, unsigned from)
{
	emit_registers(emit, EMIT_LOAD, 8, to, from);
}

static inline void emit_add_registers(struct emit *emit, unsigned to, unsigned from)
{
	emit_registers(emit, EMIT_ADD, 8, to, from);
}

/* opcode reg, gs:[offset]. size 2, 4 or 8. offset below 2 GiB. */
static inline void emit_cpu(struct emit *emit, enum emit_opcode opcode, unsigned size, unsigned reg,
			    uint32_t offset)
{
	emit_u8(emit, 0x65);
	if (size == 2)
		emit_u8(emit, 0x66);
	emit_rex(emit, size, reg, 0, 0);
	emit_u8(emit, opcode);
	emit_u8(emit, (reg & 7) << 3 | 4);
	emit_u8(emit, 0x25);
	emit_u32(emit, offset);
}

/* movzx reg, word gs:[offset] */
static inline void emit_cpu_load16(struct emit *emit, unsigned reg, uint32_t offset)
{
	emit_u8(emit, 0x65);
	emit_rex(emit, 4, reg, 0, 0);
	emit_u16(emit, 0xb70f);
	emit_u16(emit, (uint16_t)(0x2504 | (reg & 7) << 3));
	emit_u32(emit, offset);
}

/* opcode reg, gs:[base + offset]; 64 bits; base is not rsp or r12. */
static inline void emit_cpu_indexed(struct emit *emit, enum emit_opcode opcode, unsigned reg,
				    unsigned base, uint32_t offset)
{
	emit_u8(emit, 0x65);
	emit_rex(emit, 8, reg, 0, base);
	emit_u8(emit, opcode);
	emit_u8(emit, 0x80 | (reg & 7) << 3 | (base & 7));
	emit_u32(emit, offset);
}

/* group [byte or dword at gs:[offset]], imm. */
static inline void emit_cpu_compare8(struct emit *emit, uint32_t offset, uint8_t value)
{
	emit_u32(emit, 0x253c8065); /* cmp byte gs:[disp32], imm8 */
	emit_u32(emit, offset);
	emit_u8(emit, value);
}

static inline void emit_cpu_group32(struct emit *emit, enum emit_group group, uint32_t offset,
				    uint32_t value)
{
	emit_u32(emit, 0x25048165 | (uint32_t)group << 19); /* 65 81 /group sib25 */
	emit_u32(emit, offset);
	emit_u32(emit, value);
}

/* test dword gs:[offset], bits */
static inline void emit_cpu_test_bits(struct emit *emit, uint32_t offset, uint32_t bits)
{
	emit_u32(emit, 0x2504f765);
	emit_u32(emit, offset);
	emit_u32(emit, bits);
}

/* mov byte gs:[offset], value */
static inline void emit_cpu_set8(struct emit *emit, uint32_t offset, uint8_t value)
{
	emit_u32(emit, 0x2504c665);
	emit_u32(emit, offset);
	emit_u8(emit, value);
}

/* mov dword gs:[offset], value */
static inline void emit_cpu_set32(struct emit *emit, uint32_t offset, uint32_t value)
{
	emit_u32(emit, 0x2504c765);
	emit_u32(emit, offset);
	emit_u32(emit, value);
}

/* cmp dword gs:[offset], 0 */
static inline void emit_cpu_test32(struct emit *emit, uint32_t offset)
{
	emit_u32(emit, 0x253c8365);
	emit_u32(emit, offset);
	emit_u8(emit, 0);
}

/* jmp or call gs:[base + offset]; base is not rsp or r12, but may be INSN_NO_REGISTER. */
static inline void emit_cpu_jump(struct emit *emit, bool call, unsigned base, uint32_t offset)
{
	unsigned reg = call ? 2 : 4;

	emit_u8(emit, 0x65);
	if (base == INSN_NO_REGISTER) {
		emit_u8(emit, 0xff);
		emit_u8(emit, reg << 3 | 4);
		emit_u8(emit, 0x25);
	} else {
		emit_rex(emit, 4, 0, 0, base);
		emit_u8(emit, 0xff);
		emit_u8(emit, 0x80 | reg << 3 | (base & 7));
	}
	emit_u32(emit, offset);
}

/* group reg, imm32 (sign-extended). size 4 or 8. */
static inline void emit_group(struct emit *emit, enum emit_group group, unsigned size, unsigned reg,
			      int32_t value)
{
	emit_rex(emit, size, 0, 0, reg);
	emit_u8(emit, value == (int8_t)value ? 0x83 : 0x81);
	emit_u8(emit, 0xc0 | group << 3 | (reg & 7));
	if (value == (int8_t)value)
		emit_u8(emit, (uint8_t)value);
	else
		emit_u32(emit, (uint32_t)value);
}

/* shl, shr or sar reg, count. */
static inline void emit_shift(struct emit *emit, enum emit_group group, unsigned size, unsigned reg,
			      uint8_t count)
{
	emit_rex(emit, size, 0, 0, reg);
	emit_u8(emit, 0xc1);
	emit_u8(emit, 0xc0 | group << 3 | (reg & 7));
	emit_u8(emit, count);
}

/* rorx to, from, count: 64 bits; leaves the flags alone. BMI2. */
static inline void emit_rotate(struct emit *emit, unsigned to, unsigned from, uint8_t count)
{
	emit_u8(emit, 0xc4);
	emit_u8(emit, 0x43 | (to < 8) << 7 | (from < 8) << 5);
	emit_u16(emit, 0xf0fb);
	emit_u8(emit, 0xc0 | (to & 7) << 3 | (from & 7));
	emit_u8(emit, count);
}

/* mov reg, imm: the shortest form. */
static inline void emit_constant(struct emit *emit, unsigned reg, uint64_t value)
{
	if (value <= UINT32_MAX) {
		emit_rex(emit, 4, 0, 0, reg);
		emit_u8(emit, 0xb8 | (reg & 7));
		emit_u32(emit, (uint32_t)value);
	} else if ((int64_t)value == (int32_t)value) {
		emit_rex(emit, 8, 0, 0, reg);
		emit_u8(emit, 0xc7);
		emit_u8(emit, 0xc0 | (reg & 7));
		emit_u32(emit, (uint32_t)value);
	} else {
		emit_rex(emit, 8, 0, 0, reg);
		emit_u8(emit, 0xb8 | (reg & 7));
		emit_u64(emit, value);
	}
}

/*
 * opcode reg, [base + index * scale + displacement]. base and index may be INSN_NO_REGISTER; index
 * is not rsp; scale 1, 2, 4, 8. size 2, 4, 8: of the operation.
 */
void emit_memory(struct emit *emit, enum emit_opcode opcode, unsigned size, unsigned reg,
		 unsigned base, unsigned index, unsigned scale, int32_t displacement);

/* opcode reg, [base + displacement] */
static inline void emit_based(struct emit *emit, enum emit_opcode opcode, unsigned size,
			      unsigned reg, unsigned base, int32_t displacement)
{
	emit_memory(emit, opcode, size, reg, base, INSN_NO_REGISTER, 1, displacement);
}

/* lea to, [rip + ahead]: from behind this instruction on. */
static inline void emit_here(struct emit *emit, unsigned to, uint32_t ahead)
{
	emit_rex(emit, 8, to, 0, 0);
	emit_u8(emit, EMIT_LEA);
	emit_u8(emit, (to & 7) << 3 | 5);
	emit_u32(emit, ahead);
}

/* cmp dword [base + displacement], 0 */
static inline void emit_test32(struct emit *emit, unsigned base, int32_t displacement)
{
	emit_based(emit, (enum emit_opcode)0x83, 4, GROUP_CMP, base, displacement);
	emit_u8(emit, 0);
}

/* lea to, [base + displacement], 64 bits: addition that leaves the flags alone. */
static inline void emit_add(struct emit *emit, unsigned to, unsigned base, int32_t displacement)
{
	emit_based(emit, EMIT_LEA, 8, to, base, displacement);
}

/* mov qword [base + index + displacement], imm32 (sign-extended); index as in emit_memory */
void emit_store_constant(struct emit *emit, unsigned base, unsigned index, int32_t displacement,
			 int32_t value);

/*
 * jmp rel32, jcc rel32, call rel32. The target is an address in the same view of code memory as
 * emit->at. emit_..._open leave the target open and return where it belongs;
 * with aligned set, the place is 4-byte aligned, so that it can be changed in one store while
 * others run it.
 */
void emit_jump(struct emit *emit, const uint8_t *target);
void emit_call(struct emit *emit, const uint8_t *target);
uint8_t *emit_jump_open(struct emit *emit, bool aligned);
uint8_t *emit_call_open(struct emit *emit, bool aligned);
uint8_t *emit_jcc_open(struct emit *emit, unsigned condition, bool aligned);

/* Closes an open jump: the displacement at place leads to target. One store, atomic if aligned. */
struct emit_displacement {
	uint32_t value;
} __attribute__((packed, may_alias));

static inline void emit_close(uint8_t *place, const uint8_t *target)
{
	((volatile struct emit_displacement *)place)->value = (uint32_t)(target - (place + 4));
}

/* nops up to a multiple of alignment (a power of 2, at most 16). */
void emit_align(struct emit *emit, unsigned alignment);

/* A nop of 5 bytes at a multiple of 8: may be turned into a jump or call in one store
 * (emit_patch_entry). */
void emit_patchable(struct emit *emit);

/* Turns the patchable nop at place into call target (opcode 0xe8) or jmp target (0xe9). */
void emit_patch(uint8_t *place, uint8_t opcode, const uint8_t *target);

/* mov T1, rax; seto al; lahf; mov gs:[flags], ax; mov rax, T1. */
void emit_flags_save(struct emit *emit);

/* mov T1, rax; movzx eax, word gs:[flags]; add al, 0x7f; sahf; mov rax, T1. */
void emit_flags_load(struct emit *emit);

#endif
