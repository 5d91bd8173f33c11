/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A save takes place while the vm is paused, on the main thread, with the vm's lock held: no vcpu
 * runs, no disk has anything to do, and the network's thread can't deliver. What it needs of host
 * and disk (room, above all) may fail at any point: then the machine goes on as if nothing had
 * been.
 *
 * With `stop` the machine ends only when its asker says that the file is safe, by a byte in a pipe:
 * until then it is paused, and goes on if the pipe is closed without it.
 */
#include "manage/save.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/device.h"
#include "lib/check.h"
#include "hosts/linux/linux.h"
#include "machines/saved_state.h"
#include "manage/control.h"
#include "manage/managed.h"
#include "manage/restore.h"
#include "manage/run_state.h"
#include "manage/saved_file.h"

#define MILLISECOND 1000000
#define FLUSHES	    3 /* what a flush gives up is written by the next */

const char *save_obstacle(const struct run *run)
{
	if (run->command)
		return "it runs a COMMAND, whose other end is this process";
	if (run->options->image)
		return "it is a throw-away machine (lodge run IMAGE), whose disk has no name";
	if (run->description->disk_count != run->disk_count)
		return "its seed (--hostname and the like) is a disk without a file";
	return NULL;
}

/* Disks */

struct waiting {
	struct disk_request request;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
	int result;
};

static void flush_done(struct disk_request *request, int result)
{
	struct waiting *waiting = container_of(request, struct waiting, request);

	pthread_mutex_lock(&waiting->lock);
	waiting->done = true;
	waiting->result = result;
	pthread_cond_signal(&waiting->changed);
	pthread_mutex_unlock(&waiting->lock);
}

static int flush(struct disk *disk)
{
	struct waiting waiting = {
		.request = {.operation = DISK_FLUSH, .direct = true, .done = flush_done},
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};
	int result = disk->ops->submit(disk, &waiting.request);

	if (result != DISK_PENDING)
		return result;
	pthread_mutex_lock(&waiting.lock);
	while (!waiting.done)
		pthread_cond_wait(&waiting.changed, &waiting.lock);
	pthread_mutex_unlock(&waiting.lock);
	disk->ops->drain(disk); /* the call of done has returned */
	return waiting.result;
}

int save_settle(struct run *run)
{
	int error = 0;

	shares_drain(&run->shares);
	for (unsigned i = 0; i < run->disk_count; i++)
		run->disks[i]->ops->drain(run->disks[i]);
	for (unsigned i = 0; i < run->disk_count && !error; i++)
		for (unsigned time = 0; time < FLUSHES && !error && !run->disks[i]->read_only;
		     time++)
			error = flush(run->disks[i]);
	return error;
}

/* The state */

int save_state(struct run *run, uint8_t **bytes, size_t *length)
{
	int error = -ENOSPC;

	/* To save changes nothing, so it may be tried until there is room. */
	for (size_t size = SAVED_STATE_USUAL; error == -ENOSPC && size <= SAVED_STATE_MAX;
	     size *= 2) {
		*bytes = malloc(size);
		if (!*bytes)
			return -ENOMEM;
		error = saved_state_write(&run->vm, *bytes, size, length);
		if (error)
			free(*bytes);
	}
	/* Shared folders, which alone have no bound, have been drained. */
	CHECK(!error || (error == -ENOSPC && run->shares.count));
	return error;
}

/* Vm's lock held. */
static int write_file(struct run *run, uint64_t *memory_bytes)
{
	struct saved_writer *writer = &run->save.live.writer;
	size_t length = 0;
	uint8_t *state = NULL;
	int error = save_state(run, &state, &length);

	describe_again(run);
	if (!error)
		error = save_ahead_finish(run);
	if (!error)
		error = saved_writer_finish(writer, run->description, state, length);
	*memory_bytes = writer->memory_bytes;
	free(state);
	return error;
}

/* The end of a save, one way or the other. Vm's lock held. */

static void forget(struct run *run)
{
	struct save *save = &run->save;

	if (save->waits)
		loop_remove(linux_loop(&run->vm), &save->watch);
	if (save->lifeline >= 0)
		close(save->lifeline);
	if (save->fd >= 0)
		close(save->fd);
	save_overlays_end(run, false);
	/* A thread that has failed is joined before the next. */
	*save = (struct save){
		.fd = -1,
		.lifeline = -1,
		.live = {.thread = save->live.thread, .threaded = save->live.threaded}};
}

static void go_on(struct run *run)
{
	if (!run->paused)
		vm_resume(&run->vm);
}

void save_abandon(struct run *run, const char *why)
{
	bool under_way;

	vm_lock(&run->vm);
	under_way = run->save.begun && !run->migrate.call && !run->in_doubt;
	if (under_way)
		atomic_store(&run->save.live.cancel, true);
	vm_unlock(&run->vm);
	save_ahead_join(run);
	if (!under_way)
		return;
	save_ahead_end(run);
	vm_lock(&run->vm);
	if (run->save.call)
		control_fail(run->save.call, CONTROL_BAD_STATE, "%s", why);
	forget(run);
	vm_unlock(&run->vm);
}

static void fail(struct run *run, int error)
{
	struct control_call *call = run->save.call;

	run->save.call = NULL;
	forget(run);
	if (error == -ECANCELED)
		control_fail(call, CONTROL_BAD_STATE, "whoever asked for it has gone");
	else
		control_fail(call, CONTROL_HOST, "the file can't be written: %s", strerror(-error));
}

/* The machine has not stood yet. */
void save_copied(struct run *run, int error)
{
	if (error)
		save_ahead_end(run);
	vm_lock(&run->vm);
	if (error) {
		fail(run, error);
	} else {
		run->save.ready = true;
		run->save.stood = host_now();
		vm_pause(&run->vm);
	}
	vm_unlock(&run->vm);
}

/* One byte says that the file is safe. Without it, nobody has the file, and the machine goes on. */
static void lifeline_ready(struct loop_watch *watch, uint32_t events)
{
	struct run *run = watch->context;
	char word;
	ssize_t got = read(watch->fd, &word, 1);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got == 1) {
		/* A kill was quicker: the memory doesn't count. */
		if (run->save.keep && atomic_load(&run->vm.stop) == VM_RUNNING)
			run->options->managed->saved = true;
		run->left = "saved";
		vm_stop(&run->vm, VM_KILLED, 0);
	} else {
		host_log(LOG_WARNING, "save: whoever asked for it has gone: the machine goes on");
		go_on(run);
	}
	forget(run);
}

static int await_word(struct run *run)
{
	struct save *save = &run->save;
	int error;

	save->watch =
		(struct loop_watch){.fd = save->lifeline, .ready = lifeline_ready, .context = run};
	error = loop_add(linux_loop(&run->vm), &save->watch, EPOLLIN);
	save->waits = !error;
	return error;
}

/* The file is written. */
static void written(struct run *run, uint64_t memory_bytes)
{
	struct control_call *call = run->save.call;
	json_t *result;

	run->save.call = NULL;
	save_overlays_end(run, true);
	if (!run->save.waits)
		go_on(run);
	result = json_pack("{s:I, s:f}", "memory", (json_int_t)memory_bytes, "milliseconds",
			   (double)(host_now() - run->save.stood) / MILLISECOND);
	if (!run->save.waits)
		forget(run);
	control_answer(call, result);
}

void save_paused(struct run *run)
{
	uint64_t memory_bytes = 0;
	int error;

	if (!run->save.call || !run->save.ready || !vm_paused(&run->vm))
		return;
	run->save.ready = false;
	save_ahead_join(run);
	error = save_settle(run);
	vm_lock(&run->vm);
	if (!error && run->save.fd >= 0)
		error = write_file(run, &memory_bytes);
	save_ahead_end(run);
	if (!error && run->save.lifeline >= 0)
		error = await_word(run);
	/* Nobody would take what is made for him. */
	if (!error && run->save.live.overlay_count && !control_alive(run->save.call))
		error = -ECANCELED;
	if (error) {
		go_on(run);
		fail(run, error);
	} else {
		written(run, memory_bytes);
	}
	vm_unlock(&run->vm);
}

/* The command */

/* A file to be written from its beginning, and nothing else. */
static bool file_is_good(int fd)
{
	struct stat status;
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && !(flags & O_APPEND) &&
	       fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0;
}

static bool lifeline_is_good(int fd)
{
	struct stat status;

	return fd >= 0 && fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) &&
	       fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

/* It stands at once, or when most of its memory has been copied. Vm's lock held. */
static void begin(struct run *run, struct control_call *call, int fd, int lifeline)
{
	int error = 0;

	/* A thread that has failed: it has no more to do than to return. */
	save_ahead_join(run);
	run->save = (struct save){.begun = true,
				  .call = call,
				  .fd = fd,
				  .lifeline = lifeline,
				  .keep = control_bool(call, "keep", false)};
	if (save_overlays_begin(run, call)) {
		forget(run);
		return;
	}
	if (fd >= 0 && lifeline < 0 && !run->vm.pausing) {
		error = save_ahead_begin(run);
	} else {
		if (fd >= 0)
			error = saved_writer_begin(&run->save.live.writer, fd, &run->vm);
		run->save.ready = true;
		run->save.stood = host_now();
		if (!error)
			vm_pause(&run->vm);
	}
	if (error)
		fail(run, error);
}

void save_command(struct run *run, struct control_call *call)
{
	const char *obstacle = save_obstacle(run);
	bool stop = control_bool(call, "stop", false), memory = control_bool(call, "memory", true);
	int fd = memory ? control_take_file(call) : -1;
	int lifeline = stop ? control_take_file(call) : -1;

	if (obstacle && memory) {
		control_fail(call, CONTROL_BAD_STATE, "this machine can't be saved: %s", obstacle);
	} else if (memory && (fd < 0 || !file_is_good(fd))) {
		control_fail(call, CONTROL_BAD_ARGUMENT,
			     "save needs an empty file, open for writing, sent along with it");
	} else if (!memory && stop) {
		control_fail(call, CONTROL_BAD_ARGUMENT, "save with stop is with memory");
	} else if (stop && !lifeline_is_good(lifeline)) {
		control_fail(call, CONTROL_BAD_ARGUMENT,
			     "save with stop needs the reading end of a pipe behind the file");
	} else if (control_bool(call, "keep", false) && (!stop || !run->options->managed)) {
		control_fail(call, CONTROL_BAD_ARGUMENT,
			     "save with keep is for machines of the store, and with stop");
	} else if (run->save.begun || run->migrate.call || run->in_doubt) {
		control_fail(call, CONTROL_BUSY, "the machine is being saved or migrated already");
	} else if (atomic_load(&run->vm.stop) != VM_RUNNING) {
		control_fail(call, CONTROL_BAD_STATE, "the machine has stopped");
	} else {
		begin(run, call, fd, lifeline);
		return;
	}
	if (fd >= 0)
		close(fd);
	if (lifeline >= 0)
		close(lifeline);
}
