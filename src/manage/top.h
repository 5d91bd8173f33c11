/* SPDX-License-Identifier: BSD-2-Clause */
/* The verb top. */
#ifndef MANAGE_TOP_H
#define MANAGE_TOP_H

#include "manage/verb.h"

/* Shows, --times times every --interval seconds, what each machine that runs has taken of this
 * host since the last look. An exit status. */
int top(struct verb_call *call);

#endif
