/* SPDX-License-Identifier: BSD-2-Clause */
/* How a machine ended, in words. */
#ifndef MANAGER_ENDING_H
#define MANAGER_ENDING_H

#include <stdbool.h>

struct machine;

/*
 * Fills machine->end from machine->info and the channel, which is still there: "powered off", say.
 * killed: why we ended it, NULL if it ended by itself. Whether it ended as it should.
 */
bool ending_describe(struct machine *machine, const char *killed);

#endif
