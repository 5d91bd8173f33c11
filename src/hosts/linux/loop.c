/* SPDX-License-Identifier: BSD-2-Clause */
#include "hosts/linux/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "hosts/linux/internal.h"
#include "lib/check.h"

#define BATCH 32

struct loop {
	struct vm *vm;
	int epoll_fd, event_fd, signal_fd;
	struct loop_watch event_watch, signal_watch, timer_watch;

	/* Vm's lock. */
	struct loop_watch *always; /* watches of files that are always ready */
	unsigned removals;    /* of watches so far: what epoll reported before one may name what is
				 gone */
	uint32_t pauses_told; /* vm->pauses when loop_run last returned */
	void (*on_signal)(void *context, int signal);
	void *signal_context;

	pthread_mutex_t calls_lock; /* for: */
	struct loop_call *calls, **calls_end;
};

/* Without events it stays in the epoll, for to put it back may fail. That would report hang-ups for
 * ever, but in this way tells them once. */
static int watch_control(struct loop *loop, int operation, struct loop_watch *watch)
{
	struct epoll_event event = {.events = watch->events ? watch->events : EPOLLONESHOT,
				    .data.ptr = watch};

	return epoll_ctl(loop->epoll_fd, operation, watch->fd, &event) < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	int error;

	watch->events = events;
	watch->always = false;
	error = watch_control(loop, EPOLL_CTL_ADD, watch);
	if (error == -EPERM) {
		/* Regular files and some devices: they never make anybody wait. */
		watch->always = true;
		watch->next = loop->always;
		loop->always = watch;
		if (events)
			host_vm_notify(loop->vm);
		error = 0;
	}
	return error;
}

void loop_change(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	uint32_t before = watch->events;

	watch->events = events;
	if (watch->always && events)
		host_vm_notify(loop->vm); /* it may be asleep without a time limit */
	if (watch->always || events == before)
		return;
	CHECK(watch_control(loop, EPOLL_CTL_MOD, watch) == 0);
}

void loop_remove(struct loop *loop, struct loop_watch *watch)
{
	struct loop_watch **link = &loop->always;

	watch->events = 0;
	if (!watch->always) {
		loop->removals++;
		CHECK(watch_control(loop, EPOLL_CTL_DEL, watch) == 0);
		return;
	}
	while (*link && *link != watch)
		link = &(*link)->next;
	if (*link)
		*link = watch->next;
}

void host_vm_notify(struct vm *vm)
{
	struct linux_vm *linux_vm = linux_vm_of(vm);
	uint64_t one = 1;

	/* It fails only when the count is at its end, and then the loop wakes anyway. */
	if (linux_vm && linux_vm->loop)
		(void)!write(linux_vm->loop->event_fd, &one, sizeof(one));
}

void loop_post(struct loop *loop, struct loop_call *call)
{
	bool was_posted;

	pthread_mutex_lock(&loop->calls_lock);
	was_posted = call->posted;
	if (!was_posted) {
		call->posted = true;
		call->next = NULL;
		*loop->calls_end = call;
		loop->calls_end = &call->next;
	}
	pthread_mutex_unlock(&loop->calls_lock);
	if (!was_posted)
		host_vm_notify(loop->vm);
}

void loop_withdraw(struct loop *loop, struct loop_call *call)
{
	struct loop_call **link = &loop->calls;

	pthread_mutex_lock(&loop->calls_lock);
	while (*link && *link != call)
		link = &(*link)->next;
	if (*link) {
		*link = call->next;
		if (!*link)
			loop->calls_end = link;
		call->posted = false;
	}
	pthread_mutex_unlock(&loop->calls_lock);
}

static struct loop_call *call_take(struct loop *loop)
{
	struct loop_call *call;

	pthread_mutex_lock(&loop->calls_lock);
	call = loop->calls;
	if (call) {
		loop->calls = call->next;
		if (!loop->calls)
			loop->calls_end = &loop->calls;
		call->posted = false;
	}
	pthread_mutex_unlock(&loop->calls_lock);
	return call;
}

static void event_ready(struct loop_watch *watch, uint32_t events)
{
	struct loop *loop = watch->context;
	struct loop_call *call;
	uint64_t count;

	(void)!read(watch->fd, &count, sizeof(count));
	while ((call = call_take(loop)))
		call->call(call);
}

static void signal_ready(struct loop_watch *watch, uint32_t events)
{
	struct loop *loop = watch->context;
	struct signalfd_siginfo info;

	while (read(watch->fd, &info, sizeof(info)) == sizeof(info)) {
		int number = (int)info.ssi_signo;

		if (number != SIGWINCH && number != SIGCONT) {
			host_log(LOG_INFO, "signal %d: the virtual machine is stopped", number);
			vm_stop(loop->vm, VM_KILLED, number);
		} else if (loop->on_signal) {
			loop->on_signal(loop->signal_context, number);
		}
	}
}

static void timer_ready(struct loop_watch *watch, uint32_t events)
{
	struct loop *loop = watch->context;

	wake_timer_ready(loop->vm);
}

void loop_on_signal(struct loop *loop, void (*call)(void *context, int signal), void *context)
{
	loop->on_signal = call;
	loop->signal_context = context;
}

static int watch_own(struct loop *loop, struct loop_watch *watch, int fd,
		     void (*ready)(struct loop_watch *watch, uint32_t events))
{
	*watch = (struct loop_watch){.fd = fd, .ready = ready, .context = loop};
	return fd < 0 ? -errno : loop_add(loop, watch, EPOLLIN);
}

int loop_create(struct loop **result, struct vm *vm)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	sigset_t taken;
	int error;

	if (!loop)
		return -ENOMEM;
	sigemptyset(&taken);
	sigaddset(&taken, SIGINT);
	sigaddset(&taken, SIGTERM);
	sigaddset(&taken, SIGHUP);
	sigaddset(&taken, SIGQUIT);
	sigaddset(&taken, SIGWINCH);
	sigaddset(&taken, SIGCONT);
	loop->vm = vm;
	loop->calls_end = &loop->calls;
	pthread_mutex_init(&loop->calls_lock, NULL);
	loop->event_fd = loop->signal_fd = -1;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	error = loop->epoll_fd < 0 ? -errno : 0;
	if (!error)
		error = watch_own(loop, &loop->event_watch,
				  loop->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
				  event_ready);
	if (!error)
		error = watch_own(loop, &loop->signal_watch,
				  loop->signal_fd =
					  signalfd(-1, &taken, SFD_NONBLOCK | SFD_CLOEXEC),
				  signal_ready);
	if (!error)
		error = watch_own(loop, &loop->timer_watch, linux_vm_of(vm)->timer_fd, timer_ready);
	if (error) {
		loop_destroy(loop);
		return error;
	}
	*result = loop;
	return 0;
}

void loop_destroy(struct loop *loop)
{
	if (loop->signal_fd >= 0)
		close(loop->signal_fd);
	if (loop->event_fd >= 0)
		close(loop->event_fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	pthread_mutex_destroy(&loop->calls_lock);
	free(loop);
}

static bool always_wanted(const struct loop *loop)
{
	for (const struct loop_watch *watch = loop->always; watch; watch = watch->next)
		if (watch->events)
			return true;
	return false;
}

/* One that is always ready per turn: the list may change under each call. */
static void serve_always(struct loop *loop)
{
	for (struct loop_watch *watch = loop->always; watch; watch = watch->next) {
		if (watch->events) {
			watch->ready(watch, watch->events);
			return;
		}
	}
}

/* Vm's lock held; it is dropped while there is nothing to do. */
static void serve(struct loop *loop)
{
	unsigned removals = loop->removals;
	bool always = always_wanted(loop);
	struct epoll_event batch[BATCH];
	int count;

	vm_unlock(loop->vm);
	count = epoll_wait(loop->epoll_fd, batch, BATCH, always ? 0 : -1);
	CHECK(count >= 0 || errno == EINTR);
	vm_lock(loop->vm);
	/* What is left over after a removal is reported once more. */
	for (int i = 0; i < count && removals == loop->removals; i++) {
		struct loop_watch *watch = batch[i].data.ptr;

		if (watch->events)
			watch->ready(watch, batch[i].events);
	}
	serve_always(loop);
}

void loop_run(struct loop *loop)
{
	struct vm *vm = loop->vm;

	vm_lock(vm);
	/* Compared by number: it may have become paused before the loop was entered. */
	while (atomic_load(&vm->stop) == VM_RUNNING &&
	       (!vm_paused(vm) || vm->pauses == loop->pauses_told))
		serve(loop);
	loop->pauses_told = vm->pauses;
	vm_unlock(vm);
}
