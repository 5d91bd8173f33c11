/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine kvm with a machine of a few instructions of real mode, on this host's /dev/kvm. One
 * that only emulates will do: the code avoids what such don't know. It talks to the test through
 * ports.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "core/doorbell.h"
#include "core/engine.h"
#include "core/vm.h"
#include "devices/lapic.h"
#include "engines/kvm/internal.h"
#include "engines/kvm/kvm.h"
#include "hosts/linux/linux.h"
#include "x86/msr.h"

#define MIB	   UINT64_C(0x100000)
#define CODE_AT	   0x1000u
#define DEVICE_AT  UINT64_C(0xd0000000)
#define STACK_AT   0x8000u
#define PORT_NOTE  0x10u /* what is written there is noted */
#define PORT_ASK   0x12u /* calls `asked` */
#define PORT_END   0x14u /* stops the machine */
#define VECTOR	   0x40u
#define NOTES_MAX  64
#define LONG_SLEEP 30000000 /* ns */

/* Real-mode code, which is copied to CODE_AT. fs is at the APIC, gs at the device. */
#define CODE(name, text)                                                                           \
	__asm__(".pushsection .rodata\n.code16\n" #name ":\n" text "\n" #name                      \
		"_end:\n.code64\n.popsection\n");                                                  \
	extern const uint8_t name[], name##_end[]
#define NOTE(value) "mov $" #value ", %al; out %al, $0x10\n"
#define ASK	    "out %al, $0x12\n"
#define END	    "out %al, $0x14\n1: hlt; jmp 1b\n"
#define APIC_ON	    "movl $0x1ff, %fs:0xf0\n"

static struct vm vm;
static struct lapics lapics;
static struct cpu_model model;
static uint8_t notes[NOTES_MAX];
static unsigned note_count, asked_count;
static void (*asked)(void);
static uint64_t device_value, device_address;
static unsigned device_size;
static unsigned ended_vectors[4], ended_count;

/* Devices */

static uint64_t ports_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return 0x9a000000 + offset;
}

static void ports_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			bool *fault)
{
	if (offset == PORT_NOTE - 0x10 && note_count < NOTES_MAX)
		notes[note_count++] = (uint8_t)value;
	if (offset == PORT_ASK - 0x10) {
		asked_count++;
		if (asked)
			asked();
	}
	if (offset == PORT_END - 0x10)
		vm_stop(&vm, VM_TEST_EXIT, 0);
}

static uint64_t device_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	device_size = size;
	device_address = offset;
	return 0x1122334455667788;
}

static void device_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			 bool *fault)
{
	device_size = size;
	device_address = offset;
	device_value = value;
}

static const struct region_ops ports_ops = {
	.read = ports_read, .write = ports_write, .sizes = 1 | 2 | 4};
static const struct region_ops device_ops = {
	.read = device_read, .write = device_write, .sizes = 1 | 2 | 4 | 8};
static struct region ports = {.name = "test", .ops = &ports_ops};
static struct region device = {.name = "test", .ops = &device_ops};

static void note_end(void *listener, uint8_t vector)
{
	if (ended_count < 4)
		ended_vectors[ended_count++] = vector;
}

static int pic_vector(void *pic)
{
	/* As an 8259 whose request is served. */
	lapics_lint_set(&lapics, 0, false);
	return VECTOR;
}

/* The machine */

static void handler_set(unsigned vector, const uint8_t *code, const uint8_t *handler)
{
	uint32_t at = CODE_AT + (uint32_t)(handler - code);

	memcpy(vm.memory.base + vector * 4, &at, sizeof(at));
}

static void load(const uint8_t *code, const uint8_t *end)
{
	REQUIRE(vm_write(&vm, gpa(CODE_AT), code, (uint64_t)(end - code)) == 0);
}

static void begin_at(struct vcpu *vcpu)
{
	struct vcpu_state *state = &vcpu->state;

	state->segment[1].base = state->segment[1].selector = 0;
	state->segment[4].base = APIC_ADDRESS;
	state->segment[5].base = DEVICE_AT;
	state->rip = CODE_AT;
	state->gpr[4] = STACK_AT;
}

static void setup(unsigned vcpus)
{
	struct vm_config config = {.vcpus = vcpus,
				   .memory_size = 4 * MIB,
				   .hole_base = UINT64_C(3) << 30,
				   .engine = &engine_kvm,
				   .cpu_model = &model};
	struct cpuid_host host;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	const char *missing;

	if (kvm < 0)
		SKIP(errno == ENOENT ? "there is no /dev/kvm" : "/dev/kvm can't be opened");
	missing = probe_missing(kvm);
	close(kvm);
	if (missing)
		SKIP(missing);
	kvm_cpuid_host(&host);
	cpu_model_limit(&model, cpu_model_find("x86-64-v2"), &host);
	model.tsc_frequency = host_tsc_frequency();
	REQUIRE(vm_create(&vm, &config) == 0);
	REQUIRE(linux_vm_attach(&vm) == 0);
	lapics_init(&lapics, &vm);
	lapics.eoi = note_end;
	lapics.pic_acknowledge = pic_vector;
	REQUIRE(space_add(&vm.ports, &ports, 0x10, 0x10) == 0);
	REQUIRE(space_add(&vm.mmio, &device, DEVICE_AT, 0x1000) == 0);
	vm_reset(&vm);
	begin_at(vm.vcpus[0]);
	alarm(20);
}

/* What a KVM that only emulates does not do. */
static void need_true_kvm(const char *why)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm >= 0 && probe_guest(kvm) != PROBE_TRUE)
		SKIP(why);
	close(kvm);
}

#define SETUP(vcpus, code)                                                                         \
	do {                                                                                       \
		setup(vcpus);                                                                      \
		load(code, code##_end);                                                            \
	} while (0)

static void *vcpu_thread(void *argument)
{
	vcpu_run(argument);
	return NULL;
}

static pthread_t threads[4];

static void start(void)
{
	for (unsigned i = 0; i < vm.vcpu_count; i++)
		REQUIRE(pthread_create(&threads[i], NULL, vcpu_thread, vm.vcpus[i]) == 0);
}

static void finish(void)
{
	for (unsigned i = 0; i < vm.vcpu_count; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(vm.stop, VM_TEST_EXIT);
	if (vm.stop == VM_FAILED && vm.stop_reason)
		FAIL("%s", vm.stop_reason);
	linux_vm_detach(&vm);
	vm_destroy(&vm);
}

static void run(void)
{
	start();
	finish();
}

static void expect_notes(const char *wanted)
{
	char text[NOTES_MAX + 1] = "";

	memcpy(text, notes, note_count);
	EXPECT_STR(text, wanted);
}

static void sleep_ns(long ns)
{
	const struct timespec time = {.tv_nsec = ns};

	nanosleep(&time, NULL);
}

/* Waits until the guest has asked so often. */
static void await_asked(unsigned count)
{
	for (unsigned i = 0; i < 10000; i++) {
		unsigned now;

		vm_lock(&vm);
		now = asked_count;
		vm_unlock(&vm);
		if (now >= count)
			return;
		sleep_ns(1000000);
	}
	FAIL("the guest did not ask");
}

static void pause_machine(void)
{
	bool paused = false;

	vm_lock(&vm);
	vm_pause(&vm);
	vm_unlock(&vm);
	for (unsigned i = 0; i < 10000 && !paused; i++) {
		sleep_ns(1000000);
		vm_lock(&vm);
		paused = vm_paused(&vm);
		vm_unlock(&vm);
	}
	EXPECT(paused);
}

static void resume_machine(void)
{
	vm_lock(&vm);
	vm_resume(&vm);
	vm_unlock(&vm);
}

/* The probe */

TEST(the_probe_has_a_verdict_and_a_reason)
{
	char reason[256] = "";
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), verdict = kvm_probe(reason, sizeof(reason));
	enum probe_verdict guest;

	EXPECT(strlen(reason) > 10);
	if (kvm < 0) {
		EXPECT(verdict < 0);
		EXPECT(strstr(reason, "/dev/kvm: "));
		SKIP("/dev/kvm can't be opened");
	}
	guest = probe_guest(kvm);
	EXPECT(guest == PROBE_TRUE || guest == PROBE_EMULATED || guest == PROBE_STUCK);
	EXPECT_EQ(verdict == 0, guest == PROBE_TRUE);
	close(kvm);
}

/* Accesses */

CODE(accesses, "mov $0x1234, %ax; out %ax, $0x10\n"
	       "in $0x11, %al; out %al, $0x10\n"
	       "movl $0xcafe1234, %gs:0x20\n" ASK "mov %gs:0x31, %al; out %al, $0x10\n" ASK
	       "mov $(text - accesses + 0x1000), %si; mov $3, %cx; mov $0x10, %dx\n"
	       "cld; rep outsb\n" END "text: .ascii \"xyz\"\n");

static void look_at_write(void)
{
	if (asked_count > 1)
		return;
	EXPECT_EQ(device_address, 0x20);
	EXPECT_EQ(device_size, 4);
	EXPECT_EQ(device_value, 0xcafe1234);
}

TEST(ports_and_device_memory)
{
	SETUP(1, accesses);
	asked = look_at_write;
	run();
	EXPECT_EQ(asked_count, 2);
	EXPECT_EQ(device_address, 0x31);
	EXPECT_EQ(device_size, 1);
	/* From the 16-bit write, the port's read, the device's, and the repeated. */
	expect_notes("\x34\x01\x88xyz");
}

/* MSRs */

CODE(msrs, "mov $0x8b, %ecx; rdmsr; mov %edx, %eax; out %al, $0x10; mov %ah, %al; out %al, $0x10\n"
	   "mov $0x12345, %ecx; rdmsr\n" NOTE(0x41) "mov $0x12345, %ecx; wrmsr\n" NOTE(
		   0x42) "mov $0x1a0, %ecx; xor %edx, %edx; mov $0x55, %eax; wrmsr; xor %eax, "
			 "%eax; rdmsr\n"
			 "out %al, $0x10\n"
			 "mov $0x174, %ecx; mov $0x66, %eax; wrmsr; xor %eax, %eax; rdmsr; out "
			 "%al, $0x10\n"
			 "mov $0x4b564d00, %ecx; xor %eax, %eax; wrmsr\n" END
			 "msrs_fault:\n" NOTE(0x47) "mov %sp, %bp; addw $2, (%bp); iret\n");
extern const uint8_t msrs_fault[];

TEST(msrs_are_the_table_s)
{
	uint64_t revision = msr_find(MSR_UCODE_REVISION)->value >> 32;

	SETUP(1, msrs);
	handler_set(13, msrs, msrs_fault);
	run();
	EXPECT_EQ(notes[0], (uint8_t)revision);
	EXPECT_EQ(notes[1], (uint8_t)(revision >> 8));
	EXPECT_MEM(notes + 2, "GAGBUfG", 7);
	EXPECT_EQ(note_count, 9);
}

/* Interrupts */

CODE(halts, APIC_ON "sti\n" ASK "1: hlt; jmp 1b\n"
		    "halts_handler:\n" NOTE(0x49) "movl $0, %fs:0xb0\n" END);
extern const uint8_t halts_handler[];

static void send_message(void)
{
	lapics_msi(&lapics, APIC_ADDRESS, VECTOR);
}

TEST(a_message_wakes_a_halted_processor)
{
	SETUP(1, halts);
	handler_set(VECTOR, halts, halts_handler);
	start();
	await_asked(1);
	sleep_ns(LONG_SLEEP);
	vm_lock(&vm);
	send_message();
	vm_unlock(&vm);
	finish();
	expect_notes("I");
	EXPECT_EQ(ended_count, 0);
}

/* A device that goes on when it has been loaded may be done before any vcpu runs. */
TEST(a_message_to_apics_that_have_been_replaced_is_kept)
{
	struct apic apic = {0};

	SETUP(1, halts);
	handler_set(VECTOR, halts, halts_handler);
	vm.engine->apics->get(vm.vcpus[0], &apic);
	apic.svr = 0x1ff;
	vm.engine->apics->set(vm.vcpus[0], &apic);
	vm_lock(&vm);
	send_message();
	vm_unlock(&vm);
	run();
	expect_notes("I");
}

static void send_level(void)
{
	const struct apic_message message = {.level = true, .vector = VECTOR};

	EXPECT(lapics_deliver(&lapics, &message));
}

TEST(the_end_of_a_level_triggered_interrupt_is_told)
{
	SETUP(1, halts);
	handler_set(VECTOR, halts, halts_handler);
	asked = send_level;
	run();
	expect_notes("I");
	EXPECT_EQ(ended_count, 1);
	EXPECT_EQ(ended_vectors[0], VECTOR);
}

CODE(silent, "movl $0x11ff, %fs:0xf0; sti\n" ASK "1: hlt; jmp 1b\n"
	     "silent_handler:\n" NOTE(0x49) "movl $0, %fs:0xb0\n" END);
extern const uint8_t silent_handler[];

TEST(but_not_if_the_guest_has_turned_that_off)
{
	SETUP(1, silent);
	handler_set(VECTOR, silent, silent_handler);
	asked = send_level;
	run();
	expect_notes("I");
	EXPECT_EQ(ended_count, 0);
}

static void raise_intr(void)
{
	lapics_lint_set(&lapics, 0, true);
}

CODE(external, "cli\n" ASK NOTE(0x41) "sti; nop\n" NOTE(0x42) ASK
     "1: hlt; jmp 1b\n"
     "external_handler:\n" NOTE(0x49) "dec %bx; jz 2f; iret\n2:\n" END);
extern const uint8_t external_handler[];

TEST(the_8259s_get_through_when_interrupts_are_on)
{
	need_true_kvm("this KVM looks for interrupts at exits only");
	SETUP(1, external);
	handler_set(VECTOR, external, external_handler);
	vm.vcpus[0]->state.gpr[3] = 2;
	asked = raise_intr;
	run();
	expect_notes("AIBI");
}

TEST(the_8259s_wake_a_halted_processor)
{
	SETUP(1, external);
	handler_set(VECTOR, external, external_handler);
	vm.vcpus[0]->state.gpr[3] = 1;
	start();
	await_asked(2);
	sleep_ns(LONG_SLEEP);
	vm_lock(&vm);
	raise_intr();
	vm_unlock(&vm);
	finish();
	expect_notes("ABI");
}

CODE(masked, "movl $0x10700, %fs:0x350; sti\n" ASK "mov $1000, %cx\n1: loop 1b\n" NOTE(0x41) END
     "masked_handler:\n" NOTE(0x49) "iret\n");
extern const uint8_t masked_handler[];

TEST(a_masked_lint0_keeps_the_8259s_out)
{
	SETUP(1, masked);
	handler_set(VECTOR, masked, masked_handler);
	asked = raise_intr;
	run();
	expect_notes("A");
}

CODE(lint1, APIC_ON "movl $0x400, %fs:0x360\n" ASK "nop; nop\n" NOTE(0x41) END
     "lint1_handler:\n" NOTE(0x4e) "iret\n");
extern const uint8_t lint1_handler[];

static void raise_lint1(void)
{
	lapics_lint_set(&lapics, 1, true);
}

TEST(lint1_is_an_nmi)
{
	SETUP(1, lint1);
	handler_set(2, lint1, lint1_handler);
	asked = raise_lint1;
	run();
	expect_notes("NA");
}

/* Processors */

CODE(starts, APIC_ON "movl $0x01000000, %fs:0x310; movl $0x4500, %fs:0x300\n"
		     "movl $0x4601, %fs:0x300\n1: hlt; jmp 1b\n");
/* At its vector << 12, so in place of the other. */
CODE(started, NOTE(0x53) END);

TEST(init_and_start_up_messages)
{
	setup(2);
	REQUIRE(vm_write(&vm, gpa(0x3000), starts, (uint64_t)(starts_end - starts)) == 0);
	load(started, started_end);
	vm.vcpus[0]->state.rip = 0x3000;
	run();
	expect_notes("S");
}

/* Its thread comes later than the message. */
TEST(a_message_to_a_vcpu_that_has_not_begun_is_kept)
{
	setup(2);
	REQUIRE(vm_write(&vm, gpa(0x3000), starts, (uint64_t)(starts_end - starts)) == 0);
	load(started, started_end);
	vm.vcpus[0]->state.rip = 0x3000;
	REQUIRE(pthread_create(&threads[0], NULL, vcpu_thread, vm.vcpus[0]) == 0);
	sleep_ns(LONG_SLEEP);
	REQUIRE(pthread_create(&threads[1], NULL, vcpu_thread, vm.vcpus[1]) == 0);
	finish();
	expect_notes("S");
}

/* Stopping */

CODE(loops, ASK "1: jmp 1b\n");

TEST(a_kick_ends_a_loop)
{
	for (unsigned i = 0; i < 20; i++) {
		asked_count = 0;
		ports.space = device.space = NULL;
		SETUP(1, loops);
		start();
		await_asked(1);
		vm_stop(&vm, VM_TEST_EXIT, 0);
		finish();
	}
}

CODE(counts, ASK "1: incl 0x4008; jmp 1b\n");

static uint32_t guest_count(void)
{
	uint32_t count;

	EXPECT_EQ(vm_read(&vm, gpa(0x4008), &count, sizeof(count)), 0);
	return count;
}

TEST(a_held_processor_stands_until_its_time_has_come)
{
	uint64_t until;
	uint32_t count;

	SETUP(1, counts);
	start();
	await_asked(1);
	while (guest_count() == 0) /* it may still be on its way from there */
		sleep_ns(1000000);
	until = host_now() + 40 * (uint64_t)LONG_SLEEP;
	vm_hold(&vm, until);
	while (vm.vcpus[0]->place != VCPU_WAITING && host_now() < until)
		sleep_ns(1000000);
	EXPECT(host_now() < until);
	count = guest_count();
	sleep_ns(3 * LONG_SLEEP);
	EXPECT(guest_count() == count || host_now() >= until);
	while (guest_count() == count)
		sleep_ns(1000000);
	EXPECT(host_now() >= until);
	vm_hold(&vm, UINT64_MAX);
	sleep_ns(LONG_SLEEP);
	vm_stop(&vm, VM_TEST_EXIT, 0);
	finish();
}

CODE(times, ASK "1: rdtsc; mov %eax, 0x4000; mov %edx, 0x4004; incl 0x4008; jmp 1b\n");

static uint64_t guest_tsc(void)
{
	uint64_t tsc;

	EXPECT_EQ(vm_read(&vm, gpa(0x4000), &tsc, sizeof(tsc)), 0);
	return tsc;
}

TEST(the_tsc_begins_at_zero_and_stands_still_in_a_pause)
{
	uint64_t before, after, second = host_tsc_frequency();

	need_true_kvm("the guest sees the host's TSC with this KVM");
	SETUP(1, times);
	start();
	await_asked(1);
	sleep_ns(LONG_SLEEP);
	pause_machine();
	before = guest_tsc();
	EXPECT(before > 0 && before < 10 * second);
	sleep_ns(900000000);
	EXPECT_EQ(guest_tsc(), before);
	resume_machine();
	sleep_ns(LONG_SLEEP);
	pause_machine();
	after = guest_tsc();
	EXPECT(after > before);
	EXPECT(after - before < second * 3 / 4);
	vm_stop(&vm, VM_TEST_EXIT, 0);
	finish();
}

/* What a processor that can't scale is asked for, it can't; one that can is seen to do it. */
TEST(a_tsc_of_another_speed)
{
	uint64_t here = 0;
	int kvm, scales, error;

	SETUP(1, times);
	/* KVM's word for its speed; our own measure differs on an emulated processor. */
	kvm_tsc(&vm, host_tsc_frequency(), &here);
	EXPECT(here > 0);
	EXPECT_EQ(kvm_tsc(&vm, here, &here), 0);
	EXPECT_EQ(vm.tsc_ratio, 0);
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	scales = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL);
	close(kvm);
	error = kvm_tsc(&vm, here / 2 * 3, &here);
	EXPECT_EQ(error, scales > 0 ? 0 : -ENOTSUP);
	EXPECT_EQ(vm.tsc_ratio != 0, scales > 0);
	linux_vm_detach(&vm);
	vm_destroy(&vm);
}

TEST(registers_can_be_looked_at_and_changed)
{
	struct vcpu_state *state;

	SETUP(1, times);
	state = &vm.vcpus[0]->state;
	start();
	await_asked(1);
	pause_machine();
	vcpu_sync(vm.vcpus[0]);
	EXPECT(state->rip > CODE_AT && state->rip < CODE_AT + 0x40);
	EXPECT_EQ(state->segment[5].base, DEVICE_AT);
	EXPECT_EQ(state->activity, VCPU_RUNNING);
	/* On to another program. */
	REQUIRE(vm_write(&vm, gpa(0x2000), started, (uint64_t)(started_end - started)) == 0);
	state->rip = 0x2000;
	resume_machine();
	finish();
	expect_notes("S");
}

TEST(a_reset_machine_begins_again)
{
	SETUP(2, halts);
	handler_set(VECTOR, halts, halts_handler);
	asked = send_message;
	for (unsigned i = 0; i < 3; i++) {
		start();
		for (unsigned j = 0; j < 2; j++)
			pthread_join(threads[j], NULL);
		EXPECT_EQ(vm.stop, VM_TEST_EXIT);
		vcpu_sync(vm.vcpus[1]);
		EXPECT_EQ(vm.vcpus[1]->state.activity, VCPU_WAIT_FOR_SIPI);
		vm_reset(&vm);
		begin_at(vm.vcpus[0]);
	}
	expect_notes("III");
	linux_vm_detach(&vm);
	vm_destroy(&vm);
}

/* Doorbells */

static unsigned rung;

static void note_ring(struct doorbell *bell)
{
	rung++;
}

/* Waits until it has rung so often in all. */
static void await_rung(unsigned count)
{
	unsigned now = 0;

	for (unsigned i = 0; i < 10000 && now < count; i++) {
		vm_lock(&vm);
		now = rung;
		vm_unlock(&vm);
		if (now < count)
			sleep_ns(1000000);
	}
	EXPECT_EQ(now, count);
}

CODE(rings, "movw $7, %gs:0x100\n" ASK "1: cmpl $1, 0x7000; jne 1b\nmovl $8, %gs:0x100\n" ASK
	    "1: cmpl $2, 0x7000; jne 1b\nmovw $9, %gs:0x104\nmovw $3, %gs:0x100\n" ASK
	    "1: cmpl $3, 0x7000; jne 1b\nmovw $4, %gs:0x100\nmovw $5, %gs:0x100\n" ASK
	    "1: cmpl $4, 0x7000; jne 1b\nmovw $6, %gs:0x100\n" ASK END);

static void step(uint32_t value)
{
	EXPECT_EQ(vm_write(&vm, gpa(0x7000), &value, sizeof(value)), 0);
}

TEST(a_doorbell_rings_without_an_exit)
{
	struct doorbell bell;

	rung = 0;
	SETUP(1, rings);
	doorbell_init(&bell, &vm, note_ring);
	vm_lock(&vm);
	doorbell_place(&bell, DEVICE_AT + 0x100);
	EXPECT(bell.placed);
	vm_unlock(&vm);
	start();
	await_asked(1);
	await_rung(1);
	step(1); /* a write of another size is one, too */
	await_asked(2);
	await_rung(2);
	EXPECT_EQ(device_value, 0);
	step(2); /* beside it is the device */
	await_asked(3);
	await_rung(3);
	EXPECT_EQ(device_address, 0x104);
	EXPECT_EQ(device_value, 9);
	/* While nobody can hear it, twice; then it is taken away: it says so, and is silent. */
	vm_lock(&vm);
	asked_count = 0;
	step(3);
	sleep_ns(LONG_SLEEP);
	if (doorbell_remove(&bell))
		rung++;
	EXPECT(!bell.placed);
	vm_unlock(&vm);
	await_asked(1);
	await_rung(4);
	step(4); /* and now it is the device's */
	await_asked(2);
	EXPECT_EQ(device_address, 0x100);
	EXPECT_EQ(device_value, 6);
	sleep_ns(LONG_SLEEP);
	EXPECT_EQ(rung, 4);
	finish();
}

TEST(a_doorbell_waits_for_the_end_of_a_pause)
{
	struct doorbell bell;

	rung = 0;
	SETUP(1, rings);
	doorbell_init(&bell, &vm, note_ring);
	start();
	await_asked(1); /* its first write was the device's */
	vm_lock(&vm);
	doorbell_place(&bell, DEVICE_AT + 0x100);
	vm_unlock(&vm);
	step(1);
	await_asked(2);
	await_rung(1);
	pause_machine();
	vm_lock(&vm);
	doorbell_ring(&bell);
	EXPECT_EQ(rung, 1);
	vm_unlock(&vm);
	resume_machine();
	await_rung(2);
	vm_stop(&vm, VM_TEST_EXIT, 0);
	vm_lock(&vm);
	doorbell_remove(&bell);
	vm_unlock(&vm);
	finish();
}

/* The dirty log */

CODE(writes,
     ASK "1: cmpl $0, 0x7000; je 1b\nmovl $1, 0x9000; movl $1, 0xa000; movl $1, 0x9000\n" ASK
	 "1: cmpl $1, 0x7000; je 1b\nmovl $1, 0xb000\n" END);

static bool is_dirty(const uint64_t *bitmap, unsigned page)
{
	return bitmap[page / 64] >> page % 64 & 1;
}

TEST(the_dirty_log_has_what_vcpus_and_devices_write)
{
	static uint64_t bitmap[4 * MIB / 4096 / 64];
	const uint32_t one = 1, two = 2;

	SETUP(1, writes);
	start();
	await_asked(1);
	REQUIRE(dirty_start(&vm) == 0);
	EXPECT_EQ(vm_write(&vm, gpa(0x7000), &one, sizeof(one)), 0);
	await_asked(2);
	EXPECT_EQ(dirty_collect(&vm, bitmap), 0);
	EXPECT(is_dirty(bitmap, 7) && is_dirty(bitmap, 9) && is_dirty(bitmap, 0xa));
	EXPECT(!is_dirty(bitmap, 0xb) && !is_dirty(bitmap, 0x20));
	memset(bitmap, 0, sizeof(bitmap));
	EXPECT_EQ(vm_write(&vm, gpa(0x7000), &two, sizeof(two)), 0);
	pthread_join(threads[0], NULL);
	EXPECT_EQ(dirty_collect(&vm, bitmap), 0);
	EXPECT(is_dirty(bitmap, 7) && is_dirty(bitmap, 0xb));
	EXPECT(!is_dirty(bitmap, 9) && !is_dirty(bitmap, 0xa));
	dirty_stop(&vm);
	linux_vm_detach(&vm);
	vm_destroy(&vm);
}
