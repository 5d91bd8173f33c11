/* SPDX-License-Identifier: BSD-2-Clause */
/* Talks with the agent of a machine that runs, for the verbs: asks it, and runs commands by it. */
#ifndef MANAGE_AGENT_CLIENT_H
#define MANAGE_AGENT_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "manage/agent_frames.h"

struct store_machine;

/*
 * A stream to the agent of a machine of the store. One that is only starting is waited for, so many
 * seconds (0: no limit). The file, or -1; then *status is how lodge is to end, and what is wrong
 * has been said.
 */
int agent_connect(const struct store_machine *machine, int timeout, int *status);

enum agent_terminal { AGENT_TERMINAL_AUTO, AGENT_TERMINAL_YES, AGENT_TERMINAL_NO };

struct agent_command {
	const char *name;	   /* the machine's */
	char *const *arguments;	   /* ended by NULL; none at all: the user's login shell */
	char *const *environment;  /* NAME=value, ended by NULL; may be NULL */
	const char *user, *folder; /* NULL: root, the user's home */
	enum agent_terminal terminal;
	int in, out, err; /* files; in: -1 for none */
	bool plain;	  /* standard error is shown as text (plain.h), whatever the guest writes */
	int timeout;	  /* seconds to wait for the agent; 0: no limit */
};

/*
 * Runs it on the stream, which is closed at the end, until it ends: passes input, outputs, signals
 * and the size of the terminal. Returns the command's status, or how lodge is to end otherwise
 * (what is wrong has been said).
 */
int agent_run(int stream, const struct agent_command *command);

/* Asks something that is answered by a text, which is to be freed, or (AGENT_SHUTDOWN) by none. 0,
 * or how lodge is to end. The stream is closed. */
/* The same without a word: what the agent knows of the guest, to be freed; NULL if it doesn't
 * answer within so many milliseconds. */
char *agent_info(const char *control, int milliseconds);

/* Asks the guest's init to shut down, and doesn't wait for an answer: a file to be closed once the
 * machine has ended, or -1. */
int agent_shut_down(const char *control);

#endif
