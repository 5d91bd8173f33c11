/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What differs between makers of processors: a short list of functions. All above it (vcpu*.c,
 * guest.c, nested.c) is neutral. svm/ implements it for AMD's SVM.
 */
#ifndef KERNEL_VENDOR_H
#define KERNEL_VENDOR_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/vcpu.h"

struct vendor {
	/* NULL, having said what there is, or why this computer has it not. */
	const char *(*probe)(void);
	/* Turns it on, on this processor. Negative errno. */
	int (*processor_init)(void);

	/* The vendor's part of a vcpu. -ENOMEM. */
	int (*create)(struct vcpu *vcpu);
	void (*destroy)(struct vcpu *vcpu);

	/*
	 * Enters the guest with vcpu->state as it is and delivers vcpu->event (which it clears);
	 * comes back with vcpu->exit, and with an event in vcpu->event whose delivery was not
	 * finished. Exits that are frequent and simple it may handle itself, and go on. The
	 * processor's interrupts are left to be taken by the caller. The windows (interrupt_window,
	 * nmi_window, tpr_window) end it with VCPU_EXIT_WINDOW, when what they wait for is
	 * possible. apic.tpr follows CR8. The x87 and vector registers have been loaded; the vendor
	 * asks for the debug registers (vcpu_debug_load).
	 */
	void (*run)(struct vcpu *vcpu);

	/* Registers that the vendor holds, from and to vcpu->state (already made sane). */
	void (*load)(struct vcpu *vcpu);
	void (*store)(struct vcpu *vcpu);
	/* One segment register, by its encoding. */
	void (*segment)(struct vcpu *vcpu, unsigned number, struct metal_segment *segment);

	/* Bits of entries of the nested page tables: of one that names a table, and of a leaf. */
	uint64_t nested_table, nested_leaf;
	/* What an entry has that maps a large page itself. */
	uint64_t nested_large;
};

/* The one that this computer has; NULL: none. */
extern const struct vendor *vendor;
extern const struct vendor svm_vendor;

#endif
