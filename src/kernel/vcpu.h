/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One processor of a machine, inside the kernel: what vcpu*.c share with each other and with the
 * vendor's part. guest.h has what others call.
 */
#ifndef KERNEL_VCPU_H
#define KERNEL_VCPU_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/clock.h"
#include "kernel/guest.h"
#include "kernel/thread.h"
#include "x86/apic.h"
#include "x86/insn.h"
#include "x86/mmio.h"
#include "x86/paging.h"

/* vcpu->wanted: what others ask of it. */
enum {
	WANTED_KICK = 1,      /* METAL_VCPU_KICK */
	WANTED_INTERRUPT = 2, /* its APIC may have an interrupt for it */
	WANTED_NMI = 4,
	WANTED_INIT = 8,
	WANTED_SIPI = 16,
};

/* vcpu->place: what it takes to make it look. */
enum { PLACE_OUTSIDE, PLACE_GUEST, PLACE_WAITING };

/* Something to be delivered when the guest is entered next. */
enum event_kind { EVENT_NONE, EVENT_INTERRUPT, EVENT_NONMASKABLE, EVENT_FAULT };

struct event {
	uint8_t kind; /* enum event_kind */
	uint8_t vector;
	bool has_error;
	uint32_t error;
};

/* Why the guest left, in words that every vendor shares. */
enum vcpu_exit_kind {
	VCPU_EXIT_HANDLED, /* the computer's own interrupt, or dealt with: enter it again */
	VCPU_EXIT_WINDOW,  /* it can take an interrupt or an NMI now */
	VCPU_EXIT_CPUID,
	VCPU_EXIT_MSR,	  /* write */
	VCPU_EXIT_PORT,	  /* write, string, port, size */
	VCPU_EXIT_MEMORY, /* address, fetch: nothing is mapped at this guest-physical address */
	VCPU_EXIT_HALT,
	VCPU_EXIT_CONTROL, /* mov to a control register */
	VCPU_EXIT_XSETBV,
	VCPU_EXIT_EXCEPTION, /* fault: was intercepted, and is the guest's to handle */
	VCPU_EXIT_SKIP,	     /* an instruction that does nothing here (wbinvd) */
	VCPU_EXIT_UNDEFINED, /* one that does not exist here */
	VCPU_EXIT_FORBIDDEN, /* one that raises #GP(0) here */
	VCPU_EXIT_SHUTDOWN,
	VCPU_EXIT_FAILED, /* code: what the processor said */
};

struct vcpu_exit {
	uint8_t kind;	/* enum vcpu_exit_kind */
	uint8_t reason; /* enum metal_exit_reason */
	bool write, string, fetch;
	uint8_t size;
	uint16_t port;
	uint64_t address, code;
	uint64_t next_rip; /* where the processor says it; 0: not known */
	struct event fault;
};

/*
 * A page of code, and the page-table entries that lead to it: as long as these are the same, so is
 * the page. Fewer than four: the last one again.
 */
struct fetch_page {
	uint64_t linear, cr3; /* linear: of the page, or FETCH_EMPTY */
	const uint64_t *entry[4];
	uint64_t value[4];
	const uint8_t *bytes; /* the page, in the direct map */
};

#define CPUID_XSAVE 0xdu /* the leaf that follows XCR0 */
/* Far from any address that code can be executed at. */
#define FETCH_EMPTY (UINT64_C(1) << 63)

#define CPUID_INDEX 32 /* leaves of each of the three ranges that are found by index */

struct cpuid_table {
	unsigned count;
	struct metal_cpuid entry[METAL_CPUID_MAX + 1];
	uint8_t first[3 * CPUID_INDEX + 1]; /* the leaf's first entry, METAL_CPUID_MAX: none */
};

struct vcpu {
	/*
	 * What the guest has in its registers. While it does not run: gpr, rip, rflags, cr0 to cr4,
	 * efer, dr6, dr7, interrupt_shadow. The vendor holds segments, tables and what the guest
	 * may write without an exit (vendor.h, store); the processor may hold dr0 to dr3 and xsave.
	 * cr8 is the APIC's.
	 */
	struct metal_state state;
	uint8_t cpl;
	struct guest *guest;
	unsigned id;
	struct metal_vcpu *page;
	void *vendor; /* the vendor's part */
	struct cpuid_table cpuid;
	uint64_t xcr0_allowed, cr4_allowed, arch_capabilities;
	struct paging_features paging_features;

	_Atomic bool busy; /* a thread of its process has its registers */
	_Atomic uint32_t place, wanted;
	struct thread *thread; /* who runs it, or did last */
	struct cpu *cpu;       /* where it ran last */
	struct cpu
		*_Atomic live; /* the processor that has its registers of vcpu_fpu.c; NULL: none */
	bool debug_live;       /* dr0 to dr3 are in the processor */
	bool runnable, nmi_pending;
	bool flush; /* the processor may hold translations that the guest expects to be gone */

	/* Interrupts. The APIC is under the guest's apic_lock; the rest is its thread's. */
	struct apic apic;
	struct timer timer;
	_Atomic uint64_t time_offset;
	uint8_t sipi_vector;
	int eoi_vector; /* a level-triggered interrupt ended; -1: none */
	struct event event;
	bool interrupt_window, nmi_window; /* tell when it can take one */
	bool tpr_window;		   /* tell when it writes CR8 */

	/* What is under way. */
	struct vcpu_exit exit;
	bool asked; /* the process has to answer this: */
	struct metal_exit question;
	struct mmio mmio;
	struct insn insn;
	struct fetch_page fetch;

	uint64_t exits[METAL_REASONS];
	uint64_t guest_ticks; /* of the TSC */
	unsigned logged;      /* lines about it */
};

/* Components of XCR0; bits of a segment's attributes. */
#define XCR0_X87	1u
#define XCR0_SSE	2u
#define XCR0_AVX	4u
#define ATTRIBUTES_LONG 0x2000
#define ATTRIBUTES_DB	0x4000
/* Of the XSAVE area (SDM 1, 13.4): which components are in it. */
#define XSAVE_HEADER 512

enum { GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP };

enum {
	EXCEPTION_DB = 1,
	EXCEPTION_UD = 6,
	EXCEPTION_GP = 13,
	EXCEPTION_PF = 14,
	EXCEPTION_AC = 17,
};

/* vcpu.c: asks it to look. apic_lock held. */
void vcpu_want(struct vcpu *vcpu, uint32_t bits);
void vcpu_destroy(struct vcpu *vcpu);
uint64_t vcpu_guest_time(const struct vcpu *vcpu); /* ns */

/* Counts an exit. */
static inline void vcpu_count(struct vcpu *vcpu, enum metal_exit_reason reason)
{
	vcpu->page->exits[reason] = ++vcpu->exits[reason];
}

/* Its process is asked this; true, as below. */
static inline bool vcpu_ask(struct vcpu *vcpu, enum metal_exit_kind kind, uint64_t address)
{
	vcpu->question = (struct metal_exit){.kind = kind, .address = address};
	return true;
}

/* vcpu_exits.c: what is to be done about vcpu->exit. True: the process is asked (vcpu->question).
 */
bool vcpu_handle(struct vcpu *vcpu);
/* The answer to vcpu->question has come. True: another question. */
bool vcpu_answered(struct vcpu *vcpu, uint64_t value);
/* The instruction is done: on to the next. */
void vcpu_skip_to(struct vcpu *vcpu, uint64_t rip);
/* The event was not delivered after all: interrupts wait again. */
void vcpu_event_give_back(struct vcpu *vcpu);
void vcpu_raise(struct vcpu *vcpu, uint8_t vector);
void vcpu_raise_error(struct vcpu *vcpu, uint8_t vector, uint32_t error);
/* A line about what a guest did that it should not have: the first few only. */
void vcpu_log(struct vcpu *vcpu, const char *format_text, ...)
	__attribute__((format(printf, 2, 3)));

/* vcpu_apic.c */
void vcpu_apic_init(struct vcpu *vcpu);
/* Whether something would end hlt. apic_lock not held, as below. */
bool vcpu_wakes(struct vcpu *vcpu);
/* Puts what is to be delivered into vcpu->event, sets the windows. True: the process is to be asked
 * for a vector of the 8259s. */
bool vcpu_deliver(struct vcpu *vcpu);
/* Takes an APIC that the process wrote. -EINVAL: it is none. */
int vcpu_apic_load(struct vcpu *vcpu, const uint8_t bytes[METAL_APIC_SIZE]);
void vcpu_apic_store(struct vcpu *vcpu, uint8_t bytes[METAL_APIC_SIZE]);
/* The vcpu is on another processor now: so should its timer be. */
void vcpu_apic_moved(struct vcpu *vcpu);
/* False: #GP. */
bool vcpu_apic_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool vcpu_apic_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);
void vcpu_apic_eoi(struct vcpu *vcpu);
/* An access to its page in memory. False: it has none there now. */
bool vcpu_apic_memory(struct vcpu *vcpu, struct mmio_access *access, uint64_t *value);
/* An interrupt whose delivery has failed goes back to where it came from. */
void vcpu_apic_give_back(struct vcpu *vcpu, uint8_t vector);
void vcpu_set_time(struct vcpu *vcpu, uint64_t time_offset, uint64_t tsc_offset);

static inline bool msr_is_apic(uint32_t number)
{
	return (number >= 0x800 && number <= 0x8ff) || number == 0x6e0 || number == 0x1b;
}

/* vcpu_cpuid.c. False: the table is not one. */
bool cpuid_table_set(struct cpuid_table *table, const struct metal_vcpu_config *config);
/* CR4 or XCR0 has changed. */
void cpuid_table_update(struct cpuid_table *table, uint64_t cr4, uint64_t xcr0);
/* The answer; NULL: zeroes. */
const struct metal_cpuid *cpuid_table_search(const struct cpuid_table *table, uint32_t leaf,
					     uint32_t subleaf);

static inline unsigned cpuid_index(uint32_t leaf)
{
	uint32_t low = leaf & 0x3fffffff, range = leaf >> 30;

	return low < CPUID_INDEX && range < 3 ? range * CPUID_INDEX + low : 3 * CPUID_INDEX;
}

static inline const struct metal_cpuid *cpuid_table_find(const struct cpuid_table *table,
							 uint32_t leaf, uint32_t subleaf)
{
	const struct metal_cpuid *entry = &table->entry[table->first[cpuid_index(leaf)]];

	/* The last one, which no leaf has, is never it. */
	return entry->leaf == leaf && (entry->any_subleaf || entry->subleaf == subleaf)
		       ? entry
		       : cpuid_table_search(table, leaf, subleaf);
}

/* vcpu_registers.c */
void vcpu_sanitize(struct vcpu *vcpu);
/* The processor refuses what the guest itself has put into control registers (emulators may check
 * less when these are written). False: that is not why. */
bool vcpu_repair(struct vcpu *vcpu);
bool vcpu_set_cr4(struct vcpu *vcpu, uint64_t value);
bool vcpu_set_efer(struct vcpu *vcpu, uint64_t value);
bool vcpu_set_xcr0(struct vcpu *vcpu, uint32_t number, uint64_t value);

/* vcpu_msr.c. False: #GP. */
bool vcpu_msr_read(struct vcpu *vcpu, uint32_t number, uint64_t *value);
bool vcpu_msr_write(struct vcpu *vcpu, uint32_t number, uint64_t value);

/* vcpu_memory.c: the guest's memory by its own page tables. */

/* Where a linear address is: what paging_walk says. */
bool vcpu_walk(struct vcpu *vcpu, uint64_t linear, unsigned access, struct paging_page *page);
/* Decodes the instruction at rip. False: an exception has been raised instead. */
bool vcpu_decode(struct vcpu *vcpu, struct insn *insn);
enum code_size vcpu_code_size(struct vcpu *vcpu);
/*
 * The bytes at a linear address of code that has just been executed in 64-bit mode, as a
 * little-endian number, if that is quick to find out; else 0.
 */
uint32_t vcpu_code_find(struct vcpu *vcpu, uint64_t linear, uint64_t cr3);

static inline uint32_t vcpu_code(struct vcpu *vcpu, uint64_t linear, uint64_t cr3)
{
	const struct fetch_page *page = &vcpu->fetch;
	uint64_t offset = linear - page->linear, different;

	if (offset > PAGE_SIZE - 4 || page->cr3 != cr3)
		return vcpu_code_find(vcpu, linear, cr3);
	different = __atomic_load_n(page->entry[0], __ATOMIC_RELAXED) ^ page->value[0];
	different |= __atomic_load_n(page->entry[1], __ATOMIC_RELAXED) ^ page->value[1];
	different |= __atomic_load_n(page->entry[2], __ATOMIC_RELAXED) ^ page->value[2];
	different |= __atomic_load_n(page->entry[3], __ATOMIC_RELAXED) ^ page->value[3];
	return different ? vcpu_code_find(vcpu, linear, cr3)
			 : *(const volatile uint32_t *)(page->bytes + offset);
}

/* vcpu_emulate.c: the instruction at rip, as far as it touches devices. True: the process is asked.
 */
bool vcpu_emulate(struct vcpu *vcpu);
bool vcpu_emulate_answer(struct vcpu *vcpu, uint64_t value);

/* vcpu_fpu.c: x87, vector and debug registers. */
void vcpu_fpu_processor_init(void);
void vcpu_fpu_sanitize(struct metal_state *state, uint64_t xcr0);
/* Into the processor, unless they are there; into memory. */
void vcpu_fpu_load(struct vcpu *vcpu);
void vcpu_fpu_save(struct vcpu *vcpu);
/* state.xcr0 is what the processor has. */
void vcpu_xcr0_refresh(struct vcpu *vcpu);
void vcpu_debug_load(struct vcpu *vcpu);
void vcpu_debug_save(struct vcpu *vcpu);

#endif
