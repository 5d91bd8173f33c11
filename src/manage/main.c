/* SPDX-License-Identifier: BSD-2-Clause */
/* lodge, the program: `lodge help` says what it can do. */
#include <stdio.h>
#include <string.h>

#include "hosts/linux/linux.h"
#include "lib/word.h"
#include "manage/agent_verbs.h"
#include "manage/complain.h"
#include "manage/doctor.h"
#include "manage/exitcodes.h"
#include "manage/help.h"
#include "manage/image.h"
#include "manage/json.h"
#include "manage/options.h"
#include "manage/run.h"
#include "manage/version.h"

static int version(bool json)
{
	struct json out = {0};

	if (!json) {
		printf("lodge %s\n", lodge_version);
		return LODGE_OK;
	}
	json_begin(&out, NULL, '{');
	json_text(&out, "version", lodge_version);
	json_end(&out, '}');
	return LODGE_OK;
}

static int unknown_command(const char *name)
{
	const char *names[16] = {NULL};
	const char *nearest;
	unsigned count = 0;

	for (const struct command_line *command = command_lines; command->name; command++)
		names[count++] = command->name;
	nearest = word_nearest(name, names);
	if (nearest)
		return complain_with(LODGE_BAD_OPTION,
				     "there is no command %s: did you mean lodge %s?", name,
				     nearest);
	return complain_with(LODGE_BAD_OPTION, "there is no command %s: see lodge help", name);
}

static int help(const char *subject)
{
	const struct command_line *command = subject ? command_line_find(subject) : NULL;

	if (subject && !command)
		return unknown_command(subject);
	if (command)
		help_command(command);
	else
		help_all(stdout);
	return LODGE_OK;
}

static int carry_out(unsigned command, struct options *options)
{
	switch (command) {
	case COMMAND_RUN:
		return run(options);
	case COMMAND_DOCTOR:
		return doctor(options->json);
	case COMMAND_VERSION:
		return version(options->json);
	default:
		return help(options->subject);
	}
}

/* Some have options of their own. */
static int parse_and_carry_out(unsigned command, char **arguments)
{
	struct options options;
	char reason[8192];
	int status;

	if (command == COMMAND_IMAGE)
		return image(arguments);
	if (command == COMMAND_EXEC)
		return agent_exec(arguments);
	if (command == COMMAND_SHELL)
		return agent_shell(arguments);
	if (command == COMMAND_CP)
		return agent_cp(arguments);
	options_init(&options);
	if (!options_parse(&options, command, arguments, reason, sizeof(reason)))
		status = complain_with(LODGE_BAD_OPTION, "%s", reason);
	else
		status = carry_out(command, &options);
	options_free(&options);
	return status;
}

/* The spellings that everybody tries first. */
static const char *command_name(const char *word)
{
	if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		return "help";
	if (!strcmp(word, "--version") || !strcmp(word, "-V"))
		return "version";
	return word;
}

static bool asks_for_help(char **arguments)
{
	for (; *arguments && strcmp(*arguments, "--") != 0; arguments++)
		if (!strcmp(*arguments, "--help") || !strcmp(*arguments, "-h"))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	const struct command_line *command;
	int status;

	linux_init();
	if (argc < 2) {
		help_all(stderr);
		return LODGE_BAD_OPTION;
	}
	command = command_line_find(command_name(argv[1]));
	if (!command)
		return unknown_command(argv[1]);
	if (asks_for_help(argv + 2)) {
		help_command(command);
		return LODGE_OK;
	}
	status = parse_and_carry_out(command->bit, argv + 2);
	if (fflush(stdout))
		status = status ? status
				: complain_with(LODGE_HOST_LACKS,
						"standard output can't be written");
	return status;
}
