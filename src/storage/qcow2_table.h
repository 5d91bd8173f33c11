/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A qcow2 image's tables in memory. There are two levels of each kind: the L1 table tells where L2
 * tables are, the refcount table where refcount blocks are. The upper ones are in memory whole
 * (struct qcow2_top); of the lower ones a bounded number of slices is (struct qcow2_cache). What
 * was changed is only marked here; qcow2_flush.c writes it, in the right order.
 *
 * All of this belongs to whoever holds the image's lock.
 */
#ifndef STORAGE_QCOW2_TABLE_H
#define STORAGE_QCOW2_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file;

/* A piece of a lower table, as it is in the file. */
struct qcow2_slice {
	uint64_t offset;
	uint8_t *bytes;
	struct qcow2_slice *next; /* of the same bucket */
	bool used, recent;
	bool dirty;   /* not yet as in the file */
	bool writing; /* a flush has a copy that isn't in the file yet */
};

struct qcow2_cache {
	unsigned slice_size; /* bytes, a power of two */
	unsigned capacity;   /* slices */
	unsigned count;	     /* of them made so far */
	unsigned hand;	     /* where the search for one to give up goes on */
	unsigned busy;	     /* dirty or writing */
	unsigned buckets;    /* a power of two */
	struct qcow2_slice *slices, **bucket;
	uint8_t *memory;
};

/* 0 or -ENOMEM. It takes at most `bytes` of memory for slices. */
int qcow2_cache_init(struct qcow2_cache *cache, unsigned slice_size, size_t bytes);
void qcow2_cache_destroy(struct qcow2_cache *cache);

/* The slice at that offset of the file (a multiple of their size) if it is in memory, or NULL. */
struct qcow2_slice *qcow2_cache_find(struct qcow2_cache *cache, uint64_t offset);

/* The same, and reads it if need be. 0 or a negative errno. It stays valid until the next call. */
int qcow2_cache_get(struct qcow2_cache *cache, struct file *file, uint64_t offset,
		    struct qcow2_slice **slice);

void qcow2_cache_dirty(struct qcow2_cache *cache, struct qcow2_slice *slice);

/* A flush takes a dirty slice's contents; it has been written (then a failure makes it dirty). */
void qcow2_cache_taken(struct qcow2_slice *slice);
void qcow2_cache_written(struct qcow2_cache *cache, struct qcow2_slice *slice, bool failed);

/* So much is dirty that whoever goes on to change tables should flush first. */
bool qcow2_cache_crowded(const struct qcow2_cache *cache);

/* Forgets what is there of a range of the file, which is no table any more. */
void qcow2_cache_forget(struct qcow2_cache *cache, uint64_t offset, uint64_t length);

/* Forgets everything; nothing is being written. */
void qcow2_cache_empty(struct qcow2_cache *cache);

enum { QCOW2_SECTOR = 512, QCOW2_SECTOR_ENTRIES = QCOW2_SECTOR / 8 };

/* An upper table. The entries are in the processor's order. */
struct qcow2_top {
	uint64_t offset; /* in the file */
	uint32_t count;
	uint64_t *entries;
	uint8_t *dirty; /* one for each sector of entries */
	uint32_t dirty_count;
};

/* Reads it: 0 or a negative errno. */
int qcow2_top_read(struct qcow2_top *top, struct file *file, uint64_t offset, uint32_t count);
/* One of zeroes, none of them dirty. */
int qcow2_top_make(struct qcow2_top *top, uint64_t offset, uint32_t count);
void qcow2_top_destroy(struct qcow2_top *top);
void qcow2_top_set(struct qcow2_top *top, uint32_t index, uint64_t entry);
void qcow2_top_dirty(struct qcow2_top *top, uint32_t sector);
/* Sector's entries as they are in the file: up to QCOW2_SECTOR bytes; how many. */
unsigned qcow2_top_sector(const struct qcow2_top *top, uint32_t sector, uint8_t *bytes);
/* Writes all of it, and leaves it clean. 0 or a negative errno. */
int qcow2_top_write(struct qcow2_top *top, struct file *file);

#endif
