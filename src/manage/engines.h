/* SPDX-License-Identifier: BSD-2-Clause */
/* Which engines this program has, and which of them runs a guest here. */
#ifndef MANAGE_ENGINES_H
#define MANAGE_ENGINES_H

#include <stddef.h>

#include "core/engine.h"

/* The best first; ended by NULL. */
extern const struct engine *const engines_all[];

/*
 * The engine of that name ("translate", or with an option behind a comma), or for NULL and "auto"
 * the first that can run guests here. NULL if there is none, with one line about it; otherwise
 * reason says why it was chosen.
 */
const struct engine *engines_choose(const char *name, char *reason, size_t size);

/*
 * Carries out the option behind the comma in `name` (which engines_choose has taken; NULL for none)
 * on a new vm. "translate,interpret", for finding faults in Lodge itself: every instruction is
 * interpreted.
 */
void engines_configure(const char *name, struct vm *vm);

#endif
