/* SPDX-License-Identifier: BSD-2-Clause */
/* The computer's processors: what each has of its own, and how they are asked to look up. */
#ifndef KERNEL_CPU_H
#define KERNEL_CPU_H

#include <stdbool.h>
#include <stdint.h>

#define CPUS_MAX 64

/* Selectors: the order that syscall and sysret want (AMD APM 2, section 6.1.1). */
#define SELECTOR_KERNEL_CODE 0x08
#define SELECTOR_KERNEL_DATA 0x10
#define SELECTOR_USER_DATA   0x1b
#define SELECTOR_USER_CODE   0x23
#define SELECTOR_TSS	     0x28

struct thread;
struct vcpu;
struct call;

/*
 * What each processor has of its own: at its GS base while the kernel runs. entry.S and
 * thread_switch.S know the offsets of the first members (checked in cpu.c).
 */
struct cpu {
	struct cpu *self;      /* 0 */
	uint64_t kernel_stack; /* 8: top of the current thread's kernel stack */
	uint64_t user_stack;   /* 16: rsp of the process while a system call begins */
	struct thread *thread; /* 24: who runs */
	struct thread *idle;   /* the thread that runs when no other wants to */
	uint32_t id;	       /* 0 is the one that booted */
	uint32_t apic_id;
	/* Set by an interrupt or another processor: schedule() before going on in a process or
	 * guest. */
	_Atomic bool reschedule;
	struct vcpu
		*fpu_owner; /* whose x87, vector registers and XCR0 are loaded; NULL: nobody's */
	void *vendor;	    /* the vendor's part (svm: host save area, host VMCB, next ASID) */
	void *tables;	    /* GDT, TSS (cpu.c) */
	void *timers;	    /* timer.c */
	void *queue;	    /* the run queue (schedule.c) */
	struct call *_Atomic call; /* what another processor asks of this one (smp.c) */
};

/* The processor we run on. */
static inline struct cpu *cpu_this(void)
{
	struct cpu *cpu;

	/* Volatile: another thread's switch in between may have moved us. */
	__asm__ volatile("movq %%gs:0, %0" : "=r"(cpu));
	return cpu;
}

static inline _Noreturn void cpu_halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* All of them that run; cpu_at(0..cpu_count()-1). */
unsigned cpu_count(void);
struct cpu *cpu_at(unsigned id);

/* What the processors have; the same for all. */
struct cpu_features {
	bool x2apic, fsgsbase, xsave, tsc_deadline, rdrand, gigabyte_pages;
	uint64_t cr4;  /* bits of CR4, of those that we know */
	uint64_t xcr0; /* components that we let guests use: x87, SSE, AVX as far as they are there
			*/
	unsigned physical_bits; /* of an address */
};
extern struct cpu_features cpu_features;

/*
 * CR0.TS is set on each processor and stays so while a process runs: the vector registers are the
 * guests', and a process that touches them gets #NM (and is ended). Who loads or stores them in the
 * kernel clears it before, by clts, and sets it again by this.
 */
void cpu_fpu_off(void);

/* The top of the kernel stack of the thread that runs from now on: for system calls and traps. */
void cpu_stack_set(uint64_t top);

/* Makes that processor take an interrupt, which ends guest code and process code, and the idle
 * loop; it then looks at its `reschedule` and at what its vcpu was asked. */
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
