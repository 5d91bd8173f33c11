/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI's fixed hardware: power management events, control, timer and general-purpose events.
 * ACPI 6.4, section 4.8. */
#ifndef DEVICES_PM_H
#define DEVICES_PM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"
#include "core/irq.h"
#include "core/snapshot.h"
#include "core/space.h"
#include "core/timer.h"

/* Ports, for the FADT. */
#define PM_EVENT_PORT	   0x600 /* PM1a_EVT_BLK, 4 bytes: status, enable */
#define PM_CONTROL_PORT	   0x604 /* PM1a_CNT_BLK, 2 bytes */
#define PM_TIMER_PORT	   0x608 /* PM_TMR_BLK, 4 bytes; 32 bits wide */
#define PM_GPE_PORT	   0x620 /* GPE0_BLK, 8 bytes: status, enable */
#define PM_TIMER_FREQUENCY 3579545u
#define PM_SCI		   9 /* the interrupt */
#define PM_S5		   5 /* SLP_TYP of soft-off, for the DSDT's \_S5 */

struct pm {
	struct device device;
	struct vm *vm;
	struct region event, control, timer_port, gpe;
	struct irq_line sci; /* level; connected by the machine */
	struct timer timer;
	uint16_t status, enable, control_bits;
	uint32_t gpe_status, gpe_enable;
	uint32_t timer_seen; /* the timer when its top bit was last looked at */
	bool sleep_logged;
};

/* The registers at the ports above. There is no SMI command port: ACPI mode is always on. */
void pm_init(struct pm *pm, struct vm *vm);

/* Somebody presses the button. Vm's lock held. */
void pm_power_button(struct pm *pm);
void pm_sleep_button(struct pm *pm);

/* Raises general-purpose event 0..31. Vm's lock held. */
void pm_gpe_raise(struct pm *pm, unsigned event);

#endif
