/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 32-bit paging with 4 KiB and 4 MiB pages, and PAE paging, from protected mode. Source: Intel SDM
 * volume 3, 4.3 and 4.4.
 *	lodge: --cpus 1
 */
#include "guest.h"

#define AREA 0x80000000u

static uint32_t directory[1024] __attribute__((aligned(4096)));
static uint32_t table[1024] __attribute__((aligned(4096)));
static uint64_t pointers[4] __attribute__((aligned(32)));
static uint64_t wide_directory[2][512] __attribute__((aligned(4096)));
static uint64_t wide_table[512] __attribute__((aligned(4096)));
static uint32_t page[1024] __attribute__((aligned(4096)));

#define REGISTER(name, text)                                                                       \
	static uint32_t name##_read(void)                                                          \
	{                                                                                          \
		uint32_t value;                                                                    \
		asm volatile("mov %%" text ", %0" : "=r"(value)::"memory");                        \
		return value;                                                                      \
	}                                                                                          \
	__attribute__((unused)) static void name##_write(uint32_t value)                           \
	{                                                                                          \
		asm volatile("mov %0, %%" text ::"r"(value) : "memory");                           \
	}
REGISTER(cr0, "cr0")
REGISTER(cr2, "cr2")
REGISTER(cr3, "cr3")
REGISTER(cr4, "cr4")

static void invalidate(uint32_t at)
{
	asm volatile("invlpg (%0)" ::"r"(at) : "memory");
}

static int load(uint32_t at)
{
	return TRAP_OF("mov (%%ebx), %%eax", "b"(at));
}

static int store(uint32_t at)
{
	return TRAP_OF("movl $0x77, (%%ebx)", "b"(at));
}

static void test_32(void)
{
	/* 4 MiB pages one to one for all but the area. */
	for (uint32_t i = 0; i < 1024; i++)
		directory[i] = i << 22 | 0x83;
	directory[AREA >> 22] = (uint32_t)table | 7;
	table[0] = (uint32_t)page | 3;
	table[1] = (uint32_t)page | 1;
	cr4_write(cr4_read() | 0x10); /* PSE */
	cr3_write((uint32_t)directory);
	cr0_write(cr0_read() | 0x80010000);
	page[0] = 42;
	EXPECT_EQ(*(volatile uint32_t *)AREA, 42);
	EXPECT_EQ(table[0] & 0x60, 0x20);
	EXPECT_EQ(store(AREA), -1);
	EXPECT_EQ(page[0], 0x77);
	EXPECT_EQ(table[0] & 0x60, 0x60);
	EXPECT_EQ(load(AREA + 4096), -1);
	EXPECT_EQ(store(AREA + 4096 + 8), 14);
	EXPECT_EQ(trap_error, 3);
	EXPECT_EQ(cr2_read(), AREA + 4096 + 8);
	EXPECT_EQ(load(AREA + 8192), 14);
	EXPECT_EQ(trap_error, 0);
	EXPECT(directory[0] & 0x20); /* the large page that runs */
	/* WP. */
	cr0_write(cr0_read() & ~0x10000u);
	EXPECT_EQ(store(AREA + 4096), -1);
	cr0_write(cr0_read() | 0x10000);
	EXPECT_EQ(store(AREA + 4096), 14);
	/* A directory entry that forbids. */
	directory[AREA >> 22] &= ~2u;
	cr3_write((uint32_t)directory);
	EXPECT_EQ(store(AREA), 14);
	directory[AREA >> 22] |= 2;
	cr3_write((uint32_t)directory);
	EXPECT_EQ(store(AREA), -1);
	/* A large page elsewhere, and bit 21 of it reserved. */
	directory[(AREA >> 22) + 1] = ((uint32_t)page & 0xffc00000) | 0x83;
	EXPECT_EQ(*(volatile uint32_t *)(AREA + 0x400000 + ((uint32_t)page & 0x3fffff)), 0x77);
	directory[(AREA >> 22) + 1] |= 1 << 21;
	invalidate(AREA + 0x400000 + 0x3ff000);
	EXPECT_EQ(load(AREA + 0x400000), 14);
	EXPECT_EQ(trap_error, 9);
	/* Across two pages, the second read-only: nothing is stored. */
	page[1023] = 0x11223344;
	EXPECT_EQ(store(AREA + 4094), 14);
	EXPECT_EQ(cr2_read(), AREA + 4096);
	EXPECT_EQ(page[1023], 0x11223344);
	cr0_write(cr0_read() & 0x7fffffff);
}

static void test_pae(void)
{
	for (uint32_t i = 0; i < 512; i++)
		wide_directory[0][i] = i << 21 | 0x83;
	pointers[0] = (uint32_t)wide_directory[0] | 1;
	pointers[2] = (uint32_t)wide_directory[1] | 1;
	wide_directory[1][0] = (uint32_t)wide_table | 7;
	wide_table[0] = (uint32_t)page | 3;
	cr4_write(cr4_read() | 0x20);
	cr3_write((uint32_t)pointers);
	cr0_write(cr0_read() | 0x80010000);
	page[0] = 43;
	EXPECT_EQ(*(volatile uint32_t *)AREA, 43);
	EXPECT_EQ(wide_table[0] & 0x60, 0x20);
	EXPECT_EQ(store(AREA), -1);
	EXPECT_EQ(wide_table[0] & 0x60, 0x60);
	EXPECT_EQ(load(0x40000000), 14); /* pointer 1 isn't there */
	EXPECT_EQ(trap_error, 0);
	EXPECT_EQ(cr2_read(), 0x40000000);
	/* 4.4.1: the four pointers are loaded with CR3 and not looked at again until then. */
	pointers[1] = (uint32_t)wide_directory[0] | 1;
	EXPECT_EQ(load(0x40000000), 14);
	cr3_write(cr3_read());
	EXPECT_EQ(load(0x40000000), -1);
	/* Reserved bits in one that is present: #GP at mov cr3, nothing changed. */
	pointers[3] = 0x1e6 | 1;
	EXPECT_EQ(TRAP_OF("mov %%cr3, %%eax; mov %%eax, %%cr3"), 13);
	EXPECT_EQ(load(AREA), -1);
	pointers[3] = 0;
	cr3_write(cr3_read());
	/* NX. */
	msr_write(0xc0000080, msr_read(0xc0000080) | 0x800);
	wide_table[1] = (uint32_t)page | 3 | 1ull << 63;
	*(uint8_t *)page = 0xc3;
	EXPECT_EQ(TRAP_OF("call *%%ebx", "b"(AREA)), -1);
	EXPECT_EQ(load(AREA + 4096), -1);
	wide_table[1] |= 1ull << 52; /* reserved */
	invalidate(AREA + 4096);
	EXPECT_EQ(load(AREA + 4096), 14);
	EXPECT_EQ(trap_error, 9);
	cr0_write(cr0_read() & 0x7fffffff);
	cr4_write(cr4_read() & ~0x20u);
}

void test_main(void)
{
	test_32();
	test_pae();
}
