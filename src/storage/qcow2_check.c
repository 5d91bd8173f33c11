/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checking a qcow2 image: counts the references to each cluster of the file by walking through all
 * tables, and compares with the refcounts. Tables may be anything here: each walk has the depth
 * that the format has, whatever refers to whatever. What it takes is in proportion to the file: all
 * upper tables together are no larger than that, and each lower one is visited once, however many
 * refer to it.
 */
#include "storage/qcow2_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/checked.h"
#include "storage/qcow2_snapshot.h"

/* What is counted in memory at most: 5 GiB of it; a file of 64 TiB with the usual clusters. */
#define CLUSTERS_MAX (UINT64_C(1) << 30)

static void add(uint32_t *count, uint32_t more)
{
	*count = more > UINT32_MAX - *count ? UINT32_MAX : *count + more;
}

/* Counts so many references to each cluster of a range. False if that isn't in the file. */
static bool count_any(struct qcow2_walk *walk, uint64_t offset, uint64_t length, uint32_t times,
		      uint8_t mark)
{
	uint64_t first = offset >> walk->image->cluster_bits, last;

	if (!length)
		return true;
	if (offset >= QCOW2_OFFSET_MAX || length > QCOW2_OFFSET_MAX)
		return false;
	last = (offset + length - 1) >> walk->image->cluster_bits;
	if (last >= walk->clusters)
		return false;
	for (; first <= last; first++) {
		add(&walk->counts[first], times);
		walk->marks[first] |= mark;
	}
	return true;
}

static bool count_range(struct qcow2_walk *walk, uint64_t offset, uint64_t length)
{
	return count_any(walk, offset, length, 1, QCOW2_IS_OTHER);
}

/* Whether the file has room for one more upper table of so many bytes: no two are in the same
 * place. */
static bool take_room(struct qcow2_walk *walk, uint64_t bytes)
{
	if (bytes > walk->room)
		return false;
	walk->room -= bytes;
	return true;
}

/* The number of references that were counted to what is at the offset. */
static uint32_t counted(const struct qcow2_walk *walk, uint64_t offset)
{
	uint64_t cluster = offset >> walk->image->cluster_bits;

	return cluster < walk->clusters ? walk->counts[cluster] : 0;
}

static bool cluster_valid(const struct qcow2_walk *walk, uint64_t offset)
{
	return is_aligned(offset, walk->image->cluster_size) &&
	       offset >> walk->image->cluster_bits < walk->clusters;
}

static bool l2_entry_valid(const struct qcow2_walk *walk, uint64_t entry)
{
	uint64_t offset, length;

	if (entry & QCOW2_COMPRESSED) {
		qcow2_entry_packed(walk->image, entry, &offset, &length);
		return offset < QCOW2_OFFSET_MAX &&
		       (offset + length - 1) >> walk->image->cluster_bits < walk->clusters;
	}
	return cluster_valid(walk, entry & QCOW2_OFFSET_MASK);
}

static void count_entry(struct qcow2_walk *walk, uint64_t entry, uint32_t times, bool active)
{
	struct qcow2_findings *findings = walk->findings;
	uint64_t offset = entry & QCOW2_OFFSET_MASK, length = walk->image->cluster_size;

	if (!l2_entry_valid(walk, entry)) {
		walk->bad++;
		return;
	}
	if (entry & QCOW2_COMPRESSED)
		qcow2_entry_packed(walk->image, entry, &offset, &length);
	else if (!offset)
		return;
	findings->allocated += active;
	findings->compressed += active && (entry & QCOW2_COMPRESSED);
	count_any(walk, offset, length, times, QCOW2_IS_OTHER);
}

/* The flag as it ought to be. */
static uint64_t right_flag(const struct qcow2_walk *walk, uint64_t entry)
{
	uint64_t offset = entry & QCOW2_OFFSET_MASK;

	if ((entry & QCOW2_COMPRESSED) || !offset || counted(walk, offset) != 1)
		return entry & ~QCOW2_COPIED;
	return entry | QCOW2_COPIED;
}

/* Looks at one entry of an L2 table; what it is to be. */
static uint64_t visit_entry(struct qcow2_walk *walk, uint64_t entry, uint32_t times, bool active)
{
	switch (walk->pass) {
	case QCOW2_COUNT:
		count_entry(walk, entry, times, active);
		return entry;
	case QCOW2_CLEAR:
		if (l2_entry_valid(walk, entry))
			return entry;
		walk->cleared++;
		return walk->image->header.version >= 3 ? QCOW2_READS_ZERO : 0;
	default:
		if (!active || right_flag(walk, entry) == entry)
			return entry;
		walk->flags++;
		return walk->pass == QCOW2_MEND_FLAGS ? right_flag(walk, entry) : entry;
	}
}

/* One L2 table, to which so many L1 entries refer. A damaged one that is something else as well
 * isn't written. */
static int visit_table(struct qcow2_walk *walk, uint64_t offset, uint32_t times)
{
	struct qcow2 *image = walk->image;
	uint8_t marks = walk->marks[offset >> image->cluster_bits];
	bool changed = false, only_table = !(marks & QCOW2_IS_OTHER);
	bool active = marks & QCOW2_IS_ACTIVE;
	int error = file_read(&image->file, walk->table, image->cluster_size, offset);

	for (uint64_t at = 0; at < image->cluster_size && !error; at += 8) {
		uint64_t entry = qcow2_load64(walk->table + at), now;

		if (!entry)
			continue;
		now = visit_entry(walk, entry, times, active);
		if (now == entry || !only_table)
			continue;
		qcow2_store64(walk->table + at, now);
		changed = true;
	}
	if (changed)
		error = file_write(&image->file, walk->table, image->cluster_size, offset);
	return error;
}

/* One entry of an L1 table; what it is to be. The L2 table below it is visited later. */
static void visit_l1_entry(struct qcow2_walk *walk, uint64_t *entry, bool active)
{
	uint64_t offset = *entry & QCOW2_OFFSET_MASK, cluster = offset >> walk->image->cluster_bits;

	if (!offset && !(*entry & QCOW2_L1_RESERVED))
		return;
	if ((*entry & QCOW2_L1_RESERVED) || !offset || !cluster_valid(walk, offset)) {
		walk->bad += walk->pass == QCOW2_COUNT;
		if (walk->pass != QCOW2_CLEAR)
			return;
		walk->cleared++;
		*entry = 0;
		return;
	}
	if (walk->pass == QCOW2_COUNT)
		count_any(walk, offset, walk->image->cluster_size, 1, active ? QCOW2_IS_ACTIVE : 0);
	if (active && walk->pass >= QCOW2_FLAGS && right_flag(walk, *entry) != *entry) {
		walk->flags++;
		if (walk->pass == QCOW2_MEND_FLAGS)
			*entry = right_flag(walk, *entry);
	}
	add(&walk->tables[cluster], 1);
}

static int visit_l1(struct qcow2_walk *walk, uint64_t offset, uint32_t count, bool active)
{
	struct qcow2 *image = walk->image;
	struct qcow2_top l1;
	bool alone;
	int error;

	if ((uint64_t)count * 8 > QCOW2_L1_MAX || !is_aligned(offset, image->cluster_size) ||
	    (count &&
	     (offset >= QCOW2_OFFSET_MAX ||
	      (offset + (uint64_t)count * 8 - 1) >> image->cluster_bits >= walk->clusters))) {
		walk->bad += walk->pass == QCOW2_COUNT;
		return 0;
	}
	if (!take_room(walk, (uint64_t)count * 8)) {
		walk->bad += walk->pass == QCOW2_COUNT;
		return 0;
	}
	if (walk->pass == QCOW2_COUNT)
		count_range(walk, offset, (uint64_t)count * 8);
	error = qcow2_top_read(&l1, &image->file, offset, count);
	if (error)
		return error;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t entry = l1.entries[i];

		visit_l1_entry(walk, &entry, active);
		alone = counted(walk, offset + (uint64_t)i * 8) == 1;
		if (entry != l1.entries[i] && alone)
			qcow2_top_set(&l1, i, entry);
	}
	if (l1.dirty_count)
		error = qcow2_top_write(&l1, &image->file);
	qcow2_top_destroy(&l1);
	return error;
}

static int visit_snapshots(struct qcow2_walk *walk)
{
	struct qcow2_snapshot *list;
	unsigned count;
	uint64_t length;
	int error = qcow2_snapshot_table(walk->image, &list, &count, &length);

	if (error == -EINVAL) {
		walk->bad += walk->pass == QCOW2_COUNT;
		return 0;
	}
	if (!error && walk->pass == QCOW2_COUNT)
		count_range(walk, walk->image->header.snapshot_offset, length);
	for (unsigned i = 0; i < count && !error; i++)
		error = visit_l1(walk, list[i].l1_offset, list[i].l1_size, false);
	free(list);
	return error;
}

static int visit_tables(struct qcow2_walk *walk)
{
	int error = 0;

	for (uint64_t i = 0; i < walk->clusters && !error; i++) {
		uint32_t times = walk->tables[i];

		if (!times)
			continue;
		walk->tables[i] = 0;
		error = visit_table(walk, i << walk->image->cluster_bits, times);
	}
	return error;
}

int qcow2_walk_tables(struct qcow2_walk *walk, enum qcow2_pass pass)
{
	const struct qcow2_header *header = &walk->image->header;
	int error;

	walk->pass = pass;
	walk->room = walk->clusters << walk->image->cluster_bits;
	error = visit_l1(walk, header->l1_offset, header->l1_size, true);
	/* The flags of snapshots' tables are as they are. */
	if (!error && pass < QCOW2_FLAGS)
		error = visit_snapshots(walk);
	return error ? error : visit_tables(walk);
}

int qcow2_walk_block(struct qcow2_walk *walk, uint64_t entry, uint8_t *bytes, bool *there)
{
	*there = entry && cluster_valid(walk, entry);
	return *there ? file_read(&walk->image->file, bytes, walk->image->cluster_size, entry) : 0;
}

static void count_refcounts(struct qcow2_walk *walk)
{
	const struct qcow2 *image = walk->image;
	const struct qcow2_top *table = &image->refcount_table;

	if (!count_range(walk, table->offset,
			 (uint64_t)image->header.refcount_clusters << image->cluster_bits))
		walk->bad++;
	for (uint32_t i = 0; i < table->count; i++) {
		if (!table->entries[i])
			continue;
		if (cluster_valid(walk, table->entries[i]))
			count_range(walk, table->entries[i], image->cluster_size);
		else
			walk->bad++;
	}
}

/* The bitmaps of another program: a directory of them, of which each has a table. */
static int count_bitmap(struct qcow2_walk *walk, const uint8_t *entry)
{
	uint64_t offset = qcow2_load64(entry);
	uint32_t count = qcow2_load32(entry + 8);
	struct qcow2_top table;
	int error;

	if ((uint64_t)count * 8 > QCOW2_L1_MAX || !cluster_valid(walk, offset) ||
	    !take_room(walk, (uint64_t)count * 8) ||
	    !count_range(walk, offset, (uint64_t)count * 8)) {
		walk->bad++;
		return 0;
	}
	error = qcow2_top_read(&table, &walk->image->file, offset, count);
	if (error)
		return error;
	for (uint32_t i = 0; i < count; i++) {
		offset = table.entries[i] & QCOW2_OFFSET_MASK;
		if (offset && !count_range(walk, offset, walk->image->cluster_size))
			walk->bad++;
	}
	qcow2_top_destroy(&table);
	return 0;
}

static int count_bitmaps(struct qcow2_walk *walk)
{
	enum { ENTRY = 24, NAME_LENGTH = 18, EXTRA_LENGTH = 20, DIRECTORY_MAX = 64 << 20 };
	const struct qcow2_header *header = &walk->image->header;
	uint64_t at = 0, length = header->bitmap_directory_size;
	uint8_t entry[ENTRY];
	int error = 0;

	if (!header->bitmap_count)
		return 0;
	if (length > DIRECTORY_MAX || !cluster_valid(walk, header->bitmap_directory) ||
	    !count_range(walk, header->bitmap_directory, length)) {
		walk->bad++;
		return 0;
	}
	for (uint32_t i = 0; i < header->bitmap_count && !error; i++) {
		if (!range_within(at, ENTRY, length)) {
			walk->bad++;
			return 0;
		}
		error = file_read(&walk->image->file, entry, ENTRY, header->bitmap_directory + at);
		if (!error)
			error = count_bitmap(walk, entry);
		at += align_up(ENTRY + qcow2_load16(entry + NAME_LENGTH) +
				       (uint64_t)qcow2_load32(entry + EXTRA_LENGTH),
			       8);
	}
	return error;
}

int qcow2_walk_count(struct qcow2_walk *walk)
{
	int error;

	memset(walk->counts, 0, walk->clusters * sizeof(*walk->counts));
	memset(walk->marks, 0, walk->clusters);
	walk->bad = 0;
	walk->findings->allocated = walk->findings->compressed = 0;
	count_range(walk, 0, walk->image->cluster_size);
	error = qcow2_walk_tables(walk, QCOW2_COUNT);
	count_refcounts(walk);
	return error ? error : count_bitmaps(walk);
}

/* The refcounts of one block against what was counted. */
static void compare_block(struct qcow2_walk *walk, uint64_t first, const uint8_t *bytes)
{
	const struct qcow2 *image = walk->image;
	uint64_t entries = BIT(image->cluster_bits + 3 - image->header.refcount_order);

	for (uint64_t i = 0; i < entries; i++) {
		uint64_t said =
			bytes ? qcow2_refcount_load(bytes, i, image->header.refcount_order) : 0;
		uint64_t is = first + i < walk->clusters ? walk->counts[first + i] : 0;

		walk->findings->leaks += said > is;
		walk->findings->corruptions += said < is;
	}
}

static int compare(struct qcow2_walk *walk)
{
	const struct qcow2 *image = walk->image;
	unsigned bits = image->cluster_bits + 3 - image->header.refcount_order;
	const struct qcow2_top *table = &image->refcount_table;
	uint64_t blocks = (walk->clusters + bits_mask(bits)) >> bits;
	uint8_t *bytes = malloc(image->cluster_size);
	int error = bytes ? 0 : -ENOMEM;
	bool there;

	walk->room = walk->clusters << image->cluster_bits;
	for (uint64_t i = 0; (i < blocks || i < table->count) && !error; i++) {
		there = false;
		/* Two entries of the same block are found by its refcount. */
		if (i < table->count && table->entries[i] && take_room(walk, image->cluster_size))
			error = qcow2_walk_block(walk, table->entries[i], bytes, &there);
		if (!error && (there || i < blocks))
			compare_block(walk, i << bits, there ? bytes : NULL);
	}
	free(bytes);
	return error;
}

static int start_walk(struct qcow2_walk *walk)
{
	struct qcow2 *image = walk->image;
	struct stat status;

	if (fstat(image->file.descriptor, &status))
		return -EIO;
	if (!image->file.block_device)
		image->file_size = (uint64_t)status.st_size;
	if (image->file_size >> image->cluster_bits >= CLUSTERS_MAX)
		return -EFBIG;
	/* A cluster that the file hasn't yet is nothing bad. */
	walk->clusters =
		(align_up(image->file_size, image->cluster_size) >> image->cluster_bits) + 1;
	walk->counts = calloc(walk->clusters, sizeof(*walk->counts));
	walk->tables = calloc(walk->clusters, sizeof(*walk->tables));
	walk->marks = calloc(walk->clusters, sizeof(*walk->marks));
	walk->table = malloc(image->cluster_size);
	return walk->counts && walk->tables && walk->marks && walk->table ? 0 : -ENOMEM;
}

static void end_walk(struct qcow2_walk *walk)
{
	free(walk->counts);
	free(walk->tables);
	free(walk->marks);
	free(walk->table);
	walk->counts = walk->tables = NULL;
	walk->marks = walk->table = NULL;
}

static void find_end(struct qcow2_walk *walk)
{
	uint64_t end = walk->clusters;

	while (end && !walk->counts[end - 1])
		end--;
	walk->findings->end = end << walk->image->cluster_bits;
	walk->findings->clusters =
		(walk->image->size + walk->image->cluster_size - 1) >> walk->image->cluster_bits;
}

/* Compares all that there is, in findings. */
static int look(struct qcow2_walk *walk)
{
	struct qcow2_findings *findings = walk->findings;
	int error = qcow2_walk_count(walk);

	*findings = (struct qcow2_findings){.allocated = findings->allocated,
					    .compressed = findings->compressed};
	walk->flags = 0;
	if (!error)
		error = compare(walk);
	if (!error)
		error = qcow2_walk_tables(walk, QCOW2_FLAGS);
	findings->corruptions += walk->bad + walk->flags;
	findings->left = findings->corruptions;
	find_end(walk);
	return error;
}

static int mend(struct qcow2_walk *walk)
{
	struct qcow2 *image = walk->image;
	int error = 0;

	if (walk->bad) {
		error = qcow2_walk_tables(walk, QCOW2_CLEAR);
		if (!error)
			error = qcow2_walk_count(walk);
	}
	if (!error)
		error = qcow2_rebuild_refcounts(walk);
	if (!error)
		error = qcow2_walk_tables(walk, QCOW2_MEND_FLAGS);
	if (!error)
		error = file_flush(&image->file);
	return error ? error : qcow2_reload(image);
}

/* Mends, and looks again. */
static int mend_and_look(struct qcow2_walk *walk)
{
	struct qcow2_findings before = *walk->findings, *findings = walk->findings;
	uint64_t found = before.corruptions + before.leaks, left;
	int error = mend(walk);

	end_walk(walk);
	if (!error)
		error = start_walk(walk);
	if (!error)
		error = look(walk);
	left = findings->corruptions + findings->leaks;
	findings->left = findings->corruptions;
	findings->lost = walk->cleared;
	findings->repaired = left < found ? found - left : 0;
	findings->corruptions = before.corruptions;
	findings->leaks = before.leaks;
	return error;
}

static int repair(struct qcow2_walk *walk)
{
	struct qcow2_header *header = &walk->image->header;
	uint64_t marks = header->incompatible & (QCOW2_DIRTY | QCOW2_CORRUPT);
	int error = 0;

	if (walk->findings->corruptions || walk->findings->leaks)
		error = mend_and_look(walk);
	if (error || walk->findings->left)
		return error;
	if (marks)
		error = qcow2_clear_features(walk->image, QCOW2_AT_INCOMPATIBLE,
					     &header->incompatible, marks);
	if (!error)
		atomic_store(&walk->image->corrupt, false);
	return error;
}

int qcow2_check(struct qcow2 *image, bool mend_it, struct qcow2_findings *findings)
{
	struct qcow2_walk walk = {.image = image, .findings = findings};
	int error = 0;

	memset(findings, 0, sizeof(*findings));
	if (mend_it && image->read_only)
		return -EROFS;
	if (mend_it && image->header.autoclear) {
		error = qcow2_clear_features(image, QCOW2_AT_AUTOCLEAR, &image->header.autoclear,
					     image->header.autoclear);
		image->header.bitmap_count = 0;
	}
	if (!error)
		error = start_walk(&walk);
	if (!error)
		error = look(&walk);
	if (!error && mend_it)
		error = repair(&walk);
	end_walk(&walk);
	return error;
}
