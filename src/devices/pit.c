/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programmable interval timer: Intel 8254 datasheet (231164). Port 0x61: ICH9 datasheet,
 * section 13.7.1 (NMI_SC).
 *
 * A channel keeps no count that runs: it keeps when it began, and everything follows from the
 * clocks that have passed since.
 *
 * Not modelled: the clock that loading a count takes, a new count in modes 2 and 3 waiting for the
 * end of the period (it starts one at once), the first byte of a two-byte count stopping mode 0,
 * the speaker's sound, NMI sources at port 0x61. A periodic channel 0 faster than PERIOD_MIN
 * interrupts no more often than that.
 */
#include "devices/pit.h"

#include "core/vm.h"
#include "lib/check.h"
#include "lib/checked.h"

#define NANOSECONDS 1000000000u
#define PERIOD_MIN  20000u /* ns */

#define GATE_2	       0x01u
#define SPEAKER	       0x02u
#define PORT_61_KEPT   0x0fu
#define REFRESH	       0x10u
#define OUT_2	       0x20u
#define REFRESH_PERIOD 15085u /* ns; ISA's DRAM refresh, which software times delays with */

static uint64_t clocks(const struct pit *pit, const struct pit_channel *channel)
{
	uint64_t elapsed;

	if (!channel->counting)
		return channel->held;
	elapsed = vm_time(pit->vm) - channel->start;
	return channel->held + multiply_divide(elapsed, PIT_FREQUENCY, NANOSECONDS);
}

/* Guest time at which so many clocks have passed. */
static uint64_t time_of(const struct pit_channel *channel, uint64_t when)
{
	uint64_t distance = when > channel->held ? when - channel->held : 0;

	return channel->start + multiply_divide(distance, NANOSECONDS, PIT_FREQUENCY) + 1;
}

static bool periodic(const struct pit_channel *channel)
{
	return channel->mode == 2 || channel->mode == 3;
}

static bool output(const struct pit *pit, const struct pit_channel *channel)
{
	uint64_t passed = clocks(pit, channel), reload = channel->reload;

	switch (channel->mode) {
	case 0:
		return channel->loaded && passed >= reload;
	case 1:
		return !channel->triggered || passed >= reload;
	case 2:
		return !channel->loaded || !channel->gate || passed % reload != reload - 1;
	case 3:
		return !channel->loaded || !channel->gate || passed % reload < (reload + 1) / 2;
	case 4:
		return !channel->loaded || passed != reload;
	default:
		return !channel->triggered || passed != reload;
	}
}

static uint16_t to_bcd(unsigned value)
{
	return (uint16_t)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 |
			  value / 1000 % 10 << 12);
}

/* Digits above 9, which have no meaning, count as what they are worth. */
static unsigned from_bcd(unsigned value)
{
	return (value & 15) + (value >> 4 & 15) * 10 + (value >> 8 & 15) * 100 +
	       (value >> 12 & 15) * 1000;
}

static uint16_t count(const struct pit *pit, const struct pit_channel *channel)
{
	uint64_t passed = clocks(pit, channel), reload = channel->reload, value;

	if (channel->mode == 2)
		value = reload - passed % reload;
	else if (channel->mode == 3)
		value = (reload - 2 * passed % reload) & ~1ull; /* by two, twice in a period */
	else
		value = reload - passed; /* and on from the top */
	if (!channel->bcd)
		return (uint16_t)value;
	/* 10000 - (-value mod 10000), for a value below zero. */
	return to_bcd((int64_t)value >= 0 ? (unsigned)(value % 10000)
					  : (unsigned)((10000 - -value % 10000) % 10000));
}

/* Channel 0's interrupt */

/* Sets the timer to the next rise of the output. */
static void arm(struct pit *pit)
{
	struct pit_channel *channel = &pit->channel[0];
	uint64_t passed = clocks(pit, channel), next = TIMER_NEVER, soonest;

	if (channel->loaded && channel->counting) {
		if (periodic(channel)) {
			soonest = vm_time(pit->vm) + PERIOD_MIN;
			next = time_of(channel, (passed / channel->reload + 1) * channel->reload);
			next = next < soonest ? soonest : next;
		} else if (channel->mode == 0 && passed < channel->reload) {
			next = time_of(channel, channel->reload);
		} else if (channel->mode == 4 && passed <= channel->reload) {
			next = time_of(channel, channel->reload + 1ull);
		}
	}
	timer_set(&pit->timer, next);
}

static void expired(struct timer *timer)
{
	struct pit *pit = container_of(timer, struct pit, timer);

	/* The low part of the output is too short to be told apart from its end. */
	if (pit->channel[0].mode)
		irq_set(&pit->irq, false);
	irq_set(&pit->irq, true);
	arm(pit);
}

static void channel_changed(struct pit *pit, struct pit_channel *channel)
{
	if (channel != &pit->channel[0])
		return;
	irq_set(&pit->irq, output(pit, channel));
	arm(pit);
}

/* Counting */

static void begin(struct pit *pit, struct pit_channel *channel)
{
	channel->held = 0;
	channel->start = vm_time(pit->vm);
	channel->counting = channel->loaded && channel->gate;
	if (channel->mode == 1 || channel->mode == 5)
		channel->counting = channel->loaded && channel->triggered;
}

static void load(struct pit *pit, struct pit_channel *channel, unsigned value)
{
	channel->reload = channel->bcd ? from_bcd(value) : value;
	if (!channel->reload)
		channel->reload = channel->bcd ? 10000 : 65536;
	channel->loaded = true;
	/* Modes 1 and 5 go on with what they do until the gate rises again (datasheet, modes 1 and
	 * 5). */
	if (channel->mode != 1 && channel->mode != 5)
		begin(pit, channel);
	channel_changed(pit, channel);
}

static void gate_set(struct pit *pit, struct pit_channel *channel, bool gate)
{
	if (channel->gate == gate)
		return;
	if (channel->mode == 1 || channel->mode == 5) {
		channel->gate = gate;
		channel->triggered = channel->triggered || (gate && channel->loaded);
		if (gate)
			begin(pit, channel);
	} else if (periodic(channel) || gate) {
		uint64_t held = periodic(channel) ? 0 : channel->held;

		channel->gate = gate;
		begin(pit, channel);
		channel->held = held;
	} else {
		channel->held = clocks(pit, channel);
		channel->counting = channel->gate = false;
	}
	channel_changed(pit, channel);
}

/* Registers */

static void control(struct pit *pit, struct pit_channel *channel, uint8_t value)
{
	static const uint8_t modes[] = {0, 1, 2, 3, 4, 5, 2, 3};

	channel->access = value >> 4 & 3;
	channel->mode = modes[value >> 1 & 7];
	channel->bcd = value & 1;
	channel->loaded = channel->counting = channel->triggered = false;
	channel->held = 0;
	channel->high_next_write = channel->high_next_read = false;
	channel->count_latched = channel->status_latched = false;
	channel_changed(pit, channel);
}

static void count_latch(struct pit *pit, struct pit_channel *channel)
{
	if (channel->count_latched)
		return;
	channel->latch = count(pit, channel);
	channel->count_latched = true;
}

static void status_latch(struct pit *pit, struct pit_channel *channel)
{
	if (channel->status_latched)
		return;
	channel->status = (uint8_t)(output(pit, channel) << 7 | !channel->loaded << 6 |
				    channel->access << 4 | channel->mode << 1 | channel->bcd);
	channel->status_latched = true;
}

static void control_write(struct pit *pit, uint8_t value)
{
	unsigned which = value >> 6;

	if (which == 3) { /* read-back; its bits 5 and 4 are active low */
		for (unsigned i = 0; i < 3; i++) {
			if (!(value >> (i + 1) & 1))
				continue;
			if (!(value & 0x20))
				count_latch(pit, &pit->channel[i]);
			if (!(value & 0x10))
				status_latch(pit, &pit->channel[i]);
		}
	} else if (!(value & 0x30)) {
		count_latch(pit, &pit->channel[which]);
	} else {
		control(pit, &pit->channel[which], value);
	}
}

static uint8_t channel_read(struct pit *pit, struct pit_channel *channel)
{
	uint16_t value;
	bool high = channel->access == 2 || (channel->access == 3 && channel->high_next_read);

	if (channel->status_latched) {
		channel->status_latched = false;
		return channel->status;
	}
	value = channel->count_latched ? channel->latch : count(pit, channel);
	if (channel->access == 3)
		channel->high_next_read = !channel->high_next_read;
	if (channel->access != 3 || high)
		channel->count_latched = false;
	return (uint8_t)(high ? value >> 8 : value);
}

static void channel_write(struct pit *pit, struct pit_channel *channel, uint8_t value)
{
	switch (channel->access) {
	case 1:
		load(pit, channel, value);
		break;
	case 2:
		load(pit, channel, (unsigned)value << 8);
		break;
	case 3:
		channel->high_next_write = !channel->high_next_write;
		if (channel->high_next_write)
			channel->low_written = value;
		else
			load(pit, channel, (unsigned)value << 8 | channel->low_written);
		break;
	}
}

static uint64_t pit_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct pit *pit = container_of(region, struct pit, ports);

	return offset < 3 ? channel_read(pit, &pit->channel[offset]) : UINT64_MAX;
}

static void pit_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		      bool *fault)
{
	struct pit *pit = container_of(region, struct pit, ports);

	if (offset < 3)
		channel_write(pit, &pit->channel[offset], (uint8_t)value);
	else
		control_write(pit, (uint8_t)value);
}

static const struct region_ops pit_ports_ops = {.read = pit_read, .write = pit_write, .sizes = 1};

static uint64_t port_61_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct pit *pit = container_of(region, struct pit, port_61);
	uint8_t value = pit->port_61_bits;

	if (vm_time(pit->vm) / REFRESH_PERIOD & 1)
		value |= REFRESH;
	if (output(pit, &pit->channel[2]))
		value |= OUT_2;
	return value;
}

static void port_61_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			  bool *fault)
{
	struct pit *pit = container_of(region, struct pit, port_61);

	pit->port_61_bits = (uint8_t)value & PORT_61_KEPT;
	gate_set(pit, &pit->channel[2], value & GATE_2);
}

static const struct region_ops port_61_ops = {
	.read = port_61_read, .write = port_61_write, .sizes = 1};

/* The device */

static void pit_reset(struct device *device)
{
	struct pit *pit = container_of(device, struct pit, device);

	for (unsigned i = 0; i < 3; i++)
		pit->channel[i] =
			(struct pit_channel){.access = 3, .gate = i != 2, .reload = 65536};
	pit->port_61_bits = 0;
	timer_set(&pit->timer, TIMER_NEVER);
	irq_set(&pit->irq, false);
}

static void channel_state(struct pit_channel *channel, struct snapshot *snapshot)
{
	bool *flags[] = {&channel->bcd,
			 &channel->gate,
			 &channel->loaded,
			 &channel->counting,
			 &channel->triggered,
			 &channel->high_next_write,
			 &channel->high_next_read,
			 &channel->count_latched,
			 &channel->status_latched};

	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		snapshot_bool(snapshot, flags[i]);
	snapshot_u8(snapshot, &channel->mode);
	snapshot_u8(snapshot, &channel->access);
	snapshot_u8(snapshot, &channel->low_written);
	snapshot_u8(snapshot, &channel->status);
	snapshot_u16(snapshot, &channel->latch);
	snapshot_u32(snapshot, &channel->reload);
	snapshot_u64(snapshot, &channel->start);
	snapshot_u64(snapshot, &channel->held);
	if (channel->mode <= 5 && channel->access >= 1 && channel->access <= 3 &&
	    channel->reload >= 1 && channel->reload <= 65536)
		return;
	snapshot_fail(snapshot, "pit: a channel is programmed as none can be");
	channel->mode = 0;
	channel->access = 3;
	channel->reload = 65536;
}

static void pit_state(struct device *device, struct snapshot *snapshot)
{
	struct pit *pit = container_of(device, struct pit, device);

	for (unsigned i = 0; i < 3; i++)
		channel_state(&pit->channel[i], snapshot);
	snapshot_u8(snapshot, &pit->port_61_bits);
	pit->port_61_bits &= PORT_61_KEPT;
}

static void pit_loaded(struct device *device)
{
	struct pit *pit = container_of(device, struct pit, device);
	struct pit_channel *channel = &pit->channel[0];

	/* As `expired` leaves it, also where the output is low by now: who listens has been loaded
	 * with that, and would not see the next rise. */
	irq_set(&pit->irq, channel->mode || output(pit, channel));
	arm(pit);
}

static const struct device_ops pit_ops = {
	.name = "pit",
	.version = 1,
	.reset = pit_reset,
	.state = pit_state,
	.loaded = pit_loaded,
};

void pit_init(struct pit *pit, struct vm *vm)
{
	*pit = (struct pit){.vm = vm};
	device_init(&pit->device, vm, &pit_ops, "0");
	pit->ports = (struct region){.name = "pit", .ops = &pit_ports_ops};
	pit->port_61 = (struct region){.name = "port 61", .ops = &port_61_ops};
	timer_init(&pit->timer, vm, expired);
	CHECK(!space_add(&vm->ports, &pit->ports, 0x40, 4));
	CHECK(!space_add(&vm->ports, &pit->port_61, 0x61, 1));
	pit_reset(&pit->device);
}
