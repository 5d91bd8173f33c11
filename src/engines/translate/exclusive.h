/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exclusive sections: one vcpu works on what belongs to all, while the others are outside.
 *
 * A vcpu is inside (cpu->inside) while it runs guest code, translated or interpreted, from
 * exclusive_enter to exclusive_leave: it may then use TLB entries, blocks and jump caches. The
 * engine's run() enters first and leaves last, and calls exclusive_poll between instructions or
 * whenever it was kicked; so a vcpu that halts or waits is outside, and one that is inside comes
 * out soon.
 *
 * Rules against deadlock:
 * - exclusive_begin waits for other vcpus; its caller holds no lock: not the vm's, not
 * machine->lock.
 * - A vcpu that is inside may wait for the vm's lock (a device's register), for whoever holds that
 * never waits for an exclusive section.
 * - In a section the vcpu may take machine->lock and the vm's lock (a device's register).
 * - Two that want a section at once: the second is outside while it waits, so anything may have
 * happened when exclusive_begin returns: code cache flushed, TLB entries gone.
 * - A guest exception raised in a section unwinds to the dispatcher, which calls exclusive_unwind.
 *
 * Order of locks: exclusive section, vm's lock, machine->lock.
 */
#ifndef TRANSLATE_EXCLUSIVE_H
#define TRANSLATE_EXCLUSIVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engines/translate/cpu.h"

/* A lock that leaves vector registers alone. Held for microseconds mostly (for milliseconds to
 * empty a hash). Zero: free. */
struct code_lock {
	_Atomic uint32_t taken;
};
void code_lock(struct code_lock *lock);
void code_unlock(struct code_lock *lock);

struct exclusive {
	struct code_lock lock;	 /* held for the whole of a section */
	_Atomic uint32_t wanted; /* how many want or have a section */
};

/* Start and end of running guest code. enter waits while another vcpu has a section. */
void exclusive_enter(struct cpu *cpu);
void exclusive_leave(struct cpu *cpu);

/* Goes outside for as long as another vcpu wants a section. The caller is inside and uses nothing
 * that a section may change. */
void exclusive_poll(struct cpu *cpu);

/* The caller is inside; afterwards all other vcpus of the vm are outside until exclusive_end. Not
 * nested. */
void exclusive_begin(struct cpu *cpu);
void exclusive_end(struct cpu *cpu);

/* The same for a thread that is no vcpu's: all vcpus are outside. The caller holds no lock. */
void exclusive_begin_outside(struct machine_code *code);
void exclusive_end_outside(struct machine_code *code);

/* After an exception has unwound the stack: ends the section that the vcpu was in, if any. */
static inline void exclusive_unwind(struct cpu *cpu)
{
	if (cpu->exclusive)
		exclusive_end(cpu);
}

#endif
