/* SPDX-License-Identifier: BSD-2-Clause */
/* The clock and its battery-backed memory: Motorola MC146818. */
#ifndef DEVICES_RTC_H
#define DEVICES_RTC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"
#include "core/irq.h"
#include "core/snapshot.h"
#include "core/space.h"
#include "core/timer.h"

#define RTC_MEMORY 128

struct rtc {
	struct device device;
	struct vm *vm;
	struct region region;
	struct irq_line irq; /* connected by the machine */
	struct timer timer;
	uint8_t index;		    /* port 0x70 */
	uint8_t memory[RTC_MEMORY]; /* the time's bytes count only while it is being set */
	int64_t offset;		    /* seconds the guest's clock is ahead of the host's */
	uint64_t seen;		    /* host time (ns) up to which flags have been raised */
};

/* Ports 0x70 and 0x71; the time is the host's UTC until the guest sets it. */
void rtc_init(struct rtc *rtc, struct vm *vm);

/*
 * Sets a byte of the memory that firmware leaves for operating systems; index 0x0e..0x7f but 0x32
 * (the century). Survives resets.
 */
void rtc_memory_set(struct rtc *rtc, unsigned index, uint8_t value);

#endif
