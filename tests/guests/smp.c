/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several processors at once: start, atomic operations (Intel SDM volume 3, 8.1), ordering (8.2),
 * cross-modifying code (8.1.3), TLB shootdown (4.10.5), interrupts between them (10.6).
 *	lodge: --cpus 4
 */
#include "system.h"

#define AREA 0x8000000000ull
#define ALL  (P_PRESENT | P_WRITE | P_USER)

static unsigned int processors;
static void (*volatile job)(unsigned int index);
static volatile uint32_t job_number, jobs_done, ready;

static void add(volatile uint32_t *value, uint32_t by)
{
	asm volatile("lock addl %1, %0" : "+m"(*value) : "r"(by) : "memory");
}

static void wake(struct trap *trap)
{
	(void)trap;
	lapic_eoi();
}

static void serve(unsigned int index)
{
	uint32_t seen = 0;

	add(&ready, 1);
	for (;;) {
		/*
		 * Asleep, for there may be fewer processors below us than we are. Interrupts are
		 * off for the look, or the next job's would be taken between it and the hlt.
		 */
		asm volatile("cli" ::: "memory");
		while (job_number == seen)
			asm volatile("sti; hlt; cli" ::: "memory");
		asm volatile("sti");
		seen++;
		job(index);
		add(&jobs_done, 1);
	}
}

/*
 * Rounds that need others to answer take as long as those take to be scheduled, where processors
 * are shared: each job has about two seconds for as many of them as it can.
 */
static volatile uint64_t started;

static bool time_left(void)
{
	return tsc_read() - started < 5000000000;
}

/* Has all processors do it, this one too; false if one doesn't come back. */
static bool all_do(void (*work)(unsigned int index))
{
	jobs_done = 0;
	job = work;
	job_number++;
	lapic_command(0, 0xc4092);
	started = tsc_read();
	work(0);
	return EXPECT(wait_for(&jobs_done, processors - 1));
}

/* 8.1.2.2: locked operations, within a cache line, across lines, across pages. */
#define ROUNDS 20000
static uint8_t *area; /* two pages */
static volatile uint32_t lock_word, rounds_done;
static uint64_t unlocked_sum;

static void work_add(volatile void *at)
{
	unsigned int i;

	for (i = 0; i < ROUNDS / 5 && time_left(); i++) {
		uint64_t old, one = 1;

		asm volatile("lock incq (%0)" ::"r"(at) : "memory");
		asm volatile("lock xadd %0, (%1)" : "+r"(one) : "r"(at) : "memory");
		asm volatile("lock addq $1, (%0)" ::"r"(at) : "memory");
		asm volatile("mov (%1), %0\n"
			     "1: lea 1(%0), %%rdx\n"
			     "lock cmpxchg %%rdx, (%1)\n"
			     "jnz 1b"
			     : "=&a"(old)
			     : "r"(at)
			     : "rdx", "memory", "cc");
		asm volatile("lock subq $-1, (%0)" ::"r"(at) : "memory");
	}
	add(&rounds_done, i);
}

static volatile void *add_at;
static void work_add_at(unsigned int index)
{
	(void)index;
	work_add(add_at);
}

static void work_16(unsigned int index)
{
	(void)index;
	for (unsigned int i = 0; i < ROUNDS / 4; i++)
		asm volatile("mov (%0), %%rax; mov 8(%0), %%rdx\n"
			     "1: lea 1(%%rax), %%rbx; lea 2(%%rdx), %%rcx\n"
			     "lock cmpxchg16b (%0)\n"
			     "jnz 1b" ::"r"(area + 64)
			     : "rax", "rbx", "rcx", "rdx", "memory", "cc");
}

static void work_bits(unsigned int index)
{
	for (unsigned int i = 0; i < 2048; i++) {
		uint64_t bit = i * 4 + index;

		asm volatile("lock bts %0, (%1)" ::"r"(bit), "r"(area) : "memory", "cc");
	}
}

static void work_spin(unsigned int index)
{
	(void)index;
	for (unsigned int i = 0; i < ROUNDS / 4; i++) {
		uint32_t taken;

		do {
			taken = 1;
			asm volatile("xchg %0, %1" : "+r"(taken), "+m"(lock_word)::"memory");
			if (taken)
				pause();
		} while (taken);
		unlocked_sum++;
		asm volatile("movl $0, %0" : "=m"(lock_word)::"memory");
	}
}

static void test_atomic(void)
{
	static const unsigned int places[] = {0, 8, 60, 61, 4096 - 4, 4096 - 1, 4096 - 7, 1234};

	for (unsigned int i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		add_at = area + places[i];
		*(volatile uint64_t *)add_at = 0;
		rounds_done = 0;
		all_do(work_add_at);
		EXPECT_EQ(*(volatile uint64_t *)add_at, (uint64_t)rounds_done * 5);
	}
	((volatile uint64_t *)area)[8] = ((volatile uint64_t *)area)[9] = 0;
	all_do(work_16);
	EXPECT_EQ(((volatile uint64_t *)area)[8], (uint64_t)processors * (ROUNDS / 4));
	EXPECT_EQ(((volatile uint64_t *)area)[9], (uint64_t)processors * (ROUNDS / 4) * 2);
	for (unsigned int i = 0; i < 1024; i++)
		area[i] = 0;
	all_do(work_bits);
	for (unsigned int i = 0, wrong = 0; i < 1024; i++) {
		wrong += area[i] != 0xff;
		if (i == 1023)
			EXPECT_EQ(wrong, processors < 4);
	}
	unlocked_sum = 0;
	all_do(work_spin);
	EXPECT_EQ(unlocked_sum, (uint64_t)processors * (ROUNDS / 4));
}

/* 8.2.3.2, 8.2.3.3: stores aren't reordered with stores, nor loads with loads. */
#define MESSAGES 200000
static volatile uint64_t message[2] __attribute__((aligned(64)));
static volatile uint64_t flag __attribute__((aligned(64)));
static volatile uint32_t violations;

static void work_message(unsigned int index)
{
	if (index == 0) {
		for (uint64_t i = 1; i < MESSAGES && time_left(); i++) {
			message[0] = i;
			flag = i;
		}
		message[0] = MESSAGES;
		flag = MESSAGES;
	} else {
		uint64_t seen, got;

		do {
			seen = flag;
			asm volatile("" ::: "memory");
			got = message[0];
			if (got < seen)
				add(&violations, 1);
		} while (seen < MESSAGES);
	}
}

/* 8.2.3.4 with mfence between: not both may read 0. */
static volatile uint32_t dekker[2][64], dekker_saw[2][64], dekker_turn[2], dekker_end;

static void work_dekker(unsigned int index)
{
	if (index > 1)
		return;
	for (uint32_t round = 1; round <= 20000 && round != dekker_end; round++) {
		uint32_t slot = round % 64;

		/* Known to the other one before it gets to that round. */
		if (index == 0 && !dekker_end && !time_left())
			dekker_end = round + 2;
		dekker_turn[index] = round;
		while (dekker_turn[!index] < round)
			asm volatile("" ::: "memory");
		dekker[index][slot] = round;
		if (round & 1)
			asm volatile("mfence" ::: "memory");
		else
			asm volatile("lock orl $0, (%%rsp)" ::: "memory", "cc");
		dekker_saw[index][slot] = dekker[!index][slot];
		/* The other one's of the round before is complete by now. */
		if (index == 0 && round > 1) {
			uint32_t last = round - 1, at = last % 64;

			if (dekker_saw[0][at] != last && dekker_saw[1][at] != last)
				add(&violations, 1);
		}
	}
}

static void test_order(void)
{
	violations = 0;
	all_do(work_message);
	EXPECT_EQ(violations, 0);
	if (processors > 1)
		all_do(work_dekker);
	EXPECT_EQ(violations, 0);
}

/* 8.1.3: code that another processor has written, after serializing. */
static uint8_t *code_page;
static volatile uint32_t code_version, code_seen;

static void work_code(unsigned int index)
{
	if (index == 0) {
		for (uint32_t i = 1; i <= 2000 && time_left(); i++) {
			*(volatile uint32_t *)(code_page + 1) = i;
			code_seen = 0;
			code_version = i;
			if (!EXPECT(wait_for(&code_seen, processors - 1)))
				break;
		}
		code_version = ~0u;
	} else {
		for (uint32_t i = 1; i <= 2000; i++) {
			uint32_t got;

			if (!wait_for(&code_version, i) || code_version == ~0u)
				return;
			cpuid(0, 0);
			asm volatile("call *%1" : "=a"(got) : "r"(code_page) : "memory");
			if (got != i)
				add(&violations, 1);
			add(&code_seen, 1);
		}
	}
}

/* A loop over a page's word, whose mapping processor 0 changes: after the shootdown all see it. */
static volatile uint32_t shot;
static uint8_t *pages[2];

static void shootdown(struct trap *trap)
{
	(void)trap;
	page_invalidate(AREA);
	add(&shot, 1);
	lapic_eoi();
}

static volatile uint32_t map_version, last;

static void work_map(unsigned int index)
{
	if (index == 0) {
		for (uint32_t i = 1; i <= 500 && (time_left() || i & 1); i++) {
			last = i;
			page_map(AREA, (uintptr_t)pages[i & 1], ALL);
			shot = 0;
			lapic_command(0, 0xc4000 | 0x90); /* to all but self */
			if (!EXPECT(wait_for(&shot, processors - 1)))
				break;
			map_version = i;
		}
		map_version = 1000;
		return;
	}
	for (;;) {
		uint32_t before = map_version, value, after;

		value = *(volatile uint32_t *)AREA;
		after = map_version;
		if (after == 1000)
			break;
		/* Between i and i + 1 either is right. */
		if (before == after && before && value != (before & 1) && value != !(before & 1))
			add(&violations, 1);
		asm volatile("cli" ::: "memory"); /* no shootdown in here */
		before = map_version;
		uint32_t pending = shot;
		value = *(volatile uint32_t *)AREA;
		if (before && before < 500 && shot == pending && map_version == before &&
		    shot == processors - 1 && value != (before & 1) && value != ((before + 1) & 1))
			add(&violations, 1);
		asm volatile("sti" ::: "memory");
	}
	if (*(volatile uint32_t *)AREA != (last & 1))
		add(&violations, 1);
}

static void test_code_and_maps(void)
{
	violations = 0;
	code_page[0] = 0xb8;
	code_page[5] = 0xc3;
	code_version = 0;
	all_do(work_code);
	EXPECT_EQ(violations, 0);
	*(uint32_t *)pages[0] = 0, *(uint32_t *)pages[1] = 1;
	page_map(AREA, (uintptr_t)pages[0], ALL);
	trap_set(0x90, shootdown);
	all_do(work_map);
	EXPECT_EQ(violations, 0);
}

/* 10.6, 10.8: each one arrives when the one before has been taken. */
static volatile uint32_t arrived[PROCESSORS_MAX], nmis;

static void arrive(struct trap *trap)
{
	(void)trap;
	arrived[processor_index()]++;
	lapic_eoi();
}

static void take_nmi(struct trap *trap)
{
	(void)trap;
	add(&nmis, 1);
}

static volatile uint32_t round_over, sent;

static void work_wait(unsigned int index)
{
	if (index == 0) {
		for (uint32_t i = 1; i <= 100000 && time_left(); i++) {
			unsigned int to = 1 + i % (processors - 1);
			uint32_t before = arrived[to];

			sent = i;
			lapic_command(to, 0x91);
			if (!EXPECT(wait_for(&arrived[to], before + 1)))
				break;
		}
		round_over = 1;
		lapic_command(0, 0xc4091); /* wakes those in hlt */
		return;
	}
	/* Half of them sleep, half of them spin in user-like straight code. */
	while (!round_over) {
		if (index & 1) {
			asm volatile("cli");
			if (!round_over)
				asm volatile("sti; hlt");
			else
				asm volatile("sti");
		} else {
			for (unsigned int i = 0; i < 100; i++)
				asm volatile("" ::: "memory");
		}
	}
}

static void test_interrupts(void)
{
	uint64_t total = 0;

	trap_set(0x91, arrive);
	all_do(work_wait);
	for (unsigned int i = 1; i < processors; i++)
		total += arrived[i];
	EXPECT(total >= sent);
	print_format("%u interrupts sent, %u mappings shot down\n", sent, last);
	/* NMI to all but self. */
	trap_set(2, take_nmi);
	for (uint32_t i = 1; i <= 50; i++) {
		nmis = 0;
		lapic_command(0, 0xc4400);
		if (!EXPECT(wait_for(&nmis, processors - 1)))
			break;
	}
	/* To self, by shorthand. */
	arrived[0] = 0;
	asm volatile("sti");
	for (uint32_t i = 1; i <= 1000; i++) {
		lapic_command(0, 0x44091);
		if (!EXPECT(wait_for(&arrived[0], i)))
			break;
	}
	asm volatile("cli");
}

void test_main(void)
{
	uint8_t *pool[4];

	system_init();
	*(volatile uint64_t *)page_entry(0, LAPIC, 1) |= 0x10; /* no cache */
	for (unsigned int i = 0; i < 4; i++)
		pool[i] = page_new();
	area = pool[0]; /* pages of the pool lie one behind the other */
	code_page = page_new();
	pages[0] = page_new();
	pages[1] = page_new();
	trap_set(0x92, wake);
	processors = processors_start(serve);
	if (!EXPECT(wait_for(&ready, processors - 1)))
		return;
	if (processors == 1)
		guest_skip("one processor only");
	EXPECT_EQ(processors, 4);
	EXPECT_EQ(processor_index(), 0);
	test_atomic();
	test_order();
	test_code_and_maps();
	test_interrupts();
}
