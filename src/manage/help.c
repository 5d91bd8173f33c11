/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/help.h"

#include <string.h>

#include "manage/exitcodes.h"
#include "manage/options.h"
#include "manage/verbs.h"

#define WIDTH 96 /* of a line */

const struct command_line command_lines[] = {
	{"run", COMMAND_RUN, "runs a guest that is gone afterwards",
	 "[OPTION...] [IMAGE] [-- COMMAND...]"},
	{"doctor", COMMAND_DOCTOR,
	 "says what this host offers to guests, and which engine would run them", "[--json]"},
	{"version", COMMAND_VERSION, "says which Lodge this is", "[--json]"},
	{"help", COMMAND_HELP, "explains a command", "[COMMAND]"},
	{NULL, 0, NULL, NULL},
};

static const struct {
	int status;
	const char *meaning;
} endings[] = {
	{LODGE_OK, "the guest powered off"},
	{LODGE_BAD_OPTION, "an option is wrong"},
	{LODGE_BAD_INPUT, "a kernel, initrd or disk is wrong, or the memory too little for them"},
	{LODGE_NOT_FOUND, "there is no machine, image or snapshot of that name"},
	{LODGE_HOST_LACKS, "this host lacks or refuses something"},
	{LODGE_INTERNAL, "Lodge or its engine failed"},
	{LODGE_EXISTS, "there is one of that name already"},
	{LODGE_BAD_STATE, "the machine's state forbids it: it runs, or it doesn't"},
	{LODGE_TIMEOUT, "it has not happened in time"},
	{LODGE_GUEST_PANICKED, "the guest's kernel panicked"},
	{LODGE_GUEST_DIED, "a processor of the guest shut down (triple fault)"},
	{LODGE_NO_STATUS, "the guest ended before COMMAND did"},
	{LODGE_LEFT, "left by Ctrl-] q"},
	{LODGE_SIGNAL, "plus N: ended by signal N"},
};

const struct command_line *command_line_find(const char *name)
{
	for (const struct command_line *command = command_lines; command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}

/* Words from column `indent` on, where the first line already is. */
static void put_wrapped(FILE *file, const char *text, unsigned indent)
{
	unsigned column = indent;

	while (*text) {
		size_t length = strcspn(text, " ");

		if (column > indent && column + 1 + length > WIDTH) {
			fprintf(file, "\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			fputc(' ', file);
			column++;
		}
		fwrite(text, 1, length, file);
		column += (unsigned)length;
		text += length + strspn(text + length, " ");
	}
	fputc('\n', file);
}

/* What stands above the first verb of a table. */
static const struct {
	const struct verb *table;
	const char *title;
} titles[] = {
	{verbs_create, "machines that are kept"},
	{verbs_snapshot, "snapshots, copies and changes of them"},
	{verbs_image, "images, to make machines from, and disks"},
	{verbs_net, "networks between machines"},
	{verbs_completion, "for shells"},
};

static void put_verb(FILE *file, const struct verb *verb)
{
	fprintf(file, "  lodge %-16s %s\n", verb->name, verb->summary);
}

void help_all(FILE *file)
{
	fputs("lodge runs virtual machines, with or without a processor that helps.\n\n", file);
	for (const struct command_line *command = command_lines; command->name; command++)
		fprintf(file, "  lodge %-16s %s\n", command->name, command->summary);
	for (const struct verb *const *table = verb_tables; *table; table++) {
		for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
			if (titles[i].table == *table)
				fprintf(file, "\n%s:\n", titles[i].title);
		for (const struct verb *verb = *table; verb->name; verb++)
			if (strcmp(verb->name, "complete") != 0) /* that of scripts */
				put_verb(file, verb);
	}
	fputs("\nlodge help COMMAND says more; so does lodge(1).\n", file);
}

static void put_option(const char *name, const char *letter, const char *argument, const char *help)
{
	char left[64], front[8] = "";

	if (letter)
		snprintf(front, sizeof(front), "%s, ", letter);
	snprintf(left, sizeof(left), "%s%s %s", front, name, argument ? argument : "");
	printf("  %-27s ", left);
	if (strlen(left) > 27)
		printf("\n%30s", "");
	put_wrapped(stdout, help, 30);
}

static void put_options(unsigned command)
{
	for (const struct option *option = options_table; option->name; option++)
		if (option->commands & command)
			put_option(option->name, NULL, option->argument, option->help);
}

void help_verb(const struct verb *verb)
{
	printf("lodge %s %s: %s\n", verb->name, verb->usage, verb->summary);
	if (verb->help)
		put_wrapped(stdout, verb->help, 0);
	if (verb->options || verb->takes_machine_options)
		puts("\noptions:");
	for (const struct verb_option *it = verb->options; it && it->name; it++)
		if (it->help)
			put_option(it->name, it[1].name && !it[1].help ? it[1].name : NULL,
				   it->argument, it->help);
	if (verb->takes_machine_options)
		put_options(COMMAND_CREATE);
}

void help_verbs(const char *first)
{
	const size_t length = strlen(first);

	for (const struct verb *const *table = verb_tables; *table; table++)
		for (const struct verb *verb = *table; verb->name; verb++)
			if (!strncmp(verb->name, first, length) && verb->name[length] == ' ')
				put_verb(stdout, verb);
	printf("\nlodge help %s COMMAND says more.\n", first);
}

void help_command(const struct command_line *command)
{
	printf("lodge %s %s: %s\n", command->name, command->usage, command->summary);
	if (command->bit != COMMAND_HELP) {
		puts("\noptions:");
		put_options(command->bit);
	}
	if (command->bit != COMMAND_RUN)
		return;
	puts("\nIMAGE is one of the store (lodge image ls): what the machine writes goes when it "
	     "ends.\n"
	     "With COMMAND, the guest's init (in Lodge's own initrd) runs it; its output comes "
	     "out here, and its\n"
	     "status becomes lodge's. On a terminal, Ctrl-] then q leaves.\n\nhow it ends:");
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		printf("  %3d  %s\n", endings[i].status, endings[i].meaning);
	puts("  With --test-devices, a write of N to port 0xf4 ends it with (N << 1) | 1.");
}
