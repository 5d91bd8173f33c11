/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/save_live.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/dirty.h"
#include "manage/control.h"
#include "manage/run_state.h"

/* What may be left for the stand, and how often it is tried to get there. */
#define LEFT_BYTES (UINT64_C(2) << 20)
#define ROUNDS_MAX 12

/* Overlays */

static int refuse(struct run *run, struct control_call *call, const char *what, const char *why)
{
	control_fail(call, CONTROL_BAD_ARGUMENT, "overlay %s: %s", what, why);
	save_overlays_end(run, false);
	return -EINVAL;
}

static int overlay_begin(struct run *run, struct control_call *call, const json_t *item)
{
	struct save_live *live = &run->save.live;
	const json_t *number = json_object_get(item, "disk");
	const char *path = json_string_value(json_object_get(item, "path"));
	json_int_t index = json_integer_value(number);
	int error, file, fd = control_take_file(call);
	char self[32];
	struct disk *disk;

	error = fd < 0 || !path || !json_is_integer(number) || index < 0 ||
				index >= run->disk_count || strlen(path) >= SAVED_PATH_MAX
			? -EINVAL
			: 0;
	disk = error ? NULL : run->disks[index];
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	file = error ? -1 : open(self, O_PATH | O_CLOEXEC);
	if (!error && !disk->ops->overlay_begin)
		error = -ENOTSUP;
	if (!error)
		error = disk->ops->overlay_begin(disk, fd);
	if (error) {
		if (fd >= 0)
			close(fd);
		if (file >= 0)
			close(file);
		return refuse(run, call, path ? path : "without a path", strerror(-error));
	}
	live->overlays[live->overlay_count].file = file;
	live->overlays[live->overlay_count].disk = (unsigned)index;
	live->overlays[live->overlay_count++].path = strdup(path);
	return live->overlays[live->overlay_count - 1].path
		       ? 0
		       : refuse(run, call, path, strerror(ENOMEM));
}

int save_overlays_begin(struct run *run, struct control_call *call)
{
	const json_t *list = json_object_get(control_arguments(call), "overlays");
	int error = 0;

	if (json_array_size(list) > PC_DISKS_MAX)
		return refuse(run, call, "(list)", "there are more than disks");
	for (size_t i = 0; i < json_array_size(list) && !error; i++)
		error = overlay_begin(run, call, json_array_get(list, i));
	return error;
}

void save_overlays_end(struct run *run, bool take)
{
	struct save_live *live = &run->save.live;

	for (unsigned i = 0; i < live->overlay_count; i++) {
		struct disk *disk = run->disks[live->overlays[i].disk];
		struct saved_disk *described = &run->description->disks[live->overlays[i].disk];

		disk->ops->overlay_end(disk, take);
		if (take) {
			close(run->disk_files[live->overlays[i].disk]);
			run->disk_files[live->overlays[i].disk] = live->overlays[i].file;
			memcpy(described->path, live->overlays[i].path,
			       strlen(live->overlays[i].path) + 1);
		} else {
			close(live->overlays[i].file);
		}
		free(live->overlays[i].path);
	}
	live->overlay_count = 0;
}

/* Memory */

static uint64_t bytes_left(const struct run *run)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < dirty_words(&run->vm); i++)
		pages += (unsigned)__builtin_popcountll(run->save.live.bitmap[i]);
	return pages * SAVED_PAGE;
}

static int rounds(struct run *run)
{
	struct save_live *live = &run->save.live;
	uint64_t left = UINT64_MAX, before;
	int error = saved_writer_memory(&live->writer);

	while (!error) {
		before = left;
		error = dirty_collect(&run->vm, live->bitmap);
		if (error)
			break;
		left = bytes_left(run);
		/* A guest that writes faster than this stands a little longer. */
		if (left <= LEFT_BYTES || left > before / 4 * 3 || run->vm.paused ||
		    ++live->rounds == ROUNDS_MAX)
			break;
		error = saved_writer_pages(&live->writer, live->bitmap);
		if (!error && atomic_load(&live->cancel))
			error = -ECANCELED;
	}
	return error;
}

static void *work(void *argument)
{
	struct run *run = argument;
	struct save_live *live = &run->save.live;
	int error;

	pthread_setname_np(pthread_self(), "save");
	error = dirty_start(&run->vm);
	live->ahead = !error;
	if (!error)
		error = rounds(run);
	/* Without a log all of it is copied while the machine stands. */
	save_copied(run, error == -ENOTSUP ? 0 : error);
	return NULL;
}

int save_ahead_begin(struct run *run)
{
	struct save_live *live = &run->save.live;
	sigset_t all, old;
	int error = saved_writer_begin(&live->writer, run->save.fd, &run->vm);

	if (error)
		return error;
	live->bitmap = calloc(dirty_words(&run->vm), sizeof(uint64_t));
	error = live->bitmap ? 0 : -ENOMEM;
	if (!error) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		error = -pthread_create(&live->thread, NULL, work, run);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		live->threaded = !error;
	}
	if (error)
		save_ahead_end(run);
	return error;
}

int save_ahead_finish(struct run *run)
{
	struct save_live *live = &run->save.live;
	int error;

	if (!live->ahead)
		return saved_writer_memory(&live->writer);
	error = dirty_collect(&run->vm, live->bitmap);
	return error ? error : saved_writer_pages(&live->writer, live->bitmap);
}

void save_ahead_join(struct run *run)
{
	if (run->save.live.threaded)
		pthread_join(run->save.live.thread, NULL);
	run->save.live.threaded = false;
}

void save_ahead_end(struct run *run)
{
	struct save_live *live = &run->save.live;

	if (live->ahead)
		dirty_stop(&run->vm);
	live->ahead = false;
	if (live->writer.table)
		saved_writer_end(&live->writer);
	free(live->bitmap);
	live->bitmap = NULL;
}
