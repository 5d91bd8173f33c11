/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Local APIC: its registers, in memory (SDM 3, table 10-1) and as MSRs (table 10-6), the base MSR,
 * and what may have been loaded. Both faces share one table of registers, indexed by the MSR's
 * offset from 0x800, which is the memory offset divided by 16.
 *
 * Not modelled: see apic.h.
 */
#include "x86/apic.h"

#include <stddef.h>

#include "lib/bytes.h"

/* Version 0x14, six LVT entries, EOI broadcasts can be suppressed. */
#define VERSION		     (0x14u | (LVT_COUNT - 1) << 16 | 1u << 24)
#define SVR_WRITABLE	     0x11ffu
#define SVR_ENABLE	     0x100u
#define ICR_RESERVED	     0xfff32000u
#define ICR_DELIVERY_STATUS  0x1000u
#define ESR_ILLEGAL_REGISTER 0x80u
#define DIVIDE_WRITABLE	     0xbu
#define BASE_MODES	     ((uint64_t)(APIC_BASE_X2APIC | APIC_BASE_ENABLE))
#define REGISTERS	     0x40

enum {
	APIC_ID = 0x02,
	APIC_VERSION = 0x03,
	APIC_TPR = 0x08,
	APIC_APR = 0x09,
	APIC_PPR = 0x0a,
	APIC_EOI = 0x0b,
	APIC_RRD = 0x0c,
	APIC_LDR = 0x0d,
	APIC_DFR = 0x0e,
	APIC_SVR = 0x0f,
	APIC_ISR = 0x10,
	APIC_TMR = 0x18,
	APIC_IRR = 0x20,
	APIC_ESR = 0x28,
	APIC_ICR = 0x30,
	APIC_ICR_HIGH = 0x31,
	APIC_LVT = 0x32,
	APIC_INITIAL_COUNT = 0x38,
	APIC_CURRENT_COUNT = 0x39,
	APIC_DIVIDE = 0x3e,
	APIC_SELF_IPI = 0x3f,
};

/* What the guest can change of each LVT entry (figure 10-8). Delivery status and remote IRR are
 * always 0. */
static const uint32_t lvt_writable[LVT_COUNT] = {
	[LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERFORMANCE] = 0x107ff,
	[LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,	[LVT_ERROR] = 0x100ff,
};

/* What is more in x2APIC mode: bits that may be written, without effect (delivery status, remote
 * IRR). */
#define LVT_IGNORED 0x5000u

/* Who may do what with a register in x2APIC mode (table 10-6): reserved bits of what is written
 * fault. */
struct rule {
	uint8_t readable, writable;
	uint64_t reserved;
};

#define READ_ONLY                                                                                  \
	{                                                                                          \
		1, 0, 0                                                                            \
	}
#define READ_WRITE(reserved)                                                                       \
	{                                                                                          \
		1, 1, (reserved)                                                                   \
	}
#define WRITE_ONLY(reserved)                                                                       \
	{                                                                                          \
		0, 1, (reserved)                                                                   \
	}
#define LVT_RULE(writable)                                                                         \
	{                                                                                          \
		1, 1, ~(uint64_t)((writable) | LVT_IGNORED)                                        \
	}

static const struct rule x2apic_rules[REGISTERS] = {
	[APIC_ID] = READ_ONLY,
	[APIC_VERSION] = READ_ONLY,
	[APIC_TPR] = READ_WRITE(~0xffull),
	[APIC_PPR] = READ_ONLY,
	[APIC_EOI] = WRITE_ONLY(~0ull),
	[APIC_LDR] = READ_ONLY,
	[APIC_SVR] = READ_WRITE(~(uint64_t)SVR_WRITABLE),
	[APIC_ISR... APIC_ISR + 7] = READ_ONLY,
	[APIC_TMR... APIC_TMR + 7] = READ_ONLY,
	[APIC_IRR... APIC_IRR + 7] = READ_ONLY,
	[APIC_ESR] = READ_WRITE(~0ull),
	[APIC_ICR] = READ_WRITE(ICR_RESERVED),
	[APIC_LVT + LVT_TIMER] = LVT_RULE(0x700ff),
	[APIC_LVT + LVT_THERMAL] = LVT_RULE(0x107ff),
	[APIC_LVT + LVT_PERFORMANCE] = LVT_RULE(0x107ff),
	[APIC_LVT + LVT_LINT0] = LVT_RULE(0x1a7ff),
	[APIC_LVT + LVT_LINT1] = LVT_RULE(0x1a7ff),
	[APIC_LVT + LVT_ERROR] = LVT_RULE(0x100ff),
	[APIC_INITIAL_COUNT] = READ_WRITE(~0xffffffffull),
	[APIC_CURRENT_COUNT] = READ_ONLY,
	[APIC_DIVIDE] = READ_WRITE(~(uint64_t)DIVIDE_WRITABLE),
	[APIC_SELF_IPI] = WRITE_ONLY(~0xffull),
};

static uint32_t vector_word(const uint64_t *bits, unsigned word)
{
	return (uint32_t)(bits[word / 2] >> (word % 2 * 32));
}

/* A register that both faces have, or one of the older. An unknown one reads as 0. */
static uint32_t register_read(struct apic *apic, unsigned number)
{
	switch (number) {
	case APIC_ID:
		return apic_is_x2apic(apic) ? apic->id : apic->id << 24;
	case APIC_VERSION:
		return VERSION;
	case APIC_TPR:
		return apic->tpr;
	case APIC_PPR:
		return apic_ppr(apic);
	case APIC_LDR:
		return apic->ldr;
	case APIC_DFR:
		return apic->dfr;
	case APIC_SVR:
		return apic->svr;
	case APIC_ISR ... APIC_ISR + 7:
		return vector_word(apic->isr, number - APIC_ISR);
	case APIC_TMR ... APIC_TMR + 7:
		return vector_word(apic->tmr, number - APIC_TMR);
	case APIC_IRR ... APIC_IRR + 7:
		return vector_word(apic->irr, number - APIC_IRR);
	case APIC_ESR:
		return apic->esr;
	case APIC_ICR:
		return (uint32_t)apic->icr;
	case APIC_ICR_HIGH:
		return (uint32_t)(apic->icr >> 32);
	case APIC_LVT ... APIC_LVT + LVT_COUNT - 1:
		return apic->lvt[number - APIC_LVT];
	case APIC_INITIAL_COUNT:
		return apic->initial_count;
	case APIC_CURRENT_COUNT:
		return apic_timer_count(apic);
	case APIC_DIVIDE:
		return apic->divide;
	case APIC_APR:
	case APIC_RRD:
	case APIC_EOI:
		return 0;
	default:
		apic_error(apic, ESR_ILLEGAL_REGISTER);
		return 0;
	}
}

static void svr_write(struct apic *apic, uint32_t value)
{
	apic->svr = value & SVR_WRITABLE;
	/* Section 10.4.7.2: a software-disabled APIC has its local vectors masked, and they stay
	 * so. */
	if (!(apic->svr & SVR_ENABLE))
		for (unsigned i = 0; i < LVT_COUNT; i++)
			apic->lvt[i] |= LVT_MASKED;
	apic->ops->changed(apic);
}

static void lvt_write(struct apic *apic, unsigned entry, uint32_t value)
{
	value &= lvt_writable[entry];
	if (!(apic->svr & SVR_ENABLE))
		value |= LVT_MASKED;
	if (entry == LVT_TIMER) {
		apic_timer_write_lvt(apic, value);
		return;
	}
	apic->lvt[entry] = value;
	apic->ops->changed(apic); /* LINT0 may let the 8259s in */
}

static void register_write(struct apic *apic, unsigned number, uint32_t value)
{
	switch (number) {
	case APIC_TPR:
		apic->tpr = value & 0xff;
		apic->ops->changed(apic);
		break;
	case APIC_EOI:
		apic_eoi(apic);
		break;
	case APIC_LDR:
		apic->ldr = value & 0xff000000;
		break;
	case APIC_DFR:
		apic->dfr = value | 0x0fffffff;
		break;
	case APIC_SVR:
		svr_write(apic, value);
		break;
	case APIC_ESR:
		apic->esr = apic->esr_pending;
		apic->esr_pending = 0;
		break;
	case APIC_ICR:
		apic_write_icr(apic, (apic->icr & ~0xffffffffull) |
					     (value & ~(ICR_RESERVED | ICR_DELIVERY_STATUS)));
		break;
	case APIC_ICR_HIGH:
		apic->icr = (apic->icr & 0xffffffff) | (uint64_t)(value & 0xff000000) << 32;
		break;
	case APIC_LVT ... APIC_LVT + LVT_COUNT - 1:
		lvt_write(apic, number - APIC_LVT, value);
		break;
	case APIC_INITIAL_COUNT:
		apic_timer_start(apic, value);
		break;
	case APIC_DIVIDE:
		apic_timer_write_divide(apic, value & DIVIDE_WRITABLE);
		break;
	case APIC_ID: /* fixed, as on processors since Nehalem */
	case APIC_VERSION ... APIC_VERSION + 4:
	case APIC_APR:
	case APIC_PPR:
	case APIC_RRD:
	case APIC_ISR ... APIC_IRR + 7:
	case APIC_CURRENT_COUNT:
		break;
	default:
		apic_error(apic, ESR_ILLEGAL_REGISTER);
		break;
	}
}

/* The two faces */

bool apic_in_memory(const struct apic *apic)
{
	return (apic->base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) == APIC_BASE_ENABLE;
}

uint32_t apic_read_memory(struct apic *apic, unsigned number)
{
	return register_read(apic, number);
}

void apic_write_memory(struct apic *apic, unsigned number, uint32_t value)
{
	register_write(apic, number, value);
}

bool apic_read_msr(struct apic *apic, unsigned number, uint64_t *value)
{
	if (!apic_is_x2apic(apic) || number >= REGISTERS || !x2apic_rules[number].readable)
		return false;
	*value = number == APIC_ICR ? apic->icr : register_read(apic, number);
	return true;
}

bool apic_write_msr(struct apic *apic, unsigned number, uint64_t value)
{
	if (!apic_is_x2apic(apic) || number >= REGISTERS || !x2apic_rules[number].writable ||
	    (value & x2apic_rules[number].reserved))
		return false;
	if (number == APIC_ICR)
		apic_write_icr(apic, value & ~(uint64_t)ICR_DELIVERY_STATUS);
	else if (number == APIC_SELF_IPI)
		apic_self_ipi(apic, (uint8_t)value);
	else
		register_write(apic, number, (uint32_t)value);
	return true;
}

/* IA32_APIC_BASE (section 10.4.4) and the transitions between modes (figure 10-27). */

/* Extended without enabled is invalid. */
static bool base_is_possible(uint64_t base)
{
	return !(base & ~(APIC_BASE_ADDRESS | APIC_BASE_BSP | BASE_MODES)) &&
	       (base & BASE_MODES) != APIC_BASE_X2APIC;
}

bool apic_write_base(struct apic *apic, uint64_t value)
{
	uint64_t before = apic->base & BASE_MODES, after = value & BASE_MODES;

	/* x2APIC mode is entered from xAPIC mode and left by disabling. */
	if (!base_is_possible(value) || (before == 0 && after == BASE_MODES) ||
	    (before == BASE_MODES && after == APIC_BASE_ENABLE))
		return false;
	apic->base = value;
	if (before && !after)
		apic_reset(apic, true, false);
	if (after == BASE_MODES && before != after)
		apic->ldr = apic_x2apic_ldr(apic);
	apic->ops->changed(apic);
	return true;
}

/* Loading */

void apic_copy(struct apic *to, const struct apic *from)
{
	const struct apic_ops *ops = to->ops;
	uint32_t id = to->id;

	*to = *from;
	to->ops = ops;
	to->id = id;
	if (apic_is_x2apic(to))
		to->ldr = apic_x2apic_ldr(to);
}

/* A bool whose byte somebody else wrote. */
static void bool_check(bool *value)
{
	uint8_t byte;

	bytes_copy(&byte, value, sizeof(byte));
	*value = byte != 0;
}

const char *apic_check(struct apic *apic)
{
	const char *wrong = NULL;

	bool_check(&apic->timer_running);
	bool_check(&apic->extint_message);
	bool_check(&apic->lint0);
	if (!base_is_possible(apic->base))
		wrong = "local APIC: base register has a value that cannot be";
	apic->tpr &= 0xff;
	apic->ldr = apic_is_x2apic(apic) ? apic_x2apic_ldr(apic) : apic->ldr & 0xff000000;
	apic->dfr |= 0x0fffffff;
	apic->svr &= SVR_WRITABLE;
	apic->divide &= DIVIDE_WRITABLE;
	apic->irr[0] &= ~0xffffull;
	apic->isr[0] &= ~0xffffull;
	for (unsigned i = 0; i < LVT_COUNT; i++)
		apic->lvt[i] &= lvt_writable[i];
	if (apic_timer_uses_deadline(apic))
		apic->initial_count = 0;
	else
		apic->timer_deadline = 0;
	if (!apic->initial_count)
		apic->timer_running = false;
	return wrong;
}
