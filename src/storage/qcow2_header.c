/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/qcow2_header.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/bits.h"

enum {
	AT_MAGIC = 0,
	AT_VERSION = 4,
	AT_BACKING = 8,
	AT_BACKING_SIZE = 16,
	AT_CLUSTER_BITS = 20,
	AT_REFCOUNT_CLUSTERS = 56,
	AT_SNAPSHOTS = 60,
	AT_SNAPSHOT_TABLE = 64,
	AT_REFCOUNT_ORDER = 96,
	AT_LENGTH = 100,
	AT_COMPRESSION = 104,
	LENGTH_V2 = 72,
	LENGTH_V3_MIN = 104,
	LENGTH_V3 = 112,
};

/* Header extensions. */
#define EXTENSION_END		 0
#define EXTENSION_BACKING_FORMAT UINT32_C(0xe2792aca)
#define EXTENSION_FEATURE_NAMES	 UINT32_C(0x6803f857)
#define EXTENSION_BITMAPS	 UINT32_C(0x23852875)

enum { FEATURE_NAME = 48, FEATURE_INCOMPATIBLE = 0 };

#define KNOWN_INCOMPATIBLE (QCOW2_DIRTY | QCOW2_CORRUPT | QCOW2_COMPRESSION_TYPE)

static int wrong(char *reason, size_t size, int error, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
static int wrong(char *reason, size_t size, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, size, format, arguments);
	va_end(arguments);
	return error;
}

uint64_t qcow2_l1_entries(uint64_t size, unsigned cluster_bits)
{
	unsigned shift = cluster_bits + cluster_bits - 3;

	return (size >> shift) + ((size & bits_mask(shift)) != 0);
}

/* One extension's place. False: there is no further one, or it is cut off. */
static bool next_extension(const uint8_t *bytes, size_t length, size_t *at, uint32_t *type,
			   const uint8_t **data, uint32_t *data_length)
{
	if (*at > length || length - *at < 8)
		return false;
	*type = qcow2_load32(bytes + *at);
	*data_length = qcow2_load32(bytes + *at + 4);
	*data = bytes + *at + 8;
	if (*type == EXTENSION_END || *data_length > length - *at - 8)
		return false;
	*at += 8 + (size_t)align_up(*data_length, 8);
	return true;
}

/* What the image calls an incompatible feature, if it says. */
static void name_feature(const uint8_t *bytes, size_t length, size_t at, unsigned bit, char *name)
{
	uint32_t type, data_length;
	const uint8_t *data;

	name[0] = '\0';
	while (next_extension(bytes, length, &at, &type, &data, &data_length))
		for (uint32_t i = 0;
		     type == EXTENSION_FEATURE_NAMES && i + FEATURE_NAME <= data_length;
		     i += FEATURE_NAME)
			if (data[i] == FEATURE_INCOMPATIBLE && data[i + 1] == bit)
				snprintf(name, FEATURE_NAME + 8, " (%.46s)", data + i + 2);
}

static int check_features(const struct qcow2_header *header, const uint8_t *bytes, size_t length,
			  size_t extensions, char *reason, size_t size)
{
	uint64_t unknown = header->incompatible & ~(uint64_t)KNOWN_INCOMPATIBLE;
	char name[FEATURE_NAME + 8];
	unsigned bit;

	if (unknown & QCOW2_EXTERNAL_DATA)
		return wrong(reason, size, -ENOTSUP,
			     "keeps its data in another file (external data file), which Lodge "
			     "doesn't do; convert it: qemu-img convert -O qcow2");
	if (unknown & QCOW2_EXTENDED_L2)
		return wrong(reason, size, -ENOTSUP,
			     "has extended L2 entries (subclusters), which Lodge doesn't do; "
			     "convert it: qemu-img convert -O qcow2 -o extended_l2=off");
	if (!unknown)
		return 0;
	bit = (unsigned)bits_lowest(unknown);
	name_feature(bytes, length, extensions, bit, name);
	return wrong(reason, size, -ENOTSUP,
		     "needs the feature of incompatible bit %u%s, which Lodge doesn't know", bit,
		     name);
}

static int read_features(struct qcow2_header *header, const uint8_t *bytes, size_t length,
			 uint32_t header_length, char *reason, size_t size)
{
	header->incompatible = qcow2_load64(bytes + QCOW2_AT_INCOMPATIBLE);
	header->compatible = qcow2_load64(bytes + QCOW2_AT_COMPATIBLE);
	header->autoclear = qcow2_load64(bytes + QCOW2_AT_AUTOCLEAR);
	if (header_length > AT_COMPRESSION && bytes[AT_COMPRESSION] != QCOW2_ZLIB) {
		if (bytes[AT_COMPRESSION] != QCOW2_ZSTD)
			return wrong(reason, size, -ENOTSUP,
				     "compresses in way %u, which Lodge doesn't know",
				     bytes[AT_COMPRESSION]);
		header->compression = QCOW2_ZSTD;
	}
	if ((header->compression != QCOW2_ZLIB) !=
	    ((header->incompatible & QCOW2_COMPRESSION_TYPE) != 0))
		return wrong(reason, size, -EINVAL,
			     "contradicts itself on how its clusters are compressed");
	return check_features(header, bytes, length, header_length, reason, size);
}

static int read_extensions(struct qcow2_header *header, const uint8_t *bytes, size_t length,
			   size_t at, char *reason, size_t size)
{
	uint32_t type, data_length;
	const uint8_t *data;

	while (next_extension(bytes, length, &at, &type, &data, &data_length)) {
		if (type == EXTENSION_BACKING_FORMAT) {
			if (data_length >= sizeof(header->backing_format))
				return wrong(reason, size, -EINVAL,
					     "has too long a name for its backing file's format");
			memcpy(header->backing_format, data, data_length);
			header->backing_format[data_length] = '\0';
		} else if (type == EXTENSION_BITMAPS && data_length >= 24 &&
			   (header->autoclear & QCOW2_BITMAPS)) {
			header->bitmap_count = qcow2_load32(data);
			header->bitmap_directory_size = qcow2_load64(data + 8);
			header->bitmap_directory = qcow2_load64(data + 16);
		}
	}
	return 0;
}

static int read_backing(struct qcow2_header *header, const uint8_t *bytes, size_t length,
			char *reason, size_t size)
{
	uint64_t at = qcow2_load64(bytes + AT_BACKING);
	uint32_t name_length = qcow2_load32(bytes + AT_BACKING_SIZE);

	if (!at)
		return 0;
	if (name_length > QCOW2_BACKING_NAME_MAX || at > length || name_length > length - at ||
	    memchr(bytes + at, '\0', name_length))
		return wrong(reason, size, -EINVAL, "has a damaged name of its backing file");
	memcpy(header->backing, bytes + at, name_length);
	header->backing[name_length] = '\0';
	return 0;
}

/* A table of so many bytes at an offset of the file. */
static bool table_valid(uint64_t offset, uint64_t length, uint64_t max, unsigned cluster_bits)
{
	return length <= max && offset < QCOW2_OFFSET_MAX &&
	       (!length || (offset && is_aligned(offset, BIT(cluster_bits))));
}

static int check_tables(const struct qcow2_header *header, char *reason, size_t size)
{
	uint64_t entries = qcow2_l1_entries(header->size, header->cluster_bits);

	if (entries > QCOW2_L1_MAX / 8)
		return wrong(reason, size, -EINVAL,
			     "says that it is larger than an image with its clusters can be");
	if (header->l1_size < entries ||
	    !table_valid(header->l1_offset, (uint64_t)header->l1_size * 8, QCOW2_L1_MAX,
			 header->cluster_bits))
		return wrong(reason, size, -EINVAL, "has a damaged header: its L1 table can't be");
	if (!header->refcount_clusters ||
	    !table_valid(header->refcount_offset,
			 (uint64_t)header->refcount_clusters << header->cluster_bits,
			 QCOW2_REFCOUNT_TABLE_MAX, header->cluster_bits))
		return wrong(reason, size, -EINVAL,
			     "has a damaged header: its refcount table can't be");
	if (header->snapshot_count > QCOW2_SNAPSHOTS_MAX ||
	    !table_valid(header->snapshot_offset, header->snapshot_count, QCOW2_SNAPSHOTS_MAX,
			 header->cluster_bits))
		return wrong(reason, size, -EINVAL,
			     "has a damaged header: its snapshot table can't be");
	return 0;
}

static int read_fields(struct qcow2_header *header, const uint8_t *bytes, char *reason, size_t size)
{
	header->size = qcow2_load64(bytes + QCOW2_AT_SIZE);
	header->l1_size = qcow2_load32(bytes + QCOW2_AT_L1_SIZE);
	header->l1_offset = qcow2_load64(bytes + QCOW2_AT_L1);
	header->refcount_offset = qcow2_load64(bytes + QCOW2_AT_REFCOUNT);
	header->refcount_clusters = qcow2_load32(bytes + AT_REFCOUNT_CLUSTERS);
	header->snapshot_count = qcow2_load32(bytes + AT_SNAPSHOTS);
	header->snapshot_offset = qcow2_load64(bytes + AT_SNAPSHOT_TABLE);
	header->refcount_order = 4;
	if (qcow2_load32(bytes + QCOW2_AT_CRYPT))
		return wrong(
			reason, size, -ENOTSUP,
			"is encrypted, which Lodge doesn't do; decrypt it by qemu-img convert");
	return 0;
}

int qcow2_header_parse(struct qcow2_header *header, const uint8_t *bytes, size_t length,
		       char *reason, size_t size)
{
	uint32_t header_length = LENGTH_V2, cluster_bits;
	int error;

	memset(header, 0, sizeof(*header));
	if (length < LENGTH_V2 || qcow2_load32(bytes + AT_MAGIC) != QCOW2_MAGIC)
		return wrong(reason, size, -EINVAL, "is no qcow2 image");
	header->version = qcow2_load32(bytes + AT_VERSION);
	if (header->version != 2 && header->version != 3)
		return wrong(reason, size, -ENOTSUP,
			     "is a qcow image of version %u; Lodge knows 2 and 3", header->version);
	cluster_bits = qcow2_load32(bytes + AT_CLUSTER_BITS);
	if (cluster_bits < QCOW2_CLUSTER_BITS_MIN || cluster_bits > QCOW2_CLUSTER_BITS_MAX)
		return wrong(reason, size, -EINVAL,
			     "has clusters of 2^%u bytes; the format allows 2^9 to 2^21",
			     cluster_bits);
	header->cluster_bits = cluster_bits;
	if (length > BIT(cluster_bits))
		length = (size_t)BIT(cluster_bits);
	error = read_fields(header, bytes, reason, size);
	if (!error && header->version == 3) {
		header_length = length < LENGTH_V3_MIN ? 0 : qcow2_load32(bytes + AT_LENGTH);
		if (header_length < LENGTH_V3_MIN || header_length > length || header_length % 8)
			return wrong(reason, size, -EINVAL, "has a damaged header: its length");
		header->refcount_order = qcow2_load32(bytes + AT_REFCOUNT_ORDER);
		if (header->refcount_order > 6)
			return wrong(reason, size, -EINVAL,
				     "has a damaged header: refcounts of 2^%u bits",
				     header->refcount_order);
		error = read_features(header, bytes, length, header_length, reason, size);
	}
	if (!error)
		error = read_backing(header, bytes, length, reason, size);
	if (!error)
		error = read_extensions(header, bytes, length, header_length, reason, size);
	return error ? error : check_tables(header, reason, size);
}

/* Appends an extension. False if there is no room. */
static bool put_extension(uint8_t *bytes, size_t room, size_t *at, uint32_t type, const void *data,
			  size_t length)
{
	size_t padded = (size_t)align_up(length, 8);

	if (*at + 8 + padded > room)
		return false;
	qcow2_store32(bytes + *at, type);
	qcow2_store32(bytes + *at + 4, (uint32_t)length);
	memcpy(bytes + *at + 8, data, length);
	*at += 8 + padded;
	return true;
}

/* The names of the features that we may set, so that others can say which they don't know. */
static bool put_feature_names(uint8_t *bytes, size_t room, size_t *at)
{
	static const struct {
		uint8_t type, bit;
		const char *name;
	} features[] = {
		{0, 0, "dirty bit"},
		{0, 1, "corrupt bit"},
		{0, 3, "compression type"},
		{1, 0, "lazy refcounts"},
	};
	uint8_t table[sizeof(features) / sizeof(features[0]) * FEATURE_NAME] = {0};

	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		uint8_t *row = table + i * FEATURE_NAME;

		row[0] = features[i].type;
		row[1] = features[i].bit;
		memcpy(row + 2, features[i].name, strlen(features[i].name));
	}
	return put_extension(bytes, room, at, EXTENSION_FEATURE_NAMES, table, sizeof(table));
}

static void put_fields(const struct qcow2_header *header, uint8_t *bytes)
{
	qcow2_store32(bytes + AT_MAGIC, QCOW2_MAGIC);
	qcow2_store32(bytes + AT_VERSION, header->version);
	qcow2_store32(bytes + AT_CLUSTER_BITS, header->cluster_bits);
	qcow2_store64(bytes + QCOW2_AT_SIZE, header->size);
	qcow2_store32(bytes + QCOW2_AT_L1_SIZE, header->l1_size);
	qcow2_store64(bytes + QCOW2_AT_L1, header->l1_offset);
	qcow2_store64(bytes + QCOW2_AT_REFCOUNT, header->refcount_offset);
	qcow2_store32(bytes + AT_REFCOUNT_CLUSTERS, header->refcount_clusters);
	if (header->version < 3)
		return;
	qcow2_store64(bytes + QCOW2_AT_INCOMPATIBLE, header->incompatible);
	qcow2_store64(bytes + QCOW2_AT_COMPATIBLE, header->compatible);
	qcow2_store64(bytes + QCOW2_AT_AUTOCLEAR, header->autoclear);
	qcow2_store32(bytes + AT_REFCOUNT_ORDER, header->refcount_order);
	qcow2_store32(bytes + AT_LENGTH, LENGTH_V3);
	bytes[AT_COMPRESSION] = (uint8_t)header->compression;
}

bool qcow2_header_write(const struct qcow2_header *header, uint8_t *bytes, size_t room)
{
	size_t at = header->version < 3 ? LENGTH_V2 : LENGTH_V3;
	size_t name = strlen(header->backing);

	memset(bytes, 0, room);
	put_fields(header, bytes);
	if (header->backing_format[0] &&
	    !put_extension(bytes, room, &at, EXTENSION_BACKING_FORMAT, header->backing_format,
			   strlen(header->backing_format)))
		return false;
	/* Only a help for others: small clusters do without. */
	if (header->version >= 3)
		put_feature_names(bytes, room - 8 - name < room ? room - 8 - name : 0, &at);
	at += 8; /* the end: an extension of zeroes */
	if (at > room || name > room - at)
		return false;
	if (name) {
		qcow2_store64(bytes + AT_BACKING, at);
		qcow2_store32(bytes + AT_BACKING_SIZE, (uint32_t)name);
		memcpy(bytes + at, header->backing, name);
	}
	return true;
}
