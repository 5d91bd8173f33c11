/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * That /dev/kvm opens says little: some hosts emulate it so far that a stock kernel never finishes
 * booting. A true one is told from such by a guest of two instructions: fld1 (which emulators of a
 * few instructions don't know) and hlt.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engines/kvm/internal.h"
#include "lib/bits.h"

#define PATIENCE    500000000 /* ns, until the guest is taken for stuck */
#define AGAIN	    10000000  /* ns, should the first signal have come too early */
#define API_VERSION 12
#define PAGE	    4096

static const struct {
	int number;
	const char *name;
} needed[] = {
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
	{KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP"},
	{KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
	{KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
	{KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
	{KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
	{KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS"},
	{KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
	{KVM_CAP_XCRS, "KVM_CAP_XCRS"},
	{KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
	{KVM_CAP_IOEVENTFD_ANY_LENGTH, "KVM_CAP_IOEVENTFD_ANY_LENGTH"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
	{KVM_CAP_X86_USER_SPACE_MSR, "KVM_CAP_X86_USER_SPACE_MSR"},
	{KVM_CAP_X86_MSR_FILTER, "KVM_CAP_X86_MSR_FILTER"},
	{KVM_CAP_VCPU_ATTRIBUTES, "KVM_CAP_VCPU_ATTRIBUTES"},
};

const char *probe_missing(int kvm)
{
	for (unsigned i = 0; i < ARRAY_LENGTH(needed); i++)
		if (ioctl(kvm, KVM_CHECK_EXTENSION, needed[i].number) <= 0)
			return needed[i].name;
	return NULL;
}

/* The alarm: a signal to this thread, which ends KVM_RUN. */

struct alarm {
	timer_t timer;
	struct sigaction before;
	sigset_t mask;
};

static void nothing(int signal)
{
}

static bool alarm_set(struct alarm *alarm)
{
	struct sigaction action = {.sa_handler = nothing};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
	const struct itimerspec when = {.it_value = {.tv_nsec = PATIENCE},
					.it_interval = {.tv_nsec = AGAIN}};
	sigset_t open;

	event._sigev_un._tid = (int)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &event, &alarm->timer))
		return false;
	sigaction(SIGUSR1, &action, &alarm->before);
	sigemptyset(&open);
	sigaddset(&open, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &open, &alarm->mask);
	timer_settime(alarm->timer, 0, &when, NULL);
	return true;
}

static void alarm_clear(struct alarm *alarm)
{
	timer_delete(alarm->timer);
	pthread_sigmask(SIG_SETMASK, &alarm->mask, NULL);
	sigaction(SIGUSR1, &alarm->before, NULL);
}

/* The guest */

struct guest {
	int vm, vcpu;
	uint8_t *memory;
	struct kvm_run *run;
	size_t run_size;
};

static bool guest_make(struct guest *guest, int kvm)
{
	static const uint8_t code[] = {0xd9, 0xe8, 0xf4}; /* fld1; hlt */
	struct kvm_userspace_memory_region region = {.memory_size = PAGE};
	struct kvm_regs regs = {.rflags = 2};
	struct kvm_sregs sregs;
	int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *run;

	guest->vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (guest->vm < 0 || size <= 0)
		return false;
	memcpy(guest->memory, code, sizeof(code));
	region.userspace_addr = (uintptr_t)guest->memory;
	if (ioctl(guest->vm, KVM_SET_USER_MEMORY_REGION, &region))
		return false;
	guest->vcpu = ioctl(guest->vm, KVM_CREATE_VCPU, 0);
	if (guest->vcpu < 0 || ioctl(guest->vcpu, KVM_GET_SREGS, &sregs))
		return false;
	sregs.cs.base = sregs.cs.selector = 0;
	guest->run_size = (size_t)size;
	run = mmap(NULL, guest->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, guest->vcpu, 0);
	if (run == MAP_FAILED)
		return false;
	guest->run = run;
	return !ioctl(guest->vcpu, KVM_SET_SREGS, &sregs) &&
	       !ioctl(guest->vcpu, KVM_SET_REGS, &regs);
}

static enum probe_verdict guest_run(const struct guest *guest)
{
	if (ioctl(guest->vcpu, KVM_RUN, 0))
		return errno == EINTR ? PROBE_STUCK : PROBE_FAILS;
	switch (guest->run->exit_reason) {
	case KVM_EXIT_HLT:
		return PROBE_TRUE;
	case KVM_EXIT_INTERNAL_ERROR:
		return PROBE_EMULATED;
	default:
		return PROBE_FAILS;
	}
}

static void guest_free(struct guest *guest)
{
	if (guest->run)
		munmap(guest->run, guest->run_size);
	if (guest->vcpu >= 0)
		close(guest->vcpu);
	if (guest->vm >= 0)
		close(guest->vm);
	munmap(guest->memory, PAGE);
}

static enum probe_verdict try_guest(int kvm)
{
	struct guest guest = {.vm = -1, .vcpu = -1};
	enum probe_verdict verdict = PROBE_FAILS;
	struct alarm alarm;

	guest.memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (guest.memory == MAP_FAILED)
		return PROBE_FAILS;
	if (alarm_set(&alarm)) {
		if (guest_make(&guest, kvm))
			verdict = guest_run(&guest);
		alarm_clear(&alarm);
	}
	guest_free(&guest);
	return verdict;
}

/* A computer that is short of time may take long for the first. */
enum probe_verdict probe_guest(int kvm)
{
	enum probe_verdict verdict = try_guest(kvm);

	return verdict == PROBE_STUCK ? try_guest(kvm) : verdict;
}

/* The verdict */

static int refused(int error, char *reason, size_t size)
{
	const char *advice = "";

	if (error == EACCES || error == EPERM)
		advice = ": join the group kvm (sudo usermod -aG kvm $USER), and log in again";
	else if (error == ENOENT || error == ENODEV || error == ENXIO)
		advice =
			": the processor or the firmware's settings offer no virtualization, or "
			"the modules kvm_amd and kvm_intel are not loaded (or, in a container, the "
			"device is not passed in)";
	snprintf(reason, size, "/dev/kvm: %s%s", strerror(error), advice);
	return -error;
}

/* Whether the module of an emulation is there and that of no processor: its guest need not be run
 * to know. */
static bool is_known_emulation(void)
{
	return !access("/sys/module/kvm_pvm", F_OK) && access("/sys/module/kvm_amd", F_OK) &&
	       access("/sys/module/kvm_intel", F_OK);
}

static int judge(int kvm, char *reason, size_t size)
{
	const char *missing;

	if (ioctl(kvm, KVM_GET_API_VERSION, 0) != API_VERSION) {
		snprintf(reason, size, "/dev/kvm is not the KVM that Lodge knows");
		return -ENOTSUP;
	}
	if (is_known_emulation()) {
		snprintf(reason, size,
			 "/dev/kvm is kvm_pvm, which only emulates a guest's kernel, and not all "
			 "instructions");
		return -ENOTSUP;
	}
	missing = probe_missing(kvm);
	if (missing) {
		snprintf(reason, size, "this kernel's KVM lacks %s: Linux 5.16 or later has it",
			 missing);
		return -ENOTSUP;
	}
	switch (probe_guest(kvm)) {
	case PROBE_TRUE:
		snprintf(reason, size, "guests run on the processor");
		return 0;
	case PROBE_EMULATED:
		snprintf(reason, size,
			 "/dev/kvm opens, but only emulates a guest, and not all instructions");
		return -ENOTSUP;
	case PROBE_STUCK:
		snprintf(reason, size,
			 "/dev/kvm opens, but its first guests did not end within %d ms",
			 PATIENCE / 1000000);
		return -ETIMEDOUT;
	default:
		snprintf(reason, size, "/dev/kvm opens, but no guest can be run with it");
		return -EIO;
	}
}

int kvm_probe(char *reason, size_t size)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), verdict;

	if (kvm < 0)
		return refused(errno, reason, size);
	verdict = judge(kvm, reason, size);
	close(kvm);
	return verdict;
}
