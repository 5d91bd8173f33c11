/* SPDX-License-Identifier: BSD-2-Clause */
/* vmdk images, sound and damaged. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "storage/convert.h"
#include "storage/vmdk.h"
#include "vmdk_fixture.h"

static uint8_t file[VMDK_FILE_MAX], disk[VMDK_DISK], read_back[VMDK_DISK];
static size_t length;
static char path[64], reason[512];
static struct vmdk *vmdk;

static void make(bool stream)
{
	length = vmdk_make(file, stream);
	vmdk_disk(disk);
}

static int open_image(void)
{
	int descriptor;

	snprintf(path, sizeof(path), "%s", test_path("disk.vmdk"));
	descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	REQUIRE(descriptor >= 0 && write(descriptor, file, length) == (ssize_t)length);
	close(descriptor);
	descriptor = vmdk_open(path, &vmdk, reason, sizeof(reason));
	return descriptor;
}

static void expect_sound(bool stream)
{
	make(stream);
	REQUIRE(open_image() == 0);
	EXPECT_EQ(vmdk_size(vmdk), VMDK_DISK);
	EXPECT_EQ(vmdk_read(vmdk, read_back, VMDK_DISK, 0), 0);
	EXPECT_MEM(read_back, disk, VMDK_DISK);
	for (unsigned at = 0; at + 777 < VMDK_DISK; at += 4999) {
		EXPECT_EQ(vmdk_read(vmdk, read_back, 777, at), 0);
		EXPECT_MEM(read_back, disk + at, 777);
	}
	EXPECT_EQ(vmdk_skip_hole(vmdk, 0), 0);
	EXPECT_EQ(vmdk_skip_hole(vmdk, 4096), 8192);
	EXPECT_EQ(vmdk_skip_hole(vmdk, 5000), 8192);
	EXPECT_EQ(vmdk_read(vmdk, read_back, 512, VMDK_DISK - 511), -EINVAL);
	vmdk_close(vmdk);
}

TEST(sparse_image_is_read)
{
	expect_sound(false);
}

TEST(stream_is_read)
{
	expect_sound(true);
}

static void expect_refused(const char *words)
{
	EXPECT(open_image() < 0);
	if (!strstr(reason, words))
		FAIL("says: %s", reason);
}

TEST(other_kinds_are_refused)
{
	make(false);
	file[0] = '#';
	expect_refused("no vmdk image");
	make(false);
	memcpy(strstr((char *)file + 512, "monolithicSparse"), "twoGbMaxExtent16", 16);
	expect_refused("of a kind");
	make(false);
	memcpy(strstr((char *)file + 512, "parentCID=") + 10, "12345678", 8);
	expect_refused("overlay");
	make(false);
	bytes_store64(file + 28, 0);
	expect_refused("several files");
	make(false);
	file[72] = 1;
	expect_refused("closed properly");
}

TEST(impossible_tables_are_refused)
{
	static const struct {
		unsigned at, size;
		uint64_t value;
	} patches[] = {{4, 4, 0},	  {4, 4, 9},  {12, 8, 0},	 {12, 8, UINT64_MAX},
		       {20, 8, 0},	  {20, 8, 7}, {20, 8, 1u << 20}, {28, 8, 1u << 30},
		       {36, 8, 1u << 30}, {44, 4, 1}, {56, 8, 1u << 30}, {56, 8, UINT64_MAX - 1}};

	for (unsigned i = 0; i < sizeof(patches) / sizeof(patches[0]); i++) {
		make(false);
		bytes_store(file + patches[i].at, patches[i].value, patches[i].size);
		if (open_image() == 0)
			FAIL("patch %u is taken", i);
	}
}

/* Small files that would be disks of terabytes. */
TEST(grains_and_tables_that_are_used_again_are_refused)
{
	uint64_t directory, table;

	for (unsigned stream = 0; stream < 2; stream++) {
		/* All grains of the table are the first one. */
		make(stream);
		directory = (stream ? length / 512 - 3 : length / 512 - 1) * 512;
		table = (uint64_t)bytes_load32(file + directory) * 512;
		for (unsigned i = 1; i < 512; i++)
			bytes_store32(file + table + 4 * i, bytes_load32(file + table));
		expect_refused("more grains than");
		/* All tables are the first one: the header, and of a stream the footer, says how
		 * much there is, and the file has no more than a directory of 512 entries. */
		make(stream);
		bytes_store64(file + 12, 512ull * 512 * VMDK_GRAIN);
		for (unsigned i = 1; i < 512; i++)
			bytes_store32(file + length + 4 * i, bytes_load32(file + directory));
		bytes_store32(file + length, bytes_load32(file + directory));
		bytes_store64(file + 56, length / 512);
		length += 2048;
		expect_refused("more grains than");
	}
}

/* Deflate makes a thousand bytes out of one: a grain is never more than a grain. */
TEST(grain_that_unpacks_to_more_is_an_error)
{
	static const uint8_t large[64 << 10];
	uLongf packed = 512 - 12;

	make(true);
	REQUIRE(compress(file + 1024 + 12, &packed, large, sizeof(large)) == Z_OK);
	bytes_store32(file + 1024 + 8, (uint32_t)packed);
	REQUIRE(open_image() == 0);
	EXPECT_EQ(vmdk_read(vmdk, read_back, 512, 0), -EIO);
	EXPECT_EQ(vmdk_read(vmdk, read_back, 512, 8192), 0);
	vmdk_close(vmdk);
}

TEST(stream_that_is_cut_off_is_refused)
{
	make(true);
	length -= 512;
	expect_refused("cut off");
}

TEST(damaged_grains_are_errors)
{
	/* The third is the first that is packed behind a hole; its marker names another place, then
	 * its length is a lie, then its bytes are none of deflate's. */
	for (unsigned i = 0; i < 3; i++) {
		make(true);
		bytes_store32(file + 1024 + (i == 1 ? 8 : i == 2 ? 12 : 0), 0x7fffffff);
		REQUIRE(open_image() == 0);
		EXPECT_EQ(vmdk_read(vmdk, read_back, 512, 0), -EIO);
		EXPECT_EQ(vmdk_read(vmdk, read_back, 512, 8192), 0);
		vmdk_close(vmdk);
	}
}

TEST(grains_behind_the_end_are_errors)
{
	make(false);
	bytes_store32(file + length - 5 * 512, 1u << 30);
	REQUIRE(open_image() == 0);
	EXPECT_EQ(vmdk_read(vmdk, read_back, 512, 0), -EIO);
	vmdk_close(vmdk);
}
