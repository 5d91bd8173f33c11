/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is remembered of one page must not be used for another: code that has gone to one address
 * often goes there again after so many other pieces of the address space have been used that
 * anything would have been thrown out; and after a global page has been changed from another
 * address space; nor what a load has found for a store. Source: Intel SDM volume 3, 4.6, 4.10.2.4,
 * 4.10.4.1.
 *	lodge: --cpus 1 --cpu-model max
 */
#include "model.h"

#define FIRST 0x700000000000ull
#define STEP  0x80000000ull
#define COUNT 40u
#define ALL   (P_PRESENT | P_WRITE | P_USER)

CODE(look, "mov (%rbx), %rax; ud2");
CODE(look_too, "mov 8(%rbx,%rcx,8), %rax; ud2");
CODE(store, "mov %rax, (%rbx); ud2");

/* Loads, by more pieces of code than anything has places to remember for; then a store, all to
 * NEAR. */
#define NEAR (USER_BASE + 0x18000000)
CODE(loads_and_store, ".rept 1200; .byte 0x48, 0x8b, 0x05; .long 0x18000010 - . - 4;"
		      "lea 1f(%rip), %rcx; jmp *%rcx; 1:\n.endr;"
		      ".byte 0x48, 0x89, 0x1d; .long 0x18000010 - . - 4; ud2");

static struct trap s;

static uint64_t place(unsigned int number)
{
	return FIRST + number * STEP;
}

static unsigned int page_of(unsigned int number)
{
	return number % ZOO_PAGES;
}

static uint64_t run(const uint8_t *code, uint64_t address)
{
	state_init(&s, code, true);
	s.bx = address;
	s.cx = 0;
	s.ax = 0x1234567;
	state_run(&s);
	return s.ax;
}

/* 0: #PF at address, and rax as it was. */
static void expect_word(const uint8_t *code, uint64_t address, uint64_t wanted)
{
	uint64_t ax = run(code, address);

	if (wanted) {
		EXPECT_EQ(s.vector, 6);
		EXPECT_EQ(ax, wanted);
	} else {
		EXPECT_EQ(s.vector, 14);
		EXPECT_EQ(ax, 0x1234567);
	}
}

/* Each piece's page has the same offset, so that only the piece tells which is meant. */
static void test_pieces(void)
{
	for (unsigned int i = 0; i < COUNT; i++)
		page_map(place(i), (uintptr_t)zoo[page_of(i)], ALL);
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int hot = 0; hot < COUNT; hot += 3) {
			expect_word(look, place(hot) + 16, zoo_load(place(hot) + 16, 8));
			for (unsigned int i = 1; i < COUNT; i++) {
				uint64_t other = place((hot + i) % COUNT);

				expect_word(look_too, other + 8, zoo_load(other + 16, 8));
				/* Now and then, how it is so far. */
				if (i % 7 == 0)
					expect_word(look, place(hot) + 16,
						    zoo_load(place(hot) + 16, 8));
			}
			expect_word(look, place(hot) + 16, zoo_load(place(hot) + 16, 8));
		}
	}
	/* Stores go where they should, too. */
	for (unsigned int i = 0; i < COUNT; i++) {
		run(store, place(i) + 24);
		EXPECT_EQ(*(uint64_t *)&zoo[page_of(i)][24], 0x1234567);
		*(uint64_t *)&zoo_wanted[page_of(i)][24] = 0x1234567;
	}
	zoo_check("pieces");
}

static void to(uint64_t root, unsigned int pcid, bool pcids)
{
	cr3_write(root | (pcids ? pcid | 1ull << 63 : 0));
}

/* A global page is used in one space, changed in another one, and used in the first again. */
static void test_global(void)
{
	const uint64_t shared = 0x60000000, cr4 = cr4_read();
	const bool pcids = cpuid(1, 0).c & 1 << 17;
	uint64_t first = cr3_read(), second;

	*page_entry(0, shared, 1) = 0;
	cr4_write(cr4 | 0x80 | (pcids ? 1 << 17 : 0));
	second = root_new();
	for (unsigned int i = 0; i < 12; i++) {
		page_map(shared, (uintptr_t)zoo[i], ALL | P_GLOBAL);
		expect_word(look, shared + 16, *(uint64_t *)&zoo[i][16]);
		to(second, 1, pcids);
		expect_word(look, shared + 16, *(uint64_t *)&zoo[i][16]);
		page_map(shared, i & 1 ? 0 : (uintptr_t)zoo[i + 1],
			 i & 1 ? 0 : ALL | P_GLOBAL); /* invlpg, for all spaces */
		to(first, 0, pcids);
		expect_word(look, shared + 16, i & 1 ? 0 : *(uint64_t *)&zoo[i + 1][16]);
	}
	page_map(shared, 0, 0);
	to(first, 0, false);
	cr4_write(cr4);
}

/* The same tables at another place, and other tables at the same place. */
static void test_tables(void)
{
	uint64_t first = cr3_read();

	for (unsigned int i = 0; i < 30; i++) {
		uint64_t second = i < 20 ? root_new() : first;

		*page_entry(second, place(1), 0) = (uintptr_t)zoo[i % ZOO_PAGES] | ALL;
		cr3_write(second);
		expect_word(look, place(1) + 16, *(uint64_t *)&zoo[i % ZOO_PAGES][16]);
		/* The tables are other tables now: all of them are the attacker's. */
		*page_entry(second, place(1), 0) = 0;
		cr3_write(second);
		expect_word(look, place(1) + 16, 0);
		cr3_write(first);
	}
}

/* A store is not let through by what loads have found: the page may only be read. */
static void test_sites(void)
{
	*page_entry(0, NEAR, 1) = 0;
	page_map(NEAR, (uintptr_t)zoo[2], P_PRESENT | P_USER);
	for (unsigned int round = 0; round < 3; round++) {
		EXPECT_EQ(run(loads_and_store, 0x7654321), *(uint64_t *)&zoo[2][16]);
		EXPECT_TRAP(&s, 14, 7);
	}
}

void test_main(void)
{
	system_init();
	zoo_fill();
	test_pieces();
	test_global();
	test_tables();
	test_sites();
	zoo_check("at the end");
}
