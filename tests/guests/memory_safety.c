/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that tries to reach what isn't its own: whatever address it forms, with whatever segment
 * base, it gets its own memory, a fault of its own, or all ones; Lodge goes on. Source: Intel SDM
 * volume 1, 3.3.7.1, volume 3, 3.4.4.1.
 *	lodge: --cpus 1
 */
#include "system.h"

#define AREA 0x8000000000ull

static struct trap s;

CODE(load_gs, "mov %gs:(%rbx), %rax; ud2");
CODE(store_gs, "mov %rax, %gs:(%rbx); ud2");
CODE(load_fs_scaled, "mov %fs:0x7fffffff(%rbx,%rcx,8), %rax; ud2");
CODE(load_near, "mov (%rbx,%rcx,8), %rax; ud2");
CODE(store_near, "mov %rax, (%rbx,%rcx,8); ud2");
CODE(load_wide, "movups (%rbx), %xmm0; ud2");
CODE(lock_near, "lock addq $1, (%rbx); ud2");
CODE(load_32, "mov %gs:(%ebx), %rax; ud2");
CODE(rep_movs, "rep movsq; ud2");
CODE(rep_stos, "rep stosb; ud2");
CODE(push_pop, "push %rax; pop %rcx; ud2");
CODE(call_self, "call 1f; 1: ud2");
CODE(bit_test, "bts %rax, (%rbx); ud2");
CODE(xlat, "xlatb; ud2");

static uint64_t random_state = 88172645463325252;

static uint64_t random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return random_state ^= random_state << 17;
}

static bool canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* Addresses with a will to do harm: near the ends of halves, host-like ones, wrapped ones. */
static uint64_t nasty(void)
{
	static const uint64_t bases[] = {0,
					 0x7fffffffffff,
					 0x800000000000,
					 0xffff7fffffffffff,
					 0xffff800000000000,
					 0xffffffffffffffff,
					 0x7fffffffffffffff,
					 0x8000000000000000,
					 0x555555554000,
					 0x7ffff7ff0000,
					 0x7fffffffe000,
					 0x100000000,
					 0xffffffff80000000};

	return bases[random() % 13] + (random() & 0x1fff) - 0x1000 + (random() % 4 ? 0 : random());
}

/* The base and the offset add up to what the guest's page tables know nothing of. */
static void test_segment_bases(bool user)
{
	for (unsigned int i = 0; i < 1500; i++) {
		static const uint8_t *const codes[] = {load_gs, store_gs};
		uint64_t base = nasty(), offset = nasty(), linear;
		unsigned int vector;

		if (!canonical(base))
			base = (uint64_t)((int64_t)(base << 16) >> 16);
		if (i % 5 == 0)
			offset = 0x4000000000 + (i * 8) - base; /* adds up to a plain hole */
		linear = base + offset;
		msr_write(0xc0000101, base);
		state_init(&s, codes[i & 1], user);
		s.bx = offset;
		vector = state_run(&s);
		msr_write(0xc0000101, 0);
		if (!canonical(linear) || !canonical(linear + 7)) {
			if (!EXPECT(vector == 13 || (vector == 14 && canonical(linear))))
				print_format("base 0x%lx offset 0x%lx vector %u\n", base, offset,
					     vector);
		} else if (linear >= 0x100000000 || user) {
			if (!EXPECT(vector == 14 && cr2_read() - linear < 8))
				print_format("base 0x%lx offset 0x%lx vector %u cr2 0x%lx\n", base,
					     offset, vector, cr2_read());
		} else {
			EXPECT(vector == 6);
		}
	}
}

static void test_wild(void)
{
	static const uint8_t *const codes[] = {load_near, load_wide, load_fs_scaled, bit_test,
					       lock_near, xlat,	     push_pop,	     call_self,
					       rep_movs,  rep_stos,  store_near,     load_32};

	for (unsigned int i = 0; i < 6000; i++) {
		unsigned int vector;

		state_init(&s, codes[i % 12], true); /* the user has just 64 MiB, all of it ours */
		s.bx = nasty(), s.cx = i % 12 >= 8 ? 1 + random() % 4096 : nasty();
		s.si = nasty(), s.di = nasty();
		s.sp = nasty(), s.ax = nasty();
		if (s.di - USER_BASE < 0x8000000 || s.bx - USER_BASE < 0x8000000 ||
		    s.sp - USER_BASE < 0x8000000)
			continue;
		vector = state_run(&s);
		if (!EXPECT(vector == 14 || vector == 13 || vector == 12 || vector == 6))
			print_format("code %u vector %u\n", i % 12, vector);
	}
}

/* Addresses of 32 bits wrap. */
static void test_address_size(void)
{
	static uint64_t word = 0x1122334455667788;

	msr_write(0xc0000101, (uintptr_t)&word);
	state_init(&s, load_32, false);
	s.bx = 0xdead00000000; /* ebx is 0 */
	EXPECT_EQ(state_run(&s), 6);
	EXPECT_EQ(s.ax, word);
	/* The base is added in 64 bits: 4 GiB behind it there is nothing. */
	msr_write(0xc0000101, AREA);
	state_init(&s, load_32, false);
	s.bx = 0xffffffff;
	EXPECT_EQ(state_run(&s), 14);
	EXPECT_EQ(cr2_read(), AREA + 0xffffffff);
	msr_write(0xc0000101, 0);
	/* Bases must be canonical. */
	EXPECT_EQ(TRAP_OF("mov $0x8000, %%edx; xor %%eax, %%eax; wrmsr", "c"(0xc0000101)), 13);
}

/* Jumps to where no code is. */
static void test_jumps(void)
{
	static const uint64_t targets[] = {0x800000000000,     0xffff7fffffffffff, 0x7fffffffffff,
					   0xffffffffffffffff, 0x8000000000000000, AREA,
					   0xffff800000000000, 0x7ffff7dd0000};

	for (unsigned int i = 0; i < 8; i++) {
		for (unsigned int user = 0; user < 2; user++) {
			unsigned int vector;

			state_init(&s, load_near, user);
			s.ip = targets[i];
			vector = state_run(&s);
			EXPECT(vector == (canonical(targets[i]) ? 14u : 13u));
		}
	}
	/* Devices and holes have no instructions: all ones is not a valid one, or a fault. */
	static const uint64_t places[] = {0xfee00000, 0xfec00000, 0xff000000, 0xfffffff0,
					  0xc0000000, 0xd0000000, 0x3ffffff0};

	for (unsigned int i = 0; i < 7; i++) {
		page_map(AREA, places[i] & ~0xfffull, P_PRESENT | P_WRITE);
		state_init(&s, load_near, false);
		s.ip = AREA + (places[i] & 0xfff);
		state_run(&s);
		EXPECT(s.vector < 32);
	}
	/* Page tables in devices and beyond all memory. */
	uint64_t *entry = page_entry(0, AREA + 0x200000, 1);

	for (unsigned int i = 0; i < 7; i++) {
		*entry = (places[i] & ~0xfffull) | 7;
		cr3_write(cr3_read());
		state_init(&s, load_near, false);
		s.bx = AREA + 0x200000, s.cx = 0;
		state_run(&s);
		EXPECT(s.vector == 14 || s.vector == 6);
	}
	*entry = 0;
	/* Data beyond the end of memory: all ones, and writes go nowhere. */
	page_map(AREA, 0x800000000, P_PRESENT | P_WRITE);
	EXPECT_EQ(*(volatile uint64_t *)AREA, ~0ull);
	*(volatile uint64_t *)AREA = 5;
	EXPECT_EQ(*(volatile uint64_t *)AREA, ~0ull);
	page_map(AREA, 0, 0);
}

static void test_stack_ends(void)
{
	static const uint64_t ends[] = {0,
					1,
					7,
					8,
					0x800000000000,
					0x800000000004,
					0xffff800000000000,
					0xffff800000000004,
					0xfffffffffffffffc};

	for (unsigned int i = 0; i < 9; i++) {
		state_init(&s, push_pop, true);
		s.sp = ends[i];
		state_run(&s);
		EXPECT(s.vector == 12 || s.vector == 14);
		EXPECT_EQ(s.sp, ends[i]);
		state_init(&s, call_self, true);
		s.sp = ends[i];
		state_run(&s);
		EXPECT(s.vector == 12 || s.vector == 14);
		EXPECT_EQ(s.sp, ends[i]);
	}
}

/* The kernel's pages stay out of the user's reach, hot in the kernel's TLB or not. */
static void test_kernel_from_user(void)
{
	static volatile uint64_t secret = 0x5ec2e7;

	for (unsigned int i = 0; i < 200; i++) {
		(void)secret;
		state_init(&s, i & 1 ? load_near : store_near, true);
		s.bx = (uintptr_t)&secret, s.cx = 0, s.ax = 0;
		EXPECT_EQ(state_run(&s), 14);
		EXPECT_EQ(s.error, i & 1 ? 5 : 7);
		EXPECT_EQ(s.ax, 0);
	}
	EXPECT_EQ(secret, 0x5ec2e7);
}

void test_main(void)
{
	system_init();
	/* Null, or iretq to CPL 3 would make them so, and their bases 0. */
	asm volatile("mov %0, %%fs; mov %0, %%gs" ::"r"(0));
	test_segment_bases(false);
	test_segment_bases(true);
	test_wild();
	test_address_size();
	test_jumps();
	test_stack_ends();
	test_kernel_from_user();
}
