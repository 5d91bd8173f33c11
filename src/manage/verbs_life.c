/* SPDX-License-Identifier: BSD-2-Clause */
/* start, stop, restart, kill, pause, resume: what a machine that is there does. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/host.h"
#include "manage/agent_client.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/start.h"
#include "manage/verb_machine.h"
#include "manage/verb_wait.h"
#include "manage/verbs.h"

#define STOP_SECONDS  60   /* that a guest has to shut down */
#define PRESS_EVERY   3000 /* milliseconds between two presses of the button */
#define KILL_PATIENCE 3000 /* milliseconds that a process has to end by itself */

static int start_one(struct verb_call *call, struct store *store, const char *name)
{
	struct store_machine machine;
	bool fresh = verb_given(call, "--fresh");
	int status = verb_machine_changed(call, store, name, &machine);
	size_t mark;

	if (status)
		return status;
	mark = verb_wait_mark(&machine);
	if (verb_given(call, "--foreground"))
		status = machine_start_here(store, &machine, NULL, fresh);
	else
		status = machine_start(store, &machine, NULL, fresh);
	if (!status && !verb_given(call, "--foreground"))
		status = verb_wait_until(call, &machine, mark);
	store_close(&machine);
	return status;
}

static int start(struct verb_call *call)
{
	if (verb_given(call, "--foreground") && call->word_count > 1)
		return complain_with(LODGE_BAD_OPTION,
				     "start: --foreground is for one machine: name one");
	return verb_for_each(call, start_one);
}

/* The record of a machine that we have ended by force, or that was found crashed. */
static void note_killed(struct store *store, struct store_machine *machine)
{
	struct state state;
	int fd;

	if (store_lock(store, machine, STORE_RUN, 0))
		return; /* another one has started it */
	state_read(machine, &state);
	state.state = MACHINE_STOPPED;
	snprintf(state.reason, sizeof(state.reason), "killed");
	fd = state_open(machine);
	if (fd >= 0) {
		state_write(fd, &state);
		close(fd);
	}
	store_unlock(machine, STORE_RUN);
}

static bool program_of(pid_t pid, char name[32])
{
	char path[64];
	FILE *file;
	bool found;

	snprintf(path, sizeof(path), "/proc/%ld/comm", (long)pid);
	file = fopen(path, "re");
	found = file && fgets(name, 32, file);
	if (file)
		fclose(file);
	return found;
}

static bool is_ours(pid_t pid)
{
	char ours[32], name[32];

	return program_of(getpid(), ours) && program_of(pid, name) && !strcmp(name, ours);
}

/* The number that was noted may be another's by now, or a lie, but not that of the one that listens
 * at the socket. -1: nobody does. */
static pid_t process_of(const struct state *state)
{
	struct control_client *client;
	int error = control_connect(&client, state->control);
	pid_t pid;

	/* It has stood for so long that no more fit in front of its socket: it is there. */
	if (error)
		return error == -ETIMEDOUT && is_ours(state->pid) ? state->pid : -1;
	pid = control_client_peer(client);
	control_disconnect(client);
	return pid;
}

/* A process that doesn't answer any more. */
static bool kill_process(const struct store_machine *machine)
{
	struct state state;
	pid_t pid;
	int handle;

	state_read(machine, &state);
	pid = state.control[0] ? process_of(&state) : -1;
	handle = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (handle < 0)
		return false;
	if (store_is_locked(machine, STORE_RUN))
		syscall(SYS_pidfd_send_signal, handle, SIGKILL, NULL, 0);
	close(handle);
	return true;
}

/* At once. */
static int end_by_force(struct store *store, struct store_machine *machine)
{
	struct control_client *client;
	struct state state;
	char reason[1200];

	state_read(machine, &state);
	if (state.state == MACHINE_CRASHED) {
		note_killed(store, machine);
		return LODGE_OK;
	}
	if (state.control[0] && !control_connect(&client, state.control)) {
		control_request(client, "kill", NULL, NULL, reason, sizeof(reason));
		control_disconnect(client);
	}
	if (verb_wait_end(machine, KILL_PATIENCE))
		return LODGE_OK;
	if (kill_process(machine) && verb_wait_end(machine, KILL_PATIENCE)) {
		note_killed(store, machine);
		return LODGE_OK;
	}
	return complain_with(LODGE_HOST_LACKS, "%s: its process %d can't be ended", machine->name,
			     (int)state.pid);
}

/* One that is only starting, or ending by itself, is so for a moment. */
static void await_change(const struct store_machine *machine, uint64_t until)
{
	const struct timespec step = {.tv_nsec = 10000000};
	struct state state;

	state_read(machine, &state);
	while (state.state == MACHINE_STARTING && host_now() < until) {
		nanosleep(&step, NULL);
		state_read(machine, &state);
	}
}

/* Asks the agent, for a guest may not hear of buttons; presses the power button, and again as long
 * as the machine runs: a guest that was still starting has not noticed. 0 once it has ended,
 * -ETIMEDOUT; or an exit status after a complaint. */
static int press_until_end(struct store_machine *machine, unsigned patience)
{
	uint64_t until = host_now() + patience * UINT64_C(1000000);
	struct control_client *client;
	struct state state;
	int status, agent;

	await_change(machine, until);
	if (!store_is_locked(machine, STORE_RUN))
		return LODGE_OK;
	status = verb_connect(machine, &client);
	if (status)
		return status;
	state_read(machine, &state);
	if (state.state == MACHINE_PAUSED)
		status = verb_ask(machine, client, "resume", NULL, NULL);
	agent = status ? -1 : agent_shut_down(state.control);
	while (!status) {
		uint64_t now = host_now();
		char reason[1200];
		int error;

		if (now >= until) {
			status = -ETIMEDOUT;
			break;
		}
		error = control_request(client, "power-button", NULL, NULL, reason, sizeof(reason));
		if (error == -EREMOTEIO)
			status = complain_with(LODGE_BAD_STATE, "%s: %s", machine->name, reason);
		else if (verb_wait_end(machine, (int)((until - now) / 1000000 < PRESS_EVERY
							      ? (until - now) / 1000000 + 1
							      : PRESS_EVERY)))
			break;
	}
	control_disconnect(client);
	if (agent >= 0)
		close(agent);
	return status;
}

/* By the power button, then by force unless that isn't wanted. */
static int end_gently(struct verb_call *call, struct store *store, struct store_machine *machine,
		      unsigned patience)
{
	int status = press_until_end(machine, patience);

	if (status != -ETIMEDOUT)
		return status;
	if (verb_given(call, "--no-kill"))
		return complain_with(LODGE_TIMEOUT,
				     "%s has not shut down within %u s: lodge kill %s ends it",
				     machine->name, patience / 1000, machine->name);
	complain("%s has not shut down within %u s: it is killed", machine->name, patience / 1000);
	return end_by_force(store, machine);
}

int verb_end_machine(struct verb_call *call, struct store *store, struct store_machine *machine)
{
	unsigned patience;

	if (!verb_seconds(call, "--timeout", STOP_SECONDS, &patience))
		return LODGE_BAD_OPTION;
	if (verb_given(call, "--force") || !patience)
		return end_by_force(store, machine);
	return end_gently(call, store, machine, patience);
}

static int stop_one(struct verb_call *call, struct store *store, const char *name)
{
	struct store_machine machine;
	struct state state;
	int status = verb_machine(call, store, name, &machine);

	if (status)
		return status;
	state_read(&machine, &state);
	/* What is wanted is so already. */
	if (state.state != MACHINE_STOPPED && state.state != MACHINE_SAVED)
		status = state.state == MACHINE_CRASHED ? end_by_force(store, &machine)
							: verb_end_machine(call, store, &machine);
	store_close(&machine);
	return status;
}

static int stop(struct verb_call *call)
{
	return verb_for_each(call, stop_one);
}

static int kill_one(struct verb_call *call, struct store *store, const char *name)
{
	struct store_machine machine;
	struct state state;
	int status = verb_machine(call, store, name, &machine);

	if (status)
		return status;
	state_read(&machine, &state);
	if (state.state == MACHINE_STOPPED)
		status = complain_with(LODGE_BAD_STATE, "%s is not running", name);
	else if (state.state == MACHINE_SAVED)
		status = complain_with(LODGE_BAD_STATE,
				       "%s is not running, but saved: lodge discard %s drops its "
				       "memory",
				       name, name);
	else
		status = end_by_force(store, &machine);
	store_close(&machine);
	return status;
}

static int kill_all(struct verb_call *call)
{
	return verb_for_each(call, kill_one);
}

static int restart_one(struct verb_call *call, struct store *store, const char *name)
{
	struct store_machine machine;
	int status = verb_machine_changed(call, store, name, &machine);

	if (status)
		return status;
	if (store_is_locked(&machine, STORE_RUN))
		status = verb_end_machine(call, store, &machine);
	else
		status = verb_not_saved(call, &machine);
	if (!status)
		status = machine_start(store, &machine, NULL, false);
	store_close(&machine);
	return status;
}

static int restart(struct verb_call *call)
{
	return verb_for_each(call, restart_one);
}

static int ask_one(struct verb_call *call, struct store *store, const char *name)
{
	struct control_client *client;
	struct store_machine machine;
	int status = verb_machine(call, store, name, &machine);

	if (status)
		return status;
	status = verb_connect(&machine, &client);
	if (!status) {
		/* The verb's name is the command's. */
		status = verb_ask(&machine, client, call->verb->name, NULL, NULL);
		control_disconnect(client);
	}
	store_close(&machine);
	return status;
}

static int ask_all(struct verb_call *call)
{
	return verb_for_each(call, ask_one);
}

static const struct verb_option start_options[] = {
	{"--fresh", NULL, false, "starts one that is saved without its memory, which is lost"},
	{"--foreground", NULL, false, "stays, in this process, until the machine ends"},
	VERB_WAIT,
	VERB_UNTIL,
	VERB_TIMEOUT,
	VERB_END,
};

static const struct verb_option stop_options[] = {
	{"--force", NULL, false, "ends it at once, as if its power failed"},
	{"--no-kill", NULL, false, "doesn't kill a guest that doesn't shut down in time"},
	VERB_TIMEOUT,
	VERB_END,
};

#define MACHINES                                                                                   \
	{                                                                                          \
		COMPLETE_MACHINE, COMPLETE_MACHINE                                                 \
	}

const struct verb verbs_life[] = {
	{"start", "[OPTION...] NAME...", "starts machines, which run on by themselves", 1,
	 VERB_WORDS_MAX, MACHINES, start_options, false, false, start,
	 "It returns once the first processor runs; with --wait or --until once that has come, at "
	 "the latest after --timeout seconds (300): then the last lines of the console are "
	 "shown, and the machine runs on. One that is saved (lodge save NAME) goes on where "
	 "it was."},
	{"stop", "[OPTION...] NAME...", "shuts machines down", 1, VERB_WORDS_MAX, MACHINES,
	 stop_options, false, false, stop,
	 "Presses the power button and waits, --timeout seconds (60) at most: then the machine is "
	 "killed. One that doesn't run is no error."},
	{"restart", "[OPTION...] NAME...", "shuts machines down, and starts them anew", 1,
	 VERB_WORDS_MAX, MACHINES, stop_options, false, false, restart,
	 "What machine.conf says by then is what is started."},
	{"kill", "NAME...", "ends machines at once, as if their power failed", 1, VERB_WORDS_MAX,
	 MACHINES, NULL, false, false, kill_all, NULL},
	{"pause", "NAME...", "halts machines; their time stands still", 1, VERB_WORDS_MAX, MACHINES,
	 NULL, false, false, ask_all, NULL},
	{"resume", "NAME...", "lets paused machines go on", 1, VERB_WORDS_MAX, MACHINES, NULL,
	 false, false, ask_all, NULL},
	{NULL, NULL, NULL, 0, 0, {0, 0}, NULL, false, false, NULL, NULL},
};
