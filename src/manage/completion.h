/* SPDX-License-Identifier: BSD-2-Clause */
/* What can stand in the place of a command line's last word. */
#ifndef MANAGE_COMPLETION_H
#define MANAGE_COMPLETION_H

#include <stdio.h>

#include "manage/store.h"

/* words: behind `lodge`, ended by NULL; the last is what has been typed so far of a word. One
 * possibility a line; none: a file's name, or nothing. store: NULL if there is none. */
void complete_words(const char *const *words, const struct store *store, FILE *out);

#endif
