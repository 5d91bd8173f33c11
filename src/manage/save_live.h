/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What lets a machine be saved while it runs on: its memory is copied ahead, in rounds, by the
 * dirty log, so that it stands for the last of it only; and its disks go on in overlays, so that
 * what is below them stays as the memory knows it.
 */
#ifndef MANAGE_SAVE_LIVE_H
#define MANAGE_SAVE_LIVE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "machines/pc.h"
#include "manage/saved_file.h"

struct control_call;
struct run;

/* Part of struct save. */
struct save_live {
	struct saved_writer writer; /* its table is NULL: not begun */
	bool ahead;		    /* the log is on, and the thread copies by it */
	uint64_t *bitmap;
	unsigned rounds;
	bool threaded; /* there is a thread to be joined */
	pthread_t thread;
	atomic_bool cancel;
	unsigned overlay_count;
	struct {
		unsigned disk;
		char *path;
		int file; /* O_PATH */
	} overlays[PC_DISKS_MAX];
};

/*
 * The request's overlays, whose files come along behind those that have been taken. 0, or -EINVAL
 * after an answer that says what is wrong. Main thread; vm's lock held.
 */
int save_overlays_begin(struct run *run, struct control_call *call);
/* The disks go on in them, or they are closed. Drained and flushed, or nothing to be taken. */
void save_overlays_end(struct run *run, bool take);

/* A thread begins to copy memory to save.fd, and then calls save_copied. 0 or a negative errno. */
int save_ahead_begin(struct run *run);
/* The rest (all, where the engine has no dirty log), with the vm paused. 0 or a negative errno. */
int save_ahead_finish(struct run *run);
/* Waits for the thread. Vm's lock not held. */
void save_ahead_join(struct run *run);
/* Ends the log and forgets the writer. Vm's lock not held, unless the vm is paused or has begun
 * nothing. */
void save_ahead_end(struct run *run);

#endif
