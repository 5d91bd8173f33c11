/* SPDX-License-Identifier: BSD-2-Clause */
/* Source: Intel SDM volume 3, section 27.3.1 (checks on the guest state area), whose list this
 * follows; volume 1, section 13.4 (the XSAVE area). */
#include "x86/state.h"

#include "core/vcpu.h"
#include "lib/bytes.h"
#include "x86/cpuid.h"
#include "x86/insn.h"
#include "x86/msr.h"
#include "x86/paging.h"
#include "x86/registers.h"

#define CR0_ALL                                                                                    \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
	 CR0_PG)
#define EFER_ALL       (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
#define RFLAGS_ALL     UINT64_C(0x3f7fd7)
#define RFLAGS_FIXED   UINT64_C(0x2)
#define DR6_ALL	       UINT64_C(0xffffefff)
#define DR7_ALL	       UINT64_C(0xffff27ff)
#define ATTRIBUTES_ALL 0xf0ffu
#define MXCSR_ALL      0xffffu

enum { CS = 1, LEGACY_MXCSR = 24, HEADER = 512, HEADER_END = 576 };

static const char *check_modes(const struct vcpu_state *state, const struct cpu_model *model)
{
	bool paging = state->cr0 & CR0_PG, long_mode = state->efer & EFER_LMA;

	if ((state->cr0 & ~CR0_ALL) || (paging && !(state->cr0 & CR0_PE)) ||
	    ((state->cr0 & CR0_NW) && !(state->cr0 & CR0_CD)))
		return "CR0";
	if (state->cr4 & ~cpu_model_cr4(model))
		return "CR4";
	if ((state->efer & ~EFER_ALL) || long_mode != (paging && (state->efer & EFER_LME)))
		return "EFER";
	if (long_mode && (!(state->cr4 & CR4_PAE) || (state->rflags & FLAG_VM)))
		return "long mode";
	if (!long_mode && (state->cr4 & CR4_PCIDE))
		return "CR4";
	if (long_mode && state->cr3 >> CPU_PHYSICAL_BITS)
		return "CR3";
	if (!(state->xcr0 & 1) || (state->xcr0 & ~(1 | cpu_model_xcr0(model))) ||
	    ((state->xcr0 & 4) && !(state->xcr0 & 2)))
		return "XCR0";
	if ((state->rflags & ~RFLAGS_ALL) || !(state->rflags & RFLAGS_FIXED))
		return "RFLAGS";
	return NULL;
}

static bool segment_is_good(const struct segment *segment)
{
	return !(segment->attributes & ~ATTRIBUTES_ALL);
}

static const char *check_segments(const struct vcpu_state *state)
{
	const uint16_t code = state->segment[CS].attributes;
	bool long_mode = state->efer & EFER_LMA;

	for (unsigned i = 0; i < 6; i++) {
		if (!segment_is_good(&state->segment[i]))
			return "a segment";
		if (!paging_canonical(state->segment[i].base))
			return "a segment's base";
	}
	if (long_mode && (code & SEGMENT_L) && (code & SEGMENT_DB))
		return "the code segment";
	if (!segment_is_good(&state->ldtr) || !segment_is_good(&state->tr) ||
	    !paging_canonical(state->ldtr.base) || !paging_canonical(state->tr.base))
		return "LDTR or TR";
	if (!paging_canonical(state->gdtr.base) || !paging_canonical(state->idtr.base))
		return "GDTR or IDTR";
	return NULL;
}

static bool msr_is_good(uint32_t number, uint64_t value)
{
	return msr_value_valid(msr_find(number), number, value);
}

static const char *check_msrs(const struct vcpu_state *state)
{
	const struct {
		uint32_t number;
		uint64_t value;
	} plain[] = {
		{MSR_STAR, state->star},
		{MSR_LSTAR, state->lstar},
		{MSR_CSTAR, state->cstar},
		{MSR_SFMASK, state->sfmask},
		{MSR_KERNEL_GS_BASE, state->kernel_gs_base},
		{MSR_SYSENTER_CS, state->sysenter_cs},
		{MSR_SYSENTER_ESP, state->sysenter_esp},
		{MSR_SYSENTER_EIP, state->sysenter_eip},
		{MSR_PAT, state->pat},
		{MSR_TSC_AUX, state->tsc_aux},
		{MSR_MISC_ENABLE, state->misc_enable},
		{MSR_SPEC_CTRL, state->spec_ctrl},
		{MSR_DEBUGCTL, state->debugctl},
		{MSR_XSS, state->xss},
		{MSR_MTRR_DEF_TYPE, state->mtrr_def_type},
	};

	for (unsigned i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (!msr_is_good(plain[i].number, plain[i].value))
			return "a model-specific register";
	for (uint32_t i = 0; i < 16; i++)
		if (!msr_is_good(MSR_MTRR_VARIABLE + i, state->mtrr_variable[i]))
			return "a variable MTRR";
	for (uint32_t number = MSR_MTRR_FIXED_64K; number < MSR_PAT; number++)
		if (msr_mtrr_fixed(number) >= 0 &&
		    !msr_is_good(number, state->mtrr_fixed[msr_mtrr_fixed(number)]))
			return "a fixed MTRR";
	return NULL;
}

/* xrstor raises #GP for reserved bits, and that would be our #GP. */
static const char *check_xsave(const uint8_t *xsave, const struct cpu_model *model)
{
	const uint64_t components = 3 | cpu_model_xcr0(model);

	if (bytes_load32(xsave + LEGACY_MXCSR) & ~MXCSR_ALL)
		return "MXCSR";
	if (bytes_load64(xsave + HEADER) & ~components)
		return "the XSAVE header";
	for (unsigned i = HEADER + 8; i < HEADER_END; i++)
		if (xsave[i])
			return "the XSAVE header";
	return NULL;
}

static const char *check_rest(const struct vcpu_state *state)
{
	if ((state->dr[6] & ~DR6_ALL) || (state->dr[7] & ~DR7_ALL))
		return "a debug register";
	if (state->activity != VCPU_RUNNING && state->activity != VCPU_HALTED &&
	    state->activity != VCPU_WAIT_FOR_SIPI)
		return "what it was doing";
	if (state->interrupt_shadow > 2 || state->nmi_blocked > 1)
		return "an interrupt shadow";
	/* From 32 on it is an interrupt that has been acknowledged, which has no error code. */
	if (state->exception_pending > 1 || state->exception_has_error > 1 ||
	    (state->exception_vector > 31 && state->exception_has_error))
		return "an exception on its way";
	return NULL;
}

const char *state_check(const struct vcpu_state *state, const struct cpu_model *model)
{
	const char *wrong = check_modes(state, model);

	if (!wrong)
		wrong = check_segments(state);
	if (!wrong)
		wrong = check_msrs(state);
	if (!wrong)
		wrong = check_xsave(state->xsave, model);
	return wrong ? wrong : check_rest(state);
}
