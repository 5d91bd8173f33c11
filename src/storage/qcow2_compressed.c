/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/qcow2_compressed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "storage/qcow2_image.h"

enum {
	DEFLATE_WINDOW = 12,  /* of what we write: as QEMU's, which can't read more */
	INFLATE_WINDOW = 15,  /* of what we read */
	ZSTD_WINDOW_MAX = 24, /* 16 MiB: what a hostile image can make us allocate */
	KEPT_BYTES = 4 << 20,
};

void qcow2_unpacked_init(struct qcow2_unpacked *unpacked, uint64_t cluster_size)
{
	uint64_t count = KEPT_BYTES / cluster_size;

	memset(unpacked, 0, sizeof(*unpacked));
	unpacked->count = count < QCOW2_UNPACKED_MAX ? (unsigned)count : QCOW2_UNPACKED_MAX;
	pthread_mutex_init(&unpacked->lock, NULL);
}

void qcow2_unpacked_destroy(struct qcow2_unpacked *unpacked)
{
	for (unsigned i = 0; i < unpacked->count; i++)
		free(unpacked->bytes[i]);
	pthread_mutex_destroy(&unpacked->lock);
}

static bool inflate_all(const uint8_t *from, size_t from_length, uint8_t *to, size_t to_length)
{
	z_stream stream = {.next_in = (Bytef *)(uintptr_t)from,
			   .avail_in = (uInt)from_length,
			   .next_out = to,
			   .avail_out = (uInt)to_length};
	int result;

	if (inflateInit2(&stream, -INFLATE_WINDOW) != Z_OK)
		return false;
	result = inflate(&stream, Z_FINISH);
	inflateEnd(&stream);
	return stream.avail_out == 0 && (result == Z_STREAM_END || result == Z_BUF_ERROR);
}

static bool zstd_all(const uint8_t *from, size_t from_length, uint8_t *to, size_t to_length)
{
	ZSTD_inBuffer input = {from, from_length, 0};
	ZSTD_outBuffer output = {to, to_length, 0};
	ZSTD_DCtx *context = ZSTD_createDCtx();
	bool going = context && !ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax,
								     ZSTD_WINDOW_MAX));

	while (going && output.pos < to_length) {
		size_t in_before = input.pos, out_before = output.pos;
		size_t result = ZSTD_decompressStream(context, &output, &input);

		going = !ZSTD_isError(result) &&
			(input.pos != in_before || output.pos != out_before);
	}
	ZSTD_freeDCtx(context);
	return output.pos == to_length;
}

bool qcow2_decompress(enum qcow2_compression way, const uint8_t *from, size_t from_length,
		      uint8_t *to, size_t to_length)
{
	return way == QCOW2_ZSTD ? zstd_all(from, from_length, to, to_length)
				 : inflate_all(from, from_length, to, to_length);
}

static size_t deflate_all(const uint8_t *from, size_t from_length, uint8_t *to, size_t to_length)
{
	z_stream stream = {.next_in = (Bytef *)(uintptr_t)from,
			   .avail_in = (uInt)from_length,
			   .next_out = to,
			   .avail_out = (uInt)to_length};
	int result;

	if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -DEFLATE_WINDOW, 9,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	result = deflate(&stream, Z_FINISH);
	deflateEnd(&stream);
	return result == Z_STREAM_END ? to_length - stream.avail_out : 0;
}

size_t qcow2_compress(enum qcow2_compression way, const uint8_t *from, size_t from_length,
		      uint8_t *to, size_t to_length)
{
	size_t length;

	if (way == QCOW2_ZLIB)
		return deflate_all(from, from_length, to, to_length);
	length = ZSTD_compress(to, to_length, from, from_length, ZSTD_CLEVEL_DEFAULT);
	return ZSTD_isError(length) ? 0 : length;
}

/* Reads and unpacks the cluster into fresh memory; NULL with *error. */
static uint8_t *unpack_cluster(struct qcow2 *image, uint64_t entry, int *error)
{
	uint64_t offset, length;
	uint8_t *packed, *bytes = malloc(image->cluster_size);
	bool sound;

	qcow2_entry_packed(image, entry, &offset, &length);
	packed = malloc(length);
	*error = -ENOMEM;
	if (packed && bytes)
		*error = file_read(&image->file, packed, length, offset);
	if (!*error) {
		sound = qcow2_decompress(image->header.compression, packed, length, bytes,
					 image->cluster_size);
		if (!sound)
			*error = qcow2_found_corrupt(image, "a compressed cluster", offset);
	}
	free(packed);
	if (!*error)
		return bytes;
	free(bytes);
	return NULL;
}

static bool have(struct qcow2_unpacked *unpacked, uint64_t entry, uint64_t from,
		 const struct slice *slices, unsigned count, uint64_t skip, uint64_t length)
{
	bool found = false;

	pthread_mutex_lock(&unpacked->lock);
	for (unsigned i = 0; i < unpacked->count && !found; i++) {
		found = unpacked->entry[i] == entry;
		if (found)
			slices_fill(slices, count, skip, unpacked->bytes[i] + from, length);
	}
	pthread_mutex_unlock(&unpacked->lock);
	return found;
}

/* Keeps bytes, instead of the oldest. */
static void keep(struct qcow2_unpacked *unpacked, uint64_t entry, uint8_t *bytes)
{
	uint8_t *old;

	pthread_mutex_lock(&unpacked->lock);
	old = unpacked->bytes[unpacked->next];
	unpacked->bytes[unpacked->next] = bytes;
	unpacked->entry[unpacked->next] = entry;
	unpacked->next = (unpacked->next + 1) % unpacked->count;
	pthread_mutex_unlock(&unpacked->lock);
	free(old);
}

int qcow2_unpack(struct qcow2 *image, uint64_t entry, uint64_t from, const struct slice *slices,
		 unsigned count, uint64_t skip, uint64_t length, bool at_once)
{
	uint8_t *bytes;
	int error;

	if (have(&image->unpacked, entry, from, slices, count, skip, length))
		return 0;
	if (at_once)
		return -EAGAIN;
	bytes = unpack_cluster(image, entry, &error);
	if (!bytes)
		return error;
	slices_fill(slices, count, skip, bytes + from, length);
	keep(&image->unpacked, entry, bytes);
	return 0;
}
