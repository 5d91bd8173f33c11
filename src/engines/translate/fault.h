/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults of the host's own processor in code that carries out guest instructions: translated code,
 * and the interpreter's stubs (copy.h). The guest's #DE, #MF, #XM and the #GP of a misaligned
 * operand arise so.
 */
#ifndef TRANSLATE_FAULT_H
#define TRANSLATE_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engines/translate/cpu.h"

struct machine_code;

/* The host's registers at the fault, by their encodings, and its vector (enum EXCEPTION_*). */
struct fault {
	uint64_t gpr[16];
	uint64_t rip, rflags;
	uint64_t address; /* of a page fault */
	bool write;	  /* likewise */
	unsigned vector;
};

/*
 * Handles SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP for the whole process, on the alternate
 * stacks of its threads. A signal that is not a guest's fault ends the program as if there were no
 * handler. May be called again. 0, or a negative errno.
 */
int fault_handlers_install(void);

/* Tells that [start, start + size) is code's translated code. 0, or -ENOSPC. Before it runs; remove
 * when it no longer does. */
int fault_area_add(const void *start, size_t size, struct machine_code *code);
void fault_area_remove(const void *start);

/*
 * Is the fault the guest's? Then its state has been put into cpu, and the thread is to go on at
 * fault_resume (enter.h), which raises the exception. Called in the signal handler, on the vcpu's
 * thread; translated: rip is in translated code of cpu->code.
 */
bool fault_is_guest(struct cpu *cpu, const struct fault *fault, bool translated);

/*
 * Raises the exception that fault_is_guest has noted. Returns if the instruction has been carried
 * out instead, or is to begin anew: the code address to go on at.
 */
const void *fault_raise(struct cpu *cpu);

#endif
