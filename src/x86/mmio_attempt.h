/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of mmio.h: one attempt at an instruction, its operands, and the arithmetic. */
#ifndef X86_MMIO_ATTEMPT_H
#define X86_MMIO_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "x86/mmio.h"

#define MMIO_OPERAND_MAX 32 /* bytes */

/* Exceptions of segments. */
enum { VECTOR_SS = 12, VECTOR_GP = 13 };

/* An operand in memory, found; in two parts if it lies in two pages. */
struct place {
	unsigned size, parts;
	struct {
		uint8_t *ram; /* NULL: a device's */
		uint64_t physical;
		unsigned size;
	} part[2];
};

struct attempt {
	struct mmio *mmio;
	const struct insn *insn;
	/* Registers as they will be. */
	uint64_t gpr[16], rip, rflags;
	/* What RAM and a vector register will be given. */
	struct place store; /* size 0: nothing */
	uint8_t store_bytes[MMIO_OPERAND_MAX];
	bool vector_written, vector_zero_above;
	unsigned vector_number, vector_size;
	uint8_t vector_bytes[MMIO_OPERAND_MAX];
};

/* The low `size` bytes. */
static inline uint64_t value_cut(uint64_t value, unsigned size)
{
	return size >= 8 ? value : value & (((uint64_t)1 << size * 8) - 1);
}

static inline uint64_t value_extend(uint64_t value, unsigned size)
{
	unsigned shift = 64 - size * 8;

	return (uint64_t)((int64_t)(value << shift) >> shift);
}

/* mmio_access.c: each gives MMIO_DONE to go on, or how the attempt ends. */

enum mmio_result attempt_fault(struct attempt *attempt, uint8_t vector, uint32_t error);

/* Finds size bytes at an offset in a segment; access: PAGING_WRITE or 0. Nothing is accessed. */
enum mmio_result place_find(struct attempt *attempt, struct place *place, unsigned segment,
			    uint64_t offset, unsigned size, unsigned access);

/* Reads; writes: devices at once, RAM (once an attempt) when it is done. */
enum mmio_result place_read(struct attempt *attempt, const struct place *place, uint8_t *bytes);
enum mmio_result place_write(struct attempt *attempt, const struct place *place,
			     const uint8_t *bytes);

/* The same for operands of up to 8 bytes. */
enum mmio_result place_get(struct attempt *attempt, const struct place *place, uint64_t *value);
enum mmio_result place_put(struct attempt *attempt, const struct place *place, uint64_t value);

enum mmio_result port_access(struct attempt *attempt, bool write, uint64_t port, unsigned size,
			     uint64_t *value);

/* Everything is known: RAM and registers change. */
enum mmio_result attempt_finish(struct attempt *attempt);

/* mmio_operand.c: registers of size 1, 2, 4, 8 (high: ah, ch, dh, bh are number & 3), and operands
 * by their place in struct opcode. `memory` is the ModRM or moffs operand. */

uint64_t gpr_get(const struct attempt *attempt, unsigned number, unsigned size, bool high);
void gpr_set(struct attempt *attempt, unsigned number, unsigned size, bool high, uint64_t value);
unsigned operand_bytes(const struct attempt *attempt, unsigned which);
enum mmio_result memory_find(struct attempt *attempt, struct place *memory);
enum mmio_result operand_get(struct attempt *attempt, unsigned which, const struct place *memory,
			     uint64_t *value);
enum mmio_result operand_put(struct attempt *attempt, unsigned which, const struct place *memory,
			     uint64_t value);

/* mmio_alu.c: *left becomes the result, *rflags gets the status flags. */

enum alu_binary {
	ALU_ADD,
	ALU_OR,
	ALU_ADC,
	ALU_SBB,
	ALU_AND,
	ALU_SUB,
	ALU_XOR,
	ALU_CMP,  /* the same order as in opcodes and ModRM.reg */
	ALU_TEST, /* neither of these two changes *left */
};
enum alu_unary { ALU_NOT, ALU_NEG, ALU_INC, ALU_DEC };

void alu_binary(enum alu_binary operation, unsigned size, uint64_t *left, uint64_t right,
		uint64_t *rflags);
void alu_unary(enum alu_unary operation, unsigned size, uint64_t *value, uint64_t *rflags);
/* operation: ModRM.reg of group 2. */
void alu_shift(unsigned operation, unsigned size, uint64_t *value, uint8_t count, uint64_t *rflags);
/* operation: 0 bt, 1 bts, 2 btr, 3 btc. */
void alu_bit(unsigned operation, unsigned bit, uint64_t *value, uint64_t *rflags);
/* condition: opcode & 15 of jcc, setcc, cmovcc. */
bool alu_condition(unsigned condition, uint64_t rflags);

/* mmio_stack.c and mmio_string.c: by handler; mmio_vector.c: by opcode. */
enum mmio_result mmio_stack(struct attempt *attempt);
enum mmio_result mmio_string(struct attempt *attempt);
enum mmio_result mmio_vector(struct attempt *attempt);

#endif
