/* SPDX-License-Identifier: BSD-2-Clause */
/* Changing the size of a qcow2 image, and saying what there is to know of one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "storage/backing.h"
#include "storage/qcow2_image.h"

/* The size and where the L1 table is, in one write: they hold together. */
static int write_size(struct qcow2 *image, uint64_t size, const struct qcow2_top *l1)
{
	uint8_t field[24] = {0};
	int error = file_flush(&image->file);

	if (error)
		return error;
	qcow2_store64(field, size);
	/* No encryption, or the image would not be open. */
	qcow2_store32(field + (QCOW2_AT_L1_SIZE - QCOW2_AT_SIZE), l1->count);
	qcow2_store64(field + (QCOW2_AT_L1 - QCOW2_AT_SIZE), l1->offset);
	error = file_write(&image->file, field, sizeof(field), QCOW2_AT_SIZE);
	return error ? error : file_flush(&image->file);
}

static uint64_t l1_clusters(const struct qcow2 *image, uint32_t count)
{
	return ((uint64_t)count * 8 + bits_mask(image->cluster_bits)) >> image->cluster_bits;
}

/* Clusters for a larger L1 table, one behind the other. */
static int find_room(struct qcow2 *image, uint64_t clusters, uint64_t *offset)
{
	uint64_t got = 0;
	bool fresh;
	int error = 0;

	/* What is too short is kept until one is found, or it would be found again. */
	while (!error && got < clusters) {
		error = qcow2_allocate(image, clusters, offset, &got, &fresh);
		if (!error && got < clusters)
			error = qcow2_release(image, *offset, got << image->cluster_bits);
	}
	return error;
}

/* A larger L1 table, while the disk has its old size. With the lock, nothing in the tables being
 * dirty. */
static int grow_l1(struct qcow2 *image, uint32_t count)
{
	struct qcow2_top l1, old = image->l1;
	uint64_t clusters = l1_clusters(image, count), offset = old.offset;
	bool moves = clusters > l1_clusters(image, old.count) || !old.count;
	int error = moves ? find_room(image, clusters, &offset) : 0;

	if (!error)
		error = qcow2_top_make(&l1, offset, count);
	if (error)
		return error;
	memcpy(l1.entries, old.entries, (size_t)old.count * 8);
	image->l1 = l1;
	pthread_mutex_unlock(&image->lock);
	/* The new clusters' refcounts; then the table itself; then the header. */
	error = qcow2_flush_tables(image);
	pthread_mutex_lock(&image->lock);
	if (!error)
		error = qcow2_top_write(&image->l1, &image->file);
	if (!error)
		error = write_size(image, image->header.size, &image->l1);
	if (!error && moves && old.count)
		error = qcow2_release(image, old.offset,
				      l1_clusters(image, old.count) << image->cluster_bits);
	qcow2_top_destroy(&old);
	image->header.l1_size = count;
	image->header.l1_offset = offset;
	return error;
}

static int change_size(struct qcow2 *image, uint64_t size)
{
	int error = qcow2_flush_tables(image);

	if (!error)
		error = write_size(image, size, &image->l1);
	if (!error)
		image->size = image->header.size = size;
	return error;
}

/* What is new reads as zeroes, whatever the backing file, the last cluster or an L2 table (if the
 * disk was larger once) has there: so it is before the disk says that it is there. */
static int clear_new(struct qcow2 *image, uint64_t size, uint64_t mapped)
{
	uint64_t old = image->size, end = align_up(old, image->cluster_size);

	if (image->backing && end < backing_size(image->backing))
		end = backing_size(image->backing);
	if (end < mapped)
		end = mapped;
	if (end > size)
		end = size;
	return end > old ? qcow2_write_zeroes(image, old, end - old, true) : 0;
}

static int become_larger(struct qcow2 *image, uint64_t size)
{
	uint64_t entries = qcow2_l1_entries(size, image->cluster_bits);
	uint64_t mapped = (uint64_t)image->l1.count << (image->cluster_bits * 2 - 3);
	int error = qcow2_flush_tables(image);

	if (!error && entries > image->l1.count) {
		pthread_mutex_lock(&image->lock);
		error = grow_l1(image, (uint32_t)entries);
		pthread_mutex_unlock(&image->lock);
	}
	if (!error)
		error = clear_new(image, size, mapped);
	return error ? error : change_size(image, size);
}

/* Of what is cut off, only whole clusters can be given up; zeroes make sure of the rest. */
static int become_smaller(struct qcow2 *image, uint64_t size)
{
	uint64_t old = align_up(image->size, image->cluster_size);
	uint64_t begin = align_up(size, image->cluster_size);
	int error = begin > size ? qcow2_write_zero_bytes(image, begin - size, size) : 0;

	if (!error)
		error = change_size(image, size);
	return error || begin == old ? error : qcow2_discard(image, begin, old - begin);
}

int qcow2_resize(struct qcow2 *image, uint64_t size, char *reason, size_t reason_size)
{
	uint64_t old = image->size;
	int error;

	if (size % 512 || !size) {
		snprintf(reason, reason_size, "a size must be a multiple of 512 and not 0");
		return -EINVAL;
	}
	if (qcow2_l1_entries(size, image->cluster_bits) > QCOW2_L1_MAX / 8) {
		snprintf(reason, reason_size,
			 "so large a disk needs larger clusters than %llu bytes",
			 (unsigned long long)image->cluster_size);
		return -EFBIG;
	}
	if (image->header.snapshot_count && image->header.version < 3) {
		snprintf(reason, reason_size,
			 "an image of version 2 with internal snapshots can't change its size");
		return -ENOTSUP;
	}
	if (size == old)
		return 0;
	error = size < old ? become_smaller(image, size) : become_larger(image, size);
	if (!error)
		error = qcow2_flush_tables(image);
	if (error)
		snprintf(reason, reason_size, "%s", strerror(-error));
	return error;
}

void qcow2_info(const struct qcow2 *image, struct qcow2_info *info)
{
	const struct qcow2_header *header = &image->header;
	struct stat status;

	*info = (struct qcow2_info){
		.version = header->version,
		.refcount_bits = 1u << header->refcount_order,
		.size = image->size,
		.cluster_size = image->cluster_size,
		.file_size = image->file.size,
		.used_size = image->file.size,
		.backing = header->backing,
		.backing_format = header->backing_format,
		.compression = header->compression == QCOW2_ZSTD ? "zstd" : "zlib",
		.lazy_refcounts = header->compatible & QCOW2_LAZY_REFCOUNTS,
		.dirty = header->incompatible & QCOW2_DIRTY,
		.corrupt = header->incompatible & QCOW2_CORRUPT,
		.snapshots = header->snapshot_count,
	};
	if (!image->file.block_device && !fstat(image->file.descriptor, &status))
		info->used_size = (uint64_t)status.st_blocks * 512;
}
