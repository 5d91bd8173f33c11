/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests: from a line to a row of the table, and their answers. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/word.h"
#include "manage/control_internal.h"
#include "manage/run_state.h"

static bool fits(const json_t *value, char type)
{
	switch (type) {
	case 's':
		return json_is_string(value);
	case 'i':
		return json_is_integer(value);
	case 'b':
		return json_is_boolean(value);
	case 'o':
		return json_is_object(value);
	default:
		return json_is_array(value);
	}
}

static const char *type_name(char type)
{
	return type == 's'   ? "a string"
	       : type == 'i' ? "an integer"
	       : type == 'b' ? "true or false"
	       : type == 'o' ? "an object"
			     : "an array";
}

static const struct control_parameter *parameter_find(const struct control_command *command,
						      const char *name)
{
	for (const struct control_parameter *one = command->parameters; one->name; one++)
		if (!strcmp(one->name, name))
			return one;
	return NULL;
}

/* Whether the arguments are those of the command; else the call has ended. */
static bool check_arguments(struct control_call *call, const struct control_command *command)
{
	json_t *arguments = call->request.arguments, *value;
	const char *name;

	json_object_foreach(arguments, name, value)
	{
		const struct control_parameter *parameter = parameter_find(command, name);

		if (!parameter) {
			control_fail(call, CONTROL_BAD_ARGUMENT, "%s has no argument %.64s",
				     command->name, name);
			return false;
		}
		if (!fits(value, parameter->type)) {
			control_fail(call, CONTROL_BAD_ARGUMENT, "%s: %s must be %s", command->name,
				     name, type_name(parameter->type));
			return false;
		}
	}
	for (const struct control_parameter *one = command->parameters; one->name; one++) {
		if (one->required && !json_object_get(arguments, one->name)) {
			control_fail(call, CONTROL_BAD_ARGUMENT, "%s needs the argument %s",
				     command->name, one->name);
			return false;
		}
	}
	return true;
}

static void unknown_command(struct control_call *call, const char *name)
{
	const char *names[64] = {NULL};
	const char *nearest;
	unsigned count = 0;

	for (const struct control_command *one = control_commands; one->name && count < 63; one++)
		names[count++] = one->name;
	nearest = word_nearest(name, names);
	control_fail(call, CONTROL_UNKNOWN_COMMAND, "there is no command %.64s%s%s", name,
		     nearest ? ": did you mean " : ": commands lists them", nearest ? nearest : "");
}

void call_begin(struct connection *connection, const char *line, size_t length)
{
	struct control_call *call = calloc(1, sizeof(*call));
	const struct control_command *command = control_commands;
	char why[256];

	if (!call) {
		connection_send_line(connection, NULL);
		return;
	}
	call->connection = connection;
	connection->calls++;
	if (!control_request_parse(line, length, &call->request, why, sizeof(why))) {
		control_fail(call, CONTROL_BAD_REQUEST, "%s", why);
		return;
	}
	while (command->name && strcmp(command->name, call->request.command) != 0)
		command++;
	if (!command->name)
		unknown_command(call, call->request.command);
	else if (check_arguments(call, command))
		command->run(connection->control->run, call);
}

/* Answers */

static void call_end(struct control_call *call, char *line)
{
	connection_send_line(call->connection, line);
	free(line);
	call->connection->calls--;
	connection_look_again(call->connection);
	control_request_free(&call->request);
	free(call);
}

void control_answer(struct control_call *call, json_t *result)
{
	call_end(call, control_result_line(call->request.id, result));
}

void control_fail(struct control_call *call, const char *code, const char *format, ...)
{
	char message[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	call_end(call, control_error_line(call->request.id, code, message));
}

void control_tell(struct control_call *call, const char *event, json_t *data)
{
	char *line = control_event_line(event, data);

	connection_send_line(call->connection, line);
	free(line);
}

/* Arguments */

json_t *control_arguments(const struct control_call *call)
{
	return call->request.arguments;
}

const char *control_string(const struct control_call *call, const char *name, const char *usual)
{
	const json_t *value = json_object_get(call->request.arguments, name);

	return value ? json_string_value(value) : usual;
}

long long control_integer(const struct control_call *call, const char *name, long long usual)
{
	const json_t *value = json_object_get(call->request.arguments, name);

	return value ? json_integer_value(value) : usual;
}

bool control_bool(const struct control_call *call, const char *name, bool usual)
{
	const json_t *value = json_object_get(call->request.arguments, name);

	return value ? json_is_true(value) : usual;
}

int control_take_file(struct control_call *call)
{
	struct connection *connection = call->connection;
	int file;

	if (!connection->file_count)
		return -1;
	file = connection->files[0];
	memmove(connection->files, connection->files + 1,
		--connection->file_count * sizeof(connection->files[0]));
	return file;
}

bool control_alive(const struct control_call *call)
{
	return call->connection->watch.fd >= 0;
}

void control_subscribe(struct control_call *call)
{
	call->connection->subscribed = true;
}

void control_stream_console(struct control_call *call, bool write, bool take, size_t kept)
{
	struct connection *connection = call->connection;
	struct console_hub *hub = &connection->control->run->hub;

	if (!control_alive(call)) {
		control_answer(call, NULL);
		return;
	}
	if (write && !console_hub_write_begin(hub, &connection->reader, take)) {
		control_fail(call, CONTROL_BUSY, "another console writes to this machine");
		return;
	}
	control_answer(call, json_pack("{s:b}", "write", write));
	connection_stream(connection, kept);
}
