/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Carries out one instruction whose memory operand is a device's (or which is ins or outs), for
 * engines that run the guest on the processor itself and are told of the fault only.
 *
 * A device's answer may take a while and come from elsewhere. So the instruction is begun again
 * with the answers that are known so far: its accesses to devices are made in the same order each
 * time, the n-th takes the n-th answer, and the first without one ends the attempt with
 * MMIO_ACCESS. All operands are found before the first of them is accessed, and RAM and registers
 * change only when all is known. A repeated string instruction is carried out one element at a
 * time, with its registers right in between (and rip staying until the last).
 *
 * Source: Intel SDM volume 2. Known: mov in all forms (movzx, movsx, movsxd, movbe, moffs, movnti,
 * cmov, set, vector loads and stores of up to 32 bytes cut into pieces of 8), the arithmetic and
 * logic groups, test, cmp, inc, dec, neg, not, shifts and rotates, xchg, xadd, cmpxchg, the bt
 * group, push, pop, near call, jmp and ret, movs, stos, lods, scas, cmps, ins, outs. Others:
 * MMIO_UNKNOWN.
 *
 * Not modelled: what the processor has looked at before it tells of the fault: privileges, CR0.TS,
 * whether the feature is there; alignment checks; CET. Trap flag, interrupt shadow and RFLAGS.RF
 * are the caller's.
 *
 * Pure: no state but its arguments.
 */
#ifndef X86_MMIO_H
#define X86_MMIO_H

#include <stdbool.h>
#include <stdint.h>

#include "x86/insn.h"

#define MMIO_ANSWERS_MAX 8

enum mmio_result {
	MMIO_DONE,    /* registers are as after it (or after one element of it) */
	MMIO_ACCESS,  /* `access` is to be made, its answer given to mmio_answer, and mmio_emulate
			 called again */
	MMIO_FAULT,   /* the guest is to get exception `vector`, with `error` if `has_error`; of a
			 page fault `address` is cr2 */
	MMIO_UNKNOWN, /* no such instruction here */
	MMIO_RETRY,   /* it touches no device (any more): let the processor do it */
};

struct mmio_access {
	bool port; /* ins, outs */
	bool write;
	uint8_t size;	  /* 1, 2, 4, 8 */
	uint64_t address; /* guest-physical, or the port */
	uint64_t value;	  /* to be written */
};

struct mmio;

struct mmio_ops {
	/*
	 * Finds guest-physical memory for [linear, linear + size), which lies in one page; size is
	 * 1..32. access as in paging.h (PAGING_WRITE, PAGING_USER, PAGING_AC). MMIO_DONE: *ram is
	 * where it is in host memory, or NULL and *physical if it is a device's; MMIO_FAULT:
	 * vector, error and address are set.
	 */
	enum mmio_result (*find)(struct mmio *mmio, uint64_t linear, unsigned size, unsigned access,
				 void **ram, uint64_t *physical);
	/* Vector register `number` (0..15): its low `size` (4..32) bytes; a store zeroes what is
	 * above if `zero_above` says so. NULL if vector registers can't be reached. */
	void (*vector_get)(struct mmio *mmio, unsigned number, unsigned size, uint8_t *bytes);
	void (*vector_set)(struct mmio *mmio, unsigned number, unsigned size, const uint8_t *bytes,
			   bool zero_above);
};

/* One instruction under way. */
struct mmio {
	const struct mmio_ops *ops;
	void *context; /* the caller's */
	/* The registers, in and out. */
	uint64_t gpr[16], rip, rflags;
	uint64_t segment_base[6]; /* 0 in 64-bit code, but fs and gs */
	uint32_t segment_limit[6];
	/* A bit for each segment: what is unusual about it. Not looked at in 64-bit code. */
	uint8_t expand_down, unreadable, unwritable;
	uint8_t cpl;
	enum code_size code_size;
	enum code_size
		stack_size; /* of ss: its B, as CODE_32 or CODE_16; not looked at in 64-bit code
			     */
	/* What came out. */
	uint8_t vector;
	bool has_error;
	uint32_t error;
	uint64_t address;
	struct mmio_access access;
	/* How far it is. */
	unsigned answers, asked;
	bool touched_device;
	uint64_t answer[MMIO_ANSWERS_MAX];
};

/* Forgets the answers: another instruction, or the next element. */
void mmio_begin(struct mmio *mmio);

/* Tries to carry out the instruction, decoded from the bytes at rip. */
enum mmio_result mmio_emulate(struct mmio *mmio, const struct insn *insn);

/* The answer to `access`: what was read (for a write, anything). */
void mmio_answer(struct mmio *mmio, uint64_t value);

#endif
