/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/verb.h"

#include <stdio.h>
#include <string.h>

#include "hosts/linux/linux.h"
#include "lib/word.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"

#define SECONDS_MAX 86400
#define REASON	    8192

const struct verb *verb_find(const char *const *arguments, unsigned *length)
{
	char two[64];

	snprintf(two, sizeof(two), "%s %s", arguments[0], arguments[1] ? arguments[1] : "");
	for (const struct verb *const *table = verb_tables; *table; table++) {
		for (const struct verb *verb = *table; verb->name; verb++) {
			*length = strchr(verb->name, ' ') ? 2 : 1;
			if (!strcmp(verb->name, *length == 2 ? two : arguments[0]))
				return verb;
		}
	}
	return NULL;
}

bool verb_is_first_word(const char *word)
{
	size_t length = strlen(word);

	for (const struct verb *const *table = verb_tables; *table; table++)
		for (const struct verb *verb = *table; verb->name; verb++)
			if (!strncmp(verb->name, word, length) && verb->name[length] == ' ')
				return true;
	return false;
}

static int unknown_option(const struct verb *verb, const char *argument)
{
	const char *names[128] = {NULL};
	unsigned count = 0;
	char word[64];
	const char *nearest;

	for (const struct verb_option *it = verb->options; it && it->name && count < 127; it++)
		names[count++] = it->name;
	for (const struct option *it = options_table; it->name && count < 127; it++)
		if (verb->takes_machine_options && (it->commands & COMMAND_CREATE))
			names[count++] = it->name;
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(argument, "="), argument);
	nearest = word_nearest(word, names);
	if (nearest)
		return complain_with(LODGE_BAD_OPTION, "%s: unknown option %s: did you mean %s?",
				     verb->name, word, nearest);
	return complain_with(LODGE_BAD_OPTION, "%s: unknown option %s: see lodge help %s",
			     verb->name, word, verb->name);
}

static const struct verb_option *find_option(const struct verb *verb, const char *argument,
					     const char **value)
{
	size_t length = strcspn(argument, "=");

	*value = argument[length] ? argument + length + 1 : NULL;
	for (const struct verb_option *it = verb->options; it && it->name; it++)
		if (strlen(it->name) == length && !strncmp(it->name, argument, length))
			return it->help ? it : it - 1;
	return NULL;
}

/* By what its argument is called in the help. */
static bool is_number(const char *argument)
{
	return !strcmp(argument, "SECONDS") || !strcmp(argument, "N") || !strcmp(argument, "MS");
}

/* value: NULL if it isn't in the same argument; then *next moves on to it. */
static int take(struct verb_call *call, const struct verb_option *option, const char *value,
		char ***next)
{
	const char *name = call->verb->name;
	uint64_t number;

	if (!option->repeats && verb_given(call, option->name))
		return complain_with(LODGE_BAD_OPTION, "%s: %s is given twice: once is enough",
				     name, option->name);
	if (!option->argument && value)
		return complain_with(LODGE_BAD_OPTION, "%s: %s takes no value", name, option->name);
	if (option->argument && !value)
		value = (*next)[1] ? *++*next : NULL;
	if (option->argument && !value)
		return complain_with(LODGE_BAD_OPTION, "%s: %s needs a value: %s %s", name,
				     option->name, option->name, option->argument);
	if (call->value_count == VERB_VALUES_MAX)
		return complain_with(LODGE_BAD_OPTION, "%s: %s is given too often", name,
				     option->name);
	if (option->argument && is_number(option->argument) && !word_number(value, &number))
		return complain_with(LODGE_BAD_OPTION, "%s: %s %s: %s", name, option->name, value,
				     *value && !value[strspn(value, "0123456789")]
					     ? "is too large a number"
					     : "must be a number");
	call->values[call->value_count++] = (struct verb_value){option, value};
	return LODGE_OK;
}

/* The row of a letter's option; NULL: there is none, or the verb has no letters. */
static const struct verb_option *find_letter(const struct verb *verb, char letter)
{
	for (const struct verb_option *it = verb->options; it && it->name; it++)
		if (!it->help && it->name[1] == letter)
			return it - 1;
	return NULL;
}

/* Letters may stand together (-it), and the value of the last may follow at once (-uroot). */
static int take_letters(struct verb_call *call, char ***next)
{
	int status = LODGE_OK;

	for (const char *letter = **next + 1; *letter && !status; letter++) {
		const struct verb_option *option = find_letter(call->verb, *letter);
		bool last = option && option->argument;

		if (!option)
			return unknown_option(call->verb, **next);
		status = take(call, option, last && letter[1] ? letter + 1 : NULL, next);
		if (last)
			break;
	}
	return status;
}

/* One option of the verb's own; *next moves on to its value. -1: it isn't one of these. */
static int take_option(struct verb_call *call, char ***next)
{
	const char *value;
	const struct verb_option *option = find_option(call->verb, **next, &value);

	if (option)
		return take(call, option, value, next);
	return find_letter(call->verb, (**next)[1]) ? take_letters(call, next) : -1;
}

/* "-1G" is a size: no option begins with a digit. */
static bool is_option(const char *argument)
{
	return argument[0] == '-' && argument[1] && !(argument[1] >= '0' && argument[1] <= '9');
}

/* An option of either kind. */
static int take_any_option(struct verb_call *call, char ***next)
{
	int status = take_option(call, next);
	char reason[REASON];

	if (status >= 0)
		return status;
	if (!call->verb->takes_machine_options)
		return unknown_option(call->verb, **next);
	status = options_take(call->machine, COMMAND_CREATE, next, reason, sizeof(reason));
	if (status < 0)
		return unknown_option(call->verb, **next);
	if (!status)
		return complain_with(LODGE_BAD_OPTION, "%s: %s", call->verb->name, reason);
	return LODGE_OK;
}

static int parse(struct verb_call *call, char **arguments)
{
	const struct verb *verb = call->verb;
	bool only_words = false;
	int status = LODGE_OK;

	for (char **next = arguments; *next && !status; next++) {
		if (!only_words && !strcmp(*next, "--")) {
			if (verb->takes_command) {
				call->command = next[1] ? next + 1 : NULL;
				break;
			}
			only_words = true;
		} else if (!only_words && is_option(*next)) {
			status = take_any_option(call, &next);
		} else if (verb->takes_command == TAKES_BEHIND_WORDS &&
			   call->word_count == verb->words_max) {
			call->command = next;
			break;
		} else if (call->word_count < verb->words_max &&
			   call->word_count < VERB_WORDS_MAX) {
			call->words[call->word_count++] = *next;
		} else {
			return complain_with(LODGE_BAD_OPTION, "%s: what is %s? See lodge help %s",
					     verb->name, *next, verb->name);
		}
	}
	if (!status && (call->word_count < verb->words_min ||
			(verb->takes_command == TAKES_BEHIND_WORDS && !call->command)))
		return complain_with(LODGE_BAD_OPTION, "%s: write lodge %s %s", verb->name,
				     verb->name, verb->usage);
	return status;
}

int verb_carry_out(const struct verb *verb, char **arguments)
{
	struct options options;
	struct verb_call call = {.verb = verb, .machine = &options};
	char reason[REASON];
	int status;

	options_init(&options);
	status = parse(&call, arguments);
	if (!status && verb->takes_machine_options &&
	    !options_check(&options, reason, sizeof(reason)))
		status = complain_with(LODGE_BAD_OPTION, "%s: %s", verb->name, reason);
	/* Whoever waits for something is ended by Ctrl-C. A machine's process takes its signals in
	 * its loop (start.c). */
	linux_signals_usual();
	if (!status)
		status = verb->run(&call);
	options_free(&options);
	return status;
}

bool verb_given(const struct verb_call *call, const char *name)
{
	for (unsigned i = 0; i < call->value_count; i++)
		if (!strcmp(call->values[i].option->name, name))
			return true;
	return false;
}

const char *verb_value(const struct verb_call *call, const char *name, const char *usual)
{
	for (unsigned i = 0; i < call->value_count; i++)
		if (!strcmp(call->values[i].option->name, name))
			return call->values[i].value;
	return usual;
}

bool verb_number(const struct verb_call *call, const char *name, unsigned least, unsigned most,
		 unsigned usual, unsigned *number)
{
	const char *value = verb_value(call, name, NULL);
	uint64_t result = usual;

	if (value && (!word_number(value, &result) || result < least || result > most)) {
		complain("%s: %s %s: must be a number from %u to %u", call->verb->name, name, value,
			 least, most);
		return false;
	}
	*number = (unsigned)result;
	return true;
}

bool verb_seconds(const struct verb_call *call, const char *name, unsigned usual,
		  unsigned *milliseconds)
{
	unsigned seconds;

	if (!verb_number(call, name, 0, SECONDS_MAX, usual, &seconds))
		return false;
	*milliseconds = seconds * 1000;
	return true;
}
