/* SPDX-License-Identifier: BSD-2-Clause */
/* A buffer between the vm, which must not wait, and a file that may. For consoles. */
#ifndef HOSTS_LINUX_OUTPUT_H
#define HOSTS_LINUX_OUTPUT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "hosts/linux/loop.h"

#define OUTPUT_SIZE 65536 /* a power of two */

struct output {
	int fd;
	struct loop *loop;
	struct loop_call room; /* posted when there is room again after output_write took less than
				  it was given */

	/* Called after each write by the thread that writes, which may do what takes long; NULL for
	 * nothing. Set before the first byte. */
	void (*written)(struct output *output, size_t length);
	/* Text for people: what the file refuses leaves a gap, with a line that says so, and what
	 * comes behind that is tried anew. False: nothing comes behind it. Set before the first
	 * byte. */
	bool gaps;

	pthread_mutex_t lock; /* for all that follows */
	pthread_cond_t filled, emptied;
	pthread_t thread;
	bool started, closing, busy, was_full;
	bool broken;	 /* nobody will read it any more, or there is no thread */
	bool gap;	 /* in front of the next bytes */
	bool complained; /* about that, once */
	size_t head,
		tail; /* written by output_write and by the thread; head - tail bytes are waiting */
	unsigned char bytes[OUTPUT_SIZE];
};

void output_init(struct output *output, int fd, struct loop *loop,
		 void (*room)(struct loop_call *call), void *context);

/* How many bytes were taken. Never waits. What the file refuses is thrown away, with one warning.
 */
size_t output_write(struct output *output, const void *bytes, size_t length);

/* Whether nothing is left to be written. If something is, the room call is posted after the next
 * write. Never waits. */
bool output_is_empty(struct output *output);

/*
 * Waits until all is written, or for a second in which nothing was; then the rest is lost, with a
 * warning. False if the thread sits in write() and can't be ended: what it uses must stay.
 */
bool output_close(struct output *output);

#endif
