/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * COPY instructions in the interpreter: the host's own processor carries them out, in a stub. A
 * stub is a C function made of the instruction encoded again between loads and stores of the guest
 * registers that it uses; stubs are kept by their encoded bytes and the registers behind them;
 * there is no address in either, so one serves every instruction of the same kind.
 */
#ifndef TRANSLATE_COPY_H
#define TRANSLATE_COPY_H

#include "engines/translate/code_memory.h"
#include "engines/translate/cpu.h"

#define COPY_BUCKETS 4096u

struct copy_stub {
	uint8_t bytes[16]; /* the instruction as encoded; bytes[15] is its length */
	uint32_t plan;	   /* which guest registers it uses, and where rsp is */
	uint8_t *code;
};

/* One vcpu's stubs. */
struct copy {
	struct code_memory memory;
	size_t used;
	struct copy_stub stub[COPY_BUCKETS];
};

int copy_create(struct copy *copy);
void copy_destroy(struct copy *copy);

/* Forgets all stubs, and gives their memory back. The vcpu runs none. */
void copy_trim(struct copy *copy);

/* Carries out the COPY instruction at cpu->rip, which has passed all checks but those of its memory
 * operand and its own (#DE, ...). */
void copy_run(struct cpu *cpu, const struct insn *insn);

/* Is this host address in a stub of this vcpu? Then a fault there is the guest's. */
bool copy_owns(const struct cpu *cpu, uint64_t host);

#endif
