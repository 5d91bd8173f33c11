/* SPDX-License-Identifier: BSD-2-Clause */
#include "core_fixture.h"

#include "lib/bytes.h"
#include "lib/string.h"

#define RFLAGS_IF 0x200

enum { RAX, RCX, RDX };
enum { ES, CS, SS, DS, FS, GS };

/* A device at port 0x60, memory 0xfee00000 and MSR 0x800. */
static struct region port, memory, msr;
static uint64_t last_write;
static struct vcpu *seen_current;

static uint64_t device_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	EXPECT(fake_lock_held(&vm.lock));
	seen_current = vm.current;
	*fault = region == &msr && offset == 1;
	return UINT64_C(0x1122334455667788);
}

static void device_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			 bool *fault)
{
	seen_current = vm.current;
	last_write = value;
	*fault = region == &msr && offset == 1;
}

static const struct region_ops ops = {
	.read = device_read, .write = device_write, .sizes = 1 | 2 | 4 | 8};

static void create(unsigned vcpus)
{
	fixture_create(vcpus);
	port.ops = memory.ops = msr.ops = &ops;
	space_add(&vm.ports, &port, 0x60, 4);
	space_add(&vm.mmio, &memory, 0xfee00000, 0x1000);
	space_add(&vm.vcpus[0]->msrs, &msr, 0x800, 2);
}

/* An interrupt controller with one vector. */
static int waiting_vector = -1;
static unsigned inits;

static int acknowledge(struct vcpu *vcpu)
{
	int vector = waiting_vector;

	EXPECT(fake_lock_held(&vm.lock));
	waiting_vector = -1;
	vcpu_withdraw(vcpu, PENDING_INTERRUPT);
	return vector;
}

static void controller_init(struct vcpu *vcpu)
{
	EXPECT(fake_lock_held(&vm.lock));
	inits++;
}

static const struct interrupt_controller controller = {.acknowledge = acknowledge,
						       .init = controller_init};

static void interrupt(struct vcpu *vcpu, int vector)
{
	waiting_vector = vector;
	vcpu_post(vcpu, PENDING_INTERRUPT);
}

#define PLAY(vcpu, steps) scripted_play((vcpu), (steps), sizeof(steps) / sizeof((steps)[0]), NULL)

static void expect_segment(struct segment segment, uint16_t selector, uint64_t base,
			   uint16_t attributes)
{
	EXPECT_EQ(segment.selector, selector);
	EXPECT_EQ(segment.base, base);
	EXPECT_EQ(segment.limit, 0xffff);
	EXPECT_EQ(segment.attributes, attributes);
}

TEST(power_on_state_is_the_manuals)
{
	const struct vcpu_state *state;

	create(2);
	vm.vcpus[0]->signature = 0x50657;
	vcpu_reset(vm.vcpus[0]);
	state = &vm.vcpus[0]->state;
	EXPECT_EQ(state->rip, 0xfff0);
	EXPECT_EQ(state->rflags, 2);
	EXPECT_EQ(state->cr0, 0x60000010);
	EXPECT_EQ(state->cr2 | state->cr3 | state->cr4 | state->efer, 0);
	expect_segment(state->segment[CS], 0xf000, 0xffff0000, 0x9b);
	for (unsigned i = 0; i < 6; i++)
		if (i != CS)
			expect_segment(state->segment[i], 0, 0, 0x93);
	expect_segment(state->ldtr, 0, 0, 0x82);
	expect_segment(state->tr, 0, 0, 0x8b);
	EXPECT_EQ(state->gdtr.limit, 0xffff);
	EXPECT_EQ(state->idtr.base, 0);
	EXPECT_EQ(state->gpr[RDX], 0x50657);
	EXPECT_EQ(state->gpr[RAX] | state->gpr[RCX] | state->gpr[15], 0);
	EXPECT_EQ(state->dr[6], 0xffff0ff0);
	EXPECT_EQ(state->dr[7], 0x400);
	EXPECT_EQ(state->xcr0, 1);
	EXPECT_EQ(state->pat, UINT64_C(0x0007040600070406));
	EXPECT_EQ(bytes_load16(state->xsave), 0x40);
	EXPECT_EQ(bytes_load32(state->xsave + 24), 0x1f80);
	EXPECT_EQ(state->activity, VCPU_RUNNING);
	EXPECT_EQ(vcpu_tsc(vm.vcpus[0]), 0);
	EXPECT_EQ(vm.vcpus[1]->state.activity, VCPU_WAIT_FOR_SIPI);
	fake_advance(100);
	EXPECT_EQ(vcpu_tsc(vm.vcpus[0]), 200);
}

TEST(init_keeps_what_it_keeps)
{
	struct vcpu_state *state;
	uint64_t tsc_offset;

	create(2);
	state = &vm.vcpus[1]->state;
	bytes_fill(state->xsave, 0x77, sizeof(state->xsave));
	tsc_offset = state->tsc_offset;
	state->cr0 = 0x80000000 | 0x20000000 | 1;
	state->cr4 = state->efer = state->rip = state->rflags = 0xffff;
	state->gpr[3] = state->dr[0] = 5;
	state->xcr0 = 7;
	state->pat = state->star = state->mtrr_def_type = state->tsc_aux = 0x1234;
	state->nmi_blocked = state->interrupt_shadow = state->exception_pending = 1;
	state->activity = VCPU_RUNNING;
	vcpu_init(vm.vcpus[1]);
	EXPECT_EQ(state->cr0, 0x20000010);
	EXPECT_EQ(state->cr4 | state->efer | state->gpr[3] | state->dr[0], 0);
	EXPECT_EQ(state->rflags, 2);
	EXPECT_EQ(state->xcr0, 7);
	EXPECT_EQ(state->pat, 0x1234);
	EXPECT_EQ(state->star, 0x1234);
	EXPECT_EQ(state->mtrr_def_type, 0x1234);
	EXPECT_EQ(state->tsc_aux, 0x1234);
	EXPECT_EQ(state->tsc_offset, tsc_offset);
	EXPECT_EQ(state->xsave[100], 0x77);
	EXPECT_EQ(state->nmi_blocked + state->interrupt_shadow + state->exception_pending, 0);
	EXPECT_EQ(state->activity, VCPU_WAIT_FOR_SIPI);
	vcpu_init(vm.vcpus[0]);
	EXPECT_EQ(vm.vcpus[0]->state.activity, VCPU_RUNNING);
}

TEST(accesses_reach_devices_and_answers_come_back)
{
	static const struct scripted_step steps[] = {
		{.exit = {.kind = EXIT_PORT, .address = 0x60, .size = 1}},
		{.exit = {.kind = EXIT_PORT,
			  .address = 0x61,
			  .size = 1,
			  .write = true,
			  .value = 0x5a}},
		{.exit = {.kind = EXIT_MEMORY, .address = 0xfee00020, .size = 4}},
		{.exit = {.kind = EXIT_MEMORY, .address = 0xfed00000, .size = 8}},
		{.exit = {.kind = EXIT_MSR, .address = 0x800, .size = 8}},
		{.exit = {.kind = EXIT_MSR,
			  .address = 0x801,
			  .size = 8,
			  .write = true,
			  .value = 9}},
		{.exit = {.kind = EXIT_MSR, .address = 0x900, .size = 8}},
	};
	struct exit results[7];

	create(1);
	scripted_play(vm.vcpus[0], steps, 7, results);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(atomic_load(&vm.stop), VM_POWERED_OFF);
	EXPECT_EQ(results[0].value, 0x88);
	EXPECT_EQ(results[2].value, 0x55667788);
	EXPECT_EQ(results[3].value, UINT64_MAX);
	EXPECT_EQ(results[4].value, UINT64_C(0x1122334455667788));
	EXPECT(!results[4].fault);
	EXPECT(results[5].fault);
	EXPECT(results[6].fault);
	EXPECT_EQ(last_write, 9);
	EXPECT_EQ(seen_current, vm.vcpus[0]);
	EXPECT_EQ(vm.current, NULL);
	EXPECT_EQ(vm.vcpus[0]->exits[EXIT_PORT], 2);
	EXPECT_EQ(vm.vcpus[0]->exits[EXIT_MEMORY], 2);
	EXPECT_EQ(vm.vcpus[0]->exits[EXIT_MSR], 3);
	EXPECT(!fake_lock_held(&vm.lock));
}

static struct timer wake_timer;

static void wake_expired(struct timer *timer)
{
	interrupt(vm.vcpus[0], 0x40);
}

TEST(a_halted_vcpu_wakes_for_an_interrupt)
{
	static const struct scripted_step steps[] = {{.exit = {.kind = EXIT_HALT}},
						     {.exit = {.kind = EXIT_HALT}}};

	create(1);
	vm.vcpus[0]->interrupts = &controller;
	vm.vcpus[0]->state.rflags |= RFLAGS_IF;
	vm.vcpus[0]->state.interrupt_shadow = 1;
	timer_init(&wake_timer, &vm, wake_expired);
	vm_lock(&vm);
	timer_set(&wake_timer, 5000);
	vm_unlock(&vm);
	PLAY(vm.vcpus[0], steps);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(scripted_vector_count(vm.vcpus[0]), 1);
	EXPECT_EQ(scripted_vector(vm.vcpus[0], 0), 0x40);
	/* The second hlt was looked at for twice as long as the first had taken. */
	EXPECT_EQ(vm_time(&vm), 5000 + 10000);
	EXPECT_EQ(vm.vcpus[0]->exits[EXIT_HALT], 2);
	/* The second hlt came with IF clear and nothing on its way. */
	EXPECT_EQ(atomic_load(&vm.stop), VM_KILLED);
	EXPECT_EQ(vm.vcpus[0]->state.activity, VCPU_HALTED);
}

static void post_interrupt(struct vcpu *vcpu)
{
	interrupt(vcpu, 0x41);
}

TEST(an_interrupt_before_the_hlt_is_not_lost)
{
	/* It arrives in the middle of the engine's run that ends with the hlt. */
	static const struct scripted_step steps[] = {
		{.exit = {.kind = EXIT_HALT}, .before = post_interrupt}};

	create(1);
	vm.vcpus[0]->interrupts = &controller;
	vm.vcpus[0]->state.rflags |= RFLAGS_IF;
	PLAY(vm.vcpus[0], steps);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(scripted_vector(vm.vcpus[0], 0), 0x41);
	EXPECT_EQ(scripted_kicks(vm.vcpus[0]), 1 + 1); /* and vm_stop's */
	EXPECT_EQ(atomic_load(&vm.stop), VM_POWERED_OFF);
}

static unsigned idles;

static void idle_posts(struct vcpu *vcpu)
{
	if (idles++ == 0)
		interrupt(vcpu, 0x42);
	else
		vcpu_post(vcpu, PENDING_NMI);
}

TEST(hlt_without_interrupts_ends_with_an_nmi_only)
{
	static const struct scripted_step steps[] = {{.exit = {.kind = EXIT_HALT}}};

	create(1);
	vm.vcpus[0]->interrupts = &controller;
	fake_on_idle(idle_posts);
	PLAY(vm.vcpus[0], steps);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(idles, 2);
	EXPECT_EQ(scripted_vector_count(vm.vcpus[0]), 1);
	EXPECT_EQ(scripted_vector(vm.vcpus[0], 0), 2);
	EXPECT_EQ(atomic_load(&vm.stop), VM_POWERED_OFF);
}

TEST(a_blocked_nmi_does_not_end_hlt)
{
	static const struct scripted_step steps[] = {{.exit = {.kind = EXIT_HALT}}};

	create(1);
	vm.vcpus[0]->state.nmi_blocked = 1;
	vcpu_post(vm.vcpus[0], PENDING_NMI);
	PLAY(vm.vcpus[0], steps);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(atomic_load(&vm.stop), VM_KILLED);
	EXPECT(string_starts(fake_log(), "warning: vcpu 0 would wait"));
}

static void idle_starts(struct vcpu *vcpu)
{
	vcpu->sipi_vector = 0x9a;
	vcpu_post(vcpu, PENDING_SIPI);
}

TEST(init_and_sipi_start_an_application_processor)
{
	static const struct scripted_step steps[] = {{.exit = {.kind = EXIT_KICKED}}};

	create(2);
	vm.vcpus[1]->interrupts = &controller;
	fake_on_idle(idle_starts);
	PLAY(vm.vcpus[1], steps);
	vcpu_post(vm.vcpus[1], PENDING_INIT | PENDING_NMI);
	vcpu_run(vm.vcpus[1]);
	EXPECT_EQ(inits, 1);
	EXPECT_EQ(scripted_resets(vm.vcpus[1]), 1);
	EXPECT_EQ(scripted_position(vm.vcpus[1]), 1);
	EXPECT_EQ(scripted_vector_count(vm.vcpus[1]), 0);
	expect_segment(vm.vcpus[1]->state.segment[CS], 0x9a00, 0x9a000, 0x9b);
	EXPECT_EQ(vm.vcpus[1]->state.rip, 0);
	EXPECT_EQ(vm.vcpus[1]->state.activity, VCPU_RUNNING);
}

static void post_sipi(struct vcpu *vcpu)
{
	vcpu->sipi_vector = 0x10;
	vcpu_post(vcpu, PENDING_SIPI);
}

TEST(a_running_processor_ignores_sipi)
{
	static const struct scripted_step steps[] = {
		{.exit = {.kind = EXIT_KICKED}, .before = post_sipi},
		{.exit = {.kind = EXIT_KICKED}}};

	create(1);
	PLAY(vm.vcpus[0], steps);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(vm.vcpus[0]->state.segment[CS].selector, 0xf000);
	EXPECT_EQ(scripted_position(vm.vcpus[0]), 2);
	EXPECT_EQ(atomic_load(&vm.vcpus[0]->pending) & PENDING_SIPI, 0);
}

TEST(init_makes_an_earlier_sipi_moot)
{
	create(2);
	vcpu_post(vm.vcpus[1], PENDING_SIPI);
	vcpu_post(vm.vcpus[1], PENDING_INIT);
	EXPECT_EQ(atomic_load(&vm.vcpus[1]->pending), PENDING_INIT);
	vcpu_post(vm.vcpus[1], PENDING_SIPI);
	EXPECT_EQ(atomic_load(&vm.vcpus[1]->pending), PENDING_INIT | PENDING_SIPI);
}

TEST(init_wakes_a_halted_bootstrap_processor_at_the_reset_vector)
{
	static const struct scripted_step steps[] = {{.exit = {.kind = EXIT_KICKED}}};

	create(1);
	vm.vcpus[0]->state.activity = VCPU_HALTED;
	vm.vcpus[0]->state.rip = 0x1234;
	vcpu_post(vm.vcpus[0], PENDING_INIT);
	PLAY(vm.vcpus[0], steps);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(scripted_position(vm.vcpus[0]), 1);
	EXPECT_EQ(vm.vcpus[0]->state.rip, 0xfff0);
}

TEST(a_triple_fault_shuts_the_vm_down)
{
	static const struct scripted_step steps[] = {{.exit = {.kind = EXIT_SHUTDOWN}},
						     {.exit = {.kind = EXIT_KICKED}}};

	create(2);
	PLAY(vm.vcpus[0], steps);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(atomic_load(&vm.stop), VM_SHUTDOWN);
	EXPECT_EQ(scripted_position(vm.vcpus[0]), 1);
	EXPECT_EQ(vm.vcpus[0]->state.activity, VCPU_SHUTDOWN);
	/* The others leave too. */
	vcpu_run(vm.vcpus[1]);
	EXPECT_EQ(scripted_runs(vm.vcpus[1]), 0);
}

TEST(a_failing_engine_stops_the_vm_and_says_why)
{
	static const struct scripted_step steps[] = {
		{.exit = {.kind = EXIT_FAILED, .reason = "out of beans"}}};

	create(1);
	PLAY(vm.vcpus[0], steps);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(atomic_load(&vm.stop), VM_FAILED);
	EXPECT_STR(vm.stop_reason, "out of beans");
	EXPECT_STR(fake_log(), "error: engine scripted: out of beans\n");
}

TEST(an_interrupt_that_went_away_is_no_interrupt)
{
	static const struct scripted_step steps[] = {{.exit = {.kind = EXIT_KICKED}}};

	create(1);
	vm.vcpus[0]->interrupts = &controller;
	vm.vcpus[0]->state.rflags |= RFLAGS_IF;
	vcpu_post(vm.vcpus[0], PENDING_INTERRUPT);
	PLAY(vm.vcpus[0], steps);
	vcpu_run(vm.vcpus[0]);
	EXPECT_EQ(scripted_vector_count(vm.vcpus[0]), 0);
	EXPECT_EQ(vcpu_take_interrupt(vm.vcpus[0]), -1);
	vm.vcpus[0]->interrupts = NULL;
	vcpu_post(vm.vcpus[0], PENDING_INTERRUPT);
	EXPECT_EQ(vcpu_take_interrupt(vm.vcpus[0]), -1);
	EXPECT_EQ(atomic_load(&vm.vcpus[0]->pending) & PENDING_INTERRUPT, 0);
}
