/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The terminal as the console of a guest. Ctrl-] begins a command, as in hosted Lodge: q or d goes
 * back to the prompt, n to the next guest, 1 to 9 to that guest, p presses the power button, ?
 * lists all this, Ctrl-] sends itself. Everything else is the guest's.
 */
#ifndef MANAGER_ATTACH_H
#define MANAGER_ATTACH_H

#include <stdbool.h>

struct machine;
struct manager;

/* Shows what the guest wrote unseen, or its last line, and makes the terminal its console, if it
 * runs. */
void attach_begin(struct manager *manager, struct machine *machine);

/* The terminal is the prompt's again. */
void attach_end(struct manager *manager);

/* Takes keys as long as the guest has room for them. */
void attach_keys(struct manager *manager);

/* Shows what guests have written since, as far as the terminal keeps up. */
void attach_show(struct manager *manager);

#endif
