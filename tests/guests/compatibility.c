/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compatibility mode: 32- and 16-bit code under long mode, its ways into the kernel, segments with
 * limits, LDT, call gates. Source: Intel SDM volume 3, 5.8, 5.3; volume 2, SYSCALL, SYSENTER, CALL.
 *	lodge: --cpus 1
 */
#include "system.h"

#define CODE32(name, text) CODE(name, ".code32\n" text "\n.code64")
#define LDT_DESCRIPTOR	   GDT_FREE	   /* 16 bytes */
#define GATE		   (GDT_FREE + 16) /* 16 bytes */
#define SMALL_DATA	   (GDT_FREE + 32) /* DPL 3 */
#define DOWN_DATA	   (GDT_FREE + 40)
#define SMALL_CODE	   (GDT_FREE + 48)
#define USER_CODE_16	   (GDT_FREE + 56)
#define READ_ONLY	   (GDT_FREE + 64)

static struct trap s;
static uint64_t ldt[4];

CODE32(arithmetic, "mov $0xffffffff, %eax; inc %eax; .byte 0x40; pushl $5; popl %ecx; aaa; ud2");
CODE32(int_80, "int $0x80");
CODE32(syscall_32, "syscall");
CODE32(sysenter, "sysenter");
CODE32(load_ds, "mov %eax, %ds; movb (%ebx), %cl; ud2");
CODE32(store_ds, "mov %eax, %ds; movl %ecx, (%ebx); ud2");
CODE32(load_ds_4, "mov %eax, %ds; movl (%ebx), %ecx; ud2");
CODE32(null_ds, "xor %eax, %eax; mov %eax, %ds; movb (%ebx), %cl; ud2");
CODE32(wrap, "movl $0x1234, %eax; leal -1(%ebx), %ecx; ud2");
CODE32(pushes, "push %ds; pushl $-1; pusha; popa; popl %eax; popl %ecx; ud2");
CODE32(call_gate, ".byte 0x9a; .long 0; .word 0x63; ud2");
CODE32(jump_stack, "jmp *%ebx");
CODE32(push_small, "pushl %eax; ud2");
CODE32(bound, "mov %edx, %ds; bound %eax, (%ebx); ud2");
CODE32(into, "addl %ecx, %eax; into; ud2");
CODE(code_16, ".code16\nmovw $0xffff, %ax; incw %ax; movl $0x12345678, %ecx; pushw $3; popw %dx; "
	      "ud2\n.code64");
CODE(kernel_entry, "ud2");
CODE(sysexit_32, "sysexitl");
CODE(sysret_32, "sysretl");

static void run(const uint8_t *code)
{
	state_init(&s, code, true);
	s.cs = USER_32;
}

static void test_code(void)
{
	run(arithmetic);
	EXPECT_EQ(state_run(&s), 6);
	EXPECT_EQ((uint32_t)s.ax & 0xffff00ff, 1); /* byte 0x40 is inc eax here */
	EXPECT_EQ(s.cx, 5);
	EXPECT_EQ(s.cs, USER_32);
	run(pushes);
	s.cx = 0x77;
	EXPECT_EQ(state_run(&s), 6);
	EXPECT_EQ((uint32_t)s.ax, 0xffffffff);
	EXPECT_EQ(s.sp, user_alias(state_stack) + sizeof(state_stack));
	run(wrap);
	s.bx = 0;
	EXPECT_EQ(state_run(&s), 6);
	EXPECT_EQ((uint32_t)s.cx, 0xffffffff);
	run(jump_stack);
	s.bx = 0x3f000000; /* the kernel's */
	EXPECT_EQ(state_run(&s), 14);
	EXPECT_EQ(s.error & 0x15, 0x15);
	run(code_16);
	s.cs = USER_CODE_16 | 3;
	/* Base at the code's alias, limit 64 KiB: offsets of 16 bits. */
	uint64_t base = user_alias(code_16);

	gdt_table[USER_CODE_16 / 8] =
		0xffff | (base & 0xffffff) << 16 | 0xfbull << 40 | (base >> 24) << 56;
	s.ip = 0;
	EXPECT_EQ(state_run(&s), 6);
	EXPECT_EQ((uint16_t)s.ax, 0);
	EXPECT_EQ(s.cx, 0x12345678);
	EXPECT_EQ((uint16_t)s.dx, 3);
	EXPECT_EQ(s.ip, (uint64_t)(code_16_end - code_16 - 2));
}

static void test_entries(void)
{
	gate_set(0x80, 3, 0, true);
	run(int_80);
	EXPECT_EQ(state_run(&s), 0x80);
	EXPECT_EQ(s.ip, user_alias(int_80) + 2);
	EXPECT_EQ(s.cs, USER_32);
	/* SYSCALL is of 64-bit mode only on this vendor's processors; SYSENTER is of all modes. */
	run(syscall_32);
	EXPECT_EQ(state_run(&s), 6);
	EXPECT_EQ(s.ip, user_alias(syscall_32));
	msr_write(0x174, 0);
	run(sysenter);
	EXPECT_EQ(state_run(&s), 13);
	EXPECT_EQ(s.error, 0);
	msr_write(0x174, CODE_64 - 8 + 8); /* cs 0x18, ss 0x20 */
	msr_write(0x175, (uintptr_t)(state_stack + 4096));
	msr_write(0x176, (uintptr_t)kernel_entry);
	run(sysenter);
	s.flags |= 0x200;
	EXPECT_EQ(state_run(&s), 6);
	EXPECT_EQ(s.ip, (uintptr_t)kernel_entry);
	EXPECT_EQ(s.cs, CODE_64);
	EXPECT_EQ(s.ss, CODE_64 + 8);
	EXPECT_EQ(s.sp, (uintptr_t)(state_stack + 4096));
	EXPECT_EQ(s.flags & 0x200, 0);
	/* sysexit: cs is 16 and ss 24 behind it, RPL 3. */
	msr_write(0x174, 0x18);
	state_init(&s, sysexit_32, false);
	s.dx = user_alias(arithmetic), s.cx = user_alias(state_stack) + 4096;
	state_run(&s);
	EXPECT_EQ(s.cs, 0x2b);
	EXPECT_EQ(s.ss, 0x33);
	EXPECT_EQ(s.vector, 6);
	/* sysret to 32 bits: cs from bits 63..48. */
	msr_write(0xc0000081, (uint64_t)(USER_32 & ~3) << 48 | (uint64_t)CODE_64 << 32);
	state_init(&s, sysret_32, false);
	s.cx = user_alias(arithmetic), s.r11 = 0x202;
	s.sp = user_alias(state_stack) + 4096;
	EXPECT_EQ(state_run(&s), 6);
	EXPECT_EQ(s.cs, USER_32);
	EXPECT_EQ(s.ss, USER_DATA);
	EXPECT_EQ((uint32_t)s.ax & 0xffff00ff, 1);
}

static unsigned int with(const uint8_t *code, uint64_t ax, uint64_t bx)
{
	run(code);
	s.ax = ax, s.bx = bx, s.cx = 0x5a, s.dx = USER_DATA;
	return state_run(&s);
}

static void test_limits(void)
{
	uint64_t base = user_alias(state_stack);
	uint64_t placed = (base & 0xffffff) << 16 | (base >> 24) << 56;

	gdt_table[SMALL_DATA / 8] = 0x0fff | placed | 0x40f3ull << 40;
	gdt_table[DOWN_DATA / 8] = 0x0fff | placed | 0x40f7ull << 40;
	gdt_table[READ_ONLY / 8] = 0x0fff | placed | 0x40f1ull << 40;
	EXPECT_EQ(with(load_ds, SMALL_DATA | 3, 0xfff), 6);
	EXPECT_EQ(with(load_ds, SMALL_DATA | 3, 0x1000), 13);
	EXPECT_EQ(s.error, 0);
	EXPECT_EQ(s.ip, user_alias(load_ds) + 2);
	EXPECT_EQ(s.cx, 0x5a);
	EXPECT_EQ(with(load_ds_4, SMALL_DATA | 3, 0xffc), 6);
	EXPECT_EQ(with(load_ds_4, SMALL_DATA | 3, 0xffd), 13);
	EXPECT_EQ(with(store_ds, READ_ONLY | 3, 0x10), 13);
	EXPECT_EQ(with(load_ds, READ_ONLY | 3, 0x10), 6);
	/* 5.3: expand-down: above the limit is inside. */
	EXPECT_EQ(with(load_ds, DOWN_DATA | 3, 0xfff), 13);
	EXPECT_EQ(with(load_ds, DOWN_DATA | 3, 0x1000), 6);
	EXPECT_EQ(with(null_ds, 0, 0x10), 13);
	EXPECT_EQ(with(load_ds, DATA_0, 0x10), 13);
	EXPECT_EQ(s.error, DATA_0);
	/* The stack's limit is #SS. */
	run(push_small);
	s.ss = SMALL_DATA | 3, s.sp = 0x1004;
	EXPECT_EQ(state_run(&s), 12);
	EXPECT_EQ(s.sp, 0x1004);
	run(push_small);
	s.ss = SMALL_DATA | 3, s.sp = 0x1000;
	EXPECT_EQ(state_run(&s), 6);
	EXPECT_EQ(s.sp, 0xffc);
	/* Code beyond its limit. */
	uint64_t code = user_alias(arithmetic);

	gdt_table[SMALL_CODE / 8] =
		4 | (code & 0xffffff) << 16 | 0x40fbull << 40 | (code >> 24) << 56;
	run(arithmetic);
	s.cs = SMALL_CODE | 3, s.ip = 0;
	EXPECT_EQ(state_run(&s), 13);
	EXPECT_EQ(s.ip, 5);
	EXPECT_EQ((uint32_t)s.ax, 0xffffffff);
	/* bound and into. */
	static const int32_t bounds[2] = {-3, 7};

	EXPECT_EQ(with(bound, 7, user_alias(bounds)), 6);
	EXPECT_EQ(s.ip, user_alias(bound) + 4);
	EXPECT_EQ(with(bound, 8, user_alias(bounds)), 5);
	EXPECT_EQ(s.ip, user_alias(bound) + 2);
	gate_set(4, 3, 0, true);
	EXPECT_EQ(with(into, 1, 0), 6);
	EXPECT_EQ(with(into, 0x7fffffff, 0), 4);
	EXPECT_EQ(s.ip, user_alias(into) + 3);
	gate_set(4, 0, 0, true);
}

static void test_ldt_and_gates(void)
{
	uint64_t base = (uintptr_t)ldt, handler = (uintptr_t)kernel_entry;

	ldt[1] = 0x00cff3000000ffff;
	gdt_table[LDT_DESCRIPTOR / 8] =
		31 | (base & 0xffffff) << 16 | 0x82ull << 40 | (base >> 24 & 0xff) << 56;
	gdt_table[LDT_DESCRIPTOR / 8 + 1] = base >> 32;
	asm volatile("lldt %w0" ::"r"(LDT_DESCRIPTOR));
	EXPECT_EQ(with(load_ds, 8 | 7, user_alias(&s)), 6);
	EXPECT_EQ(with(load_ds, 16 | 7, user_alias(&s)), 13); /* null descriptor in it */
	EXPECT_EQ(s.error, 16 | 4);
	EXPECT_EQ(with(load_ds, 32 | 7, user_alias(&s)), 13); /* beyond it */
	EXPECT_EQ(s.error, 32 | 4);
	asm volatile("lldt %w0" ::"r"(0));
	EXPECT_EQ(with(load_ds, 8 | 7, user_alias(&s)), 13);
	/* 5.8.3.1: a call gate of 16 bytes into 64-bit code, stack from rsp0, null ss. */
	gdt_table[GATE / 8] =
		(handler & 0xffff) | CODE_64 << 16 | 0xecull << 40 | (handler >> 16 & 0xffff) << 48;
	gdt_table[GATE / 8 + 1] = handler >> 32;
	run(call_gate);
	EXPECT_EQ(state_run(&s), 6);
	EXPECT_EQ(s.ip, handler);
	EXPECT_EQ(s.cs, CODE_64);
	EXPECT_EQ(s.ss, 0);
	EXPECT_EQ(s.sp, tss.rsp[0] - 32);
	EXPECT_EQ(((uint64_t *)s.sp)[0], user_alias(call_gate) + 7);
	EXPECT_EQ(((uint64_t *)s.sp)[1], USER_32);
	EXPECT_EQ(((uint64_t *)s.sp)[2], user_alias(state_stack) + sizeof(state_stack));
	EXPECT_EQ(((uint64_t *)s.sp)[3], USER_DATA);
	gdt_table[GATE / 8] &= ~(0x60ull << 40); /* DPL 0 */
	run(call_gate);
	EXPECT_EQ(state_run(&s), 13);
	EXPECT_EQ(s.error, GATE);
	gdt_table[GATE / 8] |= 0x60ull << 40;
	gdt_table[GATE / 8] &= ~(0x80ull << 40);
	run(call_gate);
	EXPECT_EQ(state_run(&s), 11);
	EXPECT_EQ(s.error, GATE);
}

void test_main(void)
{
	system_init();
	test_code();
	test_entries();
	test_limits();
	test_ldt_and_gates();
}
