/* SPDX-License-Identifier: BSD-2-Clause */
/* `lodge exec`, `lodge shell` and `lodge cp`: what is done by the agent in a machine. */
#ifndef MANAGE_AGENT_VERBS_H
#define MANAGE_AGENT_VERBS_H

#include <stdbool.h>
#include <stddef.h>

#include "manage/agent_client.h"
#include "manage/store.h"

#define AGENT_ENVIRONMENT_MAX 64
#define AGENT_TIMEOUT	      60 /* seconds, unless told */

struct agent_options {
	const char *user, *folder;
	const char *environment[AGENT_ENVIRONMENT_MAX + 2];
	unsigned environment_count;
	enum agent_terminal terminal;
	bool no_input;
	int timeout;
};

/* cp, when its words have been found: copies `from` to `to`; one of them is in the machine. */
struct agent_copy {
	const struct store_machine *machine;
	const char *from, *to;
	bool out; /* of the machine */
	const struct agent_options *options;
};
int agent_copy(const struct agent_copy *copy);

#endif
