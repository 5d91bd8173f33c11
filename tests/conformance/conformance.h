/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPU conformance with the host's processor as oracle: generated instruction sequences run natively
 * and in the guest, in the interpreter and in the translator, and must leave the same registers,
 * flags and memory.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <stdbool.h>
#include <stdint.h>

/* Where code and data lie, natively and in the guest alike (linear addresses). */
#define CODE_ADDRESS 0x20000000u
#define CODE_SIZE    0x2000u
#define DATA_ADDRESS 0x20100000u
#define DATA_SIZE    0x4000u
#define DATA_MIDDLE  (DATA_ADDRESS + DATA_SIZE / 2)

#define SEQUENCE_INSNS_MAX 16
#define SEQUENCE_BYTES_MAX (SEQUENCE_INSNS_MAX * 15)

/* What a sequence starts from, and what it leaves. */
struct machine_state {
	uint64_t gpr[16];
	uint64_t rip;
	uint64_t rflags;
	uint32_t exception; /* 0xff: none; else the vector, and rip is the faulting instruction */
	_Alignas(64) uint8_t xsave[1024];
	uint8_t data[DATA_SIZE];
};

struct sequence {
	unsigned count;
	unsigned offset[SEQUENCE_INSNS_MAX]; /* of each instruction in bytes */
	unsigned length[SEQUENCE_INSNS_MAX];
	uint32_t undefined[SEQUENCE_INSNS_MAX]; /* status flags that are undefined behind each */
	unsigned size;				/* bytes in all */
	uint8_t bytes[SEQUENCE_BYTES_MAX];
	uint32_t code_offset; /* of the first byte from CODE_ADDRESS */
	struct machine_state start;
};

/* generate.c: fills the sequence from the seed: the same seed gives the same sequence. */
void sequence_generate(struct sequence *sequence, uint64_t seed);
/* Recomputes offsets, bytes and undefined flags without the instruction `which`. */
void sequence_drop(struct sequence *sequence, unsigned which);
/* Only sequences whose every instruction is (not) of vector kind: "integer", "sse", "avx", "all".
 */
bool generate_select(const char *kind);

/* native.c: runs it on this processor. native_create comes after guest_create, whose fault handlers
 * it leaves the engine's faults to. */
int native_create(void);
void native_run(const struct sequence *sequence, struct machine_state *end);

/* guest.c: runs it in a vm of the software engine. */
int guest_create(void);
void guest_destroy(void);
enum way { WAY_INTERPRET, WAY_TRANSLATE, WAY_WINDOWS, WAY_COUNT };
void guest_run(const struct sequence *sequence, struct machine_state *end, enum way way);

#endif
