/* SPDX-License-Identifier: BSD-2-Clause */
/* qcow2 images between Lodge and QEMU's tools, both ways. */
#include "qcow2_fixture.h"

#include <errno.h>

#include "storage/convert.h"
#include "storage/qcow2_header.h"

static void begin(void)
{
	need_qemu_img();
	name_image();
}

static int qemu_io(const char *commands)
{
	return command("qemu-io -f qcow2 %s %s >/dev/null 2>&1", commands, path);
}

/* Bytes of the disk all of one value, as qemu-io writes them. */
static void expect_pattern(uint64_t offset, size_t length, uint8_t value)
{
	uint8_t *is = malloc(length), *bytes = malloc(length);

	memset(bytes, value, length);
	EXPECT_EQ(request(DISK_READ, offset, is, length), 0);
	EXPECT_MEM(is, bytes, length);
	free(is);
	free(bytes);
}

TEST(images_of_qemu_img_open_and_are_written)
{
	static const char *const options[] = {
		"compat=0.10",
		"compat=1.1",
		"compat=1.1,lazy_refcounts=on",
		"compat=1.1,compression_type=zstd",
		"compat=1.1,refcount_bits=1",
		"compat=1.1,refcount_bits=2",
		"compat=1.1,refcount_bits=8",
		"compat=1.1,refcount_bits=32",
		"compat=1.1,refcount_bits=64",
		"compat=0.10,cluster_size=512",
		"compat=1.1,cluster_size=512,refcount_bits=64",
		"compat=1.1,cluster_size=4096,preallocation=metadata",
		"compat=1.1,cluster_size=2M",
		"compat=1.1,cluster_size=2M,refcount_bits=1",
	};

	begin();
	for (unsigned i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		REQUIRE(command("qemu-img create -q -f qcow2 -o %s %s 64M", options[i], path) == 0);
		EXPECT_EQ(qemu_io("-c 'write -P 0x55 1M 300k' -c 'write -P 0x66 63M 512'"), 0);
		reopen();
		expect_pattern(MIB, 300 * KIB, 0x55);
		expect_pattern(63 * MIB, 512, 0x66);
		expect_zero(2 * MIB, 64 * KIB);
		write_seed(MIB + 512, 8192, 1);
		write_seed(10 * MIB - 512, 4096, 2);
		EXPECT_EQ(request(DISK_DISCARD, MIB + 64 * KIB, NULL, 128 * KIB), 0);
		shut();
		expect_sound();
		if (command("qemu-img check -q -f qcow2 %s", path))
			FAIL("qemu-img check: %s", options[i]);
		EXPECT_EQ(qemu_io("-c 'read -P 0x55 1M 512' -c 'read -P 0x66 63M 512' "
				  "-c 'write -P 0x77 20M 1M'"),
			  0);
		reopen();
		expect_seed(10 * MIB - 512, 4096, 2);
		expect_pattern(20 * MIB, MIB, 0x77);
		shut();
		unlink(path);
	}
}

TEST(images_of_ours_are_the_same_to_qemu_img)
{
	static const struct qcow2_options shapes[] = {
		{.size = 40 * MIB + 512, .version = 2, .cluster_bits = 16},
		{.size = 40 * MIB + 512, .version = 3, .cluster_bits = 9},
		{.size = 40 * MIB, .version = 3, .cluster_bits = 16, .zstd = true},
		{.size = 40 * MIB, .version = 3, .cluster_bits = 21, .lazy_refcounts = true},
	};
	char raw[64], again[64];

	begin();
	in_folder(raw, "raw");
	in_folder(again, "again");
	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct convert back = {.from = path, .to = again, .to_format = FORMAT_RAW};

		REQUIRE(qcow2_create(path, &shapes[i], reason, sizeof(reason)) == 0);
		reopen();
		write_seed(0, MIB, 1);
		write_seed(5 * MIB - 512, 100 * KIB, 2);
		write_seed(40 * MIB - 4096, 4096, 3);
		EXPECT_EQ(request(DISK_WRITE_ZEROES, 4096, NULL, 256 * KIB), 0);
		shut();
		expect_sound_to_qemu();
		EXPECT_EQ(command("qemu-img convert -f qcow2 -O raw %s %s", path, raw), 0);
		if (convert(&back, reason, sizeof(reason)))
			FAIL("%s", reason);
		EXPECT_EQ(command("cmp %s %s", raw, again), 0);
		unlink(path);
		unlink(raw);
		unlink(again);
	}
}

TEST(compressed_images_go_both_ways)
{
	static const char *const ways[] = {"zlib", "zstd"};
	char packed[64], raw[64];

	begin();
	in_folder(packed, "packed.qcow2");
	in_folder(raw, "raw");
	for (unsigned zstd = 0; zstd < 2; zstd++) {
		struct convert what = {.from = packed,
				       .to = path,
				       .compress = true,
				       .qcow2 = {.version = 3, .cluster_bits = 16, .zstd = zstd}};

		EXPECT_EQ(command("head -c 5M /bin/bash | tr -d '\\0' > %s; head -c 8M /dev/zero "
				  ">> %s; "
				  "truncate -s 16M %s",
				  raw, raw, raw),
			  0);
		REQUIRE(command("qemu-img convert -c -f raw -O qcow2 -o compression_type=%s %s %s",
				ways[zstd], raw, packed) == 0);
		if (convert(&what, reason, sizeof(reason)))
			FAIL("%s", reason);
		expect_sound_to_qemu();
		expect_sound();
		EXPECT(findings.compressed > 4);
		EXPECT_EQ(command("qemu-img compare -q -f raw -F qcow2 %s %s", raw, path), 0);
		/* Written over by us, read by them. */
		reopen();
		write_seed(MIB + 512, 200 * KIB, 1);
		shut();
		expect_sound_to_qemu();
		EXPECT_EQ(command("qemu-img compare -q -f raw -F qcow2 %s %s", raw, path), 256);
		unlink(path);
		unlink(packed);
	}
}

TEST(overlays_on_images_of_qemu_img)
{
	begin();
	EXPECT_EQ(command("qemu-img create -q -f raw %s/base.raw 8M && "
			  "qemu-io -f raw -c 'write -P 0x11 0 8M' %s/base.raw >/dev/null",
			  test_folder(), test_folder()),
		  0);
	EXPECT_EQ(command("cd %s && qemu-img create -q -f qcow2 -b base.raw -F raw mid.qcow2 && "
			  "qemu-io -f qcow2 -c 'write -P 0x22 1M 1M' mid.qcow2 >/dev/null && "
			  "qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 disk.qcow2 16M",
			  test_folder()),
		  0);
	reopen();
	expect_pattern(0, MIB, 0x11);
	expect_pattern(MIB, MIB, 0x22);
	expect_pattern(2 * MIB, 6 * MIB, 0x11);
	expect_zero(8 * MIB, MIB);
	write_seed(MIB + 512, 512, 1);
	EXPECT_EQ(request(DISK_DISCARD, 4 * MIB, NULL, MIB), 0);
	shut();
	expect_sound_to_qemu();
	EXPECT_EQ(qemu_io("-c 'read -P 0x22 1M 512' -c 'read -P 0x22 1049600 512' "
			  "-c 'read -P 0 4M 1M' -c 'read -P 0x11 5M 3M' -c 'read -P 0 8M 8M'"),
		  0);
}

TEST(internal_snapshots_are_kept)
{
	struct qcow2_snapshot *snapshots;
	unsigned count;

	begin();
	EXPECT_EQ(command("qemu-img create -q -f qcow2 %s 64M", path), 0);
	EXPECT_EQ(qemu_io("-c 'write -P 0x55 0 2M'"), 0);
	EXPECT_EQ(command("qemu-img snapshot -c first %s", path), 0);
	reopen();
	EXPECT_EQ(qcow2_snapshots(image, &snapshots, &count), 0);
	EXPECT_EQ(count, 1);
	EXPECT_STR(snapshots[0].name, "first");
	EXPECT_EQ(snapshots[0].disk_size, 64 * MIB);
	free(snapshots);
	expect_pattern(0, 2 * MIB, 0x55);
	write_seed(MIB, 4096, 1);
	write_seed(MIB, 4096, 2);
	EXPECT_EQ(request(DISK_DISCARD, 0, NULL, 512 * KIB), 0);
	expect_seed(MIB, 4096, 2);
	shut();
	expect_sound();
	expect_sound_to_qemu();
	reopen();
	EXPECT_EQ(qcow2_resize(image, 128 * MIB, reason, sizeof(reason)), 0);
	shut();
	expect_sound_to_qemu();
	EXPECT_EQ(command("qemu-img snapshot -a first %s", path), 0);
	reopen();
	expect_pattern(0, 2 * MIB, 0x55);
	shut();
	EXPECT_EQ(command("qemu-img snapshot -d first %s", path), 0);
	expect_sound();
}

TEST(images_that_qemu_left_dirty_are_mended)
{
	begin();
	EXPECT_EQ(command("qemu-img create -q -f qcow2 -o lazy_refcounts=on %s 64M", path), 0);
	command("qemu-io -f qcow2 -c 'write -P 0x55 0 2M' -c flush -c abort %s >/dev/null 2>&1; "
		"true",
		path);
	EXPECT_EQ(peek(72, 8), QCOW2_DIRTY);
	reopen();
	expect_pattern(0, 2 * MIB, 0x55);
	write_seed(8 * MIB, MIB, 1);
	shut();
	EXPECT_EQ(peek(72, 8), 0);
	expect_sound_to_qemu();
}

TEST(what_we_do_not_do_is_refused)
{
	begin();
	EXPECT_EQ(command("qemu-img create -q -f qcow2 -o data_file=%s/data,data_file_raw=on %s 1M",
			  test_folder(), path),
		  0);
	EXPECT_EQ(qcow2_open(path, 0, &image, reason, sizeof(reason)), -ENOTSUP);
	EXPECT(strstr(reason, "external data file") != NULL);
	unlink(path);
	EXPECT_EQ(command("qemu-img create -q -f qcow2 -o extended_l2=on,cluster_size=128k %s 1M",
			  path),
		  0);
	EXPECT_EQ(qcow2_open(path, 0, &image, reason, sizeof(reason)), -ENOTSUP);
	EXPECT(strstr(reason, "extended L2") != NULL);
	unlink(path);
	EXPECT_EQ(command("qemu-img create -q -f qcow2 --object secret,id=s,data=abc123 "
			  "-o encrypt.format=aes,encrypt.key-secret=s %s 1M",
			  path),
		  0);
	EXPECT_EQ(qcow2_open(path, 0, &image, reason, sizeof(reason)), -ENOTSUP);
	EXPECT(strstr(reason, "encrypted") != NULL);
}

TEST(bitmaps_of_qemu_are_counted_and_dropped_when_written)
{
	begin();
	EXPECT_EQ(command("qemu-img create -q -f qcow2 %s 64M", path), 0);
	EXPECT_EQ(command("qemu-img bitmap --add %s one", path), 0);
	EXPECT_EQ(qemu_io("-c 'write -P 0x55 0 2M'"), 0);
	expect_sound();
	reopen();
	write_seed(0, 4096, 1);
	shut();
	EXPECT_EQ(peek(88, 8), 0);
	look(true);
	EXPECT(findings.leaks > 0);
	expect_sound();
	expect_sound_to_qemu();
}
