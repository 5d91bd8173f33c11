/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sleeping and waking: the vm's next timer, and vcpus that wait.
 *
 * A timer that comes due while vcpus run is noticed by the main thread through a timerfd. A vcpu
 * that waits (its guest is idle) takes the deadline over: it sleeps until then, runs the timers
 * itself, and finds its interrupt without having been woken by another thread, which would take
 * tens of microseconds more. One vcpu at a time does that.
 *
 * The timerfd is left alone when the deadline moves to a later time, for guests move it thousands
 * of times a second: it then fires too early once, and is set to what is wanted by then.
 */
#include <sched.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "hosts/linux/internal.h"
#include "lib/check.h"

#define NANOSECONDS UINT64_C(1000000000)
#define OFFER_EVERY UINT64_C(2000)  /* ns */
#define TAKEN	    UINT64_C(10000) /* ns */

static void timer_arm(struct linux_vm *linux_vm, uint64_t deadline)
{
	/* An all-zero time would disarm it, and is past anyway. */
	uint64_t at = deadline == UINT64_MAX ? 0 : deadline ? deadline : 1;
	struct itimerspec when = {
		.it_value = {(time_t)(at / NANOSECONDS), (long)(at % NANOSECONDS)}};

	linux_vm->armed = deadline;
	CHECK(timerfd_settime(linux_vm->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) == 0);
}

void host_wake_at(struct vm *vm, uint64_t deadline)
{
	struct linux_vm *linux_vm = linux_vm_of(vm);
	bool earlier;

	if (!linux_vm)
		return; /* linux_vm_attach asks again */
	earlier = deadline < linux_vm->wanted;
	linux_vm->wanted = deadline;
	if (linux_vm->sleeper) {
		if (earlier)
			host_vcpu_wake(linux_vm->sleeper);
	} else if (deadline < linux_vm->armed) {
		timer_arm(linux_vm, deadline);
	}
}

void wake_timer_ready(struct vm *vm)
{
	struct linux_vm *linux_vm = linux_vm_of(vm);
	uint64_t expirations;

	/* Another thread may have set it anew since epoll saw it: then there is nothing to read. */
	if (read(linux_vm->timer_fd, &expirations, sizeof(expirations)) < 0)
		return;
	linux_vm->armed = UINT64_MAX;
	if (linux_vm->wanted <= host_now())
		timers_run(vm);
	else if (!linux_vm->sleeper && linux_vm->wanted != UINT64_MAX)
		timer_arm(linux_vm, linux_vm->wanted);
}

/* The deadline becomes the vcpu's business, unless it is another's already. */
static uint64_t timers_adopt(struct vcpu *vcpu, uint64_t deadline)
{
	struct linux_vm *linux_vm = linux_vm_of(vcpu->vm);

	vm_lock(vcpu->vm);
	if (!linux_vm->sleeper) {
		linux_vm->sleeper = vcpu;
		if (linux_vm->wanted < deadline)
			deadline = linux_vm->wanted;
		if (linux_vm->armed != UINT64_MAX)
			timer_arm(linux_vm, UINT64_MAX);
	}
	vm_unlock(vcpu->vm);
	return deadline;
}

static void timers_hand_back(struct vcpu *vcpu)
{
	struct linux_vm *linux_vm = linux_vm_of(vcpu->vm);

	vm_lock(vcpu->vm);
	if (linux_vm->sleeper == vcpu) {
		linux_vm->sleeper = NULL;
		if (linux_vm->wanted <= host_now())
			timers_run(vcpu->vm);
		else if (linux_vm->wanted < linux_vm->armed)
			timer_arm(linux_vm, linux_vm->wanted);
	}
	vm_unlock(vcpu->vm);
}

void host_vcpu_wait(struct vcpu *vcpu, uint64_t deadline)
{
	if (atomic_exchange(&vcpu->wake, 0))
		return;
	deadline = timers_adopt(vcpu, deadline);
	futex_wait(&vcpu->wake, 0, deadline);
	/*
	 * With the token there, a timer that wants this very vcpu has no sleeper to wake. A token
	 * that is cleared with it is not lost: whoever left it had said in `pending` why, and our
	 * caller looks there.
	 */
	atomic_store(&vcpu->wake, 1);
	timers_hand_back(vcpu);
	atomic_store(&vcpu->wake, 0);
}

/* Has each vcpu that doesn't sleep a processor of its own? This one doesn't. */
static bool processors_suffice(const struct vm *vm)
{
	unsigned awake = 0;

	for (unsigned i = 0; i < vm->vcpu_count; i++)
		awake += atomic_load_explicit(&vm->vcpus[i]->place, memory_order_relaxed) !=
			 VCPU_WAITING;
	return awake <= linux_vm_of(vm)->processors;
}

/*
 * Now and then the processor is offered to whoever is ready to run on it. If we get it back late,
 * somebody was; and it may have been whom the caller waits for.
 */
bool host_poll(const _Atomic uint32_t *word, uint32_t bits, uint64_t nanoseconds, bool *crowded)
{
	uint64_t begin = host_now(), last = begin, now = begin;

	*crowded = false;
	for (;;) {
		if (atomic_load_explicit(word, memory_order_acquire) & bits)
			return true;
		if (now - last > OFFER_EVERY) {
			sched_yield();
			last = host_now();
			*crowded = last - now > TAKEN;
		}
		if (*crowded || now - begin >= nanoseconds)
			return false;
		__builtin_ia32_pause();
		now = host_now();
	}
}

bool host_vcpu_poll(struct vcpu *vcpu, uint32_t bits, uint64_t nanoseconds, bool *crowded)
{
	*crowded = false;
	return processors_suffice(vcpu->vm) &&
	       host_poll(&vcpu->pending, bits, nanoseconds, crowded);
}

void host_vcpu_wake(struct vcpu *vcpu)
{
	if (atomic_exchange(&vcpu->wake, 1) == 0)
		futex_wake(&vcpu->wake, 1);
}
