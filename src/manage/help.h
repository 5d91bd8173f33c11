/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef MANAGE_HELP_H
#define MANAGE_HELP_H

#include <stdio.h>

/* One of lodge's commands. */
struct command_line {
	const char *name;
	unsigned bit; /* COMMAND_RUN... */
	const char *summary;
	const char *usage; /* behind the name */
};

/* Ended by one whose name is NULL. */
extern const struct command_line command_lines[];

/* The row of that name, or NULL. */
const struct command_line *command_line_find(const char *name);

/* What lodge can do, or what one command takes; how lodge ends. */
void help_all(FILE *file);
void help_command(const struct command_line *command);

struct verb;

/* What one verb takes; the verbs whose first word this is. */
void help_verb(const struct verb *verb);
void help_verbs(const char *first);

#endif
