/* SPDX-License-Identifier: BSD-2-Clause */
/* A thread's beginning and end. Its struct is at the top of its stack, so it costs no more than
 * that. */
#include "kernel/thread.h"

#include <stddef.h>

#include "kernel/page.h"
#include "kernel/trap.h"
#include "lib/bits.h"
#include "lib/bytes.h"

extern const uint8_t switch_begin[];
_Noreturn void switch_to_user(uint64_t entry, uint64_t stack, uint64_t argument);
_Noreturn void thread_begin(void);

static void deadline_came(struct timer *timer)
{
	thread_wake((struct thread *)((char *)timer - offsetof(struct thread, deadline)));
}

struct thread *thread_create(struct process *process, uint64_t entry, uint64_t stack,
			     uint64_t argument)
{
	uint64_t top = stack_create(), *frame;
	struct thread *thread;

	if (!top)
		return NULL;
	thread = (struct thread *)align_down(top - sizeof(*thread), 64);
	*thread = (struct thread){
		.process = process,
		.stack = top,
		.stack_top = (uint64_t)thread,
		.state = THREAD_NEW,
		.cpu = cpu_this(),
		.user_entry = entry,
		.user_stack = stack,
		.user_argument = argument,
	};
	timer_init(&thread->deadline, deadline_came);
	/* What switch_stacks takes off: six registers, the address that it returns to; and the
	 * stack is aligned then. */
	frame = (uint64_t *)thread->stack_top - 9;
	bytes_fill(frame, 0, 9 * sizeof(*frame));
	frame[6] = (uint64_t)switch_begin;
	thread->stack_pointer = (uint64_t)frame;
	return thread;
}

void thread_destroy(struct thread *thread)
{
	timer_cancel_wait(&thread->deadline);
	stack_destroy(thread->stack);
}

/* The first C code of each, called by thread_switch.S. */
_Noreturn void thread_begin(void)
{
	struct thread *thread = thread_this();

	if (!thread->process)
		((void (*)(void))thread->user_entry)();
	user_return();
	switch_to_user(thread->user_entry, thread->user_stack, thread->user_argument);
}
