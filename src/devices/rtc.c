/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real-time clock: MC146818 datasheet (Motorola, 1984). The century at 0x32 is the PC's; FADT names
 * it.
 *
 * The time is not kept, but computed from the host's wall clock and an offset whenever it is looked
 * at; the flags of register C are raised for what has happened since the last look, and a timer
 * runs only while one of them is to interrupt.
 *
 * Not modelled: daylight saving, the square wave, other time bases than 32,768 Hz, a day of the
 * week that the date does not have, the divider's reset (setting the clock starts it at a second of
 * the host).
 */
#include "devices/rtc.h"

#include "core/host.h"
#include "core/vm.h"
#include "lib/check.h"
#include "lib/checked.h"

#define NANOSECONDS 1000000000ull
#define DAY	    86400
#define UIP_LENGTH  244000u /* ns before the update in which the time must not be read (table 5) */
#define TIME_BASE   32768u  /* Hz */

enum {
	SECONDS,
	SECONDS_ALARM,
	MINUTES,
	MINUTES_ALARM,
	HOURS,
	HOURS_ALARM,
	WEEKDAY,
	DAY_OF_MONTH,
	MONTH,
	YEAR,
	REGISTER_A,
	REGISTER_B,
	REGISTER_C,
	REGISTER_D,
	CENTURY = 0x32,
};

#define A_UIP	   0x80u
#define A_RATE	   0x0fu
#define A_POWER_ON 0x26u /* 32,768 Hz, 1024 interrupts a second */
#define B_SET	   0x80u
#define B_PIE	   0x40u
#define B_AIE	   0x20u
#define B_UIE	   0x10u
#define B_SQWE	   0x08u
#define B_BINARY   0x04u
#define B_24	   0x02u
#define C_IRQF	   0x80u
#define C_PF	   0x40u
#define C_AF	   0x20u
#define C_UF	   0x10u
#define D_VRT	   0x80u
#define PM	   0x80u
#define DONT_CARE  0xc0u

/* Dates (proleptic Gregorian calendar; years begin in March, so that the leap day is the last) */

struct date {
	int64_t year;
	unsigned month, day; /* from 1 */
};

static int64_t floor_divide(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t days_of(struct date date)
{
	int64_t year = date.year - (date.month <= 2);
	int64_t era = floor_divide(year, 400), of_era = year - era * 400;
	int64_t of_year = (153 * ((date.month + 9) % 12) + 2) / 5 + (int64_t)date.day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static struct date date_of(int64_t days)
{
	int64_t shifted = days + 719468, era = floor_divide(shifted, 146097);
	int64_t rest = shifted - era * 146097;
	int64_t year = (rest - rest / 1460 + rest / 36524 - rest / 146096) / 365;
	int64_t of_year = rest - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * of_year + 2) / 153;

	return (struct date){
		.year = era * 400 + year + (month >= 10),
		.month = (unsigned)(month < 10 ? month + 3 : month - 9),
		.day = (unsigned)(of_year - (153 * month + 2) / 5 + 1),
	};
}

/* Register formats */

static uint8_t encode(const struct rtc *rtc, int64_t value)
{
	if (rtc->memory[REGISTER_B] & B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 % 10 << 4 | value % 10);
}

static unsigned decode(const struct rtc *rtc, uint8_t value)
{
	if (rtc->memory[REGISTER_B] & B_BINARY)
		return value;
	return (value >> 4) * 10u + (value & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, unsigned hour)
{
	if (rtc->memory[REGISTER_B] & B_24)
		return encode(rtc, hour);
	return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? PM : 0);
}

static unsigned decode_hour(const struct rtc *rtc, uint8_t value)
{
	if (rtc->memory[REGISTER_B] & B_24)
		return decode(rtc, value);
	return decode(rtc, value & 0x7f) % 12 + (value & PM ? 12 : 0);
}

/* The time */

/* Seconds since 1970 on the guest's clock when the host's shows `wall`. */
static int64_t guest_seconds(const struct rtc *rtc, uint64_t wall)
{
	return (int64_t)(wall / NANOSECONDS) + rtc->offset;
}

static void time_to_memory(struct rtc *rtc)
{
	int64_t seconds = guest_seconds(rtc, host_wall_clock());
	int64_t days = floor_divide(seconds, DAY);
	unsigned rest = (unsigned)(seconds - days * DAY);
	struct date date = date_of(days);

	rtc->memory[SECONDS] = encode(rtc, rest % 60);
	rtc->memory[MINUTES] = encode(rtc, rest / 60 % 60);
	rtc->memory[HOURS] = encode_hour(rtc, rest / 3600);
	/* 1970-01-01 was a Thursday; Sunday is 1. */
	rtc->memory[WEEKDAY] = encode(rtc, days + 4 - floor_divide(days + 4, 7) * 7 + 1);
	rtc->memory[DAY_OF_MONTH] = encode(rtc, date.day);
	rtc->memory[MONTH] = encode(rtc, date.month);
	/* Before year 0 and after 9999 the digits are merely some. */
	rtc->memory[YEAR] = encode(rtc, date.year - floor_divide(date.year, 100) * 100);
	rtc->memory[CENTURY] = encode(rtc, (uint64_t)floor_divide(date.year, 100) % 100);
}

/* Nonsense that the guest wrote is carried over to the next unit, as arithmetic has it. */
static void time_from_memory(struct rtc *rtc)
{
	unsigned month = decode(rtc, rtc->memory[MONTH]);
	struct date date = {
		.year = decode(rtc, rtc->memory[CENTURY]) * 100 + decode(rtc, rtc->memory[YEAR]),
		.month = month >= 1 && month <= 12 ? month : 1,
		.day = decode(rtc, rtc->memory[DAY_OF_MONTH]),
	};
	int64_t seconds = days_of(date) * DAY + decode_hour(rtc, rtc->memory[HOURS]) * 3600 +
			  decode(rtc, rtc->memory[MINUTES]) * 60 +
			  decode(rtc, rtc->memory[SECONDS]);

	rtc->offset = seconds - (int64_t)(host_wall_clock() / NANOSECONDS);
}

static bool being_set(const struct rtc *rtc)
{
	return rtc->memory[REGISTER_B] & B_SET;
}

/* Interrupts */

/* Ticks of the time base between periodic interrupts, as a shift (table 2); 0: none. */
static unsigned periodic_shift(const struct rtc *rtc)
{
	unsigned rate = rtc->memory[REGISTER_A] & A_RATE;

	if (!rate)
		return 0;
	return rate <= 2 ? rate + 6 : rate - 1;
}

static uint64_t periods_at(const struct rtc *rtc, uint64_t wall)
{
	return multiply_divide(wall, TIME_BASE, NANOSECONDS) >> periodic_shift(rtc);
}

static bool alarm_matches(const struct rtc *rtc, int64_t seconds)
{
	unsigned rest = (unsigned)(seconds - floor_divide(seconds, DAY) * DAY);
	uint8_t second = rtc->memory[SECONDS_ALARM], minute = rtc->memory[MINUTES_ALARM];
	uint8_t hour = rtc->memory[HOURS_ALARM];

	return (second >= DONT_CARE || decode(rtc, second) == rest % 60) &&
	       (minute >= DONT_CARE || decode(rtc, minute) == rest / 60 % 60) &&
	       (hour >= DONT_CARE || decode_hour(rtc, hour) == rest / 3600);
}

/* Whether the alarm went off after `from` and not after `to`; it does the same every day. */
static bool alarm_between(const struct rtc *rtc, int64_t from, int64_t to)
{
	if (to - from > DAY)
		from = to - DAY;
	while (from < to)
		if (alarm_matches(rtc, ++from))
			return true;
	return false;
}

/* Raises the flags of what has happened since the last look. */
static void flags_update(struct rtc *rtc)
{
	uint64_t now = host_wall_clock();
	int64_t before = guest_seconds(rtc, rtc->seen), after = guest_seconds(rtc, now);
	uint8_t flags = rtc->memory[REGISTER_C] & (C_PF | C_AF | C_UF);

	if (periodic_shift(rtc) && periods_at(rtc, rtc->seen) != periods_at(rtc, now))
		flags |= C_PF;
	if (after > before && !being_set(rtc)) {
		flags |= C_UF;
		if (alarm_between(rtc, before, after))
			flags |= C_AF;
	}
	rtc->seen = now;
	if (flags & rtc->memory[REGISTER_B] & (B_PIE | B_AIE | B_UIE))
		flags |= C_IRQF;
	rtc->memory[REGISTER_C] = flags;
	irq_set(&rtc->irq, flags & C_IRQF);
}

/* Sets the timer to the next moment at which an enabled flag may rise. */
static void arm(struct rtc *rtc)
{
	uint8_t enabled = rtc->memory[REGISTER_B];
	uint64_t now = host_wall_clock(), next = TIMER_NEVER, tick;

	/* While one interrupt waits for the guest another tells it nothing. */
	if (!(rtc->memory[REGISTER_C] & C_IRQF)) {
		if ((enabled & (B_AIE | B_UIE)) && !being_set(rtc))
			next = (now / NANOSECONDS + 1) * NANOSECONDS;
		if ((enabled & B_PIE) && periodic_shift(rtc)) {
			tick = (periods_at(rtc, now) + 1) << periodic_shift(rtc);
			tick = multiply_divide(tick, NANOSECONDS, TIME_BASE) + 1;
			next = tick < next ? tick : next;
		}
	}
	timer_set(&rtc->timer, next == TIMER_NEVER ? TIMER_NEVER : vm_time(rtc->vm) + (next - now));
}

static void expired(struct timer *timer)
{
	struct rtc *rtc = container_of(timer, struct rtc, timer);

	flags_update(rtc);
	arm(rtc);
}

/* Registers */

static bool is_time(unsigned index)
{
	return index == CENTURY || (index <= YEAR && index != SECONDS_ALARM &&
				    index != MINUTES_ALARM && index != HOURS_ALARM);
}

static uint8_t register_read(struct rtc *rtc, unsigned index)
{
	uint8_t value;

	if (is_time(index) && !being_set(rtc))
		time_to_memory(rtc);
	switch (index) {
	case REGISTER_A:
		value = rtc->memory[REGISTER_A];
		if (!being_set(rtc) && host_wall_clock() % NANOSECONDS >= NANOSECONDS - UIP_LENGTH)
			value |= A_UIP;
		return value;
	case REGISTER_C:
		flags_update(rtc);
		value = rtc->memory[REGISTER_C];
		rtc->memory[REGISTER_C] = 0;
		irq_set(&rtc->irq, false);
		arm(rtc);
		return value;
	case REGISTER_D:
		return D_VRT;
	default:
		return rtc->memory[index];
	}
}

static void b_write(struct rtc *rtc, uint8_t value)
{
	bool before = being_set(rtc);

	if (value & B_SET)
		value &= (uint8_t)~B_UIE; /* the bit's meaning (section "SET") */
	if (!before && (value & B_SET))
		time_to_memory(rtc);
	rtc->memory[REGISTER_B] = value;
	if (before && !(value & B_SET))
		time_from_memory(rtc);
}

static void register_write(struct rtc *rtc, unsigned index, uint8_t value)
{
	flags_update(rtc);
	if (is_time(index)) {
		if (!being_set(rtc))
			time_to_memory(rtc);
		rtc->memory[index] = value;
		if (!being_set(rtc) && index != WEEKDAY)
			time_from_memory(rtc);
		return;
	}
	switch (index) {
	case REGISTER_A:
		rtc->memory[REGISTER_A] = value & (uint8_t)~A_UIP;
		break;
	case REGISTER_B:
		b_write(rtc, value);
		break;
	case REGISTER_C:
	case REGISTER_D:
		break;
	default:
		rtc->memory[index] = value;
		break;
	}
	flags_update(rtc);
	arm(rtc);
}

static uint64_t rtc_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct rtc *rtc = container_of(region, struct rtc, region);

	return offset ? register_read(rtc, rtc->index) : UINT64_MAX;
}

static void rtc_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		      bool *fault)
{
	struct rtc *rtc = container_of(region, struct rtc, region);

	if (offset)
		register_write(rtc, rtc->index, (uint8_t)value);
	else
		rtc->index = value & 0x7f; /* bit 7 masks NMIs, of which this port has none */
}

static const struct region_ops region_ops = {.read = rtc_read, .write = rtc_write, .sizes = 1};

void rtc_memory_set(struct rtc *rtc, unsigned index, uint8_t value)
{
	CHECK(index > REGISTER_D && index < RTC_MEMORY && index != CENTURY);
	rtc->memory[index] = value;
}

static void rtc_reset(struct device *device)
{
	struct rtc *rtc = container_of(device, struct rtc, device);

	/* What the RESET pin does; the battery keeps the rest. */
	if (being_set(rtc))
		time_from_memory(rtc);
	rtc->memory[REGISTER_B] &= (uint8_t) ~(B_SET | B_PIE | B_AIE | B_UIE | B_SQWE);
	rtc->memory[REGISTER_C] = 0;
	rtc->index = 0;
	rtc->seen = host_wall_clock();
	irq_set(&rtc->irq, false);
	arm(rtc);
}

static void rtc_state(struct device *device, struct snapshot *snapshot)
{
	struct rtc *rtc = container_of(device, struct rtc, device);
	uint64_t offset = (uint64_t)rtc->offset;

	snapshot_u8(snapshot, &rtc->index);
	snapshot_bytes(snapshot, rtc->memory, sizeof(rtc->memory));
	snapshot_u64(snapshot, &offset);
	snapshot_u64(snapshot, &rtc->seen);
	rtc->index &= 0x7f;
	rtc->memory[REGISTER_A] &= (uint8_t)~A_UIP;
	rtc->memory[REGISTER_C] &= C_IRQF | C_PF | C_AF | C_UF;
	rtc->offset = (int64_t)offset;
	/* Some thousand years either way are more than registers can ask for. */
	if (snapshot->loading && (rtc->offset < -(1ll << 40) || rtc->offset > 1ll << 40)) {
		snapshot_fail(snapshot, "rtc: the clock is set to a year that it can't show");
		rtc->offset = 0;
	}
}

static void rtc_loaded(struct device *device)
{
	struct rtc *rtc = container_of(device, struct rtc, device);

	flags_update(rtc);
	arm(rtc);
}

static const struct device_ops rtc_ops = {
	.name = "rtc",
	.version = 1,
	.reset = rtc_reset,
	.state = rtc_state,
	.loaded = rtc_loaded,
};

void rtc_init(struct rtc *rtc, struct vm *vm)
{
	*rtc = (struct rtc){.vm = vm};
	device_init(&rtc->device, vm, &rtc_ops, "0");
	rtc->region = (struct region){.name = "rtc", .ops = &region_ops};
	timer_init(&rtc->timer, vm, expired);
	rtc->memory[REGISTER_A] = A_POWER_ON;
	rtc->memory[REGISTER_B] = B_24;
	CHECK(!space_add(&vm->ports, &rtc->region, 0x70, 2));
	rtc_reset(&rtc->device);
}
