/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * x87, SSE and AVX state and what saves and restores it. Source: Intel SDM volume 1, chapters 10.5
 * and 13, volume 2, FXSAVE, XSAVE and their kin.
 *	lodge: --cpus 1 --cpu-model max
 */
#include "system.h"

static struct trap s;
static uint8_t area[1024] __attribute__((aligned(64)));
static uint8_t second[1024] __attribute__((aligned(64)));

CODE(fxsave, "fxsave64 (%rbx); ud2");
CODE(fxrstor, "fxrstor64 (%rbx); ud2");
CODE(xsave, "xsave64 (%rbx); ud2");
CODE(xrstor, "xrstor64 (%rbx); ud2");
CODE(xsetbv, "xsetbv; ud2");
CODE(xgetbv, "xgetbv; ud2");
CODE(ldmxcsr, "ldmxcsr (%rbx); ud2");
CODE(fldenv, "fldenv (%rbx); ud2");
CODE(frstor, "frstor (%rbx); ud2");
CODE(fnstenv, "fnstenv (%rbx); ud2");
CODE(fnsave, "fnsave (%rbx); ud2");
CODE(maskmovq, "maskmovq %mm0, %mm1; ud2");
CODE(fstps, "fstps (%rbx); ud2");
CODE(fstpl, "fstpl (%rbx); ud2");
CODE(fistpl, "fistpl (%rbx); ud2");
CODE(fbstp, "fbstp (%rbx); ud2");
CODE(avx, "vxorps %ymm0, %ymm0, %ymm0; ud2");

#define WORD(at, offset)   (*(uint64_t *)((at) + (offset)))
#define HALF(at, offset)   (*(uint32_t *)((at) + (offset)))
#define SHORT_(at, offset) (*(uint16_t *)((at) + (offset)))

static unsigned int run(const uint8_t *code, const void *bx, uint64_t ax, uint64_t dx, uint64_t cx)
{
	state_init(&s, code, false);
	s.bx = (uintptr_t)bx, s.ax = ax, s.dx = dx, s.cx = cx;
	return state_run(&s);
}

static void clear(uint8_t *at)
{
	for (unsigned int i = 0; i < 1024; i++)
		at[i] = 0;
}

static void set_registers(uint64_t seed)
{
	asm volatile("movq %0, %%xmm3; pshufd $0x11, %%xmm3, %%xmm12; fninit; pushq %0; fildq "
		     "(%%rsp); fld1; pop %%rax" ::"r"(seed)
		     : "rax", "memory");
}

/* So do all others but those that don't wait. */
static void test_waiting(void)
{
	EXPECT_EQ(run(fldenv, second, 0, 0, 0), 16);
	EXPECT_EQ(s.ip, (uintptr_t)fldenv);
	EXPECT_EQ(run(frstor, second, 0, 0, 0), 16);
	EXPECT_EQ(run(maskmovq, second, 0, 0, 0), 16);
	state_init(&s, fldenv, true);
	EXPECT_EQ(state_run(&s), 16); /* before it looks at its operand */
	EXPECT_EQ(run(fnstenv, second, 0, 0, 0), 6);
	EXPECT_EQ(SHORT_(second, 4) & 0x84, 0x84);
	EXPECT_EQ(run(fnsave, area, 0, 0, 0), 6);
	EXPECT_EQ(run(fldenv, second, 0, 0, 0), 6); /* which brings it back */
	EXPECT_EQ(run(fldenv, second, 0, 0, 0), 16);
}

/* An error that isn't masked keeps an x87 store from storing, wherever it goes to. */
static void test_store_that_is_kept(void)
{
	static const uint8_t *const stores[] = {fstps, fstpl, fistpl, fbstp};
	static uint8_t pages[2 * 4096] __attribute__((aligned(4096)));
	static const uint16_t unmasked = 0x37e;

	for (unsigned int i = 0; i < sizeof(stores) / sizeof(stores[0]); i++)
		for (unsigned int at = 4096 - 12; at < 4096; at++) {
			for (unsigned int k = 0; k < sizeof(pages); k++)
				pages[k] = 0xa5;
			asm volatile("fninit; fldcw %0" ::"m"(unmasked));
			EXPECT_EQ(run(stores[i], pages + at, 0, 0, 0), 6);
			EXPECT_EQ(TRAP_OF("fwait"), 16);
			for (unsigned int k = 4000; k < 4200; k++)
				EXPECT_EQ(pages[k], 0xa5);
		}
	asm volatile("fninit");
}

static void test_fxsave(void)
{
	clear(area);
	set_registers(0x123456789abcdef);
	EXPECT_EQ(run(fxsave, area, 0, 0, 0), 6);
	EXPECT_EQ(WORD(area, 160 + 3 * 16), 0x123456789abcdef);
	EXPECT_EQ(SHORT_(area, 0), 0x37f);
	EXPECT_EQ(SHORT_(area, 2) >> 11 & 7, 6); /* two pushed */
	EXPECT_EQ(area[4], 0xc0);		 /* abridged tag */
	EXPECT_EQ(HALF(area, 24), 0x1f80);
	EXPECT_EQ(WORD(area, 32), 0x8000000000000000); /* 1.0 */
	set_registers(0);
	EXPECT_EQ(run(fxrstor, area, 0, 0, 0), 6);
	EXPECT_EQ(run(fxsave, second, 0, 0, 0), 6);
	for (unsigned int i = 0; i < 416; i += 8)
		if (i != 8 && i != 16)
			EXPECT_EQ(WORD(area, i), WORD(second, i));
	EXPECT_EQ(run(fxsave, area + 8, 0, 0, 0), 13); /* not aligned */
	HALF(area, 24) = 0x80000000;		       /* reserved bits of MXCSR */
	EXPECT_EQ(run(fxrstor, area, 0, 0, 0), 13);
	EXPECT_EQ(run(ldmxcsr, area + 24, 0, 0, 0), 13);
	HALF(area, 24) = 0x21f80; /* which some processors have, but no model */
	EXPECT_EQ(run(ldmxcsr, area + 24, 0, 0, 0),
		  13);			   /* not on kvm: the host's MXCSR_MASK is the guest's */
	EXPECT_EQ(HALF(area, 28), 0xffff); /* not on kvm: the same */
	HALF(area, 24) = 0x1f80;
	EXPECT_EQ(run(fxrstor, area, 0, 0, 0), 6);
	/* A pending x87 error that fxrstor brings is raised by the next fwait. */
	SHORT_(area, 0) = 0x37b, SHORT_(area, 2) = 0x84;
	EXPECT_EQ(run(fxrstor, area, 0, 0, 0), 6);
	EXPECT_EQ(TRAP_OF("fwait"), 16);
	test_waiting();
	asm volatile("fninit");
}

static void test_xsave(void)
{
	uint32_t all = cpuid(0xd, 0).a;

	EXPECT_EQ(run(xgetbv, NULL, 0, 0, 0), 6); /* #UD of its own: CR4.OSXSAVE is clear */
	EXPECT_EQ(s.ip, (uintptr_t)xgetbv);
	EXPECT_EQ(run(xsave, area, 7, 0, 0), 6);
	EXPECT_EQ(s.ip, (uintptr_t)xsave);
	EXPECT(!(cpuid(1, 0).c & 1 << 27));
	cr4_write(cr4_read() | 1 << 18);
	EXPECT(cpuid(1, 0).c & 1 << 27);
	EXPECT_EQ(run(xgetbv, NULL, 0, 0, 0), 6);
	EXPECT_EQ(s.ip, (uintptr_t)xgetbv + 3);
	EXPECT_EQ(s.ax, 1);			   /* XCR0 after reset */
	EXPECT_EQ(run(xsetbv, NULL, 6, 0, 0), 13); /* x87 must be set */
	EXPECT_EQ(run(xsetbv, NULL, 5, 0, 0), 13); /* AVX without SSE */
	EXPECT_EQ(run(xsetbv, NULL, 1u << 31 | 3, 0, 0), 13);
	EXPECT_EQ(run(xsetbv, NULL, 3, 0, 1), 13); /* XCR1 */
	if (all & 4) {
		EXPECT_EQ(run(xsetbv, NULL, 3, 0, 0), 6);
		EXPECT_EQ(run(avx, NULL, 0, 0, 0), 6);
		EXPECT_EQ(s.ip, (uintptr_t)avx);
	}
	EXPECT_EQ(run(xsetbv, NULL, all, 0, 0), 6);
	EXPECT_EQ(s.ip, (uintptr_t)xsetbv + 3);
	EXPECT_EQ(cpuid(0xd, 0).b, all & 4 ? 832 : 576);
	state_init(&s, xsetbv, true);
	EXPECT_EQ(state_run(&s), 13);

	clear(area), clear(second);
	set_registers(0xfeedface12345678);
	EXPECT_EQ(run(xsave, area, all, 0, 0), 6);
	EXPECT_EQ(s.ip, (uintptr_t)xsave + 4);
	EXPECT_EQ(WORD(area, 512) & 3, 3);
	EXPECT_EQ(WORD(area, 160 + 48), 0xfeedface12345678);
	set_registers(1);
	EXPECT_EQ(run(xrstor, area, all, 0, 0), 6);
	EXPECT_EQ(s.ip, (uintptr_t)xrstor + 4);
	EXPECT_EQ(run(xsave, second, all, 0, 0), 6);
	EXPECT_EQ(WORD(second, 160 + 48), 0xfeedface12345678);
	/* A component whose bit in XSTATE_BV is 0 becomes its initial state. */
	WORD(area, 512) = 1;
	EXPECT_EQ(run(xrstor, area, all, 0, 0), 6);
	EXPECT_EQ(run(fxsave, second, 0, 0, 0), 6);
	EXPECT_EQ(WORD(second, 160 + 48), 0);
	/* One that isn't asked for stays. */
	set_registers(99);
	WORD(area, 512) = 3;
	EXPECT_EQ(run(xrstor, area, 1, 0, 0), 6);
	EXPECT_EQ(run(fxsave, second, 0, 0, 0), 6);
	EXPECT_EQ(WORD(second, 160 + 48), 99);
	/* 13.8.1: what must be 0 in the header. */
	WORD(area, 512) = 1ull << 20;
	EXPECT_EQ(run(xrstor, area, all, 0, 0), 13);
	WORD(area, 512) = 3;
	WORD(area, 528) = 1;
	EXPECT_EQ(run(xrstor, area, all, 0, 0), 13);
	WORD(area, 528) = 0;
	EXPECT_EQ(run(xrstor, area + 16, all, 0, 0), 13);
	EXPECT_EQ(run(xsave, area + 16, all, 0, 0), 13);
	EXPECT_EQ(run(xrstor, area, all, 0, 0), 6);
	if (!(all & 4))
		return;
	/* The upper halves: kept, saved, initial after vzeroupper. */
	for (unsigned int i = 0; i < 32; i++)
		second[i] = (uint8_t)(i + 1);
	asm volatile("vmovups (%0), %%ymm7" ::"r"(second));
	out8(0x80, 0); /* a device */
	EXPECT_EQ(run(xsave, area, all, 0, 0), 6);
	EXPECT_EQ(WORD(area, 512) & 4, 4);
	EXPECT_EQ(WORD(area, 576 + 7 * 16), WORD(second, 16));
	asm volatile("vzeroupper");
	EXPECT_EQ(run(xsave, area, all, 0, 0), 6);
	EXPECT_EQ(WORD(area, 576 + 7 * 16), 0);
}

void test_main(void)
{
	system_init();
	test_fxsave();
	test_store_that_is_kept();
	if (!(cpuid(1, 0).c & 1 << 26)) {
		cr4_write(cr4_read());
		guest_skip("no XSAVE in this model");
	}
	test_xsave();
}
