/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machines of the machine file: each is a process while it runs. This starts and ends them, and
 * looks after their channels, in which every byte is hostile.
 */
#ifndef MANAGER_MACHINES_H
#define MANAGER_MACHINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hosts/metal/channel.h"
#include "kernel/abi.h"
#include "machines/machine_file.h"
#include "manager/kept.h"

struct modules;

#define MACHINE_STOP_SECONDS 30 /* from the power button to the kill, unless told otherwise */

enum machine_state {
	MACHINE_OFF, /* not started yet */
	MACHINE_BOOTING,
	MACHINE_RUNS,
	MACHINE_PAUSED,
	MACHINE_STOPPING, /* its power button was pressed, or it is restarting */
	MACHINE_ENDED,	  /* as it should */
	MACHINE_FAILED,	  /* otherwise */
};

struct machine {
	const struct machine_config *config;
	unsigned number;				 /* from 1 on, in the order of the file */
	char problem[192];				 /* why it can't be started, "" if it can */
	int32_t kernel, initrd, disk[MACHINE_DISKS_MAX]; /* indices of modules, -1: none */
	uint64_t modules;				 /* those that it may see */
	uint8_t mac[6];
	uint32_t switch_number;
	struct metal_process_set set;

	enum machine_state state;
	uint32_t process; /* 0: none */
	struct channel *channel;
	uint64_t started, ended; /* host_now() */
	uint64_t deadline;	 /* when it is killed, if it has not ended by then; UINT64_MAX */
	unsigned stop_seconds;	 /* that it was given */
	bool restart;		 /* start it again when it has ended */
	char end[400];		 /* how it ended: "powered off", say */
	struct metal_process_info info; /* when last asked; once it has ended, its last */

	struct kept output, log;
	uint64_t shown;	   /* of output, on the terminal */
	uint64_t searched; /* of output since it was started, by `expect` */
	bool watched;	   /* its output is being shown: none of it may be lost */
};

struct machines {
	unsigned count;
	struct machine *machine[MACHINES_MAX];
	/* A machine ended: machine->end says how. machine->restart: it is started again next. */
	void (*ended)(void *context, struct machine *machine);
	void *context;
};

/* Makes a machine of each configuration, which must stay. False: no memory. */
bool machines_init(struct machines *machines, const struct machine_config *configs, unsigned count,
		   const struct modules *modules);

struct machine *machines_find(const struct machines *machines, const char *name);

/* Each says false with a reason (one line, without the machine's name) if it can't be done. */
bool machine_start(struct machine *machine, char *reason, size_t size);
bool machine_stop(struct machine *machine, unsigned seconds, char *reason, size_t size);
bool machine_pause(struct machine *machine, bool pause, char *reason, size_t size);
bool machine_set(struct machine *machine, const struct metal_process_set *set, char *reason,
		 size_t size);
/* Kills its process; machines->ended is called. */
bool machine_kill(struct machines *machines, struct machine *machine, const char *why);

/* Whether it has a process. */
bool machine_runs(const struct machine *machine);

/* Asks the kernel how it is (machine->info), if it has a process. */
void machine_ask(struct machine *machine);

/* Sends what was typed: how many bytes there was room for. */
size_t machine_type(struct machine *machine, const char *bytes, size_t length);

/*
 * Takes what it has written into its channel: if it is watched, no more than fits beside what has
 * not been shown yet. True if there may be more.
 */
bool machine_take(struct machine *machine);

/* Ends machines whose processes have ended (by machine_ask) or whose time is up. The next deadline.
 */
uint64_t machines_look(struct machines *machines);

const char *machine_state_name(const struct machine *machine);

#endif
