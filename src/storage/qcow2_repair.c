/* SPDX-License-Identifier: BSD-2-Clause */
/* Refcounts written anew: beside the old ones, in clusters that nobody uses, until the header
 * points to the new ones. So it may be cut short at any point. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/qcow2_check.h"

/* Where the new table is; its blocks follow. */
struct place {
	uint64_t first, table, blocks;
};

int qcow2_clear_features(struct qcow2 *image, unsigned at, uint64_t *field, uint64_t bits)
{
	uint8_t bytes[8];
	int error = file_flush(&image->file);

	*field &= ~bits;
	qcow2_store64(bytes, *field);
	if (!error)
		error = file_write(&image->file, bytes, sizeof(bytes), at);
	return error ? error : file_flush(&image->file);
}

int qcow2_reload(struct qcow2 *image)
{
	struct qcow2_top l1, table;
	int error =
		qcow2_top_read(&l1, &image->file, image->header.l1_offset, image->header.l1_size);

	if (error)
		return error;
	error = qcow2_top_read(&table, &image->file, image->header.refcount_offset,
			       image->header.refcount_clusters << (image->cluster_bits - 3));
	if (error) {
		qcow2_top_destroy(&l1);
		return error;
	}
	qcow2_top_destroy(&image->l1);
	qcow2_top_destroy(&image->refcount_table);
	image->l1 = l1;
	image->refcount_table = table;
	qcow2_cache_empty(&image->l2);
	qcow2_cache_empty(&image->refcounts);
	image->free_hint = 0;
	return 0;
}

/* The first `length` clusters in a row that nobody uses, at the file's end if nowhere else. */
static uint64_t find_hole(const struct qcow2_walk *walk, uint64_t length)
{
	uint64_t run = 0;

	for (uint64_t i = 0; i < walk->clusters; i++) {
		run = walk->counts[i] ? 0 : run + 1;
		if (run == length)
			return i + 1 - length;
	}
	return walk->clusters - run;
}

/* As large as it must be for all that is in use, itself with it. */
static void plan(const struct qcow2_walk *walk, struct place *place)
{
	const struct qcow2 *image = walk->image;
	unsigned block_bits = image->cluster_bits + 3 - image->header.refcount_order;
	unsigned entry_bits = image->cluster_bits - 3;
	uint64_t end = walk->clusters, length;

	*place = (struct place){0};
	do {
		place->blocks = (end + bits_mask(block_bits)) >> block_bits;
		place->table = (place->blocks + bits_mask(entry_bits)) >> entry_bits;
		length = place->table + place->blocks;
		place->first = find_hole(walk, length);
		if (place->first + length <= end)
			return;
		end = place->first + length;
	} while (true);
}

/* An array that becomes longer, with zeroes behind what it had. NULL: no memory. */
static void *grow(void *array, size_t each, uint64_t had, uint64_t count)
{
	uint8_t *more = realloc(array, count * each);

	if (more)
		memset(more + had * each, 0, (count - had) * each);
	return more;
}

/* The file becomes longer. */
static int extend(struct qcow2_walk *walk, uint64_t clusters)
{
	const uint64_t had = walk->clusters;
	uint32_t *counts = grow(walk->counts, sizeof(*counts), had, clusters), *tables;
	uint8_t *marks;

	if (!counts)
		return -ENOMEM;
	walk->counts = counts;
	tables = grow(walk->tables, sizeof(*tables), had, clusters);
	if (!tables)
		return -ENOMEM;
	walk->tables = tables;
	marks = grow(walk->marks, sizeof(*marks), had, clusters);
	if (!marks)
		return -ENOMEM;
	walk->marks = marks;
	walk->clusters = clusters;
	return 0;
}

/* What will be in use then: the new ones instead of the old. */
static int count_anew(struct qcow2_walk *walk, const struct place *place)
{
	const struct qcow2 *image = walk->image;
	const struct qcow2_top *old = &image->refcount_table;
	uint64_t end = place->first + place->table + place->blocks;
	uint64_t old_first = old->offset >> image->cluster_bits;
	int error = end > walk->clusters ? extend(walk, end) : 0;

	if (error)
		return error;
	for (uint64_t i = 0; i < image->header.refcount_clusters; i++)
		if (old_first + i < walk->clusters && walk->counts[old_first + i])
			walk->counts[old_first + i]--;
	for (uint32_t i = 0; i < old->count; i++) {
		uint64_t cluster = old->entries[i] >> image->cluster_bits;

		if (old->entries[i] && is_aligned(old->entries[i], image->cluster_size) &&
		    cluster < walk->clusters && walk->counts[cluster])
			walk->counts[cluster]--;
	}
	for (uint64_t i = place->first; i < end; i++)
		walk->counts[i]++;
	return 0;
}

static int write_block(struct qcow2_walk *walk, const struct place *place, uint64_t number)
{
	struct qcow2 *image = walk->image;
	unsigned order = image->header.refcount_order;
	uint64_t entries = BIT(image->cluster_bits + 3 - order), first = number * entries;
	uint64_t max = bits_mask(1u << order);

	memset(walk->table, 0, image->cluster_size);
	for (uint64_t i = 0; i < entries && first + i < walk->clusters; i++) {
		uint64_t count = walk->counts[first + i];

		qcow2_refcount_store(walk->table, i, order, count < max ? count : max);
	}
	return file_write(&image->file, walk->table, image->cluster_size,
			  (place->first + place->table + number) << image->cluster_bits);
}

static int write_header(struct qcow2 *image, uint64_t offset, uint64_t clusters)
{
	uint8_t field[12];
	int error = file_flush(&image->file);

	qcow2_store64(field, offset);
	qcow2_store32(field + 8, (uint32_t)clusters);
	if (!error)
		error = file_write(&image->file, field, sizeof(field), QCOW2_AT_REFCOUNT);
	if (!error)
		error = file_flush(&image->file);
	if (error)
		return error;
	image->header.refcount_offset = offset;
	image->header.refcount_clusters = (uint32_t)clusters;
	return 0;
}

int qcow2_rebuild_refcounts(struct qcow2_walk *walk)
{
	struct qcow2 *image = walk->image;
	struct qcow2_top table;
	struct place place;
	int error;

	plan(walk, &place);
	if (place.table << image->cluster_bits > QCOW2_REFCOUNT_TABLE_MAX)
		return -EFBIG;
	error = qcow2_top_make(&table, place.first << image->cluster_bits,
			       (uint32_t)(place.table << (image->cluster_bits - 3)));
	if (!error)
		error = count_anew(walk, &place);
	for (uint64_t i = 0; i < place.blocks && !error; i++) {
		table.entries[i] = (place.first + place.table + i) << image->cluster_bits;
		error = write_block(walk, &place, i);
	}
	if (!error)
		error = qcow2_top_write(&table, &image->file);
	if (!error)
		error = write_header(image, table.offset, place.table);
	qcow2_top_destroy(&table);
	return error;
}
