/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
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

static void create(void)
{
	const struct vm_config config = {.vcpus = 1,
					 .memory_size = 2 << 20,
					 .hole_base = 2 << 20,
					 .engine = &engine_scripted};

	linux_init();
	REQUIRE(vm_create(&vm, &config) == 0);
	REQUIRE(linux_vm_attach(&vm) == 0);
	REQUIRE(pipe(ends) == 0);
	output_init(&output, ends[1], linux_loop(&vm), room, NULL);
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
