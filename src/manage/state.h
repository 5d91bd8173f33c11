/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a machine of the store does: the record that its process keeps in the file `state`, and what
 * follows from it and from the locks. A record that says "running" without a process that holds the
 * lock is a crash.
 */
#ifndef MANAGE_STATE_H
#define MANAGE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "manage/store.h"

enum machine_state {
	MACHINE_STOPPED,
	MACHINE_STARTING, /* its process is there, and not ready yet */
	MACHINE_RUNNING,
	MACHINE_PAUSED,
	MACHINE_CRASHED,
	MACHINE_SAVED, /* stopped, with its memory kept (kept.h) */
};

#define STATE_DISK_FULL "disk-full" /* what the guest writes waits for room on this host */

struct state {
	enum machine_state state;
	char reason[32]; /* why it stopped: "powered-off", "killed", ...; "": never ran; of one
			    that runs: STATE_DISK_FULL */
	int status;	 /* the exit status of its process, once stopped */
	pid_t pid;	 /* of the last process, which says so itself: to be shown */
	uint64_t started, ended;  /* seconds since 1970; 0: never */
	char control[STORE_PATH]; /* the socket of a machine that runs; state_read: empty, if it
				     isn't where that of this machine must be */
};

const char *state_name(enum machine_state state);
/* The same for people: "waiting" if it runs and waits for room. */
const char *state_shown(const struct state *state);

/* Never fails: what can't be read never ran. */
void state_read(const struct store_machine *machine, struct state *state);

/* A record as text of exactly STATE_SIZE bytes: one write at the file's start replaces another. */
#define STATE_SIZE 1024
void state_text(const struct state *state, char text[STATE_SIZE]);

/* Writes the record into the open file. 0 or a negative errno. */
int state_write(int fd, const struct state *state);

/* Opens a machine's file for that. A descriptor or a negative errno. */
int state_open(const struct store_machine *machine);

/* Parses a record: false if it is none. Every byte may be anything. */
bool state_parse(const char *text, size_t size, struct state *state);

#endif
