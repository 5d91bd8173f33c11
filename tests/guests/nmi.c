/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NMIs: one that comes while another is handled waits for its iret (Intel SDM volume 3,
 * section 6.7.1), however often the handler leaves the guest; interrupts wait no less.
 */
#include "system.h"

#define NMI_TO_SELF	  0x4400u
#define INTERRUPT_TO_SELF 0x4043u

static volatile unsigned count, depth, deepest, before_iret, order_count;
static volatile uint8_t order[8];
static volatile unsigned again_at; /* the handler that sends another */
static volatile bool with_interrupt;

static void note(uint8_t vector)
{
	order[order_count++ & 7] = vector;
}

static void pass_time(void)
{
	for (volatile unsigned i = 0; i < 1000; i++)
		;
}

static void nmi(struct trap *trap)
{
	if (++depth > deepest)
		deepest = depth;
	if (++count == again_at) {
		lapic_command(0, NMI_TO_SELF);
		pass_time();
		cpuid(0, 0);
		out8(0x80, 1);
		before_iret = count;
		if (with_interrupt)
			lapic_command(0, INTERRUPT_TO_SELF);
	}
	note(2);
	depth--;
}

static void interrupt(struct trap *trap)
{
	note(0x43);
	lapic_eoi();
}

static void waits_for_iret(void)
{
	again_at = 1;
	lapic_command(0, NMI_TO_SELF);
	pass_time();
	EXPECT_EQ(count, 2);
	EXPECT_EQ(before_iret, 1);
	EXPECT_EQ(deepest, 1);
}

static void one_after_another(void)
{
	for (unsigned i = 0; i < 8; i++) {
		lapic_command(0, NMI_TO_SELF);
		pass_time();
	}
	EXPECT_EQ(count, 10);
}

static void beside_an_interrupt(void)
{
	uint64_t flags;

	order_count = 0;
	again_at = 11;
	with_interrupt = true;
	asm volatile("sti");
	lapic_command(0, NMI_TO_SELF);
	pass_time();
	asm volatile("cli");
	asm volatile("pushfq; popq %0" : "=r"(flags));
	EXPECT_EQ(count, 12);
	EXPECT_EQ(deepest, 1);
	EXPECT_EQ(order_count, 3);
	EXPECT_EQ(order[0], 2);
	EXPECT_EQ(flags & 0x100, 0);
}

void test_main(void)
{
	system_init();
	lapic_enable();
	trap_set(2, nmi);
	trap_set(0x43, interrupt);
	waits_for_iret();
	one_after_another();
	beside_an_interrupt();
}
