/* SPDX-License-Identifier: BSD-2-Clause */
/* Benchmarks of a block device or file, past the guest's own cache (O_DIRECT). */
#include "bench.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define SMALL 4096u
#define LARGE (1u << 20)

static int disk;
static uint64_t disk_size;
static void *buffer;

static void disk_open(void)
{
	if (buffer)
		return;
	disk = open(disk_path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (disk < 0)
		fail(disk_path);
	disk_size = (uint64_t)lseek(disk, 0, SEEK_END);
	if (disk_size < LARGE)
		fail("the disk is too small");
	buffer = aligned_alloc(4096, LARGE);
	if (!buffer)
		fail("memory");
}

/* 4 KiB at a random place, one after the other. */
static void read_random(uint64_t count)
{
	static uint64_t random = 1;

	disk_open();
	while (count--) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		if (pread(disk, buffer, SMALL,
			  (off_t)((random >> 33) % (disk_size / SMALL) * SMALL)) != SMALL)
			fail("read");
	}
}

static void write_random(uint64_t count)
{
	static uint64_t random = 2;

	disk_open();
	while (count--) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		if (pwrite(disk, buffer, SMALL,
			   (off_t)((random >> 33) % (disk_size / SMALL) * SMALL)) != SMALL)
			fail("write");
	}
}

static uint64_t next_place(void)
{
	static uint64_t place;

	if (place + LARGE > disk_size)
		place = 0;
	place += LARGE;
	return place - LARGE;
}

static void read_sequential(uint64_t count)
{
	disk_open();
	while (count--) {
		if (pread(disk, buffer, LARGE, (off_t)next_place()) != LARGE)
			fail("read");
	}
}

static void write_sequential(uint64_t count)
{
	disk_open();
	while (count--) {
		if (pwrite(disk, buffer, LARGE, (off_t)next_place()) != LARGE)
			fail("write");
	}
}

const struct benchmark disk_benchmarks[] = {
	{"read-4k", read_random, 100, 100000},
	{"write-4k", write_random, 100, 100000},
	{"read-1m", read_sequential, 150, 1024},
	{"write-1m", write_sequential, 150, 256},
	{NULL, NULL, 0, 0},
};
