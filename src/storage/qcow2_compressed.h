/* SPDX-License-Identifier: BSD-2-Clause */
/* Compressed clusters: unpacking, packing, and a few unpacked ones that are kept, for a guest reads
 * them in small pieces. */
#ifndef STORAGE_QCOW2_COMPRESSED_H
#define STORAGE_QCOW2_COMPRESSED_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/plug.h"
#include "storage/qcow2_header.h"

struct qcow2;

enum { QCOW2_UNPACKED_MAX = 16 };

struct qcow2_unpacked {
	pthread_mutex_t lock;
	unsigned count, next;
	uint64_t entry[QCOW2_UNPACKED_MAX]; /* the L2 entry; 0: none */
	uint8_t *bytes[QCOW2_UNPACKED_MAX];
};

void qcow2_unpacked_init(struct qcow2_unpacked *unpacked, uint64_t cluster_size);
void qcow2_unpacked_destroy(struct qcow2_unpacked *unpacked);

/*
 * Fills `length` bytes of the slices, from byte skip on, with what is at byte `from` of the
 * compressed cluster of this L2 entry. -EAGAIN if it would take a while and may not; -EIO if it
 * can't be unpacked. Without the image's lock.
 */
int qcow2_unpack(struct qcow2 *image, uint64_t entry, uint64_t from, const struct slice *slices,
		 unsigned count, uint64_t skip, uint64_t length, bool at_once);

/* Unpacks exactly to_length bytes. What follows them is ignored. False: that can't be. */
bool qcow2_decompress(enum qcow2_compression way, const uint8_t *from, size_t from_length,
		      uint8_t *to, size_t to_length);

/* Packs; how many bytes that took, or 0 if it doesn't fit into to_length. */
size_t qcow2_compress(enum qcow2_compression way, const uint8_t *from, size_t from_length,
		      uint8_t *to, size_t to_length);

#endif
