/* SPDX-License-Identifier: BSD-2-Clause */
/* One queue of requests and a few threads that carry them out: what a disk or a shared folder does
 * that would wait. */
#ifndef STORAGE_WORKERS_H
#define STORAGE_WORKERS_H

#include <pthread.h>
#include <stdbool.h>

#include "core/halt.h"
#include "core/plug.h"

#define WORKERS_THREADS 2

struct workers {
	void (*carry_out)(void *owner, struct plug_link *link);
	void *owner;
	const char *name;
	pthread_t thread[WORKERS_THREADS];
	unsigned threads;
	/* Under the lock: */
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	struct plug_link *first, **last;
	_Atomic uint32_t pending; /* queued or on a thread; read without the lock, too */
	struct halt rest;	  /* for how long a thread looks out for more, */
	uint64_t resting_since;	  /* host_now() when the last one was done */
	bool looking;		  /* it does */
	bool ending;
};

/* carry_out is called on the threads, several at once, and ends with the call of the request's
 * done(). name: the threads', up to 15 bytes. */
void workers_init(struct workers *workers, const char *name,
		  void (*carry_out)(void *owner, struct plug_link *link), void *owner);

/*
 * Queues a request by its link. 0, or a negative errno if there is no thread for it. The threads,
 * which block all signals, begin with the first request: by then the process has given up the
 * rights that it doesn't need to run a machine, and a thread has those of its maker.
 */
int workers_submit(struct workers *workers, struct plug_link *link);

/* Waits until all that was submitted is done. */
void workers_drain(struct workers *workers);

/* Drains, and ends the threads. */
void workers_end(struct workers *workers);

#endif
