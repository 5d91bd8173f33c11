/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Local APIC: acceptance, priorities, delivery to the processor, reset. Intel SDM volume 3, chapter
 * 10 ("Advanced Programmable Interrupt Controller").
 *
 * Not modelled: see apic.h.
 */
#include "x86/apic.h"

#define SVR_ENABLE	   0x100u
#define ESR_ILLEGAL_VECTOR 0x40u /* received */

bool apic_software_enabled(const struct apic *apic)
{
	return (apic->base & APIC_BASE_ENABLE) && (apic->svr & SVR_ENABLE);
}

/* Section 10.12.10.2. */
uint32_t apic_x2apic_ldr(const struct apic *apic)
{
	return (apic->id >> 4) << 16 | 1u << (apic->id & 15);
}

/* Vectors in a 256-bit register */

static void vector_set(uint64_t *bits, uint8_t vector)
{
	bits[vector / 64] |= 1ull << (vector % 64);
}

static void vector_clear(uint64_t *bits, uint8_t vector)
{
	bits[vector / 64] &= ~(1ull << (vector % 64));
}

static bool vector_test(const uint64_t *bits, uint8_t vector)
{
	return bits[vector / 64] >> (vector % 64) & 1;
}

/* The highest vector, or -1. */
static int vector_highest(const uint64_t *bits)
{
	for (int word = 3; word >= 0; word--)
		if (bits[word])
			return word * 64 + 63 - __builtin_clzll(bits[word]);
	return -1;
}

/* Section 10.8.3.1. */
uint8_t apic_ppr(const struct apic *apic)
{
	int in_service = vector_highest(apic->isr);
	unsigned class = in_service < 0 ? 0 : (unsigned)in_service & 0xf0;

	return (uint8_t)((apic->tpr & 0xf0) >= class ? apic->tpr : class);
}

int apic_deliverable(const struct apic *apic)
{
	int vector = vector_highest(apic->irr);

	if (vector < 0 || !apic_software_enabled(apic))
		return -1;
	return (vector & 0xf0) > (apic_ppr(apic) & 0xf0) ? vector : -1;
}

/*
 * An APIC that is off is not in the way of the first processor's INTR pin; the pin counts in ExtINT
 * mode even while the APIC is disabled by software, since firmware leaves it so (MP specification,
 * "virtual wire").
 */
bool apic_external_waits(const struct apic *apic)
{
	uint32_t lint0 = apic->lvt[LVT_LINT0];

	if (apic->extint_message)
		return true;
	if (!apic->lint0)
		return false;
	if (!(apic->base & APIC_BASE_ENABLE))
		return apic->id == 0;
	return !(lint0 & LVT_MASKED) && (lint0 >> 8 & 7) == APIC_EXTINT;
}

bool apic_interrupt_waits(const struct apic *apic)
{
	return apic_deliverable(apic) >= 0 || apic_external_waits(apic);
}

void apic_accept(struct apic *apic, uint8_t vector, bool level)
{
	if (!apic_software_enabled(apic))
		return;
	if (vector < 16) {
		apic_error(apic, ESR_ILLEGAL_VECTOR);
		return;
	}
	vector_set(apic->irr, vector);
	if (level)
		vector_set(apic->tmr, vector);
	else
		vector_clear(apic->tmr, vector);
	apic->ops->changed(apic);
}

/* Section 10.5.3. */
void apic_error(struct apic *apic, uint32_t bits)
{
	bool illegal_error_vector = (apic->lvt[LVT_ERROR] & 0xff) < 16;

	apic->esr_pending |= bits;
	/* An error vector that is itself illegal must not report itself for ever. */
	if (!illegal_error_vector)
		apic_local_interrupt(apic, LVT_ERROR);
}

void apic_local_interrupt(struct apic *apic, unsigned entry)
{
	struct apic_message message = {
		.mode = apic->lvt[entry] >> 8 & 7,
		.vector = (uint8_t)apic->lvt[entry],
	};

	if (apic->lvt[entry] & LVT_MASKED || !(apic->base & APIC_BASE_ENABLE))
		return;
	/* ExtINT follows the pin's level, in apic_external_waits; start-up and lowest priority
	 * don't exist here. */
	if (message.mode != APIC_EXTINT && message.mode != APIC_SIPI &&
	    message.mode != APIC_LOWEST_PRIORITY)
		apic_receive(apic, &message);
}

/* Section 10.8.5. */
void apic_eoi(struct apic *apic)
{
	int vector = vector_highest(apic->isr);

	if (vector < 0)
		return;
	vector_clear(apic->isr, (uint8_t)vector);
	if (vector_test(apic->tmr, (uint8_t)vector) && !(apic->svr & SVR_NO_BROADCAST))
		apic->ops->eoi(apic, (uint8_t)vector);
	apic->ops->changed(apic);
}

void apic_lint_set(struct apic *apic, unsigned input, bool level)
{
	if (input > 1 || (input == 0 && apic->lint0 == level))
		return;
	if (input == 0)
		apic->lint0 = level;
	if (level)
		apic_local_interrupt(apic, LVT_LINT0 + input);
	/* Without an APIC in between, the second pin is the processor's NMI. */
	if (level && input == 1 && apic->id == 0 && !(apic->base & APIC_BASE_ENABLE))
		apic->ops->nmi(apic);
	apic->ops->changed(apic);
}

/* What the processor asks */

void apic_acknowledge_external(struct apic *apic)
{
	apic->extint_message = false;
	apic->ops->changed(apic);
}

int apic_acknowledge(struct apic *apic)
{
	int vector = apic_deliverable(apic);

	if (vector < 0)
		return -1;
	vector_clear(apic->irr, (uint8_t)vector);
	vector_set(apic->isr, (uint8_t)vector);
	apic->ops->changed(apic);
	return vector;
}

uint64_t apic_get_tpr(const struct apic *apic)
{
	return apic->tpr >> 4;
}

void apic_set_tpr(struct apic *apic, uint64_t cr8)
{
	apic->tpr = (uint32_t)(cr8 & 15) << 4;
	apic->ops->changed(apic);
}

/* Section 10.4.7: INIT keeps the base MSR, and with it the mode. */
void apic_reset(struct apic *apic, bool init, bool bsp)
{
	struct apic before = *apic;

	*apic = (struct apic){
		.ops = before.ops,
		.id = before.id,
		.base = APIC_ADDRESS | APIC_BASE_ENABLE | (bsp ? APIC_BASE_BSP : 0),
		.dfr = 0xffffffff,
		.svr = 0xff,
	};
	if (init) {
		apic->base = before.base;
		apic->lint0 = before.lint0;
	}
	if (apic_is_x2apic(apic))
		apic->ldr = apic_x2apic_ldr(apic);
	for (unsigned i = 0; i < LVT_COUNT; i++)
		apic->lvt[i] = LVT_MASKED;
	if (bsp && !init)
		apic->lvt[LVT_LINT0] = APIC_EXTINT << 8;
	apic->ops->timer_set(apic, APIC_TIMER_NEVER);
	apic->ops->changed(apic);
}
