/* SPDX-License-Identifier: BSD-2-Clause */
/* The prompt: which command is next (the script's, then what is typed), and what it waits for. */
#ifndef MANAGER_PROMPT_H
#define MANAGER_PROMPT_H

#include <stdint.h>

struct machine;
struct manager;

/* Takes keys and carries out commands, as far as nothing has to be waited for. The next deadline.
 */
uint64_t prompt_turn(struct manager *manager);

/* A machine has ended: somebody may have waited for that. */
void prompt_machine_ended(struct manager *manager, struct machine *machine);

#endif
