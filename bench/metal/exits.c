/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What leaving the guest costs, in instructions: runs under QEMU's -icount shift=0, where the TSC
 * counts the instructions of all that runs on the computer. Prints lines `NAME LEAST MEDIAN`; what
 * the measuring itself takes (two rdtsc behind each other) has been taken off. With two processors,
 * of one real one, also what it takes to wake the other and be woken by it.
 */
#include "system.h"

#define TIMES	 1001
#define WARM	 50
#define TOUCHED	 32
#define VECTOR	 0x50
#define X2APIC	 (1 << 21)
#define APIC_MSR 0x800
#define EOI	 (APIC_MSR + 0xb)
#define ICR	 (APIC_MSR + 0x30)
#define SELF	 (APIC_MSR + 0x3f)

static uint32_t samples[TIMES];
static uint32_t overhead;
static volatile uint64_t taken_at, ended_at;
static volatile uint32_t taken, answered;

static inline uint64_t count(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
	return (uint64_t)high << 32 | low;
}

static void sort(unsigned int n)
{
	for (unsigned int i = 1; i < n; i++)
		for (unsigned int j = i; j && samples[j - 1] > samples[j]; j--) {
			uint32_t swapped = samples[j];

			samples[j] = samples[j - 1];
			samples[j - 1] = swapped;
		}
}

static void report(const char *name, unsigned int n)
{
	sort(n);
	print_format("result %s %u %u\n", name, samples[0] - overhead, samples[n / 2] - overhead);
}

/* A statement, TIMES times, warm. */
#define MEASURE(name, statement)                                                                   \
	do {                                                                                       \
		for (unsigned int i = 0; i < TIMES + WARM; i++) {                                  \
			uint64_t start = count(), end;                                             \
                                                                                                   \
			statement;                                                                 \
			end = count();                                                             \
			if (i >= WARM)                                                             \
				samples[i - WARM] = (uint32_t)(end - start);                       \
		}                                                                                  \
		report(name, TIMES);                                                               \
	} while (0)

static void calibrate(void)
{
	for (unsigned int i = 0; i < TIMES; i++) {
		uint64_t start = count();

		samples[i] = (uint32_t)(count() - start);
	}
	sort(TIMES);
	overhead = samples[0];
}

static void take(struct trap *trap)
{
	uint64_t start = count();

	(void)trap;
	taken_at = start;
	msr_write(EOI, 0);
	ended_at = count();
	taken++;
}

/* An interrupt to oneself: the message, and its taking; and then the end of it. */
static void measure_interrupt(void)
{
	static uint32_t ends[TIMES];

	for (unsigned int i = 0; i < TIMES + WARM; i++) {
		uint64_t start = count();

		msr_write(SELF, VECTOR);
		asm volatile("sti; nop; cli" ::: "memory");
		if (i < WARM)
			continue;
		samples[i - WARM] = (uint32_t)(taken_at - start);
		ends[i - WARM] = (uint32_t)(ended_at - taken_at);
	}
	report("self-ipi-taken", TIMES);
	for (unsigned int i = 0; i < TIMES; i++)
		samples[i] = ends[i];
	report("end-of-interrupt", TIMES);
}

/* The first touch of 2 MiB of RAM: behind all that this program uses. */
static void measure_touch(void)
{
	for (unsigned int i = 0; i < TOUCHED; i++) {
		volatile uint64_t *word = (volatile uint64_t *)(0x8000000ull + i * 0x200000ull);
		uint64_t start = count();

		*word = 1;
		samples[i] = (uint32_t)(count() - start);
	}
	report("first-touch-of-2-mib", TOUCHED);
}

/* The other processor: answers each interrupt with one. */
static void answer(unsigned int index)
{
	uint32_t seen = 0;

	(void)index;
	msr_write(0x1b, msr_read(0x1b) | 1 << 10);
	msr_write(APIC_MSR + 0xf, 0x1ff);
	for (;;) {
		answered++;
		while (taken == seen)
			asm volatile("sti; hlt; cli" ::: "memory");
		seen = taken + 1;
		msr_write(ICR, VECTOR);
	}
}

/* And what the sending of one takes by itself, while the other one sleeps. */
static void measure_round_trip(void)
{
	static uint32_t sends[TIMES];

	for (unsigned int i = 0; i < TIMES; i++) {
		uint64_t start = count();
		uint32_t before = taken;

		msr_write(ICR, 1ull << 32 | VECTOR);
		sends[i] = (uint32_t)(count() - start);
		while (taken < before + 2)
			asm volatile("sti; hlt; cli" ::: "memory");
		samples[i] = (uint32_t)(count() - start);
	}
	report("ipi-and-answer", TIMES);
	for (unsigned int i = 0; i < TIMES; i++)
		samples[i] = sends[i];
	report("ipi-to-a-sleeper", TIMES);
}

void test_main(void)
{
	bool two;

	if (!(cpuid(1, 0).c & X2APIC))
		guest_skip("no x2APIC");
	system_init();
	trap_set(VECTOR, take);
	out8(0x21, 0xff), out8(0xa1, 0xff);
	calibrate();
	two = processors_start(answer) > 1;
	while (two && !answered)
		pause();
	msr_write(0x1b, msr_read(0x1b) | 1 << 10);
	msr_write(APIC_MSR + 0xf, 0x1ff);
	if (two) {
		measure_round_trip();
		return;
	}
	MEASURE("cpuid", cpuid(0, 0));
	MEASURE("msr", msr_read(0x1b));
	MEASURE("x2apic-read", msr_read(APIC_MSR + 2));
	MEASURE("tsc-deadline", msr_write(0x6e0, ~0ull >> 1));
	msr_write(0x6e0, 0);
	MEASURE("ipi-by-icr", msr_write(ICR, 1 << 18 | VECTOR));
	MEASURE("ipi-by-self", msr_write(SELF, VECTOR));
	asm volatile("sti; nop; cli");
	measure_interrupt();
	MEASURE("port-to-process", out8(0x80, 1));
	MEASURE("memory-to-process", *(volatile uint32_t *)0xfec00000);
	measure_touch();
}
