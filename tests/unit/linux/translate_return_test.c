/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls, returns and the stack in code with windows: wherever rsp goes, and whatever becomes of
 * what calls have left on the return stack. */
#include "engines/translate/return_stack.h"

#include "translate_guest.h"

static struct guest guest;

static void create(void)
{
	guest_create(&guest, 1);
	engine_windows(&guest.vm, ENGINE_WINDOWS_ALL);
}

static struct vcpu_state *run(const uint8_t *code, const uint8_t *end)
{
	return guest_run(&guest, code, end);
}

static uint64_t *entry_of(uint64_t linear)
{
	return (uint64_t *)guest_at(&guest, GUEST_TABLES + 0x3000) + (linear >> 12);
}

/* rax = 1 for each of 100,000 calls in one another, through three kinds of calls in turn. */
GUEST(deep, "mov $0xe00000, %esp; lea 1f(%rip), %rdx; mov $100000, %ecx; call 1f; hlt;"
	    "1: test %ecx, %ecx; jz 2f; dec %ecx; test $1, %cl; jz 3f; call 1b; inc %rax; 2: ret;"
	    "3: test $2, %cl; jz 4f; call *%rdx; inc %rax; ret;"
	    "4: push %rdx; call *(%rsp); pop %rbx; inc %rax; ret");

TEST(calls_may_be_deeper_than_the_return_stack)
{
	struct vcpu_state *state;

	create();
	state = run(deep, deep_end);
	EXPECT_EQ(state->gpr[RAX], 100000);
	EXPECT_EQ(state->gpr[RSP], 0xe00000);
}

/* Five calls deep, rsp is put back to that of the first; 1,000 times. rbx: of the ways back. */
GUEST(jumps, "mov $1000, %ecx; 1: call 2f; inc %rbx; call 6f; dec %ecx; jnz 1b; hlt;"
	     "2: mov %rsp, %rbp; call 3f; hlt; 3: call 4f; hlt; 4: call 5f; hlt;"
	     "5: mov %rbp, %rsp; ret; 6: inc %rax; ret");

TEST(a_jump_out_of_many_calls_returns_from_the_first)
{
	struct vcpu_state *state;

	create();
	state = run(jumps, jumps_end);
	EXPECT_EQ(state->gpr[RBX], 1000);
	EXPECT_EQ(state->gpr[RAX], 1000);
	EXPECT_EQ(state->gpr[RSP], GUEST_STACK);
}

/* The callee changes where it returns to, at every third call; r8 and r9 count both. */
GUEST(changes, "mov $999, %ecx; xor %edx, %edx; 1: call 2f; inc %r8; jmp 3f; 4: inc %r9;"
	       "3: dec %ecx; jnz 1b; hlt;"
	       "2: inc %edx; cmp $3, %edx; jne 5f; xor %edx, %edx; lea 4b(%rip), %rax;"
	       "mov %rax, (%rsp); 5: ret");

TEST(a_return_goes_to_what_is_on_the_stack)
{
	struct vcpu_state *state;

	create();
	state = run(changes, changes_end);
	EXPECT_EQ(state->gpr[R8], 666);
	EXPECT_EQ(state->gpr[R9], 333);
}

/* Flags pass through calls and returns: stc and clc by what is called, and before the call. */
GUEST(flags, "mov $50, %ecx; 1: call 2f; setc %al; add %rax, %r8; call 3f; setc %al;"
	     "add %rax, %r9; stc; call 4f; add %rax, %r10; clc; call 4f; add %rax, %r11;"
	     "stc; lea 4f(%rip), %rdx; call *%rdx; add %rax, %r12; stc; call 5f; setc %al;"
	     "add %rax, %r13; dec %ecx; jnz 1b; hlt;"
	     "2: stc; ret; 3: clc; ret; 4: mov $0, %eax; setc %al; ret;"
	     "5: mov 0x150000, %rdx; ret");

TEST(flags_pass_through)
{
	struct vcpu_state *state;

	create();
	state = run(flags, flags_end);
	EXPECT_EQ(state->gpr[R8], 50);
	EXPECT_EQ(state->gpr[R9], 0);
	EXPECT_EQ(state->gpr[R10], 50);
	EXPECT_EQ(state->gpr[R11], 0);
	EXPECT_EQ(state->gpr[R12], 50);
	EXPECT_EQ(state->gpr[R13], 50);
}

/* What is called turns the instruction behind the call from inc %rax (48 ff c0) to inc %rbx (c3)
 * and back. */
GUEST(behind, "mov $100, %ecx; lea 2f(%rip), %rsi; 1: call 3f; 2: inc %rax; dec %ecx; jnz 1b; hlt;"
	      "3: xorb $3, 2(%rsi); ret");

TEST(code_behind_a_call_may_change_meanwhile)
{
	struct vcpu_state *state;

	create();
	state = run(behind, behind_end);
	EXPECT_EQ(state->gpr[RAX], 50);
	EXPECT_EQ(state->gpr[RBX], 50);
}

/*
 * At 0x110000 is a call of 0x120000, which maps page 0x160000 there instead, where the instruction
 * behind the call is another. r8: the first time, 1.
 */
GUEST(maps, "mov $0x160007, %edx; mov $0x110000, %ebx; call *%rbx; hlt");
GUEST(maps_caller, "mov $0x120000, %eax; call *%rax; mov $1, %r8d; ret");
GUEST(maps_other, "mov $0x120000, %eax; call *%rax; mov $2, %r8d; ret");
GUEST(maps_called, "test %edx, %edx; jz 1f; mov %rdx, 0x4000+0x110*8; invlpg 0x110000; 1: ret");

TEST(a_return_follows_the_page_tables)
{
	create();
	memcpy(guest_at(&guest, 0x110000), maps_caller, (size_t)(maps_caller_end - maps_caller));
	memcpy(guest_at(&guest, 0x160000), maps_other, (size_t)(maps_other_end - maps_other));
	memcpy(guest_at(&guest, 0x120000), maps_called, (size_t)(maps_called_end - maps_called));
	EXPECT_EQ(run(maps, maps_end)->gpr[R8], 2);
}

/* The same physical page of code at two addresses: what a call pushes is told apart. */
GUEST(aliases, "mov $0x110000, %ebx; call *%rbx; mov %rax, %r8; mov $0x111000, %ebx; call *%rbx;"
	       "mov %rax, %r9; mov $0x110000, %ebx; call *%rbx; hlt");
GUEST(alias, "call 1f; ret; 1: mov (%rsp), %rax; lea 1b(%rip), %rdx; ret");

TEST(code_knows_its_address)
{
	struct vcpu_state *state;

	create();
	memcpy(guest_at(&guest, 0x110000), alias, (size_t)(alias_end - alias));
	*entry_of(0x111000) = 0x110007;
	state = run(aliases, aliases_end);
	EXPECT_EQ(state->gpr[R8], 0x110005);
	EXPECT_EQ(state->gpr[R9], 0x111005);
	EXPECT_EQ(state->gpr[RAX], 0x110005);
	EXPECT_EQ(state->gpr[RDX], 0x110006);
}

/*
 * The kernel has called, and goes to user mode with its return address on the user's stack: the
 * user returns there with no more rights than he has. What is behind the call, and has been run by
 * the kernel before, reads a page that is not the user's. Selectors: 27 data, 35 code.
 */
GUEST(user, "xor %esi, %esi; 3: call 1f; 5: mov 0x150000, %rcx; inc %esi; cmp $2, %esi; jb 3b; hlt;"
	    "1: test %esi, %esi; jnz 4f; ret;"
	    "4: mov (%rsp), %rax; mov $0x7f000, %ebx; mov %rax, (%rbx);"
	    "push $27; push %rbx; push $2; push $35; lea 2f(%rip), %rax; push %rax; iretq;"
	    "2: ret");

TEST(user_code_does_not_return_to_the_kernel)
{
	const uint64_t *frame;
	struct vcpu_state *state;
	uint64_t *gdt;

	create();
	*entry_of(0x150000) = 0x150003;
	gdt = guest_at(&guest, GUEST_GDT);
	gdt[3] = 0x00cff3000000ffff;
	gdt[4] = 0x00affb000000ffff;
	state = &guest.vm.vcpus[0]->state;
	state->gdtr.limit = 39;
	state = run(user, user_end);
	frame = guest_at(&guest, state->gpr[RSP]);
	EXPECT_EQ(state->gpr[R15], 14);
	EXPECT_EQ(state->cr2, 0x150000);
	EXPECT_EQ(frame[0], 5); /* there, and the user's access */
	EXPECT_EQ(frame[1], GUEST_CODE + 7);
	EXPECT_EQ(frame[2], 35);
}

/* The stack lies across the end of the first window, and is used from both sides. */
GUEST(crosses,
      "mov $0x80000010, %esp; mov $7, %ebp; push %rbp; push %rbp; push %rbp; push %rbp;"
      "push %rbp; call 1f; pop %rax; pop %rbx; pop %rcx; pop %rdx; pop %rsi; mov %rsp, %r8;"
      "lea -20(%rsp), %rsp; movl $5, (%rsp); movq $6, 4(%rsp); mov (%rsp), %r9;"
      "and $-256, %rsp; mov %rsp, %r10; sub $0x7000, %rsp; mov %rsp, %r11; hlt;"
      "1: add %rbp, 8(%rsp); ret");

static void map_high(void)
{
	uint64_t *tables = guest_at(&guest, GUEST_TABLES);

	/* the 2 MiB below and above 0x80000000: the first 2 MiB of all */
	tables[512 + 1] = 0x40000 | 7;
	tables[512 + 2] = 0x41000 | 7;
	((uint64_t *)guest_at(&guest, 0x40000))[511] = tables[1024];
	((uint64_t *)guest_at(&guest, 0x41000))[0] = tables[1024];
	/* pages 0x1ff and 0 of it are data */
	*entry_of(0x1ff000) = 0x600007;
	*entry_of(0) = 0x601007;
}

TEST(a_stack_may_lie_across_windows)
{
	struct vcpu_state *state;

	create();
	map_high();
	state = run(crosses, crosses_end);
	EXPECT_EQ(state->gpr[RAX], 14);
	EXPECT_EQ(state->gpr[RBX] + state->gpr[RCX] + state->gpr[RDX] + state->gpr[RSI], 28);
	EXPECT_EQ(state->gpr[R8], 0x80000010);
	EXPECT_EQ(state->gpr[R9], 0x600000005);
	EXPECT_EQ(state->gpr[R10], 0x7fffff00);
	EXPECT_EQ(state->gpr[R11], 0x7fff8f00);
}

/*
 * rsp goes on and on, by 8 in a loop without a touch, out of its window and far beyond its guard;
 * then it is used, where nothing is mapped.
 */
GUEST(wanders, "mov $0x7ff00000, %esp; mov $0x200000, %ecx; 1: add $8, %rsp; dec %ecx; jnz 1b;"
	       "push %rax; hlt");
/* At once, by what cannot be told beforehand; and by constants that together are too much. */
GUEST(leaves, "mov %rbx, %rbp; leave; push %rax; hlt");
GUEST(pops, "push %rbx; pop %rsp; push %rax; hlt");
GUEST(loads, "mov %rbx, %rsp; movq $1, 0x7ff8(%rsp); hlt");
GUEST(adds, "add %rbx, %rsp; call 1f; 1: hlt");
GUEST(twice, "lea 0x7000(%rsp), %rsp; lea 0x7000(%rsp), %rsp; lea 0x7000(%rsp), %rsp;"
	     "sub $0x7000, %rsp; sub $0x7000, %rsp; sub $0x7000, %rsp; push %rbx; pop %rax; hlt");

static void expect_fault(const uint8_t *code, const uint8_t *end, uint64_t rbx, unsigned vector,
			 uint64_t address)
{
	create();
	guest.vm.vcpus[0]->state.gpr[RBX] = rbx;
	run(code, end);
	EXPECT_EQ(guest.vm.vcpus[0]->state.gpr[R15], vector);
	if (vector == 14)
		EXPECT_EQ(guest.vm.vcpus[0]->state.cr2, address);
}

TEST(rsp_goes_nowhere_unseen)
{
	expect_fault(wanders, wanders_end, 0, 14, 0x80f00000 - 8);
	expect_fault(leaves, leaves_end, 0x8000000000, 14, 0x8000000000);
	expect_fault(leaves, leaves_end, 0x7ffffff8, 14, 0x7ffffff8);
	expect_fault(leaves, leaves_end, 1ull << 63, 12, 0);
	expect_fault(pops, pops_end, 0x8000000000, 14, 0x8000000000 - 8);
	expect_fault(pops, pops_end, 0x1234567812345678, 12, 0);
	expect_fault(loads, loads_end, 0x123400000000, 14, 0x123400007ff8);
	expect_fault(loads, loads_end, 1ull << 63, 12, 0);
	expect_fault(adds, adds_end, 0xfff0000000, 14, 0xfff0000000 + GUEST_STACK - 8);
	create();
	guest.vm.vcpus[0]->state.gpr[RBX] = 77;
	EXPECT_EQ(run(twice, twice_end)->gpr[RAX], 77);
}

/* A run of pops whose second page is not there: rip and rsp are of the one that faults. */
GUEST(run_of_pops, "mov $0x150ff0, %esp; pop %rax; pop %rcx; pop %rdx; pop %rbx; hlt");
GUEST(run_of_pushes, "mov $0x151010, %esp; push %rax; push %rcx; push %rdx; push %rbx; hlt");

static void expect_frame(uint64_t missing, unsigned offset, uint64_t rsp, uint64_t address)
{
	const struct vcpu_state *state = &guest.vm.vcpus[0]->state;
	const uint64_t *frame = guest_at(&guest, state->gpr[RSP]);

	EXPECT_EQ(state->gpr[R15], 14);
	EXPECT_EQ(state->cr2, address);
	EXPECT_EQ(address & ~4095ull, missing);
	EXPECT_EQ(frame[1], GUEST_CODE + offset);
	EXPECT_EQ(frame[4], rsp);
}

TEST(runs_of_pushes_and_pops_fault_where_they_should)
{
	create();
	*entry_of(0x151000) = 0;
	run(run_of_pops, run_of_pops_end);
	expect_frame(0x151000, 5 + 2, 0x151000, 0x151000);
	create();
	*entry_of(0x150000) = 0;
	run(run_of_pushes, run_of_pushes_end);
	expect_frame(0x150000, 5 + 2, 0x151000, 0x150ff8);
}

/* Calls that never come back, with rsp put right again: only a kick ends that. */
GUEST(endless, "lea 1f(%rip), %rax; 1: add $8, %rsp; call *%rax");
GUEST(endless_near, "1: add $8, %rsp; call 1b");
/* C is called by the translated code each time, and takes the place at the end of the return stack.
 */
GUEST(endless_with_callouts,
      "lea 1f(%rip), %rbp; 1: add $8, %rsp; xor %eax, %eax; cpuid; call *%rbp");

TEST(calls_without_end_can_be_interrupted)
{
	const uint8_t *codes[][2] = {{endless, endless_end},
				     {endless_near, endless_near_end},
				     {endless_with_callouts, endless_with_callouts_end}};

	for (unsigned i = 0; i < 3; i++) {
		create();
		memcpy(guest_at(&guest, GUEST_CODE), codes[i][0],
		       (size_t)(codes[i][1] - codes[i][0]));
		guest.vm.vcpus[0]->state.gpr[RSP] = GUEST_STACK - 8;
		guest_run_kicked(&guest);
	}
}

/* User code's stack, left with so many of its 8,192 places free, as it is taken up again. */
static bool is_kept(unsigned free)
{
	struct cpu *cpu = guest_cpu(&guest, 0);

	cpu->view = VIEW_USER;
	return_stack_check(cpu);
	cpu->returns = cpu->returns_top + 1 - 8192 + free;
	cpu->view = VIEW_KERNEL;
	return_stack_check(cpu);
	EXPECT(cpu->returns == cpu->returns_top);
	cpu->view = VIEW_USER;
	return_stack_check(cpu);
	return cpu->returns != cpu->returns_top;
}

TEST(a_full_return_stack_is_emptied_before_it_is_gone_on_with)
{
	create();
	EXPECT(is_kept(100));
	EXPECT(is_kept(1));
	EXPECT(!is_kept(0));
}
