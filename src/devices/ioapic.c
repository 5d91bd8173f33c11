/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * I/O APIC: Intel 82093AA datasheet (290566), registers in section 3.2; EOI register of the ICH9.
 *
 * Not modelled: polarity (inputs are asserted or not), the APIC bus and its arbitration, retrying a
 * message that nobody took before the next change of its input or entry.
 */
#include "devices/ioapic.h"

#include "devices/lapic.h"
#include "lib/check.h"

#define VERSION (0x20u | (IOAPIC_INPUTS - 1) << 16)

#define ENTRY_LOGICAL	 0x800ull
#define ENTRY_REMOTE_IRR 0x4000ull
#define ENTRY_LEVEL	 0x8000ull
#define ENTRY_MASKED	 0x10000ull
#define ENTRY_READ_ONLY	 0x5000ull /* delivery status, remote IRR */
#define ENTRY_EXISTS	 0xff0000000001ffffull

enum { IOREGSEL = 0x00, IOWIN = 0x10, EOIR = 0x40 };
enum { IOAPICID = 0x00, IOAPICVER = 0x01, IOAPICARB = 0x02, IOREDTBL = 0x10 };

static bool send(struct ioapic *ioapic, unsigned input)
{
	uint64_t entry = ioapic->entry[input];
	struct apic_message message = {
		.destination = (uint32_t)(entry >> 56),
		.logical = entry & ENTRY_LOGICAL,
		.level = entry & ENTRY_LEVEL,
		.mode = entry >> 8 & 7,
		.vector = (uint8_t)entry,
	};

	message.broadcast = message.destination == 0xff;
	return lapics_deliver(ioapic->lapics, &message);
}

/* Sends a level-triggered input's message if it is asserted and the last one has been seen to. */
static void level_service(struct ioapic *ioapic, unsigned input)
{
	uint64_t *entry = &ioapic->entry[input];

	if ((*entry & (ENTRY_LEVEL | ENTRY_MASKED | ENTRY_REMOTE_IRR)) != ENTRY_LEVEL)
		return;
	if ((ioapic->lines >> input & 1) && send(ioapic, input))
		*entry |= ENTRY_REMOTE_IRR;
}

void ioapic_set(void *listener, unsigned input, bool level)
{
	struct ioapic *ioapic = listener;
	uint32_t bit = 1u << input;

	CHECK(input < IOAPIC_INPUTS);
	if (!!(ioapic->lines & bit) == level)
		return;
	ioapic->lines ^= bit;
	if (!level)
		return;
	if (ioapic->entry[input] & ENTRY_LEVEL)
		level_service(ioapic, input);
	else if (!(ioapic->entry[input] & ENTRY_MASKED))
		send(ioapic,
		     input); /* an edge while masked is lost (section 3.2.4, interrupt mask) */
}

static void ioapic_eoi(void *listener, uint8_t vector)
{
	struct ioapic *ioapic = listener;

	for (unsigned i = 0; i < IOAPIC_INPUTS; i++) {
		if ((uint8_t)ioapic->entry[i] != vector || !(ioapic->entry[i] & ENTRY_REMOTE_IRR))
			continue;
		ioapic->entry[i] &= ~ENTRY_REMOTE_IRR;
		level_service(ioapic, i);
	}
}

static void entry_write(struct ioapic *ioapic, unsigned input, unsigned half, uint32_t value)
{
	uint64_t *entry = &ioapic->entry[input];
	uint64_t mask = half ? 0xffffffff00000000ull : 0xffffffff;
	uint64_t wanted = (*entry & ~mask) | ((uint64_t)value << (32 * half) & mask);

	wanted = (wanted & ~ENTRY_READ_ONLY) | (*entry & ENTRY_READ_ONLY);
	/* Only a level-triggered input has a remote IRR; going through edge mode is how software
	 * without the EOI register clears it. */
	if (!(wanted & ENTRY_LEVEL))
		wanted &= ~ENTRY_REMOTE_IRR;
	*entry = wanted & ENTRY_EXISTS;
	level_service(ioapic, input);
}

static uint32_t register_read(const struct ioapic *ioapic, unsigned number)
{
	switch (number) {
	case IOAPICID:
	case IOAPICARB:
		return ioapic->id << 24;
	case IOAPICVER:
		return VERSION;
	case IOREDTBL ... IOREDTBL + 2 * IOAPIC_INPUTS - 1:
		number -= IOREDTBL;
		return (uint32_t)(ioapic->entry[number / 2] >> (number % 2 * 32));
	default:
		return 0;
	}
}

static uint64_t ioapic_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct ioapic *ioapic = container_of(region, struct ioapic, region);

	if (offset == IOREGSEL)
		return ioapic->select;
	return offset == IOWIN ? register_read(ioapic, ioapic->select) : 0;
}

static void ioapic_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			 bool *fault)
{
	struct ioapic *ioapic = container_of(region, struct ioapic, region);
	unsigned number = ioapic->select;

	if (offset == IOREGSEL) {
		ioapic->select = (uint8_t)value;
	} else if (offset == EOIR) {
		ioapic_eoi(ioapic, (uint8_t)value);
	} else if (offset == IOWIN && number == IOAPICID) {
		ioapic->id = value >> 24 & 15;
	} else if (offset == IOWIN && number >= IOREDTBL && number < IOREDTBL + 2 * IOAPIC_INPUTS) {
		number -= IOREDTBL;
		entry_write(ioapic, number / 2, number % 2, (uint32_t)value);
	}
}

static const struct region_ops region_ops = {
	.read = ioapic_read, .write = ioapic_write, .sizes = 4};

static void ioapic_reset(struct device *device)
{
	struct ioapic *ioapic = container_of(device, struct ioapic, device);

	ioapic->select = 0;
	ioapic->lines = 0;
	for (unsigned i = 0; i < IOAPIC_INPUTS; i++)
		ioapic->entry[i] = ENTRY_MASKED;
}

static void ioapic_state(struct device *device, struct snapshot *snapshot)
{
	struct ioapic *ioapic = container_of(device, struct ioapic, device);

	snapshot_u32(snapshot, &ioapic->select);
	snapshot_u32(snapshot, &ioapic->id);
	snapshot_u32(snapshot, &ioapic->lines);
	for (unsigned i = 0; i < IOAPIC_INPUTS; i++) {
		uint64_t *entry = &ioapic->entry[i];

		snapshot_u64(snapshot, entry);
		*entry &= ENTRY_EXISTS & ~0x1000ull;
		if (!(*entry & ENTRY_LEVEL))
			*entry &= ~ENTRY_REMOTE_IRR;
	}
	ioapic->select &= 0xff;
	ioapic->id &= 15;
	ioapic->lines &= (1u << IOAPIC_INPUTS) - 1;
}

/* An engine may know of an interrupt's end, and not have told, when it is asked for its APICs. */
static void ioapic_loaded(struct device *device)
{
	struct ioapic *ioapic = container_of(device, struct ioapic, device);

	for (unsigned i = 0; i < IOAPIC_INPUTS; i++) {
		uint8_t vector = (uint8_t)ioapic->entry[i];

		if ((ioapic->entry[i] & ENTRY_REMOTE_IRR) &&
		    !lapics_await_end(ioapic->lapics, vector))
			ioapic_eoi(ioapic, vector);
	}
}

static const struct device_ops ioapic_ops = {
	.name = "ioapic",
	.version = 1,
	.reset = ioapic_reset,
	.state = ioapic_state,
	.loaded = ioapic_loaded,
};

void ioapic_init(struct ioapic *ioapic, struct vm *vm, struct lapics *lapics, uint8_t id)
{
	*ioapic = (struct ioapic){.lapics = lapics, .id = id & 15u};
	device_init(&ioapic->device, vm, &ioapic_ops, "0");
	ioapic->region = (struct region){.name = "ioapic", .ops = &region_ops};
	CHECK(!space_add(&vm->mmio, &ioapic->region, IOAPIC_ADDRESS, 0x1000));
	lapics->eoi = ioapic_eoi;
	lapics->eoi_listener = ioapic;
	ioapic_reset(&ioapic->device);
}
