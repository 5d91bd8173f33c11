/* SPDX-License-Identifier: BSD-2-Clause */
#include "manager/commands.h"

#include "core/host.h"
#include "lib/bits.h"
#include "lib/format.h"
#include "lib/string.h"
#include "lib/word.h"
#include "manager/attach.h"
#include "manager/command_calls.h"
#include "manager/manager.h"
#include "manager/reports.h"
#include "manager/system.h"
#include "manager/version.h"
#include "manager/words.h"

#define HELP_COLUMN 24 /* where the help of a command begins */

struct command {
	const char *name, *alias; /* alias: what hosted Lodge or habit calls it; NULL */
	const char *arguments;
	const char *help;
	unsigned least, most;	     /* words behind the name */
	bool machine;		     /* the first of them is a machine's name ... */
	bool all;		     /* ... or all */
	const char *const *keywords; /* that can stand as the next one */
	command_call *call;
};

/* Reports. */

static bool call_list(struct manager *manager, const struct words *words)
{
	report_list(manager);
	return true;
}

static bool call_info(struct manager *manager, const struct words *words)
{
	struct machine *machine;

	if (!words->word[1]) {
		report_host(manager);
		return true;
	}
	machine = words_machine(manager, words->word[1]);
	if (machine)
		report_machine(manager, machine);
	return machine != NULL;
}

static bool call_stats(struct manager *manager, const struct words *words)
{
	const struct machines *machines = &manager->machines;
	const char *name = words->word[1];
	struct machine *machine;

	if (name && !string_equal(name, "all")) {
		machine = words_machine(manager, name);
		if (machine)
			report_stats(manager, machine);
		return machine != NULL;
	}
	for (unsigned i = 0; i < machines->count; i++)
		report_stats(manager, machines->machine[i]);
	return true;
}

static bool call_log(struct manager *manager, const struct words *words)
{
	struct machine *machine;

	if (!words->word[1]) {
		report_kernel_log(manager);
		return true;
	}
	machine = words_machine(manager, words->word[1]);
	if (machine)
		report_machine_log(manager, machine);
	return machine != NULL;
}

static bool call_version(struct manager *manager, const struct words *words)
{
	console_print(&manager->console, "lodge %s\n", manager_version);
	return true;
}

/* Consoles. */

static bool call_attach(struct manager *manager, const struct words *words)
{
	struct machine *machine = words_machine(manager, words->word[1]);

	if (machine)
		attach_begin(manager, machine);
	return machine != NULL;
}

static bool call_detach(struct manager *manager, const struct words *words)
{
	return manager_fail(manager,
			    "detach is a key: Ctrl-] and then q, while a guest is attached");
}

static const char *const follow_keywords[] = {"on", "off", NULL};

static bool call_follow(struct manager *manager, const struct words *words)
{
	manager->follow = string_equal(words->word[1], "on");
	if (!manager->follow && !string_equal(words->word[1], "off"))
		return manager_fail(manager, "follow %s: takes on or off", words->word[1]);
	return true;
}

static bool call_send(struct manager *manager, const struct words *words)
{
	struct machine *machine = words_machine(manager, words->word[1]);
	const char *text = words->rest[2];
	size_t length = string_length(text), sent;

	if (!machine)
		return false;
	if (!machine_runs(machine))
		return manager_fail(manager, "%s: it does not run", words->word[1]);
	sent = machine_type(machine, text, length);
	sent += sent == length ? machine_type(machine, "\r", 1) : 0;
	return sent == length + 1 ||
	       manager_fail(manager, "%s: it has not read what was sent before: there is no room",
			    words->word[1]);
}

/* The table. */

static const char *const set_keywords[] = {"weight", "cap", "processors", NULL};

static const char *const end_keywords[] = {"now", NULL};

static bool call_help(struct manager *manager, const struct words *words);

static const struct command commands[] = {
	{"list", "ls", "", "all machines", 0, 0, false, false, NULL, call_list},
	{"start", NULL, "NAME|all", "starts a machine that does not run", 1, 1, true, true, NULL,
	 call_start},
	{"stop", NULL, "NAME|all [SECONDS]",
	 "presses the power button, and kills it after that time (30)", 1, 2, true, true, NULL,
	 call_stop},
	{"kill", NULL, "NAME|all", "ends a machine at once, as pulling the plug does", 1, 1, true,
	 true, NULL, call_kill},
	{"restart", NULL, "NAME|all [SECONDS]", "stop, then start", 1, 2, true, true, NULL,
	 call_restart},
	{"pause", NULL, "NAME|all", "its processors and its time stand still", 1, 1, true, true,
	 NULL, call_pause},
	{"resume", NULL, "NAME|all", "lets it go on", 1, 1, true, true, NULL, call_resume},
	{"info", NULL, "[NAME]", "all about a machine, or about this computer", 0, 1, true, false,
	 NULL, call_info},
	{"stats", "top", "[NAME|all]", "exits by kind, time of each processor, memory", 0, 1, true,
	 true, NULL, call_stats},
	{"log", "logs", "[NAME]", "what Lodge says of a machine, or the kernel's log", 0, 1, true,
	 false, NULL, call_log},
	{"attach", "console", "NAME", "the terminal becomes its console; Ctrl-] q comes back", 1, 1,
	 true, false, NULL, call_attach},
	{"detach", NULL, "", "the key Ctrl-] q", 0, 0, false, false, NULL, call_detach},
	{"follow", NULL, "on|off", "shows here what all guests write", 1, 1, false, false,
	 follow_keywords, call_follow},
	{"send", NULL, "NAME TEXT", "types a line into its console", 2, WORDS_MAX, true, false,
	 NULL, call_send},
	{"set", NULL, "NAME weight|cap|processors VALUE",
	 "its share, its limit in percents, or where it runs (0-3,5)", 3, 3, true, false,
	 set_keywords, call_set},
	{"wait", NULL, "NAME|all [SECONDS]", "until it has ended; Ctrl-C gives up", 1, 2, true,
	 true, NULL, call_wait},
	{"expect", NULL, "NAME SECONDS TEXT", "waits until it has written TEXT", 3, WORDS_MAX, true,
	 false, NULL, call_expect},
	{"sleep", NULL, "SECONDS", "waits", 1, 1, false, false, NULL, call_sleep},
	{"version", NULL, "", "which Lodge this is", 0, 0, false, false, NULL, call_version},
	{"help", "?", "[COMMAND]", "this list", 0, 1, false, false, NULL, call_help},
	{"reboot", NULL, "[now]", "stops all machines (not with now), and reboots", 0, 1, false,
	 false, end_keywords, call_reboot},
	{"poweroff", "halt", "[now]", "stops all machines (not with now), and switches it off", 0,
	 1, false, false, end_keywords, call_poweroff},
	{"exit", NULL, "[CODE]", "ends the emulator; without CODE: 1 if a command failed", 0, 1,
	 false, false, NULL, call_exit},
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
		if (string_equal(commands[i].name, name) ||
		    (commands[i].alias && string_equal(commands[i].alias, name)))
			return &commands[i];
	return NULL;
}

static bool no_such_command(struct manager *manager, const char *name)
{
	const char *names[ARRAY_LENGTH(commands) + 1] = {NULL};
	const char *nearest;

	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
		names[i] = commands[i].name;
	nearest = word_nearest(name, names);
	if (nearest)
		return manager_fail(manager, "there is no command %s: did you mean %s?", name,
				    nearest);
	return manager_fail(manager, "there is no command %s: help lists them", name);
}

static void help_row(struct manager *manager, const struct command *command)
{
	char usage[64];

	format(usage, sizeof(usage), "%s %s", command->name, command->arguments);
	if (string_length(usage) > HELP_COLUMN)
		console_print(&manager->console, "  %s\n  %-*s %s\n", usage, HELP_COLUMN, "",
			      command->help);
	else
		console_print(&manager->console, "  %-*s %s\n", HELP_COLUMN, usage, command->help);
}

static bool call_help(struct manager *manager, const struct words *words)
{
	const struct command *command;

	if (words->word[1]) {
		command = find_command(words->word[1]);
		if (!command)
			return no_such_command(manager, words->word[1]);
		help_row(manager, command);
		return true;
	}
	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
		help_row(manager, &commands[i]);
	console_put(&manager->console,
		    "Attached to a guest, Ctrl-] begins a command: Ctrl-] ? lists them.\n");
	return true;
}

void commands_run(struct manager *manager, const char *line)
{
	const struct command *command;
	struct words words;
	bool good = false;

	words_split(&words, line);
	if (!words.count || words.word[0][0] == '#')
		return;
	command = find_command(words.word[0]);
	if (!command)
		no_such_command(manager, words.word[0]);
	else if (words.count - 1 < command->least || words.count - 1 > command->most)
		manager_fail(manager, "usage: %s %s", command->name, command->arguments);
	else
		good = command->call(manager, &words);
	if (!good)
		manager->failures++;
}

const char *commands_candidate(void *context, const char *before, unsigned index)
{
	const struct manager *manager = context;
	const struct machines *machines = &manager->machines;
	const struct command *command;
	struct words words;
	unsigned keyword;

	words_split(&words, before);
	if (!words.count)
		return index < ARRAY_LENGTH(commands) ? commands[index].name : NULL;
	command = find_command(words.word[0]);
	if (!command)
		return NULL;
	if (words.count == 1 && command->machine) {
		if (index < machines->count)
			return machines->machine[index]->config->name;
		return index == machines->count && command->all ? "all" : NULL;
	}
	if (words.count == 1 && string_equal(command->name, "help"))
		return index < ARRAY_LENGTH(commands) ? commands[index].name : NULL;
	if (!command->keywords || words.count != (command->machine ? 2 : 1))
		return NULL;
	for (keyword = 0; keyword < index && command->keywords[keyword];)
		keyword++;
	return command->keywords[keyword];
}
