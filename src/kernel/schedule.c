/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scheduler: which processor a thread runs on, and the switch itself. In what order the threads
 * of one processor run is queue.c's.
 *
 * Each processor has a queue of its own and takes no other's lock to pick from it. A thread that
 * wakes goes to the processor with the least to do, its last one where that is as good. One that
 * loses its processor at the end of its slice moves to a processor that has two fewer; a processor
 * with nothing to do takes from the others. So two busy machines use two processors, without
 * anybody who counts all the time.
 *
 * The lock of the queue is held across the switch and dropped by the thread that comes
 * (schedule_finish): nobody can take the one that leaves elsewhere before its registers are stored.
 * On its way between two queues a thread is READY and in no list.
 *
 * The timer is armed only for what queue_pick asks for: a slice if somebody waits, a cap's end. A
 * processor with one runnable thread, or none, is interrupted by nobody.
 *
 * Idle processors keep the page tables they had: a machine that halts and wakes pays for no flush.
 */
#include "kernel/schedule.h"

#include <stddef.h>

#include "kernel/frame.h"
#include "kernel/guest.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/process.h"
#include "kernel/queue.h"
#include "kernel/register.h"
#include "lib/bits.h"
#include "lib/error.h"

void switch_stacks(uint64_t *leaves, uint64_t comes);

/* What each processor's page of the scheduler has. */
struct processor {
	struct queue queue;
	struct thread idle;
};

/* NULL: it does not take part yet. */
static struct queue *queue_of(const struct cpu *cpu)
{
	return __atomic_load_n(&cpu->queue, __ATOMIC_ACQUIRE);
}

/* That processor asks queue_pick soon. */
static void look(struct cpu *cpu)
{
	cpu->reschedule = true;
	if (cpu != cpu_this())
		cpu_kick(cpu);
}

static void slice_ended(struct timer *timer)
{
	cpu_this()->reschedule = true;
}

/* The thread's queue, with its lock held. */
static struct queue *queue_take(struct thread *thread)
{
	for (;;) {
		struct cpu *cpu = thread->cpu;
		struct queue *queue = queue_of(cpu);

		lock_take(&queue->lock);
		if (thread->cpu == cpu)
			return queue;
		lock_drop(&queue->lock);
	}
}

/* The allowed processor with least to do; `cpu` itself, with so much, if it is allowed and no
 * worse. */
static struct cpu *cpu_for(const struct thread *thread, struct cpu *cpu, unsigned load)
{
	bool stays = process_allows(thread->process, cpu->id) && queue_of(cpu);
	struct cpu *best = cpu;

	for (unsigned i = 0; i < cpu_count(); i++) {
		struct cpu *other = cpu_at(i);
		struct queue *queue = queue_of(other);

		if (other == cpu || !queue || !process_allows(thread->process, i))
			continue;
		if (!stays || queue->load < load) {
			stays = true;
			best = other;
			load = queue->load;
		}
	}
	return best;
}

/* A ready thread that is in no queue joins that processor's. */
static void place(struct thread *thread, struct cpu *cpu, bool woken)
{
	struct queue *queue = queue_of(cpu);
	uint64_t now;
	bool looks;

	lock_take(&queue->lock);
	now = clock_now();
	thread->cpu = cpu;
	queue_charge(queue, now);
	queue_put(queue, thread, woken, now);
	looks = !queue->running || queue->look == QUEUE_NEVER || queue_preempts(queue, thread, now);
	lock_drop(&queue->lock);
	if (looks)
		look(cpu);
}

static void load_tables(struct queue *queue, struct process *process)
{
	uint64_t bit = BIT(queue->cpu->id);
	struct process *old = queue->loaded;

	if (!process || process == old)
		return;
	/* Before: whoever changes the tables from now on tells us as well. */
	atomic_fetch_or(&process->loaded, bit);
	cr3_write(process->root.value);
	queue->loaded = process;
	if (old)
		atomic_fetch_and(&old->loaded, ~bit);
}

/* The queue's lock is held, the current thread is in its new state; the lock is dropped. */
static void switch_away(struct queue *queue, uint64_t now)
{
	struct cpu *cpu = queue->cpu;
	struct thread *leaves = cpu->thread, *comes = queue_pick(queue, now);

	if (queue->look != queue->timer.deadline) {
		if (queue->look == QUEUE_NEVER)
			timer_cancel(&queue->timer);
		else
			timer_set(&queue->timer, queue->look);
	}
	if (!comes)
		comes = cpu->idle;
	comes->state = THREAD_RUNNING;
	if (comes == leaves) {
		lock_drop(&queue->lock);
		return;
	}
	/* Whichever of its vcpus the thread ran last. */
	if (cpu->fpu_owner)
		vcpu_leave_processor(cpu->fpu_owner);
	load_tables(queue, comes->process);
	queue->previous = leaves;
	cpu->thread = comes;
	cpu_stack_set(comes->stack_top);
	switch_stacks(&leaves->stack_pointer, comes->stack_pointer);
	schedule_finish();
}

/* Perhaps on another processor than the one that switch_stacks was called on. */
void schedule_finish(void)
{
	struct queue *queue = queue_of(cpu_this());
	struct thread *left = queue->previous;
	bool dead = left->state == THREAD_DEAD, homeless = left->homeless;

	left->homeless = false;
	lock_drop(&queue->lock);
	if (dead)
		process_reap(left);
	else if (homeless)
		place(left, cpu_for(left, left->cpu, queue->load), false);
}

void schedule(void)
{
	struct cpu *cpu = cpu_this();
	struct queue *queue = queue_of(cpu);
	struct thread *thread = cpu->thread;
	uint64_t now;

	lock_take(&queue->lock);
	cpu->reschedule = false;
	now = clock_now();
	queue_charge(queue, now);
	queue_stop(queue);
	if (thread != cpu->idle) {
		thread->state = THREAD_READY;
		/* `load` counts this thread as well. */
		if (queue->ready || !process_allows(thread->process, cpu->id))
			thread->homeless = cpu_for(thread, cpu, queue->ready) != cpu;
		if (!thread->homeless)
			queue_put(queue, thread, false, now);
	}
	switch_away(queue, now);
}

/* The current thread is `state` from now on; returns when it runs again. The queue's lock is held.
 */
static void leave(struct queue *queue, uint32_t state)
{
	uint64_t now = clock_now();

	queue->cpu->reschedule = false;
	queue_charge(queue, now);
	queue_stop(queue);
	queue->cpu->thread->state = state;
	switch_away(queue, now);
}

bool thread_must_end(void)
{
	struct process *process = thread_this()->process;

	return process && process->ending;
}

void thread_block(uint64_t deadline)
{
	struct thread *thread = thread_this();
	struct queue *queue;

	if (!thread->woken && deadline > clock_now()) {
		if (deadline != TIMER_NEVER)
			timer_set(&thread->deadline, deadline);
		queue = queue_of(cpu_this());
		lock_take(&queue->lock);
		/* process_end sets `ending` and wakes then. */
		if (thread->woken || thread_must_end())
			lock_drop(&queue->lock);
		else
			leave(queue, THREAD_BLOCKED);
		if (deadline != TIMER_NEVER)
			timer_cancel(&thread->deadline);
	}
	thread->woken = false;
}

_Noreturn void thread_end(void)
{
	struct queue *queue = queue_of(cpu_this());

	lock_take(&queue->lock);
	leave(queue, THREAD_DEAD);
	panic(NULL, "a dead thread runs");
}

/* From that state to READY, if it is in it. */
static void ready(struct thread *thread, uint32_t from)
{
	struct queue *queue = queue_take(thread);
	bool was = thread->state == from;

	if (from == THREAD_BLOCKED)
		thread->woken = true;
	if (was)
		thread->state = THREAD_READY;
	lock_drop(&queue->lock);
	if (was)
		place(thread, cpu_for(thread, thread->cpu, queue->load), true);
}

void thread_wake(struct thread *thread)
{
	ready(thread, THREAD_BLOCKED);
}

void thread_start(struct thread *thread)
{
	ready(thread, THREAD_NEW);
}

void thread_nudge(struct thread *thread)
{
	struct queue *queue = queue_take(thread);
	uint32_t state = thread->state;

	lock_drop(&queue->lock);
	if (state == THREAD_RUNNING || state == THREAD_READY)
		look(queue->cpu);
}

uint64_t thread_time(struct thread *thread)
{
	struct queue *queue = queue_take(thread);
	uint64_t used = thread->used, now = clock_now();

	if (thread->state == THREAD_RUNNING && now > thread->since)
		used += now - thread->since;
	lock_drop(&queue->lock);
	return used;
}

/* A processor with nothing to do takes a thread that waits elsewhere. */
static bool steal(struct queue *queue)
{
	unsigned count = cpu_count(), own = queue->cpu->id;

	for (unsigned i = 1; i < count; i++) {
		struct queue *other = queue_of(cpu_at((own + i) % count));
		struct thread *thread;

		/* Where nobody runs, somebody is about to. */
		if (!other || !other->ready || !other->running)
			continue;
		lock_take(&other->lock);
		thread = queue_offer(other, own, clock_now());
		if (thread)
			queue_remove(other, thread);
		lock_drop(&other->lock);
		if (!thread)
			continue;
		place(thread, queue->cpu, false);
		return true;
	}
	return false;
}

static void processor_init(struct processor *processor, struct cpu *cpu)
{
	_Static_assert(sizeof(*processor) <= PAGE_SIZE, "more than its page");
	queue_init(&processor->queue, cpu);
	timer_init(&processor->queue.timer, slice_ended);
	processor->idle.cpu = cpu;
	processor->idle.state = THREAD_RUNNING;
	cpu->thread = cpu->idle = &processor->idle;
	__atomic_store_n(&cpu->queue, (void *)&processor->queue, __ATOMIC_RELEASE);
}

void schedule_prepare(void)
{
	struct cpu *cpu = cpu_this();
	struct processor *processor;

	processor = kernel_pages(PAGE_SIZE);
	if (processor)
		processor_init(processor, cpu);
	else
		panic(NULL, "no memory for processor %u", cpu->id);
}

_Noreturn void schedule_start(void)
{
	for (;;) {
		schedule();
		/* What the thread that left has woken may be for us (schedule_finish). */
		if (!cpu_this()->reschedule && !steal(queue_of(cpu_this())))
			cpu_idle();
	}
}

static uint64_t share_size(void)
{
	return sizeof(struct share) + cpu_count() * sizeof(struct group);
}

int schedule_process_init(struct process *process)
{
	process->accounting = kernel_pages(share_size());
	if (!process->accounting)
		return -ENOMEM;
	share_init(process->accounting, process, cpu_count());
	return 0;
}

void schedule_process_done(struct process *process)
{
	if (process->accounting)
		kernel_pages_free(process->accounting, share_size());
	process->accounting = NULL;
}

void schedule_process_changed(struct process *process)
{
	for (unsigned i = 0; i < cpu_count(); i++)
		if (queue_of(cpu_at(i)))
			look(cpu_at(i));
}

static void flush_call(void *context)
{
	struct queue *queue = queue_of(cpu_this());

	if (queue && queue->loaded == context)
		cr3_write(cr3_read());
}

static void unload_call(void *context)
{
	struct queue *queue = queue_of(cpu_this());
	struct process *process = context;

	if (!queue || queue->loaded != process)
		return;
	cr3_write(page_kernel_root.value);
	queue->loaded = NULL;
	atomic_fetch_and(&process->loaded, ~BIT(queue->cpu->id));
}

static void call_where_loaded(struct process *process, void (*call)(void *context))
{
	/* After what was changed in the tables. */
	atomic_thread_fence(memory_order_seq_cst);
	for (unsigned i = 0; i < cpu_count(); i++)
		if (process->loaded >> i & 1)
			cpu_call(cpu_at(i), call, process);
}

void schedule_flush(struct process *process)
{
	call_where_loaded(process, flush_call);
}

void schedule_unload(struct process *process)
{
	call_where_loaded(process, unload_call);
}

void schedule_point(void)
{
	cpu_take_interrupts();
	if (cpu_this()->reschedule)
		schedule();
}
