/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Local APICs: where a guest finds the registers of the model (x86/apic.h), in memory and as MSRs.
 *
 * Not modelled: see x86/apic.h.
 */
#include "devices/lapic.h"
#include "lib/check.h"

#define BASE_MSR     0x1b
#define DEADLINE_MSR 0x6e0
#define X2APIC_MSRS  0x800
#define REGISTERS    0x40

/* The APIC of the vcpu whose access this is, if its registers are in memory now. */
static struct apic *memory_apic(struct region *region)
{
	struct vcpu *vcpu = container_of(region, struct lapics, mmio)->vm->current;
	struct lapic *lapic = vcpu ? vcpu->interrupts_private : NULL;

	return lapic && apic_in_memory(&lapic->apic) ? &lapic->apic : NULL;
}

static uint64_t mmio_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct apic *apic = memory_apic(region);

	if (!apic)
		return UINT64_MAX;
	/* Registers are 16 bytes apart; what lies between is undefined (section 10.4.1). */
	return offset & 15 || offset >= REGISTERS * 16
		       ? 0
		       : apic_read_memory(apic, (unsigned)offset >> 4);
}

static void mmio_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		       bool *fault)
{
	struct apic *apic = memory_apic(region);

	if (apic && !(offset & 15) && offset < REGISTERS * 16)
		apic_write_memory(apic, (unsigned)offset >> 4, (uint32_t)value);
}

static const struct region_ops mmio_ops = {.read = mmio_read, .write = mmio_write, .sizes = 4};

static uint64_t x2apic_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	uint64_t value = 0;

	*fault = !apic_read_msr(&container_of(region, struct lapic, x2apic_msrs)->apic,
				(unsigned)offset, &value);
	return value;
}

static void x2apic_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			 bool *fault)
{
	*fault = !apic_write_msr(&container_of(region, struct lapic, x2apic_msrs)->apic,
				 (unsigned)offset, value);
}

static const struct region_ops x2apic_ops = {
	.read = x2apic_read, .write = x2apic_write, .sizes = 8};

static uint64_t base_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return container_of(region, struct lapic, base_msr)->apic.base;
}

static void base_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		       bool *fault)
{
	struct lapic *lapic = container_of(region, struct lapic, base_msr);
	uint64_t address = value & APIC_BASE_ADDRESS;

	*fault = !apic_write_base(&lapic->apic, value);
	if (*fault || address == APIC_ADDRESS || lapic->moved_logged)
		return;
	host_log(LOG_WARNING, "lapic %u: registers moved to 0x%llx by the guest stay at 0x%x",
		 lapic->apic.id, (unsigned long long)address, APIC_ADDRESS);
	lapic->moved_logged = true;
}

static const struct region_ops base_ops = {.read = base_read, .write = base_write, .sizes = 8};

static uint64_t deadline_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return apic_read_deadline(&container_of(region, struct lapic, deadline_msr)->apic);
}

static void deadline_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			   bool *fault)
{
	apic_write_deadline(&container_of(region, struct lapic, deadline_msr)->apic, value);
}

static const struct region_ops deadline_ops = {
	.read = deadline_read, .write = deadline_write, .sizes = 8};

void lapic_registers_init(struct lapic *lapic)
{
	struct space *msrs = &lapic->vcpu->msrs;

	lapic->base_msr = (struct region){.name = "apic base", .ops = &base_ops};
	lapic->deadline_msr = (struct region){.name = "tsc deadline", .ops = &deadline_ops};
	lapic->x2apic_msrs = (struct region){.name = "x2apic", .ops = &x2apic_ops};
	CHECK(!space_add(msrs, &lapic->base_msr, BASE_MSR, 1));
	CHECK(!space_add(msrs, &lapic->deadline_msr, DEADLINE_MSR, 1));
	CHECK(!space_add(msrs, &lapic->x2apic_msrs, X2APIC_MSRS, REGISTERS));
}

void lapics_registers_init(struct lapics *lapics)
{
	lapics->mmio = (struct region){.name = "lapic", .ops = &mmio_ops};
	CHECK(!space_add(&lapics->vm->mmio, &lapics->mmio, APIC_ADDRESS, 0x1000));
}
