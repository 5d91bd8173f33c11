/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One processor of a vm: the state that every engine agrees on, pending events, and the engine's
 * private pointer.
 */
#ifndef CORE_VCPU_H
#define CORE_VCPU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/exit.h"
#include "core/halt.h"
#include "core/space.h"

struct vm;
struct vcpu;

/* A segment register with its hidden part. attributes: as in a descriptor's bits 40..55 (type, S,
 * DPL, P, 0000, AVL, L, D/B, G). */
struct segment {
	uint16_t selector;
	uint16_t attributes;
	uint32_t limit; /* in bytes: granularity already applied */
	uint64_t base;
};

#define SEGMENT_TYPE	  0x000fu
#define SEGMENT_S	  0x0010u
#define SEGMENT_DPL_SHIFT 5
#define SEGMENT_P	  0x0080u
#define SEGMENT_AVL	  0x1000u
#define SEGMENT_L	  0x2000u
#define SEGMENT_DB	  0x4000u
#define SEGMENT_G	  0x8000u
#define SEGMENT_UNUSABLE  0x0000u /* P clear */

struct table_register {
	uint64_t base;
	uint16_t limit;
};

enum vcpu_activity { VCPU_RUNNING, VCPU_HALTED, VCPU_WAIT_FOR_SIPI, VCPU_SHUTDOWN };

#define VCPU_XSAVE_SIZE                                                                            \
	1024 /* standard (not compacted) form: legacy 512, header 64, AVX at 576                   \
	      */

/* The architectural state. Arrays in the order of the register's encodings. */
struct vcpu_state {
	uint64_t gpr[16]; /* rax rcx rdx rbx rsp rbp rsi rdi r8..r15 */
	uint64_t rip;
	uint64_t rflags;
	struct segment segment[6]; /* es cs ss ds fs gs */
	struct segment ldtr, tr;
	struct table_register gdtr, idtr;
	uint64_t cr0, cr2, cr3, cr4, xcr0;
	uint64_t dr[8]; /* 4 and 5 unused */
	uint64_t efer, star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, tsc_aux, misc_enable, spec_ctrl, debugctl, xss;
	uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_variable[16];
	uint64_t tsc_offset;	   /* guest TSC = vm_tsc() + offset */
	uint64_t tsc_adjust;	   /* IA32_TSC_ADJUST: the part of it that the guest asked for */
	uint8_t activity;	   /* enum vcpu_activity */
	uint8_t interrupt_shadow;  /* of sti or mov ss: no interrupt before the next instruction is
				      done */
	uint8_t nmi_blocked;	   /* until iret */
	uint8_t exception_pending; /* an event whose delivery was begun and not finished (engines
				      that can stop there) */
	uint8_t exception_vector;
	uint8_t exception_has_error;
	uint32_t exception_error;
	_Alignas(64) uint8_t xsave[VCPU_XSAVE_SIZE];
};

/* vcpu->pending: reasons to leave the engine, set by any thread through vcpu_post. */
enum {
	PENDING_INTERRUPT = 1, /* the local APIC (or the PIC) has a vector for us */
	PENDING_NMI = 2,
	PENDING_INIT = 4,
	PENDING_SIPI = 8,
	PENDING_STOP = 16, /* vcpu_run is to return */
	PENDING_PAUSE = 32,
	PENDING_HOLD = 64, /* vm->held_until has become later */
};

/* Where the vcpu's thread is, so that vcpu_post knows what it takes to be noticed. */
enum vcpu_place { VCPU_OUTSIDE, VCPU_IN_ENGINE, VCPU_WAITING };

/* How the vcpu's interrupt controller is asked. Vm's lock held. */
struct interrupt_controller {
	/* Takes the vector to be delivered now (it becomes in service), or -1 if there is none
	 * after all. Where the engine has the APICs: the 8259s' vector. */
	int (*acknowledge)(struct vcpu *vcpu);
	/* The task priority register's bits 7:4, as CR8. NULL where the engine has the APICs. */
	uint64_t (*get_tpr)(struct vcpu *vcpu);
	void (*set_tpr)(struct vcpu *vcpu, uint64_t cr8);
	/* INIT arrived: the local APIC's part of it. */
	void (*init)(struct vcpu *vcpu);
	/* A level-triggered interrupt ended. Only where the engine has the APICs. */
	void (*eoi)(struct vcpu *vcpu, uint8_t vector);
};

struct vcpu {
	struct vm *vm;
	unsigned id;		 /* 0 is the bootstrap processor; also its initial APIC id */
	struct vcpu_state state; /* up to date whenever the engine does not run and vcpu_sync was
				    called */
	_Atomic uint32_t pending;
	_Atomic uint32_t place; /* enum vcpu_place */
	_Atomic uint32_t wake;	/* the host's: the token from host_vcpu_wake to host_vcpu_wait */
	bool parked;		/* vm's lock: its thread waits for vm_resume */
	uint8_t sipi_vector;	/* vm's lock */
	uint32_t signature; /* family, model, stepping as in CPUID leaf 1 EAX: found in EDX after
			       reset; set by the machine */
	struct space msrs;  /* MSRs of devices */
	const struct interrupt_controller *interrupts; /* NULL for none */
	void *interrupts_private;		       /* the local APIC */
	void *engine_private;
	void *host_private;
	struct halt halt;  /* the vcpu's thread */
	uint64_t exits[8]; /* by enum exit_kind, for statistics; the vcpu's thread */
	uint64_t
		slept; /* likewise: nanoseconds that it waited for an event, as far as core knows */
	uint64_t polled; /* likewise: those of them in which it kept the host's processor */
	uint64_t held;	 /* likewise: nanoseconds that it could have run and vm_hold kept it from */
};

/*
 * Power-on state (Intel SDM volume 3, table 9-1; 10-1 in newer editions), vcpu 0 running at the
 * reset vector, others waiting for SIPI. Its TSC begins at 0. Nothing is pending any more. The vcpu
 * does not run.
 */
void vcpu_reset(struct vcpu *vcpu);

/*
 * What an INIT message does to the state (same table, column INIT): FPU, SSE and AVX registers,
 * MTRRs, the TSC and most MSRs stay. Vcpu 0 goes to the reset vector, others wait for SIPI. The
 * vcpu does not run; vm's lock held.
 */
void vcpu_init(struct vcpu *vcpu);

/* What a start-up message with this vector does: real mode, running at vector << 12. */
void vcpu_start(struct vcpu *vcpu, uint8_t vector);

/*
 * Runs the vcpu on the calling thread until the vm stops (PENDING_STOP). Called by the host once
 * for each vcpu. Takes and drops the vm's lock itself.
 */
void vcpu_run(struct vcpu *vcpu);

/*
 * Carries out what the exit asks of devices (EXIT_PORT, EXIT_MEMORY, EXIT_MSR): takes the vm's
 * lock, finds the region, calls the device. Called by vcpu_run for engines that stop, and by
 * engines that can call in the middle of an instruction. Vm's lock not held.
 */
void vcpu_access(struct vcpu *vcpu, struct exit *exit);

/* Sets bits of enum PENDING_*, wakes the vcpu if it waits and kicks its engine if it runs. Any
 * thread, any lock state. */
void vcpu_post(struct vcpu *vcpu, uint32_t bits);
void vcpu_withdraw(struct vcpu *vcpu, uint32_t bits);

/*
 * The vector of the interrupt to be delivered now (acknowledged at its controller), or -1. The
 * engine calls it when PENDING_INTERRUPT is set and the guest would take an interrupt. Takes the
 * vm's lock.
 */
int vcpu_take_interrupt(struct vcpu *vcpu);

/*
 * Brings vcpu->state up to date with an engine that keeps it elsewhere. Before each look at it, and
 * each change, but for tsc_offset, which is always ours. The vcpu does not run: on its own thread,
 * or with all vcpus stopped.
 */
void vcpu_sync(struct vcpu *vcpu);

/* The engine has the APICs, and a level-triggered interrupt ended. Takes the vm's lock. */
void vcpu_end_of_interrupt(struct vcpu *vcpu, uint8_t vector);

/* Guest TSC now. */
uint64_t vcpu_tsc(const struct vcpu *vcpu);

#endif
