/* SPDX-License-Identifier: BSD-2-Clause */
/* What a machine that runs says of itself (`status`, docs/control-protocol.md), for those who ask
 * the store's machines. What it says is as hostile as its guest: anything may be missing. */
#ifndef MANAGE_LIVE_H
#define MANAGE_LIVE_H

#include <jansson.h>

#include "manage/json.h"
#include "manage/state.h"

/* Its answer, to be released; NULL: it doesn't run, or says nothing within `timeout` ms. */
json_t *live_status(const struct state *state, int timeout);

/* A number of it that is not negative; 0 if it isn't there. */
uint64_t live_number(const json_t *object, const char *name);

/* Limits and sandbox in force, as lines for info. */
void live_put(const json_t *live);
void live_put_json(struct json *out, const json_t *live);

#endif
