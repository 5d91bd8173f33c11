/* SPDX-License-Identifier: BSD-2-Clause */
#include "manager/words.h"

#include "lib/string.h"
#include "lib/word.h"
#include "manager/manager.h"

#define SECONDS_MAX 86400

void words_split(struct words *words, const char *line)
{
	char *at = words->text;

	words->count = 0;
	string_copy(words->text, sizeof(words->text), line);
	for (;;) {
		while (*at == ' ' || *at == '\t')
			*at++ = '\0';
		if (!*at || words->count == WORDS_MAX)
			break;
		words->word[words->count] = at;
		words->rest[words->count++] = line + (at - words->text);
		while (*at && *at != ' ' && *at != '\t')
			at++;
	}
	words->word[words->count] = words->rest[words->count] = NULL;
}

static bool no_such_machine(struct manager *manager, const char *name)
{
	const struct machines *machines = &manager->machines;
	const char *names[MACHINES_MAX + 1] = {NULL};
	const char *nearest;

	for (unsigned i = 0; i < machines->count; i++)
		names[i] = machines->machine[i]->config->name;
	nearest = word_nearest(name, names);
	if (nearest)
		return manager_fail(manager, "there is no machine %s: did you mean %s?", name,
				    nearest);
	return manager_fail(manager, "there is no machine %s: list shows those there are", name);
}

/* By its name, or its number in the list. */
struct machine *words_machine(struct manager *manager, const char *name)
{
	struct machine *machine = machines_find(&manager->machines, name);
	uint64_t number;

	if (!machine && word_number(name, &number) && number >= 1 &&
	    number <= manager->machines.count)
		machine = manager->machines.machine[number - 1];
	if (!machine)
		no_such_machine(manager, name);
	return machine;
}

/* Does something to a machine, or to all of those that run (or don't). */
bool words_each(struct manager *manager, const char *name, bool running,
		bool (*call)(struct manager *manager, struct machine *machine, unsigned seconds),
		unsigned seconds)
{
	const struct machines *machines = &manager->machines;
	bool good = true, any = false;

	if (!string_equal(name, "all")) {
		struct machine *machine = words_machine(manager, name);

		return machine && call(manager, machine, seconds);
	}
	for (unsigned i = 0; i < machines->count; i++) {
		if (machine_runs(machines->machine[i]) != running)
			continue;
		good &= call(manager, machines->machine[i], seconds);
		any = true;
	}
	if (!any)
		manager_say(manager, running ? "no machine runs" : "all machines run");
	return good;
}

/* An argument that may be missing. */
bool words_seconds(struct manager *manager, const char *text, unsigned usual, unsigned *seconds)
{
	uint64_t number = usual;

	*seconds = usual;
	if (text && (!word_number(text, &number) || number > SECONDS_MAX))
		return manager_fail(manager, "%s: must be a number of seconds, at most %u", text,
				    SECONDS_MAX);
	*seconds = (unsigned)number;
	return true;
}
