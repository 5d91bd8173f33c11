/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APICs of all vcpus, as one device: registers in memory at 0xfee00000 (xAPIC) and as
 * MSRs (x2APIC), timers, and the messages between them. Intel SDM volume 3, chapter 10. All
 * functions are called with the vm's lock held.
 */
#ifndef DEVICES_LAPIC_H
#define DEVICES_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"
#include "core/irq.h"
#include "core/snapshot.h"
#include "core/space.h"
#include "core/timer.h"
#include "core/vm.h"

#define LAPIC_ADDRESS 0xfee00000u
#define LAPIC_TIMER_FREQUENCY                                                                      \
	1000000000u /* Hz, before the divider; CPUID leaf 0x15's crystal clock */

#define APIC_BASE_BSP	 0x100u
#define APIC_BASE_X2APIC 0x400u
#define APIC_BASE_ENABLE 0x800u

/* Delivery modes (SDM 3, section 10.5.1 and 10.6.1). */
enum {
	APIC_FIXED = 0,
	APIC_LOWEST_PRIORITY = 1,
	APIC_SMI = 2,
	APIC_NMI = 4,
	APIC_INIT = 5,
	APIC_SIPI = 6,
	APIC_EXTINT = 7,
};

/* The local vector table, in the order of the register addresses from 0x320 on. */
enum { LVT_TIMER, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

#define LVT_MASKED 0x10000u

struct lapics;

struct lapic {
	struct lapics *all;
	struct vcpu *vcpu;
	struct region base_msr, deadline_msr, x2apic_msrs;
	struct timer timer;
	uint64_t base; /* IA32_APIC_BASE */
	uint32_t tpr, ldr, dfr, svr;
	uint32_t esr;	      /* as read */
	uint32_t esr_pending; /* errors since the last write to it */
	uint64_t icr;
	uint32_t lvt[LVT_COUNT];
	uint32_t divide;
	uint32_t initial_count;
	bool timer_running;	 /* counts down from initial_count */
	uint64_t timer_start;	 /* guest time at which the running count was initial_count */
	uint64_t timer_deadline; /* guest TSC; 0: not armed */
	uint64_t irr[4], isr[4], tmr[4];
	bool extint_message; /* an ExtINT came as a message and waits */
	bool moved_logged;
};

/* An interrupt message, from an ICR, an IO-APIC or a device. */
struct apic_message {
	uint32_t destination;
	bool broadcast; /* destination names everyone */
	bool logical;
	bool level; /* trigger mode */
	uint8_t mode;
	uint8_t vector;
};

struct lapics {
	struct device device;
	struct vm *vm;
	struct region mmio;
	unsigned count;
	unsigned last_lowest; /* who took the last lowest-priority interrupt */
	bool lint[2];	      /* levels of the two pins, which all processors share */
	/* Set by the machine; NULL for none. */
	void (*eoi)(void *listener, uint8_t vector); /* a level-triggered interrupt ended */
	void *eoi_listener;
	int (*pic_acknowledge)(void *pic); /* the vector of the 8259s, whose INTR is LINT0 */
	void *pic;
	struct lapic lapic[VM_VCPUS_MAX];
};

/* One APIC for each vcpu of the vm; becomes their interrupt controller. */
void lapics_init(struct lapics *lapics, struct vm *vm);

/* Listener of the wires to LINT0 (input 0: the 8259s' INTR) and LINT1 (input 1: NMI). */
void lapics_lint_set(void *lapics, unsigned input, bool level);

/* struct msi_target's send: a write to 0xfeexxxxx (SDM 3, section 10.11). Other addresses are
 * ignored. */
void lapics_msi(void *lapics, uint64_t address, uint32_t data);

/* Delivers a message to all it is for. Returns whether anyone took it. */
bool lapics_deliver(struct lapics *lapics, const struct apic_message *message);

/* Between the APIC's own files. */

/* lapic.c */
bool lapic_software_enabled(const struct lapic *lapic);
bool lapic_is_x2apic(const struct lapic *lapic);
uint32_t lapic_id(const struct lapic *lapic);
uint32_t lapic_x2apic_ldr(const struct lapic *lapic);
uint8_t lapic_ppr(const struct lapic *lapic);
void lapic_accept(struct lapic *lapic, uint8_t vector, bool level);
void lapic_local_interrupt(struct lapic *lapic, unsigned entry);
void lapic_error(struct lapic *lapic, uint32_t bits);
void lapic_eoi(struct lapic *lapic);
void lapic_update(struct lapic *lapic);
void lapic_reset(struct lapic *lapic, bool init);

/* lapic_message.c */
void lapic_icr_write(struct lapic *lapic, uint64_t icr);
void lapic_self_ipi(struct lapic *lapic, uint8_t vector);
void lapic_receive(struct lapic *lapic, const struct apic_message *message);

/* lapic_timer.c */
void lapic_timer_expired(struct timer *timer);
void lapic_timer_start(struct lapic *lapic, uint32_t initial_count);
void lapic_timer_arm(struct lapic *lapic);
void lapic_timer_lvt_write(struct lapic *lapic, uint32_t value);
void lapic_timer_divide_write(struct lapic *lapic, uint32_t value);
void lapic_timer_deadline_write(struct lapic *lapic, uint64_t tsc);
uint32_t lapic_timer_current_count(const struct lapic *lapic);
bool lapic_timer_uses_deadline(const struct lapic *lapic);

/* lapic_registers.c */
extern const uint32_t lapic_lvt_writable[LVT_COUNT];
extern const struct region_ops lapic_mmio_ops, lapic_base_msr_ops, lapic_deadline_msr_ops,
	lapic_x2apic_msrs_ops;

#endif
