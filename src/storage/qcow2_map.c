/* SPDX-License-Identifier: BSD-2-Clause */
/* The map of a qcow2 image: L1 table, L2 tables, and what their entries say. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/qcow2_image.h"

static unsigned l2_bits(const struct qcow2 *image)
{
	return image->cluster_bits - 3;
}

static uint64_t l1_index(const struct qcow2 *image, uint64_t offset)
{
	return offset >> (image->cluster_bits + l2_bits(image));
}

void qcow2_entry_packed(const struct qcow2 *image, uint64_t entry, uint64_t *offset,
			uint64_t *length)
{
	unsigned bits = 62 - (image->cluster_bits - 8);
	uint64_t sectors = (entry & bits_mask(62)) >> bits;

	*offset = entry & bits_mask(bits);
	*length = (sectors + 1) * QCOW2_SECTOR - (*offset & (QCOW2_SECTOR - 1));
}

/* The slice of the L2 table at `table` that has the offset's entry, and where in it. */
static int find_slice(struct qcow2 *image, uint64_t table, uint64_t offset, bool at_once,
		      struct qcow2_slice **slice, uint64_t *index)
{
	uint64_t number = offset >> image->cluster_bits & bits_mask(l2_bits(image));
	uint64_t entries = image->l2.slice_size / 8;
	uint64_t place = table + number / entries * image->l2.slice_size;

	*index = number % entries;
	if (!at_once)
		return qcow2_cache_get(&image->l2, &image->file, place, slice);
	*slice = qcow2_cache_find(&image->l2, place);
	return *slice ? 0 : -EAGAIN;
}

/* Where the offset's L2 table is; 0: nowhere. */
static int find_table(struct qcow2 *image, uint64_t offset, uint64_t *table)
{
	uint64_t index = l1_index(image, offset), entry;

	*table = 0;
	if (index >= image->l1.count)
		return 0;
	entry = image->l1.entries[index];
	*table = entry & QCOW2_OFFSET_MASK;
	if ((entry & QCOW2_L1_RESERVED) || !is_aligned(*table, image->cluster_size))
		return qcow2_found_corrupt(image, "the L1 table has an L2 table", *table);
	return 0;
}

/* What an entry says, for one whole cluster. */
static int describe(struct qcow2 *image, uint64_t entry, struct qcow2_extent *extent)
{
	*extent = (struct qcow2_extent){.kind = QCOW2_ABSENT, .entry = entry};
	if (entry & QCOW2_COMPRESSED) {
		extent->kind = QCOW2_PACKED;
		return 0;
	}
	extent->host = entry & QCOW2_OFFSET_MASK;
	if ((entry & QCOW2_READS_ZERO) && image->header.version >= 3)
		extent->kind = QCOW2_ZERO;
	else if (extent->host)
		extent->kind = QCOW2_DATA;
	if (!is_aligned(extent->host, image->cluster_size))
		return qcow2_found_corrupt(image, "an L2 table has a cluster", extent->host);
	extent->own = extent->host && (entry & QCOW2_COPIED);
	return 0;
}

/* Whether the next cluster's entry goes on where `first` began. */
static bool goes_on(const struct qcow2_extent *first, const struct qcow2_extent *next,
		    uint64_t distance)
{
	return next->kind == first->kind && next->kind != QCOW2_PACKED && next->own == first->own &&
	       (first->host ? next->host == first->host + distance : !next->host);
}

int qcow2_map_find(struct qcow2 *image, uint64_t offset, uint64_t length, bool at_once,
		   struct qcow2_extent *extent)
{
	uint64_t within = offset & (image->cluster_size - 1), table, index, have;
	uint64_t entries = image->l2.slice_size / 8;
	struct qcow2_slice *slice;
	struct qcow2_extent next;
	int error = find_table(image, offset, &table);

	if (error)
		return error;
	if (!table) {
		/* To the end of what the L2 table would map. */
		have = BIT(image->cluster_bits + l2_bits(image));
		have -= offset & (have - 1);
		*extent = (struct qcow2_extent){.length = have < length ? have : length};
		return 0;
	}
	error = find_slice(image, table, offset, at_once, &slice, &index);
	if (!error)
		error = describe(image, qcow2_load64(slice->bytes + index * 8), extent);
	if (error)
		return error;
	have = image->cluster_size;
	while (have - within < length && ++index < entries) {
		if (describe(image, qcow2_load64(slice->bytes + index * 8), &next) ||
		    !goes_on(extent, &next, have))
			break;
		have += image->cluster_size;
	}
	extent->length = have - within < length ? have - within : length;
	if (extent->host)
		extent->host += within;
	/* A cluster that may not be written is as good as not ours, whatever the image says. */
	if (extent->own && qcow2_is_vital(image, extent->host - within, have))
		return qcow2_found_corrupt(image, "an L2 table has a cluster", extent->host);
	return 0;
}

/* A cluster for an L2 table, filled with another one's entries or zeroes. */
static int make_table(struct qcow2 *image, uint64_t from, uint64_t *offset)
{
	uint8_t *bytes = malloc(image->cluster_size);
	uint64_t got;
	bool fresh;
	int error = bytes ? 0 : -ENOMEM;

	if (!error)
		error = qcow2_allocate(image, 1, offset, &got, &fresh);
	if (error) {
		free(bytes);
		return error;
	}
	if (from)
		error = file_read(&image->file, bytes, image->cluster_size, from);
	else
		memset(bytes, 0, image->cluster_size);
	if (!error && (from || !fresh))
		error = file_write(&image->file, bytes, image->cluster_size, *offset);
	qcow2_cache_forget(&image->l2, *offset, image->cluster_size);
	qcow2_cache_forget(&image->refcounts, *offset, image->cluster_size);
	if (error)
		qcow2_unallocate(image, *offset, 1);
	free(bytes);
	return error;
}

int qcow2_map_prepare(struct qcow2 *image, uint64_t offset)
{
	uint64_t index = l1_index(image, offset), old, new;
	int error = find_table(image, offset, &old);

	if (error)
		return error;
	if (index >= image->l1.count)
		return -EIO;
	if (old && qcow2_is_vital(image, old, image->cluster_size))
		return qcow2_found_corrupt(image, "the L1 table has an L2 table", old);
	if (old && (image->l1.entries[index] & QCOW2_COPIED))
		return 0;
	error = make_table(image, old, &new);
	if (error)
		return error;
	qcow2_top_set(&image->l1, (uint32_t)index, new | QCOW2_COPIED);
	return old ? qcow2_release(image, old, image->cluster_size) : 0;
}

/* Whether both refer to the same host bytes. */
static bool same_place(uint64_t a, uint64_t b)
{
	return !((a | b) & QCOW2_COMPRESSED) && (a & QCOW2_OFFSET_MASK) == (b & QCOW2_OFFSET_MASK);
}

int qcow2_map_set(struct qcow2 *image, uint64_t offset, uint64_t entry)
{
	struct qcow2_slice *slice;
	uint64_t table, index, old;
	int error = find_table(image, offset, &table);

	if (!error)
		error = find_slice(image, table, offset, false, &slice, &index);
	if (error)
		return error;
	old = qcow2_load64(slice->bytes + index * 8);
	if (!same_place(old, entry))
		error = qcow2_release_entry(image, old);
	if (error)
		return error;
	qcow2_store64(slice->bytes + index * 8, entry);
	qcow2_cache_dirty(&image->l2, slice);
	return 0;
}
