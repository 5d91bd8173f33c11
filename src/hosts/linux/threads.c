/* SPDX-License-Identifier: BSD-2-Clause */
/* A thread for each vcpu. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "hosts/linux/internal.h"
#include "hosts/linux/linux.h"
#include "hosts/linux/loop.h"
#include "lib/check.h"
#include "lib/format.h"

#define STACK_SIZE	  (1 << 20)
#define SIGNAL_STACK_SIZE (64 << 10)
#define JOIN_PATIENCE	  20 /* seconds */

int linux_vm_attach(struct vm *vm)
{
	struct linux_vm *linux_vm = calloc(1, sizeof(*linux_vm));
	int error;

	if (!linux_vm)
		return -ENOMEM;
	linux_vm->wanted = linux_vm->armed = UINT64_MAX;
	linux_vm->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (linux_vm->timer_fd < 0) {
		error = -errno;
		free(linux_vm);
		return error;
	}
	vm->host_private = linux_vm;
	error = loop_create(&linux_vm->loop, vm);
	if (error) {
		vm->host_private = NULL;
		close(linux_vm->timer_fd);
		free(linux_vm);
		return error;
	}
	vm_lock(vm);
	timers_wake(vm);
	vm_unlock(vm);
	return 0;
}

void linux_vm_detach(struct vm *vm)
{
	struct linux_vm *linux_vm = linux_vm_of(vm);

	if (!linux_vm)
		return;
	CHECK(linux_vm->thread_count == 0);
	vm->host_private = NULL;
	loop_destroy(linux_vm->loop);
	close(linux_vm->timer_fd);
	free(linux_vm);
}

struct loop *linux_loop(const struct vm *vm)
{
	return linux_vm_of(vm)->loop;
}

/* What an engine may want to handle on its thread: faults, and SIGUSR1 to be kicked by. Anything
 * else goes to the main thread. */
static void block_signals(void)
{
	sigset_t blocked;

	sigfillset(&blocked);
	sigdelset(&blocked, SIGSEGV);
	sigdelset(&blocked, SIGBUS);
	sigdelset(&blocked, SIGILL);
	sigdelset(&blocked, SIGFPE);
	sigdelset(&blocked, SIGTRAP);
	sigdelset(&blocked, SIGSYS);
	sigdelset(&blocked, SIGABRT);
	sigdelset(&blocked, SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &blocked, NULL);
}

static void *thread_main(void *argument)
{
	struct vcpu *vcpu = argument;
	char name[16];
	stack_t stack = {.ss_size = SIGNAL_STACK_SIZE};
	stack_t none = {.ss_flags = SS_DISABLE};

	format(name, sizeof(name), "vcpu %u", vcpu->id);
	prctl(PR_SET_NAME, name);
	block_signals();
	/* A handler that runs while the stack pointer is the guest's needs a stack of its own. */
	stack.ss_sp = host_pages(SIGNAL_STACK_SIZE);
	if (!stack.ss_sp) {
		host_log(LOG_ERROR, "no memory for the signal stack of vcpu %u", vcpu->id);
		vm_stop(vcpu->vm, VM_FAILED, 0);
		return NULL;
	}
	CHECK(sigaltstack(&stack, NULL) == 0);
	vcpu_run(vcpu);
	CHECK(sigaltstack(&none, NULL) == 0);
	host_pages_free(stack.ss_sp, SIGNAL_STACK_SIZE);
	return NULL;
}

/* Where they can't be counted, one: then no vcpu looks out for another's message. */
static unsigned processors_count(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

int linux_vm_start(struct vm *vm)
{
	struct linux_vm *linux_vm = linux_vm_of(vm);
	pthread_attr_t attributes;
	int error = 0;

	CHECK(linux_vm->thread_count == 0);
	linux_vm->processors = processors_count();
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	for (unsigned i = 0; i < vm->vcpu_count && !error; i++) {
		error = pthread_create(&linux_vm->threads[i], &attributes, thread_main,
				       vm->vcpus[i]);
		if (!error)
			linux_vm->thread_count++;
	}
	pthread_attr_destroy(&attributes);
	if (error) {
		vm_stop(vm, VM_FAILED, 0);
		linux_vm_join(vm);
	}
	return -error;
}

/* A vcpu leaves within a moment of being asked. One that doesn't is a bug of ours, and nobody's
 * guest should have to be ended with kill -9 for it. */
static void join_thread(pthread_t thread)
{
	struct timespec deadline;
	int error;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += JOIN_PATIENCE;
	error = pthread_timedjoin_np(thread, NULL, &deadline);
	if (error)
		host_log(LOG_ERROR, "a vcpu has not stopped within %d s of being asked to",
			 JOIN_PATIENCE);
	CHECK(!error);
}

void linux_vm_join(struct vm *vm)
{
	struct linux_vm *linux_vm = linux_vm_of(vm);

	while (linux_vm->thread_count > 0)
		join_thread(linux_vm->threads[--linux_vm->thread_count]);
}

void linux_loop_run(struct vm *vm)
{
	loop_run(linux_loop(vm));
}
