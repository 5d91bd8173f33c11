/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Line by line: each is copied, without the blanks around it, and is empty, a comment, a section or
 * a key. Keys stand in a table; what one key alone can't see (a kernel that is missing, two
 * machines of one name) is checked where a section begins or ends.
 */
#include "machines/machine_file.h"

#include <stdarg.h>

#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/format.h"
#include "lib/string.h"
#include "lib/word.h"
#include "machines/machine_keys.h"

#define SHOWN_MAX 64 /* bytes of a value that an error repeats */

enum section { SECTION_NONE, SECTION_MACHINE, SECTION_LODGE };

struct parser {
	const char *text;
	size_t size, position;
	unsigned line;			   /* of the one in `buffer`, from 1 on */
	char buffer[MACHINE_LINE_MAX + 1]; /* one line, without blanks at its ends */
	enum section section;
	struct machine_config *machines;
	unsigned max, count;
	struct machine_settings *settings;
	unsigned settings_line; /* where [lodge] is, 0: nowhere yet */
	struct machine_file_error *error;
};

/* Fills the error in, for the line where the parser is. */
static int fail(struct parser *parser, unsigned line, const char *text, ...)
	__attribute__((format(printf, 3, 4)));
static int fail(struct parser *parser, unsigned line, const char *text, ...)
{
	struct machine_file_error *error = parser->error;
	va_list arguments;
	size_t length;

	error->line = line;
	length = format(error->text, sizeof(error->text), "line %u: ", line);
	va_start(arguments, text);
	vformat(error->text + length, sizeof(error->text) - length, text, arguments);
	va_end(arguments);
	/* A tab is the one control character that lines may have. */
	for (char *c = error->text; *c; c++)
		if (*c == '\t')
			*c = ' ';
	return -EINVAL;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Lines. */

static int unknown_key(struct parser *parser, const char *name)
{
	const char *names[MACHINE_KEYS + 1] = {NULL};
	const char *nearest;

	for (unsigned i = 0; i < MACHINE_KEYS; i++)
		names[i] = machine_keys[i].name;
	if (parser->section == SECTION_LODGE) {
		names[0] = "script";
		names[1] = NULL;
	}
	nearest = word_nearest(name, names);
	if (nearest)
		return fail(parser, parser->line, "there is no key %.*s: did you mean %s?",
			    SHOWN_MAX, name, nearest);
	return fail(parser, parser->line,
		    parser->section == SECTION_LODGE
			    ? "there is no key %.*s in [lodge]: script is the one it has"
			    : "there is no key %.*s: machine-file(5) lists them",
		    SHOWN_MAX, name);
}

static int set_machine_key(struct parser *parser, const char *name, const char *value)
{
	struct machine_config *machine = &parser->machines[parser->count - 1];
	char reason[MACHINE_KEY_REASON];
	unsigned i = 0;

	while (i < MACHINE_KEYS && !string_equal(machine_keys[i].name, name))
		i++;
	if (i == MACHINE_KEYS)
		return unknown_key(parser, name);
	if (machine->lines[i] && !machine_keys[i].repeats)
		return fail(parser, parser->line,
			    "%s is given twice for machine %s: line %u has it already", name,
			    machine->name, machine->lines[i]);
	if (!machine_keys[i].set(machine, value, reason))
		return fail(parser, parser->line, "%s = %.*s%s: %s", name, SHOWN_MAX, value,
			    string_length(value) > SHOWN_MAX ? "..." : "", reason);
	if (!machine->lines[i])
		machine->lines[i] = parser->line;
	if (i == MACHINE_SHARE)
		machine->share_lines[machine->share_count - 1] = parser->line;
	return 0;
}

static int set_lodge_key(struct parser *parser, const char *name, const char *value)
{
	struct machine_settings *settings = parser->settings;

	if (!string_equal(name, "script"))
		return unknown_key(parser, name);
	if (settings->script_count == MACHINE_SCRIPT_MAX)
		return fail(parser, parser->line, "script: there can be %u of them at most",
			    MACHINE_SCRIPT_MAX);
	if (!*value)
		return fail(parser, parser->line, "script = : needs a command of the prompt");
	if (!string_copy(settings->script[settings->script_count], MACHINE_SCRIPT_LINE, value))
		return fail(parser, parser->line, "script: is too long: %u bytes are the most",
			    MACHINE_SCRIPT_LINE - 1);
	settings->script_count++;
	return 0;
}

/* KEY = VALUE */
static int take_key(struct parser *parser)
{
	char *name = parser->buffer, *value = name, *end;

	while (*value && *value != '=')
		value++;
	if (!*value || value == name)
		return fail(parser, parser->line,
			    "%.*s: is neither KEY = VALUE, nor [machine NAME], nor a # comment",
			    SHOWN_MAX, name);
	for (end = value; end > name && is_blank(end[-1]);)
		end--;
	*value++ = '\0';
	*end = '\0';
	while (is_blank(*value))
		value++;
	if (parser->section == SECTION_MACHINE)
		return set_machine_key(parser, name, value);
	if (parser->section == SECTION_LODGE)
		return set_lodge_key(parser, name, value);
	return fail(parser, parser->line, "%.*s: stands in no section: begin with [machine NAME]",
		    SHOWN_MAX, name);
}

/* What a machine needs, once all of it has been read. */
static int end_section(struct parser *parser)
{
	const struct machine_config *machine;

	if (parser->section != SECTION_MACHINE)
		return 0;
	machine = &parser->machines[parser->count - 1];
	if (!machine->lines[MACHINE_KERNEL])
		return fail(parser, machine->line,
			    "machine %s has no kernel: add a line kernel = FILE", machine->name);
	for (unsigned i = 0; machine->lines[MACHINE_MAC] && i + 1 < parser->count; i++)
		if (bytes_equal(parser->machines[i].mac, machine->mac, sizeof(machine->mac)))
			return fail(parser, machine->lines[MACHINE_MAC],
				    "mac: machine %s has this address already: take another",
				    parser->machines[i].name);
	return 0;
}

static int begin_machine(struct parser *parser, const char *name)
{
	struct machine_config *machine;

	if (!machine_name_valid(name))
		return fail(parser, parser->line,
			    "[machine %.*s]: a name has letters, digits, - and _, and at most %u "
			    "of them",
			    SHOWN_MAX, name, MACHINE_NAME_MAX - 1);
	/* The prompt's commands take it for every machine. */
	if (string_equal(name, "all"))
		return fail(parser, parser->line,
			    "[machine all]: all means every machine: take "
			    "another name");
	for (unsigned i = 0; i < parser->count; i++)
		if (string_equal(parser->machines[i].name, name))
			return fail(parser, parser->line,
				    "[machine %s]: line %u has a machine of this name: take "
				    "another",
				    name, parser->machines[i].line);
	if (parser->count == parser->max) {
		fail(parser, parser->line, "[machine %s]: there can be %u machines at most", name,
		     parser->max);
		return -ENOSPC;
	}
	machine = &parser->machines[parser->count++];
	machine_config_init(machine);
	string_copy(machine->name, sizeof(machine->name), name);
	machine->line = parser->line;
	parser->section = SECTION_MACHINE;
	return 0;
}

/* [machine NAME] or [lodge] */
static int take_section(struct parser *parser)
{
	char *text = parser->buffer + 1;
	size_t length = string_length(text);
	int error = end_section(parser);

	if (error)
		return error;
	if (!length || text[length - 1] != ']')
		return fail(parser, parser->line, "[%.*s: the ] at its end is missing", SHOWN_MAX,
			    text);
	text[--length] = '\0';
	while (length && is_blank(text[length - 1]))
		text[--length] = '\0';
	while (is_blank(*text))
		text++;
	if (string_equal(text, "lodge")) {
		if (parser->settings_line)
			return fail(parser, parser->line,
				    "[lodge]: line %u has this section already",
				    parser->settings_line);
		parser->settings_line = parser->line;
		parser->section = SECTION_LODGE;
		return 0;
	}
	if (string_starts(text, "machine") && (is_blank(text[7]) || !text[7])) {
		for (text += 7; is_blank(*text);)
			text++;
		return begin_machine(parser, text);
	}
	return fail(parser, parser->line,
		    "[%.*s]: there is no such section: write [machine NAME] or [lodge]", SHOWN_MAX,
		    text);
}

/* The next line into the buffer. 1; 0 behind the last; negative errno. */
static int next_line(struct parser *parser)
{
	const char *start = parser->text + parser->position;
	size_t left = parser->size - parser->position, length = 0, skip = 0;

	if (!left)
		return 0;
	parser->line++;
	while (length < left && start[length] != '\n')
		length++;
	parser->position += length + (length < left);
	if (length && start[length - 1] == '\r')
		length--;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)start[i];

		if (!c)
			return fail(parser, parser->line, "has a NUL byte: this is no text file");
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return fail(parser, parser->line,
				    "has the control character 0x%02x: take it out", c);
	}
	while (length && is_blank(start[length - 1]))
		length--;
	while (skip < length && is_blank(start[skip]))
		skip++;
	length -= skip;
	if (length > MACHINE_LINE_MAX)
		return fail(parser, parser->line, "is too long: %u bytes are the most",
			    MACHINE_LINE_MAX);
	bytes_copy(parser->buffer, start + skip, length);
	parser->buffer[length] = '\0';
	return 1;
}

static int take_line(struct parser *parser)
{
	switch (parser->buffer[0]) {
	case '\0':
	case '#':
		return 0;
	case '[':
		return take_section(parser);
	default:
		return take_key(parser);
	}
}

int machine_file_parse(const char *text, size_t size, struct machine_config *machines, unsigned max,
		       unsigned *count, struct machine_settings *settings,
		       struct machine_file_error *error)
{
	struct parser parser = {
		.text = text,
		.size = size,
		.machines = machines,
		.max = max,
		.settings = settings,
		.error = error,
	};
	int result;

	*count = 0;
	bytes_fill(settings, 0, sizeof(*settings));
	bytes_fill(error, 0, sizeof(*error));
	/* What some editors put in front of UTF-8. */
	if (size >= 3 && bytes_equal(text, "\xef\xbb\xbf", 3))
		parser.position = 3;
	while ((result = next_line(&parser)) > 0) {
		result = take_line(&parser);
		if (result)
			return result;
	}
	if (!result)
		result = end_section(&parser);
	if (!result)
		*count = parser.count;
	return result;
}
