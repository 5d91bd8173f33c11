/* SPDX-License-Identifier: BSD-2-Clause */
/* A binary heap by deadline; each timer knows its place in it, so that it can be moved. */
#include "core/timer.h"

#include "core/vm.h"
#include "lib/check.h"

static void place(struct timers *timers, unsigned at, struct timer *timer)
{
	timers->heap[at] = timer;
	timer->place = at;
}

/* Moves the timer at `at` to where its deadline belongs. */
static void sift(struct timers *timers, unsigned at)
{
	struct timer *timer = timers->heap[at];

	for (; at > 0 && timers->heap[(at - 1) / 2]->deadline > timer->deadline; at = (at - 1) / 2)
		place(timers, at, timers->heap[(at - 1) / 2]);
	for (;;) {
		unsigned child = 2 * at + 1;

		if (child + 1 < timers->count &&
		    timers->heap[child + 1]->deadline < timers->heap[child]->deadline)
			child++;
		if (child >= timers->count || timers->heap[child]->deadline >= timer->deadline)
			break;
		place(timers, at, timers->heap[child]);
		at = child;
	}
	place(timers, at, timer);
}

static void heap_remove(struct timers *timers, struct timer *timer)
{
	unsigned at = timer->place;
	struct timer *last = timers->heap[--timers->count];

	timer->deadline = TIMER_NEVER;
	if (last == timer)
		return;
	place(timers, at, last);
	sift(timers, at);
}

void timer_init(struct timer *timer, struct vm *vm, void (*expired)(struct timer *timer))
{
	timer->vm = vm;
	timer->expired = expired;
	timer->deadline = TIMER_NEVER;
	timer->place = 0;
}

bool timer_armed(const struct timer *timer)
{
	return timer->deadline != TIMER_NEVER;
}

/* A time of the guest as a time of the host. Offsets are small numbers of either sign; what
 * overflows is never. */
static uint64_t host_time(const struct vm *vm, uint64_t guest)
{
	uint64_t behind = -vm->time_offset, host;

	if ((int64_t)behind < 0)
		return guest > vm->time_offset ? guest - vm->time_offset : 0;
	return __builtin_add_overflow(guest, behind, &host) ? UINT64_MAX : host;
}

void timers_wake(struct vm *vm)
{
	struct timers *timers = &vm->timers;

	if (timers->count == 0 || vm->paused)
		host_wake_at(vm, UINT64_MAX);
	else
		host_wake_at(vm, host_time(vm, timers->heap[0]->deadline));
}

void timer_set(struct timer *timer, uint64_t deadline)
{
	struct timers *timers = &timer->vm->timers;
	uint64_t first = timers->count ? timers->heap[0]->deadline : TIMER_NEVER;

	if (deadline == timer->deadline)
		return;
	if (deadline == TIMER_NEVER) {
		heap_remove(timers, timer);
	} else {
		if (!timer_armed(timer)) {
			CHECK(timers->count < TIMERS_MAX);
			place(timers, timers->count++, timer);
		}
		timer->deadline = deadline;
		sift(timers, timer->place);
	}
	if (!timers->running && first != (timers->count ? timers->heap[0]->deadline : TIMER_NEVER))
		timers_wake(timer->vm);
}

/* What is due is judged once: a timer that sets itself to now waits for the next run, so that this
 * one ends. */
void timers_run(struct vm *vm)
{
	struct timers *timers = &vm->timers;
	uint64_t now = vm_time(vm);
	unsigned left = timers->count;

	CHECK(!timers->running);
	timers->running = true;
	while (!vm->paused && left-- > 0 && timers->count > 0 && timers->heap[0]->deadline <= now) {
		struct timer *timer = timers->heap[0];

		heap_remove(timers, timer);
		timer->expired(timer);
	}
	timers->running = false;
	timers_wake(vm);
}
