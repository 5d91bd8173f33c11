/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a machine's time has gone, as far as core, its engine and the clock can tell: for each
 * processor exits by kind, how long it slept, and the engine's own counters.
 */
#ifndef MANAGE_STATS_H
#define MANAGE_STATS_H

#include <jansson.h>
#include <stdio.h>

struct run;

enum stats_form { STATS_NONE, STATS_TEXT, STATS_JSON };

/*
 * {"seconds", "engine", "machine": {NAME: VALUE}, "vcpus": [{"exits": {KIND: COUNT}, "halted":
 * seconds, "counters": {NAME: VALUE}}]}. Times are in seconds, sizes in bytes. NULL without memory.
 */
json_t *stats_json(const struct run *run);

/* The same as a table, each line ended by end. */
void stats_print(const struct run *run, FILE *file, const char *end);

#endif
