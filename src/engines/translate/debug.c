/* SPDX-License-Identifier: BSD-2-Clause */
/* Not modelled: branch single-stepping (DEBUGCTL.BTF), last branch records. */
#include "engines/translate/debug.h"

#include "engines/translate/exception.h"
#include "engines/translate/segment.h"

/* DR7's R/W fields. */
enum { BREAK_EXECUTE, BREAK_WRITE, BREAK_IO, BREAK_ACCESS };

static unsigned kind_of(uint64_t dr7, unsigned number)
{
	return dr7 >> (16 + 4 * number) & 3;
}

static bool is_enabled(uint64_t dr7, unsigned number)
{
	return dr7 >> (2 * number) & 3;
}

static unsigned length_of(uint64_t dr7, unsigned number)
{
	static const uint8_t lengths[] = {1, 2, 8, 4};

	return lengths[dr7 >> (18 + 4 * number) & 3];
}

void debug_changed(struct cpu *cpu)
{
	uint8_t active = cpu->rflags & FLAG_TF ? DEBUG_STEP : 0;

	if (cpu->cpl == 3 && (cpu->cr0 & CR0_AM) && (cpu->rflags & FLAG_AC))
		active |= DEBUG_ALIGNMENT;
	for (unsigned i = 0; i < 4 && (cpu->dr[7] & 0xff); i++) {
		if (!is_enabled(cpu->dr[7], i))
			continue;
		switch (kind_of(cpu->dr[7], i)) {
		case BREAK_EXECUTE:
			active |= DEBUG_INSTRUCTION;
			break;
		case BREAK_IO:
			active |= cpu->cr4 & CR4_DE ? DEBUG_IO : 0;
			break;
		default:
			active |= DEBUG_DATA;
		}
	}
	cpu->debug_active = active;
}

_Noreturn void debug_raise(struct cpu *cpu, uint32_t dr6)
{
	/* The low four bits are of this exception only; BS and BD stay until software clears them
	 * (section 17.2.3). */
	cpu->dr[6] = (cpu->dr[6] & ~0xfull) | dr6;
	cpu->dr[7] &= ~(uint64_t)DR7_GD;
	debug_changed(cpu);
	exception_raise(cpu, EXCEPTION_DB);
}

/* DR6 bits of the breakpoints, of a kind in kinds, that [address, address + size) touches. */
static uint32_t hits(const struct cpu *cpu, uint64_t address, unsigned size, unsigned kinds)
{
	uint64_t dr7 = cpu->dr[7];
	uint32_t found = 0;

	for (unsigned i = 0; i < 4; i++) {
		uint64_t length = length_of(dr7, i), start = cpu->dr[i] & ~(length - 1);

		if ((kinds >> kind_of(dr7, i) & 1) && address < start + length &&
		    start < address + size)
			found |= 1u << i;
	}
	return found;
}

/* Breakpoints that are not enabled set their bits too, but raise nothing alone. */
static bool any_enabled(const struct cpu *cpu, uint32_t found)
{
	for (unsigned i = 0; i < 4; i++)
		if ((found >> i & 1) && is_enabled(cpu->dr[7], i))
			return true;
	return false;
}

void debug_check_instruction(struct cpu *cpu)
{
	uint64_t linear = cpu->rip;
	uint32_t found;

	if (!(cpu->debug_active & DEBUG_INSTRUCTION) || (cpu->rflags & FLAG_RF) ||
	    cpu->interrupt_shadow == SHADOW_MOV_SS)
		return;
	if (cpu_code_size(cpu) != CODE_64)
		linear = (uint32_t)(cpu->segment[SEGMENT_CS].base + linear);
	found = hits(cpu, linear, 1, 1u << BREAK_EXECUTE);
	if (any_enabled(cpu, found))
		debug_raise(cpu, found);
}

/* Wider operands than these have rules of their own (#GP), or none. */
void debug_check_alignment(struct cpu *cpu, uint64_t linear, unsigned size)
{
	if ((size == 2 && (linear & 1)) || (size == 4 && (linear & 3)) ||
	    ((size == 8 || size == 10) && (linear & 7)))
		exception_raise_error(cpu, EXCEPTION_AC, 0);
}

void debug_check_data(struct cpu *cpu, uint64_t linear, unsigned size, bool write)
{
	uint32_t found =
		hits(cpu, linear, size, 1u << BREAK_ACCESS | (write ? 1u << BREAK_WRITE : 0));

	if (any_enabled(cpu, found))
		cpu->debug_hits |= found;
}

void debug_check_io(struct cpu *cpu, unsigned port, unsigned size)
{
	uint32_t found;

	if (!(cpu->debug_active & DEBUG_IO))
		return;
	found = hits(cpu, port, size, 1u << BREAK_IO);
	if (any_enabled(cpu, found))
		cpu->debug_hits |= found;
}

void debug_after_instruction(struct cpu *cpu, bool stepping)
{
	uint32_t dr6 = cpu->debug_hits;
	bool swallowed = cpu->step_swallowed;

	cpu->step_swallowed = false;
	if (cpu->interrupt_shadow == SHADOW_MOV_SS)
		return; /* the hits are kept for the next instruction's end */
	cpu->debug_hits = 0;
	if (stepping && !swallowed)
		dr6 |= DR6_BS;
	if (dr6)
		debug_raise(cpu, dr6);
}
