/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jansson refuses what RFC 8259 does, bad UTF-8 and NULs; doubled names are refused by a flag. Its
 * own limit of depth is that of its stack's patience (2,048), so ours is looked after beforehand.
 */
#include "manage/control_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manage/plain.h"

bool control_depth_fits(const char *text, size_t length, unsigned most)
{
	unsigned depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < length; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > most)
				return false;
		} else if ((c == '}' || c == ']') && depth) {
			depth--;
		}
	}
	return true;
}

static bool wrong(char *why, size_t size, const char *text)
{
	snprintf(why, size, "%s", text);
	return false;
}

/* The members, and no others. */
static bool take_members(struct control_request *request, char *why, size_t size)
{
	const char *name;
	json_t *value;

	json_object_foreach(request->root, name, value)
	{
		if (!strcmp(name, "id") && json_is_integer(value))
			request->id = json_incref(value);
		else if (!strcmp(name, "command") && json_is_string(value))
			request->command = json_string_value(value);
		else if (!strcmp(name, "arguments") && json_is_object(value))
			request->arguments = value;
		else if (!strcmp(name, "id") || !strcmp(name, "command") ||
			 !strcmp(name, "arguments"))
			return wrong(why, size,
				     "id must be an integer, command a string, arguments an "
				     "object");
		else
			return wrong(why, size,
				     "a request has id, command and arguments, and nothing else");
	}
	if (!request->command)
		return wrong(why, size, "a request needs a command");
	return true;
}

bool control_request_parse(const char *line, size_t length, struct control_request *request,
			   char *why, size_t size)
{
	json_error_t error;

	memset(request, 0, sizeof(*request));
	if (length >= CONTROL_LINE_MAX)
		return wrong(why, size, "a request is a line of at most 65535 bytes");
	if (!control_depth_fits(line, length, CONTROL_DEPTH_MAX))
		return wrong(why, size, "is nested too deeply: 16 levels are the most");
	request->root = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
	if (!request->root) {
		snprintf(why, size, "no JSON: %s", error.text);
		plain_line(why); /* some of the line is in it */
		return false;
	}
	if (!json_is_object(request->root) ? !wrong(why, size, "a request is a JSON object")
					   : !take_members(request, why, size)) {
		json_decref(request->root);
		request->root = NULL;
		return false;
	}
	if (!request->arguments) {
		request->arguments = json_object();
		if (!request->arguments ||
		    json_object_set_new(request->root, "arguments", request->arguments)) {
			json_decref(request->root);
			request->root = NULL;
			return wrong(why, size, "no memory");
		}
	}
	return true;
}

void control_request_free(struct control_request *request)
{
	json_decref(request->id);
	json_decref(request->root);
	memset(request, 0, sizeof(*request));
}

/* The object's references are given up, whatever comes of it. */
static char *line_of(json_t *object)
{
	char *line = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return line;
}

char *control_result_line(json_t *id, json_t *result)
{
	return line_of(
		json_pack("{s:O?, s:o}", "id", id, "result", result ? result : json_object()));
}

json_t *control_text(const char *text)
{
	json_t *string = json_string(text);
	char *copy;

	if (string)
		return string;
	copy = strdup(text);
	for (char *c = copy; c && *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	string = copy ? json_string(copy) : NULL;
	free(copy);
	return string;
}

char *control_error_line(json_t *id, const char *code, const char *message)
{
	return line_of(json_pack("{s:O?, s:{s:s, s:o}}", "id", id, "error", "code", code, "message",
				 control_text(message)));
}

char *control_event_line(const char *event, json_t *data)
{
	return line_of(
		json_pack("{s:s, s:o}", "event", event, "data", data ? data : json_object()));
}
