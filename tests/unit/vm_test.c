/* SPDX-License-Identifier: BSD-2-Clause */
#include "core_fixture.h"

#include "lib/error.h"

/* Two devices that tell the order they are called in. */
struct toy {
	struct device device;
	unsigned id;
};

static struct toy first = {.id = 1}, second = {.id = 2};
static unsigned order[16], calls;

static void note(struct device *device)
{
	EXPECT(fake_lock_held(&vm.lock));
	order[calls++ % 16] = ((struct toy *)device)->id;
}

static void toy_state(struct device *device, struct snapshot *snapshot)
{
}

static const struct device_ops toy_ops = {.name = "toy",
					  .version = 1,
					  .reset = note,
					  .state = toy_state,
					  .loaded = note,
					  .destroy = note};
static const struct device_ops plain_ops = {
	.name = "plain", .version = 1, .reset = note, .state = toy_state};

TEST(creation_and_destruction_leave_nothing_behind)
{
	fixture_create(3);
	EXPECT_EQ(vm.vcpu_count, 3);
	for (unsigned i = 0; i < 3; i++) {
		EXPECT_EQ(vm.vcpus[i]->id, i);
		EXPECT_EQ(vm.vcpus[i]->vm, &vm);
	}
	vm_destroy(&vm);
	EXPECT_EQ(fake_memory_in_use(), 0);
}

TEST(impossible_configurations_are_refused)
{
	struct vm_config config = {.vcpus = 0,
				   .memory_size = 2 * FIXTURE_MIB,
				   .hole_base = 2 * FIXTURE_MIB,
				   .engine = &engine_scripted};

	EXPECT_EQ(vm_create(&vm, &config), -EINVAL);
	config.vcpus = VM_VCPUS_MAX + 1;
	EXPECT_EQ(vm_create(&vm, &config), -EINVAL);
	config.vcpus = 1;
	config.memory_size = 12345;
	EXPECT_EQ(vm_create(&vm, &config), -EINVAL);
	EXPECT_EQ(fake_memory_in_use(), 0);
}

TEST(a_failure_at_any_point_of_creation_leaves_nothing_behind)
{
	struct vm_config config = {.vcpus = 2,
				   .memory_size = 2 * FIXTURE_MIB,
				   .hole_base = 2 * FIXTURE_MIB,
				   .engine = &engine_scripted};
	int after, error = -1;

	for (after = 0; error && after < 20; after++) {
		fake_memory_fails(after);
		error = vm_create(&vm, &config);
		if (error) {
			EXPECT_EQ(error, -ENOMEM);
			EXPECT_EQ(fake_memory_in_use(), 0);
		}
	}
	/* RAM, the engine's vm, and two for each vcpu. */
	EXPECT_EQ(after, 2 + 2 * 2 + 1);
	vm_destroy(&vm);
	fake_memory_fails(-1);
	scripted_vcpu_fails(1);
	EXPECT_EQ(vm_create(&vm, &config), -ENOMEM);
	EXPECT_EQ(fake_memory_in_use(), 0);
}

TEST(devices_are_reset_in_order_and_destroyed_in_reverse)
{
	static struct toy third = {.id = 3};

	fixture_create(1);
	device_init(&first.device, &vm, &toy_ops, "0");
	device_init(&third.device, &vm, &plain_ops, "0");
	device_init(&second.device, &vm, &toy_ops, "1");
	vm_reset(&vm);
	EXPECT_EQ(calls, 3);
	EXPECT_EQ(order[0] * 100 + order[1] * 10 + order[2], 132);
	vm_lock(&vm);
	devices_loaded(&vm);
	vm_unlock(&vm);
	EXPECT_EQ(calls, 5);
	EXPECT_EQ(order[3] * 10 + order[4], 12);
	vm_destroy(&vm);
	EXPECT_EQ(calls, 7);
	EXPECT_EQ(order[5] * 10 + order[6], 21);
	EXPECT_EQ(vm.devices, NULL);
}

TEST(the_first_reason_to_stop_stays)
{
	fixture_create(2);
	vm_stop(&vm, VM_TEST_EXIT, 42);
	vm_stop(&vm, VM_KILLED, 1);
	EXPECT_EQ(atomic_load(&vm.stop), VM_TEST_EXIT);
	EXPECT_EQ(vm.stop_code, 42);
	EXPECT_EQ(fake_notifications(), 1);
	for (unsigned i = 0; i < 2; i++)
		EXPECT(atomic_load(&vm.vcpus[i]->pending) & PENDING_STOP);
	vm_destroy(&vm);
}

TEST(reset_makes_it_as_new)
{
	fixture_create(2);
	vm.memory.base[77] = 9;
	vm.vcpus[0]->state.rip = 1;
	vm.vcpus[1]->state.activity = VCPU_RUNNING;
	vm_stop(&vm, VM_RESET, 0);
	fake_advance(1000);
	vm_reset(&vm);
	EXPECT_EQ(atomic_load(&vm.stop), VM_RUNNING);
	EXPECT_EQ(vm.vcpus[0]->state.rip, 0xfff0);
	EXPECT_EQ(vm.vcpus[1]->state.activity, VCPU_WAIT_FOR_SIPI);
	EXPECT_EQ(atomic_load(&vm.vcpus[0]->pending), 0);
	EXPECT_EQ(scripted_resets(vm.vcpus[1]), 1);
	EXPECT_EQ(vm.memory.base[77], 9);
	EXPECT_EQ(vcpu_tsc(vm.vcpus[0]), 0);
	EXPECT_EQ(vcpu_tsc(vm.vcpus[1]), 0);
	vm_destroy(&vm);
}

static unsigned expirations;

static void expired(struct timer *timer)
{
	expirations++;
}

static void resume_later(struct vcpu *vcpu)
{
	EXPECT(vm_paused(&vm));
	EXPECT_EQ(vm_time(&vm), 100);
	EXPECT_EQ(vcpu_tsc(vcpu), 200);
	EXPECT_EQ(fake_deadline(&vm), UINT64_MAX);
	fake_advance(5000);
	EXPECT_EQ(expirations, 0);
	EXPECT_EQ(vm_time(&vm), 100);
	EXPECT_EQ(vcpu_tsc(vcpu), 200);
	vm_lock(&vm);
	vm_resume(&vm);
	vm_unlock(&vm);
	EXPECT(!vm_paused(&vm));
	EXPECT_EQ(vm_time(&vm), 100);
	EXPECT_EQ(vcpu_tsc(vcpu), 200);
}

TEST(time_stands_still_while_paused)
{
	static const struct scripted_step steps[] = {{.exit = {.kind = EXIT_KICKED}}};
	struct timer timer;

	fixture_create(1);
	timer_init(&timer, &vm, expired);
	vm_lock(&vm);
	timer_set(&timer, 150);
	vm_unlock(&vm);
	fake_advance(100);
	scripted_play(vm.vcpus[0], steps, 1, NULL);
	fake_on_idle(resume_later);
	vm_lock(&vm);
	vm_pause(&vm);
	vm_pause(&vm);
	EXPECT(!vm_paused(&vm));
	vm_unlock(&vm);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(scripted_position(vm.vcpus[0]), 1);
	EXPECT_EQ(fake_deadline(&vm), host_now() + 50);
	fake_advance(50);
	EXPECT_EQ(expirations, 1);
	EXPECT_EQ(vm_time(&vm), 150);
	vm_destroy(&vm);
}

static void resume_at_last(struct vcpu *vcpu)
{
	EXPECT(vm_paused(&vm));
	vm_lock(&vm);
	vm_resume(&vm);
	vm_unlock(&vm);
}

/* Under one hold of the lock: the vcpu sees nothing of what was between. */
static void pause_again(struct vcpu *vcpu)
{
	EXPECT(vm_paused(&vm));
	fake_on_idle(resume_at_last);
	vm_lock(&vm);
	vm_resume(&vm);
	vm_pause(&vm);
	EXPECT(!vm_paused(&vm));
	vm_unlock(&vm);
}

TEST(a_pause_right_behind_a_resume_is_one)
{
	static const struct scripted_step steps[] = {{.exit = {.kind = EXIT_KICKED}}};

	fixture_create(1);
	scripted_play(vm.vcpus[0], steps, 1, NULL);
	fake_on_idle(pause_again);
	vm_lock(&vm);
	vm_pause(&vm);
	vm_unlock(&vm);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(scripted_position(vm.vcpus[0]), 1);
	EXPECT_EQ(vm.pauses, 2);
	vm_destroy(&vm);
}

/* Half as fast again as the host's. */
TEST(a_tsc_may_run_at_another_speed)
{
	struct vcpu *vcpu;

	fixture_create(1);
	vcpu = vm.vcpus[0];
	vm.tsc_shift = 32;
	vm.tsc_ratio = UINT64_C(3) << 31;
	fake_advance(1000);
	vm_reset(&vm);
	fake_advance(100);
	EXPECT_EQ(vcpu_tsc(vcpu), 300);
	vm_lock(&vm);
	vm_pause(&vm);
	vcpu->parked = true;
	vm_vcpu_parked(&vm);
	fake_advance(100);
	EXPECT_EQ(vcpu_tsc(vcpu), 300);
	vm_resume(&vm);
	vm_unlock(&vm);
	EXPECT_EQ(vcpu_tsc(vcpu), 300);
	fake_advance(10);
	EXPECT_EQ(vcpu_tsc(vcpu), 330);
	vm_destroy(&vm);
}

TEST(a_pause_that_is_over_before_anybody_parks_changes_nothing)
{
	static const struct scripted_step steps[] = {{.exit = {.kind = EXIT_KICKED}}};

	fixture_create(2);
	vm_lock(&vm);
	vm_pause(&vm);
	vm_resume(&vm);
	vm_resume(&vm);
	vm_unlock(&vm);
	fake_advance(100);
	EXPECT_EQ(vm_time(&vm), 100);
	scripted_play(vm.vcpus[0], steps, 1, NULL);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(scripted_position(vm.vcpus[0]), 1);
	vm_destroy(&vm);
}

TEST(stopping_ends_a_pause)
{
	fixture_create(1);
	vm_lock(&vm);
	vm_pause(&vm);
	vm_unlock(&vm);
	vm_stop(&vm, VM_KILLED, 0);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(scripted_runs(vm.vcpus[0]), 0);
	vm_destroy(&vm);
}

TEST(a_held_vcpu_runs_when_its_time_has_come)
{
	static const struct scripted_step steps[] = {{.exit = {.kind = EXIT_KICKED}}};
	uint64_t until;

	fixture_create(1);
	scripted_play(vm.vcpus[0], steps, 1, NULL);
	until = host_now() + 700;
	vm_hold(&vm, until);
	EXPECT(atomic_load(&vm.vcpus[0]->pending) & PENDING_HOLD);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(scripted_position(vm.vcpus[0]), 1);
	EXPECT_EQ(host_now(), until);
	EXPECT_EQ(vm.vcpus[0]->held, 700);
	EXPECT_EQ(vm_time(&vm), 700);
	EXPECT_EQ(atomic_load(&vm.vcpus[0]->pending) & PENDING_HOLD, 0);
	vm_destroy(&vm);
}

TEST(timers_go_on_while_vcpus_are_held)
{
	static const struct scripted_step steps[] = {{.exit = {.kind = EXIT_KICKED}}};
	struct timer timer;

	fixture_create(1);
	timer_init(&timer, &vm, expired);
	vm_lock(&vm);
	timer_set(&timer, 150);
	vm_unlock(&vm);
	scripted_play(vm.vcpus[0], steps, 1, NULL);
	vm_hold(&vm, host_now() + 400);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(expirations, 1);
	EXPECT_EQ(vm_time(&vm), 400);
	vm_destroy(&vm);
}

TEST(stopping_ends_a_hold)
{
	fixture_create(1);
	vm_hold(&vm, UINT64_MAX);
	vm_stop(&vm, VM_KILLED, 0);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(scripted_runs(vm.vcpus[0]), 0);
	vm_destroy(&vm);
}

TEST(a_hold_that_is_over_or_taken_back_holds_nobody)
{
	static const struct scripted_step steps[] = {{.exit = {.kind = EXIT_KICKED}}};

	fixture_create(1);
	scripted_play(vm.vcpus[0], steps, 1, NULL);
	vm_hold(&vm, host_now());
	vm_hold(&vm, UINT64_MAX);
	vm_hold(&vm, 0);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(scripted_position(vm.vcpus[0]), 1);
	EXPECT_EQ(vm_time(&vm), 0);
	EXPECT_EQ(vm.vcpus[0]->held, 0);
	vm_destroy(&vm);
}

TEST(a_lock_taken_twice_is_a_fault_of_ours)
{
	fixture_create(1);
	vm_lock(&vm);
	test_expect_abort("check failed");
	vm_lock(&vm);
}
