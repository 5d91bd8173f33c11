/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine that runs in this process: what run.c makes, and what the commands of its control
 * socket (control_commands.c) may reach, with the vm's lock held.
 */
#ifndef MANAGE_RUN_STATE_H
#define MANAGE_RUN_STATE_H

#include "core/vm.h"
#include "hosts/linux/sandbox.h"
#include "machines/pc.h"
#include "manage/command.h"
#include "manage/console_hub.h"
#include "manage/guest.h"
#include "manage/images.h"
#include "manage/incoming.h"
#include "manage/limits.h"
#include "manage/migrate.h"
#include "manage/options.h"
#include "manage/restore.h"
#include "manage/save.h"
#include "manage/shares.h"
#include "manage/throwaway.h"
#include "manage/watch.h"
#include "network/user.h"
#include "x86/cpuid.h"

#define RUN_PAUSING_MAX 16

struct agent_link;
struct control;
struct control_call;
struct port_change;

/* All that one run needs. What isn't there is NULL. */
struct run {
	const struct options *options;
	struct guest guest;
	struct images images;
	struct cpu_model cpu_model;
	const struct engine *engine;
	char engine_reason[1024];
	struct vm vm;
	bool vm_made, attached;
	struct pc *pc;
	struct pc_config config;
	struct disk *disks[PC_DISKS_MAX];
	int disk_files[PC_DISKS_MAX]; /* O_PATH: their times of change; what is written now */
	unsigned disk_count;
	struct shares shares;
	struct netport *netport;
	struct console *console;
	struct watch watch;
	struct console_hub hub;
	struct control *control;
	struct agent_link *agent;
	struct user_forward forwards[OPTIONS_FORWARDS_MAX];
	unsigned forward_count;
	struct port_change *port_changes; /* under way: control_ports.c */
	struct sandbox_state sandbox;
	struct limits limits;
	uint64_t started; /* host_now() */
	struct control_call
		*pausing[RUN_PAUSING_MAX]; /* to be answered once all vcpus are parked */
	unsigned pausing_count;
	struct command *command;
	struct saved_config *description; /* of the machine, for who saves it */
	struct throwaway throwaway;
	struct restore restore;
	struct save save;
	struct incoming incoming;
	struct migrate migrate;
	bool paused;	  /* somebody wants it so: not while it stands for a save or a move */
	bool paused_told; /* to those who have subscribed, and in the store */
	bool ended;	  /* vm's lock: its end has been noted */
	bool in_doubt;	  /* it stands, for it may run elsewhere */
	const char *left; /* it goes on elsewhere: "saved", "migrated" */
};

/* Whether its network card is one of the user network (network/user.h). */
static inline bool run_is_behind_nat(const struct run *run)
{
	return run->netport && run->options->net != NET_LAN && run->options->net != NET_TAP;
}

/* The vm has become paused: whoever waits for that is told. Vm's lock not held. */
void run_paused(struct run *run);

/* It stands from now on until somebody resumes it. The vm is paused; vm's lock held. */
void run_stays_paused(struct run *run);

/* Why it has stopped: "powered-off", "killed", ... */
const char *run_stop_reason(const struct run *run);

/* It resets itself; it has ended. Both tell those who have subscribed. */
void run_restarted(struct run *run);
void run_stopped(struct run *run);

#endif
