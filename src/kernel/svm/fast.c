/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exits that are frequent and need nothing of the host but memory: cpuid, and writes to the local
 * APIC as MSRs (end of interrupt, interrupts to others, the timer). They go back into the guest
 * without leaving enter.S's inner loop.
 *
 * Here GIF is 0, and the processor's registers are the guest's but for the general ones and GS. So
 * what is called must not fault, wait for an interrupt or switch threads.
 */
#include "kernel/cpu.h"
#include "kernel/svm/svm.h"
#include "x86/msr.h"
#include "x86/registers.h"

#define VMCB_LONG 0x200 /* of a segment's attributes */

#define CODE_CPUID     0xa20fu
#define CODE_WRMSR     0x300fu
#define MSR_X2APIC_EOI 0x80bu
#define MSR_X2APIC_END 0x840u

/* Where the instruction at rip, which usually is these two bytes, ends, if that is quick to find;
 * 0. */
static inline uint64_t next_rip(struct vcpu *vcpu, const struct vmcb *vmcb, uint16_t usual)
{
	if (svm_features.nrips)
		return vmcb->nrip;
	if (!(vmcb->efer & EFER_LMA) || !(vmcb->segment[SEGMENT_CS].attributes & VMCB_LONG) ||
	    (uint16_t)vcpu_code(vcpu, vmcb->rip, vmcb->cr3) != usual)
		return 0;
	return vmcb->rip + 2;
}

static inline void go_on(struct vmcb *vmcb, uint64_t rip)
{
	vmcb->rip = rip;
	vmcb->rflags &= ~FLAG_RF;
	vmcb->interrupt_shadow = 0;
	vmcb->eventinj = 0;
	vmcb->tlb_control = TLB_CONTROL_NOTHING;
	vmcb->clean = svm_features.clean;
}

static inline bool fast_cpuid(struct vcpu *vcpu, struct vmcb *vmcb)
{
	uint64_t *gpr = vcpu->state.gpr, next = next_rip(vcpu, vmcb, CODE_CPUID);
	const struct metal_cpuid *found;

	if (!next || (uint32_t)vmcb->rax == CPUID_XSAVE)
		return false;
	found = cpuid_table_find(&vcpu->cpuid, (uint32_t)vmcb->rax, (uint32_t)gpr[GPR_RCX]);
	if (!found)
		return false;
	vmcb->rax = found->value[0];
	gpr[GPR_RBX] = found->value[1];
	gpr[GPR_RCX] = found->value[2];
	gpr[GPR_RDX] = found->value[3];
	vcpu_count(vcpu, METAL_REASON_CPUID);
	go_on(vmcb, next);
	return true;
}

/* Whether the vcpu, or somebody else on this processor, has to be seen to now. */
static bool is_wanted(const struct vcpu *vcpu)
{
	return vcpu->wanted || vcpu->eoi_vector >= 0 || cpu_this()->reschedule;
}

static __attribute__((noinline)) bool fast_apic(struct vcpu *vcpu, struct svm *svm,
						struct vmcb *vmcb)
{
	uint32_t number = (uint32_t)vcpu->state.gpr[GPR_RCX];
	uint64_t value = (uint32_t)vmcb->rax | vcpu->state.gpr[GPR_RDX] << 32;
	uint64_t next, tpr = vmcb->int_ctl & 15;

	if ((number - MSR_X2APIC_FIRST >= MSR_X2APIC_END - MSR_X2APIC_FIRST &&
	     number != MSR_TSC_DEADLINE) ||
	    !(vmcb->exitinfo1 & 1))
		return false;
	next = next_rip(vcpu, vmcb, CODE_WRMSR);
	if (!next)
		return false;
	if (vcpu->apic.tpr >> 4 != tpr)
		vcpu->apic.tpr = (uint32_t)tpr << 4;
	if (number == MSR_X2APIC_EOI && !value && apic_is_x2apic(&vcpu->apic))
		vcpu_apic_eoi(vcpu);
	else if (!vcpu_apic_write(vcpu, number, value))
		return false;
	vmcb->int_ctl = (vmcb->int_ctl & ~V_TPR_MASK) | vcpu->apic.tpr >> 4;
	go_on(vmcb, next);
	if (is_wanted(vcpu)) {
		svm->handled = true;
		return false;
	}
	vcpu_count(vcpu, METAL_REASON_APIC);
	return true;
}

bool svm_fast(struct vcpu *vcpu)
{
	struct svm *svm = vcpu->vendor;
	struct vmcb *vmcb = svm->vmcb;

	if ((vmcb->exitintinfo & INJECT_VALID) || (vmcb->rflags & FLAG_TF))
		return false;
	if (vmcb->exitcode == VMEXIT_CPUID)
		return fast_cpuid(vcpu, vmcb);
	if (vmcb->exitcode == VMEXIT_MSR)
		return fast_apic(vcpu, svm, vmcb);
	return false;
}
