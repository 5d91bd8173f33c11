/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether what an image's map leads to can be in its file all at once. */
#include <errno.h>
#include <stdlib.h>

#include "storage/backing.h"
#include "storage/qcow2_image.h"

/* What a compressed cluster takes at least: deflate makes nothing smaller than 1/1032; zstd's frame
 * has so many bytes. */
enum { DEFLATE_RATIO = 1032, PACKED_LEAST = 8 };

struct tally {
	uint64_t tables, data, packed;
};

static void count_table(const struct qcow2 *image, const uint8_t *table, struct tally *tally)
{
	for (uint64_t at = 0; at < image->cluster_size; at += 8) {
		uint64_t entry = qcow2_load64(table + at);

		if (entry & QCOW2_COMPRESSED)
			tally->packed++;
		else
			tally->data += (entry & QCOW2_OFFSET_MASK) && !(entry & QCOW2_READS_ZERO);
	}
}

static int count_map(struct qcow2 *image, uint64_t clusters, struct tally *tally)
{
	uint8_t *table = malloc(image->cluster_size);
	int error = table ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < image->l1.count && !error; i++) {
		uint64_t offset = image->l1.entries[i] & QCOW2_OFFSET_MASK;

		if (!offset)
			continue;
		if (++tally->tables > clusters)
			break;
		error = file_read(&image->file, table, image->cluster_size, offset);
		if (!error)
			count_table(image, table, tally);
	}
	free(table);
	return error;
}

static int check_one(struct qcow2 *image)
{
	const uint64_t clusters = (image->file_size >> image->cluster_bits) + 1;
	uint64_t least = image->cluster_size / DEFLATE_RATIO;
	struct tally tally = {0};
	int error = count_map(image, clusters, &tally);

	if (image->header.compression == QCOW2_ZSTD || least < PACKED_LEAST)
		least = PACKED_LEAST;
	if (error)
		return error;
	return tally.tables > clusters || tally.data > clusters ||
			       tally.packed > image->file_size / least
		       ? -EFBIG
		       : 0;
}

int qcow2_check_room(struct qcow2 *image)
{
	int error = 0;

	for (; image && !error; image = image->backing ? backing_image(image->backing) : NULL)
		error = check_one(image);
	return error;
}
