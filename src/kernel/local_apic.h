/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processor's own local APIC, as x2APIC where there is one: interrupts among processors, and
 * the timer. Intel SDM 3, chapter 10. (A guest's is x86/apic.h.)
 */
#ifndef KERNEL_LOCAL_APIC_H
#define KERNEL_LOCAL_APIC_H

#include <stdint.h>

/* Once, before the others: where its registers are (without x2APIC). */
void local_apic_init(uint64_t address);
/* Finds out how fast its timer is; the clock must run. */
void local_apic_calibrate(void);
/* On each processor: enables it, everything but its timer masked. */
void local_apic_processor_init(void);

uint32_t local_apic_id(void);
void local_apic_eoi(void);

/* An interrupt message to one processor. mode: APIC_FIXED and so on (x86/apic.h). */
void local_apic_send(uint32_t apic_id, unsigned mode, uint8_t vector);

/* VECTOR_TIMER comes at this time of clock_now(), or earlier if it is too far away for the timer.
 */
void local_apic_timer_set(uint64_t deadline);

#endif
