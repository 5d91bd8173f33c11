/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Local APIC: the timer. Intel SDM volume 3, section 10.5.4. Its input clock is
 * LAPIC_TIMER_FREQUENCY: a tick is a nanosecond of guest time.
 *
 * Not modelled: see lapic.c. A periodic timer shorter than PERIOD_MIN counts at its own pace but
 * interrupts no more often than that.
 */
#include "devices/lapic.h"

#include "lib/checked.h"

#define NANOSECONDS 1000000000ull
#define PERIOD_MIN  20000u /* ns */

enum { MODE_ONE_SHOT, MODE_PERIODIC, MODE_DEADLINE };

static unsigned mode(const struct lapic *lapic)
{
	return lapic->lvt[LVT_TIMER] >> 17 & 3;
}

bool lapic_timer_uses_deadline(const struct lapic *lapic)
{
	return mode(lapic) == MODE_DEADLINE;
}

/* Bits 3, 1 and 0 of the divide configuration: 2, 4, ... 128, and at last 1. */
static unsigned divide_shift(const struct lapic *lapic)
{
	unsigned value = (lapic->divide & 3) | (lapic->divide >> 1 & 4);

	return (value + 1) & 7;
}

static uint64_t period(const struct lapic *lapic)
{
	return (uint64_t)lapic->initial_count << divide_shift(lapic);
}

uint32_t lapic_timer_current_count(const struct lapic *lapic)
{
	uint64_t elapsed = vm_time(lapic->vcpu->vm) - lapic->timer_start;

	if (!lapic->timer_running)
		return 0;
	if (elapsed >= period(lapic)) {
		if (mode(lapic) != MODE_PERIODIC)
			return 0;
		elapsed %= period(lapic);
	}
	return lapic->initial_count - (uint32_t)(elapsed >> divide_shift(lapic));
}

/* Nanoseconds until the guest's TSC reaches its deadline, rounded up; 0 if it has. */
static uint64_t deadline_distance(const struct lapic *lapic)
{
	uint64_t ticks = lapic->timer_deadline - vcpu_tsc(lapic->vcpu);

	if ((int64_t)ticks <= 0)
		return 0;
	ticks = multiply_divide(ticks, NANOSECONDS, host_tsc_frequency());
	/* What lies decades ahead is looked at again halfway. */
	return ticks < TIMER_NEVER / 4 ? ticks + 1 : TIMER_NEVER / 4;
}

/* Sets the deadline as the registers want it. */
void lapic_timer_arm(struct lapic *lapic)
{
	uint64_t now = vm_time(lapic->vcpu->vm);

	if (lapic_timer_uses_deadline(lapic)) {
		if (!lapic->timer_deadline)
			timer_set(&lapic->timer, TIMER_NEVER);
		else
			timer_set(&lapic->timer, now + deadline_distance(lapic));
	} else if (!lapic->timer_running) {
		timer_set(&lapic->timer, TIMER_NEVER);
	} else {
		timer_set(&lapic->timer, lapic->timer_start + period(lapic));
	}
}

static void deadline_expired(struct lapic *lapic)
{
	if (!lapic->timer_deadline)
		return;
	/* The clocks may disagree by a tick: the guest must never see the interrupt before the TSC
	 * says so. */
	if (deadline_distance(lapic)) {
		lapic_timer_arm(lapic);
		return;
	}
	lapic->timer_deadline = 0;
	lapic_local_interrupt(lapic, LVT_TIMER);
}

static void count_expired(struct lapic *lapic)
{
	uint64_t now = vm_time(lapic->vcpu->vm), next;

	lapic->timer_running = mode(lapic) == MODE_PERIODIC;
	if (lapic->timer_running && now >= lapic->timer_start) {
		/* Periods missed are lost, as on a processor that had interrupts off for so long.
		 */
		lapic->timer_start += (now - lapic->timer_start) / period(lapic) * period(lapic);
		next = lapic->timer_start + period(lapic);
		if (next < now + PERIOD_MIN)
			next = now + PERIOD_MIN;
		timer_set(&lapic->timer, next);
	}
	lapic_local_interrupt(lapic, LVT_TIMER);
}

void lapic_timer_expired(struct timer *timer)
{
	struct lapic *lapic = container_of(timer, struct lapic, timer);

	if (lapic_timer_uses_deadline(lapic))
		deadline_expired(lapic);
	else
		count_expired(lapic);
}

void lapic_timer_start(struct lapic *lapic, uint32_t initial_count)
{
	if (lapic_timer_uses_deadline(lapic))
		return; /* ignored in this mode (section 10.5.4.1) */
	lapic->initial_count = initial_count;
	lapic->timer_running = initial_count != 0;
	lapic->timer_start = vm_time(lapic->vcpu->vm);
	lapic_timer_arm(lapic);
}

void lapic_timer_lvt_write(struct lapic *lapic, uint32_t value)
{
	unsigned before = mode(lapic);

	lapic->lvt[LVT_TIMER] = value;
	if (mode(lapic) == before)
		return;
	/* Entering and leaving deadline mode disarms (section 10.5.4.1); so does the reserved mode.
	 */
	if (before >= MODE_DEADLINE || mode(lapic) >= MODE_DEADLINE) {
		lapic->initial_count = 0;
		lapic->timer_running = false;
	}
	lapic->timer_deadline = 0;
	lapic_timer_arm(lapic);
}

void lapic_timer_divide_write(struct lapic *lapic, uint32_t value)
{
	uint32_t count = lapic_timer_current_count(lapic);
	uint64_t done = lapic->initial_count - count;

	lapic->divide = value;
	/* The count goes on from where it is, at the new pace. */
	if (count) {
		lapic->timer_start = vm_time(lapic->vcpu->vm) - (done << divide_shift(lapic));
		lapic_timer_arm(lapic);
	}
}

void lapic_timer_deadline_write(struct lapic *lapic, uint64_t tsc)
{
	if (!lapic_timer_uses_deadline(lapic))
		return;
	lapic->timer_deadline = tsc;
	if (tsc && !deadline_distance(lapic)) {
		timer_set(&lapic->timer, TIMER_NEVER);
		deadline_expired(lapic);
	} else {
		lapic_timer_arm(lapic);
	}
}
