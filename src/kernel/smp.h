/* SPDX-License-Identifier: BSD-2-Clause */
/* Processors: starting them, asking them, stopping them. What everybody uses is in cpu.h. */
#ifndef KERNEL_SMP_H
#define KERNEL_SMP_H

#include <stdint.h>

#include "kernel/cpu.h"

/* The first processor is there. */
void smp_init(void);

/* Starts all that ACPI lists. */
void smp_start(void);

/* In main.c: what each does when it is in the kernel's address space, before others can see it.
 * Interrupts off. */
void smp_processor_init(void);

/* The kick has arrived: does what other processors asked of this one. */
void smp_interrupt(void);

/* Makes all others halt for ever, wherever they are, by NMI. */
void smp_stop_others(void);
/* In an NMI: halts if that was asked of us. */
void smp_stop_if_asked(void);

/* cpu.c. The first processor: its struct cpu, GDT and exceptions, before there is any memory; what
 * processors have (cpu_features). */
void cpu_init_first(void);

/* A further one's struct cpu, with stacks for double faults and the like. NULL: no memory; what
 * there was of it is lost. */
struct cpu *cpu_create(uint32_t id, uint32_t apic_id);

/* The stacks of the first, as cpu_create makes them. 0 or -ENOMEM. */
int cpu_create_stacks(struct cpu *cpu);

/* On the processor itself: GDT, TSS, control registers, with page.c's tables in place. */
void cpu_processor_init(struct cpu *cpu);

#endif
