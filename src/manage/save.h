/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saving a running machine, in its process: the control command `save` (docs/control-protocol.md).
 * The file comes with the request, for the process may not open any; whoever sent it makes it
 * durable and gives it its name.
 */
#ifndef MANAGE_SAVE_H
#define MANAGE_SAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hosts/linux/loop.h"
#include "manage/save_live.h"

struct control_call;
struct run;

/* Part of struct run: the save that is under way. */
struct save {
	bool begun;
	struct control_call *call; /* not answered yet */
	int fd;			   /* -1: without memory */
	int lifeline;		   /* -1: the machine goes on afterwards */
	struct loop_watch watch;   /* of the lifeline, while its word is awaited */
	bool keep;		   /* the machine is saved then, in the store */
	bool waits;		   /* for that */
	bool ready;		   /* the machine is to stand for it now */
	uint64_t stood;		   /* host_now() */
	struct save_live live;
};

/* The command. */
void save_command(struct run *run, struct control_call *call);

/* The vm has become paused. Vm's lock not held; main thread. */
void save_paused(struct run *run);

/* What can be copied of memory while the machine runs has been, or that failed. On the thread that
 * does that; vm's lock not held. */
void save_copied(struct run *run, int error);

/* The machine has stopped, or resets itself: a save that waits fails. Vm's lock not held. */
void save_abandon(struct run *run, const char *why);

/*
 * All that a saved or migrated machine's disks and shared folders have to do before somebody else
 * looks at them: what was begun is done, and what was written is in the files. No vcpu runs; vm's
 * lock not held. 0 or a negative errno.
 */
int save_settle(struct run *run);

/* Clock, vcpus and devices of the paused vm as bytes, to be freed. 0; -ENOMEM; -ENOSPC if they are
 * more than a file may hold. Vm's lock held. */
int save_state(struct run *run, uint8_t **bytes, size_t *length);

/* Why this machine can't be saved or migrated at all; NULL: it can. */
const char *save_obstacle(const struct run *run);

#endif
