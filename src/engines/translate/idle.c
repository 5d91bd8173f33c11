/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine that wakes now and then for work of much code would have it translated each time. So
 * one that has filled what it may keep again soon after a trim may keep twice as much, until that
 * has not happened for long.
 */
#include "engines/translate/idle.h"

#include "engines/translate/code_cache.h"
#include "engines/translate/copy.h"
#include "engines/translate/engine.h"
#include "engines/translate/exclusive.h"
#include "engines/translate/mmu.h"
#include "engines/translate/window.h"

#define SHARE 32u	   /* of the time, and a machine that runs for less is idle */
#define SOON  (1ull << 37) /* in ticks: about a minute */
#define LONG  (1ull << 40) /* some eight minutes */

void idle_begin(struct cpu *cpu)
{
	cpu->idle.entered = __builtin_ia32_rdtsc();
	if (!cpu->idle.since)
		cpu->idle.since = cpu->idle.entered;
}

static uint64_t inside_of_all(const struct machine_code *code)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < code->vm->vcpu_count; i++)
		if (code->cpus[i])
			sum += __atomic_load_n(&code->cpus[i]->idle.inside, __ATOMIC_RELAXED);
	return sum;
}

/* One that runs all the time has not told yet for how long. */
static bool others_run(const struct cpu *cpu)
{
	const struct machine_code *code = cpu->code;

	for (unsigned i = 0; i < code->vm->vcpu_count; i++)
		if (code->cpus[i] && code->cpus[i] != cpu &&
		    __atomic_load_n(&code->cpus[i]->inside, __ATOMIC_RELAXED))
			return true;
	return false;
}

static bool is_idle(struct cpu *cpu, uint64_t now)
{
	struct idle *idle = &cpu->idle;
	uint64_t inside = inside_of_all(cpu->code);
	bool is = inside - idle->before < (now - idle->since) / SHARE && !others_run(cpu);

	idle->since = now;
	idle->before = inside;
	return is;
}

/* Is the cache to be emptied? In an exclusive section. */
static bool keeps_too_much(struct machine_code *code, uint64_t now)
{
	uint64_t age = now - code->trimmed;

	if (!code->keep || age > LONG)
		code->keep = IDLE_KEEP;
	if (code->code_used <= code->keep)
		return false;
	if (code->trimmed && age < SOON) {
		code->keep *= 2;
		return false;
	}
	code->trimmed = now;
	return true;
}

static void trim(struct cpu *cpu, uint64_t now)
{
	struct machine_code *code = cpu->code;
	bool all;

	exclusive_begin(cpu);
	all = keeps_too_much(code, now);
	if (all || code->code_peak > code->code_used + IDLE_KEEP / 2) /* flushed since */
		code_trim(code, all);
	exclusive_end(cpu);
}

/* What is this vcpu's alone. */
static void trim_own(struct cpu *cpu)
{
	cpu->idle.trims = atomic_load_explicit(&cpu->code->trims, memory_order_relaxed);
	window_trim(cpu);
	mmu_trim(cpu);
	copy_trim(engine_copy(cpu));
}

void idle_end(struct cpu *cpu, bool halted)
{
	uint64_t now = __builtin_ia32_rdtsc();

	__atomic_store_n(&cpu->idle.inside, cpu->idle.inside + (now - cpu->idle.entered),
			 __ATOMIC_RELAXED);
	if (!halted)
		return;
	if (now - cpu->idle.since >= IDLE_PERIOD && is_idle(cpu, now))
		trim(cpu, now);
	if (cpu->idle.trims != atomic_load_explicit(&cpu->code->trims, memory_order_relaxed))
		trim_own(cpu);
}
