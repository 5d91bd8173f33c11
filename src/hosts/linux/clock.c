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

#define NANOSECONDS   UINT64_C(1000000000)
#define MEASURE_CHECK UINT64_C(3000000)	 /* ns measured where CPUID has a figure to be checked */
#define MEASURE_ALONE UINT64_C(20000000) /* ns measured where there is none */
#define READINGS      16

struct reading {
	uint64_t tsc, raw;
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

/* Both clocks at one moment: of several tries the one that took least, so that an interruption does
 * not count. */
static struct reading read_both(void)
{
	struct reading best = {0, 0};
	uint64_t best_width = UINT64_MAX;

	for (int i = 0; i < READINGS; i++) {
		uint64_t before = __rdtsc(), raw = clock_read(CLOCK_MONOTONIC_RAW),
			 width = __rdtsc() - before;

		if (width < best_width) {
			best_width = width;
			best = (struct reading){before + width / 2, raw};
		}
	}
	return best;
}

void clock_begin(void)
{
	first = read_both();
}

/* Over at least so long a time since the first reading. */
static uint64_t measure(uint64_t nanoseconds)
{
	struct reading last;

	if (!first.raw)
		clock_begin();
	while (clock_read(CLOCK_MONOTONIC_RAW) - first.raw < nanoseconds)
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
	uint64_t measured = 0;

	for (unsigned i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
		if (!candidates[i].value)
			continue;
		if (!measured)
			measured = measure(MEASURE_CHECK);
		if (!agree(measured, candidates[i].value, candidates[i].millionths))
			continue;
		source = candidates[i].name;
		frequency = candidates[i].value;
		return;
	}
	source = "measured";
	frequency = measure(MEASURE_ALONE);
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
