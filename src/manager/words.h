/* SPDX-License-Identifier: BSD-2-Clause */
/* The words of a command, and what they may name. */
#ifndef MANAGER_WORDS_H
#define MANAGER_WORDS_H

#include <stdbool.h>

#include "manager/line_edit.h"

#define WORDS_MAX 16

struct machine;
struct manager;

/* A line, cut into words. */
struct words {
	unsigned count;
	const char *word[WORDS_MAX + 1]; /* ended by NULL; further ones are cut off */
	const char *rest[WORDS_MAX + 1]; /* the line from that word on */
	char text[LINE_EDIT_MAX];
};

void words_split(struct words *words, const char *line);

/* A machine by its name, or its number in the list; NULL after a complaint. */
struct machine *words_machine(struct manager *manager, const char *name);

/* Does something to the machine of this name, or with `all` to each that runs (or does not).
 * Whether all went well. */
bool words_each(struct manager *manager, const char *name, bool running,
		bool (*call)(struct manager *manager, struct machine *machine, unsigned seconds),
		unsigned seconds);

/* A number of seconds, `usual` if text is NULL; false after a complaint. */
bool words_seconds(struct manager *manager, const char *text, unsigned usual, unsigned *seconds);

#endif
