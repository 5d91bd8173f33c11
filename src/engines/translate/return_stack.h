/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The return stack: where calls of translated code came from, so that the host's processor predicts
 * the guest's returns (docs/translate.md). It is the host's stack while translated code runs. A
 * call of the guest's in a block whose mode_has_returns is a call of the host's, and a return one
 * of the host's; where that comes out it is compared with what the guest wanted
 * (translate_return.c). So what is on it is only a hint.
 *
 * But it leads into blocks past their entries, and an address alone says nothing of who may run
 * them: user code has a stack of its own, and all other code another. Each is emptied by C, on its
 * vcpu's thread, when translations of addresses may have changed (with the jump caches), and before
 * code goes on in another mode, or after any block has been dropped, as a processor would have to
 * see by then.
 *
 * Below it is a page without access. Who gets there does the call once more with an empty one
 * (linux_signal.c).
 */
#ifndef TRANSLATE_RETURN_STACK_H
#define TRANSLATE_RETURN_STACK_H

#include "engines/translate/cpu.h"

/* False if there is no memory. Before the vcpu runs; destroy when it no longer does. */
bool return_stack_create(struct cpu *cpu);
void return_stack_destroy(struct cpu *cpu);

/* User code's, or all. */
void return_stack_empty(struct cpu *cpu, bool all);

/* Before translated code goes on: chooses the one that is for cpu->view. */
void return_stack_check(struct cpu *cpu);

/* Is the host address in the page below? May be called in a signal handler. */
bool return_stack_overflows(const struct cpu *cpu, uint64_t host);

#endif
