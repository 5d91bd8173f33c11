/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of verbs, and what their files lend each other. */
#ifndef MANAGE_VERBS_H
#define MANAGE_VERBS_H

#include "manage/verb.h"
#include "manage/verb_machine.h"

extern const struct verb verbs_create[];
extern const struct verb verbs_life[];
extern const struct verb verbs_report[];
extern const struct verb verbs_console[];
extern const struct verb verbs_port[];
extern const struct verb verbs_snapshot[];
extern const struct verb verbs_change[];
extern const struct verb verbs_image[];
extern const struct verb verbs_watch[];
extern const struct verb verbs_completion[];
extern const struct verb verbs_net[];
extern const struct verb verbs_saved[];
extern const struct verb verbs_save[];
extern const struct verb verbs_migrate[];
extern const struct verb verbs_agent[];

/* Ends a machine that runs, as --force, --timeout and --no-kill say. An exit status. */
int verb_end_machine(struct verb_call *call, struct store *store, struct store_machine *machine);

/* Refuses what can't be done to a machine that is saved. An exit status. */
int verb_not_saved(const struct verb_call *call, const struct store_machine *machine);

#endif
