/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC as a pure model: registers, priorities, timer, messages. It exists once, for the
 * device (devices/lapic.c, where the engine has none of its own) and for the bare-metal kernel.
 * Intel SDM volume 3, chapter 10.
 *
 * Whoever holds an apic holds a lock while a function here runs: the vm's lock, or the kernel's
 * lock of a vm's APICs. What is to happen outside of the registers is asked through struct
 * apic_ops, with that lock held.
 *
 * Not modelled: SMIs, the CMCI and thermal sources (their LVT entries hold what is written),
 * arbitration (APR and RRD read as zero), a relocated register page (the base MSR takes the
 * address, the page stays), level-triggered LINT pins in fixed mode (they act as edges), writes to
 * the APIC id.
 */
#ifndef X86_APIC_H
#define X86_APIC_H

#include <stdbool.h>
#include <stdint.h>

#define SVR_NO_BROADCAST 0x1000u /* of EOIs to the I/O APIC: section 10.8.5 */
#define APIC_ADDRESS	 0xfee00000u
#define APIC_TIMER_FREQUENCY                                                                       \
	1000000000u /* Hz, before the divider; CPUID leaf 0x15's crystal clock */

#define APIC_BASE_BSP	  0x100u
#define APIC_BASE_X2APIC  0x400u
#define APIC_BASE_ENABLE  0x800u
#define APIC_BASE_ADDRESS UINT64_C(0xffffffffff000)

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

/* An interrupt message, from an ICR, an IO-APIC or a device. */
struct apic_message {
	uint32_t destination;
	bool broadcast; /* destination names everyone */
	bool logical;
	bool level; /* trigger mode */
	uint8_t mode;
	uint8_t vector;
};

struct apic_ops;

/* The registers, which are also what is saved of it; and whose it is. */
struct apic {
	const struct apic_ops *ops;
	uint32_t id;   /* the vcpu's number; 0 is the first processor */
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
	bool lint0;	     /* level of the pin to which the 8259s' INTR goes */
};

#define APIC_TIMER_NEVER UINT64_MAX

/* What an APIC asks of whoever holds it. All with the lock held. */
struct apic_ops {
	uint64_t (*time)(struct apic *apic);	      /* guest time, ns */
	uint64_t (*tsc)(struct apic *apic);	      /* guest TSC */
	uint64_t (*tsc_frequency)(struct apic *apic); /* Hz */
	/* Arms the one timer (guest time, ns; APIC_TIMER_NEVER disarms): apic_timer_expired is to
	 * be called when apic_timer_left() is 0, not before, for it would arm it again. */
	void (*timer_set)(struct apic *apic, uint64_t deadline);
	/* The ICR was written: all APICs of the vm, and what apics_deliver has to remember. */
	struct apic *const *(*all)(struct apic *apic, unsigned *count, unsigned **last_lowest);
	/* There is, or is no longer, an interrupt that the processor should take
	 * (apic_interrupt_waits). Called when that may have changed. */
	void (*changed)(struct apic *apic);
	void (*nmi)(struct apic *apic);
	void (*init)(struct apic *apic);
	void (*sipi)(struct apic *apic, uint8_t vector);
	/* A level-triggered interrupt ended, and the I/O APIC is to hear of it. */
	void (*eoi)(struct apic *apic, uint8_t vector);
};

/* Power-on state; or what INIT does (section 10.4.7: keeps the base MSR, and the pin its level).
 * Leaves ops and id. bsp: the first processor, in virtual wire mode at power-on, as firmware leaves
 * it (MP specification, section 3.6.2.2): LINT0 is ExtINT, unmasked. */
void apic_reset(struct apic *apic, bool init, bool bsp);

/*
 * A register by its number: the memory offset divided by 16, the MSR's number less 0x800. In memory
 * (xAPIC): accesses of 32 bits; what does not exist reads 0 and sets an error; the caller has seen
 * to it that registers are in memory now (apic_in_memory). As an MSR (x2APIC): false if it raises
 * #GP, also while not in that mode.
 */
bool apic_in_memory(const struct apic *apic);
uint32_t apic_read_memory(struct apic *apic, unsigned number);
void apic_write_memory(struct apic *apic, unsigned number, uint32_t value);
bool apic_read_msr(struct apic *apic, unsigned number, uint64_t *value);
bool apic_write_msr(struct apic *apic, unsigned number, uint64_t value);

/* IA32_APIC_BASE. false: #GP. */
bool apic_write_base(struct apic *apic, uint64_t value);

/* IA32_TSC_DEADLINE. */
uint64_t apic_read_deadline(const struct apic *apic);
void apic_write_deadline(struct apic *apic, uint64_t tsc);

/* CR8. */
uint64_t apic_get_tpr(const struct apic *apic);
void apic_set_tpr(struct apic *apic, uint64_t cr8);

/* The end-of-interrupt register, which is written most. */
void apic_eoi(struct apic *apic);

/* Whether the processor should be interrupted: a vector above its priority, or the 8259s. */
bool apic_interrupt_waits(const struct apic *apic);
/* Whether it is the 8259s that wait (they go first): whoever delivers gets the vector from them,
 * having called apic_acknowledge_external. */
bool apic_external_waits(const struct apic *apic);
void apic_acknowledge_external(struct apic *apic);
/* Takes the vector to be delivered now, which is in service then; -1: none. */
int apic_acknowledge(struct apic *apic);
/* The vector that apic_acknowledge would take, or -1. */
int apic_deliverable(const struct apic *apic);

/* The timer set by timer_set is due. */
void apic_timer_expired(struct apic *apic);
/* Sets the timer as the registers want it (after loading, or when time has been moved). */
void apic_timer_arm(struct apic *apic);
/* Nanoseconds until then; 0: it is past. Time goes round: what is more than 2^63 ahead is past. */
uint64_t apic_timer_left(uint64_t now, uint64_t deadline);

/* One of the two pins (0, 1). LINT0's level is kept; each call that raises LINT1 is an edge. */
void apic_lint_set(struct apic *apic, unsigned input, bool level);

/* A message for this APIC, whomever it names. */
void apic_receive(struct apic *apic, const struct apic_message *message);

/* Delivers a message to all of them that it is for; *last_lowest is who took the last
 * lowest-priority interrupt (any number will do at first). Whether anyone took it. */
bool apics_deliver(struct apic *const *all, unsigned count, unsigned *last_lowest,
		   const struct apic_message *message);

/* A write to 0xfeexxxxx (section 10.11) as a message; false if the address is another. And back:
 * for messages to 8-bit destinations, as those of the I/O APIC are. */
bool apic_message_from_msi(struct apic_message *message, uint64_t address, uint32_t data);
void apic_message_to_msi(const struct apic_message *message, uint64_t *address, uint32_t *data);

/* Copies the registers: `to` keeps its ops and id, and what follows from the id. */
void apic_copy(struct apic *to, const struct apic *from);

/* What was loaded, or came from an untrusted process (apic_copy), is made a state that a guest can
 * reach. NULL, or why it cannot be one. apic_timer_arm comes next. */
const char *apic_check(struct apic *apic);

/* Between the model's own files. */

static inline bool apic_is_x2apic(const struct apic *apic)
{
	return apic->base & APIC_BASE_X2APIC;
}

/* apic.c */
bool apic_software_enabled(const struct apic *apic);
uint32_t apic_x2apic_ldr(const struct apic *apic);
uint8_t apic_ppr(const struct apic *apic);
void apic_accept(struct apic *apic, uint8_t vector, bool level);
void apic_local_interrupt(struct apic *apic, unsigned entry);
void apic_error(struct apic *apic, uint32_t bits);

/* apic_message.c */
void apic_write_icr(struct apic *apic, uint64_t icr);
void apic_self_ipi(struct apic *apic, uint8_t vector);

/* apic_timer.c */
bool apic_timer_uses_deadline(const struct apic *apic);
void apic_timer_start(struct apic *apic, uint32_t initial_count);
void apic_timer_write_lvt(struct apic *apic, uint32_t value);
void apic_timer_write_divide(struct apic *apic, uint32_t value);
uint32_t apic_timer_count(struct apic *apic);

#endif
