/* SPDX-License-Identifier: BSD-2-Clause */
/* What `lodge set` changes of a machine while it runs, as well as in its machine.conf. */
#ifndef MANAGE_SET_LIVE_H
#define MANAGE_SET_LIVE_H

#include <stdbool.h>

#include "manage/conf_change.h"

/* DISK,WORD[,WORD...]: limits of one disk; exit statuses, after a complaint. *live: it counts as
 * soon as the change is applied. */
int set_live_disk(struct conf_change *change, const char *value, bool *live);

/* Whether this value of --net changes nothing but the rate of `user`. */
bool set_live_is_rate(const struct store_machine *machine, const char *value);

/* A value of --net; of a machine that runs, and goes on with user, its rate counts at once. */
int set_live_net(struct conf_change *change, const char *value, bool *live);

/* A value of weight, cap or processors; of a machine that runs it counts at once. */
int set_live_cpu(struct conf_change *change, const char *key, const char *value, bool *live);

/*
 * What is done to the process from outside, for its sandbox doesn't let it: nice values and the
 * processors of its threads, of which it is said whether they have been changed. After
 * conf_change_apply. *live becomes false if this host doesn't let us: a greater weight than it has
 * is for root alone.
 */
int set_live_outside(const struct conf_change *change, bool weight, bool processors, bool *live);

#endif
