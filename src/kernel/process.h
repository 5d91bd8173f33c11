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

struct process {
	struct lock lock; /* protects what has no owner of its own */
	uint32_t id;
	_Atomic uint32_t state; /* enum metal_process_state */
	_Atomic bool ending;	/* its threads leave the kernel no more */
	char name[METAL_NAME_MAX];
	pa_t root;		/* its page tables */
	struct thread *threads;
	uint32_t thread_count, threads_made;
	struct metal_start *start; /* its start page, in the direct map */
	pa_t channel[METAL_CHANNEL_SIZE / 4096];
	uint64_t map_next;	    /* where the next METAL_MAP goes */
	uint64_t modules;	    /* granted */
	uint64_t memory_max;
	struct guest *guest;	    /* machines: memory, APICs, vcpus (guest.h); NULL for the manager */
	struct switch_port *port;   /* NULL: none */
	struct metal_process_config config;
	struct metal_process_set set; /* scheduling; read by the scheduler without the lock */
	uint64_t code, fault_rip, fault_address; /* how it ended */
	_Atomic uint64_t used;	    /* ns of processor time of threads that have ended */
	void *accounting;	    /* schedule.c: the cap's budget */
};

static inline unsigned process_owner(const struct process *process)
{
	return OWNER_PROCESS + process->id;
}

/* Ends the calling thread's process; does not return. For what a process did wrong. */
_Noreturn void process_crash(unsigned vector, uint64_t rip, uint64_t address);

/* Sets bits of its events and wakes its sleeper. Any lock but the wait table's. */
void process_event(struct process *process, uint32_t bits);

/*
 * The current process's memory: pages that are not there yet come in. 0, or -EFAULT with a part
 * copied. No lock held.
 */
int user_read(void *to, ua_t from, uint64_t size);
int user_write(ua_t to, const void *from, uint64_t size);

/* The page at this address of the process, in the direct map, made present and writable; NULL if
 * there is none. It stays while the process has the mapping. */
void *user_page(struct process *process, ua_t address);

#endif
