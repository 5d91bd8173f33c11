/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Local APIC: its registers, in memory (SDM 3, table 10-1) and as MSRs (table 10-6), the base MSR
 * and the TSC deadline MSR. Both faces share one table of registers, indexed by the MSR's offset
 * from 0x800, which is the memory offset divided by 16.
 *
 * Not modelled: see lapic.c.
 */
#include "devices/lapic.h"

#include "core/host.h"

/* Version 0x14, six LVT entries, EOI broadcasts can be suppressed. */
#define VERSION		     (0x14u | (LVT_COUNT - 1) << 16 | 1u << 24)
#define SVR_WRITABLE	     0x11ffu
#define SVR_ENABLE	     0x100u
#define ICR_RESERVED	     0xfff32000u
#define ICR_DELIVERY_STATUS  0x1000u
#define ESR_ILLEGAL_REGISTER 0x80u
#define BASE_ADDRESS	     0xffffffffff000ull

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
const uint32_t lapic_lvt_writable[LVT_COUNT] = {
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

static const struct rule x2apic_rules[0x40] = {
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
	[APIC_DIVIDE] = READ_WRITE(~0xbull),
	[APIC_SELF_IPI] = WRITE_ONLY(~0xffull),
};

static uint32_t vector_word(const uint64_t *bits, unsigned word)
{
	return (uint32_t)(bits[word / 2] >> (word % 2 * 32));
}

/* A register that both faces have, or one of the older. An unknown one reads as 0. */
static uint32_t register_read(struct lapic *lapic, unsigned number)
{
	switch (number) {
	case APIC_ID:
		return lapic_is_x2apic(lapic) ? lapic_id(lapic) : lapic_id(lapic) << 24;
	case APIC_VERSION:
		return VERSION;
	case APIC_TPR:
		return lapic->tpr;
	case APIC_PPR:
		return lapic_ppr(lapic);
	case APIC_LDR:
		return lapic->ldr;
	case APIC_DFR:
		return lapic->dfr;
	case APIC_SVR:
		return lapic->svr;
	case APIC_ISR ... APIC_ISR + 7:
		return vector_word(lapic->isr, number - APIC_ISR);
	case APIC_TMR ... APIC_TMR + 7:
		return vector_word(lapic->tmr, number - APIC_TMR);
	case APIC_IRR ... APIC_IRR + 7:
		return vector_word(lapic->irr, number - APIC_IRR);
	case APIC_ESR:
		return lapic->esr;
	case APIC_ICR:
		return (uint32_t)lapic->icr;
	case APIC_ICR_HIGH:
		return (uint32_t)(lapic->icr >> 32);
	case APIC_LVT ... APIC_LVT + LVT_COUNT - 1:
		return lapic->lvt[number - APIC_LVT];
	case APIC_INITIAL_COUNT:
		return lapic->initial_count;
	case APIC_CURRENT_COUNT:
		return lapic_timer_current_count(lapic);
	case APIC_DIVIDE:
		return lapic->divide;
	case APIC_APR:
	case APIC_RRD:
	case APIC_EOI:
		return 0;
	default:
		lapic_error(lapic, ESR_ILLEGAL_REGISTER);
		return 0;
	}
}

static void svr_write(struct lapic *lapic, uint32_t value)
{
	lapic->svr = value & SVR_WRITABLE;
	/* Section 10.4.7.2: a software-disabled APIC has its local vectors masked, and they stay
	 * so. */
	if (!(lapic->svr & SVR_ENABLE))
		for (unsigned i = 0; i < LVT_COUNT; i++)
			lapic->lvt[i] |= LVT_MASKED;
	lapic_update(lapic);
}

static void lvt_write(struct lapic *lapic, unsigned entry, uint32_t value)
{
	value &= lapic_lvt_writable[entry];
	if (!(lapic->svr & SVR_ENABLE))
		value |= LVT_MASKED;
	if (entry == LVT_TIMER) {
		lapic_timer_lvt_write(lapic, value);
		return;
	}
	lapic->lvt[entry] = value;
	lapic_update(lapic); /* LINT0 may let the 8259s in */
}

static void register_write(struct lapic *lapic, unsigned number, uint32_t value)
{
	switch (number) {
	case APIC_TPR:
		lapic->tpr = value & 0xff;
		lapic_update(lapic);
		break;
	case APIC_EOI:
		lapic_eoi(lapic);
		break;
	case APIC_LDR:
		lapic->ldr = value & 0xff000000;
		break;
	case APIC_DFR:
		lapic->dfr = value | 0x0fffffff;
		break;
	case APIC_SVR:
		svr_write(lapic, value);
		break;
	case APIC_ESR:
		lapic->esr = lapic->esr_pending;
		lapic->esr_pending = 0;
		break;
	case APIC_ICR:
		lapic_icr_write(lapic, (lapic->icr & ~0xffffffffull) |
					       (value & ~(ICR_RESERVED | ICR_DELIVERY_STATUS)));
		break;
	case APIC_ICR_HIGH:
		lapic->icr = (lapic->icr & 0xffffffff) | (uint64_t)(value & 0xff000000) << 32;
		break;
	case APIC_LVT ... APIC_LVT + LVT_COUNT - 1:
		lvt_write(lapic, number - APIC_LVT, value);
		break;
	case APIC_INITIAL_COUNT:
		lapic_timer_start(lapic, value);
		break;
	case APIC_DIVIDE:
		lapic_timer_divide_write(lapic, value & 0xb);
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
		lapic_error(lapic, ESR_ILLEGAL_REGISTER);
		break;
	}
}

/* Memory */

/* The APIC of the vcpu whose access this is, if its registers are in memory now. */
static struct lapic *mmio_lapic(struct region *region)
{
	struct lapics *lapics = container_of(region, struct lapics, mmio);
	struct vcpu *vcpu = lapics->vm->current;
	struct lapic *lapic = vcpu ? vcpu->interrupts_private : NULL;

	if (!lapic || !(lapic->base & APIC_BASE_ENABLE) || lapic_is_x2apic(lapic))
		return NULL;
	return lapic;
}

static uint64_t mmio_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct lapic *lapic = mmio_lapic(region);

	if (!lapic)
		return UINT64_MAX;
	/* Registers are 16 bytes apart; what lies between is undefined (section 10.4.1). */
	return offset & 15 || offset >= 0x400 ? 0 : register_read(lapic, (unsigned)offset >> 4);
}

static void mmio_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		       bool *fault)
{
	struct lapic *lapic = mmio_lapic(region);

	if (lapic && !(offset & 15) && offset < 0x400)
		register_write(lapic, (unsigned)offset >> 4, (uint32_t)value);
}

const struct region_ops lapic_mmio_ops = {.read = mmio_read, .write = mmio_write, .sizes = 4};

/* x2APIC */

static uint64_t x2apic_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct lapic *lapic = container_of(region, struct lapic, x2apic_msrs);

	if (!lapic_is_x2apic(lapic) || !x2apic_rules[offset & 0x3f].readable) {
		*fault = true;
		return 0;
	}
	return offset == APIC_ICR ? lapic->icr : register_read(lapic, (unsigned)offset);
}

static void x2apic_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			 bool *fault)
{
	struct lapic *lapic = container_of(region, struct lapic, x2apic_msrs);
	const struct rule *rule = &x2apic_rules[offset & 0x3f];

	if (!lapic_is_x2apic(lapic) || !rule->writable || (value & rule->reserved))
		*fault = true;
	else if (offset == APIC_ICR)
		lapic_icr_write(lapic, value & ~(uint64_t)ICR_DELIVERY_STATUS);
	else if (offset == APIC_SELF_IPI)
		lapic_self_ipi(lapic, (uint8_t)value);
	else
		register_write(lapic, (unsigned)offset, (uint32_t)value);
}

const struct region_ops lapic_x2apic_msrs_ops = {
	.read = x2apic_read, .write = x2apic_write, .sizes = 8};

/* IA32_APIC_BASE (section 10.4.4) and the transitions between modes (figure 10-27). */

static uint64_t base_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return container_of(region, struct lapic, base_msr)->base;
}

static void mode_set(struct lapic *lapic, uint64_t base)
{
	uint64_t changed = lapic->base ^ base;

	lapic->base = base;
	if ((changed & APIC_BASE_ENABLE) && !(base & APIC_BASE_ENABLE))
		lapic_reset(lapic, true);
	if ((changed & APIC_BASE_X2APIC) && lapic_is_x2apic(lapic))
		lapic->ldr = lapic_x2apic_ldr(lapic);
	lapic_update(lapic);
}

static void base_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		       bool *fault)
{
	struct lapic *lapic = container_of(region, struct lapic, base_msr);
	const uint64_t modes = APIC_BASE_X2APIC | APIC_BASE_ENABLE;
	uint64_t before = lapic->base & modes, after = value & modes;

	/* x2APIC mode is entered from xAPIC mode and left by disabling; extended without enabled is
	 * invalid. */
	if ((value & ~(BASE_ADDRESS | APIC_BASE_BSP | modes)) || after == APIC_BASE_X2APIC ||
	    (before == 0 && after == modes) || (before == modes && after == APIC_BASE_ENABLE)) {
		*fault = true;
		return;
	}
	if ((value & BASE_ADDRESS) != LAPIC_ADDRESS && !lapic->moved_logged) {
		host_log(LOG_WARNING,
			 "lapic %u: registers moved to 0x%llx by the guest stay at 0x%x",
			 lapic_id(lapic), (unsigned long long)(value & BASE_ADDRESS),
			 LAPIC_ADDRESS);
		lapic->moved_logged = true;
	}
	mode_set(lapic, value);
}

const struct region_ops lapic_base_msr_ops = {.read = base_read, .write = base_write, .sizes = 8};

/* IA32_TSC_DEADLINE */

static uint64_t deadline_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return container_of(region, struct lapic, deadline_msr)->timer_deadline;
}

static void deadline_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			   bool *fault)
{
	lapic_timer_deadline_write(container_of(region, struct lapic, deadline_msr), value);
}

const struct region_ops lapic_deadline_msr_ops = {
	.read = deadline_read, .write = deadline_write, .sizes = 8};
