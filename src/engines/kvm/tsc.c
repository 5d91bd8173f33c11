/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TSC that runs at another speed than the host's, for a machine that was born elsewhere. The
 * processor multiplies by a ratio with 48 (Intel) or 32 (AMD) bits behind the point, which the
 * kernel makes of two frequencies in kHz. We do the same, to know what the guest reads, and
 * compare.
 *
 * Without KVM_CAP_TSC_CONTROL the kernel takes higher frequencies, too, and moves the TSC on at
 * exits: it stands or jumps in between, so that is not used.
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "core/engine.h"
#include "engines/kvm/internal.h"
#include "x86/msr.h"

#define SLACK 64 /* ticks: the kernel's rounding */

static int offset_clear(struct kvm_processor *processor)
{
	uint64_t zero = 0;
	struct kvm_device_attr attribute = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&zero};

	return sync_ioctl(processor, KVM_SET_DEVICE_ATTR, "KVM_VCPU_TSC_OFFSET", &attribute);
}

/* Whether the guest reads what vm_tsc says. */
static bool is_right(struct vm *vm)
{
	uint64_t before = vm_tsc(vm), tsc = 0;

	if (sync_msr(processor_of(vm->vcpus[0]), KVM_GET_MSRS, MSR_TSC, &tsc))
		return false;
	return tsc + SLACK - before <= vm_tsc(vm) + 2 * SLACK - before;
}

static int ratio_find(struct vm *vm, uint64_t khz, uint64_t here_khz)
{
	static const unsigned shifts[] = {48, 32};

	for (unsigned i = 0; i < sizeof(shifts) / sizeof(shifts[0]); i++) {
		vm->tsc_shift = shifts[i];
		vm->tsc_ratio = (uint64_t)(((unsigned __int128)khz << shifts[i]) / here_khz);
		if (is_right(vm))
			return 0;
	}
	vm->tsc_ratio = 0;
	return -ENOTSUP;
}

int kvm_tsc(struct vm *vm, uint64_t frequency, uint64_t *here)
{
	int khz = ioctl(processor_of(vm->vcpus[0])->fd, KVM_GET_TSC_KHZ, 0);

	if (khz <= 0)
		return khz < 0 ? -errno : -EIO;
	*here = (uint64_t)khz * 1000;
	if (engine_tsc_agrees(frequency, *here))
		return 0;
	if (ioctl(machine_of(vm)->fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL) <= 0)
		return -ENOTSUP;
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		struct kvm_processor *processor = processor_of(vm->vcpus[i]);

		if (ioctl(processor->fd, KVM_SET_TSC_KHZ, frequency / 1000))
			return errno == EINVAL ? -ENOTSUP : -errno;
		if (offset_clear(processor))
			return -EIO;
	}
	return ratio_find(vm, frequency / 1000, (uint64_t)khz);
}
