/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verbs of the command line, as tables: one file for each group of them (verbs_*.c) has its
 * table, and verbs.c the list of these. The parser, the help, the manual page's test and the
 * completion of shells all read them. To add a verb: a row, its function, a section in
 * docs/lodge.1.
 */
#ifndef MANAGE_VERB_H
#define MANAGE_VERB_H

#include <stdbool.h>
#include <stddef.h>

#include "manage/options.h"

#define VERB_WORDS_MAX	64
#define VERB_VALUES_MAX 64

struct verb_option {
	const char *name;     /* with its dashes; NULL ends the list */
	const char *argument; /* its name in the help; NULL for a switch */
	bool repeats;
	const char *help; /* NULL: it is another name, a letter (-t), of the row before it; letters
			     may stand together */
};

/* Rows that many verbs have. */
#define VERB_JSON                                                                                  \
	{                                                                                          \
		"--json", NULL, false, "reports as JSON"                                           \
	}
#define VERB_TIMEOUT                                                                               \
	{                                                                                          \
		"--timeout", "SECONDS", false, "how long to wait (default as the verb says)"       \
	}
#define VERB_END                                                                                   \
	{                                                                                          \
		NULL, NULL, false, NULL                                                            \
	}

/* What the words of a verb are, for completion. */
enum verb_completes {
	COMPLETE_NOTHING,
	COMPLETE_MACHINE,
	COMPLETE_IMAGE,
	COMPLETE_NETWORK,
	COMPLETE_SNAPSHOT, /* of the machine that the first word is */
	COMPLETE_PLACE,	   /* NAME:PATH in a machine, or a file here */
	COMPLETE_SHELL,
	COMPLETE_FILE
};

/* Whether a command for the guest may follow a verb, and where it begins. */
enum verb_takes_command {
	TAKES_NONE,
	TAKES_BEHIND_DASHES, /* behind -- */
	TAKES_BEHIND_WORDS,  /* must follow: behind -- or the last of the words */
};

struct verb_value {
	const struct verb_option *option;
	const char *value; /* NULL for a switch */
};

/* What a verb was called with. */
struct verb_call {
	const struct verb *verb;
	const char *words[VERB_WORDS_MAX]; /* all that is no option */
	unsigned word_count;
	struct verb_value values[VERB_VALUES_MAX];
	unsigned value_count;
	struct options *machine; /* the options of a machine; for verbs that take those */
	char **command;		 /* for the guest, ended by NULL; NULL for none */
};

struct verb {
	const char *name; /* "start", or of two words, "port add"; NULL ends a table */
	const char *usage, *summary;
	unsigned words_min, words_max;
	enum verb_completes completes[2];  /* the first word; those behind it */
	const struct verb_option *options; /* NULL: none */
	bool takes_machine_options;	   /* those of options_table that are for COMMAND_CREATE */
	enum verb_takes_command takes_command;
	int (*run)(struct verb_call *call); /* an exit status; what is wrong has been said */
	const char *help;		    /* more than the summary says; NULL: nothing */
};

/* All tables, ended by NULL. */
extern const struct verb *const verb_tables[];

/* The verb that the arguments begin with, and how many of them its name takes; NULL: none. */
const struct verb *verb_find(const char *const *arguments, unsigned *length);

/* Whether some verb's first word of two is this ("port"). */
bool verb_is_first_word(const char *word);

/* Parses what follows the verb's name and carries it out. An exit status. */
int verb_carry_out(const struct verb *verb, char **arguments);

/* For functions of verbs. The value of an option, or the usual one; whether it was given. */
const char *verb_value(const struct verb_call *call, const char *name, const char *usual);
bool verb_given(const struct verb_call *call, const char *name);

/* The option's value as a whole number of seconds (0: none) into milliseconds. False: said so. */
bool verb_seconds(const struct verb_call *call, const char *name, unsigned usual,
		  unsigned *milliseconds);
/* A number in a range. False: said so. */
bool verb_number(const struct verb_call *call, const char *name, unsigned least, unsigned most,
		 unsigned usual, unsigned *number);

#endif
