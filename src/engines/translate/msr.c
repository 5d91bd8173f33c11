/* SPDX-License-Identifier: BSD-2-Clause */
/* rdmsr and wrmsr. What exists is in x86/msr.c; where the vcpu's own are is here. Source: Intel SDM
 * volume 4. */
#include "core/vm.h"
#include "engines/translate/engine.h"
#include "engines/translate/exception.h"
#include "engines/translate/handlers.h"
#include "engines/translate/mmu.h"
#include "engines/translate/segment.h"
#include "engines/translate/tsc.h"
#include "x86/cpuid.h"
#include "x86/msr.h"

_Noreturn static void general_protection(struct cpu *cpu)
{
	exception_raise_error(cpu, EXCEPTION_GP, 0);
}

/* The device needs the offset too: the TSC deadline is in guest ticks. */
static void set_tsc_offset(struct cpu *cpu, uint64_t offset)
{
	cpu->tsc_offset = offset;
	cpu->vcpu->state.tsc_offset = offset;
}

void tsc_write(struct cpu *cpu, uint64_t value)
{
	uint64_t moved = value - tsc_read(cpu);

	cpu->tsc_adjust += moved;
	set_tsc_offset(cpu, cpu->tsc_offset + moved);
}

void tsc_write_adjust(struct cpu *cpu, uint64_t value)
{
	set_tsc_offset(cpu, cpu->tsc_offset + (value - cpu->tsc_adjust));
	cpu->tsc_adjust = value;
}

/* Where a register of kind MSR_STATE that is no more than its value is kept. */
static uint64_t *plain_register(struct cpu *cpu, uint32_t number)
{
	int fixed = msr_mtrr_fixed(number);

	if (fixed >= 0)
		return &cpu->mtrr_fixed[fixed];
	if (number >= MSR_MTRR_VARIABLE && number < MSR_MTRR_VARIABLE + 16)
		return &cpu->mtrr_variable[number - MSR_MTRR_VARIABLE];
	switch (number) {
	case MSR_SPEC_CTRL:
		return &cpu->spec_ctrl;
	case MSR_SYSENTER_CS:
		return &cpu->sysenter_cs;
	case MSR_SYSENTER_ESP:
		return &cpu->sysenter_esp;
	case MSR_SYSENTER_EIP:
		return &cpu->sysenter_eip;
	case MSR_MISC_ENABLE:
		return &cpu->misc_enable;
	case MSR_DEBUGCTL:
		return &cpu->debugctl;
	case MSR_PAT:
		return &cpu->pat;
	case MSR_MTRR_DEF_TYPE:
		return &cpu->mtrr_def_type;
	case MSR_XSS:
		return &cpu->xss;
	case MSR_STAR:
		return &cpu->star;
	case MSR_LSTAR:
		return &cpu->lstar;
	case MSR_CSTAR:
		return &cpu->cstar;
	case MSR_SFMASK:
		return &cpu->sfmask;
	case MSR_FS_BASE:
		return &cpu->segment[SEGMENT_FS].base;
	case MSR_GS_BASE:
		return &cpu->segment[SEGMENT_GS].base;
	case MSR_KERNEL_GS_BASE:
		return &cpu->kernel_gs_base;
	case MSR_TSC_AUX:
		return &cpu->tsc_aux;
	default:
		return NULL;
	}
}

static uint64_t state_read(struct cpu *cpu, uint32_t number)
{
	const uint64_t *plain = plain_register(cpu, number);

	if (plain)
		return *plain;
	switch (number) {
	case MSR_TSC:
		return tsc_read(cpu);
	case MSR_TSC_ADJUST:
		return cpu->tsc_adjust;
	case MSR_ARCH_CAPABILITIES:
		return cpu_model_arch_capabilities(cpu->vm->cpu_model);
	case MSR_EFER:
		return cpu->efer;
	default:
		general_protection(cpu);
	}
}

/* LMA follows from LME and CR0.PG; LME may not change while paging is on. */
static void write_efer(struct cpu *cpu, uint64_t value)
{
	uint64_t changed = (value ^ cpu->efer) & ~EFER_LMA;

	if ((changed & EFER_LME) && (cpu->cr0 & CR0_PG))
		general_protection(cpu);
	cpu->efer ^= changed;
	mmu_paging_changed(cpu);
	if (changed & EFER_NXE)
		mmu_flush_all(cpu);
	cpu_mode_changed(cpu);
}

static void state_write(struct cpu *cpu, uint32_t number, uint64_t value)
{
	uint64_t *plain = plain_register(cpu, number);

	if (plain) {
		*plain = value;
		return;
	}
	switch (number) {
	case MSR_TSC:
		tsc_write(cpu, value);
		break;
	case MSR_TSC_ADJUST:
		tsc_write_adjust(cpu, value);
		break;
	case MSR_EFER:
		write_efer(cpu, value);
		break;
	default:
		general_protection(cpu);
	}
}

/* Unknown numbers may still be some device's; then no line is written. */
static uint64_t device_access(struct cpu *cpu, uint32_t number, bool write, uint64_t value,
			      bool known)
{
	struct exit exit = {
		.kind = EXIT_MSR, .write = write, .size = 8, .address = number, .value = value};

	cpu_access(cpu, &exit);
	if (!exit.fault)
		return exit.value;
	if (!known && write)
		engine_log_once(cpu, ENGINE_LOG_MSR, "wrmsr %#x, value %#llx: no such MSR (#GP)",
				number, (unsigned long long)value);
	else if (!known)
		engine_log_once(cpu, ENGINE_LOG_MSR, "rdmsr %#x: no such MSR (#GP)", number);
	general_protection(cpu);
}

void handle_rdmsr(struct cpu *cpu, const struct insn *insn)
{
	uint32_t number = (uint32_t)cpu->gpr[RCX];
	const struct msr *msr = msr_find(number);
	uint64_t value;

	if (cpu->cpl)
		general_protection(cpu);
	switch (msr->kind) {
	case MSR_STATE:
		value = state_read(cpu, number);
		break;
	case MSR_FIXED:
	case MSR_IGNORED:
		value = msr->value;
		break;
	case MSR_COMMAND:
		general_protection(cpu);
	default:
		value = device_access(cpu, number, false, 0, msr->kind == MSR_DEVICE);
	}
	cpu->gpr[RAX] = (uint32_t)value;
	cpu->gpr[RDX] = value >> 32;
}

void handle_wrmsr(struct cpu *cpu, const struct insn *insn)
{
	uint32_t number = (uint32_t)cpu->gpr[RCX];
	uint64_t value = (uint32_t)cpu->gpr[RAX] | cpu->gpr[RDX] << 32;
	const struct msr *msr = msr_find(number);

	if (cpu->cpl)
		general_protection(cpu);
	switch (msr->kind) {
	case MSR_STATE:
		if (number == MSR_ARCH_CAPABILITIES || !msr_value_valid(msr, number, value))
			general_protection(cpu);
		state_write(cpu, number, value);
		break;
	case MSR_FIXED:
		general_protection(cpu);
	case MSR_COMMAND:
		if (!msr_value_valid(msr, number, value))
			general_protection(cpu);
		break;
	case MSR_IGNORED:
		break;
	default:
		device_access(cpu, number, true, value, msr->kind == MSR_DEVICE);
	}
}
