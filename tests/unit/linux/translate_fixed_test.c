/* SPDX-License-Identifier: BSD-2-Clause */
/* Windows whose place is a constant in the code: whatever becomes of the window, and whoever runs
 * the code. */
#include "engines/translate/exclusive.h"
#include "translate_guest.h"

#include <pthread.h>
#include <unistd.h>

#define CALLEE		0x110000u
#define PAGE_A		0x150000u
#define PAGE_B		0x151000u
#define OTHER		0x40000u /* tables, whose PAGE_A is PAGE_B */
#define OTHER_DIRECTORY (OTHER + 0x2000)
#define A		1u
#define B		1000u

static struct guest guest;

static void put(uint64_t address, const uint8_t *code, const uint8_t *end)
{
	memcpy(guest_at(&guest, address), code, (size_t)(end - code));
}

#define PUT(address, code) put(address, code, code##_end)
#define RUN(code)	   guest_run(&guest, code, code##_end)

/* PAGE_A has A, 2 A, 3 A; PAGE_B likewise. From 2 GiB on each second GiB has OTHER's pages, but at
 * 128. */
static void create(unsigned vcpus)
{
	uint64_t *tables;

	guest_create(&guest, vcpus);
	engine_windows(&guest.vm, ENGINE_WINDOWS_ALL);
	memcpy(guest_at(&guest, OTHER), guest_at(&guest, GUEST_TABLES), 0x4000);
	tables = guest_at(&guest, OTHER);
	tables[0] = (OTHER + 0x1000) | 7;
	tables[512] = OTHER_DIRECTORY | 7;
	tables[1024] = (OTHER + 0x3000) | 7;
	tables[1536 + (PAGE_A >> 12)] = PAGE_B | 7;
	tables = guest_at(&guest, GUEST_TABLES + 0x1000);
	tables[128] = tables[0];
	for (unsigned i = 2; i < 128; i += 2)
		tables[i] = OTHER_DIRECTORY | 7;
	for (uint64_t i = 1; i <= 3; i++) {
		*(uint64_t *)guest_at(&guest, PAGE_A + i * 8 - 8) = i * A;
		*(uint64_t *)guest_at(&guest, PAGE_B + i * 8 - 8) = i * B;
	}
	for (unsigned i = 0; i < vcpus; i++)
		guest.vm.vcpus[i]->state.cr4 |= 1 << 17; /* PCIDE */
}

static const struct machine_code *code(void)
{
	return guest_cpu(&guest, 0)->code;
}

/* Constants */

/* Calls with the first of a page, the second by the callee, the third behind it: 6 for each. */
GUEST(loads_second, "mov 8(%rsi), %rax; ret");
#define CALL  "add (%rsi), %rbx; call *%rdx; add %rax, %rbx; add 16(%rsi), %rbx; dec %ecx; jnz 1b;"
#define START "mov $0x110000, %edx; mov $0x150000, %esi;"
GUEST(plain, START "mov $4000, %ecx; 1: " CALL "hlt");

TEST(operands_around_inlined_calls_have_constants)
{
	create(1);
	PUT(CALLEE, loads_second);
	EXPECT_EQ(RUN(plain)->gpr[RBX], 6 * A * 4000);
	EXPECT(code()->count_fixed > 0);
	EXPECT(guest_cpu(&guest, 0)->count_slot_misses < 50);
}

/* As hosts without it, operands that keep flags, and those of r10: they have none, or others. */
GUEST(spilled, START "mov %rsi, %r10; mov $4000, %ecx; 1: add (%r10), %rbx; call *%rdx;"
		     "add %rax, %rbx; add 16(%r10), %rbx; dec %ecx; jnz 1b; hlt");
GUEST(carries, START "mov $4000, %ecx; 1: add $-1, %rdi; mov (%rsi), %rdi; adc $0, %rbx;"
		     "call *%rdx; dec %ecx; jnz 1b; hlt");

TEST(other_operands_have_slots)
{
	create(1);
	PUT(CALLEE, loads_second);
	EXPECT_EQ(RUN(spilled)->gpr[RBX], 6 * A * 4000);
	create(1);
	PUT(CALLEE, loads_second);
	EXPECT_EQ(RUN(carries)->gpr[RBX], 3999);
}

/* 3,000 calls in one address space, then 1,000 times 3 in either by turns. */
GUEST(by_turns, START "mov $0x1000, %r14d; mov $0x40001, %r15d; mov $1, %eax; shl $63, %rax;"
		      "or %rax, %r14; or %rax, %r15; mov $3000, %ecx; mov $2001, %ebp;"
		      "1: " CALL "mov $3, %ecx; xchg %r14, %r15; mov %r14, %cr3; dec %ebp;"
		      "jnz 1b; hlt");

TEST(address_spaces_have_their_own_windows)
{
	create(1);
	PUT(CALLEE, loads_second);
	EXPECT_EQ(RUN(by_turns)->gpr[RBX], 6 * (A * 3000 + 3 * 1000 * (A + B)));
	EXPECT(code()->count_fixed > 0);
	/* In the end it does without. */
	EXPECT(code()->count_fixed < 100);
}

TEST(another_vcpu_has_its_own_windows)
{
	struct vcpu_state *state;

	create(2);
	PUT(CALLEE, loads_second);
	RUN(plain);
	EXPECT(code()->count_fixed > 0);
	state = &guest.vm.vcpus[1]->state;
	engine_translate.run(guest.vm.vcpus[1], &guest.exit);
	EXPECT_EQ(guest.exit.kind, EXIT_HALT);
	EXPECT_EQ(state->gpr[RBX], 6 * A * 4000);
}

/*
 * Between the check of (rsi) and what relies on it another operand goes through 31 windows, more
 * than there are, whose page is B's: one of them gets the place of (rsi)'s.
 */
GUEST(between,
      START "mov $1, %r14d; shl $31, %r14; mov %r14, %rax; shl $6, %rax; or %rax, %rsi;"
	    "mov $0x150000, %ebp; mov $4000, %ecx;"
	    "1: add (%rsi), %rbx; imul %r14, %r12; lea (%rbp,%r12), %rdi; add (%rdi), %r13;"
	    "add 8(%rsi), %rbx; add 16(%rsi), %rbx; call *%rdx; inc %r15d; mov %r15d, %r12d;"
	    "and $31, %r12d; cmp $2000, %ecx; cmova %r11, %r12; dec %ecx; jnz 1b; hlt");

TEST(a_window_may_go_behind_its_check)
{
	struct vcpu_state *state;

	create(1);
	PUT(CALLEE, loads_second);
	state = RUN(between);
	EXPECT(code()->count_fixed > 0);
	EXPECT_EQ(state->gpr[RBX], 6 * A * 4000);
	EXPECT(state->gpr[R13] > 1500 * B);
}

/* The register is elsewhere from the 3,000th call on: in a window with another place. */
GUEST(moves, START "mov $1, %r14d; shl $32, %r14; or %rsi, %r14; mov $4000, %ecx;"
		   "1: cmp $1000, %ecx; cmovbe %r14, %rsi; add (%rsi), %rbx; call *%rdx;"
		   "add %rax, %rbx; add 16(%rsi), %rbx; dec %ecx; jnz 1b; hlt");
GUEST(moves_between_blocks, START "mov $1, %r14d; shl $32, %r14; or %rsi, %r14; mov $3000, %ecx;"
				  "1: " CALL "mov $1000, %ecx; xchg %r14, %rsi; inc %ebp;"
				  "cmp $2, %ebp; jne 1b; hlt");

TEST(a_register_may_go_to_another_window)
{
	create(1);
	PUT(CALLEE, loads_second);
	EXPECT_EQ(RUN(moves)->gpr[RBX], 6 * (A * 3000 + B * 1000));
	create(1);
	PUT(CALLEE, loads_second);
	EXPECT_EQ(RUN(moves_between_blocks)->gpr[RBX], 6 * (A * 3000 + B * 1000));
	EXPECT(code()->count_fixed > 0);
	EXPECT(guest_cpu(&guest, 0)->count_slot_misses < 1000);
}

/* A page that is not there, behind a check that another page has passed; and where no address is.
 */
GUEST(to_nowhere, START "mov $4000, %ecx; 1: cmp $500, %ecx; cmove %r14, %rsi;" CALL "hlt");

TEST(faults_are_the_guests)
{
	static const struct {
		uint64_t address, vector;
	} cases[] = {{0x152000, 14}, {1ull << 61, 13}, {1ull << 63 | PAGE_A, 13}};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vcpu_state *state;

		create(1);
		PUT(CALLEE, loads_second);
		((uint64_t *)guest_at(&guest, GUEST_TABLES + 0x3000))[0x152] = 0;
		guest.vm.vcpus[0]->state.gpr[R14] = cases[i].address;
		state = RUN(to_nowhere);
		EXPECT_EQ(state->gpr[R15], cases[i].vector);
		EXPECT_EQ(state->gpr[RCX], 500);
		EXPECT_EQ(state->gpr[RBX], 6 * A * 3500);
	}
}

/* Runs the loop on the vcpu, with its data at address; returns the sum. */
GUEST(given, "mov $0x110000, %edx; mov $4000, %ecx; 1: " CALL "hlt");

static uint64_t run_at(unsigned vcpu, uint64_t address)
{
	struct vcpu_state *state = &guest.vm.vcpus[vcpu]->state;

	state->gpr[RSI] = address;
	state->gpr[RBX] = 0;
	state->rip = GUEST_CODE;
	state->activity = VCPU_RUNNING;
	engine_translate.reset(guest.vm.vcpus[vcpu]);
	engine_translate.run(guest.vm.vcpus[vcpu], &guest.exit);
	EXPECT_EQ(guest.exit.kind, EXIT_HALT);
	return state->gpr[RBX];
}

/* Vcpu 1 has had the number, for PAGE_A's window, when vcpu 0 gets it, for another. */
TEST(numbers_are_given_out_again)
{
	create(2);
	PUT(CALLEE, loads_second);
	PUT(GUEST_CODE, given);
	EXPECT_EQ(run_at(1, PAGE_A), 6 * A * 4000);
	EXPECT(code()->fixed.count > 0);
	code_empty_callees(guest_cpu(&guest, 0)->code);
	EXPECT_EQ(code()->fixed.count, 0);
	EXPECT_EQ(run_at(0, 1ull << 32 | PAGE_A), 6 * B * 4000);
	EXPECT(code()->fixed.count > 0);
	EXPECT_EQ(run_at(1, PAGE_A), 6 * A * 4000);
}

/* 300 loops, each of whose operands are checked by one; then the numbers are taken back, once. */
GUEST(many, START "mov $1, %r14d; shl $32, %r14; .rept 300; mov $1100, %ecx; 1: " CALL
		  "xor %r14, %rsi; .endr; hlt");

TEST(there_may_be_more_operands_than_numbers)
{
	create(1);
	PUT(CALLEE, loads_second);
	EXPECT_EQ(RUN(many)->gpr[RBX], 6 * 1100 * 150 * (A + B));
	EXPECT_EQ(code()->fixed.count, 300 - FIXED_WINDOWS);
}

/*
 * Two vcpus run the loop with pointers to any of 16 windows, and come to C in the middle of it: by
 * pause, and by a locked instruction across two pages. Meanwhile the numbers are taken back, and
 * the whole cache is emptied, again and again.
 */
GUEST(shaken, "mov $0x110000, %edx; mov $300, %ecx; 1: add (%rsi), %rbx; call *%rdx;"
	      "add %rax, %rbx; pause; add 16(%rsi), %rbx; lock incq 0xffc(%rdi);"
	      "add (%rbp), %r12; add 8(%rbp), %r12; dec %ecx; jnz 1b; hlt");
#define SHAKES 200u

static _Atomic bool shaken_enough;

static void *run_shaken(void *number)
{
	unsigned vcpu = (unsigned)(uintptr_t)number;
	struct vcpu_state *state = &guest.vm.vcpus[vcpu]->state;
	uint64_t random = vcpu + 5;
	struct exit exit;

	while (!atomic_load(&shaken_enough)) {
		uint64_t a, b;

		random = random * 6364136223846793005u + 1442695040888963407u;
		a = random >> 60;
		b = random >> 57 & 7;
		state->gpr[RSI] = a << 32 | PAGE_A;
		state->gpr[RBP] = b << 32 | PAGE_A;
		state->gpr[RDI] = 0x180000 + vcpu * 0x2000;
		state->gpr[RBX] = state->gpr[R12] = 0;
		state->rip = GUEST_CODE;
		state->activity = VCPU_RUNNING;
		engine_translate.reset(guest.vm.vcpus[vcpu]);
		engine_translate.run(guest.vm.vcpus[vcpu], &exit);
		EXPECT_EQ(exit.kind, EXIT_HALT);
		EXPECT_EQ(state->gpr[RBX], 6 * (a ? B : A) * 300);
		EXPECT_EQ(state->gpr[R12], 3 * (b ? B : A) * 300);
	}
	return NULL;
}

TEST(numbers_are_taken_back_all_the_time)
{
	struct machine_code *shaken_code;
	pthread_t threads[2];

	create(2);
	PUT(CALLEE, loads_second);
	PUT(GUEST_CODE, shaken);
	shaken_code = guest_cpu(&guest, 0)->code;
	atomic_store(&shaken_enough, false);
	for (uintptr_t i = 0; i < 2; i++)
		REQUIRE(pthread_create(&threads[i], NULL, run_shaken, (void *)i) == 0);
	for (unsigned i = 0; i < SHAKES; i++) {
		usleep(3000);
		exclusive_begin_outside(shaken_code);
		if (i % 64 == 63)
			code_trim(shaken_code, true);
		else
			code_empty_callees(shaken_code);
		exclusive_end_outside(shaken_code);
	}
	atomic_store(&shaken_enough, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	EXPECT(code()->count_fixed > 0);
}
