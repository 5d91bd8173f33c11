/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process of a machine of the store, seen from within: what it was given open, and what it
 * reports of itself. start.c makes it; run.c calls these.
 */
#ifndef MANAGE_MANAGED_H
#define MANAGE_MANAGED_H

#include <stdbool.h>

#include "manage/state.h"
#include "manage/store.h"

struct console;
struct vm;

#define MANAGED_LOG_MAX (1u << 20) /* bytes of console.log, and of console.log.old */

struct managed {
	const struct store *store;
	struct store_machine *machine;
	int state_file, log;
	int ready;	  /* the pipe to the command that waits, -1 once it has been told */
	int runtime_lock; /* of the folder with the socket */
	bool saved;	  /* its memory is kept: what it is once it has ended */
	struct state state;
};

/* The serial console's log: console.log, of which what does not fit goes to console.log.old. 0 or a
 * negative errno. */
int managed_console_open(struct managed *managed, struct console **console, struct vm *vm);

/* It runs now: tells so to the file and to the command, whose standard error is left. */
void managed_ready(struct managed *managed);

void managed_paused(struct managed *managed, bool paused);

/* It runs, but writes to a disk wait for room on this host; or no more. */
void managed_waits(struct managed *managed, bool waits);

/* The end, with its reason (as the event "stopped" has it) and status. */
void managed_ended(struct managed *managed, const char *reason, int status);

#endif
