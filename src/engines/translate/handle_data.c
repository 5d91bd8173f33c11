/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses, hints, bit strings, tables, and the decimal arithmetic of 16- and 32-bit code. Source:
 * Intel SDM volume 2. */
#include "engines/translate/exception.h"
#include "engines/translate/handlers.h"
#include "engines/translate/mmu.h"

void handle_lea(struct cpu *cpu, const struct insn *insn)
{
	register_write(cpu, insn->reg, insn->operand_size, false, operand_address(cpu, insn));
}

void handle_nop(struct cpu *cpu, const struct insn *insn)
{
}

/* Checked as a read of one byte. */
void handle_clflush(struct cpu *cpu, const struct insn *insn)
{
	mmu_probe(cpu, segment_linear(cpu, insn->segment, operand_address(cpu, insn), 1, MMU_READ),
		  1, MMU_READ);
}

void handle_cld(struct cpu *cpu, const struct insn *insn)
{
	cpu->rflags &= ~(uint64_t)FLAG_DF;
}

void handle_std(struct cpu *cpu, const struct insn *insn)
{
	cpu->rflags |= FLAG_DF;
}

void handle_xlat(struct cpu *cpu, const struct insn *insn)
{
	uint64_t address = cpu->gpr[RBX] + (cpu->gpr[RAX] & 0xff);

	if (insn->address_size < 8)
		address &= ((uint64_t)1 << insn->address_size * 8) - 1;
	address = segment_linear(cpu, insn->segment, address, 1, MMU_READ);
	register_write(cpu, RAX, 1, false, mmu_load(cpu, address, 1, MMU_READ));
}

/* What bt, bts, btr, btc (bits 4:3 of the opcode) make of a value. */
static uint64_t bit_changed(unsigned opcode, uint64_t value, uint64_t bit)
{
	switch (opcode) {
	case 0xab:
		return value | bit;
	case 0xb3:
		return value & ~bit;
	case 0xbb:
		return value ^ bit;
	default:
		return value;
	}
}

/* The element that a register bit offset chooses may be far from the operand. */
void handle_bit_string(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->operand_size, bits = size * 8;
	uint64_t raw = register_read(cpu, insn->reg, size, false);
	int64_t offset = size == 2 ? (int16_t)raw : size == 4 ? (int32_t)raw : (int64_t)raw;
	uint64_t bit = (uint64_t)1 << ((uint64_t)offset & (bits - 1));
	uint64_t address = operand_address(cpu, insn) + (uint64_t)((offset >> (size == 2   ? 4
									       : size == 4 ? 5
											   : 6)) *
								   size);
	unsigned access = insn->opcode == 0xa3 ? MMU_READ : MMU_WRITE;
	uint64_t linear, value;
	void *host;

	if (insn->address_size < 8)
		address &= ((uint64_t)1 << insn->address_size * 8) - 1;
	linear = segment_linear(cpu, insn->segment, address, size, access);
	host = access == MMU_WRITE && linear % size == 0 ? mmu_host(cpu, linear, size, access)
							 : NULL;
	if (host && size == 4) {
		uint32_t *place = host, old = __atomic_load_n(place, __ATOMIC_RELAXED);

		while (!__atomic_compare_exchange_n(place, &old,
						    (uint32_t)bit_changed(insn->opcode, old, bit),
						    false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			;
		value = old;
	} else if (host && size == 8) {
		uint64_t *place = host, old = __atomic_load_n(place, __ATOMIC_RELAXED);

		while (!__atomic_compare_exchange_n(place, &old,
						    bit_changed(insn->opcode, old, bit), false,
						    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			;
		value = old;
	} else if (host) {
		uint16_t *place = host, old = __atomic_load_n(place, __ATOMIC_RELAXED);

		while (!__atomic_compare_exchange_n(place, &old,
						    (uint16_t)bit_changed(insn->opcode, old, bit),
						    false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			;
		value = old;
	} else {
		bool exclusive = insn->lock && handler_exclusive_begin(cpu, linear, size);

		value = mmu_load(cpu, linear, size, access);
		if (access == MMU_WRITE)
			mmu_store(cpu, linear, size, bit_changed(insn->opcode, value, bit),
				  MMU_WRITE);
		if (exclusive)
			handler_exclusive_end(cpu);
	}
	cpu_set_status(cpu, (cpu_status(cpu) & ~FLAG_CF) | (value & bit ? FLAG_CF : 0));
}

void handle_bound(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn->operand_size;
	uint64_t linear =
		segment_linear(cpu, insn->segment, operand_address(cpu, insn), size * 2, MMU_READ);
	uint64_t raw = register_read(cpu, insn->reg, size, false);
	uint64_t raw_low = mmu_load(cpu, linear, size, MMU_READ),
		 raw_high = mmu_load(cpu, linear + size, size, MMU_READ);
	int64_t index = size == 2 ? (int16_t)raw : (int32_t)raw;
	int64_t low = size == 2 ? (int16_t)raw_low : (int32_t)raw_low;
	int64_t high = size == 2 ? (int16_t)raw_high : (int32_t)raw_high;

	if (index < low || index > high)
		exception_raise(cpu, EXCEPTION_BR);
}

/* SF, ZF and PF of a byte, as the decimal instructions set them. */
static uint32_t byte_flags(uint8_t value)
{
	return (value & 0x80 ? FLAG_SF : 0) | (value ? 0 : FLAG_ZF) |
	       (__builtin_parity(value) ? 0 : FLAG_PF);
}

static void adjust_packed(struct cpu *cpu, bool subtract)
{
	uint8_t al = (uint8_t)cpu->gpr[RAX], old = al;
	uint32_t status = cpu_status(cpu), result = 0;

	if ((al & 15) > 9 || (status & FLAG_AF)) {
		if (subtract ? old < 6 : old > 0xff - 6)
			result |= FLAG_CF;
		al = (uint8_t)(subtract ? al - 6 : al + 6);
		result |= (status & FLAG_CF) | FLAG_AF;
	}
	if (old > 0x99 || (status & FLAG_CF)) {
		al = (uint8_t)(subtract ? al - 0x60 : al + 0x60);
		result |= FLAG_CF;
	} else if (!subtract) {
		result &= ~FLAG_CF;
	}
	register_write(cpu, RAX, 1, false, al);
	cpu_set_status(cpu, result | byte_flags(al));
}

void handle_daa(struct cpu *cpu, const struct insn *insn)
{
	adjust_packed(cpu, false);
}

void handle_das(struct cpu *cpu, const struct insn *insn)
{
	adjust_packed(cpu, true);
}

static void adjust_unpacked(struct cpu *cpu, int direction)
{
	uint16_t ax = (uint16_t)cpu->gpr[RAX];
	uint32_t status = 0;

	if ((ax & 15) > 9 || (cpu_status(cpu) & FLAG_AF)) {
		ax = (uint16_t)(ax + direction * 0x106);
		status = FLAG_CF | FLAG_AF;
	}
	ax &= 0xff0f;
	register_write(cpu, RAX, 2, false, ax);
	cpu_set_status(cpu, status | byte_flags((uint8_t)ax));
}

void handle_aaa(struct cpu *cpu, const struct insn *insn)
{
	adjust_unpacked(cpu, 1);
}

void handle_aas(struct cpu *cpu, const struct insn *insn)
{
	adjust_unpacked(cpu, -1);
}

void handle_aam(struct cpu *cpu, const struct insn *insn)
{
	uint8_t al = (uint8_t)cpu->gpr[RAX], base = (uint8_t)insn->immediate;

	if (!base)
		exception_raise(cpu, EXCEPTION_DE);
	register_write(cpu, RAX, 2, false, (uint64_t)(al / base) << 8 | al % base);
	cpu_set_status(cpu, byte_flags(al % base));
}

void handle_aad(struct cpu *cpu, const struct insn *insn)
{
	uint16_t ax = (uint16_t)cpu->gpr[RAX];
	uint8_t al = (uint8_t)((ax & 0xff) + (ax >> 8) * (uint8_t)insn->immediate);

	register_write(cpu, RAX, 2, false, al);
	cpu_set_status(cpu, byte_flags(al));
}
