/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vm on the software engine whose one vcpu is put into 64-bit, 32-bit or real mode by hand, with
 * tables to play with, so that a few bytes of code can be run until they halt.
 */
#ifndef TESTS_UNIT_TRANSLATE_FIXTURE_H
#define TESTS_UNIT_TRANSLATE_FIXTURE_H

#include <string.h>

#include "test.h"

#include "core/engine.h"
#include "core/vm.h"
#include "engines/translate/cpu.h"
#include "engines/translate/engine.h"
#include "engines/translate/mmu.h"
#include "engines/translate/translate.h"
#include "x86/cpuid.h"
#include "x86/registers.h"

#define MEMORY (16u << 20)

/* Where things are in guest memory. Linear is physical below 16 MiB. */
enum {
	PML4 = 0x1000,
	PDPT = 0x2000,
	PD = 0x3000,
	PT = 0x4000,  /* for tests: maps 0x40000000 on, nothing at first */
	PD2 = 0x5000, /* for that */
	GDT = 0x8000,
	IDT = 0x9000,
	TSS = 0xa000,
	CODE = 0x10000,
	USER_CODE = 0x18000,
	HANDLERS = 0x20000, /* of vector n: 16 bytes at HANDLERS + 16 * n; hlt */
	STACK = 0x40000,    /* top */
	STACK_0 = 0x48000,  /* RSP0 */
	STACK_IST = 0x50000,
	USER_STACK = 0x58000,
};
#define WINDOW 0x40000000u /* mapped by PT */

enum {
	KERNEL_CODE = 0x08,
	KERNEL_DATA = 0x10,
	USER_CODE_32 = 0x18,
	USER_DATA = 0x20,
	USER_CODE_64 = 0x28,
	KERNEL_CODE_32 = 0x30
};
enum { TSS_SELECTOR = 0x40, GDT_LIMIT = 0x7f };

static struct vm vm;
static struct cpu_model fixture_model;
static struct vcpu *vcpu;
static struct cpu *cpu;
static struct exit stopped;

static inline void put(uint64_t address, const void *bytes, size_t size)
{
	REQUIRE(vm_write(&vm, gpa(address), bytes, size) == 0);
}

static inline void put64(uint64_t address, uint64_t value)
{
	put(address, &value, 8);
}

static inline uint64_t get64(uint64_t address)
{
	uint64_t value = 0;

	REQUIRE(vm_read(&vm, gpa(address), &value, 8) == 0);
	return value;
}

static inline uint32_t get32(uint64_t address)
{
	return (uint32_t)get64(address);
}

static inline void put_gate(unsigned vector, uint64_t offset, uint16_t selector, unsigned type,
			    unsigned dpl, unsigned ist)
{
	put64(IDT + 16 * vector, (offset & 0xffff) | (uint64_t)selector << 16 |
					 (uint64_t)ist << 32 | (uint64_t)type << 40 |
					 (uint64_t)dpl << 45 | 1ull << 47 |
					 (offset >> 16 & 0xffff) << 48);
	put64(IDT + 16 * vector + 8, offset >> 32);
}

static inline void fixture_create(void)
{
	struct vm_config config = {.vcpus = 1,
				   .memory_size = MEMORY,
				   .hole_base = 1u << 30,
				   .engine = &engine_translate,
				   .cpu_model = &fixture_model};
	struct cpuid_host host;

	cpuid_host_read(&host);
	cpu_model_limit(&fixture_model, cpu_model_find("max"), &host);
	REQUIRE(vm_create(&vm, &config) == 0);
	vcpu = vm.vcpus[0];
	cpu = vcpu->engine_private;
	engine_interpret_only(&vm, true);
}

static inline void put_tables(void)
{
	static const uint64_t gdt[] = {0,
				       0x00af9b000000ffff,
				       0x00cf93000000ffff,
				       0x00cffb000000ffff,
				       0x00cff3000000ffff,
				       0x00affb000000ffff,
				       0x00cf9b000000ffff,
				       0,
				       0x00008b000000ffff | (uint64_t)TSS << 16,
				       0};

	put(GDT, gdt, sizeof(gdt));
	for (unsigned i = 0; i < 256; i++)
		put(HANDLERS + 16 * i, "\xf4", 1);
	put64(TSS + 4, STACK_0);
	put64(TSS + 36, STACK_IST);
	put64(TSS + 100, 0x00680000ull << 0 | 0x680000); /* I/O bitmap at 0x68 */
	put64(PML4, PDPT | 7);
	put64(PDPT, PD | 7);
	put64(PDPT + 8, PD2 | 7);
	put64(PD2, PT | 7);
	for (unsigned i = 0; i < MEMORY >> 21; i++)
		put64(PD + 8 * i, (uint64_t)i << 21 | 0x87);
}

static inline struct segment flat(uint16_t selector, uint16_t attributes)
{
	return (struct segment){
		.selector = selector, .attributes = attributes, .limit = 0xffffffff};
}

static inline void set_tables(uint32_t tss_limit)
{
	struct vcpu_state *state = &vcpu->state;

	state->gdtr = (struct table_register){.base = GDT, .limit = GDT_LIMIT};
	state->idtr = (struct table_register){.base = IDT, .limit = 0xfff};
	state->tr = (struct segment){
		.selector = TSS_SELECTOR, .attributes = 0x8b, .limit = tss_limit, .base = TSS};
	for (unsigned i = 0; i < 6; i++)
		state->segment[i] = flat(KERNEL_DATA, 0xc093);
	state->gpr[RSP] = STACK;
	state->rip = CODE;
	vm.engine->reset(vcpu);
}

/* 64-bit mode at CODE, level 0, interrupts off; all gates lead to halts. */
static inline void long_mode(void)
{
	struct vcpu_state *state = &vcpu->state;

	put_tables();
	for (unsigned i = 0; i < 256; i++)
		put_gate(i, HANDLERS + 16 * i, KERNEL_CODE, 14, 0, 0);
	state->cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_NE | CR0_ET;
	state->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_DE | CR4_FSGSBASE;
	state->cr3 = PML4;
	state->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
	set_tables(0xffff);
	state->segment[SEGMENT_CS] = flat(KERNEL_CODE, 0xa09b);
}

/* 32-bit protected mode without paging; 8-byte gates. */
static inline void protected_mode(void)
{
	put_tables();
	for (unsigned i = 0; i < 256; i++) {
		uint64_t offset = HANDLERS + 16 * i;

		put64(IDT + 8 * i, (offset & 0xffff) | KERNEL_CODE_32 << 16 | 0x8e0000000000 |
					   (offset >> 16) << 48);
	}
	put64(TSS + 4, STACK_0 | (uint64_t)KERNEL_DATA << 32);
	vcpu->state.cr0 = CR0_PE | CR0_NE | CR0_ET;
	set_tables(0xffff);
	vcpu->state.segment[SEGMENT_CS] = flat(KERNEL_CODE_32, 0xc09b);
}

/* At 0:CODE... real mode reaches only 64 KiB: code is at 0x1000, stack below 0x8000, vectors at 0
 * lead to 0:0x2000 + 16 n. */
#define REAL_CODE     0x1000
#define REAL_HANDLERS 0x2000
static inline void real_mode(void)
{
	struct vcpu_state *state = &vcpu->state;

	for (unsigned i = 0; i < 256; i++) {
		uint32_t entry = REAL_HANDLERS + 16 * i;

		put(4 * i, &entry, 4);
		put(entry, "\xf4", 1);
	}
	state->segment[SEGMENT_CS] = (struct segment){.attributes = 0x93, .limit = 0xffff};
	state->idtr = (struct table_register){.limit = 0x3ff};
	state->gpr[RSP] = 0x8000;
	state->rip = REAL_CODE;
	vm.engine->reset(vcpu);
}

/* Runs till hlt (or whatever else ends a run). */
static inline enum exit_kind run(void)
{
	vm.engine->run(vcpu, &stopped);
	return stopped.kind;
}

#define RUN(bytes) (put(vcpu->state.rip, bytes, sizeof(bytes) - 1), run())

/* For calls of the engine's own functions: the registers of vcpu->state become the cpu's. */
static inline void load(void)
{
	cpu_load(cpu, &vcpu->state);
	cpu->exit = &stopped;
}

/* Does the expression raise this vector? */
#define RAISES(expression, which)                                                                  \
	(__builtin_setjmp(cpu->unwind) ? cpu->event.vector == (which) : ((void)(expression), false))

#endif
