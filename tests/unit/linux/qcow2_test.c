/* SPDX-License-Identifier: BSD-2-Clause */
/* qcow2 images: what is written is read, and damage of every kind. */
#include "qcow2_fixture.h"

#include "storage/qcow2_image.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "core/device.h"
#include "storage/convert.h"
#include "storage/format.h"
#include "storage/qcow2_header.h"

TEST(new_image_reads_as_zeroes_and_is_sound)
{
	start((struct qcow2_options){.size = GIB});
	EXPECT_EQ(qcow2_size(image), GIB);
	expect_zero(0, 64 * KIB);
	expect_zero(GIB - 4096, 4096);
	shut();
	expect_sound();
	EXPECT_EQ(findings.allocated, 0);
}

TEST(what_is_written_is_read)
{
	start((struct qcow2_options){.size = 64 * MIB});
	write_seed(0, 4096, 1);
	write_seed(3 * MIB - 1536, 300 * KIB, 2);
	write_seed(64 * MIB - 512, 512, 3);
	for (int i = 0; i < 2; i++) {
		expect_seed(0, 4096, 1);
		expect_zero(4096, 60 * KIB);
		expect_seed(3 * MIB - 1536, 300 * KIB, 2);
		expect_zero(3 * MIB - 2048, 512);
		expect_zero(3 * MIB - 1536 + 300 * KIB, 512);
		expect_seed(64 * MIB - 512, 512, 3);
		shut();
		expect_sound();
		reopen();
	}
	shut();
}

TEST(writing_in_place_moves_nothing)
{
	struct stat before, after;

	start((struct qcow2_options){.size = 64 * MIB});
	write_seed(0, MIB, 1);
	EXPECT_EQ(flush(), 0);
	stat(path, &before);
	write_seed(64 * KIB, 4096, 2);
	write_seed(0, MIB, 3);
	EXPECT_EQ(flush(), 0);
	stat(path, &after);
	EXPECT_EQ(before.st_size, after.st_size);
	expect_seed(0, MIB, 3);
	shut();
	expect_sound();
}

/* Each width of refcounts, each size of clusters, both versions. */
TEST(every_geometry_works)
{
	for (unsigned bits = 9; bits <= 21; bits++) {
		for (unsigned version = 2; version <= 3; version++) {
			struct qcow2_options options = {
				.size = 32 * MIB, .version = version, .cluster_bits = bits};

			if (bits == 9 && version == 2)
				name_image();
			unlink(path);
			REQUIRE(qcow2_create(path, &options, reason, sizeof(reason)) == 0);
			reopen();
			write_seed(MIB - 512, 3 * 4096, 1);
			write_seed(31 * MIB + 512, MIB - 512, 2);
			EXPECT_EQ(request(DISK_DISCARD, 31 * MIB, NULL, 512 * KIB), 0);
			EXPECT_EQ(request(DISK_WRITE_ZEROES, 31 * MIB + 512 * KIB, NULL, 1536), 0);
			shut();
			expect_sound();
			reopen();
			expect_seed(MIB - 512, 3 * 4096, 1);
			expect_zero(31 * MIB + 512 * KIB, 1536);
			shut();
		}
	}
}

/* A file of more clusters than the first refcount table covers. */
TEST(refcount_table_grows)
{
	start((struct qcow2_options){.size = 64 * MIB, .cluster_bits = 9});
	for (uint64_t at = 0; at < 24 * MIB; at += MIB)
		write_seed(at, MIB, (uint8_t)(at / MIB));
	EXPECT(peek(56, 4) > 1);
	for (uint64_t at = 0; at < 24 * MIB; at += MIB)
		expect_seed(at, MIB, (uint8_t)(at / MIB));
	shut();
	expect_sound();
	reopen();
	expect_seed(23 * MIB, MIB, 23);
	shut();
}

TEST(discard_gives_clusters_back)
{
	struct stat before, after;

	start((struct qcow2_options){.size = 64 * MIB});
	write_seed(0, 4 * MIB, 1);
	EXPECT_EQ(flush(), 0);
	stat(path, &before);
	EXPECT_EQ(request(DISK_DISCARD, MIB - 512, NULL, 2 * MIB), 0);
	EXPECT_EQ(flush(), 0);
	expect_seed(0, MIB - 64 * KIB, 1);
	expect_zero(MIB, MIB);
	stat(path, &after);
	EXPECT(after.st_blocks < before.st_blocks);
	/* And used again, rather than the file's end. */
	write_seed(16 * MIB, MIB, 2);
	EXPECT_EQ(flush(), 0);
	stat(path, &after);
	EXPECT_EQ(after.st_size, before.st_size);
	expect_seed(16 * MIB, MIB, 2);
	shut();
	expect_sound();
}

/* While a flush writes, with the lock given away, others release what the map in the file still
 * refers to. */
TEST(what_goes_during_a_flush_does_not_go_with_it)
{
	struct qcow2 *own;

	start((struct qcow2_options){.size = 64 * MIB});
	own = image;
	pthread_mutex_lock(&own->lock);
	EXPECT_EQ(qcow2_release(own, 16 * MIB, 64 * KIB), 0);
	EXPECT_EQ(qcow2_release(own, 16 * MIB + 64 * KIB, 64 * KIB), 0);
	EXPECT_EQ(own->releases.count, 1);
	own->releases_taken = own->releases.count;
	EXPECT_EQ(qcow2_release(own, 16 * MIB + 128 * KIB, 64 * KIB), 0);
	EXPECT_EQ(own->releases.count, 2);
	EXPECT_EQ(own->releases.list[0].length, 128 * KIB);
	own->releases.count = own->releases_taken = 0;
	pthread_mutex_unlock(&own->lock);
	shut();
}

TEST(freed_clusters_are_not_used_before_the_map_is_written)
{
	start((struct qcow2_options){.size = 64 * MIB});
	write_seed(0, 64 * KIB, 1);
	EXPECT_EQ(flush(), 0);
	EXPECT_EQ(request(DISK_DISCARD, 0, NULL, 64 * KIB), 0);
	write_seed(MIB, 64 * KIB, 2);
	/* The file as a crash would leave it now still has the old contents. */
	EXPECT_EQ(command("cp %s %s/copy.qcow2", path, test_folder()), 0);
	shut();
	in_folder(path, "copy.qcow2");
	reopen();
	expect_seed(0, 64 * KIB, 1);
	shut();
}

TEST(zeroes_keep_or_give_back_their_space)
{
	struct disk_request zeroes = {
		.operation = DISK_WRITE_ZEROES, .offset = 0, .length = 256 * KIB};

	start((struct qcow2_options){.size = 64 * MIB});
	write_seed(0, MIB, 1);
	EXPECT_EQ(qcow2_carry_out(image, &zeroes), 0);
	expect_zero(0, 256 * KIB);
	/* Written again in part: the rest stays zero. */
	write_seed(64 * KIB + 512, 512, 2);
	expect_zero(64 * KIB, 512);
	expect_seed(64 * KIB + 512, 512, 2);
	expect_zero(65 * KIB, 63 * KIB);
	shut();
	look(false);
	EXPECT_EQ(findings.allocated, 16);
	reopen();
	zeroes.unmap = true;
	EXPECT_EQ(qcow2_carry_out(image, &zeroes), 0);
	expect_zero(0, 256 * KIB);
	shut();
	expect_sound();
	EXPECT_EQ(findings.allocated, 12);
}

TEST(read_only_image_is_not_changed)
{
	uint8_t bytes[512];

	start((struct qcow2_options){.size = MIB});
	write_seed(0, 4096, 1);
	shut();
	REQUIRE(qcow2_open(path, QCOW2_READ_ONLY, &image, reason, sizeof(reason)) == 0);
	EXPECT_EQ(request(DISK_WRITE, 0, bytes, 512), -EROFS);
	EXPECT_EQ(request(DISK_DISCARD, 0, bytes, 512), -EROFS);
	EXPECT_EQ(request(DISK_WRITE_ZEROES, 0, bytes, 512), -EROFS);
	EXPECT_EQ(flush(), 0);
	expect_seed(0, 4096, 1);
	shut();
}

TEST(second_writer_is_refused)
{
	struct qcow2 *second;

	start((struct qcow2_options){.size = MIB});
	EXPECT_EQ(qcow2_open(path, 0, &second, reason, sizeof(reason)), -EBUSY);
	EXPECT(strstr(reason, path) && strstr(reason, "in use"));
	shut();
}

/* The file may not grow, as on a full disk. */
TEST(full_host_disk_is_an_error_and_loses_nothing)
{
	struct rlimit limit;
	uint8_t *bytes = malloc(MIB);

	start((struct qcow2_options){.size = 64 * MIB, .cluster_bits = 12});
	write_seed(0, MIB, 1);
	EXPECT_EQ(flush(), 0);
	signal(SIGXFSZ, SIG_IGN);
	REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
	limit.rlim_cur = 4 * MIB;
	REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	fill(bytes, MIB, 2);
	for (uint64_t at = MIB; at < 8 * MIB; at += MIB)
		EXPECT(request(DISK_WRITE, at, bytes, MIB) == 0 || at > 2 * MIB);
	EXPECT_EQ(request(DISK_WRITE, 8 * MIB, bytes, MIB), -EFBIG);
	write_seed(4096, 4096, 3);
	EXPECT_EQ(flush(), 0);
	limit.rlim_cur = limit.rlim_max;
	REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	write_seed(16 * MIB, MIB, 4);
	shut();
	expect_sound();
	reopen();
	expect_seed(0, 4096, 1);
	expect_seed(4096, 4096, 3);
	expect_seed(16 * MIB, MIB, 4);
	shut();
	free(bytes);
}

/* Backing files */

static char base[64];

static void start_overlay(unsigned version, uint64_t base_size, uint64_t size)
{
	struct qcow2_options options = {.size = base_size, .version = version, .cluster_bits = 16};

	name_image();
	in_folder(base, "base.qcow2");
	in_folder(path, "base.qcow2");
	REQUIRE(qcow2_create(path, &options, reason, sizeof(reason)) == 0);
	reopen();
	write_seed(0, base_size, 1);
	shut();
	in_folder(path, "disk.qcow2");
	options.size = size;
	options.backing = "base.qcow2";
	options.backing_format = "qcow2";
	REQUIRE(qcow2_create(path, &options, reason, sizeof(reason)) == 0);
	reopen();
}

TEST(overlay_shows_its_backing_file)
{
	start_overlay(3, 2 * MIB, 4 * MIB);
	expect_seed(0, 2 * MIB, 1);
	expect_zero(2 * MIB, 2 * MIB);
	write_seed(512, 512, 2);
	write_seed(2 * MIB - 512, 1024, 3);
	expect_seed(0, 512, 1);
	expect_seed(512, 512, 2);
	expect_seed(2 * MIB - 512, 1024, 3);
	expect_zero(2 * MIB + 512, 4096);
	EXPECT_EQ(request(DISK_DISCARD, MIB, NULL, 64 * KIB), 0);
	expect_zero(MIB, 64 * KIB);
	EXPECT_EQ(request(DISK_WRITE_ZEROES, MIB - 512, NULL, 512), 0);
	expect_zero(MIB - 512, 512);
	shut();
	expect_sound();
	in_folder(path, "base.qcow2");
	reopen();
	expect_seed(0, 2 * MIB, 1);
	shut();
}

TEST(overlay_of_version_2_has_no_zero_clusters)
{
	start_overlay(2, 2 * MIB, 2 * MIB);
	EXPECT_EQ(request(DISK_DISCARD, MIB, NULL, 64 * KIB), 0);
	EXPECT_EQ(request(DISK_WRITE_ZEROES, 0, NULL, 96 * KIB), 0);
	expect_zero(0, 96 * KIB);
	shut();
	expect_sound();
	reopen();
	expect_zero(0, 96 * KIB);
	shut();
}

TEST(backing_file_is_found_from_the_images_folder)
{
	start_overlay(3, MIB, MIB);
	shut();
	REQUIRE(chdir("/") == 0);
	reopen();
	expect_seed(0, MIB, 1);
	shut();
	unlink(base);
	EXPECT_EQ(qcow2_open(path, 0, &image, reason, sizeof(reason)), -ENOENT);
	EXPECT(strstr(reason, base) && strstr(reason, path));
}

TEST(loop_of_backing_files_is_refused)
{
	start_overlay(3, MIB, MIB);
	shut();
	EXPECT_EQ(command("cp %s %s", path, base), 0);
	/* base.qcow2 is its own backing file now. */
	EXPECT_EQ(qcow2_open(path, 0, &image, reason, sizeof(reason)), -EINVAL);
	EXPECT(strstr(reason, "leads back to itself") != NULL);
}

TEST(backing_file_of_unknown_kind_is_refused)
{
	start_overlay(3, MIB, MIB);
	shut();
	/* Where the name is: behind the header's extensions. */
	poke(peek(8, 8), 0x6e62643a6c6f6361, 8);
	EXPECT_EQ(qcow2_open(path, 0, &image, reason, sizeof(reason)), -ENOTSUP);
	EXPECT(strstr(reason, "files and block devices only") != NULL);
}

TEST(backing_format_that_is_not_said_is_not_guessed)
{
	start_overlay(3, MIB, MIB);
	shut();
	/* The extension becomes one that nobody knows. By its name, it is still a qcow2 image. */
	EXPECT_EQ(peek(112, 4), 0xe2792aca);
	poke(112, 0x12345678, 4);
	reopen();
	expect_seed(0, MIB, 1);
	shut();
	EXPECT_EQ(command("mv %s %s/base.imagex", base, test_folder()), 0);
	poke(peek(8, 8), 0x626173652e696d61, 8); /* "base.ima" */
	poke(peek(8, 8) + 8, 0x6765, 2);
	poke(16, 10, 4);
	EXPECT_EQ(command("mv %s/base.imagex %s/base.image", test_folder(), test_folder()), 0);
	EXPECT_EQ(qcow2_open(path, 0, &image, reason, sizeof(reason)), -EINVAL);
	EXPECT(strstr(reason, "doesn't say of which format") != NULL);
}

/* Compressed clusters */

static void convert_compressed(bool zstd)
{
	struct convert what = {.from = path,
			       .to = base,
			       .compress = true,
			       .qcow2 = {.version = 3, .cluster_bits = 16, .zstd = zstd}};
	uint8_t *text = malloc(3 * MIB);

	start((struct qcow2_options){.size = 8 * MIB + 512});
	in_folder(base, "small.qcow2");
	for (size_t i = 0; i < 3 * MIB; i++)
		text[i] = (uint8_t) "All work and no play. "[i / 7 % 22];
	EXPECT_EQ(request(DISK_WRITE, MIB, text, 3 * MIB), 0);
	write_seed(8 * MIB, 512, 5);
	shut();
	if (convert(&what, reason, sizeof(reason)))
		FAIL("%s", reason);
	strcpy(path, base);
	expect_sound();
	EXPECT_EQ(findings.compressed, 49);
	reopen();
	for (int i = 0; i < 2; i++) {
		uint8_t *is = malloc(3 * MIB);

		EXPECT_EQ(request(DISK_READ, MIB, is, 3 * MIB), 0);
		EXPECT_MEM(is, text, 3 * MIB);
		free(is);
		expect_seed(8 * MIB, 512, 5);
		expect_zero(5 * MIB, MIB);
	}
	/* In the midst of a compressed cluster. */
	write_seed(2 * MIB + 512, 4096, 9);
	shut();
	expect_sound();
	EXPECT_EQ(findings.compressed, 48);
	reopen();
	expect_seed(2 * MIB + 512, 4096, 9);
	EXPECT_EQ(request(DISK_READ, 2 * MIB, text, 512), 0);
	EXPECT_EQ(text[0], "All work and no play. "[MIB / 7 % 22]);
	EXPECT_EQ(request(DISK_DISCARD, 0, NULL, 8 * MIB), 0);
	shut();
	expect_sound();
	free(text);
}

TEST(compressed_clusters_by_zlib)
{
	convert_compressed(false);
}

TEST(compressed_clusters_by_zstd)
{
	convert_compressed(true);
}

TEST(compressed_nonsense_is_an_error_of_the_disk)
{
	uint8_t bytes[512];
	struct stat status;

	convert_compressed(false);
	reopen();
	write_seed(0, 512, 1);
	shut();
	/* The first entry of the first L2 table: sectors enough, at the header. */
	poke(peek(peek(40, 8), 8) & 0xfffffffffffe00, UINT64_C(3) << 62, 8);
	REQUIRE(qcow2_open(path, 0, &image, reason, sizeof(reason)) == 0);
	EXPECT_EQ(request(DISK_READ, 0, bytes, 512), -EIO);
	EXPECT_EQ(request(DISK_WRITE, MIB, bytes, 512), -EIO);
	shut();
	stat(path, &status);
	EXPECT_EQ(peek(79, 1) & QCOW2_CORRUPT, QCOW2_CORRUPT);
}

/* Resize */

TEST(disk_grows_and_shrinks)
{
	start((struct qcow2_options){.size = MIB, .cluster_bits = 9});
	write_seed(MIB - 4096, 4096, 1);
	EXPECT_EQ(qcow2_resize(image, 256 * MIB, reason, sizeof(reason)), 0);
	EXPECT_EQ(qcow2_size(image), 256 * MIB);
	expect_seed(MIB - 4096, 4096, 1);
	expect_zero(MIB, 4096);
	write_seed(256 * MIB - 4096, 4096, 2);
	shut();
	expect_sound();
	reopen();
	expect_seed(256 * MIB - 4096, 4096, 2);
	EXPECT_EQ(qcow2_resize(image, MIB - 1024, reason, sizeof(reason)), 0);
	EXPECT_EQ(qcow2_resize(image, 2 * MIB, reason, sizeof(reason)), 0);
	expect_zero(MIB - 1024, MIB);
	EXPECT_EQ(qcow2_resize(image, 1000, reason, sizeof(reason)), -EINVAL);
	EXPECT_EQ(qcow2_resize(image, UINT64_C(1) << 60, reason, sizeof(reason)), -EFBIG);
	shut();
	expect_sound();
}

/* As a crash leaves it between the two steps of becoming smaller. */
TEST(what_was_behind_the_end_once_does_not_come_up)
{
	start((struct qcow2_options){.size = 4 * MIB});
	write_seed(3 * MIB, MIB, 1);
	shut();
	poke(24, 2 * MIB, 8);
	reopen();
	EXPECT_EQ(qcow2_resize(image, 4 * MIB, reason, sizeof(reason)), 0);
	expect_zero(2 * MIB, 2 * MIB);
	shut();
	expect_sound();
}

TEST(what_is_behind_an_overlays_end_does_not_come_up)
{
	start_overlay(3, 2 * MIB, MIB);
	EXPECT_EQ(qcow2_resize(image, 4 * MIB, reason, sizeof(reason)), 0);
	expect_seed(0, MIB, 1);
	expect_zero(MIB, 3 * MIB);
	shut();
	expect_sound();
}

/* Damage */

/* What the header says that can't be, or that we don't do. */
TEST(bad_headers_are_refused_with_a_line)
{
	static const struct {
		unsigned at, size;
		uint64_t value;
		int error;
		const char *words;
	} cases[] = {
		{0, 4, 0x51464900, -EINVAL, "is no qcow2 image"},
		{4, 4, 1, -ENOTSUP, "version 1"},
		{4, 4, 4, -ENOTSUP, "version 4"},
		{8, 8, 1ull << 40, -EINVAL, "name of its backing file"},
		{20, 4, 8, -EINVAL, "2^8 bytes"},
		{20, 4, 22, -EINVAL, "2^22 bytes"},
		{20, 4, 0xffffffff, -EINVAL, "2^4294967295"},
		{24, 8, 1ull << 62, -EINVAL, "larger than"},
		{32, 4, 1, -ENOTSUP, "encrypted"},
		{32, 4, 2, -ENOTSUP, "encrypted"},
		{36, 4, 0, -EINVAL, "L1 table"},
		{36, 4, 0xffffffff, -EINVAL, "L1 table"},
		{40, 8, 0, -EINVAL, "L1 table"},
		{40, 8, 0x30001, -EINVAL, "L1 table"},
		{40, 8, 0x7fffffff0000, -EINVAL, "L1 table"},
		{40, 8, 0xffffffffffff0000, -EINVAL, "L1 table"},
		{48, 8, 0x10200, -EINVAL, "refcount table"},
		{48, 8, 1ull << 50, -EINVAL, "refcount table"},
		{56, 4, 0, -EINVAL, "refcount table"},
		{56, 4, 0xffffffff, -EINVAL, "refcount table"},
		{60, 4, 70000, -EINVAL, "snapshot table"},
		{72, 8, QCOW2_CORRUPT, -EINVAL, "marked as damaged"},
		{72, 8, QCOW2_EXTERNAL_DATA, -ENOTSUP, "external data file"},
		{72, 8, QCOW2_EXTENDED_L2, -ENOTSUP, "extended L2 entries"},
		{72, 8, QCOW2_COMPRESSION_TYPE, -EINVAL, "compressed"},
		{72, 8, 1ull << 33, -ENOTSUP, "incompatible bit 33"},
		{96, 4, 7, -EINVAL, "2^7 bits"},
		{100, 4, 80, -EINVAL, "its length"},
		{100, 4, 0x20000, -EINVAL, "its length"},
		{104, 1, 1, -EINVAL, "compressed"},
		{104, 1, 9, -ENOTSUP, "compresses in way 9"},
	};

	start((struct qcow2_options){.size = 16 * MIB});
	shut();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before = peek(cases[i].at, cases[i].size);

		poke(cases[i].at, cases[i].value, cases[i].size);
		if (cases[i].at == 8)
			poke(16, 4, 4);
		EXPECT_EQ(qcow2_open(path, 0, &image, reason, sizeof(reason)), cases[i].error);
		if (!strstr(reason, cases[i].words) || !strstr(reason, path))
			FAIL("case %u says: %s", i, reason);
		poke(cases[i].at, before, cases[i].size);
	}
	reopen();
	shut();
}

TEST(unknown_feature_is_called_by_the_name_that_the_image_gives_it)
{
	static const char name[] = "time travel";

	start((struct qcow2_options){.size = MIB});
	shut();
	/* The first row of the table of names becomes that of bit 9. */
	EXPECT_EQ(peek(112, 4), 0x6803f857);
	poke(120, 0x0009, 2);
	for (unsigned i = 0; i < sizeof(name); i++)
		poke(122 + i, (uint8_t)name[i], 1);
	poke(72, 1 << 9, 8);
	EXPECT_EQ(qcow2_open(path, 0, &image, reason, sizeof(reason)), -ENOTSUP);
	EXPECT(strstr(reason, "incompatible bit 9 (time travel)") != NULL);
}

TEST(every_length_of_a_file_is_survived)
{
	start((struct qcow2_options){.size = MIB, .cluster_bits = 9});
	write_seed(0, 8192, 1);
	shut();
	for (int length = 20000; length >= 0; length -= length > 600 ? 509 : 1) {
		struct stat status;
		uint8_t bytes[4096];

		stat(path, &status);
		if (length > status.st_size)
			continue;
		EXPECT_EQ(truncate(path, length), 0);
		if (qcow2_open(path, 0, &image, reason, sizeof(reason)))
			continue;
		request(DISK_READ, 0, bytes, 4096);
		request(DISK_WRITE, 4096, bytes, 4096);
		qcow2_close(image);
	}
}

static uint64_t first_l2(void)
{
	return peek(peek(40, 8), 8) & 0xfffffffffffe00;
}

TEST(bad_entries_are_errors_of_the_disk_and_mended)
{
	static const uint64_t bad[] = {
		0x8000000000050200,			/* not at a cluster */
		0x0000000000000200, 0x80f0000000000000, /* far behind the file's end */
	};
	uint8_t bytes[512] = {0};

	start((struct qcow2_options){.size = 16 * MIB});
	for (unsigned i = 0; i < 3; i++) {
		write_seed(0, 64 * KIB, 1);
		write_seed(MIB, 64 * KIB, 2);
		shut();
		expect_sound();
		poke(first_l2(), bad[i], 8);
		look(false);
		EXPECT(findings.corruptions > 0);
		reopen();
		if (bad[i] & 0x200)
			EXPECT_EQ(request(DISK_READ, 0, bytes, 512), -EIO);
		shut();
		look(true);
		EXPECT_EQ(findings.left, 0);
		EXPECT(findings.lost == 1);
		expect_sound();
		reopen();
		expect_zero(0, 64 * KIB);
		expect_seed(MIB, 64 * KIB, 2);
	}
	shut();
}

TEST(data_cluster_on_top_of_tables_is_not_written)
{
	uint8_t bytes[512] = {0};

	start((struct qcow2_options){.size = 16 * MIB});
	write_seed(0, 64 * KIB, 1);
	shut();
	/* The guest's first cluster is the image's header. */
	poke(first_l2(), UINT64_C(1) << 63 | 0x10000, 8);
	reopen();
	EXPECT_EQ(request(DISK_WRITE, 0, bytes, 512), -EIO);
	shut();
	EXPECT_EQ(peek(0, 4), QCOW2_MAGIC);
}

TEST(tables_that_refer_to_themselves_end)
{
	uint8_t *bytes = malloc(MIB);
	uint64_t l2, l1;

	start((struct qcow2_options){.size = 16 * MIB});
	write_seed(0, MIB, 1);
	shut();
	l1 = peek(40, 8);
	l2 = first_l2();
	poke(l2, UINT64_C(1) << 63 | l2, 8);
	poke(l2 + 8, UINT64_C(1) << 63 | l1, 8);
	poke(0x10000, 0x10000, 8); /* the refcount table's first block is itself */
	look(false);
	EXPECT(findings.corruptions > 0);
	reopen();
	request(DISK_READ, 0, bytes, MIB);
	request(DISK_WRITE, 0, bytes, MIB);
	request(DISK_DISCARD, 0, NULL, 16 * MIB);
	flush();
	qcow2_close(image);
	look(true);
	free(bytes);
}

/* Writes an upper table whose entries are all the same. */
static void poke_table(uint64_t offset, uint64_t entry, uint64_t count)
{
	uint8_t *bytes = malloc(count * 8);
	FILE *file = fopen(path, "r+");

	REQUIRE(bytes && file);
	for (uint64_t i = 0; i < count; i++)
		qcow2_store64(bytes + i * 8, entry);
	fseek(file, (long)offset, SEEK_SET);
	EXPECT_EQ(fwrite(bytes, 8, count, file), count);
	fclose(file);
	free(bytes);
}

/* Snapshots whose L1 tables are all the same one; nothing else is there of them. */
static void poke_snapshots(uint64_t offset, uint64_t l1, uint32_t l1_size, unsigned count)
{
	FILE *file = fopen(path, "r+");
	uint8_t entry[40] = {0};

	REQUIRE(file);
	qcow2_store64(entry, l1);
	qcow2_store32(entry + 8, l1_size);
	fseek(file, (long)offset, SEEK_SET);
	for (unsigned i = 0; i < count; i++)
		EXPECT_EQ(fwrite(entry, sizeof(entry), 1, file), 1);
	fclose(file);
	poke(60, count, 4);
	poke(64, offset, 8);
}

TEST(name_of_a_backing_file_is_whole_or_refused)
{
	char name[1025];
	struct qcow2_options options = {.size = MIB,
					.version = 3,
					.cluster_bits = 16,
					.backing = name,
					.backing_format = "raw",
					.backing_in_use = true};

	name_image();
	memset(name, 'x', sizeof(name) - 1);
	name[1024] = '\0';
	EXPECT_EQ(qcow2_create(path, &options, reason, sizeof(reason)), -ENAMETOOLONG);
	EXPECT(strstr(reason, "its backing file is longer than 1023 bytes") != NULL);
	EXPECT(access(path, F_OK));
	name[1023] = '\0';
	EXPECT_EQ(qcow2_create(path, &options, reason, sizeof(reason)), 0);
}

/* Of some 35 MB: what its tables lead to, if each was followed, has no end. */
TEST(tables_that_all_lead_to_the_same_one_end)
{
	const uint64_t entries = QCOW2_L1_MAX / 8;
	uint64_t l1, l2, end = 40 * MIB;

	start((struct qcow2_options){.size = entries * 64 * 512, .cluster_bits = 9});
	write_seed(0, 32 * KIB, 1);
	shut();
	l1 = peek(40, 8);
	l2 = first_l2();
	poke_table(l1, UINT64_C(1) << 63 | l2, entries);
	poke_snapshots(end, l1, (uint32_t)entries, 65536);
	look(false);
	EXPECT(findings.corruptions > 0);
	poke(72, QCOW2_DIRTY, 8);
	if (!qcow2_open(path, 0, &image, reason, sizeof(reason)))
		shut();
}

TEST(refcount_table_that_has_one_block_only_ends)
{
	start((struct qcow2_options){.size = 16 * MIB, .cluster_bits = 21});
	write_seed(0, MIB, 1);
	shut();
	poke_table(peek(48, 8), peek(peek(48, 8), 8), (2 << 20) / 8);
	look(false);
	EXPECT(findings.corruptions > 0);
}

TEST(image_that_is_more_than_its_file_is_not_converted)
{
	char to[64];
	struct convert what = {.from = path, .to = to, .to_format = FORMAT_RAW};
	uint64_t l1, l2, entry;

	start((struct qcow2_options){.size = UINT64_C(1) << 50});
	write_seed(0, 64 * KIB, 1);
	shut();
	in_folder(to, "to.img");
	l1 = peek(40, 8);
	l2 = first_l2();
	entry = peek(l2, 8);
	poke_table(l2, entry, 64 * KIB / 8);
	EXPECT_EQ(convert(&what, reason, sizeof(reason)), -EFBIG);
	EXPECT(strstr(reason, "more than its file has room for") != NULL);
	poke_table(l2, 0, 64 * KIB / 8);
	poke_table(l1, UINT64_C(1) << 63 | l2, (UINT64_C(1) << 50) >> 29);
	EXPECT_EQ(convert(&what, reason, sizeof(reason)), -EFBIG);
}

TEST(wrong_refcounts_are_found_and_mended)
{
	start((struct qcow2_options){.size = 16 * MIB});
	write_seed(0, MIB, 1);
	shut();
	poke(0x20000 + 2 * 8, 0, 2);   /* too low */
	poke(0x20000 + 2 * 100, 1, 2); /* leaked */
	poke(0x20000 + 2 * 101, 7, 2);
	look(false);
	EXPECT_EQ(findings.corruptions, 1);
	EXPECT_EQ(findings.leaks, 2);
	look(true);
	EXPECT_EQ(findings.repaired, 3);
	EXPECT_EQ(findings.left, 0);
	expect_sound();
	reopen();
	expect_seed(0, MIB, 1);
	shut();
}

TEST(missing_refcount_block_is_made_again)
{
	start((struct qcow2_options){.size = 16 * MIB});
	write_seed(0, MIB, 1);
	shut();
	poke(0x10000, 0, 8);
	look(false);
	EXPECT(findings.corruptions >= 20);
	look(true);
	expect_sound();
	reopen();
	expect_seed(0, MIB, 1);
	write_seed(MIB, MIB, 2);
	shut();
	expect_sound();
}

TEST(free_refcount_of_what_is_in_use_destroys_no_table)
{
	uint8_t bytes[512] = {0};

	start((struct qcow2_options){.size = 16 * MIB});
	shut();
	for (unsigned i = 0; i < 4; i++)
		poke(0x20000 + 2 * i, 0, 2);
	reopen();
	EXPECT_EQ(request(DISK_WRITE, 0, bytes, 512), -EIO);
	shut();
	EXPECT_EQ(peek(0, 4), QCOW2_MAGIC);
	look(true);
	EXPECT_EQ(findings.left, 0);
	expect_sound();
	EXPECT_EQ(peek(79, 1), 0);
	reopen();
	shut();
}

TEST(dirty_image_is_mended_when_it_is_opened)
{
	start((struct qcow2_options){.size = 16 * MIB, .lazy_refcounts = true});
	EXPECT_EQ(peek(80, 8), QCOW2_LAZY_REFCOUNTS);
	write_seed(0, MIB, 1);
	shut();
	for (unsigned i = 4; i < 30; i++)
		poke(0x20000 + 2 * i, 0, 2);
	poke(72, QCOW2_DIRTY, 8);
	/* To read, refcounts don't matter. */
	REQUIRE(qcow2_open(path, QCOW2_READ_ONLY, &image, reason, sizeof(reason)) == 0);
	expect_seed(0, MIB, 1);
	shut();
	EXPECT_EQ(peek(72, 8), QCOW2_DIRTY);
	reopen();
	write_seed(MIB, MIB, 2);
	expect_seed(0, MIB, 1);
	shut();
	EXPECT_EQ(peek(72, 8), 0);
	EXPECT_EQ(peek(80, 8), QCOW2_LAZY_REFCOUNTS);
	expect_sound();
}

TEST(autoclear_bits_go_when_the_image_is_written)
{
	start((struct qcow2_options){.size = 16 * MIB});
	shut();
	poke(88, 0xff00000000000001, 8);
	REQUIRE(qcow2_open(path, QCOW2_READ_ONLY, &image, reason, sizeof(reason)) == 0);
	shut();
	EXPECT_EQ(peek(88, 8), 0xff00000000000001);
	reopen();
	shut();
	EXPECT_EQ(peek(88, 8), 0);
}

/* Formats */

TEST(format_is_never_guessed_from_what_a_guest_may_write)
{
	enum format format;
	char raw[64];
	struct disk *disk;

	start((struct qcow2_options){.size = MIB});
	shut();
	EXPECT_EQ(format_decide(path, &format, reason, sizeof(reason)), 0);
	EXPECT_EQ(format, FORMAT_QCOW2);
	in_folder(raw, "raw.img");
	EXPECT_EQ(raw_create(raw, MIB, reason, sizeof(reason)), 0);
	EXPECT_EQ(format_decide(raw, &format, reason, sizeof(reason)), 0);
	EXPECT_EQ(format, FORMAT_RAW);
	/* A guest writes an image onto its raw disk. */
	EXPECT_EQ(command("dd if=%s of=%s conv=notrunc status=none", path, raw), 0);
	EXPECT_EQ(format_open(raw, FORMAT_AUTO, false, &disk, reason, sizeof(reason)), -EINVAL);
	EXPECT(strstr(reason, "format=raw") && strstr(reason, "format=qcow2"));
	EXPECT_EQ(format_open(raw, FORMAT_RAW, false, &disk, reason, sizeof(reason)), 0);
	EXPECT_EQ(disk->size, MIB);
	disk->ops->close(disk);
	in_folder(raw, "zero.qcow2");
	EXPECT_EQ(raw_create(raw, MIB, reason, sizeof(reason)), 0);
	EXPECT_EQ(format_open(raw, FORMAT_AUTO, false, &disk, reason, sizeof(reason)), -EINVAL);
	EXPECT_EQ(format_open("/nonexistent/x", FORMAT_AUTO, false, &disk, reason, sizeof(reason)),
		  -ENOENT);
}

/* As a disk: requests at once and on threads, many in flight. */

static atomic_uint done_count, done_errors;

static void count_done(struct disk_request *request, int result)
{
	atomic_fetch_add(&done_errors, result != 0);
	atomic_fetch_add(&done_count, 1);
}

TEST(many_requests_at_once)
{
	enum { COUNT = 512, SIZE = 24 << 10 };
	static struct disk_request requests[COUNT];
	static struct slice slices[COUNT];
	static uint8_t bytes[COUNT][SIZE];
	struct disk *disk;
	unsigned at_once = 0;

	start_overlay(3, 4 * MIB, 64 * MIB);
	shut();
	REQUIRE(qcow2_disk_open(path, false, &disk, reason, sizeof(reason)) == 0);
	for (unsigned round = 0; round < 3; round++) {
		atomic_store(&done_count, 0);
		at_once = 0;
		for (unsigned i = 0; i < COUNT; i++) {
			bool read = round == 2;
			unsigned other = (i * 37 + round) % COUNT;

			if (!read)
				fill(bytes[other], SIZE, (uint8_t)(other + round));
			slices[i] = (struct slice){bytes[other], SIZE};
			requests[i] =
				(struct disk_request){.operation = read		  ? DISK_READ
								   : i % 16 == 15 ? DISK_FLUSH
										  : DISK_WRITE,
						      .offset = (uint64_t)other * SIZE,
						      .length = SIZE,
						      .slices = &slices[i],
						      .slice_count = 1,
						      .done = count_done};
			at_once += disk->ops->submit(disk, &requests[i]) == 0;
		}
		disk->ops->drain(disk);
		EXPECT_EQ(atomic_load(&done_count) + at_once, COUNT);
	}
	EXPECT_EQ(atomic_load(&done_errors), 0);
	disk->ops->close(disk);
	expect_sound();
	reopen();
	for (unsigned i = 0; i < COUNT; i++)
		if ((i * 37 + 1) % COUNT < COUNT && i % 16 != 15)
			expect_seed((uint64_t)((i * 37 + 1) % COUNT) * SIZE, SIZE,
				    (uint8_t)((i * 37 + 1) % COUNT + 1));
	shut();
}

/* Writers of their own regions, discards and flushes, on threads. */
static void *work(void *argument)
{
	unsigned number = (unsigned)(uintptr_t)argument;
	unsigned random = number + 1;
	static uint8_t bytes[8][MIB], is[8][MIB];

	memset(bytes[number], 0, MIB);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t at, length;

		random = random * 1664525 + 1013904223;
		at = (random >> 8) % 2047 * 512;
		length = 512 + (random >> 20) % 64 * 512;
		if (at + length > MIB)
			length = MIB - at;
		if (random % 7 == 0) {
			memset(bytes[number] + at, 0, length);
			EXPECT_EQ(request(DISK_WRITE_ZEROES, number * MIB + at, NULL, length), 0);
		} else if (random % 31 == 0) {
			EXPECT_EQ(flush(), 0);
		} else {
			fill(bytes[number] + at, length, (uint8_t)random);
			EXPECT_EQ(
				request(DISK_WRITE, number * MIB + at, bytes[number] + at, length),
				0);
		}
	}
	EXPECT_EQ(request(DISK_READ, number * MIB, is[number], MIB), 0);
	EXPECT_MEM(is[number], bytes[number], MIB);
	return NULL;
}

TEST(threads_do_not_disturb_each_other)
{
	pthread_t threads[8];

	start((struct qcow2_options){.size = 8 * MIB, .cluster_bits = 12});
	for (uintptr_t i = 0; i < 8; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, work, (void *)i));
	for (unsigned i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	shut();
	expect_sound();
}
