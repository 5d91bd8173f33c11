/* SPDX-License-Identifier: BSD-2-Clause */
/* What `lodge set` changes of a machine while it runs, as well as in its machine.conf. */
#ifndef MANAGE_SET_LIVE_H
#define MANAGE_SET_LIVE_H

#include <stdbool.h>

#include "manage/store.h"

/* DISK,WORD[,WORD...]: limits of one disk; exit statuses, after a complaint. *live: it counts now.
 * The lock STORE_CHANGE is held. */
int set_live_disk(const struct store_machine *machine, const char *value, bool *live);

/* Whether this value of --net changes nothing but the rate of `user`. */
bool set_live_is_rate(const struct store_machine *machine, const char *value);

/* A value of --net; of a machine that runs, and goes on with user, its rate counts now. */
int set_live_net(const struct store_machine *machine, const char *value, bool *live);

#endif
