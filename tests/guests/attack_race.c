/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * User code on one processor uses a page without pause, by all means, while another takes it
 * away: unmapped, made the kernel's, made read-only, or replaced by another one. When the first
 * has answered the shootdown, the page is given something secret: nobody may read it, nor write
 * to it, from then on. Then the same with pages of code. Source: Intel SDM volume 3, 4.10.5.
 *	lodge: --cpus 2 --cpu-model max
 */
#include "system.h"

#define VICTIM	     0x7f1234567000ull
#define PUBLIC	     0x1111111111111111ull
#define SECRET	     0x5ec2e75ec2e75ec2ull
#define OF_ATTACKER  0xbadbadbadbadbad0ull
#define FORBIDDEN    0xbad0000u
#define USER_ALL     (P_PRESENT | P_WRITE | P_USER)
#define PATIENCE     2000000000ull /* TSC ticks for each kind of attack */
#define ROUNDS	     4000u
#define ROUNDS_LEAST 4u /* however busy the host is */
#define KINDS	     3u
#define ATTACKERS    1u

/*
 * rbx: the page; rbp: what nobody may see; r12: what is stored; r13: where to say that it was seen;
 * r14: counts rounds; r8: a page of the attacker's own.
 */
#define SEEN "cmp %rbp, %rax; jne 2f; movq $1, (%r13); 2:\n"
CODE(plain, "1: mov (%rbx), %rax\n" SEEN "mov %r12, 8(%rbx)\n"
	    "movups 1024(%rbx), %xmm0; movq %xmm0, %rax\n" SEEN
	    "lock xadd %rdx, 64(%rbx); xor %ecx, %ecx; mov 72(%rbx,%rcx,8), %rax\n" SEEN
	    "movq %r12, %xmm1; movups %xmm1, 2048(%rbx); mov %r12d, 4092(%rbx)\n"
	    "incq (%r14); jmp 1b");
CODE(implied,
     "1: mov %rbx, %rdi; mov $40, %ecx; mov %r12, %rax; rep stosq\n"
     "lea 2048(%rbx), %rsi; mov %r8, %rdi; mov $40, %ecx; rep movsq; mov (%r8), %rax\n" SEEN
     "lea 1024(%rbx), %rsp; push %r12; push %r12; push %r12; pop %rax\n" SEEN
     "mov $1500, %ecx; bts %rcx, (%rbx); lea 3000(%rbx), %rsp; pop %rax\n" SEEN
     "incq (%r14); jmp 1b");
/* The page's function returns its number in eax. */
CODE(execute, "1: call *%rbx; mov %rax, (%r13); incq (%r14); jmp 1b");

static const uint8_t *const attacks[KINDS] = {plain, implied, execute};

static volatile uint32_t acknowledged, ready;
static volatile uint64_t counts[PROCESSORS_MAX], seen[PROCESSORS_MAX], faults;
static volatile uint32_t kind;
static uint64_t own[PROCESSORS_MAX][512] __attribute__((aligned(4096)));
static uint64_t *pool[8];

static void add(volatile uint32_t *value, uint32_t by)
{
	asm volatile("lock addl %1, %0" : "+m"(*value) : "r"(by) : "memory");
}

/* Sends an attacker into the attack of the day, whatever it was doing. */
static void start_attack(struct trap *trap)
{
	unsigned int index = processor_index();

	*trap = (struct trap){.ip = user_alias(attacks[kind]),
			      .cs = USER_64,
			      .ss = USER_DATA,
			      .flags = 0x202,
			      .sp = user_alias(own[index] + 512),
			      .bx = VICTIM,
			      .bp = kind == 2 ? 0 : SECRET,
			      .r12 = OF_ATTACKER,
			      .r13 = user_alias(&seen[index]),
			      .r14 = user_alias(&counts[index]),
			      .r8 = user_alias(own[index])};
	lapic_eoi();
	add(&ready, 1);
}

static void shoot(struct trap *trap)
{
	(void)trap;
	if (acknowledged & 1)
		page_invalidate(VICTIM);
	else
		cr3_write(cr3_read());
	add(&acknowledged, 2);
	lapic_eoi();
}

/* The attacker tries again, until the page is there again. */
static void fault(struct trap *trap)
{
	if ((trap->cs & 3) != 3 || cr2_read() - VICTIM >= 4096) {
		print_format("#PF at 0x%lx for 0x%lx, error 0x%lx\n", trap->ip, cr2_read(),
			     trap->error);
		EXPECT(!"a fault that nobody expects");
		guest_end();
	}
	faults++;
}

static void wait_here(unsigned int index)
{
	(void)index;
	asm volatile("mov %0, %%fs; mov %0, %%gs" ::"r"(0));
	add(&ready, 1);
	for (;;)
		asm volatile("sti; hlt" ::: "memory");
}

static void fill(uint64_t *page, uint64_t value)
{
	asm volatile("rep stosq" ::"D"(page), "a"(value), "c"(512) : "memory");
}

static bool is_all(const uint64_t *page, uint64_t value)
{
	uint64_t count = 512;
	bool same;

	asm volatile("repe scasq" : "+D"(page), "+c"(count), "=@ccz"(same) : "a"(value) : "memory");
	return same;
}

/* False after ten seconds. */
static bool shoot_down(unsigned int round)
{
	acknowledged = round & 1;
	lapic_command(0, 0xc4090);
	page_invalidate(VICTIM);
	return EXPECT(wait_for(&acknowledged, 2 * ATTACKERS));
}

static void delay(uint64_t ticks)
{
	uint64_t start = tsc_read();

	while (tsc_read() - start < ticks)
		pause();
}

/* All have gone round once more; or, where they may not get so far, some time has passed. */
static void let_them(bool free)
{
	uint64_t before[ATTACKERS], start = tsc_read();

	for (unsigned int i = 0; i < ATTACKERS; i++)
		before[i] = counts[i + 1];
	for (unsigned int i = 0; free && i < ATTACKERS; i++)
		while (counts[i + 1] == before[i] && tsc_read() - start < 100000000)
			pause();
	delay(5000);
}

static void map(const void *page, uint64_t bits)
{
	*(volatile uint64_t *)page_entry(0, VICTIM, 0) = (uintptr_t)page | bits;
}

static bool attack_data(unsigned int round)
{
	static const uint64_t rights[] = {0, P_PRESENT | P_WRITE, P_PRESENT | P_USER, USER_ALL};
	uint64_t *page = pool[round % 8], *other = pool[(round + 1) % 8];
	unsigned int how = round / 2 % 4;
	uint64_t after = how == 2 ? PUBLIC : SECRET;

	fill(page, PUBLIC);
	fill(other, PUBLIC);
	map(page, USER_ALL);
	if (!shoot_down(round))
		return false;
	let_them(true);
	map(how == 3 ? other : page, rights[how]);
	if (!shoot_down(round))
		return false;
	fill(page, after); /* read-only: only to be seen */
	let_them(how == 3);
	if (!EXPECT(is_all(page, after)))
		print_format("round %u: written after the shootdown, way %u\n", round, how);
	if (!EXPECT(!seen[1] && !seen[ATTACKERS]))
		print_format("round %u: read after the shootdown, way %u\n", round, how);
	seen[1] = seen[ATTACKERS] = 0;
	fill(page, 0);
	return true;
}

/* mov $number, %eax; ret */
static void write_code(uint64_t *page, uint32_t number)
{
	uint8_t *code = (uint8_t *)page;

	code[0] = 0xb8;
	*(uint32_t *)(code + 1) = number;
	code[5] = 0xc3;
}

static bool attack_code(unsigned int round)
{
	uint64_t *page = pool[round % 8];

	write_code(page, round + 1);
	map(page, P_PRESENT | P_USER);
	if (!shoot_down(round))
		return false;
	for (unsigned int i = 1; i <= ATTACKERS; i++) {
		uint64_t before = counts[i], start = tsc_read();

		/* Twice round: the first may have been under way. */
		while (counts[i] - before < 2 && tsc_read() - start < 30000000000)
			pause();
		EXPECT(counts[i] - before >= 2);
		EXPECT_EQ(seen[i], round + 1);
	}
	/* Gone, not executable, or the kernel's: nobody comes round any more. */
	map(page, round % 3 == 0 ? 0 : P_PRESENT | (round % 3 == 1 ? P_USER | P_NX : 0));
	if (!shoot_down(round))
		return false;
	write_code(page, FORBIDDEN);
	delay(5000);
	EXPECT(seen[1] != FORBIDDEN && seen[ATTACKERS] != FORBIDDEN);
	return true;
}

void test_main(void)
{
	system_init();
	trap_set(14, fault);
	trap_set(0x90, shoot);
	trap_set(0x91, start_attack);
	for (unsigned int i = 0; i < 8; i++)
		pool[i] = page_new();
	*page_entry(0, VICTIM, 0) = 0;
	EXPECT_EQ(processors_start(wait_here), 1 + ATTACKERS);
	EXPECT(wait_for(&ready, ATTACKERS));
	for (unsigned int k = 0; k < KINDS; k++) {
		uint64_t start = tsc_read(), faults_before = faults;
		unsigned int round = 0;

		seen[1] = seen[ATTACKERS] = 0;
		kind = k;
		ready = 0;
		map(NULL, 0);
		if (!shoot_down(0))
			return;
		lapic_command(0, 0xc4091);
		if (!EXPECT(wait_for(&ready, ATTACKERS)))
			return;
		while (round < ROUNDS_LEAST || (round < ROUNDS && tsc_read() - start < PATIENCE))
			if (!(k == 2 ? attack_code : attack_data)(round++))
				return;
		print_format("attack %u: %u rounds, %lu faults\n", k, round,
			     faults - faults_before);
		EXPECT(faults != faults_before);
	}
}
