/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers that are in the VMCB: to and from struct metal_state. APM2 table B-2, section 15.5.1.
 */
#include "kernel/svm/svm.h"
#include "x86/registers.h"

#define ATTRIBUTES_DPL(n) ((uint16_t)((n) << 5))

/* The limit's four bits between the attributes' halves are left out. */
static struct vmcb_segment pack(const struct metal_segment *segment)
{
	return (struct vmcb_segment){
		.selector = segment->selector,
		.attributes = (uint16_t)((segment->attributes & 0xff) |
					 (segment->attributes >> 4 & 0xf00)),
		.limit = segment->limit,
		.base = segment->base,
	};
}

static struct metal_segment unpack(const struct vmcb_segment *segment)
{
	return (struct metal_segment){
		.selector = segment->selector,
		.attributes = (uint16_t)((segment->attributes & 0xff) |
					 (segment->attributes & 0xf00) << 4),
		.limit = segment->limit,
		.base = segment->base,
	};
}

static uint8_t privilege(const struct metal_state *state)
{
	if (!(state->cr0 & CR0_PE))
		return 0;
	return state->rflags & FLAG_VM ? 3 : state->segment[SEGMENT_SS].attributes >> 5 & 3;
}

void svm_load(struct vcpu *vcpu)
{
	const struct metal_state *state = &vcpu->state;
	struct svm *svm = vcpu->vendor;
	struct vmcb *vmcb = svm->vmcb;

	for (unsigned i = 0; i < 6; i++)
		vmcb->segment[i] = pack(&state->segment[i]);
	vmcb->ldtr = pack(&state->ldtr);
	vmcb->tr = pack(&state->tr);
	vmcb->gdtr = (struct vmcb_segment){.limit = state->gdtr_limit, .base = state->gdtr_base};
	vmcb->idtr = (struct vmcb_segment){.limit = state->idtr_limit, .base = state->idtr_base};
	vmcb->cpl = vcpu->cpl = privilege(state);
	vmcb->star = state->star;
	vmcb->lstar = state->lstar;
	vmcb->cstar = state->cstar;
	vmcb->sfmask = state->sfmask;
	vmcb->kernel_gs_base = state->kernel_gs_base;
	vmcb->sysenter_cs = state->sysenter_cs;
	vmcb->sysenter_esp = state->sysenter_esp;
	vmcb->sysenter_eip = state->sysenter_eip;
	svm->iret_reached = false;
}

void svm_store(struct vcpu *vcpu)
{
	struct metal_state *state = &vcpu->state;
	const struct svm *svm = vcpu->vendor;
	const struct vmcb *vmcb = svm->vmcb;
	struct metal_segment *stack = &state->segment[SEGMENT_SS];

	for (unsigned i = 0; i < 6; i++)
		state->segment[i] = unpack(&vmcb->segment[i]);
	/* A null stack segment of long mode has the privilege beside it only. */
	if ((state->cr0 & CR0_PE) && !(state->rflags & FLAG_VM))
		stack->attributes = (uint16_t)((stack->attributes & ~ATTRIBUTES_DPL(3)) |
					       ATTRIBUTES_DPL(vmcb->cpl));
	state->ldtr = unpack(&vmcb->ldtr);
	state->tr = unpack(&vmcb->tr);
	state->gdtr_base = vmcb->gdtr.base;
	state->gdtr_limit = (uint16_t)vmcb->gdtr.limit;
	state->idtr_base = vmcb->idtr.base;
	state->idtr_limit = (uint16_t)vmcb->idtr.limit;
	state->star = vmcb->star;
	state->lstar = vmcb->lstar;
	state->cstar = vmcb->cstar;
	state->sfmask = vmcb->sfmask;
	state->kernel_gs_base = vmcb->kernel_gs_base;
	state->sysenter_cs = vmcb->sysenter_cs;
	state->sysenter_esp = vmcb->sysenter_esp;
	state->sysenter_eip = vmcb->sysenter_eip;
}

void svm_segment(struct vcpu *vcpu, unsigned number, struct metal_segment *segment)
{
	const struct svm *svm = vcpu->vendor;

	*segment = unpack(&svm->vmcb->segment[number]);
}
