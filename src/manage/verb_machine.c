/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/verb_machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/host.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/plain.h"
#include "manage/safe_file.h"

#define WAIT_STEP 3000000L /* nanoseconds */
#define LINE_MAX_ 400	   /* bytes of a line that are shown */
#define LOG_READ  (64u << 20)
#define REASON	  (STORE_PATH + 512)

int verb_store(const struct verb_call *call, struct store *store)
{
	char reason[REASON];

	if (store_open(store, reason, sizeof(reason)))
		return complain_with(LODGE_HOST_LACKS, "%s: %s", call->verb->name, reason);
	return LODGE_OK;
}

int verb_machine(const struct verb_call *call, struct store *store, const char *name,
		 struct store_machine *machine)
{
	char reason[REASON];

	switch (store_find(store, name, machine, reason, sizeof(reason))) {
	case 0:
		return LODGE_OK;
	case -ENOENT:
		return complain_with(LODGE_NOT_FOUND, "%s: %s", call->verb->name, reason);
	case -EINVAL:
		return complain_with(LODGE_BAD_OPTION, "%s: %s", call->verb->name, reason);
	default:
		return complain_with(LODGE_HOST_LACKS, "%s: %s", call->verb->name, reason);
	}
}

static int take_lock(const struct verb_call *call, struct store *store,
		     struct store_machine *machine, enum store_lock lock, unsigned patience)
{
	int error = store_lock(store, machine, lock, patience);

	if (!error)
		return LODGE_OK;
	store_close(machine);
	if (error == -ENOENT)
		return complain_with(LODGE_NOT_FOUND, "%s: %s has been removed meanwhile",
				     call->verb->name, machine->name);
	if (error != -EBUSY)
		return complain_with(LODGE_HOST_LACKS, "%s: %s: its lock: %s", call->verb->name,
				     machine->name, strerror(-error));
	if (lock == STORE_CHANGE)
		return complain_with(LODGE_BAD_STATE,
				     "%s: another command is at work on %s: try again when it is "
				     "done",
				     call->verb->name, machine->name);
	return complain_with(LODGE_BAD_STATE, "%s: %s is running: lodge stop %s first",
			     call->verb->name, machine->name, machine->name);
}

int verb_machine_changed(const struct verb_call *call, struct store *store, const char *name,
			 struct store_machine *machine)
{
	int status = verb_machine(call, store, name, machine);

	return status ? status : take_lock(call, store, machine, STORE_CHANGE, CHANGE_PATIENCE);
}

int verb_machine_stopped(const struct verb_call *call, struct store *store, const char *name,
			 struct store_machine *machine)
{
	int status = verb_machine_changed(call, store, name, machine);

	return status ? status : take_lock(call, store, machine, STORE_RUN, 0);
}

int verb_connect(const struct store_machine *machine, struct control_client **client)
{
	struct state state;
	int error;

	state_read(machine, &state);
	switch (state.state) {
	case MACHINE_RUNNING:
	case MACHINE_PAUSED:
		break;
	case MACHINE_STARTING:
		return complain_with(LODGE_BAD_STATE,
				     "%s is only starting, or just ending: try again in a moment",
				     machine->name);
	default:
		return complain_with(LODGE_BAD_STATE, "%s is not running: lodge start %s starts it",
				     machine->name, machine->name);
	}
	error = control_connect(client, state.control);
	if (!error)
		return LODGE_OK;
	if (!store_is_locked(machine, STORE_RUN))
		return complain_with(LODGE_BAD_STATE, "%s has ended meanwhile", machine->name);
	return complain_with(LODGE_HOST_LACKS,
			     "%s runs (process %d), but its socket %s can't be used: %s",
			     machine->name, (int)state.pid, state.control, strerror(-error));
}

int verb_ask(const struct store_machine *machine, struct control_client *client,
	     const char *command, json_t *arguments, json_t **result)
{
	char reason[1200];
	int error = control_request(client, command, arguments, result, reason, sizeof(reason));

	if (!error)
		return LODGE_OK;
	return complain_with(error == -EREMOTEIO || error == -ECONNRESET ? LODGE_BAD_STATE
			     : error == -ETIMEDOUT			 ? LODGE_TIMEOUT
									 : LODGE_INTERNAL,
			     error == -EREMOTEIO ? "%s: %s" : "%s %s", machine->name, reason);
}

bool verb_wait_end(const struct store_machine *machine, int milliseconds)
{
	const struct timespec step = {.tv_nsec = WAIT_STEP};
	uint64_t until = host_now() + (uint64_t)milliseconds * UINT64_C(1000000);

	while (store_is_locked(machine, STORE_RUN)) {
		if (milliseconds >= 0 && host_now() >= until)
			return false;
		nanosleep(&step, NULL);
	}
	return true;
}

const char *verb_last_lines(const char *text, size_t size, unsigned lines)
{
	const char *at = text + size;

	while (at > text && (at[-1] == '\n' || at[-1] == '\r'))
		at--;
	for (; at > text; at--)
		if (at[-1] == '\n' && !--lines)
			break;
	return at;
}

static int read_log(const struct store_machine *machine, const char *file, char **text,
		    size_t *size)
{
	char path[STORE_PATH];
	int error;

	store_path(machine, file, path);
	error = safe_file_read(path, LOG_READ, text, size);
	if (error != -ENOENT)
		return error;
	*size = 0;
	*text = calloc(1, 1);
	return *text ? 0 : -ENOMEM;
}

int verb_console_read(const struct store_machine *machine, char **text, size_t *size, size_t *here)
{
	char *old, *new, *both;
	size_t old_size;
	int error = read_log(machine, "console.log.old", &old, &old_size);

	if (error)
		return error;
	error = read_log(machine, "console.log", &new, here);
	both = error ? NULL : realloc(old, old_size + *here + 1);
	if (!both) {
		free(old);
		if (!error)
			free(new);
		return error ? error : -ENOMEM;
	}
	memcpy(both + old_size, new, *here + 1);
	free(new);
	*text = both;
	*size = old_size + *here;
	return 0;
}

void verb_console_tail(const struct store_machine *machine, unsigned lines, const char *front,
		       FILE *out)
{
	unsigned column = 0;
	size_t size, here;
	char *text;

	if (verb_console_read(machine, &text, &size, &here))
		return;
	plain_text(text);
	size = strlen(text);
	for (const char *c = verb_last_lines(text, size, lines); *c; c++) {
		if (*c == '\n' && column)
			column = 0, fputc('\n', out);
		else if (*c != '\n' && *c != '\r' && column < LINE_MAX_) {
			if (!column++)
				fputs(front, out);
			if ((unsigned char)*c >= ' ' && *c != 0x7f)
				fputc(*c, out);
		}
	}
	if (column)
		fputc('\n', out);
	free(text);
}

int verb_for_each(struct verb_call *call,
		  int (*one)(struct verb_call *call, struct store *store, const char *name))
{
	struct store store;
	int result = verb_store(call, &store);

	if (result)
		return result;
	for (unsigned i = 0; i < call->word_count; i++) {
		int status = one(call, &store, call->words[i]);

		if (!result)
			result = status;
	}
	return result;
}
