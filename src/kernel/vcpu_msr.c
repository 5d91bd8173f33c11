/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdmsr and wrmsr, as far as they end here: the segment bases and what belongs to syscall and
 * sysenter the guest reads and writes by itself. What exists is in x86/msr.c.
 */
#include <stddef.h>

#include "kernel/vcpu.h"
#include "x86/msr.h"

/* Where a register is kept that is no more than its value. */
static uint64_t *plain_register(struct metal_state *state, uint32_t number)
{
	int fixed = msr_mtrr_fixed(number);

	if (fixed >= 0)
		return &state->mtrr_fixed[fixed];
	if (number >= MSR_MTRR_VARIABLE && number < MSR_MTRR_VARIABLE + 16)
		return &state->mtrr_variable[number - MSR_MTRR_VARIABLE];
	switch (number) {
	case MSR_SPEC_CTRL:
		return &state->spec_ctrl;
	case MSR_MISC_ENABLE:
		return &state->misc_enable;
	case MSR_DEBUGCTL:
		return &state->debugctl;
	case MSR_PAT:
		return &state->pat;
	case MSR_MTRR_DEF_TYPE:
		return &state->mtrr_def_type;
	case MSR_XSS:
		return &state->xss;
	case MSR_TSC_AUX:
		return &state->tsc_aux;
	default:
		return NULL;
	}
}

static bool state_read(struct vcpu *vcpu, uint32_t number, uint64_t *value)
{
	const uint64_t *plain = plain_register(&vcpu->state, number);

	if (plain)
		*value = *plain;
	else if (number == MSR_TSC)
		*value = clock_tsc() + vcpu->state.tsc_offset;
	else if (number == MSR_TSC_ADJUST)
		*value = vcpu->state.tsc_adjust;
	else if (number == MSR_ARCH_CAPABILITIES)
		*value = vcpu->arch_capabilities;
	else if (number == MSR_EFER)
		*value = vcpu->state.efer;
	else
		return false;
	return true;
}

static void move_tsc(struct vcpu *vcpu, uint64_t by)
{
	vcpu->state.tsc_adjust += by;
	vcpu_set_time(vcpu, vcpu->time_offset, vcpu->state.tsc_offset + by);
}

static bool state_write(struct vcpu *vcpu, uint32_t number, uint64_t value)
{
	uint64_t *plain = plain_register(&vcpu->state, number);

	if (plain)
		*plain = value;
	if (plain)
		return true;
	switch (number) {
	case MSR_TSC:
		move_tsc(vcpu, value - (clock_tsc() + vcpu->state.tsc_offset));
		return true;
	case MSR_TSC_ADJUST:
		move_tsc(vcpu, value - vcpu->state.tsc_adjust);
		return true;
	case MSR_EFER:
		return vcpu_set_efer(vcpu, value);
	default:
		return false;
	}
}

bool vcpu_msr_read(struct vcpu *vcpu, uint32_t number, uint64_t *value)
{
	const struct msr *msr = msr_find(number);

	switch (msr->kind) {
	case MSR_STATE:
		return state_read(vcpu, number, value);
	case MSR_FIXED:
	case MSR_IGNORED:
		*value = msr->value;
		return true;
	case MSR_DEVICE:
		return vcpu_apic_read(vcpu, number, value);
	case MSR_COMMAND:
		return false;
	default:
		vcpu_log(vcpu, "rdmsr %#x: no such MSR (#GP)", number);
		return false;
	}
}

bool vcpu_msr_write(struct vcpu *vcpu, uint32_t number, uint64_t value)
{
	const struct msr *msr = msr_find(number);

	switch (msr->kind) {
	case MSR_STATE:
		return number != MSR_ARCH_CAPABILITIES && msr_value_valid(msr, number, value) &&
		       state_write(vcpu, number, value);
	case MSR_COMMAND:
		return msr_value_valid(msr, number, value);
	case MSR_IGNORED:
		return true;
	case MSR_DEVICE:
		return vcpu_apic_write(vcpu, number, value);
	case MSR_FIXED:
		return false;
	default:
		vcpu_log(vcpu, "wrmsr %#x, value %#llx: no such MSR (#GP)", number,
			 (unsigned long long)value);
		return false;
	}
}
