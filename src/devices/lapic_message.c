/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Local APIC: messages, and whom they are for. Intel SDM volume 3, sections 10.6 (inter-processor
 * interrupts), 10.11 (MSI) and 10.12.10 (x2APIC destinations).
 *
 * Not modelled: see lapic.c.
 */
#include "devices/lapic.h"

#define SHORTHAND_NONE	  0
#define SHORTHAND_SELF	  1
#define SHORTHAND_ALL	  2
#define SHORTHAND_OTHERS  3
#define ICR_LOGICAL	  0x800u
#define ICR_LEVEL_ASSERT  0x4000u
#define ICR_TRIGGER_LEVEL 0x8000u
#define ESR_ILLEGAL_SEND  0x20u
#define DFR_MODEL_SHIFT	  28
#define DFR_CLUSTER	  0u

/* Section 10.6.2.2. */
static bool logical_match(const struct lapic *lapic, uint32_t destination)
{
	uint32_t mine = lapic->ldr >> 24;

	if (lapic_is_x2apic(lapic))
		return lapic->ldr >> 16 == destination >> 16 && (lapic->ldr & destination & 0xffff);
	if (destination > 0xff)
		return false;
	if (lapic->dfr >> DFR_MODEL_SHIFT == DFR_CLUSTER)
		return (destination >> 4 == 15 || mine >> 4 == destination >> 4) &&
		       (mine & destination & 15);
	return mine & destination;
}

static bool is_for(const struct lapic *lapic, const struct apic_message *message)
{
	if (!(lapic->base & APIC_BASE_ENABLE))
		return false;
	if (message->broadcast)
		return true;
	if (message->logical)
		return logical_match(lapic, message->destination);
	return lapic_id(lapic) == message->destination;
}

void lapic_receive(struct lapic *lapic, const struct apic_message *message)
{
	struct vcpu *vcpu = lapic->vcpu;

	switch (message->mode) {
	case APIC_FIXED:
	case APIC_LOWEST_PRIORITY:
		lapic_accept(lapic, message->vector, message->level);
		break;
	case APIC_NMI:
		vcpu_post(vcpu, PENDING_NMI);
		break;
	case APIC_INIT:
		vcpu_post(vcpu, PENDING_INIT);
		break;
	case APIC_SIPI:
		vcpu->sipi_vector = message->vector;
		vcpu_post(vcpu, PENDING_SIPI);
		break;
	case APIC_EXTINT:
		lapic->extint_message = true;
		lapic_update(lapic);
		break;
	default: /* SMI, for which there is no handler, and a reserved mode */
		break;
	}
}

/*
 * Section 10.6.2.4: whoever runs at the lowest priority; among equals turn by turn.
 */
static struct lapic *lowest_priority(struct lapics *lapics, const struct apic_message *message)
{
	struct lapic *best = NULL;

	for (unsigned i = 1; i <= lapics->count; i++) {
		struct lapic *lapic = &lapics->lapic[(lapics->last_lowest + i) % lapics->count];

		if (!is_for(lapic, message) || !lapic_software_enabled(lapic))
			continue;
		if (!best || lapic_ppr(lapic) < lapic_ppr(best))
			best = lapic;
	}
	if (best)
		lapics->last_lowest = best->vcpu->id;
	return best;
}

bool lapics_deliver(struct lapics *lapics, const struct apic_message *message)
{
	bool taken = false;

	if (message->mode == APIC_LOWEST_PRIORITY) {
		struct lapic *lapic = lowest_priority(lapics, message);

		if (lapic)
			lapic_receive(lapic, message);
		return lapic;
	}
	for (unsigned i = 0; i < lapics->count; i++) {
		if (!is_for(&lapics->lapic[i], message))
			continue;
		lapic_receive(&lapics->lapic[i], message);
		taken = true;
	}
	return taken;
}

static void deliver_shorthand(struct lapic *lapic, const struct apic_message *message,
			      unsigned shorthand)
{
	struct lapics *all = lapic->all;

	if (shorthand == SHORTHAND_SELF) {
		/* Only fixed interrupts may be sent to oneself this way (table 10-3). */
		if (message->mode == APIC_FIXED)
			lapic_receive(lapic, message);
		return;
	}
	for (unsigned i = 0; i < all->count; i++) {
		struct lapic *other = &all->lapic[i];

		if (shorthand == SHORTHAND_OTHERS && other == lapic)
			continue;
		if (other->base & APIC_BASE_ENABLE)
			lapic_receive(other, message);
	}
}

/* Section 10.6.1. */
void lapic_icr_write(struct lapic *lapic, uint64_t icr)
{
	uint32_t low = (uint32_t)icr;
	unsigned shorthand = low >> 18 & 3;
	bool x2apic = lapic_is_x2apic(lapic);
	struct apic_message message = {
		.destination = (uint32_t)(icr >> (x2apic ? 32 : 56)),
		.logical = low & ICR_LOGICAL,
		.mode = low >> 8 & 7,
		.vector = (uint8_t)low,
	};

	lapic->icr = icr;
	message.broadcast = message.destination == (x2apic ? 0xffffffff : 0xff);
	/* The de-assert message of INIT only synchronised arbitration, which nobody has. Other
	 * modes are edges whatever is asked. */
	if (message.mode == APIC_INIT && (low & ICR_TRIGGER_LEVEL) && !(low & ICR_LEVEL_ASSERT))
		return;
	if (message.mode <= APIC_LOWEST_PRIORITY && message.vector < 16) {
		lapic_error(lapic, ESR_ILLEGAL_SEND);
		return;
	}
	if (shorthand == SHORTHAND_NONE)
		lapics_deliver(lapic->all, &message);
	else
		deliver_shorthand(lapic, &message, shorthand);
}

/* Section 10.12.11. */
void lapic_self_ipi(struct lapic *lapic, uint8_t vector)
{
	if (vector < 16)
		lapic_error(lapic, ESR_ILLEGAL_SEND);
	else
		lapic_accept(lapic, vector, false);
}

/* Section 10.11. */
void lapics_msi(void *listener, uint64_t address, uint32_t data)
{
	struct apic_message message = {
		.destination = address >> 12 & 0xff,
		.logical = address & 4,
		.mode = data >> 8 & 7,
		.vector = (uint8_t)data,
		.level = data & 0x8000,
	};

	if (address >> 20 != LAPIC_ADDRESS >> 20)
		return;
	/* The redirection hint asks for one of a logical set. */
	if ((address & 8) && message.logical && message.mode == APIC_FIXED)
		message.mode = APIC_LOWEST_PRIORITY;
	message.broadcast = message.destination == 0xff;
	lapics_deliver(listener, &message);
}
