/* SPDX-License-Identifier: BSD-2-Clause */
/* Input and output. Source: Intel SDM volume 2, IN, INS, OUT, OUTS; volume 1, section 19.5
 * (permissions). */
#include "core/exit.h"
#include "engines/translate/debug.h"
#include "engines/translate/exception.h"
#include "engines/translate/handlers.h"
#include "engines/translate/mmu.h"
#include "engines/translate/segment.h"
#include "x86/registers.h"

#define TSS_BITMAP_BASE 0x66

/* The bitmap is read two bytes at once, whatever the size of the access. */
static bool bitmap_allows(struct cpu *cpu, unsigned port, unsigned size)
{
	unsigned type = cpu->tr.attributes & SEGMENT_TYPE, offset, bits;

	if (!(cpu->tr.attributes & SEGMENT_P) || type < DESCRIPTOR_TSS ||
	    cpu->tr.limit < TSS_BITMAP_BASE + 1)
		return false;
	offset = (unsigned)mmu_load(cpu, mmu_wrap(cpu, cpu->tr.base + TSS_BITMAP_BASE), 2,
				    MMU_READ | MMU_SYSTEM) +
		 port / 8;
	if (offset + 1 > cpu->tr.limit)
		return false;
	bits = (unsigned)mmu_load(cpu, mmu_wrap(cpu, cpu->tr.base + offset), 2,
				  MMU_READ | MMU_SYSTEM);
	return !(bits >> port % 8 & ((1u << size) - 1));
}

static void check_port(struct cpu *cpu, unsigned port, unsigned size)
{
	bool free =
		cpu_real(cpu) || (!cpu_vm86(cpu) && cpu->cpl <= (cpu->rflags & FLAG_IOPL) >> 12);

	if (!free && !bitmap_allows(cpu, port, size))
		exception_raise_error(cpu, EXCEPTION_GP, 0);
}

static uint64_t port_read(struct cpu *cpu, unsigned port, unsigned size)
{
	struct exit exit = {.kind = EXIT_PORT, .size = (uint8_t)size, .address = port};

	debug_check_io(cpu, port, size);
	cpu_access(cpu, &exit);
	return exit.value;
}

static void port_write(struct cpu *cpu, unsigned port, unsigned size, uint64_t value)
{
	struct exit exit = {.kind = EXIT_PORT,
			    .write = true,
			    .size = (uint8_t)size,
			    .address = port,
			    .value = value};

	debug_check_io(cpu, port, size);
	cpu_access(cpu, &exit);
}

static unsigned port_of(const struct cpu *cpu, const struct insn *insn, unsigned which)
{
	return insn->op->operand[which].kind == OPERAND_IMM ? (uint8_t)insn->immediate
							    : (uint16_t)cpu->gpr[RDX];
}

void handle_in(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn_operand_bytes(insn, &insn->op->operand[0]),
		 port = port_of(cpu, insn, 1);

	check_port(cpu, port, size);
	operand_write(cpu, insn, 0, port_read(cpu, port, size));
}

void handle_out(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = insn_operand_bytes(insn, &insn->op->operand[1]),
		 port = port_of(cpu, insn, 0);

	check_port(cpu, port, size);
	port_write(cpu, port, size, register_read(cpu, RAX, size, false));
}

/* One element; registers move only after it. */
static void ins_one(struct cpu *cpu, const struct insn *insn, unsigned port, unsigned size)
{
	uint64_t offset = register_read(cpu, RDI, insn->address_size, false);
	uint64_t linear = segment_linear(cpu, SEGMENT_ES, offset, size, MMU_WRITE);

	mmu_probe(cpu, linear, size, MMU_WRITE);
	mmu_store(cpu, linear, size, port_read(cpu, port, size), MMU_WRITE);
	register_write(cpu, RDI, insn->address_size, false,
		       offset + (cpu->rflags & FLAG_DF ? -(uint64_t)size : size));
}

static void outs_one(struct cpu *cpu, const struct insn *insn, unsigned port, unsigned size)
{
	uint64_t offset = register_read(cpu, RSI, insn->address_size, false);
	uint64_t linear = segment_linear(cpu, insn->segment, offset, size, MMU_READ);

	port_write(cpu, port, size, mmu_load(cpu, linear, size, MMU_READ));
	register_write(cpu, RSI, insn->address_size, false,
		       offset + (cpu->rflags & FLAG_DF ? -(uint64_t)size : size));
}

static void repeat(struct cpu *cpu, const struct insn *insn, unsigned size,
		   void (*one)(struct cpu *, const struct insn *, unsigned, unsigned))
{
	unsigned port = (uint16_t)cpu->gpr[RDX];
	uint64_t count;

	check_port(cpu, port, size);
	if (!insn->rep) {
		one(cpu, insn, port, size);
		return;
	}
	while ((count = register_read(cpu, RCX, insn->address_size, false))) {
		one(cpu, insn, port, size);
		register_write(cpu, RCX, insn->address_size, false, count - 1);
		if (count > 1 &&
		    (atomic_load_explicit(&cpu->kick, memory_order_relaxed) || cpu->debug_active)) {
			cpu->next_rip = cpu->rip;
			if (cpu->debug_active)
				cpu->rflags |= FLAG_RF; /* see string_again */
			return;
		}
	}
}

void handle_ins(struct cpu *cpu, const struct insn *insn)
{
	repeat(cpu, insn, insn_operand_bytes(insn, &insn->op->operand[0]), ins_one);
}

void handle_outs(struct cpu *cpu, const struct insn *insn)
{
	repeat(cpu, insn, insn_operand_bytes(insn, &insn->op->operand[0]), outs_one);
}
