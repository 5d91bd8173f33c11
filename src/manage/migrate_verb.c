/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "manage/complain.h"
#include "manage/control_client.h"
#include "manage/exitcodes.h"
#include "manage/migrate_wire.h"
#include "manage/save_verb.h"
#include "manage/verbs.h"

#define REASON 1024

struct moving {
	const char *machine, *address;
	unsigned downtime; /* milliseconds; 0: the usual one */
	struct control_client *client;
	int fd;
	bool terminal; /* standard error is one */
};

static double number(json_t *data, const char *name)
{
	return json_number_value(json_object_get(data, name));
}

/* One line, on a terminal always the same one. */
static void on_event(void *context, const char *event, json_t *data)
{
	const struct moving *moving = context;

	if (strcmp(event, "migrate-progress") != 0 || !moving->terminal)
		return;
	fprintf(stderr, "\rround %.0f: %.1f MiB sent, %.2f MiB left, %.0f MiB/s   ",
		number(data, "round"), number(data, "sent") / (1 << 20),
		number(data, "left") / (1 << 20), number(data, "bandwidth") / (1 << 20));
}

static int begin(struct moving *moving)
{
	char socket[PATH_MAX], reason[REASON];
	int error;

	if (machine_socket(moving->machine, socket, sizeof(socket), reason, sizeof(reason)))
		return complain_with(LODGE_BAD_OPTION, "migrate: %s", reason);
	error = control_connect(&moving->client, socket);
	if (error)
		return complain_with(LODGE_NOT_FOUND, "migrate: no machine %s runs (%s: %s)",
				     moving->machine, socket, strerror(-error));
	moving->fd = wire_connect(moving->address, reason, sizeof(reason));
	if (moving->fd == -EPERM)
		return complain_with(LODGE_BAD_INPUT, "migrate: %s", reason);
	if (moving->fd < 0)
		return complain_with(LODGE_BAD_INPUT,
				     "migrate: nothing waits at %s (lodge run --incoming)", reason);
	return LODGE_OK;
}

/* Ctrl-C: the machine's process sees that nobody waits any more, and keeps the machine. */
static int ask(struct moving *moving)
{
	const struct control_exchange exchange = {
		.command = "migrate",
		.arguments = moving->downtime
				     ? json_pack("{s:i}", "downtime", (int)moving->downtime)
				     : NULL,
		.files = &moving->fd,
		.file_count = 1,
		.timeout = -1,
		.event = on_event,
		.context = moving,
	};
	char code[64], reason[REASON];
	json_t *result = NULL;
	int error = control_ask(moving->client, &exchange, &result, code, sizeof(code), reason,
				sizeof(reason));

	if (moving->terminal)
		fputs("\r\033[K", stderr);
	if (error)
		return complain_with(LODGE_HOST_LACKS, "machine %s: %s", moving->machine, reason);
	printf("%s: at %s after %.1f s, %.0f rounds and %.1f MiB; it stood for %.1f ms\n",
	       moving->machine, moving->address, number(result, "milliseconds") / 1000,
	       number(result, "rounds"), number(result, "sent") / (1 << 20),
	       number(result, "downtime"));
	json_decref(result);
	return LODGE_OK;
}

static int migrate(struct verb_call *call)
{
	struct moving moving = {.machine = call->words[0],
				.address = call->words[1],
				.fd = -1,
				.terminal = isatty(STDERR_FILENO)};
	int status;

	if (!verb_number(call, "--downtime", 1, 60000, 0, &moving.downtime))
		return LODGE_BAD_OPTION;
	status = begin(&moving);
	if (!status)
		status = ask(&moving);
	if (moving.fd >= 0)
		close(moving.fd);
	if (moving.client)
		control_disconnect(moving.client);
	return status;
}

static const struct verb_option options[] = {
	{"--downtime", "MS", false,
	 "for about how many milliseconds it may stand at the end (default 30)"},
	VERB_END};

const struct verb verbs_migrate[] = {
	{"migrate",
	 "[--downtime MS] MACHINE ADDRESS",
	 "moves a machine to another lodge while it runs",
	 2,
	 2,
	 {COMPLETE_MACHINE, COMPLETE_NOTHING},
	 options,
	 false,
	 TAKES_NONE,
	 migrate,
	 "That one was started with lodge run --incoming ADDRESS, ADDRESS being HOST:PORT or "
	 "unix:PATH, "
	 "and sees the same disks. Ctrl-C keeps the machine where it is."},
	{NULL, NULL, NULL, 0, 0, {0, 0}, NULL, false, TAKES_NONE, NULL, NULL},
};
