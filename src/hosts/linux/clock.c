/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clocks. The TSC's frequency is what CPUID says, where a measurement agrees: leaf 15h (Intel SDM
 * volume 2), leaf 40000010h of a hypervisor (VMware's convention, which KVM and others follow),
 * leaf 16h. Otherwise it is what was measured.
 */
#include <cpuid.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <x86intrin.h>

#include "core/host.h"
#include "hosts/linux/internal.h"
#include "hosts/linux/linux.h"
#include "lib/checked.h"

#define NANOSECONDS UINT64_C(1000000000)
#define READINGS    64

/* Nanoseconds measured: so many times what it takes to read the clock, between these two. In 3 ms
 * (where the clock is read without asking the kernel) the error is below a millionth; it is made
 * by the clock's resolution, and by when within a reading it was read. */
#define MEASURE_FACTOR 80000
#define MEASURE_LEAST  UINT64_C(3000000)
#define MEASURE_MOST   UINT64_C(20000000)

struct reading {
	uint64_t tsc, raw;
	uint64_t cost; /* nanoseconds for reading the clock once */
};

static struct reading first;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic uint64_t frequency;
static const char *source;

static uint64_t clock_read(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * NANOSECONDS + (uint64_t)time.tv_nsec;
}

uint64_t host_now(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

uint64_t host_wall_clock(void)
{
	return clock_read(CLOCK_REALTIME);
}

uint64_t host_tsc(void)
{
	return __rdtsc();
}

/*
 * Both clocks at one moment. Of several tries those that took hardly longer than the shortest
 * count, so that interruptions don't; and of these the mean, which is finer than one of them.
 */
static struct reading read_both(void)
{
	uint64_t tsc[READINGS], raw[READINGS], width[READINGS];
	uint64_t least = UINT64_MAX, tsc_sum = 0, raw_sum = 0, count = 0;

	for (int i = 0; i < READINGS; i++) {
		tsc[i] = __rdtsc();
		raw[i] = clock_read(CLOCK_MONOTONIC_RAW);
		width[i] = __rdtsc() - tsc[i];
		if (width[i] < least)
			least = width[i];
	}
	for (int i = 0; i < READINGS; i++) {
		if (width[i] > least + least / 4)
			continue;
		tsc_sum += tsc[i] - tsc[0] + width[i] / 2;
		raw_sum += raw[i] - raw[0];
		count++;
	}
	return (struct reading){tsc[0] + tsc_sum / count, raw[0] + raw_sum / count,
				(raw[READINGS - 1] - raw[0]) / (READINGS - 1)};
}

void clock_begin(void)
{
	first = read_both();
}

/* From the first reading, which may be long ago, until now, or until it is enough. */
static uint64_t measure(void)
{
	struct reading last;
	uint64_t least;

	if (!first.raw)
		clock_begin();
	least = first.cost * MEASURE_FACTOR;
	least = least < MEASURE_LEAST ? MEASURE_LEAST : least > MEASURE_MOST ? MEASURE_MOST : least;
	while (clock_read(CLOCK_MONOTONIC_RAW) - first.raw < least)
		_mm_pause();
	last = read_both();
	return multiply_divide(last.tsc - first.tsc, NANOSECONDS, last.raw - first.raw);
}

static uint64_t leaf_15(void)
{
	unsigned denominator, numerator, crystal, d;

	if (!__get_cpuid_count(0x15, 0, &denominator, &numerator, &crystal, &d) || !denominator ||
	    !numerator)
		return 0;
	return (uint64_t)crystal * numerator / denominator;
}

static uint64_t leaf_16(void)
{
	unsigned megahertz, b, c, d;

	if (!__get_cpuid_count(0x16, 0, &megahertz, &b, &c, &d))
		return 0;
	return (megahertz & 0xffff) * UINT64_C(1000000);
}

static uint64_t leaf_40000010(void)
{
	unsigned a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 31))
		return 0;
	__cpuid(0x40000000, a, b, c, d);
	if (a < 0x40000010)
		return 0;
	__cpuid(0x40000010, a, b, c, d);
	return a * UINT64_C(1000);
}

/* Whether two frequencies differ by no more than so many millionths. */
static bool agree(uint64_t a, uint64_t b, uint64_t millionths)
{
	uint64_t difference = a > b ? a - b : b - a;

	return difference <= a / 1000000 * millionths;
}

static void find_frequency(void)
{
	/* Leaf 16h gives the processor's base frequency in whole MHz, which need not be the TSC's.
	 */
	const struct {
		uint64_t value;
		uint64_t millionths;
		const char *name;
	} candidates[] = {
		{leaf_15(), 1000, "CPUID leaf 15h"},
		{leaf_40000010(), 1000, "CPUID leaf 40000010h"},
		{leaf_16(), 100, "CPUID leaf 16h"},
	};
	uint64_t measured = measure();

	for (unsigned i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
		if (!candidates[i].value ||
		    !agree(measured, candidates[i].value, candidates[i].millionths))
			continue;
		source = candidates[i].name;
		frequency = candidates[i].value;
		return;
	}
	source = "measured";
	frequency = measured;
}

uint64_t host_tsc_frequency(void)
{
	uint64_t known = atomic_load_explicit(&frequency, memory_order_relaxed);

	if (known)
		return known;
	pthread_once(&once, find_frequency);
	return frequency;
}

const char *linux_tsc_source(void)
{
	host_tsc_frequency();
	return source;
}

bool linux_tsc_is_invariant(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1u << 8);
}
