/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting for a guest: for what it shows on its console, for its agent. */
#ifndef MANAGE_VERB_WAIT_H
#define MANAGE_VERB_WAIT_H

#include "manage/verb_machine.h"

#define VERB_UNTIL                                                                                 \
	{                                                                                          \
		"--until", "TEXT", false, "waits until the console has shown TEXT"                 \
	}

#define VERB_WAIT                                                                                  \
	{                                                                                          \
		"--wait", NULL, false, "waits until commands can be run in it (lodge exec)"        \
	}

/* Before a start: how much its console's log has from earlier ones. */
size_t verb_wait_mark(const struct store_machine *machine);

/* As --until, --wait and --timeout say; at once without the first two. An exit status:
 * LODGE_TIMEOUT with the last lines of the console, LODGE_BAD_STATE if the machine ends. */
int verb_wait_until(const struct verb_call *call, const struct store_machine *machine, size_t mark);

#endif
