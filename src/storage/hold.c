/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Without limits, a request costs two atomic additions and one look at a flag. What is held back
 * stands in one of two lists, and a thread of the disk's, made for the first such request, takes it
 * up again: the oldest of the limited ones once the buckets allow it; of those that found no room
 * one every RETRY, and the others behind it as soon as one has been written.
 *
 * That thread submits with the vm's lock held and only while the vm isn't to be paused. So what is
 * held back when the vm has become paused stays so: for the device such a request is in flight, and
 * it is saved as that.
 */
#include "storage/hold.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "core/device.h"
#include "core/host.h"
#include "core/vm.h"
#include "lib/bucket.h"

#define SECOND	UINT64_C(1000000000)
#define RETRY	(SECOND / 4)
#define PAUSED	(SECOND / 50) /* between looks whether the vm goes on */
#define FOREVER UINT64_MAX

struct list {
	struct plug_link *first, **last;
};

enum { READS, WRITES, FLUSHES, DISCARDS, READ_BYTES, WRITTEN_BYTES, HELD, COUNTS };

struct hold {
	struct disk disk, *below;
	struct vm *vm;
	struct hold_config config;
	atomic_bool limited; /* there are limits, or requests wait for one */
	_Atomic uint64_t counts[COUNTS];
	/* Of those that found no room: it is tried again now. Changed under the lock. */
	_Atomic(struct disk_request *) probe;
	pthread_mutex_t lock; /* innermost; all that follows */
	pthread_cond_t changed;
	pthread_t thread;
	bool threaded, ending;
	bool settling; /* drain or close: the thread begins nothing */
	struct hold_limits limits;
	struct bucket bytes, operations;
	struct list late, full;
	uint64_t retry; /* when the next is */
	int full_error;
	bool told;	 /* that writes wait */
	unsigned active; /* requests between a list and the disk below */
};

static struct hold *hold_of(const struct disk *disk)
{
	return container_of(disk, struct hold, disk);
}

/* Lists */

static void list_clear(struct list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void list_add(struct list *list, struct disk_request *request)
{
	request->link.next = NULL;
	*list->last = &request->link;
	list->last = &request->link.next;
}

static struct disk_request *list_take(struct list *list)
{
	struct plug_link *link = list->first;

	if (!link)
		return NULL;
	list->first = link->next;
	if (!list->first)
		list->last = &list->first;
	return container_of(link, struct disk_request, link);
}

/* What a request counts as */

static void count(struct hold *hold, unsigned what, uint64_t amount)
{
	atomic_fetch_add_explicit(&hold->counts[what], amount, memory_order_relaxed);
}

static void count_request(struct hold *hold, const struct disk_request *request)
{
	switch (request->operation) {
	case DISK_READ:
		count(hold, READS, 1);
		count(hold, READ_BYTES, request->length);
		return;
	case DISK_WRITE:
	case DISK_WRITE_ZEROES:
		count(hold, WRITES, 1);
		count(hold, WRITTEN_BYTES, request->length);
		return;
	case DISK_FLUSH:
		count(hold, FLUSHES, 1);
		return;
	case DISK_DISCARD:
		count(hold, DISCARDS, 1);
		return;
	}
}

static void take(struct hold *hold, const struct disk_request *request, uint64_t now)
{
	bool has_bytes = request->operation != DISK_FLUSH && request->operation != DISK_DISCARD;

	bucket_take(&hold->operations, 1, now);
	if (has_bytes)
		bucket_take(&hold->bytes, request->length, now);
}

static uint64_t limit_wait(const struct hold *hold, uint64_t now)
{
	uint64_t bytes = bucket_wait(&hold->bytes, now);
	uint64_t operations = bucket_wait(&hold->operations, now);

	return bytes > operations ? bytes : operations;
}

static void look_limited(struct hold *hold)
{
	atomic_store(&hold->limited, hold->bytes.rate || hold->operations.rate || hold->late.first);
}

/* On to the disk below */

static bool is_full(int result)
{
	return result == -ENOSPC || result == -EDQUOT || result == -EFBIG;
}

static void *work(void *argument);

/* Under the lock. A thread has the rights of its maker: by now those of a machine that runs. */
static int start_thread(struct hold *hold)
{
	sigset_t all, old;
	int error;

	if (hold->threaded)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&hold->thread, NULL, work, hold);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	hold->threaded = !error;
	return -error;
}

/* No room for it. DISK_PENDING, or its result. */
static int wait_for_room(struct hold *hold, struct disk_request *request, int result)
{
	pthread_mutex_lock(&hold->lock);
	if (!start_thread(hold)) {
		if (hold->probe == request) {
			/* It stays the first. */
			hold->probe = NULL;
			request->link.next = hold->full.first;
			hold->full.first = &request->link;
			if (!request->link.next)
				hold->full.last = &request->link.next;
			hold->retry = host_now() + RETRY;
		} else {
			if (!hold->full.first && !hold->probe)
				hold->retry = host_now() + RETRY;
			list_add(&hold->full, request);
		}
		hold->full_error = result;
		result = DISK_PENDING;
		pthread_cond_broadcast(&hold->changed);
	}
	pthread_mutex_unlock(&hold->lock);
	return result;
}

/* It has ended, and not for want of room. */
static void probe_ended(struct hold *hold, const struct disk_request *request)
{
	if (atomic_load(&hold->probe) != request)
		return;
	pthread_mutex_lock(&hold->lock);
	hold->probe = NULL;
	hold->retry = 0;
	pthread_cond_broadcast(&hold->changed);
	pthread_mutex_unlock(&hold->lock);
}

static void passed(struct disk_request *request, int result)
{
	struct hold *hold = request->front;

	request->done = request->front_done;
	if (is_full(result) && wait_for_room(hold, request, result) == DISK_PENDING)
		return;
	probe_ended(hold, request);
	request->done(request, result);
}

static int pass(struct hold *hold, struct disk_request *request)
{
	int result;

	if (hold->config.when_full == HOLD_FULL_ERROR || request->operation == DISK_READ ||
	    request->direct)
		return hold->below->ops->submit(hold->below, request);
	request->front_done = request->done;
	request->front = hold;
	request->done = passed;
	result = hold->below->ops->submit(hold->below, request);
	if (result == DISK_PENDING)
		return result;
	request->done = request->front_done;
	if (is_full(result))
		return wait_for_room(hold, request, result);
	probe_ended(hold, request);
	return result;
}

/* The thread */

/* How long until there is something to do. */
static uint64_t next(const struct hold *hold, uint64_t now)
{
	uint64_t wait = hold->late.first ? limit_wait(hold, now) : FOREVER, retry;

	if (hold->settling)
		return FOREVER;
	if (hold->full.first && !hold->probe) {
		retry = hold->retry > now ? hold->retry - now : 0;
		wait = retry < wait ? retry : wait;
	}
	return wait;
}

static void sleep_for(struct hold *hold, uint64_t nanoseconds)
{
	struct timespec until;

	if (nanoseconds == FOREVER) {
		pthread_cond_wait(&hold->changed, &hold->lock);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	nanoseconds += (uint64_t)until.tv_nsec;
	until.tv_sec += (time_t)(nanoseconds / SECOND);
	until.tv_nsec = (long)(nanoseconds % SECOND);
	pthread_cond_timedwait(&hold->changed, &hold->lock, &until);
}

/* The next one that may go, NULL: none. */
static struct disk_request *choose(struct hold *hold)
{
	uint64_t now = host_now();
	struct disk_request *request = NULL;

	if (hold->settling || hold->ending || next(hold, now))
		return NULL;
	if (hold->late.first && !limit_wait(hold, now)) {
		request = list_take(&hold->late);
		take(hold, request, now);
		look_limited(hold);
		count_request(hold, request);
	} else if (hold->full.first && !hold->probe && hold->retry <= now) {
		request = list_take(&hold->full);
		hold->probe = request;
	}
	return request;
}

/* Under the lock, which it gives away. */
static void go_on(struct hold *hold)
{
	struct disk_request *request;
	int result = DISK_PENDING;
	bool paused;

	pthread_mutex_unlock(&hold->lock);
	vm_lock(hold->vm);
	paused = hold->vm->pausing;
	pthread_mutex_lock(&hold->lock);
	request = paused ? NULL : choose(hold);
	hold->active += request != NULL;
	pthread_mutex_unlock(&hold->lock);
	if (request)
		result = pass(hold, request);
	vm_unlock(hold->vm);
	if (request && result != DISK_PENDING)
		request->done(request, result);
	pthread_mutex_lock(&hold->lock);
	hold->active -= request != NULL;
	if (hold->settling)
		pthread_cond_broadcast(&hold->changed);
	if (paused && !hold->ending)
		sleep_for(hold, PAUSED);
}

/* Whoever wants to know hears whether writes wait. Under the lock, which it gives away. */
static void tell(struct hold *hold)
{
	bool waits = hold->full.first || hold->probe;
	int error = hold->full_error;

	if (waits == hold->told)
		return;
	hold->told = waits;
	pthread_mutex_unlock(&hold->lock);
	if (hold->config.waits)
		hold->config.waits(hold->config.owner, &hold->disk, waits, error);
	pthread_mutex_lock(&hold->lock);
}

static void *work(void *argument)
{
	struct hold *hold = argument;

	pthread_setname_np(pthread_self(), "disk hold");
	pthread_mutex_lock(&hold->lock);
	while (!hold->ending) {
		uint64_t wait;

		tell(hold);
		wait = hold->ending ? 0 : next(hold, host_now());
		if (hold->ending)
			break;
		if (wait)
			sleep_for(hold, wait);
		else
			go_on(hold);
	}
	pthread_mutex_unlock(&hold->lock);
	return NULL;
}

/* The plug */

static int hold_submit(struct disk *disk, struct disk_request *request)
{
	struct hold *hold = hold_of(disk);
	int result = 0;

	if (atomic_load_explicit(&hold->limited, memory_order_relaxed) && !request->direct) {
		uint64_t now = host_now();
		bool waits;

		pthread_mutex_lock(&hold->lock);
		waits = request->operation != DISK_FLUSH &&
			(hold->late.first || limit_wait(hold, now));
		if (!waits) {
			take(hold, request, now);
		} else if (!(result = start_thread(hold))) {
			if (!hold->late.first)
				pthread_cond_broadcast(&hold->changed);
			list_add(&hold->late, request);
			count(hold, HELD, 1);
			result = DISK_PENDING;
		}
		pthread_mutex_unlock(&hold->lock);
		if (result)
			return result;
	}
	count_request(hold, request);
	return pass(hold, request);
}

static void give_back(struct hold *hold, struct list *list)
{
	struct disk_request *request;

	while ((request = list_take(list))) {
		pthread_mutex_unlock(&hold->lock);
		request->done(request, -EIO);
		pthread_mutex_lock(&hold->lock);
	}
}

/* Nothing is on its way to the disk below, or in it; and, unless it is kept, nothing is held. */
static void settle(struct hold *hold, bool keep)
{
	pthread_mutex_lock(&hold->lock);
	hold->settling = true;
	while (hold->active)
		pthread_cond_wait(&hold->changed, &hold->lock);
	pthread_mutex_unlock(&hold->lock);
	hold->below->ops->drain(hold->below);
	pthread_mutex_lock(&hold->lock);
	if (!keep) {
		give_back(hold, &hold->late);
		give_back(hold, &hold->full);
		look_limited(hold);
	}
	hold->settling = false;
	pthread_cond_broadcast(&hold->changed);
	pthread_mutex_unlock(&hold->lock);
}

static void hold_drain(struct disk *disk)
{
	struct hold *hold = hold_of(disk);
	bool paused;

	vm_lock(hold->vm);
	paused = hold->vm->paused && atomic_load(&hold->vm->stop) == VM_RUNNING;
	vm_unlock(hold->vm);
	settle(hold, paused);
}

static void hold_close(struct disk *disk)
{
	struct hold *hold = hold_of(disk);

	settle(hold, false);
	pthread_mutex_lock(&hold->lock);
	hold->ending = true;
	pthread_cond_broadcast(&hold->changed);
	pthread_mutex_unlock(&hold->lock);
	if (hold->threaded)
		pthread_join(hold->thread, NULL);
	hold->below->ops->close(hold->below);
	pthread_cond_destroy(&hold->changed);
	pthread_mutex_destroy(&hold->lock);
	free(hold);
}

/* The vm is paused then: nothing that is held back is begun. */
static int hold_lend(struct disk *disk, bool away)
{
	struct disk *below = hold_of(disk)->below;

	return below->ops->lend ? below->ops->lend(below, away) : 0;
}

static int hold_overlay_begin(struct disk *disk, int descriptor)
{
	struct disk *below = hold_of(disk)->below;

	return below->ops->overlay_begin ? below->ops->overlay_begin(below, descriptor) : -ENOTSUP;
}

/* It was begun, so the disk below has it. */
static void hold_overlay_end(struct disk *disk, bool take)
{
	struct disk *below = hold_of(disk)->below;

	below->ops->overlay_end(below, take);
}

static const struct disk_ops hold_ops = {.submit = hold_submit,
					 .drain = hold_drain,
					 .close = hold_close,
					 .lend = hold_lend,
					 .overlay_begin = hold_overlay_begin,
					 .overlay_end = hold_overlay_end};

int hold_open(struct disk *below, struct vm *vm, const struct hold_config *config,
	      struct disk **disk)
{
	struct hold *hold = calloc(1, sizeof(*hold));
	pthread_condattr_t attributes;

	if (!hold)
		return -ENOMEM;
	hold->disk = *below;
	hold->disk.ops = &hold_ops;
	hold->below = below;
	hold->vm = vm;
	hold->config = *config;
	list_clear(&hold->late);
	list_clear(&hold->full);
	pthread_mutex_init(&hold->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&hold->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	hold_limit(&hold->disk, &config->limits);
	*disk = &hold->disk;
	return 0;
}

void hold_limit(struct disk *disk, const struct hold_limits *limits)
{
	struct hold *hold = hold_of(disk);

	pthread_mutex_lock(&hold->lock);
	hold->limits = *limits;
	bucket_limit(&hold->bytes, limits->rate, limits->burst);
	bucket_limit(&hold->operations, limits->operations, limits->operations_burst);
	look_limited(hold);
	pthread_cond_broadcast(&hold->changed);
	pthread_mutex_unlock(&hold->lock);
}

void hold_limits(struct disk *disk, struct hold_limits *limits)
{
	struct hold *hold = hold_of(disk);

	pthread_mutex_lock(&hold->lock);
	*limits = hold->limits;
	pthread_mutex_unlock(&hold->lock);
}

void hold_counts(const struct disk *disk, struct hold_counts *counts)
{
	const struct hold *hold = hold_of(disk);
	uint64_t values[COUNTS];

	for (unsigned i = 0; i < COUNTS; i++)
		values[i] = atomic_load_explicit(&hold->counts[i], memory_order_relaxed);
	*counts = (struct hold_counts){.reads = values[READS],
				       .writes = values[WRITES],
				       .flushes = values[FLUSHES],
				       .discards = values[DISCARDS],
				       .read_bytes = values[READ_BYTES],
				       .written_bytes = values[WRITTEN_BYTES],
				       .held = values[HELD]};
}

bool hold_waits(struct disk *disk)
{
	struct hold *hold = hold_of(disk);
	bool waits;

	pthread_mutex_lock(&hold->lock);
	waits = hold->full.first || hold->probe;
	pthread_mutex_unlock(&hold->lock);
	return waits;
}
