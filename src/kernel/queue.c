/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who runs next.
 *
 * Virtual time. A group's is the processor time that it used, divided by its weight; who has least
 * is next. Over any time in which groups want the processor all along they get shares in proportion
 * to their weights, give or take a slice. `minimum` follows the least of those that want it: who
 * comes back after a sleep (or a pause, or a cap's wait) begins there, less a credit of one slice,
 * so that sleeping is neither saved up nor lost. Inside a group the threads' own virtual times do
 * the same again, all of one weight.
 *
 * Waking. A woken thread is `fresh` for its first millisecond: its group counts as if it had used
 * BOOST less. So what answers a guest's device gets on at once, even if the group's other threads
 * have used all that the group may have; who would abuse it runs out of it, since the time is
 * accounted for as all other is, and BOOST is all that a group can be ahead by.
 *
 * Caps. A machine's use of t nanoseconds pays for t * 100 / cap nanoseconds of time. It waits when
 * it has paid for more than CAP_AHEAD beyond now, until that time has come; so whatever the length
 * of its runs, over time it gets its cap and no more. Time in which it was idle is lost, but for
 * CAP_BEHIND; time in which it waited for a processor, but for CAP_LATE.
 *
 * Times of different groups are compared by their signed difference: they wrap.
 */
#include "kernel/queue.h"

#include <stddef.h>

#include "lib/bits.h"
#include "lib/check.h"

#define QUEUE_SCALE   10000u /* the highest weight: virtual time is then real time */
#define KERNEL_WEIGHT 10000u
#define CREDIT	      QUEUE_SLICE
#define BOOST	      (4 * QUEUE_SLICE)
#define GRAIN	      UINT64_C(500000) /* a lead below this is not worth a switch */
#define CAP_AHEAD     UINT64_C(8000000)
#define CAP_LEAST     UINT64_C(100000) /* no run is ended for less */
#define CAP_BEHIND    UINT64_C(10000000)
#define CAP_LATE      UINT64_C(50000000)

static bool before(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b) < 0;
}

static struct group *group_of(struct queue *queue, const struct thread *thread)
{
	if (!thread->process)
		return &queue->kernel;
	return &thread->process->accounting->group[queue->cpu->id];
}

static uint64_t virtual(const struct group *group, uint64_t nanoseconds)
{
	uint32_t weight = group->process ? group->process->set.weight : KERNEL_WEIGHT;

	return nanoseconds * QUEUE_SCALE / (weight ? weight : 1);
}

void queue_init(struct queue *queue, struct cpu *cpu)
{
	*queue = (struct queue){.cpu = cpu, .look = QUEUE_NEVER};
}

void share_init(struct share *share, struct process *process, unsigned processors)
{
	share->paid_until = 0;
	share->running = share->ready = 0;
	share->throttled = false;
	for (unsigned i = 0; i < processors; i++)
		share->group[i] = (struct group){.process = process};
}

bool process_allows(const struct process *process, unsigned processor)
{
	return !process || process->ending || (process->set.processors >> processor & 1);
}

bool process_eligible(struct process *process, uint64_t now)
{
	struct share *share;

	/* Whoever is to end does so at once, and does nothing else. */
	if (!process || process->ending)
		return true;
	if (process->set.paused)
		return false;
	share = process->accounting;
	if (!process->set.cap)
		share->throttled = false;
	else if (!before(now, share->paid_until))
		share->throttled = false;
	else if (before(now + CAP_AHEAD, share->paid_until))
		share->throttled = true;
	return !share->throttled;
}

/* A thread gets ready: if the machine was idle until now, it has saved up no more than that. */
static void cap_begin(struct share *share, bool woken, uint64_t now)
{
	uint64_t was = share->paid_until;

	if (woken && !share->ready && !share->running && before(was, now - CAP_BEHIND))
		atomic_compare_exchange_strong(&share->paid_until, &was, now - CAP_BEHIND);
	share->ready++;
}

/* t nanoseconds were used until now. Several processors may do this at once. */
static void cap_charge(struct process *process, uint64_t t, uint64_t now)
{
	struct share *share = process->accounting;
	uint64_t was = share->paid_until, to, cap = process->set.cap;

	if (!cap)
		return;
	do {
		uint64_t from = now - t > CAP_LATE ? now - t - CAP_LATE : 0;

		to = (before(was, from) ? from : was) + t * 100 / cap;
	} while (!atomic_compare_exchange_weak(&share->paid_until, &was, to));
}

/* How long the machine may go on from now, with so many of its threads running. */
static uint64_t cap_left(const struct process *process, uint64_t now)
{
	struct share *share = process->accounting;
	uint64_t cap = process->set.cap, running = share->running ? share->running : 1;
	uint64_t end = now + CAP_AHEAD, paid = share->paid_until, gain, left;

	/* Each nanosecond pays for running * 100 / cap, and one goes by. */
	if (running * 100 <= cap)
		return QUEUE_SLICE;
	gain = running * 100 - cap;
	if (before(paid, now - CAP_LATE))
		paid = now - CAP_LATE;
	left = before(paid, end) ? (end - paid) * cap / gain : 0;
	return left < CAP_LEAST ? CAP_LEAST : left;
}

void queue_put(struct queue *queue, struct thread *thread, bool woken, uint64_t now)
{
	struct group *group = group_of(queue, thread);
	struct thread **place = &group->ready;

	if (woken)
		thread->fresh = QUEUE_FRESH;
	if (thread->process)
		cap_begin(thread->process->accounting, woken, now);
	/* Its virtual time may be another processor's. */
	if (before(thread->virtual_time, group->minimum - CREDIT))
		thread->virtual_time = group->minimum - CREDIT;
	else if (before(group->minimum + BOOST, thread->virtual_time))
		thread->virtual_time = group->minimum + BOOST;
	if (!group->ready) {
		struct group **last = &queue->groups;

		group->apart = !queue->running || group_of(queue, queue->running) != group;
		while (*last)
			last = &(*last)->next;
		*last = group;
		group->next = NULL;
	}
	while (*place && !before(thread->virtual_time, (*place)->virtual_time))
		place = &(*place)->next;
	thread->next = *place;
	*place = thread;
	queue->ready++;
	queue->load++;
}

void queue_remove(struct queue *queue, struct thread *thread)
{
	struct group *group = group_of(queue, thread);
	struct thread **place = &group->ready;

	while (*place && *place != thread)
		place = &(*place)->next;
	CHECK(*place);
	if (thread->process)
		thread->process->accounting->ready--;
	*place = thread->next;
	thread->next = NULL;
	queue->ready--;
	if (queue->load)
		queue->load--;
	if (!group->ready) {
		struct group **at = &queue->groups;

		while (*at != group)
			at = &(*at)->next;
		*at = group->next;
		group->next = NULL;
	}
}

/* The minimum follows the least virtual time of who runs and who waits. */
static void advance(struct queue *queue, const struct group *running)
{
	uint64_t least = running->virtual_time;

	for (const struct group *group = queue->groups; group; group = group->next)
		if (!group->apart && before(group->virtual_time, least))
			least = group->virtual_time;
	if (before(queue->minimum, least))
		queue->minimum = least;
}

void queue_charge(struct queue *queue, uint64_t now)
{
	struct thread *thread = queue->running;
	struct group *group;
	uint64_t t;

	if (!thread)
		return;
	group = group_of(queue, thread);
	t = before(thread->since, now) ? now - thread->since : 0;
	thread->since += t;
	thread->used += t;
	thread->virtual_time += t;
	thread->fresh -= thread->fresh < t ? thread->fresh : t;
	group->virtual_time += virtual(group, t);
	if (thread->process)
		cap_charge(thread->process, t, now);
	advance(queue, group);
}

void queue_stop(struct queue *queue)
{
	struct thread *thread = queue->running;

	if (thread && thread->process)
		thread->process->accounting->running--;
	queue->running = NULL;
}

/* What a group is judged by, if this thread is the one that it would run. */
static uint64_t key_of(const struct group *group, const struct thread *thread)
{
	return group->virtual_time - (thread->fresh ? virtual(group, BOOST) : 0);
}

/* The group's first thread, or a fresh one a little behind it. */
static struct thread *first_of(const struct group *group)
{
	struct thread *thread = group->ready;

	while (thread && !thread->fresh &&
	       !before(group->ready->virtual_time + CREDIT, thread->virtual_time))
		thread = thread->next;
	return thread && thread->fresh ? thread : group->ready;
}

/* Whoever did not want to run, or could not, joins the others where they are. */
static void group_catch_up(const struct queue *queue, struct group *group)
{
	uint64_t from = queue->minimum - virtual(group, CREDIT);

	if (group->apart && before(group->virtual_time, from))
		group->virtual_time = from;
	group->apart = false;
}

/* Sets queue->look for who runs now, and who else wants to. */
static void look_ahead(struct queue *queue, const struct thread *thread, uint64_t now,
		       uint64_t resumes)
{
	uint64_t look = resumes, end = QUEUE_NEVER;

	if (queue->load > 1)
		end = now + (thread->fresh ? thread->fresh : QUEUE_SLICE);
	if (end < look)
		look = end;
	if (thread->process && thread->process->set.cap && !thread->process->ending) {
		uint64_t left = cap_left(thread->process, now);

		end = now + (left < QUEUE_SLICE ? left : QUEUE_SLICE);
		if (end < look)
			look = end;
	}
	queue->look = look;
}

static unsigned group_count(const struct group *group)
{
	unsigned count = 0;

	for (const struct thread *thread = group->ready; thread; thread = thread->next)
		count++;
	return count;
}

/* Whoever is to end goes first: it only gives things back. */
static bool goes_before(const struct group *a, const struct thread *a_thread, const struct group *b,
			const struct thread *b_thread)
{
	bool a_ends = a->process && a->process->ending, b_ends = b->process && b->process->ending;

	if (a_ends != b_ends)
		return a_ends;
	return before(key_of(a, a_thread), key_of(b, b_thread));
}

struct thread *queue_pick(struct queue *queue, uint64_t now)
{
	struct group *best = NULL;
	struct thread *thread, *best_thread = NULL;
	uint64_t resumes = QUEUE_NEVER;
	unsigned eligible = 0;

	CHECK(!queue->running);
	for (struct group *group = queue->groups; group; group = group->next) {
		if (!process_eligible(group->process, now)) {
			if (!group->process->set.paused &&
			    group->process->accounting->paid_until < resumes)
				resumes = group->process->accounting->paid_until;
			group->apart = true;
			continue;
		}
		group_catch_up(queue, group);
		eligible += group_count(group);
		thread = first_of(group);
		if (!best || goes_before(group, thread, best, best_thread)) {
			best = group;
			best_thread = thread;
		}
	}
	queue->look = resumes;
	queue->load = eligible;
	if (!best)
		return NULL;
	if (before(best->minimum, best->ready->virtual_time))
		best->minimum = best->ready->virtual_time;
	queue_remove(queue, best_thread);
	queue->running = best_thread;
	best_thread->since = now;
	if (best_thread->process)
		best_thread->process->accounting->running++;
	queue->load = eligible;
	look_ahead(queue, best_thread, now, resumes);
	return best_thread;
}

bool queue_preempts(struct queue *queue, const struct thread *thread, uint64_t now)
{
	const struct thread *running = queue->running;
	struct group *group = group_of(queue, thread), *other;
	uint64_t t;

	if (!process_eligible(thread->process, now))
		return false;
	if (!running || (thread->process && thread->process->ending))
		return true;
	t = before(running->since, now) ? now - running->since : 0;
	other = group_of(queue, running);
	if (group == other)
		return thread->fresh && running->fresh <= t;
	group_catch_up(queue, group);
	return before(key_of(group, thread) + virtual(group, GRAIN),
		      other->virtual_time + virtual(other, t) -
			      (running->fresh > t ? virtual(other, BOOST) : 0));
}

struct thread *queue_offer(struct queue *queue, unsigned processor, uint64_t now)
{
	struct thread *best = NULL;

	for (struct group *group = queue->groups; group; group = group->next) {
		if (!group->process || !process_allows(group->process, processor) ||
		    !process_eligible(group->process, now))
			continue;
		/* A group that has a thread here anyway gains most. */
		if (!best || group_count(group) > 1 ||
		    (queue->running && queue->running->process == group->process))
			best = group->ready;
	}
	return best;
}
