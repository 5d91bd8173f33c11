/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sleepers by word. The key is the word's physical address and the owner of its page: a page that a
 * process gave back while it slept there, and that belongs to another now, has other keys, so its
 * wakes are not spent on a stranger. Shared pages (channels) are the kernel's for both sides.
 *
 * A word is compared, and its sleeper listed, with the bucket's lock held: a wake after the word
 * has changed finds the sleeper. The process's lock is held around that: its page cannot leave
 * meanwhile.
 */
#include <stddef.h>

#include "kernel/abi.h"
#include "kernel/frame.h"
#include "kernel/process.h"
#include "lib/error.h"

#define BUCKETS 64

static struct bucket {
	struct lock lock;
	struct thread *first;
} buckets[BUCKETS];

static uint64_t key_of(const void *word)
{
	pa_t address = direct_pa(word);

	return (uint64_t)frame_owner(address) << 52 | address.value;
}

static struct bucket *bucket_of(uint64_t key)
{
	return &buckets[key * UINT64_C(0x9e3779b97f4a7c15) >> 58];
}

static void put(struct bucket *bucket, struct thread *thread, uint64_t key)
{
	struct thread **place = &bucket->first;

	while (*place)
		place = &(*place)->wait_next;
	thread->wait_key = key;
	thread->wait_next = NULL;
	thread->waits = true;
	*place = thread;
}

static void take(struct bucket *bucket, struct thread *thread)
{
	struct thread **place = &bucket->first;

	while (*place != thread)
		place = &(*place)->wait_next;
	*place = thread->wait_next;
	thread->waits = false;
}

/* Wakes up to `count` of those with this key: how many. With the lock, or they might be gone. */
static int64_t wake(uint64_t key, uint32_t count)
{
	struct bucket *bucket = bucket_of(key);
	struct thread *thread, *next;
	int64_t woken = 0;

	lock_take(&bucket->lock);
	for (thread = bucket->first; thread && woken < count; thread = next) {
		next = thread->wait_next;
		if (thread->wait_key != key)
			continue;
		take(bucket, thread);
		thread_wake(thread);
		woken++;
	}
	lock_drop(&bucket->lock);
	return woken;
}

void wake_direct(const void *word)
{
	wake(key_of(word), UINT32_MAX);
}

/* Lists the current thread if the word has this value. */
static int64_t sleep_begin(ua_t word, uint32_t value, struct bucket **bucket)
{
	struct process *process = process_this();
	int64_t error = 0;
	void *at;

	lock_take(&process->lock);
	at = user_page(process, word);
	if (!at) {
		error = -EFAULT;
	} else {
		uint64_t key = key_of(at);

		*bucket = bucket_of(key);
		lock_take(&(*bucket)->lock);
		if (atomic_load((_Atomic uint32_t *)at) == value)
			put(*bucket, thread_this(), key);
		else
			error = -EAGAIN;
		lock_drop(&(*bucket)->lock);
	}
	lock_drop(&process->lock);
	return error;
}

int64_t wait_word(ua_t word, uint32_t value, uint64_t deadline)
{
	struct thread *thread = thread_this();
	struct bucket *bucket = NULL;
	int64_t error;
	bool woken;

	if (word.value % sizeof(uint32_t))
		return -EINVAL;
	error = sleep_begin(word, value, &bucket);
	if (error)
		return error;
	thread_block(deadline);
	lock_take(&bucket->lock);
	woken = !thread->waits;
	if (!woken)
		take(bucket, thread);
	lock_drop(&bucket->lock);
	return woken || clock_now() < deadline ? 0 : -ETIMEDOUT;
}

int64_t wake_word(ua_t word, uint32_t count)
{
	struct process *process = process_this();
	int64_t result = -EFAULT;
	const void *at;

	if (word.value % sizeof(uint32_t))
		return -EINVAL;
	lock_take(&process->lock);
	at = user_page(process, word);
	if (at)
		result = wake(key_of(at), count);
	lock_drop(&process->lock);
	return result;
}
