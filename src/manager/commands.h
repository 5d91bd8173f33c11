/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of the prompt: one table for those who carry them out, help and completion. */
#ifndef MANAGER_COMMANDS_H
#define MANAGER_COMMANDS_H

struct manager;

/* Carries out a line. What it waits for, if anything, is manager->job then. */
void commands_run(struct manager *manager, const char *line);

/* For line_edit: the index-th word that can stand behind `before`. */
const char *commands_candidate(void *manager, const char *before, unsigned index);

#endif
