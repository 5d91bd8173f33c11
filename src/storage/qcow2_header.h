/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a qcow2 file says of itself: its header and header extensions, checked. The format is
 * described in QEMU's docs/interop/qcow2.txt; numbers in the file are big-endian.
 */
#ifndef STORAGE_QCOW2_HEADER_H
#define STORAGE_QCOW2_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QCOW2_MAGIC UINT32_C(0x514649fb)

/* Where fields are that are written while the image is in use. */
enum {
	QCOW2_AT_SIZE = 24,	/* 8 bytes, then: */
	QCOW2_AT_CRYPT = 32,	/* 4 */
	QCOW2_AT_L1_SIZE = 36,	/* 4 */
	QCOW2_AT_L1 = 40,	/* 8 */
	QCOW2_AT_REFCOUNT = 48, /* 8, then 4: clusters */
	QCOW2_AT_INCOMPATIBLE = 72,
	QCOW2_AT_COMPATIBLE = 80,
	QCOW2_AT_AUTOCLEAR = 88,
};

enum {
	QCOW2_DIRTY = 1 << 0, /* incompatible */
	QCOW2_CORRUPT = 1 << 1,
	QCOW2_EXTERNAL_DATA = 1 << 2,
	QCOW2_COMPRESSION_TYPE = 1 << 3,
	QCOW2_EXTENDED_L2 = 1 << 4,
	QCOW2_LAZY_REFCOUNTS = 1 << 0, /* compatible */
	QCOW2_BITMAPS = 1 << 0,	       /* autoclear */
};

enum qcow2_compression { QCOW2_ZLIB, QCOW2_ZSTD };

enum {
	QCOW2_CLUSTER_BITS_MIN = 9,
	QCOW2_CLUSTER_BITS_MAX = 21,
	QCOW2_CLUSTER_BITS_USUAL = 16,
	QCOW2_BACKING_NAME_MAX = 1023,
};

/* As large as these tables may be, in bytes: what QEMU allows, too. */
#define QCOW2_L1_MAX		 (UINT64_C(32) << 20)
#define QCOW2_REFCOUNT_TABLE_MAX (UINT64_C(8) << 20)
#define QCOW2_SNAPSHOTS_MAX	 65536u

/* Offsets in the file have 56 bits. */
#define QCOW2_OFFSET_MAX (UINT64_C(1) << 56)

struct qcow2_header {
	uint32_t version;
	unsigned cluster_bits;
	uint64_t size;
	uint32_t l1_size; /* entries */
	uint64_t l1_offset;
	uint64_t refcount_offset;
	uint32_t refcount_clusters;
	unsigned refcount_order;
	uint32_t snapshot_count;
	uint64_t snapshot_offset;
	uint64_t incompatible, compatible, autoclear;
	enum qcow2_compression compression;
	char backing[QCOW2_BACKING_NAME_MAX + 1]; /* empty: none */
	char backing_format[16];		  /* empty: not said */
	uint32_t bitmap_count;
	uint64_t bitmap_directory, bitmap_directory_size;
};

/*
 * Reads a header from the file's first bytes: a cluster of them, or all that there are. 0; -EINVAL
 * if it is none or damaged, -ENOTSUP if it asks for what Lodge doesn't do: then what is wrong, in a
 * few words, is in reason. Everything that is in header afterwards is within the limits above and
 * aligned as the format says; only the file's own size is not known here.
 */
int qcow2_header_parse(struct qcow2_header *header, const uint8_t *bytes, size_t length,
		       char *reason, size_t size);

/*
 * Writes a header with its extensions into `bytes`, a cluster's first `room` bytes, cleared. False
 * if it doesn't fit.
 */
bool qcow2_header_write(const struct qcow2_header *header, uint8_t *bytes, size_t room);

/* How many entries the L1 table needs for so many bytes. */
uint64_t qcow2_l1_entries(uint64_t size, unsigned cluster_bits);

/* Big-endian integers. */
static inline uint16_t qcow2_load16(const void *from)
{
	uint16_t value;

	__builtin_memcpy(&value, from, sizeof(value));
	return __builtin_bswap16(value);
}

static inline uint32_t qcow2_load32(const void *from)
{
	uint32_t value;

	__builtin_memcpy(&value, from, sizeof(value));
	return __builtin_bswap32(value);
}

static inline uint64_t qcow2_load64(const void *from)
{
	uint64_t value;

	__builtin_memcpy(&value, from, sizeof(value));
	return __builtin_bswap64(value);
}

static inline void qcow2_store16(void *to, uint16_t value)
{
	value = __builtin_bswap16(value);
	__builtin_memcpy(to, &value, sizeof(value));
}

static inline void qcow2_store32(void *to, uint32_t value)
{
	value = __builtin_bswap32(value);
	__builtin_memcpy(to, &value, sizeof(value));
}

static inline void qcow2_store64(void *to, uint64_t value)
{
	value = __builtin_bswap64(value);
	__builtin_memcpy(to, &value, sizeof(value));
}

#endif
