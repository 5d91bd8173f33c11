/* SPDX-License-Identifier: BSD-2-Clause */
#include "manager/manager.h"

#include <stdarg.h>

#include "core/host.h"
#include "lib/bytes.h"
#include "lib/format.h"
#include "lib/string.h"
#include "manager/attach.h"
#include "manager/commands.h"
#include "manager/prompt.h"
#include "manager/system.h"
#include "manager/units.h"
#include "manager/version.h"

#define SAID_MAX      1024
#define LOOK_INTERVAL UINT64_C(5000000) /* ns between looks at the machines' channels */

static void say(struct manager *manager, const char *text, va_list arguments)
{
	char line[SAID_MAX];
	size_t length = vformat(line, sizeof(line), text, arguments);

	if (length >= sizeof(line))
		length = sizeof(line) - 1;
	if (manager->edit.visible) {
		line_edit_hide(&manager->edit);
		manager->console.in_line = false;
	}
	console_fresh_line(&manager->console);
	console_put_foreign(&manager->console, line, length);
	console_put(&manager->console, "\n");
}

void manager_say(struct manager *manager, const char *text, ...)
{
	va_list arguments;

	va_start(arguments, text);
	say(manager, text, arguments);
	va_end(arguments);
}

bool manager_fail(struct manager *manager, const char *text, ...)
{
	va_list arguments;

	va_start(arguments, text);
	say(manager, text, arguments);
	va_end(arguments);
	return false;
}

static void machine_ended(void *context, struct machine *machine)
{
	struct manager *manager = context;
	struct units lasted = units_time(machine->ended - machine->started);

	if (manager->attached == machine && !machine->restart)
		attach_end(manager);
	manager_say(manager, manager->attached ? "[%s: %s, after %s]" : "%s: %s, after %s",
		    machine->config->name, machine->end, lasted.text);
	prompt_machine_ended(manager, machine);
}

/* Begin. */

/* The descriptions, exactly as many as there are; the memory stays. */
static struct machine_config *read_machines(struct manager *manager, unsigned *count)
{
	const struct modules *modules = &manager->modules;
	const size_t size = MACHINES_MAX * sizeof(struct machine_config);
	struct machine_config *all = host_pages(size), *exact = NULL;
	struct machine_file_error error;

	*count = 0;
	if (!modules->machines)
		manager_fail(manager,
			     "there is no boot module named %s: it would describe the machines: "
			     "add one to the boot loader's menu",
			     MODULES_MACHINES);
	else if (!all)
		manager_fail(manager, "there is not enough memory to read %s", MODULES_MACHINES);
	else if (machine_file_parse(modules->machines, modules->machines_size, all, MACHINES_MAX,
				    count, &manager->settings, &error)) {
		*count = 0;
		manager->settings.script_count = 0;
		manager_fail(manager, "%s: %s", MODULES_MACHINES, error.text);
	}
	if (*count)
		exact = host_pages(*count * sizeof(struct machine_config));
	if (exact)
		bytes_copy(exact, all, *count * sizeof(struct machine_config));
	else
		*count = 0;
	if (all)
		host_pages_free(all, size);
	return exact;
}

static void start_machines(struct manager *manager)
{
	struct machines *machines = &manager->machines;
	char reason[256];

	for (unsigned i = 0; i < machines->count; i++) {
		struct machine *machine = machines->machine[i];

		if (!machine->config->start && !machine->problem[0])
			continue;
		if (machine_start(machine, reason, sizeof(reason)))
			manager_say(manager, "%s: started", machine->config->name);
		else
			manager_fail(manager, "%s: can't be started: %s", machine->config->name,
				     reason);
	}
}

static void edit_put(void *context, const char *bytes, size_t length)
{
	console_put_raw(&((struct manager *)context)->console, bytes, length);
}

static void greet(struct manager *manager)
{
	const struct metal_start *start = system_start();
	unsigned count = manager->machines.count;

	manager_say(manager,
		    "Lodge %s: %u processor%s, %s of memory, %u machine%s; help lists the commands",
		    manager_version, start->processors, start->processors == 1 ? "" : "s",
		    units_bytes(start->memory).text, count, count == 1 ? "" : "s");
}

void manager_begin(struct manager *manager)
{
	struct machine_config *configs;
	unsigned count;

	manager->edit.put = edit_put;
	manager->edit.candidate = commands_candidate;
	manager->edit.context = manager;
	manager->edit.prompt = "lodge> ";
	manager->machines.ended = machine_ended;
	manager->machines.context = manager;
	modules_read(&manager->modules);
	configs = read_machines(manager, &count);
	if (!machines_init(&manager->machines, configs, count, &manager->modules))
		manager_fail(manager, "there is not enough memory for all machines");
	greet(manager);
	start_machines(manager);
}

/* Turn. */

/* children: the kernel says that some processes have ended. */
static bool take_output(struct manager *manager, bool children)
{
	struct machines *machines = &manager->machines;
	bool more = false;

	for (unsigned i = 0; i < machines->count; i++) {
		struct machine *machine = machines->machine[i];

		machine->watched =
			manager->attached ? manager->attached == machine : manager->follow;
		if (children)
			machine_ask(machine);
		more |= machine_take(machine);
	}
	return more;
}

/*
 * A guest that writes byte by byte says so byte by byte: what it writes soon after the last look
 * waits for the next one, until when its machine sees that nobody has to be told.
 */
uint64_t manager_turn(struct manager *manager)
{
	uint32_t events = atomic_exchange(&system_start()->events, 0);
	uint64_t deadline, other, now = host_now();
	bool more = !console_fill(&manager->console);
	uint32_t read = manager->console.input_read;

	manager->notified |= events != 0;
	if (manager->notified && (now >= manager->next_look || events & METAL_EVENT_CHILD)) {
		manager->notified = take_output(manager, events & METAL_EVENT_CHILD);
		manager->next_look = now + LOOK_INTERVAL;
	}
	attach_show(manager);
	deadline = machines_look(&manager->machines);
	other = prompt_turn(manager);
	if (other < deadline)
		deadline = other;
	console_flush(&manager->console);
	if (manager->notified && manager->next_look < deadline)
		deadline = manager->next_look;
	/* More may have been typed than there was room for, and now there is some. */
	return more && manager->console.input_read != read ? 0 : deadline;
}
