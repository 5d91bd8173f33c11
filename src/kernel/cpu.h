/* SPDX-License-Identifier: BSD-2-Clause */
/* The computer's processors: what each has of its own, and how they are asked to look up. */
#ifndef KERNEL_CPU_H
#define KERNEL_CPU_H

#include <stdbool.h>
#include <stdint.h>

#define CPUS_MAX 64

struct thread;
struct vcpu;

/*
 * What each processor has of its own: at its GS base while the kernel runs. entry.S and switch.S
 * know the offsets of the first members (checked in cpu.c).
 */
struct cpu {
	struct cpu *self;	 /* 0 */
	uint64_t kernel_stack;	 /* 8: top of the current thread's kernel stack */
	uint64_t user_stack;	 /* 16: rsp of the process while a system call begins */
	struct thread *thread;	 /* 24: who runs */
	struct thread *idle;	 /* the thread that runs when no other wants to */
	uint32_t id;		 /* 0 is the one that booted */
	uint32_t apic_id;
	_Atomic bool online;
	/* Set by an interrupt or another processor: schedule() before going on in a process or guest. */
	_Atomic bool reschedule;
	struct vcpu *fpu_owner;	 /* whose x87, vector registers and XCR0 are loaded; NULL: nobody's */
	void *vendor;		 /* the vendor's part (svm: host save area, host VMCB, next ASID) */
	void *tables;		 /* GDT, TSS (cpu.c) */
	void *timers;		 /* timer.c */
	void *queue;		 /* the run queue (schedule.c) */
};

/* The processor we run on. */
static inline struct cpu *cpu_this(void)
{
	struct cpu *cpu;

	__asm__("movq %%gs:0, %0" : "=r"(cpu));
	return cpu;
}

/* All of them that run; cpu_at(0..cpu_count()-1). */
unsigned cpu_count(void);
struct cpu *cpu_at(unsigned id);

/* What the processors have; the same for all. */
struct cpu_features {
	bool nx, smep, smap, umip, x2apic, fsgsbase, xsave, invariant_tsc, tsc_deadline, rdrand;
	bool gigabyte_pages, svm, vmx;
	uint64_t xcr0;		/* components that we let guests use: x87, SSE, AVX as far as they are there */
	unsigned physical_bits; /* of an address */
};
extern struct cpu_features cpu_features;

/* Makes that processor take an interrupt, which ends guest code and process code, and the idle loop;
 * it then looks at its `reschedule` and at what its vcpu was asked. */
void cpu_kick(struct cpu *cpu);

/* Calls `call` on that processor, in its interrupt, and waits until it has returned (our own: at
 * once). Called with no lock held that an interrupt's work takes. */
void cpu_call(struct cpu *cpu, void (*call)(void *context), void *context);
/* The same for all that run, our own included. */
void cpu_call_all(void (*call)(void *context), void *context);

/* Waits for an interrupt with interrupts on, and takes it; for the idle thread. Interrupts are off
 * before and after. */
void cpu_idle(void);
/* Takes the interrupts that wait, if any. Interrupts are off before and after. */
void cpu_take_interrupts(void);

#endif
