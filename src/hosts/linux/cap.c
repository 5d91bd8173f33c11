/* SPDX-License-Identifier: BSD-2-Clause */
#include "hosts/linux/cap.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "core/vm.h"
#include "hosts/linux/linux.h"
#include "lib/check.h"

#define NANOSECONDS UINT64_C(1000000000)

static uint64_t processor_time(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * NANOSECONDS + (uint64_t)time.tv_nsec;
}

static void look_at(struct cap *cap, uint64_t when)
{
	const struct itimerspec at = {
		.it_value = {(time_t)(when / NANOSECONDS), (long)(when % NANOSECONDS)}};
	const struct itimerspec never = {.it_value = {0, 0}};

	CHECK(timerfd_settime(cap->watch.fd, TFD_TIMER_ABSTIME, when == UINT64_MAX ? &never : &at,
			      NULL) == 0);
}

static void look(struct cap *cap)
{
	const struct allowance_verdict verdict =
		allowance_look(&cap->allowance, processor_time(), host_now());

	if (verdict.stand)
		vm_hold(cap->vm, verdict.stand);
	look_at(cap, verdict.look);
}

static void time_to_look(struct loop_watch *watch, uint32_t events)
{
	struct cap *cap = watch->context;
	uint64_t expirations;

	if (read(watch->fd, &expirations, sizeof(expirations)) > 0)
		look(cap);
}

static int open_timer(struct cap *cap, struct vm *vm)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), error;

	if (fd < 0)
		return -errno;
	cap->vm = vm;
	cap->watch = (struct loop_watch){.fd = fd, .ready = time_to_look, .context = cap};
	error = loop_add(linux_loop(vm), &cap->watch, EPOLLIN);
	if (error)
		close(fd);
	cap->opened = !error;
	return error;
}

int cap_set(struct cap *cap, struct vm *vm, unsigned percent)
{
	int error = percent && !cap->opened ? open_timer(cap, vm) : 0;

	if (error || !cap->opened)
		return error;
	allowance_set(&cap->allowance, percent, vm->vcpu_total, processor_time(), host_now());
	vm_hold(vm, 0);
	look(cap);
	return 0;
}

void cap_end(struct cap *cap)
{
	if (!cap->opened)
		return;
	loop_remove(linux_loop(cap->vm), &cap->watch);
	close(cap->watch.fd);
	cap->opened = false;
}
