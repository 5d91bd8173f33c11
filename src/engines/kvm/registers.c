/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the state that every engine agrees on and the kernel's structs. Pure.
 *
 * An event whose delivery the processor has begun is one exception in our state. The kernel tells
 * exceptions, interrupts and NMIs apart; by their vectors, so do we: 2 is an NMI, below 32 are
 * exceptions, the others interrupts.
 */
#include <string.h>

#include "engines/kvm/internal.h"
#include "x86/msr.h"

#define RFLAGS_IF	0x200u
#define VECTOR_NMI	2
#define FIRST_INTERRUPT 32
#define XSAVE_HEADER	512
#define XSAVE_USED	832 /* legacy region, header, AVX */

_Static_assert(XSAVE_USED <= VCPU_XSAVE_SIZE, "the state has too little room");

enum { ES, CS, SS, DS, FS, GS };

static struct kvm_segment segment_from_state(const struct segment *from)
{
	return (struct kvm_segment){
		.base = from->base,
		.limit = from->limit,
		.selector = from->selector,
		.type = from->attributes & SEGMENT_TYPE,
		.s = !!(from->attributes & SEGMENT_S),
		.dpl = from->attributes >> SEGMENT_DPL_SHIFT & 3,
		.present = !!(from->attributes & SEGMENT_P),
		.avl = !!(from->attributes & SEGMENT_AVL),
		.l = !!(from->attributes & SEGMENT_L),
		.db = !!(from->attributes & SEGMENT_DB),
		.g = !!(from->attributes & SEGMENT_G),
		.unusable = !(from->attributes & SEGMENT_P),
	};
}

static struct segment segment_to_state(const struct kvm_segment *from)
{
	uint16_t attributes = (uint16_t)(from->type | from->dpl << SEGMENT_DPL_SHIFT);

	attributes |= from->s ? SEGMENT_S : 0;
	attributes |= from->avl ? SEGMENT_AVL : 0;
	attributes |= from->l ? SEGMENT_L : 0;
	attributes |= from->db ? SEGMENT_DB : 0;
	attributes |= from->g ? SEGMENT_G : 0;
	attributes |= from->present && !from->unusable ? SEGMENT_P : 0;
	return (struct segment){.selector = from->selector,
				.attributes = attributes,
				.limit = from->limit,
				.base = from->base};
}

/* Our order is that of the encodings. */
#define GENERAL(X)                                                                                 \
	X(0, rax)                                                                                  \
	X(1, rcx)                                                                                  \
	X(2, rdx)                                                                                  \
	X(3, rbx)                                                                                  \
	X(4, rsp)                                                                                  \
	X(5, rbp)                                                                                  \
	X(6, rsi)                                                                                  \
	X(7, rdi)                                                                                  \
	X(8, r8)                                                                                   \
	X(9, r9)                                                                                   \
	X(10, r10)                                                                                 \
	X(11, r11)                                                                                 \
	X(12, r12)                                                                                 \
	X(13, r13)                                                                                 \
	X(14, r14)                                                                                 \
	X(15, r15)

static void general_from_state(struct kvm_regs *to, const struct vcpu_state *from)
{
#define GET(i, name) to->name = from->gpr[i];
	GENERAL(GET)
#undef GET
	to->rip = from->rip;
	to->rflags = from->rflags;
}

static void general_to_state(struct vcpu_state *to, const struct kvm_regs *from)
{
#define PUT(i, name) to->gpr[i] = from->name;
	GENERAL(PUT)
#undef PUT
	to->rip = from->rip;
	to->rflags = from->rflags;
}

#define SEGMENTS(X)                                                                                \
	X(segment[ES], es)                                                                         \
	X(segment[CS], cs)                                                                         \
	X(segment[SS], ss)                                                                         \
	X(segment[DS], ds)                                                                         \
	X(segment[FS], fs)                                                                         \
	X(segment[GS], gs)                                                                         \
	X(ldtr, ldt)                                                                               \
	X(tr, tr)
#define CONTROL(X) X(cr0) X(cr2) X(cr3) X(cr4) X(efer)

static void system_from_state(struct kvm_sregs *to, const struct vcpu_state *from)
{
#define GET(ours, theirs) to->theirs = segment_from_state(&from->ours);
	SEGMENTS(GET)
#undef GET
#define COPY(name) to->name = from->name;
	CONTROL(COPY)
#undef COPY
	to->gdt.base = from->gdtr.base;
	to->gdt.limit = from->gdtr.limit;
	to->idt.base = from->idtr.base;
	to->idt.limit = from->idtr.limit;
}

static void system_to_state(struct vcpu_state *to, const struct kvm_sregs *from)
{
#define PUT(ours, theirs) to->ours = segment_to_state(&from->theirs);
	SEGMENTS(PUT)
#undef PUT
#define COPY(name) to->name = from->name;
	CONTROL(COPY)
#undef COPY
	to->gdtr.base = from->gdt.base;
	to->gdtr.limit = from->gdt.limit;
	to->idtr.base = from->idt.base;
	to->idtr.limit = from->idt.limit;
}

/* XSTATE_BV may name no component that the guest's processor hasn't. */
static void xsave_from_state(uint32_t *to, const struct vcpu_state *from,
			     const struct cpu_model *model)
{
	uint8_t *bytes = (uint8_t *)to;
	uint64_t components;

	memcpy(bytes, from->xsave, XSAVE_USED);
	memcpy(&components, bytes + XSAVE_HEADER, sizeof(components));
	components &= cpu_model_xcr0(model) | 3;
	memcpy(bytes + XSAVE_HEADER, &components, sizeof(components));
}

static void debug_from_state(struct kvm_debugregs *to, const struct vcpu_state *from)
{
	for (unsigned i = 0; i < 4; i++)
		to->db[i] = from->dr[i];
	to->dr6 = from->dr[6];
	to->dr7 = from->dr[7];
}

static void debug_to_state(struct vcpu_state *to, const struct kvm_debugregs *from)
{
	for (unsigned i = 0; i < 4; i++)
		to->dr[i] = from->db[i];
	to->dr[6] = from->dr6;
	to->dr[7] = from->dr7;
}

/* The shadow of sti exists only with IF set (SDM 3, section 26.3.1.5); otherwise it is mov ss's. */
static void events_from_state(struct kvm_vcpu_events *to, const struct vcpu_state *from)
{
	to->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
		    KVM_VCPUEVENT_VALID_SHADOW;
	if (from->interrupt_shadow)
		to->interrupt.shadow = from->rflags & RFLAGS_IF ? KVM_X86_SHADOW_INT_STI
								: KVM_X86_SHADOW_INT_MOV_SS;
	to->nmi.masked = !!from->nmi_blocked;
	if (!from->exception_pending)
		return;
	if (from->exception_vector == VECTOR_NMI) {
		to->nmi.injected = 1;
	} else if (from->exception_vector >= FIRST_INTERRUPT) {
		to->interrupt.injected = 1;
		to->interrupt.nr = from->exception_vector;
	} else {
		to->exception.injected = 1;
		to->exception.nr = from->exception_vector;
		to->exception.has_error_code = !!from->exception_has_error;
		to->exception.error_code = from->exception_error;
	}
}

static void events_to_state(struct vcpu_state *to, const struct kvm_vcpu_events *from)
{
	to->interrupt_shadow = from->interrupt.shadow != 0;
	to->nmi_blocked = from->nmi.masked != 0;
	to->exception_pending = to->exception_vector = to->exception_has_error = 0;
	to->exception_error = 0;
	if (from->exception.injected || from->exception.pending) {
		to->exception_pending = 1;
		to->exception_vector = from->exception.nr;
		to->exception_has_error = from->exception.has_error_code != 0;
		to->exception_error =
			from->exception.has_error_code ? from->exception.error_code : 0;
	} else if (from->interrupt.injected) {
		to->exception_pending = 1;
		to->exception_vector = from->interrupt.nr;
	} else if (from->nmi.injected) {
		to->exception_pending = 1;
		to->exception_vector = VECTOR_NMI;
	}
}

/* A processor that shut down is not one that the kernel knows: it is only looked at. */
static uint32_t activity_from_state(uint8_t activity)
{
	switch (activity) {
	case VCPU_HALTED:
		return KVM_MP_STATE_HALTED;
	case VCPU_WAIT_FOR_SIPI:
		return KVM_MP_STATE_INIT_RECEIVED;
	default:
		return KVM_MP_STATE_RUNNABLE;
	}
}

static void activity_to_state(struct vcpu_state *to, uint32_t mp_state)
{
	switch (mp_state) {
	case KVM_MP_STATE_HALTED:
		to->activity = VCPU_HALTED;
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
		to->activity = VCPU_WAIT_FOR_SIPI;
		break;
	default:
		if (to->activity != VCPU_SHUTDOWN)
			to->activity = VCPU_RUNNING;
	}
}

void registers_from_state(struct registers *to, const struct vcpu_state *from,
			  const struct cpu_model *model)
{
	/* Only read through; the list of places wants them writable for the other direction. */
	struct vcpu_state *state = (struct vcpu_state *)from;
	const uint64_t *place;
	uint32_t number;

	memset(to, 0, sizeof(*to));
	general_from_state(&to->regs, from);
	system_from_state(&to->sregs, from);
	xsave_from_state(to->xsave, from, model);
	to->xcrs.nr_xcrs = 1;
	to->xcrs.xcrs[0].value = from->xcr0;
	debug_from_state(&to->debug, from);
	events_from_state(&to->events, from);
	to->mp.mp_state = activity_from_state(from->activity);
	while ((place = msr_kept(state, model, to->msrs.head.count, &number)))
		to->msrs.entry[to->msrs.head.count++] =
			(struct kvm_msr_entry){.index = number, .data = *place};
}

void registers_to_state(struct vcpu_state *to, const struct registers *from,
			const struct cpu_model *model)
{
	uint64_t *place;
	uint32_t number;

	general_to_state(to, &from->regs);
	system_to_state(to, &from->sregs);
	memcpy(to->xsave, from->xsave, XSAVE_USED);
	if (from->xcrs.nr_xcrs)
		to->xcr0 = from->xcrs.xcrs[0].value;
	debug_to_state(to, &from->debug);
	events_to_state(to, &from->events);
	activity_to_state(to, from->mp.mp_state);
	for (unsigned i = 0; (place = msr_kept(to, model, i, &number)); i++)
		*place = from->msrs.entry[i].data;
}
