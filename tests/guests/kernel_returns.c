/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel's calls and returns: whatever becomes of the stack, the code and its mapping, RFLAGS.AC
 * or the level in between, a return goes where the stack says, and does there what the level may.
 * Source: Intel SDM volume 2, CALL, RET; volume 3, 4.6, 4.10.4, 8.1.3. lodge: --cpu-model max
 */
#include "system.h"

#define ROUNDS	  300u
#define PAGE_SIZE 4096u
#define NOWHERE	  0x8000000000ull /* mapped by nobody else */
#define AC	  0x40000u

/* Tasks, each with a stack of its own, that turn to another one from within calls */

#define TASKS	   6u
#define STACK_SIZE 8192u

static uint8_t stacks[TASKS][STACK_SIZE] __attribute__((aligned(4096)));
static uint64_t stack_pointers[TASKS + 1];
static unsigned int running, finished;

void turn(uint64_t *from, uint64_t to);
asm(".pushsection .text\n"
    "turn:	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, (%rdi)\n"
    "	mov %rsi, %rsp\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n"
    ".popsection");

static void turn_to(unsigned int task)
{
	unsigned int from = running;

	running = task;
	turn(&stack_pointers[from], stack_pointers[task]);
}

/* The depth differs from task to task, and from one turn to the next. */
__attribute__((noinline)) static uint64_t go_down(unsigned int depth, uint64_t value)
{
	uint64_t below;

	if (!depth) {
		turn_to((running + 1 + value % 3) % TASKS);
		return value;
	}
	below = go_down(depth - 1, value + 1);
	EXPECT_EQ(below, value + depth);
	return below;
}

static void task(void)
{
	unsigned int self = running;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		unsigned int depth = 1 + (self * 5 + i) % 13;

		EXPECT_EQ(go_down(depth, i), i + depth);
		EXPECT_EQ(running, self);
	}
	finished++;
	for (;;)
		turn_to(finished < TASKS ? (self + 1) % TASKS : TASKS);
}

static void each_task_returns_to_its_own(void)
{
	for (unsigned int i = 0; i < TASKS; i++) {
		uint64_t *top = (uint64_t *)(void *)(stacks[i] + STACK_SIZE - 16);

		*top = (uintptr_t)task;
		stack_pointers[i] = (uintptr_t)(top - 6);
	}
	running = TASKS;
	turn_to(0);
	EXPECT_EQ(finished, TASKS);
}

/* The callee changes where it returns to at every third call, and takes arguments with it. */
CODE(astray, "	xor	%eax, %eax\n"
	     "	xor	%ebx, %ebx\n"
	     "	mov	$600, %ecx\n"
	     "1:	push	%rcx\n"
	     "	call	2f\n"
	     "	inc	%eax\n"
	     "	jmp	3f\n"
	     "	inc	%ebx\n"
	     "3:	dec	%ecx\n"
	     "	jnz	1b\n"
	     "	ud2\n"
	     "2:	mov	8(%rsp), %rdx\n"
	     "	imul	$0xaaaaaaab, %edx, %edx\n" /* below 2^32 / 3 for multiples of 3 */
	     "	cmp	$0x55555556, %edx\n"
	     "	jae	4f\n"
	     "	addq	$4, (%rsp)\n" /* over inc and jmp */
	     "4:	ret	$8\n");

static void goes_where_the_stack_says(void)
{
	struct trap state;

	state_init(&state, astray, false);
	EXPECT_EQ(state_run(&state), 6);
	EXPECT_EQ(state.ax, 400);
	EXPECT_EQ(state.bx, 200);
}

/* What lies behind a call, as it is at the return: another page, other bytes */

CODE(caller, "	call	*%rdi\n"
	     "caller_number: mov $1, %eax\n"
	     "	ret\n");
extern const uint8_t caller_number[];
static uint8_t versions[2][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static unsigned int version;
static uint64_t page_bits;
static unsigned int written;
static bool by_cr3;

static void map_version(void)
{
	if (by_cr3)
		*page_entry(0, NOWHERE, 0) = (uintptr_t)versions[version] | page_bits;
	else
		page_map(NOWHERE, (uintptr_t)versions[version], page_bits);
	if (by_cr3)
		cr3_write(cr3_read());
}

static void exchange_pages(void)
{
	version ^= 1;
	map_version();
}

static void rewrite_number(void)
{
	((volatile uint8_t *)versions[version])[caller_number - caller + 1] = (uint8_t)++written;
}

static uint64_t call_nowhere(void (*callee)(void))
{
	uint64_t number;

	asm volatile("call *%1"
		     : "=a"(number)
		     : "r"(NOWHERE), "D"(callee)
		     : "cx", "dx", "si", "r8", "r9", "r10", "r11", "memory", "cc");
	return number;
}

static void does_nothing(void)
{
}

static void put_versions(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		memcpy(versions[i], caller, (size_t)(caller_end - caller));
		versions[i][caller_number - caller + 1] = (uint8_t)(7 + i);
	}
}

static void goes_on_in_what_is_mapped(uint64_t bits, bool cr3)
{
	put_versions();
	page_bits = bits;
	by_cr3 = cr3;
	map_version();
	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t number = call_nowhere(does_nothing);

		EXPECT_EQ(number, 7 + version);
		number = call_nowhere(exchange_pages);
		EXPECT_EQ(number, 7 + version);
	}
}

static void goes_on_in_what_is_written(void)
{
	put_versions();
	page_bits = P_PRESENT | P_WRITE;
	by_cr3 = false;
	map_version();
	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t number = call_nowhere(rewrite_number);

		EXPECT_EQ(number, (uint8_t)written);
	}
}

/* RFLAGS.AC, which says whether user pages may be read */

CODE(returns_with, "	call	1f\n"
		   "	mov	(%rbx), %rax\n"
		   "	ud2\n"
		   "1:	test	%ecx, %ecx\n"
		   "	jz	2f\n"
		   "	stac\n"
		   "	ret\n"
		   "2:	clac\n"
		   "	ret\n");
static uint64_t secret = 0x5ec5e7;

static void reads_with_the_rights_that_came_back(void)
{
	struct trap state;

	if (TRAP_OF("stac; clac") >= 0) {
		print("no SMAP\n");
		return;
	}
	cr4_write(cr4_read() | 1u << 21);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		bool may = (i * 7 >> 2) & 1;

		state_init(&state, returns_with, false);
		state.bx = user_alias(&secret);
		state.cx = may;
		state.flags |= i & 1 ? AC : 0;
		EXPECT_EQ(state_run(&state), may ? 6 : 14);
		asm volatile("clac" ::: "cc");
		if (may)
			EXPECT_EQ(state.ax, secret);
		else
			EXPECT_EQ(state.error, 1);
	}
	cr4_write(cr4_read() & ~(uint64_t)(1u << 21));
}

/*
 * The kernel leaves calls open, in that it goes to user mode from within; the user returns to what
 * is behind the call, and must not get there.
 */
CODE(leaves_open, "	call	1f\n"
		  "leaves_open_behind: mov (%rbx), %rax\n"
		  "	ud2\n"
		  "1:	test	%ebp, %ebp\n"
		  "	jnz	2f\n"
		  "	ret\n"
		  "2:	push	%r8\n"
		  "	push	%rdx\n"
		  "	push	%r9\n"
		  "	push	%r10\n"
		  "	push	%rsi\n"
		  "	iretq\n");
extern const uint8_t leaves_open_behind[];
CODE(user_return, "	call	1f\n"
		  "	nop\n"
		  "1:	pop	%rcx\n"
		  "	ret\n");
static uint64_t user_stack[64];

static void attack(unsigned int round)
{
	struct trap state;

	/* What is behind has been run, by the kernel. */
	state_init(&state, leaves_open, false);
	state.bx = (uintptr_t)&secret;
	state.bp = 0;
	EXPECT_EQ(state_run(&state), 6);
	EXPECT_EQ(state.ax, secret);
	state_init(&state, leaves_open, false);
	state.ax = 0;
	state.bx = (uintptr_t)&secret;
	state.bp = 1;
	user_stack[32] = (uintptr_t)leaves_open_behind;
	state.dx = user_alias(&user_stack[32]);
	state.si = user_alias(user_return);
	state.r8 = USER_DATA;
	state.r9 = round & 1 ? 2 | AC : 2; /* with which the kernel is entered, then */
	state.r10 = USER_64;
	EXPECT_EQ(state_run(&state), 14);
	EXPECT_EQ(cr2_read(), (uintptr_t)leaves_open_behind);
	EXPECT_EQ(state.cs, USER_64);
	EXPECT_EQ(state.error & 5, 5);
	EXPECT_EQ(state.ax, 0);
}

static void user_code_does_not_return_to_the_kernel(void)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		attack(i);
		EXPECT_EQ(call_nowhere(does_nothing), (uint8_t)written);
	}
}

void test_main(void)
{
	system_init();
	each_task_returns_to_its_own();
	goes_where_the_stack_says();
	goes_on_in_what_is_mapped(P_PRESENT | P_WRITE, false);
	goes_on_in_what_is_mapped(P_PRESENT | P_WRITE, true);
	cr4_write(cr4_read() | 1u << 7); /* PGE */
	goes_on_in_what_is_mapped(P_PRESENT | P_WRITE | P_GLOBAL, false);
	goes_on_in_what_is_mapped(P_PRESENT | P_WRITE, true);
	goes_on_in_what_is_written();
	reads_with_the_rights_that_came_back();
	user_code_does_not_return_to_the_kernel();
}
