/* SPDX-License-Identifier: BSD-2-Clause */
/* The interpreter: any instruction, one at a time, in C; also what translated code calls for what
 * it does not do itself. */
#ifndef TRANSLATE_INTERPRET_H
#define TRANSLATE_INTERPRET_H

#include "engines/translate/cpu.h"
#include "x86/handlers.h"

/*
 * Runs the one instruction at cpu->rip; afterwards cpu->rip is where to go on. Exceptions unwind
 * with cpu->rip unchanged. A repeated string instruction may stop early with rip unchanged and its
 * registers updated, so that interrupts are taken.
 */
void interpret(struct cpu *cpu);

/* The same for an instruction that is decoded already and known to be the one at cpu->rip. */
void interpret_insn(struct cpu *cpu, const struct insn *insn);

/* The same where the translator has checked that mode and model allow the instruction, at level 0
 * if it asks for that. */
void interpret_checked(struct cpu *cpu, const struct insn *insn);

/*
 * A handler does all of one instruction but the advance of rip: interpret() has set cpu->next_rip,
 * which becomes rip when the handler returns; a branch changes it.
 */
typedef void handler_function(struct cpu *cpu, const struct insn *insn);

/* By enum handler; NULL: raises #UD and logs the bytes once. handlers.c */
extern handler_function *const handler_table[];

/* Operand helpers for handlers. */
uint64_t operand_address(
	struct cpu *cpu,
	const struct insn *insn); /* effective address, cut to address size, without segment */
uint64_t
operand_read(struct cpu *cpu, const struct insn *insn,
	     unsigned which); /* general-register, memory and immediate operands, zero-extended */
void operand_write(struct cpu *cpu, const struct insn *insn, unsigned which,
		   uint64_t value); /* 32-bit register writes clear the upper half */
uint64_t register_read(const struct cpu *cpu, unsigned number, unsigned size, bool high_byte);
void register_write(struct cpu *cpu, unsigned number, unsigned size, bool high_byte,
		    uint64_t value);

/* Bytes of rsp that the stack uses: 2, 4 or 8. */
unsigned stack_width(const struct cpu *cpu);

/* Stack: size 2, 4, 8; SS base, limit and width as the mode wants. Faults leave rsp as it was. */
void stack_push(struct cpu *cpu, unsigned size, uint64_t value);
uint64_t stack_pop(struct cpu *cpu, unsigned size);

#endif
