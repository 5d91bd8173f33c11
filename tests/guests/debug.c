/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Single-stepping, breakpoints, and the debug registers. Source: Intel SDM volume 3, chapter 17;
 *each check names its section. lodge: --cpus 1
 */
#include "system.h"

#define TF  0x100ull
#define RF  0x10000ull
#define BS  0x4000ull
#define BD  0x2000ull
#define DR6 0xffff0ff0ull

#define DEBUG_REGISTER(n)                                                                          \
	__attribute__((unused)) static uint64_t dr##n##_read(void)                                 \
	{                                                                                          \
		uint64_t value;                                                                    \
		asm volatile("mov %%dr" #n ", %0" : "=r"(value));                                  \
		return value;                                                                      \
	}                                                                                          \
	static void dr##n##_write(uint64_t value)                                                  \
	{                                                                                          \
		asm volatile("mov %0, %%dr" #n ::"r"(value));                                      \
	}
DEBUG_REGISTER(0)
DEBUG_REGISTER(1)
DEBUG_REGISTER(6)
DEBUG_REGISTER(7)

static struct trap s;

/* One instruction with TF; checks that it ended behind it, at `offset`. */
static void step(const uint8_t *code, uint64_t offset, int line)
{
	dr6_write(0);
	s.flags |= TF;
	state_run(&s);
	if (s.vector != 1 || s.ip - (uintptr_t)code != offset || dr6_read() != (DR6 | BS)) {
		print_format("line %d: vector %u at +0x%lx dr6 0x%lx\n", line,
			     (unsigned int)s.vector, (unsigned long)(s.ip - (uintptr_t)code),
			     (unsigned long)dr6_read());
		EXPECT(false);
	}
}
#define STEP(code, offset)    (state_init(&s, code, false), step(code, offset, __LINE__))
#define STEP_ON(code, offset) step(code, offset, __LINE__)

CODE(nops, "nop; nop; ud2");
CODE(jump, "jmp 1f; ud2; 1: ud2");
CODE(pushf, "pushfq; ud2");
CODE(popf, "popfq; nop; nop; ud2");
CODE(mov_ss, "mov %eax, %ss; nop; nop; ud2");
CODE(sti_nop, "sti; nop; ud2");
CODE(rep_stos, "rep stosb; ud2");
CODE(rep_none, "xor %ecx, %ecx; rep stosb; ud2");
CODE(cpuid_next, "cpuid; ud2");
CODE(rdtsc_next, "rdtsc; ud2");
CODE(int_80, "int $0x80; ud2");
CODE(out_next, "out %al, $0x80; ud2");
CODE(undefined, "ud2");
CODE(bad_load, "mov (%rbx), %rax; ud2");
CODE(syscall_next, "syscall; nop; ud2");
CODE(icebp, ".byte 0xf1; ud2");
CODE(loop_here, "1: dec %ecx; jnz 1b; ud2");
CODE(store_next, "movl $1, (%rbx); nop; nop; ud2");
CODE(load_next, "mov (%rbx), %eax; nop; nop; ud2");
CODE(movs_next, "rep movsl; nop; ud2");
CODE(out_dx, "out %al, %dx; nop; nop; ud2");
CODE(mov_dr, "mov %rax, %dr0; ud2");
CODE(read_dr4, "mov %dr4, %rax; ud2");
CODE(write_dr6, "mov %rax, %dr6; ud2");

static uint64_t count;

static void count_steps(struct trap *trap)
{
	count++;
	(void)trap;
}

static void test_step(void)
{
	uint8_t room[64];

	/* 17.3.1.4 */
	STEP(nops, 1);
	EXPECT(s.flags & TF);
	EXPECT(!(s.flags & RF));
	STEP_ON(nops, 2);
	STEP(jump, 4);
	STEP(pushf, 1);
	EXPECT(*(uint64_t *)s.sp & TF);
	STEP(cpuid_next, 2);
	STEP(rdtsc_next, 2);
	STEP(out_next, 2);
	/* TF that popf sets counts from the next instruction on. */
	state_init(&s, popf, false);
	s.sp -= 64;
	*(uint64_t *)s.sp = TF | 2;
	dr6_write(0);
	state_run(&s);
	EXPECT_EQ(s.vector, 1);
	EXPECT_EQ(s.ip - (uintptr_t)popf, 2);
	/* One that clears it is stepped once more. */
	state_init(&s, popf, false);
	s.sp -= 64;
	*(uint64_t *)s.sp = 2;
	STEP_ON(popf, 1);
	EXPECT(!(s.flags & TF));
	/* mov ss: 6.8.3, the trap is behind the instruction that follows. */
	state_init(&s, mov_ss, false);
	s.ax = DATA_0;
	STEP_ON(mov_ss, 3);
	STEP(sti_nop, 1); /* sti holds back interrupts only */
	s.flags &= ~0x200ull;
	/* Each iteration. */
	state_init(&s, rep_stos, false);
	s.di = (uintptr_t)room, s.cx = 3, s.ax = 7;
	STEP_ON(rep_stos, 0);
	EXPECT_EQ(s.cx, 2);
	EXPECT_EQ(s.di, (uintptr_t)room + 1);
	STEP_ON(rep_stos, 0);
	EXPECT_EQ(s.cx, 1);
	STEP_ON(rep_stos, 2);
	EXPECT_EQ(s.cx, 0);
	STEP(rep_none, 2);
	STEP_ON(rep_none, 4);
	/* A fault comes first, with TF in its image; BS isn't set. */
	state_init(&s, undefined, false);
	s.flags |= TF;
	dr6_write(0);
	EXPECT_EQ(state_run(&s), 6);
	EXPECT(s.flags & TF);
	EXPECT_EQ(dr6_read(), DR6);
	state_init(&s, bad_load, false);
	s.flags |= TF;
	s.bx = 0x123456789000;
	EXPECT_EQ(state_run(&s), 14);
	EXPECT_EQ(dr6_read(), DR6);
	/* int n clears TF on its way: the handler runs, no #DB. */
	state_init(&s, int_80, false);
	s.flags |= TF;
	EXPECT_EQ(state_run(&s), 0x80);
	EXPECT(s.flags & TF);
	EXPECT_EQ(dr6_read(), DR6);
	/* Opcode f1 has no bit in DR6. */
	state_init(&s, icebp, false);
	EXPECT_EQ(state_run(&s), 1);
	EXPECT_EQ(s.ip - (uintptr_t)icebp, 1);
	EXPECT_EQ(dr6_read(), DR6);
	/* Every instruction once, in a loop: 2 * 100 and none more before ud2. */
	trap_set(1, count_steps);
	state_init(&s, loop_here, false);
	s.cx = 100;
	s.flags |= TF;
	count = 0;
	EXPECT_EQ(state_run(&s), 6);
	EXPECT_EQ(count, 200);
	/* The same at CPL 3. */
	state_init(&s, loop_here, true);
	s.cx = 100;
	s.flags |= TF;
	count = 0;
	EXPECT_EQ(state_run(&s), 6);
	EXPECT_EQ(count, 200);
	trap_set(1, NULL);
}

/* Volume 2, SYSCALL: FMASK may clear TF; if it does not, the step is taken at the target. */
static void test_syscall(void)
{
	msr_write(0xc0000081, (uint64_t)CODE_64 << 32);
	msr_write(0xc0000082, (uintptr_t)nops);
	msr_write(0xc0000084, TF);
	dr6_write(0);
	state_init(&s, syscall_next, true);
	s.flags |= TF;
	EXPECT_EQ(state_run(&s), 6); /* the ud2 behind the nops */
	EXPECT_EQ(s.ip, (uintptr_t)nops + 2);
	EXPECT(s.r11 & TF);
	EXPECT_EQ(s.cx, user_alias(syscall_next) + 2);
	msr_write(0xc0000084, 0);
	state_init(&s, syscall_next, true);
	s.flags |= TF;
	EXPECT_EQ(state_run(&s), 1);
	EXPECT_EQ(s.ip, (uintptr_t)nops);
	EXPECT_EQ(s.cs, CODE_64);
}

/* 17.2.4, 17.3.1.1 */
static void test_instruction_breakpoints(void)
{
	uint8_t room[64];

	dr0_write((uintptr_t)nops + 1);
	dr6_write(0);
	dr7_write(0x402);
	state_init(&s, nops, false);
	EXPECT_EQ(state_run(&s), 1);
	EXPECT_EQ(s.ip, (uintptr_t)nops + 1); /* a fault: before it */
	EXPECT_EQ(dr6_read(), DR6 | 1);
	s.flags |= RF; /* once more, not hit */
	EXPECT_EQ(state_run(&s), 6);
	/* Not enabled: no trap. */
	dr7_write(0x400);
	state_init(&s, nops, false);
	EXPECT_EQ(state_run(&s), 6);
	/* The user's alias is another address. */
	dr7_write(0x402);
	state_init(&s, nops, true);
	EXPECT_EQ(state_run(&s), 6);
	/* A hot loop: the breakpoint is in the middle of translated code. */
	dr7_write(0x400);
	state_init(&s, loop_here, false);
	s.cx = 100000;
	EXPECT_EQ(state_run(&s), 6);
	dr1_write((uintptr_t)loop_here);
	dr6_write(0);
	dr7_write(0x404);
	state_init(&s, loop_here, false);
	s.cx = 10;
	for (unsigned int i = 0; i < 10; i++) {
		EXPECT_EQ(state_run(&s), 1);
		EXPECT_EQ(s.cx, 10 - i);
		EXPECT_EQ(dr6_read() & 0xf, 2);
		s.flags |= RF;
	}
	EXPECT_EQ(state_run(&s), 6);
	/* RF holds over all iterations of one instruction. */
	dr1_write((uintptr_t)rep_stos);
	state_init(&s, rep_stos, false);
	s.di = (uintptr_t)room, s.cx = 5;
	EXPECT_EQ(state_run(&s), 1);
	EXPECT_EQ(s.cx, 5);
	s.flags |= RF;
	EXPECT_EQ(state_run(&s), 6);
	EXPECT_EQ(s.cx, 0);
	dr7_write(0x400);
}

/* 17.3.1.2: traps, behind the instruction that wrote. */
static void test_data_breakpoints(void)
{
	static uint32_t words[8] __attribute__((aligned(64)));

	dr0_write((uintptr_t)&words[1]);
	dr6_write(0);
	dr7_write(0x402 | 1 << 16 | 3 << 18); /* writes, 4 bytes */
	state_init(&s, store_next, false);
	s.bx = (uintptr_t)&words[1];
	EXPECT_EQ(state_run(&s), 1);
	EXPECT_EQ(s.ip - (uintptr_t)store_next, 6);
	EXPECT_EQ(dr6_read(), DR6 | 1);
	EXPECT_EQ(words[1], 1);
	state_init(&s, store_next, false);
	s.bx = (uintptr_t)&words[2];
	EXPECT_EQ(state_run(&s), 6);
	state_init(&s, store_next, false);
	s.bx = (uintptr_t)&words[0] + 1; /* overlaps */
	EXPECT_EQ(state_run(&s), 1);
	state_init(&s, load_next, false);
	s.bx = (uintptr_t)&words[1];
	EXPECT_EQ(state_run(&s), 6);
	dr7_write(0x402 | 3 << 16 | 3 << 18); /* reads as well */
	state_init(&s, load_next, false);
	s.bx = (uintptr_t)&words[1];
	EXPECT_EQ(state_run(&s), 1);
	EXPECT_EQ(s.ip - (uintptr_t)load_next, 2);
	/* rep movs: behind the iteration that hit. */
	dr7_write(0x402 | 1 << 16 | 3 << 18);
	state_init(&s, movs_next, false);
	s.si = (uintptr_t)state_stack, s.di = (uintptr_t)words, s.cx = 4;
	EXPECT_EQ(state_run(&s), 1);
	EXPECT(s.cx == 2 || s.ip == (uintptr_t)movs_next + 2);
	EXPECT_EQ(state_run(&s), 6);
	EXPECT_EQ(s.cx, 0);
	/* One that faults behind its hit has not been met. */
	dr7_write(0x402 | 3 << 16 | 3 << 18);
	dr6_write(0);
	state_init(&s, movs_next, false);
	s.si = (uintptr_t)&words[1], s.di = 1ull << 62, s.cx = 1;
	EXPECT_EQ(state_run(&s), 13);
	EXPECT_EQ(dr6_read(), DR6);
	dr7_write(0x402 | 1 << 16 | 3 << 18);
	/* Together with a step. */
	dr6_write(0);
	state_init(&s, store_next, false);
	s.bx = (uintptr_t)&words[1];
	s.flags |= TF;
	EXPECT_EQ(state_run(&s), 1);
	EXPECT_EQ(dr6_read(), DR6 | BS | 1);
	/* At CPL 3, by linear address. */
	dr0_write(user_alias(&words[3]));
	dr6_write(0);
	state_init(&s, store_next, true);
	s.bx = user_alias(&words[3]);
	EXPECT_EQ(state_run(&s), 1);
	dr7_write(0x400);
	/* Ports: with CR4.DE. */
	cr4_write(cr4_read() | 8);
	dr0_write(0x80);
	dr6_write(0);
	dr7_write(0x402 | 2 << 16);
	state_init(&s, out_dx, false);
	s.dx = 0x80;
	EXPECT_EQ(state_run(&s), 1);		/* not on kvm: no breakpoints at ports */
	EXPECT_EQ(s.ip - (uintptr_t)out_dx, 1); /* not on kvm: the same */
	EXPECT_EQ(dr6_read(), DR6 | 1);		/* not on kvm: the same */
	s.dx = 0xe0;
	state_init(&s, out_dx, false);
	EXPECT_EQ(state_run(&s), 6);
	dr7_write(0x400);
	/* 17.2.2: DR4 is undefined with DE, DR6 without. */
	state_init(&s, read_dr4, false);
	EXPECT_EQ(state_run(&s), 6);
	EXPECT_EQ(s.ip, (uintptr_t)read_dr4);
	cr4_write(cr4_read() & ~8ull);
	state_init(&s, read_dr4, false);
	state_run(&s);
	EXPECT_EQ(s.ip, (uintptr_t)read_dr4 + 3);
	EXPECT_EQ(s.ax, dr6_read());
}

static void test_general_detect(void)
{
	/* 17.2.4: GD makes any move from or to debug registers a #DB, and is cleared by it. */
	dr6_write(0);
	dr7_write(0x2400);
	state_init(&s, mov_dr, false);
	EXPECT_EQ(state_run(&s), 1);
	EXPECT_EQ(s.ip, (uintptr_t)mov_dr);
	EXPECT_EQ(dr6_read(), DR6 | BD);
	EXPECT_EQ(dr7_read(), 0x400);
	/* 17.2.6: high halves of DR6 and DR7 must be 0. */
	state_init(&s, write_dr6, false);
	s.ax = 1ull << 32;
	EXPECT_EQ(state_run(&s), 13);
	dr6_write(0);
	dr7_write(0x400);
}

void test_main(void)
{
	system_init();
	test_step();
	test_syscall();
	test_instruction_breakpoints();
	test_data_breakpoints();
	test_general_detect();
}
