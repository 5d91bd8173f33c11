/* SPDX-License-Identifier: BSD-2-Clause */
/* Loops within a block (translate_loop.c): what a round relies on is what the one
 * before it has seen of the registers' windows. */
#include "translate_guest.h"

#include <unistd.h>

#define CALLEE	 0x110000u
#define PAGE	 0x150000u
#define TABLES	 0x40000u /* of those */
#define BOUNDARY (1ull << 31)
#define BELOW	 0x400000u /* what all of the second GiB is mapped to */
#define ABOVE	 0x600000u /* and the third */
#define NEIGHBOR 0x800000u /* and the fifth */
#define A	 1u
#define B	 1000u
#define C	 1000000u
#define ROUNDS	 4000u

static struct guest guest;

static void create(unsigned vcpus)
{
	static const struct {
		uint64_t gib, memory, value;
	} areas[] = {{1, BELOW, A}, {2, ABOVE, B}, {4, NEIGHBOR, C}};

	guest_create(&guest, vcpus);
	engine_windows(&guest.vm, ENGINE_WINDOWS_ALL);
	for (unsigned i = 0; i < sizeof(areas) / sizeof(areas[0]); i++) {
		uint64_t *all = guest_at(&guest, GUEST_TABLES + 0x1000),
			 *table = guest_at(&guest, TABLES + i * 0x1000),
			 *memory = guest_at(&guest, areas[i].memory);

		all[areas[i].gib] = (TABLES + i * 0x1000) | 7;
		for (unsigned k = 0; k < 512; k++) {
			table[k] = areas[i].memory | 0x87;
			for (unsigned word = 0; word < 512; word++)
				memory[k * 512 + word] = areas[i].value;
		}
	}
}

static void put(uint64_t address, const uint8_t *code, const uint8_t *end)
{
	memcpy(guest_at(&guest, address), code, (size_t)(end - code));
}

#define PUT(address, code) put(address, code, code##_end)

static const struct machine_code *code(void)
{
	return guest_cpu(&guest, 0)->code;
}

static uint64_t value_at(uint64_t address)
{
	return address < BOUNDARY ? A : B;
}

/* Walks */

GUEST(loads, "mov 8(%rsi), %rax; ret");

#define START "mov $0x110000, %edx; mov $4000, %ecx;"
/* One pointer, from the loop's head to its end; and two, of which each round moves one. */
#define WALK(step)                                                                                 \
	START "1: add (%rsi), %rbx; call *%rdx; nop; add %rax, %rbx; add $" step                   \
	      ", %rsi; dec %ecx;"                                                                  \
	      "jnz 1b; hlt"
#define WALK_TWO(step)                                                                             \
	START "jmp 2f; 1: add (%rsi), %rbx; lea " step                                             \
	      "(%rsi), %rsi; 2: xor %eax, %eax; call *%rdx;"                                       \
	      "add %rax, %rbx; dec %ecx; jz 9f; test $1, %cl; jnz 1b; add 16(%rdi), %rbx;"         \
	      "add $" step ", %rdi; jmp 2b; 9: hlt"

#define WALKS(name, step)                                                                          \
	GUEST(one_##name, WALK(step));                                                             \
	GUEST(two_##name, WALK_TWO(step))
WALKS(8, "8");
WALKS(back_8, "-8");
WALKS(64k, "0x10000");
WALKS(128k, "0x20000");
WALKS(more, "0x20008");
WALKS(256k, "0x40000");
WALKS(back_64k, "-0x10000");
WALKS(back_128k, "-0x20000");
#define WALK_OF(name, step)                                                                        \
	{                                                                                          \
		step, {one_##name, one_##name##_end},                                              \
		{                                                                                  \
			two_##name, two_##name##_end                                               \
		}                                                                                  \
	}

static const struct walk {
	int64_t step;
	const uint8_t *one[2], *two[2];
} walks[] = {
	WALK_OF(8, 8),
	WALK_OF(back_8, -8),
	WALK_OF(64k, 0x10000),
	WALK_OF(128k, 0x20000),
	WALK_OF(more, 0x20008),
	WALK_OF(256k, 0x40000),
	WALK_OF(back_64k, -0x10000),
	WALK_OF(back_128k, -0x20000),
};

static uint64_t walk_one(uint64_t rsi, int64_t step)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < ROUNDS; i++, rsi += (uint64_t)step)
		sum += value_at(rsi) + value_at(rsi + 8);
	return sum;
}

static uint64_t walk_two(uint64_t rsi, uint64_t rdi, int64_t step)
{
	uint64_t sum = 0;

	for (unsigned i = ROUNDS; i > 0;) {
		sum += value_at(rsi + 8);
		if (--i & 1) {
			sum += value_at(rsi);
			rsi += (uint64_t)step;
		} else if (i) {
			sum += value_at(rdi + 16);
			rdi += (uint64_t)step;
		}
	}
	return sum;
}

/* The boundary between two windows comes after this many steps. */
static uint64_t before(int64_t step, unsigned steps)
{
	return BOUNDARY - (uint64_t)(step * (int64_t)steps);
}

TEST(loops_walk_out_of_their_windows)
{
	for (unsigned i = 0; i < sizeof(walks) / sizeof(walks[0]); i++) {
		const struct walk *walk = &walks[i];

		create(1);
		PUT(CALLEE, loads);
		guest.vm.vcpus[0]->state.gpr[RSI] = before(walk->step, 2500);
		EXPECT_EQ(guest_run(&guest, walk->one[0], walk->one[1])->gpr[RBX],
			  walk_one(before(walk->step, 2500), walk->step));
		EXPECT(code()->count_inlined > 0);
	}
}

TEST(whichever_pointer_leaves_first)
{
	for (unsigned i = 0; i < 2 * sizeof(walks) / sizeof(walks[0]); i++) {
		const struct walk *walk = &walks[i / 2];
		uint64_t rsi = before(walk->step, i % 2 ? 1700 : 1300),
			 rdi = before(walk->step, i % 2 ? 1300 : 1700);

		create(1);
		PUT(CALLEE, loads);
		guest.vm.vcpus[0]->state.gpr[RSI] = rsi;
		guest.vm.vcpus[0]->state.gpr[RDI] = rdi;
		EXPECT_EQ(guest_run(&guest, walk->two[0], walk->two[1])->gpr[RBX],
			  walk_two(rsi, rdi, walk->step));
	}
}

TEST(loops_keep_their_windows)
{
	static const uint8_t *const loops[2][2] = {{one_8, one_8_end}, {two_8, two_8_end}};

	for (unsigned i = 0; i < 2; i++) {
		create(1);
		PUT(CALLEE, loads);
		guest.vm.vcpus[0]->state.gpr[RSI] = BOUNDARY / 2;
		guest.vm.vcpus[0]->state.gpr[RDI] = BOUNDARY / 2;
		guest_run(&guest, loops[i][0], loops[i][1]);
		EXPECT(code()->count_rounds > 0);
		EXPECT(guest_cpu(&guest, 0)->count_slot_misses < 50);
	}
}

/*
 * What is known too long. These walk out of the window that ends at BOUNDARY, by 25 MB, and look
 * there at each 2,048th of their rounds: 44 steps before they leave, 2,004 steps behind, and so on.
 * Whoever still takes them for in the window finds the one that lies behind it in the host's
 * memory, whose first 32 MiB have been looked at.
 */
#define FAR_BEFORE 1900u
#define FAR_STEP   0x1008
#define FAR                                                                                        \
	"mov (%rsi), %rax; mov $1, %ebp; shl $32, %rbp; mov $8192, %ecx;"                          \
	"0: mov (%rbp), %rax; add $4096, %rbp; dec %ecx; jnz 0b;"                                  \
	"mov $0x110000, %edx; mov $8000, %ecx;"
GUEST(no_load, "xor %eax, %eax; ret");
GUEST(seldom_touched, FAR "1: xor %eax, %eax; call *%rdx; add $0x1008, %rsi; dec %ecx; jz 9f;"
			  "test $2047, %ecx; jnz 1b; add (%rsi), %rbx; jmp 1b; 9: hlt");
GUEST(touched_at_the_head,
      FAR "jmp 2f; 1: add (%rsi), %rbx; 2: xor %eax, %eax; call *%rdx; add $0x1008, %rsi;"
	  "dec %ecx; jz 9f; test $2047, %ecx; jz 1b; jmp 2b; 9: hlt");
GUEST(by_loop, FAR "mov $1856, %ecx; mov $3, %r8d; 1: xor %eax, %eax; call *%rdx;"
		   "add $0x1008, %rsi; loop 1b; add (%rsi), %rbx; mov $2048, %ecx; dec %r8d;"
		   "jnz 1b; jmp 9f; nop; 9: hlt");
GUEST(masked, FAR "vpxor %xmm1, %xmm1, %xmm1; 1: xor %eax, %eax; vmaskmovps (%rsi), %ymm1, %ymm0;"
		  "call *%rdx; add $0x1008, %rsi; dec %ecx; jnz 1b; add (%rsi), %rbx; hlt");

static void expect_far(const uint8_t *walk, const uint8_t *end, uint64_t sum)
{
	create(1);
	PUT(CALLEE, no_load);
	guest.vm.vcpus[0]->state.gpr[RSI] = before(FAR_STEP, FAR_BEFORE);
	EXPECT_EQ(guest_run(&guest, walk, end)->gpr[RBX], sum);
	EXPECT(code()->count_inlined > 0);
}

TEST(what_is_not_looked_at_is_not_known)
{
	expect_far(seldom_touched, seldom_touched_end, A + 2 * B);
	expect_far(touched_at_the_head, touched_at_the_head_end, A + 2 * B);
	expect_far(by_loop, by_loop_end, A + 2 * B);
}

/* A masked load of nothing says nothing about where it would have gone. */
TEST(masked_loads_look_at_nothing)
{
	if (!__builtin_cpu_supports("avx"))
		SKIP("this processor has no AVX");
	expect_far(masked, masked_end, B);
}

/* The way to the middle has another pointer in rsi, or in rdi, which is known there from the
 * beginning: as it is; looked at through another window; the same as another one. */
#define TURN(first, second, other)                                                                 \
	FAR "xor %eax, %eax; 1: " first "2: " second                                               \
	    "call *%rdx; dec %ecx; jz 9f; test $1, %cl; jnz 1b;" other "jmp 2b; 9: hlt"
GUEST(other_pointer,
      TURN("lea (%r12), %rsi; add (%rsi), %rbx;", "add 8(%rsi), %rbx;", "lea (%r13), %rsi;"));
GUEST(other_pointer_known, TURN("lea (%r12), %rsi; add (%rsi), %rbx;", "add 8(%rsi), %rbx;",
				"lea (%r13), %rsi; sub (%rsi), %rbx; sub 8(%rsi), %rbx;"));
GUEST(other_copy, TURN("mov %r12, %rsi; mov %rsi, %rdi; add (%rsi), %rbx;", "add 8(%rdi), %rbx;",
		       "lea (%r13), %rdi;"));
GUEST(other_same, TURN("mov %r12, %rsi; mov %rsi, %rdi;", "add (%rsi), %rbx; add 8(%rdi), %rbx;",
		       "mov %r13, %rdi;"));

TEST(each_way_to_the_middle_has_its_pointers)
{
	/* 4,001 rounds begin with 1, and 3,999 with 2. */
	static const struct {
		const uint8_t *code, *end;
		uint64_t sum;
	} turns[] = {
		{other_pointer, other_pointer_end, 4001ull * 2 * A + 3999ull * B},
		{other_pointer_known, other_pointer_known_end, 4001ull * 2 * A - 3999ull * B},
		{other_copy, other_copy_end, 4001ull * 2 * A + 3999ull * B},
		{other_same, other_same_end, 4001ull * 2 * A + 3999 * (A + B)},
	};

	for (unsigned i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
		create(1);
		PUT(CALLEE, no_load);
		guest.vm.vcpus[0]->state.gpr[RSI] = BOUNDARY / 2;
		guest.vm.vcpus[0]->state.gpr[R12] = BOUNDARY / 2;
		guest.vm.vcpus[0]->state.gpr[R13] = BOUNDARY + (8u << 20);
		EXPECT_EQ(guest_run(&guest, turns[i].code, turns[i].end)->gpr[RBX], turns[i].sum);
		EXPECT(code()->count_inlined > 0);
	}
}

/* A jump back whose target is no step of the block, but lies where one of the callee's does in its
 * page. */
GUEST(back_to_another, START "jmp 2f; nop; 3: dec %ecx; jz 9f; jmp 2f; nop; 2: call *%rdi;"
			     "add %rax, %rbx; jmp 3b; 9: hlt");

TEST(a_callee_is_no_middle)
{
	create(1);
	PUT(CALLEE + 13, loads); /* START and jmp and nop */
	guest.vm.vcpus[0]->state.gpr[RSI] = BOUNDARY;
	guest.vm.vcpus[0]->state.gpr[RDI] = CALLEE + 13;
	EXPECT_EQ(guest_run(&guest, back_to_another, back_to_another_end)->gpr[RBX], ROUNDS * B);
	EXPECT(code()->count_inlined > 0);
}

/* A register that the loop is based on, but when it is nowhere. */
GUEST(seldom, START "1: call *%rdx; add %rax, %rbx; test $1023, %ecx; jnz 2f; mov (%rsi), %rdi;"
		    "add (%rdi), %rbx; mov %rbp, %rdi; 2: dec %ecx; jnz 1b; hlt");

TEST(a_register_may_be_nowhere)
{
	create(1);
	PUT(CALLEE, loads);
	guest.vm.vcpus[0]->state.gpr[RSI] = BOUNDARY;
	*(uint64_t *)guest_at(&guest, ABOVE) = BOUNDARY - 4096;
	guest.vm.vcpus[0]->state.gpr[RDI] = guest.vm.vcpus[0]->state.gpr[RBP] = 1ull << 61;
	EXPECT_EQ(guest_run(&guest, seldom, seldom_end)->gpr[RBX], ROUNDS * B + 3 * A);
	EXPECT(code()->count_inlined > 0);
	EXPECT(code()->count_fixed < 100);
}

/* Loops without end, which are left by a kick, or by what a device writes there. */
GUEST(for_ever,
      "mov $0x110000, %edx; 1: add (%rsi), %rbx; call *%rdx; test %rax, %rax; jnz 1b; hlt");
GUEST(for_ever_in_two, "mov $0x110000, %edx; jmp 2f; 1: add (%rsi), %rbx; 2: xor %eax, %eax; call "
		       "*%rdx; inc %ecx; test $1, %cl;"
		       "jnz 1b; add 16(%rdi), %rbx; jmp 2b");

/* After 3,000 rounds only the way to the middle. */
GUEST(for_ever_to_the_middle,
      "mov $0x110000, %edx; jmp 2f; 1: add (%rsi), %rbx; 2: xor %eax, %eax; call *%rdx; inc %rcx;"
      "mov %ecx, %eax; and $1, %eax; cmp $3000, %rcx; cmova %r8d, %eax; test %eax, %eax; jnz 1b;"
      "add 16(%rdi), %rbx; jmp 2b");

#define WITHOUT_END 3u
static const uint8_t *const without_end[WITHOUT_END][2] = {
	{for_ever, for_ever_end},
	{for_ever_in_two, for_ever_in_two_end},
	{for_ever_to_the_middle, for_ever_to_the_middle_end},
};

static void start_without_end(unsigned which)
{
	create(1);
	PUT(CALLEE, loads);
	put(GUEST_CODE, without_end[which][0], without_end[which][1]);
	guest.vm.vcpus[0]->state.gpr[RSI] = BOUNDARY;
	guest.vm.vcpus[0]->state.gpr[RDI] = BOUNDARY;
}

TEST(loops_within_blocks_can_be_interrupted)
{
	for (unsigned i = 0; i < WITHOUT_END; i++) {
		start_without_end(i);
		guest_run_kicked(&guest);
		EXPECT(code()->count_rounds > 0);
	}
}

/* hlt: where the loop goes round, and where its callee is. */
static uint64_t written;

static void *write_hlt(void *nothing)
{
	usleep(30000);
	*(uint8_t *)guest_at(&guest, written) = 0xf4;
	vm_written(&guest.vm, gpa(written), 1);
	return nothing;
}

TEST(and_be_rewritten)
{
	static const uint64_t places[] = {GUEST_CODE + 5, GUEST_CODE + 10, CALLEE};

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned k = 0; k < sizeof(places) / sizeof(places[0]); k++) {
			written = places[k];
			if (i == 1 && k == 0)
				written += 2; /* behind the jmp that it begins with */
			start_without_end(i);
			guest_run_beside(&guest, write_hlt);
			EXPECT(code()->count_rounds > 0);
			EXPECT_EQ(guest.exit.kind, EXIT_HALT);
			EXPECT_EQ(guest.vm.vcpus[0]->state.rip, written + 1);
		}
	}
}

/* Each round stores to the page of one pointer by way of the other, until that page is not there:
 * the fault says which round it was. */
GUEST(faulting, START "1: mov (%rsi), %rax; add $8, %rsi; jmp 2f; 2: call *%rdx; mov %rax, (%rdi);"
		      "add $8, %rdi; dec %ecx; jnz 1b; hlt");

TEST(faults_in_a_round_are_the_guests)
{
	struct vcpu_state *state;

	create(1);
	PUT(CALLEE, loads);
	((uint64_t *)guest_at(&guest, GUEST_TABLES + 0x3000))[0x156] = 0;
	guest.vm.vcpus[0]->state.gpr[RSI] = BOUNDARY;
	guest.vm.vcpus[0]->state.gpr[RDI] = PAGE;
	state = guest_run(&guest, faulting, faulting_end);
	EXPECT_EQ(state->gpr[R15], 14);
	EXPECT_EQ(state->cr2, PAGE + 0x6000);
	EXPECT_EQ(state->gpr[RDI], PAGE + 0x6000);
	EXPECT_EQ(state->gpr[RCX], ROUNDS - 0x6000 / 8);
	EXPECT_EQ(state->gpr[RSI], BOUNDARY + 0x6000 + 8);
}
