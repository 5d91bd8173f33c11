/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control registers: what a guest may write, and what a process may ask for. A state that a process
 * hands over is made one that a processor can be in, so that entering the guest cannot fail because
 * of it, nor the host be harmed: APM2 15.5.1 and SDM 3, 26.3 list what processors check.
 */
#include "kernel/vcpu.h"
#include "lib/bits.h"
#include "x86/msr.h"
#include "x86/registers.h"

#define RFLAGS_DEFINED UINT64_C(0x3f7fd5)
#define RFLAGS_ONE     UINT64_C(2)
#define CR0_DEFINED                                                                                \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
	 CR0_PG)
#define EFER_GUEST (EFER_SCE | EFER_LME | EFER_NXE)
#define DR6_ONES   UINT64_C(0xffff0ff0)
#define DR7_ONE	   UINT64_C(0x400)
/* Changes of these end translations (SDM 3, 4.10.4.1). */
#define CR4_PAGING (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)

#define ATTRIBUTES_DEFINED 0xf0ff

/* Exceptions that can be delivered, and those with an error code. */
#define EXCEPTIONS	      0x000f7dfbu
#define EXCEPTIONS_WITH_ERROR 0x00027d00u
#define EXCEPTIONS_NOT_LONG   0x00000030u /* #OF, #BR */

static uint64_t canonical(uint64_t address)
{
	return (uint64_t)bits_sign_extend(address, 48);
}

static bool is_xcr0(const struct vcpu *vcpu, uint64_t value)
{
	return !(value & ~vcpu->xcr0_allowed) && (value & XCR0_X87) &&
	       (!(value & XCR0_AVX) || (value & XCR0_SSE));
}

static void sanitize_control(struct vcpu *vcpu)
{
	struct metal_state *state = &vcpu->state;

	state->cr0 = (state->cr0 & CR0_DEFINED) | CR0_ET;
	if (!(state->cr0 & CR0_PE))
		state->cr0 &= ~CR0_PG;
	if (!(state->cr0 & CR0_CD))
		state->cr0 &= ~CR0_NW;
	state->cr4 &= vcpu->cr4_allowed;
	state->efer &= EFER_GUEST;
	if ((state->efer & EFER_LME) && (state->cr0 & CR0_PG)) {
		state->efer |= EFER_LMA;
		state->cr4 |= CR4_PAE;
	} else {
		state->cr4 &= ~CR4_PCIDE;
	}
	state->cr3 &= bits_mask(vcpu->paging_features.physical_bits);
	state->rflags = (state->rflags & RFLAGS_DEFINED) | RFLAGS_ONE;
	if ((state->efer & EFER_LMA) || !(state->cr0 & CR0_PE))
		state->rflags &= ~FLAG_VM;
	state->dr[6] = (state->dr[6] & 0xe00f) | DR6_ONES;
	state->dr[7] = (state->dr[7] & 0xffff23ff) | DR7_ONE;
	if (!is_xcr0(vcpu, state->xcr0))
		state->xcr0 = XCR0_X87;
}

static void sanitize_segment(struct metal_segment *segment)
{
	segment->attributes &= ATTRIBUTES_DEFINED;
	segment->base = canonical(segment->base);
}

static void sanitize_segments(struct metal_state *state)
{
	struct metal_segment *code = &state->segment[SEGMENT_CS];

	for (unsigned i = 0; i < 6; i++)
		sanitize_segment(&state->segment[i]);
	sanitize_segment(&state->ldtr);
	sanitize_segment(&state->tr);
	if ((state->efer & EFER_LMA) && (code->attributes & ATTRIBUTES_LONG))
		code->attributes &= (uint16_t)~ATTRIBUTES_DB;
	state->gdtr_base = canonical(state->gdtr_base);
	state->idtr_base = canonical(state->idtr_base);
}

static uint64_t valid_or(uint32_t number, uint64_t value, uint64_t otherwise)
{
	return msr_value_valid(msr_find(number), number, value) ? value : otherwise;
}

static void sanitize_msrs(struct metal_state *state)
{
	state->lstar = canonical(state->lstar);
	state->cstar = canonical(state->cstar);
	state->kernel_gs_base = canonical(state->kernel_gs_base);
	state->sysenter_esp = canonical(state->sysenter_esp);
	state->sysenter_eip = canonical(state->sysenter_eip);
	state->sfmask = (uint32_t)state->sfmask;
	state->sysenter_cs = (uint32_t)state->sysenter_cs;
	state->tsc_aux = (uint32_t)state->tsc_aux;
	state->pat = valid_or(MSR_PAT, state->pat, UINT64_C(0x0007040600070406));
	state->spec_ctrl = valid_or(MSR_SPEC_CTRL, state->spec_ctrl, 0);
	state->debugctl = valid_or(MSR_DEBUGCTL, state->debugctl, 0);
	state->xss = 0;
	state->mtrr_def_type = valid_or(MSR_MTRR_DEF_TYPE, state->mtrr_def_type, 0);
	for (unsigned i = 0; i < 11; i++)
		state->mtrr_fixed[i] = valid_or(MSR_MTRR_FIXED_64K, state->mtrr_fixed[i], 0);
	for (unsigned i = 0; i < 16; i++)
		state->mtrr_variable[i] =
			valid_or(MSR_MTRR_VARIABLE + i, state->mtrr_variable[i], 0);
}

static void take_exception(struct vcpu *vcpu)
{
	struct metal_state *state = &vcpu->state;
	uint32_t bit = state->exception_vector < 32 ? 1u << state->exception_vector : 0;

	vcpu->event.kind = EVENT_NONE;
	if (!state->exception_pending || !(bit & EXCEPTIONS) ||
	    ((state->efer & EFER_LMA) && (bit & EXCEPTIONS_NOT_LONG)))
		return;
	vcpu->event =
		(struct event){.kind = EVENT_FAULT,
			       .vector = state->exception_vector,
			       .has_error = (bit & EXCEPTIONS_WITH_ERROR) && (state->cr0 & CR0_PE),
			       .error = state->exception_error};
}

void vcpu_sanitize(struct vcpu *vcpu)
{
	struct metal_state *state = &vcpu->state;

	sanitize_control(vcpu);
	sanitize_segments(state);
	sanitize_msrs(state);
	take_exception(vcpu);
	state->halted = !!state->halted;
	state->interrupt_shadow = !!state->interrupt_shadow;
	state->nmi_blocked = !!state->nmi_blocked;
	cpuid_table_update(&vcpu->cpuid, state->cr4, state->xcr0);
	vcpu->fetch.linear = FETCH_EMPTY;
	vcpu->flush = true;
}

bool vcpu_repair(struct vcpu *vcpu)
{
	struct metal_state *state = &vcpu->state;
	uint64_t cr0 = state->cr0, cr3 = state->cr3, cr4 = state->cr4, efer = state->efer;

	sanitize_control(vcpu);
	vcpu->flush = true;
	return cr0 != state->cr0 || cr3 != state->cr3 || cr4 != state->cr4 || efer != state->efer;
}

bool vcpu_set_cr4(struct vcpu *vcpu, uint64_t value)
{
	struct metal_state *state = &vcpu->state;
	uint64_t changed = value ^ state->cr4;

	if (value & ~vcpu->cr4_allowed)
		return false;
	if ((state->efer & EFER_LMA) && !(value & CR4_PAE))
		return false;
	if ((changed & value & CR4_PCIDE) && (!(state->efer & EFER_LMA) || (state->cr3 & 0xfff)))
		return false;
	state->cr4 = value;
	if (changed & CR4_PAGING)
		vcpu->flush = true;
	if (changed & CR4_OSXSAVE)
		cpuid_table_update(&vcpu->cpuid, value, state->xcr0);
	return true;
}

/* LMA follows from LME and CR0.PG; LME may not change while paging is on. */
bool vcpu_set_efer(struct vcpu *vcpu, uint64_t value)
{
	struct metal_state *state = &vcpu->state;
	uint64_t changed = (value ^ state->efer) & ~EFER_LMA;

	if ((changed & EFER_LME) && (state->cr0 & CR0_PG))
		return false;
	state->efer ^= changed;
	if (changed & EFER_NXE)
		vcpu->flush = true;
	return true;
}

bool vcpu_set_xcr0(struct vcpu *vcpu, uint32_t number, uint64_t value)
{
	if (number != 0 || !is_xcr0(vcpu, value))
		return false;
	vcpu->state.xcr0 = value;
	cpuid_table_update(&vcpu->cpuid, vcpu->state.cr4, value);
	return true;
}
