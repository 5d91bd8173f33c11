/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segment registers of the software engine: descriptors from the guest's tables, with the checks of
 * each way to load one (Intel SDM volume 3, chapter 5). What raises does so before anything but
 * accessed bits is changed.
 */
#ifndef TRANSLATE_SEGMENT_H
#define TRANSLATE_SEGMENT_H

#include "engines/translate/cpu.h"
#include "x86/registers.h"
#include "x86/segments.h"

static inline bool cpu_real(const struct cpu *cpu)
{
	return !(cpu->cr0 & CR0_PE);
}

static inline bool cpu_vm86(const struct cpu *cpu)
{
	return cpu->rflags & FLAG_VM;
}

static inline bool cpu_long(const struct cpu *cpu)
{
	return cpu->efer & EFER_LMA;
}

/* Protected mode proper: selectors name descriptors. */
static inline bool cpu_protected(const struct cpu *cpu)
{
	return !cpu_real(cpu) && !cpu_vm86(cpu);
}

static inline bool selector_null(uint16_t selector)
{
	return !(selector & 0xfffc);
}

/* A descriptor and where it is. */
struct descriptor {
	uint64_t low;
	uint64_t high;	 /* second half of a system descriptor in long mode; 0 if not read */
	uint64_t linear; /* address of the low half */
	struct segment segment;
};

/* Raises vector with the error code that a selector makes (EXT is added where it is due). */
_Noreturn void selector_fault(struct cpu *cpu, unsigned vector, uint16_t selector);

/* Reads what selector names. False if that is beyond the table's limit, or it is null. */
bool descriptor_try(struct cpu *cpu, uint16_t selector, struct descriptor *descriptor);
/* The same, raising vector(selector) instead; (0) for null. */
void descriptor_read(struct cpu *cpu, uint16_t selector, struct descriptor *descriptor,
		     unsigned vector);

/* The second half of a 16-byte descriptor, in long mode; raises vector(selector) beyond the limit
 * or if its type bits are not 0. */
void descriptor_read_high(struct cpu *cpu, uint16_t selector, struct descriptor *descriptor,
			  unsigned vector);

/* Sets the accessed bit (or the busy bit of a TSS) in memory and in descriptor->segment; clears
 * busy. */
void descriptor_mark_accessed(struct cpu *cpu, struct descriptor *descriptor);
void descriptor_set_busy(struct cpu *cpu, struct descriptor *descriptor, bool busy);

/* Loads ES, SS, DS, FS or GS as mov, pop and lss do, in any mode. */
void segment_load(struct cpu *cpu, unsigned number, uint16_t selector);

/* Real and virtual-8086 mode: what a load makes of a segment register. */
void segment_load_real(struct cpu *cpu, unsigned number, uint16_t selector);
void segment_load_vm86(struct cpu *cpu, unsigned number, uint16_t selector);

/* Null, unusable, base 0; for SS of long mode dpl says what CPL is. */
void segment_load_null(struct cpu *cpu, unsigned number, uint16_t selector, unsigned dpl);

/* A flat segment as syscall and its like make it. */
void segment_load_flat(struct cpu *cpu, unsigned number, uint16_t selector, uint16_t attributes);

/* Checks that SS may be loaded for privilege level cpl: raises vector(selector) (#GP or #TS),
 * #SS(selector) if not present; reads it. */
void stack_segment_read(struct cpu *cpu, uint16_t selector, unsigned cpl, unsigned vector,
			struct descriptor *descriptor);

/* After a return to an outer level: data segments that it may not use become null. */
void segments_drop_privileged(struct cpu *cpu, unsigned cpl);

/*
 * A stack that is not (yet) the current one. Pushing checks limits and raises #SS(error); nothing
 * of the cpu changes but memory.
 */
struct frame {
	struct segment ss;
	uint64_t sp;
	bool wide; /* 64-bit stack: no segmentation */
	uint32_t error;
	unsigned access; /* MMU_SYSTEM if it is a supervisor's */
};
struct frame frame_current(const struct cpu *cpu);
void frame_push(struct cpu *cpu, struct frame *frame, unsigned size, uint64_t value);
uint64_t frame_pop(struct cpu *cpu, struct frame *frame, unsigned size);
/* rsp becomes frame->sp, as wide as its stack segment says. */
void frame_set_rsp(struct cpu *cpu, const struct frame *frame);

/* Bits of RFLAGS that iret or popf of this operand size changes at the current privilege level. */
uint64_t flags_writable(const struct cpu *cpu, unsigned size);

/* Stack pointer of privilege level from the TSS, and outside long mode its SS. Raises #TS. */
void tss_stack(struct cpu *cpu, unsigned level, uint64_t *sp, uint16_t *ss);
uint64_t tss_ist(struct cpu *cpu, unsigned number); /* 1..7 */

#endif
