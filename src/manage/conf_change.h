/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several changes of a machine.conf, and what its process is asked for because of them, as one: if
 * one of them isn't possible, or the process refuses, nothing has changed.
 */
#ifndef MANAGE_CONF_CHANGE_H
#define MANAGE_CONF_CHANGE_H

#include <jansson.h>

#include "manage/store.h"

struct conf_change {
	const char *verb; /* for complaints */
	const struct store_machine *machine;
	char *text; /* as it will be */
	json_t *asks;
	bool runs;
};

/* All but the last return an exit status, after a complaint; the lock STORE_CHANGE is held. */
int conf_change_begin(struct conf_change *change, const char *verb,
		      const struct store_machine *machine);

/* What it will say. */
int conf_change_config(const struct conf_change *change, struct machine_config *config);

/* A line, as machine_conf_set has it; and of disk `number`. */
int conf_change_line(struct conf_change *change, const char *key, const char *old,
		     const char *value);
int conf_change_disk(struct conf_change *change, unsigned number, const char *value);

/* What is asked of the process, if there is one, and what takes it back; both are taken over. */
void conf_change_ask(struct conf_change *change, const char *command, json_t *arguments,
		     json_t *undo);

/* The same where another command takes it back, with the same arguments. */
void conf_change_ask_or(struct conf_change *change, const char *command, const char *opposite,
			json_t *arguments);

/* Asks, and writes machine.conf. */
int conf_change_apply(struct conf_change *change);

void conf_change_end(struct conf_change *change);

#endif
