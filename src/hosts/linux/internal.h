/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of hosts/linux share among themselves. */
#ifndef HOSTS_LINUX_INTERNAL_H
#define HOSTS_LINUX_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/vm.h"

/* vm->host_private. */
struct linux_vm {
	struct loop *loop;
	pthread_t threads[VM_VCPUS_MAX];
	unsigned thread_count;
	unsigned processors; /* that our threads may use */

	/* The vm's timers (wake.c); all under the vm's lock. */
	int timer_fd;
	uint64_t wanted;      /* the deadline asked for by host_wake_at */
	uint64_t armed;	      /* what timer_fd is set to; never later than wanted unless there is a
				 sleeper */
	struct vcpu *sleeper; /* a vcpu that sleeps until `wanted` and will run the timers itself */
};

static inline struct linux_vm *linux_vm_of(const struct vm *vm)
{
	return vm->host_private;
}

/* timer_fd is readable. Vm's lock held. */
void wake_timer_ready(struct vm *vm);

/* futex system calls on a private word. wait: until it is woken, the word is not `value`, or the
 * clock reaches deadline (UINT64_MAX: never). */
void futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t deadline);
void futex_wake(_Atomic uint32_t *word, int count);

/* Writes all of it to a file, as far as that goes. Fit for signal handlers. */
void write_all(int fd, const char *bytes, unsigned long length);

/* Puts the terminal back as it was found, if it is raw. Fit for signal handlers. */
void terminal_restore(void);

/* Notes a pair of clock readings, so that the TSC's frequency is known without waiting later. */
void clock_begin(void);

#endif
