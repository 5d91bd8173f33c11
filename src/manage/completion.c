/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/completion.h"

#include <stdlib.h>
#include <string.h>

#include "manage/help.h"
#include "manage/net_store.h"
#include "manage/snapshots.h"
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

static void put(const char *name, const char *begin, const char *end, FILE *out)
{
	if (!strncmp(name, begin, strlen(begin)))
		fprintf(out, "%s%s\n", name, end);
}

static void put_store(const struct store *store, enum verb_completes what, const char *begin,
		      FILE *out)
{
	char **names;
	unsigned count;

	if (what == COMPLETE_IMAGE ? store_image_names(store, &names, &count)
				   : store_machine_names(store, &names, &count))
		return;
	for (unsigned i = 0; i < count; i++)
		put(names[i], begin, what == COMPLETE_PLACE ? ":" : "", out);
	store_names_free(names, count);
}

static void put_networks(const char *begin, FILE *out)
{
	char reason[PATH_MAX + 256];
	struct net_info *list;
	unsigned count;

	if (net_list(&list, &count, reason, sizeof(reason)))
		return;
	for (unsigned i = 0; i < count; i++)
		put(list[i].name, begin, "", out);
	free(list);
}

static void put_snapshots(const struct store *store, const char *name, const char *begin, FILE *out)
{
	char reason[STORE_PATH];
	struct store_machine machine;
	struct snapshots snapshots;

	if (store_find(store, name, &machine, reason, sizeof(reason)))
		return;
	if (!snapshots_read(&machine, &snapshots)) {
		for (unsigned i = 0; i < snapshots.count; i++)
			put(snapshots.list[i].name, begin, "", out);
		snapshots_free(&snapshots);
	}
	store_close(&machine);
}

/* A word of a verb, or an option's value. first: the verb's first word. */
static void put_kind(const struct store *store, enum verb_completes what, const char *first,
		     const char *begin, FILE *out)
{
	switch (what) {
	case COMPLETE_MACHINE:
	case COMPLETE_IMAGE:
	case COMPLETE_PLACE:
		if (store)
			put_store(store, what, begin, out);
		break;
	case COMPLETE_NETWORK:
		put_networks(begin, out);
		break;
	case COMPLETE_SNAPSHOT:
		if (store && first)
			put_snapshots(store, first, begin, out);
		break;
	case COMPLETE_SHELL:
		put("bash", begin, "", out);
		put("zsh", begin, "", out);
		break;
	case COMPLETE_NOTHING:
	case COMPLETE_FILE:
		break;
	}
}

/* raw|qcow2, but no NAME or SIZE. */
static void put_choices(const char *argument, const char *begin, FILE *out)
{
	if (!strchr(argument, '|'))
		return;
	while (*argument) {
		size_t length = strcspn(argument, "|");

		if (strcspn(argument, "ABCDEFGHIJKLMNOPQRSTUVWXYZ[") >= length &&
		    !strncmp(argument, begin, strlen(begin)) && strlen(begin) <= length)
			fprintf(out, "%.*s\n", (int)length, argument);
		argument += length + (argument[length] == '|');
	}
}

/* The value of an option. */
static void put_value(const struct store *store, const char *option, const char *argument,
		      const char *begin, FILE *out)
{
	if (!strcmp(option, "--image"))
		put_kind(store, COMPLETE_IMAGE, NULL, begin, out);
	if (strcmp(option, "--net") != 0) {
		put_choices(argument, begin, out);
		return;
	}
	put("user", begin, "", out);
	put("none", begin, "", out);
	put("tap", begin, "", out);
	put_networks(begin, out);
}

/* What the word, an option of the verb, has as a value of its own behind it; NULL: nothing. */
static const char *value_of(const struct verb *verb, const char *word)
{
	for (const struct verb_option *option = verb->options; option && option->name; option++)
		if (!strcmp(option->name, word))
			return option->argument;
	for (const struct option *option = options_table; option->name; option++)
		if (verb->takes_machine_options && (option->commands & COMMAND_CREATE) &&
		    !strcmp(option->name, word))
			return option->argument;
	return NULL;
}

/* Behind a verb's name. */
static void complete_verb(const struct verb *verb, const char *const *words,
			  const struct store *store, FILE *out)
{
	const char *before = NULL, *begin = "", *first = NULL;
	unsigned plain = 0;

	for (; *words; words++) {
		begin = *words;
		if (!words[1])
			break;
		/* What belongs to the guest, and a path in it behind NAME: (which bash has as words
		 * of their own). */
		if (verb->takes_command && (!strcmp(begin, "--") || plain > verb->words_max))
			return;
		if (!strcmp(begin, ":"))
			return;
		if ((*words)[0] != '-' && !(before && value_of(verb, before))) {
			first = first ? first : begin;
			plain++;
		}
		before = *words;
	}
	if (!strcmp(begin, ":"))
		return;
	if (before && value_of(verb, before)) {
		put_value(store, before, value_of(verb, before), begin, out);
	} else if (begin[0] == '-') {
		put_options(verb->takes_machine_options ? COMMAND_CREATE : 0, verb->options, begin,
			    out);
	} else {
		put_kind(store, verb->completes[plain > 0], first, begin, out);
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
	else if (command && command->bit == COMMAND_RUN && !strcmp(words[count - 2], "--net"))
		put_value(store, "--net", "NAME", words[count - 1], out);
	else if (store && command && command->bit == COMMAND_RUN && words[count - 1][0] != '-' &&
		 words[count - 2][0] != '-')
		put_kind(store, COMPLETE_IMAGE, NULL, words[count - 1], out);
	else if (command && words[count - 1][0] == '-')
		put_options(command->bit, NULL, words[count - 1], out);
}
