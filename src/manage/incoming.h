/* SPDX-License-Identifier: BSD-2-Clause */
/* Live migration, the side that the machine comes to: `lodge run --incoming ADDRESS`. */
#ifndef MANAGE_INCOMING_H
#define MANAGE_INCOMING_H

#include "manage/migrate_wire.h"
#include "manage/options.h"

struct run;

/* Part of struct run. */
struct incoming {
	const char *address; /* NULL: no machine is to come */
	struct wire wire;    /* its fd is -1 without a peer */
	struct wire_message message;
	int files[WIRE_FILES_MAX]; /* its end of a network, until its port has it */
	unsigned file_count;
	unsigned waits;
	bool paused; /* it stood before, and is to stand */
};

/* Listens, takes the first peer that has a machine to give, and makes options those of its machine.
 * An exit status, after a complaint. */
int incoming_begin(struct run *run, struct options *options);

/* Once the vm has its memory: fills it, until the other side has nothing more to send. Then its
 * disks may be opened. */
int incoming_memory(struct run *run);

/*
 * A port that the old process has given up may be in use for a moment still, until its network's
 * thread is out of its wait for it. True, after a wait, if it is worth another try.
 */
bool incoming_waits(struct run *run);

/* Once the machine is as it was, and before it does anything to the world: gets the word that it is
 * ours. */
int incoming_commit(struct run *run);

/* Tells the peer that it came to nothing, if it did. */
void incoming_end(struct run *run);

#endif
