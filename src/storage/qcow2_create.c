/* SPDX-License-Identifier: BSD-2-Clause */
/* Making qcow2 images. A new one is: header, refcount table, refcount blocks, L1 table. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/backing.h"
#include "storage/qcow2_image.h"

enum { REFCOUNT_ORDER = 4 /* 16 bits */ };

/* How many clusters each part takes, in the order in which they are in the file. */
struct layout {
	uint64_t table, blocks, l1;
};

static uint64_t clusters_for(uint64_t bytes, unsigned cluster_bits)
{
	return (bytes + bits_mask(cluster_bits)) >> cluster_bits;
}

static void plan(const struct qcow2_header *header, struct layout *layout)
{
	unsigned bits = header->cluster_bits, block_bits = bits + 3 - REFCOUNT_ORDER;
	uint64_t used, before;

	*layout = (struct layout){1, 1, clusters_for((uint64_t)header->l1_size * 8, bits)};
	do {
		before = layout->table + layout->blocks;
		used = 1 + before + layout->l1;
		layout->blocks = (used + bits_mask(block_bits)) >> block_bits;
		layout->table = clusters_for(layout->blocks * 8, bits);
	} while (layout->table + layout->blocks != before);
}

/* Everything but the header, of which all is zero but the refcounts. */
static int write_tables(struct file *file, const struct qcow2_header *header,
			const struct layout *layout)
{
	uint64_t cluster = BIT(header->cluster_bits),
		 used = 1 + layout->table + layout->blocks + layout->l1;
	uint64_t first_block = (1 + layout->table) << header->cluster_bits;
	struct qcow2_top table;
	uint8_t *block = malloc(cluster);
	int error = qcow2_top_make(&table, cluster,
				   (uint32_t)(layout->table << (header->cluster_bits - 3)));

	if (error || !block) {
		qcow2_top_destroy(&table);
		free(block);
		return -ENOMEM;
	}
	error = file_resize(file, used << header->cluster_bits);
	for (uint64_t i = 0; i < layout->blocks && !error; i++) {
		uint64_t entries = cluster / 2;

		memset(block, 0, cluster);
		for (uint64_t j = 0; j < entries && i * entries + j < used; j++)
			qcow2_refcount_store(block, j, REFCOUNT_ORDER, 1);
		table.entries[i] = first_block + (i << header->cluster_bits);
		error = file_write(file, block, cluster, table.entries[i]);
	}
	if (!error)
		error = qcow2_top_write(&table, file);
	qcow2_top_destroy(&table);
	free(block);
	return error;
}

static int write_image(struct file *file, const struct qcow2_header *header,
		       const struct layout *layout)
{
	size_t cluster = BIT(header->cluster_bits);
	uint8_t *bytes = malloc(cluster);
	int error = bytes ? 0 : -ENOMEM;

	if (!error && !qcow2_header_write(header, bytes, cluster))
		error = -ENAMETOOLONG;
	if (!error)
		error = write_tables(file, header, layout);
	/* The last, and only when all it speaks of is there. */
	if (!error)
		error = file_flush(file);
	if (!error)
		error = file_write(file, bytes, cluster, 0);
	if (!error)
		error = file_flush(file);
	free(bytes);
	return error;
}

/* The backing file must be there, and say how large it is. */
static int look_at_backing(const char *path, const struct qcow2_options *options, uint64_t *size,
			   char *reason, size_t room)
{
	struct backing_chain chain = {.depth = 0};
	struct backing *backing = NULL;
	int error = backing_open(path, options->backing, options->backing_format, &chain, &backing,
				 reason, room);

	if (!error && !*size)
		*size = backing_size(backing);
	backing_close(backing);
	return error;
}

static int make_header(const char *path, const struct qcow2_options *options,
		       struct qcow2_header *header, struct layout *layout, char *reason,
		       size_t size)
{
	unsigned bits = options->cluster_bits;
	uint64_t entries = qcow2_l1_entries(header->size, bits);

	if (entries > QCOW2_L1_MAX / 8) {
		snprintf(reason, size, "%s: so large a disk needs larger clusters than %llu bytes",
			 path, (unsigned long long)BIT(bits));
		return -EFBIG;
	}
	if (options->backing && strlen(options->backing) >= sizeof(header->backing)) {
		snprintf(reason, size, "%s: the name of its backing file is longer than %zu bytes",
			 path, sizeof(header->backing) - 1);
		return -ENAMETOOLONG;
	}
	header->version = options->version;
	header->cluster_bits = bits;
	header->l1_size = (uint32_t)entries;
	header->refcount_order = REFCOUNT_ORDER;
	if (options->zstd) {
		header->compression = QCOW2_ZSTD;
		header->incompatible |= QCOW2_COMPRESSION_TYPE;
	}
	if (options->lazy_refcounts)
		header->compatible |= QCOW2_LAZY_REFCOUNTS;
	snprintf(header->backing, sizeof(header->backing), "%s",
		 options->backing ? options->backing : "");
	snprintf(header->backing_format, sizeof(header->backing_format), "%s",
		 options->backing ? options->backing_format : "");
	plan(header, layout);
	header->refcount_offset = BIT(bits);
	header->refcount_clusters = (uint32_t)layout->table;
	header->l1_offset = (1 + layout->table + layout->blocks) << bits;
	return 0;
}

int qcow2_create(const char *path, const struct qcow2_options *options, char *reason, size_t size)
{
	struct qcow2_header header = {.size = options->size};
	struct file file = {.descriptor = -1};
	struct layout layout;
	int error = 0;

	if (options->backing && !options->backing_in_use)
		error = look_at_backing(path, options, &header.size, reason, size);
	if (!error)
		error = make_header(path, options, &header, &layout, reason, size);
	if (error)
		return error;
	file.descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (file.descriptor < 0) {
		error = -errno;
		snprintf(reason, size, "%s: %s", path,
			 error == -EEXIST ? "is there already; remove it, or take another name"
					  : strerror(-error));
		return error;
	}
	error = write_image(&file, &header, &layout);
	file_close(&file);
	if (error) {
		unlink(path);
		snprintf(reason, size, "%s: can't be written: %s", path, strerror(-error));
	}
	return error;
}
