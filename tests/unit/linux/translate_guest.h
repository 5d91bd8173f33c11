/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bare 64-bit guest for tests of the software engine: 16 MiB mapped one to one (the first 2 MiB
 * by 4 KiB pages, all may be written, and run by anybody), code at GUEST_CODE, a stack, an IDT
 * whose every handler halts with its vector in r15 on a stack of its own. Code ends with hlt.
 */
#ifndef TESTS_TRANSLATE_GUEST_H
#define TESTS_TRANSLATE_GUEST_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/engine.h"
#include "core/vm.h"
#include "engines/translate/code_cache.h"
#include "engines/translate/cpu.h"
#include "engines/translate/engine.h"
#include "engines/translate/translate.h"
#include "test.h"
#include "x86/cpuid.h"

#define GUEST_TABLES 0x1000
#define GUEST_IDT    0x8000
#define GUEST_GDT    0x9000
#define GUEST_STUBS  0xa000 /* 16 bytes a vector */
#define GUEST_TSS    0xb000
#define GUEST_FAULTS 0x78000 /* the handlers' stack */
#define GUEST_STACK  0x80000
#define GUEST_CODE   0x100000
#define GUEST_DATA   0x200000
#define GUEST_MEMORY (16u << 20)

/* Guest code as a byte array name[] of name_size bytes. */
#define GUEST(name, text)                                                                          \
	__asm__(".pushsection .rodata\n" #name ":\n" text "\n" #name "_end:\n.popsection\n");      \
	extern const uint8_t name[], name##_end[]

struct guest {
	struct vm vm;
	struct cpu_model model;
	struct exit exit;
};

static inline void *guest_at(struct guest *guest, uint64_t address)
{
	return vm_slice(&guest->vm, gpa(address), 1);
}

static inline struct cpu *guest_cpu(struct guest *guest, unsigned number)
{
	return guest->vm.vcpus[number]->engine_private;
}

static inline void guest_map(struct guest *guest)
{
	uint64_t *table = guest_at(guest, GUEST_TABLES);

	table[0] = (GUEST_TABLES + 0x1000) | 7;
	table[512] = (GUEST_TABLES + 0x2000) | 7;
	table[1024] = (GUEST_TABLES + 0x3000) | 7;
	for (uint64_t i = 1; i < GUEST_MEMORY >> 21; i++)
		table[1024 + i] = i << 21 | 0x87;
	for (uint64_t i = 0; i < 512; i++)
		table[1536 + i] = i << 12 | 7;
}

static inline void guest_idt(struct guest *guest)
{
	uint64_t *idt = guest_at(guest, GUEST_IDT), *gdt = guest_at(guest, GUEST_GDT);
	uint8_t *stub = guest_at(guest, GUEST_STUBS);

	for (unsigned vector = 0; vector < 256; vector++, stub += 16) {
		uint64_t target = GUEST_STUBS + vector * 16;

		idt[vector * 2] = (target & 0xffff) | 8u << 16 | 1ull << 32 | 0x8eull << 40 |
				  (target >> 16 & 0xffff) << 48;
		idt[vector * 2 + 1] = 0;
		memcpy(stub,
		       (const uint8_t[]){0x41, 0xbf, (uint8_t)vector, 0, 0, 0, 0xf4, 0xeb, 0xfd},
		       9);
	}
	memcpy((uint8_t *)guest_at(guest, GUEST_TSS) + 36, &(uint64_t){GUEST_FAULTS}, 8);
	gdt[0] = 0;
	gdt[1] = 0x00af9b000000ffff;
	gdt[2] = 0x00cf93000000ffff;
}

static inline void guest_state(struct vcpu_state *state)
{
	static const struct segment code = {8, 0xa09b, 0xffffffff, 0},
				    data = {16, 0xc093, 0xffffffff, 0};

	memset(state->gpr, 0, sizeof(state->gpr));
	state->gpr[RSP] = GUEST_STACK;
	state->rip = GUEST_CODE;
	state->rflags = 2;
	for (unsigned i = 0; i < 6; i++)
		state->segment[i] = data;
	state->segment[SEGMENT_CS] = code;
	state->gdtr = (struct table_register){GUEST_GDT, 23};
	state->idtr = (struct table_register){GUEST_IDT, 4095};
	state->tr = (struct segment){24, 0x8b, 103, GUEST_TSS};
	state->cr0 = 0x80010033;
	state->cr3 = GUEST_TABLES;
	state->cr4 = 0x406b0; /* PSE PAE PGE, OSFXSR, OSXMMEXCPT, OSXSAVE */
	state->xcr0 = 7;
	state->efer = 0xd01;
	state->activity = VCPU_RUNNING;
}

static inline void guest_create(struct guest *guest, unsigned vcpus)
{
	struct cpuid_host host;

	memset(guest, 0, sizeof(*guest));
	cpuid_host_read(&host);
	cpu_model_limit(&guest->model, cpu_model_find("max"), &host);
	const struct vm_config config = {
		.vcpus = vcpus,
		.memory_size = GUEST_MEMORY,
		.hole_base = 0xc0000000,
		.engine = &engine_translate,
		.cpu_model = &guest->model,
	};
	REQUIRE(vm_create(&guest->vm, &config) == 0);
	vm_reset(&guest->vm);
	guest_map(guest);
	guest_idt(guest);
	for (unsigned i = 0; i < vcpus; i++)
		guest_state(&guest->vm.vcpus[i]->state);
}

/* Runs vcpu 0 from GUEST_CODE, with the code there, to its hlt. */
static inline struct vcpu_state *guest_run(struct guest *guest, const uint8_t *code,
					   const uint8_t *end)
{
	struct vcpu *vcpu = guest->vm.vcpus[0];

	memcpy(guest_at(guest, GUEST_CODE), code, (size_t)(end - code));
	engine_translate.run(vcpu, &guest->exit);
	EXPECT_EQ(guest->exit.kind, EXIT_HALT);
	return &vcpu->state;
}

/* Runs vcpu 0 from GUEST_CODE, while other(guest) runs in a thread of its own. */
static inline void guest_run_beside(struct guest *guest, void *(*other)(void *guest))
{
	pthread_t thread;

	REQUIRE(pthread_create(&thread, NULL, other, guest) == 0);
	engine_translate.run(guest->vm.vcpus[0], &guest->exit);
	pthread_join(thread, NULL);
}

static inline void *guest_kick(void *opaque)
{
	struct guest *guest = opaque;

	usleep(30000);
	atomic_fetch_or(&guest->vm.vcpus[0]->pending, PENDING_PAUSE);
	engine_translate.kick(guest->vm.vcpus[0]);
	return NULL;
}

/* For code without an end: runs vcpu 0 until it is kicked, some time later. */
static inline void guest_run_kicked(struct guest *guest)
{
	guest_run_beside(guest, guest_kick);
	EXPECT_EQ(guest->exit.kind, EXIT_KICKED);
}

#endif
