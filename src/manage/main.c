/* SPDX-License-Identifier: BSD-2-Clause */
/* lodge, the program: `lodge help` says what it can do. */
#include <stdio.h>
#include <string.h>

#include "hosts/linux/linux.h"
#include "lib/word.h"
#include "manage/complain.h"
#include "manage/doctor.h"
#include "manage/exitcodes.h"
#include "manage/help.h"
#include "manage/json.h"
#include "manage/net_process.h"
#include "manage/options.h"
#include "manage/run.h"
#include "manage/verb.h"
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
	const char *names[128] = {NULL};
	const char *nearest;
	unsigned count = 0;

	for (const struct command_line *command = command_lines; command->name; command++)
		names[count++] = command->name;
	for (const struct verb *const *table = verb_tables; *table; table++)
		for (const struct verb *verb = *table; verb->name && count < 127; verb++)
			names[count++] = verb->name;
	nearest = word_nearest(name, names);
	if (!*name)
		return complain_with(LODGE_BAD_OPTION,
				     "an empty word is no command: see lodge help");
	if (nearest)
		return complain_with(LODGE_BAD_OPTION,
				     "there is no command %s: did you mean lodge %s?", name,
				     nearest);
	return complain_with(LODGE_BAD_OPTION, "there is no command %s: see lodge help", name);
}

/* A first word of two without its second, or with one that there isn't. */
static int half_a_verb(const char *first, const char *second)
{
	const char *names[64] = {NULL};
	const char *nearest = NULL;
	char list[256] = "";
	unsigned count = 0;

	for (const struct verb *const *table = verb_tables; *table; table++) {
		for (const struct verb *verb = *table; verb->name && count < 63; verb++) {
			size_t length = strlen(first);

			if (strncmp(verb->name, first, length) != 0 || verb->name[length] != ' ')
				continue;
			names[count++] = verb->name + length + 1;
			snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s %s",
				 count > 1 ? "," : "", verb->name + length + 1);
		}
	}
	if (second)
		nearest = word_nearest(second, names);
	if (nearest)
		return complain_with(LODGE_BAD_OPTION,
				     "there is no command %s %s: did you mean lodge %s %s?", first,
				     second, first, nearest);
	if (second)
		return complain_with(LODGE_BAD_OPTION,
				     "there is no command %s %.80s: it is one of%s: see lodge help "
				     "%s",
				     first, second, list, first);
	return complain_with(LODGE_BAD_OPTION, "%s needs one of%s behind it: see lodge help %s",
			     first, list, first);
}

static int help(const char *subject, const char *second)
{
	const char *const words[] = {subject, second, NULL};
	const struct command_line *command = subject ? command_line_find(subject) : NULL;
	const struct verb *verb;
	unsigned length;

	if (!subject) {
		help_all(stdout);
		return LODGE_OK;
	}
	verb = verb_find(words, &length);
	if (verb)
		help_verb(verb);
	else if (second)
		return verb_is_first_word(subject) ? half_a_verb(subject, second)
						   : unknown_command(subject);
	else if (command)
		help_command(command);
	else if (verb_is_first_word(subject))
		help_verbs(subject);
	else
		return unknown_command(subject);
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
		return help(options->subject, options->subject_second);
	}
}

static int parse_and_carry_out(unsigned command, char **arguments)
{
	struct options options;
	char reason[8192];
	int status;

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

static int main_command(char **arguments)
{
	const struct command_line *command = command_line_find(command_name(arguments[0]));

	if (!command && verb_is_first_word(arguments[0]))
		return asks_for_help(arguments + 1) ? help(arguments[0], NULL)
						    : half_a_verb(arguments[0], arguments[1]);
	if (!command)
		return unknown_command(arguments[0]);
	if (asks_for_help(arguments + 1)) {
		help_command(command);
		return LODGE_OK;
	}
	return parse_and_carry_out(command->bit, arguments + 1);
}

static int main_verb(char **arguments)
{
	unsigned length;
	const struct verb *verb = verb_find((const char *const *)arguments, &length);

	if (!verb)
		return main_command(arguments);
	if (asks_for_help(arguments + length)) {
		help_verb(verb);
		return LODGE_OK;
	}
	return verb_carry_out(verb, arguments + length);
}

int main(int argc, char **argv)
{
	int status;

	linux_init();
	if (argc < 2) {
		help_all(stderr);
		return LODGE_BAD_OPTION;
	}
	if (argc == 3 && !strcmp(argv[1], NET_SERVE))
		return net_serve(argv[2]);
	status = main_verb(argv + 1);
	/* What went wrong earlier, in a verb that flushes each line, counts as well. */
	if (fflush(stdout) || ferror(stdout))
		status = status ? status
				: complain_with(LODGE_HOST_LACKS,
						"standard output can't be written");
	return status;
}
