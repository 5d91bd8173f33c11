/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the state that every engine agrees on and the kernel's struct metal_state. */
#include "engines/metal/metal.h"
#include "lib/bytes.h"

/* What both have under the same name. */
/* clang-format off */
#define SAME_REGISTERS(X) \
	X(rip) X(rflags) X(cr0) X(cr2) X(cr3) X(cr4) X(xcr0) X(efer) X(star) X(lstar) X(cstar) X(sfmask) \
	X(kernel_gs_base) X(sysenter_cs) X(sysenter_esp) X(sysenter_eip) X(pat) X(tsc_aux) X(misc_enable) \
	X(spec_ctrl) X(debugctl) X(xss) X(mtrr_def_type) X(tsc_adjust) X(interrupt_shadow) X(nmi_blocked) \
	X(exception_pending) X(exception_vector) X(exception_has_error) X(exception_error)
#define SAME_ARRAYS(X) X(gpr) X(dr) X(mtrr_fixed) X(mtrr_variable) X(xsave)
/* clang-format on */

static struct metal_segment segment_to_metal(const struct segment *from)
{
	return (struct metal_segment){.selector = from->selector,
				      .attributes = from->attributes,
				      .limit = from->limit,
				      .base = from->base};
}

static struct segment segment_from_metal(const struct metal_segment *from)
{
	return (struct segment){.selector = from->selector,
				.attributes = from->attributes,
				.limit = from->limit,
				.base = from->base};
}

void state_to_metal(struct metal_state *to, const struct vcpu_state *from)
{
#define PUT(name) to->name = from->name;
#define PUT_ARRAY(name)                                                                            \
	_Static_assert(sizeof(to->name) == sizeof(from->name), "the same array");                  \
	bytes_copy(&to->name, &from->name, sizeof(to->name));
	SAME_REGISTERS(PUT)
	SAME_ARRAYS(PUT_ARRAY)
	for (unsigned i = 0; i < 6; i++)
		to->segment[i] = segment_to_metal(&from->segment[i]);
	to->ldtr = segment_to_metal(&from->ldtr);
	to->tr = segment_to_metal(&from->tr);
	to->gdtr_base = from->gdtr.base, to->gdtr_limit = from->gdtr.limit;
	to->idtr_base = from->idtr.base, to->idtr_limit = from->idtr.limit;
	to->halted = from->activity == VCPU_HALTED;
}

void state_from_metal(struct vcpu_state *to, const struct metal_state *from)
{
#define TAKE(name)	 to->name = from->name;
#define TAKE_ARRAY(name) bytes_copy(&to->name, &from->name, sizeof(to->name));
	SAME_REGISTERS(TAKE)
	SAME_ARRAYS(TAKE_ARRAY)
	for (unsigned i = 0; i < 6; i++)
		to->segment[i] = segment_from_metal(&from->segment[i]);
	to->ldtr = segment_from_metal(&from->ldtr);
	to->tr = segment_from_metal(&from->tr);
	to->gdtr.base = from->gdtr_base, to->gdtr.limit = from->gdtr_limit;
	to->idtr.base = from->idtr_base, to->idtr.limit = from->idtr_limit;
	if (to->activity == VCPU_RUNNING || to->activity == VCPU_HALTED)
		to->activity = from->halted ? VCPU_HALTED : VCPU_RUNNING;
}
