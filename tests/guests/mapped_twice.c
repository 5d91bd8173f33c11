/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The same page of code at two linear addresses: what it makes of its address (RIP-relative
 * operands, return addresses, jumps into other pages, faults) is that of the place where it runs,
 * at any level, however often it has run in the other. Stores through one place are seen in both.
 * Source: Intel SDM volume 2, 2.2.1.6 (RIP-relative), volume 3, 4.10.2. lodge: --cpu-model max
 */
#include "system.h"

#define PAGE_SIZE 4096u
#define ROUNDS	  40u
#define PLACES	  2u

/* Far from each other, so that no displacement leads from one to the other. */
static const uint64_t places[PLACES] = {0x30000000, 0x7fff30003000};

static uint8_t code[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t next[PLACES][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static unsigned int number[PLACES]; /* in the page that is next there */

/*
 * At the page's beginning; the next page begins with `callee`. Leaves its address in rax, return
 * addresses in rcx and rdx, the next page's number in rbx, and what a loop reads of the page in
 * rdi; ends by ud2.
 */
CODE(blob, "	lea	blob(%rip), %rax\n"
	   "	call	1f\n"
	   "blob_first: call blob + 4096\n"
	   "blob_second:\n"
	   "	mov	$5, %r8d\n"
	   "	xor	%edi, %edi\n"
	   "2:	add	blob_addend(%rip), %rdi\n"
	   "	dec	%r8d\n"
	   "	jnz	2b\n"
	   "	jmp	blob + 4096 + 64\n"
	   "1:	mov	(%rsp), %rcx\n"
	   "	ret\n"
	   "	.balign	8\n"
	   "blob_addend: .quad 0x1111\n"
	   "blob_back: inc %ebx\n"
	   "blob_trap: ud2\n");
CODE(callee, "	mov	(%rsp), %rdx\n"
	     "callee_number: mov $0, %ebx\n"
	     "	ret\n"
	     "	.org	callee + 64\n"
	     "	lea	(%rip), %rbp\n"
	     "callee_behind: jmp callee - 4096 + (blob_back - blob)\n");
extern const uint8_t blob_first[], blob_second[], blob_addend[], blob_trap[], callee_number[],
	callee_behind[];

static void put(uint8_t *to, const uint8_t *from, const uint8_t *end)
{
	memcpy(to, from, (size_t)(end - from));
}

static void map(uint64_t linear, const void *page)
{
	for (unsigned int level = 3; level; level--)
		*page_entry(0, linear, level) |= P_USER;
	page_map(linear, (uintptr_t)page, P_PRESENT | P_WRITE | P_USER);
}

static void run(unsigned int place, bool user, uint64_t sum)
{
	struct trap state;
	uint64_t at = places[place];

	state_init(&state, code, user);
	state.ip = at;
	EXPECT_EQ(state_run(&state), 6);
	EXPECT_EQ(state.ip, at + (uint64_t)(blob_trap - blob));
	EXPECT_EQ(state.ax, at);
	EXPECT_EQ(state.cx, at + (uint64_t)(blob_first - blob));
	EXPECT_EQ(state.dx, at + (uint64_t)(blob_second - blob));
	EXPECT_EQ(state.bx, number[place] + 1);
	EXPECT_EQ(state.bp, at + PAGE_SIZE + (uint64_t)(callee_behind - callee));
	EXPECT_EQ(state.di, sum);
}

static void is_what_its_place_makes_of_it(bool user, uint64_t sum)
{
	for (unsigned int i = 0; i < ROUNDS; i++)
		for (unsigned int place = 0; place < PLACES; place++)
			run(place, user, sum);
	for (unsigned int place = 0; place < PLACES; place++)
		for (unsigned int i = 0; i < ROUNDS; i++)
			run(place, user, sum);
}

static void is_changed_in_both(void)
{
	uint64_t offset = (uint64_t)(blob_addend - blob);

	for (unsigned int i = 0; i < ROUNDS; i++) {
		*(volatile uint8_t *)(places[i % PLACES] + offset) = (uint8_t)i;
		for (unsigned int place = 0; place < PLACES; place++)
			run(place, i & 2, (uint64_t)5 * (0x1100 + i));
	}
}

static void map_next(unsigned int place, unsigned int which)
{
	map(places[place] + PAGE_SIZE, next[which]);
	number[place] = 7 + which;
}

/* The next pages change places. */
static void goes_where_it_is_mapped(void)
{
	map_next(0, 1);
	map_next(1, 0);
	is_what_its_place_makes_of_it(false, 5 * 0x1111);
	is_what_its_place_makes_of_it(true, 5 * 0x1111);
}

void test_main(void)
{
	system_init();
	*page_entry(0, places[0], 1) = 0;
	put(code, blob, blob_end);
	for (unsigned int place = 0; place < PLACES; place++) {
		put(next[place], callee, callee_end);
		next[place][callee_number - callee + 1] = (uint8_t)(7 + place);
		map(places[place], code);
		map_next(place, place);
	}
	is_what_its_place_makes_of_it(false, 5 * 0x1111);
	is_what_its_place_makes_of_it(true, 5 * 0x1111);
	goes_where_it_is_mapped();
	is_changed_in_both();
}
