/* SPDX-License-Identifier: BSD-2-Clause */
/* The host on Linux with true threads and true time: start, sleep, wake, stop, start again. */
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/engine.h"
#include "core/vm.h"
#include "hosts/linux/cap.h"
#include "hosts/linux/linux.h"

#define MIB	    UINT64_C(0x100000)
#define MILLISECOND UINT64_C(1000000)
#define RFLAGS_IF   0x200

/*
 * An engine whose guest is an idle loop: it halts with interrupts on, takes what comes, halts
 * again. What comes is counted; `wanted` of them end the vm.
 */
static struct vm vm;
static _Atomic unsigned taken, kicks, runs;
static unsigned wanted;
static bool spin; /* the guest computes instead of halting */

static int idle_probe(char *reason, size_t size)
{
	return 0;
}

static int idle_vm_create(struct vm *v)
{
	return 0;
}

static void idle_vm_destroy(struct vm *v)
{
}

static int idle_vcpu_create(struct vcpu *vcpu)
{
	return 0;
}

static void idle_vcpu_destroy(struct vcpu *vcpu)
{
}

static void idle_run(struct vcpu *vcpu, struct exit *exit)
{
	runs++;
	*exit = (struct exit){.kind = EXIT_KICKED};
	vcpu->state.rflags |= RFLAGS_IF;
	for (;;) {
		uint32_t pending = atomic_load(&vcpu->pending);

		if (pending & ~(uint32_t)PENDING_INTERRUPT)
			return;
		if (pending & PENDING_INTERRUPT) {
			vcpu_take_interrupt(vcpu);
			if (++taken == wanted)
				vm_stop(vcpu->vm, VM_POWERED_OFF, 0);
		} else if (!spin) {
			exit->kind = EXIT_HALT;
			return;
		}
	}
}

static void idle_kick(struct vcpu *vcpu)
{
	kicks++;
}

static const struct engine engine_idle = {
	.name = "idle",
	.probe = idle_probe,
	.vm_create = idle_vm_create,
	.vm_destroy = idle_vm_destroy,
	.vcpu_create = idle_vcpu_create,
	.vcpu_destroy = idle_vcpu_destroy,
	.run = idle_run,
	.kick = idle_kick,
};

static void create(unsigned vcpus)
{
	struct vm_config config = {.vcpus = vcpus,
				   .memory_size = 2 * MIB,
				   .hole_base = 2 * MIB,
				   .engine = &engine_idle};

	linux_init();
	REQUIRE(vm_create(&vm, &config) == 0);
	REQUIRE(linux_vm_attach(&vm) == 0);
	vm_reset(&vm);
}

static void destroy(void)
{
	linux_vm_join(&vm);
	linux_vm_detach(&vm);
	vm_destroy(&vm);
}

static struct timer tick;
static uint64_t tick_period;
static unsigned tick_vcpu;

static void tick_expired(struct timer *timer)
{
	vcpu_post(vm.vcpus[tick_vcpu], PENDING_INTERRUPT);
	timer_set(timer, vm_time(&vm) + tick_period);
}

static void tick_begin(uint64_t period)
{
	tick_period = period;
	timer_init(&tick, &vm, tick_expired);
	vm_lock(&vm);
	timer_set(&tick, vm_time(&vm) + period);
	vm_unlock(&vm);
}

static uint64_t cpu_used(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * 1000 * MILLISECOND + (uint64_t)time.tv_nsec;
}

TEST(a_halted_vcpu_is_woken_by_its_timer)
{
	uint64_t begin;

	create(1);
	wanted = 20;
	begin = host_now();
	tick_begin(2 * MILLISECOND);
	REQUIRE(linux_vm_start(&vm) == 0);
	linux_loop_run(&vm);
	destroy();
	EXPECT_EQ(atomic_load(&vm.stop), VM_POWERED_OFF);
	EXPECT(host_now() - begin >= 40 * MILLISECOND);
	EXPECT_EQ(atomic_load(&taken), 20);
}

TEST(a_running_vcpu_is_kicked_by_its_timer)
{
	create(1);
	wanted = 10;
	spin = true;
	tick_begin(2 * MILLISECOND);
	REQUIRE(linux_vm_start(&vm) == 0);
	linux_loop_run(&vm);
	destroy();
	EXPECT_EQ(atomic_load(&taken), 10);
	EXPECT(atomic_load(&kicks) >= 10);
}

TEST(other_vcpus_are_woken_by_the_sleeping_ones)
{
	create(4);
	for (unsigned i = 1; i < 4; i++)
		vcpu_start(vm.vcpus[i], 1);
	wanted = 20;
	tick_vcpu = 3;
	tick_begin(MILLISECOND);
	REQUIRE(linux_vm_start(&vm) == 0);
	linux_loop_run(&vm);
	destroy();
	EXPECT_EQ(atomic_load(&taken), 20);
}

static void stop_soon(struct timer *timer)
{
	vm_stop(&vm, VM_RESET, 0);
}

TEST(an_idle_vm_uses_next_to_no_processor)
{
	uint64_t before;

	create(2);
	timer_init(&tick, &vm, stop_soon);
	vm_lock(&vm);
	timer_set(&tick, vm_time(&vm) + 500 * MILLISECOND);
	vm_unlock(&vm);
	before = cpu_used();
	REQUIRE(linux_vm_start(&vm) == 0);
	linux_loop_run(&vm);
	linux_vm_join(&vm);
	/* Sanitizers make starting threads dear, so this is not one hundredth but two. */
	EXPECT(cpu_used() - before < 10 * MILLISECOND);
	destroy();
}

TEST(threads_can_be_started_again_after_a_reset)
{
	create(2);
	for (unsigned i = 0; i < 5; i++) {
		timer_init(&tick, &vm, stop_soon);
		vm_lock(&vm);
		timer_set(&tick, vm_time(&vm) + MILLISECOND);
		vm_unlock(&vm);
		REQUIRE(linux_vm_start(&vm) == 0);
		linux_loop_run(&vm);
		linux_vm_join(&vm);
		EXPECT_EQ(atomic_load(&vm.stop), VM_RESET);
		vm_reset(&vm);
		EXPECT_EQ(atomic_load(&vm.stop), VM_RUNNING);
	}
	destroy();
}

static void *poster(void *argument)
{
	struct vcpu *vcpu = argument;

	/* Each waits for the one before to be taken, so that a lost one would hang the test. */
	for (unsigned i = 0; i < 2000 && atomic_load(&vm.stop) == VM_RUNNING; i++) {
		unsigned before = atomic_load(&taken);

		vcpu_post(vcpu, PENDING_INTERRUPT);
		while (atomic_load(&taken) == before && atomic_load(&vm.stop) == VM_RUNNING)
			sched_yield();
	}
	return NULL;
}

TEST(no_wake_up_is_lost)
{
	pthread_t thread;

	create(1);
	wanted = 2000;
	tick_begin(1000 * 1000 * MILLISECOND);
	REQUIRE(linux_vm_start(&vm) == 0);
	REQUIRE(pthread_create(&thread, NULL, poster, vm.vcpus[0]) == 0);
	linux_loop_run(&vm);
	pthread_join(thread, NULL);
	destroy();
	EXPECT_EQ(atomic_load(&taken), 2000);
}

TEST(a_termination_signal_stops_the_vm)
{
	create(1);
	REQUIRE(linux_vm_start(&vm) == 0);
	kill(getpid(), SIGTERM);
	linux_loop_run(&vm);
	destroy();
	EXPECT_EQ(atomic_load(&vm.stop), VM_KILLED);
	EXPECT_EQ(vm.stop_code, SIGTERM);
}

TEST(pausing_parks_all_and_the_loop_tells)
{
	unsigned taken_then;
	uint64_t then;

	create(3);
	wanted = 50;
	tick_begin(2 * MILLISECOND);
	REQUIRE(linux_vm_start(&vm) == 0);
	vm_lock(&vm);
	vm_pause(&vm);
	vm_unlock(&vm);
	linux_loop_run(&vm);
	EXPECT(vm_paused(&vm));
	vm_lock(&vm);
	then = vm_time(&vm);
	taken_then = atomic_load(&taken);
	vm_unlock(&vm);
	usleep(20000);
	vm_lock(&vm);
	EXPECT_EQ(vm_time(&vm), then);
	EXPECT_EQ(atomic_load(&taken), taken_then);
	vm_resume(&vm);
	vm_unlock(&vm);
	linux_loop_run(&vm);
	destroy();
	EXPECT_EQ(atomic_load(&vm.stop), VM_POWERED_OFF);
	EXPECT_EQ(atomic_load(&taken), 50);
}

/* Mostly no vcpu sees that it was resumed. */
TEST(a_pause_right_behind_a_resume_parks_all)
{
	create(3);
	REQUIRE(linux_vm_start(&vm) == 0);
	for (unsigned i = 0; i < 50; i++) {
		vm_lock(&vm);
		vm_resume(&vm);
		vm_pause(&vm);
		vm_unlock(&vm);
		linux_loop_run(&vm);
		EXPECT(vm_paused(&vm));
	}
	vm_stop(&vm, VM_KILLED, 0);
	linux_loop_run(&vm);
	destroy();
}

/* Thousandths of one processor that a vm whose vcpus all compute uses in so many ms. */
static unsigned share_of(struct cap *cap, unsigned percent, unsigned milliseconds)
{
	uint64_t began, used;

	timer_init(&tick, &vm, stop_soon);
	vm_lock(&vm);
	timer_set(&tick, vm_time(&vm) + milliseconds * MILLISECOND);
	EXPECT_EQ(cap_set(cap, &vm, percent), 0);
	vm_unlock(&vm);
	vcpu_start(vm.vcpus[1], 1);
	began = host_now();
	used = cpu_used();
	REQUIRE(linux_vm_start(&vm) == 0);
	linux_loop_run(&vm);
	linux_vm_join(&vm);
	used = cpu_used() - used;
	vm_reset(&vm);
	return (unsigned)(used * 1000 / (host_now() - began));
}

/* The first burst is a tenth of the cap in a second. On a host with much else to do it may be much
 * less. */
TEST(a_cap_holds_vcpus_back)
{
	static struct cap cap;
	unsigned share;
	uint64_t held;

	create(2);
	spin = true;
	share = share_of(&cap, 50, 1000);
	EXPECT(share <= 600);
	share = share_of(&cap, 10, 1000);
	EXPECT(share <= 150);
	EXPECT(share >= 50);
	EXPECT(vm.vcpus[0]->held > 0 && vm.vcpus[1]->held > 0);
	held = vm.vcpus[0]->held;
	share_of(&cap, 0, 300);
	EXPECT_EQ(vm.vcpus[0]->held, held);
	cap_end(&cap);
	destroy();
}

static struct host_lock lock;
static unsigned long counter;

static void *adder(void *argument)
{
	for (unsigned i = 0; i < 200000; i++) {
		host_lock(&lock);
		counter++;
		host_unlock(&lock);
	}
	return NULL;
}

TEST(the_lock_excludes)
{
	pthread_t threads[3];

	host_lock_init(&lock);
	for (unsigned i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, adder, NULL);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(counter, 600000);
}

TEST(a_lock_taken_twice_by_one_thread_is_a_fault_of_ours)
{
	host_lock_init(&lock);
	host_lock(&lock);
	test_expect_abort("check failed");
	host_lock(&lock);
}

TEST(guest_memory_is_sparse_and_shareable)
{
	int handle;
	size_t size = (size_t)64 << 30;
	uint8_t *memory = host_guest_memory(size, &handle);
	struct rusage before, after;
	uint8_t byte = 0;

	REQUIRE(memory != NULL);
	getrusage(RUSAGE_SELF, &before);
	EXPECT_EQ(memory[size - 1], 0);
	memory[12345] = 42;
	EXPECT_EQ(pread(handle, &byte, 1, 12345), 1);
	EXPECT_EQ(byte, 42);
	getrusage(RUSAGE_SELF, &after);
	EXPECT(after.ru_maxrss - before.ru_maxrss < 8192);
	EXPECT_EQ(fcntl(handle, F_GETFD), FD_CLOEXEC);
	host_guest_memory_free(memory, size, handle);
	EXPECT_EQ(host_guest_memory(SIZE_MAX / 4096 * 4096, &handle), NULL);
}

/* Both clocks at one moment: those of several readings between which least time went by. */
static void read_clocks(uint64_t *tsc, uint64_t *now)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < 20; i++) {
		uint64_t before = host_tsc(), between = host_now(), after = host_tsc();

		if (after - before >= least)
			continue;
		least = after - before;
		*tsc = before + least / 2;
		*now = between;
	}
}

TEST(the_tsc_runs_at_its_frequency)
{
	uint64_t tsc, now, tsc_before, now_before, frequency;

	if (!linux_tsc_is_invariant())
		SKIP("the processor's TSC is not invariant");
	frequency = host_tsc_frequency();
	read_clocks(&tsc_before, &now_before);
	usleep(50000);
	read_clocks(&tsc, &now);
	tsc -= tsc_before;
	now -= now_before;
	/* Within one in a thousand: NTP may turn the clock's speed by half of that. */
	EXPECT((double)tsc / (double)now > (double)frequency / 1e9 * 0.999);
	EXPECT((double)tsc / (double)now < (double)frequency / 1e9 * 1.001);
	EXPECT(linux_tsc_source() != NULL);
}
