/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "core/vm.h"
#include "engines/scripted/scripted.h"
#include "hosts/linux/linux.h"
#include "hosts/linux/output.h"

static struct vm vm;
static struct output output;
static int ends[2];
static unsigned rooms;

static void room(struct loop_call *call)
{
	rooms++;
	if (output_is_empty(&output))
		vm_stop(&vm, VM_TEST_EXIT, 0);
}

static void create_at(int fd)
{
	const struct vm_config config = {.vcpus = 1,
					 .memory_size = 2 << 20,
					 .hole_base = 2 << 20,
					 .engine = &engine_scripted};

	linux_init();
	REQUIRE(vm_create(&vm, &config) == 0);
	REQUIRE(linux_vm_attach(&vm) == 0);
	output_init(&output, fd, linux_loop(&vm), room, NULL);
	output.gaps = true;
}

static void create(void)
{
	REQUIRE(pipe(ends) == 0);
	create_at(ends[1]);
}

static void *read_slowly(void *argument)
{
	static char bytes[4096];
	size_t *got = argument;

	usleep(100000);
	while (read(ends[0], bytes, sizeof(bytes)) > 0)
		*got += sizeof(bytes);
	return NULL;
}

TEST(who_asks_is_told_when_all_is_written)
{
	static char block[OUTPUT_SIZE];
	pthread_t reader;
	size_t got = 0;

	create();
	EXPECT(output_is_empty(&output));
	/* Fills the pipe, and then some of the buffer. */
	do {
		EXPECT_EQ(output_write(&output, block, 32768), 32768);
		usleep(50000);
	} while (output_is_empty(&output));
	EXPECT(!output_is_empty(&output));
	pthread_create(&reader, NULL, read_slowly, &got);
	linux_loop_run(&vm);
	EXPECT(rooms >= 1);
	EXPECT(output_is_empty(&output));
	EXPECT(output_close(&output));
	close(ends[1]);
	pthread_join(reader, NULL);
	EXPECT(got >= 65536);
}

/* All of it has been written, or refused. */
static void say(const char *text)
{
	EXPECT_EQ(output_write(&output, text, strlen(text)), strlen(text));
	while (!output_is_empty(&output))
		usleep(1000);
}

/* What it writes to is another file from now on. */
static void lead_to(int file)
{
	REQUIRE(dup2(file, output.fd) == output.fd);
	close(file);
}

static void expect_file(const char *path, const char *expected)
{
	char text[256];
	int file = open(path, O_RDONLY);
	ssize_t got = read(file, text, sizeof(text) - 1);

	REQUIRE(got >= 0);
	text[got] = '\0';
	EXPECT_STR(text, expected);
	close(file);
}

TEST(output_goes_on_when_a_full_disk_has_room_again)
{
	const char *path = test_path("output");

	create_at(open(path, O_WRONLY | O_CREAT | O_APPEND, 0600));
	say("before");
	lead_to(open("/dev/full", O_WRONLY));
	say("lost");
	say("this too");
	lead_to(open(path, O_WRONLY | O_APPEND));
	say("after");
	say(" all");
	EXPECT(output_close(&output));
	expect_file(path, "before\r\n[lodge: output is missing here]\r\nafter all");
}

TEST(output_without_gaps_ends_at_the_first)
{
	const char *path = test_path("output");

	create_at(open("/dev/full", O_WRONLY));
	output.gaps = false;
	say("lost");
	lead_to(open(path, O_WRONLY | O_CREAT, 0600));
	say("this too");
	EXPECT(output_close(&output));
	expect_file(path, "");
}

TEST(output_that_nobody_reads_any_more_ends)
{
	const char *path = test_path("output");

	create();
	close(ends[0]);
	say("lost");
	lead_to(open(path, O_WRONLY | O_CREAT, 0600));
	say("this too");
	EXPECT(output_close(&output));
	expect_file(path, "");
}
