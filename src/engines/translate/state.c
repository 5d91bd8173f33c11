/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the state that every engine agrees on and struct cpu, and what follows from the
 * registers. */
#include "core/vm.h"
#include "engines/translate/copy.h"
#include "engines/translate/debug.h"
#include "engines/translate/jump_cache.h"
#include "engines/translate/mmu.h"
#include "engines/translate/segment.h"
#include "engines/translate/window.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "x86/cpuid.h"

enum { XSAVE_POINTERS = 6, XSAVE_MXCSR = 24, XSAVE_HEADER = 512 };

void cpu_mode_changed(struct cpu *cpu)
{
	uint16_t code = cpu->segment[SEGMENT_CS].attributes;
	bool real = cpu_real(cpu), vm86 = cpu_vm86(cpu);
	uint32_t mode;

	if (cpu_long(cpu) && (code & SEGMENT_L))
		mode = CODE_64;
	else
		mode = (code & SEGMENT_DB) && !vm86 ? CODE_32 : CODE_16;
	cpu->cpl = real ? 0 : vm86 ? 3 : (uint8_t)segment_dpl(cpu->segment[SEGMENT_SS].attributes);
	if (cpu->cpl == 3)
		cpu->view = VIEW_USER;
	else
		cpu->view = (cpu->cr4 & CR4_SMAP) && (cpu->rflags & FLAG_AC) ? VIEW_KERNEL_AC
									     : VIEW_KERNEL;
	mode |= (uint32_t)cpu->view << MODE_VIEW_SHIFT;
	if (!(cpu->cr0 & (CR0_EM | CR0_TS))) {
		mode |= MODE_X87;
		if (cpu->cr4 & CR4_OSFXSR)
			mode |= MODE_SSE;
	}
	if (!(cpu->cr0 & CR0_TS) && (cpu->cr4 & CR4_OSXSAVE) && (cpu->xcr0 & 6) == 6 && !real &&
	    !vm86)
		mode |= MODE_AVX;
	if (cpu->windows_on >> cpu->view & 1)
		mode |= MODE_WINDOW;
	cpu->mode = mode;
	if (cpu_code_size(cpu) == CODE_64 && cpu->jump_mode[cpu->view] != mode) {
		cpu->jump_mode[cpu->view] = mode;
		jump_cache_flush_view(cpu, cpu->view);
	}
	debug_changed(cpu);
}

/* Registers that struct vcpu_state and struct cpu hold alike. */
/* clang-format off */
#define SAME_REGISTERS(X) \
	X(ldtr) X(tr) X(gdtr) X(idtr) X(cr0) X(cr2) X(cr3) X(cr4) X(xcr0) X(efer) X(star) X(lstar) \
	X(cstar) X(sfmask) X(kernel_gs_base) X(sysenter_cs) X(sysenter_esp) X(sysenter_eip) X(pat) \
	X(tsc_aux) X(misc_enable) X(spec_ctrl) X(debugctl) X(xss) X(mtrr_def_type) X(tsc_offset) \
	X(tsc_adjust) X(interrupt_shadow) X(nmi_blocked) X(rip)
/* clang-format on */
#define SAME_ARRAYS(X) X(gpr) X(segment) X(dr) X(mtrr_fixed) X(mtrr_variable) X(xsave)

void cpu_load(struct cpu *cpu, const struct vcpu_state *state)
{
	CHECK(!cpu->vector_live);
#define LOAD(name) cpu->name = state->name;
#define LOAD_ARRAY(name)                                                                           \
	_Static_assert(sizeof(cpu->name) == sizeof(state->name), "the same array");                \
	bytes_copy(&cpu->name, &state->name, sizeof(cpu->name));
	SAME_REGISTERS(LOAD)
	SAME_ARRAYS(LOAD_ARRAY)
	cpu_set_rflags(cpu, state->rflags);
	cpu->delivery.active = false;
	cpu->event_pending = state->exception_pending;
	cpu->event.vector = state->exception_vector;
	cpu->event.has_error = state->exception_has_error;
	cpu->event.error = state->exception_error;
	cpu->event.cr2 = state->cr2;
	cpu->event.software = cpu->event.triple = false;
	cpu->debug_hits = 0;
	cpu_mode_changed(cpu);
	mmu_paging_changed(cpu);
	mmu_load_pdpte(cpu);
	mmu_flush_all(cpu);
	window_switch(cpu);
}

/*
 * What the host's xsave says that isn't the guest's: where its last x87 instruction and operand
 * lie, in translated code and memory of ours; which bits its MXCSR has; and what is in use in the
 * host's registers, AVX on a guest without it too. No such component belongs to the guest, and
 * another engine or host would refuse it.
 */
static void save_components(const struct cpu *cpu, struct vcpu_state *state)
{
	uint64_t components = bytes_load64(state->xsave + XSAVE_HEADER);

	bytes_fill(state->xsave + XSAVE_POINTERS, 0, XSAVE_MXCSR - XSAVE_POINTERS);
	bytes_store32(state->xsave + XSAVE_MXCSR + 4, 0xffff);
	components &= 3 | cpu_model_xcr0(cpu->vcpu->vm->cpu_model);
	bytes_store64(state->xsave + XSAVE_HEADER, components);
}

void cpu_save(struct cpu *cpu, struct vcpu_state *state)
{
	CHECK(!cpu->vector_live);
#define SAVE(name)	 state->name = cpu->name;
#define SAVE_ARRAY(name) bytes_copy(&state->name, &cpu->name, sizeof(cpu->name));
	SAME_REGISTERS(SAVE)
	SAME_ARRAYS(SAVE_ARRAY)
	save_components(cpu, state);
	state->rflags = cpu_rflags(cpu);
	state->exception_pending = cpu->event_pending;
	state->exception_vector = cpu->event_pending ? cpu->event.vector : 0;
	state->exception_has_error = cpu->event_pending && cpu->event.has_error;
	state->exception_error = cpu->event_pending ? cpu->event.error : 0;
}
