/* SPDX-License-Identifier: BSD-2-Clause */
/* Processes: an address space, threads, what they own. And how the kernel reaches their memory. */
#ifndef KERNEL_PROCESS_H
#define KERNEL_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/abi.h"
#include "kernel/address.h"
#include "kernel/frame.h"
#include "kernel/lock.h"
#include "kernel/thread.h"

struct guest;
struct mapping;
struct program;
struct share;

#define PROCESSES_MAX (METAL_MACHINES_MAX + 1)
#define THREADS_MAX   64 /* of a process */

/* What its slot in the table of processes is in; under its lock. */
enum process_place {
	PROCESS_FREE,
	PROCESS_MADE,	/* METAL_PROCESS_CREATE is at it: nobody else may touch it */
	PROCESS_ALIVE,	/* it has, or may get, threads */
	PROCESS_ENDED,	/* everything was given back; only METAL_PROCESS_INFO still has an answer */
	PROCESS_KILLED, /* METAL_PROCESS_KILL is at it */
};

/* Its memory stays for ever, and serves the next process of the same id. */
struct process {
	struct lock lock; /* protects what has no owner of its own */
	uint32_t id;
	uint32_t place;		/* enum process_place */
	_Atomic uint32_t state; /* enum metal_process_state */
	_Atomic bool ending;	/* its threads leave the kernel no more */
	char name[METAL_NAME_MAX];
	pa_t root;		 /* its page tables */
	_Atomic uint64_t loaded; /* on which processors they are loaded */
	struct thread *threads;
	uint32_t thread_count, threads_made;
	struct thread *first;	   /* METAL_PROCESS_SET is to start it */
	struct metal_start *start; /* its start page, in the direct map */
	void *channel;		   /* its pages, which are the kernel's */
	pa_t vcpu_page[METAL_VCPUS_MAX];
	struct mapping *mappings;
	unsigned mapping_count;
	struct guest *guest; /* machines: memory, APICs, vcpus (guest.h); NULL for the manager */
	struct switch_port *port; /* NULL: none */
	struct metal_process_config config;
	struct metal_process_set set; /* scheduling; read by the scheduler without the lock */
	uint64_t code, fault_rip, fault_address; /* how it ended */
	bool counted;				 /* its last thread has ended: ... */
	struct metal_process_info last; /* ... the answer to METAL_PROCESS_INFO from then on */
	_Atomic uint64_t used;		/* ns of processor time of threads that have ended */
	struct share *accounting;	/* queue.h */
	uint64_t log_time;		/* METAL_LOG: how much it may still say (call.c) */
	struct thread *killer;		/* METAL_PROCESS_KILL: who waits for its end */
};

static inline unsigned process_owner(const struct process *process)
{
	return OWNER_PROCESS + process->id;
}

static inline struct process *process_this(void)
{
	return thread_this()->process;
}

/* The manager and what reaps the dead. On the first processor, when everything else is ready. */
void process_start_manager(void);

/* Ends the calling thread's process, as METAL_EXIT does. */
_Noreturn void process_exit(uint64_t code);

/* Sets bits of its events and wakes its sleeper. Any lock but the wait table's. */
void process_event(struct process *process, uint32_t bits);

/* program.c: text and constants are mapped where they are in the image, data is copied. 0, -ENOMEM
 * or -ENOEXEC (with a part mapped). The process's lock is held or nobody else knows it. */
int program_load(struct process *process, const struct program *program);

/* A thread that is dead and off its stack. No lock held. */
void process_reap(struct thread *thread);

/* The system calls of these names, with their arguments copied in. */
int64_t process_thread_create(uint64_t entry, uint64_t stack, uint64_t argument);
int64_t process_create(struct metal_process_config *config);
int64_t process_set(uint64_t id, const struct metal_process_set *set);
int64_t process_kill(uint64_t id);
int64_t process_info(uint64_t id, struct metal_process_info *info);
int64_t process_notify(uint64_t id, uint32_t bits);

/*
 * METAL_WAIT and METAL_WAKE, of the current process (wait.c): sleepers by the physical address of a
 * word, so that memory that two processes share works. wake_direct wakes all who wait for this word
 * of the kernel's direct map; any lock but the wait table's.
 */
int64_t wait_word(ua_t word, uint32_t value, uint64_t deadline);
int64_t wake_word(ua_t word, uint32_t count);
void wake_direct(const void *word);

/*
 * The current process's memory: pages that are not there yet come in. 0, or -EFAULT with a part
 * copied. No lock held.
 */
int user_read(void *to, ua_t from, uint64_t size);
int user_write(ua_t to, const void *from, uint64_t size);

/* Where this address of the process is in the direct map, its page made present; NULL if there is
 * none that it may write to. Its lock is held; the result is good until that is dropped. */
void *user_page(struct process *process, ua_t address);

#endif
