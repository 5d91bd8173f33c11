/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks, sleeping and waking of a machine's process on bare metal, with true threads: Linux plays
 * the kernel. The sources are part of this file under other names, since the host here is Linux.
 */
#include "test.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A thread is known by its stack, and these need more than bare metal's. */
#define HOSTS_METAL_STACK_H
#define METAL_STACK_SIZE 0x800000

#define host_lock      metal_host_lock
#define host_lock_init metal_host_lock_init
#define host_unlock    metal_host_unlock
#define host_wake_at   metal_host_wake_at
#define host_vcpu_wait metal_host_vcpu_wait
#define host_vcpu_wake metal_host_vcpu_wake
#define host_vcpu_poll metal_host_vcpu_poll
#define host_vm_notify metal_host_vm_notify
#define host_now       metal_host_now
#define wake_main      metal_wake_main
#define wake_wait      metal_wake_wait
#define threads_create metal_threads_create
#define threads_start  metal_threads_start
#define threads_join   metal_threads_join
#define vm_lock	       metal_vm_lock
#define vm_unlock      metal_vm_unlock
#define timers_run     metal_timers_run
#define vcpu_run       metal_vcpu_run

#include "engines/metal/call.h"
#include "hosts/metal/machine.h"
#include "lib/error.h"

#include "hosts/metal/lock.c"
#include "hosts/metal/threads.c"
#include "hosts/metal/wake.c"

#define MILLISECOND UINT64_C(1000000)
#define THREADS	    4
#define ROUNDS	    200000

static struct vm vm;
static struct metal_vm metal_vm;
static struct vcpu vcpus[THREADS];

/* The kernel */

uint64_t host_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 * MILLISECOND + (uint64_t)now.tv_nsec;
}

struct entry {
	void (*function)(uint64_t argument);
	uint64_t argument;
};

static void *enter(void *argument)
{
	struct entry *entry = argument;

	entry->function(entry->argument);
	return NULL;
}

static void thread_on_stack(pthread_t *thread, struct entry *entry)
{
	pthread_attr_t attributes;
	void *stack = NULL;

	REQUIRE(posix_memalign(&stack, METAL_STACK_SIZE, METAL_STACK_SIZE) == 0);
	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, stack, METAL_STACK_SIZE);
	REQUIRE(pthread_create(thread, &attributes, enter, entry) == 0);
}

static int64_t kernel_wait(uint64_t word, uint64_t value, uint64_t deadline)
{
	struct timespec until = {(time_t)(deadline / (1000 * MILLISECOND)),
				 (long)(deadline % (1000 * MILLISECOND))};

	return syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value,
		       deadline == UINT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
}

int64_t metal_call(enum metal_call number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
		   uint64_t e)
{
	pthread_t thread;

	switch (number) {
	case METAL_WAIT:
		return kernel_wait(a, b, c);
	case METAL_WAKE:
		return syscall(SYS_futex, a, FUTEX_WAKE, b > INT32_MAX ? INT32_MAX : b, NULL, NULL,
			       0);
	case METAL_THREAD_CREATE: {
		struct entry *entry = malloc(sizeof(*entry));

		/* As the ABI of C has it on entry. */
		EXPECT_EQ(b % 16, 8);
		EXPECT_EQ(*(uint64_t *)b, 0);
		*entry = (struct entry){(void (*)(uint64_t))a, c};
		thread_on_stack(&thread, entry);
		return 1;
	}
	default:
		FAIL("call %d", number);
		return -ENOSYS;
	}
}

/* The core */

static _Atomic unsigned timer_runs, vcpu_runs;
static _Atomic bool stop;

void vm_lock(struct vm *of)
{
	host_lock(&of->lock);
}

void vm_unlock(struct vm *of)
{
	host_unlock(&of->lock);
}

void timers_run(struct vm *of)
{
	timer_runs++;
	host_wake_at(of, UINT64_MAX);
	wake_main(); /* as a device that stops the vm */
}

void vcpu_run(struct vcpu *vcpu)
{
	vcpu_runs++;
	while (!atomic_load(&stop))
		host_vcpu_wait(vcpu, UINT64_MAX);
}

/* The start page lies where the kernel puts it. */
static void make(void)
{
	void *page = mmap((void *)METAL_START_ADDRESS, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (page == MAP_FAILED)
		SKIP("Linux does not give the address of the start page");
	host_lock_init(&vm.lock);
	metal_vm.wanted = UINT64_MAX;
	vm.host_private = &metal_vm;
	vm.vcpu_count = THREADS;
	for (unsigned i = 0; i < THREADS; i++) {
		vcpus[i].vm = &vm;
		vm.vcpus[i] = &vcpus[i];
	}
}

/* Runs it on a stack that a lock knows its thread by, and waits for its end. */
static void on_thread(void (*function)(uint64_t))
{
	struct entry entry = {function, 0};
	pthread_t thread;

	thread_on_stack(&thread, &entry);
	pthread_join(thread, NULL);
}

/* Locks */

static struct host_lock lock;
static unsigned shared[2];

static void count_many(uint64_t argument)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		host_lock(&lock);
		EXPECT_EQ(shared[0], shared[1]);
		shared[0]++;
		if (i % 1000 == 0)
			sched_yield();
		shared[1]++;
		host_unlock(&lock);
	}
}

TEST(one_at_a_time_holds_the_lock)
{
	struct entry entries[THREADS];
	pthread_t threads[THREADS];

	host_lock_init(&lock);
	for (unsigned i = 0; i < THREADS; i++) {
		entries[i] = (struct entry){count_many, i};
		thread_on_stack(&threads[i], &entries[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(shared[0], THREADS * ROUNDS);
}

static void lock_twice(uint64_t argument)
{
	host_lock_init(&lock);
	host_lock(&lock);
	test_expect_abort("check failed");
	host_lock(&lock);
}

TEST(a_lock_is_not_taken_twice)
{
	on_thread(lock_twice);
}

static void unlock_free(uint64_t argument)
{
	host_lock_init(&lock);
	test_expect_abort("check failed");
	host_unlock(&lock);
}

TEST(a_free_lock_is_not_dropped)
{
	on_thread(unlock_free);
}

/* Sleep */

static void wait_for_timer(uint64_t argument)
{
	uint64_t before = host_now();

	make();
	vm_lock(&vm);
	host_wake_at(&vm, before + 20 * MILLISECOND);
	vm_unlock(&vm);
	while (!timer_runs && host_now() - before < 2000 * MILLISECOND) {
		uint32_t events = wake_wait(&vm);

		EXPECT_EQ(events, timer_runs ? EVENT_SELF : 0);
	}
	EXPECT_EQ(timer_runs, 1);
	EXPECT(host_now() - before >= 20 * MILLISECOND);
}

TEST(timers_run_when_they_are_due)
{
	on_thread(wait_for_timer);
}

static void move_timer(uint64_t argument)
{
	usleep(20000);
	vm_lock(&vm);
	host_wake_at(&vm, host_now() + MILLISECOND);
	vm_unlock(&vm);
}

static void wait_for_moved_timer(uint64_t argument)
{
	struct entry entry = {move_timer, 0};
	pthread_t thread;
	uint64_t before = host_now();

	make();
	thread_on_stack(&thread, &entry);
	while (!timer_runs && host_now() - before < 5000 * MILLISECOND)
		wake_wait(&vm);
	EXPECT_EQ(timer_runs, 1);
	EXPECT(host_now() - before < 1000 * MILLISECOND);
	pthread_join(thread, NULL);
}

TEST(a_nearer_deadline_wakes_the_sleeper)
{
	on_thread(wait_for_moved_timer);
}

static void note_events(uint64_t argument)
{
	make();
	atomic_store(&metal_start()->events, METAL_EVENT_FRAME);
	EXPECT_EQ(wake_wait(&vm), METAL_EVENT_FRAME);
	host_vm_notify(&vm);
	atomic_fetch_or(&metal_start()->events, METAL_EVENT_NOTIFY);
	EXPECT_EQ(wake_wait(&vm), EVENT_SELF | METAL_EVENT_NOTIFY);
	EXPECT_EQ(atomic_load(&metal_start()->events), 0);
}

TEST(events_end_the_sleep_and_are_taken)
{
	on_thread(note_events);
}

/* As often as threads can: a wake that is lost hangs the test. */
static void wake_often(uint64_t argument)
{
	for (unsigned i = 0; i < ROUNDS / 10; i++) {
		host_vm_notify(&vm);
		if (i % 16 == 0)
			sched_yield();
	}
	atomic_store(&stop, true);
	host_vm_notify(&vm);
}

static void serve_until_stop(uint64_t argument)
{
	struct entry entry = {wake_often, 0};
	pthread_t thread;

	make();
	thread_on_stack(&thread, &entry);
	while (!atomic_load(&stop))
		wake_wait(&vm);
	pthread_join(thread, NULL);
}

TEST(no_wake_is_lost)
{
	on_thread(serve_until_stop);
}

static void start_and_stop(uint64_t argument)
{
	make();
	EXPECT_EQ(threads_create(&vm), 0);
	for (unsigned round = 1; round <= 200; round++) {
		atomic_store(&stop, false);
		threads_start(&vm);
		if (round % 2)
			usleep(200);
		atomic_store(&stop, true);
		for (unsigned i = 0; i < THREADS; i++)
			host_vcpu_wake(&vcpus[i]);
		threads_join(&vm);
		EXPECT_EQ(vcpu_runs, THREADS * round);
	}
}

TEST(threads_start_again_and_again)
{
	on_thread(start_and_stop);
}
