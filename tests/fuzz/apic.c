/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model of the local APICs: whatever guests, devices and whoever loads states do, in any order.
 * Whoever holds it knows of interrupts from `changed` alone, so that must never be forgotten.
 */
#include <stddef.h>
#include <stdint.h>

#include "lib/bytes.h"
#include "lib/check.h"
#include "x86/apic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COUNT 3

static struct apic apics[COUNT];
static struct apic *const all[COUNT] = {&apics[0], &apics[1], &apics[2]};
static bool waits[COUNT]; /* as told */
static uint64_t armed[COUNT], now;
static unsigned last_lowest;

static uint64_t op_time(struct apic *apic)
{
	return now;
}

static uint64_t op_tsc(struct apic *apic)
{
	return now * 2 + apic->id;
}

static uint64_t op_tsc_frequency(struct apic *apic)
{
	return 2000000000;
}

static void op_timer_set(struct apic *apic, uint64_t deadline)
{
	armed[apic->id] = deadline == APIC_TIMER_NEVER ? APIC_TIMER_NEVER
						       : now + apic_timer_left(now, deadline);
}

static struct apic *const *op_all(struct apic *apic, unsigned *count, unsigned **last)
{
	*count = COUNT;
	*last = &last_lowest;
	return all;
}

static void op_changed(struct apic *apic)
{
	waits[apic->id] = apic_interrupt_waits(apic);
}

static void op_event(struct apic *apic)
{
	CHECK(apic->id < COUNT);
}

static void op_vector(struct apic *apic, uint8_t vector)
{
	CHECK(apic->id < COUNT);
}

static const struct apic_ops ops = {
	.time = op_time,
	.tsc = op_tsc,
	.tsc_frequency = op_tsc_frequency,
	.timer_set = op_timer_set,
	.all = op_all,
	.changed = op_changed,
	.nmi = op_event,
	.init = op_event,
	.sipi = op_vector,
	.eoi = op_vector,
};

static void take(struct apic *apic)
{
	int vector;

	if (apic_external_waits(apic)) {
		apic_acknowledge_external(apic);
		return;
	}
	vector = apic_acknowledge(apic);
	CHECK(vector == -1 || (vector >= 16 && vector <= 255));
	CHECK(vector == -1 || (apic->isr[vector / 64] >> vector % 64 & 1));
}

static void pass_time(uint64_t nanoseconds)
{
	now += nanoseconds;
	for (unsigned i = 0; i < COUNT; i++)
		if (armed[i] != APIC_TIMER_NEVER && !apic_timer_left(now, armed[i])) {
			armed[i] = APIC_TIMER_NEVER;
			apic_timer_expired(all[i]);
			/* Whoever calls it as often as it is due comes to an end. */
			CHECK(armed[i] == APIC_TIMER_NEVER || apic_timer_left(now, armed[i]));
		}
}

static void send(uint64_t address, uint32_t data)
{
	struct apic_message message, back;

	if (!apic_message_from_msi(&message, APIC_ADDRESS | (address & 0xfffff), data))
		return;
	apics_deliver(all, COUNT, &last_lowest, &message);
	apic_message_to_msi(&message, &address, &data);
	CHECK(apic_message_from_msi(&back, address, data));
	CHECK(back.destination == message.destination && back.broadcast == message.broadcast);
	CHECK(back.logical == message.logical && back.level == message.level);
	CHECK(back.mode == message.mode && back.vector == message.vector);
}

/* A state that nobody could have made, filled with the input's bytes again and again. */
static void load(struct apic *apic, const uint8_t *data, size_t size)
{
	struct apic hostile;

	for (size_t i = 0; i < sizeof(hostile); i++)
		((uint8_t *)&hostile)[i] = data[i % size];
	if (data[0] & 1)
		hostile.base =
			APIC_ADDRESS | APIC_BASE_ENABLE | (data[0] & 2 ? APIC_BASE_X2APIC : 0);
	if (apic_check(&hostile))
		return;
	apic_copy(apic, &hostile);
	apic_timer_arm(apic);
	op_changed(apic);
}

/* One operation: what, on whom, with what. */
static void operate(const uint8_t *step, const uint8_t *rest, size_t size)
{
	struct apic *apic = all[step[0] % COUNT];
	unsigned number = step[1] & 0x3f;
	uint64_t value = bytes_load64(step + 2);

	switch (step[0] / COUNT % 14) {
	case 0:
		apic_write_memory(apic, number, (uint32_t)value);
		break;
	case 1:
		apic_read_memory(apic, number);
		break;
	case 2:
		apic_write_msr(apic, step[1], value);
		break;
	case 3:
		apic_read_msr(apic, step[1], &value);
		break;
	case 4:
		apic_write_base(apic, step[1] & 1 ? APIC_ADDRESS | (value & 0xd00) : value);
		break;
	case 5:
		apic_write_deadline(apic, step[1] & 1 ? value : now * 2 + (uint16_t)value);
		break;
	case 6:
		apic_set_tpr(apic, value);
		CHECK(apic_get_tpr(apic) == (value & 15));
		break;
	case 7:
		apic_eoi(apic);
		break;
	case 8:
		apic_lint_set(apic, step[1] & 3, step[1] & 4);
		break;
	case 9:
		send(value, (uint32_t)(value >> 32));
		break;
	case 10:
		pass_time(step[1] & 1 ? value : (uint16_t)value);
		break;
	case 11:
		apic_reset(apic, step[1] & 1, step[1] & 2);
		break;
	case 12:
		if (size)
			load(apic, rest, size);
		break;
	default:
		take(apic);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	now = 1000;
	last_lowest = 0;
	for (unsigned i = 0; i < COUNT; i++) {
		apics[i] = (struct apic){.ops = &ops, .id = i};
		apic_reset(all[i], false, i == 0);
		apic_write_memory(all[i], 0x0f, 0x1ff);
	}
	for (; size >= 10; data += 10, size -= 10) {
		operate(data, data + 10, size - 10);
		for (unsigned i = 0; i < COUNT; i++) {
			CHECK(waits[i] == apic_interrupt_waits(all[i]));
			CHECK(!((apics[i].irr[0] | apics[i].isr[0]) & 0xffff));
		}
	}
	return 0;
}
