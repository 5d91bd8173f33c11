/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions: vectors, error codes, the pushed rip, RF and the registers at a fault. Source: Intel
 * SDM volume 3, chapter 6; each check names its section.
 *	lodge: --cpus 1
 */
#include "system.h"

#define AREA 0x8000000000ull /* linear pages of the test's own */

static struct trap s;

/* Runs a piece of code at CPL 0 and checks the trap, with ip relative to the code's beginning. */
#define RUN_AT(code, user, vector_, error_, offset)                                                \
	(state_init(&s, code, user), run_prepared(code, user, vector_, error_, offset, __LINE__))
#define RUN(code, vector_, error_, offset)  RUN_AT(code, false, vector_, error_, offset)
#define RUN3(code, vector_, error_, offset) RUN_AT(code, true, vector_, error_, offset)
/* As RUN, with s as it is. */
#define RUN_S(code, vector_, error_, offset)                                                       \
	run_prepared(code, (s.cs & 3) == 3, vector_, error_, offset, __LINE__)

static void run_prepared(const uint8_t *code, bool user, unsigned int vector, uint64_t error,
			 uint64_t offset, int line)
{
	uint64_t start = (uintptr_t)code + (user ? USER_BASE : 0);

	state_run(&s);
	if (s.vector != vector || s.error != error || s.ip - start != offset) {
		print_format("line %d: expected vector %u error 0x%lx ip +0x%lx, but vector %u "
			     "error 0x%lx ip +0x%lx (cr2 0x%lx)\n",
			     line, vector, (unsigned long)error, (unsigned long)offset,
			     (unsigned int)s.vector, (unsigned long)s.error,
			     (unsigned long)(s.ip - start), (unsigned long)cr2_read());
		EXPECT(false);
	}
	EXPECT(true);
}

#define RF 0x10000

CODE(divide, "div %ecx");
CODE(divide_signed, "idiv %ecx");
CODE(bp, "int3");
CODE(bp_long, ".byte 0xcd, 3");
CODE(icebp, ".byte 0xf1");
CODE(stac, "stac; ud2");
CODE(clac, "clac; ud2");
CODE(undefined_2, "ud2");
CODE(into_64, ".byte 0xce");
CODE(lock_mov, ".byte 0xf0, 0x89, 0x00");
CODE(lock_add_register, ".byte 0xf0, 0x01, 0xc0");
CODE(lea_register, ".byte 0x8d, 0xc0");
CODE(push_es, ".byte 0x06");
CODE(far_call_64, ".byte 0x9a, 0,0,0,0,0,0");
CODE(mov_to_cs, ".byte 0x8e, 0xc8");
CODE(mov_cr1, ".byte 0x0f, 0x20, 0xc8");
CODE(too_long,
     ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90");
CODE(load_bx, "mov (%rbx), %rax");
CODE(store_bx, "mov %rax, (%rbx)");
CODE(load_bp, "mov (%rbp), %rax");
CODE(push_ax, "push %rax");
CODE(pop_bx_memory, "popq (%rbx)");
CODE(call_bx, "call *%rbx");
CODE(call_bx_memory, "call *(%rbx)");
CODE(jump_bx, "jmp *%rbx");
CODE(ret_near, "ret");
CODE(ret_imm, "ret $16");
CODE(hlt, "hlt");
CODE(cli, "cli");
CODE(in_al, "in $0x80, %al");
CODE(in_dx, "in %dx, %eax");
CODE(rdmsr_none, "mov $0xdeadbeef, %ecx; rdmsr");
CODE(mov_cr3, "mov %cr3, %rax");
CODE(mov_dr7, "mov %dr7, %rax");
CODE(invlpg, "invlpg (%rbx)");
CODE(lgdt, "lgdt (%rbx)");
CODE(sgdt, "sgdt (%rbx)");
CODE(swapgs, "swapgs; hlt");
CODE(movaps, "movaps (%rbx), %xmm0");
CODE(movaps_store, "movaps %xmm0, (%rbx)");
CODE(addps_memory, "addps (%rbx), %xmm0");
CODE(x87, "fld1");
CODE(fwait, "fwait");
CODE(mmx, "movq %mm0, %mm1");
CODE(sse, "xorps %xmm0, %xmm0");
CODE(int_80, "int $0x80");
CODE(int_81, "int $0x81");
CODE(mov_ds, "mov %eax, %ds; ud2");
CODE(mov_ss, "mov %eax, %ss; ud2");
CODE(mov_fs, "mov %eax, %fs; ud2");
CODE(lldt, "lldt %ax; ud2");
CODE(ltr, "ltr %ax; ud2");
CODE(far_jump, "ljmp *(%rbx)");
CODE(iret, "iretq");
CODE(sysret, "sysretq");
CODE(rep_movs, "rep movsb; ud2");
CODE(rep_movsq_back, "std; rep movsq; ud2");
CODE(rep_stos, "rep stosl; ud2");
CODE(rep_cmps, "repe cmpsb; ud2");
CODE(xchg, "xchg %rax, (%rbx); ud2");
CODE(xadd, "lock xadd %rax, (%rbx); ud2");
CODE(cmpxchg, "lock cmpxchg %rcx, (%rbx); ud2");
CODE(cmpxchg16b, "lock cmpxchg16b (%rbx); ud2");
CODE(inc_memory, "incq (%rbx); ud2");
CODE(enter, "enter $32, $0; ud2");
CODE(leave, "leave; ud2");
CODE(popf, "popfq; ud2");
CODE(add_then_load, "add %rcx, %rax; mov (%rbx), %rdx; ud2");

static void test_undefined(void)
{
	/* 6.15, #UD and volume 2's entry of each instruction. */
	RUN(undefined_2, 6, 0, 0);
	EXPECT(s.flags & RF); /* 6.8.3 of volume 3: RF is set in the image of a fault */
	RUN(into_64, 6, 0, 0);
	RUN(lock_mov, 6, 0, 0);
	RUN(lock_add_register, 6, 0, 0);
	RUN(lea_register, 6, 0, 0);
	RUN(push_es, 6, 0, 0);
	RUN(far_call_64, 6, 0, 0);
	RUN(mov_to_cs, 6, 0, 0);
	RUN(mov_cr1, 6, 0, 0);
	RUN(too_long, 13, 0, 0);
	RUN3(undefined_2, 6, 0, 0);
	RUN3(stac, 6, 0, 0);
	RUN3(clac, 6, 0, 0);
}

static void test_traps(void)
{
	RUN(bp, 3, 0, 1);
	EXPECT(!(s.flags & RF));
	RUN(bp_long, 3, 0, 2);
	RUN(icebp, 1, 0, 1);
	gate_set(3, 3, 0, true);
	RUN3(bp, 3, 0, 1);
	gate_set(3, 0, 0, true);
	RUN3(bp, 13, 3 * 8 + 2, 0); /* 6.12.1.2: DPL of the gate below CPL */
	RUN3(icebp, 1, 0, 1);	    /* not checked there */
	RUN3(int_80, 13, 0x80 * 8 + 2, 0);
	gate_set(0x80, 3, 0, true);
	RUN3(int_80, 0x80, 0, 2);
	EXPECT_EQ(s.cs, USER_64);
	EXPECT_EQ(s.ss, USER_DATA);
	gate_set(0x81, 0, 0, false);
	RUN(int_81, 11, 0x81 * 8 + 2, 0);
	gate_set(0x81, 0, 0, true);
	RUN(int_81, 0x81, 0, 2);
}

static void test_arithmetic(void)
{
	state_init(&s, divide, false);
	s.cx = 0, s.ax = 17, s.dx = 3;
	RUN_S(divide, 0, 0, 0);
	EXPECT_EQ(s.ax, 17);
	EXPECT_EQ(s.dx, 3);
	EXPECT(s.flags & RF);
	state_init(&s, divide, true);
	s.cx = 1, s.ax = 17, s.dx = 3; /* the quotient does not fit */
	RUN_S(divide, 0, 0, 0);
	state_init(&s, divide_signed, false);
	s.cx = 0xffffffff, s.ax = 0x80000000, s.dx = 0xffffffff;
	RUN_S(divide_signed, 0, 0, 0);
}

static void test_addresses(void)
{
	/* Volume 3, 6.15, #GP, #SS; volume 1, 3.3.7.1: canonical addresses. */
	state_init(&s, load_bx, false);
	s.bx = 0x800000000000, s.ax = 5;
	RUN_S(load_bx, 13, 0, 0);
	EXPECT_EQ(s.ax, 5);
	state_init(&s, load_bx, false);
	s.bx = 0x7ffffffffffc; /* the last bytes are beyond */
	RUN_S(load_bx, 13, 0, 0);
	state_init(&s, store_bx, true);
	s.bx = 0x8000000000000000;
	RUN_S(store_bx, 13, 0, 0);
	state_init(&s, load_bp, false);
	s.bp = 0x800000000000;
	RUN_S(load_bp, 12, 0, 0);
	state_init(&s, push_ax, false);
	s.sp = 0x800000000000 + 64;
	RUN_S(push_ax, 12, 0, 0);
	EXPECT_EQ(s.sp, 0x800000000000 + 64);
	state_init(&s, push_ax, false);
	s.sp = 0; /* pushes at -8: canonical, not present */
	RUN_S(push_ax, 14, 2, 0);
	EXPECT_EQ(s.sp, 0);
	EXPECT_EQ(cr2_read(), -8ull);
	/*
	 * Branches to what isn't canonical: #GP(0), on the branch with nothing pushed or popped
	 * (volume 2, JMP, CALL, RET), or at the target, as AMD's processors and both software
	 * engines have it.
	 */
	static const struct {
		const uint8_t *code;
		uint64_t target;
	} branches[] = {{jump_bx, 0x800000000000},
			{call_bx, 0xffff7fffffffffff},
			{ret_near, 0x1234567800000000},
			{ret_imm, 0x900000000000},
			{call_bx_memory, 0x900000000000}};
	for (unsigned int i = 0; i < 2 * sizeof(branches) / sizeof(branches[0]); i++) {
		state_init(&s, branches[i / 2].code, i & 1);
		s.bx = branches[i / 2].target;
		s.sp -= 64;
		*(uint64_t *)(state_stack + sizeof(state_stack) - 64) = branches[i / 2].target;
		if (branches[i / 2].code == call_bx_memory) {
			s.bx = s.sp;
			s.sp -= 64;
		}
		state_run(&s);
		EXPECT_TRAP(&s, 13, 0);
		EXPECT(s.ip == branches[i / 2].target ||
		       s.ip == (uintptr_t)branches[i / 2].code + (i & 1 ? USER_BASE : 0));
	}
}

static void test_privileged(void)
{
	static const struct {
		const uint8_t *code;
		uint64_t offset;
	} list[] = {{hlt, 0},	  {cli, 0},	{in_al, 0},  {in_dx, 0}, {rdmsr_none, 5},
		    {mov_cr3, 0}, {mov_dr7, 0}, {invlpg, 0}, {lgdt, 0},	 {swapgs, 0},
		    {lldt, 0},	  {ltr, 0},	{sysret, 0}};

	for (unsigned int i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		RUN3(list[i].code, 13, 0, list[i].offset);
	RUN(rdmsr_none, 13, 0, 5);
	/* Volume 1, 18.5.2: the I/O bitmap lets a port through. */
	tss.ports[0x80 / 8] = 0xfe;
	state_init(&s, in_al, true);
	RUN_S(in_al, 13, 0, 16); /* at the next one in the file, in_dx */
	tss.ports[0x80 / 8] = 0xff;
}

static void test_alignment(void)
{
	state_init(&s, movaps, false);
	s.bx = (uintptr_t)state_stack + 8;
	RUN_S(movaps, 13, 0, 0);
	state_init(&s, movaps_store, true);
	s.bx = user_alias(state_stack) + 4;
	RUN_S(movaps_store, 13, 0, 0);
	state_init(&s, addps_memory, false);
	s.bx = (uintptr_t)state_stack + 1;
	RUN_S(addps_memory, 13, 0, 0);
	/* 6.15, #AC: CR0.AM, RFLAGS.AC and CPL 3. */
	cr0_write(cr0_read() | 1 << 18);
	state_init(&s, load_bx, true);
	s.bx = user_alias(state_stack) + 4;
	s.flags |= 1 << 18;
	RUN_S(load_bx, 17, 0, 0);
	cr0_write(cr0_read() & ~(1ull << 18));
	state_init(&s, cmpxchg16b, false);
	s.bx = (uintptr_t)state_stack + 8;
	RUN_S(cmpxchg16b, 13, 0, 0);
}

static void test_vector_state(void)
{
	uint64_t cr0 = cr0_read(), cr4 = cr4_read();

	/* Volume 3, 2.5, table 2-2 and 13.1. */
	cr0_write(cr0 | 8); /* TS */
	RUN(x87, 7, 0, 0);
	RUN(fwait, 7, 0, 0);
	RUN(mmx, 7, 0, 0);
	RUN(sse, 7, 0, 0);
	RUN3(sse, 7, 0, 0);
	cr0_write((cr0 | 8) & ~2ull); /* TS without MP: fwait is let through */
	RUN(x87, 7, 0, 0);
	state_init(&s, fwait, false);
	state_run(&s);
	EXPECT(s.vector != 7 || s.ip != (uintptr_t)fwait);
	cr0_write((cr0 | 4) & ~2ull); /* EM */
	RUN(x87, 7, 0, 0);
	RUN(mmx, 6, 0, 0);
	RUN(sse, 6, 0, 0);
	cr0_write(cr0);
	cr4_write(cr4 & ~0x200ull); /* OSFXSR */
	RUN(sse, 6, 0, 0);
	cr4_write(cr4);
}

CODE(x87_error, "fninit; fldcw (%rbx); fld1; fldz; fdivrp; nop; fwait; ud2");
CODE(sse_error, "ldmxcsr (%rbx); xorps %xmm1, %xmm1; pcmpeqd %xmm0, %xmm0; psrld $25, %xmm0; "
		"pslld $23, %xmm0; divps %xmm1, %xmm0; ud2");

static void test_float_errors(void)
{
	uint32_t control = 0x37b, mxcsr = 0x1f80 & ~0x200, usual = 0x1f80;
	uint64_t cr4 = cr4_read();

	/* 6.15, #MF: on the next waiting instruction. */
	state_init(&s, x87_error, false);
	s.bx = (uintptr_t)&control;
	RUN_S(x87_error, 16, 0, 2 + 2 + 2 + 2 + 2 + 1);
	asm volatile("fninit");
	/* 6.15, #XM, or #UD without CR4.OSXMMEXCPT. */
	state_init(&s, sse_error, false);
	s.bx = (uintptr_t)&mxcsr;
	RUN_S(sse_error, 19, 0, 3 + 3 + 4 + 5 + 5);
	cr4_write(cr4 & ~0x400ull);
	state_init(&s, sse_error, false);
	s.bx = (uintptr_t)&mxcsr;
	RUN_S(sse_error, 6, 0, 3 + 3 + 4 + 5 + 5);
	cr4_write(cr4);
	asm volatile("ldmxcsr %0" ::"m"(usual));
}

static void test_segments(void)
{
	/* 3.4.2 and 6.15: limits of the table, type, privilege, presence. */
	gdt_table[GDT_FREE / 8] = 0x00cf13000000ffff;	  /* data, DPL 0, not present */
	gdt_table[GDT_FREE / 8 + 1] = 0x00af1b000000ffff; /* code, not present */
	gdt_table[GDT_FREE / 8 + 2] = 0x00008b0000000067; /* TSS, busy */
	gdt_table[GDT_FREE / 8 + 3] = 0;
	gdt_table[GDT_FREE / 8 + 4] = 0x0000020000000067; /* LDT, not present */
	gdt_table[GDT_FREE / 8 + 5] = 0;
	gdt_table[GDT_FREE / 8 + 6] = 0x00cf99000000ffff; /* code, execute only */
#define WITH_AX(code, value, user, vector_, error_, offset)                                        \
	(state_init(&s, code, user), s.ax = (value), RUN_S(code, vector_, error_, offset))
	WITH_AX(mov_ds, GDT_COUNT * 8, false, 13, GDT_COUNT * 8, 0);
	WITH_AX(mov_ds, GDT_FREE, false, 11, GDT_FREE, 0);
	WITH_AX(mov_ds, GDT_FREE + 0x30, false, 13, GDT_FREE + 0x30, 0);
	WITH_AX(mov_ds, DATA_0, true, 13, DATA_0, 0);
	WITH_AX(mov_ds, TSS_0, false, 13, TSS_0, 0);
	WITH_AX(mov_ds, 4, false, 13, 4, 0); /* no LDT */
	WITH_AX(mov_ds, USER_DATA, true, 6, 0, 2);
	WITH_AX(mov_ds, 3, true, 6, 0, 2);	  /* null */
	WITH_AX(mov_fs, CODE_64, false, 6, 0, 2); /* readable code */
	WITH_AX(mov_ss, GDT_FREE, false, 12, GDT_FREE, 0);
	WITH_AX(mov_ss, CODE_64, false, 13, CODE_64, 0);
	WITH_AX(mov_ss, USER_DATA, false, 13, USER_DATA & ~3, 0);
	WITH_AX(mov_ss, 0, false, 6, 0, 2); /* null is allowed in ring 0 of 64-bit mode */
	WITH_AX(mov_ss, 3, true, 13, 0, 0);
	WITH_AX(lldt, GDT_FREE + 0x20, false, 11, GDT_FREE + 0x20, 0);
	WITH_AX(lldt, DATA_0, false, 13, DATA_0, 0);
	WITH_AX(lldt, 0, false, 6, 0, 3);
	WITH_AX(ltr, GDT_FREE + 0x10, false, 13, GDT_FREE + 0x10, 0);
	WITH_AX(ltr, 0, false, 13, 0, 0);
	struct {
		uint32_t offset;
		uint16_t selector;
	} far = {0x1000, GDT_FREE + 8};
	state_init(&s, far_jump, false);
	s.bx = (uintptr_t)&far;
	RUN_S(far_jump, 11, GDT_FREE + 8, 0);
	far.selector = 0;
	state_init(&s, far_jump, false);
	s.bx = (uintptr_t)&far;
	RUN_S(far_jump, 13, 0, 0);
	far.selector = DATA_0;
	state_init(&s, far_jump, false);
	s.bx = (uintptr_t)&far;
	RUN_S(far_jump, 13, DATA_0, 0);
}

/* iretq from CPL 0 with a frame of five. */
static void run_iret(uint64_t ip, uint64_t cs, uint64_t flags, uint64_t sp, uint64_t ss)
{
	uint64_t *frame = (uint64_t *)(state_stack + 8192);

	state_init(&s, iret, false);
	frame[0] = ip, frame[1] = cs, frame[2] = flags, frame[3] = sp, frame[4] = ss;
	s.sp = (uintptr_t)frame;
	state_run(&s);
}

static void test_iret(void)
{
	/* Volume 2, IRET. */
	run_iret(user_alias(undefined_2), USER_64, 2, 0xdead0000beef, USER_DATA);
	EXPECT_TRAP(&s, 6, 0);
	EXPECT_EQ(s.cs, USER_64);
	EXPECT_EQ(s.sp, 0xdead0000beef); /* any rsp, even this */
	run_iret(user_alias(undefined_2), USER_64, 2, 0x1000, 0);
	EXPECT_TRAP(&s, 13, 0); /* null ss for CPL 3 */
	EXPECT_EQ(s.ip, (uintptr_t)iret);
	EXPECT_EQ(s.cs, CODE_64);
	run_iret((uintptr_t)undefined_2, CODE_64, 2, 0x1000, 0);
	EXPECT_TRAP(&s, 6, 0); /* null ss for CPL 0 */
	EXPECT_EQ(s.ss, 0);
	run_iret(0x800000000000, CODE_64, 2, 0x1000, DATA_0);
	EXPECT_TRAP(&s, 13, 0);
	EXPECT_EQ(s.ip, (uintptr_t)iret);
	run_iret(0x800000000000, USER_64, 2, 0x1000, USER_DATA);
	EXPECT_TRAP(&s, 13, 0);
	run_iret((uintptr_t)undefined_2, DATA_0, 2, 0x1000, DATA_0);
	EXPECT_TRAP(&s, 13, DATA_0);
	run_iret((uintptr_t)undefined_2, 0, 2, 0x1000, DATA_0);
	EXPECT_TRAP(&s, 13, 0);
	run_iret((uintptr_t)undefined_2, USER_64 & ~3, 2, 0x1000, DATA_0);
	EXPECT_TRAP(&s, 13, USER_64 & ~3);
	run_iret((uintptr_t)undefined_2, CODE_64, 2, 0x1000, USER_DATA);
	EXPECT_TRAP(&s, 13, USER_DATA & ~3);
	run_iret((uintptr_t)undefined_2, GDT_FREE + 8, 2, 0x1000, DATA_0);
	EXPECT_TRAP(&s, 11, GDT_FREE + 8);
	run_iret((uintptr_t)undefined_2, CODE_64, 2, 0x1000, GDT_FREE);
	EXPECT_TRAP(&s, 12, GDT_FREE);
	run_iret((uintptr_t)undefined_2, CODE_64, 2 | 1 << 14, 0x1000, DATA_0);
	EXPECT_TRAP(&s, 6, 0); /* NT in the image is fine */
	EXPECT(s.flags & 1 << 14);
	state_init(&s, iret, false);
	s.flags |= 1 << 14; /* NT set: a task return, which long mode has not */
	RUN_S(iret, 13, 0, 0);
	/* CPL 3 can't change IF or IOPL by popf. */
	state_init(&s, popf, true);
	s.sp -= 64;
	*(uint64_t *)(s.sp - USER_BASE) = 0x3202 | 0xd5;
	RUN_S(popf, 6, 0, 1);
	EXPECT_EQ(s.flags & 0x3fff, 0xd7);
}

static void test_memory_operands(void)
{
	uint8_t *page = page_new();
	uint64_t *words = (uint64_t *)page;
	const uint64_t good = AREA, bad = AREA + 4096;

	/* One page is there, the next isn't: nothing may have happened at a fault but what is done.
	 */
	page_map(good, (uintptr_t)page, P_PRESENT | P_WRITE | P_USER);
	for (unsigned int i = 0; i < 4096; i++)
		page[i] = (uint8_t)i;
	state_init(&s, rep_movs, false);
	s.si = (uintptr_t)state_stack, s.di = bad - 100, s.cx = 300;
	RUN_S(rep_movs, 14, 2, 0);
	EXPECT_EQ(cr2_read(), bad);
	EXPECT_EQ(s.cx, 200);
	EXPECT_EQ(s.di, bad);
	EXPECT_EQ(s.si, (uintptr_t)state_stack + 100);
	EXPECT(s.flags & RF);
	state_init(&s, rep_movs, true);
	s.di = user_alias(state_stack), s.si = bad - 7, s.cx = 300;
	RUN_S(rep_movs, 14, 4, 0);
	EXPECT_EQ(s.cx, 293);
	EXPECT_EQ(s.si, bad);
	page_map(AREA + 3 * 4096, (uintptr_t)page, P_PRESENT | P_WRITE | P_USER);
	state_init(&s, rep_movsq_back, false); /* downwards into the hole */
	s.di = (uintptr_t)state_stack + 4096, s.si = AREA + 3 * 4096 + 16, s.cx = 10;
	RUN_S(rep_movsq_back, 14, 0, 1);
	EXPECT_EQ(s.cx, 7);
	EXPECT_EQ(s.si, AREA + 3 * 4096 - 8);
	EXPECT_EQ(s.di, (uintptr_t)state_stack + 4096 - 24);
	EXPECT_EQ(cr2_read(), AREA + 3 * 4096 - 8);
	state_init(&s, rep_stos, false); /* an element across the boundary */
	s.di = bad - 10, s.cx = 5, s.ax = 0x11111111;
	for (unsigned int i = 4096 - 10; i < 4096; i++)
		page[i] = 0xee;
	RUN_S(rep_stos, 14, 2, 0);
	EXPECT_EQ(s.cx, 3);
	EXPECT_EQ(s.di, bad - 2);
	EXPECT_EQ(page[4095], 0xee);
	EXPECT_EQ(page[4093], 0x11);
	state_init(&s, rep_cmps, false);
	s.si = bad - 3, s.di = bad - 3, s.cx = 9;
	RUN_S(rep_cmps, 14, 0, 0);
	EXPECT_EQ(s.cx, 6);

#define FAULTS_WRITING(code, address)                                                              \
	do {                                                                                       \
		state_init(&s, code, false);                                                       \
		s.bx = (address), s.ax = 0x1111, s.cx = 0x2222, s.dx = 0x3333, s.bp = 0x4444;      \
		RUN_S(code, 14, 2, 0);                                                             \
		EXPECT_EQ(cr2_read(), bad);                                                        \
		EXPECT_EQ(s.ax, 0x1111);                                                           \
		EXPECT_EQ(s.cx, 0x2222);                                                           \
		EXPECT_EQ(s.dx, 0x3333);                                                           \
		EXPECT_EQ(s.sp, (uintptr_t)(state_stack + sizeof(state_stack)));                   \
		EXPECT_EQ(words[511], 0xabcdef0123456789);                                         \
	} while (0)
	words[511] = 0xabcdef0123456789;
	FAULTS_WRITING(store_bx, bad - 4);
	FAULTS_WRITING(xchg, bad - 4);
	FAULTS_WRITING(xadd, bad - 4);
	FAULTS_WRITING(cmpxchg, bad - 4);
	FAULTS_WRITING(inc_memory, bad - 4);
	FAULTS_WRITING(cmpxchg16b, bad);
	FAULTS_WRITING(pop_bx_memory, bad - 4);

	/* push, call, enter onto the boundary; pop and ret from it. */
	state_init(&s, push_ax, false);
	s.sp = bad + 4;
	RUN_S(push_ax, 14, 2, 0);
	EXPECT_EQ(s.sp, bad + 4);
	EXPECT_EQ(words[511], 0xabcdef0123456789);
	state_init(&s, call_bx, false);
	s.sp = bad + 8, s.bx = (uintptr_t)undefined_2;
	RUN_S(call_bx, 14, 2, 0);
	EXPECT_EQ(s.sp, bad + 8);
	EXPECT_EQ(s.bx, (uintptr_t)undefined_2);
	state_init(&s, ret_near, false);
	s.sp = bad - 4;
	RUN_S(ret_near, 14, 0, 0);
	EXPECT_EQ(s.sp, bad - 4);
	state_init(&s, enter, false);
	s.sp = bad + 8, s.bp = 77;
	RUN_S(enter, 14, 2, 0);
	EXPECT_EQ(s.sp, bad + 8);
	EXPECT_EQ(s.bp, 77);
	state_init(&s, leave, false);
	s.bp = bad, s.sp = 0x1000;
	RUN_S(leave, 14, 0, 0);
	EXPECT_EQ(s.sp, 0x1000);
	EXPECT_EQ(s.bp, bad);
	/* popq (mem): the address is wrong, rsp stays. */
	state_init(&s, pop_bx_memory, false);
	s.bx = bad;
	RUN_S(pop_bx_memory, 14, 2, 0);

	/* Flags before a faulting instruction are those of the one before it. */
	state_init(&s, add_then_load, false);
	s.ax = 0xffffffffffffffff, s.cx = 1, s.bx = bad, s.dx = 9;
	RUN_S(add_then_load, 14, 0, 3);
	EXPECT_EQ(s.ax, 0);
	EXPECT_EQ(s.dx, 9);
	EXPECT_EQ(s.flags & 0x8d5, 0x55);
}

CODE(read_flags_user, "mov $5, %eax; int $0x80");

static volatile uint64_t seen_sp, seen_flags, seen_inside;

static void note_stack(struct trap *trap)
{
	seen_sp = (uintptr_t)trap;
	seen_flags = trap->flags;
	asm volatile("pushfq; pop %0" : "=r"(seen_inside));
}

static void test_nesting(void)
{
	int vector;

	/* 6.14.4: the stack is aligned to 16 bytes, rsp0 for CPL 3, the same for CPL 0. */
	trap_set(0x90, note_stack);
	asm volatile("mov %%rsp, %%rcx; lea -3(%%rsp), %%rsp; int $0x90; mov %%rcx, %%rsp" ::
			     : "rcx", "memory");
	EXPECT_EQ((seen_sp + sizeof(struct trap)) & 15, 0);
	gate_set(0x90, 0, 2, true);
	asm volatile("int $0x90");
	EXPECT_EQ(seen_sp + sizeof(struct trap), tss.ist[2]);
	gate_set(0x90, 0, 0, true);
	trap_set(0x90, NULL);

	/* 6.15, #DF: a contributory exception while one is delivered, table 6-5. */
	gate_set(13, 0, 0, false);
	gate_set(8, 0, 2, true);
	vector = TRAP_OF("mov $0xdeadbeef, %%ecx; rdmsr", "c"(0)); /* #GP, then #NP */
	EXPECT_EQ(vector, 8);
	EXPECT_EQ(trap_error, 0);
	gate_set(13, 0, 0, true);
	gate_set(6, 0, 0, false); /* #UD is benign: #NP with the gate's number, EXT set */
	vector = TRAP_OF("ud2");
	EXPECT_EQ(vector, 11);
	EXPECT_EQ(trap_error, 6 * 8 + 3);
	gate_set(6, 0, 0, true);
	/* A page fault when a #PF is delivered: its IST stack isn't there. */
	tss.ist[3] = AREA + 0x100000;
	gate_set(14, 0, 3, true);
	vector = TRAP_OF("mov (%%rbx), %%rax", "b"(AREA + 0x200000));
	EXPECT_EQ(vector, 8);
	EXPECT_EQ(cr2_read(), AREA + 0x100000 - 8 - 40); /* of the second one */
	/* A page fault when #GP is delivered: handled one after the other. */
	gate_set(14, 0, 2, true);
	gate_set(13, 0, 3, true);
	vector = TRAP_OF("mov $0xdeadbeef, %%ecx; rdmsr", "c"(0));
	EXPECT_EQ(vector, 14);
	EXPECT_EQ(trap_error, 2);
	/* 6.14.5: IST not canonical: #SS, with what was delivered before: #GP + #SS is #DF. */
	tss.ist[3] = 0x900000000000;
	vector = TRAP_OF("mov $0xdeadbeef, %%ecx; rdmsr", "c"(0));
	EXPECT_EQ(vector, 8);
	gate_set(13, 0, 0, true);
	gate_set(14, 0, 0, true);
	gate_set(0x91, 0, 3, true);
	vector = TRAP_OF("int $0x91");
	EXPECT_EQ(vector, 12);
	EXPECT_EQ(trap_error, 0);
	gate_set(0x91, 0, 0, true);
	gate_set(8, 0, 0, true);
	/* The gate's code segment: null, data. */
	idt_table[0x92][0] &= 0xffff;
	vector = TRAP_OF("int $0x92");
	EXPECT_EQ(vector, 13);
	EXPECT_EQ(trap_error, 0);
	idt_table[0x92][0] |= DATA_0 << 16;
	vector = TRAP_OF("int $0x92");
	EXPECT_EQ(vector, 13);
	EXPECT_EQ(trap_error, DATA_0);
	/* Trap gates leave IF, interrupt gates clear it. */
	trap_set(0x93, note_stack);
	idt_table[0x93][1] |= 0x100;
	asm volatile("sti; int $0x93; cli");
	EXPECT_EQ(seen_flags & 0x200, 0x200);
	EXPECT_EQ(seen_inside & 0x200, 0x200);
	idt_table[0x93][1] &= ~0x100u;
	asm volatile("sti; int $0x93; cli");
	EXPECT_EQ(seen_flags & 0x200, 0x200);
	EXPECT_EQ(seen_inside & 0x200, 0);
	trap_set(0x93, NULL);
	/* Beyond the IDT's limit. */
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idt = {0x93 * 16 - 1, (uintptr_t)idt_table};
	asm volatile("lidt %0" ::"m"(idt));
	vector = TRAP_OF("int $0x93");
	EXPECT_EQ(vector, 13);
	EXPECT_EQ(trap_error, 0x93 * 8 + 2);
	idt.limit = 0xfff;
	asm volatile("lidt %0" ::"m"(idt));
}

static void test_user_stack_switch(void)
{
	/* 6.14.4 without IST: rsp0, ss null. */
	gate_set(0x80, 3, 0, true);
	state_init(&s, read_flags_user, true);
	state_run(&s);
	EXPECT_EQ(s.vector, 0x80);
	EXPECT_EQ(s.ax, 5);
	EXPECT_EQ(s.ss, USER_DATA);
}

void test_main(void)
{
	system_init();
	test_undefined();
	test_traps();
	test_arithmetic();
	test_addresses();
	test_privileged();
	test_alignment();
	test_vector_state();
	test_float_errors();
	test_segments();
	test_iret();
	test_memory_operands();
	test_nesting();
	test_user_stack_switch();
}
