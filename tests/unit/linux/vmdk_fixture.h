/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes small vmdk images in memory, byte for byte as VMware's description has them. */
#ifndef TESTS_UNIT_LINUX_VMDK_FIXTURE_H
#define TESTS_UNIT_LINUX_VMDK_FIXTURE_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "lib/bytes.h"

enum {
	VMDK_GRAIN = 8, /* sectors: the least there may be */
	VMDK_GRAINS = 40,
	VMDK_LAST = 3, /* sectors of the last grain */
	VMDK_SECTORS = (VMDK_GRAINS - 1) * VMDK_GRAIN + VMDK_LAST,
	VMDK_DISK = VMDK_SECTORS * 512,
	VMDK_FILE_MAX = 256 << 10
};

/* What the disk has: every third grain is not there, the others have their number all over. */
static inline void vmdk_disk(uint8_t *disk)
{
	for (unsigned i = 0; i < VMDK_DISK; i++) {
		unsigned grain = i / (VMDK_GRAIN * 512);

		disk[i] = grain % 3 == 1 ? 0 : (uint8_t)(grain * 7 + i / 512 + 1);
	}
}

static inline void vmdk_header(uint8_t *to, bool stream, uint64_t directory)
{
	bytes_store32(to, 0x564d444b);
	bytes_store32(to + 4, stream ? 3 : 1);
	bytes_store32(to + 8, stream ? 0x30001 : 1);
	bytes_store64(to + 12, VMDK_SECTORS);
	bytes_store64(to + 20, VMDK_GRAIN);
	bytes_store64(to + 28, 1); /* the descriptor: a sector */
	bytes_store64(to + 36, 1);
	bytes_store32(to + 44, 512);
	bytes_store64(to + 56, directory);
	bytes_copy(to + 73, "\n \r\n", 4);
	bytes_store16(to + 77, stream ? 1 : 0);
}

/* Returns its length: header, descriptor, grains, table (4 sectors), directory (1), of a stream the
 * end. */
static inline size_t vmdk_make(uint8_t *file, bool stream)
{
	static uint8_t disk[VMDK_GRAINS * VMDK_GRAIN * 512];
	uint32_t table[512] = {0};
	size_t at = 1024, directory;

	vmdk_disk(disk);
	bytes_fill(file, 0, VMDK_FILE_MAX);
	snprintf((char *)file + 512, 512,
		 "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
		 "createType=\"%s\"\n",
		 stream ? "streamOptimized" : "monolithicSparse");
	for (unsigned i = 0; i < VMDK_GRAINS; i++) {
		uLongf packed = VMDK_FILE_MAX - at - 12;

		if (i % 3 == 1)
			continue;
		table[i] = (uint32_t)(at / 512);
		if (stream) {
			compress(file + at + 12, &packed, disk + i * VMDK_GRAIN * 512,
				 VMDK_GRAIN * 512);
			bytes_store64(file + at, i * VMDK_GRAIN);
			bytes_store32(file + at + 8, (uint32_t)packed);
			at = (at + 12 + packed + 511) & ~(size_t)511;
		} else {
			bytes_copy(file + at, disk + i * VMDK_GRAIN * 512, VMDK_GRAIN * 512);
			at += VMDK_GRAIN * 512;
		}
	}
	bytes_copy(file + at, table, sizeof(table));
	directory = at / 512 + 4;
	bytes_store32(file + directory * 512, (uint32_t)(at / 512));
	at = (directory + 1) * 512;
	vmdk_header(file, stream, stream ? UINT64_MAX : directory);
	if (stream) {
		vmdk_header(file + at, stream, directory);
		at += 1024;
	}
	return at;
}

#endif
