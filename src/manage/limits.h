/* SPDX-License-Identifier: BSD-2-Clause */
/* What a machine may take of this host's processors. */
#ifndef MANAGE_LIMITS_H
#define MANAGE_LIMITS_H

#include "manage/options.h"

/*
 * Binds this process, and the threads that it makes later, to options->processors, and gives it the
 * share that options->weight says. An exit status, after a complaint: none of the processors is
 * here. A share above the usual one that isn't allowed is told, and no reason not to run.
 */
int limits_apply(const struct options *options);

/* The nice value (setpriority(2)) whose share is nearest to weight hundredths of the usual one. */
int limits_nice(unsigned weight);

#endif
