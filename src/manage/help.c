/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/help.h"

#include <string.h>

#include "manage/exitcodes.h"
#include "manage/options.h"
#include "manage/verbs.h"
#include "manage/width.h"

#define WIDTH	    96 /* of a line, at the most */
#define WIDTH_LEAST 40

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

/* The last column stays free: some terminals wrap there. */
static unsigned line_width(void)
{
	unsigned width = width_of_output();

	return width > WIDTH ? WIDTH : width <= WIDTH_LEAST ? WIDTH_LEAST : width - 1;
}

/* Words from column `indent` on, where the first line already is. */
static void put_wrapped(FILE *file, const char *text, unsigned indent)
{
	const unsigned width = line_width();
	unsigned column = indent;

	while (*text) {
		size_t length = strcspn(text, " ");

		if (column > indent && column + 1 + length > width) {
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

static void put_row(FILE *file, const char *name, const char *summary)
{
	fprintf(file, "  lodge %-16s ", name);
	put_wrapped(file, summary, 25);
}

void help_all(FILE *file)
{
	put_wrapped(file, "lodge runs virtual machines, with or without a processor that helps.",
		    0);
	fputc('\n', file);
	for (const struct command_line *command = command_lines; command->name; command++)
		put_row(file, command->name, command->summary);
	for (const struct verb *const *table = verb_tables; *table; table++) {
		for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
			if (titles[i].table == *table)
				fprintf(file, "\n%s:\n", titles[i].title);
		for (const struct verb *verb = *table; verb->name; verb++)
			if (strcmp(verb->name, "complete") != 0) /* that of scripts */
				put_row(file, verb->name, verb->summary);
	}
	fputs("\nlodge help COMMAND says more; so does lodge(1).\n", file);
}

static void put_option(const char *name, const char *letter, const char *argument, const char *help)
{
	const unsigned indent = line_width() < 70 ? 8 : 30;
	char left[128], front[8] = "";

	if (letter)
		snprintf(front, sizeof(front), "%s, ", letter);
	snprintf(left, sizeof(left), "%s%s %s", front, name, argument ? argument : "");
	if (strlen(left) > 27 || indent < 30)
		printf("  %s\n%*s", left, (int)indent, "");
	else
		printf("  %-27s ", left);
	put_wrapped(stdout, help, indent);
}

static void put_options(unsigned command)
{
	for (const struct option *option = options_table; option->name; option++)
		if (option->commands & command)
			put_option(option->name, NULL, option->argument, option->help);
}

static void put_headline(const char *name, const char *usage, const char *summary)
{
	char text[256];

	printf("lodge %s%s%s\n\n", name, *usage ? " " : "", usage);
	snprintf(text, sizeof(text), "%s.", summary);
	if (*text >= 'a' && *text <= 'z')
		*text = (char)(*text - 'a' + 'A');
	put_wrapped(stdout, text, 0);
}

void help_verb(const struct verb *verb)
{
	put_headline(verb->name, verb->usage, verb->summary);
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
				put_row(stdout, verb->name, verb->summary);
	printf("\nlodge help %s COMMAND says more.\n", first);
}

void help_command(const struct command_line *command)
{
	put_headline(command->name, command->usage, command->summary);
	if (command->bit != COMMAND_HELP) {
		puts("\noptions:");
		put_options(command->bit);
	}
	if (command->bit != COMMAND_RUN)
		return;
	putchar('\n');
	put_wrapped(stdout,
		    "IMAGE is one of the store (lodge image ls): what the machine writes goes when "
		    "it ends. With COMMAND, the guest's init (in Lodge's own initrd) runs it; its "
		    "output comes out here, and its status becomes lodge's. On a terminal, Ctrl-] "
		    "then q leaves.",
		    0);
	puts("\nhow it ends:");
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		printf("  %3d  ", endings[i].status);
		put_wrapped(stdout, endings[i].meaning, 7);
	}
	put_wrapped(stdout,
		    "With --test-devices, a write of N to port 0xf4 ends it with (N << 1) | 1.", 0);
}
