/* SPDX-License-Identifier: BSD-2-Clause */
/* Exceptions and interrupts of the software engine: raising, and delivery through the IDT (Intel
 * SDM volume 3, chapter 6). */
#ifndef TRANSLATE_EXCEPTION_H
#define TRANSLATE_EXCEPTION_H

#include "engines/translate/cpu.h"

/* Records the exception in cpu->event and unwinds to the dispatcher, which delivers it. cpu->rip is
 * the faulting instruction's. */
_Noreturn void exception_raise(struct cpu *cpu, unsigned vector);
_Noreturn void exception_raise_error(struct cpu *cpu, unsigned vector, uint32_t error);
_Noreturn void exception_raise_page_fault(struct cpu *cpu, uint64_t linear, uint32_t error);

/*
 * Delivers cpu->event, an external interrupt or an NMI: 16-, 32- and 64-bit gates, real-mode
 * vectors, stack switches, IST, double and triple faults. May itself raise (the dispatcher calls it
 * again: exception_escalate decides on #DF); a triple fault sets cpu->leave with EXIT_SHUTDOWN.
 * software: int n rules.
 */
void exception_deliver(struct cpu *cpu);
void interrupt_deliver(struct cpu *cpu, unsigned vector);

/*
 * int n, int3, into, icebp as an instruction does them: the gate's DPL is checked unless privileged
 * (icebp); the return address is cpu->next_rip, which becomes the handler's. Faults leave cpu->rip
 * at the instruction.
 */
void interrupt_software(struct cpu *cpu, unsigned vector, bool privileged);

#endif
