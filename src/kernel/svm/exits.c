/* SPDX-License-Identifier: BSD-2-Clause */
/* The processor's exit codes in the words that all vendors share. AMD APM volume 2, appendix C. */
#include "kernel/log.h"
#include "kernel/svm/svm.h"
#include "lib/bits.h"

#define EXCEPTION_MC   18
#define LEAF_1_MONITOR 0x8u /* ecx */

static struct vcpu_exit simple(enum vcpu_exit_kind kind, enum metal_exit_reason reason)
{
	return (struct vcpu_exit){.kind = (uint8_t)kind, .reason = (uint8_t)reason};
}

/* EXITINFO1: bits 4, 5 and 6 are the size's; EXITINFO2: the next rip (15.10.2). */
static struct vcpu_exit port(const struct vmcb *vmcb)
{
	return (struct vcpu_exit){
		.kind = VCPU_EXIT_PORT,
		.reason = METAL_REASON_PORT,
		.write = !(vmcb->exitinfo1 & IOIO_IN),
		.string = vmcb->exitinfo1 & IOIO_STRING,
		.size = vmcb->exitinfo1 >> 4 & 7,
		.port = (uint16_t)(vmcb->exitinfo1 >> 16),
		.next_rip = vmcb->exitinfo2,
	};
}

static struct vcpu_exit exception(const struct vmcb *vmcb, uint8_t vector)
{
	struct vcpu_exit exit = simple(VCPU_EXIT_EXCEPTION, METAL_REASON_EXCEPTION);

	/* The guest's own memory is not to blame, and nothing can be trusted any more. */
	if (vector == EXCEPTION_MC)
		panic(NULL, "machine check while a guest ran");
	exit.fault = (struct event){
		.kind = EVENT_FAULT,
		.vector = vector,
		.has_error = vector == EXCEPTION_AC,
		.error = vector == EXCEPTION_AC ? (uint32_t)vmcb->exitinfo1 : 0,
	};
	return exit;
}

static struct vcpu_exit monitor(const struct vcpu *vcpu)
{
	const struct metal_cpuid *leaf = cpuid_table_find(&vcpu->cpuid, 1, 0);

	return simple(leaf && (leaf->value[2] & LEAF_1_MONITOR) ? VCPU_EXIT_SKIP
								: VCPU_EXIT_UNDEFINED,
		      METAL_REASON_OTHER);
}

static struct vcpu_exit memory(const struct vmcb *vmcb)
{
	return (struct vcpu_exit){
		.kind = VCPU_EXIT_MEMORY,
		.reason = METAL_REASON_MEMORY,
		.write = vmcb->exitinfo1 & NPF_WRITE,
		.fetch = vmcb->exitinfo1 & NPF_FETCH,
		.address = vmcb->exitinfo2,
	};
}

static struct vcpu_exit msr(const struct vcpu *vcpu, const struct vmcb *vmcb)
{
	struct vcpu_exit exit = simple(VCPU_EXIT_MSR, METAL_REASON_MSR);

	exit.write = vmcb->exitinfo1 & 1;
	if (msr_is_apic((uint32_t)vcpu->state.gpr[GPR_RCX]))
		exit.reason = METAL_REASON_APIC;
	return exit;
}

static struct vcpu_exit iret(struct vcpu *vcpu)
{
	struct svm *svm = vcpu->vendor;

	svm->iret_reached = true;
	svm->iret_rip = vcpu->state.rip;
	return simple(VCPU_EXIT_HANDLED, METAL_REASON_WINDOW);
}

/* Exits about which the code says everything. */
static const struct {
	uint16_t first, last;
	uint8_t kind, reason;
} plain_exits[] = {
	{VMEXIT_CR0_WRITE, VMEXIT_CR0_WRITE + 15, VCPU_EXIT_CONTROL, METAL_REASON_REGISTER},
	{VMEXIT_INTR, VMEXIT_INTR, VCPU_EXIT_HANDLED, METAL_REASON_INTERRUPT},
	{VMEXIT_NMI, VMEXIT_INIT, VCPU_EXIT_HANDLED, METAL_REASON_OTHER},
	{VMEXIT_VINTR, VMEXIT_VINTR, VCPU_EXIT_WINDOW, METAL_REASON_WINDOW},
	{VMEXIT_RDPMC, VMEXIT_RDPMC, VCPU_EXIT_FORBIDDEN, METAL_REASON_OTHER},
	{VMEXIT_CPUID, VMEXIT_CPUID, VCPU_EXIT_CPUID, METAL_REASON_CPUID},
	{VMEXIT_INVD, VMEXIT_INVD, VCPU_EXIT_SKIP, METAL_REASON_OTHER},
	{VMEXIT_HLT, VMEXIT_HLT, VCPU_EXIT_HALT, METAL_REASON_HALT},
	{VMEXIT_INVLPGA, VMEXIT_INVLPGA, VCPU_EXIT_UNDEFINED, METAL_REASON_OTHER},
	{VMEXIT_SHUTDOWN, VMEXIT_SHUTDOWN, VCPU_EXIT_SHUTDOWN, METAL_REASON_OTHER},
	{VMEXIT_VMRUN, VMEXIT_SKINIT, VCPU_EXIT_UNDEFINED, METAL_REASON_OTHER},
	{VMEXIT_WBINVD, VMEXIT_WBINVD, VCPU_EXIT_SKIP, METAL_REASON_OTHER},
	{VMEXIT_XSETBV, VMEXIT_XSETBV, VCPU_EXIT_XSETBV, METAL_REASON_REGISTER},
	{VMEXIT_RDPRU, VMEXIT_RDPRU, VCPU_EXIT_UNDEFINED, METAL_REASON_OTHER},
	{VMEXIT_INVLPGB, VMEXIT_TLBSYNC, VCPU_EXIT_UNDEFINED, METAL_REASON_OTHER},
};

static struct vcpu_exit plain(struct vcpu *vcpu, uint64_t code)
{
	struct vcpu_exit exit = simple(VCPU_EXIT_FAILED, METAL_REASON_OTHER);

	for (unsigned i = 0; i < ARRAY_LENGTH(plain_exits); i++)
		if (code >= plain_exits[i].first && code <= plain_exits[i].last)
			return simple(plain_exits[i].kind, plain_exits[i].reason);
	exit.code = code;
	if ((uint32_t)code == VMEXIT_INVALID && vcpu_repair(vcpu))
		exit.kind = VCPU_EXIT_HANDLED;
	return exit;
}

static struct vcpu_exit decode(struct vcpu *vcpu, const struct vmcb *vmcb)
{
	switch (vmcb->exitcode) {
	case VMEXIT_DR0_READ ... VMEXIT_DR15_WRITE:
		vcpu_debug_load(vcpu);
		return simple(VCPU_EXIT_HANDLED, METAL_REASON_REGISTER);
	case VMEXIT_EXCEPTION ... VMEXIT_EXCEPTION + 31:
		return exception(vmcb, (uint8_t)(vmcb->exitcode - VMEXIT_EXCEPTION));
	case VMEXIT_IRET:
		return iret(vcpu);
	case VMEXIT_IOIO:
		return port(vmcb);
	case VMEXIT_MSR:
		return msr(vcpu, vmcb);
	case VMEXIT_MONITOR:
	case VMEXIT_MWAIT:
	case VMEXIT_MWAIT_CONDITIONAL:
		return monitor(vcpu);
	case VMEXIT_NPF:
		return memory(vmcb);
	default:
		return plain(vcpu, vmcb->exitcode);
	}
}

void svm_exit(struct vcpu *vcpu)
{
	struct svm *svm = vcpu->vendor;

	if (svm->handled) {
		vcpu->exit = simple(VCPU_EXIT_HANDLED, METAL_REASON_APIC);
		return;
	}
	vcpu->exit = decode(vcpu, svm->vmcb);
	if (svm_features.nrips && vcpu->exit.kind != VCPU_EXIT_PORT)
		vcpu->exit.next_rip = svm->vmcb->nrip;
}
