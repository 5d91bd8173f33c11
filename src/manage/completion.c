/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/completion.h"

#include <string.h>

#include "manage/help.h"
#include "manage/verb.h"

/* The part of a name that is a word: the first of two, or the second behind this first. */
static void put_names(const char *first, const char *begin, FILE *out)
{
	size_t length = first ? strlen(first) : 0;
	const char *last = "";

	for (const struct verb *const *table = verb_tables; *table; table++) {
		for (const struct verb *verb = *table; verb->name; verb++) {
			const char *name = verb->name;

			if (first && (strncmp(name, first, length) != 0 || name[length] != ' '))
				continue;
			name += first ? length + 1 : 0;
			if (strncmp(name, begin, strlen(begin)) != 0 || !strcmp(name, "complete"))
				continue;
			/* Those of one first word stand together. */
			if (!first && strchr(name, ' ') && strlen(last) > strcspn(name, " ") &&
			    !strncmp(last, name, strcspn(name, " ") + 1))
				continue;
			fprintf(out, "%.*s\n", (int)strcspn(name, " "), name);
			last = name;
		}
	}
}

static void put_commands(const char *begin, FILE *out)
{
	for (const struct command_line *command = command_lines; command->name; command++)
		if (!strncmp(command->name, begin, strlen(begin)))
			fprintf(out, "%s\n", command->name);
	put_names(NULL, begin, out);
}

static void put_options(unsigned commands, const struct verb_option *own, const char *begin,
			FILE *out)
{
	for (const struct verb_option *option = own; option && option->name; option++)
		if (!strncmp(option->name, begin, strlen(begin)))
			fprintf(out, "%s\n", option->name);
	for (const struct option *option = options_table; option->name; option++)
		if ((option->commands & commands) && !strncmp(option->name, begin, strlen(begin)))
			fprintf(out, "%s\n", option->name);
}

static void put_store(const struct store *store, enum verb_completes what, const char *begin,
		      FILE *out)
{
	char **names;
	unsigned count;

	if (!store || (what != COMPLETE_MACHINE && what != COMPLETE_IMAGE))
		return;
	if (what == COMPLETE_MACHINE ? store_machine_names(store, &names, &count)
				     : store_image_names(store, &names, &count))
		return;
	for (unsigned i = 0; i < count; i++)
		if (!strncmp(names[i], begin, strlen(begin)))
			fprintf(out, "%s\n", names[i]);
	store_names_free(names, count);
}

/* Whether the word is an option of the verb that has a value of its own behind it. */
static bool takes_value(const struct verb *verb, const char *word)
{
	for (const struct verb_option *option = verb->options; option && option->name; option++)
		if (!strcmp(option->name, word))
			return option->argument;
	for (const struct option *option = options_table; option->name; option++)
		if (verb->takes_machine_options && (option->commands & COMMAND_CREATE) &&
		    !strcmp(option->name, word))
			return option->argument;
	return false;
}

/* Behind a verb's name. */
static void complete_verb(const struct verb *verb, const char *const *words,
			  const struct store *store, FILE *out)
{
	const char *before = NULL, *begin = "";
	unsigned plain = 0;

	for (; *words; words++) {
		begin = *words;
		if (!words[1])
			break;
		plain += (*words)[0] != '-' && !(before && takes_value(verb, before));
		before = *words;
	}
	if (before && takes_value(verb, before)) {
		if (!strcmp(before, "--image"))
			put_store(store, COMPLETE_IMAGE, begin, out);
	} else if (begin[0] == '-') {
		put_options(verb->takes_machine_options ? COMMAND_CREATE : 0, verb->options, begin,
			    out);
	} else {
		put_store(store, verb->completes[plain > 0], begin, out);
	}
}

void complete_words(const char *const *words, const struct store *store, FILE *out)
{
	const char *const none[] = {"", NULL};
	const struct command_line *command;
	const struct verb *verb;
	unsigned length, count = 0;

	if (!words[0])
		words = none;
	while (words[count])
		count++;
	verb = verb_find(words, &length);
	command = command_line_find(words[0]);
	if (count == 1)
		put_commands(words[0], out);
	else if (verb && count > length)
		complete_verb(verb, words + length, store, out);
	else if (count == 2 && verb_is_first_word(words[0]))
		put_names(words[0], words[1], out);
	else if (command && command->bit == COMMAND_HELP)
		put_commands(words[count - 1], out);
	else if (command && count == 2 && (command->bit & (COMMAND_EXEC | COMMAND_SHELL)))
		put_store(store, COMPLETE_MACHINE, words[1], out);
	else if (command && words[count - 1][0] == '-')
		put_options(command->bit, NULL, words[count - 1], out);
}
