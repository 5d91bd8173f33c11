/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The record is one line of JSON, filled up with blanks to one size: so that a process in its
 * sandbox, which can't make or rename files, replaces it by a single write that needs no new block.
 */
#include "manage/state.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manage/control_message.h"
#include "manage/kept.h"
#include "manage/plain.h"
#include "manage/safe_file.h"

static const char *const names[] = {[MACHINE_STOPPED] = "stopped", [MACHINE_STARTING] = "starting",
				    [MACHINE_RUNNING] = "running", [MACHINE_PAUSED] = "paused",
				    [MACHINE_CRASHED] = "crashed", [MACHINE_SAVED] = "saved"};

const char *state_name(enum machine_state state)
{
	return names[state];
}

const char *state_shown(const struct state *state)
{
	bool waits = state->state == MACHINE_RUNNING && !strcmp(state->reason, STATE_DISK_FULL);

	return waits ? "waiting" : names[state->state];
}

void state_text(const struct state *state, char text[STATE_SIZE])
{
	json_t *record =
		json_pack("{s:s, s:s, s:i, s:i, s:I, s:I, s:s}", "state", names[state->state],
			  "reason", state->reason, "status", state->status, "pid", (int)state->pid,
			  "started", (json_int_t)state->started, "ended", (json_int_t)state->ended,
			  "control", state->control);
	size_t length = record ? json_dumpb(record, text, STATE_SIZE - 1, JSON_COMPACT) : 0;

	json_decref(record);
	/* A path so long can't be a socket's: no record, and that is a machine that never ran. */
	if (length > STATE_SIZE - 1)
		length = 0;
	memset(text + length, ' ', STATE_SIZE - length);
	text[STATE_SIZE - 1] = '\n';
}

int state_write(int fd, const struct state *state)
{
	char text[STATE_SIZE];
	ssize_t written;

	state_text(state, text);
	written = pwrite(fd, text, sizeof(text), 0);
	return written == (ssize_t)sizeof(text) ? 0 : written < 0 ? -errno : -ENOSPC;
}

/* A new record has its block before there is anything to note: on a full disk the machine doesn't
 * start, for nobody could find its process. */
static int reserve(int fd)
{
	const struct state none = {.state = MACHINE_STOPPED};
	struct stat status;

	if (fstat(fd, &status))
		return -errno;
	return status.st_size < STATE_SIZE ? state_write(fd, &none) : 0;
}

int state_open(const struct store_machine *machine)
{
	char path[STORE_PATH];
	int fd, error;

	store_path(machine, "state", path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	error = reserve(fd);
	if (error)
		close(fd);
	return error ? error : fd;
}

static void take_text(const json_t *record, const char *name, char *text, size_t size)
{
	const char *value = json_string_value(json_object_get(record, name));

	if (value && strlen(value) < size)
		snprintf(text, size, "%s", value);
}

static int64_t take_number(const json_t *record, const char *name)
{
	return json_integer_value(json_object_get(record, name));
}

bool state_parse(const char *text, size_t size, struct state *state)
{
	json_t *record = size <= STATE_SIZE && control_depth_fits(text, size, 2)
				 ? json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL)
				 : NULL;
	const char *name = json_string_value(json_object_get(record, "state"));
	size_t i = 0;

	memset(state, 0, sizeof(*state));
	while (name && i < sizeof(names) / sizeof(names[0]) && strcmp(names[i], name) != 0)
		i++;
	if (!name || i == sizeof(names) / sizeof(names[0])) {
		json_decref(record);
		return false;
	}
	state->state = (enum machine_state)i;
	take_text(record, "reason", state->reason, sizeof(state->reason));
	take_text(record, "control", state->control, sizeof(state->control));
	state->status = (int)take_number(record, "status");
	state->pid = (pid_t)take_number(record, "pid");
	state->started = (uint64_t)take_number(record, "started");
	state->ended = (uint64_t)take_number(record, "ended");
	json_decref(record);
	return true;
}

/* Where start.c makes the socket of a machine of this name. */
static bool is_place_of(const char *control, const char *name)
{
	char place[STORE_PATH];
	size_t length = strlen(control), end;

	snprintf(place, sizeof(place), "/tmp/lodge-%u/%s/control", (unsigned)geteuid(), name);
	if (!strcmp(control, place))
		return true;
	snprintf(place, sizeof(place), "/lodge/%s/control", name);
	end = strlen(place);
	return control[0] == '/' && length >= end && !strcmp(control + length - end, place);
}

/* Not by a link to where another is, which a guest could have made in a shared folder. */
static bool is_itself(const char *control)
{
	char folder[STORE_PATH];
	struct stat status;

	if (!lstat(control, &status) && !S_ISSOCK(status.st_mode))
		return false;
	snprintf(folder, sizeof(folder), "%s", control);
	*strrchr(folder, '/') = '\0';
	return lstat(folder, &status) || S_ISDIR(status.st_mode);
}

/* A guest may have got hold of the process that writes the record: what it says is shown to people,
 * and who listens at the socket is sent signals. */
static void distrust(const struct store_machine *machine, struct state *state)
{
	plain_line(state->reason);
	if (!is_place_of(state->control, machine->name) || !is_itself(state->control))
		state->control[0] = '\0';
}

static void read_record(const struct store_machine *machine, struct state *state)
{
	char path[STORE_PATH], *text = NULL;
	size_t size;

	memset(state, 0, sizeof(*state));
	store_path(machine, "state", path);
	if (!safe_file_read(path, STATE_SIZE, &text, &size))
		state_parse(text, size, state);
	free(text);
	distrust(machine, state);
}

static void judge(const struct store_machine *machine, bool runs, struct state *state)
{
	if (runs && state->state != MACHINE_RUNNING && state->state != MACHINE_PAUSED)
		state->state = MACHINE_STARTING;
	else if (!runs && state->state == MACHINE_SAVED && !kept_size(machine))
		state->state = MACHINE_STOPPED; /* somebody has removed it */
	else if (!runs && state->state != MACHINE_STOPPED && state->state != MACHINE_SAVED)
		state->state = MACHINE_CRASHED;
}

void state_read(const struct store_machine *machine, struct state *state)
{
	bool runs;

	/* The lock before the record: a machine that ends meanwhile must not look like a crash. And
	 * once more behind it: nor one that starts. */
	do {
		runs = store_is_locked(machine, STORE_RUN);
		read_record(machine, state);
		judge(machine, runs, state);
	} while (!runs && store_is_locked(machine, STORE_RUN));
}
