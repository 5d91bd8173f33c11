/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/workers.h"

#include <signal.h>
#include <stddef.h>

void workers_init(struct workers *workers, const char *name,
		  void (*carry_out)(void *owner, struct plug_link *link), void *owner)
{
	*workers = (struct workers){.carry_out = carry_out, .owner = owner, .name = name};
	workers->last = &workers->first;
	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->work, NULL);
	pthread_cond_init(&workers->idle, NULL);
}

static void *work(void *argument)
{
	struct workers *workers = argument;

	pthread_setname_np(pthread_self(), workers->name);
	pthread_mutex_lock(&workers->lock);
	for (;;) {
		struct plug_link *link = workers->first;

		if (!link && workers->ending)
			break;
		if (!link) {
			pthread_cond_wait(&workers->work, &workers->lock);
			continue;
		}
		workers->first = link->next;
		if (!workers->first)
			workers->last = &workers->first;
		pthread_mutex_unlock(&workers->lock);
		workers->carry_out(workers->owner, link);
		pthread_mutex_lock(&workers->lock);
		if (--workers->pending == 0)
			pthread_cond_broadcast(&workers->idle);
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
		workers->pending++;
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
