/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest data of a qcow2 image. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/backing.h"
#include "storage/qcow2_image.h"

/* So much is made at once at most, however large the request. */
#define MAKE_MAX (UINT64_C(2) << 20)

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

unsigned qcow2_use_begin(struct qcow2 *image)
{
	unsigned generation = image->generation & 1;

	atomic_fetch_add(&image->users[generation], 1);
	return generation;
}

void qcow2_use_end(struct qcow2 *image, unsigned generation)
{
	if (atomic_fetch_sub(&image->users[generation], 1) != 1 ||
	    !atomic_load(&image->users_awaited))
		return;
	pthread_mutex_lock(&image->users_lock);
	pthread_cond_broadcast(&image->users_gone);
	pthread_mutex_unlock(&image->users_lock);
}

/* The lock, or -EAGAIN if that would take a while and may not. */
static int lock_image(struct qcow2 *image, bool at_once)
{
	if (!at_once)
		return pthread_mutex_lock(&image->lock);
	return pthread_mutex_trylock(&image->lock) ? -EAGAIN : 0;
}

/* What isn't in the image is in its backing file, as far as that goes. */
static int read_absent(struct qcow2 *image, const struct slice *slices, unsigned count,
		       uint64_t skip, uint64_t length, uint64_t offset, bool at_once)
{
	uint64_t there = image->backing ? backing_size(image->backing) : 0;
	uint64_t part = offset < there ? least(length, there - offset) : 0;
	int error = 0;

	if (part)
		error = backing_read(image->backing, slices, count, skip, part, offset, at_once);
	if (!error)
		slices_clear(slices, count, skip + part, length - part);
	return error;
}

static int read_extent(struct qcow2 *image, const struct qcow2_extent *extent,
		       const struct slice *slices, unsigned count, uint64_t skip, uint64_t offset,
		       bool at_once)
{
	switch (extent->kind) {
	case QCOW2_ABSENT:
		return read_absent(image, slices, count, skip, extent->length, offset, at_once);
	case QCOW2_ZERO:
		slices_clear(slices, count, skip, extent->length);
		return 0;
	case QCOW2_PACKED:
		return qcow2_unpack(image, extent->entry, offset & (image->cluster_size - 1),
				    slices, count, skip, extent->length, at_once);
	case QCOW2_DATA:
		break;
	}
	return at_once ? file_transfer_at_once(&image->file, false, slices, count, skip,
					       extent->length, extent->host)
		       : file_transfer(&image->file, false, slices, count, skip, extent->length,
				       extent->host);
}

int qcow2_read_slices(struct qcow2 *image, const struct slice *slices, unsigned count,
		      uint64_t skip, uint64_t length, uint64_t offset, bool at_once)
{
	struct qcow2_extent extent;
	unsigned generation;
	int error = 0;

	while (length && !error) {
		error = lock_image(image, at_once);
		if (error)
			return error;
		error = qcow2_map_find(image, offset, length, at_once, &extent);
		generation = qcow2_use_begin(image);
		pthread_mutex_unlock(&image->lock);
		if (!error)
			error = read_extent(image, &extent, slices, count, skip, offset, at_once);
		qcow2_use_end(image, generation);
		if (error)
			break;
		skip += extent.length;
		offset += extent.length;
		length -= extent.length;
	}
	return error;
}

/* Making clusters */

bool qcow2_making_wait(struct qcow2 *image, uint64_t first, uint64_t last)
{
	for (struct qcow2_making *making = image->making; making; making = making->next)
		if (first <= making->last && last >= making->first) {
			pthread_cond_wait(&image->changed, &image->lock);
			return true;
		}
	return false;
}

static void making_end(struct qcow2 *image, struct qcow2_making *making)
{
	struct qcow2_making **link = &image->making;

	while (*link != making)
		link = &(*link)->next;
	*link = making->next;
	pthread_cond_broadcast(&image->changed);
}

/* Clusters that are made for a part of a write. */
struct make {
	struct qcow2_extent old; /* what was there */
	struct qcow2_making making;
	uint64_t host, clusters;
	bool fresh;		 /* the host clusters read as zeroes */
	bool taken;		 /* they have just been allocated */
	uint64_t offset, length; /* what the guest writes of them */
};

/* Whether all of an extent, looked at from the offset on, reads as zeroes. */
static bool reads_zero(const struct qcow2 *image, const struct qcow2_extent *extent,
		       uint64_t offset)
{
	return extent->kind == QCOW2_ZERO ||
	       (extent->kind == QCOW2_ABSENT &&
		(!image->backing || offset >= backing_size(image->backing)));
}

/* Fills a part of the new clusters that the guest does not write: with what it read as before. */
static int fill(struct qcow2 *image, const struct make *make, uint64_t offset, uint64_t length)
{
	uint64_t begin = make->making.first << image->cluster_bits;
	uint64_t host = make->host + (offset - begin);
	bool zero = reads_zero(image, &make->old, offset);
	struct slice slice = {NULL, (size_t)length};
	int error;

	if (!length || (zero && make->fresh))
		return 0;
	if (zero)
		return file_write_zeroes(&image->file, host, length, false);
	slice.base = malloc(length);
	if (!slice.base)
		return -ENOMEM;
	error = qcow2_read_slices(image, &slice, 1, 0, length, offset, false);
	if (!error)
		error = file_write(&image->file, slice.base, length, host);
	free(slice.base);
	return error;
}

/* The contents of the new clusters; slices is NULL for zeroes. Without the lock. */
static int make_contents(struct qcow2 *image, const struct make *make, const struct slice *slices,
			 unsigned count, uint64_t skip)
{
	uint64_t begin = make->making.first << image->cluster_bits;
	uint64_t end = begin + (make->clusters << image->cluster_bits);
	uint64_t behind = make->offset + make->length;
	uint64_t host = make->host + (make->offset - begin);
	int error = fill(image, make, begin, make->offset - begin);

	if (!error && slices)
		error = file_transfer(&image->file, true, slices, count, skip, make->length, host);
	else if (!error && !make->fresh)
		error = file_write_zeroes(&image->file, host, make->length, false);
	return error ? error : fill(image, make, behind, end - behind);
}

/* Host clusters: those that are there but read as zeroes, or new ones. */
static int make_begin(struct qcow2 *image, struct make *make)
{
	uint64_t first = make->offset >> image->cluster_bits;
	uint64_t last = (make->offset + make->old.length - 1) >> image->cluster_bits;
	int error = qcow2_map_prepare(image, make->offset);

	if (error)
		return error;
	make->clusters = last - first + 1;
	if (make->old.kind == QCOW2_ZERO && make->old.own) {
		make->host = align_down(make->old.host, image->cluster_size);
	} else {
		error = qcow2_allocate(image, make->clusters, &make->host, &make->clusters,
				       &make->fresh);
		make->taken = !error;
	}
	if (error)
		return error;
	make->length = least(make->old.length,
			     ((first + make->clusters) << image->cluster_bits) - make->offset);
	make->making = (struct qcow2_making){
		.first = first, .last = first + make->clusters - 1, .next = image->making};
	image->making = &make->making;
	return 0;
}

/* The new clusters are there: the map says so. */
static int make_end(struct qcow2 *image, struct make *make, int error)
{
	uint64_t done = 0;

	making_end(image, &make->making);
	while (!error && done < make->clusters) {
		error = qcow2_map_set(image, (make->making.first + done) << image->cluster_bits,
				      (make->host + (done << image->cluster_bits)) | QCOW2_COPIED);
		done += !error;
	}
	if (error && make->taken)
		qcow2_unallocate(image, make->host + (done << image->cluster_bits),
				 make->clusters - done);
	return error;
}

/* With the lock, which it gives away meanwhile. *length is how much it has written, which may be
 * nothing if it had to wait. */
static int write_new(struct qcow2 *image, const struct qcow2_extent *extent,
		     const struct slice *slices, unsigned count, uint64_t skip, uint64_t offset,
		     uint64_t *length)
{
	struct make make = {.old = *extent, .offset = offset};
	int error;

	*length = 0;
	make.old.length = least(extent->length, MAKE_MAX);
	if (qcow2_crowded(image)) {
		pthread_mutex_unlock(&image->lock);
		error = qcow2_flush_tables(image);
		pthread_mutex_lock(&image->lock);
		return error;
	}
	if (qcow2_making_wait(image, offset >> image->cluster_bits,
			      (offset + make.old.length - 1) >> image->cluster_bits))
		return 0;
	error = make_begin(image, &make);
	if (error)
		return error;
	pthread_mutex_unlock(&image->lock);
	error = make_contents(image, &make, slices, count, skip);
	pthread_mutex_lock(&image->lock);
	error = make_end(image, &make, error);
	*length = error ? 0 : make.length;
	return error;
}

/* In place; gives the lock away. slices is NULL for zeroes. */
static int write_own(struct qcow2 *image, const struct qcow2_extent *extent,
		     const struct slice *slices, unsigned count, uint64_t skip, bool at_once)
{
	unsigned generation = qcow2_use_begin(image);
	int error;

	pthread_mutex_unlock(&image->lock);
	if (!slices)
		error = file_write_zeroes(&image->file, extent->host, extent->length, false);
	else if (at_once)
		error = file_transfer_at_once(&image->file, true, slices, count, skip,
					      extent->length, extent->host);
	else
		error = file_transfer(&image->file, true, slices, count, skip, extent->length,
				      extent->host);
	qcow2_use_end(image, generation);
	return error;
}

/* One part of a write: *length is how much of it was done. */
static int write_part(struct qcow2 *image, const struct slice *slices, unsigned count,
		      uint64_t skip, uint64_t offset, uint64_t left, bool at_once, uint64_t *length)
{
	struct qcow2_extent extent;
	int error = lock_image(image, at_once);

	if (error)
		return error;
	error = atomic_load(&image->corrupt)
			? -EIO
			: qcow2_map_find(image, offset, left, at_once, &extent);
	if (!error && extent.kind == QCOW2_DATA && extent.own) {
		*length = extent.length;
		return write_own(image, &extent, slices, count, skip, at_once);
	}
	if (!error && !slices && reads_zero(image, &extent, offset))
		*length = extent.length; /* zeroes that are there already */
	else if (!error)
		error = at_once ? -EAGAIN
				: write_new(image, &extent, slices, count, skip, offset, length);
	pthread_mutex_unlock(&image->lock);
	return error;
}

static int write_all(struct qcow2 *image, const struct slice *slices, unsigned count,
		     uint64_t length, uint64_t offset, bool at_once)
{
	uint64_t skip = 0, part = 0;
	int error = image->read_only ? -EROFS : 0;

	while (length && !error) {
		error = write_part(image, slices, count, skip, offset, length, at_once, &part);
		if (error)
			break;
		skip += part;
		offset += part;
		length -= part;
	}
	return error;
}

int qcow2_write_slices(struct qcow2 *image, const struct slice *slices, unsigned count,
		       uint64_t length, uint64_t offset, bool at_once)
{
	return write_all(image, slices, count, length, offset, at_once);
}

int qcow2_write_zero_bytes(struct qcow2 *image, uint64_t length, uint64_t offset)
{
	return write_all(image, NULL, 0, length, offset, false);
}
