/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/verb_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "core/host.h"
#include "manage/agent_client.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/watch.h"

#define UNTIL_SECONDS  300
#define UNTIL_MAX      256 /* bytes of TEXT */
#define NOT_EXECUTABLE 126 /* as shells have it */
#define NOT_THERE      127
#define SHOWN	       15 /* lines of the console */

static int timed_out(const struct store_machine *machine, const char *text, unsigned patience)
{
	complain("%s has not shown \"%s\" within %u s; it runs on, and this is the end of its "
		 "console:",
		 machine->name, text, patience / 1000);
	verb_console_tail(machine, SHOWN, "    ", stderr);
	return LODGE_TIMEOUT;
}

static int ended(const struct store_machine *machine, const char *text)
{
	complain("%s has ended before it showed \"%s\"; this is the end of its console:",
		 machine->name, text);
	verb_console_tail(machine, SHOWN, "    ", stderr);
	return LODGE_BAD_STATE;
}

/* Reads the stream until the text was in it. A part of it may be at the end of what was read. */
static int read_until(struct control_client *client, const struct store_machine *machine,
		      const char *text, unsigned patience)
{
	char bytes[WATCH_KEPT + UNTIL_MAX];
	size_t have = control_client_rest(client, bytes, WATCH_KEPT), length = strlen(text);
	uint64_t until = host_now() + patience * UINT64_C(1000000);

	while (!memmem(bytes, have, text, length)) {
		struct pollfd one = {.fd = control_client_file(client), .events = POLLIN};
		uint64_t now = host_now();
		ssize_t got;

		if (have >= length) {
			memmove(bytes, bytes + have - length + 1, length - 1);
			have = length - 1;
		}
		if (now >= until)
			return timed_out(machine, text, patience);
		if (poll(&one, 1, (int)((until - now) / 1000000) + 1) <= 0)
			continue;
		got = read(one.fd, bytes + have, WATCH_KEPT);
		if (got <= 0)
			return ended(machine, text);
		have += (size_t)got;
	}
	return LODGE_OK;
}

static int wait_text(const struct verb_call *call, const struct store_machine *machine,
		     const char *text, unsigned patience)
{
	struct control_client *client;
	int status;

	if (!*text || strlen(text) >= UNTIL_MAX)
		return complain_with(LODGE_BAD_OPTION, "%s: --until: must be 1 to %u bytes",
				     call->verb->name, UNTIL_MAX - 1);
	/* Quick guests are gone by now. */
	if (!store_is_locked(machine, STORE_RUN))
		return ended(machine, text);
	status = verb_connect(machine, &client);
	if (!status) {
		status = verb_ask(machine, client, "console",
				  json_pack("{s:b, s:i}", "write", 0, "kept", WATCH_KEPT), NULL);
		if (!status)
			status = read_until(client, machine, text, patience);
		control_disconnect(client);
	}
	return status;
}

/* A command that does nothing; what status it has doesn't matter, the agent has answered then. */
static int wait_agent(const struct store_machine *machine, unsigned patience)
{
	static char name[] = "true";
	char *const arguments[] = {name, NULL};
	struct agent_command command = {.name = machine->name,
					.arguments = arguments,
					.terminal = AGENT_TERMINAL_NO,
					.in = -1,
					.timeout = (int)(patience / 1000)};
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), status = LODGE_OK, stream;

	command.out = command.err = null;
	stream = agent_connect(machine, command.timeout, &status);
	if (stream >= 0)
		status = agent_run(stream, &command);
	close(null);
	if (!status || status == NOT_EXECUTABLE || status == NOT_THERE)
		return LODGE_OK;
	verb_console_tail(machine, SHOWN, "    ", stderr);
	return LODGE_TIMEOUT;
}

int verb_wait_until(const struct verb_call *call, const struct store_machine *machine)
{
	const char *text = verb_value(call, "--until", NULL);
	unsigned patience;
	int status = LODGE_OK;

	if (!verb_seconds(call, "--timeout", UNTIL_SECONDS, &patience))
		return LODGE_BAD_OPTION;
	if (text)
		status = wait_text(call, machine, text, patience);
	if (!status && verb_given(call, "--wait"))
		status = wait_agent(machine, patience);
	return status;
}
