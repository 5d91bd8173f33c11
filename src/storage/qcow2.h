/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * qcow2 images, version 2 and 3: read and written, as a disk for a guest or by a program. Done are
 * backing files, compressed clusters (zlib and zstd), refcounts of every width, discard and zero
 * clusters; internal snapshots are left as they are. Not done, and refused: encryption, external
 * data files, extended L2 entries. decisions/0015 says how an image stays sound.
 */
#ifndef STORAGE_QCOW2_H
#define STORAGE_QCOW2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/plug.h"

struct qcow2;

enum {
	QCOW2_READ_ONLY = 1,
	QCOW2_ALONE = 2,    /* without its backing file: what isn't in the image reads as zeroes */
	QCOW2_AS_IT_IS = 4, /* even if it says that it is damaged, and no repair */
};

/*
 * Opens an image with all that it is an overlay on: nothing is opened later. 0, or a negative errno
 * and one line that names the file in reason. An image that wasn't closed properly by a program
 * with lazy refcounts is repaired first, if it may be written.
 */
int qcow2_open(const char *path, unsigned flags, struct qcow2 **image, char *reason, size_t size);

/* Writes what is to be written. 0 or a negative errno; the image is gone in any case. */
int qcow2_close(struct qcow2 *image);

uint64_t qcow2_size(const struct qcow2 *image);

/* Carries a request out, and waits as long as it takes. 0 or a negative errno. Any thread. */
int qcow2_carry_out(struct qcow2 *image, const struct disk_request *request);

/* Whether the image, and not its backing file, says what is at the offset, for at most `length`
 * bytes; *same is for how many that goes on. 0 or a negative errno. */
enum qcow2_presence { QCOW2_NOT_HERE, QCOW2_HERE, QCOW2_HERE_ZERO };
int qcow2_presence(struct qcow2 *image, uint64_t offset, uint64_t length,
		   enum qcow2_presence *presence, uint64_t *same);

/*
 * Before all of an image is read. No two of its clusters are in the same place, nor of an image
 * below it: else a file of some megabytes would be a disk of petabytes, all of them data. Takes
 * time in proportion to the files alone. 0; -EFBIG: they have no room for all that; another
 * negative errno.
 */
int qcow2_check_room(struct qcow2 *image);

/* As a disk. As raw_open otherwise. */
int qcow2_disk_open(const char *path, bool read_only, struct disk **disk, char *reason,
		    size_t size);

/* Making one */

struct qcow2_options {
	uint64_t size;	       /* 0: the backing file's */
	unsigned version;      /* 2 or 3 */
	unsigned cluster_bits; /* 9 to 21 */
	bool zstd, lazy_refcounts;
	const char *backing;	    /* as seen from the image's folder; NULL: none */
	const char *backing_format; /* "raw", "qcow2" */
	bool backing_in_use;	    /* it is not looked at; size says how large it is */
};

/* A new file; there must be none. 0, or a negative errno and a line in reason. */
int qcow2_create(const char *path, const struct qcow2_options *options, char *reason, size_t size);

/* Writes one cluster (cluster_size bytes; the last may be less) of a new image, compressed if that
 * makes it smaller. Not while anybody else uses the image. */
int qcow2_write_compressed(struct qcow2 *image, uint64_t offset, const uint8_t *bytes,
			   size_t length);

/* Makes the disk larger, or smaller. 0, or a negative errno and a few words in reason. */
int qcow2_resize(struct qcow2 *image, uint64_t size, char *reason, size_t reason_size);

/* What there is to say of one */

struct qcow2_snapshot {
	char id[64], name[256]; /* cut off if they are longer */
	uint64_t seconds;	/* since 1970 */
	uint64_t vm_state_size, disk_size;
	uint64_t l1_offset;
	uint32_t l1_size;
};

struct qcow2_info {
	unsigned version, refcount_bits;
	uint64_t size, cluster_size, file_size,
		used_size;		      /* used: what the file takes on its disk */
	const char *backing, *backing_format; /* empty: none, not said */
	const char *compression;
	bool lazy_refcounts, dirty, corrupt;
	unsigned snapshots;
};
/* Strings live as long as the image. */
void qcow2_info(const struct qcow2 *image, struct qcow2_info *info);

/* Reads the table of internal snapshots: *list is to be freed. */
int qcow2_snapshots(struct qcow2 *image, struct qcow2_snapshot **list, unsigned *count);

struct qcow2_findings {
	uint64_t clusters, allocated, compressed; /* of the guest's disk */
	uint64_t end;				  /* of what is in use in the file */
	uint64_t corruptions; /* what may lose data: entries that can't be, refcounts too low */
	uint64_t leaks;	      /* clusters that nothing refers to: lost space, no harm */
	uint64_t repaired;    /* of both, if that was asked for */
	uint64_t left;	      /* corruptions that are still there */
	uint64_t lost;	      /* entries that had to be cleared for it */
};
/* Reads all tables and compares. 0, or a negative errno if that could not be done. */
int qcow2_check(struct qcow2 *image, bool repair, struct qcow2_findings *findings);

#endif
