/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waking a thread on another core costs tens of microseconds, more than most requests take. So
 * submit first tries what can be had without waiting (RWF_NOWAIT): reads out of the page cache, and
 * writes into it where the file system can. The rest goes through one queue to a few threads.
 */
#include "storage/raw.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/device.h"
#include "storage/file.h"
#include "storage/workers.h"

enum { SECTOR = 512 };

struct raw {
	struct disk disk;
	struct file file;
	struct workers workers;
};

static int transfer(struct raw *raw, const struct disk_request *request)
{
	switch (request->operation) {
	case DISK_READ:
	case DISK_WRITE:
		return file_transfer(&raw->file, request->operation == DISK_WRITE, request->slices,
				     request->slice_count, 0, request->length, request->offset);
	case DISK_FLUSH:
		return file_flush(&raw->file);
	case DISK_DISCARD:
		return file_discard(&raw->file, request->offset, request->length);
	case DISK_WRITE_ZEROES:
		return file_write_zeroes(&raw->file, request->offset, request->length,
					 request->unmap);
	}
	return -EINVAL;
}

static void carry_out(void *owner, struct plug_link *link)
{
	struct disk_request *request = container_of(link, struct disk_request, link);

	request->done(request, transfer(owner, request));
}

static int submit_to_workers(struct raw *raw, struct disk_request *request)
{
	int error = workers_submit(&raw->workers, &request->link);

	return error ? error : DISK_PENDING;
}

/* True if the request was done without waiting. A transfer that was done in part is begun anew by a
 * thread: that does no harm. */
static bool done_at_once(struct raw *raw, const struct disk_request *request)
{
	bool write = request->operation == DISK_WRITE;

	if (!write && request->operation != DISK_READ)
		return false;
	return file_transfer_at_once(&raw->file, write, request->slices, request->slice_count, 0,
				     request->length, request->offset) == 0;
}

static int raw_submit(struct disk *disk, struct disk_request *request)
{
	struct raw *raw = container_of(disk, struct raw, disk);

	return done_at_once(raw, request) ? 0 : submit_to_workers(raw, request);
}

static void raw_drain(struct disk *disk)
{
	struct raw *raw = container_of(disk, struct raw, disk);

	workers_drain(&raw->workers);
}

static void raw_close(struct disk *disk)
{
	struct raw *raw = container_of(disk, struct raw, disk);

	workers_end(&raw->workers);
	file_close(&raw->file);
	free(raw);
}

static int raw_lend(struct disk *disk, bool away)
{
	struct raw *raw = container_of(disk, struct raw, disk);

	return file_lend(&raw->file, away);
}

static const struct disk_ops raw_ops = {
	.submit = raw_submit, .drain = raw_drain, .close = raw_close, .lend = raw_lend};

/* A size that a disk can have. */
static int check_size(const struct file *file, const char *path, char *reason, size_t size)
{
	if (file->size && file->size % SECTOR == 0)
		return 0;
	snprintf(reason, size,
		 file->size ? "disk %s: its size is not a multiple of 512 bytes; was it cut off?"
			    : "disk %s: is empty; make it as large as the disk is to be (truncate "
			      "-s 8G)",
		 path);
	return -EINVAL;
}

int raw_open(const char *path, bool read_only, struct disk **disk, char *reason, size_t size)
{
	struct raw *raw = calloc(1, sizeof(*raw));
	int error;

	if (!raw) {
		snprintf(reason, size, "disk %s: no memory for it", path);
		return -ENOMEM;
	}
	error = file_open(&raw->file, path, read_only, reason, size);
	if (!error) {
		error = check_size(&raw->file, path, reason, size);
		if (error)
			file_close(&raw->file);
	}
	if (error) {
		free(raw);
		return error;
	}
	raw->disk = (struct disk){.ops = &raw_ops,
				  .size = raw->file.size,
				  .block_size = SECTOR,
				  .read_only = read_only,
				  .can_discard = !read_only};
	if (raw->file.block_size)
		raw->disk.block_size = raw->file.block_size;
	else if (!raw->file.block_device && raw->file.size % 4096 == 0)
		raw->disk.block_size = 4096;
	workers_init(&raw->workers, "disk", carry_out, raw);
	*disk = &raw->disk;
	return 0;
}
