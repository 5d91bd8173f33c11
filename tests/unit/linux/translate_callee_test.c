/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls of short functions, which are inlined when they have been made often: whatever becomes of
 * the function, of where it is mapped, and of what the call leads to. */
#include "lib/bytes.h"
#include "translate_guest.h"

#define CALLEE 0x110000u
#define OTHER  0x160000u

static struct guest guest;

static void create(void)
{
	guest_create(&guest, 1);
	engine_windows(&guest.vm, ENGINE_WINDOWS_ALL);
}

static void put(uint64_t address, const uint8_t *code, const uint8_t *end)
{
	memcpy(guest_at(&guest, address), code, (size_t)(end - code));
}

#define PUT(address, code) put(address, code, code##_end)
#define RUN(code)	   guest_run(&guest, code, code##_end)

static uint64_t inlined(void)
{
	return guest_cpu(&guest, 0)->code->count_inlined;
}

static uint64_t *entry_of(uint64_t linear)
{
	return (uint64_t *)guest_at(&guest, GUEST_TABLES + 0x3000) + (linear >> 12);
}

/* 3,000 calls, of which each adds what is left of them and 5. */
#define SUM (3000 * 3001 / 2 + 3000 * 5)
#define CALLS(before, call)                                                                        \
	"mov $0x110000, %edx; mov %rdx, 0x150000; " before "; mov $3000, %ecx;"                    \
	"1: " call "; add %rax, %rbx; dec %ecx; jnz 1b; hlt;"
#define ADDS "2: lea 5(%rcx), %rax; ret"
GUEST(adds, ADDS);
GUEST(near, CALLS("nop", "call 2f") ADDS);
GUEST(near_elsewhere, CALLS("nop", "call 2f") ".skip 8192;" ADDS);
GUEST(indirect, CALLS("nop", "call *%rdx"));
GUEST(spilled, CALLS("mov %rdx, %r10", "call *%r10"));
GUEST(by_memory, CALLS("mov $0x150000, %esi", "call *(%rsi)"));
GUEST(by_constant, CALLS("nop", "call *0x150000"));

TEST(short_functions_are_inlined)
{
	const uint8_t *codes[][2] = {
		{near, near_end},	    {near_elsewhere, near_elsewhere_end},
		{indirect, indirect_end},   {spilled, spilled_end},
		{by_memory, by_memory_end}, {by_constant, by_constant_end}};

	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct vcpu_state *state;

		create();
		PUT(CALLEE, adds);
		state = guest_run(&guest, codes[i][0], codes[i][1]);
		EXPECT_EQ(state->gpr[RBX], SUM);
		EXPECT_EQ(state->gpr[RSP], GUEST_STACK);
		EXPECT(inlined() > 0);
	}
}

/* Those that store, call, jump back, use the stack, are long, or go to C. */
GUEST(stores, "mov %rcx, 0x150008; ret");
GUEST(calls, "call 1f; ret; 1: push %rcx; pop %rax; ret");
GUEST(jumps_back, "mov $2, %eax; 1: dec %eax; jnz 1b; ret");
GUEST(pushes, "push %rcx; pop %rax; ret");
GUEST(moves_rsp, "lea 8(%rsp), %rsp; lea -8(%rsp), %rsp; ret");
GUEST(adds_to_rsp, "add $8, %rsp; sub $8, %rsp; ret");
GUEST(pops, "lea 5(%rcx), %rax; ret $8");
GUEST(is_long, ".rept 16; nop; .endr; ret");
GUEST(goes_to_c, "push %rcx; xor %eax, %eax; cpuid; pop %rcx; mov $0x110000, %edx; ret");

TEST(other_functions_are_not_inlined)
{
	const uint8_t *codes[][2] = {{stores, stores_end},	     {calls, calls_end},
				     {jumps_back, jumps_back_end},   {pushes, pushes_end},
				     {adds_to_rsp, adds_to_rsp_end}, {pops, pops_end},
				     {moves_rsp, moves_rsp_end},     {is_long, is_long_end},
				     {goes_to_c, goes_to_c_end}};

	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		create();
		put(CALLEE, codes[i][0], codes[i][1]);
		RUN(indirect);
		EXPECT_EQ(inlined(), 0);
	}
}

/* The instruction lea ends in the next page, or the ret begins there. */
GUEST(at_an_end, "mov $0x110ffd, %edx; mov $3000, %ecx; 1: call *%rdx; add %rax, %rbx; dec %ecx;"
		 "jnz 1b; mov $0x110ffc, %edx; mov $3000, %ecx; 2: call *%rdx; add %rax, %rbx;"
		 "dec %ecx; jnz 2b; hlt");

TEST(functions_across_pages_are_not_inlined)
{
	create();
	PUT(CALLEE + 0xffd, adds);
	((uint8_t *)guest_at(&guest, CALLEE))[0xffc] = 0x90;
	EXPECT_EQ(RUN(at_an_end)->gpr[RBX], 2 * SUM);
	EXPECT_EQ(inlined(), 0);
}

/*
 * 2,000 calls of the one, then 2,000 of both in turn. The other one wants to know the flags from
 * before the call, and leaves others. rbx, r12: sums of what is returned, and of what is left.
 */
GUEST(two, "mov $0x110000, %edx; mov $0x160000, %esi; mov $4000, %ecx; mov $2000, %r8d;"
	   "1: mov %rdx, %rdi; cmp %r8d, %ecx; ja 2f; xchg %rdx, %rsi; cmp %r8d, %ecx;"
	   "2: mov %rdi, %rbp; call *%rdi; setc %bpl; movzbl %bpl, %ebp; add %rbp, %r12;"
	   "add %rax, %rbx; dec %ecx; jnz 1b; hlt");
GUEST(two_first, "mov $1000, %eax; cmp %eax, %eax; ret");
GUEST(two_other, "mov $0, %eax; setc %al; stc; ret");

TEST(another_function_may_be_called)
{
	create();
	PUT(CALLEE, two_first);
	PUT(OTHER, two_other);
	RUN(two);
	EXPECT(inlined() > 0);
	/* ecx is below r8d in all of the other's calls but, if it is its turn, when they are alike
	 */
	EXPECT_EQ(guest.vm.vcpus[0]->state.gpr[RBX], 3000 * 1000 + 1000);
	EXPECT_EQ(guest.vm.vcpus[0]->state.gpr[R12], 1000);
}

/* Four ways through it, by jccs; flags of before the call, or of within, are of use at the end and
 * behind it. */
GUEST(ways, "mov $0x110000, %edx; mov $4000, %ecx; 1: mov %ecx, %edi; and $3, %edi; call *%rdx;"
	    "adc $0, %rbx; add %rax, %r8; dec %ecx; jnz 1b; hlt");
GUEST(ways_callee,
      "mov $1, %eax; cmp $2, %edi; je 2f; ja 1f; mov $10, %eax; test %edi, %edi; jz 3f;"
      "mov $100, %eax; cmp $5, %edi; 1: lea 1(%rax), %rax; 2: nop;"
      "3: ret");

TEST(functions_may_have_branches)
{
	struct vcpu_state *state;

	create();
	PUT(CALLEE, ways_callee);
	state = RUN(ways);
	EXPECT(inlined() > 0);
	EXPECT_EQ(state->gpr[R8], 1000 * (10 + 101 + 1 + 2));
	EXPECT_EQ(state->gpr[RBX], 1000); /* of cmp $5 */
}

/* It returns 1; behind 2,000 calls its constant becomes 2. */
GUEST(rewritten, "mov $0x110000, %edx; mov $4000, %ecx; 1: call *%rdx; add %rax, %rbx; dec %ecx;"
		 "jz 2f; cmp $2000, %ecx; jne 1b; movb $2, 1(%rdx); jmp 1b; 2: hlt");
GUEST(returns_1, "mov $1, %eax; ret");
GUEST(returns_2, "mov $2, %eax; ret");

TEST(a_function_may_be_rewritten)
{
	create();
	PUT(CALLEE, returns_1);
	EXPECT_EQ(RUN(rewritten)->gpr[RBX], 2000 + 2 * 2000);
	EXPECT(inlined() > 0);
}

/* Its page becomes another one, and after 1,000 calls the first one again. */
GUEST(remapped, "mov $0x110000, %edx; mov $0x160007, %esi; mov $0x110007, %edi; mov $4000, %ecx;"
		"1: call *%rdx; add %rax, %rbx; dec %ecx; jz 2f; test $1023, %ecx; jnz 1b;"
		"mov %rsi, 0x4000+0x110*8; invlpg 0x110000; xchg %rsi, %rdi; jmp 1b; 2: hlt");

TEST(a_function_may_be_mapped_otherwise)
{
	create();
	PUT(CALLEE, returns_1);
	PUT(OTHER, returns_2);
	/* 4000 to 3072, to 2048, 1024, 0 */
	EXPECT_EQ(RUN(remapped)->gpr[RBX], 928 + 2 * 1024 + 1024 + 2 * 1024);
	EXPECT(inlined() > 0);
}

/* Its page is gone behind 2,000 calls: the call has been made, and the fault is the fetch's. */
GUEST(unmapped, "mov $0x110000, %edx; mov $4000, %ecx; 1: call *%rdx; dec %ecx; cmp $2000, %ecx;"
		"jne 1b; movq $0, 0x4000+0x110*8; invlpg 0x110000; jmp 1b");

TEST(a_function_may_be_gone)
{
	const struct vcpu_state *state;
	const uint64_t *frame;

	create();
	PUT(CALLEE, returns_1);
	state = RUN(unmapped);
	frame = guest_at(&guest, state->gpr[RSP]);
	EXPECT(inlined() > 0);
	EXPECT_EQ(state->gpr[R15], 14);
	EXPECT_EQ(state->cr2, CALLEE);
	EXPECT_EQ(frame[1], CALLEE);
	EXPECT_EQ(frame[4], GUEST_STACK - 8);
	EXPECT_EQ(state->gpr[RCX], 2000);
	EXPECT_EQ(*(uint64_t *)guest_at(&guest, GUEST_STACK - 8), GUEST_CODE + 12);
}

/* It loads, behind 2,000 calls from a page that is not there: first at once, then divides by 0. */
GUEST(faults, "mov $0x110000, %edx; mov $0x150000, %edi; mov $4000, %ecx; 1: call *%rdx;"
	      "dec %ecx; cmp $2000, %ecx; jne 1b; mov $0x151000, %edi; jmp 1b");
GUEST(loads, "nop; mov 8(%rdi), %rax; ret");
GUEST(divides, "mov $0x10, %eax; xor %edx, %edx; divl 8(%rdi); mov $0x110000, %edx; ret");

static void expect_fault(unsigned vector, uint64_t rip, unsigned error)
{
	const struct vcpu_state *state = &guest.vm.vcpus[0]->state;
	const uint64_t *frame = guest_at(&guest, state->gpr[RSP]);

	EXPECT(inlined() > 0);
	EXPECT_EQ(state->gpr[R15], vector);
	EXPECT_EQ(frame[error], rip);
	EXPECT_EQ(frame[error + 3], GUEST_STACK - 8);
	EXPECT_EQ(*(uint64_t *)guest_at(&guest, GUEST_STACK - 8), GUEST_CODE + 17);
}

TEST(faults_of_a_function_are_its_own)
{
	create();
	PUT(CALLEE, loads);
	*entry_of(0x151000) = 0;
	RUN(faults);
	expect_fault(14, CALLEE + 1, 1);
	EXPECT_EQ(guest.vm.vcpus[0]->state.cr2, 0x151008);
	create();
	PUT(CALLEE, divides);
	*(uint32_t *)guest_at(&guest, 0x150008) = 3;
	*(uint32_t *)guest_at(&guest, 0x151008) = 0;
	RUN(faults);
	expect_fault(0, CALLEE + 7, 0);
}

/* Its loads go to other windows in turn, and to what only the interpreter can read. */
GUEST(wanders, "mov $0x110000, %edx; mov $0x150000, %edi; mov $6000, %ecx;"
	       "mov $0x80000000, %r8d; 1: call *%rdx;"
	       "add %rax, %rbx; dec %ecx; jz 2f; cmp $2000, %ecx; jae 1b;"
	       "xor %r8, %rdi; jmp 1b; 2: hlt");
GUEST(wanders_callee, "mov 0xffc(%rdi), %rax; ret");

TEST(a_function_may_leave_windows)
{
	uint64_t *tables;

	create();
	tables = guest_at(&guest, GUEST_TABLES);
	tables[512 + 2] = tables[512];
	PUT(CALLEE, wanders_callee);
	memcpy(guest_at(&guest, 0x150ffc), &(uint64_t){7}, 8);
	EXPECT_EQ(RUN(wanders)->gpr[RBX], 7 * 6000);
	EXPECT(inlined() > 0);
}

/*
 * What a way through it knows of a register, the other one does not: rdi and rbx are in two
 * windows, which they exchange each time, and every second time that the check is passed by.
 */
GUEST(exchanges, "mov $0x110000, %edx; mov $0x150000, %ebx; mov $0x80151000, %edi; mov $8000, %ecx;"
		 "1: test $2, %cl; call *%rdx; add %rax, %r12; add %rsi, %r13; xchg %rbx, %rdi;"
		 "dec %ecx; jnz 1b; hlt");
GUEST(passes_check, "jz 1f; mov (%rdi), %rax; 1: mov 8(%rdi), %rsi; mov $0, %eax; ret");
GUEST(passes_mov, "jz 1f; mov %rbx, %rax; mov %rax, %r8; mov (%rax), %rsi; 1: mov (%rbx), %rax;"
		  "mov 8(%rdi), %rsi; ret");
GUEST(passes_copy, "mov %rdi, %rbp; jz 1f; mov %rbx, %rbp; 1: mov (%rbp), %rsi; mov (%rbx), %rax;"
		   "ret");

TEST(ways_through_a_function_know_what_both_do)
{
	const uint8_t *callees[][2] = {{passes_check, passes_check_end},
				       {passes_mov, passes_mov_end},
				       {passes_copy, passes_copy_end}};

	for (unsigned i = 0; i < 3; i++) {
		const struct vcpu_state *state;
		uint64_t *tables;

		create();
		tables = guest_at(&guest, GUEST_TABLES);
		tables[512 + 2] = tables[512];
		put(CALLEE, callees[i][0], callees[i][1]);
		for (uint64_t j = 0; j < 2; j++) {
			*(uint64_t *)guest_at(&guest, 0x150000 + (j << 12)) = 1 + j;
			*(uint64_t *)guest_at(&guest, 0x150008 + (j << 12)) = 3 + j;
		}
		state = RUN(exchanges);
		EXPECT_EQ(state->gpr[R12], i == 0 ? 0 : 4000 * (1 + 2));
		EXPECT_EQ(state->gpr[R13], i == 2 ? 4000 * (1 + 2) : 4000 * (3 + 4));
		EXPECT(inlined() > 0);
		EXPECT(guest_cpu(&guest, 0)->count_window_faults < 100);
	}
}

/* Without an end: only a kick helps. */
GUEST(endless, "mov $0x110000, %edx; 1: call *%rdx; jmp 1b");

TEST(loops_of_inlined_calls_can_be_interrupted)
{
	create();
	PUT(CALLEE, returns_1);
	PUT(GUEST_CODE, endless);
	guest_run_kicked(&guest);
	EXPECT(inlined() > 0);
}

/*
 * 300 functions, one behind the other, that return their numbers, 2,000 times: more than there are
 * callee_numbers. Then their page becomes another one, in which each returns one more, and all is
 * done once more. rbx: the sum.
 */
#define MANY  300u
#define TIMES 2000u

static void put_many(uint64_t address, uint32_t more)
{
	for (unsigned i = 0; i < MANY; i++) {
		uint8_t *callee = guest_at(&guest, address + i * 8);

		callee[0] = 0xb8; /* mov $i + more, %eax; ret */
		bytes_store32(callee + 1, i + more);
		callee[5] = 0xc3;
	}
}

static uint8_t *put_opcode(uint8_t *code, const void *opcode, size_t size, uint32_t value)
{
	memcpy(code, opcode, size);
	bytes_store32(code + size, value);
	return code + size + 4;
}

TEST(there_may_be_more_functions_than_can_be_inlined)
{
	uint8_t *code, *start;

	create();
	start = code = guest_at(&guest, GUEST_CODE);
	code = put_opcode(code, "\xb9", 1, TIMES); /* mov $TIMES, %ecx */
	for (unsigned i = 0; i < MANY; i++) {
		uint32_t behind = GUEST_CODE + (uint32_t)(code - start) + 5;

		code = put_opcode(code, "\xe8", 1, CALLEE + i * 8 - behind);
		/* add %rax, %rbx; jmp . + 2 */
		memcpy(code, (const uint8_t[]){0x48, 0x01, 0xc3, 0xeb, 0}, 5);
		code += 5;
	}
	/* dec %ecx; jnz behind the mov; hlt; invlpg CALLEE; jmp to the beginning */
	code = put_opcode(code, "\xff\xc9\x0f\x85", 4, 5 - ((uint32_t)(code - start) + 8));
	code = put_opcode(code, "\xf4\x0f\x01\x3c\x25", 5, CALLEE);
	put_opcode(code, "\xe9", 1, 0u - ((uint32_t)(code - start) + 5));
	put_many(CALLEE, 0);
	engine_translate.run(guest.vm.vcpus[0], &guest.exit);
	EXPECT_EQ(guest.exit.kind, EXIT_HALT);
	EXPECT_EQ(guest.vm.vcpus[0]->state.gpr[RBX], TIMES * MANY * (MANY - 1) / 2);
	EXPECT_EQ(guest_cpu(&guest, 0)->code->callee_count, CALLEES);
	put_many(OTHER, 1);
	*entry_of(CALLEE) = OTHER | 7;
	engine_translate.run(guest.vm.vcpus[0], &guest.exit);
	EXPECT_EQ(guest.vm.vcpus[0]->state.gpr[RBX], TIMES * MANY * MANY);
}

/*
 * 3,000 calls of one that does not want the flags; then ten of one that does, with a stack on a
 * page that has code, so that the interpreter does each push. rbx: the carries of cmp (ecx < esi).
 */
GUEST(other_stack, "mov $0x110000, %edi; mov $3000, %ecx; mov $0x170800, %ebp; call *%rbp;"
		   "1: cmp %esi, %ecx; call *%rdi; add %rax, %rbx; dec %ecx; jz 2f;"
		   "lea -10(%rcx), %eax; test %eax, %eax; jnz 1b; mov $0x160000, %edi; mov %rbp, "
		   "%rsp; xor %ebx, %ebx; mov $5000, %esi;"
		   "jmp 1b; 2: hlt");
GUEST(returns_0, "xor %eax, %eax; ret");
GUEST(returns_carry, "mov $0, %eax; setc %al; ret");

TEST(flags_are_there_when_the_push_is_interpreted)
{
	create();
	PUT(CALLEE, returns_0);
	PUT(OTHER, returns_carry);
	PUT(0x170800, returns_0);
	EXPECT_EQ(RUN(other_stack)->gpr[RBX], 10);
	EXPECT(inlined() > 0);
}

/* The same, where the push raises #PF: carry is in the frame, and wanted behind iret. */
GUEST(faulting_stack, "mov $0x110000, %edi; mov $3000, %ecx; mov $0x170800, %ebp;"
		      "1: cmp %esi, %ecx; call *%rdi; add %rax, %rbx; dec %ecx; jz 2f;"
		      "lea -10(%rcx), %eax; test %eax, %eax; jnz 1b; mov $0x160000, %edi; mov "
		      "%rbp, %rsp; xor %ebx, %ebx; mov $5000, %esi;"
		      "jmp 1b; 2: hlt");
TEST(flags_are_in_the_frame_when_the_push_faults)
{
	const uint64_t *frame;
	create();
	PUT(CALLEE, returns_0);
	PUT(OTHER, returns_carry);
	*entry_of(0x170000) = 0;
	RUN(faulting_stack);
	frame = guest_at(&guest, guest.vm.vcpus[0]->state.gpr[RSP]);
	EXPECT_EQ(guest.vm.vcpus[0]->state.gpr[R15], 14);
	EXPECT_EQ(frame[3] & 1, 1);
	EXPECT(inlined() > 0);
}

/*
 * Its jcc leads over a check of a window, or of what makes two registers the same, by turns with
 * registers in two windows; 0x80150000 is 0x150000 once more. rax: what is at 8.
 */
GUEST(by_turns, "mov $0x110000, %edx; mov $0x150000, %ebp; mov $0x80150000, %r12d; mov $4000, %ecx;"
		"1: xchg %rbp, %r12; mov %rbp, %rdi; mov %r12, %rsi; call *%rdx;"
		"add %rax, %rbx; dec %ecx; jnz 1b; hlt");
GUEST(over_check, "test $1, %cl; jnz 1f; mov (%rdi), %rax; 1: mov 8(%rdi), %rax; ret");
GUEST(over_other_check, "mov (%rdi), %rax; mov 8(%rdi), %rax; test $1, %cl; jnz 1f;"
			"lea (%rdi,%r14), %rdi; mov (%rdi), %rax; 1: mov 8(%rdi), %rax; ret");
GUEST(over_copy, "test $1, %cl; jnz 1f; mov %rdi, %rsi; 1: mov (%rdi), %rax;"
		 "mov 8(%rsi), %rax; ret");
GUEST(over_write, "mov (%rdi), %rax; mov 8(%rdi), %rax; test $1, %cl; jz 1f; mov %rsi, %rdi;"
		  "1: mov 8(%rdi), %rax; ret");
GUEST(three_alike, "mov %rdi, %rax; mov %rdi, %r8; mov %rsi, %rdi; mov (%rax), %r8;"
		   "mov 8(%rdi), %rax; ret");

TEST(what_is_known_of_windows_meets)
{
	const uint8_t *codes[][2] = {{over_check, over_check_end},
				     {over_other_check, over_other_check_end},
				     {over_copy, over_copy_end},
				     {over_write, over_write_end},
				     {three_alike, three_alike_end}};

	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		uint64_t *tables;

		create();
		tables = guest_at(&guest, GUEST_TABLES);
		tables[512 + 2] = tables[512];
		put(CALLEE, codes[i][0], codes[i][1]);
		*(uint64_t *)guest_at(&guest, 0x150008) = 7;
		EXPECT_EQ(RUN(by_turns)->gpr[RBX], 7 * 4000);
		EXPECT(inlined() > 0);
	}
}

/* Flags of within it are wanted behind it: they come by a jcc (jb), or past a check of a window. */
GUEST(carries, "mov $0x110000, %edx; mov $0x150000, %esi; mov $4000, %ecx; 1: mov %ecx, %edi;"
	       "and $3, %edi; call *%rdx; adc $0, %rbx; dec %ecx; jnz 1b; hlt");
GUEST(jumps_with_carry, "cmp $2, %edi; jb 1f; mov $1, %eax; 1: nop; ret");
GUEST(loads_with_carry, "cmp $2, %edi; jae 1f; mov (%rsi,%rbp), %rax; 1: nop; ret");

TEST(flags_meet)
{
	create();
	PUT(CALLEE, jumps_with_carry);
	EXPECT_EQ(RUN(carries)->gpr[RBX], 2000);
	EXPECT(inlined() > 0);
	create();
	PUT(CALLEE, loads_with_carry);
	EXPECT_EQ(RUN(carries)->gpr[RBX], 2000);
	EXPECT(inlined() > 0);
}

/* A register of the cmp is another one by the time of the call, and the other callee wants carry.
 */
GUEST(overwrites, "mov $0x110000, %edi; mov $3000, %ecx; 1: mov $5000, %esi; cmp %esi, %ecx;"
		  "mov $0, %esi; call *%rdi; add %rax, %rbx; dec %ecx; jz 2f; cmp $10, %ecx;"
		  "jne 1b; mov $0x160000, %edi; jmp 1b; 2: hlt");

TEST(flags_are_not_made_of_other_registers)
{
	create();
	PUT(CALLEE, returns_0);
	PUT(OTHER, returns_carry);
	EXPECT_EQ(RUN(overwrites)->gpr[RBX], 10);
	EXPECT(inlined() > 0);
}

/* Mapped otherwise, the function wants the flags from before the call. */
GUEST(remapped_wants, "mov $0x110000, %edx; mov $3000, %ecx; 1: cmp %esi, %ecx; call *%rdx;"
		      "add %rax, %rbx; dec %ecx; jz 2f; lea -1000(%rcx), %eax; test %eax, %eax;"
		      "jnz 1b; mov $5000, %esi; movq $0x160007, 0x4000+0x110*8; invlpg 0x110000;"
		      "jmp 1b; 2: hlt");

TEST(a_function_mapped_otherwise_has_the_flags)
{
	create();
	PUT(CALLEE, returns_0);
	PUT(OTHER, returns_carry);
	EXPECT_EQ(RUN(remapped_wants)->gpr[RBX], 1000);
	EXPECT(inlined() > 0);
}

/* Its operand is relative to its own page. */
GUEST(relative, "mov 1f(%rip), %eax; ret; 1: .long 7");

TEST(operands_of_a_function_are_relative_to_it)
{
	create();
	PUT(CALLEE, relative);
	EXPECT_EQ(RUN(indirect)->gpr[RBX], 7 * 3000);
	EXPECT(inlined() > 0);
}

/* Behind 2,000 calls the call is of another function: 2f, then 3f, 8 bytes behind. */
GUEST(retargeted, "mov $3000, %ecx; 1: call 2f; add %rax, %rbx; dec %ecx; jz 4f; cmp $1000, %ecx;"
		  "jne 1b; addl $8, 1b+1(%rip); jmp 1b; 4: hlt; .balign 4096;"
		  "2: mov $1, %eax; ret; nop; nop; mov $2, %eax; ret");

TEST(a_call_may_be_rewritten)
{
	create();
	EXPECT_EQ(RUN(retargeted)->gpr[RBX], 2000 + 2 * 1000);
	EXPECT(inlined() > 0);
}

/*
 * Numbers are given out again: the second run is of another call, of OTHER, which has the first
 * one's number then. The first one's function has been mapped otherwise meanwhile.
 */
GUEST(again,
      "mov $3000, %ecx; mov $0x110000, %edx;"
      "1: call *%rdx; add %rax, %rbx; dec %ecx; jnz 1b; hlt;"
      "3: mov $3000, %ecx; invlpg 0x110000; mov $0x160000, %edx; 4: call *%rdx; dec %ecx; jnz 4b;"
      "mov $0x110000, %edx; mov $3000, %ecx; jmp 1b");

TEST(numbers_are_given_out_again)
{
	struct vcpu_state *state;

	create();
	state = &guest.vm.vcpus[0]->state;
	PUT(CALLEE, returns_1);
	PUT(OTHER, returns_0);
	PUT(0x170000, returns_2);
	RUN(again);
	EXPECT(inlined() > 0);
	EXPECT_EQ(guest_cpu(&guest, 0)->code->callee_count, 1);
	code_empty_callees(guest_cpu(&guest, 0)->code);
	*entry_of(0x110000) = 0x170007;
	engine_translate.run(guest.vm.vcpus[0], &guest.exit); /* on behind the hlt */
	EXPECT_EQ(state->gpr[RBX], 3000 + 2 * 3000);
}
