/* SPDX-License-Identifier: BSD-2-Clause */
#include "manager/reports.h"

#include "core/host.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/format.h"
#include "lib/string.h"
#include "manager/manager.h"
#include "manager/system.h"
#include "manager/units.h"

#define KERNEL_LOG_MAX 0x8000u /* shown of it */

static const char *const reasons[METAL_REASONS] = {
	[METAL_REASON_CPUID] = "cpuid",
	[METAL_REASON_MSR] = "MSR",
	[METAL_REASON_APIC] = "APIC",
	[METAL_REASON_PORT] = "port",
	[METAL_REASON_MEMORY] = "device memory",
	[METAL_REASON_PAGE] = "page of RAM",
	[METAL_REASON_HALT] = "halt",
	[METAL_REASON_INTERRUPT] = "interrupt",
	[METAL_REASON_WINDOW] = "interrupt window",
	[METAL_REASON_REGISTER] = "control register",
	[METAL_REASON_EXCEPTION] = "exception",
	[METAL_REASON_OTHER] = "other",
};

/* A row of two columns. */
static void row(struct manager *manager, const char *name, const char *text, ...)
	__attribute__((format(printf, 3, 4)));
static void row(struct manager *manager, const char *name, const char *text, ...)
{
	va_list arguments;

	console_print(&manager->console, "  %-18s ", name);
	va_start(arguments, text);
	console_print_arguments(&manager->console, text, arguments);
	va_end(arguments);
	console_put(&manager->console, "\n");
}

static uint64_t up_time(const struct machine *machine)
{
	if (machine->state == MACHINE_OFF)
		return 0;
	return (machine_runs(machine) ? host_now() : machine->ended) - machine->started;
}

static const char *or_none(const char *text)
{
	return text[0] ? text : "none";
}

void report_list(struct manager *manager)
{
	struct console *console = &manager->console;
	const struct machines *machines = &manager->machines;
	int width = 4;

	if (!machines->count) {
		console_put(console, "there are no machines\n");
		return;
	}
	for (unsigned i = 0; i < machines->count; i++) {
		int length = (int)string_length(machines->machine[i]->config->name);

		width = length > width ? length : width;
	}
	console_print(console, " #  %-*s  %-8s  CPUS  %-9s  %-12s  UP TIME\n", width, "NAME",
		      "STATE", "MEMORY", "CPU TIME");
	for (unsigned i = 0; i < machines->count; i++) {
		struct machine *machine = machines->machine[i];
		const struct machine_config *config = machine->config;

		machine_ask(machine);
		console_print(console, "%2u  %-*s  %-8s  %4u  %-9s  %-12s  %s\n", machine->number,
			      width, config->name, machine_state_name(machine), config->cpus,
			      units_bytes(config->memory).text, units_time(machine->info.time).text,
			      units_time(up_time(machine)).text);
	}
}

/* How it is, in some words. */
static void heading(struct manager *manager, struct machine *machine)
{
	struct console *console = &manager->console;

	machine_ask(machine);
	console_print(console, "%s: %s", machine->config->name, machine_state_name(machine));
	if (machine->state != MACHINE_OFF)
		console_print(console, machine_runs(machine) ? ", up for %s" : ", after %s",
			      units_time(up_time(machine)).text);
	if (machine->end[0])
		console_print(console, ": %s", machine->end);
	console_put(console, "\n");
	if (machine->problem[0]) {
		console_put(console, "  can't be started: ");
		console_put_foreign(console, machine->problem, string_length(machine->problem));
		console_put(console, "\n");
	}
}

/* A text of the machine file. */
static void row_foreign(struct manager *manager, const char *name, const char *text)
{
	console_print(&manager->console, "  %-18s ", name);
	console_put_foreign(&manager->console, text, string_length(text));
	console_put(&manager->console, "\n");
}

static void rows_of_files(struct manager *manager, const struct machine *machine)
{
	const struct machine_config *config = machine->config;

	row_foreign(manager, "kernel", config->kernel);
	row_foreign(manager, "initrd", or_none(config->initrd));
	if (config->lines[MACHINE_APPEND])
		row_foreign(manager, "append", config->append);
	for (unsigned i = 0; i < config->disk_count; i++)
		row_foreign(manager, config->disks[i].read_only ? "disk, read only" : "disk",
			    config->disks[i].file);
}

static void rows_of_memory(struct manager *manager, const struct machine *machine)
{
	const struct metal_process_info *info = &machine->info;

	row(manager, "memory", "%s, of it in use %s", units_bytes(machine->config->memory).text,
	    units_bytes(info->guest_touched).text);
	if (machine_runs(machine))
		row(manager, "Lodge's part of it", "%s", units_bytes(info->memory).text);
}

void report_machine(struct manager *manager, struct machine *machine)
{
	const struct metal_process_info *info = &machine->info;
	const uint8_t *mac = machine->mac;

	heading(manager, machine);
	if (machine_runs(machine)) {
		uint64_t resets = *(const volatile uint64_t *)&machine->channel->resets;

		row(manager, "process", "%u", machine->process);
		row(manager, "restarts", "%llu of the guest's own", (unsigned long long)resets);
	}
	row(manager, "processors", "%u", machine->config->cpus);
	row(manager, "processor time", "%s", units_time(info->time).text);
	rows_of_memory(manager, machine);
	rows_of_files(manager, machine);
	row(manager, "net", "%s", or_none(machine->config->net));
	if (machine->switch_number) {
		row(manager, "address", "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		    mac[3], mac[4], mac[5]);
		row(manager, "frames", "%llu sent, %llu received, %llu lost",
		    (unsigned long long)info->frames_sent,
		    (unsigned long long)info->frames_received,
		    (unsigned long long)info->frames_lost);
	}
	row(manager, "weight", "%u", machine->set.weight);
	if (machine->set.cap)
		row(manager, "cap", "%u%% of a processor", machine->set.cap);
	else
		row(manager, "cap", "none");
	row(manager, "runs on", "%s",
	    units_bits(machine->set.processors & bits_mask(system_start()->processors)).text);
}

void report_host(struct manager *manager)
{
	const struct metal_start *start = system_start();
	struct metal_process_info info = {.time = 0};

	system_process_info(0, &info);
	console_put(&manager->console, "this computer:\n");
	row(manager, "processors", "%u, TSC %llu MHz", start->processors,
	    (unsigned long long)(start->tsc_frequency / 1000000));
	row(manager, "memory", "%s, free %s", units_bytes(start->memory).text,
	    units_bytes(info.memory_free).text);
	row(manager, "Lodge's part of it", "%s the kernel, %s the manager",
	    units_bytes(info.memory_kernel).text, units_bytes(info.memory).text);
	row(manager, "up for", "%s, of it the manager ran %s", units_time(host_now()).text,
	    units_time(info.time).text);
	for (unsigned i = 0; i < manager->modules.count; i++) {
		row_foreign(manager, i ? "" : "boot modules", manager->modules.names[i]);
	}
}

void report_stats(struct manager *manager, struct machine *machine)
{
	const struct metal_process_info *info = &machine->info;
	uint64_t guest = 0, exits = 0;

	heading(manager, machine);
	for (unsigned i = 0; i < machine->config->cpus; i++)
		guest += info->vcpu_time[i];
	for (unsigned i = 0; i < METAL_REASONS; i++)
		exits += info->exits[i];
	row(manager, "processor time", "%s, of it in the guest %s", units_time(info->time).text,
	    units_time(guest).text);
	for (unsigned i = 0; i < machine->config->cpus; i++) {
		char name[16];

		format(name, sizeof(name), "  processor %u", i);
		row(manager, name, "%s", units_time(info->vcpu_time[i]).text);
	}
	rows_of_memory(manager, machine);
	row(manager, "exits", "%llu", (unsigned long long)exits);
	for (unsigned i = 0; i < METAL_REASONS; i++) {
		char name[24];

		format(name, sizeof(name), "  %s", reasons[i]);
		if (info->exits[i])
			row(manager, name, "%llu", (unsigned long long)info->exits[i]);
	}
}

void report_machine_log(struct manager *manager, struct machine *machine)
{
	uint64_t place = kept_first(&machine->log);
	char bytes[256];
	size_t length;

	if (place == machine->log.written)
		console_print(&manager->console, "%s: its log is empty\n", machine->config->name);
	for (; (length = kept_get(&machine->log, place, bytes, sizeof(bytes))); place += length)
		console_put_foreign(&manager->console, bytes, length);
	console_fresh_line(&manager->console);
}

void report_kernel_log(struct manager *manager)
{
	char *bytes = host_pages(KERNEL_LOG_MAX);
	int64_t length = bytes ? system_log(bytes, KERNEL_LOG_MAX) : 0;

	if (length > 0)
		console_put_foreign(&manager->console, bytes, (size_t)length);
	console_fresh_line(&manager->console);
	if (bytes)
		host_pages_free(bytes, KERNEL_LOG_MAX);
}
