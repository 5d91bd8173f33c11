/* SPDX-License-Identifier: BSD-2-Clause */
/* `lodge save`, the verb: asks a machine's process to save it, and gives the file its name. */
#ifndef MANAGE_SAVE_VERB_H
#define MANAGE_SAVE_VERB_H

#include <stdbool.h>
#include <stddef.h>

/* The arguments behind the verb, ended by NULL. An exit status, after a complaint. */
int save_verb(char **arguments);
void save_help(void);

/* The control socket of a machine that a person names: a socket's path (it has a slash), or a
 * machine that `lodge start` runs. False if that is too long. */
bool machine_socket(const char *name, char *path, size_t size);

#endif
