/* SPDX-License-Identifier: BSD-2-Clause */
/* Time: one clock for all processors, and timers of each. */
#ifndef KERNEL_CLOCK_H
#define KERNEL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct cpu;

/* The TSC's speed, in Hz, and its value when the clock was 0; the wall clock then, ns since 1970.
 */
struct clock {
	uint64_t tsc_frequency, tsc_zero, wall_zero;
	uint64_t multiplier; /* ns = ticks * multiplier >> CLOCK_SHIFT; 0: it does not run yet */
};
#define CLOCK_SHIFT 56
extern struct clock kernel_clock;

static inline uint64_t clock_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

/* So many ticks of the TSC in nanoseconds. */
static inline uint64_t clock_nanoseconds(uint64_t ticks)
{
	return (uint64_t)((unsigned __int128)ticks * kernel_clock.multiplier >> CLOCK_SHIFT);
}

/* Starts the clock, at 0. The computer's tables must have been read (acpi.h). */
void clock_init(void);

/* Nanoseconds of a clock that never goes back. Any processor. */
uint64_t clock_now(void);

/* The TSC when clock_now() will be (or was) so much. */
uint64_t clock_tsc_at(uint64_t nanoseconds);

/* Busy, at least so long. */
void clock_delay(uint64_t nanoseconds);

/*
 * A call at a time, on the processor that set it, in its interrupt (interrupts off; no lock held
 * but what the interrupted code held, which is none: the kernel is never interrupted). One that is
 * due is called once. Set and cancelled on any processor (but not set by two at once: the caller
 * has a lock for that, or only one thread does it): the timer remembers whose it is; a timer that
 * is just being called on another processor may still run once after timer_cancel returned, unless
 * timer_cancel_wait is used (no lock may be held then that the call takes).
 */
struct timer {
	uint64_t deadline; /* clock_now() time; TIMER_NEVER: not set */
	void (*call)(struct timer *timer);
	struct cpu *cpu;
	struct timer *parent, *left, *right; /* in its heap */
};
#define TIMER_NEVER UINT64_MAX

void timer_init(struct timer *timer, void (*call)(struct timer *timer));
/* On this processor, in place of what it was set to (on whichever processor). */
void timer_set(struct timer *timer, uint64_t deadline);
void timer_cancel(struct timer *timer);
void timer_cancel_wait(struct timer *timer);

/* For start-up and interrupts: gives a processor its (empty) heap. */
void timer_processor_create(struct cpu *cpu);

/* The local APIC's timer has expired: calls what is due. */
void timer_interrupt(void);

/* cmos.c: seconds since 1970-01-01 00:00, as the battery-backed chip has it. century: its register
 * for that, or 0. */
uint64_t cmos_seconds(uint8_t century);

#endif
