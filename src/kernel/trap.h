/* SPDX-License-Identifier: BSD-2-Clause */
/* Exceptions and interrupts of the processor itself. */
#ifndef KERNEL_TRAP_H
#define KERNEL_TRAP_H

#include <stdbool.h>
#include <stdint.h>

/* As trap_entry.S leaves it on the stack. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

static inline bool trap_from_user(const struct trap_frame *frame)
{
	return frame->cs & 3;
}

/* Exceptions with names of their own here. */
enum {
	EXCEPTION_NMI = 2,
	EXCEPTION_DOUBLE_FAULT = 8,
	EXCEPTION_GENERAL = 13,
	EXCEPTION_PAGE = 14,
	EXCEPTION_MACHINE_CHECK = 18,
};

/* Vectors of interrupts. */
enum {
	VECTOR_SERIAL = 0x30,
	VECTOR_TIMER = 0xe0,
	VECTOR_KICK = 0xe1, /* cpu_kick, cpu_call */
	VECTOR_SPURIOUS = 0xff,
};

/*
 * What trap.c calls. user_fault: an exception in a process, with interrupts off: the process page
 * faults in (true: go on there) or is ended (false is never returned: it does not come back).
 * user_return: after any interrupt that came while a process ran, before it goes on: schedules,
 * ends it if that was asked. Both in process.c.
 */
void user_fault(struct trap_frame *frame, uint64_t address);
void user_return(void);

/*
 * A fault at one of the few instructions that touch user memory (user_copy.S) goes on at its
 * fix-up. trap.c looks it up in the linker's table between these. Entries are pairs of addresses,
 * in the section .fix_ups ("a"). For page faults and general protection faults; all registers but
 * rip are then as at the instruction. smap.h has how to allow the access.
 */
struct fix_up {
	uint64_t at, go_on;
};
extern const struct fix_up fix_ups[], fix_ups_end[];

/* Makes this processor take its exceptions and interrupts here (the table is filled in once). */
void trap_init(void);
void trap_processor_init(void);

/* Called by trap_entry.S. */
void trap(struct trap_frame *frame);

#endif
