/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/stats.h"

#include "core/engine.h"
#include "core/host.h"
#include "manage/run_state.h"

#define SECOND 1e9

static const char *const exit_names[] = {
	[EXIT_PORT] = "port", [EXIT_MEMORY] = "memory", [EXIT_MSR] = "msr",
	[EXIT_HALT] = "halt", [EXIT_KICKED] = "kicked",
};
#define EXITS (sizeof(exit_names) / sizeof(exit_names[0]))

struct counters {
	struct engine_counter one[ENGINE_COUNTERS_MAX];
	unsigned count;
};

static void take(const struct run *run, const struct vcpu *vcpu, struct counters *counters)
{
	const struct engine *engine = run->engine;

	counters->count = engine->counters ? engine->counters(&run->vm, vcpu, counters->one) : 0;
}

static double seconds(uint64_t nanoseconds)
{
	return (double)nanoseconds / SECOND;
}

/* JSON */

static json_t *counters_json(const struct run *run, const struct vcpu *vcpu)
{
	struct counters counters;
	json_t *object = json_object();

	take(run, vcpu, &counters);
	for (unsigned i = 0; object && i < counters.count; i++) {
		const struct engine_counter *counter = &counters.one[i];

		json_object_set_new(object, counter->name,
				    counter->unit == ENGINE_NANOSECONDS
					    ? json_real(seconds(counter->value))
					    : json_integer((json_int_t)counter->value));
	}
	return object;
}

static json_t *vcpu_json(const struct run *run, const struct vcpu *vcpu)
{
	json_t *exits = json_object();

	for (unsigned i = 0; exits && i < EXITS; i++)
		json_object_set_new(exits, exit_names[i], json_integer((json_int_t)vcpu->exits[i]));
	return json_pack("{s:o, s:f, s:f, s:f, s:o}", "exits", exits, "halted",
			 seconds(vcpu->slept), "polled", seconds(vcpu->polled), "held",
			 seconds(vcpu->held), "counters", counters_json(run, vcpu));
}

json_t *stats_json(const struct run *run)
{
	json_t *vcpus = json_array();

	for (unsigned i = 0; vcpus && i < run->vm.vcpu_count; i++)
		json_array_append_new(vcpus, vcpu_json(run, run->vm.vcpus[i]));
	return json_pack("{s:f, s:s, s:o, s:o}", "seconds", seconds(host_now() - run->started),
			 "engine", run->engine->name, "machine", counters_json(run, NULL), "vcpus",
			 vcpus);
}

/* Table */

static void print_value(FILE *file, enum engine_unit unit, uint64_t value, uint64_t whole)
{
	double percent = whole ? 100.0 * (double)value / (double)whole : 0;

	switch (unit) {
	case ENGINE_NANOSECONDS:
		fprintf(file, "%9.3f s %3.0f%%", seconds(value), percent);
		return;
	case ENGINE_BYTES:
		fprintf(file, "%12llu KiB", (unsigned long long)value / 1024);
		return;
	case ENGINE_EVENTS:
		fprintf(file, "%16llu", (unsigned long long)value);
		return;
	}
}

static void print_name(FILE *file, const char *name)
{
	fprintf(file, "  %-30s", name);
}

static void print_core(const struct run *run, FILE *file, const char *end, uint64_t whole)
{
	const struct vm *vm = &run->vm;

	print_name(file, "halted");
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		print_value(file, ENGINE_NANOSECONDS, vm->vcpus[i]->slept, whole);
	fputs(end, file);
	print_name(file, "held back by a cap");
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		print_value(file, ENGINE_NANOSECONDS, vm->vcpus[i]->held, whole);
	fputs(end, file);
	print_name(file, "halted, looking for events");
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		print_value(file, ENGINE_NANOSECONDS, vm->vcpus[i]->polled, whole);
	fputs(end, file);
	for (unsigned kind = 0; kind < EXITS; kind++) {
		char name[32];

		snprintf(name, sizeof(name), "exits: %s", exit_names[kind]);
		print_name(file, name);
		for (unsigned i = 0; i < vm->vcpu_count; i++)
			print_value(file, ENGINE_EVENTS, vm->vcpus[i]->exits[kind], 0);
		fputs(end, file);
	}
}

static void print_counters(const struct run *run, FILE *file, const char *end, uint64_t whole)
{
	const struct vm *vm = &run->vm;
	struct counters first, counters;

	take(run, vm->vcpus[0], &first);
	for (unsigned row = 0; row < first.count; row++) {
		print_name(file, first.one[row].name);
		for (unsigned i = 0; i < vm->vcpu_count; i++) {
			take(run, vm->vcpus[i], &counters);
			print_value(file, counters.one[row].unit, counters.one[row].value, whole);
		}
		fputs(end, file);
	}
}

void stats_print(const struct run *run, FILE *file, const char *end)
{
	const uint64_t whole = host_now() - run->started;
	struct counters counters;

	fprintf(file, "lodge: engine %s, %.3f s%s", run->engine->name, seconds(whole), end);
	print_name(file, "vcpu");
	for (unsigned i = 0; i < run->vm.vcpu_count; i++)
		fprintf(file, "%16u", i);
	fputs(end, file);
	print_core(run, file, end, whole);
	print_counters(run, file, end, whole);
	take(run, NULL, &counters);
	for (unsigned i = 0; i < counters.count; i++) {
		print_name(file, counters.one[i].name);
		print_value(file, counters.one[i].unit, counters.one[i].value, whole);
		fputs(end, file);
	}
	fflush(file);
}
