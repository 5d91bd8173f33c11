/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/workers.h"

#include <signal.h>
#include <stddef.h>

#include "core/host.h"

void workers_init(struct workers *workers, const char *name,
		  void (*carry_out)(void *owner, struct plug_link *link), void *owner)
{
	*workers = (struct workers){.carry_out = carry_out, .owner = owner, .name = name};
	workers->last = &workers->first;
	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->work, NULL);
	pthread_cond_init(&workers->idle, NULL);
}

/*
 * Whoever asks one thing after the other asks again soon: then a thread that looks out for it has
 * it some tens of microseconds before one that has to be woken. Under the lock, which is dropped
 * meanwhile.
 */
static bool look_out(struct workers *workers)
{
	uint64_t window = workers->pending ? 0 : halt_window(&workers->rest);
	bool crowded, came;

	if (!window)
		return false;
	workers->looking = true;
	pthread_mutex_unlock(&workers->lock);
	came = host_poll(&workers->pending, UINT32_MAX, window, &crowded);
	pthread_mutex_lock(&workers->lock);
	workers->looking = false;
	halt_looked(&workers->rest, came, crowded);
	return came;
}

/* Takes one from the queue, or NULL. Under the lock. */
static struct plug_link *take(struct workers *workers)
{
	struct plug_link *link = workers->first;

	if (link) {
		workers->first = link->next;
		if (!workers->first)
			workers->last = &workers->first;
	}
	return link;
}

/* Under the lock, which is dropped meanwhile. */
static void carry_out(struct workers *workers, struct plug_link *link)
{
	pthread_mutex_unlock(&workers->lock);
	workers->carry_out(workers->owner, link);
	pthread_mutex_lock(&workers->lock);
	if (--workers->pending == 0) {
		workers->resting_since = host_now();
		pthread_cond_broadcast(&workers->idle);
	}
}

static void *work(void *argument)
{
	struct workers *workers = argument;

	pthread_setname_np(pthread_self(), workers->name);
	pthread_mutex_lock(&workers->lock);
	for (;;) {
		struct plug_link *link = take(workers);

		if (link)
			carry_out(workers, link);
		else if (workers->ending)
			break;
		else if (!look_out(workers) && !workers->first && !workers->ending)
			pthread_cond_wait(&workers->work, &workers->lock);
	}
	pthread_mutex_unlock(&workers->lock);
	return NULL;
}

/* Under the lock. */
static int start_threads(struct workers *workers)
{
	sigset_t all, old;
	int error = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (workers->threads < WORKERS_THREADS && !error) {
		error = pthread_create(&workers->thread[workers->threads], NULL, work, workers);
		workers->threads += !error;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return workers->threads ? 0 : -error;
}

int workers_submit(struct workers *workers, struct plug_link *link)
{
	int error = 0;

	link->next = NULL;
	pthread_mutex_lock(&workers->lock);
	if (workers->threads == 0)
		error = start_threads(workers);
	if (!error) {
		*workers->last = link;
		workers->last = &link->next;
		if (workers->pending++ == 0)
			halt_ended(&workers->rest, host_now() - workers->resting_since);
		/* Whoever looks out sees the first one by itself. */
		if (workers->pending > 1 || !workers->looking)
			pthread_cond_signal(&workers->work);
	}
	pthread_mutex_unlock(&workers->lock);
	return error;
}

void workers_drain(struct workers *workers)
{
	pthread_mutex_lock(&workers->lock);
	while (workers->pending)
		pthread_cond_wait(&workers->idle, &workers->lock);
	pthread_mutex_unlock(&workers->lock);
}

void workers_end(struct workers *workers)
{
	workers_drain(workers);
	pthread_mutex_lock(&workers->lock);
	workers->ending = true;
	pthread_cond_broadcast(&workers->work);
	pthread_mutex_unlock(&workers->lock);
	for (unsigned i = 0; i < workers->threads; i++)
		pthread_join(workers->thread[i], NULL);
	pthread_cond_destroy(&workers->work);
	pthread_cond_destroy(&workers->idle);
	pthread_mutex_destroy(&workers->lock);
}
