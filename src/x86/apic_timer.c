/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Local APIC: the timer. Intel SDM volume 3, section 10.5.4. Its input clock is
 * APIC_TIMER_FREQUENCY: a tick is a nanosecond of guest time.
 *
 * Not modelled: see apic.h. A periodic timer shorter than PERIOD_MIN counts at its own pace but
 * interrupts no more often than that.
 */
#include "x86/apic.h"

#include "lib/checked.h"

#define NANOSECONDS 1000000000ull
#define PERIOD_MIN  20000u /* ns */

enum { MODE_ONE_SHOT, MODE_PERIODIC, MODE_DEADLINE };

static unsigned mode(const struct apic *apic)
{
	return apic->lvt[LVT_TIMER] >> 17 & 3;
}

bool apic_timer_uses_deadline(const struct apic *apic)
{
	return mode(apic) == MODE_DEADLINE;
}

/* Bits 3, 1 and 0 of the divide configuration: 2, 4, ... 128, and at last 1. */
static unsigned divide_shift(const struct apic *apic)
{
	unsigned value = (apic->divide & 3) | (apic->divide >> 1 & 4);

	return (value + 1) & 7;
}

uint64_t apic_timer_left(uint64_t now, uint64_t deadline)
{
	return (int64_t)(deadline - now) > 0 ? deadline - now : 0;
}

static uint64_t period(const struct apic *apic)
{
	return (uint64_t)apic->initial_count << divide_shift(apic);
}

uint32_t apic_timer_count(struct apic *apic)
{
	uint64_t elapsed;

	if (!apic->timer_running)
		return 0;
	elapsed = apic->ops->time(apic) - apic->timer_start;
	if (elapsed >= period(apic)) {
		if (mode(apic) != MODE_PERIODIC)
			return 0;
		elapsed %= period(apic);
	}
	return apic->initial_count - (uint32_t)(elapsed >> divide_shift(apic));
}

/* Nanoseconds until the guest's TSC reaches its deadline, rounded up; 0 if it has. */
static uint64_t deadline_distance(struct apic *apic)
{
	uint64_t ticks = apic->timer_deadline - apic->ops->tsc(apic);

	if ((int64_t)ticks <= 0)
		return 0;
	ticks = multiply_divide(ticks, NANOSECONDS, apic->ops->tsc_frequency(apic));
	/* What lies decades ahead is looked at again halfway. */
	return ticks < APIC_TIMER_NEVER / 4 ? ticks + 1 : APIC_TIMER_NEVER / 4;
}

static void deadline_arm(struct apic *apic)
{
	uint64_t now = apic->ops->time(apic);

	apic->ops->timer_set(apic, now + deadline_distance(apic));
}

void apic_timer_arm(struct apic *apic)
{
	if (apic_timer_uses_deadline(apic) && apic->timer_deadline)
		deadline_arm(apic);
	else if (apic->timer_running)
		apic->ops->timer_set(apic, apic->timer_start + period(apic));
	else
		apic->ops->timer_set(apic, APIC_TIMER_NEVER);
}

static void deadline_expired(struct apic *apic)
{
	apic->timer_deadline = 0;
	apic_local_interrupt(apic, LVT_TIMER);
}

static void count_expired(struct apic *apic)
{
	uint64_t now = apic->ops->time(apic), next;

	if (apic_timer_left(now, apic->timer_start + period(apic))) {
		apic_timer_arm(apic); /* the call was for what was set before */
		return;
	}
	apic->timer_running = mode(apic) == MODE_PERIODIC;
	if (apic->timer_running) {
		/* Periods missed are lost, as on a processor that had interrupts off for so long.
		 */
		apic->timer_start += (now - apic->timer_start) / period(apic) * period(apic);
		next = apic->timer_start + period(apic);
		if (apic_timer_left(now, next) < PERIOD_MIN)
			next = now + PERIOD_MIN;
		apic->ops->timer_set(apic, next);
	}
	apic_local_interrupt(apic, LVT_TIMER);
}

void apic_timer_expired(struct apic *apic)
{
	if (!apic_timer_uses_deadline(apic)) {
		if (apic->timer_running)
			count_expired(apic);
		return;
	}
	if (!apic->timer_deadline)
		return;
	/* The clocks may disagree by a tick: the guest must never see the interrupt before the TSC
	 * says so. */
	if (deadline_distance(apic))
		deadline_arm(apic);
	else
		deadline_expired(apic);
}

void apic_timer_start(struct apic *apic, uint32_t initial_count)
{
	if (apic_timer_uses_deadline(apic))
		return; /* ignored in this mode (section 10.5.4.1) */
	apic->initial_count = initial_count;
	apic->timer_running = initial_count != 0;
	apic->timer_start = apic->ops->time(apic);
	apic_timer_arm(apic);
}

void apic_timer_write_lvt(struct apic *apic, uint32_t value)
{
	unsigned before = mode(apic);

	apic->lvt[LVT_TIMER] = value;
	if (mode(apic) == before)
		return;
	/* Entering and leaving deadline mode disarms (section 10.5.4.1); so does the reserved mode.
	 */
	if (before >= MODE_DEADLINE || mode(apic) >= MODE_DEADLINE) {
		apic->initial_count = 0;
		apic->timer_running = false;
	}
	apic->timer_deadline = 0;
	apic_timer_arm(apic);
}

void apic_timer_write_divide(struct apic *apic, uint32_t value)
{
	uint32_t count = apic_timer_count(apic);
	uint64_t done = apic->initial_count - count;

	apic->divide = value;
	/* The count goes on from where it is, at the new pace. */
	if (count) {
		apic->timer_start = apic->ops->time(apic) - (done << divide_shift(apic));
		apic_timer_arm(apic);
	}
}

uint64_t apic_read_deadline(const struct apic *apic)
{
	return apic->timer_deadline;
}

void apic_write_deadline(struct apic *apic, uint64_t tsc)
{
	uint64_t now, distance;

	if (!apic_timer_uses_deadline(apic))
		return;
	apic->timer_deadline = tsc;
	if (!tsc) {
		apic->ops->timer_set(apic, APIC_TIMER_NEVER);
		return;
	}
	now = apic->ops->time(apic);
	distance = deadline_distance(apic);
	if (distance) {
		apic->ops->timer_set(apic, now + distance);
	} else {
		apic->ops->timer_set(apic, APIC_TIMER_NEVER);
		deadline_expired(apic);
	}
}
