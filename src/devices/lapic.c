/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Local APIC: acceptance, priorities, delivery to the processor. Intel SDM volume 3, chapter 10
 * ("Advanced Programmable Interrupt Controller").
 *
 * Not modelled: SMIs, the CMCI and thermal sources (their LVT entries hold what is written),
 * arbitration (APR and RRD read as zero), a relocated register page (the base MSR takes the
 * address, the page stays), level-triggered LINT pins in fixed mode (they act as edges), writes to
 * the APIC id.
 */
#include "devices/lapic.h"

#include "lib/check.h"
#include "lib/error.h"

#define SVR_ENABLE	 0x100u
#define SVR_NO_BROADCAST 0x1000u
#define SVR_WRITABLE	 0x11ffu
#define BASE_RESERVED	 (~(0xffffffffff000ull | APIC_BASE_BSP | APIC_BASE_X2APIC | APIC_BASE_ENABLE))

bool lapic_software_enabled(const struct lapic *lapic)
{
	return (lapic->base & APIC_BASE_ENABLE) && (lapic->svr & SVR_ENABLE);
}

bool lapic_is_x2apic(const struct lapic *lapic)
{
	return lapic->base & APIC_BASE_X2APIC;
}

uint32_t lapic_id(const struct lapic *lapic)
{
	return lapic->vcpu->id;
}

/* Section 10.12.10.2. */
uint32_t lapic_x2apic_ldr(const struct lapic *lapic)
{
	return (lapic_id(lapic) >> 4) << 16 | 1u << (lapic_id(lapic) & 15);
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
uint8_t lapic_ppr(const struct lapic *lapic)
{
	int in_service = vector_highest(lapic->isr);
	unsigned class = in_service < 0 ? 0 : (unsigned)in_service & 0xf0;

	return (uint8_t)((lapic->tpr & 0xf0) >= class ? lapic->tpr : class);
}

/* The vector that the processor would be given now, or -1. */
static int deliverable(const struct lapic *lapic)
{
	int vector = vector_highest(lapic->irr);

	if (vector < 0 || !lapic_software_enabled(lapic))
		return -1;
	return (vector & 0xf0) > (lapic_ppr(lapic) & 0xf0) ? vector : -1;
}

/*
 * Whether the 8259s are to be asked. An APIC that is off is not in the way of the first processor's
 * INTR pin; the pin counts in ExtINT mode even while the APIC is disabled by software, since
 * firmware leaves it so (MP specification, "virtual wire").
 */
static bool extint(const struct lapic *lapic)
{
	uint32_t lint0 = lapic->lvt[LVT_LINT0];

	if (lapic->extint_message)
		return true;
	if (!lapic->all->lint[0])
		return false;
	if (!(lapic->base & APIC_BASE_ENABLE))
		return lapic->vcpu->id == 0;
	return !(lint0 & LVT_MASKED) && (lint0 >> 8 & 7) == APIC_EXTINT;
}

void lapic_update(struct lapic *lapic)
{
	bool want = deliverable(lapic) >= 0 || extint(lapic);
	uint32_t pending = atomic_load_explicit(&lapic->vcpu->pending, memory_order_relaxed);

	/* The bit changes only here, under the vm's lock, so it needn't be set twice. */
	if (want == !!(pending & PENDING_INTERRUPT))
		return;
	if (want)
		vcpu_post(lapic->vcpu, PENDING_INTERRUPT);
	else
		vcpu_withdraw(lapic->vcpu, PENDING_INTERRUPT);
}

void lapic_accept(struct lapic *lapic, uint8_t vector, bool level)
{
	if (!lapic_software_enabled(lapic))
		return;
	if (vector < 16) {
		lapic_error(lapic, 0x40); /* received illegal vector */
		return;
	}
	vector_set(lapic->irr, vector);
	if (level)
		vector_set(lapic->tmr, vector);
	else
		vector_clear(lapic->tmr, vector);
	lapic_update(lapic);
}

/* Section 10.5.3. */
void lapic_error(struct lapic *lapic, uint32_t bits)
{
	bool illegal_error_vector = (lapic->lvt[LVT_ERROR] & 0xff) < 16;

	lapic->esr_pending |= bits;
	/* An error vector that is itself illegal must not report itself for ever. */
	if (!illegal_error_vector)
		lapic_local_interrupt(lapic, LVT_ERROR);
}

void lapic_local_interrupt(struct lapic *lapic, unsigned entry)
{
	struct apic_message message = {
		.mode = lapic->lvt[entry] >> 8 & 7,
		.vector = (uint8_t)lapic->lvt[entry],
	};

	if (lapic->lvt[entry] & LVT_MASKED || !(lapic->base & APIC_BASE_ENABLE))
		return;
	/* ExtINT follows the pin's level, in extint(); start-up and lowest priority don't exist
	 * here. */
	if (message.mode != APIC_EXTINT && message.mode != APIC_SIPI &&
	    message.mode != APIC_LOWEST_PRIORITY)
		lapic_receive(lapic, &message);
}

/* Section 10.8.5. */
void lapic_eoi(struct lapic *lapic)
{
	struct lapics *all = lapic->all;
	int vector = vector_highest(lapic->isr);

	if (vector < 0)
		return;
	vector_clear(lapic->isr, (uint8_t)vector);
	if (vector_test(lapic->tmr, (uint8_t)vector) && !(lapic->svr & SVR_NO_BROADCAST) &&
	    all->eoi)
		all->eoi(all->eoi_listener, (uint8_t)vector);
	lapic_update(lapic);
}

void lapics_lint_set(void *listener, unsigned input, bool level)
{
	struct lapics *lapics = listener;

	if (input > 1 || lapics->lint[input] == level)
		return;
	lapics->lint[input] = level;
	for (unsigned i = 0; i < lapics->count; i++) {
		struct lapic *lapic = &lapics->lapic[i];

		if (level)
			lapic_local_interrupt(lapic, LVT_LINT0 + input);
		/* Without an APIC in between, the second pin is the processor's NMI. */
		if (level && input == 1 && i == 0 && !(lapic->base & APIC_BASE_ENABLE))
			vcpu_post(lapic->vcpu, PENDING_NMI);
		lapic_update(lapic);
	}
}

/* What the processor asks */

static int lapic_acknowledge(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->interrupts_private;
	int vector;

	if (extint(lapic)) {
		lapic->extint_message = false;
		vector = lapic->all->pic_acknowledge ? lapic->all->pic_acknowledge(lapic->all->pic)
						     : -1;
	} else {
		vector = deliverable(lapic);
		if (vector >= 0) {
			vector_clear(lapic->irr, (uint8_t)vector);
			vector_set(lapic->isr, (uint8_t)vector);
		}
	}
	lapic_update(lapic);
	return vector;
}

static uint64_t lapic_get_tpr(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->interrupts_private;

	return lapic->tpr >> 4;
}

static void lapic_set_tpr(struct vcpu *vcpu, uint64_t cr8)
{
	struct lapic *lapic = vcpu->interrupts_private;

	lapic->tpr = (uint32_t)(cr8 & 15) << 4;
	lapic_update(lapic);
}

static void lapic_init_signal(struct vcpu *vcpu)
{
	lapic_reset(vcpu->interrupts_private, true);
}

static const struct interrupt_controller lapic_controller = {
	.acknowledge = lapic_acknowledge,
	.get_tpr = lapic_get_tpr,
	.set_tpr = lapic_set_tpr,
	.init = lapic_init_signal,
};

/* The device */

/* Section 10.4.7: INIT keeps the base MSR, and with it the mode. */
void lapic_reset(struct lapic *lapic, bool init)
{
	if (!init)
		lapic->base = LAPIC_ADDRESS | APIC_BASE_ENABLE |
			      (lapic->vcpu->id == 0 ? APIC_BASE_BSP : 0);
	lapic->tpr = 0;
	lapic->ldr = lapic_is_x2apic(lapic) ? lapic_x2apic_ldr(lapic) : 0;
	lapic->dfr = 0xffffffff;
	lapic->svr = 0xff;
	lapic->esr = 0;
	lapic->esr_pending = 0;
	lapic->icr = 0;
	for (unsigned i = 0; i < LVT_COUNT; i++)
		lapic->lvt[i] = LVT_MASKED;
	lapic->divide = 0;
	lapic->initial_count = 0;
	lapic->timer_running = false;
	lapic->timer_start = 0;
	lapic->timer_deadline = 0;
	for (unsigned i = 0; i < 4; i++)
		lapic->irr[i] = lapic->isr[i] = lapic->tmr[i] = 0;
	lapic->extint_message = false;
	timer_set(&lapic->timer, TIMER_NEVER);
	lapic_update(lapic);
}

static void lapics_reset(struct device *device)
{
	struct lapics *lapics = container_of(device, struct lapics, device);

	lapics->last_lowest = 0;
	lapics->lint[0] = lapics->lint[1] = false;
	for (unsigned i = 0; i < lapics->count; i++)
		lapic_reset(&lapics->lapic[i], false);
	/* Virtual wire mode, in which firmware leaves the first processor (MP specification,
	 * section 3.6.2.2). */
	lapics->lapic[0].lvt[LVT_LINT0] = APIC_EXTINT << 8;
}

static void lapic_state(struct lapic *lapic, struct snapshot *snapshot)
{
	snapshot_u64(snapshot, &lapic->base);
	snapshot_u32(snapshot, &lapic->tpr);
	snapshot_u32(snapshot, &lapic->ldr);
	snapshot_u32(snapshot, &lapic->dfr);
	snapshot_u32(snapshot, &lapic->svr);
	snapshot_u32(snapshot, &lapic->esr);
	snapshot_u32(snapshot, &lapic->esr_pending);
	snapshot_u64(snapshot, &lapic->icr);
	for (unsigned i = 0; i < LVT_COUNT; i++)
		snapshot_u32(snapshot, &lapic->lvt[i]);
	snapshot_u32(snapshot, &lapic->divide);
	snapshot_u32(snapshot, &lapic->initial_count);
	snapshot_bool(snapshot, &lapic->timer_running);
	snapshot_u64(snapshot, &lapic->timer_start);
	snapshot_u64(snapshot, &lapic->timer_deadline);
	for (unsigned i = 0; i < 4; i++) {
		snapshot_u64(snapshot, &lapic->irr[i]);
		snapshot_u64(snapshot, &lapic->isr[i]);
		snapshot_u64(snapshot, &lapic->tmr[i]);
	}
	snapshot_bool(snapshot, &lapic->extint_message);
}

/* What was loaded is made one of the states that a guest can reach. */
static void lapic_check(struct lapic *lapic, struct snapshot *snapshot)
{
	if ((lapic->base & BASE_RESERVED) ||
	    (lapic->base & (APIC_BASE_X2APIC | APIC_BASE_ENABLE)) == APIC_BASE_X2APIC)
		snapshot_fail(snapshot, "local APIC: base register has a value that cannot be");
	lapic->tpr &= 0xff;
	lapic->ldr = lapic_is_x2apic(lapic) ? lapic_x2apic_ldr(lapic) : lapic->ldr & 0xff000000;
	lapic->dfr |= 0x0fffffff;
	lapic->svr &= SVR_WRITABLE;
	lapic->divide &= 0xb;
	lapic->moved_logged = false;
	lapic->irr[0] &= ~0xffffull;
	lapic->isr[0] &= ~0xffffull;
	for (unsigned i = 0; i < LVT_COUNT; i++)
		lapic->lvt[i] &= lapic_lvt_writable[i];
	if (lapic_timer_uses_deadline(lapic))
		lapic->initial_count = 0;
	else
		lapic->timer_deadline = 0;
	if (!lapic->initial_count)
		lapic->timer_running = false;
}

static void lapics_state(struct device *device, struct snapshot *snapshot)
{
	struct lapics *lapics = container_of(device, struct lapics, device);
	uint32_t count = lapics->count, last = lapics->last_lowest;

	snapshot_u32(snapshot, &count);
	snapshot_u32(snapshot, &last);
	snapshot_bool(snapshot, &lapics->lint[0]);
	snapshot_bool(snapshot, &lapics->lint[1]);
	if (count != lapics->count)
		snapshot_fail(snapshot, "local APIC: saved with another number of processors");
	lapics->last_lowest = last % lapics->count;
	for (unsigned i = 0; i < lapics->count; i++) {
		lapic_state(&lapics->lapic[i], snapshot);
		if (snapshot->loading)
			lapic_check(&lapics->lapic[i], snapshot);
	}
}

static void lapics_loaded(struct device *device)
{
	struct lapics *lapics = container_of(device, struct lapics, device);

	for (unsigned i = 0; i < lapics->count; i++) {
		lapic_timer_arm(&lapics->lapic[i]);
		lapic_update(&lapics->lapic[i]);
	}
}

static const struct device_ops lapics_ops = {
	.name = "lapic",
	.version = 1,
	.reset = lapics_reset,
	.state = lapics_state,
	.loaded = lapics_loaded,
};

static void lapic_init(struct lapic *lapic, struct lapics *all, struct vcpu *vcpu)
{
	lapic->all = all;
	lapic->vcpu = vcpu;
	lapic->base_msr = (struct region){.name = "apic base", .ops = &lapic_base_msr_ops};
	lapic->deadline_msr =
		(struct region){.name = "tsc deadline", .ops = &lapic_deadline_msr_ops};
	lapic->x2apic_msrs = (struct region){.name = "x2apic", .ops = &lapic_x2apic_msrs_ops};
	CHECK(!space_add(&vcpu->msrs, &lapic->base_msr, 0x1b, 1));
	CHECK(!space_add(&vcpu->msrs, &lapic->deadline_msr, 0x6e0, 1));
	CHECK(!space_add(&vcpu->msrs, &lapic->x2apic_msrs, 0x800, 0x40));
	timer_init(&lapic->timer, vcpu->vm, lapic_timer_expired);
	vcpu->interrupts_private = lapic;
	vcpu->interrupts = &lapic_controller;
}

void lapics_init(struct lapics *lapics, struct vm *vm)
{
	*lapics = (struct lapics){.vm = vm, .count = vm->vcpu_count};
	CHECK(lapics->count >= 1 && lapics->count <= VM_VCPUS_MAX);
	device_init(&lapics->device, vm, &lapics_ops, "0");
	lapics->mmio = (struct region){.name = "lapic", .ops = &lapic_mmio_ops};
	CHECK(!space_add(&vm->mmio, &lapics->mmio, LAPIC_ADDRESS, 0x1000));
	for (unsigned i = 0; i < lapics->count; i++)
		lapic_init(&lapics->lapic[i], lapics, vm->vcpus[i]);
	lapics_reset(&lapics->device);
}
