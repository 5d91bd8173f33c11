/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine of the unit tests: plays back a list of exits, and notes what came back. */
#ifndef ENGINES_SCRIPTED_SCRIPTED_H
#define ENGINES_SCRIPTED_SCRIPTED_H

#include <stdbool.h>
#include <stdint.h>

#include "core/engine.h"
#include "core/exit.h"

struct scripted_step {
	struct exit exit;
	/* Called before the exit is made, without the vm's lock; NULL for nothing. May change
	 * vcpu->state. */
	void (*before)(struct vcpu *vcpu);
};

extern const struct engine engine_scripted;

/*
 * The same with APICs of its own (engine->apics), which do nothing but hold their registers and
 * note what came; and with state of its own: after each run vcpu->state is nonsense until
 * vcpu_sync. A vcpu that is halted or waits for a start-up message sleeps in its run, which ends
 * with EXIT_KICKED when it is kicked.
 */
extern const struct engine engine_scripted_apics;

/*
 * What the vcpu does from its next run on: `count` steps, which stay the caller's. A read's answer
 * is found in results[i] for step i (NULL: nobody wants them; else room for count, set to zero by
 * this call). A vcpu that is through with its steps stops the vm (VM_POWERED_OFF, code 0). A vcpu
 * without a list has no steps.
 */
void scripted_play(struct vcpu *vcpu, const struct scripted_step *steps, unsigned count,
		   struct exit *results);

/*
 * With rflags.IF set and no interrupt shadow the engine takes interrupts before each step, as a
 * processor would (IF is cleared as by an interrupt gate); PENDING_NMI likewise, as vector 2,
 * unless nmi_blocked, which it sets. These are their vectors, in order.
 */
#define SCRIPTED_VECTORS_MAX 64
unsigned scripted_vector_count(const struct vcpu *vcpu);
int scripted_vector(const struct vcpu *vcpu, unsigned index);

/* Steps made; calls of run, kick and reset; calls of written, and the last one's range. */
unsigned scripted_position(const struct vcpu *vcpu);
unsigned scripted_runs(const struct vcpu *vcpu);
unsigned scripted_kicks(const struct vcpu *vcpu);
unsigned scripted_resets(const struct vcpu *vcpu);
unsigned scripted_written(const struct vm *vm, uint64_t *address, uint64_t *length);

/* With engine_scripted_apics: the registers, where the calls of set have left them; messages, and
 * the last one; a pin's level; calls of sync that had something to do. */
struct apic *scripted_apic(const struct vcpu *vcpu);
unsigned scripted_messages(const struct vm *vm, uint64_t *address, uint32_t *data);
bool scripted_lint(const struct vm *vm, unsigned input);
unsigned scripted_syncs(const struct vcpu *vcpu);

/* With engine_scripted_apics: a vcpu writes to the page at this offset of the block. The dirty
 * log's start and collect fail with -EIO. */
void scripted_touch(struct vm *vm, uint64_t offset);
void scripted_dirty_fails(struct vm *vm, bool fails);

/* The next vcpu_create (-1: none) of this id fails with -ENOMEM. */
void scripted_vcpu_fails(int id);

#endif
