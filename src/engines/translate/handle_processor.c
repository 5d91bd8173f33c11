/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Identity, time, waiting. Source: Intel SDM volume 2, the instructions' pages.
 *
 * Not modelled: performance counters (rdpmc raises #GP), monitor and mwait (#UD; no model has
 * them).
 */
#include "core/vm.h"
#include "engines/translate/code_memory.h"
#include "engines/translate/exception.h"
#include "engines/translate/exclusive.h"
#include "engines/translate/handlers.h"
#include "engines/translate/segment.h"
#include "engines/translate/tsc.h"
#include "x86/cpuid.h"

static void set_edx_eax(struct cpu *cpu, uint64_t value)
{
	cpu->gpr[RAX] = (uint32_t)value;
	cpu->gpr[RDX] = value >> 32;
}

void handle_rdtsc(struct cpu *cpu, const struct insn *insn)
{
	if ((cpu->cr4 & CR4_TSD) && cpu->cpl)
		exception_raise_error(cpu, EXCEPTION_GP, 0);
	set_edx_eax(cpu, tsc_read(cpu));
}

void handle_rdtscp(struct cpu *cpu, const struct insn *insn)
{
	handle_rdtsc(cpu, insn);
	cpu->gpr[RCX] = (uint32_t)cpu->tsc_aux;
}

void handle_rdpmc(struct cpu *cpu, const struct insn *insn)
{
	exception_raise_error(cpu, EXCEPTION_GP, 0);
}

void handle_rdpid(struct cpu *cpu, const struct insn *insn)
{
	cpu->gpr[insn->rm] = cpu->tsc_aux;
}

void handle_cpuid(struct cpu *cpu, const struct insn *insn)
{
	const struct cpuid_state state = {
		.vcpu = cpu->vcpu->id,
		.vcpu_count = cpu->vm->vcpu_count,
		.osxsave = cpu->cr4 & CR4_OSXSAVE,
		.xcr0 = cpu->xcr0,
		.xss = cpu->xss,
	};
	uint32_t out[4];

	cpuid_answer(cpu->vm->cpu_model, &state, (uint32_t)cpu->gpr[RAX], (uint32_t)cpu->gpr[RCX],
		     out);
	cpu->gpr[RAX] = out[0];
	cpu->gpr[RBX] = out[1];
	cpu->gpr[RCX] = out[2];
	cpu->gpr[RDX] = out[3];
}

void handle_hlt(struct cpu *cpu, const struct insn *insn)
{
	if (cpu->cpl)
		exception_raise_error(cpu, EXCEPTION_GP, 0);
	cpu->exit->kind = EXIT_HALT;
	cpu->leave = true;
}

/*
 * A guest that spins waits for another vcpu, whose thread may have no core just now. As on a
 * processor with pause-loop exiting (Intel SDM volume 3, section 25.1.3), pauses that follow each
 * other closely are one loop, and a loop that lasts gives the core away: again and again, and
 * longer when that does not help.
 */
#define SPIN_GAP    10000u /* TSC ticks between pauses of one loop */
#define SPIN_WINDOW 30000u /* ticks that a loop may last */

void handle_pause(struct cpu *cpu, const struct insn *insn)
{
	uint64_t now = __builtin_ia32_rdtsc();

	if (cpu->vm->vcpu_count == 1)
		return;
	if (now - cpu->spin_last > SPIN_GAP) {
		cpu->spin_begin = now;
		cpu->spin_yields = 0;
	}
	if (now - cpu->spin_begin > SPIN_WINDOW && !cpu->exclusive &&
	    !atomic_load_explicit(&cpu->kick, memory_order_relaxed)) {
		exclusive_leave(cpu);
		code_memory_yield(cpu->spin_yields++);
		exclusive_enter(cpu);
		now = __builtin_ia32_rdtsc();
		cpu->spin_begin = now - SPIN_WINDOW / 2;
	}
	cpu->spin_last = now;
}

void handle_monitor(struct cpu *cpu, const struct insn *insn)
{
	exception_raise(cpu, EXCEPTION_UD);
}

void handle_mwait(struct cpu *cpu, const struct insn *insn)
{
	exception_raise(cpu, EXCEPTION_UD);
}
