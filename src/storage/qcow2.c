/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/qcow2.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/host.h"
#include "lib/checked.h"
#include "storage/backing.h"
#include "storage/qcow2_chain.h"
#include "storage/qcow2_image.h"

/* Tables in memory: L2 tables for 128 GiB of a disk with the usual clusters, refcounts for as much.
 */
enum { L2_CACHE = 16 << 20, REFCOUNT_CACHE = 4 << 20, SLICE_MAX = 4096 };

int qcow2_found_corrupt(struct qcow2 *image, const char *what, uint64_t where)
{
	uint8_t field[8];

	if (atomic_exchange(&image->corrupt, true))
		return -EIO;
	host_log(LOG_ERROR,
		 "disk %s: is damaged (%s at 0x%llx, which can't be)%s: see lodge image check",
		 image->path, what, (unsigned long long)where,
		 image->read_only ? "" : "; it is not written any more");
	if (image->read_only || image->header.version < 3)
		return -EIO;
	qcow2_store64(field, image->header.incompatible | QCOW2_CORRUPT);
	/* If that can't be written, nothing else is either. */
	(void)file_write(&image->file, field, sizeof(field), QCOW2_AT_INCOMPATIBLE);
	return -EIO;
}

bool qcow2_is_vital(const struct qcow2 *image, uint64_t offset, uint64_t length)
{
	return ranges_overlap(offset, length, 0, image->cluster_size) ||
	       ranges_overlap(offset, length, image->l1.offset, (uint64_t)image->l1.count * 8) ||
	       ranges_overlap(offset, length, image->refcount_table.offset,
			      (uint64_t)image->refcount_table.count * 8);
}

uint64_t qcow2_size(const struct qcow2 *image)
{
	return image->size;
}

static int complain(const struct qcow2 *image, int error, const char *what, char *reason,
		    size_t size)
{
	snprintf(reason, size, "disk %s: %s", image->path, what);
	return error;
}

static int read_header(struct qcow2 *image, char *reason, size_t size)
{
	size_t length = image->file.size < BIT(QCOW2_CLUSTER_BITS_MAX)
				? (size_t)image->file.size
				: (size_t)BIT(QCOW2_CLUSTER_BITS_MAX);
	uint8_t *bytes = malloc(length + 1);
	char what[256] = "";
	int error;

	if (!bytes)
		return complain(image, -ENOMEM, "no memory for it", reason, size);
	error = file_read(&image->file, bytes, length, 0);
	if (error)
		complain(image, error, strerror(-error), reason, size);
	if (!error) {
		error = qcow2_header_parse(&image->header, bytes, length, what, sizeof(what));
		if (error)
			complain(image, error, what, reason, size);
	}
	free(bytes);
	return error;
}

static bool in_file(const struct qcow2 *image, uint64_t offset, uint64_t length)
{
	return range_within(offset, length, align_up(image->file.size, image->cluster_size));
}

static int read_tables(struct qcow2 *image, char *reason, size_t size)
{
	const struct qcow2_header *header = &image->header;
	uint64_t table = (uint64_t)header->refcount_clusters << header->cluster_bits;
	unsigned slice =
		image->cluster_size < SLICE_MAX ? (unsigned)image->cluster_size : SLICE_MAX;
	int error;

	if (!in_file(image, header->l1_offset, (uint64_t)header->l1_size * 8))
		return complain(image, -EINVAL, "is cut off: its L1 table isn't in the file",
				reason, size);
	if (!in_file(image, header->refcount_offset, table))
		return complain(image, -EINVAL, "is cut off: its refcount table isn't in the file",
				reason, size);
	error = qcow2_top_read(&image->l1, &image->file, header->l1_offset, header->l1_size);
	if (!error)
		error = qcow2_top_read(&image->refcount_table, &image->file,
				       header->refcount_offset, (uint32_t)(table / 8));
	if (!error)
		error = qcow2_cache_init(&image->l2, slice, L2_CACHE);
	if (!error)
		error = qcow2_cache_init(&image->refcounts, slice, REFCOUNT_CACHE);
	return error ? complain(image, error, strerror(-error), reason, size) : 0;
}

static int open_backing(struct qcow2 *image, const struct backing_chain *above, char *reason,
			size_t size)
{
	struct backing_chain chain = {.device = image->file.device,
				      .inode = image->file.inode,
				      .depth = above ? above->depth + 1 : 0,
				      .above = above};

	if (!image->header.backing[0])
		return 0;
	return backing_open(image->path, image->header.backing, image->header.backing_format,
			    &chain, &image->backing, reason, size);
}

/* What others may have left in the header, and what we don't keep up. */
static int prepare_writing(struct qcow2 *image, char *reason, size_t size)
{
	struct qcow2_findings findings;
	uint8_t field[8] = {0};
	int error = 0;

	if (image->header.incompatible & QCOW2_CORRUPT)
		return complain(image, -EINVAL,
				"is marked as damaged; mend it (lodge image check --repair), or "
				"use it read-only (,ro)",
				reason, size);
	if (image->header.incompatible & QCOW2_DIRTY) {
		host_log(LOG_WARNING, "disk %s: wasn't closed properly: its refcounts are mended",
			 image->path);
		error = qcow2_check(image, true, &findings);
		if (!error && findings.left)
			error = -EINVAL;
		if (error)
			return complain(image, error,
					"wasn't closed properly and can't be mended; see lodge "
					"image check",
					reason, size);
	}
	if (image->header.autoclear) {
		error = file_write(&image->file, field, sizeof(field), QCOW2_AT_AUTOCLEAR);
		if (!error)
			error = file_flush(&image->file);
		image->header.autoclear = 0;
		image->header.bitmap_count = 0;
	}
	return error ? complain(image, error, strerror(-error), reason, size) : 0;
}

static void destroy(struct qcow2 *image)
{
	backing_close(image->backing);
	qcow2_top_destroy(&image->l1);
	qcow2_top_destroy(&image->refcount_table);
	qcow2_cache_destroy(&image->l2);
	qcow2_cache_destroy(&image->refcounts);
	qcow2_unpacked_destroy(&image->unpacked);
	free(image->releases.list);
	free(image->released.list);
	pthread_mutex_destroy(&image->flushing);
	pthread_mutex_destroy(&image->lock);
	pthread_mutex_destroy(&image->users_lock);
	pthread_cond_destroy(&image->changed);
	pthread_cond_destroy(&image->users_gone);
	file_close(&image->file);
	free(image->path);
	free(image);
}

static int open_parts(struct qcow2 *image, unsigned flags, const struct backing_chain *above,
		      char *reason, size_t size)
{
	int error = read_header(image, reason, size);

	if (error)
		return error;
	image->cluster_bits = image->header.cluster_bits;
	image->cluster_size = BIT(image->cluster_bits);
	image->size = align_down(image->header.size, 512);
	image->fresh_from = image->file_size = image->file.size;
	qcow2_unpacked_init(&image->unpacked, image->cluster_size);
	error = read_tables(image, reason, size);
	if (!error && !(flags & QCOW2_ALONE))
		error = open_backing(image, above, reason, size);
	if (!error && !(flags & (QCOW2_READ_ONLY | QCOW2_AS_IT_IS)))
		error = prepare_writing(image, reason, size);
	return error;
}

static void init_locks(struct qcow2 *image)
{
	pthread_mutex_init(&image->flushing, NULL);
	pthread_mutex_init(&image->lock, NULL);
	pthread_mutex_init(&image->users_lock, NULL);
	pthread_cond_init(&image->changed, NULL);
	pthread_cond_init(&image->users_gone, NULL);
}

int qcow2_open_in_chain(const char *path, unsigned flags, const struct backing_chain *above,
			struct qcow2 **result, char *reason, size_t size)
{
	struct qcow2 *image = calloc(1, sizeof(*image));
	int error;

	if (!image || !(image->path = strdup(path))) {
		free(image);
		snprintf(reason, size, "disk %s: no memory for it", path);
		return -ENOMEM;
	}
	image->read_only = flags & QCOW2_READ_ONLY;
	error = file_open(&image->file, path, image->read_only, reason, size);
	if (error) {
		free(image->path);
		free(image);
		return error;
	}
	init_locks(image);
	error = open_parts(image, flags, above, reason, size);
	if (error)
		destroy(image);
	else
		*result = image;
	return error;
}

/* Whether no cluster of the guest's is in it. */
static bool is_empty(const struct qcow2 *image)
{
	for (uint32_t i = 0; i < image->header.l1_size; i++)
		if (image->l1.entries[i])
			return false;
	return true;
}

int qcow2_open_over(int descriptor, struct qcow2 *below, struct qcow2 **result)
{
	struct qcow2 *image = calloc(1, sizeof(*image));
	char reason[512];
	int error;

	if (!image || !(image->path = strdup("(an overlay)")) ||
	    !(image->backing = backing_of(below))) {
		error = -ENOMEM;
	} else {
		error = file_take(&image->file, descriptor);
	}
	if (error) {
		if (image) {
			backing_close(image->backing);
			free(image->path);
		}
		free(image);
		return error;
	}
	init_locks(image);
	error = open_parts(image, QCOW2_ALONE, NULL, reason, sizeof(reason));
	if (!error && (image->size != below->size || !image->header.backing[0] || !is_empty(image)))
		error = -EINVAL;
	if (error) {
		image->file.descriptor = -1; /* it stays the caller's */
		destroy(image);
	} else {
		*result = image;
	}
	return error;
}

void qcow2_freeze_below(struct qcow2 *image)
{
	struct qcow2 *below = backing_own(image->backing);

	below->read_only = true;
	file_freeze(&below->file);
}

int qcow2_open(const char *path, unsigned flags, struct qcow2 **image, char *reason, size_t size)
{
	return qcow2_open_in_chain(path, flags, NULL, image, reason, size);
}

int qcow2_close(struct qcow2 *image)
{
	/* The second time writes the refcounts that went down by the first. */
	int error = qcow2_flush_tables(image), last = 0;

	while (!error && !last && (image->refcounts.busy || image->released.count))
		error = last = qcow2_flush_tables(image);
	destroy(image);
	return error;
}

int qcow2_carry_out(struct qcow2 *image, const struct disk_request *request)
{
	switch (request->operation) {
	case DISK_READ:
		return qcow2_read_slices(image, request->slices, request->slice_count, 0,
					 request->length, request->offset, false);
	case DISK_WRITE:
		return qcow2_write_slices(image, request->slices, request->slice_count,
					  request->length, request->offset, false);
	case DISK_FLUSH:
		return qcow2_flush_tables(image);
	case DISK_DISCARD:
		return qcow2_discard(image, request->offset, request->length);
	case DISK_WRITE_ZEROES:
		return qcow2_write_zeroes(image, request->offset, request->length, request->unmap);
	}
	return -EINVAL;
}

int qcow2_presence(struct qcow2 *image, uint64_t offset, uint64_t length,
		   enum qcow2_presence *presence, uint64_t *same)
{
	struct qcow2_extent extent;
	int error;

	pthread_mutex_lock(&image->lock);
	error = qcow2_map_find(image, offset, length, false, &extent);
	pthread_mutex_unlock(&image->lock);
	if (error)
		return error;
	*same = extent.length;
	*presence = extent.kind == QCOW2_ABSENT ? QCOW2_NOT_HERE
		    : extent.kind == QCOW2_ZERO ? QCOW2_HERE_ZERO
						: QCOW2_HERE;
	return 0;
}
