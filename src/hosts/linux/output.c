/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The thread is made at the first byte, so after the sandbox is entered, and does nothing but
 * write. While it is in write(), more bytes gather, so that a serial port's single bytes leave in
 * larger pieces.
 *
 * A full disk may have room again: what it refuses leaves a gap. A pipe without a reader will not
 * have one again.
 */
#include "hosts/linux/output.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "core/host.h"

#define PATIENCE 1 /* seconds */

static const char gap[] = "\r\n[lodge: output is missing here]\r\n";

/* One write of what is waiting, without the lock. False if the file refuses it, as errno says. */
static bool write_some(struct output *output, size_t tail, size_t length, size_t *written)
{
	size_t at = tail % OUTPUT_SIZE;
	ssize_t result;

	if (length > OUTPUT_SIZE - at)
		length = OUTPUT_SIZE - at;
	result = write(output->fd, output->bytes + at, length);
	if (result >= 0) {
		*written = (size_t)result;
		return true;
	}
	*written = 0;
	if (errno == EAGAIN) {
		/* Somebody else made the file non-blocking. */
		struct pollfd wait = {.fd = output->fd, .events = POLLOUT};

		poll(&wait, 1, -1);
		return true;
	}
	return errno == EINTR;
}

/* What the file refused is gone. The lock is held. */
static void lose(struct output *output, int error)
{
	output->broken = !output->gaps || error == EPIPE;
	if (output->broken || !output->complained)
		host_log(LOG_WARNING, "console output is lost %s: %s",
			 output->broken ? "from here on" : "until it can be written again",
			 strerror(error));
	output->complained = output->gap = true;
	output->tail = output->head;
}

static void *output_main(void *argument)
{
	struct output *output = argument;
	size_t written;
	int error;

	prctl(PR_SET_NAME, "output");
	pthread_mutex_lock(&output->lock);
	while (!output->broken && (!output->closing || output->head != output->tail)) {
		if (output->head == output->tail) {
			pthread_cond_wait(&output->filled, &output->lock);
			continue;
		}
		output->busy = true;
		size_t tail = output->tail, length = output->head - tail;
		pthread_mutex_unlock(&output->lock);
		error = write_some(output, tail, length, &written) ? 0 : errno;
		if (!error && output->written)
			output->written(output, written);
		pthread_mutex_lock(&output->lock);
		output->busy = false;
		output->tail += written;
		if (error)
			lose(output, error);
		if (output->was_full) {
			output->was_full = false;
			loop_post(output->loop, &output->room);
		}
		pthread_cond_signal(&output->emptied);
	}
	pthread_mutex_unlock(&output->lock);
	return NULL;
}

void output_init(struct output *output, int fd, struct loop *loop,
		 void (*room)(struct loop_call *call), void *context)
{
	pthread_condattr_t attributes;

	memset(output, 0, sizeof(*output));
	output->fd = fd;
	output->loop = loop;
	output->room = (struct loop_call){.call = room, .context = context};
	pthread_mutex_init(&output->lock, NULL);
	pthread_cond_init(&output->filled, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&output->emptied, &attributes);
	pthread_condattr_destroy(&attributes);
}

static bool thread_start(struct output *output)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 128 << 10);
	error = pthread_create(&output->thread, &attributes, output_main, output);
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		host_log(LOG_WARNING, "no console output: can't make a thread: %s",
			 strerror(error));
	return !error;
}

/* There is room for it. The lock is held. */
static void append(struct output *output, const void *bytes, size_t length)
{
	const unsigned char *from = bytes;

	for (size_t i = 0; i < length; i++)
		output->bytes[output->head++ % OUTPUT_SIZE] = from[i];
}

size_t output_write(struct output *output, const void *bytes, size_t length)
{
	size_t taken = length;

	pthread_mutex_lock(&output->lock);
	if (!output->started && !output->broken) {
		output->started = thread_start(output);
		output->broken = !output->started;
	}
	if (output->broken) {
		pthread_mutex_unlock(&output->lock);
		return length;
	}
	if (output->gap && length) {
		/* All that waited is lost: there is room. */
		append(output, gap, sizeof(gap) - 1);
		output->gap = false;
	}
	if (taken > OUTPUT_SIZE - (output->head - output->tail)) {
		taken = OUTPUT_SIZE - (output->head - output->tail);
		output->was_full = true;
	}
	append(output, bytes, taken);
	if (!output->busy)
		pthread_cond_signal(&output->filled);
	pthread_mutex_unlock(&output->lock);
	return taken;
}

bool output_is_empty(struct output *output)
{
	bool empty;

	pthread_mutex_lock(&output->lock);
	empty = output->head == output->tail;
	if (!empty)
		output->was_full = true;
	pthread_mutex_unlock(&output->lock);
	return empty;
}

/* Until nothing waits, or for as long as there is progress. The lock is held. */
static bool drained(struct output *output)
{
	while (output->head != output->tail && !output->broken) {
		size_t before = output->tail;
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += PATIENCE;
		while (output->tail == before)
			if (pthread_cond_timedwait(&output->emptied, &output->lock, &until) ==
			    ETIMEDOUT)
				return false;
	}
	return true;
}

bool output_close(struct output *output)
{
	bool complete;

	if (output->started) {
		pthread_mutex_lock(&output->lock);
		output->closing = true;
		complete = drained(output);
		/* The loop may be gone by the time that a write which hangs comes back. */
		output->was_full = false;
		pthread_cond_signal(&output->filled);
		pthread_mutex_unlock(&output->lock);
		if (!complete) {
			host_log(LOG_WARNING,
				 "nobody reads the console output: the rest of it is lost");
			pthread_detach(output->thread);
			return false;
		}
		pthread_join(output->thread, NULL);
	}
	loop_withdraw(output->loop, &output->room);
	pthread_mutex_destroy(&output->lock);
	pthread_cond_destroy(&output->filled);
	pthread_cond_destroy(&output->emptied);
	return true;
}
