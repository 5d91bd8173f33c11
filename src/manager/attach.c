/* SPDX-License-Identifier: BSD-2-Clause */
#include "manager/attach.h"

#include "lib/bits.h"
#include "lib/format.h"
#include "lib/string.h"
#include "manager/manager.h"

#define ESCAPE	 0x1d /* Ctrl-] */
#define LINE_MAX 160  /* of a followed guest, before it is broken */

static struct machine *next_running(struct manager *manager)
{
	const struct machines *machines = &manager->machines;
	unsigned at =
		manager->attached->number; /* from 1 on: that of the one behind it, from 0 on */

	for (unsigned i = 0; i < machines->count; i++) {
		struct machine *machine = machines->machine[(at + i) % machines->count];

		if (machine_runs(machine))
			return machine;
	}
	return manager->attached;
}

static void say_lost(struct manager *manager, struct machine *machine)
{
	uint64_t first = kept_first(&machine->output);

	if (machine->shown >= first)
		return;
	manager_say(manager, "%s: %llu bytes of its output were not kept", machine->config->name,
		    (unsigned long long)(first - machine->shown));
	machine->shown = first;
}

static void show_raw(struct manager *manager, struct machine *machine)
{
	char bytes[512];
	size_t length;

	for (;;) {
		size_t room = console_room(&manager->console);

		length = kept_get(&machine->output, machine->shown, bytes,
				  room < sizeof(bytes) ? room : sizeof(bytes));
		if (!length)
			break;
		console_put_raw(&manager->console, bytes, length);
		machine->shown += length;
	}
}

void attach_begin(struct manager *manager, struct machine *machine)
{
	uint64_t last = kept_line(&machine->output, 0);
	const char *name = machine->config->name;

	manager->attached = NULL;
	manager->escape = false;
	if (machine_runs(machine))
		manager_say(manager, "[%s: Ctrl-] q leaves, Ctrl-] ? lists all keys]", name);
	else
		manager_say(manager, "[%s: its last output]", name);
	say_lost(manager, machine);
	if (machine->shown > last)
		machine->shown = last;
	if (!machine_runs(machine)) {
		show_raw(manager, machine);
		console_fresh_line(&manager->console);
		manager_say(manager, "[%s does not run: %s; start %s]", name,
			    machine->end[0] ? machine->end : "it was not started yet", name);
		return;
	}
	manager->attached = machine;
	show_raw(manager, machine);
}

void attach_end(struct manager *manager)
{
	manager->attached = NULL;
	manager->escape = false;
	console_fresh_line(&manager->console);
}

static void list_keys(struct manager *manager)
{
	const struct machines *machines = &manager->machines;

	manager_say(manager,
		    "[Ctrl-] and then: q or d the prompt, n the next guest, p press the power "
		    "button, Ctrl-] send itself]");
	for (unsigned i = 0; i < machines->count && i < 9; i++)
		manager_say(manager, "[%u: %s, %s]", i + 1, machines->machine[i]->config->name,
			    machine_state_name(machines->machine[i]));
}

static void press_power(struct manager *manager)
{
	struct machine *machine = manager->attached;
	char reason[128];

	if (machine_stop(machine, MACHINE_STOP_SECONDS, reason, sizeof(reason)))
		manager_say(manager,
			    "[%s: power button pressed; killed in %u s if it has not ended]",
			    machine->config->name, MACHINE_STOP_SECONDS);
	else
		manager_say(manager, "[%s: %s]", machine->config->name, reason);
}

static void attach_number(struct manager *manager, unsigned number)
{
	if (number > manager->machines.count)
		manager_say(manager, "[there is no machine %u: there are %u]", number,
			    manager->machines.count);
	else if (!machine_runs(manager->machines.machine[number - 1]))
		manager_say(manager, "[%s does not run]",
			    manager->machines.machine[number - 1]->config->name);
	else
		attach_begin(manager, manager->machines.machine[number - 1]);
}

/* The key behind Ctrl-]. */
static void command_key(struct manager *manager, char key)
{
	static const char escape = ESCAPE;

	manager->escape = false;
	if (key >= '1' && key <= '9') {
		attach_number(manager, (unsigned)(key - '0'));
		return;
	}
	switch (key) {
	case 'q':
	case 'd':
		attach_end(manager);
		break;
	case 'n':
		attach_begin(manager, next_running(manager));
		break;
	case 'p':
		press_power(manager);
		break;
	case '?':
		list_keys(manager);
		break;
	case ESCAPE:
		machine_type(manager->attached, &escape, 1);
		break;
	default:
		manager_say(manager, "[there is no such key: Ctrl-] ? lists them]");
	}
}

void attach_keys(struct manager *manager)
{
	struct console *console = &manager->console;
	int key;

	while (manager->attached && (key = console_peek(console)) >= 0) {
		char byte = (char)key;

		if (manager->escape) {
			console_key(console);
			command_key(manager, byte);
		} else if (byte == ESCAPE) {
			console_key(console);
			manager->escape = true;
		} else if (machine_type(manager->attached, &byte, 1)) {
			console_key(console);
		} else if (!console_urgent(console, ESCAPE)) {
			/* The guest has no room: what was typed waits, unless Ctrl-] is among it,
			 * or it is so much that Ctrl-] could come too late. */
			if (console_fill(console))
				return;
			console_forget(console);
			console_fill(console);
		}
	}
}

/* At the prompt: whole lines, with the machine's name in front. */
static void show_lines(struct manager *manager, struct machine *machine)
{
	char line[LINE_MAX];
	size_t length, room;

	say_lost(manager, machine);
	for (;;) {
		room = console_room(&manager->console);
		length = kept_get(&machine->output, machine->shown, line, sizeof(line));
		for (size_t i = 0; i < length; i++)
			if (line[i] == '\n')
				length = i + 1;
		if (!length || room < length + 2 * MACHINE_NAME_MAX + 2 * LINE_EDIT_WIDTH)
			return;
		/* The rest of the line is still to come, unless there will be no more. */
		if (length < sizeof(line) && line[length - 1] != '\n' && machine_runs(machine) &&
		    machine->info.state < METAL_PROCESS_EXITED)
			return;
		machine->shown += length;
		while (length && (line[length - 1] == '\n' || line[length - 1] == '\r'))
			length--;
		manager_say(manager, "[%s] %.*s", machine->config->name, (int)length, line);
	}
}

void attach_show(struct manager *manager)
{
	const struct machines *machines = &manager->machines;

	if (manager->attached) {
		show_raw(manager, manager->attached);
		return;
	}
	for (unsigned i = 0; i < machines->count && manager->follow; i++)
		show_lines(manager, machines->machine[i]);
}
