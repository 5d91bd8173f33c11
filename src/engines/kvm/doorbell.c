/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Doorbells: the kernel takes the write (KVM_IOEVENTFD), the vcpu goes on, and a thread of ours
 * hears the eventfd and rings. It begins with the first bell.
 *
 * What epoll reports may be about a bell that has been taken away, or about the one that has its
 * slot now: so what counts is the eventfd's count, which is read under the vm's lock.
 */
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/doorbell.h"
#include "core/engine.h"
#include "engines/kvm/internal.h"

#define BATCH 16
#define END   BELLS_MAX /* what epoll says of the eventfd that ends the thread */

/* Of any size: then hardware that can need not have the instruction decoded. */
static int ioeventfd(const struct vm *vm, const struct doorbell *bell, int fd, uint32_t flags)
{
	struct kvm_ioeventfd request = {.addr = bell->address, .fd = fd, .flags = flags};

	return ioctl(machine_of(vm)->fd, KVM_IOEVENTFD, &request) ? -errno : 0;
}

/* Whether it has been written to since the last time. */
static bool was_written(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}

static void hear(struct bells *bells, unsigned slot)
{
	struct bell *one = &bells->bell[slot];

	if (!one->rings || !was_written(one->fd))
		return;
	bells->heard++;
	doorbell_ring(one->rings);
}

static void *listen_to_bells(void *argument)
{
	struct vm *vm = argument;
	struct bells *bells = &machine_of(vm)->bells;
	struct epoll_event batch[BATCH];
	bool ends = false;

	pthread_setname_np(pthread_self(), "doorbells");
	while (!ends) {
		int count = epoll_wait(bells->epoll, batch, BATCH, -1);

		vm_lock(vm);
		for (int i = 0; i < count; i++) {
			if (batch[i].data.u32 == END)
				ends = true;
			else
				hear(bells, batch[i].data.u32);
		}
		vm_unlock(vm);
	}
	return NULL;
}

static int watch(struct bells *bells, int fd, uint32_t slot)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = slot};

	return epoll_ctl(bells->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int thread_start(struct vm *vm)
{
	struct bells *bells = &machine_of(vm)->bells;
	sigset_t all, old;
	int error;

	bells->epoll = epoll_create1(EPOLL_CLOEXEC);
	bells->end = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	error = bells->epoll < 0 || bells->end < 0 ? -errno : watch(bells, bells->end, END);
	if (!error) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		error = -pthread_create(&bells->thread, NULL, listen_to_bells, vm);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	bells->runs = !error;
	if (!error)
		return 0;
	if (bells->epoll >= 0)
		close(bells->epoll);
	if (bells->end >= 0)
		close(bells->end);
	return error;
}

void bells_end(struct kvm_machine *machine)
{
	struct bells *bells = &machine->bells;
	uint64_t one = 1;

	if (!bells->runs)
		return;
	(void)!write(bells->end, &one, sizeof(one));
	pthread_join(bells->thread, NULL);
	close(bells->epoll);
	close(bells->end);
	bells->runs = false;
	host_log(LOG_INFO, "engine: doorbells: %lu times heard without an exit",
		 (unsigned long)bells->heard);
}

static int kvm_place(struct vm *vm, struct doorbell *bell)
{
	struct bells *bells = &machine_of(vm)->bells;
	int fd, error = bells->runs ? 0 : thread_start(vm);
	unsigned slot = 0;

	while (slot < BELLS_MAX && bells->bell[slot].rings)
		slot++;
	if (error || slot == BELLS_MAX)
		return error ? error : -ENOSPC;
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	error = ioeventfd(vm, bell, fd, 0);
	if (!error) {
		error = watch(bells, fd, slot);
		if (error)
			ioeventfd(vm, bell, fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
	}
	if (error) {
		close(fd);
		return error;
	}
	bells->bell[slot] = (struct bell){.fd = fd, .rings = bell};
	bell->slot = slot;
	return 0;
}

static bool kvm_remove(struct vm *vm, struct doorbell *bell)
{
	struct bell *one = &machine_of(vm)->bells.bell[bell->slot];
	bool written;

	ioeventfd(vm, bell, one->fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
	written = was_written(one->fd);
	/* It leaves the epoll with that. */
	close(one->fd);
	one->rings = NULL;
	return written;
}

const struct engine_doorbells kvm_doorbells = {.place = kvm_place, .remove = kvm_remove};
