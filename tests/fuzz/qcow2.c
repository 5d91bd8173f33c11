/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * qcow2 images of which any byte may be anything. An input is a list of steps: patches of a sound
 * image (of a shape that its first byte says, made by our own code), or requests, flushes, checks,
 * repairs, changes of size. Whatever the image has become, nothing of it may do harm; and an image
 * that nobody patched must stay sound.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/convert.h"
#include "storage/qcow2.h"

#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
const char *__asan_default_options(void);

/* An image can ask for more memory than there is: that is an error of it, not of ours. */
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

enum { SHAPES = 6, DISK = 256 << 10, IMAGE_MAX = 512 << 10, FILE_MAX = 16 << 20 };

static const struct shape {
	struct qcow2_options options;
	bool compressed, overlay, snapshot;
} shapes[SHAPES] = {
	{{.version = 3, .cluster_bits = 9}, false, false, false},
	{{.version = 2, .cluster_bits = 9}, false, false, true},
	{{.version = 3, .cluster_bits = 12}, false, true, true},
	{{.version = 3, .cluster_bits = 10, .zstd = true}, true, false, false},
	{{.version = 3, .cluster_bits = 12, .lazy_refcounts = true}, true, false, true},
	{{.version = 2, .cluster_bits = 12}, true, true, false},
};

static uint8_t images[SHAPES][IMAGE_MAX];
static size_t sizes[SHAPES];
static uint8_t buffer[DISK];
static int file = -1;
static char path[64];
static struct qcow2 *image;

static int ask(enum disk_operation operation, uint64_t offset, uint64_t length, bool unmap)
{
	struct slice slices[2] = {{buffer, length / 2}, {buffer + length / 2, length - length / 2}};
	struct disk_request request = {.operation = operation,
				       .offset = offset,
				       .length = length,
				       .unmap = unmap,
				       .slices = slices,
				       .slice_count = 2};

	return qcow2_carry_out(image, &request);
}

/* A snapshot as QEMU would make one: a copy of the L1 table, which refers to the same clusters, and
 * the repair counts them twice. */
static void add_snapshot(const char *name, unsigned cluster)
{
	static uint8_t table[4096];
	static const uint8_t entry[56] = {[13] = 1, [15] = 1, [39] = 0, [40] = '1', [41] = 's'};
	struct qcow2_findings findings;
	struct stat status;
	char reason[512];
	uint8_t header[104], place[8] = {0};
	int image_file = open(name, O_RDWR);
	uint64_t end, l1 = 0;

	FUZZ_CHECK(image_file >= 0 && !fstat(image_file, &status));
	FUZZ_CHECK(pread(image_file, header, sizeof(header), 0) == sizeof(header));
	for (unsigned i = 0; i < 8; i++)
		l1 = l1 << 8 | header[40 + i];
	end = ((uint64_t)status.st_size + cluster - 1) / cluster * cluster;
	FUZZ_CHECK(pread(image_file, table, cluster, (off_t)l1) >= 0);
	FUZZ_CHECK(pwrite(image_file, table, cluster, (off_t)end) > 0);
	memset(table, 0, sizeof(table));
	memcpy(table, entry, sizeof(entry));
	for (unsigned i = 0; i < 8; i++)
		place[i] = table[i] = (uint8_t)(end >> (56 - i * 8));
	memcpy(table + 8, header + 36, 4);
	FUZZ_CHECK(pwrite(image_file, table, cluster, (off_t)(end + cluster)) > 0);
	end += cluster;
	for (unsigned i = 0; i < 8; i++)
		place[i] = (uint8_t)(end >> (56 - i * 8));
	FUZZ_CHECK(pwrite(image_file, "\0\0\0\1", 4, 60) == 4 &&
		   pwrite(image_file, place, 8, 64) == 8);
	close(image_file);
	FUZZ_CHECK(!qcow2_open(name, QCOW2_ALONE | QCOW2_AS_IT_IS, &image, reason, sizeof(reason)));
	FUZZ_CHECK(!qcow2_check(image, true, &findings) && !findings.left && !findings.lost);
	FUZZ_CHECK(!qcow2_close(image));
}

static void fill_image(const struct shape *shape, const char *name)
{
	char reason[512];

	FUZZ_CHECK(!qcow2_open(name, 0, &image, reason, sizeof(reason)));
	memset(buffer, 0x55, sizeof(buffer));
	if (shape->compressed)
		for (unsigned i = 0; i < 8; i++)
			FUZZ_CHECK(
				!qcow2_write_compressed(image, i * 4096 * 3, buffer,
							(size_t)1 << shape->options.cluster_bits));
	FUZZ_CHECK(!ask(DISK_WRITE, 96 << 10, 20 << 10, false));
	FUZZ_CHECK(!ask(DISK_WRITE, DISK - 512, 512, false));
	FUZZ_CHECK(!ask(DISK_WRITE_ZEROES, 100 << 10, 8 << 10, false));
	FUZZ_CHECK(!qcow2_close(image));
}

static void make_image(unsigned number, const char *folder, const char *base)
{
	const struct shape *shape = &shapes[number];
	struct qcow2_options options = shape->options;
	char name[128], reason[512];
	int made;

	snprintf(name, sizeof(name), "%s/disk.qcow2", folder);
	options.size = DISK;
	if (shape->overlay) {
		options.backing = base;
		options.backing_format = "raw";
	}
	FUZZ_CHECK(!qcow2_create(name, &options, reason, sizeof(reason)));
	fill_image(shape, name);
	if (shape->snapshot)
		add_snapshot(name, 1u << options.cluster_bits);
	made = open(name, O_RDONLY);
	sizes[number] = (size_t)read(made, images[number], IMAGE_MAX);
	FUZZ_CHECK(sizes[number] > 0 && sizes[number] < IMAGE_MAX);
	close(made);
	unlink(name);
}

/* What the overlays are on stays as a file without a name. */
static void make_images(void)
{
	char folder[] = "/tmp/lodge-fuzz-qcow2-XXXXXX", base[64];
	int base_file = memfd_create("base", 0);

	FUZZ_CHECK(mkdtemp(folder) && base_file >= 0);
	memset(buffer, 0x33, sizeof(buffer));
	FUZZ_CHECK(write(base_file, buffer, DISK / 2) == DISK / 2);
	snprintf(base, sizeof(base), "/proc/self/fd/%d", base_file);
	for (unsigned i = 0; i < SHAPES; i++)
		make_image(i, folder, base);
	rmdir(folder);
	image = NULL;
	file = memfd_create("disk", 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
}

struct input {
	const uint8_t *bytes;
	size_t size;
};

static uint64_t take(struct input *input, unsigned size)
{
	uint64_t value = 0;

	while (size-- && input->size) {
		value = value << 8 | *input->bytes++;
		input->size--;
	}
	return value;
}

static void patch(struct input *input)
{
	uint64_t offset = take(input, 2);
	uint8_t bytes[8];
	unsigned length = 1 + (unsigned)take(input, 1) % 8;

	/* Far away, too, in steps of a sector. */
	if (offset & 0x8000)
		offset = (offset & 0x7fff) * 512;
	for (unsigned i = 0; i < length; i++)
		bytes[i] = (uint8_t)take(input, 1);
	FUZZ_CHECK(pwrite(file, bytes, length, (off_t)offset) == (ssize_t)length);
}

static bool too_large(void)
{
	struct stat status;

	return fstat(file, &status) || status.st_size > FILE_MAX;
}

static void check(bool patched, bool repair)
{
	struct qcow2_findings findings;

	if (too_large() || qcow2_check(image, repair, &findings))
		return;
	FUZZ_CHECK(patched || !findings.corruptions);
	if (!repair || findings.left)
		return;
	FUZZ_CHECK(too_large() || qcow2_check(image, false, &findings) ||
		   (!findings.corruptions && !findings.leaks));
}

static void any_request(struct input *input, enum disk_operation operation, bool patched)
{
	uint64_t offset = take(input, 2) * 512, length = take(input, 1) * 512 + 512;
	uint64_t size = qcow2_size(image);
	int error;

	if (!size)
		return;
	offset %= size;
	if (length > size - offset)
		length = size - offset;
	error = ask(operation, offset, length, length & 512);
	FUZZ_CHECK(patched || !error);
}

static void open_image(bool patched)
{
	char reason[2048] = "";
	int error = qcow2_open(path, 0, &image, reason, sizeof(reason));

	FUZZ_CHECK(patched || !error);
	FUZZ_CHECK(!error || reason[0]);
	if (error)
		error = qcow2_open(path, QCOW2_ALONE | QCOW2_AS_IT_IS, &image, reason,
				   sizeof(reason));
	if (error)
		image = NULL;
}

static void look_around(void)
{
	struct qcow2_snapshot *list;
	struct qcow2_info info;
	unsigned count;

	qcow2_info(image, &info);
	FUZZ_CHECK(strlen(info.backing) < 1024 && strlen(info.backing_format) < 16);
	if (!qcow2_snapshots(image, &list, &count))
		free(list);
}

static void step(struct input *input, bool *patched)
{
	unsigned what = (unsigned)take(input, 1) % 16;
	char reason[256];

	if (what < 6) {
		if (image)
			qcow2_close(image);
		image = NULL;
		patch(input);
		*patched = true;
		return;
	}
	if (!image)
		open_image(*patched);
	if (!image)
		return;
	switch (what) {
	case 6:
	case 7:
		any_request(input, DISK_READ, *patched);
		return;
	case 8:
	case 9:
		any_request(input, DISK_WRITE, *patched);
		return;
	case 10:
		any_request(input, DISK_DISCARD, *patched);
		return;
	case 11:
		any_request(input, DISK_WRITE_ZEROES, *patched);
		return;
	case 12:
		FUZZ_CHECK(!ask(DISK_FLUSH, 0, 0, false) || *patched);
		return;
	case 13:
		qcow2_resize(image, (take(input, 1) + 1) * 4096, reason, sizeof(reason));
		return;
	default:
		/* Only what is written can be compared. */
		if (!ask(DISK_FLUSH, 0, 0, false))
			check(*patched, what == 14);
		look_around();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input input = {bytes, size};
	bool patched = false;
	unsigned shape;

	if (file < 0)
		make_images();
	shape = (unsigned)take(&input, 1) % SHAPES;
	FUZZ_CHECK(!ftruncate(file, 0));
	FUZZ_CHECK(pwrite(file, images[shape], sizes[shape], 0) == (ssize_t)sizes[shape]);
	for (unsigned i = 0; i < 40 && input.size; i++)
		step(&input, &patched);
	if (!image)
		open_image(patched);
	if (image)
		qcow2_close(image);
	image = NULL;
	return 0;
}
