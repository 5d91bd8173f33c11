/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live migration, the side that the machine leaves: the control commands `migrate` and
 * `migrate-cancel` (docs/migration.md).
 */
#ifndef MANAGE_MIGRATE_H
#define MANAGE_MIGRATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "manage/migrate_wire.h"

struct control_call;
struct run;

/* Part of struct run. Vm's lock, but for what says otherwise. */
struct migrate {
	struct control_call *call; /* NULL: none is under way */
	atomic_bool cancel;
	pthread_t thread;
	bool threaded; /* there is one to be joined */
	/* The thread's, until it asks for the pause; then the main thread's. */
	struct wire wire;
	struct wire_message message;
	uint64_t *bitmap;  /* pages to be sent */
	double bandwidth;  /* bytes in a millisecond, as measured */
	uint64_t downtime; /* milliseconds that the machine may stand */
	unsigned rounds;
	bool ready;	       /* the thread has ended, and the machine is to stand for the rest */
	bool lent;	       /* disks and ports are the other side's */
	bool sent;	       /* all of the machine: the end of the stream gives it away */
	uint64_t began, stood; /* host_now() */
	char reason[512];
};

void migrate_command(struct run *run, struct control_call *call);
void migrate_cancel_command(struct run *run, struct control_call *call);

/* The vm has become paused. Vm's lock not held; main thread. */
void migrate_paused(struct run *run);

/*
 * Before a vm is resumed by a person: false if it stands because the other side may have it, and
 * another process has one of its disks. Vm's lock held, which is dropped meanwhile; main thread.
 */
bool migrate_resume(struct run *run);

/* The machine has stopped or resets itself: a migration that is under way ends. Vm's lock not held.
 */
void migrate_abandon(struct run *run, const char *why);

#endif
