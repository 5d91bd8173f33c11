/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine of bare metal: guests run on the processor, in the kernel's hands (kernel/abi.h). The
 * kernel has the local APICs, halted vcpus and the registers; what it asks of devices comes here.
 */
#ifndef ENGINES_METAL_METAL_H
#define ENGINES_METAL_METAL_H

#include <stdint.h>

#include "core/vcpu.h"
#include "kernel/abi.h"

extern const struct engine engine_metal;

/* Between the engine's own files. */

/*
 * Registers to and from the kernel's form. Not touched: cr8 there, which is the APIC's; tsc_offset
 * on either side, whose keeping is told in metal.c. On the way back, activity changes between
 * running and halted only.
 */
void state_to_metal(struct metal_state *to, const struct vcpu_state *from);
void state_from_metal(struct vcpu_state *to, const struct metal_state *from);

#endif
