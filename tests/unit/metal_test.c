/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine of bare metal, and a machine's console and network port, on a stand-in for the kernel.
 */
#include "engines/metal/metal.h"

#include "core/engine.h"
#include "core/vm.h"
#include "engines/metal/call.h"
#include "hosts/fake/fake.h"
#include "hosts/metal/machine.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "test.h"
#include "x86/apic.h"
#include "x86/cpuid.h"

#define MIB UINT64_C(0x100000)

/* The stand-in */

#define STEPS_MAX  16
#define FRAMES_MAX 200

static struct {
	struct metal_vcpu page; /* of vcpu 0, or whichever is run */
	/* What it holds itself. */
	struct metal_state state;
	uint8_t apic[METAL_APIC_SIZE];
	uint64_t time_offset;
	struct metal_vcpu_config config;
	/* What the guest does: exits, one a run. */
	struct metal_exit steps[STEPS_MAX];
	unsigned step_count, step;
	void (*before_step)(void);
	uint64_t answers[STEPS_MAX];
	uint32_t loads[STEPS_MAX], runnable[STEPS_MAX];
	int64_t run_result, create_result;
	/* Counts and last arguments. */
	unsigned calls[METAL_CALLS];
	uint64_t maps[4][3];
	uint64_t message[2], line[2], notified[2];
	uint8_t sent[METAL_FRAME_MAX + 100];
	size_t sent_length;
	unsigned frames;
	bool no_port;
} kernel;

static unsigned woken_main;

void wake_main(void)
{
	woken_main++;
}

static int64_t kernel_run(void)
{
	unsigned step = kernel.step;
	struct metal_vcpu *page = &kernel.page;

	if (kernel.run_result)
		return kernel.run_result;
	REQUIRE(step < STEPS_MAX);
	if (step)
		kernel.answers[step - 1] = page->exit.value;
	kernel.loads[step] = page->load;
	kernel.runnable[step] = page->runnable;
	if (page->load & METAL_LOAD_STATE) {
		uint64_t offset = kernel.state.tsc_offset;

		kernel.state = page->state;
		kernel.state.tsc_offset = offset;
	}
	if (page->load & METAL_LOAD_APIC)
		bytes_copy(kernel.apic, page->apic, METAL_APIC_SIZE);
	if (page->load & METAL_LOAD_TIME) {
		kernel.state.tsc_offset = page->state.tsc_offset;
		kernel.time_offset = page->time_offset;
	}
	page->load = 0;
	if (kernel.before_step)
		kernel.before_step();
	page->exit = step < kernel.step_count ? kernel.steps[step]
					      : (struct metal_exit){.kind = METAL_EXIT_SHUTDOWN};
	kernel.step++;
	return 0;
}

static int64_t kernel_send(const struct metal_slice *slices, uint64_t count)
{
	REQUIRE(count <= METAL_SLICES_MAX);
	kernel.sent_length = 0;
	for (uint64_t i = 0; i < count; i++) {
		bytes_copy(kernel.sent + kernel.sent_length, (const void *)slices[i].address,
			   slices[i].length);
		kernel.sent_length += slices[i].length;
	}
	return 0;
}

static int64_t kernel_receive(uint8_t *buffer)
{
	if (kernel.no_port)
		return -ENODEV;
	if (!kernel.frames)
		return -EAGAIN;
	bytes_fill(buffer, (uint8_t)kernel.frames--, 60);
	return 60;
}

int64_t metal_call(enum metal_call number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
		   uint64_t e)
{
	unsigned before = kernel.calls[number]++;

	switch (number) {
	case METAL_GUEST_MAP:
		kernel.maps[before][0] = a, kernel.maps[before][1] = b, kernel.maps[before][2] = c;
		return 0;
	case METAL_VCPU_CREATE:
		kernel.config = *(const struct metal_vcpu_config *)b;
		return kernel.create_result ? kernel.create_result : (int64_t)&kernel.page;
	case METAL_VCPU_RUN:
		return kernel_run();
	case METAL_VCPU_STATE:
		kernel.page.state = kernel.state;
		bytes_copy(kernel.page.apic, kernel.apic, METAL_APIC_SIZE);
		return 0;
	case METAL_APIC_MESSAGE:
		kernel.message[0] = a, kernel.message[1] = b;
		return 1;
	case METAL_APIC_LINE:
		kernel.line[0] = a, kernel.line[1] = b;
		return 0;
	case METAL_SWITCH_SEND:
		return kernel_send((const struct metal_slice *)a, b);
	case METAL_SWITCH_RECEIVE:
		return kernel_receive((uint8_t *)a);
	case METAL_NOTIFY:
		kernel.notified[0] = a, kernel.notified[1] = b;
		return 0;
	default:
		return 0;
	}
}

/* The vm */

static struct vm vm;
static struct cpu_model model;

static void make(unsigned vcpus)
{
	const struct vm_config config = {.vcpus = vcpus,
					 .memory_size = 8 * MIB,
					 .hole_base = 4 * MIB,
					 .engine = &engine_metal,
					 .cpu_model = &model};

	model = *cpu_model_find("max");
	REQUIRE(vm_create(&vm, &config) == 0);
}

static struct vcpu *vcpu0(void)
{
	return vm.vcpus[0];
}

static struct exit run_with(uint64_t answer)
{
	struct exit exit = {.value = answer};

	engine_metal.run(vcpu0(), &exit);
	return exit;
}

static void step(struct metal_exit exit)
{
	kernel.steps[kernel.step_count++] = exit;
}

TEST(memory_and_processor_are_told_to_the_kernel)
{
	make(1);
	EXPECT_EQ(kernel.calls[METAL_GUEST_MAP], 2);
	EXPECT_EQ(kernel.maps[0][0], 0);
	EXPECT_EQ(kernel.maps[0][1], 4 * MIB);
	EXPECT_EQ(kernel.maps[1][0], UINT64_C(1) << 32);
	EXPECT_EQ(kernel.maps[1][1], 4 * MIB);
	EXPECT_EQ(kernel.maps[1][2], 4 * MIB);
	EXPECT_EQ(kernel.config.xcr0, 7);
	EXPECT_EQ(kernel.config.physical_bits, 46);
	EXPECT(kernel.config.cpuid_count > 20);
	vm_destroy(&vm);
}

TEST(a_kernel_that_refuses_a_vcpu_leaves_nothing_behind)
{
	const struct vm_config config = {.vcpus = 1,
					 .memory_size = 8 * MIB,
					 .hole_base = 4 * MIB,
					 .engine = &engine_metal,
					 .cpu_model = &model};
	size_t before = fake_memory_in_use();

	kernel.create_result = -ENOMEM;
	EXPECT_EQ(vm_create(&vm, &config), -ENOMEM);
	EXPECT_EQ(fake_memory_in_use(), before);
}

TEST(the_first_run_hands_all_registers_over)
{
	make(1);
	vcpu0()->state.gpr[3] = 0x1234;
	vcpu0()->state.rip = 0x100000;
	step((struct metal_exit){.kind = METAL_EXIT_PORT, .address = 0x3f8, .size = 1});
	EXPECT_EQ(run_with(0).kind, EXIT_PORT);
	EXPECT_EQ(kernel.loads[0] & METAL_LOAD_STATE, METAL_LOAD_STATE);
	EXPECT_EQ(kernel.loads[0] & METAL_LOAD_TIME, METAL_LOAD_TIME);
	EXPECT_EQ(kernel.loads[0] & METAL_LOAD_APIC, 0);
	EXPECT_EQ(kernel.state.gpr[3], 0x1234);
	EXPECT_EQ(kernel.state.rip, 0x100000);
	EXPECT_EQ(kernel.state.tsc_offset, vcpu0()->state.tsc_offset);
	EXPECT_EQ(kernel.time_offset, vm.time_offset);
	EXPECT_EQ(kernel.runnable[0], 1);
	run_with(0);
	EXPECT_EQ(kernel.loads[1], 0);
}

TEST(accesses_are_asked_and_answered)
{
	struct exit exit;

	make(1);
	step((struct metal_exit){.kind = METAL_EXIT_PORT, .address = 0x60, .size = 2});
	step((struct metal_exit){.kind = METAL_EXIT_MEMORY,
				 .address = 0xfec00000,
				 .size = 4,
				 .write = 1,
				 .value = 77});
	exit = run_with(0);
	EXPECT_EQ(exit.kind, EXIT_PORT);
	EXPECT_EQ(exit.address, 0x60);
	EXPECT_EQ(exit.size, 2);
	EXPECT(!exit.write);
	exit = run_with(0xabcd);
	EXPECT_EQ(kernel.answers[0], 0xabcd);
	EXPECT_EQ(exit.kind, EXIT_MEMORY);
	EXPECT_EQ(exit.address, 0xfec00000);
	EXPECT_EQ(exit.value, 77);
	EXPECT(exit.write);
	EXPECT_EQ(run_with(0).kind, EXIT_SHUTDOWN);
}

/* The answer is not lost when something else has to be looked at first. */
TEST(an_answer_survives_a_kick)
{
	make(1);
	step((struct metal_exit){.kind = METAL_EXIT_PORT, .address = 0x60, .size = 1});
	run_with(0);
	vcpu_post(vcpu0(), PENDING_PAUSE);
	EXPECT_EQ(run_with(0x55).kind, EXIT_KICKED);
	EXPECT_EQ(kernel.calls[METAL_VCPU_RUN], 1);
	/* A look at the registers changes nothing either. */
	vcpu_sync(vcpu0());
	vcpu_withdraw(vcpu0(), PENDING_PAUSE);
	EXPECT_EQ(run_with(0x66).kind, EXIT_SHUTDOWN);
	EXPECT_EQ(kernel.answers[0], 0x55);
	EXPECT_EQ(kernel.loads[1] & METAL_LOAD_STATE, 0);
}

TEST(what_is_pending_comes_before_the_guest)
{
	make(1);
	vcpu_post(vcpu0(), PENDING_STOP);
	EXPECT_EQ(run_with(0).kind, EXIT_KICKED);
	EXPECT_EQ(kernel.calls[METAL_VCPU_RUN], 0);
}

TEST(kicks_go_to_the_kernel)
{
	make(1);
	atomic_store(&vcpu0()->place, VCPU_IN_ENGINE);
	vcpu_post(vcpu0(), PENDING_PAUSE);
	EXPECT_EQ(kernel.calls[METAL_VCPU_KICK], 1);
}

TEST(init_and_start_up_are_posted)
{
	make(1);
	step((struct metal_exit){.kind = METAL_EXIT_INIT});
	EXPECT_EQ(run_with(0).kind, EXIT_KICKED);
	EXPECT_EQ(atomic_load(&vcpu0()->pending), PENDING_INIT);
	vcpu_withdraw(vcpu0(), PENDING_INIT);
	step((struct metal_exit){.kind = METAL_EXIT_SIPI, .address = 0x9a});
	EXPECT_EQ(run_with(0).kind, EXIT_KICKED);
	EXPECT_EQ(atomic_load(&vcpu0()->pending), PENDING_SIPI);
	EXPECT_EQ(vcpu0()->sipi_vector, 0x9a);
}

static unsigned acknowledged, ended[2];

static int acknowledge(struct vcpu *vcpu)
{
	return acknowledged++ ? -1 : 0x31;
}

static void end_of_interrupt(struct vcpu *vcpu, uint8_t vector)
{
	ended[0]++;
	ended[1] = vector;
}

static const struct interrupt_controller controller = {.acknowledge = acknowledge,
						       .eoi = end_of_interrupt};

TEST(questions_of_interrupts_are_answered_without_leaving)
{
	make(1);
	vcpu0()->interrupts = &controller;
	step((struct metal_exit){.kind = METAL_EXIT_EXTINT});
	step((struct metal_exit){.kind = METAL_EXIT_EXTINT});
	step((struct metal_exit){.kind = METAL_EXIT_EOI, .address = 0x41});
	EXPECT_EQ(run_with(0).kind, EXIT_SHUTDOWN);
	EXPECT_EQ(kernel.answers[0], 0x31);
	EXPECT_EQ(kernel.answers[1], UINT64_MAX);
	EXPECT_EQ(ended[0], 1);
	EXPECT_EQ(ended[1], 0x41);
}

TEST(failures_say_why)
{
	struct exit exit;

	make(1);
	step((struct metal_exit){.kind = METAL_EXIT_FAILED, .address = 0x7b});
	exit = run_with(0);
	EXPECT_EQ(exit.kind, EXIT_FAILED);
	EXPECT_STR(exit.reason, "vcpu 0: the processor left the guest with code 0x7b");
	kernel.run_result = -EBUSY;
	exit = run_with(0);
	EXPECT_EQ(exit.kind, EXIT_FAILED);
	EXPECT_STR(exit.reason, "vcpu 0: the kernel does not run it: error 0x10");
}

/* Registers */

/* Every byte of it another one; what has few values gets one of those. */
static void fill(struct vcpu_state *state, uint8_t first)
{
	uint8_t *bytes = (uint8_t *)state;

	for (size_t i = 0; i < sizeof(*state); i++)
		bytes[i] = (uint8_t)(first + i * 5 + i / 200);
	state->activity = VCPU_RUNNING;
}

TEST(registers_go_there_and_back)
{
	static struct vcpu_state before, after;
	static struct metal_state between;

	fill(&before, 1);
	bytes_copy(&after, &before, sizeof(after));
	fill(&after, 99);
	after.tsc_offset = before.tsc_offset;
	state_to_metal(&between, &before);
	state_from_metal(&after, &between);
	EXPECT_MEM(after.gpr, before.gpr, sizeof(before.gpr));
	EXPECT_EQ(after.rip, before.rip);
	EXPECT_EQ(after.rflags, before.rflags);
	for (unsigned i = 0; i < 6; i++) {
		EXPECT_EQ(after.segment[i].selector, before.segment[i].selector);
		EXPECT_EQ(after.segment[i].attributes, before.segment[i].attributes);
		EXPECT_EQ(after.segment[i].limit, before.segment[i].limit);
		EXPECT_EQ(after.segment[i].base, before.segment[i].base);
	}
	EXPECT_EQ(after.ldtr.base, before.ldtr.base);
	EXPECT_EQ(after.tr.limit, before.tr.limit);
	EXPECT_EQ(after.gdtr.base, before.gdtr.base);
	EXPECT_EQ(after.gdtr.limit, before.gdtr.limit);
	EXPECT_EQ(after.idtr.base, before.idtr.base);
	EXPECT_EQ(after.idtr.limit, before.idtr.limit);
	/* From cr0 to the MTRRs they lie behind each other; so do the flags and the FPU. */
	EXPECT_MEM(&after.cr0, &before.cr0,
		   offsetof(struct vcpu_state, tsc_offset) - offsetof(struct vcpu_state, cr0));
	EXPECT_EQ(after.tsc_adjust, before.tsc_adjust);
	EXPECT_EQ(after.interrupt_shadow, before.interrupt_shadow);
	EXPECT_EQ(after.nmi_blocked, before.nmi_blocked);
	EXPECT_EQ(after.exception_pending, before.exception_pending);
	EXPECT_EQ(after.exception_vector, before.exception_vector);
	EXPECT_EQ(after.exception_has_error, before.exception_has_error);
	EXPECT_EQ(after.exception_error, before.exception_error);
	EXPECT_MEM(after.xsave, before.xsave, sizeof(before.xsave));
}

TEST(a_look_at_registers_brings_them_up_to_date)
{
	make(1);
	step((struct metal_exit){.kind = METAL_EXIT_KICKED});
	vcpu0()->state.gpr[0] = 5;
	run_with(0);
	kernel.state.gpr[0] = 6;
	kernel.state.rip = 0x7777;
	vcpu_sync(vcpu0());
	EXPECT_EQ(vcpu0()->state.gpr[0], 6);
	EXPECT_EQ(vcpu0()->state.rip, 0x7777);
	/* What is changed then is kept over a second look, and counts. */
	vcpu0()->state.gpr[0] = 8;
	vcpu_sync(vcpu0());
	EXPECT_EQ(vcpu0()->state.gpr[0], 8);
	kernel.step_count = kernel.step;
	run_with(0);
	EXPECT_EQ(kernel.state.gpr[0], 8);
	EXPECT_EQ(kernel.state.rip, 0x7777);
}

TEST(halted_is_seen_and_said)
{
	make(1);
	run_with(0);
	kernel.state.halted = 1;
	vcpu_sync(vcpu0());
	EXPECT_EQ(vcpu0()->state.activity, VCPU_HALTED);
	run_with(0);
	EXPECT_EQ(kernel.loads[1] & METAL_LOAD_STATE, 0);
	EXPECT_EQ(kernel.state.halted, 1);
	kernel.state.halted = 0;
	vcpu_sync(vcpu0());
	EXPECT_EQ(vcpu0()->state.activity, VCPU_RUNNING);
}

TEST(who_waits_to_be_started_is_not_runnable)
{
	make(2);
	vcpu0()->state.activity = VCPU_WAIT_FOR_SIPI;
	run_with(0);
	EXPECT_EQ(kernel.runnable[0], 0);
	kernel.state.halted = 1;
	vcpu_sync(vcpu0());
	EXPECT_EQ(vcpu0()->state.activity, VCPU_WAIT_FOR_SIPI);
	vcpu_start(vcpu0(), 0x12);
	run_with(0);
	EXPECT_EQ(kernel.runnable[1], 1);
	EXPECT_EQ(kernel.loads[1] & METAL_LOAD_STATE, METAL_LOAD_STATE);
	EXPECT_EQ(kernel.state.segment[1].base, 0x12000);
	EXPECT_EQ(kernel.state.halted, 0);
}

TEST(a_reset_replaces_everything)
{
	make(1);
	run_with(0);
	kernel.state.gpr[5] = 1;
	kernel.state.tsc_offset += 1000; /* the guest wrote its TSC */
	vm_reset(&vm);
	run_with(0);
	EXPECT_EQ(kernel.loads[1] & METAL_LOAD_STATE, METAL_LOAD_STATE);
	EXPECT_EQ(kernel.state.gpr[5], 0);
	EXPECT_EQ(kernel.state.tsc_offset, vcpu0()->state.tsc_offset);
}

/* Time */

TEST(a_pause_moves_the_clocks_that_the_guest_has_moved_too)
{
	uint64_t first;

	make(1);
	run_with(0);
	first = kernel.state.tsc_offset;
	kernel.state.tsc_offset += 5000;
	vcpu0()->state.tsc_offset -= 300; /* as vm_resume does */
	vm.time_offset -= 100;
	run_with(0);
	EXPECT_EQ(kernel.loads[1], METAL_LOAD_TIME);
	EXPECT_EQ(kernel.state.tsc_offset, first + 5000 - 300);
	EXPECT_EQ(kernel.time_offset, vm.time_offset);
	run_with(0);
	EXPECT_EQ(kernel.loads[2], 0);
}

TEST(a_look_between_moves_of_the_clock_loses_none)
{
	uint64_t first;

	make(1);
	run_with(0);
	first = kernel.state.tsc_offset;
	vcpu0()->state.tsc_offset -= 300;
	kernel.state.tsc_offset += 5000;
	vcpu_sync(vcpu0());
	EXPECT_EQ(vcpu0()->state.tsc_offset, first + 4700);
	vcpu_init(vcpu0()); /* an INIT keeps the TSC */
	engine_metal.reset(vcpu0());
	run_with(0);
	EXPECT_EQ(kernel.state.tsc_offset, first + 4700);
}

/* APICs */

static void no_timer(struct apic *apic, uint64_t deadline)
{
}

static void nothing_changed(struct apic *apic)
{
}

TEST(apics_are_the_kernel_s)
{
	static const struct apic_ops ops = {.timer_set = no_timer, .changed = nothing_changed};
	struct apic apic = {.ops = &ops}, back = {.id = 9};

	make(1);
	EXPECT(engine_metal.apics->message(&vm, 0xfee01000, 0x4031));
	EXPECT_EQ(kernel.message[0], 0xfee01000);
	EXPECT_EQ(kernel.message[1], 0x4031);
	engine_metal.apics->lint(&vm, 1, true);
	EXPECT_EQ(kernel.line[0], 1);
	EXPECT_EQ(kernel.line[1], 1);
	apic_reset(&apic, false, true);
	apic.tpr = 0x50;
	apic.irr[1] = 0x80;
	engine_metal.apics->set(vcpu0(), &apic);
	engine_metal.apics->get(vcpu0(), &back);
	EXPECT_EQ(back.irr[1], 0x80);
	EXPECT_EQ(back.id, 9);
	EXPECT_EQ(kernel.calls[METAL_VCPU_STATE], 0);
	run_with(0);
	EXPECT_EQ(kernel.loads[0] & METAL_LOAD_APIC, METAL_LOAD_APIC);
	EXPECT_EQ(kernel.state.cr8, 5);
	EXPECT_EQ(((struct apic *)kernel.apic)->irr[1], 0x80);
	EXPECT_EQ(((struct apic *)kernel.apic)->ops, 0);
	((struct apic *)kernel.apic)->isr[2] = 3;
	engine_metal.apics->get(vcpu0(), &back);
	EXPECT_EQ(back.isr[2], 3);
	run_with(0);
	EXPECT_EQ(kernel.loads[1], 0);
}

/* The console */

static char typed[5000];
static size_t typed_length, typed_room = sizeof(typed);
static unsigned output_ready_calls;

static size_t device_input(void *device, const void *bytes, size_t length)
{
	if (length > typed_room)
		length = typed_room;
	bytes_copy(typed + typed_length, bytes, length);
	typed_length += length;
	typed_room -= length;
	return length;
}

static void device_output_ready(void *device)
{
	output_ready_calls++;
}

static struct metal_console console;
static struct channel *channel;

static void make_console(bool takes_input)
{
	channel = host_pages(METAL_CHANNEL_SIZE);
	REQUIRE(channel);
	channel_init(channel);
	console_init(&console, channel, takes_input);
	console.console.input = device_input;
	console.console.output_ready = device_output_ready;
}

TEST(output_goes_into_the_channel)
{
	char bytes[16];

	make_console(true);
	EXPECT_EQ(console.console.ops->write(&console.console, "hi", 2), 2);
	EXPECT_EQ(kernel.calls[METAL_NOTIFY], 1);
	EXPECT_EQ(kernel.notified[0], 0);
	EXPECT_EQ(kernel.notified[1], METAL_EVENT_NOTIFY);
	console.console.ops->write(&console.console, "!", 1);
	EXPECT_EQ(kernel.calls[METAL_NOTIFY], 1); /* the manager has not looked yet */
	EXPECT_EQ(channel_take(channel, CHANNEL_OUTPUT, bytes, sizeof(bytes)), 3);
	EXPECT_MEM(bytes, "hi!", 3);
}

TEST(a_full_channel_makes_the_device_wait)
{
	static char many[CHANNEL_OUTPUT_SIZE + 1], back[CHANNEL_OUTPUT_SIZE];

	make_console(true);
	EXPECT_EQ(console.console.ops->write(&console.console, many, sizeof(many)),
		  CHANNEL_OUTPUT_SIZE);
	console_look(&console);
	EXPECT_EQ(output_ready_calls, 0);
	channel_take(channel, CHANNEL_OUTPUT, back, 10);
	console_look(&console);
	console_look(&console);
	EXPECT_EQ(output_ready_calls, 1);
}

TEST(input_reaches_the_device_as_it_has_room)
{
	char text[1000];

	make_console(true);
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (char)i;
	typed_room = 100;
	EXPECT_EQ(channel_put(channel, CHANNEL_INPUT, text, sizeof(text)), sizeof(text));
	console_look(&console);
	EXPECT_EQ(typed_length, 100);
	for (unsigned i = 0; i < 1000 && typed_length < sizeof(text); i++) {
		typed_room = 16;
		console.console.ops->input_ready(&console.console);
	}
	EXPECT_EQ(typed_length, sizeof(text));
	EXPECT_MEM(typed, text, sizeof(text));
	EXPECT(kernel.calls[METAL_NOTIFY] > 0);
}

TEST(one_of_two_consoles_takes_the_input)
{
	make_console(false);
	channel_put(channel, CHANNEL_INPUT, "abc", 3);
	console_look(&console);
	EXPECT_EQ(typed_length, 0);
}

/* The network port */

static unsigned received, received_room;

static bool device_receive(void *device, const void *frame, size_t length)
{
	if (!received_room)
		return false;
	received_room--;
	received++;
	EXPECT_EQ(length, 60);
	return true;
}

static struct netport *make_port(void)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct netport *port = netport_open(mac);

	REQUIRE(port);
	EXPECT_MEM(port->mac, mac, 6);
	port->receive = device_receive;
	return port;
}

TEST(without_a_switch_there_is_no_port)
{
	static const uint8_t mac[6];

	kernel.no_port = true;
	EXPECT(!netport_open(mac));
}

TEST(frames_are_sent_in_any_number_of_pieces)
{
	struct netport *port = make_port();
	uint8_t frame[METAL_FRAME_MAX + 1];
	struct slice slices[100];

	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 3);
	slices[0] = (struct slice){frame, 14};
	slices[1] = (struct slice){frame + 14, 500};
	port->ops->send(port, slices, 2);
	EXPECT_EQ(kernel.sent_length, 514);
	EXPECT_MEM(kernel.sent, frame, 514);
	for (unsigned i = 0; i < 100; i++)
		slices[i] = (struct slice){frame + i * 10, 10};
	port->ops->send(port, slices, 100);
	EXPECT_EQ(kernel.sent_length, 1000);
	EXPECT_MEM(kernel.sent, frame, 1000);
	slices[99] = (struct slice){frame, sizeof(frame)};
	port->ops->send(port, slices, 100);
	EXPECT_EQ(kernel.calls[METAL_SWITCH_SEND], 2);
}

TEST(a_frame_waits_for_the_guest)
{
	struct netport *port = make_port();

	kernel.frames = 5;
	received_room = 2;
	netport_look(port);
	EXPECT_EQ(received, 2);
	EXPECT_EQ(kernel.frames, 2);
	received_room = 10;
	port->ops->receive_ready(port);
	EXPECT_EQ(received, 5);
	EXPECT_EQ(kernel.frames, 0);
}
