/* SPDX-License-Identifier: BSD-2-Clause */
/* Which machine a person means that need not be one of the store (`lodge save`, `lodge migrate`).
 */
#ifndef MANAGE_SAVE_VERB_H
#define MANAGE_SAVE_VERB_H

#include <stdbool.h>
#include <stddef.h>

/* The control socket of a machine that a person names: a socket's path (it has a slash), or a
 * machine that `lodge start` runs. 0, or a negative errno with a line. */
int machine_socket(const char *name, char *path, size_t size, char *reason, size_t reason_size);

#endif
