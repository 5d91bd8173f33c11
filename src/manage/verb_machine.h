/* SPDX-License-Identifier: BSD-2-Clause */
/* What verbs about machines have in common: finding one, its locks, its control socket, its end. */
#ifndef MANAGE_VERB_MACHINE_H
#define MANAGE_VERB_MACHINE_H

#include <stdio.h>

#include "manage/control_client.h"
#include "manage/state.h"
#include "manage/store.h"
#include "manage/verb.h"

#define CHANGE_PATIENCE                                                                            \
	10000 /* milliseconds that a command waits for another on the same machine */

/* Exit statuses, after a complaint. */
int verb_store(const struct verb_call *call, struct store *store);
/* The machine of that name; to be closed if LODGE_OK. */
int verb_machine(const struct verb_call *call, struct store *store, const char *name,
		 struct store_machine *machine);
/* The same, with the lock STORE_CHANGE. */
int verb_machine_changed(const struct verb_call *call, struct store *store, const char *name,
			 struct store_machine *machine);
/* The same, and it must not run: its process's lock is held too, until it is closed. */
int verb_machine_stopped(const struct verb_call *call, struct store *store, const char *name,
			 struct store_machine *machine);

/* The control socket of a machine that runs. */
int verb_connect(const struct store_machine *machine, struct control_client **client);

/* Asks it, and releases the answer unless result is given. Complains with the machine's words. */
int verb_ask(const struct store_machine *machine, struct control_client *client,
	     const char *command, json_t *arguments, json_t **result);

/* Waits for the process of a machine to be gone. Milliseconds, -1: for ever. False: it isn't. */
bool verb_wait_end(const struct store_machine *machine, int milliseconds);

/* All that is kept of the console: console.log.old and console.log. *text is to be freed. here: how
 * much of it is from console.log. 0 or a negative errno; none is not an error. */
int verb_console_read(const struct store_machine *machine, char **text, size_t *size, size_t *here);

/* Where the last lines of a text begin. */
const char *verb_last_lines(const char *text, size_t size, unsigned lines);

/* The last lines of the machine's console.log, without control characters, each behind `front`. */
void verb_console_tail(const struct store_machine *machine, unsigned lines, const char *front,
		       FILE *out);

/* Carries something out for each word of the call; the first status that isn't LODGE_OK stays. */
int verb_for_each(struct verb_call *call,
		  int (*one)(struct verb_call *call, struct store *store, const char *name));

#endif
