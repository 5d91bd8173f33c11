/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/conf_change.h"

#include <stdlib.h>
#include <string.h>

#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/machine_conf.h"
#include "manage/safe_file.h"
#include "manage/verb_machine.h"

#define REASON (STORE_PATH + 512)

static int no_memory(void)
{
	return complain_with(LODGE_HOST_LACKS, "no memory");
}

int conf_change_begin(struct conf_change *change, const char *verb,
		      const struct store_machine *machine)
{
	char path[STORE_PATH];
	size_t length;
	int error;

	*change = (struct conf_change){.verb = verb,
				       .machine = machine,
				       .asks = json_array(),
				       .runs = store_is_locked(machine, STORE_RUN)};
	store_path(machine, "machine.conf", path);
	error = safe_file_read(path, STORE_CONF_MAX, &change->text, &length);
	if (error)
		return complain_with(LODGE_BAD_INPUT, "%s: %s: %s", verb, path, strerror(-error));
	return change->asks ? LODGE_OK : no_memory();
}

int conf_change_config(const struct conf_change *change, struct machine_config *config)
{
	struct machine_settings *settings = malloc(sizeof(*settings));
	struct machine_file_error wrong = {.text = "there is no machine in it"};
	unsigned count = 0;
	int error;

	if (!settings)
		return no_memory();
	error = machine_file_parse(change->text, strlen(change->text), config, 1, &count, settings,
				   &wrong);
	free(settings);
	if (error || !count)
		return complain_with(LODGE_BAD_INPUT, "%s: machine.conf of %s: %s", change->verb,
				     change->machine->name, wrong.text);
	return LODGE_OK;
}

static int take(struct conf_change *change, char *text, const char *reason)
{
	char path[STORE_PATH];

	store_path(change->machine, "machine.conf", path);
	if (!text)
		return complain_with(LODGE_BAD_INPUT, "%s: %s: %s", change->verb, path, reason);
	free(change->text);
	change->text = text;
	return LODGE_OK;
}

int conf_change_line(struct conf_change *change, const char *key, const char *old,
		     const char *value)
{
	char reason[REASON];
	char *text = machine_conf_set(change->text, strlen(change->text), key, old, value, reason,
				      sizeof(reason));

	return take(change, text, reason);
}

int conf_change_disk(struct conf_change *change, unsigned number, const char *value)
{
	char reason[REASON];
	char *text = machine_conf_disk(change->text, strlen(change->text), number, value, reason,
				       sizeof(reason));

	return take(change, text, reason);
}

static void add_ask(struct conf_change *change, const char *command, json_t *arguments,
		    const char *undo_command, json_t *undo)
{
	json_array_append_new(change->asks,
			      json_pack("{s:s, s:o, s:s, s:o}", "command", command, "arguments",
					arguments, "undo-command", undo_command, "undo", undo));
}

void conf_change_ask(struct conf_change *change, const char *command, json_t *arguments,
		     json_t *undo)
{
	add_ask(change, command, arguments, command, undo);
}

void conf_change_ask_or(struct conf_change *change, const char *command, const char *opposite,
			json_t *arguments)
{
	add_ask(change, command, arguments, opposite, json_incref(arguments));
}

static int ask(const struct conf_change *change, struct control_client *client, size_t i,
	       const char *command, const char *arguments)
{
	const json_t *one = json_array_get(change->asks, i);

	return verb_ask(change->machine, client, json_string_value(json_object_get(one, command)),
			json_incref(json_object_get(one, arguments)), NULL);
}

/* The process is as it was again, as far as it still answers. */
static void take_back(const struct conf_change *change, struct control_client *client, size_t asked)
{
	while (asked--)
		ask(change, client, asked, "undo-command", "undo");
}

static int replace(const struct conf_change *change)
{
	char path[STORE_PATH];
	int error;

	store_path(change->machine, "machine.conf", path);
	error = safe_file_replace(path, change->text, strlen(change->text), 0600);
	return error ? complain_with(LODGE_HOST_LACKS, "%s: %s: %s", change->verb, path,
				     strerror(-error))
		     : LODGE_OK;
}

int conf_change_apply(struct conf_change *change)
{
	size_t count = change->runs ? json_array_size(change->asks) : 0, asked = 0;
	struct control_client *client = NULL;
	int status = count ? verb_connect(change->machine, &client) : LODGE_OK;

	while (!status && asked < count) {
		status = ask(change, client, asked, "command", "arguments");
		asked += !status;
	}
	if (!status)
		status = replace(change);
	if (status && client)
		take_back(change, client, asked);
	if (client)
		control_disconnect(client);
	return status;
}

void conf_change_end(struct conf_change *change)
{
	free(change->text);
	json_decref(change->asks);
}
