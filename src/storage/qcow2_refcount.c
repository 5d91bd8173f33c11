/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Refcounts and the search for free clusters. A refcount block that isn't there says that all of
 * its clusters are free; when one of them is needed, the first becomes the block itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/qcow2_image.h"

uint64_t qcow2_refcount_load(const uint8_t *block, uint64_t index, unsigned order)
{
	switch (order) {
	case 0:
	case 1:
	case 2: {
		unsigned bits = 1u << order, in_byte = 8 / bits;

		return block[index / in_byte] >> index % in_byte * bits & bits_mask(bits);
	}
	case 3:
		return block[index];
	case 4:
		return qcow2_load16(block + index * 2);
	case 5:
		return qcow2_load32(block + index * 4);
	default:
		return qcow2_load64(block + index * 8);
	}
}

void qcow2_refcount_store(uint8_t *block, uint64_t index, unsigned order, uint64_t count)
{
	switch (order) {
	case 0:
	case 1:
	case 2: {
		unsigned bits = 1u << order, in_byte = 8 / bits;
		unsigned low = (unsigned)(index % in_byte) * bits;

		block[index / in_byte] =
			(uint8_t)bits_set(block[index / in_byte], low + bits - 1, low, count);
		return;
	}
	case 3:
		block[index] = (uint8_t)count;
		return;
	case 4:
		qcow2_store16(block + index * 2, (uint16_t)count);
		return;
	case 5:
		qcow2_store32(block + index * 4, (uint32_t)count);
		return;
	default:
		qcow2_store64(block + index * 8, count);
		return;
	}
}

/* How many clusters a block is for, as a power of two; and the refcounts in a slice of it. */
static unsigned block_bits(const struct qcow2 *image)
{
	return image->cluster_bits + 3 - image->header.refcount_order;
}

static uint64_t slice_entries(const struct qcow2 *image)
{
	return ((uint64_t)image->refcounts.slice_size * 8) >> image->header.refcount_order;
}

static uint64_t refcount_max(const struct qcow2 *image)
{
	return bits_mask(1u << image->header.refcount_order);
}

/* The cluster's slice, NULL if it has no block. */
static int find_slice(struct qcow2 *image, uint64_t cluster, struct qcow2_slice **slice,
		      uint64_t *index)
{
	uint64_t block = cluster >> block_bits(image), entry;
	uint64_t entries = slice_entries(image);

	*slice = NULL;
	*index = 0;
	if (block >= image->refcount_table.count)
		return 0;
	entry = image->refcount_table.entries[block];
	if (!entry)
		return 0;
	if (!is_aligned(entry, image->cluster_size) || entry >= QCOW2_OFFSET_MAX ||
	    qcow2_is_vital(image, entry, image->cluster_size))
		return qcow2_found_corrupt(image, "the refcount table has a block", entry);
	*index = cluster & bits_mask(block_bits(image));
	entry += *index / entries * image->refcounts.slice_size;
	*index %= entries;
	return qcow2_cache_get(&image->refcounts, &image->file, entry, slice);
}

int qcow2_refcount_get(struct qcow2 *image, uint64_t cluster, uint64_t *count)
{
	struct qcow2_slice *slice;
	uint64_t index;
	int error = find_slice(image, cluster, &slice, &index);

	*count = 0;
	if (!error && slice)
		*count = qcow2_refcount_load(slice->bytes, index, image->header.refcount_order);
	return error;
}

int qcow2_refcount_change(struct qcow2 *image, uint64_t cluster, int by)
{
	unsigned order = image->header.refcount_order;
	struct qcow2_slice *slice;
	uint64_t index, count;
	int error = find_slice(image, cluster, &slice, &index);

	if (error)
		return error;
	count = slice ? qcow2_refcount_load(slice->bytes, index, order) : 0;
	if (by > 0 && slice && count == refcount_max(image))
		return -EFBIG;
	if (!slice || (by < 0 && count == 0))
		return qcow2_found_corrupt(image, "a refcount is too low, of what is",
					   cluster << image->cluster_bits);
	count = by > 0 ? count + 1 : count - 1;
	qcow2_refcount_store(slice->bytes, index, order, count);
	qcow2_cache_dirty(&image->refcounts, slice);
	if (count == 0 && cluster < image->free_hint)
		image->free_hint = cluster;
	return 0;
}

/* The file is to be long enough for what is in use, and nothing of that is fresh any more. */
static int cover(struct qcow2 *image, uint64_t end)
{
	int error = 0;

	if (end > image->fresh_from)
		image->fresh_from = end;
	if (end > image->file_size && !image->file.block_device) {
		error = file_resize(&image->file, end);
		if (!error)
			image->file_size = end;
	} else if (end > image->file_size) {
		error = -ENOSPC;
	}
	return error;
}

static int clear_cluster(struct qcow2 *image, uint64_t offset)
{
	bool fresh = offset >= image->fresh_from;
	int error = cover(image, offset + image->cluster_size);

	if (!error && !fresh)
		error = file_write_zeroes(&image->file, offset, image->cluster_size, false);
	qcow2_cache_forget(&image->refcounts, offset, image->cluster_size);
	qcow2_cache_forget(&image->l2, offset, image->cluster_size);
	return error;
}

/* A block for the clusters around this one: the cluster itself. */
static int make_block(struct qcow2 *image, uint64_t cluster)
{
	uint64_t offset = cluster << image->cluster_bits;
	struct qcow2_slice *slice;
	uint64_t index = 0;
	int error;

	if (qcow2_is_vital(image, offset, image->cluster_size))
		return qcow2_found_corrupt(image, "a refcount is 0, of what is", offset);
	error = clear_cluster(image, offset);
	if (error)
		return error;
	qcow2_top_set(&image->refcount_table, (uint32_t)(cluster >> block_bits(image)), offset);
	error = find_slice(image, cluster, &slice, &index);
	if (error || !slice)
		return error ? error : -EIO;
	qcow2_refcount_store(slice->bytes, index, image->header.refcount_order, 1);
	qcow2_cache_dirty(&image->refcounts, slice);
	return 0;
}

/* Growing the refcount table: blocks for the clusters from `first` on, and behind them the new
 * table, whose clusters those blocks cover. */
struct growth {
	uint64_t first;	 /* cluster: of the first block, and the first that needs one */
	uint64_t blocks; /* so many, then the table */
	uint64_t table_clusters;
};

static void plan_growth(const struct qcow2 *image, uint64_t first, struct growth *growth)
{
	unsigned bits = block_bits(image), entry_bits = image->cluster_bits - 3;
	uint64_t end;

	*growth = (struct growth){.first = first, .blocks = 1};
	do {
		/* Twice the old size at least, for this is rare to be so. */
		uint64_t entries = (first >> bits) + growth->blocks + 1;

		if (entries < (uint64_t)image->refcount_table.count * 2)
			entries = (uint64_t)image->refcount_table.count * 2;
		growth->table_clusters = (entries + bits_mask(entry_bits)) >> entry_bits;
		end = first + growth->blocks + growth->table_clusters;
		if ((end - 1) >> bits < (first >> bits) + growth->blocks)
			return;
		growth->blocks++;
	} while (true);
}

/* One block's bytes, with 1 for each cluster of the growth in it. */
static int write_grown_block(struct qcow2 *image, const struct growth *growth, uint64_t number,
			     uint8_t *bytes)
{
	uint64_t begin = ((growth->first >> block_bits(image)) + number) << block_bits(image);
	uint64_t end = growth->first + growth->blocks + growth->table_clusters;

	memset(bytes, 0, image->cluster_size);
	for (uint64_t i = 0; i < BIT(block_bits(image)); i++)
		if (begin + i >= growth->first && begin + i < end)
			qcow2_refcount_store(bytes, i, image->header.refcount_order, 1);
	return file_write(&image->file, bytes, image->cluster_size,
			  (growth->first + number) << image->cluster_bits);
}

static int write_dirty_blocks(struct qcow2 *image)
{
	int error = 0;

	for (unsigned i = 0; i < image->refcounts.count && !error; i++) {
		struct qcow2_slice *slice = &image->refcounts.slices[i];

		if (slice->used && slice->dirty)
			error = file_write(&image->file, slice->bytes, image->refcounts.slice_size,
					   slice->offset);
	}
	return error;
}

/* The new table is complete and on stable storage before the header says that it is one. */
static int switch_table(struct qcow2 *image, struct qcow2_top *table, uint64_t clusters)
{
	uint8_t field[12];
	int error = write_dirty_blocks(image);

	if (!error)
		error = qcow2_top_write(table, &image->file);
	if (!error)
		error = file_flush(&image->file);
	if (error)
		return error;
	qcow2_store64(field, table->offset);
	qcow2_store32(field + 8, (uint32_t)clusters);
	error = file_write(&image->file, field, sizeof(field), QCOW2_AT_REFCOUNT);
	return error ? error : file_flush(&image->file);
}

static int write_growth(struct qcow2 *image, const struct growth *growth, struct qcow2_top *table)
{
	uint64_t clusters = growth->blocks + growth->table_clusters;
	uint8_t *bytes = malloc(image->cluster_size);
	int error = bytes ? 0 : -ENOMEM;

	if (!error)
		error = cover(image, (growth->first + clusters) << image->cluster_bits);
	for (uint64_t i = 0; i < growth->blocks && !error; i++)
		error = write_grown_block(image, growth, i, bytes);
	free(bytes);
	for (uint64_t i = 0; i < growth->blocks; i++)
		table->entries[(growth->first >> block_bits(image)) + i] = (growth->first + i)
									   << image->cluster_bits;
	return error ? error : switch_table(image, table, growth->table_clusters);
}

/* The refcount table ends in front of this cluster, which is free as all behind it. */
static int grow_table(struct qcow2 *image, uint64_t cluster)
{
	struct qcow2_top table, *old = &image->refcount_table;
	struct growth growth;
	int error;

	plan_growth(image, cluster, &growth);
	if (growth.table_clusters << image->cluster_bits > QCOW2_REFCOUNT_TABLE_MAX)
		return -EFBIG;
	error = qcow2_top_make(&table, (growth.first + growth.blocks) << image->cluster_bits,
			       (uint32_t)(growth.table_clusters << (image->cluster_bits - 3)));
	if (error)
		return error;
	memcpy(table.entries, old->entries, (size_t)old->count * 8);
	qcow2_cache_forget(&image->refcounts, cluster << image->cluster_bits,
			   growth.blocks << image->cluster_bits);
	error = write_growth(image, &growth, &table);
	if (error) {
		qcow2_top_destroy(&table);
		return error;
	}
	error = qcow2_release(image, old->offset,
			      (uint64_t)image->header.refcount_clusters << image->cluster_bits);
	image->header.refcount_offset = table.offset;
	image->header.refcount_clusters = (uint32_t)growth.table_clusters;
	qcow2_top_destroy(old);
	*old = table;
	return error;
}

/* Is the cluster free? If it has no block yet, it gets one, and isn't any more. */
static int try_cluster(struct qcow2 *image, uint64_t cluster, bool *free)
{
	uint64_t block = cluster >> block_bits(image), count;
	int error;

	*free = false;
	if (cluster >= QCOW2_OFFSET_MAX >> image->cluster_bits)
		return -EFBIG;
	if (block >= image->refcount_table.count)
		return grow_table(image, cluster);
	if (!image->refcount_table.entries[block])
		return make_block(image, cluster);
	error = qcow2_refcount_get(image, cluster, &count);
	*free = !error && count == 0;
	return error;
}

/* Takes one cluster that is free. */
static int take_cluster(struct qcow2 *image, uint64_t cluster)
{
	struct qcow2_slice *slice;
	uint64_t index;
	int error = find_slice(image, cluster, &slice, &index);

	if (error)
		return error;
	if (!slice || qcow2_is_vital(image, cluster << image->cluster_bits, image->cluster_size))
		return qcow2_found_corrupt(image, "a refcount is 0, of what is",
					   cluster << image->cluster_bits);
	qcow2_refcount_store(slice->bytes, index, image->header.refcount_order, 1);
	qcow2_cache_dirty(&image->refcounts, slice);
	return 0;
}

int qcow2_allocate(struct qcow2 *image, uint64_t want, uint64_t *offset, uint64_t *got, bool *fresh)
{
	uint64_t cluster = image->free_hint, taken = 0;
	bool free = false;
	int error = 0;

	while (!error && !free) {
		error = try_cluster(image, cluster, &free);
		cluster += !error && !free;
	}
	while (!error && free && taken < want) {
		error = take_cluster(image, cluster + taken);
		taken += !error;
		free = false;
		/* Only what has a block: another might have to be made just there. */
		if (!error && taken < want &&
		    (cluster + taken) >> block_bits(image) == cluster >> block_bits(image))
			error = try_cluster(image, cluster + taken, &free);
	}
	*offset = cluster << image->cluster_bits;
	*got = taken;
	*fresh = *offset >= image->fresh_from;
	if (!error)
		error = cover(image, *offset + (taken << image->cluster_bits));
	if (error) {
		qcow2_unallocate(image, *offset, taken);
		return error;
	}
	image->free_hint = cluster + taken;
	return 0;
}

void qcow2_unallocate(struct qcow2 *image, uint64_t offset, uint64_t clusters)
{
	/* What fails leaks. */
	for (uint64_t i = 0; i < clusters; i++)
		if (qcow2_refcount_change(image, (offset >> image->cluster_bits) + i, -1))
			return;
}

int qcow2_release(struct qcow2 *image, uint64_t offset, uint64_t length)
{
	struct qcow2_releases *releases = &image->releases;
	struct qcow2_release *last;

	if (!length)
		return 0;
	/* What goes now isn't gone from the file with what a flush has begun to write. */
	last = releases->count > image->releases_taken ? &releases->list[releases->count - 1]
						       : NULL;
	if (last && last->offset + last->length == offset) {
		last->length += length;
		return 0;
	}
	if (releases->count == releases->room) {
		size_t room = releases->room ? releases->room * 2 : 64;
		struct qcow2_release *list = realloc(releases->list, room * sizeof(*list));

		if (!list)
			return -ENOMEM;
		releases->list = list;
		releases->room = room;
	}
	releases->list[releases->count++] = (struct qcow2_release){offset, length};
	return 0;
}

int qcow2_release_entry(struct qcow2 *image, uint64_t entry)
{
	uint64_t offset, length, begin;

	if (!(entry & QCOW2_COMPRESSED)) {
		offset = entry & QCOW2_OFFSET_MASK;
		return offset ? qcow2_release(image, offset, image->cluster_size) : 0;
	}
	qcow2_entry_packed(image, entry, &offset, &length);
	begin = align_down(offset, image->cluster_size);
	return qcow2_release(image, begin, align_up(offset + length, image->cluster_size) - begin);
}
