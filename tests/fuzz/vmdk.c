/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmdk images of which any byte may be anything: the input is patches (u8 page, u8 place, u16
 * value) of a sound image, whose first byte says which. Whatever it has become, it is refused, or
 * read.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "storage/vmdk.h"
#include "tests/unit/linux/vmdk_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t images[2][VMDK_FILE_MAX], bytes[1 << 16];
static size_t lengths[2];
static int file = -1;
static char path[64];

static void start(void)
{
	for (unsigned i = 0; i < 2; i++)
		lengths[i] = vmdk_make(images[i], i);
	file = memfd_create("vmdk", MFD_CLOEXEC);
	if (file < 0)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
}

static void read_all(struct vmdk *vmdk, size_t piece)
{
	uint64_t disk = vmdk_size(vmdk), at = vmdk_skip_hole(vmdk, 0);

	for (unsigned i = 0; at < disk && i < 64; i++) {
		size_t part = disk - at < piece ? (size_t)(disk - at) : piece;

		(void)vmdk_read(vmdk, bytes, part, at);
		at = vmdk_skip_hole(vmdk, at + part);
	}
	if (at > disk || vmdk_read(vmdk, bytes, 1, disk) == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vmdk *vmdk;
	char reason[512];
	unsigned which;
	size_t piece;

	if (file < 0)
		start();
	if (size < 2)
		return 0;
	which = data[0] & 1;
	piece = 1 + data[1] * 97u;
	if (ftruncate(file, 0) || pwrite(file, images[which], lengths[which], 0) < 0)
		abort();
	for (data += 2, size -= 2; size >= 4; data += 4, size -= 4) {
		size_t at = (size_t)data[0] * 512 +
			    (data[0] < 4 || data[0] > 240 ? data[1] : data[1] * 2);

		/* From the end, too, where tables and the footer are. */
		if (data[0] > 240)
			at = lengths[which] - (size_t)(256 - data[0]) * 512 + data[1];
		if (at + 2 <= lengths[which] && pwrite(file, data + 2, 2, (off_t)at) < 0)
			abort();
	}
	if (size == 3 && ftruncate(file, (off_t)lengths[which] - data[0] * 64))
		abort();
	if (vmdk_open(path, &vmdk, reason, sizeof(reason)))
		return 0;
	read_all(vmdk, piece);
	vmdk_close(vmdk);
	return 0;
}
