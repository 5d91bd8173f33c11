/* SPDX-License-Identifier: BSD-2-Clause */
/* Starts the process of a machine of the store, which lives on without us. */
#ifndef MANAGE_START_H
#define MANAGE_START_H

#include "manage/options.h"
#include "manage/store.h"

/*
 * The lock STORE_CHANGE is held. Takes STORE_RUN for the process, waits until the machine's first
 * processor runs or why it doesn't has been said on standard error. extra: what counts more than
 * machine.conf, NULL for nothing. A machine that is saved goes on from its memory, unless fresh. An
 * exit status.
 */
int machine_start(const struct store *store, struct store_machine *machine,
		  const struct options *extra, bool fresh);

/* The same in this process, which stays until the machine ends (for service managers). */
int machine_start_here(const struct store *store, struct store_machine *machine,
		       const struct options *extra, bool fresh);

#endif
