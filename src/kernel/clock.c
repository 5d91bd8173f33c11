/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clock is the TSC. How fast it is a hypervisor below us may tell (CPUID leaf 40000010h; AMD's
 * processors have no such leaf of their own); else it is compared for 10 ms with a counter
 * whose speed is known: the HPET (IA-PC HPET Specification 1.0a, section 2.3), ACPI's timer
 * (ACPI 6.5, section 4.8.3.3) or the 8254.
 */
#include "kernel/clock.h"

#include <stddef.h>

#include "kernel/acpi.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/port.h"
#include "kernel/register.h"
#include "lib/bits.h"
#include "lib/checked.h"

#define SECOND UINT64_C(1000000000)

struct clock kernel_clock;

/* A counter to compare with. */
struct reference {
	const char *name;
	uint64_t (*read)(void);
	uint64_t frequency; /* Hz */
	uint64_t mask;	    /* it wraps behind this */
};

/* HPET */

#define HPET_CAPABILITIES  0x00
#define HPET_CONFIGURATION 0x10
#define HPET_COUNTER	   0xf0
#define FEMTOSECONDS	   UINT64_C(1000000000000000)

static volatile uint8_t *hpet;

/* Halves: not every one takes accesses of 64 bits. */
static uint64_t hpet_read(void)
{
	return *(volatile uint32_t *)(hpet + HPET_COUNTER);
}

static bool hpet_find(struct reference *reference)
{
	uint32_t period;

	if (!acpi_information.hpet)
		return false;
	hpet = device_map(pa(acpi_information.hpet), 0x400);
	if (!hpet)
		return false;
	period = *(volatile uint32_t *)(hpet + HPET_CAPABILITIES + 4);
	/* At least 10 MHz, the specification says; 0 and all ones are no HPET. */
	if (!period || period > 100000000)
		return false;
	*(volatile uint32_t *)(hpet + HPET_CONFIGURATION) |= 1;
	*reference = (struct reference){"HPET", hpet_read, FEMTOSECONDS / period, UINT32_MAX};
	return true;
}

/* ACPI's timer */

static uint64_t pm_read(void)
{
	return port_read32(acpi_information.pm_timer);
}

static bool pm_find(struct reference *reference)
{
	if (!acpi_information.pm_timer)
		return false;
	/* As if of 24 bits, whatever it has: enough for the purpose. */
	*reference = (struct reference){"ACPI timer", pm_read, 3579545, 0xffffff};
	return true;
}

/* 8254, its channel 2, which counts down */

static uint64_t pit_read(void)
{
	uint32_t count;

	port_write8(0x43, 0x80);
	count = port_read8(0x42);
	count |= (uint32_t)port_read8(0x42) << 8;
	return 0xffff - count;
}

static void pit_find(struct reference *reference)
{
	port_write8(0x61, (port_read8(0x61) & ~2) | 1);
	port_write8(0x43, 0xb0);
	port_write8(0x42, 0xff);
	port_write8(0x42, 0xff);
	*reference = (struct reference){"8254", pit_read, 1193182, 0xffff};
}

/* Both counters at one time, as nearly as can be: of five tries the quickest. */
static void sample(const struct reference *reference, uint64_t *tsc, uint64_t *count)
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < 5; i++) {
		uint64_t before = clock_tsc(), there = reference->read(), after = clock_tsc();

		if (after - before < best) {
			best = after - before;
			*tsc = before + best / 2;
			*count = there;
		}
	}
}

static uint64_t measure(const struct reference *reference)
{
	uint64_t tsc, count, end_tsc, end_count;

	sample(reference, &tsc, &count);
	while (((reference->read() - count) & reference->mask) < reference->frequency / 100)
		__builtin_ia32_pause();
	sample(reference, &end_tsc, &end_count);
	return multiply_divide(end_tsc - tsc, reference->frequency,
			       (end_count - count) & reference->mask);
}

/* What a hypervisor below us tells, in Hz, or 0. */
static uint64_t ask(void)
{
	uint32_t r[4];

	cpuid_read(1, 0, r);
	if (!(r[2] >> 31))
		return 0;
	cpuid_read(0x40000000, 0, r);
	if (r[0] < 0x40000010 || r[0] >= 0x40010000)
		return 0;
	cpuid_read(0x40000010, 0, r);
	return r[0] * UINT64_C(1000);
}

void clock_init(void)
{
	struct reference reference;
	const char *source = "CPUID";
	uint64_t frequency = ask(), zero;

	if (!frequency) {
		if (!hpet_find(&reference) && !pm_find(&reference))
			pit_find(&reference);
		frequency = measure(&reference);
		source = reference.name;
	}
	/* Slower than any processor there is (and the multiplier has room for): the counter was
	 * none. */
	if (frequency < 10000000)
		panic(NULL, "the clock can't be set by the %s", source);
	zero = clock_tsc();
	kernel_clock = (struct clock){
		.tsc_frequency = frequency,
		.tsc_zero = zero,
		.wall_zero = cmos_seconds(acpi_information.century) * SECOND,
		.multiplier = multiply_divide(SECOND, UINT64_C(1) << CLOCK_SHIFT, frequency),
	};
	log_line("TSC: %llu.%03llu MHz by %s", (unsigned long long)(frequency / 1000000),
		 (unsigned long long)(frequency / 1000 % 1000), source);
}

uint64_t clock_now(void)
{
	return clock_nanoseconds(clock_tsc() - kernel_clock.tsc_zero);
}

uint64_t clock_tsc_at(uint64_t nanoseconds)
{
	uint64_t ticks = multiply_divide(nanoseconds, kernel_clock.tsc_frequency, SECOND);

	/* Two more, so that clock_now(), which rounds down twice, is not below it then. */
	return ticks > UINT64_MAX - kernel_clock.tsc_zero - 2 ? UINT64_MAX
							      : kernel_clock.tsc_zero + ticks + 2;
}

void clock_delay(uint64_t nanoseconds)
{
	uint64_t end = clock_now() + nanoseconds;

	while (clock_now() < end)
		__builtin_ia32_pause();
}
