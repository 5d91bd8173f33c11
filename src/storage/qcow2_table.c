/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/qcow2_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/bits.h"
#include "storage/file.h"
#include "storage/qcow2_header.h"

enum { SLICES_MIN = 64, CROWDED = 2 /* half of the slices */ };

int qcow2_cache_init(struct qcow2_cache *cache, unsigned slice_size, size_t bytes)
{
	size_t capacity = bytes / slice_size;

	memset(cache, 0, sizeof(*cache));
	cache->slice_size = slice_size;
	cache->capacity = (unsigned)(capacity > SLICES_MIN ? capacity : SLICES_MIN);
	cache->buckets = 1;
	while (cache->buckets < cache->capacity)
		cache->buckets *= 2;
	cache->slices = calloc(cache->capacity, sizeof(*cache->slices));
	cache->bucket = calloc(cache->buckets, sizeof(struct qcow2_slice *));
	/* Untouched, it takes no memory. */
	cache->memory = mmap(NULL, (size_t)cache->capacity * slice_size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (cache->memory == MAP_FAILED)
		cache->memory = NULL;
	return cache->slices && cache->bucket && cache->memory ? 0 : -ENOMEM;
}

void qcow2_cache_destroy(struct qcow2_cache *cache)
{
	if (cache->memory)
		munmap(cache->memory, (size_t)cache->capacity * cache->slice_size);
	free(cache->slices);
	free(cache->bucket);
	memset(cache, 0, sizeof(*cache));
}

static struct qcow2_slice **bucket_of(struct qcow2_cache *cache, uint64_t offset)
{
	uint64_t hash = offset / cache->slice_size * UINT64_C(0x9e3779b97f4a7c15);

	return &cache->bucket[(hash >> 32) & (cache->buckets - 1)];
}

struct qcow2_slice *qcow2_cache_find(struct qcow2_cache *cache, uint64_t offset)
{
	struct qcow2_slice *slice = *bucket_of(cache, offset);

	while (slice && slice->offset != offset)
		slice = slice->next;
	if (slice)
		slice->recent = true;
	return slice;
}

static void unlink_slice(struct qcow2_cache *cache, struct qcow2_slice *slice)
{
	struct qcow2_slice **link = bucket_of(cache, slice->offset);

	while (*link != slice)
		link = &(*link)->next;
	*link = slice->next;
	slice->used = false;
}

/* One that isn't in use, or that the file has as well. The hand passes twice by what was used
 * lately. NULL: none, which is so only if more is dirty than there ought to be. */
static struct qcow2_slice *give_up_one(struct qcow2_cache *cache)
{
	for (unsigned i = 0; i < cache->count * 2; i++) {
		struct qcow2_slice *slice = &cache->slices[cache->hand % cache->count];

		cache->hand = (cache->hand + 1) % cache->count;
		if (!slice->used)
			return slice;
		if (slice->dirty || slice->writing)
			continue;
		if (!slice->recent) {
			unlink_slice(cache, slice);
			return slice;
		}
		slice->recent = false;
	}
	return NULL;
}

static struct qcow2_slice *take_one(struct qcow2_cache *cache)
{
	struct qcow2_slice *slice;

	if (cache->count == cache->capacity)
		return give_up_one(cache);
	slice = &cache->slices[cache->count];
	slice->bytes = cache->memory + (size_t)cache->count++ * cache->slice_size;
	return slice;
}

int qcow2_cache_get(struct qcow2_cache *cache, struct file *file, uint64_t offset,
		    struct qcow2_slice **result)
{
	struct qcow2_slice *slice = qcow2_cache_find(cache, offset);
	struct qcow2_slice **bucket = bucket_of(cache, offset);
	int error;

	*result = slice;
	if (slice)
		return 0;
	slice = take_one(cache);
	if (!slice)
		return -ENOMEM;
	error = file_read(file, slice->bytes, cache->slice_size, offset);
	if (error)
		return error;
	slice->offset = offset;
	slice->used = slice->recent = true;
	slice->dirty = slice->writing = false;
	slice->next = *bucket;
	*bucket = slice;
	*result = slice;
	return 0;
}

void qcow2_cache_dirty(struct qcow2_cache *cache, struct qcow2_slice *slice)
{
	cache->busy += !slice->dirty && !slice->writing;
	slice->dirty = true;
}

void qcow2_cache_taken(struct qcow2_slice *slice)
{
	slice->dirty = false;
	slice->writing = true;
}

void qcow2_cache_written(struct qcow2_cache *cache, struct qcow2_slice *slice, bool failed)
{
	slice->writing = false;
	slice->dirty |= failed;
	cache->busy -= !slice->dirty;
}

bool qcow2_cache_crowded(const struct qcow2_cache *cache)
{
	return cache->busy > cache->capacity / CROWDED;
}

void qcow2_cache_forget(struct qcow2_cache *cache, uint64_t offset, uint64_t length)
{
	for (uint64_t at = 0; at < length; at += cache->slice_size) {
		struct qcow2_slice *slice = qcow2_cache_find(cache, offset + at);

		/* One that is being written is the flush's until it is done; its contents are then
		 * what the table said last, which nobody reads. */
		if (!slice || slice->writing)
			continue;
		cache->busy -= slice->dirty;
		slice->dirty = false;
		unlink_slice(cache, slice);
	}
}

void qcow2_cache_empty(struct qcow2_cache *cache)
{
	for (unsigned i = 0; i < cache->count; i++)
		cache->slices[i].used = cache->slices[i].dirty = cache->slices[i].writing = false;
	memset(cache->bucket, 0, cache->buckets * sizeof(struct qcow2_slice *));
	cache->busy = 0;
}

/* Upper tables */

static uint32_t sectors(uint32_t count)
{
	return count / QCOW2_SECTOR_ENTRIES + (count % QCOW2_SECTOR_ENTRIES != 0);
}

int qcow2_top_make(struct qcow2_top *top, uint64_t offset, uint32_t count)
{
	memset(top, 0, sizeof(*top));
	top->offset = offset;
	top->count = count;
	/* One more than there are, for no count is wrong, but an allocation of nothing is odd. */
	top->entries = calloc((size_t)count + 1, sizeof(*top->entries));
	top->dirty = calloc((size_t)sectors(count) + 1, 1);
	if (top->entries && top->dirty)
		return 0;
	qcow2_top_destroy(top);
	return -ENOMEM;
}

int qcow2_top_read(struct qcow2_top *top, struct file *file, uint64_t offset, uint32_t count)
{
	int error = qcow2_top_make(top, offset, count);

	if (!error)
		error = file_read(file, top->entries, (size_t)count * 8, offset);
	for (uint32_t i = 0; !error && i < count; i++)
		top->entries[i] = qcow2_load64(&top->entries[i]);
	if (error)
		qcow2_top_destroy(top);
	return error;
}

void qcow2_top_destroy(struct qcow2_top *top)
{
	free(top->entries);
	free(top->dirty);
	memset(top, 0, sizeof(*top));
}

void qcow2_top_dirty(struct qcow2_top *top, uint32_t sector)
{
	top->dirty_count += !top->dirty[sector];
	top->dirty[sector] = 1;
}

void qcow2_top_set(struct qcow2_top *top, uint32_t index, uint64_t entry)
{
	top->entries[index] = entry;
	qcow2_top_dirty(top, index / QCOW2_SECTOR_ENTRIES);
}

unsigned qcow2_top_sector(const struct qcow2_top *top, uint32_t sector, uint8_t *bytes)
{
	uint32_t first = sector * QCOW2_SECTOR_ENTRIES;
	uint32_t count = top->count - first < QCOW2_SECTOR_ENTRIES ? top->count - first
								   : QCOW2_SECTOR_ENTRIES;

	for (uint32_t i = 0; i < count; i++)
		qcow2_store64(bytes + i * 8, top->entries[first + i]);
	return count * 8;
}

int qcow2_top_write(struct qcow2_top *top, struct file *file)
{
	uint8_t bytes[QCOW2_SECTOR];

	for (uint32_t sector = 0; sector < sectors(top->count); sector++) {
		unsigned length = qcow2_top_sector(top, sector, bytes);
		int error = file_write(file, bytes, length,
				       top->offset + (uint64_t)sector * QCOW2_SECTOR);

		if (error)
			return error;
		top->dirty[sector] = 0;
	}
	top->dirty_count = 0;
	return 0;
}
