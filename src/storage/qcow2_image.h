/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An open qcow2 image, for the files qcow2_*.c alone; everybody else includes qcow2.h.
 *
 * `lock` is held for what looks at or changes tables, and while a table is read from the file; not
 * while guest data is read or written, and not while anything is flushed. Functions here are called
 * with the lock held unless they say otherwise. What is in use without the lock is kept from being
 * given to somebody else by two things: guest clusters that are being made are listed in `making`,
 * and host clusters that were given up can be had again only after the reads and writes that had
 * begun by then (`users`).
 */
#ifndef STORAGE_QCOW2_IMAGE_H
#define STORAGE_QCOW2_IMAGE_H

#include <pthread.h>
#include <stdatomic.h>

#include "lib/bits.h"
#include "storage/file.h"
#include "storage/qcow2.h"
#include "storage/qcow2_chain.h"
#include "storage/qcow2_compressed.h"
#include "storage/qcow2_header.h"
#include "storage/qcow2_table.h"

struct backing;

/* Guest clusters first to last are being given host clusters. */
struct qcow2_making {
	uint64_t first, last;
	struct qcow2_making *next;
};

/* Whole host clusters that one reference is to be taken from, after what referred to them has gone
 * from the file. */
struct qcow2_release {
	uint64_t offset, length;
};
struct qcow2_releases {
	struct qcow2_release *list;
	size_t count, room;
};

struct qcow2 {
	struct file file;
	char *path;
	bool read_only;
	atomic_bool corrupt; /* found to be: nothing is written any more */
	struct qcow2_header header;
	unsigned cluster_bits;
	uint64_t cluster_size;
	uint64_t size; /* of the guest's disk */
	struct backing *backing;
	struct qcow2_unpacked unpacked; /* has a lock of its own */

	pthread_mutex_t flushing; /* taken before lock: one flush at a time */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* making */
	struct qcow2_top l1, refcount_table;
	struct qcow2_cache l2, refcounts;
	struct qcow2_making *making;
	uint64_t free_hint;		/* no cluster below this one is free */
	uint64_t fresh_from;		/* byte from which on nobody has written to the file */
	uint64_t file_size;		/* at least so long */
	uint64_t packed_at;		/* where the next compressed cluster may begin */
	struct qcow2_releases releases; /* what refers to them may still be in the file */
	struct qcow2_releases released; /* not any more */
	size_t releases_taken;		/* the first so many of releases are a flush's */
	unsigned generation;
	atomic_uint users[2]; /* reads and writes of odd and even generations */
	atomic_bool users_awaited;
	pthread_mutex_t users_lock; /* of who awaits them */
	pthread_cond_t users_gone;
};

/* qcow2.c */

/* Something in the image can't be: says so once, marks it in the file, lets nothing be written any
 * more. -EIO. With or without the lock. */
int qcow2_found_corrupt(struct qcow2 *image, const char *what, uint64_t where);

/* Whether a host range has something in common with header, L1 table or refcount table. */
bool qcow2_is_vital(const struct qcow2 *image, uint64_t offset, uint64_t length);

/* qcow2_refcount.c: numbers of clusters in the file, and how often each is referred to */

int qcow2_refcount_get(struct qcow2 *image, uint64_t cluster, uint64_t *count);
/* One reference more or less. -EIO: that can't be. */
int qcow2_refcount_change(struct qcow2 *image, uint64_t cluster, int by);
/*
 * Takes up to `want` free clusters, one behind the other, with one reference each: *offset, and how
 * many in *got. *fresh: nobody has written there yet, so the file reads as zeroes. The file is long
 * enough for them afterwards.
 */
int qcow2_allocate(struct qcow2 *image, uint64_t want, uint64_t *offset, uint64_t *got,
		   bool *fresh);
/* Gives back at once what nothing in the file refers to. */
void qcow2_unallocate(struct qcow2 *image, uint64_t offset, uint64_t clusters);
/* Takes a reference from host clusters when what refers to them now has gone from the file. */
int qcow2_release(struct qcow2 *image, uint64_t offset, uint64_t length);
/* The same for what an L2 entry refers to. */
int qcow2_release_entry(struct qcow2 *image, uint64_t entry);
/* A refcount in a block's bytes; orders 0 (one bit) to 6 (64 bits). */
uint64_t qcow2_refcount_load(const uint8_t *block, uint64_t index, unsigned order);
void qcow2_refcount_store(uint8_t *block, uint64_t index, unsigned order, uint64_t count);

/* qcow2_map.c: from guest offsets to host offsets */

#define QCOW2_OFFSET_MASK (bits_mask(56) & ~bits_mask(9))
#define QCOW2_COPIED	  BIT(63)
#define QCOW2_COMPRESSED  BIT(62)
#define QCOW2_READS_ZERO  BIT(0)
#define QCOW2_L1_RESERVED (~(QCOW2_OFFSET_MASK | QCOW2_COPIED))
#define QCOW2_L2_RESERVED (~(QCOW2_OFFSET_MASK | QCOW2_COPIED | QCOW2_READS_ZERO))

enum qcow2_kind { QCOW2_ABSENT, QCOW2_ZERO, QCOW2_DATA, QCOW2_PACKED };

/* What is at a guest offset, as far as it goes on in the same way. */
struct qcow2_extent {
	enum qcow2_kind kind;
	bool own;	 /* its host clusters are this image's alone: they may be written */
	uint64_t length; /* bytes, from the guest offset on */
	uint64_t host;	 /* of the guest offset; 0: has none */
	uint64_t entry;	 /* of the first cluster */
};

/* Looks up at most `length` (not 0) bytes. -EAGAIN if that needs reading, and may not. */
int qcow2_map_find(struct qcow2 *image, uint64_t offset, uint64_t length, bool at_once,
		   struct qcow2_extent *extent);
/* Makes sure that the L2 table for the offset is there and this image's alone. */
int qcow2_map_prepare(struct qcow2 *image, uint64_t offset);
/* Sets an entry of a prepared table, and releases what it referred to, unless that is what the new
 * one does. */
int qcow2_map_set(struct qcow2 *image, uint64_t offset, uint64_t entry);

/* Where an L2 entry's compressed bytes are, and how many at most. */
void qcow2_entry_packed(const struct qcow2 *image, uint64_t entry, uint64_t *offset,
			uint64_t *length);

/* qcow2_flush.c */

/* So much is to be written that whoever changes tables should flush first, without the lock. */
bool qcow2_crowded(const struct qcow2 *image);
/* Writes tables in the order in which a crash at any point leaves them sound. Without the lock. */
int qcow2_flush_tables(struct qcow2 *image);

/* qcow2_io.c; without the lock */

/* A read or write of host clusters begins (with the lock) and ends (without). */
unsigned qcow2_use_begin(struct qcow2 *image);
void qcow2_use_end(struct qcow2 *image, unsigned generation);

int qcow2_write_slices(struct qcow2 *image, const struct slice *slices, unsigned count,
		       uint64_t length, uint64_t offset, bool at_once);
int qcow2_write_zero_bytes(struct qcow2 *image, uint64_t length, uint64_t offset);

/* Waits, with the lock, until nobody makes one of these guest clusters. True if that took a while,
 * in which anything may have changed. */
bool qcow2_making_wait(struct qcow2 *image, uint64_t first, uint64_t last);

/* qcow2_zero.c; without the lock */
int qcow2_discard(struct qcow2 *image, uint64_t offset, uint64_t length);
int qcow2_write_zeroes(struct qcow2 *image, uint64_t offset, uint64_t length, bool unmap);

#endif
