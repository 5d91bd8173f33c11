/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables reach the file in this order, so that it is sound wherever it stops (at the worst there
 * are clusters with too high a refcount, which are leaked):
 *
 *	1. refcount blocks
 *	2. a barrier, if there are new blocks; then the refcount table, which refers to them
 *	3. a barrier, for guest data and the first contents of new L2 tables as well, which were
 *	   written when they were made
 *	4. L2 tables and the L1 table, which refer to what steps 1 to 3 have made sure of
 *	5. a barrier
 *	6. what nothing refers to any more is given up: its refcounts go down, in memory
 *
 * A barrier is fdatasync. All tables are copied at one instant, with the lock; from then on, guests
 * go on. Refcounts may be written at any time: they only ever go up before step 4, and down after
 * step 5.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/qcow2_image.h"

enum { RELEASES_MANY = 4096 };

/* Where a copy is from. */
struct copy {
	uint64_t offset;
	unsigned length;
	struct qcow2_slice *slice; /* or: */
	uint32_t sector;
	uint8_t *bytes;
};

/* What one flush writes of one table. */
struct copies {
	struct copy *list;
	size_t count;
	uint8_t *bytes;
};

struct flush {
	struct qcow2 *image;
	struct copies refcounts, refcount_table, l2, l1;
	size_t releases; /* that will be of no use any more after it */
};

bool qcow2_crowded(const struct qcow2 *image)
{
	return qcow2_cache_crowded(&image->l2) || qcow2_cache_crowded(&image->refcounts) ||
	       image->releases.count + image->released.count > RELEASES_MANY;
}

static int make_copies(struct copies *copies, size_t count, size_t size)
{
	copies->list = calloc(count + 1, sizeof(*copies->list));
	copies->bytes = malloc(count * size + 1);
	return copies->list && copies->bytes ? 0 : -ENOMEM;
}

static void free_copies(struct copies *copies)
{
	free(copies->list);
	free(copies->bytes);
}

static int copy_cache(struct copies *copies, struct qcow2_cache *cache)
{
	int error = make_copies(copies, cache->busy, cache->slice_size);

	for (unsigned i = 0; i < cache->count && !error && copies->count < cache->busy; i++) {
		struct qcow2_slice *slice = &cache->slices[i];
		uint8_t *bytes = copies->bytes + copies->count * cache->slice_size;

		if (!slice->used || !slice->dirty)
			continue;
		memcpy(bytes, slice->bytes, cache->slice_size);
		copies->list[copies->count++] = (struct copy){.offset = slice->offset,
							      .length = cache->slice_size,
							      .slice = slice,
							      .bytes = bytes};
	}
	return error;
}

static int copy_top(struct copies *copies, const struct qcow2_top *top)
{
	int error = make_copies(copies, top->dirty_count, QCOW2_SECTOR);

	for (uint32_t sector = 0; !error && copies->count < top->dirty_count; sector++) {
		uint8_t *bytes = copies->bytes + copies->count * QCOW2_SECTOR;

		if (!top->dirty[sector])
			continue;
		copies->list[copies->count++] =
			(struct copy){.offset = top->offset + (uint64_t)sector * QCOW2_SECTOR,
				      .length = qcow2_top_sector(top, sector, bytes),
				      .sector = sector,
				      .bytes = bytes};
	}
	return error;
}

static void taken_cache(const struct copies *copies)
{
	for (size_t i = 0; i < copies->count; i++)
		qcow2_cache_taken(copies->list[i].slice);
}

static void taken_top(const struct copies *copies, struct qcow2_top *top)
{
	for (size_t i = 0; i < copies->count; i++)
		top->dirty[copies->list[i].sector] = 0;
	top->dirty_count = 0;
}

/* With the lock. Either all is taken, or nothing. */
static int take(struct flush *flush)
{
	struct qcow2 *image = flush->image;
	int error = copy_cache(&flush->refcounts, &image->refcounts);

	if (!error)
		error = copy_top(&flush->refcount_table, &image->refcount_table);
	if (!error)
		error = copy_cache(&flush->l2, &image->l2);
	if (!error)
		error = copy_top(&flush->l1, &image->l1);
	if (error)
		return error;
	taken_cache(&flush->refcounts);
	taken_top(&flush->refcount_table, &image->refcount_table);
	taken_cache(&flush->l2);
	taken_top(&flush->l1, &image->l1);
	flush->releases = image->releases_taken = image->releases.count;
	return 0;
}

static int write_copies(struct qcow2 *image, const struct copies *copies)
{
	int error = 0;

	for (size_t i = 0; i < copies->count && !error; i++)
		error = file_write(&image->file, copies->list[i].bytes, copies->list[i].length,
				   copies->list[i].offset);
	return error;
}

static int write_all(struct flush *flush)
{
	struct qcow2 *image = flush->image;
	int error = write_copies(image, &flush->refcounts);

	if (!error && flush->refcount_table.count)
		error = file_flush(&image->file);
	if (!error)
		error = write_copies(image, &flush->refcount_table);
	if (!error)
		error = file_flush(&image->file);
	if (error || !(flush->l2.count + flush->l1.count))
		return error;
	error = write_copies(image, &flush->l2);
	if (!error)
		error = write_copies(image, &flush->l1);
	return error ? error : file_flush(&image->file);
}

static void written_cache(struct copies *copies, struct qcow2_cache *cache, bool failed)
{
	for (size_t i = 0; i < copies->count; i++)
		qcow2_cache_written(cache, copies->list[i].slice, failed);
}

static void written_top(const struct copies *copies, struct qcow2_top *top, bool failed)
{
	for (size_t i = 0; failed && i < copies->count; i++)
		qcow2_top_dirty(top, copies->list[i].sector);
}

/* With the lock: moves the first releases to those that nothing in the file refers to. */
static int move_releases(struct qcow2 *image, size_t count)
{
	struct qcow2_releases *from = &image->releases, *to = &image->released;

	if (!count)
		return 0;
	if (to->room < to->count + count) {
		struct qcow2_release *list = realloc(to->list, (to->count + count) * sizeof(*list));

		if (!list)
			return -ENOMEM;
		to->list = list;
		to->room = to->count + count;
	}
	memcpy(to->list + to->count, from->list, count * sizeof(*to->list));
	to->count += count;
	from->count -= count;
	memmove(from->list, from->list + count, from->count * sizeof(*from->list));
	return 0;
}

/* With the lock, which it gives away meanwhile: waits until all reads and writes that had begun are
 * done. */
static void await_users(struct qcow2 *image)
{
	unsigned old = image->generation++ & 1;

	pthread_mutex_unlock(&image->lock);
	pthread_mutex_lock(&image->users_lock);
	atomic_store(&image->users_awaited, true);
	while (atomic_load(&image->users[old]))
		pthread_cond_wait(&image->users_gone, &image->users_lock);
	atomic_store(&image->users_awaited, false);
	pthread_mutex_unlock(&image->users_lock);
	pthread_mutex_lock(&image->lock);
}

/* Gives the file system what is free then: it is still ours alone. With the lock, which it gives
 * away meanwhile. */
static void give_back_space(struct qcow2 *image, const struct qcow2_release *release)
{
	uint64_t cluster = release->offset >> image->cluster_bits;
	uint64_t end = cluster + (release->length >> image->cluster_bits), count = 1;

	while (cluster < end) {
		uint64_t first = cluster;

		while (cluster < end && !qcow2_refcount_get(image, cluster, &count) && count == 1)
			cluster++;
		if (cluster > first && !qcow2_is_vital(image, first << image->cluster_bits,
						       (cluster - first) << image->cluster_bits)) {
			pthread_mutex_unlock(&image->lock);
			/* Advice: if it fails, there's only less room. */
			file_discard(&image->file, first << image->cluster_bits,
				     (cluster - first) << image->cluster_bits);
			pthread_mutex_lock(&image->lock);
		}
		cluster += cluster < end;
	}
}

/* With the lock. As many as may be, for refcounts become dirty by it. */
static int apply_released(struct qcow2 *image)
{
	struct qcow2_releases *released = &image->released;
	int error = 0;

	if (!released->count)
		return 0;
	await_users(image);
	while (released->count && !error && !qcow2_cache_crowded(&image->refcounts)) {
		struct qcow2_release release = released->list[released->count - 1];
		uint64_t cluster = release.offset >> image->cluster_bits;

		give_back_space(image, &release);
		released->count--;
		for (; release.length && !error; release.length -= image->cluster_size)
			error = qcow2_refcount_change(image, cluster++, -1);
	}
	return error;
}

/* With the lock. */
static bool is_clean(const struct qcow2 *image)
{
	return !image->l2.busy && !image->refcounts.busy && !image->l1.dirty_count &&
	       !image->refcount_table.dirty_count && !image->releases.count &&
	       !image->released.count;
}

static int flush_dirty(struct qcow2 *image)
{
	struct flush flush = {.image = image};
	int error = take(&flush);

	if (!error) {
		pthread_mutex_unlock(&image->lock);
		error = write_all(&flush);
		pthread_mutex_lock(&image->lock);
		written_cache(&flush.refcounts, &image->refcounts, error);
		written_top(&flush.refcount_table, &image->refcount_table, error);
		written_cache(&flush.l2, &image->l2, error);
		written_top(&flush.l1, &image->l1, error);
	}
	free_copies(&flush.refcounts);
	free_copies(&flush.refcount_table);
	free_copies(&flush.l2);
	free_copies(&flush.l1);
	image->releases_taken = 0;
	if (!error)
		error = move_releases(image, flush.releases);
	if (!error)
		error = apply_released(image);
	return error;
}

bool qcow2_flushed(struct qcow2 *image)
{
	bool clean;

	pthread_mutex_lock(&image->lock);
	clean = is_clean(image);
	pthread_mutex_unlock(&image->lock);
	return clean;
}

int qcow2_flush_tables(struct qcow2 *image)
{
	bool clean;
	int error = 0;

	if (image->read_only)
		return 0;
	pthread_mutex_lock(&image->flushing);
	pthread_mutex_lock(&image->lock);
	clean = is_clean(image);
	if (!clean)
		error = atomic_load(&image->corrupt) ? -EIO : flush_dirty(image);
	pthread_mutex_unlock(&image->lock);
	if (clean)
		error = file_flush(&image->file);
	pthread_mutex_unlock(&image->flushing);
	return error;
}
