/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Timers and interrupts of one processor: local APIC timer, 8254 through 8259 and IO-APIC, shadows,
 * priorities, and interrupts in the middle of long instructions. Source: Intel SDM volume 3, 6.8,
 * 10.5, 10.8; 8254 and 8259A data sheets.
 *	lodge: --cpus 1
 */
#include "system.h"

#define IOAPIC 0xfec00000ull

static volatile uint32_t taken[256];
static volatile uint64_t taken_ip, taken_cx, taken_at;
static volatile uint8_t order[16];
static volatile uint32_t order_count;

static void take(struct trap *trap)
{
	taken[trap->vector]++;
	taken_ip = trap->ip;
	taken_cx = trap->cx;
	taken_at = tsc_read();
	if (order_count < 16)
		order[order_count++] = (uint8_t)trap->vector;
	lapic_eoi();
}

static void take_pic(struct trap *trap)
{
	taken[trap->vector]++;
	out8(0x20, 0x20);
}

static void self(unsigned int vector)
{
	lapic_command(0, 0x44000 | vector);
}

static void timer_start(uint32_t mode, uint32_t divide, uint32_t count)
{
	lapic_write(0x3e0, divide);
	lapic_write(0x320, mode);
	lapic_write(0x380, count);
}

/* Leaves a jmp to itself: the handler moves ip on. */
static void take_and_skip(struct trap *trap)
{
	take(trap);
	trap->ip += 2;
}

/* With interrupts on, until the vector has come n times. */
static bool comes(unsigned int vector, uint32_t n)
{
	bool came;

	asm volatile("sti");
	came = wait_for(&taken[vector], n);
	asm volatile("cli");
	return came;
}

static void test_timer(void)
{
	uint64_t start;
	uint32_t count, highest = 0;

	/* 10.5.4: one-shot, periodic. */
	timer_start(0x10000 | 0x40, 0xb, 1000);
	for (start = tsc_read(); tsc_read() - start < 10000000;)
		pause();
	EXPECT_EQ(lapic_read(0x390), 0);
	asm volatile("sti; nop; cli");
	EXPECT_EQ(taken[0x40], 0); /* masked */
	timer_start(0x40, 0xb, 100000);
	EXPECT(comes(0x40, 1));
	EXPECT_EQ(lapic_read(0x390), 0);
	for (start = tsc_read(); tsc_read() - start < 10000000;)
		asm volatile("sti; nop; cli");
	EXPECT_EQ(taken[0x40], 1);
	timer_start(0x20000 | 0x40, 0xb, 100000);
	EXPECT(comes(0x40, 21));
	EXPECT(lapic_read(0x390) <= 100000); /* not on kvm: it makes of it a period of 200 us */
	timer_start(0x20000 | 0x40, 0xb, 250000);
	taken[0x40] = 0;
	EXPECT(comes(0x40, 21));
	for (unsigned int i = 0; i < 1000; i++) {
		count = lapic_read(0x390);
		highest = count > highest ? count : highest;
	}
	EXPECT(highest > 0 && highest <= 250000);
	lapic_write(0x380, 0);
	asm volatile("sti; nop; cli"); /* one more may have been on its way */
	/* It wakes hlt. */
	taken[0x40] = 0;
	timer_start(0x40, 0xb, 1000000);
	asm volatile("sti; hlt; cli");
	EXPECT_EQ(taken[0x40], 1);
	/* TSC deadline. */
	if (cpuid(1, 0).c & 1 << 24) {
		taken[0x41] = 0;
		lapic_write(0x320, 0x40000 | 0x41);
		start = tsc_read();
		msr_write(0x6e0, start + 3000000);
		EXPECT(comes(0x41, 1));
		EXPECT(taken_at - start >= 3000000);
		EXPECT_EQ(msr_read(0x6e0), 0);
		msr_write(0x6e0, 1); /* long past: at once */
		EXPECT(comes(0x41, 2));
		msr_write(0x6e0, tsc_read() + 100000000000);
		msr_write(0x6e0, 0);
		asm volatile("sti; nop; cli");
		EXPECT_EQ(taken[0x41], 2);
	}
}

/* With interrupts off, until the vector's bit in IRR is set (10.8.4). */
static bool comes_due(unsigned int vector)
{
	uint64_t end = tsc_read() + 30000000000;

	while (!(lapic_read(0x200 + vector / 32 * 16) >> vector % 32 & 1)) {
		if (tsc_read() > end)
			return false;
		pause();
	}
	return true;
}

CODE(spin, "sti; 1: jmp 1b; ret");

static void test_latency(void)
{
	static uint8_t *big = (uint8_t *)0x2000000; /* 32 MiB: free memory */
	uint64_t ended;

	/* A loop of one jump, which only an interrupt ends. */
	trap_set(0x42, take_and_skip);
	timer_start(0x42, 0xb, 100000);
	asm volatile("call *%0; cli" ::"r"(spin) : "memory", "cc");
	EXPECT_EQ(taken[0x42], 1);
	EXPECT_EQ(taken_ip, (uintptr_t)spin + 1);
	/* rep stosb of 16 MiB: in the middle, with registers that say how far. */
	taken[0x40] = 0;
	ended = tsc_read() + 30000000000;
	for (unsigned int i = 0; tsc_read() < ended && !taken[0x40]; i++) {
		void *to = big;
		uint64_t count = 16 << 20;

		timer_start(0x40, 0xb, 20000);
		asm volatile("sti; rep stosb; cli" : "+D"(to), "+c"(count) : "a"(i) : "memory");
		EXPECT_EQ((uintptr_t)to, (uintptr_t)big + (16 << 20));
		EXPECT_EQ(big[0], (uint8_t)i);
		EXPECT_EQ(big[(16 << 20) - 1], (uint8_t)i);
	}
	EXPECT(taken[0x40] >= 1); /* a late one, and then the last round's own */
	EXPECT(taken_cx <= 16 << 20);
	/* A due interrupt doesn't wait for the end of them. How late it is due is the host's
	 * business. */
	lapic_write(0x380, 0);
	asm volatile("sti; nop; cli");
	taken[0x40] = 0;
	timer_start(0x40, 0xb, 10);
	EXPECT(comes_due(0x40));
	void *to = big;
	uint64_t count = 16 << 20;

	asm volatile("sti; nop; rep stosb; cli" : "+D"(to), "+c"(count) : "a"(1) : "memory");
	ended = tsc_read();
	EXPECT_EQ(taken[0x40], 1);
	EXPECT(taken_cx == 16 << 20); /* before it began */
	EXPECT(ended > taken_at);
}

static void test_shadows(void)
{
	uint64_t before;

	/* Volume 2, STI: one instruction more. */
	self(0x43);
	taken[0x43] = 0;
	asm volatile("sti; 1: nop; lea 1b(%%rip), %%rax; cli; mov %%rax, %0"
		     : "=m"(before)::"rax", "memory");
	EXPECT_EQ(taken[0x43], 1);
	EXPECT_EQ(taken_ip, before + 1);
	/* sti; cli: no window. */
	taken[0x43] = 0;
	self(0x43);
	for (unsigned int i = 0; i < 1000; i++)
		asm volatile("sti; cli");
	EXPECT_EQ(taken[0x43], 0);
	asm volatile("sti; nop; cli");
	EXPECT_EQ(taken[0x43], 1);
	/* mov ss: likewise. */
	taken[0x43] = 0;
	asm volatile("mov %%ss, %%ecx; sti; nop; cli" ::: "rcx");
	self(0x43);
	asm volatile("mov %%ss, %%ecx; sti; mov %%ecx, %%ss; cli" ::: "rcx");
	/* The shadow of sti ends with mov ss, whose own covers cli on some processors: */
	EXPECT(taken[0x43] <= 1);
	asm volatile("sti; nop; cli");
	EXPECT_EQ(taken[0x43], 1);
	/* popf and iret have none. */
	taken[0x43] = 0;
	self(0x43);
	asm volatile(
		"pushfq; orl $0x200, (%%rsp); popfq; 1: cli; lea 1b(%%rip), %%rax; mov %%rax, %0"
		: "=m"(before)::"rax", "memory");
	EXPECT_EQ(taken[0x43], 1);
	EXPECT_EQ(taken_ip, before);
}

static void take_nested(struct trap *trap)
{
	order[order_count++] = (uint8_t)trap->vector;
	if (trap->vector == 0x50) {
		self(0x60); /* higher class: comes at once */
		self(0x51); /* same class: waits */
		asm volatile("sti; nop; nop; cli");
		order[order_count++] = 1;
	}
	lapic_eoi();
}

static void test_priorities(void)
{
	/* 10.8.3: highest class first; TPR, also as CR8; nesting. */
	order_count = 0;
	self(0x44), self(0x71), self(0x55);
	asm volatile("sti; nop; nop; nop; nop; cli");
	EXPECT_EQ(order_count, 3);
	EXPECT(order[0] == 0x71 && order[1] == 0x55 && order[2] == 0x44);
	order_count = 0;
	cr8_write(5);
	EXPECT_EQ(lapic_read(0x80), 0x50);
	self(0x55), self(0x61);
	asm volatile("sti; nop; nop; nop; cli");
	EXPECT_EQ(order_count, 1);
	EXPECT_EQ(order[0], 0x61);
	lapic_write(0x80, 0x40);
	EXPECT_EQ(cr8_read(), 4);
	asm volatile("sti; nop; nop; nop; cli");
	EXPECT_EQ(order_count, 2);
	/* Lowered with interrupts on: taken right there. */
	cr8_write(15);
	self(0x66);
	order_count = 0;
	asm volatile("sti");
	cr8_write(0);
	asm volatile("nop; cli");
	EXPECT_EQ(order_count, 1);
	order_count = 0;
	trap_set(0x50, take_nested), trap_set(0x51, take_nested), trap_set(0x60, take_nested);
	self(0x50);
	asm volatile("sti; nop; nop; nop; cli");
	EXPECT_EQ(order_count, 4);
	EXPECT(order[0] == 0x50 && order[1] == 0x60 && order[2] == 1 && order[3] == 0x51);
	/* One in service, one waiting, the third is lost (10.8.4): IRR has a bit for each. */
	taken[0x43] = 0;
	for (unsigned int i = 0; i < 5; i++)
		self(0x43);
	asm volatile("sti; nop; nop; nop; cli");
	EXPECT_EQ(taken[0x43], 1);
}

static void ioapic_write(uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)IOAPIC = reg;
	*(volatile uint32_t *)(IOAPIC + 0x10) = value;
}

static void pit_periodic(uint16_t count)
{
	out8(0x43, 0x34);
	out8(0x40, (uint8_t)count);
	out8(0x40, (uint8_t)(count >> 8));
}

static void test_pit(void)
{
	/* Through the 8259 and LINT0 as ExtINT. */
	lapic_write(0x350, 0x700);
	out8(0x20, 0x11), out8(0x21, 0x20), out8(0x21, 4), out8(0x21, 1);
	out8(0xa0, 0x11), out8(0xa1, 0x28), out8(0xa1, 2), out8(0xa1, 1);
	out8(0x21, 0xfe), out8(0xa1, 0xff);
	trap_set(0x20, take_pic);
	pit_periodic(2000);
	EXPECT(comes(0x20, 10));
	out8(0x21, 0xff);
	taken[0x20] = 0;
	for (unsigned int i = 0; i < 100000; i++)
		asm volatile("sti; nop; cli");
	EXPECT(taken[0x20] <= 1);
	/* Through input 2 of the IO-APIC. */
	lapic_write(0x350, 0x10000);
	taken[0x45] = 0;
	ioapic_write(0x10 + 2 * 2 + 1, 0);
	ioapic_write(0x10 + 2 * 2, 0x45);
	EXPECT(comes(0x45, 10));
	ioapic_write(0x10 + 2 * 2, 0x10045);
	taken[0x45] = 0;
	for (unsigned int i = 0; i < 100000; i++)
		asm volatile("sti; nop; cli");
	EXPECT(taken[0x45] <= 1);
	pit_periodic(0);
}

/* Vector and x87 state stay over interrupts and device accesses, flags likewise. */
static void test_state_kept(void)
{
	uint64_t wrong = 0;

	taken[0x40] = 0;
	timer_start(0x20000 | 0x40, 0xb, 20000);
	for (uint64_t i = 1; taken[0x40] < 50 && i < 3000000; i++) {
		uint64_t low, high, x87 = i, flags;

		asm volatile("movq %4, %%xmm5; pshufd $0x44, %%xmm5, %%xmm15; fildq %2\n"
			     "sti; out %%al, $0x80\n"
			     "mov $-1, %%rax; add $1, %%rax; nop; nop; pushfq; pop %3; cli\n"
			     "movq %%xmm5, %0; psrldq $8, %%xmm15; movq %%xmm15, %1; fistpq %2"
			     : "=&r"(low), "=&r"(high), "+m"(x87), "=&r"(flags)
			     : "r"(i)
			     : "rax", "cc");
		wrong += low != i || high != i || x87 != i || (flags & 0x8d5) != 0x55;
	}
	EXPECT_EQ(wrong, 0);
	EXPECT(taken[0x40] >= 50);
	lapic_write(0x380, 0);
}

void test_main(void)
{
	system_init();
	asm volatile("fninit");
	out8(0x21, 0xff), out8(0xa1, 0xff);
	for (unsigned int i = 0x40; i < 0x80; i++)
		trap_set(i, take);
	lapic_enable();
	test_timer();
	test_latency();
	test_shadows();
	test_priorities();
	test_pit();
	test_state_kept();
}
