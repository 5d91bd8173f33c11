/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's use of the local APIC's model (x86/apic.h), one for each vcpu, all of a machine's
 * under its apic_lock; and what a vcpu is interrupted by.
 *
 * The task priority is the exception to the lock: it follows the guest's CR8, which the vendor's
 * part writes into the model without it. Others read it only to choose whom a lowest-priority
 * message goes to, where an old value is as good.
 *
 * Not modelled: an interrupt of the 8259s whose delivery was begun is lost if the process takes the
 * state just then (METAL_VCPU_STATE) and loads it again.
 */
#include "kernel/vcpu.h"
#include "kernel/vendor.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "x86/msr.h"

#define MSR_X2APIC_ICR 0x830u
#define ICR_ASSERT     0x4000u

_Static_assert(sizeof(struct apic) <= METAL_APIC_SIZE, "the page has room for it");

static struct vcpu *vcpu_of(struct apic *apic)
{
	return (struct vcpu *)((uint8_t *)apic - offsetof(struct vcpu, apic));
}

/* The vector that waits for nothing but the task priority (or not even that); -1: none. */
static int vector_waiting(struct apic *apic)
{
	uint32_t tpr = apic->tpr;
	int vector;

	apic->tpr = 0;
	vector = apic_deliverable(apic);
	apic->tpr = tpr;
	return vector;
}

static uint64_t op_time(struct apic *apic)
{
	return clock_now() + vcpu_of(apic)->time_offset;
}

static uint64_t op_tsc(struct apic *apic)
{
	return clock_tsc() + vcpu_of(apic)->state.tsc_offset;
}

static uint64_t op_tsc_frequency(struct apic *apic)
{
	return kernel_clock.tsc_frequency;
}

static void op_timer_set(struct apic *apic, uint64_t deadline)
{
	struct vcpu *vcpu = vcpu_of(apic);
	uint64_t now = clock_now();

	if (deadline != APIC_TIMER_NEVER)
		timer_set(&vcpu->timer, now + apic_timer_left(now + vcpu->time_offset, deadline));
	else if (vcpu->timer.deadline != TIMER_NEVER)
		timer_cancel(&vcpu->timer);
}

static void timer_expired(struct timer *timer)
{
	struct vcpu *vcpu = (struct vcpu *)((uint8_t *)timer - offsetof(struct vcpu, timer));

	lock_take(&vcpu->guest->apic_lock);
	apic_timer_expired(&vcpu->apic);
	lock_drop(&vcpu->guest->apic_lock);
}

static struct apic *const *op_all(struct apic *apic, unsigned *count, unsigned **last_lowest)
{
	struct guest *guest = vcpu_of(apic)->guest;

	*count = guest->vcpu_count;
	*last_lowest = &guest->last_lowest;
	return guest->apic;
}

/*
 * Whether there may be an interrupt, taken or not. The vcpu asks without the lock, which costs most
 * of what there is to do: what comes right after is noticed since it sets WANTED_INTERRUPT.
 */
static bool may_wait(const struct apic *apic)
{
	return (apic->irr[0] | apic->irr[1] | apic->irr[2] | apic->irr[3]) ||
	       apic_external_waits(apic);
}

/* Whether it can be taken now is looked at by the vcpu itself. */
static void op_changed(struct apic *apic)
{
	if (may_wait(apic))
		vcpu_want(vcpu_of(apic), WANTED_INTERRUPT);
}

static void op_nmi(struct apic *apic)
{
	vcpu_want(vcpu_of(apic), WANTED_NMI);
}

/* Makes an earlier start-up message moot: that was for the processor as it is no more. */
static void op_init(struct apic *apic)
{
	struct vcpu *vcpu = vcpu_of(apic);

	atomic_fetch_and(&vcpu->wanted, ~(uint32_t)WANTED_SIPI);
	vcpu_want(vcpu, WANTED_INIT);
}

static void op_sipi(struct apic *apic, uint8_t vector)
{
	struct vcpu *vcpu = vcpu_of(apic);

	if (vcpu->wanted & WANTED_SIPI)
		return; /* the first one counts */
	vcpu->sipi_vector = vector;
	vcpu_want(vcpu, WANTED_SIPI);
}

static void op_eoi(struct apic *apic, uint8_t vector)
{
	vcpu_of(apic)->eoi_vector = vector;
}

static const struct apic_ops ops = {
	.time = op_time,
	.tsc = op_tsc,
	.tsc_frequency = op_tsc_frequency,
	.timer_set = op_timer_set,
	.all = op_all,
	.changed = op_changed,
	.nmi = op_nmi,
	.init = op_init,
	.sipi = op_sipi,
	.eoi = op_eoi,
};

void vcpu_apic_init(struct vcpu *vcpu)
{
	timer_init(&vcpu->timer, timer_expired);
	vcpu->apic.ops = &ops;
	vcpu->apic.id = vcpu->id;
	vcpu->eoi_vector = -1;
	apic_reset(&vcpu->apic, false, vcpu->id == 0);
}

int vcpu_apic_load(struct vcpu *vcpu, const uint8_t bytes[METAL_APIC_SIZE])
{
	struct apic apic;

	bytes_copy(&apic, bytes, sizeof(apic));
	if (apic_check(&apic))
		return -EINVAL;
	lock_take(&vcpu->guest->apic_lock);
	apic_copy(&vcpu->apic, &apic);
	apic_timer_arm(&vcpu->apic);
	op_changed(&vcpu->apic);
	lock_drop(&vcpu->guest->apic_lock);
	return 0;
}

void vcpu_apic_store(struct vcpu *vcpu, uint8_t bytes[METAL_APIC_SIZE])
{
	struct apic apic;

	bytes_fill(&apic, 0, sizeof(apic));
	apic.id = vcpu->id;
	lock_take(&vcpu->guest->apic_lock);
	apic_copy(&apic, &vcpu->apic);
	lock_drop(&vcpu->guest->apic_lock);
	bytes_copy(bytes, &apic, sizeof(apic));
}

void vcpu_apic_moved(struct vcpu *vcpu)
{
	lock_take(&vcpu->guest->apic_lock);
	if (vcpu->timer.deadline != TIMER_NEVER)
		timer_set(&vcpu->timer, vcpu->timer.deadline);
	lock_drop(&vcpu->guest->apic_lock);
}

void vcpu_set_time(struct vcpu *vcpu, uint64_t time_offset, uint64_t tsc_offset)
{
	lock_take(&vcpu->guest->apic_lock);
	vcpu->time_offset = time_offset;
	vcpu->state.tsc_offset = tsc_offset;
	apic_timer_arm(&vcpu->apic);
	lock_drop(&vcpu->guest->apic_lock);
}

bool vcpu_wakes(struct vcpu *vcpu)
{
	bool waits;

	if (vcpu->event.kind || (vcpu->nmi_pending && !vcpu->state.nmi_blocked))
		return true;
	if (!(vcpu->state.rflags & FLAG_IF) || !may_wait(&vcpu->apic))
		return false;
	lock_take(&vcpu->guest->apic_lock);
	waits = apic_interrupt_waits(&vcpu->apic);
	lock_drop(&vcpu->guest->apic_lock);
	return waits;
}

static void deliver_nmi(struct vcpu *vcpu)
{
	if (vcpu->event.kind || vcpu->state.nmi_blocked || vcpu->state.interrupt_shadow) {
		vcpu->nmi_window = true;
		return;
	}
	vcpu->event = (struct event){.kind = EVENT_NONMASKABLE, .vector = 2};
	vcpu->nmi_pending = false;
	vcpu->state.nmi_blocked = 1;
}

/* apic_lock held. */
static bool deliver_interrupt(struct vcpu *vcpu, bool open)
{
	struct apic *apic = &vcpu->apic;

	if (apic_external_waits(apic)) {
		vcpu->interrupt_window = !open;
		if (open)
			apic_acknowledge_external(apic);
		return open;
	}
	if (vector_waiting(apic) < 0)
		return false;
	if (apic_deliverable(apic) < 0)
		vcpu->tpr_window = true;
	else if (!open)
		vcpu->interrupt_window = true;
	else {
		vcpu->event = (struct event){.kind = EVENT_INTERRUPT,
					     .vector = (uint8_t)apic_acknowledge(apic)};
		/* What still waits has told us so, but is for after that one's end: who raises one
		 * above it finds nobody's word, and kicks. */
		atomic_fetch_and(&vcpu->wanted, ~(uint32_t)WANTED_INTERRUPT);
	}
	return false;
}

bool vcpu_deliver(struct vcpu *vcpu)
{
	bool open, external;

	vcpu->nmi_window = vcpu->interrupt_window = vcpu->tpr_window = false;
	if (vcpu->nmi_pending)
		deliver_nmi(vcpu);
	if (!may_wait(&vcpu->apic))
		return false;
	open = !vcpu->event.kind && (vcpu->state.rflags & FLAG_IF) && !vcpu->state.interrupt_shadow;
	lock_take(&vcpu->guest->apic_lock);
	external = deliver_interrupt(vcpu, open);
	lock_drop(&vcpu->guest->apic_lock);
	return external;
}

void vcpu_apic_give_back(struct vcpu *vcpu, uint8_t vector)
{
	struct apic *apic = &vcpu->apic;
	uint64_t bit = UINT64_C(1) << vector % 64;

	lock_take(&vcpu->guest->apic_lock);
	if (apic->isr[vector / 64] & bit) {
		apic->isr[vector / 64] &= ~bit;
		apic->irr[vector / 64] |= bit;
	}
	op_changed(apic);
	lock_drop(&vcpu->guest->apic_lock);
}

bool vcpu_apic_read(struct vcpu *vcpu, uint32_t number, uint64_t *value)
{
	bool exists = true;

	lock_take(&vcpu->guest->apic_lock);
	if (number == MSR_APIC_BASE)
		*value = vcpu->apic.base;
	else if (number == MSR_TSC_DEADLINE)
		*value = apic_read_deadline(&vcpu->apic);
	else
		exists = apic_read_msr(&vcpu->apic, number - MSR_X2APIC_FIRST, value);
	lock_drop(&vcpu->guest->apic_lock);
	return exists;
}

/*
 * The usual command: a fixed interrupt to one processor by its number (SDM 3, 10.12.9). Whoever
 * that is has number and place alike. False: the model is to look at it. The lock is held.
 */
static bool send_to_one(struct vcpu *vcpu, uint64_t command)
{
	struct apic_message message = {.destination = (uint32_t)(command >> 32),
				       .vector = (uint8_t)command};
	struct apic *to;

	if (((uint32_t)command & ~0xffu & ~ICR_ASSERT) || message.vector < 16 ||
	    message.destination >= vcpu->guest->vcpu_count || !apic_is_x2apic(&vcpu->apic))
		return false;
	to = vcpu->guest->apic[message.destination];
	if (!(to->base & APIC_BASE_ENABLE))
		return false;
	vcpu->apic.icr = command;
	apic_receive(to, &message);
	return true;
}

bool vcpu_apic_write(struct vcpu *vcpu, uint32_t number, uint64_t value)
{
	bool exists = true;

	lock_take(&vcpu->guest->apic_lock);
	if (number == MSR_APIC_BASE)
		exists = apic_write_base(&vcpu->apic, value);
	else if (number == MSR_TSC_DEADLINE)
		apic_write_deadline(&vcpu->apic, value);
	else if (number != MSR_X2APIC_ICR || !send_to_one(vcpu, value))
		exists = apic_write_msr(&vcpu->apic, number - MSR_X2APIC_FIRST, value);
	lock_drop(&vcpu->guest->apic_lock);
	return exists;
}

void vcpu_apic_eoi(struct vcpu *vcpu)
{
	lock_take(&vcpu->guest->apic_lock);
	apic_eoi(&vcpu->apic);
	lock_drop(&vcpu->guest->apic_lock);
}

/* Registers are 32 bits wide and 16 bytes apart; a read of a part gives that part, a write of less
 * than all is ignored (SDM 3, 10.4.1: undefined). */
bool vcpu_apic_memory(struct vcpu *vcpu, struct mmio_access *access, uint64_t *value)
{
	unsigned offset = access->address & (PAGE_SIZE - 1), shift = offset % 16 * 8;
	bool there;

	lock_take(&vcpu->guest->apic_lock);
	there = apic_in_memory(&vcpu->apic);
	if (!there) {
	} else if (!access->write) {
		*value = shift < 32 ? apic_read_memory(&vcpu->apic, offset / 16) >> shift : 0;
	} else if (access->size == 4 && !shift) {
		apic_write_memory(&vcpu->apic, offset / 16, (uint32_t)access->value);
	}
	lock_drop(&vcpu->guest->apic_lock);
	return there;
}
