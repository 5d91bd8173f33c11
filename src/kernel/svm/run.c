/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Into the guest and out: what the VMCB is to say, and what it said. AMD APM volume 2,
 * sections 15.16 (ASIDs), 15.20 (event injection), 15.21 (virtual interrupts).
 *
 * An NMI blocks others until the guest's iret. The processor does not keep track of that: so iret
 * is intercepted after an NMI, which happens before it is carried out; once rip has moved on, it
 * was. Only if another NMI waits there, the guest is made to step over the iret.
 *
 * Not modelled: an iret that faults while it is stepped over shows its handler a TF that the guest
 * did not set.
 */
#include "kernel/cpu.h"
#include "kernel/register.h"
#include "kernel/svm/svm.h"
#include "x86/msr.h"
#include "x86/registers.h"

#define INTERCEPT_1                                                                                \
	(INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_SMI | INTERCEPT_INIT | INTERCEPT_RDPMC |       \
	 INTERCEPT_CPUID | INTERCEPT_INVD | INTERCEPT_HLT | INTERCEPT_INVLPGA |                    \
	 INTERCEPT_IOIO_PROT | INTERCEPT_MSR_PROT | INTERCEPT_SHUTDOWN)
#define PRED_CMD_IBPB 1
#define DR7_ENABLED   0xffu

/*
 * Translations are tagged with the ASID. One that this vcpu had on this processor, in this
 * generation, it may keep, unless it has been elsewhere meanwhile: what it flushed there is still
 * here.
 */
static void set_asid(struct vcpu *vcpu, struct svm *svm, struct svm_cpu *cpu)
{
	struct vmcb *vmcb = svm->vmcb;

	vmcb->tlb_control = TLB_CONTROL_NOTHING;
	if (svm->cpu == cpu && svm->generation == cpu->generation) {
		if (!vcpu->flush)
			return;
		if (svm_features.flush_asid) {
			vmcb->tlb_control = TLB_CONTROL_FLUSH_ASID;
			vcpu->flush = false;
			return;
		}
	}
	if (cpu->next_asid >= svm_features.asids) {
		cpu->next_asid = 1;
		cpu->generation++;
		vmcb->tlb_control = TLB_CONTROL_FLUSH_ALL;
	}
	vmcb->asid = cpu->next_asid++;
	svm->cpu = cpu;
	svm->generation = cpu->generation;
	vcpu->flush = false;
}

static uint64_t injection(const struct event *event)
{
	static const uint8_t types[] = {
		[EVENT_INTERRUPT] = INJECT_INTR,
		[EVENT_NONMASKABLE] = INJECT_NMI,
		[EVENT_FAULT] = INJECT_EXCEPTION,
	};

	if (!event->kind)
		return 0;
	return INJECT_VALID | (uint64_t)types[event->kind] << INJECT_TYPE_SHIFT | event->vector |
	       (event->has_error ? INJECT_ERROR | (uint64_t)event->error << 32 : 0);
}

/* An NMI waits, and only the instruction at rip (an iret, or one in a shadow) is in its way. */
static void step(struct vcpu *vcpu, struct svm *svm)
{
	svm->stepping = true;
	svm->stepping_tf = vcpu->state.rflags & FLAG_TF;
	svm->stepping_dr6 = vcpu->state.dr[6];
	svm->vmcb->rflags |= FLAG_TF;
}

static void set_windows(struct vcpu *vcpu, struct svm *svm)
{
	struct vmcb *vmcb = svm->vmcb;

	vmcb->int_ctl = V_INTR_MASKING | (vcpu->apic.tpr >> 4 & 15);
	vmcb->intercept_1 = INTERCEPT_1;
	vmcb->intercept_cr = INTERCEPT_CR_WRITE(4);
	if (vcpu->interrupt_window) {
		vmcb->int_ctl |= V_IRQ | V_IGN_TPR | V_INTR_PRIO(15);
		vmcb->intercept_1 |= INTERCEPT_VINTR;
	}
	if (vcpu->tpr_window)
		vmcb->intercept_cr |= INTERCEPT_CR_WRITE(8);
	if (vcpu->state.nmi_blocked && !svm->iret_reached)
		vmcb->intercept_1 |= INTERCEPT_IRET;
	else if (vcpu->nmi_window && vcpu->event.kind)
		cpu_kick(cpu_this()); /* out again as soon as that is delivered */
	else if (vcpu->nmi_window)
		step(vcpu, svm);
}

static void set_debug(struct vcpu *vcpu, struct vmcb *vmcb)
{
	if (vmcb->dr7 & DR7_ENABLED)
		vcpu_debug_load(vcpu);
	vmcb->intercept_dr = vcpu->debug_live ? 0 : UINT32_MAX;
}

static void set_registers(const struct metal_state *state, struct vmcb *vmcb)
{
	vmcb->rax = state->gpr[GPR_RAX];
	vmcb->rsp = state->gpr[GPR_RSP];
	vmcb->rip = state->rip;
	vmcb->rflags = state->rflags;
	vmcb->cr0 = state->cr0;
	vmcb->cr2 = state->cr2;
	vmcb->cr3 = state->cr3;
	/* QEMU's processor does not switch paging on again at #VMEXIT if the guest has LME but
	 * neither PG nor PAE. Without PG, PAE does nothing. */
	vmcb->cr4 = state->cr4;
	if ((state->efer & EFER_LME) && !(state->cr0 & CR0_PG))
		vmcb->cr4 |= CR4_PAE;
	vmcb->efer = state->efer | EFER_SVME;
	vmcb->dr6 = state->dr[6];
	vmcb->dr7 = state->dr[7];
	vmcb->g_pat = state->pat;
	vmcb->interrupt_shadow = state->interrupt_shadow;
	vmcb->tsc_offset = state->tsc_offset;
}

static void get_registers(struct vcpu *vcpu, const struct vmcb *vmcb)
{
	struct metal_state *state = &vcpu->state;

	state->gpr[GPR_RAX] = vmcb->rax;
	state->gpr[GPR_RSP] = vmcb->rsp;
	state->rip = vmcb->rip;
	state->rflags = vmcb->rflags;
	state->cr0 = vmcb->cr0;
	state->cr2 = vmcb->cr2;
	state->cr3 = vmcb->cr3;
	state->efer = vmcb->efer & ~(uint64_t)EFER_SVME;
	state->dr[6] = vmcb->dr6;
	state->dr[7] = vmcb->dr7;
	state->interrupt_shadow = vmcb->interrupt_shadow & 1;
	vcpu->cpl = vmcb->cpl;
	vcpu->apic.tpr = vcpu->apic.tpr >> 4 == (vmcb->int_ctl & 15)
				 ? vcpu->apic.tpr
				 : (uint32_t)(vmcb->int_ctl & 15) << 4;
}

/* An event whose delivery was cut short. Software interrupts and int3 are executed again. */
static void get_event(struct vcpu *vcpu, uint64_t info)
{
	unsigned type = info >> INJECT_TYPE_SHIFT & 7;
	uint8_t vector = (uint8_t)info;

	vcpu->event.kind = EVENT_NONE;
	if (!(info & INJECT_VALID) || type == INJECT_SOFTWARE ||
	    (type == INJECT_EXCEPTION && (vector == 3 || vector == 4)))
		return;
	vcpu->event = (struct event){
		.kind = type == INJECT_INTR  ? EVENT_INTERRUPT
			: type == INJECT_NMI ? EVENT_NONMASKABLE
					     : EVENT_FAULT,
		.vector = vector,
		.has_error = info & INJECT_ERROR,
		.error = (uint32_t)(info >> 32),
	};
}

/* What stepping has left: whether the #DB that ended it (if it was one) is nobody else's. */
static bool end_step(struct vcpu *vcpu, struct svm *svm)
{
	bool moved = svm->iret_reached && vcpu->state.rip != svm->iret_rip;

	svm->stepping = false;
	if (svm->stepping_tf)
		return false;
	if (!moved) /* iret has taken the guest's flags from its stack */
		vcpu->state.rflags &= ~FLAG_TF;
	if (svm->vmcb->exitcode != VMEXIT_EXCEPTION + EXCEPTION_DB)
		return false;
	vcpu->state.dr[6] = svm->stepping_dr6;
	return true;
}

/* Another guest's predictions are none of this one's business (3.2.9, PRED_CMD). */
static void forget_branches(struct svm_cpu *cpu, struct svm *svm)
{
	cpu->last = svm;
	if (svm_features.ibpb)
		msr_write(MSR_PRED_CMD, PRED_CMD_IBPB);
}

/* What the VMCB and the processor are to have. */
static void prepare(struct vcpu *vcpu, struct svm *svm, struct svm_cpu *cpu)
{
	struct vmcb *vmcb = svm->vmcb;

	if (cpu->last != svm || svm->cpu != cpu)
		forget_branches(cpu, svm);
	set_asid(vcpu, svm, cpu);
	set_registers(&vcpu->state, vmcb);
	set_windows(vcpu, svm);
	set_debug(vcpu, vmcb);
	vmcb->eventinj = injection(&vcpu->event);
	vmcb->clean = 0;
	if (svm_features.tsc_aux && cpu->tsc_aux != vcpu->state.tsc_aux) {
		cpu->tsc_aux = vcpu->state.tsc_aux;
		msr_write(MSR_TSC_AUX, cpu->tsc_aux);
	}
	svm->host_pa = cpu->host;
	svm->host_gs = (uint64_t)cpu_this();
	svm->handled = false;
}

/* enter.S needs wrgsbase. Processes don't get it: their bases would have to be switched. */
static void enter(struct vcpu *vcpu, struct svm *svm)
{
	uint64_t cr4 = cr4_read();

	if (cpu_features.fsgsbase)
		cr4_write(cr4 | CR4_FSGSBASE);
	svm_enter(vcpu, svm);
	if (cpu_features.fsgsbase)
		cr4_write(cr4);
}

/* What the guest has left. True: only the one instruction was to be done. */
static bool finish(struct vcpu *vcpu, struct svm *svm)
{
	bool stepped = false;

	get_registers(vcpu, svm->vmcb);
	get_event(vcpu, svm->vmcb->exitintinfo);
	if (svm->stepping)
		stepped = end_step(vcpu, svm);
	if (svm->iret_reached && vcpu->state.rip != svm->iret_rip) {
		svm->iret_reached = false;
		vcpu->state.nmi_blocked = 0;
	}
	return stepped;
}

void svm_run(struct vcpu *vcpu)
{
	struct svm *svm = vcpu->vendor;
	struct svm_cpu *cpu = cpu_this()->vendor;
	struct event event = vcpu->event;
	bool stepped;

	prepare(vcpu, svm, cpu);
	enter(vcpu, svm);
	stepped = finish(vcpu, svm);
	if ((uint32_t)svm->vmcb->exitcode == VMEXIT_INVALID) {
		vcpu->event = event;
		/* Whether the flush that was asked for has been made is not known. */
		cpu->next_asid = svm_features.asids;
		svm->cpu = NULL;
	}
	if (stepped)
		vcpu->exit =
			(struct vcpu_exit){.kind = VCPU_EXIT_WINDOW, .reason = METAL_REASON_WINDOW};
	else
		svm_exit(vcpu);
}
