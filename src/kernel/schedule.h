/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler's other half (thread.h has what threads call): for processors and processes. */
#ifndef KERNEL_SCHEDULE_H
#define KERNEL_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/thread.h"

/* Makes the processor's run queue: threads may be started then. What runs becomes its idle thread.
 */
void schedule_prepare(void);

/*
 * On each processor when all else of it is ready: its idle thread, for that is what has been
 * running; threads run there from now on. Does not return. Its stack stays in use.
 */
_Noreturn void schedule_start(void);

/* What a process has at the scheduler (process->accounting). -ENOMEM. No thread of its at the end.
 */
int schedule_process_init(struct process *process);
void schedule_process_done(struct process *process);

/* process->set or ->ending was changed: all processors look. No lock held but processes'. */
void schedule_process_changed(struct process *process);

/*
 * The process's translations are forgotten wherever its page tables are loaded; they are loaded
 * nowhere any more (its last thread has ended). No lock held.
 */
void schedule_flush(struct process *process);
void schedule_unload(struct process *process);

/* In long work of the kernel, with no lock held: takes interrupts, and lets others run. */
void schedule_point(void);

/* thread_switch.S's first C code of a new thread, and what follows each switch. */
void schedule_finish(void);

#endif
