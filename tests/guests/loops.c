/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Short loops that go through memory, which an engine may have several rounds of at once: they end
 * after any number of rounds, fault in any round, and rewrite themselves in any round, and
 *everything is as it would be after that many. Source: Intel SDM volume 3, 6.5 (faults), 8.1.3
 *(code that changes itself). lodge: --cpu-model max
 */
#include "system.h"

#define PAGE_SIZE 4096u
#define WORDS	  16u /* more than twice the rounds that an engine has at once */
#define HERE	  0x30000000ull
#define GUARD	  (HERE + PAGE_SIZE) /* is not there */

static uint64_t words[WORDS];

struct sums {
	uint64_t sum, left, place;
	uint8_t zero, carry;
};

/* Its counter ends it. */
static struct sums sum_up(const uint64_t *from, uint64_t count)
{
	struct sums sums = {.left = count, .place = (uintptr_t)from};

	asm volatile("1: addq (%[place]), %[sum]\n\t"
		     "leaq 8(%[place]), %[place]\n\t"
		     "decq %[left]\n\t"
		     "jnz 1b\n\t"
		     "setz %[zero]; setc %[carry]"
		     : [sum] "+r"(sums.sum), [place] "+r"(sums.place), [left] "+r"(sums.left),
		       [zero] "=qm"(sums.zero), [carry] "=qm"(sums.carry)
		     :
		     : "memory", "cc");
	return sums;
}

static void ends_after_any_round(void)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < WORDS; i++) {
		struct sums sums;

		words[i] =
			i % 3 == 1 ? ~0ull : 1ull << i; /* the last sum carries, or it does not */
		sum += words[i];
		sums = sum_up(words, i + 1);
		EXPECT_EQ(sums.sum, sum);
		EXPECT_EQ(sums.left, 0);
		EXPECT_EQ(sums.place, (uintptr_t)&words[i + 1]);
		EXPECT_EQ(sums.zero, 1);
		EXPECT_EQ(sums.carry, sum < words[i]);
	}
}

/* What it finds ends it, with flags that are read behind it. */
static void finds_in_any_round(void)
{
	for (unsigned int i = 0; i < WORDS; i++) {
		const uint64_t *place = words;
		uint8_t above, sign;

		for (unsigned int j = 0; j < WORDS; j++)
			words[j] = j < i ? 7 : i % 2 ? 3 : 9;
		asm volatile("1: cmpq $7, (%[place])\n\t"
			     "leaq 8(%[place]), %[place]\n\t"
			     "je 1b\n\t"
			     "seta %[above]; sets %[sign]"
			     : [place] "+r"(place), [above] "=qm"(above), [sign] "=qm"(sign)
			     :
			     : "memory", "cc");
		EXPECT_EQ((uintptr_t)place, (uintptr_t)&words[i + 1]);
		EXPECT_EQ(above, i % 2 == 0);
		EXPECT_EQ(sign, i % 2);
	}
}

/* A carry that goes from round to round. */
static void carries_through_all_rounds(void)
{
	for (unsigned int count = 1; count <= WORDS; count++) {
		uint64_t left = count, carry;
		uint64_t *place = words;

		for (unsigned int i = 0; i < WORDS; i++)
			words[i] = ~0ull;
		asm volatile("stc\n"
			     "1: adcq $0, (%[place])\n\t"
			     "leaq 8(%[place]), %[place]\n\t"
			     "decq %[left]\n\t"
			     "jnz 1b\n\t"
			     "sbbq %[carry], %[carry]"
			     : [place] "+r"(place), [left] "+r"(left), [carry] "=r"(carry)
			     :
			     : "memory", "cc");
		EXPECT_EQ(carry, ~0ull);
		for (unsigned int i = 0; i < WORDS; i++)
			EXPECT_EQ(words[i], i < count ? 0 : ~0ull);
	}
}

static struct trap fault;
extern const uint8_t loop_reads[], loop_writes[], loop_left[];

static void note_fault(struct trap *trap)
{
	fault = *trap;
	trap->ip = (uintptr_t)loop_left;
}

static void fill(uint64_t from, uint64_t number)
{
	asm volatile(".globl loop_reads, loop_writes, loop_left\n\t"
		     "xorl %%ecx, %%ecx; xorl %%edx, %%edx\n"
		     "1:\n"
		     "loop_reads: addq (%%rsi), %%rdx\n\t"
		     "incq %%rcx\n"
		     "loop_writes: movq %%rdi, 8(%%rsi)\n\t"
		     "addq $8, %%rsi\n\t"
		     "cmpq $0, %%rcx\n\t"
		     "jne 1b\n"
		     "loop_left:"
		     : "+S"(from)
		     : "D"(number)
		     : "rcx", "rdx", "memory", "cc");
}

/* The store is 8 bytes before the load, so it faults first, but for the first time. */
static void faults_in_any_round(void)
{
	trap_set(14, note_fault);
	for (unsigned int i = 1; i <= WORDS; i++) {
		volatile uint64_t *first = (volatile uint64_t *)(GUARD - 8ull * i);

		*first = 5;
		fill((uintptr_t)first, 11);
		EXPECT_EQ(fault.ip, (uintptr_t)loop_writes);
		EXPECT_EQ(fault.cx, i);
		EXPECT_EQ(fault.dx, 5 + 11 * (i - 1));
		EXPECT_EQ(fault.si, GUARD - 8);
		for (unsigned int j = 1; j < i; j++)
			EXPECT_EQ(first[j], 11);
	}
	fill(GUARD, 11);
	EXPECT_EQ(fault.ip, (uintptr_t)loop_reads);
	EXPECT_EQ(fault.cx, 0);
	EXPECT_EQ(fault.si, GUARD);
	trap_set(14, NULL);
}

/*
 * It stores bl to where rsi leads, which is in round `when` the immediate of its mov; before that
 * behind the loop, afterwards before it.
 */
#define DOWN 32
static uint64_t rewrite(uint8_t *code, unsigned int when, unsigned int count)
{
	static const uint8_t loop[] = {
		0xb8, 1,    0,	  0,	0, /* 1: mov eax, 1 */
		0x48, 0x01, 0xc2,	   /* add rdx, rax */
		0x88, 0x1e,		   /* mov [rsi], bl */
		0x48, 0x83, 0xee, DOWN,	   /* sub rsi, DOWN */
		0xff, 0xc9,		   /* dec ecx */
		0x75, 0xee,		   /* jnz 1b */
		0xc3,			   /* ret */
	};
	_Static_assert(sizeof(loop) < DOWN, "other rounds leave it alone");
	uint64_t sum = 0, place = (uintptr_t)code + 1 + (uint64_t)DOWN * when;

	for (unsigned int i = 0; i < sizeof(loop); i++)
		code[i] = loop[i];
	asm volatile("call *%[code]"
		     : "+d"(sum), "+S"(place), "+c"(count)
		     : [code] "r"(code), "b"(100)
		     : "rax", "memory", "cc");
	return sum;
}

static void rewrites_itself_in_any_round(void)
{
	static uint8_t code[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

	for (unsigned int when = 0; when < WORDS; when++) {
		uint64_t sum = rewrite(code + 1024, when, WORDS);

		EXPECT_EQ(sum, (when + 1) + 100 * (WORDS - 1 - when));
	}
}

/* Reads a word of a page after another, by `by` bytes apart. by: in code, as a constant. */
#define STRIDE(by)                                                                                 \
	asm volatile("1: addq (%[place]), %[sum]\n\t"                                              \
		     "addq $" #by ", %[place]\n\t"                                                 \
		     "decl %[left]\n\t"                                                            \
		     "jnz 1b"                                                                      \
		     : [sum] "+r"(sum), [place] "+r"(place), [left] "+r"(left)                     \
		     :                                                                             \
		     : "memory", "cc")
static const int64_t strides[] = {0x1000, 0x3ff00, 0x55000, 0x123000, -0x1000, -0x77000};

/* Half of them are below 2 GiB, half above: no one piece of an engine's address space has them all.
 */
static void strides_lead_anywhere(void)
{
	uint8_t *page = page_new();

	for (unsigned int i = 0; i < PAGE_SIZE / 8; i++)
		((uint64_t *)page)[i] = 3 * i + 1;
	for (unsigned int i = 0; i < sizeof(strides) / sizeof(strides[0]); i++) {
		uint64_t first = 0x80000000ull - (uint64_t)strides[i] * (WORDS / 2), place = first;
		uint64_t sum = 0, wanted = 0;
		uint32_t left = WORDS;

		for (unsigned int j = 0; j < WORDS; j++) {
			uint64_t at = first + (uint64_t)strides[i] * j;

			*page_entry(0, at, 1) = 0;
			wanted += 3 * (at % PAGE_SIZE / 8) + 1;
		}
		for (unsigned int j = 0; j < WORDS; j++)
			page_map(first + (uint64_t)strides[i] * j, (uintptr_t)page, P_PRESENT);
		switch (i) {
		case 0:
			STRIDE(0x1000);
			break;
		case 1:
			STRIDE(0x3ff00);
			break;
		case 2:
			STRIDE(0x55000);
			break;
		case 3:
			STRIDE(0x123000);
			break;
		case 4:
			STRIDE(-0x1000);
			break;
		default:
			STRIDE(-0x77000);
			break;
		}
		EXPECT_EQ(sum, wanted);
		EXPECT_EQ(place, first + (uint64_t)strides[i] * WORDS);
	}
}

void test_main(void)
{
	system_init();
	*page_entry(0, HERE, 1) = 0;
	page_map(HERE, (uintptr_t)page_new(), P_PRESENT | P_WRITE);
	page_map(GUARD, 0, 0);
	ends_after_any_round();
	finds_in_any_round();
	carries_through_all_rounds();
	faults_in_any_round();
	rewrites_itself_in_any_round();
	strides_lead_anywhere();
}
