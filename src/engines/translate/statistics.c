/* SPDX-License-Identifier: BSD-2-Clause */
#include "engines/translate/statistics.h"

#include "core/host.h"
#include "engines/translate/code_cache.h"

static const char *const times[TIMING_COUNT] = {
	[TIMING_OUTSIDE] = "time outside of the engine",
	[TIMING_GUEST] = "time in translated code",
	[TIMING_FIND] = "time finding blocks",
	[TIMING_TRANSLATE] = "time translating",
	[TIMING_LOOK_UP] = "time in TLB misses",
	[TIMING_HANDLER] = "time in handlers",
	[TIMING_INTERPRET] = "time interpreting",
	[TIMING_WINDOW] = "time in windows",
	[TIMING_DEVICE] = "time in devices",
	[TIMING_EXCLUSIVE] = "time waiting for vcpus",
	[TIMING_DISPATCH] = "time in events",
};

static void add(struct engine_counter **at, const char *name, enum engine_unit unit, uint64_t value)
{
	*(*at)++ = (struct engine_counter){name, unit, value};
}

unsigned statistics_vm(const struct machine_code *code, struct engine_counter *counters)
{
	struct engine_counter *at = counters;

	add(&at, "code memory in use", ENGINE_BYTES, code->code_used);
	add(&at, "code memory that may be used", ENGINE_BYTES, code->code_limit);
	add(&at, "blocks", ENGINE_EVENTS, code->block_count);
	add(&at, "instructions translated", ENGINE_EVENTS, code->count_insns);
	add(&at, "blocks linked", ENGINE_EVENTS, code->count_links);
	add(&at, "blocks dropped", ENGINE_EVENTS, code->count_dropped);
	add(&at, "operands that leave windows", ENGINE_EVENTS, code->count_wanderers);
	add(&at, "calls inlined", ENGINE_EVENTS, code->count_inlined);
	add(&at, "windows fixed in code", ENGINE_EVENTS, code->count_fixed);
	add(&at, "loops within blocks", ENGINE_EVENTS, code->count_rounds);
	add(&at, "code cache flushes", ENGINE_EVENTS, code->count_flushes);
	add(&at, "trims while idle", ENGINE_EVENTS, atomic_load(&code->trims));
	return (unsigned)(at - counters);
}

/* Without overflow for some hundred years. */
static uint64_t nanoseconds(uint64_t ticks)
{
	uint64_t frequency = host_tsc_frequency();

	return ticks / frequency * 1000000000 + ticks % frequency * 1000000000 / frequency;
}

unsigned statistics_vcpu(const struct cpu *cpu, struct engine_counter *counters)
{
	struct engine_counter *at = counters;

	for (unsigned i = 0; cpu->timing.on && i < TIMING_COUNT; i++)
		add(&at, times[i], ENGINE_NANOSECONDS, nanoseconds(cpu->timing.ticks[i]));
	add(&at, "blocks translated", ENGINE_EVENTS, cpu->count_blocks);
	add(&at, "blocks looked up", ENGINE_EVENTS, cpu->count_lookups);
	add(&at, "TLB misses", ENGINE_EVENTS, cpu->count_misses);
	add(&at, "TLB invalidations", ENGINE_EVENTS, cpu->count_invalidations);
	add(&at, "handlers called", ENGINE_EVENTS, cpu->count_calls);
	add(&at, "instructions stepped", ENGINE_EVENTS, cpu->count_steps);
	add(&at, "exceptions", ENGINE_EVENTS, cpu->count_exceptions);
	add(&at, "kicks", ENGINE_EVENTS, cpu->count_kicks);
	add(&at, "window faults", ENGINE_EVENTS, cpu->count_window_faults);
	add(&at, "window slots missed", ENGINE_EVENTS, cpu->count_slot_misses);
	return (unsigned)(at - counters);
}

void statistics_measure(struct cpu *cpu)
{
	cpu->timing.on = true;
	cpu->timing.since = __builtin_ia32_rdtsc();
}
