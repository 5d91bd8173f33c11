/* SPDX-License-Identifier: BSD-2-Clause */
/* `lodge migrate`, the verb: connects to where a machine is to go, and has its process send it. */
#ifndef MANAGE_MIGRATE_VERB_H
#define MANAGE_MIGRATE_VERB_H

/* The arguments behind the verb, ended by NULL. An exit status, after a complaint. */
int migrate_verb(char **arguments);
void migrate_help(void);

#endif
