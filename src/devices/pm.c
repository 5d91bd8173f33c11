/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI fixed hardware: ACPI specification 6.4, section 4.8. Both buttons are fixed-feature buttons;
 * SCI_EN reads as 1 for good, as on a machine whose FADT names no SMI command port.
 *
 * Not modelled: sleeping states but S5 (a guest that asks for one is not put to sleep), the RTC's
 * wake-up event, bus master arbitration, the global lock's release event.
 */
#include "devices/pm.h"

#include "core/vm.h"
#include "lib/check.h"
#include "lib/checked.h"

#define NANOSECONDS 1000000000u

#define STATUS_TIMER	    0x0001u
#define STATUS_POWER_BUTTON 0x0100u
#define STATUS_SLEEP_BUTTON 0x0200u
#define STATUS_WRITABLE	    0x8731u /* all are cleared by writing 1 */
#define ENABLE_WRITABLE	    0x0721u
#define CONTROL_SCI_EN	    0x0001u
#define CONTROL_WRITABLE    0x1c02u /* SLP_TYP, BM_RLD */
#define CONTROL_SLP_EN	    0x2000u
#define SLP_TYP_SHIFT	    10
#define TIMER_TOP	    0x80000000u

static uint32_t timer_value(const struct pm *pm)
{
	return (uint32_t)multiply_divide(vm_time(pm->vm), PM_TIMER_FREQUENCY, NANOSECONDS);
}

/* The timer's status rises whenever its top bit changes (section 4.8.3.3). */
static void timer_look(struct pm *pm)
{
	uint32_t value = timer_value(pm);

	if ((value ^ pm->timer_seen) & TIMER_TOP)
		pm->status |= STATUS_TIMER;
	pm->timer_seen = value;
}

static void timer_arm(struct pm *pm)
{
	uint64_t ticks = multiply_divide(vm_time(pm->vm), PM_TIMER_FREQUENCY, NANOSECONDS);
	uint64_t change = (ticks / TIMER_TOP + 1) * TIMER_TOP;

	if (!(pm->enable & STATUS_TIMER) || (pm->status & STATUS_TIMER))
		timer_set(&pm->timer, TIMER_NEVER);
	else
		timer_set(&pm->timer, multiply_divide(change, NANOSECONDS, PM_TIMER_FREQUENCY) + 1);
}

static void update(struct pm *pm)
{
	timer_look(pm);
	irq_set(&pm->sci,
		(pm->status & pm->enable & ENABLE_WRITABLE) || (pm->gpe_status & pm->gpe_enable));
	timer_arm(pm);
}

static void expired(struct timer *timer)
{
	update(container_of(timer, struct pm, timer));
}

void pm_power_button(struct pm *pm)
{
	pm->status |= STATUS_POWER_BUTTON;
	update(pm);
}

void pm_sleep_button(struct pm *pm)
{
	pm->status |= STATUS_SLEEP_BUTTON;
	update(pm);
}

void pm_gpe_raise(struct pm *pm, unsigned event)
{
	CHECK(event < 32);
	pm->gpe_status |= 1u << event;
	update(pm);
}

/* Registers */

static uint64_t event_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct pm *pm = container_of(region, struct pm, event);

	timer_look(pm);
	return offset ? pm->enable : pm->status;
}

static void event_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			bool *fault)
{
	struct pm *pm = container_of(region, struct pm, event);

	timer_look(pm);
	if (offset)
		pm->enable = (uint16_t)value & ENABLE_WRITABLE;
	else
		pm->status &= (uint16_t)~value;
	update(pm);
}

static uint64_t control_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return container_of(region, struct pm, control)->control_bits | CONTROL_SCI_EN;
}

static void control_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			  bool *fault)
{
	struct pm *pm = container_of(region, struct pm, control);
	unsigned type = value >> SLP_TYP_SHIFT & 7;

	pm->control_bits = (uint16_t)value & CONTROL_WRITABLE;
	if (!(value & CONTROL_SLP_EN))
		return;
	if (type == PM_S5) {
		vm_stop(pm->vm, VM_POWERED_OFF, 0);
	} else if (!pm->sleep_logged) {
		pm->sleep_logged = true;
		host_log(LOG_WARNING, "pm: the guest asks for a sleep of type %u; there is only %u",
			 type, PM_S5);
	}
}

static uint64_t timer_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return timer_value(container_of(region, struct pm, timer_port));
}

static void timer_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			bool *fault)
{
}

static uint64_t gpe_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	struct pm *pm = container_of(region, struct pm, gpe);
	uint32_t bits = offset < 4 ? pm->gpe_status : pm->gpe_enable;

	return bits >> (offset % 4 * 8) & 0xff;
}

static void gpe_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		      bool *fault)
{
	struct pm *pm = container_of(region, struct pm, gpe);
	unsigned shift = offset % 4 * 8;
	uint32_t bits = (uint32_t)(value & 0xff) << shift;

	if (offset < 4)
		pm->gpe_status &= ~bits;
	else
		pm->gpe_enable = (pm->gpe_enable & ~(0xffu << shift)) | bits;
	update(pm);
}

/* Registers are 16 bits wide, but for the GPE block, which is made of bytes (section 4.8.4.1). */
static const struct region_ops event_ops = {.read = event_read, .write = event_write, .sizes = 2};
static const struct region_ops control_ops = {
	.read = control_read, .write = control_write, .sizes = 2};
static const struct region_ops timer_ops = {.read = timer_read, .write = timer_write, .sizes = 4};
static const struct region_ops gpe_ops = {.read = gpe_read, .write = gpe_write, .sizes = 1};

/* The device */

static void pm_reset(struct device *device)
{
	struct pm *pm = container_of(device, struct pm, device);

	pm->status = pm->enable = pm->control_bits = 0;
	pm->gpe_status = pm->gpe_enable = 0;
	pm->timer_seen = timer_value(pm);
	update(pm);
}

static void pm_state(struct device *device, struct snapshot *snapshot)
{
	struct pm *pm = container_of(device, struct pm, device);

	snapshot_u16(snapshot, &pm->status);
	snapshot_u16(snapshot, &pm->enable);
	snapshot_u16(snapshot, &pm->control_bits);
	snapshot_u32(snapshot, &pm->gpe_status);
	snapshot_u32(snapshot, &pm->gpe_enable);
	snapshot_u32(snapshot, &pm->timer_seen);
	pm->status &= STATUS_WRITABLE;
	pm->enable &= ENABLE_WRITABLE;
	pm->control_bits &= CONTROL_WRITABLE;
}

static void pm_loaded(struct device *device)
{
	update(container_of(device, struct pm, device));
}

static const struct device_ops pm_ops = {
	.name = "pm",
	.version = 1,
	.reset = pm_reset,
	.state = pm_state,
	.loaded = pm_loaded,
};

void pm_init(struct pm *pm, struct vm *vm)
{
	*pm = (struct pm){.vm = vm};
	device_init(&pm->device, vm, &pm_ops, "0");
	pm->event = (struct region){.name = "pm event", .ops = &event_ops};
	pm->control = (struct region){.name = "pm control", .ops = &control_ops};
	pm->timer_port = (struct region){.name = "pm timer", .ops = &timer_ops};
	pm->gpe = (struct region){.name = "pm gpe", .ops = &gpe_ops};
	timer_init(&pm->timer, vm, expired);
	CHECK(!space_add(&vm->ports, &pm->event, PM_EVENT_PORT, 4));
	CHECK(!space_add(&vm->ports, &pm->control, PM_CONTROL_PORT, 2));
	CHECK(!space_add(&vm->ports, &pm->timer_port, PM_TIMER_PORT, 4));
	CHECK(!space_add(&vm->ports, &pm->gpe, PM_GPE_PORT, 8));
	pm_reset(&pm->device);
}
