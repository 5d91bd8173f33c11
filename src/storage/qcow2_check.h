/* SPDX-License-Identifier: BSD-2-Clause */
/* Between qcow2_check.c, which reads all of an image's tables, and qcow2_repair.c, which mends
 * them. Nobody else uses the image meanwhile. */
#ifndef STORAGE_QCOW2_CHECK_H
#define STORAGE_QCOW2_CHECK_H

#include "storage/qcow2_image.h"

/* What a walk through the tables does. */
enum qcow2_pass {
	QCOW2_COUNT,	  /* counts who refers to each cluster, and entries that can't be */
	QCOW2_CLEAR,	  /* clears those, in tables that are nothing else as well */
	QCOW2_FLAGS,	  /* compares the flags that say "only one reference" */
	QCOW2_MEND_FLAGS, /* and sets them right */
};

/* What is known of a cluster of the file. */
enum {
	QCOW2_IS_OTHER = 1,  /* it is something else than an L2 table, too */
	QCOW2_IS_ACTIVE = 2, /* an L2 table of the disk, not of a snapshot alone */
};

struct qcow2_walk {
	struct qcow2 *image;
	struct qcow2_findings *findings;
	enum qcow2_pass pass;
	uint32_t *counts;  /* references that there are to each cluster of the file */
	uint32_t *tables;  /* of these, as to an L2 table that is yet to be visited */
	uint8_t *marks;	   /* QCOW2_IS_ */
	uint64_t clusters; /* of the file, and one more */
	uint64_t bad;	   /* entries that can't be */
	uint64_t flags;	   /* flags that are wrong */
	uint64_t cleared;
	uint64_t room;	/* bytes of upper tables that the file has room for yet */
	uint8_t *table; /* room for an L2 table */
};

/* Counts from the beginning. 0 or a negative errno. */
int qcow2_walk_count(struct qcow2_walk *walk);
/* One of the other passes. */
int qcow2_walk_tables(struct qcow2_walk *walk, enum qcow2_pass pass);

/* A refcount block's bytes, or NULL in *bytes if there can't be one at this entry. */
int qcow2_walk_block(struct qcow2_walk *walk, uint64_t entry, uint8_t *bytes, bool *there);

/* Writes refcounts anew, as counted, and has the header point to them. */
int qcow2_rebuild_refcounts(struct qcow2_walk *walk);

/* Reads the upper tables again; the lower ones are forgotten. */
int qcow2_reload(struct qcow2 *image);

/* Bits of the header's 64-bit field at `at` (a QCOW2_AT_) that are not set any more. */
int qcow2_clear_features(struct qcow2 *image, unsigned at, uint64_t *field, uint64_t bits);

#endif
