/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting for what a guest shows on its console. */
#ifndef MANAGE_VERB_WAIT_H
#define MANAGE_VERB_WAIT_H

#include "manage/verb_machine.h"

#define VERB_UNTIL                                                                                 \
	{                                                                                          \
		"--until", "TEXT", false, "waits until the console has shown TEXT"                 \
	}

/* As --until and --timeout say; at once without --until. An exit status: LODGE_TIMEOUT with the
 * last lines of the console, LODGE_BAD_STATE if the machine ends. */
int verb_wait_until(const struct verb_call *call, const struct store_machine *machine);

#endif
