/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions behind the table of commands: each carries one out, and says whether all went well,
 * complaining if not. */
#ifndef MANAGER_COMMAND_CALLS_H
#define MANAGER_COMMAND_CALLS_H

#include <stdbool.h>

struct machine;
struct manager;
struct words;

typedef bool command_call(struct manager *manager, const struct words *words);

/* control.c */
command_call call_start, call_stop, call_restart, call_kill, call_pause, call_resume, call_set;
/* Presses the power button, and says so. */
bool control_stop(struct manager *manager, struct machine *machine, unsigned seconds);

/* waiting.c: all but exit leave what is waited for in manager->job. */
command_call call_wait, call_expect, call_sleep, call_poweroff, call_reboot, call_exit;

#endif
