/* SPDX-License-Identifier: BSD-2-Clause */
/* The pure model, with a world of plain variables around it. What a guest sees of it is tested
 * through the device, in lapic_test.c. */
#include "test.h"

#include "lib/bytes.h"
#include "x86/apic.h"

enum {
	EOI = 0x0b,
	SVR = 0x0f,
	ICR = 0x30,
	ICR2 = 0x31,
	TIMER = 0x32,
	LINT1 = 0x36,
	INITIAL = 0x38
};
enum { CURRENT = 0x39, DIVIDE = 0x3e, SELF = 0x3f };

#define COUNT	  4
#define FREQUENCY 2000000000ull

static struct apic apics[COUNT];
static struct apic *all[COUNT];
static unsigned last_lowest;
static uint64_t now, tsc, armed[COUNT];
static unsigned timer_sets, nmis[COUNT], inits[COUNT], sipis[COUNT], eois, changes;
static uint8_t last_vector;

static uint64_t time(struct apic *apic)
{
	return now;
}

static uint64_t read_tsc(struct apic *apic)
{
	return tsc;
}

static uint64_t tsc_frequency(struct apic *apic)
{
	return FREQUENCY;
}

static void timer_set(struct apic *apic, uint64_t deadline)
{
	armed[apic->id] = deadline;
	timer_sets++;
}

static struct apic *const *everyone(struct apic *apic, unsigned *count, unsigned **last)
{
	*count = COUNT;
	*last = &last_lowest;
	return all;
}

static void changed(struct apic *apic)
{
	changes++;
}

static void nmi(struct apic *apic)
{
	nmis[apic->id]++;
}

static void init(struct apic *apic)
{
	inits[apic->id]++;
}

static void sipi(struct apic *apic, uint8_t vector)
{
	sipis[apic->id]++;
	last_vector = vector;
}

static void eoi(struct apic *apic, uint8_t vector)
{
	eois++;
	last_vector = vector;
}

static const struct apic_ops ops = {
	.time = time,
	.tsc = read_tsc,
	.tsc_frequency = tsc_frequency,
	.timer_set = timer_set,
	.all = everyone,
	.changed = changed,
	.nmi = nmi,
	.init = init,
	.sipi = sipi,
	.eoi = eoi,
};

static void setup(bool enable)
{
	now = 1000;
	tsc = 5000;
	for (unsigned i = 0; i < COUNT; i++) {
		apics[i] = (struct apic){.ops = &ops, .id = i};
		all[i] = &apics[i];
		apic_reset(all[i], false, i == 0);
		if (enable)
			apic_write_memory(all[i], SVR, 0x1ff);
	}
}

static bool send(const struct apic_message message)
{
	return apics_deliver(all, COUNT, &last_lowest, &message);
}

TEST(reset_leaves_ops_id_and_says_that_it_happened)
{
	setup(false);
	EXPECT_EQ(apics[2].ops, &ops);
	EXPECT_EQ(apics[2].id, 2);
	EXPECT_EQ(apics[0].base, 0xfee00900);
	EXPECT_EQ(apics[2].base, 0xfee00800);
	EXPECT_EQ(apics[0].lvt[LVT_LINT0], 0x700);
	EXPECT_EQ(apics[2].lvt[LVT_LINT0], LVT_MASKED);
	EXPECT_EQ(armed[2], APIC_TIMER_NEVER);
	EXPECT(changes >= COUNT);
}

TEST(init_keeps_base_and_pin)
{
	setup(true);
	apic_lint_set(all[0], 0, true);
	EXPECT(apic_write_base(all[0], 0xfee00d00));
	apics[0].tpr = 0x55;
	apic_reset(all[0], true, true);
	EXPECT_EQ(apics[0].base, 0xfee00d00);
	EXPECT(apics[0].lint0);
	EXPECT_EQ(apics[0].tpr, 0);
	EXPECT_EQ(apics[0].ldr, 1);
	EXPECT_EQ(apics[0].lvt[LVT_LINT0], LVT_MASKED);
	apic_reset(all[0], false, true);
	EXPECT(!apics[0].lint0);
	EXPECT_EQ(apics[0].base, 0xfee00900);
}

TEST(vectors_are_taken_by_priority)
{
	setup(true);
	EXPECT(!apic_interrupt_waits(all[1]));
	send((struct apic_message){.destination = 1, .vector = 0x41});
	send((struct apic_message){.destination = 1, .vector = 0x92});
	EXPECT(apic_interrupt_waits(all[1]));
	EXPECT(!apic_external_waits(all[1]));
	EXPECT_EQ(apic_deliverable(all[1]), 0x92);
	EXPECT_EQ(apic_acknowledge(all[1]), 0x92);
	EXPECT_EQ(apic_deliverable(all[1]), -1);
	EXPECT_EQ(apic_acknowledge(all[1]), -1);
	apic_eoi(all[1]);
	EXPECT_EQ(apic_acknowledge(all[1]), 0x41);
	apic_eoi(all[1]);
	apic_eoi(all[1]);
	EXPECT_EQ(eois, 0);
	apic_set_tpr(all[1], 4);
	EXPECT_EQ(apic_get_tpr(all[1]), 4);
	send((struct apic_message){.destination = 1, .vector = 0x4f});
	EXPECT(!apic_interrupt_waits(all[1]));
	apic_set_tpr(all[1], 3);
	EXPECT(apic_interrupt_waits(all[1]));
}

TEST(the_end_of_a_level_interrupt_is_told)
{
	setup(true);
	send((struct apic_message){.destination = 0, .vector = 0x33, .level = true});
	EXPECT_EQ(apic_acknowledge(all[0]), 0x33);
	apic_write_memory(all[0], EOI, 0);
	EXPECT_EQ(eois, 1);
	EXPECT_EQ(last_vector, 0x33);
}

TEST(the_8259s_go_first)
{
	setup(true);
	send((struct apic_message){.destination = 0, .vector = 0x80});
	apic_lint_set(all[0], 0, true);
	EXPECT(apic_external_waits(all[0]));
	EXPECT(apic_interrupt_waits(all[0]));
	apic_acknowledge_external(all[0]);
	EXPECT(apic_external_waits(all[0])); /* the level is still there */
	apic_lint_set(all[0], 0, false);
	EXPECT(!apic_external_waits(all[0]));
	EXPECT_EQ(apic_acknowledge(all[0]), 0x80);
	send((struct apic_message){.destination = 2, .mode = APIC_EXTINT});
	EXPECT(apic_external_waits(all[2]));
	apic_acknowledge_external(all[2]);
	EXPECT(!apic_external_waits(all[2]));
}

TEST(a_pin_of_an_apic_that_is_off)
{
	setup(true);
	for (unsigned i = 0; i < 2; i++) {
		apic_write_base(all[i], 0xfee00000);
		apic_lint_set(all[i], 0, true);
		apic_lint_set(all[i], 1, true);
		apic_lint_set(all[i], 1, false);
	}
	EXPECT(apic_interrupt_waits(all[0]));
	EXPECT(!apic_interrupt_waits(all[1]));
	EXPECT_EQ(nmis[0], 1);
	EXPECT_EQ(nmis[1], 0);
	apic_write_memory(all[2], LINT1, APIC_NMI << 8);
	apic_lint_set(all[2], 1, true);
	EXPECT_EQ(nmis[2], 1);
	apic_lint_set(all[2], 2, true); /* no such pin */
}

TEST(messages_from_the_icr)
{
	setup(true);
	apic_write_memory(all[0], ICR2, 3u << 24);
	apic_write_memory(all[0], ICR, 0x4500);
	apic_write_memory(all[0], ICR, 0x4607);
	EXPECT_EQ(inits[3], 1);
	EXPECT_EQ(sipis[3], 1);
	EXPECT_EQ(last_vector, 7);
	apic_write_memory(all[0], ICR, 0xc4400); /* all but itself */
	EXPECT_EQ(nmis[0], 0);
	EXPECT_EQ(nmis[1] + nmis[2] + nmis[3], 3);
}

TEST(nobody_takes_what_is_for_nobody)
{
	setup(true);
	EXPECT(!send((struct apic_message){.destination = 9, .vector = 0x50}));
	EXPECT(send((struct apic_message){.destination = 3, .vector = 0x50}));
	EXPECT(!apics_deliver(all, 0, &last_lowest,
			      &(struct apic_message){.mode = APIC_LOWEST_PRIORITY}));
	EXPECT(!apics_deliver(all, 0, &last_lowest, &(struct apic_message){.broadcast = true}));
	apic_write_base(all[3], 0xfee00000);
	EXPECT(!send((struct apic_message){.destination = 3, .vector = 0x50}));
}

TEST(lowest_priority_takes_turns_whatever_was_last)
{
	const struct apic_message message = {
		.broadcast = true, .mode = APIC_LOWEST_PRIORITY, .vector = 0x77};

	setup(true);
	last_lowest = 0xffffffff; /* 3, of 4 */
	apics[1].tpr = 0x80;
	EXPECT(send(message));
	EXPECT_EQ(last_lowest, 0);
	EXPECT(send(message));
	EXPECT_EQ(last_lowest, 2);
	EXPECT(send(message));
	EXPECT_EQ(last_lowest, 3);
	for (unsigned i = 0; i < COUNT; i++)
		EXPECT_EQ(apic_deliverable(all[i]), i == 1 ? -1 : 0x77);
}

TEST(msi_and_back)
{
	static const struct apic_message messages[] = {
		{.destination = 0x12, .vector = 0x41},
		{.destination = 0xff, .broadcast = true, .vector = 0x42, .level = true},
		{.destination = 3, .logical = true, .mode = APIC_LOWEST_PRIORITY, .vector = 0x43},
		{.destination = 0, .mode = APIC_EXTINT},
		{.destination = 7, .mode = APIC_NMI, .level = true},
	};

	for (unsigned i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		struct apic_message back;
		uint64_t address;
		uint32_t data;

		apic_message_to_msi(&messages[i], &address, &data);
		EXPECT_EQ(address >> 20, 0xfee);
		REQUIRE(apic_message_from_msi(&back, address, data));
		EXPECT_EQ(back.destination, messages[i].destination);
		EXPECT_EQ(back.broadcast, messages[i].broadcast);
		EXPECT_EQ(back.logical, messages[i].logical);
		EXPECT_EQ(back.level, messages[i].level);
		EXPECT_EQ(back.mode, messages[i].mode);
		EXPECT_EQ(back.vector, messages[i].vector);
		EXPECT(!apic_message_from_msi(&back, address + 0x100000, data));
		EXPECT(!apic_message_from_msi(&back, address + (1ull << 32), data));
	}
}

TEST(one_shot_and_periodic_counts)
{
	setup(true);
	apic_write_memory(all[0], DIVIDE, 0); /* by 2 */
	apic_write_memory(all[0], TIMER, 0x41);
	apic_write_memory(all[0], INITIAL, 100);
	EXPECT_EQ(armed[0], 1200);
	now = 1100;
	EXPECT_EQ(apic_read_memory(all[0], CURRENT), 50);
	apic_write_memory(all[0], DIVIDE, 0xb); /* by 1: what is left, at the new pace */
	EXPECT_EQ(apic_read_memory(all[0], CURRENT), 50);
	EXPECT_EQ(armed[0], 1150);
	now = 1149;
	apic_timer_expired(all[0]); /* for what was set before */
	EXPECT_EQ(armed[0], 1150);
	EXPECT_EQ(apic_acknowledge(all[0]), -1);
	now = 1150;
	apic_timer_expired(all[0]);
	EXPECT_EQ(apic_acknowledge(all[0]), 0x41);
	apic_eoi(all[0]);
	apic_timer_expired(all[0]); /* once more for nothing */
	EXPECT_EQ(apic_acknowledge(all[0]), -1);
	apic_write_memory(all[0], TIMER, 0x20041);
	apic_write_memory(all[0], INITIAL, 100000);
	now += 350000;
	apic_timer_expired(all[0]);
	EXPECT_EQ(armed[0], 1150 + 400000);
	EXPECT_EQ(apic_read_memory(all[0], CURRENT), 50000);
}

/* Whoever calls apic_timer_expired() as often as it is due comes to an end. */
static void expire(unsigned number)
{
	armed[number] = APIC_TIMER_NEVER;
	apic_timer_expired(all[number]);
	EXPECT(armed[number] == APIC_TIMER_NEVER || apic_timer_left(now, armed[number]));
}

TEST(a_timer_may_have_begun_at_any_time)
{
	static const uint64_t times[] = {0, 1, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
	const unsigned count = sizeof(times) / sizeof(times[0]);

	for (unsigned i = 0; i < 3 * 2 * count * count; i++) {
		setup(true);
		now = times[i / 6 / count];
		tsc = now * 2;
		apics[0].lvt[LVT_TIMER] = 0x40 | i % 3 << 17;
		apics[0].initial_count = i / 3 % 2 ? 1 : UINT32_MAX;
		apics[0].timer_running = true;
		apics[0].timer_start = apics[0].timer_deadline = times[i / 6 % count];
		EXPECT_EQ(apic_check(all[0]), NULL);
		apic_timer_arm(all[0]);
		expire(0);
	}
}

TEST(deadlines)
{
	setup(true);
	apic_write_deadline(all[0], 6000);
	EXPECT_EQ(apic_read_deadline(all[0]), 0); /* another mode */
	apic_write_memory(all[0], TIMER, 0x40042);
	apic_write_deadline(all[0], 6000);
	EXPECT_EQ(apic_read_deadline(all[0]), 6000);
	EXPECT_EQ(armed[0], 1000 + 501);
	now = 1501;
	tsc = 5999;
	apic_timer_expired(all[0]); /* the clocks disagree */
	EXPECT_EQ(armed[0], 1502);
	EXPECT(!apic_interrupt_waits(all[0]));
	tsc = 6000;
	apic_timer_expired(all[0]);
	EXPECT_EQ(apic_acknowledge(all[0]), 0x42);
	EXPECT_EQ(apic_read_deadline(all[0]), 0);
	apic_eoi(all[0]);
	apic_write_deadline(all[0], 6000);
	EXPECT_EQ(armed[0], APIC_TIMER_NEVER);
	EXPECT_EQ(apic_acknowledge(all[0]), 0x42);
	apic_write_deadline(all[0], 7000);
	apic_write_deadline(all[0], 0);
	EXPECT_EQ(armed[0], APIC_TIMER_NEVER);
	apic_timer_expired(all[0]);
	EXPECT_EQ(apic_acknowledge(all[0]), -1);
}

TEST(a_deadline_is_one_arming)
{
	setup(true);
	apic_write_memory(all[0], TIMER, 0x40042);
	timer_sets = 0;
	apic_write_deadline(all[0], 6000);
	EXPECT_EQ(timer_sets, 1);
}

TEST(registers_of_the_mode_that_is_not_on)
{
	uint64_t value = 0;

	setup(true);
	EXPECT(apic_in_memory(all[1]));
	EXPECT(!apic_read_msr(all[1], SVR, &value));
	EXPECT(!apic_write_msr(all[1], SELF, 0x40));
	EXPECT(apic_write_base(all[1], 0xfee00c00));
	EXPECT(!apic_in_memory(all[1]));
	EXPECT(apic_read_msr(all[1], SVR, &value));
	EXPECT_EQ(value, 0x1ff);
	EXPECT(apic_write_msr(all[1], SELF, 0x40));
	EXPECT_EQ(apic_deliverable(all[1]), 0x40);
	EXPECT(!apic_read_msr(all[1], 0x40, &value));
	EXPECT(!apic_write_msr(all[1], 0xffffffff, 0));
	apic_write_base(all[1], 0xfee00000);
	EXPECT(!apic_in_memory(all[1]));
}

TEST(copies_keep_whose_they_are)
{
	struct apic other = {.ops = NULL, .id = 77, .tpr = 0x60};

	setup(true);
	apic_copy(all[1], &other);
	EXPECT_EQ(apics[1].ops, &ops);
	EXPECT_EQ(apics[1].id, 1);
	EXPECT_EQ(apics[1].tpr, 0x60);
	other.base = 0xfee00c00;
	other.ldr = 0x70001;
	apic_copy(all[1], &other);
	EXPECT_EQ(apics[1].ldr, 2);
}

/* Everything a guest could do next, to states that nobody could have made. */
TEST(what_was_loaded_is_made_possible)
{
	uint64_t random = 88172645463325252u;

	setup(true);
	for (unsigned round = 0; round < 2000; round++) {
		struct apic hostile;
		uint8_t *bytes = (uint8_t *)&hostile;
		uint64_t value;

		for (unsigned i = 0; i < sizeof(hostile); i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			bytes[i] = round ? (uint8_t)random : 0xff;
		}
		if (round % 2) /* most have no base that can be */
			hostile.base = 0xfee00800 | (round & 2 ? 0x400 : 0);
		apic_copy(all[round % COUNT], &hostile);
		if (round % 2)
			EXPECT_EQ(apic_check(all[round % COUNT]), NULL);
		else
			apic_check(all[round % COUNT]);
		apic_timer_arm(all[round % COUNT]);
		for (unsigned i = 0; i < 0x40; i++) {
			apic_read_memory(all[round % COUNT], i);
			apic_read_msr(all[round % COUNT], i, &value);
		}
		expire(round % COUNT);
		now += 12345;
		expire(round % COUNT);
		for (unsigned i = 0; i < 0x40; i++)
			apic_write_memory(all[round % COUNT], i, (uint32_t)random);
		for (unsigned i = 0; i < 256 && apic_acknowledge(all[round % COUNT]) >= 0; i++)
			apic_eoi(all[round % COUNT]);
		EXPECT_EQ(apic_acknowledge(all[round % COUNT]), -1);
	}
}

TEST(a_base_that_cannot_be_is_refused)
{
	setup(true);
	apics[0].base = 0xfee00400;
	EXPECT(apic_check(all[0]));
	apics[0].base = 0xfee00801;
	EXPECT(apic_check(all[0]));
	apics[0].base = 0xfee00900;
	EXPECT_EQ(apic_check(all[0]), NULL);
}
