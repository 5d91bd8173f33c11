/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The manager: it owns the serial line, reads the machine file, and does to machines what the
 * person at the prompt says. One thread, one loop: each turn looks at everything once and never
 * waits.
 */
#ifndef MANAGER_MANAGER_H
#define MANAGER_MANAGER_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/abi.h"
#include "machines/machine_file.h"
#include "manager/console.h"
#include "manager/line_edit.h"
#include "manager/machines.h"
#include "manager/modules.h"

/* What the prompt waits for before it takes the next command. */
enum job_kind { JOB_NONE, JOB_WAIT, JOB_EXPECT, JOB_SLEEP, JOB_END };

struct job {
	enum job_kind kind;
	bool failed;		 /* a machine that was waited for ended badly */
	uint64_t machines;	 /* a bit for each that has not ended yet */
	uint64_t deadline;	 /* host_now(); UINT64_MAX: none */
	struct machine *machine; /* JOB_EXPECT: whose output */
	char text[LINE_EDIT_MAX];
	enum metal_system end; /* JOB_END: what happens when all machines are off */
};

struct manager {
	struct console console;
	struct line_edit edit;
	struct modules modules;
	struct machines machines;
	struct machine_settings settings;
	struct job job;
	bool editing;		  /* a line is being edited, though it may be hidden */
	bool follow;		  /* the prompt shows the guests' output */
	struct machine *attached; /* whose console the terminal is; NULL: the prompt's */
	bool escape;		  /* Ctrl-] was typed there */
	bool notified;		  /* the machines' channels want a look ... */
	uint64_t next_look;	  /* ... but not before this: host_now() */
	unsigned script_at;	  /* the next command of the script */
	unsigned failures;	  /* commands that failed */
};

/* Reads the modules, greets, and starts the machines that are to start. The memory is zeroed. */
void manager_begin(struct manager *manager);

/* Looks at everything once. When there will be something to do though no event comes: host_now().
 */
uint64_t manager_turn(struct manager *manager);

/* Says a line, wherever the cursor is: text of others in it can do no harm. */
void manager_say(struct manager *manager, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The same for a command that failed; returns false. */
bool manager_fail(struct manager *manager, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
