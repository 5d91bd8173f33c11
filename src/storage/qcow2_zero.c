/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Discard and write-zeroes, which change the map alone, but for parts of clusters. Version 2 has no
 * clusters that read as zeroes: there, only what isn't in the image nor in a backing file does.
 */
#include <errno.h>

#include "storage/backing.h"
#include "storage/qcow2_image.h"

enum purpose { DISCARD, ZERO, ZERO_KEEPING_SPACE };

static bool has_backing_at(const struct qcow2 *image, uint64_t offset)
{
	return image->backing && offset < backing_size(image->backing);
}

/* The entry that is to be, for the cluster at the offset. False: leave it. */
static bool new_entry(const struct qcow2 *image, const struct qcow2_extent *extent, uint64_t offset,
		      enum purpose purpose, uint64_t *entry)
{
	bool zeroes = image->header.version >= 3, below = has_backing_at(image, offset);

	*entry = 0;
	if (extent->kind == QCOW2_ABSENT && !below)
		return false;
	if (purpose == ZERO_KEEPING_SPACE && extent->own && zeroes) {
		*entry = extent->host | QCOW2_COPIED | QCOW2_READS_ZERO;
		return extent->kind != QCOW2_ZERO;
	}
	if (below)
		*entry = QCOW2_READS_ZERO;
	/* A discarded cluster of version 2 that is below as well must stay. */
	return zeroes || !below;
}

/* Clusters of one extent, with the lock. */
static int change_extent(struct qcow2 *image, struct qcow2_extent extent, uint64_t offset,
			 enum purpose purpose)
{
	uint64_t entry;
	bool prepared = false;
	int error = 0;

	for (uint64_t done = 0; done < extent.length && !error; done += image->cluster_size) {
		if (new_entry(image, &extent, offset + done, purpose, &entry)) {
			if (!prepared)
				error = qcow2_map_prepare(image, offset);
			prepared = true;
			if (!error)
				error = qcow2_map_set(image, offset + done, entry);
		}
		if (extent.host)
			extent.host += image->cluster_size;
	}
	return error;
}

/* The next part of whole clusters, with the lock, which it may give away meanwhile: *done may be
 * nothing then. */
static int change_part(struct qcow2 *image, uint64_t offset, uint64_t length, enum purpose purpose,
		       uint64_t *done)
{
	struct qcow2_extent extent;
	int error;

	*done = 0;
	if (atomic_load(&image->corrupt))
		return -EIO;
	if (qcow2_crowded(image)) {
		pthread_mutex_unlock(&image->lock);
		error = qcow2_flush_tables(image);
		pthread_mutex_lock(&image->lock);
		return error;
	}
	error = qcow2_map_find(image, offset, length, false, &extent);
	/* Above an absent L2 table and a backing file: a slice's worth at once, not a whole table.
	 */
	if (!error && extent.length > (uint64_t)image->l2.slice_size / 8 * image->cluster_size)
		extent.length = (uint64_t)image->l2.slice_size / 8 * image->cluster_size;
	if (!error && qcow2_making_wait(image, offset >> image->cluster_bits,
					(offset + extent.length - 1) >> image->cluster_bits))
		return 0;
	if (!error)
		error = change_extent(image, extent, offset, purpose);
	*done = error ? 0 : extent.length;
	return error;
}

/* Whole clusters. */
static int change(struct qcow2 *image, uint64_t offset, uint64_t length, enum purpose purpose)
{
	uint64_t done;
	int error = 0;

	pthread_mutex_lock(&image->lock);
	while (length && !error) {
		error = change_part(image, offset, length, purpose, &done);
		offset += done;
		length -= done;
	}
	pthread_mutex_unlock(&image->lock);
	return error;
}

/* The whole clusters of a range; the disk's end counts as a cluster's. False: there are none. */
static bool whole_clusters(const struct qcow2 *image, uint64_t offset, uint64_t length,
			   uint64_t *begin, uint64_t *end)
{
	*begin = align_up(offset, image->cluster_size);
	*end = offset + length == image->size ? align_up(offset + length, image->cluster_size)
					      : align_down(offset + length, image->cluster_size);
	return *begin < *end;
}

int qcow2_discard(struct qcow2 *image, uint64_t offset, uint64_t length)
{
	uint64_t begin, end;

	if (image->read_only)
		return -EROFS;
	if (!whole_clusters(image, offset, length, &begin, &end))
		return 0;
	return change(image, begin, end - begin, DISCARD);
}

int qcow2_write_zeroes(struct qcow2 *image, uint64_t offset, uint64_t length, bool unmap)
{
	enum purpose purpose = unmap ? ZERO : ZERO_KEEPING_SPACE;
	uint64_t begin, end;
	int error;

	if (image->read_only)
		return -EROFS;
	if (!whole_clusters(image, offset, length, &begin, &end) ||
	    (image->header.version < 3 && image->backing))
		return qcow2_write_zero_bytes(image, length, offset);
	error = qcow2_write_zero_bytes(image, begin - offset, offset);
	if (!error)
		error = change(image, begin, end - begin, purpose);
	if (!error && offset + length > end)
		error = qcow2_write_zero_bytes(image, offset + length - end, end);
	return error;
}
