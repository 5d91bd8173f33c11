/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One processor: what it can do, its tables, its control registers. AMD APM volume 2, chapters 3, 4
 * and 12; Intel SDM volume 3, chapters 2 and 8.
 */
#include "kernel/cpu.h"

#include <stddef.h>

#include "kernel/address.h"
#include "kernel/frame.h"
#include "kernel/page.h"
#include "kernel/register.h"
#include "kernel/smp.h"
#include "kernel/trap.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "x86/msr.h"
#include "x86/registers.h"

/* What the assembly knows (trap_entry.S, entry.S, switch.S). */
_Static_assert(offsetof(struct cpu, self) == 0, "trap_entry.S");
_Static_assert(offsetof(struct cpu, kernel_stack) == 8, "entry.S");
_Static_assert(offsetof(struct cpu, user_stack) == 16, "entry.S");
_Static_assert(offsetof(struct cpu, thread) == 24, "switch.S");
_Static_assert(sizeof(struct trap_frame) == 176, "trap_entry.S");

struct __attribute__((packed)) task_state {
	uint32_t reserved0;
	uint64_t stack[3];
	uint64_t reserved1;
	uint64_t interrupt_stack[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t port_map; /* behind the limit: processes reach no ports */
};

#define EXCEPTION_STACKS 3

struct cpu_tables {
	uint64_t gdt[7];
	struct task_state task;
};

/* A page of its own for each. */
struct cpu_page {
	struct cpu cpu;
	struct cpu_tables tables;
};
_Static_assert(sizeof(struct cpu_page) <= PAGE_SIZE, "one page");

/* PAT as at reset: write-back, write-through, uncached minus, uncached, twice. */
#define PAT_DEFAULT UINT64_C(0x0007040600070406)

static _Alignas(PAGE_SIZE) struct cpu_page first;

struct cpu_features cpu_features;

/* Leaf, register (eax ebx ecx edx) and bit of what is asked for, and the bit of CR4 that it brings.
 */
static const struct {
	bool *have;
	uint64_t cr4;
	uint32_t leaf;
	uint8_t number, bit;
} feature_bits[] = {
	{&cpu_features.x2apic, 0, 1, 2, 21},
	{&cpu_features.tsc_deadline, 0, 1, 2, 24},
	{&cpu_features.xsave, CR4_OSXSAVE, 1, 2, 26},
	{&cpu_features.rdrand, 0, 1, 2, 30},
	{&cpu_features.fsgsbase, CR4_FSGSBASE, 7, 1, 0},
	{&cpu_features.gigabyte_pages, 0, 0x80000001, 3, 26},
	{NULL, CR4_PCIDE, 1, 2, 17},
	{NULL, CR4_SMEP, 7, 1, 7},
	{NULL, CR4_SMAP, 7, 1, 20},
	{NULL, CR4_UMIP, 7, 2, 2},
};

/* Zeroes if the processor does not have the leaf. */
static void cpuid_try(uint32_t leaf, uint32_t r[4])
{
	cpuid_read(leaf & 0x80000000, 0, r);
	if (r[0] >= leaf)
		cpuid_read(leaf, 0, r);
	else
		r[0] = r[1] = r[2] = r[3] = 0;
}

static void find_features(void)
{
	struct cpu_features *f = &cpu_features;
	uint32_t r[4];

	f->cr4 = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE |
		 CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	for (unsigned i = 0; i < ARRAY_LENGTH(feature_bits); i++) {
		cpuid_try(feature_bits[i].leaf, r);
		if (!(r[feature_bits[i].number] >> feature_bits[i].bit & 1))
			continue;
		f->cr4 |= feature_bits[i].cr4;
		if (feature_bits[i].have)
			*feature_bits[i].have = true;
	}
	cpuid_try(1, r);
	f->xcr0 = f->xsave && r[2] >> 28 & 1 ? 7 : 3;
	cpuid_try(0x80000008, r);
	f->physical_bits = r[0] ? r[0] & 0xff : 36;
}

static void load_tables(struct cpu *cpu)
{
	struct cpu_tables *tables = cpu->tables;
	uint64_t task = (uint64_t)&tables->task;
	struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} pointer = {sizeof(tables->gdt) - 1, (uint64_t)tables->gdt};

	tables->gdt[SELECTOR_KERNEL_CODE / 8] = 0x00af9b000000ffff;
	tables->gdt[SELECTOR_KERNEL_DATA / 8] = 0x00cf93000000ffff;
	tables->gdt[SELECTOR_USER_DATA / 8] = 0x00cff3000000ffff;
	tables->gdt[SELECTOR_USER_CODE / 8] = 0x00affb000000ffff;
	tables->gdt[SELECTOR_TSS / 8] = (sizeof(tables->task) - 1) | bits_get(task, 23, 0) << 16 |
					UINT64_C(0x89) << 40 | bits_get(task, 31, 24) << 56;
	tables->gdt[SELECTOR_TSS / 8 + 1] = task >> 32;
	tables->task.port_map = sizeof(tables->task);

	__asm__ volatile("lgdt %0" : : "m"(pointer));
	__asm__ volatile("pushq %0\n\t"
			 "leaq 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n"
			 "1:\tmovl %1, %%eax\n\t"
			 "movl %%eax, %%ds\n\t"
			 "movl %%eax, %%es\n\t"
			 "movl %%eax, %%ss\n\t"
			 "xorl %%eax, %%eax\n\t"
			 "movl %%eax, %%fs\n\t"
			 "movl %%eax, %%gs\n\t"
			 "lldt %%ax\n\t"
			 "movl %2, %%eax\n\t"
			 "ltr %%ax"
			 :
			 : "i"(SELECTOR_KERNEL_CODE), "i"(SELECTOR_KERNEL_DATA), "i"(SELECTOR_TSS)
			 : "rax", "memory");
	/* Loading gs has cleared its base. */
	msr_write(MSR_GS_BASE, (uint64_t)cpu);
	msr_write(MSR_KERNEL_GS_BASE, 0);
	msr_write(MSR_FS_BASE, 0);
}

void cpu_init_first(void)
{
	first.cpu.self = &first.cpu;
	first.cpu.tables = &first.tables;
	find_features();
	load_tables(&first.cpu);
	trap_init();
	trap_processor_init();
}

/* Where each exception of trap.c's three finds its stack, with the struct cpu above its top. */
int cpu_create_stacks(struct cpu *cpu)
{
	struct cpu_tables *tables = cpu->tables;

	for (unsigned i = 0; i < EXCEPTION_STACKS; i++) {
		uint64_t top = stack_create();

		if (!top)
			return -ENOMEM;
		top -= 16;
		*(struct cpu **)top = cpu;
		tables->task.interrupt_stack[i] = top;
	}
	return 0;
}

struct cpu *cpu_create(uint32_t id, uint32_t apic_id)
{
	struct cpu_page *page = kernel_pages(sizeof(*page));

	if (!page)
		return NULL;
	page->cpu.self = &page->cpu;
	page->cpu.tables = &page->tables;
	page->cpu.id = id;
	page->cpu.apic_id = apic_id;
	if (cpu_create_stacks(&page->cpu))
		return NULL;
	return &page->cpu;
}

void cpu_processor_init(struct cpu *cpu)
{
	const struct cpu_features *f = &cpu_features;
	uint64_t wanted = CR4_UMIP | CR4_SMEP | CR4_SMAP | CR4_OSXSAVE;

	cr0_write(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE);
	cr4_write(CR4_PAE | CR4_PGE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT | (f->cr4 & wanted));
	msr_write(MSR_PAT, PAT_DEFAULT);
	if (f->xsave)
		xcr0_write(f->xcr0);
	cpu_fpu_off();
	load_tables(cpu);
	trap_processor_init();
}

void cpu_fpu_off(void)
{
	cr0_write(cr0_read() | CR0_TS);
}

void cpu_stack_set(uint64_t top)
{
	struct cpu *cpu = cpu_this();
	struct cpu_tables *tables = cpu->tables;

	cpu->kernel_stack = top;
	tables->task.stack[0] = top;
}

void cpu_idle(void)
{
	/* An interrupt between the two is taken behind the second only: it ends the sleep. */
	__asm__ volatile("sti; hlt; cli" ::: "memory");
}

void cpu_take_interrupts(void)
{
	/* Taken behind the nop: sti holds them off for one instruction. */
	__asm__ volatile("sti; nop; cli" ::: "memory");
}
