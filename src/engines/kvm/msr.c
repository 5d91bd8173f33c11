/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSRs. The table of x86/msr.c says which exist on every engine. The kernel keeps those of them
 * that the processor needs, the local APIC's and the time's; all others come here, so that an
 * unknown one faults, and a constant one has its value, whatever KVM on this host thinks of it.
 * (What belongs to x2APIC no filter can hold back: KVM's documentation, KVM_X86_SET_MSR_FILTER.)
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "engines/kvm/internal.h"
#include "lib/bits.h"
#include "x86/msr.h"

/* What is part of a vcpu's state and kept by the kernel. */
#define KEPT(n, member)                                                                            \
	{                                                                                          \
		n, n, offsetof(struct vcpu_state, member)                                          \
	}
static const struct {
	uint32_t first, last;
	size_t offset;
} kept[] = {
	KEPT(MSR_TSC_ADJUST, tsc_adjust),
	KEPT(MSR_SYSENTER_CS, sysenter_cs),
	KEPT(MSR_SYSENTER_ESP, sysenter_esp),
	KEPT(MSR_SYSENTER_EIP, sysenter_eip),
	{MSR_MTRR_VARIABLE, MSR_MTRR_VARIABLE + 15, offsetof(struct vcpu_state, mtrr_variable)},
	KEPT(MSR_MTRR_FIXED_64K, mtrr_fixed),
	{MSR_MTRR_FIXED_16K, MSR_MTRR_FIXED_16K + 1, offsetof(struct vcpu_state, mtrr_fixed[1])},
	{MSR_MTRR_FIXED_4K, MSR_MTRR_FIXED_4K + 7, offsetof(struct vcpu_state, mtrr_fixed[3])},
	KEPT(MSR_PAT, pat),
	KEPT(MSR_MTRR_DEF_TYPE, mtrr_def_type),
	KEPT(MSR_STAR, star),
	KEPT(MSR_LSTAR, lstar),
	KEPT(MSR_CSTAR, cstar),
	KEPT(MSR_SFMASK, sfmask),
	KEPT(MSR_KERNEL_GS_BASE, kernel_gs_base),
	KEPT(MSR_TSC_AUX, tsc_aux),
};

/* What the kernel answers for beside them. MTRR_CAP is the same constant there. */
static const uint32_t others[] = {MSR_TSC,  MSR_APIC_BASE, MSR_MTRR_CAP, MSR_TSC_DEADLINE,
				  MSR_EFER, MSR_FS_BASE,   MSR_GS_BASE};

bool msr_in_kernel(uint32_t number)
{
	for (unsigned i = 0; i < ARRAY_LENGTH(kept); i++)
		if (number >= kept[i].first && number <= kept[i].last)
			return true;
	for (unsigned i = 0; i < ARRAY_LENGTH(others); i++)
		if (number == others[i])
			return true;
	return number >= MSR_X2APIC_FIRST && number <= MSR_X2APIC_LAST;
}

uint64_t *msr_kept(struct vcpu_state *state, const struct cpu_model *model, unsigned index,
		   uint32_t *number)
{
	for (unsigned i = 0; i < ARRAY_LENGTH(kept); i++) {
		unsigned count = kept[i].last - kept[i].first + 1;

		/* Without these features KVM knows of no such register. */
		if (kept[i].first == MSR_TSC_AUX && !cpu_model_has(model, FEATURE_RDTSCP) &&
		    !cpu_model_has(model, FEATURE_RDPID))
			continue;
		if (index < count) {
			*number = kept[i].first + index;
			return (uint64_t *)((uint8_t *)state + kept[i].offset) + index;
		}
		index -= count;
	}
	return NULL;
}

/* The filter: a bit for each MSR from base on that the kernel answers for. */

#define LOW_COUNT  0x700u
#define HIGH_BASE  0xc0000080u
#define HIGH_COUNT 0x100u

static void range_fill(struct kvm_msr_filter_range *range, uint32_t base, uint32_t count,
		       uint8_t *bitmap)
{
	*range = (struct kvm_msr_filter_range){.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
					       .base = base,
					       .nmsrs = count,
					       .bitmap = bitmap};
	for (uint32_t i = 0; i < count; i++)
		if (msr_in_kernel(base + i))
			bitmap[i / 8] |= (uint8_t)(1 << i % 8);
}

int msr_filter(int fd)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_X86_USER_SPACE_MSR,
				     .args = {KVM_MSR_EXIT_REASON_FILTER}};
	struct kvm_msr_filter filter = {.flags = KVM_MSR_FILTER_DEFAULT_DENY};
	uint8_t low[LOW_COUNT / 8] = {0}, high[HIGH_COUNT / 8] = {0};

	range_fill(&filter.ranges[0], 0, LOW_COUNT, low);
	range_fill(&filter.ranges[1], HIGH_BASE, HIGH_COUNT, high);
	if (ioctl(fd, KVM_ENABLE_CAP, &cap) || ioctl(fd, KVM_X86_SET_MSR_FILTER, &filter))
		return -errno;
	return 0;
}

/* Ours */

static uint64_t *ours(struct vcpu_state *state, uint32_t number)
{
	switch (number) {
	case MSR_SPEC_CTRL:
		return &state->spec_ctrl;
	case MSR_MISC_ENABLE:
		return &state->misc_enable;
	case MSR_DEBUGCTL:
		return &state->debugctl;
	case MSR_XSS:
		return &state->xss;
	default:
		return NULL;
	}
}

bool msr_read(struct vcpu *vcpu, uint32_t number, uint64_t *value)
{
	const struct msr *msr = msr_find(number);
	const uint64_t *place = ours(&vcpu->state, number);

	switch (msr->kind) {
	case MSR_STATE:
		*value = place ? *place : cpu_model_arch_capabilities(vcpu->vm->cpu_model);
		return place || number == MSR_ARCH_CAPABILITIES;
	case MSR_FIXED:
	case MSR_IGNORED:
		*value = msr->value;
		return true;
	case MSR_UNKNOWN:
		kvm_log(vcpu, "rdmsr %#x: no such MSR (#GP)", number);
		return false;
	default:
		return false;
	}
}

bool msr_write(struct vcpu *vcpu, uint32_t number, uint64_t value)
{
	const struct msr *msr = msr_find(number);
	uint64_t *place = ours(&vcpu->state, number);

	switch (msr->kind) {
	case MSR_STATE:
		if (!place || !msr_value_valid(msr, number, value))
			return false;
		*place = value;
		return true;
	case MSR_COMMAND:
		return msr_value_valid(msr, number, value);
	case MSR_IGNORED:
		return true;
	case MSR_UNKNOWN:
		kvm_log(vcpu, "wrmsr %#x, value %#llx: no such MSR (#GP)", number,
			(unsigned long long)value);
		return false;
	default:
		return false;
	}
}
