/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 4-level paging: rights, sizes, accessed and dirty bits, error codes, and when entries may and may
 * not be remembered. Source: Intel SDM volume 3, chapter 4; each check names its section.
 *	lodge: --cpus 1
 */
#include "system.h"

#define AREA 0x8000000000ull
#define ALL  (P_PRESENT | P_WRITE | P_USER)

CODE(load, "mov (%rbx), %rax; ud2");
CODE(store, "mov %rax, (%rbx); ud2");
CODE(load_ac, "stac; mov (%rbx), %rax; clac; mov (%rbx), %rcx; ud2");
CODE(store_push, "push %rax; ud2");
CODE(fetch_here, "ud2");
CODE(rmw, "addq $1, (%rbx); ud2");
CODE(cmpxchg_fails, "lock cmpxchg %rcx, (%rbx); ud2");

static struct trap s;
static uint64_t *page;

/* Runs the code with rbx; yields the error code of a #PF at that address, or -1 for none. */
static int64_t fault_of(const uint8_t *code, bool user, uint64_t address)
{
	state_init(&s, code, user);
	s.bx = address;
	s.ax = 0x5555;
	state_run(&s);
	if (s.vector == 14) {
		EXPECT_EQ(cr2_read(), address);
		return (int64_t)s.error;
	}
	EXPECT_EQ(s.vector, 6);
	return -1;
}

static int64_t fetch_of(bool user, uint64_t address)
{
	state_init(&s, fetch_here, user);
	s.ip = address;
	state_run(&s);
	if (s.vector == 14) {
		EXPECT_EQ(cr2_read(), address);
		EXPECT_EQ(s.ip, address);
		return (int64_t)s.error;
	}
	EXPECT_EQ(s.vector, 6);
	return -1;
}

/* 4.6.1 and 4.7, with what the entries of all levels allow together. */
static void test_rights(void)
{
	uint64_t cr4 = cr4_read(), cr0 = cr0_read();

	*(uint16_t *)page = 0x0b0f; /* ud2 */
	page_map(AREA, (uintptr_t)page, P_PRESENT);
	EXPECT_EQ(fault_of(load, false, AREA), -1);
	EXPECT_EQ(fault_of(store, false, AREA), 3);
	EXPECT_EQ(fault_of(load, true, AREA), 5);
	EXPECT_EQ(fault_of(store, true, AREA), 7);
	EXPECT_EQ(fetch_of(false, AREA), -1);
	EXPECT_EQ(fetch_of(true, AREA), 0x15); /* NXE: the I/D bit is reported */
	cr0_write(cr0 & ~0x10000ull);	       /* WP */
	EXPECT_EQ(fault_of(store, false, AREA), -1);
	EXPECT_EQ(*page, 0x5555);
	EXPECT_EQ(fault_of(store, true, AREA), 7);
	cr0_write(cr0);
	EXPECT_EQ(fault_of(store, false, AREA), 3);
	*(uint16_t *)page = 0x0b0f;
	page_map(AREA, (uintptr_t)page, P_PRESENT | P_USER);
	EXPECT_EQ(fault_of(load, true, AREA), -1);
	EXPECT_EQ(fault_of(store, true, AREA), 7);
	EXPECT_EQ(fault_of(store, false, AREA), 3);
	EXPECT_EQ(fetch_of(false, AREA), -1);
	EXPECT_EQ(fetch_of(true, AREA), -1);
	page_map(AREA, (uintptr_t)page, ALL | P_NX);
	EXPECT_EQ(fetch_of(true, AREA), 0x15);
	EXPECT_EQ(fetch_of(false, AREA), 0x11);
	EXPECT_EQ(fault_of(store, true, AREA), -1);
	page_map(AREA, (uintptr_t)page, 0);
	EXPECT_EQ(fault_of(load, true, AREA), 4);
	EXPECT_EQ(fault_of(store, false, AREA), 2);
	EXPECT_EQ(fetch_of(true, AREA), 0x14);
	EXPECT_EQ(fault_of(rmw, true, AREA), 6); /* a read for ownership is a write */
	page_map(AREA, (uintptr_t)page, P_PRESENT | P_USER);
	EXPECT_EQ(fault_of(rmw, true, AREA), 7);
	EXPECT_EQ(fault_of(cmpxchg_fails, true, AREA), 7);

	/* A level above takes rights away. */
	page_map(AREA, (uintptr_t)page, ALL);
	for (unsigned int level = 1; level < 4; level++) {
		uint64_t *entry = page_entry(0, AREA, level), old = *entry;

		*entry = old & ~P_WRITE;
		cr3_write(cr3_read());
		EXPECT_EQ(fault_of(store, false, AREA), 3);
		*entry = old & ~P_USER;
		cr3_write(cr3_read());
		EXPECT_EQ(fault_of(load, true, AREA), 5);
		*entry = old | P_NX;
		cr3_write(cr3_read());
		EXPECT_EQ(fetch_of(false, AREA), 0x11);
		*entry = old & ~P_PRESENT;
		cr3_write(cr3_read());
		EXPECT_EQ(fault_of(load, false, AREA), 0);
		*entry = old;
		cr3_write(cr3_read());
		EXPECT_EQ(fault_of(store, true, AREA), -1);
	}

	/* SMEP and SMAP (4.6): the kernel with a user's page. */
	*(uint16_t *)page = 0x0b0f;
	cr4_write(cr4 | 1 << 20);
	EXPECT_EQ(fetch_of(false, AREA), 0x11);
	EXPECT_EQ(fetch_of(true, AREA), -1);
	cr4_write(cr4 | 1 << 21);
	EXPECT_EQ(fetch_of(false, AREA), -1);
	EXPECT_EQ(fault_of(load, false, AREA), 1);
	EXPECT_EQ(fault_of(store, false, AREA), 3);
	EXPECT_EQ(fault_of(store, true, AREA), -1);
	EXPECT_EQ(fault_of(load_ac, false, AREA), 1);
	EXPECT_EQ(s.ax, *page); /* with AC set it was let through */
	EXPECT_EQ(s.ip - (uintptr_t)load_ac, 3 + 3 + 3);
	/* AC set on the way in by iretq counts as well. */
	state_init(&s, load, false);
	s.bx = AREA;
	s.flags |= 1 << 18;
	state_run(&s);
	EXPECT_EQ(s.vector, 6);
	/* The stack too; and pushing the frame of an event from CPL 3 is an implicit access. */
	state_init(&s, store_push, false);
	s.sp = AREA + 64;
	state_run(&s);
	EXPECT_EQ(s.vector, 14);
	EXPECT_EQ(s.error, 3);
	cr4_write(cr4);
	EXPECT_EQ(fault_of(load, false, AREA), -1);
}

/* 4.5, table 4-20: reserved bits. */
static void test_reserved(void)
{
	uint64_t *entry = page_entry(0, AREA, 0), old = *entry;

	EXPECT_EQ(fault_of(load, false, AREA), -1);
	*entry = old | 1ull << 51;
	page_invalidate(AREA);
	EXPECT_EQ(fault_of(load, false, AREA), 9);
	EXPECT_EQ(fault_of(store, true, AREA), 15);
	*entry = old;
	entry = page_entry(0, AREA, 1), old = *entry;
	*entry = old | P_LARGE | 1 << 13; /* 2 MiB page with bit 13 */
	cr3_write(cr3_read());
	EXPECT_EQ(fault_of(load, false, AREA), 9);
	*entry = old;
	entry = page_entry(0, AREA, 3), old = *entry;
	*entry = old | P_LARGE;
	cr3_write(cr3_read());
	EXPECT_EQ(fault_of(load, false, AREA), 9);
	*entry = old;
	/* NX without EFER.NXE. */
	entry = page_entry(0, AREA, 0), old = *entry;
	*entry = old | P_NX;
	msr_write(0xc0000080, msr_read(0xc0000080) & ~0x800ull);
	cr3_write(cr3_read());
	EXPECT_EQ(fault_of(load, false, AREA), 9);
	msr_write(0xc0000080, msr_read(0xc0000080) | 0x800);
	*entry = old;
	cr3_write(cr3_read());
	EXPECT_EQ(fault_of(load, false, AREA), -1);
}

#define AD (P_ACCESSED | P_DIRTY)

/* 4.8: set by what uses the entry, and only by that. */
static void test_accessed_dirty(void)
{
	volatile uint64_t *leaf = page_entry(0, AREA, 0), *above = page_entry(0, AREA, 1);

	*above &= ~AD;
	page_map(AREA, (uintptr_t)page, ALL);
	EXPECT_EQ(*leaf & AD, 0);
	EXPECT_EQ(fault_of(load, false, AREA), -1);
	EXPECT_EQ(*leaf & AD, P_ACCESSED);
	EXPECT_EQ(*above & AD, P_ACCESSED);
	EXPECT_EQ(fault_of(store, false, AREA), -1);
	EXPECT_EQ(*leaf & AD, AD);
	EXPECT_EQ(*above & AD, P_ACCESSED);
	*leaf &= ~AD;
	page_invalidate(AREA);
	EXPECT_EQ(fault_of(load, true, AREA), -1);
	EXPECT_EQ(fault_of(store, true, AREA), -1); /* the entry is in the TLB, clean */
	EXPECT_EQ(*leaf & AD, AD);
	page_map(AREA, (uintptr_t)page, P_PRESENT);
	EXPECT_EQ(fault_of(store, false, AREA), 3);
	EXPECT_EQ(*leaf & P_DIRTY, 0);
	page_map(AREA, (uintptr_t)page, ALL);
	*page = 0;
	EXPECT_EQ(fault_of(cmpxchg_fails, false, AREA), -1); /* writes back what was there */
	EXPECT_EQ(*leaf & AD, AD);
	*(uint16_t *)page = 0x0b0f;
	page_map(AREA, (uintptr_t)page, ALL);
	EXPECT_EQ(fetch_of(true, AREA), -1);
	EXPECT_EQ(*leaf & AD, P_ACCESSED);
	/* A store over two pages, the second forbidden: the first isn't written. */
	page_map(AREA + 4096, (uintptr_t)page, P_PRESENT);
	page_map(AREA, (uintptr_t)page, ALL);
	page[511] = 0x1122334455667788;
	state_init(&s, store, false);
	s.bx = AREA + 4092;
	state_run(&s);
	EXPECT_EQ(s.vector, 14);
	EXPECT_EQ(s.error, 3);
	EXPECT_EQ(cr2_read(), AREA + 4096);
	EXPECT_EQ(page[511], 0x1122334455667788);
	page_map(AREA + 4096, 0, 0);
}

/* 4.5: large pages translate what they should. */
static void test_sizes(void)
{
	uint64_t at = AREA + (4ull << 30);
	volatile uint64_t *entry;

	page[3] = 0x600df00d;
	if (cpuid(0x80000001, 0).d & 1 << 26) {
		entry = page_entry(0, at, 2);
		*entry = ALL | P_LARGE; /* 1 GiB at 0 */
		cr3_write(cr3_read());
		EXPECT_EQ(*(volatile uint64_t *)(at + (uintptr_t)&page[3]), 0x600df00d);
		EXPECT_EQ(*entry & AD, P_ACCESSED);
		*(volatile uint64_t *)(at + (uintptr_t)&page[3]) = 0x1234;
		EXPECT_EQ(page[3], 0x1234);
		EXPECT_EQ(*entry & AD, AD);
		/* 4.10.4.1: invlpg of any address in it drops all of it. */
		*entry = 0;
		page_invalidate(at + 0x3ffff000);
		EXPECT_EQ(fault_of(load, false, at + (uintptr_t)&page[3]), 0);
	}
	at += 1ull << 30;
	page[3] = 0x600df00d;
	entry = page_entry(0, at, 1);
	*entry = ((uintptr_t)page & ~0x1fffffull) | ALL | P_LARGE;
	EXPECT_EQ(*(volatile uint64_t *)(at + ((uintptr_t)&page[3] & 0x1fffff)), 0x600df00d);
	for (unsigned int i = 0; i < 512; i++) /* every piece is in the TLB */
		(void)*(volatile uint8_t *)(at + i * 4096);
	*entry = 0;
	page_invalidate(at + 0x1ff000);
	for (unsigned int i = 0; i < 512; i += 37)
		EXPECT_EQ(fault_of(load, false, at + i * 4096), 0);
}

static uint64_t *other;

static uint64_t seen(uint64_t address)
{
	return *(volatile uint64_t *)address;
}

/* The kernel's own: an address that the instruction says, and the stack, in turns. */
static void sees_each_space(uint64_t first, uint64_t second)
{
	uint64_t roots[2] = {first, second}, seen_there, popped;

	page[0] = 1, other[0] = 2;
	page_map(AREA, (uintptr_t)page, ALL & ~P_USER);
	*page_entry(second, AREA, 0) = (uintptr_t)other | (ALL & ~P_USER);
	for (unsigned int i = 0; i < 100; i++) {
		cr3_write(roots[i & 1]);
		asm volatile("movabs 0x8000000000, %%rax\n" /* AREA */
			     "mov %%rsp, %%r12\n"
			     "mov %2, %%rsp\n"
			     "pop %1\n"
			     "mov %%r12, %%rsp"
			     : "=&a"(seen_there), "=&d"(popped)
			     : "r"(AREA)
			     : "r12", "memory");
		EXPECT_EQ(seen_there, 1 + (i & 1));
		EXPECT_EQ(popped, 1 + (i & 1));
	}
	cr3_write(first);
}

/* 4.10: what invalidates what. Where an entry may be kept or not, both are accepted. */
static void test_invalidation(void)
{
	uint64_t cr4 = cr4_read(), first = cr3_read(), second = root_new();
	volatile uint64_t *leaf;

	page[0] = 1, other[0] = 2;
	page_map(AREA, (uintptr_t)page, ALL);
	leaf = page_entry(0, AREA, 0);
	EXPECT_EQ(seen(AREA), 1);
	page_map(AREA, (uintptr_t)other, ALL);
	EXPECT_EQ(seen(AREA), 2);
	*leaf = (uintptr_t)page | ALL;
	cr3_write(first);
	EXPECT_EQ(seen(AREA), 1);
	/* Another address space. */
	*page_entry(second, AREA, 0) = (uintptr_t)other | ALL;
	cr3_write(second);
	EXPECT_EQ(seen(AREA), 2);
	cr3_write(first);
	EXPECT_EQ(seen(AREA), 1);
	sees_each_space(first, second);
	/* Not present to present needs no invalidation (4.10.2.3). */
	page_map(AREA, 0, 0);
	EXPECT_EQ(fault_of(load, false, AREA), 0);
	*leaf = (uintptr_t)other | ALL;
	EXPECT_EQ(seen(AREA), 2);
	/* A #PF drops the entry (4.10.4.1): read-only to writable likewise. */
	page_map(AREA, (uintptr_t)page, P_PRESENT);
	EXPECT_EQ(fault_of(store, false, AREA), 3);
	*leaf |= P_WRITE;
	EXPECT_EQ(fault_of(store, false, AREA), -1);

	/* Global pages stay over mov cr3, but not over a change of CR4.PGE. */
	page[0] = 1;
	cr4_write(cr4 | 0x80);
	page_map(AREA, (uintptr_t)page, ALL | P_GLOBAL);
	EXPECT_EQ(seen(AREA), 1);
	*leaf = (uintptr_t)other | ALL;
	cr3_write(first);
	EXPECT(seen(AREA) == 1 || seen(AREA) == 2);
	cr4_write(cr4);
	EXPECT_EQ(seen(AREA), 2);
	cr4_write(cr4 | 0x80);
	page_map(AREA, (uintptr_t)page, ALL | P_GLOBAL);
	EXPECT_EQ(seen(AREA), 1);
	*leaf = (uintptr_t)other | ALL | P_GLOBAL;
	page_invalidate(AREA); /* drops global ones too */
	EXPECT_EQ(seen(AREA), 2);
	cr4_write(cr4);
}

static void invpcid(uint64_t type, uint64_t pcid, uint64_t address)
{
	struct {
		uint64_t pcid, address;
	} descriptor = {pcid, address};

	asm volatile("invpcid %1, %0" ::"r"(type), "m"(descriptor) : "memory");
}

CODE(invpcid_bx, "invpcid (%rbx), %rax; ud2");
CODE(cr3_ax, "mov %rax, %cr3; ud2");
CODE(cr4_ax, "mov %rax, %cr4; ud2");
CODE(cr0_ax, "mov %rax, %cr0; ud2");
CODE(cr8_ax, "mov %rax, %cr8; ud2");

static int run_with(const uint8_t *code, uint64_t ax, uint64_t bx)
{
	state_init(&s, code, false);
	s.ax = ax;
	s.bx = bx;
	return (int)state_run(&s);
}

/* 4.10.1 and volume 2, INVPCID and MOV to CR3. */
static void test_pcid(void)
{
	uint64_t cr4 = cr4_read(), first = cr3_read(), second = root_new();
	uint64_t descriptor[2] = {0, 0};
	volatile uint64_t *leaf = page_entry(0, AREA, 0), *leaf_2;

	if (!(cpuid(1, 0).c & 1 << 17)) {
		EXPECT_EQ(run_with(cr4_ax, cr4 | 1 << 17, 0), 13);
		return;
	}
	page[0] = 1, other[0] = 2;
	page_map(AREA, (uintptr_t)page, ALL);
	leaf_2 = page_entry(second, AREA, 0);
	*leaf_2 = (uintptr_t)other | ALL;
	EXPECT_EQ(run_with(cr3_ax, first | 1ull << 63, 0), 13); /* without PCIDE */
	cr4_write(cr4 | 1 << 17);
	EXPECT_EQ(seen(AREA), 1);
	cr3_write(second | 5);
	EXPECT_EQ(seen(AREA), 2);
	EXPECT_EQ(cr3_read(), second | 5);
	*leaf_2 = (uintptr_t)page | ALL;
	cr3_write(first);
	cr3_write(second | 5 | 1ull << 63); /* may have kept it */
	EXPECT_EQ(cr3_read(), second | 5);
	EXPECT(seen(AREA) == 1 || seen(AREA) == 2);
	cr3_write(second | 5);
	EXPECT_EQ(seen(AREA), 1);
	/* Individual address, of the current PCID and of another. */
	*leaf_2 = (uintptr_t)other | ALL;
	invpcid(0, 5, AREA);
	EXPECT_EQ(seen(AREA), 2);
	cr3_write(first | 1ull << 63);
	EXPECT_EQ(seen(AREA), 1);
	*leaf_2 = (uintptr_t)page | ALL;
	invpcid(0, 5, AREA);
	cr3_write(second | 5 | 1ull << 63);
	EXPECT_EQ(seen(AREA), 1);
	/* One PCID; all; all but global. */
	for (uint64_t type = 1; type < 4; type++) {
		*leaf_2 = (uintptr_t)other | ALL;
		cr3_write(first | 1ull << 63);
		invpcid(type, 5, 0);
		cr3_write(second | 5 | 1ull << 63);
		EXPECT_EQ(seen(AREA), 2);
		*leaf_2 = (uintptr_t)page | ALL;
		invpcid(type, 5, 0);
		EXPECT_EQ(seen(AREA), 1);
	}
	EXPECT_EQ(run_with(invpcid_bx, 4, (uintptr_t)descriptor), 13);
	descriptor[0] = 0x1000;
	EXPECT_EQ(run_with(invpcid_bx, 0, (uintptr_t)descriptor), 13);
	descriptor[0] = 0, descriptor[1] = 0x800000000000;
	EXPECT_EQ(run_with(invpcid_bx, 0, (uintptr_t)descriptor), 13);
	EXPECT_EQ(run_with(cr4_ax, (cr4 | 1 << 17) & ~0x20ull, 0), 13); /* PAE can't go */
	cr3_write(first);
	*leaf = 0;
	cr4_write(cr4);
	/* PCIDE can't be set while CR3[11:0] isn't 0. */
	cr3_write(first | 8);
	EXPECT_EQ(run_with(cr4_ax, cr4 | 1 << 17, 0), 13);
	cr3_write(first);
}

/* Volume 2, MOV to control registers. */
static void test_control_registers(void)
{
	uint64_t cr0 = cr0_read();

	EXPECT_EQ(run_with(cr0_ax, cr0 & ~1ull, 0), 13);		     /* PG without PE */
	EXPECT_EQ(run_with(cr0_ax, (cr0 | 1 << 29) & ~(1ull << 30), 0), 13); /* NW without CD */
	EXPECT_EQ(run_with(cr0_ax, cr0 | 1ull << 32, 0), 13);
	EXPECT_EQ(run_with(cr0_ax, cr0 & ~(1ull << 31), 0), 13); /* PG off in 64-bit mode */
	EXPECT_EQ(run_with(cr4_ax, cr4_read() & ~0x20ull, 0), 13);
	EXPECT_EQ(run_with(cr4_ax, cr4_read() | 1ull << 31, 0), 13);
	EXPECT_EQ(run_with(cr3_ax, cr3_read() | 1ull << 60, 0), 13);
	EXPECT_EQ(run_with(cr8_ax, 16, 0), 13);
	EXPECT_EQ(run_with(cr8_ax, 0, 0), 6);
}

void test_main(void)
{
	system_init();
	page = page_new();
	other = page_new();
	test_rights();
	test_reserved();
	test_accessed_dirty();
	test_sizes();
	test_invalidation();
	test_pcid();
	test_control_registers();
}
