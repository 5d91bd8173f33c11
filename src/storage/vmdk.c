/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A header, a directory of tables, tables of grains, grains. The directory is read when the image
 * is opened; tables one at a time, for a hostile directory could lead to any number of them.
 */
#include "storage/vmdk.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "lib/bits.h"
#include "lib/bytes.h"
#include "storage/file.h"

enum { SECTOR = 512, MARKER = 12, DESCRIPTOR_MAX = 65536 };
enum {
	TABLE_ENTRIES = 512, /* the only number there is */
	GRAIN_MAX = 2048,    /* sectors; 128 is usual */
	DIRECTORY_MAX = 1 << 20
};
#define MAGIC	     0x564d444bu /* "KDMV" */
#define AT_THE_END   UINT64_MAX	 /* the directory is where the footer says */
#define F_ZERO_GRAIN 0x4u
#define F_COMPRESSED 0x10000u

/* SparseExtentHeader, at the file's start, and as a footer. */
enum {
	H_MAGIC = 0,
	H_VERSION = 4,
	H_FLAGS = 8,
	H_CAPACITY = 12,
	H_GRAIN = 20,
	H_DESCRIPTOR = 28,
	H_DESCRIPTOR_SIZE = 36,
	H_TABLE_ENTRIES = 44,
	H_DIRECTORY = 56,
	H_UNCLEAN = 72,
	H_COMPRESSION = 77
};

struct vmdk {
	struct file file;
	uint64_t capacity; /* sectors */
	uint32_t grain, flags;
	uint32_t directory_count;
	uint8_t *directory;
	/* The table at hand, and the grain. */
	uint32_t table_index; /* UINT32_MAX: none */
	uint8_t table[TABLE_ENTRIES * 4];
	uint64_t grain_index; /* UINT64_MAX: none */
	uint8_t *grain_bytes, *packed;
	size_t packed_room;
};

static int wrong(char *reason, size_t size, const char *path, const char *what)
{
	snprintf(reason, size, "disk %s: %s", path, what);
	return -EINVAL;
}

/* The text in the image that says which kind it is. */
static int check_descriptor(struct vmdk *vmdk, const uint8_t *header, const char *path,
			    char *reason, size_t size)
{
	uint64_t at = bytes_load64(header + H_DESCRIPTOR);
	uint64_t sectors = bytes_load64(header + H_DESCRIPTOR_SIZE);
	const char *parent;
	char *text;
	int error;

	if (!at || !sectors)
		return wrong(reason, size, path,
			     "is one of several files of a vmdk image: those can't be read here");
	if (sectors > DESCRIPTOR_MAX / SECTOR || at > vmdk->file.size / SECTOR)
		return wrong(reason, size, path, "is a damaged vmdk image (its descriptor)");
	text = calloc(1, sectors * SECTOR + 1);
	if (!text)
		return -ENOMEM;
	error = file_read(&vmdk->file, text, sectors * SECTOR, at * SECTOR);
	parent = strstr(text, "parentCID=");
	if (error)
		snprintf(reason, size, "disk %s: %s", path, strerror(-error));
	else if (!strstr(text, "\"monolithicSparse\"") && !strstr(text, "\"streamOptimized\""))
		error = wrong(reason, size, path,
			      "is a vmdk image of a kind that can't be read here: only "
			      "monolithicSparse and streamOptimized can");
	else if (parent && strncasecmp(parent + 10, "ffffffff", 8) != 0)
		error = wrong(reason, size, path, "is an overlay on another vmdk image");
	free(text);
	return error;
}

static int check_header(struct vmdk *vmdk, const uint8_t *header, const char *path, char *reason,
			size_t size)
{
	uint32_t version = bytes_load32(header + H_VERSION);
	uint64_t grain = bytes_load64(header + H_GRAIN), per_table;

	if (bytes_load32(header + H_MAGIC) != MAGIC)
		return wrong(reason, size, path, "is no vmdk image in one file");
	vmdk->flags = bytes_load32(header + H_FLAGS);
	vmdk->capacity = bytes_load64(header + H_CAPACITY);
	if (version < 1 || version > 3)
		return wrong(reason, size, path, "is a vmdk image of an unknown version");
	if (header[H_UNCLEAN])
		return wrong(reason, size, path,
			     "wasn't closed properly by what wrote it: let that mend it first");
	if (!is_power_of_two(grain) || grain < 8 || grain > GRAIN_MAX ||
	    bytes_load32(header + H_TABLE_ENTRIES) != TABLE_ENTRIES)
		return wrong(reason, size, path, "is a damaged vmdk image (its tables' sizes)");
	if ((vmdk->flags & F_COMPRESSED) && bytes_load16(header + H_COMPRESSION) != 1)
		return wrong(reason, size, path, "is compressed in an unknown way");
	vmdk->grain = (uint32_t)grain;
	per_table = grain * TABLE_ENTRIES;
	if (!vmdk->capacity || vmdk->capacity > per_table * DIRECTORY_MAX)
		return wrong(reason, size, path, "is a vmdk image of an impossible size");
	vmdk->directory_count = (uint32_t)((vmdk->capacity + per_table - 1) / per_table);
	return 0;
}

static int read_directory(struct vmdk *vmdk, const uint8_t *header, const char *path, char *reason,
			  size_t size)
{
	uint64_t at = bytes_load64(header + H_DIRECTORY);
	uint64_t length = (uint64_t)vmdk->directory_count * 4;
	uint8_t footer[SECTOR];
	int error = 0;

	if (at == AT_THE_END) {
		/* Behind it is one more sector, the end marker. */
		if (vmdk->file.size < 3 * SECTOR)
			return wrong(reason, size, path, "is a cut off vmdk image");
		error = file_read(&vmdk->file, footer, SECTOR, vmdk->file.size - 2 * SECTOR);
		at = bytes_load64(footer + H_DIRECTORY);
		if (!error && bytes_load32(footer) != MAGIC)
			return wrong(reason, size, path,
				     "is a vmdk image without its end: was it cut off?");
	}
	if (!error && (at > vmdk->file.size / SECTOR || length > vmdk->file.size - at * SECTOR))
		return wrong(reason, size, path, "is a damaged vmdk image (its directory)");
	vmdk->directory = malloc(length);
	vmdk->grain_bytes = malloc((size_t)vmdk->grain * SECTOR);
	/* What deflate can make larger at most, and then some. */
	vmdk->packed_room = (size_t)vmdk->grain * SECTOR * 2 + MARKER;
	vmdk->packed = malloc(vmdk->packed_room);
	if (!vmdk->directory || !vmdk->grain_bytes || !vmdk->packed)
		error = -ENOMEM;
	if (!error)
		error = file_read(&vmdk->file, vmdk->directory, length, at * SECTOR);
	if (error)
		snprintf(reason, size, "disk %s: %s", path, strerror(-error));
	return error;
}

/* What is behind the file's end would read as zeroes: of a file that was cut off. */
static int read_inside(struct vmdk *vmdk, void *bytes, size_t length, uint64_t offset)
{
	if (offset > vmdk->file.size || length > vmdk->file.size - offset)
		return -EIO;
	return file_read(&vmdk->file, bytes, length, offset);
}

/* Where a grain is in the file, in sectors: 0 where it is not. */
static int grain_find(struct vmdk *vmdk, uint64_t index, uint32_t *sector)
{
	uint32_t table = (uint32_t)(index / TABLE_ENTRIES);
	uint64_t at = (uint64_t)bytes_load32(vmdk->directory + 4ull * table) * SECTOR;
	int error;

	*sector = 0;
	if (!at)
		return 0;
	if (vmdk->table_index != table) {
		vmdk->table_index = UINT32_MAX;
		error = read_inside(vmdk, vmdk->table, sizeof(vmdk->table), at);
		if (error)
			return error;
		vmdk->table_index = table;
	}
	*sector = bytes_load32(vmdk->table + index % TABLE_ENTRIES * 4);
	if (*sector == 1 && (vmdk->flags & F_ZERO_GRAIN))
		*sector = 0;
	return 0;
}

/* How many of the entries are at least so much. */
static uint64_t count_entries(const uint8_t *entries, uint64_t count, uint32_t least)
{
	uint64_t used = 0;

	for (uint64_t i = 0; i < count; i++)
		used += bytes_load32(entries + 4 * i) >= least;
	return used;
}

/*
 * No two entries may lead to the same place: else a file of some kilobytes would be a disk of
 * terabytes, all of them to be read and written. That there are no more tables and grains than the
 * file has room for is enough, and takes time in proportion to the file alone.
 */
static int check_room(struct vmdk *vmdk, const char *path, char *reason, size_t size)
{
	const uint64_t grain = vmdk->flags & F_COMPRESSED ? SECTOR : (uint64_t)vmdk->grain * SECTOR;
	const uint32_t least = vmdk->flags & F_ZERO_GRAIN ? 2 : 1;
	const uint64_t all = (vmdk->capacity + vmdk->grain - 1) / vmdk->grain;
	uint64_t grains = 0;
	bool fits = count_entries(vmdk->directory, vmdk->directory_count, 1) <=
		    vmdk->file.size / sizeof(vmdk->table);

	for (uint64_t at = 0; fits && at < all; at += TABLE_ENTRIES) {
		uint64_t count = all - at < TABLE_ENTRIES ? all - at : TABLE_ENTRIES;
		uint32_t sector;

		/* A table that is behind the end is an error when it is used. */
		if (bytes_load32(vmdk->directory + at / TABLE_ENTRIES * 4) &&
		    !grain_find(vmdk, at, &sector))
			grains += count_entries(vmdk->table, count, least);
	}
	/* The last one may be short. */
	if (fits && grains <= vmdk->file.size / grain + 1)
		return 0;
	return wrong(reason, size, path,
		     "is a damaged vmdk image (it has more grains than its file has room for)");
}

int vmdk_open(const char *path, struct vmdk **result, char *reason, size_t size)
{
	struct vmdk *vmdk = calloc(1, sizeof(*vmdk));
	uint8_t header[SECTOR] = {0};
	int error;

	if (!vmdk) {
		snprintf(reason, size, "disk %s: no memory for it", path);
		return -ENOMEM;
	}
	vmdk->table_index = UINT32_MAX;
	vmdk->grain_index = UINT64_MAX;
	error = file_open(&vmdk->file, path, true, reason, size);
	if (error) {
		free(vmdk);
		return error;
	}
	error = file_read(&vmdk->file, header, sizeof(header), 0);
	if (error)
		snprintf(reason, size, "disk %s: %s", path, strerror(-error));
	if (!error)
		error = check_header(vmdk, header, path, reason, size);
	if (!error)
		error = check_descriptor(vmdk, header, path, reason, size);
	if (!error)
		error = read_directory(vmdk, header, path, reason, size);
	if (!error)
		error = check_room(vmdk, path, reason, size);
	if (error)
		vmdk_close(vmdk);
	else
		*result = vmdk;
	return error;
}

void vmdk_close(struct vmdk *vmdk)
{
	file_close(&vmdk->file);
	free(vmdk->directory);
	free(vmdk->grain_bytes);
	free(vmdk->packed);
	free(vmdk);
}

uint64_t vmdk_size(const struct vmdk *vmdk)
{
	return vmdk->capacity * SECTOR;
}

/* Unpacks a grain: a marker (u64 its first sector of the disk, u32 length), then the zlib stream.
 */
static int grain_unpack(struct vmdk *vmdk, uint64_t index, uint64_t at, size_t length)
{
	uLongf got = vmdk->grain * SECTOR;
	uint8_t marker[MARKER];
	uint32_t packed;
	int error = read_inside(vmdk, marker, sizeof(marker), at);

	if (error)
		return error;
	packed = bytes_load32(marker + 8);
	if (bytes_load64(marker) != index * vmdk->grain || packed > vmdk->packed_room)
		return -EIO;
	error = read_inside(vmdk, vmdk->packed, packed, at + MARKER);
	if (error)
		return error;
	if (uncompress(vmdk->grain_bytes, &got, vmdk->packed, packed) != Z_OK || got < length)
		return -EIO;
	return 0;
}

/* Has a grain at hand. */
static int grain_load(struct vmdk *vmdk, uint64_t index)
{
	size_t length = (size_t)vmdk->grain * SECTOR;
	uint64_t left = vmdk_size(vmdk) - index * length;
	uint32_t sector;
	int error;

	if (vmdk->grain_index == index)
		return 0;
	if (length > left)
		length = (size_t)left; /* the last one may be short */
	vmdk->grain_index = UINT64_MAX;
	error = grain_find(vmdk, index, &sector);
	if (error)
		return error;
	if (!sector)
		memset(vmdk->grain_bytes, 0, length);
	else if (vmdk->flags & F_COMPRESSED)
		error = grain_unpack(vmdk, index, (uint64_t)sector * SECTOR, length);
	else
		error = read_inside(vmdk, vmdk->grain_bytes, length, (uint64_t)sector * SECTOR);
	if (!error)
		vmdk->grain_index = index;
	return error;
}

int vmdk_read(struct vmdk *vmdk, void *bytes, size_t length, uint64_t offset)
{
	const size_t grain = (size_t)vmdk->grain * SECTOR;
	uint8_t *to = bytes;

	if (offset > vmdk_size(vmdk) || length > vmdk_size(vmdk) - offset)
		return -EINVAL;
	while (length) {
		size_t in = (size_t)(offset % grain), part = grain - in;
		int error = grain_load(vmdk, offset / grain);

		if (error)
			return error;
		if (part > length)
			part = length;
		memcpy(to, vmdk->grain_bytes + in, part);
		to += part;
		offset += part;
		length -= part;
	}
	return 0;
}

uint64_t vmdk_skip_hole(struct vmdk *vmdk, uint64_t offset)
{
	const uint64_t grain = (uint64_t)vmdk->grain * SECTOR, size = vmdk_size(vmdk);

	while (offset < size) {
		uint64_t index = offset / grain;
		uint32_t sector = 0;

		/* A whole table at once, where there is none. */
		if (!bytes_load32(vmdk->directory + 4 * (index / TABLE_ENTRIES))) {
			offset = (index / TABLE_ENTRIES + 1) * TABLE_ENTRIES * grain;
			continue;
		}
		if (grain_find(vmdk, index, &sector) || sector)
			return offset;
		offset = (index + 1) * grain;
	}
	return size;
}
