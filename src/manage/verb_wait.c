/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/verb_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
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
#define GOING	       3000 /* milliseconds that a process takes to end */
#define SHOWN	       15   /* lines of the console */
#define LOG_FOLLOWS    200  /* looks at the log, 5 ms apart */

static int timed_out(const struct store_machine *machine, const char *text, unsigned patience)
{
	complain("%s has not shown \"%s\" within %u s; it runs on, and this is the end of its "
		 "console:",
		 machine->name, text, patience / 1000);
	verb_console_tail(machine, SHOWN, "    ", stderr);
	return LODGE_TIMEOUT;
}

size_t verb_wait_mark(const struct store_machine *machine)
{
	char path[STORE_PATH];
	struct stat status;

	store_path(machine, "console.log", path);
	return stat(path, &status) || status.st_size < 0 ? 0 : (size_t)status.st_size;
}

/* Whether its log has the text, behind the mark: where that is in the older part, the log has been
 * moved there since. */
static bool is_in_log(const struct store_machine *machine, const char *text, size_t mark)
{
	size_t size, here, from;
	char *log;
	bool found;

	if (verb_console_read(machine, &log, &size, &here))
		return false;
	from = here >= mark ? size - here + mark : mark < size - here ? mark : 0;
	found = memmem(log + from, size - from, text, strlen(text)) != NULL;
	free(log);
	return found;
}

/* A quick guest may have shown it to nobody but the log. */
static int ended(const struct store_machine *machine, const char *text, size_t mark)
{
	verb_wait_end(machine, GOING);
	if (is_in_log(machine, text, mark))
		return LODGE_OK;
	complain("%s has ended before it showed \"%s\"; this is the end of its console:",
		 machine->name, text);
	verb_console_tail(machine, SHOWN, "    ", stderr);
	return LODGE_BAD_STATE;
}

/* A busy host writes the log after it has told us: who asks for the log next is to find it there.
 */
static void let_log_follow(const struct store_machine *machine, const char *text, size_t mark)
{
	const struct timespec moment = {.tv_nsec = 5000000};

	for (unsigned i = 0; i < LOG_FOLLOWS && !is_in_log(machine, text, mark); i++)
		nanosleep(&moment, NULL);
}

/* Reads the stream until the text was in it. A part of it may be at the end of what was read. */
static int read_until(struct control_client *client, const struct store_machine *machine,
		      const char *text, unsigned patience, size_t mark)
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
			return ended(machine, text, mark);
		have += (size_t)got;
	}
	let_log_follow(machine, text, mark);
	return LODGE_OK;
}

/* The console as a stream. Quick guests are gone by now, or about to go: then it's no connection,
 * and LODGE_OK. */
static int join_console(const struct store_machine *machine, struct control_client **client)
{
	char reason[1200];
	struct state state;
	int status;

	*client = NULL;
	state_read(machine, &state);
	if (control_connect(client, state.control)) {
		*client = NULL;
		/* Says what else it is. */
		status = verb_wait_end(machine, GOING) ? LODGE_OK : verb_connect(machine, client);
		if (status || !*client)
			return status;
	}
	if (!control_request(*client, "console",
			     json_pack("{s:b, s:i}", "write", 0, "kept", WATCH_KEPT), NULL, reason,
			     sizeof(reason)))
		return LODGE_OK;
	control_disconnect(*client);
	*client = NULL;
	return verb_wait_end(machine, GOING)
		       ? LODGE_OK
		       : complain_with(LODGE_BAD_STATE, "%s: %s", machine->name, reason);
}

static int wait_text(const struct verb_call *call, const struct store_machine *machine,
		     const char *text, unsigned patience, size_t mark)
{
	struct control_client *client;
	int status;

	if (!*text || strlen(text) >= UNTIL_MAX)
		return complain_with(LODGE_BAD_OPTION, "%s: --until: must be 1 to %u bytes",
				     call->verb->name, UNTIL_MAX - 1);
	status = join_console(machine, &client);
	if (status)
		return status;
	if (!client)
		return ended(machine, text, mark);
	status = read_until(client, machine, text, patience, mark);
	control_disconnect(client);
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
	if (status > LODGE_SIGNAL)
		return status;
	verb_console_tail(machine, SHOWN, "    ", stderr);
	return LODGE_TIMEOUT;
}

int verb_wait_until(const struct verb_call *call, const struct store_machine *machine, size_t mark)
{
	const char *text = verb_value(call, "--until", NULL);
	unsigned patience;
	int status = LODGE_OK;

	if (!verb_seconds(call, "--timeout", UNTIL_SECONDS, &patience))
		return LODGE_BAD_OPTION;
	if (text)
		status = wait_text(call, machine, text, patience, mark);
	if (!status && verb_given(call, "--wait"))
		status = wait_agent(machine, patience);
	return status;
}
