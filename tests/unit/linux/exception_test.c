/* SPDX-License-Identifier: BSD-2-Clause */
/* Guests of a few instructions, for what reaches the IDT and what comes back from it. */
#include "engines/translate/exception.h"

#include "translate_fixture.h"

/* After a halt in the handler of a vector. */
static bool in_handler(unsigned vector)
{
	return stopped.kind == EXIT_HALT && vcpu->state.rip == HANDLERS + 16u * vector + 1;
}

/* Frame of 64-bit delivery at rsp: rip cs rflags rsp ss, behind the error code if there is one. */
static uint64_t frame(unsigned word)
{
	return get64(vcpu->state.gpr[RSP] + 8 * word);
}

static void begin(void)
{
	fixture_create();
	long_mode();
}

/* Continues at level 3, in 64-bit code at USER_CODE. */
static void user_mode(void)
{
	vcpu->state.segment[SEGMENT_CS] = flat(USER_CODE_64 | 3, 0xa0fb);
	vcpu->state.segment[SEGMENT_SS] = flat(USER_DATA | 3, 0xc0f3);
	vcpu->state.gpr[RSP] = USER_STACK;
	vcpu->state.rip = USER_CODE;
}

TEST(a_fault_without_error_code)
{
	begin();
	vcpu->state.gpr[RSP] = STACK - 3;
	vcpu->state.rflags = 0x2 | FLAG_CF | FLAG_IF;
	RUN("\x0f\x0b");
	EXPECT(in_handler(6));
	EXPECT_EQ(vcpu->state.gpr[RSP], STACK - 16 - 40); /* aligned down first */
	EXPECT_EQ(frame(0), CODE);
	EXPECT_EQ(frame(1), KERNEL_CODE);
	EXPECT_EQ(frame(2), 0x2 | FLAG_CF | FLAG_IF | FLAG_RF);
	EXPECT_EQ(frame(3), STACK - 3);
	EXPECT_EQ(frame(4), KERNEL_DATA);
	EXPECT_EQ(vcpu->state.rflags, 0x2 | FLAG_CF);
}

TEST(page_fault)
{
	begin();
	RUN("\x48\xc7\x04\x25\x10\x00\x00\x40\x05\x00\x00\x00"); /* movq $5, 0x40000010 */
	EXPECT(in_handler(14));
	EXPECT_EQ(vcpu->state.cr2, 0x40000010);
	EXPECT_EQ(frame(0), 2);
	EXPECT_EQ(frame(1), CODE);
}

TEST(from_level_3_the_stack_comes_from_the_tss)
{
	begin();
	user_mode();
	vcpu->state.rflags = 2 | FLAG_IF | FLAG_TF;
	RUN("\xf4"); /* hlt: #GP(0) */
	EXPECT(in_handler(13));
	EXPECT_EQ(vcpu->state.gpr[RSP], STACK_0 - 48);
	EXPECT_EQ(frame(0), 0);
	EXPECT_EQ(frame(1), USER_CODE);
	EXPECT_EQ(frame(2), USER_CODE_64 | 3);
	EXPECT_EQ(frame(3), 2 | FLAG_IF | FLAG_TF | FLAG_RF);
	EXPECT_EQ(frame(4), USER_STACK);
	EXPECT_EQ(frame(5), USER_DATA | 3);
	EXPECT_EQ(vcpu->state.segment[SEGMENT_CS].selector, KERNEL_CODE);
	EXPECT_EQ(vcpu->state.segment[SEGMENT_SS].selector, 0);
	EXPECT_EQ(vcpu->state.rflags & (FLAG_IF | FLAG_TF | FLAG_RF), 0);
}

TEST(trap_gates_leave_interrupts_on)
{
	begin();
	put_gate(6, HANDLERS + 96, KERNEL_CODE, 15, 0, 0);
	vcpu->state.rflags = 2 | FLAG_IF;
	RUN("\x0f\x0b");
	EXPECT(in_handler(6));
	EXPECT_EQ(vcpu->state.rflags, 2 | FLAG_IF);
}

TEST(interrupt_stack_table)
{
	begin();
	put_gate(6, HANDLERS + 96, KERNEL_CODE, 14, 0, 1);
	RUN("\x0f\x0b");
	EXPECT(in_handler(6));
	EXPECT_EQ(vcpu->state.gpr[RSP], STACK_IST - 40);
	EXPECT_EQ(vcpu->state.segment[SEGMENT_SS].selector, KERNEL_DATA); /* same level: ss stays */
}

TEST(software_interrupts_return_behind_themselves)
{
	begin();
	put_gate(0x80, HANDLERS + 0x800, KERNEL_CODE, 15, 3, 0);
	user_mode();
	RUN("\xcd\x80");
	EXPECT(in_handler(0x80));
	EXPECT_EQ(frame(0), USER_CODE + 2);
	EXPECT_EQ(frame(2), 2); /* no RF */
}

TEST(software_interrupts_need_the_gates_level)
{
	begin();
	user_mode();
	RUN("\xcd\x0e");
	EXPECT(in_handler(13));
	EXPECT_EQ(frame(0), 14 * 8 + 2); /* and no EXT */
	EXPECT_EQ(frame(1), USER_CODE);
}

TEST(int3_and_icebp)
{
	begin();
	user_mode();
	RUN("\xcc");
	EXPECT(in_handler(13));
	EXPECT_EQ(frame(0), 3 * 8 + 2);
	user_mode();
	vm.engine->reset(vcpu);
	RUN("\xf1"); /* icebp does not ask for the gate's level */
	EXPECT(in_handler(1));
	EXPECT_EQ(frame(0), USER_CODE + 1);
}

TEST(absent_gates)
{
	begin();
	put64(IDT + 16 * 6, get64(IDT + 16 * 6) & ~(1ull << 47));
	RUN("\x0f\x0b");
	EXPECT(in_handler(11));
	EXPECT_EQ(frame(0), 6 * 8 + 2 + 1);
	EXPECT_EQ(frame(1), CODE);
}

TEST(a_gate_that_is_none_beyond_the_limit_or_to_no_code)
{
	static const uint16_t selectors[] = {0, KERNEL_DATA, 0x1000, KERNEL_CODE_32};

	begin();
	put_gate(6, HANDLERS, KERNEL_CODE, 5, 0, 0);
	RUN("\x0f\x0b");
	EXPECT(in_handler(13));
	EXPECT_EQ(frame(0), 6 * 8 + 2 + 1);
	for (unsigned i = 0; i < 4; i++) {
		long_mode();
		put_gate(6, HANDLERS, selectors[i], 14, 0, 0);
		RUN("\x0f\x0b");
		EXPECT(in_handler(13));
		EXPECT_EQ(frame(0), selectors[i] | 1);
	}
	long_mode();
	put_gate(0x20, HANDLERS, KERNEL_CODE, 14, 0, 0);
	vcpu->state.idtr.limit = 0x20 * 16 + 14;
	RUN("\xcd\x20");
	EXPECT(in_handler(13));
	EXPECT_EQ(frame(0), 0x20 * 8 + 2);
}

/* #PF, whose gate is absent: #NP on top of #PF is #DF. */
TEST(double_fault)
{
	begin();
	put64(IDT + 16 * 14, 0);
	put64(IDT + 16 * 14 + 8, 0);
	RUN("\x8b\x04\x25\x00\x00\x00\x40"); /* mov 0x40000000, %eax */
	EXPECT(in_handler(8));
	EXPECT_EQ(frame(0), 0);
	EXPECT_EQ(frame(1), CODE);
	EXPECT_EQ(vcpu->state.cr2, 0x40000000);
}

/* #UD is benign: what its delivery raises is delivered as it is. */
TEST(benign_then_page_fault)
{
	begin();
	vcpu->state.gpr[RSP] = WINDOW + 0x1000;
	put_gate(14, HANDLERS + 16 * 14, KERNEL_CODE, 14, 0, 1);
	RUN("\x0f\x0b");
	EXPECT(in_handler(14));
	EXPECT_EQ(frame(0), 2);
	EXPECT_EQ(vcpu->state.cr2, WINDOW + 0x1000 - 40);
}

/* Both #PF's: on a bad stack the page fault cannot be delivered. */
TEST(page_fault_then_page_fault)
{
	begin();
	vcpu->state.gpr[RSP] = WINDOW + 0x1000;
	put_gate(8, HANDLERS + 16 * 8, KERNEL_CODE, 14, 0, 1);
	RUN("\x8b\x04\x25\x00\x00\x00\x50"); /* mov 0x50000000, %eax */
	EXPECT(in_handler(8));
	EXPECT_EQ(vcpu->state.cr2, WINDOW + 0x1000 - 48);
}

TEST(triple_fault)
{
	begin();
	vcpu->state.idtr.limit = 0;
	RUN("\x0f\x0b");
	EXPECT_EQ(stopped.kind, EXIT_SHUTDOWN);
}

TEST(iret_to_level_3_and_syscall_and_sysret)
{
	begin();
	vcpu->state.star = (uint64_t)USER_CODE_32 << 48 | (uint64_t)KERNEL_CODE << 32;
	vcpu->state.lstar = HANDLERS + 0x1000;
	vcpu->state.sfmask = FLAG_IF | FLAG_TF;
	put(HANDLERS + 0x1000, "\x48\xff\xc0\x48\x83\xf8\x03\x74\x03\x48\x0f\x07\xf4", 13);
	/* inc %rax; cmp $3, %rax; je 1f; sysretq; 1: hlt */
	put(USER_CODE, "\x0f\x05\xeb\xfc", 4); /* syscall; jmp back */
	put64(STACK - 40, USER_CODE), put64(STACK - 32, USER_CODE_64 | 3), put64(STACK - 24, 0x202);
	put64(STACK - 16, USER_STACK), put64(STACK - 8, USER_DATA | 3);
	vcpu->state.gpr[RSP] = STACK - 40;
	RUN("\x48\xcf");
	EXPECT_EQ(stopped.kind, EXIT_HALT);
	EXPECT_EQ(vcpu->state.rip, HANDLERS + 0x1000 + 13);
	EXPECT_EQ(vcpu->state.gpr[RAX], 3);
	EXPECT_EQ(vcpu->state.gpr[RCX], USER_CODE + 2);
	EXPECT_EQ(vcpu->state.gpr[R11] & FLAG_IF, FLAG_IF);
	EXPECT_EQ(vcpu->state.rflags & FLAG_IF, 0);
	EXPECT_EQ(vcpu->state.gpr[RSP], USER_STACK);
	EXPECT_EQ(vcpu->state.segment[SEGMENT_CS].selector, KERNEL_CODE);
	EXPECT_EQ(vcpu->state.segment[SEGMENT_SS].selector, KERNEL_DATA);
}

TEST(iret_to_compatibility_mode)
{
	begin();
	/* inc %eax is 40 there, and a REX prefix in 64-bit code. */
	put(USER_CODE, "\x40\x40\xf4", 3);
	put64(STACK - 40, USER_CODE), put64(STACK - 32, USER_CODE_32 | 3), put64(STACK - 24, 2);
	put64(STACK - 16, USER_STACK), put64(STACK - 8, USER_DATA | 3);
	vcpu->state.gpr[RSP] = STACK - 40;
	RUN("\x48\xcf");
	EXPECT(in_handler(13));
	EXPECT_EQ(vcpu->state.gpr[RAX], 2);
	EXPECT_EQ(frame(2), USER_CODE_32 | 3);
	EXPECT_EQ(frame(4), USER_STACK);
}

TEST(iret_refuses)
{
	static const struct {
		uint16_t cs, ss;
		uint32_t error;
	} cases[] = {
		{0, USER_DATA | 3, 0},			   /* null */
		{KERNEL_DATA, USER_DATA | 3, KERNEL_DATA}, /* no code */
		{KERNEL_CODE | 3, USER_DATA | 3, KERNEL_CODE},
		{USER_CODE_64 | 3, 0, 0},
		{USER_CODE_64 | 3, KERNEL_DATA | 3, KERNEL_DATA},
		{USER_CODE_64 | 3, USER_DATA, USER_DATA},
		{0x200, USER_DATA | 3, 0x200},
	};

	begin();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		long_mode();
		put64(STACK - 40, USER_CODE), put64(STACK - 32, cases[i].cs), put64(STACK - 24, 2);
		put64(STACK - 16, USER_STACK), put64(STACK - 8, cases[i].ss);
		vcpu->state.gpr[RSP] = STACK - 40;
		RUN("\x48\xcf");
		EXPECT(in_handler(13));
		EXPECT_EQ(frame(0), cases[i].error);
		EXPECT_EQ(frame(1), CODE);
		EXPECT_EQ(frame(4), STACK - 40);
	}
}

TEST(iret_at_level_3_cannot_change_if_or_iopl)
{
	begin();
	user_mode();
	put64(USER_STACK - 40, USER_CODE + 0x100), put64(USER_STACK - 32, USER_CODE_64 | 3);
	put64(USER_STACK - 24, 0x3202 | FLAG_CF | FLAG_AC), put64(USER_STACK - 16, USER_STACK);
	put64(USER_STACK - 8, USER_DATA | 3);
	vcpu->state.gpr[RSP] = USER_STACK - 40;
	put(USER_CODE + 0x100, "\xf4", 1); /* raises #GP, whose frame shows the flags */
	RUN("\x48\xcf");
	EXPECT(in_handler(13));
	EXPECT_EQ(frame(1), USER_CODE + 0x100);
	EXPECT_EQ(frame(3), 2 | FLAG_CF | FLAG_AC | FLAG_RF);
}

TEST(sti_sets_if)
{
	begin();
	/* pushf; pop %rax; sti; hlt */
	RUN("\x9c\x58\xfb\xf4");
	EXPECT_EQ(stopped.kind, EXIT_HALT);
	EXPECT_EQ(vcpu->state.gpr[RAX] & FLAG_IF, 0);
	EXPECT_EQ(vcpu->state.rflags & FLAG_IF, FLAG_IF);
}

TEST(single_step)
{
	begin();
	/* handler: inc %rbx; iretq */
	put(HANDLERS + 16, "\x48\xff\xc3\x48\xcf", 5);
	/* pushf; orl $0x100, (%rsp); popf; nop; nop; pushf; andl $~0x100, (%rsp); popf; hlt */
	RUN("\x9c\x81\x0c\x24\x00\x01\x00\x00\x9d\x90\x90\x9c\x81\x24\x24\xff\xfe\xff\xff\x9d\xf4");
	EXPECT_EQ(stopped.kind, EXIT_HALT);
	EXPECT_EQ(vcpu->state.rip, CODE + 21);
	EXPECT_EQ(vcpu->state.gpr[RBX], 5); /* nop nop pushf andl popf */
	EXPECT_EQ(vcpu->state.dr[6] & 0x4000, 0x4000);
}

TEST(data_breakpoint_is_a_trap)
{
	begin();
	vcpu->state.dr[1] = 0x100004;
	vcpu->state.dr[7] = 0x400 | 2 << 2 | 0xd << 20; /* write, 4 bytes */
	/* mov 0x100004, %eax; movb $1, 0x100003; movb $1, 0x100007 */
	RUN("\x8b\x04\x25\x04\x00\x10\x00\xc6\x04\x25\x03\x00\x10\x00\x01\xc6\x04\x25\x07\x00\x10"
	    "\x00\x01\xf4");
	EXPECT(in_handler(1));
	EXPECT_EQ(frame(0), CODE + 23);
	EXPECT_EQ(vcpu->state.dr[6] & 0xf, 2);
}

TEST(instruction_breakpoint_is_a_fault_that_rf_passes)
{
	begin();
	vcpu->state.dr[0] = CODE + 1;
	vcpu->state.dr[7] = 0x400 | 2;
	/* handler: inc %rbx; orl $0x10000, 16(%rsp); iretq */
	put(HANDLERS + 16, "\x48\xff\xc3\x81\x4c\x24\x10\x00\x00\x01\x00\x48\xcf", 13);
	RUN("\x90\x90\xf4");
	EXPECT_EQ(stopped.kind, EXIT_HALT);
	EXPECT_EQ(vcpu->state.rip, CODE + 3);
	EXPECT_EQ(vcpu->state.gpr[RBX], 1);
	EXPECT_EQ(vcpu->state.dr[6] & 0xf, 1);
}

TEST(general_detect)
{
	begin();
	vcpu->state.dr[7] = 0x400 | 0x2000;
	RUN("\x0f\x21\xc0"); /* mov %dr0, %rax */
	EXPECT(in_handler(1));
	EXPECT_EQ(vcpu->state.dr[6] & 0x2000, 0x2000);
	EXPECT_EQ(vcpu->state.dr[7], 0x400);
	EXPECT_EQ(frame(0), CODE);
}

/* Real mode */

TEST(real_mode_interrupt_and_iret)
{
	fixture_create();
	real_mode();
	put(REAL_HANDLERS + 16 * 0x21, "\x43\xcf", 2); /* inc %bx; iret */
	vcpu->state.rflags = 2 | FLAG_IF | FLAG_CF;
	RUN("\xcd\x21\xf4");
	EXPECT_EQ(stopped.kind, EXIT_HALT);
	EXPECT_EQ(vcpu->state.rip, REAL_CODE + 3);
	EXPECT_EQ(vcpu->state.gpr[RBX], 1);
	EXPECT_EQ(vcpu->state.gpr[RSP], 0x8000);
	EXPECT_EQ(vcpu->state.rflags & FLAG_IF, FLAG_IF);
	EXPECT_EQ(get64(0x8000 - 6) & 0xffffffffffff,
		  (uint64_t)(2 | FLAG_IF | FLAG_CF) << 32 | (REAL_CODE + 2));
}

TEST(real_mode_far_call_and_return)
{
	fixture_create();
	real_mode();
	put(0x3000 * 16 + 5, "\xcb", 1);
	RUN("\x9a\x05\x00\x00\x30\xf4"); /* lcall $0x3000, $5; hlt */
	EXPECT_EQ(stopped.kind, EXIT_HALT);
	EXPECT_EQ(vcpu->state.rip, REAL_CODE + 6);
	EXPECT_EQ(vcpu->state.segment[SEGMENT_CS].base, 0);
	EXPECT_EQ(vcpu->state.gpr[RSP], 0x8000);
}

/* From power-on's mode to 64-bit code as every kernel does it. */
TEST(real_to_protected_to_long_mode)
{
	fixture_create();
	long_mode(); /* for the tables */
	vcpu_reset(vcpu);
	real_mode();
	put(0x1800, "\x7f\x00\x00\x80\x00\x00", 6); /* for lgdt: limit, base GDT */
	/*
	 * lgdtw 0x1800; mov %cr0, %eax; or $1, %al; mov %eax, %cr0; ljmpl $0x30, $0x1100
	 */
	put(0x1000,
	    "\x0f\x01\x16\x00\x18\x0f\x20\xc0\x0c\x01\x0f\x22\xc0\x66\xea\x00\x11\x00\x00\x30\x00",
	    21);
	/*
	 * mov %cr4, %eax; or $0x20, %eax; mov %eax, %cr4; mov $0x1000, %eax; mov %eax, %cr3;
	 * mov $0xc0000080, %ecx; rdmsr; or $0x100, %eax; wrmsr;
	 * mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0; ljmp $8, $0x1200
	 */
	put(0x1100,
	    "\x0f\x20\xe0\x83\xc8\x20\x0f\x22\xe0\xb8\x00\x10\x00\x00\x0f\x22\xd8"
	    "\xb9\x80\x00\x00\xc0\x0f\x32\x0d\x00\x01\x00\x00\x0f\x30"
	    "\x0f\x20\xc0\x0d\x00\x00\x00\x80\x0f\x22\xc0\xea\x00\x12\x00\x00\x08\x00",
	    49);
	put(0x1200, "\x48\xb8\xef\xcd\xab\x89\x67\x45\x23\x01\xf4", 11); /* mov $..., %rax; hlt */
	/* Code and vectors are where the fixture's upper tables are: others instead. */
	put64(0x6000, 0x7000 | 7);
	put64(0x7000, PD | 7);
	put(0x1109, "\xb8\x00\x60\x00\x00", 5);
	EXPECT_EQ(run(), EXIT_HALT);
	EXPECT_EQ(vcpu->state.gpr[RAX], 0x0123456789abcdef);
	EXPECT_EQ(vcpu->state.rip, 0x120b);
	EXPECT_EQ(vcpu->state.efer & EFER_LMA, EFER_LMA);
	EXPECT_EQ(vcpu->state.segment[SEGMENT_CS].attributes & SEGMENT_L, SEGMENT_L);
}

/* 32-bit protected mode */

static uint32_t frame32(unsigned word)
{
	return get32((uint32_t)vcpu->state.gpr[RSP] + 4 * word);
}

TEST(protected_mode_fault_from_level_3)
{
	fixture_create();
	protected_mode();
	vcpu->state.segment[SEGMENT_CS] = flat(USER_CODE_32 | 3, 0xc0fb);
	vcpu->state.segment[SEGMENT_SS] = flat(USER_DATA | 3, 0xc0f3);
	vcpu->state.gpr[RSP] = USER_STACK;
	vcpu->state.rip = USER_CODE;
	RUN("\xfa"); /* cli: #GP(0) */
	EXPECT(in_handler(13));
	EXPECT_EQ(vcpu->state.gpr[RSP], STACK_0 - 24);
	EXPECT_EQ(vcpu->state.segment[SEGMENT_SS].selector, KERNEL_DATA);
	EXPECT_EQ(frame32(0), 0);
	EXPECT_EQ(frame32(1), USER_CODE);
	EXPECT_EQ(frame32(2), USER_CODE_32 | 3);
	EXPECT_EQ(frame32(3), 2 | FLAG_RF);
	EXPECT_EQ(frame32(4), USER_STACK);
	EXPECT_EQ(frame32(5), USER_DATA | 3);
}

TEST(protected_mode_call_gate_with_parameters)
{
	fixture_create();
	protected_mode();
	/* Selector 0x38: gate of level 3 to KERNEL_CODE_32:HANDLERS, two parameters. */
	put64(GDT + 0x38, (HANDLERS & 0xffff) | KERNEL_CODE_32 << 16 | 2ull << 32 | 0xecull << 40 |
				  (uint64_t)(HANDLERS >> 16) << 48);
	put(HANDLERS, "\xca\x08\x00", 3); /* lret $8 */
	vcpu->state.segment[SEGMENT_CS] = flat(USER_CODE_32 | 3, 0xc0fb);
	vcpu->state.segment[SEGMENT_SS] = flat(USER_DATA | 3, 0xc0f3);
	for (unsigned i = SEGMENT_DS; i <= SEGMENT_GS; i++)
		vcpu->state.segment[i] = flat(KERNEL_DATA, 0xc093);
	vcpu->state.gpr[RSP] = USER_STACK;
	vcpu->state.rip = USER_CODE;
	/* push $0x11; push $0x22; lcall $0x38|3, $0; hlt */
	RUN("\x6a\x11\x6a\x22\x9a\x00\x00\x00\x00\x3b\x00\xf4");
	EXPECT(in_handler(13)); /* the hlt, back at level 3 */
	EXPECT_EQ(frame32(1), USER_CODE + 11);
	EXPECT_EQ(frame32(4), USER_STACK); /* lret dropped the parameters from both stacks */
	EXPECT_EQ(vcpu->state.segment[SEGMENT_DS].selector,
		  0); /* level 0's data is not for level 3 */
}
