/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/vm.h"
#include "engines/scripted/scripted.h"
#include "manage/exitcodes.h"
#include "manage/saved_file.h"
#include "manage/saved_memory.h"

#define MEMORY (UINT64_C(16) << 20)

static struct vm vm;
static struct saved_config config, found;
static struct saved_file file;
static char path[256], reason[1024];
static const uint8_t state[] = "a state, as far as the file is concerned";

static void make_vm(void)
{
	const struct vm_config vm_config = {.vcpus = 1,
					    .memory_size = MEMORY,
					    .hole_base = UINT64_C(0xc0000000),
					    .engine = &engine_scripted};

	REQUIRE(vm_create(&vm, &vm_config) == 0);
}

static uint8_t pattern(uint64_t address)
{
	return (uint8_t)(address * 7 + (address >> 12) + 1);
}

static void put_page(uint64_t address)
{
	uint8_t page[4096];

	for (unsigned i = 0; i < sizeof(page); i++)
		page[i] = pattern(address + i);
	REQUIRE(vm_write(&vm, gpa(address), page, sizeof(page)) == 0);
}

static const uint64_t pages[] = {0,	  0x1000,   0x3000,   0xf000,	0x10000,
				 0x25000, 0x200000, 0x7ff000, 0xfff000, 0xff0000};
#define PAGES (sizeof(pages) / sizeof(pages[0]))

static bool is_page(uint64_t address)
{
	for (unsigned i = 0; i < PAGES; i++)
		if (pages[i] == address)
			return true;
	return false;
}

static void make_config(void)
{
	memset(&config, 0, sizeof(config));
	config.cpus = 1;
	config.memory = MEMORY;
	strcpy(config.cpu_model, "max");
	config.tsc_frequency = 1000000000;
	strcpy(config.kernel, "/k");
}

static int write_file(int fd)
{
	struct saved_writer writer;
	int error;

	REQUIRE(saved_writer_begin(&writer, fd, &vm) == 0);
	error = saved_writer_memory(&writer);
	if (!error)
		error = saved_writer_finish(&writer, &config, state, sizeof(state));
	EXPECT(error || writer.memory_bytes == PAGES * 4096);
	saved_writer_end(&writer);
	return error;
}

/* An empty file, in path; returns it open. */
static int new_file(const char *name)
{
	int fd;

	snprintf(path, sizeof(path), "%s", test_path(name));
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	REQUIRE(fd >= 0);
	return fd;
}

/* The same with the pages. */
static int make_file(void)
{
	int fd = new_file("file");

	make_vm();
	make_config();
	for (unsigned i = 0; i < PAGES; i++)
		put_page(pages[i]);
	REQUIRE(write_file(fd) == 0);
	return fd;
}

static int open_file(void)
{
	int error;

	reason[0] = '\0';
	error = saved_file_open(&file, path, &found, reason, sizeof(reason));
	/* One line that begins with the name. */
	EXPECT(!error || (!strncmp(reason, path, strlen(path)) && !strchr(reason, '\n')));
	return error;
}

/* A second machine, whose memory comes from the file. */
static struct saved_memory *restore(void)
{
	struct saved_memory *memory;

	vm_destroy(&vm);
	make_vm();
	REQUIRE(open_file() == 0);
	REQUIRE(saved_memory_create(&memory, &vm, &file, path) == 0);
	return memory;
}

static void check_page(uint64_t address)
{
	uint8_t page[4096];
	unsigned wrong = 0;

	REQUIRE(vm_read(&vm, gpa(address), page, sizeof(page)) == 0);
	for (unsigned i = 0; i < sizeof(page); i++)
		wrong += page[i] != (is_page(address) ? pattern(address + i) : 0);
	EXPECT_EQ(wrong, 0);
}

static void finish(int fd)
{
	close(fd);
	vm_destroy(&vm);
}

TEST(memory_survives)
{
	int fd = make_file();
	struct saved_memory *memory = restore();

	EXPECT(memcmp(&config, &found, sizeof(config)) == 0);
	for (uint64_t address = 0; address < MEMORY; address += 4096)
		check_page(address);
	saved_memory_destroy(memory);
	finish(fd);
}

TEST(memory_comes_when_it_is_wanted)
{
	int fd = make_file();
	struct saved_memory *memory = restore();
	struct stat status;

	EXPECT(memory_is_absent(&vm.memory, 0));
	EXPECT(!memory_is_absent(&vm.memory, 0x40000)); /* all zero: nothing to fetch */
	check_page(0x25000);
	EXPECT(!memory_is_absent(&vm.memory, 0x20000));
	EXPECT(memory_is_absent(&vm.memory, 0x10000));
	REQUIRE(vm_slice(&vm, gpa(0x1ffff0), 32));
	EXPECT(!memory_is_absent(&vm.memory, 0x200000));
	EXPECT(memory_is_absent(&vm.memory, 0));
	/* A write to a part leaves the rest as it was saved. */
	REQUIRE(vm_write(&vm, gpa(0x1008), "12345678", 8) == 0);
	check_page(0);
	check_page(0x3000);
	saved_memory_start(memory);
	for (unsigned i = 0; i < 1000 && memory_is_absent(&vm.memory, 0xff0000); i++)
		usleep(1000);
	EXPECT(!memory_is_absent(&vm.memory, 0xff0000));
	saved_memory_destroy(memory);
	/* What is zero has not been made real by looking for it. */
	REQUIRE(fstat(vm.memory.handle, &status) == 0);
	finish(fd);
}

/* A machine that is saved while it is still being restored. */
TEST(a_restored_machine_can_be_saved_again)
{
	int fd = make_file(), second;
	struct saved_memory *memory = restore();

	second = new_file("second");
	REQUIRE(write_file(second) == 0);
	saved_memory_destroy(memory);
	close(fd);
	memory = restore();
	for (uint64_t address = 0; address < MEMORY; address += 4096)
		check_page(address);
	saved_memory_destroy(memory);
	finish(second);
}

TEST(pages_are_written_again)
{
	struct saved_writer writer;
	uint64_t bitmap[MEMORY / 4096 / 64] = {0};
	struct saved_memory *memory;
	int fd = new_file("file");

	make_vm();
	make_config();
	put_page(0);
	REQUIRE(saved_writer_begin(&writer, fd, &vm) == 0);
	REQUIRE(saved_writer_memory(&writer) == 0);
	for (unsigned i = 0; i < PAGES; i++) {
		put_page(pages[i]);
		bitmap[pages[i] / 4096 / 64] |= UINT64_C(1) << pages[i] / 4096 % 64;
	}
	REQUIRE(saved_writer_pages(&writer, bitmap) == 0);
	for (unsigned i = 0; i < sizeof(bitmap) / 8; i++)
		EXPECT_EQ(bitmap[i], 0);
	REQUIRE(saved_writer_finish(&writer, &config, state, sizeof(state)) == 0);
	saved_writer_end(&writer);
	memory = restore();
	for (uint64_t address = 0; address < MEMORY; address += 4096)
		check_page(address);
	saved_memory_destroy(memory);
	finish(fd);
}

TEST(files_cut_off_anywhere_are_refused)
{
	int fd = make_file();
	off_t length = lseek(fd, 0, SEEK_END);

	for (off_t cut = length - 1; cut >= 0; cut -= cut < 5000 ? 61 : 977) {
		REQUIRE(ftruncate(fd, cut) == 0);
		EXPECT_EQ(open_file(), -EINVAL);
	}
	finish(fd);
}

/* Any bit that is wrong is noticed: at once, or, in memory's contents, when they are read. */
TEST(every_wrong_bit_is_noticed)
{
	static uint8_t ram[SAVED_CHUNK];
	int fd = make_file();
	off_t length = lseek(fd, 0, SEEK_END);
	unsigned late = 0;

	for (off_t at = 0; at < length; at += at < 128 ? 1 : 509) {
		uint8_t byte, wrong;
		bool in_padding = at >= 108 && at < SAVED_HEADER_BYTES;
		int error;

		REQUIRE(pread(fd, &byte, 1, at) == 1);
		wrong = byte ^ (uint8_t)(1u << at % 8);
		REQUIRE(pwrite(fd, &wrong, 1, at) == 1);
		error = open_file();
		for (uint64_t chunk = 0; !error && chunk < MEMORY; chunk += SAVED_CHUNK) {
			memset(ram, 0, sizeof(ram));
			error = saved_file_read(&file, chunk, ram);
			late += error != 0;
		}
		EXPECT_EQ(error, in_padding ? 0 : -EINVAL);
		saved_file_close(&file);
		REQUIRE(pwrite(fd, &byte, 1, at) == 1);
	}
	EXPECT(late > 50);
	finish(fd);
}

TEST(what_is_no_saved_machine_is_refused)
{
	static const char text[] = "#!/bin/sh\necho this is something else entirely\n";
	int fd = new_file("file");

	EXPECT_EQ(open_file(), -EINVAL);
	REQUIRE(write(fd, text, sizeof(text)) == sizeof(text));
	EXPECT_EQ(open_file(), -EINVAL);
	EXPECT(strstr(reason, "is no saved machine"));
	close(fd);
	unlink(path);
	EXPECT_EQ(open_file(), -ENOENT);
	strcpy(path, "/dev/zero");
	EXPECT_EQ(open_file(), -EINVAL);
	EXPECT(strstr(reason, "is not a file"));
}

/* Memory that turns out to be damaged ends the process, and says which file it was. */
TEST(damaged_memory_ends_the_machine)
{
	int fd = make_file(), status = 0, out[2];
	char text[512] = "";
	pid_t child;

	REQUIRE(pwrite(fd, "x", 1, SAVED_HEADER_BYTES + 100) == 1 && pipe(out) == 0);
	child = fork();
	if (!child) {
		dup2(out[1], 2);
		restore();
		vm_slice(&vm, gpa(0), 1);
		_exit(0);
	}
	REQUIRE(waitpid(child, &status, 0) == child && read(out[0], text, sizeof(text) - 1) > 0);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == LODGE_BAD_INPUT);
	EXPECT(strstr(text, path) && strstr(text, "memory at 0 MiB"));
	finish(fd);
}

/* A disk that is full, at any point of the write, is an error and nothing else. */
TEST(a_full_disk_is_an_error)
{
	struct rlimit limit = {0, RLIM_INFINITY};
	int fd = make_file();
	off_t length = lseek(fd, 0, SEEK_END);

	signal(SIGXFSZ, SIG_IGN);
	for (off_t room = 0; room < length; room += 4099) {
		REQUIRE(ftruncate(fd, 0) == 0);
		limit.rlim_cur = (rlim_t)room;
		REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
		EXPECT_EQ(write_file(fd), -EFBIG);
		EXPECT_EQ(open_file(), -EINVAL);
	}
	limit.rlim_cur = RLIM_INFINITY;
	REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	REQUIRE(ftruncate(fd, 0) == 0);
	EXPECT_EQ(write_file(fd), 0);
	EXPECT_EQ(open_file(), 0);
	saved_file_close(&file);
	finish(fd);
}
