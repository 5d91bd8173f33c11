/* SPDX-License-Identifier: BSD-2-Clause */
/* Raw disks on files of this machine. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/device.h"
#include "storage/raw.h"
#include "storage_hooks.h"

enum { SIZE = 1 << 20 };

/* A kill alone would not tell a flush from none: so syncs are counted, and fail when told to. */
static atomic_int syncs, sync_error;

static bool count_sync(int file, int *result)
{
	atomic_fetch_add(&syncs, 1);
	errno = atomic_load(&sync_error);
	*result = -1;
	return errno;
}

static char path[256];
static char reason[200];
static struct disk *disk;

/* A file of SIZE bytes that goes with the test. */
static void make_file(void)
{
	int file;

	snprintf(path, sizeof(path), "%s", test_path("disk"));
	file = open(path, O_RDWR | O_CREAT, 0600);
	REQUIRE(file >= 0);
	REQUIRE(ftruncate(file, SIZE) == 0);
	close(file);
}

static void start(void)
{
	make_file();
	REQUIRE(raw_open(path, false, &disk, reason, sizeof(reason)) == 0);
}

static void stop(void)
{
	disk->ops->close(disk);
}

struct wait {
	struct disk_request request;
	atomic_int result;
	atomic_bool done, in_submit;
};

static void wait_done(struct disk_request *request, int result)
{
	struct wait *wait = container_of(request, struct wait, request);

	atomic_store(&wait->result, result);
	atomic_store(&wait->done, true);
}

/* Makes a request and waits for its end. */
static int request(enum disk_operation operation, uint64_t offset, void *bytes, uint64_t length)
{
	/* Cut in three, the cuts at odd places. */
	struct slice slices[3] = {
		{bytes, 100}, {(char *)bytes + 100, 1}, {(char *)bytes + 101, length - 101}};
	struct wait wait = {.request = {.operation = operation,
					.offset = offset,
					.length = length,
					.slices = slices,
					.slice_count = 3,
					.done = wait_done}};
	int result = disk->ops->submit(disk, &wait.request);

	if (result != DISK_PENDING) {
		EXPECT(!atomic_load(&wait.done));
		return result;
	}
	disk->ops->drain(disk);
	EXPECT(atomic_load(&wait.done));
	return atomic_load(&wait.result);
}

static uint8_t one[64 << 10], two[64 << 10];

static void fill(uint8_t seed)
{
	for (unsigned i = 0; i < sizeof(one); i++)
		one[i] = (uint8_t)(i * 13 + i / 512 + seed);
}

TEST(what_is_written_is_read)
{
	start();
	EXPECT_EQ(disk->size, SIZE);
	fill(1);
	EXPECT_EQ(request(DISK_WRITE, 4096, one, sizeof(one)), 0);
	EXPECT_EQ(request(DISK_FLUSH, 0, one, 512), 0);
	EXPECT_EQ(request(DISK_READ, 4096, two, sizeof(two)), 0);
	EXPECT_MEM(one, two, sizeof(one));
	EXPECT_EQ(request(DISK_READ, 0, two, 4096), 0);
	EXPECT_EQ(two[0] | two[4095], 0);
	stop();
}

TEST(what_was_flushed_survives_a_kill)
{
	pid_t child;
	int file, status;

	make_file();
	fill(2);
	child = fork();
	if (child == 0) {
		if (raw_open(path, false, &disk, reason, sizeof(reason)) ||
		    request(DISK_WRITE, 8192, one, sizeof(one)) || request(DISK_FLUSH, 0, one, 512))
			_exit(1);
		raise(SIGKILL);
	}
	REQUIRE(waitpid(child, &status, 0) == child);
	EXPECT(WIFSIGNALED(status));
	file = open(path, O_RDONLY);
	EXPECT_EQ(pread(file, two, sizeof(two), 8192), (ssize_t)sizeof(two));
	EXPECT_MEM(one, two, sizeof(one));
	close(file);
	/* And its lock has gone with it. */
	EXPECT_EQ(raw_open(path, false, &disk, reason, sizeof(reason)), 0);
	stop();
}

TEST(a_flush_reaches_the_file_and_its_failure_the_guest)
{
	start();
	storage_hooks.sync = count_sync;
	fill(3);
	EXPECT_EQ(request(DISK_WRITE, 0, one, sizeof(one)), 0);
	EXPECT_EQ(atomic_load(&syncs), 0);
	EXPECT_EQ(request(DISK_FLUSH, 0, one, 512), 0);
	EXPECT_EQ(atomic_load(&syncs), 1);
	/* Nothing was written since, but the guest asks. */
	EXPECT_EQ(request(DISK_FLUSH, 0, one, 512), 0);
	EXPECT_EQ(atomic_load(&syncs), 2);
	atomic_store(&sync_error, EIO);
	EXPECT_EQ(request(DISK_FLUSH, 0, one, 512), -EIO);
	stop();
}

TEST(second_writer_is_refused)
{
	struct disk *second;

	start();
	EXPECT_EQ(raw_open(path, false, &second, reason, sizeof(reason)), -EBUSY);
	EXPECT(strstr(reason, path) && strstr(reason, "in use"));
	EXPECT_EQ(raw_open(path, true, &second, reason, sizeof(reason)), -EBUSY);
	disk->ops->close(disk);
	EXPECT_EQ(raw_open(path, false, &disk, reason, sizeof(reason)), 0);
	stop();
}

TEST(readers_share)
{
	struct disk *second, *third;

	make_file();
	REQUIRE(raw_open(path, true, &disk, reason, sizeof(reason)) == 0);
	EXPECT(disk->read_only);
	EXPECT_EQ(raw_open(path, true, &second, reason, sizeof(reason)), 0);
	EXPECT_EQ(raw_open(path, false, &third, reason, sizeof(reason)), -EBUSY);
	second->ops->close(second);
	EXPECT(request(DISK_WRITE, 0, one, 512) < 0);
	stop();
}

TEST(bad_files_are_refused_with_a_line)
{
	int file;

	EXPECT_EQ(raw_open("/nonexistent/disk", false, &disk, reason, sizeof(reason)), -ENOENT);
	EXPECT_STR(reason, "disk /nonexistent/disk: No such file or directory");
	EXPECT(raw_open("/tmp", false, &disk, reason, sizeof(reason)) < 0);
	EXPECT(strstr(reason, "/tmp") != NULL);
	EXPECT_EQ(raw_open("/tmp", true, &disk, reason, sizeof(reason)), -EINVAL);
	EXPECT_EQ(raw_open("/dev/null", false, &disk, reason, sizeof(reason)), -EINVAL);
	EXPECT_STR(reason, "disk /dev/null: is neither a file nor a block device");

	make_file();
	EXPECT_EQ(truncate(path, 1000), 0);
	EXPECT_EQ(raw_open(path, false, &disk, reason, sizeof(reason)), -EINVAL);
	EXPECT(strstr(reason, "multiple of 512") != NULL);
	EXPECT_EQ(truncate(path, 0), 0);
	EXPECT_EQ(raw_open(path, false, &disk, reason, sizeof(reason)), -EINVAL);
	EXPECT(strstr(reason, "empty") != NULL);
	/* Nothing of them is left locked or changed. */
	EXPECT_EQ(truncate(path, 512), 0);
	EXPECT_EQ(raw_open(path, false, &disk, reason, sizeof(reason)), 0);
	file = open(path, O_RDONLY);
	EXPECT_EQ(lseek(file, 0, SEEK_END), 512);
	close(file);
	stop();
}

TEST(discard_gives_space_back)
{
	struct stat before, after;

	start();
	fill(3);
	EXPECT_EQ(request(DISK_WRITE, 0, one, sizeof(one)), 0);
	EXPECT_EQ(request(DISK_FLUSH, 0, one, 512), 0);
	REQUIRE(stat(path, &before) == 0);
	EXPECT_EQ(request(DISK_DISCARD, 0, one, sizeof(one)), 0);
	REQUIRE(stat(path, &after) == 0);
	EXPECT_EQ(after.st_size, SIZE);
	if (before.st_blocks > 0)
		EXPECT(after.st_blocks < before.st_blocks);
	stop();
}

TEST(write_zeroes_reads_as_zeroes)
{
	start();
	fill(4);
	EXPECT_EQ(request(DISK_WRITE, 0, one, sizeof(one)), 0);
	EXPECT_EQ(request(DISK_WRITE_ZEROES, 512, one, 32768), 0);
	EXPECT_EQ(request(DISK_READ, 0, two, sizeof(two)), 0);
	EXPECT_MEM(two, one, 512);
	for (unsigned i = 512; i < 512 + 32768; i++)
		if (two[i] != 0) {
			FAIL("byte %u is not zero", i);
			break;
		}
	EXPECT_MEM(two + 512 + 32768, one + 512 + 32768, sizeof(one) - 512 - 32768);
	stop();
}

TEST(file_cut_off_meanwhile_reads_as_zeroes)
{
	start();
	fill(5);
	EXPECT_EQ(request(DISK_WRITE, 0, one, sizeof(one)), 0);
	EXPECT_EQ(truncate(path, 1000), 0);
	EXPECT_EQ(request(DISK_READ, 0, two, sizeof(two)), 0);
	EXPECT_MEM(two, one, 1000);
	EXPECT_EQ(two[1000] | two[4096] | two[sizeof(two) - 1], 0);
	stop();
}

TEST(error_of_the_file_comes_back)
{
	struct rlimit limit = {SIZE / 2, SIZE / 2};

	start();
	signal(SIGXFSZ, SIG_IGN);
	REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	EXPECT_EQ(request(DISK_WRITE, SIZE / 2, one, sizeof(one)), -EFBIG);
	EXPECT_EQ(request(DISK_WRITE, 0, one, sizeof(one)), 0);
	stop();
}

static atomic_uint many_done;

static void count_done(struct disk_request *done, int result)
{
	EXPECT_EQ(result, 0);
	atomic_fetch_add(&many_done, 1);
}

TEST(many_requests_at_once_are_all_done_before_close)
{
	enum { COUNT = 200 };
	static struct disk_request requests[COUNT];
	static struct slice slices[COUNT];
	unsigned at_once = 0;

	start();
	fill(6);
	for (unsigned i = 0; i < COUNT; i++) {
		slices[i] = (struct slice){one + 512 * (i % 64), 512};
		requests[i] =
			(struct disk_request){.operation = i % 8 == 7 ? DISK_FLUSH : DISK_WRITE,
					      .offset = 512 * i,
					      .length = 512,
					      .slices = &slices[i],
					      .slice_count = 1,
					      .done = count_done};
		at_once += disk->ops->submit(disk, &requests[i]) == 0;
	}
	disk->ops->close(disk);
	EXPECT_EQ(atomic_load(&many_done) + at_once, COUNT);
	REQUIRE(raw_open(path, true, &disk, reason, sizeof(reason)) == 0);
	EXPECT_EQ(request(DISK_READ, 512 * 64, two, 512 * 7), 0);
	EXPECT_MEM(two, one, 512 * 7);
	stop();
}
