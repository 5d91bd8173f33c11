/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For 64-bit guests that attack the system side: descriptor tables of their own, code run with all
 * registers known until it traps, page tables entry by entry, other processors, local APIC.
 */
#ifndef TESTS_GUESTS_SYSTEM_H
#define TESTS_GUESTS_SYSTEM_H

#include "guest.h"

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);

/* Descriptor tables, after system_init(). */

#define CODE_32	  0x08
#define DATA_0	  0x10
#define CODE_64	  0x18
#define CODE_16	  0x20
#define USER_32	  (0x28 | 3) /* the order that syscall and sysret want: 32, data, 64 */
#define USER_DATA (0x30 | 3)
#define USER_64	  (0x38 | 3)
#define TSS_0	  0x40 /* 16 bytes; the first processor's */
#define GDT_FREE  0x50 /* from here on: the test's own */
#define GDT_COUNT 64

/*
 * Physical memory from 0 to 64 MiB appears a second time here, for CPL 3, in pages of 2 MiB. What
 * is at p for the kernel is at user_alias(p) for the user.
 */
#define USER_BASE     0x40000000ull
#define user_alias(p) ((uint64_t)(uintptr_t)(p) + USER_BASE)

struct tss {
	uint32_t reserved;
	uint64_t rsp[3];
	uint64_t ist[8]; /* 1 to 7; 0 is reserved */
	uint64_t reserved_2;
	uint16_t reserved_3, io_map;
	uint8_t ports[32]; /* bits: 1 means #GP at CPL 3 */
	uint8_t end;
} __attribute__((packed));

extern uint64_t gdt_table[GDT_COUNT];
extern struct tss tss;
extern uint32_t idt_table[256][4]; /* 16 bytes each (Volume 3, 6.14.1) */

/* GDT, TSS, rsp0, stacks for IST 1 and 2. Once, first. */
void system_init(void);

/* Bits of an IDT entry: DPL, IST, present. */
void gate_set(unsigned int vector, unsigned int dpl, unsigned int ist, bool present);

/* Code that runs until it traps */

/*
 * Loads all of `state` and goes there by iretq; the first exception, or interrupt without a handler
 * of trap_set's, ends it, and leaves in `state` the registers as they were pushed. Every vector
 * uses IST 1 meanwhile, so any rsp will do. Returns the vector. If iretq itself faulted, state->ip
 * is state_iretq.
 */
unsigned int state_run(struct trap *state);
extern const char state_iretq[];

/*
 * A state at `ip` with the selectors of CPL 0 or 3, on state_stack, interrupts off. For CPL 3, ip
 * and sp are the user's aliases.
 */
void state_init(struct trap *state, const void *ip, bool user);
extern uint8_t state_stack[16384] __attribute__((aligned(4096)));

/* Fails unless vector, error and (for #PF) cr2 are these. */
#define EXPECT_TRAP(state, vector_, error_)                                                        \
	(EXPECT_EQ((state)->vector, vector_), EXPECT_EQ((state)->error, error_))

/* A piece of code between two labels: CODE(name, "text"); is then name[] up to name_end[]. */
#define CODE(name, text)                                                                           \
	asm(".pushsection .text\n.balign 16\n.globl " #name "\n" #name ":\n" text                  \
	    "\n.globl " #name "_end\n" #name "_end:\n.popsection");                                \
	extern const uint8_t name[], name##_end[]

/* Control registers */

#define CONTROL_REGISTER(n)                                                                        \
	static inline uint64_t cr##n##_read(void)                                                  \
	{                                                                                          \
		uint64_t value;                                                                    \
		asm volatile("mov %%cr" #n ", %0" : "=r"(value)::"memory");                        \
		return value;                                                                      \
	}                                                                                          \
	static inline void cr##n##_write(uint64_t value)                                           \
	{                                                                                          \
		asm volatile("mov %0, %%cr" #n ::"r"(value) : "memory");                           \
	}
CONTROL_REGISTER(0)
CONTROL_REGISTER(2)
CONTROL_REGISTER(3)
CONTROL_REGISTER(4)
CONTROL_REGISTER(8)

/* Page tables (Volume 3, 4.5) */

#define P_PRESENT  1ull
#define P_WRITE	   2ull
#define P_USER	   4ull
#define P_ACCESSED 0x20ull
#define P_DIRTY	   0x40ull
#define P_LARGE	   0x80ull
#define P_GLOBAL   0x100ull
#define P_NX	   (1ull << 63)

/* An empty page for tables or data, below 4 GiB, mapped one to one; never given back. */
void *page_new(void);
/*
 * The entry of `linear` at a level (0: a page table's, 1: page directory's, 2: directory pointers',
 * 3: level 4) under the top table `root` (0: CR3's); makes the tables above it, with all rights.
 */
uint64_t *page_entry(uint64_t root, uint64_t linear, unsigned int level);
/* Sets the entry of a 4 KiB page and drops it from the TLB. */
void page_map(uint64_t linear, uint64_t physical, uint64_t bits);
/* A second set of tables that shares the low 512 GiB's with the current one. */
uint64_t root_new(void);

static inline void page_invalidate(uint64_t linear)
{
	asm volatile("invlpg (%0)" ::"r"(linear) : "memory");
}

/* Local APIC (xAPIC) and the other processors */

#define LAPIC 0xfee00000ull
static inline uint32_t lapic_read(unsigned int offset)
{
	return *(volatile uint32_t *)(LAPIC + offset);
}
static inline void lapic_write(unsigned int offset, uint32_t value)
{
	*(volatile uint32_t *)(LAPIC + offset) = value;
}
/* Software-enabled, spurious vector 255, all priorities let through. */
void lapic_enable(void);
void lapic_eoi(void);
/* Sends an interrupt command and waits until it has gone. */
void lapic_command(uint32_t apic_id, uint32_t low);

#define PROCESSORS_MAX 32
/*
 * Starts all others by INIT and SIPI; each runs `main(index)`, index from 1, in 64-bit mode on its
 * own stack with the same page tables and IDT, its TSS loaded. Returns how many processors there
 * are in all.
 */
unsigned int processors_start(void (*main)(unsigned int index));
/* Of the one that asks: 0 the first. APIC ids are consecutive here. */
unsigned int processor_index(void);

static inline void pause(void)
{
	asm volatile("pause" ::: "memory");
}

/* Waits until *value is at least `wanted`; false after about twenty seconds. */
bool wait_for(volatile uint32_t *value, uint32_t wanted);

#endif
