/* SPDX-License-Identifier: BSD-2-Clause */
#include "device_fixture.h"

#include "devices/lapic.h"

/* Registers: offset in memory divided by 16, and from 0x800 on as MSRs. */
enum {
	ID = 0x02,
	VERSION = 0x03,
	TPR = 0x08,
	PPR = 0x0a,
	EOI = 0x0b,
	LDR = 0x0d,
	DFR = 0x0e,
	SVR = 0x0f,
	ISR = 0x10,
	TMR = 0x18,
	IRR = 0x20,
	ESR = 0x28,
	ICR = 0x30,
	ICR2 = 0x31,
	TIMER = 0x32,
	LINT0 = 0x35,
	LINT1 = 0x36,
	ERROR = 0x37,
	INITIAL = 0x38,
	CURRENT = 0x39,
	DIVIDE = 0x3e,
	SELF = 0x3f,
};

#define BASE_MSR     0x1bu
#define DEADLINE_MSR 0x6e0u

static struct lapics lapics;
static unsigned broadcasts;
static uint8_t broadcast_vector;

static uint32_t get(unsigned vcpu, unsigned number)
{
	return load32(vcpu, APIC_ADDRESS + number * 16);
}

static void set(unsigned vcpu, unsigned number, uint32_t value)
{
	store32(vcpu, APIC_ADDRESS + number * 16, value);
}

static uint64_t x2get(unsigned vcpu, unsigned number)
{
	return rdmsr(vcpu, 0x800 + number);
}

static void x2set(unsigned vcpu, unsigned number, uint64_t value)
{
	wrmsr(vcpu, 0x800 + number, value);
}

static void eoi(void *listener, uint8_t vector)
{
	broadcasts++;
	broadcast_vector = vector;
}

static int pic(void *listener)
{
	return 0x68;
}

static void setup(unsigned vcpus)
{
	lapics_init(&lapics, fixture_vm_create(vcpus));
	lapics.eoi = eoi;
	lapics.pic_acknowledge = pic;
	for (unsigned i = 0; i < vcpus; i++)
		set(i, SVR, 0x1ff);
}

static void setup_x2(unsigned vcpus)
{
	setup(vcpus);
	for (unsigned i = 0; i < vcpus; i++)
		wrmsr(i, BASE_MSR, rdmsr(i, BASE_MSR) | 0x400);
}

static int take(unsigned vcpu)
{
	return vcpu_take_interrupt(fixture_vm.vcpus[vcpu]);
}

static uint32_t pending(unsigned vcpu)
{
	return fixture_vm.vcpus[vcpu]->pending;
}

static void ipi(unsigned from, uint32_t destination, uint32_t low)
{
	set(from, ICR2, destination << 24);
	set(from, ICR, low);
}

static void probe(void)
{
	for (unsigned i = 0; i < 0x40; i++) {
		get(0, i);
		x2get(0, i);
	}
	set(0, INITIAL, 1000);
	set(0, EOI, 0);
	x2set(0, EOI, 0);
	x2set(0, ICR, 0xfd);
	for (unsigned i = 0; i < 300 && take(0) >= 0; i++)
		set(0, EOI, 0);
}

TEST(power_on_state_is_the_manuals)
{
	lapics_init(&lapics, fixture_vm_create(2));
	EXPECT_EQ(rdmsr(0, BASE_MSR), 0xfee00900);
	EXPECT_EQ(rdmsr(1, BASE_MSR), 0xfee00800);
	EXPECT_EQ(get(1, ID), 1u << 24);
	EXPECT_EQ(get(0, VERSION), 0x01050014);
	EXPECT_EQ(get(0, SVR), 0xff);
	EXPECT_EQ(get(0, DFR), 0xffffffff);
	EXPECT_EQ(get(0, LDR), 0);
	EXPECT_EQ(get(1, LINT0), 0x10000);
	EXPECT_EQ(get(0, LINT0), 0x700); /* as firmware leaves it */
	EXPECT_EQ(get(0, TIMER), 0x10000);
}

TEST(registers_keep_only_what_exists)
{
	setup(1);
	set(0, TPR, 0xffffffff);
	EXPECT_EQ(get(0, TPR), 0xff);
	set(0, LDR, 0xffffffff);
	EXPECT_EQ(get(0, LDR), 0xff000000);
	set(0, DFR, 0);
	EXPECT_EQ(get(0, DFR), 0x0fffffff);
	set(0, TIMER, 0xffffffff);
	EXPECT_EQ(get(0, TIMER), 0x000700ff);
	set(0, LINT1, 0xffffffff);
	EXPECT_EQ(get(0, LINT1), 0x0001a7ff);
	set(0, DIVIDE, 0xffffffff);
	EXPECT_EQ(get(0, DIVIDE), 0xb);
	set(0, ID, 0x55000000);
	EXPECT_EQ(get(0, ID), 0);
}

TEST(higher_classes_preempt_and_equal_ones_wait)
{
	setup(1);
	ipi(0, 0, 0x45);
	EXPECT(pending(0) & PENDING_INTERRUPT);
	EXPECT_EQ(get(0, IRR + 2), 1u << 5);
	EXPECT_EQ(take(0), 0x45);
	EXPECT(!(pending(0) & PENDING_INTERRUPT));
	EXPECT_EQ(get(0, ISR + 2), 1u << 5);
	EXPECT_EQ(get(0, PPR), 0x40);
	ipi(0, 0, 0x4f);
	EXPECT_EQ(take(0), -1);
	ipi(0, 0, 0x51);
	EXPECT_EQ(take(0), 0x51);
	set(0, EOI, 0);
	EXPECT_EQ(take(0), -1);
	set(0, EOI, 0);
	EXPECT_EQ(take(0), 0x4f);
	set(0, EOI, 0);
	EXPECT_EQ(get(0, PPR), 0);
	set(0, EOI, 0); /* one too many does nothing */
}

TEST(task_priority_holds_back)
{
	setup(1);
	fixture_vm.vcpus[0]->interrupts->set_tpr(fixture_vm.vcpus[0], 5);
	EXPECT_EQ(get(0, TPR), 0x50);
	ipi(0, 0, 0x5f);
	EXPECT(!(pending(0) & PENDING_INTERRUPT));
	set(0, TPR, 0x4f);
	EXPECT(pending(0) & PENDING_INTERRUPT);
	EXPECT_EQ(fixture_vm.vcpus[0]->interrupts->get_tpr(fixture_vm.vcpus[0]), 4);
	set(0, TPR, 0x50);
	EXPECT(!(pending(0) & PENDING_INTERRUPT));
	EXPECT_EQ(take(0), -1);
	set(0, TPR, 0);
	EXPECT_EQ(take(0), 0x5f);
}

TEST(one_vector_waits_only_once)
{
	setup(1);
	ipi(0, 0, 0x30);
	ipi(0, 0, 0x30);
	EXPECT_EQ(take(0), 0x30);
	ipi(0, 0, 0x30);
	set(0, EOI, 0);
	EXPECT_EQ(take(0), 0x30);
	set(0, EOI, 0);
	EXPECT_EQ(take(0), -1);
}

TEST(physical_destinations)
{
	setup(4);
	ipi(0, 2, 0x31);
	EXPECT_EQ(take(2), 0x31);
	set(2, EOI, 0);
	ipi(3, 0xff, 0x32);
	for (unsigned i = 0; i < 4; i++)
		EXPECT_EQ(take(i), 0x32);
	ipi(0, 9, 0x33);
	for (unsigned i = 0; i < 4; i++) {
		set(i, EOI, 0);
		EXPECT_EQ(take(i), -1);
	}
}

TEST(shorthands)
{
	setup(3);
	ipi(1, 0, 0x31 | 1 << 18);
	EXPECT_EQ(take(1), 0x31);
	EXPECT_EQ(take(0), -1);
	set(1, EOI, 0);
	ipi(1, 0, 0x32 | 2 << 18);
	for (unsigned i = 0; i < 3; i++) {
		EXPECT_EQ(take(i), 0x32);
		set(i, EOI, 0);
	}
	ipi(1, 0, 0x33 | 3 << 18);
	EXPECT_EQ(take(0), 0x33);
	EXPECT_EQ(take(1), -1);
	EXPECT_EQ(take(2), 0x33);
	ipi(1, 0, 0x400 | 1 << 18); /* NMI to oneself is not allowed */
	EXPECT(!(pending(1) & PENDING_NMI));
}

TEST(logical_flat_and_cluster)
{
	setup(4);
	for (unsigned i = 0; i < 4; i++)
		set(i, LDR, 1u << (24 + i));
	ipi(0, 0x0a, 0x835);
	EXPECT_EQ(take(0), -1);
	EXPECT_EQ(take(1), 0x35);
	EXPECT_EQ(take(2), -1);
	EXPECT_EQ(take(3), 0x35);
	for (unsigned i = 0; i < 4; i++) {
		set(i, EOI, 0);
		set(i, DFR, 0x0fffffff);
		set(i, LDR, (i / 2 << 4 | 1u << i % 2) << 24);
	}
	ipi(0, 0x12, 0x836); /* cluster 1, its second */
	EXPECT_EQ(take(3), 0x36);
	for (unsigned i = 0; i < 3; i++)
		EXPECT_EQ(take(i), -1);
	ipi(0, 0xf1, 0x837); /* every cluster's first */
	EXPECT_EQ(take(0), 0x37);
	EXPECT_EQ(take(1), -1);
	EXPECT_EQ(take(2), 0x37);
}

TEST(lowest_priority_finds_the_idle_and_takes_turns)
{
	unsigned taken[3] = {0};

	setup(3);
	for (unsigned i = 0; i < 3; i++)
		set(i, LDR, 1u << (24 + i));
	set(0, TPR, 0x20);
	for (unsigned i = 0; i < 4; i++) {
		ipi(0, 0x07, 0x940);
		for (unsigned j = 0; j < 3; j++)
			if (take(j) == 0x40) {
				taken[j]++;
				set(j, EOI, 0);
			}
	}
	EXPECT_EQ(taken[0], 0);
	EXPECT_EQ(taken[1], 2);
	EXPECT_EQ(taken[2], 2);
}

TEST(nmi_init_and_sipi_are_posted)
{
	setup(2);
	ipi(0, 1, 0x400);
	EXPECT(pending(1) & PENDING_NMI);
	ipi(0, 1, 0x8500); /* de-assert: nothing */
	EXPECT(!(pending(1) & PENDING_INIT));
	ipi(0, 1, 0xc500);
	EXPECT(pending(1) & PENDING_INIT);
	ipi(0, 1, 0x69a);
	EXPECT(pending(1) & PENDING_SIPI);
	EXPECT_EQ(fixture_vm.vcpus[1]->sipi_vector, 0x9a);
}

TEST(init_resets_all_but_the_base)
{
	setup_x2(2);
	x2set(1, TPR, 0x33);
	x2set(1, INITIAL, 1000);
	vm_lock(&fixture_vm);
	fixture_vm.vcpus[1]->interrupts->init(fixture_vm.vcpus[1]);
	vm_unlock(&fixture_vm);
	EXPECT_EQ(rdmsr(1, BASE_MSR), 0xfee00c00);
	EXPECT_EQ(x2get(1, TPR), 0);
	EXPECT_EQ(x2get(1, SVR), 0xff);
	EXPECT_EQ(x2get(1, LDR), 2);
	EXPECT_EQ(x2get(1, CURRENT), 0);
}

TEST(disabled_by_software_it_takes_no_interrupts)
{
	setup(1);
	set(0, TIMER, 0x30);
	set(0, SVR, 0xff);
	EXPECT_EQ(get(0, TIMER), 0x10030);
	set(0, TIMER, 0x30);
	EXPECT_EQ(get(0, TIMER), 0x10030);
	ipi(0, 0, 0x40);
	EXPECT_EQ(take(0), -1);
	ipi(0, 0, 0x400);
	EXPECT(pending(0) & PENDING_NMI);
	set(0, SVR, 0x1ff);
	EXPECT_EQ(get(0, TIMER), 0x10030);
	EXPECT_EQ(take(0), -1);
}

TEST(only_level_interrupts_are_told_to_the_io_apic)
{
	setup(1);
	lapics_msi(&lapics, 0xfee00000, 0x0041);
	lapics_msi(&lapics, 0xfee00000, 0xc042);
	EXPECT_EQ(get(0, TMR + 2), 1u << 2);
	EXPECT_EQ(take(0), 0x42);
	set(0, EOI, 0);
	EXPECT_EQ(broadcasts, 1);
	EXPECT_EQ(broadcast_vector, 0x42);
	EXPECT_EQ(take(0), 0x41);
	set(0, EOI, 0);
	EXPECT_EQ(broadcasts, 1);
	set(0, SVR, 0x11ff);
	lapics_msi(&lapics, 0xfee00000, 0xc042);
	EXPECT_EQ(take(0), 0x42);
	set(0, EOI, 0);
	EXPECT_EQ(broadcasts, 1);
}

TEST(msi_addresses)
{
	setup(3);
	for (unsigned i = 0; i < 3; i++)
		set(i, LDR, 1u << (24 + i));
	lapics_msi(&lapics, 0xfee02000, 0x50);
	EXPECT_EQ(take(2), 0x50);
	lapics_msi(&lapics, 0xfee02004, 0x51); /* logical */
	EXPECT_EQ(take(1), 0x51);
	lapics_msi(&lapics, 0xfec01000, 0x60);
	lapics_msi(&lapics, 0x1fee01000, 0x60);
	EXPECT_EQ(take(1), -1);
	lapics_msi(&lapics, 0xfeeff000, 0x470);
	for (unsigned i = 0; i < 3; i++)
		EXPECT(pending(i) & PENDING_NMI);
	for (unsigned i = 0; i < 3; i++)
		set(i, EOI, 0);
	lapics_msi(&lapics, 0xfee0700c, 0x52); /* redirection: one of them */
	EXPECT_EQ((take(0) == 0x52) + (take(1) == 0x52) + (take(2) == 0x52), 1);
}

TEST(errors_are_latched_by_a_write)
{
	setup(1);
	set(0, ERROR, 0xf0);
	ipi(0, 0, 0x05);
	EXPECT_EQ(get(0, ESR), 0);
	EXPECT_EQ(take(0), 0xf0);
	set(0, ESR, 0);
	EXPECT_EQ(get(0, ESR), 0x20);
	set(0, ESR, 0);
	EXPECT_EQ(get(0, ESR), 0);
	get(0, 0x3a); /* no such register */
	set(0, ESR, 0);
	EXPECT_EQ(get(0, ESR), 0x80);
	lapics_msi(&lapics, 0xfee00000, 0x0f);
	set(0, ESR, 0);
	EXPECT_EQ(get(0, ESR), 0x40);
	set(0, ERROR, 0x05); /* an error that can't be told of must not tell of itself */
	ipi(0, 0, 0x06);
	set(0, ESR, 0);
	EXPECT_EQ(get(0, ESR), 0x20);
}

TEST(the_8259_comes_through_lint0)
{
	setup(2);
	lapics_lint_set(&lapics, 0, true);
	EXPECT(pending(0) & PENDING_INTERRUPT);
	EXPECT(!(pending(1) & PENDING_INTERRUPT));
	EXPECT_EQ(take(0), 0x68);
	EXPECT_EQ(get(0, ISR + 3), 0); /* ExtINT is not in service */
	set(0, LINT0, 0x10700);
	EXPECT(!(pending(0) & PENDING_INTERRUPT));
	wrmsr(0, BASE_MSR, 0xfee00100); /* off: INTR is the processor's own pin */
	EXPECT(pending(0) & PENDING_INTERRUPT);
	lapics_lint_set(&lapics, 0, false);
	EXPECT(!(pending(0) & PENDING_INTERRUPT));
}

TEST(lint1_is_what_it_is_set_to)
{
	setup(1);
	lapics_lint_set(&lapics, 1, true);
	EXPECT_EQ(pending(0), 0);
	lapics_lint_set(&lapics, 1, false);
	set(0, LINT1, 0x400);
	lapics_lint_set(&lapics, 1, true);
	EXPECT(pending(0) & PENDING_NMI);
	lapics_lint_set(&lapics, 1, false);
	set(0, LINT1, 0x77);
	lapics_lint_set(&lapics, 1, true);
	EXPECT_EQ(take(0), 0x77);
}

TEST(one_shot_timer_counts_down_once)
{
	setup(1);
	set(0, TIMER, 0x40);
	set(0, DIVIDE, 0x3); /* by 16 */
	set(0, INITIAL, 1000);
	fake_advance(8000);
	EXPECT_EQ(get(0, CURRENT), 500);
	EXPECT_EQ(take(0), -1);
	fake_advance(8000);
	EXPECT_EQ(get(0, CURRENT), 0);
	EXPECT_EQ(take(0), 0x40);
	set(0, EOI, 0);
	fake_advance(100000);
	EXPECT_EQ(take(0), -1);
	EXPECT_EQ(get(0, INITIAL), 1000);
}

TEST(periodic_timer_comes_again)
{
	setup(1);
	set(0, TIMER, 0x20040);
	set(0, DIVIDE, 0xb); /* by 1 */
	set(0, INITIAL, 1000000);
	for (unsigned i = 0; i < 5; i++) {
		fake_advance(1000000);
		EXPECT_EQ(take(0), 0x40);
		set(0, EOI, 0);
		EXPECT_EQ(take(0), -1);
	}
	fake_advance(250000);
	EXPECT_EQ(get(0, CURRENT), 750000);
	set(0, INITIAL, 0);
	fake_advance(5000000);
	EXPECT_EQ(take(0), -1);
	EXPECT_EQ(fake_deadline(&fixture_vm), UINT64_MAX);
}

TEST(a_tiny_period_does_not_hang_the_host)
{
	unsigned before;

	setup(1);
	set(0, TIMER, 0x20040);
	set(0, DIVIDE, 0xb);
	set(0, INITIAL, 1);
	before = fake_wake_requests();
	fake_advance(1000000);
	EXPECT(fake_wake_requests() - before < 200);
	EXPECT_EQ(take(0), 0x40);
}

TEST(a_masked_timer_counts_without_interrupt)
{
	setup(1);
	set(0, TIMER, 0x10040);
	set(0, DIVIDE, 0xb);
	set(0, INITIAL, 1000);
	fake_advance(400);
	EXPECT_EQ(get(0, CURRENT), 600);
	fake_advance(1000);
	EXPECT_EQ(take(0), -1);
}

TEST(tsc_deadline)
{
	uint64_t now;

	setup(1);
	wrmsr(0, DEADLINE_MSR, 5);
	EXPECT_EQ(rdmsr(0, DEADLINE_MSR), 0); /* not in this mode */
	set(0, TIMER, 0x40040);
	now = vcpu_tsc(fixture_vm.vcpus[0]);
	wrmsr(0, DEADLINE_MSR, now + 20001);
	EXPECT_EQ(rdmsr(0, DEADLINE_MSR), now + 20001);
	fake_advance(10000);
	EXPECT_EQ(take(0), -1); /* half a nanosecond to go */
	fake_advance(1);
	EXPECT_EQ(take(0), 0x40);
	EXPECT_EQ(rdmsr(0, DEADLINE_MSR), 0);
	set(0, EOI, 0);
	wrmsr(0, DEADLINE_MSR, 1); /* long past */
	EXPECT_EQ(take(0), 0x40);
	set(0, EOI, 0);
	wrmsr(0, DEADLINE_MSR, vcpu_tsc(fixture_vm.vcpus[0]) + 1000);
	wrmsr(0, DEADLINE_MSR, 0);
	fake_advance(1000000);
	EXPECT_EQ(take(0), -1);
	set(0, INITIAL, 100); /* ignored in this mode */
	EXPECT_EQ(get(0, INITIAL), 0);
	wrmsr(0, DEADLINE_MSR, UINT64_MAX >> 2);
	fake_advance(1000000);
	EXPECT_EQ(take(0), -1);
	set(0, TIMER, 0x40); /* leaving the mode disarms */
	EXPECT_EQ(rdmsr(0, DEADLINE_MSR), 0);
}

TEST(x2apic_is_entered_and_left_as_figure_10_27_allows)
{
	setup(2);
	wrmsr(1, BASE_MSR, 0xfee00400);
	EXPECT(fixture_fault); /* extended without enabled */
	wrmsr(1, BASE_MSR, 0xfee00c00);
	EXPECT(!fixture_fault);
	wrmsr(1, BASE_MSR, 0xfee00800);
	EXPECT(fixture_fault); /* back to xAPIC only through off */
	wrmsr(1, BASE_MSR, 0xfee00000);
	EXPECT(!fixture_fault);
	wrmsr(1, BASE_MSR, 0xfee00c00);
	EXPECT(fixture_fault); /* off to x2APIC not at once */
	wrmsr(1, BASE_MSR, 0xfee00800);
	EXPECT(!fixture_fault);
	wrmsr(1, BASE_MSR, 0xfee00801);
	EXPECT(fixture_fault);
	wrmsr(1, BASE_MSR, 1ull << 60 | 0xfee00800);
	EXPECT(fixture_fault);
	EXPECT_EQ(rdmsr(1, BASE_MSR), 0xfee00800);
	wrmsr(1, BASE_MSR, 0x12345000 | 0x800);
	EXPECT(!fixture_fault);
	EXPECT_EQ(fake_log_count(LOG_WARNING), 1);
}

TEST(x2apic_moves_the_registers_to_msrs)
{
	setup(2);
	x2get(1, ID);
	EXPECT(fixture_fault);
	wrmsr(1, BASE_MSR, 0xfee00c00);
	EXPECT_EQ(x2get(1, ID), 1);
	EXPECT(!fixture_fault);
	EXPECT_EQ(x2get(1, LDR), 2);
	EXPECT_EQ(get(1, ID), 0xffffffff);
	set(1, TPR, 0x10);
	EXPECT_EQ(x2get(1, TPR), 0);
	EXPECT_EQ(get(0, ID), 0);
}

TEST(x2apic_faults_on_what_does_not_exist)
{
	static const struct {
		unsigned number;
		bool read, write;
		uint64_t value;
	} cases[] = {
		{0x00, true, true, 0},
		{ID, false, true, 0},
		{PPR, false, true, 0},
		{EOI, true, false, 0},
		{EOI, false, true, 1},
		{LDR, false, true, 0},
		{DFR, true, true, 0},
		{SVR, false, true, 0x10000},
		{ISR, false, true, 0},
		{ESR, false, true, 1},
		{ICR2, true, true, 0},
		{ICR, false, true, 1 << 13},
		{SELF, true, false, 0},
		{SELF, false, true, 0x100},
		{CURRENT, false, true, 0},
		{TPR, false, true, 256},
		{INITIAL, false, true, 1ll << 32},
		{0x2f, true, true, 0},
		{DIVIDE, false, true, 4},
		{TIMER, false, true, 1 << 8},
	};

	setup_x2(1);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (cases[i].read) {
			x2get(0, cases[i].number);
			EXPECT(fixture_fault);
		}
		if (cases[i].write) {
			x2set(0, cases[i].number, cases[i].value);
			if (!EXPECT(fixture_fault))
				FAIL("case %u", i);
		}
	}
	x2set(0, EOI, 0);
	EXPECT(!fixture_fault);
	x2set(0, TPR, 255);
	EXPECT(!fixture_fault);
}

TEST(x2apic_messages)
{
	setup_x2(20);
	x2set(0, ICR, 17ull << 32 | 0x41);
	EXPECT_EQ(x2get(0, ICR), 17ull << 32 | 0x41);
	EXPECT_EQ(take(17), 0x41);
	x2set(0, ICR, 0x00010006ull << 32 | 0x842); /* cluster 1: 17 and 18 */
	EXPECT_EQ(take(18), 0x42);
	EXPECT_EQ(take(16), -1);
	x2set(17, EOI, 0);
	EXPECT_EQ(take(17), 0x42);
	x2set(3, ICR, 0xffffffffull << 32 | 0x50);
	for (unsigned i = 0; i < 20; i++)
		EXPECT_EQ(take(i), 0x50);
	x2set(3, SELF, 0x61);
	EXPECT_EQ(take(3), 0x61);
	x2set(3, SELF, 0x0f);
	x2set(3, ESR, 0);
	EXPECT_EQ(x2get(3, ESR), 0x20);
}

TEST(state_survives)
{
	size_t size;

	setup(2);
	ipi(0, 1, 0x45);
	EXPECT_EQ(take(1), 0x45);
	ipi(0, 1, 0x52);
	set(0, TIMER, 0x20040);
	set(0, DIVIDE, 0xb);
	set(0, INITIAL, 1000000);
	fake_advance(300000);
	size = device_save(&lapics.device);
	vm_reset(&fixture_vm);
	EXPECT_EQ(take(1), -1);
	EXPECT_EQ(device_load(&lapics.device, size), 0);
	EXPECT(pending(1) & PENDING_INTERRUPT);
	EXPECT_EQ(get(1, ISR + 2), 1u << 5);
	EXPECT_EQ(take(1), 0x52);
	EXPECT_EQ(get(0, CURRENT), 700000);
	fake_advance(700000);
	EXPECT_EQ(take(0), 0x40);
}

TEST(a_timer_that_has_expired_does_not_expire_again_when_loaded)
{
	size_t size;

	setup(1);
	set(0, TIMER, 0x40);
	set(0, INITIAL, 100);
	fake_advance(1000);
	EXPECT_EQ(take(0), 0x40);
	set(0, EOI, 0);
	size = device_save(&lapics.device);
	EXPECT_EQ(device_load(&lapics.device, size), 0);
	fake_advance(1000);
	EXPECT_EQ(take(0), -1);
}

TEST(nonsense_states_do_no_harm)
{
	setup(1);
	device_load_nonsense(&lapics.device, probe);
}
