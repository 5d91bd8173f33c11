/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing compressed clusters, into an image that nobody else uses: they lie one behind the other,
 * at any byte. A host cluster's refcount is the number of guest clusters that have bytes in it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/qcow2_image.h"

/* Room for so many bytes: behind what was packed last, if the cluster behind that one is free, too.
 */
static int find_room(struct qcow2 *image, size_t length, uint64_t *offset)
{
	uint64_t bits = image->cluster_bits, next, got, last;
	bool fresh;
	int error;

	if (image->packed_at & (image->cluster_size - 1)) {
		last = image->packed_at >> bits;
		*offset = image->packed_at;
		if ((*offset + length - 1) >> bits == last)
			return qcow2_refcount_change(image, last, 1);
		error = qcow2_allocate(image, 1, &next, &got, &fresh);
		if (error)
			return error;
		if (next >> bits == last + 1)
			return qcow2_refcount_change(image, last, 1);
		*offset = next;
		return 0;
	}
	return qcow2_allocate(image, 1, offset, &got, &fresh);
}

static int write_packed(struct qcow2 *image, uint64_t offset, const uint8_t *packed, size_t length)
{
	unsigned bits = 62 - (image->cluster_bits - 8);
	uint64_t host, sectors;
	int error = qcow2_map_prepare(image, offset);

	if (!error)
		error = find_room(image, length, &host);
	if (error)
		return error;
	/* The field's width bounds where compressed clusters can be. */
	if (host + length > bits_mask(bits))
		return -EFBIG;
	error = file_write(&image->file, packed, length, host);
	if (error)
		return error;
	image->packed_at = host + length;
	sectors = ((host + length - 1) >> 9) - (host >> 9);
	return qcow2_map_set(image, offset, QCOW2_COMPRESSED | sectors << bits | host);
}

int qcow2_write_compressed(struct qcow2 *image, uint64_t offset, const uint8_t *bytes,
			   size_t length)
{
	struct slice slice = {(void *)(uintptr_t)bytes, length};
	uint8_t *whole = calloc(1, image->cluster_size), *packed = malloc(image->cluster_size);
	size_t packed_length = 0;
	int error = whole && packed ? 0 : -ENOMEM;

	if (!error) {
		memcpy(whole, bytes, length);
		packed_length =
			qcow2_compress(image->header.compression, whole, image->cluster_size,
				       packed, image->cluster_size - 1);
	}
	if (!error && !packed_length)
		error = qcow2_write_slices(image, &slice, 1, length, offset, false);
	if (!error && packed_length && qcow2_crowded(image))
		error = qcow2_flush_tables(image);
	if (!error && packed_length) {
		pthread_mutex_lock(&image->lock);
		error = write_packed(image, offset, packed, packed_length);
		pthread_mutex_unlock(&image->lock);
	}
	free(whole);
	free(packed);
	return error;
}
