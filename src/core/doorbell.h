/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A doorbell: a register that is written to so that its device looks at something. Neither the
 * value counts, nor does the writer wait. An engine that can takes the writes itself
 * (engine_doorbells): the vcpu goes on at once, and the device hears of it on another thread.
 *
 * Nothing is lost over a pause: a bell that rings while the vm is paused rings when it goes on. It
 * is not saved, though: a device that is loaded looks at all that it could have been rung for.
 *
 * All functions are called with the vm's lock held.
 */
#ifndef CORE_DOORBELL_H
#define CORE_DOORBELL_H

#include <stdbool.h>
#include <stdint.h>

struct vm;

/* Embedded in its device, which finds itself with container_of. */
struct doorbell {
	struct vm *vm;
	/* May come without a write, and once for several. */
	void (*rung)(struct doorbell *bell);
	uint64_t address; /* guest-physical, while it is placed */
	bool placed;	  /* the engine takes the writes */
	bool late;	  /* it rang while the vm was paused */
	unsigned slot;	  /* the engine's, while it is placed */
	struct doorbell *next;
};

void doorbell_init(struct doorbell *bell, struct vm *vm, void (*rung)(struct doorbell *bell));

/*
 * Writes to address, of any size, are the engine's from now on, if it can: else they stay accesses,
 * which its region gets in any case where the engine chooses so. Does nothing if it is placed
 * there; first removes it from elsewhere.
 */
void doorbell_place(struct doorbell *bell, uint64_t address);

/* Writes are accesses again. Whether it was written to and has not rung yet; it won't. */
bool doorbell_remove(struct doorbell *bell);

/* For the engine: it was written to. */
void doorbell_ring(struct doorbell *bell);

/* For vm_resume: those that are late ring. */
void doorbells_resume(struct vm *vm);

#endif
