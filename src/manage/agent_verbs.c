/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/agent_verbs.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bits.h"
#include "lib/word.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/verb_machine.h"

enum { EXEC = 1, SHELL = 2, CP = 4 };

static bool set_user(struct agent_options *options, const char *value)
{
	options->user = value;
	return *value;
}

static bool set_folder(struct agent_options *options, const char *value)
{
	options->folder = value;
	return *value;
}

/* A name alone stands for our own variable, and for nothing if there is none. */
static bool set_environment(struct agent_options *options, const char *value)
{
	char *pair;

	if (!*value || *value == '=' || options->environment_count == AGENT_ENVIRONMENT_MAX)
		return false;
	if (!strchr(value, '=')) {
		if (!getenv(value))
			return true;
		/* For as long as the program runs. */
		if (asprintf(&pair, "%s=%s", value, getenv(value)) < 0)
			return false;
		value = pair;
	}
	options->environment[options->environment_count++] = value;
	return true;
}

static bool set_terminal(struct agent_options *options, const char *value)
{
	options->terminal = AGENT_TERMINAL_YES;
	return true;
}

static bool set_no_terminal(struct agent_options *options, const char *value)
{
	options->terminal = AGENT_TERMINAL_NO;
	return true;
}

static bool set_input(struct agent_options *options, const char *value)
{
	options->no_input = false;
	return true;
}

static bool set_no_input(struct agent_options *options, const char *value)
{
	options->no_input = true;
	return true;
}

static bool set_timeout(struct agent_options *options, const char *value)
{
	char *end;
	unsigned long seconds = strtoul(value, &end, 10);

	options->timeout = (int)seconds;
	return isdigit((unsigned char)*value) && !*end && seconds <= 86400;
}

static const struct agent_option {
	char letter; /* 0: none */
	const char *name, *argument;
	unsigned verbs;
	bool (*set)(struct agent_options *options, const char *value);
	const char *help; /* of a value that is no good as well */
} agent_options_table[] = {
	{'t', "--tty", NULL, EXEC, set_terminal,
	 "gives the command a terminal (as it has anyway if input and output are one here)"},
	{'T', "--no-tty", NULL, EXEC, set_no_terminal, "gives it none"},
	{'i', "--interactive", NULL, EXEC, set_input, "passes standard input (as is usual)"},
	{'n', "--no-input", NULL, EXEC, set_no_input, "its standard input is empty"},
	{'u', "--user", "USER", EXEC | SHELL | CP, set_user,
	 "a user of the guest, by name or number (default root)"},
	{'w', "--workdir", "FOLDER", EXEC | SHELL, set_folder,
	 "the folder to begin in (default the user's home)"},
	{'e', "--env", "NAME[=VALUE]", EXEC | SHELL, set_environment,
	 "a variable of its environment; without a value, as it is here"},
	{0, "--timeout", "SECONDS", EXEC | SHELL | CP, set_timeout,
	 "how long to wait for the agent of a machine that is starting (default 60; 0: for ever)"},
	{0, NULL, NULL, 0, NULL, NULL},
};

static const struct agent_verb {
	const char *name;
	unsigned bit;
	const char *usage, *summary;
} verbs[] = {
	{"exec", EXEC, "NAME [OPTION...] [--] COMMAND [ARGUMENT...]",
	 "runs a command in a machine"},
	{"shell", SHELL, "NAME [OPTION...]", "a login shell in a machine"},
	{"cp", CP, "[OPTION...] FROM TO",
	 "copies a file or a folder into a machine, or out of it: "
	 "one of the two is NAME:PATH"},
	{NULL, 0, NULL, NULL},
};

const char *agent_option_name(unsigned i)
{
	return agent_options_table[i].name;
}

static const struct agent_verb *agent_verb_find(const char *name)
{
	const struct agent_verb *verb = verbs;

	while (strcmp(verb->name, name) != 0)
		verb++;
	return verb;
}

void agent_help(const char *name)
{
	const struct agent_verb *verb = agent_verb_find(name);

	printf("lodge %s %s: %s\n\noptions:\n", verb->name, verb->usage, verb->summary);
	for (const struct agent_option *option = agent_options_table; option->name; option++)
		if (option->verbs & verb->bit)
			printf("  %c%c %-13s %-13s %s\n", option->letter ? '-' : ' ',
			       option->letter ? option->letter : ' ', option->name,
			       option->argument ? option->argument : "", option->help);
	if (verb->bit != CP)
		puts("\nThe command's status becomes lodge's; 82 if there is none. Without a "
		     "terminal, "
		     "signals go to the command.");
}

static int unknown_option(const struct agent_verb *verb, const char *word)
{
	const char *names[ARRAY_LENGTH(agent_options_table)] = {NULL};
	const char *nearest;
	unsigned count = 0;

	for (const struct agent_option *option = agent_options_table; option->name; option++)
		if (option->verbs & verb->bit)
			names[count++] = option->name;
	nearest = word_nearest(word, names);
	if (nearest)
		return complain_with(LODGE_BAD_OPTION, "%s: unknown option %s: did you mean %s?",
				     verb->name, word, nearest);
	return complain_with(LODGE_BAD_OPTION, "%s: unknown option %s: see lodge help %s",
			     verb->name, word, verb->name);
}

static int option_set(const struct agent_verb *verb, const struct agent_option *option,
		      const char *value, struct agent_options *options)
{
	if (option->argument && !value)
		return complain_with(LODGE_BAD_OPTION, "%s: %s needs a value: %s %s", verb->name,
				     option->name, option->name, option->argument);
	if (!option->argument && value)
		return complain_with(LODGE_BAD_OPTION, "%s: %s takes no value", verb->name,
				     option->name);
	if (!option->set(options, value))
		return complain_with(LODGE_BAD_OPTION, "%s: %s %s: must be %s: %s", verb->name,
				     option->name, value, option->argument, option->help);
	return LODGE_OK;
}

/* Letters may stand together (-it); the value of the last may follow at once (-uroot). */
static int take_letters(const struct agent_verb *verb, char ***next, struct agent_options *options)
{
	int status = LODGE_OK;

	for (const char *letter = **next + 1; *letter && !status; letter++) {
		const struct agent_option *option = agent_options_table;
		const char *value = NULL;

		while (option->name && !((option->verbs & verb->bit) && option->letter == *letter))
			option++;
		if (!option->name)
			return unknown_option(verb, **next);
		if (option->argument) {
			value = letter[1] ? letter + 1 : (*next)[1] ? *++*next : NULL;
			letter = "-"; /* the last */
		}
		status = option_set(verb, option, value, options);
	}
	return status;
}

/* One option, whose value may be in the next argument: *next moves on then. */
static int take_option(const struct agent_verb *verb, char ***next, struct agent_options *options)
{
	const char *argument = **next, *value = strchr(argument, '=');
	size_t length = value ? (size_t)(value - argument) : strlen(argument);
	const struct agent_option *option = agent_options_table;

	if (argument[1] != '-')
		return take_letters(verb, next, options);
	while (option->name && !((option->verbs & verb->bit) && strlen(option->name) == length &&
				 !strncmp(option->name, argument, length)))
		option++;
	if (!option->name)
		return unknown_option(verb, argument);
	value = value ? value + 1 : NULL;
	if (option->argument && !value)
		value = (*next)[1] ? *++*next : NULL;
	return option_set(verb, option, value, options);
}

/* Words and options; of exec, the command begins behind -- or with the second word. rest: where it
 * begins. */
static int parse(const struct agent_verb *verb, char **arguments, struct agent_options *options,
		 const char **words, unsigned words_wanted, char ***rest)
{
	unsigned count = 0;
	char **next = arguments;
	int status = LODGE_OK;

	*options = (struct agent_options){.timeout = AGENT_TIMEOUT};
	for (; *next && !status; next++) {
		if (!strcmp(*next, "--")) {
			next++;
			break;
		}
		if ((*next)[0] == '-' && (*next)[1])
			status = take_option(verb, &next, options);
		else if (count < words_wanted)
			words[count++] = *next;
		else if (verb->bit == EXEC)
			break;
		else
			return complain_with(LODGE_BAD_OPTION, "%s: what is %s? See lodge help %s",
					     verb->name, *next, verb->name);
	}
	if (verb->bit == CP)
		while (!status && *next && count < words_wanted)
			words[count++] = *next++;
	*rest = next;
	if (!status && (count < words_wanted || (verb->bit == EXEC) != (*next != NULL)))
		return complain_with(LODGE_BAD_OPTION, "%s: write lodge %s %s", verb->name,
				     verb->name, verb->usage);
	return status;
}

/* The machine of the store; to be closed if LODGE_OK. */
static int machine_find(const char *verb_name, const char *name, struct store_machine *machine)
{
	const struct verb verb = {.name = verb_name};
	const struct verb_call call = {.verb = &verb};
	struct store store;
	int status = verb_store(&call, &store);

	return status ? status : verb_machine(&call, &store, name, machine);
}

static int run(const struct store_machine *machine, char *const *arguments,
	       struct agent_options *options)
{
	struct agent_command command = {.name = machine->name,
					.arguments = arguments,
					.user = options->user,
					.folder = options->folder,
					.terminal = options->terminal,
					.in = options->no_input ? -1 : STDIN_FILENO,
					.out = STDOUT_FILENO,
					.err = STDERR_FILENO,
					.timeout = options->timeout};
	int stream, status;

	/* What was given stands behind it, and so counts more. */
	memmove(options->environment + 1, options->environment,
		sizeof(options->environment) - sizeof(options->environment[0]));
	options->environment[0] = "TERM=dumb";
	if (getenv("TERM") && isatty(STDOUT_FILENO) &&
	    asprintf((char **)&options->environment[0], "TERM=%s", getenv("TERM")) < 0)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	command.environment = (char *const *)options->environment;
	stream = agent_connect(machine, options->timeout, &status);
	return stream < 0 ? status : agent_run(stream, &command);
}

static int find_and_run(const char *verb_name, const char *name, char *const *arguments,
			struct agent_options *options)
{
	struct store_machine machine;
	int status = machine_find(verb_name, name, &machine);

	if (status)
		return status;
	status = run(&machine, arguments, options);
	store_close(&machine);
	return status;
}

int agent_exec(char **arguments)
{
	struct agent_options options;
	const char *machine;
	char **command;
	int status = parse(agent_verb_find("exec"), arguments, &options, &machine, 1, &command);

	return status ? status : find_and_run("exec", machine, command, &options);
}

int agent_shell(char **arguments)
{
	static char *const login[] = {NULL};
	struct agent_options options;
	const char *machine;
	char **rest;
	int status = parse(agent_verb_find("shell"), arguments, &options, &machine, 1, &rest);

	return status ? status : find_and_run("shell", machine, login, &options);
}

/* NAME:PATH, where no slash stands before the colon: the path, and the name's length. */
static const char *in_machine(const char *word, size_t *length)
{
	*length = strcspn(word, ":/");
	return word[*length] == ':' && *length ? word + *length + 1 : NULL;
}

int agent_cp(char **arguments)
{
	struct agent_options options;
	struct agent_copy copy = {.options = &options};
	const char *words[2], *from, *to;
	struct store_machine machine;
	size_t from_length, to_length;
	char **rest, *name;
	int status = parse(agent_verb_find("cp"), arguments, &options, words, 2, &rest);

	if (status)
		return status;
	from = in_machine(words[0], &from_length);
	to = in_machine(words[1], &to_length);
	if (!from == !to)
		return complain_with(LODGE_BAD_OPTION,
				     "cp: one of %s and %s must be in a machine: NAME:PATH (and a "
				     "file here whose name has a colon: ./FILE)",
				     words[0], words[1]);
	name = from ? strndup(words[0], from_length) : strndup(words[1], to_length);
	if (!name)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	status = machine_find("cp", name, &machine);
	free(name);
	if (status)
		return status;
	copy.machine = &machine;
	copy.out = from != NULL;
	copy.from = from ? from : words[0];
	copy.to = to ? to : words[1];
	status = agent_copy(&copy);
	store_close(&machine);
	return status;
}
