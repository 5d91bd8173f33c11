/* SPDX-License-Identifier: BSD-2-Clause */
/* exec, shell, cp: what the agent in a machine does. */
#include "manage/agent_verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/verbs.h"

/* A name alone stands for our own variable, and for nothing if there is none. */
static int add_environment(const struct verb_call *call, struct agent_options *options,
			   const char *value)
{
	char *pair;

	if (!*value || *value == '=' || options->environment_count == AGENT_ENVIRONMENT_MAX)
		return complain_with(LODGE_BAD_OPTION, "%s: --env %s: must be NAME or NAME=VALUE",
				     call->verb->name, value);
	if (!strchr(value, '=')) {
		if (!getenv(value))
			return LODGE_OK;
		/* For as long as the program runs. */
		if (asprintf(&pair, "%s=%s", value, getenv(value)) < 0)
			return complain_with(LODGE_HOST_LACKS, "no memory");
		value = pair;
	}
	options->environment[options->environment_count++] = value;
	return LODGE_OK;
}

/* Of two that say the opposite the later one counts. */
static int take_options(const struct verb_call *call, struct agent_options *options)
{
	unsigned milliseconds;
	int status = LODGE_OK;

	*options = (struct agent_options){.user = verb_value(call, "--user", NULL),
					  .folder = verb_value(call, "--workdir", NULL)};
	if (!verb_seconds(call, "--timeout", AGENT_TIMEOUT, &milliseconds))
		return LODGE_BAD_OPTION;
	options->timeout = (int)(milliseconds / 1000);
	if ((options->user && !*options->user) || (options->folder && !*options->folder))
		return complain_with(LODGE_BAD_OPTION, "%s: %s needs a name", call->verb->name,
				     options->user && !*options->user ? "--user" : "--workdir");
	for (unsigned i = 0; i < call->value_count && !status; i++) {
		const char *name = call->values[i].option->name;

		if (!strcmp(name, "--env"))
			status = add_environment(call, options, call->values[i].value);
		else if (!strcmp(name, "--tty"))
			options->terminal = AGENT_TERMINAL_YES;
		else if (!strcmp(name, "--no-tty"))
			options->terminal = AGENT_TERMINAL_NO;
		else if (!strcmp(name, "--interactive") || !strcmp(name, "--no-input"))
			options->no_input = name[2] == 'n';
	}
	return status;
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

static int find_and_run(struct verb_call *call, char *const *arguments)
{
	struct agent_options options;
	struct store_machine machine;
	struct store store;
	int status = take_options(call, &options);

	if (!status)
		status = verb_store(call, &store);
	if (!status)
		status = verb_machine(call, &store, call->words[0], &machine);
	if (status)
		return status;
	status = run(&machine, arguments, &options);
	store_close(&machine);
	return status;
}

static int exec(struct verb_call *call)
{
	return find_and_run(call, call->command);
}

static int shell(struct verb_call *call)
{
	static char *const login[] = {NULL};

	return find_and_run(call, login);
}

/* NAME:PATH, where no slash stands before the colon: the path, and the name's length. */
static const char *in_machine(const char *word, size_t *length)
{
	*length = strcspn(word, ":/");
	return word[*length] == ':' && *length ? word + *length + 1 : NULL;
}

static int cp(struct verb_call *call)
{
	struct agent_options options;
	struct agent_copy copy = {.options = &options};
	const char *const *words = call->words;
	struct store_machine machine;
	size_t from_length, to_length;
	struct store store;
	char *name;
	const char *from = in_machine(words[0], &from_length),
		   *to = in_machine(words[1], &to_length);
	int status = take_options(call, &options);

	if (status)
		return status;
	if (from && to)
		return complain_with(LODGE_BAD_OPTION,
				     "cp: %s and %s are both in machines: copy it here first, and "
				     "then there (a file here whose name has a colon: ./FILE)",
				     words[0], words[1]);
	if (!from && !to)
		return complain_with(LODGE_BAD_OPTION,
				     "cp: one of %s and %s must be in a machine: NAME:PATH (and a "
				     "file here whose name has a colon: ./FILE)",
				     words[0], words[1]);
	name = from ? strndup(words[0], from_length) : strndup(words[1], to_length);
	if (!name)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	status = verb_store(call, &store);
	if (!status)
		status = verb_machine(call, &store, name, &machine);
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

#define USER                                                                                       \
	{"--user", "USER", false, "a user of the guest, by name or number (default root)"},        \
	{                                                                                          \
		"-u", "USER", false, NULL                                                          \
	}
#define WORKDIR                                                                                    \
	{"--workdir", "FOLDER", false, "the folder to begin in (default the user's home)"},        \
	{                                                                                          \
		"-w", "FOLDER", false, NULL                                                        \
	}
#define ENVIRONMENT                                                                                \
	{"--env", "NAME[=VALUE]", true,                                                            \
	 "a variable of its environment; without a value, as it is here"},                         \
	{                                                                                          \
		"-e", "NAME[=VALUE]", true, NULL                                                   \
	}
#define TIMEOUT                                                                                    \
	{                                                                                          \
		"--timeout", "SECONDS", false,                                                     \
			"how long to wait for the agent of a machine that is starting (default "   \
			"60; 0: for ever)"                                                         \
	}

static const struct verb_option exec_options[] = {
	{"--tty", NULL, false,
	 "gives the command a terminal (as it has anyway if input and output are one here)"},
	{"-t", NULL, false, NULL},
	{"--no-tty", NULL, false, "gives it none"},
	{"-T", NULL, false, NULL},
	{"--interactive", NULL, false, "passes standard input (as is usual)"},
	{"-i", NULL, false, NULL},
	{"--no-input", NULL, false, "its standard input is empty"},
	{"-n", NULL, false, NULL},
	USER,
	WORKDIR,
	ENVIRONMENT,
	TIMEOUT,
	VERB_END,
};
static const struct verb_option shell_options[] = {USER, WORKDIR, ENVIRONMENT, TIMEOUT, VERB_END};
static const struct verb_option cp_options[] = {USER, TIMEOUT, VERB_END};

#define STATUS                                                                                     \
	"It needs Lodge's agent, which its initrd brings into the guest; one that is starting is " \
	"waited for. The command's status becomes lodge's; 82 if there is none. Without a "        \
	"terminal, signals go to the command."

const struct verb verbs_agent[] = {
	{"exec",
	 "NAME [OPTION...] [--] COMMAND...",
	 "runs a command in a machine",
	 1,
	 1,
	 {COMPLETE_MACHINE, COMPLETE_NOTHING},
	 exec_options,
	 false,
	 TAKES_BEHIND_WORDS,
	 exec,
	 STATUS},
	{"shell",
	 "NAME [OPTION...]",
	 "a login shell in a machine",
	 1,
	 1,
	 {COMPLETE_MACHINE, COMPLETE_NOTHING},
	 shell_options,
	 false,
	 TAKES_NONE,
	 shell,
	 STATUS},
	{"cp",
	 "[OPTION...] FROM TO",
	 "copies a file or a folder into a machine, or out of it",
	 2,
	 2,
	 {COMPLETE_PLACE, COMPLETE_PLACE},
	 cp_options,
	 false,
	 TAKES_NONE,
	 cp,
	 "One of the two is NAME:PATH; a PATH without a slash in front begins in the user's home."},
	{NULL, NULL, NULL, 0, 0, {0, 0}, NULL, false, TAKES_NONE, NULL, NULL},
};
