/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Local APIC: messages, and whom they are for. Intel SDM volume 3, sections 10.6 (inter-processor
 * interrupts), 10.11 (MSI) and 10.12.10 (x2APIC destinations).
 *
 * Not modelled: see apic.h.
 */
#include "x86/apic.h"

#include <stddef.h>

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

/* Address and data of a message-signalled interrupt. */
#define MSI_LOGICAL	      0x4u
#define MSI_REDIRECTION	      0x8u
#define MSI_ASSERT	      0x4000u
#define MSI_LEVEL	      0x8000u
#define MSI_DESTINATION_SHIFT 12

/* Section 10.6.2.2. */
static bool logical_match(const struct apic *apic, uint32_t destination)
{
	uint32_t mine = apic->ldr >> 24;

	if (apic_is_x2apic(apic))
		return apic->ldr >> 16 == destination >> 16 && (apic->ldr & destination & 0xffff);
	if (destination > 0xff)
		return false;
	if (apic->dfr >> DFR_MODEL_SHIFT == DFR_CLUSTER)
		return (destination >> 4 == 15 || mine >> 4 == destination >> 4) &&
		       (mine & destination & 15);
	return mine & destination;
}

static bool is_for(const struct apic *apic, const struct apic_message *message)
{
	if (!(apic->base & APIC_BASE_ENABLE))
		return false;
	if (message->broadcast)
		return true;
	if (message->logical)
		return logical_match(apic, message->destination);
	return apic->id == message->destination;
}

void apic_receive(struct apic *apic, const struct apic_message *message)
{
	switch (message->mode) {
	case APIC_FIXED:
	case APIC_LOWEST_PRIORITY:
		apic_accept(apic, message->vector, message->level);
		break;
	case APIC_NMI:
		apic->ops->nmi(apic);
		break;
	case APIC_INIT:
		apic->ops->init(apic);
		break;
	case APIC_SIPI:
		apic->ops->sipi(apic, message->vector);
		break;
	case APIC_EXTINT:
		apic->extint_message = true;
		apic->ops->changed(apic);
		break;
	default: /* SMI, for which there is no handler, and a reserved mode */
		break;
	}
}

/*
 * Section 10.6.2.4: whoever runs at the lowest priority; among equals turn by turn.
 */
static struct apic *lowest_priority(struct apic *const *all, unsigned count, unsigned *last_lowest,
				    const struct apic_message *message)
{
	unsigned first = *last_lowest % count + 1;
	struct apic *best = NULL;

	for (unsigned i = 0; i < count; i++) {
		unsigned place = (first + i) % count;
		struct apic *apic = all[place];

		if (!is_for(apic, message) || !apic_software_enabled(apic))
			continue;
		if (best && apic_ppr(apic) >= apic_ppr(best))
			continue;
		best = apic;
		*last_lowest = place;
	}
	return best;
}

bool apics_deliver(struct apic *const *all, unsigned count, unsigned *last_lowest,
		   const struct apic_message *message)
{
	bool taken = false;

	if (message->mode == APIC_LOWEST_PRIORITY && count) {
		struct apic *apic = lowest_priority(all, count, last_lowest, message);

		if (apic)
			apic_receive(apic, message);
		return apic;
	}
	for (unsigned i = 0; i < count; i++) {
		if (!is_for(all[i], message))
			continue;
		apic_receive(all[i], message);
		/* One that is off drops vectors: nobody will end that interrupt. */
		taken |= message->mode != APIC_FIXED || apic_software_enabled(all[i]);
	}
	return taken;
}

static void deliver_shorthand(struct apic *apic, const struct apic_message *message,
			      unsigned shorthand, struct apic *const *all, unsigned count)
{
	if (shorthand == SHORTHAND_SELF) {
		/* Only fixed interrupts may be sent to oneself this way (table 10-3). */
		if (message->mode == APIC_FIXED)
			apic_receive(apic, message);
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		if (shorthand == SHORTHAND_OTHERS && all[i] == apic)
			continue;
		if (all[i]->base & APIC_BASE_ENABLE)
			apic_receive(all[i], message);
	}
}

/* Section 10.6.1. */
void apic_write_icr(struct apic *apic, uint64_t icr)
{
	uint32_t low = (uint32_t)icr;
	unsigned shorthand = low >> 18 & 3, count, *last_lowest;
	bool x2apic = apic_is_x2apic(apic);
	struct apic *const *all;
	struct apic_message message = {
		.destination = (uint32_t)(icr >> (x2apic ? 32 : 56)),
		.logical = low & ICR_LOGICAL,
		.mode = low >> 8 & 7,
		.vector = (uint8_t)low,
	};

	apic->icr = icr;
	message.broadcast = message.destination == (x2apic ? 0xffffffff : 0xff);
	/* The de-assert message of INIT only synchronised arbitration, which nobody has. Other
	 * modes are edges whatever is asked. */
	if (message.mode == APIC_INIT && (low & ICR_TRIGGER_LEVEL) && !(low & ICR_LEVEL_ASSERT))
		return;
	if (message.mode <= APIC_LOWEST_PRIORITY && message.vector < 16) {
		apic_error(apic, ESR_ILLEGAL_SEND);
		return;
	}
	all = apic->ops->all(apic, &count, &last_lowest);
	if (shorthand == SHORTHAND_NONE)
		apics_deliver(all, count, last_lowest, &message);
	else
		deliver_shorthand(apic, &message, shorthand, all, count);
}

/* Section 10.12.11. */
void apic_self_ipi(struct apic *apic, uint8_t vector)
{
	if (vector < 16)
		apic_error(apic, ESR_ILLEGAL_SEND);
	else
		apic_accept(apic, vector, false);
}

/* Section 10.11. */
bool apic_message_from_msi(struct apic_message *message, uint64_t address, uint32_t data)
{
	if (address >> 20 != APIC_ADDRESS >> 20)
		return false;
	*message = (struct apic_message){
		.destination = address >> MSI_DESTINATION_SHIFT & 0xff,
		.logical = address & MSI_LOGICAL,
		.mode = data >> 8 & 7,
		.vector = (uint8_t)data,
		.level = data & MSI_LEVEL,
	};
	/* The redirection hint asks for one of a logical set. */
	if ((address & MSI_REDIRECTION) && message->logical && message->mode == APIC_FIXED)
		message->mode = APIC_LOWEST_PRIORITY;
	message->broadcast = message->destination == 0xff;
	return true;
}

void apic_message_to_msi(const struct apic_message *message, uint64_t *address, uint32_t *data)
{
	uint32_t destination = message->broadcast ? 0xff : message->destination & 0xff;

	*address = APIC_ADDRESS | destination << MSI_DESTINATION_SHIFT |
		   (message->logical ? MSI_LOGICAL : 0);
	*data = message->vector | (message->mode & 7u) << 8 |
		(message->level ? MSI_LEVEL | MSI_ASSERT : 0);
}
