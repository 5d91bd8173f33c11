/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC of the processor. Intel SDM volume 3, chapter 10; AMD APM volume 2, chapter 16.
 *
 * The timer counts down once, or, where the processor has it, fires at a value of the TSC: then no
 * speed needs to be known.
 *
 * Not modelled: LINT0, thermal and performance interrupts stay masked; logical destinations are
 * not used.
 */
#include "kernel/local_apic.h"

#include "kernel/clock.h"
#include "kernel/cpu.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/register.h"
#include "kernel/trap.h"
#include "lib/checked.h"
#include "x86/apic.h"
#include "x86/msr.h"

/* Registers by their numbers: the MSR less 0x800, the address divided by 16. */
enum {
	REGISTER_ID = 0x02,
	REGISTER_TPR = 0x08,
	REGISTER_EOI = 0x0b,
	REGISTER_SVR = 0x0f,
	REGISTER_ESR = 0x28,
	REGISTER_ICR = 0x30,
	REGISTER_ICR_HIGH = 0x31,
	REGISTER_LVT_TIMER = 0x32,
	REGISTER_LVT_THERMAL = 0x33,
	REGISTER_INITIAL_COUNT = 0x38,
	REGISTER_CURRENT_COUNT = 0x39,
	REGISTER_DIVIDE = 0x3e,
};

#define SVR_ENABLE	   0x100u
#define ICR_BUSY	   0x1000u
#define ICR_ASSERT	   0x4000u
#define LVT_TSC_DEADLINE   0x40000u
#define DIVIDE_BY_16	   3u
#define CALIBRATE_DURATION 1000000 /* ns */

static volatile uint32_t *registers; /* NULL: x2APIC */
static uint64_t timer_frequency;     /* Hz behind the divider; 0: by TSC */

static uint32_t get(unsigned number)
{
	return registers ? registers[number * 4] : (uint32_t)msr_read(MSR_X2APIC_FIRST + number);
}

static void put(unsigned number, uint32_t value)
{
	if (registers)
		registers[number * 4] = value;
	else
		msr_write(MSR_X2APIC_FIRST + number, value);
}

void local_apic_init(uint64_t address)
{
	if (cpu_features.x2apic)
		return;
	registers = device_map(pa(address), PAGE_SIZE);
	if (!registers)
		panic(NULL, "no memory to map the local APIC");
}

void local_apic_processor_init(void)
{
	uint64_t base = msr_read(MSR_APIC_BASE) | APIC_BASE_ENABLE;

	msr_write(MSR_APIC_BASE, base);
	if (!registers)
		msr_write(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
	put(REGISTER_TPR, 0);
	put(REGISTER_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
	for (unsigned i = 0; i < LVT_COUNT; i++)
		/* The thermal entry's reset value is masked; not every processor has it. */
		if (REGISTER_LVT_TIMER + i != REGISTER_LVT_THERMAL)
			put(REGISTER_LVT_TIMER + i, LVT_MASKED);
	/* The pin by which hardware tells of its faults, on all computers that are not very odd. */
	put(REGISTER_LVT_TIMER + LVT_LINT1, APIC_NMI << 8);
	put(REGISTER_DIVIDE, DIVIDE_BY_16);
	put(REGISTER_INITIAL_COUNT, 0);
	put(REGISTER_LVT_TIMER,
	    cpu_features.tsc_deadline ? LVT_TSC_DEADLINE | VECTOR_TIMER : VECTOR_TIMER);
	/* The deadline's MSR must not overtake the LVT entry (section 10.5.4.1). */
	__asm__ volatile("mfence" ::: "memory");
}

void local_apic_calibrate(void)
{
	uint64_t start, end, ticks;

	if (cpu_features.tsc_deadline)
		return;
	put(REGISTER_LVT_TIMER, LVT_MASKED);
	put(REGISTER_INITIAL_COUNT, UINT32_MAX);
	start = clock_now();
	clock_delay(CALIBRATE_DURATION);
	ticks = UINT32_MAX - get(REGISTER_CURRENT_COUNT);
	end = clock_now();
	put(REGISTER_INITIAL_COUNT, 0);
	put(REGISTER_LVT_TIMER, VECTOR_TIMER);
	timer_frequency = multiply_divide(ticks, 1000000000, end - start);
	/* One that does not count would never fire; then at least it does so at once. */
	if (!timer_frequency)
		timer_frequency = 1;
}

uint32_t local_apic_id(void)
{
	return registers ? get(REGISTER_ID) >> 24 : get(REGISTER_ID);
}

void local_apic_eoi(void)
{
	put(REGISTER_EOI, 0);
}

void local_apic_send(uint32_t apic_id, unsigned mode, uint8_t vector)
{
	uint32_t command = ICR_ASSERT | mode << 8 | vector;

	if (!registers) {
		/* Writes of this MSR do not wait for what was written before them
		 * (section 10.12.3).
		 */
		__asm__ volatile("mfence; lfence" ::: "memory");
		msr_write(MSR_X2APIC_FIRST + REGISTER_ICR, (uint64_t)apic_id << 32 | command);
		return;
	}
	while (get(REGISTER_ICR) & ICR_BUSY)
		__builtin_ia32_pause();
	put(REGISTER_ICR_HIGH, apic_id << 24);
	put(REGISTER_ICR, command);
}

void local_apic_timer_set(uint64_t deadline)
{
	uint64_t now, count;

	if (cpu_features.tsc_deadline) {
		msr_write(MSR_TSC_DEADLINE, clock_tsc_at(deadline));
		return;
	}
	now = clock_now();
	/* Rounded up: an interrupt that comes too early has to come again. */
	count = deadline <= now ? 1
				: multiply_divide(deadline - now, timer_frequency, 1000000000) + 1;
	put(REGISTER_INITIAL_COUNT, count < UINT32_MAX ? (uint32_t)count : UINT32_MAX);
}
