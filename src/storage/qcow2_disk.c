/* SPDX-License-Identifier: BSD-2-Clause */
/* A qcow2 image behind the disk plug. As with raw disks, submit does at once what needs no waiting:
 * here, what tables in memory map to pages in memory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/device.h"
#include "core/host.h"
#include "lib/check.h"
#include "storage/qcow2_chain.h"
#include "storage/qcow2_image.h"
#include "storage/workers.h"

struct qcow2_disk {
	struct disk disk;
	struct qcow2 *image, *overlay; /* overlay: not taken yet; NULL: none */
	struct workers workers;
};

static void carry_out(void *owner, struct plug_link *link)
{
	struct qcow2_disk *disk = owner;
	struct disk_request *request = container_of(link, struct disk_request, link);

	request->done(request, qcow2_carry_out(disk->image, request));
}

static int submit_to_workers(struct qcow2_disk *disk, struct disk_request *request)
{
	int error = workers_submit(&disk->workers, &request->link);

	return error ? error : DISK_PENDING;
}

static bool done_at_once(struct qcow2 *image, const struct disk_request *request)
{
	if (request->length > FILE_AT_ONCE_MAX)
		return false;
	switch (request->operation) {
	case DISK_READ:
		return !qcow2_read_slices(image, request->slices, request->slice_count, 0,
					  request->length, request->offset, true);
	case DISK_WRITE:
		return !qcow2_write_slices(image, request->slices, request->slice_count,
					   request->length, request->offset, true);
	default:
		return false;
	}
}

static int disk_submit(struct disk *disk, struct disk_request *request)
{
	struct qcow2_disk *own = container_of(disk, struct qcow2_disk, disk);

	return done_at_once(own->image, request) ? 0 : submit_to_workers(own, request);
}

static void disk_drain(struct disk *disk)
{
	struct qcow2_disk *own = container_of(disk, struct qcow2_disk, disk);

	workers_drain(&own->workers);
}

static void disk_overlay_end(struct disk *disk, bool take)
{
	struct qcow2_disk *own = container_of(disk, struct qcow2_disk, disk);

	if (take) {
		/* What a flush sets free is written by the next one. */
		while (!qcow2_flushed(own->image) && !qcow2_flush_tables(own->image))
			continue;
		CHECK(qcow2_flushed(own->image));
		qcow2_freeze_below(own->overlay);
		own->image = own->overlay;
	} else if (own->overlay) {
		qcow2_close(own->overlay);
	}
	own->overlay = NULL;
}

static void disk_close(struct disk *disk)
{
	struct qcow2_disk *own = container_of(disk, struct qcow2_disk, disk);
	int error;

	workers_end(&own->workers);
	disk_overlay_end(disk, false);
	error = qcow2_close(own->image);
	if (error)
		host_log(LOG_ERROR, "a qcow2 disk can't be written to its end: errno %d", -error);
	free(own);
}

/* Backing files are read-only, and their locks let others read as well. */
static int disk_lend(struct disk *disk, bool away)
{
	struct qcow2_disk *own = container_of(disk, struct qcow2_disk, disk);

	return file_lend(&own->image->file, away);
}

static int disk_overlay_begin(struct disk *disk, int descriptor)
{
	struct qcow2_disk *own = container_of(disk, struct qcow2_disk, disk);

	return disk->read_only || own->overlay
		       ? -EINVAL
		       : qcow2_open_over(descriptor, own->image, &own->overlay);
}

static const struct disk_ops ops = {.submit = disk_submit,
				    .drain = disk_drain,
				    .close = disk_close,
				    .lend = disk_lend,
				    .overlay_begin = disk_overlay_begin,
				    .overlay_end = disk_overlay_end};

int qcow2_disk_open(const char *path, bool read_only, struct disk **result, char *reason,
		    size_t size)
{
	struct qcow2_disk *disk = calloc(1, sizeof(*disk));
	int error;

	if (!disk) {
		snprintf(reason, size, "disk %s: no memory for it", path);
		return -ENOMEM;
	}
	error = qcow2_open(path, read_only ? QCOW2_READ_ONLY : 0, &disk->image, reason, size);
	if (!error && !qcow2_size(disk->image)) {
		snprintf(reason, size, "disk %s: is empty; give it a size (lodge image resize)",
			 path);
		qcow2_close(disk->image);
		error = -EINVAL;
	}
	if (error) {
		free(disk);
		return error;
	}
	disk->disk = (struct disk){.ops = &ops,
				   .size = qcow2_size(disk->image),
				   .block_size = qcow2_size(disk->image) % 4096 ? 512 : 4096,
				   .read_only = read_only,
				   .can_discard = !read_only};
	workers_init(&disk->workers, "disk", carry_out, disk);
	*result = &disk->disk;
	return 0;
}
