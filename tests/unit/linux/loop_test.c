/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "core/vm.h"
#include "engines/scripted/scripted.h"
#include "hosts/linux/linux.h"
#include "hosts/linux/loop.h"

#define MIB UINT64_C(0x100000)

static struct vm vm;
static struct loop *loop;

static void create(void)
{
	struct vm_config config = {.vcpus = 1,
				   .memory_size = 2 * MIB,
				   .hole_base = 2 * MIB,
				   .engine = &engine_scripted};

	linux_init();
	REQUIRE(vm_create(&vm, &config) == 0);
	REQUIRE(linux_vm_attach(&vm) == 0);
	loop = linux_loop(&vm);
}

static void destroy(void)
{
	linux_vm_detach(&vm);
	vm_destroy(&vm);
}

static unsigned bytes_read;
static struct loop_watch watches[2];

static void read_byte(struct loop_watch *watch, uint32_t events)
{
	char byte;

	if (read(watch->fd, &byte, 1) != 1) {
		loop_remove(loop, watch);
		vm_stop(&vm, VM_TEST_EXIT, 0);
		return;
	}
	bytes_read++;
}

TEST(a_pipe_is_read_to_its_end)
{
	int ends[2];

	create();
	REQUIRE(pipe(ends) == 0);
	watches[0] = (struct loop_watch){.fd = ends[0], .ready = read_byte};
	EXPECT_EQ(loop_add(loop, &watches[0], EPOLLIN), 0);
	EXPECT_EQ(write(ends[1], "lodge", 5), 5);
	close(ends[1]);
	linux_loop_run(&vm);
	EXPECT_EQ(bytes_read, 5);
	destroy();
}

TEST(a_regular_file_is_read_to_its_end)
{
	int fd = open(test_path("text"), O_RDWR | O_CREAT, 0600);

	create();
	EXPECT_EQ(write(fd, "lodge", 5), 5);
	lseek(fd, 0, SEEK_SET);
	watches[0] = (struct loop_watch){.fd = fd, .ready = read_byte};
	EXPECT_EQ(loop_add(loop, &watches[0], EPOLLIN), 0);
	EXPECT(watches[0].always);
	linux_loop_run(&vm);
	EXPECT_EQ(bytes_read, 5);
	destroy();
}

/* Each, when it is called, removes the other: only one may ever be called. */
static unsigned called;

static void remove_other(struct loop_watch *watch, uint32_t events)
{
	called++;
	loop_remove(loop, watch == &watches[0] ? &watches[1] : &watches[0]);
	loop_change(loop, watch, 0);
	vm_stop(&vm, VM_TEST_EXIT, 0);
}

TEST(a_watch_removed_in_the_same_turn_is_not_called)
{
	int ends[2];

	create();
	REQUIRE(pipe(ends) == 0);
	EXPECT_EQ(write(ends[1], "x", 1), 1);
	watches[0] = (struct loop_watch){.fd = ends[0], .ready = remove_other};
	watches[1] = (struct loop_watch){.fd = dup(ends[0]), .ready = remove_other};
	EXPECT_EQ(loop_add(loop, &watches[0], EPOLLIN), 0);
	EXPECT_EQ(loop_add(loop, &watches[1], EPOLLIN), 0);
	linux_loop_run(&vm);
	EXPECT_EQ(called, 1);
	destroy();
}

static void *stop_later(void *unused)
{
	usleep(100000);
	vm_lock(&vm);
	vm_stop(&vm, VM_TEST_EXIT, 0);
	vm_unlock(&vm);
	return NULL;
}

static double processor_seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Nor does a hang-up keep the loop busy meanwhile, or get lost. */
TEST(a_watch_without_events_is_not_called)
{
	double before;
	pthread_t thread;
	int ends[2];

	create();
	REQUIRE(pipe(ends) == 0);
	EXPECT_EQ(write(ends[1], "x", 1), 1);
	watches[0] = (struct loop_watch){.fd = ends[0], .ready = read_byte};
	EXPECT_EQ(loop_add(loop, &watches[0], EPOLLIN), 0);
	loop_change(loop, &watches[0], 0);
	close(ends[1]);
	pthread_create(&thread, NULL, stop_later, NULL);
	before = processor_seconds();
	linux_loop_run(&vm);
	EXPECT(processor_seconds() - before < 0.05);
	pthread_join(thread, NULL);
	EXPECT_EQ(bytes_read, 0);
	vm_reset(&vm);
	loop_change(loop, &watches[0], EPOLLIN);
	linux_loop_run(&vm);
	EXPECT_EQ(bytes_read, 1);
	destroy();
}

static unsigned ordered;

static void call_first(struct loop_call *call)
{
	EXPECT_EQ(ordered++, 0);
	/* It has begun, so it may be posted again. */
	if (call->context) {
		call->context = NULL;
		ordered = 0;
		loop_post(loop, call);
	}
}

static void call_last(struct loop_call *call)
{
	vm_stop(&vm, VM_TEST_EXIT, 0);
}

static void call_never(struct loop_call *call)
{
	FAIL("a call that was withdrawn was made");
}

static struct loop_call first = {.call = call_first}, last = {.call = call_last},
			never = {.call = call_never};

static void *post_all(void *argument)
{
	usleep(5000);
	loop_post(loop, &never);
	loop_withdraw(loop, &never);
	loop_post(loop, &first);
	loop_post(loop, &first);
	loop_post(loop, &last);
	return NULL;
}

TEST(calls_of_other_threads_are_made_in_order)
{
	pthread_t thread;

	create();
	vm_lock(&vm); /* holds the loop up, so that all are posted before the first is made */
	pthread_create(&thread, NULL, post_all, NULL);
	pthread_join(thread, NULL);
	vm_unlock(&vm);
	linux_loop_run(&vm);
	EXPECT_EQ(ordered, 1);
	destroy();
}
