/* SPDX-License-Identifier: BSD-2-Clause */
/* `lodge run`: one machine, from the command line to its end. */
#ifndef MANAGE_RUN_H
#define MANAGE_RUN_H

#include "manage/options.h"

/* Returns how lodge ends (exitcodes.h). What went wrong has been said. A machine file fills the
 * options in. */
int run(struct options *options);

#endif
